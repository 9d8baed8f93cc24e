//! `debug-bundle`: what somebody needs who is to find out what is wrong, in one archive.
//!
//! A part that cannot be had is there with the reason, and the bundle is made all the same.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::clock::Clock;
use super::process;
use crate::config::Options;
use crate::types::limits::{BUNDLE_ITEM_BYTES_MAX, BUNDLE_LOG_BYTES_MAX, MONITOR_REQUEST_NS_MAX};
use crate::types::rfc3339;

/// The pages of the monitoring port, and their names in the archive. None shows users.
const PAGES: &[(&str, &str)] = &[
    ("varz", "varz.json"),
    ("connz?sort=pending&limit=1024", "connz.json"),
    ("connz?state=closed&sort=stop&limit=1024", "connz-closed.json"),
    ("subsz", "subsz.json"),
    ("accountz", "accountz.json"),
    ("accstatz", "accstatz.json"),
    ("jsz?streams=1&consumers=1&config=1", "jsz.json"),
    ("healthz", "healthz.json"),
    ("latencyz?shards=1&viewer=debug-bundle", "latencyz.json"),
    ("latencyz.hlog?shards=1&viewer=debug-bundle", "latency.hlog"),
    ("metrics", "metrics.txt"),
];

/// Files that tell of the machine.
const MACHINE: &[&str] = &[
    "/proc/version",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/stat",
    "/proc/mounts",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/net/sockstat",
    "/proc/net/netstat",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/nr_open",
    "/proc/sys/kernel/io_uring_disabled",
    "/proc/sys/net/core/rmem_max",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/net/core/wmem_max",
    "/proc/sys/net/ipv4/tcp_rmem",
    "/proc/sys/net/ipv4/tcp_wmem",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/memory.max",
    "/etc/os-release",
];

/// Of the server's process, below `/proc/<pid>`.
const PROCESS: &[&str] = &["limits", "status", "cgroup", "io", "sched", "schedstat"];

/// Makes the archive. Returns what to tell the operator; the error is one line.
pub fn make(options: &Options, config: &str, output: &Path) -> Result<String, String> {
    let fault = |fault: io::Error| format!("{}: {fault}", output.display());
    let file = File::create_new(output).map_err(fault)?;
    let mut bundle = Bundle::new(file, Clock::wall().0);
    let made = bundle.gather(options, config).and_then(|()| bundle.finish());
    let (items, missing) = made.map_err(|error| {
        // Half an archive helps nobody.
        let _ = fs::remove_file(output);
        fault(error)
    })?;
    let mut told = format!("{} holds {items} files", output.display());
    for text in missing {
        let _ = write!(told, "\nnot had: {text}");
    }
    Ok(told + "\n")
}

struct Bundle {
    archive: tar::Builder<GzEncoder<File>>,
    /// Seconds since 1970.
    time: u64,
    directory: String,
    items: usize,
    missing: Vec<String>,
}

impl Bundle {
    fn new(file: File, wall_ns: u64) -> Self {
        let seconds = wall_ns / 1_000_000_000;
        let moment = rfc3339(crate::types::Wall(seconds * 1_000_000_000)).replace(':', "");
        Self {
            archive: tar::Builder::new(GzEncoder::new(file, Compression::default())),
            time: seconds,
            directory: format!("weft-debug-{moment}"),
            items: 0,
            missing: Vec::new(),
        }
    }

    fn gather(&mut self, options: &Options, config: &str) -> io::Result<()> {
        self.put("weft.txt", about().as_bytes())?;
        self.put("config.json", config.as_bytes())?;
        self.pages(options)?;
        self.log(options)?;
        self.process(options)?;
        for path in MACHINE {
            self.copy(path, &format!("machine{path}"))?;
        }
        Ok(())
    }

    fn pages(&mut self, options: &Options) -> io::Result<()> {
        let Some(address) = monitor_address(options) else {
            return self.miss("pages", "no monitoring port is known: give -m or -c");
        };
        for (target, name) in PAGES {
            let path = format!("{}/{target}", options.http_base_path.trim_end_matches('/'));
            match fetch(address, &path) {
                Ok(body) => self.put(&format!("pages/{name}"), &body)?,
                Err(fault) => self.miss(&format!("pages/{name}"), &fault.to_string())?,
            }
        }
        Ok(())
    }

    /// The end of the log.
    fn log(&mut self, options: &Options) -> io::Result<()> {
        let Some(path) = &options.log.file else {
            return self.miss("log.txt", "the server logs to stderr, not to a file");
        };
        match tail(path) {
            Ok(text) => self.put("log.txt", &text),
            Err(fault) => self.miss("log.txt", &format!("{}: {fault}", path.display())),
        }
    }

