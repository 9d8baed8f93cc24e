//! Batches that are stored whole or not at all (facts/jetstream-api.md §5).

use std::collections::{BTreeMap, BTreeSet};

/// What a batch already has that a further message belongs to. A publish by itself has nothing.
#[derive(Debug)]
pub(super) struct Staged {
    messages: u64,
    bytes: u64,
    subjects: BTreeMap<Box<[u8]>, u64>,
    ids: BTreeSet<Box<[u8]>>,
}

pub(super) static NOTHING: Staged =
    Staged { messages: 0, bytes: 0, subjects: BTreeMap::new(), ids: BTreeSet::new() };

impl Staged {
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// By the formula of the limits.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn has_subject(&self, subject: &[u8]) -> bool {
        self.subjects.contains_key(subject)
    }

    pub fn of_subject(&self, subject: &[u8]) -> u64 {
        self.subjects.get(subject).copied().unwrap_or(0)
    }
}
