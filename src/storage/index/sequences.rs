//! Sequence → place of the live messages of one stream, in chunks of consecutive sequences. The
//! few chunks in use lie open; the rest is packed, see [`super::chunk`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::storage::ids::Seq;
use crate::types::limits::INDEX_OPEN_CHUNKS;

use super::chunk::{self, CHUNK, Chunk};
use super::entries::Entry;
use super::subjects::allocated;

/// What a packed chunk takes in the map beside its bytes.
const NODE: usize = 56;

#[derive(Debug)]
struct Packed {
    bytes: Box<[u8]>,
    /// Entries in it that live.
    count: u16,
    /// Entries in the bytes that do not, by sequence within the chunk.
    dead: Option<Box<Dead>>,
}

/// A bit for each sequence of a chunk.
#[derive(Default, Debug)]
struct Dead([u64; (CHUNK / 64) as usize]);

impl Dead {
    fn has(&self, seq: Seq) -> bool {
        let at = seq.0 % CHUNK;
        self.0[(at / 64) as usize] >> (at % 64) & 1 == 1
    }

    fn add(&mut self, seq: Seq) {
        let at = seq.0 % CHUNK;
        self.0[(at / 64) as usize] |= 1 << (at % 64);
    }

    fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl Packed {
    fn get(&self, seq: Seq) -> Option<Entry> {
        let is_dead = self.dead.as_ref().is_some_and(|dead| dead.has(seq));
        if is_dead { None } else { Chunk::new(&self.bytes, seq.0 / CHUNK)?.find(seq) }
    }

    /// `number`: its own.
    fn entries(&self, number: u64) -> impl Iterator<Item = Entry> {
        let is_live = |entry: &Entry| self.dead.as_ref().is_none_or(|dead| !dead.has(entry.seq));
        Chunk::new(&self.bytes, number).into_iter().flatten().filter(is_live)
    }

    /// Bytes of memory.
    fn memory(&self) -> usize {
        let dead = self.dead.as_ref().map_or(0, |_| allocated(size_of::<Dead>()));
        NODE + allocated(self.bytes.len()) + dead
    }
}

#[derive(Default, Debug)]
pub struct Sequences {
    packed: BTreeMap<u64, Packed>,
    /// Memory that the packed ones take.
    packed_bytes: usize,
    /// Sorted by sequence inside; the most recently used last. None of them is in `packed`.
    open: Vec<(u64, Vec<Entry>)>,
    count: u64,
    /// The packed chunk that was read last.
    hot: RefCell<Option<Hot>>,
    /// Something lies open that was used since [`Self::cool_down`].
    is_used: Cell<bool>,
}

#[derive(Default, Debug)]
struct Hot {
    number: u64,
    entries: Vec<Entry>,
}

fn find(chunk: &[Entry], seq: Seq) -> Option<Entry> {
    // Where nothing was removed it stands at its distance from the first.
    let distance = seq.0.checked_sub(chunk.first()?.seq.0)?;
    if let Some(entry) = chunk.get(distance as usize).filter(|entry| entry.seq == seq) {
        return Some(*entry);
    }
    let at = chunk.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
    Some(chunk[at])
}

impl Sequences {
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> usize {
        let open: usize =
            self.open.iter().map(|(_, chunk)| chunk.capacity() * size_of::<Entry>()).sum();
        let hot = self.hot.borrow();
        let hot = hot.as_ref().map_or(0, |hot| hot.entries.capacity() * size_of::<Entry>());
        self.packed_bytes + open + hot
    }

    /// Adds or replaces. The entry that stood there is returned.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let chunk = self.open(entry.seq.0 / CHUNK);
        if chunk.last().is_none_or(|last| last.seq < entry.seq) {
            chunk.push(entry);
            self.count += 1;
            return None;
        }
        let at = chunk.partition_point(|other| other.seq < entry.seq);
        match chunk.get_mut(at) {
            Some(other) if other.seq == entry.seq => Some(std::mem::replace(other, entry)),
            _ => {
                chunk.insert(at, entry);
                self.count += 1;
                None
            }
        }
    }

    /// Adds `count` entries that follow one another, the first of them above all there are.
    pub fn extend(&mut self, first: Entry, count: u32) {
        let mut done = 0;
        while done < count {
            let next = first.after(done);
            let room = (CHUNK - next.seq.0 % CHUNK).min(u64::from(count - done)) as u32;
            let chunk = self.open(next.seq.0 / CHUNK);
            chunk.reserve(room as usize);
            chunk.extend((0..room).map(|n| next.after(n)));
            self.count += u64::from(room);
            done += room;
        }
    }

