//! The messages of one stream in sequence: in the log, or in memory.
//!
//! Both kinds keep the same index (`storage::StreamIndex`), so every question that needs no
//! message is answered in `queries` for both. What differs is where the bytes are: `file` asks
//! the log, which may have to read; `memory` keeps them in `arena`.
//!
//! Every operation takes the stream's log; one in memory needs none.

mod arena;
mod displaced;
mod file;
mod lookups;
mod memory;
mod packing;
mod queries;
mod seek;

use crate::storage::Urgency;
use crate::storage::{Log, Lsn, OpId, ReadError, Refusal, Seq, StreamId, StreamIndex, SubjectId};
use crate::types::{Mono, Pattern};

use super::filter::Filter;

pub use displaced::Displaced;
pub use file::FileStore;
pub use memory::MemoryStore;

/// A message to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewMessage<'a> {
    /// Above the stream's last one. Sequences may be left out.
    pub seq: Seq,
    /// Nanoseconds since 1970.
    pub time: u64,
    pub subject: &'a [u8],
    /// The whole block, or empty.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// A stored message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored<'a> {
    pub seq: Seq,
    /// Nanoseconds since 1970.
    pub time: u64,
    pub subject: &'a [u8],
    /// The whole block, or empty.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetch<'a> {
    Here(Stored<'a>),
    /// A read is under way; ask again when a read of the log has ended.
    Wait,
    /// Deleted, never there, or not yet visible.
    Gone,
    /// It is there and cannot be read back.
    Broken(ReadError),
}

/// Where a search for the next wanted message ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan {
    Found(Seq),
    /// There is none up to the last visible one.
    End,
    /// The budget is used up: go on from here.
    Later(Seq),
}

/// The first message at or after a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeekTime {
    /// One after the last if there is none.
    Seq(Seq),
    /// A read is under way; ask again when a read of the log has ended.
    Wait,
}

/// When a message was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Nanoseconds since 1970; 0: there is no such message, or it cannot be read.
    At(u64),
    /// A read is under way; ask again when a read of the log has ended.
    Wait,
}

/// A purge below more than this is a purge of everything.
const SEQ_ASKED_MAX: Seq = Seq(1 << 62);

/// The messages of one stream.
#[derive(Debug)]
pub enum Store {
    Memory(Box<MemoryStore>),
    File(FileStore),
}

impl Store {
    /// Nothing in it yet; `hash_seed` seeds the table of subjects.
    pub fn memory_only(hash_seed: u64) -> Self {
        Self::Memory(Box::new(MemoryStore::new(hash_seed)))
    }

    /// What the log holds of the stream, which may be nothing.
    pub fn file(stream: StreamId) -> Self {
        Self::File(FileStore::new(stream))
    }

    /// Whether payloads that come from now on are packed. In memory none are.
    pub fn pack(&mut self, is_packing: bool) {
        if let Self::File(file) = self {
            file.pack(is_packing);
        }
    }

    fn index<'a>(&'a self, log: Option<&'a Log>) -> Option<&'a StreamIndex> {
        match self {
            Self::Memory(memory) => Some(memory.index()),
            Self::File(file) => log?.stream(file.stream()),
        }
    }

    fn index_mut<'a>(&'a mut self, log: Option<&'a mut Log>) -> Option<&'a mut StreamIndex> {
        match self {
            Self::Memory(memory) => Some(memory.index_mut()),
            Self::File(file) => log?.stream_mut(file.stream()),
        }
    }

