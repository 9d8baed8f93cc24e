//! One server process per value, on a port of its own, killed when dropped.
//!
//! The binary is `WEFT_TEST_SERVER` where that is set (so that the same tests judge nats-server),
//! else the `weft` cargo just built. `WEFT_TEST_ARGS` adds flags to every start.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A loaded machine starts eight servers of four shards at once.
const READY_WITHIN: Duration = Duration::from_secs(20);
const LISTENING: &str = "Listening for client connections on ";
const READY: &str = "Server is ready";

pub struct Server {
    child: Child,
    directory: tempfile::TempDir,
    address: SocketAddr,
    args: Vec<String>,
}

/// The binary under test, and whether it is weft (and so knows `--shards`).
pub fn binary() -> (PathBuf, bool) {
    match std::env::var_os("WEFT_TEST_SERVER") {
        Some(path) => (PathBuf::from(path), false),
        None => (PathBuf::from(env!("CARGO_BIN_EXE_weft")), true),
    }
}

/// The shard counts a test runs with: `WEFT_TEST_SHARDS`, else 1, 2 and 4; for another server
/// only its own way.
pub fn shard_counts() -> Vec<Option<usize>> {
    match std::env::var("WEFT_TEST_SHARDS") {
        Ok(list) => list.split(',').map(|n| Some(n.trim().parse().expect("a number"))).collect(),
        Err(_) if binary().1 => vec![Some(1), Some(2), Some(4)],
        Err(_) => vec![None],
    }
}

impl Server {
    /// Starts with this config text and these flags, on a free port of loopback, and waits until
    /// it is ready. The error carries what the server wrote.
    pub fn start(config: &str, flags: &[String], shards: Option<usize>) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
        let mut args = flags.to_vec();
        if !config.is_empty() {
            let path = directory.path().join("server.conf");
            fs::write(&path, config).map_err(|e| e.to_string())?;
            args.extend(["-c".into(), path.display().to_string()]);
        }
        if let Some(shards) = shards {
            args.extend(["--shards".into(), shards.to_string()]);
        }
        let extra = std::env::var("WEFT_TEST_ARGS").unwrap_or_default();
        args.extend(extra.split_whitespace().map(str::to_owned));
        let log = directory.path().join("server.log");
        args.extend(["-l".into(), log.display().to_string()]);

        let child = spawn(directory.path(), &args, -1)?;
        let mut server =
            Self { child, directory, address: SocketAddr::from(([127, 0, 0, 1], 0)), args };
        server.wait_ready()?;
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    /// Sends a signal by name (`USR2`, `TERM`).
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .map_err(|e| e.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("kill -s {name} failed")) }
    }

    /// Replaces the config file, and waits until the server says that it obeys the new one.
    pub fn reload(&self, config: &str) -> Result<(), String> {
        const DONE: &str = "Reloaded server configuration";
        let reloads = || self.log().matches(DONE).count();
        let before = reloads();
        let path = self.directory.path().join("server.conf");
        fs::write(path, format!("{config}\n")).map_err(|e| e.to_string())?;
        self.signal("HUP")?;
        let deadline = Instant::now() + READY_WITHIN;
        while reloads() == before {
            if Instant::now() > deadline {
                return Err(format!("the server did not reload; log:\n{}", self.log()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub fn wait_exit(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                Ok(None) => return Err("the server still runs".into()),
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Kills it without warning and starts it again on the same port, with the same flags.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        let _ = fs::remove_file(self.directory.path().join("server.log"));
        self.child = spawn(self.directory.path(), &self.args, i32::from(self.address.port()))?;
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let log = self.log();
            if log.contains(READY)
                && let Some(address) = listening_on(&log)
            {
                self.address = address;
                return Ok(());
            }
            let exited = self.child.try_wait().map_err(|e| e.to_string())?;
            if exited.is_some() || Instant::now() > deadline {
                let why = match exited {
                    Some(status) => format!("the server ended at start ({status})"),
                    None => "the server did not get ready".into(),
                };
                let wrote = read(&self.directory.path().join("stderr"));
                return Err(format!("{why}; log:\n{log}\nstderr:\n{wrote}"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn spawn(directory: &Path, args: &[String], port: i32) -> Result<Child, String> {
    let (program, _) = binary();
    let stderr = fs::File::create(directory.join("stderr")).map_err(|e| e.to_string())?;
    Command::new(&program)
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))
}

fn listening_on(log: &str) -> Option<SocketAddr> {
    log.lines().find_map(|line| line.split_once(LISTENING)?.1.trim().parse().ok())
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
