//! A log's directory on a real disk: effects become io_uring operations, completions come back.
//!
//! It owns no ring: a core's loop has one ring for everything. [`Disk::queue`] hands its entries
//! to the loop, [`Disk::complete`] takes their results, [`Disk::take_done`] says what that means
//! for the log. Buffers belong to their operation until it has completed.
//!
//! | file | knows |
//! |---|---|
//! | `directory` | the lock, the files, how they may be opened |
//! | `work` | the steps of one effect |
//! | `standalone` | a ring of its own, for start-up, tests and measurements |
//! | `check` | how fast a disk is |
//! | `store` | the directory of all logs of a server |
//! | `start` | a log out of its directory |

mod check;
mod directory;
mod standalone;
mod start;
mod store;
mod work;

#[cfg(all(test, feature = "log-bench"))]
mod bench_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(all(test, feature = "log-bench"))]
mod fio_tests;
#[cfg(all(test, feature = "log-faults"))]
mod mount_tests;

use std::collections::VecDeque;
use std::mem::ManuallyDrop;

use io_uring::squeue::Entry;

use crate::storage::{Effect, IoFault, Log, OpId};
use crate::types::Mono;

pub use check::{DiskCheck, check};
pub use directory::{Access, Directory, OpenError, filesystem_of};
pub use standalone::Standalone;
pub use start::{StartError, Started};
pub use store::{Store, StoreError, refuse_reference};
use work::{Progress, Work};

/// An operation that has ended.
#[derive(Debug)]
pub enum Done {
    Written(OpId),
    Synced(OpId),
    Prepared(OpId),
    Read(OpId, crate::storage::Buffer),
    Fault(OpId, IoFault),
}

impl Done {
    /// Tells the log.
    pub fn tell(self, log: &mut Log, now: Mono) {
        match self {
            Self::Written(op) => log.on_written(op, now),
            Self::Synced(op) => log.on_synced(op, now),
            Self::Prepared(op) => log.on_prepared(op, now),
            Self::Read(op, bytes) => log.on_read(op, bytes, now),
            Self::Fault(op, fault) => log.on_fault(op, fault, now),
        }
    }
}

/// An operation that has succeeded, for histograms.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub kind: MeasuredKind,
    /// Read or written; 0 for a flush alone.
    pub bytes: usize,
    /// When the kernel got it.
    pub began: Mono,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeasuredKind {
    Write,
    Flush,
    Read,
}

/// One log's files, and what is being done to them.
pub struct Disk {
    directory: Directory,
    /// Marks this disk's completions among those of the ring; its low 32 bits are zero.
    tag: u64,
    /// Left alone when dropped: the kernel may still be writing into the buffers.
    running: ManuallyDrop<Vec<Option<Work>>>,
    free: Vec<u32>,
    /// Work whose next step waits for room in the ring.
    ready: VecDeque<u32>,
    done: VecDeque<Done>,
    in_ring: usize,
    /// Work whose first step was queued since [`Disk::on_handed_over`].
    fresh: Vec<u32>,
    /// For the caller to empty.
    pub measured: Vec<Measured>,
}

impl Disk {
    pub fn new(directory: Directory, tag: u64) -> Self {
        Self {
            directory,
            tag: tag & !u64::from(u32::MAX),
            running: ManuallyDrop::new(Vec::new()),
            free: Vec::new(),
            ready: VecDeque::new(),
            done: VecDeque::new(),
            in_ring: 0,
            fresh: Vec::new(),
            measured: Vec::new(),
        }
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Takes an effect of the log on. Nothing happens before [`Disk::queue`].
    pub fn push(&mut self, effect: Effect) {
        let work = match Work::new(effect, &mut self.directory) {
            Ok(Some(work)) => work,
            Ok(None) => return,
            Err((op, fault)) => {
                self.done.push_back(Done::Fault(op, fault));
                return;
            }
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            (self.running.len() - 1) as u32
        });
        self.running[at as usize] = Some(work);
        self.ready.push_back(at);
    }

    /// Hands entries to the ring until `push` answers false: no room.
    ///
    /// What an entry points to stays in place until [`Disk::complete`] was called for it.
    pub fn queue(&mut self, mut push: impl FnMut(&Entry) -> bool) {
        while let Some(&at) = self.ready.front() {
            let work = self.running[at as usize].as_mut().expect("ready work is running");
            let entry = work.entry(&self.directory).user_data(self.tag | u64::from(at));
            if !push(&entry) {
                return;
            }
            if work.began.is_none() {
                self.fresh.push(at);
            }
            self.in_ring += 1;
            self.ready.pop_front();
        }
    }

    /// What was queued is with the kernel now.
    pub fn on_handed_over(&mut self, now: Mono) {
        for at in self.fresh.drain(..) {
            if let Some(work) = self.running[at as usize].as_mut() {
                work.began = Some(now);
            }
        }
    }

    /// Whether a completion is of this disk.
    pub fn owns(&self, user_data: u64) -> bool {
        user_data & !u64::from(u32::MAX) == self.tag
    }

    /// The result of an entry. Follow with [`Disk::take_done`] and [`Disk::queue`].
    pub fn complete(&mut self, user_data: u64, result: i32) {
        let at = user_data as u32;
        let Some(work) = self.running.get_mut(at as usize).and_then(Option::as_mut) else { return };
        self.in_ring -= 1;
        match work.advance(result) {
            Progress::Again => self.ready.push_back(at),
            Progress::Done => {
                let work = self.running[at as usize].take();
                self.free.push(at);
                if let Some(work) = work {
                    self.measured.extend(work.measured());
                    self.done.push_back(work.into_done(&mut self.directory));
                }
            }
        }
    }

    pub fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    pub fn take_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    #[cfg(test)]
    fn step_kind(&self, user_data: u64) -> Option<work::StepKind> {
        self.running.get(user_data as u32 as usize)?.as_ref().map(Work::step_kind)
    }

    /// Operations under way or waiting.
    pub fn pending(&self) -> usize {
        self.in_ring + self.ready.len() + self.done.len()
    }
}