    /// Removes an entry. In a packed chunk it is only marked, until more are marked than live.
    pub fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let number = seq.0 / CHUNK;
        if let Some(chunk) = self.packed.get_mut(&number) {
            let entry = chunk.get(seq)?;
            let before = chunk.memory();
            let dead = chunk.dead.get_or_insert_default();
            dead.add(seq);
            chunk.count -= 1;
            self.count -= 1;
            let is_mostly_dead = dead.len() > u32::from(chunk.count);
            self.packed_bytes += chunk.memory() - before;
            self.forget_hot(number, seq);
            if is_mostly_dead {
                self.open(number);
            }
            return Some(entry);
        }
        let chunk = self.open(number);
        let at = chunk.binary_search_by_key(&seq, |entry| entry.seq).ok()?;
        let entry = chunk.remove(at);
        self.count -= 1;
        Some(entry)
    }

    pub fn get(&self, seq: Seq) -> Option<Entry> {
        let number = seq.0 / CHUNK;
        if let Some(chunk) = self.open_chunk(number) {
            return find(chunk, seq);
        }
        let hot = self.hot.borrow();
        match hot.as_ref().filter(|hot| hot.number == number) {
            Some(hot) => find(&hot.entries, seq),
            None => self.packed.get(&number)?.get(seq),
        }
    }

    /// As [`Self::get`], for who asks for many that lie together: a packed chunk is laid open.
    pub fn get_among(&self, seq: Seq) -> Option<Entry> {
        let number = seq.0 / CHUNK;
        let is_known = self.packed.contains_key(&number);
        if is_known { self.with_chunk(number, |chunk| find(chunk, seq)) } else { self.get(seq) }
    }

    /// Calls `visit` with the entries from `from` on, in order, until it breaks.
    pub fn walk(&self, from: Seq, mut visit: impl FnMut(Entry) -> ControlFlow<()>) {
        let mut number = from.0 / CHUNK;
        while let Some(next) = self.chunk_from(number) {
            let flow = self.with_chunk(next, |chunk| {
                let at = chunk.partition_point(|entry| entry.seq < from);
                chunk[at..].iter().try_for_each(|&entry| visit(entry))
            });
            if flow.is_break() {
                return;
            }
            number = next + 1;
        }
    }

    /// As [`Self::walk`], from `from` downwards.
    pub fn walk_back(&self, from: Seq, mut visit: impl FnMut(Entry) -> ControlFlow<()>) {
        let mut end = from.0 / CHUNK + 1;
        while let Some(next) = self.chunk_before(end) {
            let flow = self.with_chunk(next, |chunk| {
                let at = chunk.partition_point(|entry| entry.seq <= from);
                chunk[..at].iter().rev().try_for_each(|&entry| visit(entry))
            });
            if flow.is_break() {
                return;
            }
            end = next;
        }
    }

    /// Hands over the entries of a chunk; a packed one is laid open beside, for the next reader.
    fn with_chunk<T>(&self, number: u64, act: impl FnOnce(&[Entry]) -> T) -> T {
        if let Some(chunk) = self.open_chunk(number) {
            return act(chunk);
        }
        self.is_used.set(true);
        // Taken out meanwhile: `act` may ask for other chunks.
        let mut hot = self.hot.take().unwrap_or_default();
        if hot.number != number || hot.entries.is_empty() {
            hot.number = number;
            hot.entries.clear();
            hot.entries.extend(self.unpack(number));
        }
        let out = act(&hot.entries);
        self.hot.replace(Some(hot));
        out
    }

    /// Removes everything below `first`, chunk by chunk, and tells it.
    pub fn trim(&mut self, first: Seq, mut removed: impl FnMut(Entry)) {
        let end = first.0 / CHUNK;
        while let Some(number) = self.chunk_from(0).filter(|&number| number < end) {
            self.remove_chunk(number, &mut removed);
        }
        if self.chunk_from(end) == Some(end) {
            let chunk = self.open(end);
            let at = chunk.partition_point(|entry| entry.seq < first);
            chunk.drain(..at).for_each(removed);
            self.count -= at as u64;
        }
    }

    /// Removes the first chunk and tells its entries. False: there was none.
    pub fn remove_first_chunk(&mut self, removed: &mut impl FnMut(Entry)) -> bool {
        let Some(number) = self.chunk_from(0) else { return false };
        self.remove_chunk(number, removed);
        true
    }

    fn remove_chunk(&mut self, number: u64, removed: &mut impl FnMut(Entry)) {
        self.cool(number);
        if let Some(chunk) = self.packed.remove(&number) {
            self.count -= u64::from(chunk.count);
            self.packed_bytes -= chunk.memory();
            chunk.entries(number).for_each(&mut *removed);
        }
        if let Some(at) = self.open.iter().position(|(open, _)| *open == number) {
            let (_, chunk) = self.open.remove(at);
            self.count -= chunk.len() as u64;
            chunk.into_iter().for_each(removed);
        }
    }

    /// The entry is no more in the chunk that was read last.
    fn forget_hot(&mut self, number: u64, seq: Seq) {
        if let Some(hot) = self.hot.get_mut().as_mut().filter(|hot| hot.number == number)
            && let Ok(at) = hot.entries.binary_search_by_key(&seq, |entry| entry.seq)
        {
            hot.entries.remove(at);
        }
    }

    /// The chunk is about to change.
    fn cool(&mut self, number: u64) {
        let hot = self.hot.get_mut();
        if hot.as_ref().is_some_and(|hot| hot.number == number) {
            *hot = None;
        }
    }

    /// Live messages from `from` on. Costs a step per chunk on the shorter side.
    pub fn count_from(&self, from: Seq) -> u64 {
        let number = from.0 / CHUNK;
        let first = self.chunk_from(0).unwrap_or(0);
        let last = self.chunk_before(u64::MAX).unwrap_or(0);
        let is_nearer_end = last.saturating_sub(number) < number.saturating_sub(first);
        let beside = match is_nearer_end {
            true => self.count_chunks(|chunk| chunk > number, self.packed.range(number..)),
            false => self.count_chunks(|chunk| chunk < number, self.packed.range(..number)),
        };
        let count_in = |wanted: &dyn Fn(Seq) -> bool| match self.open_chunk(number) {
            Some(chunk) => chunk.iter().filter(|entry| wanted(entry.seq)).count() as u64,
            None => self.unpack(number).filter(|entry| wanted(entry.seq)).count() as u64,
        };
        match is_nearer_end {
            true => beside + count_in(&|seq| seq >= from),
            false => self.count - beside - count_in(&|seq| seq < from),
        }
    }

    fn count_chunks<'a>(
        &self,
        wanted: impl Fn(u64) -> bool,
        packed: impl Iterator<Item = (&'a u64, &'a Packed)>,
    ) -> u64 {
        let packed = packed.filter(|(number, _)| wanted(**number));
        let packed: u64 = packed.map(|(_, chunk)| u64::from(chunk.count)).sum();
        let open = self.open.iter().filter(|(number, _)| wanted(*number));
        packed + open.map(|(_, chunk)| chunk.len() as u64).sum::<u64>()
    }

    /// The first live message from `from` on.
    pub fn next(&self, from: Seq) -> Option<Entry> {
        let mut found = None;
        self.walk(from, |entry| {
            found = Some(entry);
            ControlFlow::Break(())
        });
        found
    }

    /// The last live message up to `from`.
    pub fn previous(&self, from: Seq) -> Option<Entry> {
        let mut found = None;
        self.walk_back(from, |entry| {
            found = Some(entry);
            ControlFlow::Break(())
        });
        found
    }

    fn open_chunk(&self, number: u64) -> Option<&Vec<Entry>> {
        self.open.iter().find(|(open, _)| *open == number).map(|(_, chunk)| chunk)
    }

    fn unpack(&self, number: u64) -> impl Iterator<Item = Entry> {
        self.packed.get(&number).into_iter().flat_map(move |chunk| chunk.entries(number))
    }

    /// The first chunk from a number on.
    fn chunk_from(&self, number: u64) -> Option<u64> {
        let is_hot = || self.hot.borrow().as_ref().is_some_and(|hot| hot.number == number);
        if self.open.last().is_some_and(|(open, _)| *open == number) || is_hot() {
            return Some(number);
        }
        let open = self.open.iter().map(|(open, _)| *open).filter(|open| *open >= number).min();
        let packed = self.packed.range(number..).next().map(|(number, _)| *number);
        open.into_iter().chain(packed).min()
    }

    fn chunk_before(&self, end: u64) -> Option<u64> {
        let open = self.open.iter().map(|(open, _)| *open).filter(|open| *open < end).max();
        let packed = self.packed.range(..end).next_back().map(|(number, _)| *number);
        open.into_iter().chain(packed).max()
    }

    /// The chunk laid open and most recently used; another is packed for it if need be.
    fn open(&mut self, number: u64) -> &mut Vec<Entry> {
        self.is_used.set(true);
        let is_last = self.open.last().is_some_and(|(open, _)| *open == number);
        if is_last {
            // As it is.
        } else if let Some(at) = self.open.iter().position(|(open, _)| *open == number) {
            let chunk = self.open.remove(at);
            self.open.push(chunk);
        } else {
            self.cool(number);
            if self.open.len() >= INDEX_OPEN_CHUNKS {
                let (oldest, chunk) = self.open.remove(0);
                self.pack(oldest, &chunk);
            }
            let chunk = self.packed.remove(&number);
            let chunk = match chunk {
                Some(packed) => {
                    self.packed_bytes -= packed.memory();
                    packed.entries(number).collect()
                }
                None => Vec::new(),
            };
            self.open.push((number, chunk));
        }
        let last = self.open.len() - 1;
        &mut self.open[last].1
    }

    fn pack(&mut self, number: u64, chunk: &[Entry]) {
        if chunk.is_empty() {
            return;
        }
        let packed = Packed { bytes: chunk::pack(chunk), count: chunk.len() as u16, dead: None };
        self.packed_bytes += packed.memory();
        self.packed.insert(number, packed);
    }

    /// Packs everything that lies open if nothing was used since the last call.
    pub fn cool_down(&mut self) {
        if self.is_used.replace(false) {
            return;
        }
        self.hot.take();
        for (number, chunk) in std::mem::take(&mut self.open) {
            self.pack(number, &chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ids::{Place, SegmentNo};
    use crate::storage::index::SubjectId;
    use crate::storage::record::Form;
    use proptest::prelude::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq: Seq(seq),
            place: Place { segment: SegmentNo(1), offset: seq as u32 * 7, len: 7 },
            subject: SubjectId(seq as u32 % 3),
            form: Form { has_headers: seq.is_multiple_of(5), saved: seq as u32 % 2 },
        }
    }

    #[test]
    fn a_run_is_as_its_entries() {
        let (mut one_by_one, mut at_once) = (Sequences::default(), Sequences::default());
        for first in [3, 255, 4000] {
            let first = Entry { subject: SubjectId(1), form: Form::default(), ..entry(first) };
            let count = 700 - first.seq.0 as u32 % 256;
            let above = one_by_one.previous(Seq(u64::MAX / 2)).map_or(Seq(0), |last| last.seq);
            let first = Entry { seq: first.seq.max(above.next()), ..first };
            (0..count).for_each(|n| assert_eq!(one_by_one.insert(first.after(n)), None));
            at_once.extend(first, count);
        }
        assert_eq!(one_by_one.len(), at_once.len());
        let all = |sequences: &Sequences| {
            let mut all = Vec::new();
            sequences.walk(Seq(0), |entry| {
                all.push(entry);
                ControlFlow::Continue(())
            });
            all
        };
        assert_eq!(all(&one_by_one), all(&at_once));
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(
            filled in 0u64..4000,
            steps in proptest::collection::vec((0u64..4000, any::<bool>(), 0u8..20), 1..400),
        ) {
            let mut real = Sequences::default();
            let mut model = BTreeMap::new();
            for seq in 0..filled {
                real.insert(entry(seq));
                model.insert(seq, entry(seq));
            }
            for (seq, add, cool) in steps {
                if cool == 0 {
                    real.cool_down();
                    real.cool_down();
                    prop_assert!(real.open.is_empty());
                }
                if add {
                    prop_assert_eq!(real.insert(entry(seq)), model.insert(seq, entry(seq)));
                } else {
                    prop_assert_eq!(real.remove(Seq(seq)), model.remove(&seq));
                }
                prop_assert_eq!(real.len(), model.len() as u64);
                let next = model.range(seq..).next().map(|(_, entry)| *entry);
                prop_assert_eq!(real.next(Seq(seq)), next);
                let previous = model.range(..=seq).next_back().map(|(_, entry)| *entry);
                prop_assert_eq!(real.previous(Seq(seq)), previous);
                prop_assert_eq!(real.get(Seq(seq)), model.get(&seq).copied());
                prop_assert_eq!(real.get_among(Seq(seq)), model.get(&seq).copied());
                let count = model.range(seq..).count() as u64;
                prop_assert_eq!(real.count_from(Seq(seq)), count);
                let packed: usize = real.packed.values().map(Packed::memory).sum();
                prop_assert_eq!(real.packed_bytes, packed);
            }
        }
    }
}
