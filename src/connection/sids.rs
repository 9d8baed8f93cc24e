//! A connection's subscriptions by the client's own name for them.
//!
//! The text of a sid is stored once, with the subscription; here are 4-byte keys hashed by it.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::routing::{Router, SubKey};

#[derive(Debug, Default)]
pub struct Sids {
    table: HashTable<SubKey>,
}

impl Sids {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn find(&self, sid: &[u8], hasher: &impl BuildHasher, router: &Router) -> Option<SubKey> {
        let same = |key: &SubKey| router.subscription(*key).sid() == sid;
        self.table.find(hasher.hash_one(sid), same).copied()
    }

    /// Adds a subscription whose sid is not in the table yet.
    pub fn insert(&mut self, key: SubKey, hasher: &impl BuildHasher, router: &Router) {
        let hash = |key: &SubKey| hasher.hash_one(router.subscription(*key).sid());
        self.table.insert_unique(hash(&key), key, hash);
    }

    /// Forgets a subscription that the router still knows.
    pub fn remove(&mut self, key: SubKey, hasher: &impl BuildHasher, router: &Router) {
        let hash = hasher.hash_one(router.subscription(key).sid());
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == key) {
            entry.remove();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = SubKey> {
        self.table.iter().copied()
    }

    /// Places of the table; it grows as subscriptions come.
    pub fn buckets(&self) -> usize {
        self.table.num_buckets()
    }

    pub fn in_bucket(&self, bucket: usize) -> Option<SubKey> {
        self.table.get_bucket(bucket).copied()
    }

    /// Empties the table.
    pub fn take(&mut self) -> Vec<SubKey> {
        let keys = self.table.iter().copied().collect();
        self.table = HashTable::new();
        keys
    }
}
