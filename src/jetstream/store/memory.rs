//! A stream in memory.

use crate::storage::{Entry, Form, Seq, StreamIndex};
use crate::types::Pattern;

use super::arena::{Arena, Kept, records};
use super::{Displaced, Fetch, NewMessage, SeekTime, Stored, seek};

/// What a message counts for beside its subject, headers and payload.
const OVERHEAD: u64 = 16;
/// What the arena adds to headers and payload.
const ARENA_OVERHEAD: u64 = super::arena::HEADER as u64;

pub fn cost(subject: usize, headers: usize, payload: usize) -> u64 {
    OVERHEAD + (subject + headers + payload) as u64
}

/// The [`cost`] of a stored message.
pub fn cost_of(index: &StreamIndex, entry: &Entry) -> u64 {
    let subject = index.subjects().name_len(entry.subject);
    u64::from(entry.place.len) + subject - (ARENA_OVERHEAD - OVERHEAD)
}

/// Places in the index are places in the arena. The subject of a message is only in the index.
#[derive(Debug)]
pub struct MemoryStore {
    index: StreamIndex,
    arena: Arena,
    removal_epoch: u64,
    pub displaced: Displaced,
}

impl MemoryStore {
    pub fn new(hash_seed: u64) -> Self {
        Self {
            index: StreamIndex::new(hash_seed),
            arena: Arena::default(),
            removal_epoch: 0,
            displaced: Displaced::default(),
        }
    }

    pub fn index(&self) -> &StreamIndex {
        &self.index
    }

    pub fn index_mut(&mut self) -> &mut StreamIndex {
        &mut self.index
    }

    pub fn bytes(&self) -> u64 {
        let each = ARENA_OVERHEAD - OVERHEAD;
        self.index.bytes() + self.index.subject_bytes() - self.index.messages() * each
    }

    pub fn removal_epoch(&self) -> u64 {
        self.removal_epoch
    }

    pub fn memory(&self) -> usize {
        self.arena.memory() + self.index.memory()
    }

    pub fn append(&mut self, messages: &[NewMessage<'_>]) {
        for message in messages {
            let NewMessage { seq, time, subject, headers, payload } = *message;
            assert!(seq > self.index.last_seq(), "a sequence is given out once");
            let place = self.arena.push(&Kept { seq, time, headers, payload });
            let form = Form { has_headers: !headers.is_empty(), saved: 0 };
            self.index.append(seq, place, subject, form);
            self.index.learn_last_time(time);
        }
    }

    pub fn fetch(&self, seq: Seq) -> Fetch<'_> {
        self.stored(seq).map_or(Fetch::Gone, Fetch::Here)
    }

    fn stored(&self, seq: Seq) -> Option<Stored<'_>> {
        let entry = self.index.get(seq)?;
        let subject = &self.index.subjects().get(entry.subject)?.name;
        let Kept { seq, time, headers, payload } = self.arena.get(entry.place)?;
        Some(Stored { seq, time, subject, headers, payload })
    }

    fn time_of(&self, seq: Seq) -> Option<u64> {
        Some(self.arena.get(self.index.get(seq)?.place)?.time)
    }

    pub fn first_time(&self) -> u64 {
        self.time_of(self.index.first_seq()).unwrap_or(0)
    }

    pub fn last_time(&self) -> u64 {
        self.index.last_time().unwrap_or(0)
    }

    pub fn seq_at_time(&self, time: u64) -> SeekTime {
        seek::seek(&self.index, self.index.last_seq(), time, |seq| self.time_of(seq))
    }

    pub fn delete(&mut self, seqs: &[Seq], erase: bool) {
        for &seq in seqs {
            let is_first = seq == self.index.first_seq();
            let Some(entry) = self.index.remove(seq) else { continue };
            self.arena.free(entry.place, erase);
            if is_first {
                self.index.settle_first();
            } else {
                self.removal_epoch += 1;
            }
        }
        self.tidy();
    }

    pub fn trim(&mut self, first: Seq) {
        let Self { index, arena, .. } = self;
        if first > index.last_seq() {
            index.clear();
            arena.clear();
        }
        index.trim(first, |entry| arena.free(entry.place, false));
        index.settle_first();
        self.tidy();
    }

    pub fn purge(&mut self, pattern: Option<Pattern<'_>>, below: Seq, keep: usize) -> u64 {
        let before = self.index.messages();
        if pattern.is_none() && keep == 0 {
            self.trim(below);
        } else {
            let seqs = self.index.purge_list(pattern, below, keep);
            self.delete(&seqs, false);
        }
        before - self.index.messages()
    }

    pub fn skip(&mut self, last: Seq) {
        self.index.skip(last);
    }

    /// Moves what lives out of a block that is mostly dead.
    fn tidy(&mut self) {
        while let Some(no) = self.arena.sparse() {
            let bytes = self.arena.take(no);
            for (kept, from) in records(no, &bytes) {
                if self.index.get(kept.seq).is_some_and(|entry| entry.place == from) {
                    let to = self.arena.push(&kept);
                    self.index.relocate(kept.seq, from, to);
                }
            }
        }
    }
}
