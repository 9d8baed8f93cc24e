//! The process among others: pid file, ports file, signals to another server.

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal as UnixSignal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use crate::cli::{Signal, Target};

/// A file that is ours as long as we run.
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    content: Vec<u8>,
}

impl OwnFile {
    /// The process id without a line break, as supervisors expect it.
    pub fn write_pid(path: &Path) -> io::Result<Self> {
        Self::write(path.to_owned(), std::process::id().to_string().into_bytes())
    }

    /// `<executable>_<pid>.ports` in `folder`.
    pub fn write_ports(folder: &Path, ports: &Ports) -> io::Result<Self> {
        let name = format!("{}_{}.ports", executable_name(), std::process::id());
        Self::write(folder.join(name), serde_json::to_vec(ports)?)
    }

    fn write(path: PathBuf, content: Vec<u8>) -> io::Result<Self> {
        fs::write(&path, &content)?;
        Ok(Self { path, content })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// At an orderly stop. A file that somebody else has written since is left alone.
    pub fn remove(self) -> io::Result<()> {
        if fs::read(&self.path)? == self.content {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }
}

/// URLs of all listeners, the content of the ports file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Ports {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub websocket: Vec<String>,
}

/// The URLs under which a listener is reached: for an unspecified address one for each of the
/// host's addresses.
pub fn urls(scheme: &str, bound: SocketAddr) -> Vec<String> {
    let url = |ip: IpAddr| format!("{scheme}://{}", SocketAddr::new(ip, bound.port()));
    if bound.ip().is_unspecified() {
        interface_addresses().into_iter().map(url).collect()
    } else {
        vec![url(bound.ip())]
    }
}

/// Addresses of the interfaces of this host, in the kernel's order. Only the loopback one if
/// the kernel does not say.
pub fn interface_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return vec![IpAddr::from([127, 0, 0, 1])];
    };
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip().to_be_bytes()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::from(v6.ip())))
    });
    addresses.collect()
}

/// Sends, as `--signal` asks. The error is for stderr.
pub fn send(signal: Signal, target: Target) -> Result<(), String> {
    let pid = match target {
        Target::Process(pid) => pid,
        Target::OnlyOther => only_other()?,
    };
    let number = match signal {
        Signal::Ldm => UnixSignal::SIGUSR2,
        Signal::Stop => UnixSignal::SIGKILL,
        Signal::Quit => UnixSignal::SIGINT,
        Signal::Term => UnixSignal::SIGTERM,
        Signal::Reopen => UnixSignal::SIGUSR1,
        Signal::Reload => UnixSignal::SIGHUP,
    };
    kill(Pid::from_raw(pid), number).map_err(|errno| {
        format!("signal {:?} {pid}: {}", signal.name(), errno.desc().to_lowercase())
    })
}

/// The process of a server: that of its pid file, or the only other one.
pub fn of_server(pid_file: Option<&Path>) -> Result<i32, String> {
    let Some(path) = pid_file else { return only_other() };
    let text = fs::read_to_string(path).map_err(|fault| format!("{}: {fault}", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} holds no pid", path.display()))
}

/// The one other process that runs under our name.
fn only_other() -> Result<i32, String> {
    let name = executable_name();
    let pids = others_named(&own_command().unwrap_or_default());
    match pids.as_slice() {
        [] => Err(format!("no {name} processes running")),
        [pid] => Ok(*pid),
        _ => {
            let list: Vec<_> = pids.iter().map(ToString::to_string).collect();
            Err(format!("multiple {name} processes running:\n{}", list.join("\n")))
        }
    }
}

/// Ascending process ids.
fn others_named(command: &str) -> Vec<i32> {
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<i32> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| *name != own && name.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| command_of(pid).is_some_and(|other| other == command))
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

/// The kernel's short name of a process, readable whoever runs it.
fn command_of(pid: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

fn own_command() -> Option<String> {
    command_of("self")
}

/// The name we were started by, which a link may have chosen: the same as in [`own_command`].
fn executable_name() -> String {
    let path = std::env::args_os().next().map(PathBuf::from);
    let name = path.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    name.unwrap_or("nats-server").to_owned()
}