    fn process(&mut self, options: &Options) -> io::Result<()> {
        let pid = match process::of_server(options.pid_file.as_deref()) {
            Ok(pid) => pid,
            Err(text) => return self.miss("process", &text),
        };
        for name in PROCESS {
            self.copy(&format!("/proc/{pid}/{name}"), &format!("process/{name}"))?;
        }
        let threads = threads(pid);
        self.put("process/threads.txt", threads.as_bytes())
    }

    fn copy(&mut self, path: &str, name: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        let read = File::open(path)
            .and_then(|file| file.take(BUNDLE_ITEM_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.put(name, &bytes),
            // Kernels differ in what they have.
            Err(fault) => self.put(name, format!("{fault}\n").as_bytes()),
        }
    }

    fn miss(&mut self, name: &str, why: &str) -> io::Result<()> {
        self.missing.push(format!("{name}: {why}"));
        self.put(&format!("{name}.missing"), format!("{why}\n").as_bytes())
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.time);
        self.items += 1;
        self.archive.append_data(&mut header, format!("{}/{name}", self.directory), bytes)
    }

    fn finish(self) -> io::Result<(usize, Vec<String>)> {
        let file = self.archive.into_inner()?.finish()?;
        file.sync_all()?;
        Ok((self.items, self.missing))
    }
}

fn about() -> String {
    format!(
        "weft {}, speaks NATS {}\nmade at {}\n\n\
         config.json is the configuration with every value hidden that could be a secret.\n\
         pages/ are those of the monitoring port; latency.hlog opens in HdrHistogram's tools.\n\
         The log and the names of connections and subjects are as they are: look before you \
         send them.\n",
        env!("CARGO_PKG_VERSION"),
        crate::cli::VERSION,
        rfc3339(Clock::wall()),
    )
}

/// Where the server's pages are, seen from this machine.
fn monitor_address(options: &Options) -> Option<SocketAddr> {
    let port = options.http.as_ref()?.port.to_bind();
    let host = options.http_host();
    let found = (host, port).to_socket_addrs().ok()?.find(|_| port != 0)?;
    let everywhere = found.ip().is_unspecified();
    Some(if everywhere { (IpAddr::from(Ipv4Addr::LOCALHOST), port).into() } else { found })
}

/// The body of a page. HTTP/1.0: the server closes behind it.
fn fetch(address: SocketAddr, target: &str) -> io::Result<Vec<u8>> {
    let patience = Duration::from_nanos(MONITOR_REQUEST_NS_MAX);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // One write: who answers the first part may have closed before the next.
    stream.write_all(format!("GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(BUNDLE_ITEM_BYTES_MAX).read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::other("no HTTP answer"))?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        status => Err(io::Error::other(format!("HTTP status {}", status.unwrap_or("none")))),
    }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BUNDLE_LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(BUNDLE_LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A line for each thread: its number, its name and the processor time it had.
fn threads(pid: i32) -> String {
    let mut text = String::new();
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return text };
    for entry in entries.filter_map(Result::ok) {
        if let Ok(stat) = fs::read_to_string(entry.path().join("stat")) {
            text += &stat;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::TcpListener;

    use flate2::read::GzDecoder;

    use super::*;
    use crate::config::options::{Monitor, Port};

    fn files(path: &Path) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(path).unwrap()));
        let mut files = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            let _ = entry.read_to_string(&mut text);
            files.insert(name.split_once('/').unwrap().1.to_owned(), text);
        }
        files
    }

    #[test]
    fn holds_pages_log_and_machine_and_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take(PAGES.len()) {
                let mut stream = stream.unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                let line = String::from_utf8_lossy(&request[..length]);
                let target = line.split(' ').nth(1).unwrap().to_owned();
                let status = if target.starts_with("/m/jsz") { "503 x" } else { "200 OK" };
                write!(stream, "HTTP/1.0 {status}\r\nA: b\r\n\r\nbody of {target}").unwrap();
            }
        });
        let log = folder.path().join("log");
        fs::write(&log, "a line\n").unwrap();
        let mut options = Options::default();
        let port = Port::from_number(i64::from(port)).unwrap();
        options.http = Some(Monitor { host: Some("127.0.0.1".into()), port });
        options.http_base_path = "/m".into();
        options.log.file = Some(log);
        let output = folder.path().join("bundle.tar.gz");
        let told = make(&options, "{}", &output).unwrap();
        server.join().unwrap();
        assert!(told.contains("not had: pages/jsz.json: HTTP status 503"), "{told}");
        let files = files(&output);
        assert_eq!(files["pages/varz.json"], "body of /m/varz");
        assert_eq!(files["log.txt"], "a line\n");
        assert_eq!(files["config.json"], "{}");
        assert_eq!(files["pages/jsz.json.missing"], "HTTP status 503\n");
        assert!(files["machine/proc/version"].contains("Linux"));
        // An archive that is there is not overwritten.
        assert!(make(&options, "{}", &output).unwrap_err().contains("bundle.tar.gz"));
    }
}
