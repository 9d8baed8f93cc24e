//! Where and on what a report was made: without it a number means nothing.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::affinity::Cpus;

#[derive(Serialize)]
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
            command_line: std::env::args().collect(),
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
