//! Queue groups: the members of one queue name on one pattern, here and on other shards.

use std::rc::Rc;

use super::fanout::{Fanout, GroupFanout};
use super::hash_index::HashIndex;
use super::hashing::Hashing;
use super::slab::Slab;
use super::subscription::SubKey;
use crate::types::ShardId;

#[derive(Default)]
pub struct QueueGroups {
    groups: Slab<Group>,
    /// (pattern, queue name) → group.
    index: HashIndex,
    /// Queue names are few and shared by many groups.
    names: Slab<Name>,
    /// Queue name → its key.
    name_index: HashIndex,
    /// Groups of the message being routed, by name.
    matching: Vec<(u32, GroupKey)>,
    /// Pairs of (group, other shard).
    remote: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupKey(pub u32);

pub struct Group {
    pattern: u32,
    name: u32,
    /// Its place in the pattern's list of groups.
    pub position: u32,
    pub local: Vec<SubKey>,
    remote: Vec<(ShardId, u32)>,
}

struct Name {
    text: Rc<[u8]>,
    groups: u32,
}

impl QueueGroups {
    pub fn find(&self, hashing: &Hashing, pattern: u32, queue: &[u8]) -> Option<GroupKey> {
        let name = self.find_name(hashing.token(queue), queue)?;
        let found = self.index.find(hash(pattern, name)).find(|&key| {
            let group = self.groups.get(key);
            group.pattern == pattern && group.name == name
        });
        found.map(GroupKey)
    }

    /// `position`: its place in the pattern's list.
    pub fn insert(
        &mut self,
        hashing: &Hashing,
        pattern: u32,
        queue: &[u8],
        position: u32,
    ) -> GroupKey {
        let name_hash = hashing.token(queue);
        let name = match self.find_name(name_hash, queue) {
            Some(name) => name,
            None => {
                let name = self.names.insert(Name { text: queue.into(), groups: 0 });
                self.name_index.insert(name_hash, name);
                name
            }
        };
        self.names.get_mut(name).groups += 1;
        let (local, remote) = (Vec::new(), Vec::new());
        let key = self.groups.insert(Group { pattern, name, position, local, remote });
        self.index.insert(hash(pattern, name), key);
        GroupKey(key)
    }

    /// The group has no members left.
    pub fn remove(&mut self, hashing: &Hashing, key: GroupKey) -> Group {
        let group = self.groups.remove(key.0);
        self.index.remove(hash(group.pattern, group.name), key.0);
        let name = self.names.get_mut(group.name);
        name.groups -= 1;
        if name.groups == 0 {
            let Name { text, .. } = self.names.remove(group.name);
            self.name_index.remove(hashing.token(&text), group.name);
        }
        group
    }

    fn find_name(&self, name_hash: u64, queue: &[u8]) -> Option<u32> {
        self.name_index.find(name_hash).find(|&name| *self.names.get(name).text == *queue)
    }

    pub fn get(&self, key: GroupKey) -> &Group {
        self.groups.get(key.0)
    }

    pub fn get_mut(&mut self, key: GroupKey) -> &mut Group {
        self.groups.get_mut(key.0)
    }

    pub fn name(&self, key: GroupKey) -> &Rc<[u8]> {
        &self.names.get(self.groups.get(key.0).name).text
    }

    pub fn set_remote(&mut self, key: GroupKey, shard: ShardId, members: u32) {
        let remote = &mut self.groups.get_mut(key.0).remote;
        self.remote -= remote.len();
        match remote.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, count)) => *count = members,
            None => remote.push((shard, members)),
        }
        remote.retain(|&(_, members)| members != 0);
        self.remote += remote.len();
    }

    pub fn remote_len(&self) -> usize {
        self.remote
    }

    pub fn is_matching(&mut self, key: GroupKey) {
        self.matching.push((self.groups.get(key.0).name, key));
    }

    #[cfg(test)]
    pub fn is_clean(&self) -> bool {
        self.groups.len() + self.index.len() + self.names.len() + self.name_index.len() == 0
    }

    /// Groups of one name become one, over all the patterns that match.
    pub fn gather(&mut self, fanout: &mut Fanout) {
        self.matching.sort_unstable();
        for run in self.matching.chunk_by(|a, b| a.0 == b.0) {
            let target: &mut GroupFanout = fanout.open_group(&self.names.get(run[0].0).text);
            for &(_, key) in run {
                let group = self.groups.get(key.0);
                target.local.extend_from_slice(&group.local);
                for &(shard, members) in &group.remote {
                    target.add_remote(shard, members);
                }
            }
        }
        self.matching.clear();
    }
}

impl Group {
    pub fn pattern(&self) -> u32 {
        self.pattern
    }

    pub fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remote.is_empty()
    }
}

/// Keys are given out here, so nobody outside can make them collide.
fn hash(pattern: u32, name: u32) -> u64 {
    let mixed = (u64::from(pattern) << 32 | u64::from(name)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}
