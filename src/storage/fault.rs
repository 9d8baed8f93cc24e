//! What can go wrong, told apart by who must hear of it.

use std::{fmt, io};

use super::ids::{Lsn, SegmentNo, StreamId};

/// The log will not take a record now. The asker is told; nothing is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Recovery has not been flushed yet.
    Starting,
    /// A write or flush failed. Until a restart the log is read-only.
    Poisoned,
    /// No room for another segment. Clears by itself.
    NoSpace,
    /// More is waiting for the disk than memory may hold. Clears by itself.
    Behind,
    /// Larger than any batch may be.
    TooLarge,
    /// A stream, sequence or key that is not there.
    NotFound,
}

/// What an operation on files reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoFault {
    /// ENOSPC or EDQUOT.
    NoSpace,
    /// Any other error number, or a write that fell short.
    Failed(i32),
}

/// Why the log is read-only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Poison {
    pub during: Operation,
    pub fault: IoFault,
}

/// `a write failed: Input/output error (os error 5)`.
impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.during {
            Operation::Write => "a write",
            Operation::Flush => "a flush",
            Operation::Prepare => "the preparation of a file",
            Operation::SyncDirectory => "the flush of its directory",
        };
        match self.fault {
            IoFault::NoSpace => write!(f, "{what} failed: no space left on the device"),
            IoFault::Failed(error) => {
                write!(f, "{what} failed: {}", io::Error::from_raw_os_error(error))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Write,
    Flush,
    Prepare,
    SyncDirectory,
}

/// Bytes of the log that are not what was written there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    pub certainty: Certainty,
    pub segment: SegmentNo,
    /// File offsets; the whole segment if `from == 0`.
    pub from: u32,
    pub to: u32,
    /// Batches that are missing, if known.
    pub batches: Option<(Lsn, Lsn)>,
    /// Streams that had records nearby.
    pub streams: Vec<StreamId>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// A later batch proves that this was durable.
    Lost,
    /// The end of the log: a write that was cut short and never acknowledged, or damage.
    PossiblyLost,
}

/// A record could not be read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// The disk answered, but these are not the bytes that were written.
    Damaged,
    Fault(IoFault),
}
