//! How fast a disk is: what a write takes, and what one that is flushed takes.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::{Access, Directory, Standalone, filesystem_of};
use crate::runtime::clock::Clock;
use crate::runtime::ring::Ladder;
use crate::storage::{BLOCK, Buffer, Effect, OpId, SlotId};

/// What writes of one size took.
#[derive(Clone, Debug)]
pub struct DiskCheck {
    pub bytes: usize,
    /// Whether they were flushed.
    pub flush: bool,
    /// Ascending.
    times: Vec<Duration>,
}

const FILE_BYTES: u32 = 8 * 1024 * 1024;
const LARGE_BYTES: usize = 64 * 1024;
/// One kind of write is not measured for longer.
const BUDGET: Duration = Duration::from_secs(10);
/// Of a check that must not take long.
const BRIEF_FILE_BYTES: u32 = 256 * 1024;
const BRIEF_ROUNDS: u32 = 50;
const SLOT: SlotId = SlotId(u32::MAX);
const OP: OpId = OpId(0);

impl DiskCheck {
    /// Measures `rounds` writes of one block and of 64 KiB, flushed and not, in a directory that
    /// is used for nothing else. `clock` tells the time since any start.
    pub fn run(
        path: &Path,
        buffered: bool,
        rounds: u32,
        clock: impl Fn() -> Duration,
    ) -> io::Result<Vec<Self>> {
        let mut file = TestFile::new(path, buffered, FILE_BYTES)?;
        let mut checks = Vec::new();
        for bytes in [BLOCK, LARGE_BYTES] {
            for flush in [false, true] {
                checks.push(file.measure(bytes, flush, rounds, BUDGET, &clock)?);
            }
        }
        file.delete()?;
        Ok(checks)
    }

    /// Measures flushed writes of one block, no longer than `budget` allows.
    pub fn brief(
        path: &Path,
        buffered: bool,
        budget: Duration,
        clock: impl Fn() -> Duration,
    ) -> io::Result<Self> {
        let began = clock();
        let mut file = TestFile::new(path, buffered, BRIEF_FILE_BYTES)?;
        let left = budget.saturating_sub(clock().saturating_sub(began));
        let check = file.measure(BLOCK, true, BRIEF_ROUNDS, left, &clock)?;
        file.delete()?;
        Ok(check)
    }

    pub fn rounds(&self) -> usize {
        self.times.len()
    }

    /// The time that this part of the writes did not exceed; 1.0 is all of them.
    pub fn at(&self, part: f64) -> Duration {
        let within = (self.times.len() as f64 * part).ceil() as usize;
        self.times.get(within.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// `disk-check`: a table for the operator. The error is one line.
pub fn check(path: &Path) -> Result<String, String> {
    const ROUNDS: u32 = 1000;
    let clock = Clock::new();
    let inside = path.join("weft-disk-check");
    if inside.exists() {
        return Err(format!("{} is there already: remove it first", inside.display()));
    }
    let result = std::fs::create_dir(&inside)
        .map_err(|fault| format!("{}: {fault}", inside.display()))
        .and_then(|()| {
            let access = Access::of(&inside, false).map_err(|fault| fault.to_string())?;
            let time = || Duration::from_nanos(clock.mono().0);
            let checks = DiskCheck::run(&inside, false, ROUNDS, time);
            let checks = checks.map_err(|fault| format!("{}: {fault}", inside.display()))?;
            Ok((access, checks))
        });
    // Nothing but our own files is in it.
    let _ = std::fs::remove_dir_all(&inside);
    let (access, checks) = result?;
    Ok(table(path, access, &checks))
}

fn table(path: &Path, access: Access, checks: &[DiskCheck]) -> String {
    let filesystem = filesystem_of(path);
    let access = match access {
        Access::Direct => "direct I/O",
        Access::Buffered => "buffered I/O",
    };
    let mut out = format!("{} on {filesystem}, {access}\n", path.display());
    let parts = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    out += &format!("{:<24}{:>8}", "", "writes");
    parts.iter().for_each(|(name, _)| out += &format!("{name:>12}"));
    for check in checks {
        let flushed = if check.flush { ", flushed" } else { "" };
        let name = format!("write {} KiB{flushed}", check.bytes / 1024);
        out += &format!("\n{name:<24}{:>8}", check.rounds());
        for (_, part) in parts {
            let micros = check.at(part).as_nanos() as f64 / 1000.0;
            out += &format!("{:>12}", format!("{micros:.1} µs"));
        }
    }
    out.push('\n');
    out
}

struct TestFile {
    standalone: Standalone,
    len: u32,
}

impl TestFile {
    fn new(path: &Path, buffered: bool, len: u32) -> io::Result<Self> {
        let directory = Directory::open(path, buffered).map_err(io::Error::other)?;
        let mut standalone = Standalone::new(directory, Ladder::V5_10)?;
        let mut header = Buffer::new();
        header.resize(BLOCK, 0);
        let header = Rc::new(header);
        let (op, slot) = (OP, SLOT);
        standalone.run(Effect::Prepare { op, slot, len, header, fresh: true, erase: false })?;
        Ok(Self { standalone, len })
    }

    /// At least one write, at most `rounds`, until `budget` is used up.
    fn measure(
        &mut self,
        bytes: usize,
        flush: bool,
        rounds: u32,
        budget: Duration,
        clock: &impl Fn() -> Duration,
    ) -> io::Result<DiskCheck> {
        let mut buffer = Buffer::new();
        buffer.resize(bytes, 0xa5);
        let buffer = Rc::new(buffer);
        let mut times = Vec::new();
        let start = clock();
        for round in 0..rounds {
            let offset = (round as usize * bytes % self.len as usize) as u32;
            let began = clock();
            if round > 0 && began.saturating_sub(start) > budget {
                break;
            }
            let bytes = Rc::clone(&buffer);
            let write = Effect::Write { op: OP, slot: SLOT, offset, bytes, flush };
            self.standalone.run(write)?;
            times.push(clock().saturating_sub(began));
        }
        times.sort_unstable();
        Ok(DiskCheck { bytes, flush, times })
    }

    fn delete(mut self) -> io::Result<()> {
        self.standalone.run(Effect::Delete { slot: SLOT })
    }
}
