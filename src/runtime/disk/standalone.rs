//! A disk with a ring of its own: for start-up, tests and `weft disk-check`. The broker's cores
//! use the ring they have.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use io_uring::IoUring;

use super::{Directory, Disk, Done};
use crate::storage::{BLOCK, Buffer, Effect, Event, Log, OpId, SlotId};
use crate::types::Mono;

const ENTRIES: u32 = 256;

pub struct Standalone {
    ring: IoUring,
    disk: Disk,
}

impl Standalone {
    pub fn new(directory: Directory) -> io::Result<Self> {
        Ok(Self { ring: IoUring::new(ENTRIES)?, disk: Disk::new(directory, 1 << 32) })
    }

    pub fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }

    /// Hands everything to the kernel; waits for one completion if anything is under way.
    pub fn turn(&mut self) -> io::Result<()> {
        let mut submission = self.ring.submission();
        self.disk.queue(|entry| {
            // SAFETY: `Disk` keeps what the entry points to until `complete`, and forgets rather
            // than frees it if it is dropped before.
            unsafe { submission.push(entry) }.is_ok()
        });
        drop(submission);
        if self.disk.in_ring > 0 {
            self.ring.submit_and_wait(1)?;
        }
        for completion in self.ring.completion() {
            self.disk.complete(completion.user_data(), completion.result());
        }
        Ok(())
    }

    /// One turn of a log: effects out, completions in. Events are left for the caller.
    pub fn drive(&mut self, log: &mut Log, now: Mono) -> io::Result<Vec<Event>> {
        for effect in log.take_effects() {
            self.disk.push(effect);
        }
        self.turn()?;
        while let Some(done) = self.disk.take_done() {
            done.tell(log, now);
        }
        Ok(std::iter::from_fn(|| log.take_event()).collect())
    }

    fn run(&mut self, effect: Effect) -> io::Result<()> {
        self.disk.push(effect);
        while self.disk.pending() > 0 {
            self.turn()?;
            while let Some(done) = self.disk.take_done() {
                if let Done::Fault(_, fault) = done {
                    return Err(io::Error::other(format!("{fault:?}")));
                }
            }
        }
        Ok(())
    }
}

/// What a disk takes for a write that is flushed: percentiles of `rounds` writes.
#[derive(Clone, Debug)]
pub struct DiskCheck {
    pub bytes: usize,
    pub rounds: u32,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl DiskCheck {
    /// Measures flushed writes of one block and of 64 KiB in a directory that is used for nothing
    /// else. `clock` tells the time since any start.
    pub fn run(path: &Path, rounds: u32, clock: impl Fn() -> Duration) -> io::Result<Vec<Self>> {
        let directory = Directory::open(path, false).map_err(io::Error::other)?;
        let mut standalone = Standalone::new(directory)?;
        let (slot, len) = (SlotId(u32::MAX), 8 * 1024 * 1024);
        let mut header = Buffer::new();
        header.resize(BLOCK, 0);
        let header = Rc::new(header);
        let op = OpId(0);
        standalone.run(Effect::Prepare { op, slot, len, header, fresh: true, erase: false })?;
        let mut checks = Vec::new();
        for bytes in [BLOCK, 64 * 1024] {
            let mut buffer = Buffer::new();
            buffer.resize(bytes, 0xa5);
            let buffer = Rc::new(buffer);
            let mut times = Vec::new();
            for round in 0..rounds {
                let offset = (round as usize * bytes % len as usize) as u32;
                let bytes = Rc::clone(&buffer);
                let began = clock();
                standalone.run(Effect::Write { op, slot, offset, bytes, flush: true })?;
                times.push(clock().saturating_sub(began));
            }
            times.sort_unstable();
            let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
            let max = times.last().copied().unwrap_or_default();
            checks.push(Self { bytes, rounds, p50: at(50), p99: at(99), max });
        }
        standalone.run(Effect::Delete { slot })?;
        Ok(checks)
    }
}
