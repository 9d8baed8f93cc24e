//! Message ids seen within the duplicate window (facts/jetstream-api.md §4).

use std::collections::VecDeque;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::storage::Seq;
use crate::types::limits::{DEDUP_IDS_MAX, DEDUP_PAUSE_NS};

/// Ids looked at for expiry with each new one: twice what comes in, so what is expired shrinks.
const EXPIRED_PER_INSERT: usize = 2;

/// What an empty table may keep for the next ids.
const CAPACITY_KEPT: usize = 4096;

/// An id by its 128-bit hash: two ids are taken for one with a chance of 2⁻⁹⁰ at a billion ids.
#[derive(Clone, Copy, Debug)]
struct Known {
    hash: u128,
    seq: Seq,
    /// Nanoseconds since 1970.
    time: u64,
}

/// About 40 bytes per id; the length of an id does not matter.
#[derive(Debug)]
pub struct Dedup {
    window_ns: u64,
    seed: u64,
    /// Oldest first.
    known: VecDeque<Known>,
    /// Number of the oldest, counted from the first ever; wraps around.
    base: u32,
    /// Numbers of ids, by hash.
    table: HashTable<u32>,
}

impl Dedup {
    /// A window of 0 knows no duplicates.
    pub fn new(window_ns: u64, seed: u64) -> Self {
        Self { window_ns, seed, known: VecDeque::new(), base: 0, table: HashTable::new() }
    }

    pub fn window_ns(&self) -> u64 {
        self.window_ns
    }

    /// The window changed: what is older than the new one is no duplicate any more.
    pub fn set_window(&mut self, window_ns: u64) {
        self.window_ns = window_ns;
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// No more ids may be remembered: a publish with one is refused until old ones expire.
    pub fn is_full(&self) -> bool {
        self.known.len() >= DEDUP_IDS_MAX
    }

    /// The sequence under which the id was stored within the window.
    pub fn find(&self, id: &[u8], now_ns: u64) -> Option<Seq> {
        let hash = self.hash(id);
        let known = self.get(hash)?;
        (!self.is_expired(known, now_ns)).then_some(known.seq)
    }

    /// Remembers an id. Times must not decrease.
    pub fn insert(&mut self, id: &[u8], seq: Seq, time: u64) {
        if self.window_ns == 0 {
            return;
        }
        self.expire(time, EXPIRED_PER_INSERT);
        let hash = self.hash(id);
        let number = self.base.wrapping_add(self.known.len() as u32);
        self.known.push_back(Known { hash, seq, time });
        let (known, base) = (&self.known, self.base);
        let of = |number: u32| known[number.wrapping_sub(base) as usize].hash;
        match self.table.find_mut(hash as u64, |&other| of(other) == hash) {
            // An expired one of the same id still stands in the queue; the new one counts.
            Some(slot) => *slot = number,
            None => {
                self.table.insert_unique(hash as u64, number, |&other| of(other) as u64);
            }
        }
    }

    /// Forgets at most `budget` expired ids. False: there are more.
    pub fn expire(&mut self, now_ns: u64, budget: usize) -> bool {
        for _ in 0..budget {
            match self.known.front() {
                Some(oldest) if self.is_expired(oldest, now_ns) => self.forget_oldest(),
                _ => return true,
            }
        }
        self.known.front().is_none_or(|oldest| !self.is_expired(oldest, now_ns))
    }

    /// When it is worth while to forget ids, in nanoseconds since 1970.
    pub fn expires_at(&self) -> Option<u64> {
        let oldest = self.known.front()?;
        Some(oldest.time.saturating_add(self.window_ns).saturating_add(DEDUP_PAUSE_NS))
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.known.capacity() * size_of::<Known>() + self.table.capacity() * 5
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.known.pop_front() else { return };
        let number = self.base;
        self.base = self.base.wrapping_add(1);
        if let Ok(entry) = self.table.find_entry(oldest.hash as u64, |&other| other == number) {
            entry.remove();
        }
        if self.known.is_empty() && self.known.capacity() > CAPACITY_KEPT {
            *self = Self::new(self.window_ns, self.seed);
        }
    }

    fn get(&self, hash: u128) -> Option<&Known> {
        let of = |number: u32| &self.known[number.wrapping_sub(self.base) as usize];
        self.table.find(hash as u64, |&number| of(number).hash == hash).map(|&number| of(number))
    }

    fn is_expired(&self, known: &Known, now_ns: u64) -> bool {
        known.time.saturating_add(self.window_ns) <= now_ns
    }

    fn hash(&self, id: &[u8]) -> u128 {
        xxh3_128_with_seed(id, self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_within_the_window() {
        let mut dedup = Dedup::new(100, 1);
        dedup.insert(b"a", Seq(1), 0);
        dedup.insert(b"b", Seq(2), 50);
        assert_eq!(dedup.find(b"a", 99), Some(Seq(1)));
        assert_eq!(dedup.find(b"a", 100), None);
        assert_eq!(dedup.find(b"b", 100), Some(Seq(2)));
        assert_eq!(dedup.find(b"c", 0), None);
        assert_eq!(dedup.expires_at(), Some(100 + DEDUP_PAUSE_NS));
    }

    #[test]
    fn an_id_that_comes_again_after_the_window_counts_anew() {
        let mut dedup = Dedup::new(100, 1);
        dedup.insert(b"x", Seq(1), 0);
        dedup.insert(b"y", Seq(2), 0);
        dedup.insert(b"z", Seq(3), 1);
        // Two were forgotten on the way in; the third is expired but still there.
        dedup.insert(b"z", Seq(4), 200);
        assert_eq!(dedup.find(b"z", 200), Some(Seq(4)));
        assert!(dedup.expire(200, 10));
        assert_eq!(dedup.find(b"z", 200), Some(Seq(4)));
        assert_eq!(dedup.len(), 1);
    }

    #[test]
    fn expiry_stops_at_its_budget() {
        let mut dedup = Dedup::new(10, 1);
        for n in 0..10u64 {
            dedup.insert(&n.to_le_bytes(), Seq(n), 0);
        }
        assert!(!dedup.expire(100, 4));
        assert_eq!(dedup.len(), 6);
        assert!(dedup.expire(100, 6));
        assert_eq!((dedup.len(), dedup.expires_at()), (0, None));
    }

    #[test]
    fn numbers_wrap_around() {
        let mut dedup = Dedup::new(10, 1);
        dedup.base = u32::MAX - 1;
        for n in 0..5u64 {
            dedup.insert(&n.to_le_bytes(), Seq(n), 0);
        }
        for n in 0..5u64 {
            assert_eq!(dedup.find(&n.to_le_bytes(), 5), Some(Seq(n)));
        }
        assert!(!dedup.expire(10, 3));
        assert_eq!(dedup.find(&4u64.to_le_bytes(), 5), Some(Seq(4)));
    }
}
