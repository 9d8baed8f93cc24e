//! What is wanted, here and on the other shards, and by whom.
//!
//! Literal and `prefix.*` patterns of others are known by hash only; all else stands beside this
//! shard's own patterns, so that one look-up answers for both.

use super::cache::Cache;
use super::changes::Change;
use super::fanout::Fanout;
use super::hash_index::HashIndex;
use super::hashing::{Hashing, InterestHash};
use super::queue_group::{GroupKey, QueueGroups};
use super::shard_set::ShardSet;
use super::sublist::{SubjectHashes, Sublist};
use crate::types::subject::SEPARATOR;
use crate::types::{AccountId, ShardId, Subject};

/// What is wanted, here and elsewhere.
pub struct Interest {
    pub hashing: Hashing,
    pub sublist: Sublist,
    pub groups: QueueGroups,
    remote: RemoteHashes,
    /// Pairs of (true wildcard, other shard).
    remote_wild: usize,
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
            remote_wild: 0,
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
                cache.changed(hash.bucket());
            }
            Change::Wild { account, pattern, wanted } => {
                let key = self.sublist.find_or_insert(&self.hashing, account, pattern);
                let shards = &mut self.sublist.extra_mut(key).remote;
                self.remote_wild -= shards.len();
                if wanted {
                    shards.insert(from);
                } else {
                    shards.remove(from);
                }
                self.remote_wild += shards.len();
                self.release(key);
                self.invalidate(cache, account, pattern.bytes());
            }
            Change::Queue { account, pattern, queue, members } => {
                let key = self.sublist.find_or_insert(&self.hashing, account, pattern);
                let (sublist, groups) = (&mut self.sublist, &mut self.groups);
                let group = find_or_insert_group(sublist, groups, key, queue);
                groups.set_remote(group, from, members);
                self.release_group(group);
                self.release(key);
                self.invalidate(cache, account, pattern.bytes());
            }
        }
    }

    /// Forgets the pattern if nobody wants it any more.
    pub fn release(&mut self, pattern: u32) {
        self.sublist.release(&self.hashing, pattern);
    }

    /// Forgets the group if it has no members left anywhere.
    pub fn release_group(&mut self, key: GroupKey) {
        if !self.groups.get(key).is_empty() {
            return;
        }
        let group = self.groups.remove(key);
        let siblings = &mut self.sublist.extra_mut(group.pattern()).groups;
        siblings.swap_remove(group.position as usize);
        if let Some(&moved) = siblings.get(group.position as usize) {
            self.groups.get_mut(moved).position = group.position;
        }
    }

    /// Interest in a pattern changed: what the cache says of the subjects it covers is stale.
    pub fn invalidate(&self, cache: &mut Cache, account: AccountId, pattern: &[u8]) {
        match pattern {
            [b'*' | b'>'] | [b'*', SEPARATOR, ..] => cache.changed_everywhere(),
            _ => cache.changed(self.hashing.bucket(account, pattern)),
        }
    }

    pub fn remote_len(&self) -> usize {
        self.remote.len() + self.remote_wild + self.groups.remote_len()
    }
}

pub fn find_or_insert_group(
    sublist: &mut Sublist,
    groups: &mut QueueGroups,
    pattern: u32,
    queue: &[u8],
) -> GroupKey {
    if let Some(key) = groups.find(pattern, queue) {
        return key;
    }
    let siblings = &mut sublist.extra_mut(pattern).groups;
    let key = groups.insert(pattern, queue, siblings.len() as u32);
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
