//! Fan-outs of the subjects in use. An entry is dropped by nobody when interest changes: it
//! carries the time it was made, and is stale once a generation it depends on is younger.

use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::fanout::Fanout;
use super::hashing::{BUCKETS, PatternHash};
use crate::types::AccountId;

/// Fan-out entries that the cache may hold per subject on average: a shard with huge fan-outs
/// remembers few of them, and pays little for it beside delivering to so many.
const WEIGHT_PER_SUBJECT: usize = 64;
/// A full cache without stale entries gives up one in so many.
const EVICTED_SHARE: u64 = 8;

pub struct Cache {
    entries: HashTable<Cached>,
    subjects_max: usize,
    weight: usize,
    /// Hashes seen once, direct-mapped: a subject enters when seen again.
    door: Vec<u32>,
    coin: u64,
    generations: Generations,
    evicted_next: u64,
    hits: u64,
}

struct Cached {
    hash: u64,
    account: AccountId,
    /// Of (account, first token).
    bucket: u32,
    /// The clock when it was made.
    made: u64,
    subject: Box<[u8]>,
    fanout: Rc<Fanout>,
}

/// When patterns that start with a token changed, and when those that start with a wildcard.
struct Generations {
    /// Counts changes.
    clock: u64,
    tokens: Vec<u64>,
    wildcards: u64,
}

impl Cache {
    pub fn new(subjects_max: usize) -> Self {
        Self {
            entries: HashTable::new(),
            subjects_max,
            weight: 0,
            door: vec![0; subjects_max.next_power_of_two()],
            coin: 0,
            generations: Generations { clock: 0, tokens: vec![0; BUCKETS], wildcards: 0 },
            evicted_next: 0,
            hits: 0,
        }
    }

    /// `hash` is of account and subject. One probe, one comparison.
    #[inline]
    pub fn hit(&mut self, hash: u64, account: AccountId, subject: &[u8]) -> Option<Rc<Fanout>> {
        let cached = self.entries.find(hash, |cached| cached.is(hash, account, subject))?;
        if !self.generations.is_fresh(cached) {
            return None;
        }
        self.hits += 1;
        Some(Rc::clone(&cached.fanout))
    }

    /// Whether a subject that missed is worth remembering: it was seen before.
    pub fn admits(&mut self, hash: u64) -> bool {
        let at = hash as usize & (self.door.len() - 1);
        let tag = (hash >> 32) as u32 | 1;
        let seen = self.door[at];
        // A coin, or two subjects that share a place and alternate would both stay outside.
        self.coin = self.coin.wrapping_add(0x9E37_79B9_7F4A_7C15);
        if seen == 0 || (self.coin ^ hash) >> 63 == 0 {
            self.door[at] = tag;
        }
        seen == tag
    }

    pub fn insert(
        &mut self,
        hash: u64,
        account: AccountId,
        subject: &[u8],
        bucket: usize,
        fanout: Rc<Fanout>,
    ) {
        let weight = fanout.weight();
        let weight_max = self.subjects_max * WEIGHT_PER_SUBJECT;
        if self.subjects_max == 0 || weight > weight_max / 8 {
            return;
        }
        if self.entries.len() >= self.subjects_max || self.weight + weight > weight_max {
            self.sweep();
        }
        let made = self.generations.clock;
        let is_same = |cached: &Cached| cached.is(hash, account, subject);
        match self.entries.entry(hash, is_same, |cached| cached.hash) {
            Entry::Occupied(mut stale) => {
                let stale = stale.get_mut();
                self.weight -= stale.fanout.weight();
                (stale.made, stale.fanout) = (made, fanout);
            }
            Entry::Vacant(vacant) => {
                let (bucket, subject) = (bucket as u32, subject.into());
                vacant.insert(Cached { hash, account, bucket, made, subject, fanout });
            }
        }
        self.weight += weight;
    }

    /// Interest in a pattern changed: what is known of the subjects it may cover is stale.
    #[inline]
    pub fn changed(&mut self, pattern: PatternHash) {
        let Generations { clock, tokens, wildcards } = &mut self.generations;
        *clock += 1;
        match pattern {
            PatternHash::Plain(hash) => tokens[hash.bucket()] = *clock,
            PatternHash::Wild { bucket: Some(bucket) } => tokens[bucket] = *clock,
            PatternHash::Wild { bucket: None } => *wildcards = *clock,
        }
    }

    pub fn hits(&self) -> u64 {
        self.hits
    }

    pub fn fresh(&self) -> impl Iterator<Item = &Fanout> {
        let fresh = self.entries.iter().filter(|cached| self.generations.is_fresh(cached));
        fresh.map(|cached| &*cached.fanout)
    }

    /// Makes room: what is stale goes; if that is little, some of the rest goes too, another
    /// share each time.
    fn sweep(&mut self) {
        let room = (self.subjects_max / EVICTED_SHARE as usize).max(1);
        let generations = &self.generations;
        self.entries.retain(|cached| generations.is_fresh(cached));
        self.weigh();
        let weight_max = self.subjects_max * WEIGHT_PER_SUBJECT;
        for _ in 0..EVICTED_SHARE {
            let is_roomy = self.entries.len() + room <= self.subjects_max
                && self.weight <= weight_max - weight_max / EVICTED_SHARE as usize;
            if is_roomy {
                return;
            }
            self.evicted_next += 1;
            let evicted = self.evicted_next % EVICTED_SHARE;
            self.entries.retain(|cached| (cached.hash >> 40) % EVICTED_SHARE != evicted);
            self.weigh();
        }
    }

    fn weigh(&mut self) {
        self.weight = self.entries.iter().map(|cached| cached.fanout.weight()).sum();
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl Cached {
    #[inline]
    fn is(&self, hash: u64, account: AccountId, subject: &[u8]) -> bool {
        self.hash == hash && self.account == account && *self.subject == *subject
    }
}

impl Generations {
    #[inline]
    fn is_fresh(&self, cached: &Cached) -> bool {
        self.tokens[cached.bucket as usize] <= cached.made && self.wildcards <= cached.made
    }
}
