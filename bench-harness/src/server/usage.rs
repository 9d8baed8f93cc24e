//! What a process has used: CPU from its CPU clock (all threads, exact), the rest from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::{Deserialize, Serialize};

use crate::clock;

#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: Duration,
    /// Ticks of 10 ms: only their proportion is used.
    user_ticks: u64,
    system_ticks: u64,
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    context_switches: u64,
    /// Handed to a disk, where the kernel tells (`/proc/<pid>/io`).
    disk_bytes: u64,
    /// Calls of read and write; what goes through io_uring is not among them.
    read_write_calls: u64,
}

/// What was used between two moments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct UsageDelta {
    pub cpu_seconds: f64,
    /// Share of user mode in it, from 10 ms ticks.
    pub user_share: f64,
    pub context_switches: u64,
    #[serde(default)]
    pub disk_bytes: u64,
    #[serde(default)]
    pub read_write_calls: u64,
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
}

impl Usage {
    pub fn of(pid: Pid) -> io::Result<Self> {
        let (user_ticks, system_ticks) = ticks(pid)?;
        let (rss_bytes, rss_peak_bytes) = resident(pid)?;
        // Not everywhere: zeros then.
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Ok(Self {
            cpu: clock::process_cpu(pid)?,
            user_ticks,
            system_ticks,
            rss_bytes,
            rss_peak_bytes,
            context_switches: context_switches(pid)?,
            disk_bytes: field_of(&io, "write_bytes:"),
            read_write_calls: field_of(&io, "syscr:") + field_of(&io, "syscw:"),
        })
    }

    pub fn since(&self, before: &Self) -> UsageDelta {
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        let system = self.system_ticks.saturating_sub(before.system_ticks) as f64;
        UsageDelta {
            cpu_seconds: self.cpu.saturating_sub(before.cpu).as_secs_f64(),
            user_share: if user + system > 0.0 { user / (user + system) } else { 0.0 },
            context_switches: self.context_switches.saturating_sub(before.context_switches),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            read_write_calls: self.read_write_calls.saturating_sub(before.read_write_calls),
            rss_bytes: self.rss_bytes,
            rss_peak_bytes: self.rss_peak_bytes,
        }
    }
}

fn ticks(pid: Pid) -> io::Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The program's name may hold blanks, so fields count from the last parenthesis: utime is
    // the 12th from there, stime the 13th (proc_pid_stat(5)).
    let after = stat.rsplit(") ").next().unwrap_or_default();
    let mut fields = after.split(' ').skip(11).map(|field| field.parse().unwrap_or(0));
    Ok((fields.next().unwrap_or(0), fields.next().unwrap_or(0)))
}

fn resident(pid: Pid) -> io::Result<(u64, u64)> {
    // statm is exact enough in pages and cheaper than smaps; VmHWM is only in status.
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split(' ').nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    let page = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok((pages * page.cast_unsigned(), field_of(&status, "VmHWM:") * 1024))
}

fn context_switches(pid: Pid) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that has ended meanwhile is not counted.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        sum += field_of(&status, "voluntary_ctxt_switches:");
        sum += field_of(&status, "nonvoluntary_ctxt_switches:");
    }
    Ok(sum)
}

fn field_of(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn own_process_is_measured() {
        let own = Pid::this();
        let before = Usage::of(own).unwrap();
        assert!(before.rss_bytes > 100_000 && before.rss_peak_bytes >= 100_000);
        let used = || clock::thread_cpu(gettid()).unwrap();
        let start = used();
        while used() - start < Duration::from_millis(30) {}
        let delta = Usage::of(own).unwrap().since(&before);
        assert!(delta.cpu_seconds > 0.029, "{delta:?}");
    }
}
