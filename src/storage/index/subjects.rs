//! Per-subject state of one stream: first, last, count.

use ahash::RandomState;
use hashbrown::HashTable;

use crate::storage::ids::Seq;
use crate::types::Pattern;

/// A subject of one stream, in memory only: ids are given anew at each start.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SubjectId(pub u32);

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubjectState {
    pub name: Box<[u8]>,
    /// Tells it from others that had or will have its id; never 0.
    pub birth: u32,
    /// The first message is this one or a later one; exact unless `first_is_stale`.
    pub first: Seq,
    /// Exact, unless `last_is_stale`: then it is an earlier one.
    pub last: Seq,
    pub count: u64,
    pub first_is_stale: bool,
    pub last_is_stale: bool,
}

impl SubjectState {
    /// Of a single message the one bound tells the other.
    fn settle(&mut self) {
        if self.count != 1 {
            return;
        }
        match (self.first_is_stale, self.last_is_stale) {
            (true, false) => self.first = self.last,
            (false, true) => self.last = self.first,
            _ => return,
        }
        (self.first_is_stale, self.last_is_stale) = (false, false);
    }
}

#[derive(Debug)]
pub struct Subjects {
    slab: Vec<Option<SubjectState>>,
    free: Vec<SubjectId>,
    by_name: HashTable<u32>,
    hasher: RandomState,
    births: u32,
}

impl Subjects {
    pub fn new(hash_seed: u64) -> Self {
        Self {
            slab: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            hasher: RandomState::with_seeds(hash_seed, 1, 2, 3),
            births: 0,
        }
    }

    /// Subjects with at least one live message.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn find(&self, name: &[u8]) -> Option<SubjectId> {
        let hash = self.hasher.hash_one(name);
        let found = self.by_name.find(hash, |&id| self.is(id, name))?;
        Some(SubjectId(*found))
    }

    pub fn get(&self, id: SubjectId) -> Option<&SubjectState> {
        self.slab.get(id.0 as usize)?.as_ref()
    }

    pub fn name_len(&self, id: SubjectId) -> u64 {
        self.get(id).map_or(0, |state| state.name.len() as u64)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SubjectId, &SubjectState)> {
        let alive = self.slab.iter().zip(0..);
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
        let Some(state) = self.slab.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if state.count == 0 || seq < state.first {
            state.first = seq;
        }
        if state.count == 0 || seq > state.last {
            state.last = seq;
            state.last_is_stale = false;
        }
        state.count += 1;
    }

    /// Counts a message out; the subject ends with its last.
    pub fn remove(&mut self, id: SubjectId, seq: Seq) {
        let Some(state) = self.slab.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        state.count = state.count.saturating_sub(1);
        if state.count == 0 {
            self.forget(id);
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
        state.settle();
    }

    /// Replaces a bound that had become stale by the true one.
    pub fn freshen(&mut self, id: SubjectId, first: Option<Seq>, last: Option<Seq>) {
        let Some(state) = self.slab.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        if let Some(first) = first {
            state.first = first;
            state.first_is_stale = false;
        }
        if let Some(last) = last {
            state.last = last;
            state.last_is_stale = false;
        }
    }

    /// All subjects a pattern covers: one hash look-up, or a walk over all subjects.
    pub fn matching<'a>(
        &'a self,
        pattern: Pattern<'a>,
    ) -> impl Iterator<Item = (SubjectId, &'a SubjectState)> {
        let literal = (pattern.shape() == crate::types::pattern::Shape::Literal)
            .then(|| self.find(pattern.bytes()));
        let range = match literal {
            Some(Some(id)) => id.0 as usize..id.0 as usize + 1,
            Some(None) => 0..0,
            None => 0..self.slab.len(),
        };
        let alive = self.slab[range.clone()].iter().zip(range);
        alive
            .filter_map(|(state, at)| state.as_ref().map(|state| (SubjectId(at as u32), state)))
            .filter(move |(_, state)| pattern.matches(&state.name))
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> usize {
        let names: usize = self.slab.iter().flatten().map(|state| state.name.len() + 16).sum();
        names
            + self.slab.capacity() * size_of::<Option<SubjectState>>()
            + self.by_name.capacity() * 5
    }

    fn is(&self, id: u32, name: &[u8]) -> bool {
        self.slab[id as usize].as_ref().is_some_and(|state| &*state.name == name)
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
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slab.push(None);
            SubjectId((self.slab.len() - 1) as u32)
        });
        self.slab[id.0 as usize] = Some(state);
        let hash = self.hasher.hash_one(name);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_name.insert_unique(hash, id.0, |&other| {
            slab[other as usize].as_ref().map_or(0, |state| hasher.hash_one(&*state.name))
        });
        id
    }

    fn forget(&mut self, id: SubjectId) {
        let Some(state) = self.slab[id.0 as usize].take() else { return };
        let hash = self.hasher.hash_one(&*state.name);
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == id.0) {
            found.remove();
        }
        self.free.push(id);
    }
}
