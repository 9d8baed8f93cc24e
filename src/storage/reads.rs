//! Reading: from memory at once, from disk by a read that is asked for and taken later. Every
//! byte that leaves here was checked against the place it was written to.

use std::ops::ControlFlow;

use super::batch::{Buffer, round_down, round_up};
use super::effects::{Effect, OpId};
use super::fault::{ReadError, Refusal};
use super::ids::{Place, SegmentNo, Seq, SlotId, StreamId};
use super::index::Entry;
use super::log::{DoneRead, Errand, Health, Log, OpenRead};
use super::mutation::{self, Mutation};
use super::read_cache::Page;
use super::record::{Message, Record};
use crate::types::limits::READS_MAX;

/// Bytes between two wanted records that are read rather than skipped.
pub(super) const GAP_MAX: u32 = 32 * 1024;

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    InMemory(Message<'a>),
    /// Ask for it with [`Log::read`].
    OnDisk(Entry),
    /// Deleted, never there, or not yet to be seen.
    Absent,
}

/// Messages that came with one read, in order.
#[derive(Debug)]
pub struct ReadRun {
    entries: Vec<Entry>,
    offset: u32,
    bytes: Buffer,
}

impl ReadRun {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The value of a key's record among the bytes.
    pub fn value(&self, place: Place) -> Result<&[u8], ReadError> {
        let at = place.offset.checked_sub(self.offset).ok_or(ReadError::Damaged)? as usize;
        let bytes = self.bytes.get(at..).ok_or(ReadError::Damaged)?;
        match Record::decode(bytes, place.position()) {
            Ok((Record::State { value, .. } | Record::Delta { value, .. }, _)) => Ok(value),
            _ => Err(ReadError::Damaged),
        }
    }

    /// Where a message was when it was read. It may have moved since, or be deleted.
    pub fn find(&self, seq: Seq) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        self.entries.get(at)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// One of the run's messages, checked.
    pub fn message(&self, entry: &Entry) -> Result<Message<'_>, ReadError> {
        let at = entry.place.offset.checked_sub(self.offset).ok_or(ReadError::Damaged)? as usize;
        let bytes = self.bytes.get(at..).ok_or(ReadError::Damaged)?;
        checked_message(bytes, entry.place, entry.seq)
    }
}

fn checked_message(bytes: &[u8], place: Place, seq: Seq) -> Result<Message<'_>, ReadError> {
    match Record::decode(bytes, place.position()) {
        Ok((Record::Message(message), len)) if len == place.len && message.seq == seq => {
            Ok(message)
        }
        _ => Err(ReadError::Damaged),
    }
}

impl Log {
    /// The last message of a stream that may be shown.
    pub fn visible_seq(&self, stream: StreamId) -> Seq {
        let Some(index) = self.streams.get(&stream) else { return Seq(0) };
        if mutation::is(Mutation::ReadPastDurable) { index.last_seq() } else { index.visible_seq() }
    }

