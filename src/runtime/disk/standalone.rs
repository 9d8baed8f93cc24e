//! A disk with a ring of its own: for start-up, tests and `weft disk-check`. The broker's cores
//! use the ring they have.

use std::io;

use super::{Directory, Disk, Done};
use crate::runtime::ring::{Ladder, Ring};
use crate::storage::{Effect, Event, Log};
use crate::types::Mono;

pub struct Standalone {
    ring: Ring,
    /// For the completions of a turn.
    completions: Vec<(u64, i32, u32)>,
    disk: Disk,
    /// Makes another result out of a step's.
    #[cfg(test)]
    pub(super) inject: Option<Injection>,
}

#[cfg(test)]
pub(super) type Injection = Box<dyn FnMut(super::work::StepKind, i32) -> i32>;

impl Standalone {
    /// On this thread, which is the only one that may use it. The simplest ring does where nobody
    /// waits for its speed.
    pub fn new(directory: Directory, ladder: Ladder) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(ladder)?,
            completions: Vec::new(),
            disk: Disk::new(directory, 1 << 32),
            #[cfg(test)]
            inject: None,
        })
    }

    /// Whether anything is under way.
    pub fn is_busy(&self) -> bool {
        self.disk.pending() > 0
    }

    /// The directory, for a disk on another ring. Not while it is busy.
    pub fn into_directory(self) -> Directory {
        assert!(!self.is_busy(), "its completions would be lost");
        self.disk.directory
    }

    pub fn disk(&mut self) -> &mut Disk {
        &mut self.disk
    }

    /// Hands everything to the kernel; waits for a completion if anything is under way.
    pub fn turn(&mut self) -> io::Result<()> {
        self.queue()?;
        if self.disk.in_ring > 0 {
            self.ring.wait()?;
        }
        self.complete();
        Ok(())
    }

    /// As [`Self::turn`], without waiting.
    #[cfg(all(test, feature = "log-bench"))]
    pub(super) fn poll(&mut self) -> io::Result<()> {
        self.queue()?;
        self.ring.enter()?;
        self.complete();
        Ok(())
    }

    fn queue(&mut self) -> io::Result<()> {
        let mut queued = Ok(());
        self.disk.queue(|entry| {
            // SAFETY: `Disk` keeps what the entry points to until `complete`, and forgets rather
            // than frees it if it is dropped before.
            queued = unsafe { self.ring.push(entry) };
            queued.is_ok()
        });
        queued
    }

    fn complete(&mut self) {
        self.ring.reap(&mut self.completions);
        for (data, result, _) in self.completions.drain(..) {
            #[cfg(test)]
            let result = match (&mut self.inject, self.disk.step_kind(data)) {
                (Some(inject), Some(kind)) => inject(kind, result),
                _ => result,
            };
            self.disk.complete(data, result);
        }
    }

    /// One turn of a log: effects out, completions in. Events are left for the caller.
    pub fn drive(&mut self, log: &mut Log, now: Mono) -> io::Result<Vec<Event>> {
        for effect in log.take_effects() {
            self.disk.push(effect);
        }
        self.finish(log, now)?;
        Ok(std::iter::from_fn(|| log.take_event()).collect())
    }

    /// Waits for a completion of what is under way, and takes no more effects.
    pub fn finish(&mut self, log: &mut Log, now: Mono) -> io::Result<()> {
        self.turn()?;
        while let Some(done) = self.disk.take_done() {
            done.tell(log, now);
        }
        Ok(())
    }

    /// Performs one effect of a disk without a log.
    pub(super) fn run(&mut self, effect: Effect) -> io::Result<()> {
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
