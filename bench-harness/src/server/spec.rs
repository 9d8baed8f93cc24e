//! How a server is named on the command line, and what is run for it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use crate::affinity::Cpus;

/// `weft=<path>`, `nats=<path>`, `<name>=<command line with {port}>`, or `<name>=@<ip:port>` for
/// one that already runs (and is not measured).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: String,
    run: Run,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Run {
    Line(Vec<String>),
    Attached(SocketAddr),
}

/// How this run wants its servers started.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    pub cpus: Option<Cpus>,
    /// Further arguments, by name of the server.
    pub args: Vec<(String, String)>,
}

impl Spec {
    pub fn attached(&self) -> Option<SocketAddr> {
        match &self.run {
            Run::Attached(address) => Some(*address),
            Run::Line(_) => None,
        }
    }

    pub fn command_line(&self, launch: &Launch, port: u16) -> Vec<String> {
        let Run::Line(line) = &self.run else { return Vec::new() };
        let extra = launch.args.iter().filter(|(name, _)| *name == self.name);
        let extra = extra.flat_map(|(_, args)| args.split_whitespace().map(str::to_string));
        line.iter().map(|word| word.replace("{port}", &port.to_string())).chain(extra).collect()
    }

    /// What the program says about itself.
    pub fn version(&self) -> String {
        let Run::Line(line) = &self.run else { return "attached".into() };
        match Command::new(&line[0]).arg("--version").output() {
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
        let words = |line: &str| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        let line = if what.contains("{port}") {
            words(what)
        } else if Path::new(what).exists() {
            let mut line = vec![what.to_string()];
            line.extend(words("-a 127.0.0.1 -p {port}"));
            line
        } else {
            return Err(format!("{what:?} is neither a program nor a line with {{port}}"));
        };
        Ok(Self { name, run: Run::Line(line) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_its_port_and_its_own_arguments() {
        let spec: Spec = "x=srv --port={port} -q".parse().unwrap();
        let args = vec![("x".into(), "--shards 2".into()), ("y".into(), "-z".into())];
        let launch = Launch { cpus: None, args };
        assert_eq!(spec.command_line(&launch, 7), ["srv", "--port=7", "-q", "--shards", "2"]);
    }

    #[test]
    fn a_running_server_is_named_by_its_address() {
        let spec: Spec = "x=@127.0.0.1:4222".parse().unwrap();
        assert_eq!(spec.attached(), Some(SocketAddr::from(([127, 0, 0, 1], 4222))));
        assert!("x=/no/such/program".parse::<Spec>().is_err());
        assert!("x".parse::<Spec>().is_err());
    }
}
