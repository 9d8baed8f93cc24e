//! Where and on what a report was made: without it a number means nothing.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::affinity::Cpus;

#[derive(Deserialize, Serialize)]
pub struct Environment {
    pub date: String,
    pub commit: String,
    pub kernel: String,
    pub cpu: String,
    pub cpus: String,
    pub governor: String,
    pub memory: String,
    /// `name: what it says of itself`
    pub servers: Vec<String>,
    /// Without folders: results are kept and shared.
    pub command_line: Vec<String>,
}

impl Environment {
    pub fn gather(servers: Vec<String>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            date: said_by("date", &["-u", "+%FT%TZ"]),
            commit: said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_string(),
            cpu: value_of(&read("/proc/cpuinfo"), "model name"),
            cpus: Cpus::allowed().map_or_else(|e| e.to_string(), |cpus| cpus.to_string()),
            governor: match governor.trim() {
                "" => "unknown".into(),
                known => known.into(),
            },
            memory: value_of(&read("/proc/meminfo"), "MemTotal"),
            servers,
            command_line: std::env::args().map(|word| without_folders(&word)).collect(),
        }
    }

    pub fn summary(&self) -> String {
        let servers = self.servers.join("; ");
        format!(
            "{} · commit {} · Linux {} · {} · CPUs {} · {} · {servers}",
            self.date, self.commit, self.kernel, self.cpu, self.cpus, self.memory
        )
    }
}

/// `nats=/usr/bin/nats-server -p {port}` → `nats=nats-server -p {port}`
fn without_folders(argument: &str) -> String {
    let words = argument.split(' ').map(|word| {
        let (name, what) = word.split_once('=').unwrap_or(("", word));
        let last = what.rsplit('/').next().unwrap_or(what);
        if name.is_empty() { last.to_string() } else { format!("{name}={last}") }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| "unknown".into(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_string(),
    )
}

fn value_of(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
    value.unwrap_or("unknown").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_command_line_names_no_folders() {
        for (said, kept) in [
            ("/a/b/bench-harness", "bench-harness"),
            ("nats=/usr/bin/nats-server", "nats=nats-server"),
            ("x=env A=1 /opt/srv -p {port}", "x=env A=1 srv -p {port}"),
            ("--save", "--save"),
        ] {
            assert_eq!(without_folders(said), kept);
        }
    }
}