    /// Stores messages, all or none. `Lsn(0)`: nothing has to become durable.
    pub fn append(
        &mut self,
        log: Option<&mut Log>,
        messages: &[NewMessage<'_>],
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        match self {
            Self::Memory(memory) => {
                memory.append(messages);
                Ok(Lsn(0))
            }
            Self::File(file) => file.append(log, messages, urgency, now),
        }
    }

    /// The first live message, or one after the last if there is none.
    pub fn first_seq(&self, log: Option<&Log>) -> Seq {
        self.index(log).map_or(Seq(1), StreamIndex::first_seq)
    }

    /// The last sequence given out.
    pub fn last_seq(&self, log: Option<&Log>) -> Seq {
        self.index(log).map_or(Seq(0), StreamIndex::last_seq)
    }

    /// The last message a reader may see: what is behind it may not survive a crash.
    pub fn visible_seq(&self, log: Option<&Log>) -> Seq {
        match self {
            Self::Memory(memory) => memory.index().last_seq(),
            Self::File(file) => log.map_or(Seq(0), |log| log.visible_seq(file.stream())),
        }
    }

    pub fn messages(&self, log: Option<&Log>) -> u64 {
        self.index(log).map_or(0, StreamIndex::messages)
    }

    /// What the messages count for by the reference's formula (facts/jetstream-api.md §5): in a
    /// file 30 + subject + payload, and 4 + headers if there are any; in memory 16 + subject +
    /// headers + payload.
    pub fn bytes(&self, log: Option<&Log>) -> u64 {
        match self {
            Self::Memory(memory) => memory.bytes(),
            Self::File(_) => self.index(log).map_or(0, file::bytes_of),
        }
    }

    /// What one message of these lengths would add to [`Store::bytes`].
    pub fn cost(&self, subject: usize, headers: usize, payload: usize) -> u64 {
        match self {
            Self::Memory(_) => memory::cost(subject, headers, payload),
            Self::File(_) => file::cost(subject, headers, payload),
        }
    }

    /// Subjects with at least one message.
    pub fn subjects_len(&self, log: Option<&Log>) -> usize {
        self.index(log).map_or(0, |index| index.subjects().len())
    }

    /// Sequences between the first and the last that hold no message.
    pub fn deleted_len(&self, log: Option<&Log>) -> u64 {
        self.index(log).map_or(0, queries::deleted_len)
    }

    /// The time of the first message.
    pub fn first_time(&mut self, log: Option<&mut Log>) -> Moment {
        match self {
            Self::Memory(memory) => Moment::At(memory.first_time()),
            Self::File(file) => file.first_time(log),
        }
    }

    /// The time of the last message ever stored, which may have been deleted since. After a
    /// restart ask once before anything is deleted, so that it is known from then on.
    pub fn last_time(&mut self, log: Option<&mut Log>) -> Moment {
        match self {
            Self::Memory(memory) => Moment::At(memory.last_time()),
            Self::File(file) => file.last_time(log),
        }
    }

    /// A visible message.
    pub fn fetch<'a>(&'a mut self, log: Option<&'a mut Log>, seq: Seq) -> Fetch<'a> {
        match self {
            Self::Memory(memory) => memory.fetch(seq),
            Self::File(file) => file.fetch(log, seq),
        }
    }

    /// A read of the log has ended. False: it was not this store's.
    pub fn on_read(&mut self, log: &mut Log, op: OpId) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::File(file) => file.on_read(log, op),
        }
    }

    /// The newest message of a subject, visible or not.
    pub fn last_appended(&mut self, log: Option<&mut Log>, subject: &[u8]) -> Option<Seq> {
        let index = self.index_mut(log)?;
        let id = index.subjects().find(subject)?;
        index.subject_last(id)
    }

    /// First, last and number of the messages of a subject, visible or not.
    pub fn subject_state(
        &mut self,
        log: Option<&mut Log>,
        subject: &[u8],
    ) -> Option<(Seq, Seq, u64)> {
        let index = self.index_mut(log)?;
        let id = index.subjects().find(subject)?;
        index.subject_range(id)
    }

    /// Calls `visit` with every subject a pattern covers, in no order: name, id, first, last,
    /// number of messages, visible or not.
    pub fn subjects(
        &mut self,
        log: Option<&mut Log>,
        pattern: Option<Pattern<'_>>,
        visit: impl FnMut(&[u8], SubjectId, Seq, Seq, u64),
    ) {
        if let Some(index) = self.index_mut(log) {
            queries::subjects(index, pattern, visit);
        }
    }

    /// The first visible message from `from` on that the filter wants. Each message looked at
    /// costs one of the budget.
    pub fn next(
        &self,
        log: Option<&Log>,
        filter: &mut Filter,
        from: Seq,
        budget: &mut usize,
    ) -> Scan {
        let visible = self.visible_seq(log);
        let Some(index) = self.index(log) else { return Scan::End };
        queries::next(index, visible, filter, from, budget)
    }

    /// The first visible message from `from` on.
    pub fn next_any(&self, log: Option<&Log>, from: Seq) -> Option<Seq> {
        let visible = self.visible_seq(log);
        let entry = self.index(log)?.next(from)?;
        (entry.seq <= visible).then_some(entry.seq)
    }

    /// The next message from `from` on, whether it may be seen already or not.
    pub fn next_appended(&self, log: Option<&Log>, from: Seq) -> Option<Seq> {
        Some(self.index(log)?.next(from)?.seq)
    }

    /// Visible messages from `from` on that the filter wants.
    pub fn count(&self, log: Option<&Log>, filter: &mut Filter, from: Seq) -> u64 {
        let visible = self.visible_seq(log);
        self.index(log).map_or(0, |index| queries::count(index, visible, filter, from))
    }

    /// The last visible message up to `up_to` of each subject the filter wants, ascending.
    pub fn last_per_subject(
        &self,
        log: Option<&Log>,
        filter: &Filter,
        up_to: Option<Seq>,
    ) -> Vec<Seq> {
        let visible = self.visible_seq(log);
        let up_to = up_to.map_or(visible, |up_to| up_to.min(visible));
        let index = self.index(log);
        index.map_or_else(Vec::new, |index| queries::last_per_subject(index, filter, up_to))
    }

    /// The first visible message at or after a time in nanoseconds since 1970.
    pub fn seq_at_time(&mut self, log: Option<&mut Log>, time: u64) -> SeekTime {
        match self {
            Self::Memory(memory) => memory.seq_at_time(time),
            Self::File(file) => file.seq_at_time(log, time),
        }
    }

    /// Deletes messages; sequences that hold none are passed over. `erase`: their bytes must not
    /// stay anywhere.
    pub fn delete(
        &mut self,
        log: Option<&mut Log>,
        seqs: &[Seq],
        erase: bool,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        match self {
            Self::Memory(memory) => {
                memory.delete(seqs, erase);
                Ok(Lsn(0))
            }
            Self::File(file) => file.delete(log, seqs, erase, Urgency::Now, now),
        }
    }

    /// Deletes messages that gave way to others, which are on disk. Nobody waits for it: should the
    /// deletion be lost with a crash, the limits find the messages again before anyone sees them.
    pub fn give_way(
        &mut self,
        log: Option<&mut Log>,
        seqs: &[Seq],
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        self.note_displaced(log.as_deref(), seqs);
        match self {
            Self::Memory(_) => self.delete(log, seqs, false, now),
            Self::File(file) => file.delete(log, seqs, false, Urgency::RideAlong, now),
        }
    }

    /// These are about to go, and consumers may have delivered them. Those at the beginning of the
    /// stream need no note.
    pub fn note_displaced(&mut self, log: Option<&Log>, seqs: &[Seq]) {
        let first = self.first_seq(log);
        let displaced = match self {
            Self::Memory(memory) => &mut memory.displaced,
            Self::File(file) => &mut *file.displaced,
        };
        displaced.note(seqs.iter().copied().filter(|&seq| seq > first));
    }

    pub fn displaced(&self) -> &Displaced {
        match self {
            Self::Memory(memory) => &memory.displaced,
            Self::File(file) => &file.displaced,
        }
    }

    /// As [`Self::give_way`], for all messages before `first`.
    pub fn give_way_below(
        &mut self,
        log: Option<&mut Log>,
        first: Seq,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        match self {
            Self::Memory(_) => self.trim(log, first, now),
            Self::File(file) => file.trim(log, first, Urgency::RideAlong, now),
        }
    }

    /// Removes all messages before `first`, which becomes the first sequence. It never goes back.
    pub fn trim(&mut self, log: Option<&mut Log>, first: Seq, now: Mono) -> Result<Lsn, Refusal> {
        match self {
            Self::Memory(memory) => {
                memory.trim(first);
                Ok(Lsn(0))
            }
            Self::File(file) => file.trim(log, first, Urgency::Now, now),
        }
    }

    /// Removes the messages of a pattern below `below`, all but the newest `keep`. How many.
    pub fn purge(
        &mut self,
        log: Option<&mut Log>,
        pattern: Option<Pattern<'_>>,
        below: Seq,
        keep: usize,
        now: Mono,
    ) -> Result<(u64, Lsn), Refusal> {
        let below = self.purged_below(log.as_deref(), below);
        match self {
            Self::Memory(memory) => Ok((memory.purge(pattern, below, keep), Lsn(0))),
            Self::File(file) => file.purge(log, pattern, below, keep, now),
        }
    }

    /// No asker can move a stream where its sequences run out.
    fn purged_below(&self, log: Option<&Log>, below: Seq) -> Seq {
        if below > SEQ_ASKED_MAX { self.last_seq(log).next() } else { below }
    }

    /// What [`Store::purge`] would remove, ascending.
    pub fn purge_list(
        &self,
        log: Option<&Log>,
        pattern: Option<Pattern<'_>>,
        below: Seq,
        keep: usize,
    ) -> Vec<Seq> {
        let below = self.purged_below(log, below);
        let index = self.index(log);
        index.map_or_else(Vec::new, |index| index.purge_list(pattern, below, keep))
    }

    /// Leaves out the sequences up to `last`: the next message comes behind it.
    pub fn skip(&mut self, log: Option<&mut Log>, last: Seq, now: Mono) -> Result<Lsn, Refusal> {
        match self {
            Self::Memory(memory) => {
                memory.skip(last);
                Ok(Lsn(0))
            }
            Self::File(file) => file.skip(log, last, now),
        }
    }

    /// Changes whenever a message that was not the first was removed: who counted must count
    /// again.
    pub fn removal_epoch(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.removal_epoch(),
            Self::File(file) => file.removal_epoch(),
        }
    }

    /// Sequences between the first and the last that hold no message, ascending.
    pub fn deleted(&self, log: Option<&Log>) -> Vec<Seq> {
        self.index(log).map_or_else(Vec::new, queries::deleted)
    }

    /// Gives memory back that only readers behind the tail need.
    pub fn rest(&mut self) {
        if let Self::File(file) = self {
            file.rest();
        }
    }

    /// Bytes of memory beside the log's.
    pub fn memory(&self) -> usize {
        match self {
            Self::Memory(memory) => memory.memory(),
            Self::File(file) => file.memory(),
        }
    }
}

#[cfg(all(test, feature = "log-bench"))]
mod bench_tests;
#[cfg(test)]
pub(super) mod tests;
