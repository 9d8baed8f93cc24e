//! How fast a disk is: what a write takes, and what one that is flushed takes.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::{Directory, Standalone};
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
                checks.push(file.measure(bytes, flush, rounds, Duration::MAX, &clock)?);
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
        let index = (self.times.len() as f64 * part) as usize;
        let last = self.times.len().saturating_sub(1);
        self.times.get(index.min(last)).copied().unwrap_or_default()
    }
}

struct TestFile {
    standalone: Standalone,
    len: u32,
}

impl TestFile {
    fn new(path: &Path, buffered: bool, len: u32) -> io::Result<Self> {
        let directory = Directory::open(path, buffered).map_err(io::Error::other)?;
        let mut standalone = Standalone::new(directory)?;
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
