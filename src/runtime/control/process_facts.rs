//! Memory and processor time of this process, from `/proc/self`.

use std::fs;
use std::time::Duration;

use tokio::time::Instant;

use crate::monitor::ProcessFacts;

/// `USER_HZ`: what `/proc` counts processor time in, on every Linux we run on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Shorter spans hold too few ticks to tell a percentage.
const SPAN_MIN: Duration = Duration::from_secs(1);

/// Turns two readings of processor time into a percentage.
#[derive(Debug)]
pub struct ProcessReader {
    read_at: Instant,
    ticks: u64,
    cpu: f64,
    cores: usize,
}

impl ProcessReader {
    /// Begins to measure now.
    pub fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { read_at: Instant::now(), ticks: cpu_ticks(), cpu: 0.0, cores }
    }

    /// The memory of now, and the processor time since the last call that lay a second back.
    pub fn read(&mut self) -> ProcessFacts {
        let now = Instant::now();
        let span = now - self.read_at;
        let ticks = cpu_ticks();
        if span >= SPAN_MIN {
            self.cpu = percent(ticks.saturating_sub(self.ticks), span);
            (self.read_at, self.ticks) = (now, ticks);
        }
        let cpu_seconds = ticks as f64 / TICKS_PER_SECOND;
        ProcessFacts { mem: resident_bytes(), cpu: self.cpu, cpu_seconds, cores: self.cores }
    }
}

/// Of one core, with one decimal.
fn percent(ticks: u64, span: Duration) -> f64 {
    (ticks as f64 / TICKS_PER_SECOND / span.as_secs_f64() * 1000.0).round() / 10.0
}

/// User and system time so far; 0 where `/proc` is not mounted.
fn cpu_ticks() -> u64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| parse_ticks(&stat)).unwrap_or(0)
}

/// 0 where `/proc` is not mounted.
fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| parse_resident(&text)).unwrap_or(0)
}

/// Fields 14 and 15 of proc_pid_stat(5). The second holds the program's name, which may contain
/// anything, so counting begins behind its closing parenthesis.
fn parse_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let stat = "7 (we) ft) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 3 0 100 1 2";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("7 (weft) S"), None);
        assert_eq!(parse_resident("VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_resident("Name:\tweft\n"), None);
    }

    #[test]
    fn percentages_are_of_one_core() {
        assert_eq!(percent(150, Duration::from_secs(1)), 150.0);
        assert_eq!(percent(1, Duration::from_secs(3)), 0.3);
    }

    #[test]
    fn this_process_has_memory_and_cores() {
        let facts = ProcessReader::start().read();
        assert!(facts.mem > 1 << 20 && facts.cores > 0, "{facts:?}");
    }
}
