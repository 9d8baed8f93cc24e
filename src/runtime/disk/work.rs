//! The steps of one effect. Each step is one entry in the ring; a result leads to the next.

use std::os::fd::RawFd;
use std::rc::Rc;

use io_uring::squeue::Entry;
use io_uring::{opcode, types};

use super::directory::Directory;
use super::{Done, Measured, MeasuredKind};
use crate::storage::{Buffer, Effect, IoFault, OpId, SlotId};
use crate::types::Mono;

/// What a file is overwritten with at a time while it is prepared: the log's own writes do not
/// wait for more than this.
const ZEROS_BYTES: usize = 512 * 1024;
const EIO: i32 = 5;

pub(super) enum Progress {
    Again,
    Done,
}

/// An effect under way, with the memory its entry points to.
pub(super) struct Work {
    /// When the kernel got its first step; `None` until then.
    pub began: Option<Mono>,
    op: OpId,
    job: Job,
    fault: Option<IoFault>,
}

enum Job {
    Write { fd: RawFd, offset: u32, bytes: Rc<Buffer>, flush: bool },
    Read { fd: RawFd, offset: u32, bytes: Buffer },
    Sync { fds: Vec<RawFd> },
    SyncDirectory,
    Prepare(Prepare),
}

/// Steps as tests tell them apart, to make one fail.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StepKind {
    Write,
    Read,
    Sync,
    SyncDirectory,
    Allocate,
    Overwrite,
    Header,
}

struct Prepare {
    fd: RawFd,
    slot: SlotId,
    len: u32,
    header: Rc<Buffer>,
    zeros: Buffer,
    fresh: bool,
    step: PrepareStep,
}

/// ```text
/// Allocate ─→ Overwrite… ─→ Header ─→ Flush
///  (fresh)  (fresh, erase)
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrepareStep {
    Allocate,
    Overwrite(u32),
    Header,
    Flush,
}

impl Work {
    /// `None`: it is done already, and nothing is told.
    pub fn new(effect: Effect, directory: &mut Directory) -> Result<Option<Self>, (OpId, IoFault)> {
        let gone = |op| (op, IoFault::Failed(libc::ENOENT));
        let (op, job) = match effect {
            Effect::Write { op, slot, offset, bytes, flush } => {
                let fd = directory.slot(slot).ok_or(gone(op))?;
                (op, Job::Write { fd, offset, bytes, flush })
            }
            Effect::Read { op, slot, offset, len } => {
                let fd = directory.slot(slot).ok_or(gone(op))?;
                let mut bytes = Buffer::with_capacity(len as usize);
                bytes.resize(len as usize, 0);
                (op, Job::Read { fd, offset, bytes })
            }
            Effect::Sync { op, slots } => {
                let mut fds = Vec::new();
                for slot in slots {
                    fds.push(directory.slot(slot).ok_or(gone(op))?);
                }
                // Nothing to flush is still an operation: the log awaits it.
                if fds.is_empty() {
                    fds.push(directory.handle());
                }
                (op, Job::Sync { fds })
            }
            Effect::SyncDirectory { op } => (op, Job::SyncDirectory),
            Effect::Delete { slot } => {
                directory.delete(slot);
                return Ok(None);
            }
            Effect::Prepare { op, slot, len, header, fresh, erase } => {
                let fd = match fresh {
                    true => directory.create(slot).map_err(|error| (op, fault_of(&error)))?,
                    false => directory.slot(slot).ok_or(gone(op))?,
                };
                let mut zeros = Buffer::new();
                if fresh || erase {
                    zeros.resize(ZEROS_BYTES.min(len as usize), 0);
                }
                let step = match (fresh, erase) {
                    (true, _) => PrepareStep::Allocate,
                    (false, true) => PrepareStep::Overwrite(0),
                    (false, false) => PrepareStep::Header,
                };
                (op, Job::Prepare(Prepare { fd, slot, len, header, zeros, fresh, step }))
            }
        };
        Ok(Some(Self { began: None, op, job, fault: None }))
    }

    #[cfg(test)]
    pub fn step_kind(&self) -> StepKind {
        match &self.job {
            Job::Write { .. } => StepKind::Write,
            Job::Read { .. } => StepKind::Read,
            Job::Sync { .. } => StepKind::Sync,
            Job::SyncDirectory => StepKind::SyncDirectory,
            Job::Prepare(prepare) => match prepare.step {
                PrepareStep::Allocate => StepKind::Allocate,
                PrepareStep::Overwrite(_) => StepKind::Overwrite,
                PrepareStep::Header => StepKind::Header,
                PrepareStep::Flush => StepKind::Sync,
            },
        }
    }

    /// What histograms are told of it, where it is of interest and did not fail.
    pub fn measured(&self) -> Option<Measured> {
        let began = self.began.filter(|_| self.fault.is_none())?;
        let (kind, bytes) = match &self.job {
            Job::Write { bytes, flush: false, .. } => (MeasuredKind::Write, bytes.len()),
            Job::Write { bytes, flush: true, .. } => (MeasuredKind::Flush, bytes.len()),
            Job::Sync { .. } => (MeasuredKind::Flush, 0),
            Job::Read { bytes, .. } => (MeasuredKind::Read, bytes.len()),
            Job::SyncDirectory | Job::Prepare(_) => return None,
        };
        Some(Measured { kind, bytes, began })
    }

