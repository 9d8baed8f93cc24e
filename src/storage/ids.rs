//! What the log counts and where it keeps things.

use std::fmt;

/// A log of this server. Cores own logs; a stream's log is named in its config.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LogId(pub u32);

/// One life of a stream: a stream deleted and made anew under the same name has another one.
/// Shard 0 hands them out; they are never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StreamId(pub u64);

/// A message's number in its stream, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    #[must_use]
    #[inline]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[must_use]
    #[inline]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    #[must_use]
    #[inline]
    pub fn plus(self, steps: u64) -> Self {
        Self(self.0.saturating_add(steps))
    }
}

/// A batch's number in its log, from 1: what durability is counted in. All records of a batch
/// share it; 0 is before the first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    #[must_use]
    #[inline]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[must_use]
    #[inline]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A run of the log between two starts. It grows by one at each recovery.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Epoch(pub u32);

/// A segment's number in its log, from 1, never reused: what was written into the same file under
/// another number is stale.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SegmentNo(pub u32);

/// A file of the log's directory. It holds one segment after another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SlotId(pub u32);

/// Where a record lies: 64 bits of position that are never given out twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place {
    pub segment: SegmentNo,
    /// Bytes from the start of the segment's file.
    pub offset: u32,
    /// Bytes of the whole record.
    pub len: u32,
}

impl Place {
    #[inline]
    pub fn position(self) -> u64 {
        position(self.segment, self.offset)
    }

    #[inline]
    pub fn end(self) -> u32 {
        self.offset.saturating_add(self.len)
    }
}

/// The position that seeds a record's and a batch's checksum.
#[inline]
pub fn position(segment: SegmentNo, offset: u32) -> u64 {
    u64::from(segment.0) << 32 | u64::from(offset)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} at {}+{}", self.segment.0, self.offset, self.len)
    }
}
