//! What the log wants done to files. The driver does it in any order it likes, except where a
//! completion is awaited before the next effect is issued, and reports each by its [`OpId`].

use std::rc::Rc;

use super::batch::Buffer;
use super::ids::{SegmentNo, SlotId};

/// An operation under way; never reused in one life of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct OpId(pub u64);

#[derive(Clone, Debug)]
pub enum Effect {
    /// Write the buffer; with `flush`, report only when it is on stable storage (`RWF_DSYNC`).
    Write { op: OpId, slot: SlotId, offset: u32, bytes: Rc<Buffer>, flush: bool },
    /// Put everything written to these files on stable storage.
    Sync { op: OpId, slots: Vec<SlotId> },
    /// Read these bytes; both numbers are whole blocks.
    Read { op: OpId, slot: SlotId, offset: u32, len: u32 },
    /// Make the file exist with `len` written bytes, then write `header` at its start, all on
    /// stable storage except the directory. `fresh`: the file does not exist yet.
    /// `erase`: its old bytes must be overwritten.
    Prepare { op: OpId, slot: SlotId, len: u32, header: Rc<Buffer>, fresh: bool, erase: bool },
    /// Put the names in the log's directory on stable storage.
    SyncDirectory { op: OpId },
    /// Delete the file. Nothing is reported.
    Delete { slot: SlotId },
}

/// What the log tells its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// [`super::Log::durable`] has moved: acks up to it may go out.
    Durable,
    /// A read has ended; take it with [`super::Log::take_read`].
    ReadDone(OpId),
    Poisoned(super::fault::Poison),
    /// The disk is full: publishes are refused.
    Full,
    /// There is room again.
    Room,
    /// A background read of the log met bytes that are not what was written.
    Damaged(super::fault::Damage),
    /// The segment's file is free for another.
    Retired(SegmentNo),
}
