//! What is wanted, here and on the other shards, and by whom.
//!
//! Literal and `prefix.*` patterns of others are known by hash only; all else stands beside this
//! shard's own patterns, so that one look-up answers for both.

use super::cache::Cache;
use super::changes::Change;
use super::fanout::Fanout;
use super::hash_index::HashIndex;
use super::hashing::{Hashing, InterestHash, PatternHash};
use super::queue_group::{GroupKey, QueueGroups};
use super::sublist::{SubjectHashes, Sublist, sole_shard};
use crate::types::ShardSet;
use crate::types::pattern::Shape;
use crate::types::{AccountId, Pattern, ShardId, Subject};

/// What is wanted, here and elsewhere.
pub struct Interest {
    pub hashing: Hashing,
    pub sublist: Sublist,
    pub groups: QueueGroups,
    remote: RemoteHashes,
    /// Patterns of the message being routed.
    matching: Vec<u32>,
}

impl Interest {
    pub fn new(hash_seed: u64) -> Self {
        Self {
            hashing: Hashing::new(hash_seed),
            sublist: Sublist::default(),
            groups: QueueGroups::default(),
            remote: RemoteHashes::default(),
            matching: Vec::new(),
        }
    }

    /// Fills `fanout`. `hash` is of account and subject, `bucket` of its first token.
    pub fn resolve(
        &mut self,
        account: AccountId,
        subject: Subject<'_>,
        hash: u64,
        bucket: usize,
        fanout: &mut Fanout,
    ) {
        fanout.clear();
        let hashes = SubjectHashes::new(&self.hashing, account, subject.bytes(), hash, bucket);
        let Self { hashing, sublist, groups, remote, matching, .. } = self;
        fanout.remote = remote.shards(hashes.literal);
        if let Some(prefix) = hashes.prefix {
            fanout.remote = fanout.remote.union(remote.shards(prefix));
        }
        sublist.find_matches(hashing, account, subject, hashes, matching);
        for &key in &*matching {
            if let Some(shard) = sole_shard(key) {
                fanout.remote.insert(shard);
                continue;
            }
            fanout.plain.extend_from_slice(sublist.plain(key));
            if let Some(extra) = sublist.extra(key) {
                fanout.remote = fanout.remote.union(extra.remote);
                extra.groups.iter().for_each(|&group| groups.is_matching(group));
            }
        }
        matching.clear();
        groups.gather(fanout);
    }

    pub fn apply(&mut self, cache: &mut Cache, from: ShardId, change: Change<'_>) {
        match change {
            Change::Hash { hash, wanted } => {
                self.remote.set(hash, from, wanted);
                cache.changed(PatternHash::Plain(hash));
            }
            Change::Wild { account, pattern, wanted } => {
                let hash = self.pattern_hash(account, pattern);
                let change = (from, wanted);
                self.sublist.set_remote(&self.hashing, account, pattern, hash, change);
                cache.changed(hash);
            }
            Change::Queue { account, pattern, queue, members } => {
                let hash = self.pattern_hash(account, pattern);
                let key = self.sublist.find_or_insert(&self.hashing, account, pattern, hash);
                let (sublist, groups) = (&mut self.sublist, &mut self.groups);
                let group = find_or_insert_group(&self.hashing, sublist, groups, key, queue);
                groups.set_remote(group, from, members);
                self.release_group(group);
                self.sublist.release(&self.hashing, key, hash);
                cache.changed(hash);
            }
        }
    }

    /// Whether another shard has a subscription to this very subject, not to a pattern it matches.
    pub fn is_named_elsewhere(&self, account: AccountId, subject: Subject<'_>) -> bool {
        match self.hashing.pattern(account, subject.bytes(), false) {
            PatternHash::Plain(hash) => !self.remote.shards(hash).is_empty(),
            PatternHash::Wild { .. } => false,
        }
    }

    pub fn pattern_hash(&self, account: AccountId, pattern: Pattern<'_>) -> PatternHash {
        self.hashing.pattern(account, pattern.bytes(), pattern.shape() == Shape::Wild)
    }

    /// Forgets the group if it has no members left anywhere.
    pub fn release_group(&mut self, key: GroupKey) {
        if !self.groups.get(key).is_empty() {
            return;
        }
        let group = self.groups.remove(&self.hashing, key);
        let siblings = &mut self.sublist.extra_mut(group.pattern()).groups;
        siblings.swap_remove(group.position as usize);
        if let Some(&moved) = siblings.get(group.position as usize) {
            self.groups.get_mut(moved).position = group.position;
        }
    }

    pub fn remote_len(&self) -> usize {
        self.remote.len() + self.sublist.remote_len() + self.groups.remote_len()
    }
}

pub fn find_or_insert_group(
    hashing: &Hashing,
    sublist: &mut Sublist,
    groups: &mut QueueGroups,
    pattern: u32,
    queue: &[u8],
) -> GroupKey {
    if let Some(key) = groups.find(hashing, pattern, queue) {
        return key;
    }
    let siblings = &mut sublist.extra_mut(pattern).groups;
    let key = groups.insert(hashing, pattern, queue, siblings.len() as u32);
    siblings.push(key);
    key
}

/// Plain interest of other shards in `Literal` and `PrefixStar` patterns.
#[derive(Default)]
pub struct RemoteHashes(HashIndex);

impl RemoteHashes {
    /// Told twice is told once.
    pub fn set(&mut self, hash: InterestHash, shard: ShardId, wanted: bool) {
        let value = Self::value(hash, shard);
        if !wanted {
            self.0.remove(hash.0, value);
        } else if !self.0.contains(hash.0, value) {
            self.0.insert(hash.0, value);
        }
    }

    #[inline]
    pub fn shards(&self, hash: InterestHash) -> ShardSet {
        let mut shards = ShardSet::default();
        // The index compares 40 bits of the hash; the value has the other 24.
        let rest = Self::value(hash, ShardId(0));
        for value in self.0.find(hash.0).filter(|value| value & !0xFF == rest) {
            shards.insert(ShardId((value & 0xFF) as u16));
        }
        shards
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn value(hash: InterestHash, shard: ShardId) -> u32 {
        (hash.0 as u32) << 8 | u32::from(shard.0)
    }
}