    /// The entry of the next step.
    pub fn entry(&mut self, directory: &Directory) -> Entry {
        match &mut self.job {
            Job::Write { fd, offset, bytes, flush } => write(*fd, bytes, *offset, *flush),
            Job::Read { fd, offset, bytes } => {
                let len = bytes.len() as u32;
                opcode::Read::new(types::Fd(*fd), bytes.as_mut_ptr(), len)
                    .offset(u64::from(*offset))
                    .build()
            }
            Job::Sync { fds } => {
                let fd = fds.last().copied().unwrap_or_else(|| directory.handle());
                flush(fd)
            }
            Job::SyncDirectory => flush(directory.handle()),
            Job::Prepare(prepare) => prepare.entry(),
        }
    }

    pub fn advance(&mut self, result: i32) -> Progress {
        if result < 0 {
            self.fault = Some(fault_of_number(-result));
            if let Job::Prepare(prepare) = &mut self.job
                && prepare.step == PrepareStep::Allocate
                && result == -libc::EOPNOTSUPP
            {
                self.fault = None;
                prepare.step = PrepareStep::Overwrite(0);
                return Progress::Again;
            }
            return Progress::Done;
        }
        let expected = match &self.job {
            Job::Write { bytes, .. } => bytes.len(),
            Job::Read { bytes, .. } => bytes.len(),
            Job::Prepare(prepare) => prepare.step_bytes(),
            Job::Sync { .. } | Job::SyncDirectory => 0,
        };
        if (result as usize) < expected {
            // A write that falls short of whole blocks has no meaning here.
            self.fault = Some(IoFault::Failed(EIO));
            return Progress::Done;
        }
        match &mut self.job {
            Job::Sync { fds } => {
                fds.pop();
                if fds.is_empty() { Progress::Done } else { Progress::Again }
            }
            Job::Prepare(prepare) => prepare.advance(),
            _ => Progress::Done,
        }
    }

    pub fn into_done(self, directory: &mut Directory) -> Done {
        let op = self.op;
        if let Some(fault) = self.fault {
            if let Job::Prepare(prepare) = self.job
                && prepare.fresh
            {
                directory.delete(prepare.slot);
            }
            return Done::Fault(op, fault);
        }
        match self.job {
            Job::Write { .. } => Done::Written(op),
            Job::Read { bytes, .. } => Done::Read(op, bytes),
            Job::Sync { .. } | Job::SyncDirectory => Done::Synced(op),
            Job::Prepare(_) => Done::Prepared(op),
        }
    }
}

impl Prepare {
    fn entry(&self) -> Entry {
        match self.step {
            PrepareStep::Allocate => {
                opcode::Fallocate::new(types::Fd(self.fd), u64::from(self.len)).build()
            }
            PrepareStep::Overwrite(offset) => {
                let len = self.step_bytes();
                write(self.fd, &self.zeros[..len], offset, false)
            }
            PrepareStep::Header => write(self.fd, &self.header, 0, true),
            PrepareStep::Flush => opcode::Fsync::new(types::Fd(self.fd)).build(),
        }
    }

    /// Bytes that the current step writes.
    fn step_bytes(&self) -> usize {
        match self.step {
            PrepareStep::Overwrite(offset) => self.zeros.len().min((self.len - offset) as usize),
            PrepareStep::Header => self.header.len(),
            PrepareStep::Allocate | PrepareStep::Flush => 0,
        }
    }

    fn advance(&mut self) -> Progress {
        self.step = match self.step {
            PrepareStep::Allocate => PrepareStep::Overwrite(0),
            PrepareStep::Overwrite(offset) => {
                let next = offset + self.step_bytes() as u32;
                if next < self.len { PrepareStep::Overwrite(next) } else { PrepareStep::Header }
            }
            PrepareStep::Header if self.zeros.is_empty() => return Progress::Done,
            PrepareStep::Header => PrepareStep::Flush,
            PrepareStep::Flush => return Progress::Done,
        };
        Progress::Again
    }
}

fn write(fd: RawFd, bytes: &[u8], offset: u32, flush: bool) -> Entry {
    opcode::Write::new(types::Fd(fd), bytes.as_ptr(), bytes.len() as u32)
        .offset(u64::from(offset))
        .rw_flags(if flush { libc::RWF_DSYNC } else { 0 })
        .build()
}

fn flush(fd: RawFd) -> Entry {
    opcode::Fsync::new(types::Fd(fd)).build()
}

fn fault_of(error: &std::io::Error) -> IoFault {
    fault_of_number(error.raw_os_error().unwrap_or(EIO))
}

fn fault_of_number(number: i32) -> IoFault {
    match number {
        libc::ENOSPC | libc::EDQUOT => IoFault::NoSpace,
        other => IoFault::Failed(other),
    }
}
