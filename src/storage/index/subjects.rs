//! Per-subject state of one stream: first, last, count, and where few messages are.

use std::cell::{Cell, RefCell};

use ahash::RandomState;
use hashbrown::HashTable;

use crate::storage::ids::Seq;
use crate::types::Pattern;
use crate::types::limits::SUBJECT_POSTINGS_MAX;
use crate::types::pattern::Shape;

use super::names::Names;
use super::postings::Postings;

/// A subject of one stream, in memory only: ids are given anew at each start, and again after
/// their subject has ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SubjectId(pub u32);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectState {
    pub name: Box<[u8]>,
    /// Tells it from others that had or will have its id; never 0.
    pub birth: u32,
    /// The first message is this one or a later one; exact unless `first_is_stale`.
    pub first: Seq,
    /// Exact, unless `last_is_stale`: then the last message is an earlier one.
    pub last: Seq,
    pub count: u64,
    pub first_is_stale: bool,
    pub last_is_stale: bool,
    /// `postings` holds all sequences between first and last, and both are exact.
    is_listed: bool,
    postings: Postings,
}

impl SubjectState {
    /// Its sequences, if they are known one by one.
    pub fn seqs(&self) -> Option<impl Iterator<Item = Seq>> {
        self.is_listed.then(|| self.postings.seqs(self.first))
    }

    /// The first message from `from` on. `None`: there is none.
    pub fn next(&self, from: Seq) -> Option<Bound> {
        if from > self.last {
            return None;
        }
        if from <= self.first {
            return Some(Bound { seq: self.first, is_exact: !self.first_is_stale });
        }
        match self.seqs() {
            Some(mut seqs) => {
                seqs.find(|&seq| seq >= from).map(|seq| Bound { seq, is_exact: true })
            }
            None => Some(Bound { seq: from, is_exact: false }),
        }
    }

    /// The last message up to `to`. `None`: there is none.
    pub fn previous(&self, to: Seq) -> Option<Bound> {
        if to < self.first {
            return None;
        }
        if to >= self.last {
            return Some(Bound { seq: self.last, is_exact: !self.last_is_stale });
        }
        match self.seqs() {
            Some(seqs) => {
                let last = seqs.take_while(|&seq| seq <= to).last();
                last.map(|seq| Bound { seq, is_exact: true })
            }
            None => Some(Bound { seq: to, is_exact: false }),
        }
    }
}

/// Where a message of a subject is to be looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Bound {
    pub seq: Seq,
    /// It is there. Else none is between where one asked from and this.
    pub is_exact: bool,
}

/// Subjects in one piece of memory; a full one is not moved for another.
const PIECE: usize = 256;
/// From so many subjects on their names are in many small tables, which grow one at a time.
const SPLIT_AT: usize = 8192;
const TABLES: usize = 256;
/// Fewer subjects are walked, whatever is asked.
const ORDERED_FROM: usize = 1024;
/// Walks over all subjects that cost about as much as putting them in order.
const WALKS: usize = 3;
/// The order is given up after so many changes for each subject without a question.
const UNASKED: usize = 4;

/// A subject in a table. With its hash, a table that grows need not look at names, which lie
/// scattered in memory.
#[derive(Clone, Copy, Debug)]
struct Named {
    hash: u32,
    id: u32,
}

/// What a table goes by: it uses the upper and the lower bits.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[derive(Debug)]
pub struct Subjects {
    pieces: Vec<Vec<Option<SubjectState>>>,
    free: Vec<SubjectId>,
    /// One, or `TABLES` of them.
    by_name: Vec<HashTable<Named>>,
    hasher: RandomState,
    births: u32,
    len: usize,
    /// Bytes that names and postings take.
    heap: usize,
    /// In order, if that has been worth it.
    names: RefCell<Option<Names>>,
    /// Subjects looked at because they were not in order.
    walked: Cell<usize>,
}