    /// A message by sequence, if it may be seen.
    pub fn find(&self, stream: StreamId, seq: Seq) -> Result<Found<'_>, ReadError> {
        if self.health == Health::Starting || seq > self.visible_seq(stream) {
            return Ok(Found::Absent);
        }
        let entry = self.streams.get(&stream).and_then(|index| index.get(seq));
        let Some(entry) = entry else { return Ok(Found::Absent) };
        let Some(message) = self.in_memory(&entry) else { return Ok(Found::OnDisk(entry)) };
        message.map(Found::InMemory)
    }

    /// Where a message is, if it may be seen; and whether [`Log::in_memory`] has it.
    pub fn locate(&self, stream: StreamId, seq: Seq) -> Option<(Entry, bool)> {
        if self.health == Health::Starting || seq > self.visible_seq(stream) {
            return None;
        }
        let entry = self.streams.get(&stream)?.get(seq)?;
        Some((entry, self.held(entry.place).is_some()))
    }

    /// A message that need not be read. `None`: it must be.
    pub fn in_memory(&self, entry: &Entry) -> Option<Result<Message<'_>, ReadError>> {
        let bytes = self.held(entry.place)?;
        let message = checked_message(bytes, entry.place, entry.seq);
        if message.is_err() {
            self.read_cache.distrust(entry.place);
        }
        Some(message)
    }

    fn held(&self, place: Place) -> Option<&[u8]> {
        let written = self.commit.bytes_at(place).or_else(|| self.tail.get(place));
        written.or_else(|| self.read_cache.get(place))
    }

    /// The page that [`Log::read_page`] would read for a message. `None`: it would be of no use.
    pub fn page_of(&self, entry: &Entry) -> Option<Page> {
        let no = entry.place.segment;
        let end = self.segments.get(&no)?.end;
        let landed = match self.commit.unlanded_from(no) {
            Some(from) if !mutation::is(Mutation::PagePastLanded) => from.min(end),
            _ => end,
        };
        self.read_cache.page_of(entry.place, landed)
    }

    /// Reads a page. Once [`super::Event::ReadDone`] tells of it [`Log::in_memory`] has its
    /// messages, until others need the room; [`Log::take_read`] has a result only if it failed.
    pub fn read_page(&mut self, page: Page) -> Result<OpId, Refusal> {
        let Page { segment, offset, len } = page;
        let slot = self.may_read(segment)?;
        let op = self.op(Errand::Page);
        self.reads.insert(op, OpenRead { segment, offset, entries: Vec::new() });
        self.effects.push(Effect::Read { op, slot, offset, len });
        Ok(op)
    }

    /// The file of a segment, if another read may begin.
    fn may_read(&self, segment: SegmentNo) -> Result<SlotId, Refusal> {
        if self.health == Health::Starting {
            return Err(Refusal::Starting);
        }
        if self.reads.len() >= READS_MAX {
            return Err(Refusal::Behind);
        }
        self.segments.get(&segment).map(|segment| segment.slot).ok_or(Refusal::NotFound)
    }

    /// Reads the message at `from`, or the next one, and those that lie behind it within
    /// `bytes_max`. `None`: there is none to be seen.
    pub fn read(
        &mut self,
        stream: StreamId,
        from: Seq,
        bytes_max: u32,
    ) -> Result<Option<OpId>, Refusal> {
        let entries = self.plan(stream, from, bytes_max);
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(None) };
        let offset = round_down(first.place.offset);
        let len = round_up(last.place.end()) - offset;
        let no = first.place.segment;
        let slot = self.may_read(no)?;
        let op = self.op(Errand::Read);
        self.reads.insert(op, OpenRead { segment: no, offset, entries });
        self.effects.push(Effect::Read { op, slot, offset, len });
        Ok(Some(op))
    }

    /// The run of entries that one read can serve.
    fn plan(&self, stream: StreamId, from: Seq, bytes_max: u32) -> Vec<Entry> {
        let visible = self.visible_seq(stream);
        let mut entries: Vec<Entry> = Vec::new();
        let Some(index) = self.streams.get(&stream) else { return entries };
        index.walk(from, |entry| {
            if entry.seq > visible {
                return ControlFlow::Break(());
            }
            if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
                let follows = entry.place.segment == first.place.segment
                    && entry.place.offset >= last.place.end()
                    && entry.place.offset - last.place.end() <= GAP_MAX
                    && entry.place.end() - first.place.offset <= bytes_max;
                if !follows {
                    return ControlFlow::Break(());
                }
            }
            entries.push(entry);
            ControlFlow::Continue(())
        });
        entries
    }

    /// The first and last message that a read under way will bring.
    pub fn reading(&self, op: OpId) -> Option<(Entry, Entry)> {
        let entries = &self.reads.get(&op)?.entries;
        Some((*entries.first()?, *entries.last()?))
    }

    /// Whether a read has ended.
    pub fn has_read(&self, op: OpId) -> bool {
        self.done_reads.contains_key(&op)
    }

    /// The result of a read that [`super::Event::ReadDone`] told of.
    pub fn take_read(&mut self, op: OpId) -> Option<Result<ReadRun, ReadError>> {
        let DoneRead { entries, offset, result } = self.done_reads.remove(&op)?;
        Some(result.map(|bytes| ReadRun { entries, offset, bytes }))
    }
}
