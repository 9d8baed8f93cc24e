//! A log out of its files. The caller performs the reads that [`Recovery::step`] asks for, one
//! at a time, until it is done; then [`Recovery::finish`] gives the log, which flushes what was
//! found before it serves anyone.
//!
//! `visit` reads one file, `scan` finds batches in bytes, `judge` decides which of them count,
//! `rebuild` makes the log.

mod judge;
mod rebuild;
mod scan;
mod visit;

use std::collections::VecDeque;

use super::fault::{Damage, IoFault};
use super::ids::{LogId, Lsn, SlotId};
use super::log::{Log, LogSettings};
use scan::Found;
use visit::{Next, Visit};

/// A file of the log's directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotFile {
    pub slot: SlotId,
    pub len: u32,
}

/// What recovery needs next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Whole blocks of a file; answer with [`Recovery::on_read`].
    Read {
        slot: SlotId,
        offset: u32,
        len: u32,
    },
    Done,
}

/// What recovery found, for the operator.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub damages: Vec<Damage>,
    /// The last batch that counts.
    pub last: Lsn,
    pub segments: usize,
    /// Of them, those that were taken from their footers.
    pub footers: usize,
    /// Parts of footers that were read.
    pub parts: usize,
    pub batches_scanned: u64,
    pub bytes_read: u64,
}

#[derive(Debug)]
pub struct Recovery {
    id: LogId,
    settings: LogSettings,
    files: VecDeque<SlotFile>,
    all_files: Vec<SlotFile>,
    visit: Option<Visit>,
    found: Vec<Found>,
    bytes_read: u64,
}

impl Recovery {
    pub fn new(id: LogId, settings: LogSettings, files: Vec<SlotFile>) -> Self {
        Self {
            id,
            settings,
            files: files.iter().copied().collect(),
            all_files: files,
            visit: None,
            found: Vec::new(),
            bytes_read: 0,
        }
    }

    pub fn step(&mut self) -> Step {
        loop {
            let Some(visit) = &mut self.visit else {
                let Some(file) = self.files.pop_front() else { return Step::Done };
                self.visit = Some(Visit::new(self.id, file));
                continue;
            };
            match visit.next() {
                Next::Read { offset, len } => {
                    let slot = visit.slot();
                    return Step::Read { slot, offset, len };
                }
                Next::Done => {
                    let found = self.visit.take().and_then(Visit::into_found);
                    self.found.extend(found);
                }
            }
        }
    }

    /// The bytes of the latest step, or why there are none.
    pub fn on_read(&mut self, result: Result<&[u8], IoFault>) {
        self.bytes_read += result.map_or(0, |bytes| bytes.len() as u64);
        if let Some(visit) = &mut self.visit {
            visit.on_read(result);
        }
    }

    pub fn finish(self) -> (Log, Report) {
        let judged = judge::judge(self.found);
        let (log, mut report) = rebuild::rebuild(self.id, self.settings, judged, &self.all_files);
        report.bytes_read = self.bytes_read;
        (log, report)
    }
}