impl Subjects {
    pub fn new(hash_seed: u64) -> Self {
        Self {
            pieces: Vec::new(),
            free: Vec::new(),
            by_name: vec![HashTable::new()],
            hasher: RandomState::with_seeds(hash_seed, 1, 2, 3),
            births: 0,
            len: 0,
            heap: 0,
            names: RefCell::default(),
            walked: Cell::default(),
        }
    }

    /// One without subjects. Ids go on being told apart from those of this one.
    pub fn empty(&self) -> Self {
        Self {
            pieces: Vec::new(),
            free: Vec::new(),
            by_name: vec![HashTable::new()],
            hasher: self.hasher.clone(),
            births: self.births,
            len: 0,
            heap: 0,
            names: RefCell::default(),
            walked: Cell::default(),
        }
    }

    /// Gives some memory back; nothing may be asked any more. False: there is none left.
    pub fn drop_piece(&mut self) -> bool {
        self.names.take();
        let had_pieces = self.pieces.pop().is_some();
        let had_tables = self.by_name.pop().is_some();
        had_pieces || had_tables
    }

    /// Subjects with at least one live message.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn find(&self, name: &[u8]) -> Option<SubjectId> {
        let hash = self.hash_of(name);
        let is_it = |named: &Named| named.hash == hash && self.is(named.id, name);
        let found = self.by_name[self.table_of(hash)].find(spread(hash), is_it)?;
        Some(SubjectId(found.id))
    }

    pub fn get(&self, id: SubjectId) -> Option<&SubjectState> {
        let at = id.0 as usize;
        self.pieces.get(at / PIECE)?.get(at % PIECE)?.as_ref()
    }

    fn get_mut(&mut self, id: SubjectId) -> Option<&mut SubjectState> {
        let at = id.0 as usize;
        self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)?.as_mut()
    }

    pub fn name_len(&self, id: SubjectId) -> u64 {
        self.get(id).map_or(0, |state| state.name.len() as u64)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SubjectId, &SubjectState)> + Clone {
        let alive = self.pieces.iter().flatten().zip(0..);
        alive.filter_map(|(state, id)| state.as_ref().map(|state| (SubjectId(id), state)))
    }

    /// Counts a message in; the subject comes to life with its first.
    pub fn add(&mut self, name: &[u8], seq: Seq) -> SubjectId {
        let id = self.find(name).unwrap_or_else(|| self.insert(name));
        self.count_in(id, seq);
        id
    }

    /// Counts a message in by the id of its subject, which must be alive.
    pub fn count_in(&mut self, id: SubjectId, seq: Seq) {
        let Some(state) = self.get_mut(id) else { return };
        state.count += 1;
        if state.count == 1 {
            (state.first, state.last) = (seq, seq);
            return;
        }
        let is_last = seq > state.last;
        if state.is_listed && state.count > SUBJECT_POSTINGS_MAX {
            let heap = state.postings.heap();
            state.is_listed = false;
            state.postings = Postings::default();
            self.heap -= heap;
            return self.count_in_unlisted(id, seq);
        }
        if !state.is_listed {
            return self.count_in_unlisted(id, seq);
        }
        let heap = state.postings.heap();
        if is_last {
            state.postings.push(state.last, seq);
            state.last = seq;
        } else {
            state.first = state.postings.insert(state.first, seq);
        }
        let grown = state.postings.heap();
        self.heap = self.heap + grown - heap;
    }

    /// Counts in messages that follow one another, above all that the subject has.
    pub fn count_in_run(&mut self, id: SubjectId, first: Seq, count: u32) {
        let mut counted = 0;
        while counted < count && self.get(id).is_some_and(|state| state.is_listed) {
            self.count_in(id, Seq(first.0.wrapping_add(u64::from(counted))));
            counted += 1;
        }
        let Some(state) = self.get_mut(id).filter(|_| counted < count) else { return };
        state.count += u64::from(count - counted);
        state.last = Seq(first.0.wrapping_add(u64::from(count - 1)));
        state.last_is_stale = false;
    }

    fn count_in_unlisted(&mut self, id: SubjectId, seq: Seq) {
        let Some(state) = self.get_mut(id) else { return };
        if seq < state.first {
            state.first = seq;
            state.first_is_stale = false;
        }
        if seq > state.last {
            state.last = seq;
            state.last_is_stale = false;
        }
    }

    /// Counts a message out; the subject ends with its last.
    pub fn remove(&mut self, id: SubjectId, seq: Seq) {
        let Some(state) = self.get_mut(id) else { return };
        state.count = state.count.saturating_sub(1);
        if state.count == 0 {
            self.forget(id);
            return;
        }
        if state.is_listed {
            let heap = state.postings.heap();
            if let Some(ends) = state.postings.remove(state.first, state.last, seq) {
                (state.first, state.last) = ends;
            }
            let left = state.postings.heap();
            self.heap = self.heap + left - heap;
            return;
        }
        if seq == state.first {
            state.first = seq.next();
            state.first_is_stale = true;
        }
        if seq == state.last {
            state.last = seq.previous();
            state.last_is_stale = true;
        }
        if state.count == 1 && !(state.first_is_stale && state.last_is_stale) {
            let only = if state.first_is_stale { state.last } else { state.first };
            self.freshen(id, Some(only), Some(only));
        }
    }

    /// Replaces a bound that had become stale by the true one.
    pub fn freshen(&mut self, id: SubjectId, first: Option<Seq>, last: Option<Seq>) {
        let Some(state) = self.get_mut(id) else { return };
        if let Some(first) = first {
            state.first = first;
            state.first_is_stale = false;
        }
        if let Some(last) = last {
            state.last = last;
            state.last_is_stale = false;
        }
        state.is_listed |= state.count == 1 && !state.first_is_stale && !state.last_is_stale;
    }

    /// All subjects a pattern covers: one hash look-up, a walk over those that begin alike, or
    /// over all of them.
    pub fn matching<'a>(
        &'a self,
        pattern: Pattern<'a>,
    ) -> Box<dyn Iterator<Item = (SubjectId, &'a SubjectState)> + 'a> {
        if pattern.shape() == Shape::Literal {
            let found = self.find(pattern.bytes());
            return Box::new(found.and_then(|id| Some((id, self.get(id)?))).into_iter());
        }
        let covers = move |(_, state): &(_, &SubjectState)| pattern.matches(&state.name);
        if let Some(ids) = self.beginning(pattern.prefix()) {
            let states = ids.into_iter().filter_map(|id| Some((id, self.get(id)?)));
            return Box::new(states.filter(covers));
        }
        Box::new(self.iter().filter(covers))
    }

    /// The subjects that begin so, unless a walk over all of them costs less.
    fn beginning(&self, prefix: &[u8]) -> Option<Vec<SubjectId>> {
        if prefix.is_empty() || self.len < ORDERED_FROM {
            return None;
        }
        let mut names = self.names.borrow_mut();
        if names.is_none() {
            self.walked.set(self.walked.get() + self.len);
            if self.walked.get() <= self.len * WALKS {
                return None;
            }
            let rows = self.iter().map(|(id, state)| (id.0, &*state.name));
            *names = Some(Names::new(rows));
        }
        let names = names.as_mut()?;
        names.unasked = 0;
        // In the order of names they lie scattered in memory.
        let ids = names.beginning(prefix, self.len / 4, |id| self.name_of(id))?;
        Some(ids.into_iter().map(SubjectId).collect())
    }

    /// The subjects a pattern covers, if it is known without a walk that they are at most `most`.
    pub fn few_matching(&self, pattern: Pattern<'_>, most: usize) -> Option<Vec<SubjectId>> {
        let names = self.names.borrow();
        let ids = names.as_ref()?.beginning(pattern.prefix(), most, |id| self.name_of(id))?;
        Some(
            ids.into_iter()
                .map(SubjectId)
                .filter(|id| pattern.matches(self.name_of(id.0)))
                .collect(),
        )
    }

    fn name_of(&self, id: u32) -> &[u8] {
        self.get(SubjectId(id)).map_or(&[], |state| &state.name)
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> usize {
        let states: usize = self.pieces.iter().map(Vec::capacity).sum();
        let tables: usize = self.by_name.iter().map(HashTable::capacity).sum();
        states * size_of::<Option<SubjectState>>()
            + tables * 10
            + self.by_name.capacity() * size_of::<HashTable<Named>>()
            + self.free.capacity() * size_of::<SubjectId>()
            + self.heap
            + self.names.borrow().as_ref().map_or(0, Names::memory)
    }

    fn is(&self, id: u32, name: &[u8]) -> bool {
        self.get(SubjectId(id)).is_some_and(|state| &*state.name == name)
    }

    fn hash_of(&self, name: &[u8]) -> u32 {
        (self.hasher.hash_one(name) >> 32) as u32
    }

    fn table_of(&self, hash: u32) -> usize {
        // Other bits than the tables themselves use.
        (hash >> 17) as usize & (self.by_name.len() - 1)
    }

    fn insert(&mut self, name: &[u8]) -> SubjectId {
        self.births = self.births.wrapping_add(1).max(1);
        let state = SubjectState {
            name: name.into(),
            birth: self.births,
            first: Seq(0),
            last: Seq(0),
            count: 0,
            first_is_stale: false,
            last_is_stale: false,
            is_listed: true,
            postings: Postings::default(),
        };
        self.heap += allocated(name.len());
        self.len += 1;
        let id = self.free.pop().unwrap_or_else(|| self.another());
        self.pieces[id.0 as usize / PIECE][id.0 as usize % PIECE] = Some(state);
        self.split_tables();
        self.enter(Named { hash: self.hash_of(name), id: id.0 });
        self.order(|names, name_of| names.insert(id.0, name, name_of));
        id
    }

    /// Changes the order, if there is one.
    fn order<'s>(&'s self, change: impl FnOnce(&mut Names, &dyn Fn(u32) -> &'s [u8])) {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.as_mut() {
            change(known, &|id| self.name_of(id));
            if known.unasked > UNASKED * self.len.max(ORDERED_FROM) {
                *names = None;
                self.walked.set(0);
            }
        }
    }

    /// An id that was never given before.
    fn another(&mut self) -> SubjectId {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            // The first piece grows with its stream.
            let capacity = if self.pieces.is_empty() { 1 } else { PIECE };
            self.pieces.push(Vec::with_capacity(capacity));
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let piece = self.pieces.last_mut().expect("one was just made sure of");
        piece.push(None);
        SubjectId((before + piece.len() - 1) as u32)
    }

    fn enter(&mut self, named: Named) {
        let table = self.table_of(named.hash);
        self.by_name[table].insert_unique(spread(named.hash), named, |other| spread(other.hash));
    }

    fn split_tables(&mut self) {
        if self.len < SPLIT_AT || self.by_name.len() > 1 {
            return;
        }
        let old = std::mem::replace(&mut self.by_name, vec![HashTable::new(); TABLES]);
        old.into_iter().flatten().for_each(|named| self.enter(named));
    }

    fn forget(&mut self, id: SubjectId) {
        let name = self.name_of(id.0);
        self.order(|names, name_of| names.remove(id.0, name, name_of));
        let state = self.pieces[id.0 as usize / PIECE][id.0 as usize % PIECE].take();
        let Some(state) = state else { return };
        self.heap -= allocated(state.name.len()) + state.postings.heap();
        self.len -= 1;
        let hash = self.hash_of(&state.name);
        let table = self.table_of(hash);
        let is_it = |named: &Named| named.id == id.0;
        if let Ok(found) = self.by_name[table].find_entry(spread(hash), is_it) {
            found.remove();
        }
        self.free.push(id);
    }
}

/// What an allocation of so many bytes takes.
pub(super) fn allocated(len: usize) -> usize {
    (len + 8).next_multiple_of(16).max(32)
}
