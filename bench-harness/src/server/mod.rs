//! Starts a server, waits until it answers, measures it, stops it.

pub mod guard;
mod spec;
mod usage;

pub use spec::{Launch, Spec};
pub use usage::{Usage, UsageDelta};

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{Connection, Greeting};
use crate::clock;
use crate::failure::{Context, Failure, Outcome};

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(5);

/// A server that answers. Stopped when dropped, if this harness started it.
pub struct Server {
    pub name: String,
    pub address: SocketAddr,
    /// The server's INFO, as it came.
    pub info: String,
    spec: Spec,
    launch: Launch,
    process: Option<Process>,
    /// Removed after the process has ended: fields are dropped in this order.
    store: Option<TempDir>,
}

struct Process {
    child: Child,
    /// Without a name from the start, so that nothing is left behind however this ends.
    log: File,
}

impl Server {
    pub fn start(spec: &Spec, launch: &Launch, wants_streams: bool) -> Outcome<Self> {
        let store = wants_streams.then(|| make_store(spec, launch)).transpose()?;
        let address = match spec.attached() {
            Some(address) => address,
            None => SocketAddr::from(([127, 0, 0, 1], free_port()?)),
        };
        let mut server = Self {
            name: spec.name.clone(),
            address,
            info: String::new(),
            spec: spec.clone(),
            launch: launch.clone(),
            process: None,
            store,
        };
        server.start_again()?;
        Ok(server)
    }

    /// The same server, in a process of its own with an empty store.
    pub fn another(&self) -> Outcome<Self> {
        if self.process.is_none() {
            return Err(Failure::new("a server that was not started here can't be restarted"));
        }
        Self::start(&self.spec, &self.launch, self.store.is_some())
    }

    /// With the store it had. Returns when it answers.
    pub fn start_again(&mut self) -> Outcome<()> {
        if self.spec.attached().is_none() {
            let store = self.store.as_ref().map(TempDir::path);
            let line = self.spec.command_line(&self.launch, self.address.port(), store);
            let process = spawn(&line, &self.launch, self.address.port())?;
            guard::add(pid_of(&process.child));
            self.process = Some(process);
        }
        self.info = self.wait_until_ready()?;
        Ok(())
    }

    /// Asks it to end, or makes it, and waits until it has.
    pub fn stop(&mut self, kill_it: bool) {
        let Some(mut process) = self.process.take() else { return };
        let pid = pid_of(&process.child);
        // Errors here mean that it is gone already.
        let _ = kill(pid, if kill_it { Signal::SIGKILL } else { Signal::SIGTERM });
        let start = clock::now();
        while matches!(process.child.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_MAX {
                let _ = process.child.kill();
                let _ = process.child.wait();
                break;
            }
            clock::pause(Duration::from_millis(5));
        }
        guard::remove(pid);
    }

    /// SIGKILL after `delay`, from a thread of its own. [`Self::stop`] has to follow.
    pub fn kill_after(&self, delay: Duration) -> Outcome<()> {
        let Some(process) = &self.process else {
            return Err(Failure::new("a server that was not started here is not killed"));
        };
        let pid = pid_of(&process.child);
        std::thread::spawn(move || {
            clock::pause(delay);
            // It is waited for by `stop`, so that the id is still its own.
            let _ = kill(pid, Signal::SIGKILL);
        });
        Ok(())
    }

    fn wait_until_ready(&mut self) -> Outcome<String> {
        let start = clock::now();
        loop {
            match Connection::open(self.address, Greeting::default()) {
                Ok(connection) => return Ok(connection.info().to_string()),
                Err(error) if start.elapsed() > START_MAX => {
                    let log = self.log();
                    let name = &self.name;
                    return Err(Failure::new(format!("{name} does not answer: {error}\n{log}")));
                }
                Err(_) => clock::pause(Duration::from_millis(10)),
            }
            if let Some(process) = &mut self.process
                && let Some(status) = process.child.try_wait()?
            {
                let log = self.log();
                return Err(Failure::new(format!("{} ended with {status}\n{log}", self.name)));
            }
        }
    }

    /// All zero for a server this harness did not start.
    pub fn usage(&self) -> Outcome<Usage> {
        match &self.process {
            Some(process) => Usage::of(pid_of(&process.child)).context("measuring the server"),
            None => Ok(Usage::default()),
        }
    }

    pub fn is_measured(&self) -> bool {
        self.process.is_some()
    }

    /// What the server has written to its standard output and error so far.
    pub fn log(&self) -> String {
        let Some(process) = &self.process else { return String::new() };
        let length = process.log.metadata().map_or(0, |metadata| metadata.len());
        let mut text = vec![0; length as usize];
        // A log that can't be read is an empty one: it only explains.
        let count = process.log.read_at(&mut text, 0).unwrap_or(0);
        String::from_utf8_lossy(&text[..count]).into_owned()
    }

    pub fn is_running(&mut self) -> bool {
        match &mut self.process {
            Some(process) => matches!(process.child.try_wait(), Ok(None)),
            None => true,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(false);
    }
}

fn make_store(spec: &Spec, launch: &Launch) -> Outcome<TempDir> {
    let parent = launch.stores.clone().unwrap_or_else(std::env::temp_dir);
    let store = TempDir::with_prefix_in("bench-harness-", &parent).context(parent.display())?;
    if spec.is_always(launch) {
        let folder = store.path().display();
        let text = format!("jetstream {{ store_dir: \"{folder}\", sync_interval: always }}\n");
        std::fs::write(store.path().join("always.conf"), text)?;
    }
    Ok(store)
}

fn spawn(line: &[String], launch: &Launch, port: u16) -> Outcome<Process> {
    let own = std::process::id();
    let path = std::env::temp_dir().join(format!("bench-harness-{own}-{port}.log"));
    let log = File::options().create(true).read(true).append(true).open(&path);
    let log = log.context(path.display())?;
    std::fs::remove_file(&path)?;
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let cpus = launch.cpus.clone();
    // A thread of its own, so that only the server inherits the pinning, and none of the blocked signals.
    let starter = std::thread::spawn(move || -> Outcome<Child> {
        if let Some(cpus) = cpus {
            cpus.pin_this_thread()?;
        }
        guard::unblock()?;
        Ok(command.spawn()?)
    });
    let child = starter.join().map_err(|_| Failure::new("the starting thread panicked"))?;
    Ok(Process { child: child.context(line.join(" "))?, log })
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
