//! How a server is named on the command line, and what is run for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use crate::affinity::Cpus;

/// `weft=<path>`, `nats=<path>`, `<name>=<command line with {port} (and {store})>`, or `<name>=@<ip:port>` for
/// one that already runs (and is not measured).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: String,
    run: Run,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Run {
    /// The path of a NATS server, which gets the arguments every one of them understands.
    Program(String),
    Line(Vec<String>),
    Attached(SocketAddr),
}

/// JetStream as servers do it unless told otherwise, and with each message synced on its own.
const USUAL: &str = "-js -sd {store}";
const ALWAYS: &str = "-c {store}/always.conf";

/// How this run wants its servers started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    pub cpus: Option<Cpus>,
    /// Further arguments, by name of the server.
    pub args: Vec<(String, String)>,
    /// Servers, by name, that sync before each acknowledgement (`sync_interval: always`).
    pub always: Vec<String>,
    /// Where folders for streams are made; the system's folder for temporary files by default.
    pub stores: Option<PathBuf>,
}

impl Spec {
    pub fn attached(&self) -> Option<SocketAddr> {
        match &self.run {
            Run::Attached(address) => Some(*address),
            Run::Program(_) | Run::Line(_) => None,
        }
    }

    /// `store`: the folder for streams, where this run needs JetStream.
    pub fn command_line(&self, launch: &Launch, port: u16, store: Option<&Path>) -> Vec<String> {
        let mut line = match &self.run {
            Run::Attached(_) => return Vec::new(),
            Run::Line(line) => line.clone(),
            Run::Program(path) => {
                let mut line = vec![path.clone()];
                line.extend(words("-a 127.0.0.1 -p {port}"));
                if store.is_some() {
                    line.extend(words(if self.is_always(launch) { ALWAYS } else { USUAL }));
                }
                line
            }
        };
        let store = store.map_or_else(String::new, |store| store.display().to_string());
        for word in &mut line {
            *word = word.replace("{port}", &port.to_string()).replace("{store}", &store);
        }
        let extra = launch.args.iter().filter(|(name, _)| *name == self.name);
        line.extend(extra.flat_map(|(_, args)| words(args)));
        line
    }

    pub fn is_always(&self, launch: &Launch) -> bool {
        launch.always.contains(&self.name)
    }

    /// What the program says about itself.
    pub fn version(&self) -> String {
        let program = match &self.run {
            Run::Attached(_) => return "attached".into(),
            Run::Line(line) => &line[0],
            Run::Program(path) => path,
        };
        match Command::new(program).arg("--version").output() {
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                text.lines().next().unwrap_or("unknown").to_string()
            }
            Err(error) => format!("unknown ({error})"),
        }
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, what) = text.split_once('=').ok_or("expected <name>=<path or command line>")?;
        let name = name.to_string();
        if let Some(address) = what.strip_prefix('@') {
            let address = address.parse().map_err(|e| format!("{address:?}: {e}"))?;
            return Ok(Self { name, run: Run::Attached(address) });
        }
        let run = if let Some(fault) = null_with(what) {
            let own = std::env::current_exe().map_err(|error| error.to_string())?;
            let mut line = vec![own.display().to_string()];
            line.extend(words(&format!("null-server --port {{port}} --fault {fault}")));
            Run::Line(line)
        } else if what.contains("{port}") {
            Run::Line(words(what))
        } else if Path::new(what).exists() {
            Run::Program(what.to_string())
        } else {
            return Err(format!("{what:?} is neither a program nor a line with {{port}}"));
        };
        Ok(Self { name, run })
    }
}

/// `null` and `null:<fault>`: the harness' own server.
fn null_with(what: &str) -> Option<&str> {
    let fault = what.strip_prefix("null")?;
    if fault.is_empty() { Some("none") } else { fault.strip_prefix(':') }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_its_port_and_its_own_arguments() {
        let spec: Spec = "x=srv --port={port} -q".parse().unwrap();
        let args = vec![("x".into(), "--shards 2".into()), ("y".into(), "-z".into())];
        let launch = Launch { args, ..Launch::default() };
        let line = spec.command_line(&launch, 7, None);
        assert_eq!(line, ["srv", "--port=7", "-q", "--shards", "2"]);
    }

    #[test]
    fn a_program_gets_a_store_only_where_it_is_needed() {
        let spec: Spec = "x=/bin/true".parse().unwrap();
        let store = Path::new("/s");
        for (always, store, end) in [
            (vec![], None, "-p 7"),
            (vec![], Some(store), "-p 7 -js -sd /s"),
            (vec!["x".to_string()], Some(store), "-p 7 -c /s/always.conf"),
        ] {
            let launch = Launch { always, ..Launch::default() };
            assert!(spec.command_line(&launch, 7, store).join(" ").ends_with(end), "{end}");
        }
    }

    #[test]
    fn a_running_server_is_named_by_its_address() {
        let spec: Spec = "x=@127.0.0.1:4222".parse().unwrap();
        assert_eq!(spec.attached(), Some(SocketAddr::from(([127, 0, 0, 1], 4222))));
        assert!("x=/no/such/program".parse::<Spec>().is_err());
        assert!("x".parse::<Spec>().is_err());
    }
}
