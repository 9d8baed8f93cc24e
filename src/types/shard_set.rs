//! A set of shards in one word.

use std::fmt;

use super::ShardId;
use super::limits::SHARDS_MAX;

/// A set of shards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ShardSet(u64);

const _: () = assert!(SHARDS_MAX == u64::BITS as usize);

impl ShardSet {
    pub const ALL: Self = Self(u64::MAX);

    pub fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard.0;
    }

    #[must_use]
    pub fn with(self, shard: ShardId) -> Self {
        Self(self.0 | 1 << shard.0)
    }

    #[must_use]
    pub fn without(self, shard: ShardId) -> Self {
        Self(self.0 & !(1 << shard.0))
    }

    pub fn contains(self, shard: ShardId) -> bool {
        self.0 >> shard.0 & 1 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// For frames between cores.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Ascending.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let shard = rest.trailing_zeros();
            rest &= rest.checked_sub(1)?;
            Some(ShardId(shard as u16))
        })
    }
}

impl fmt::Debug for ShardSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_sets_list_their_members() {
        let mut set = ShardSet::default();
        for shard in [2, 63, 0].map(ShardId) {
            set.insert(shard);
        }
        assert!(set.contains(ShardId(2)) && !set.contains(ShardId(1)));
        assert!(set.iter().eq([0, 2, 63].map(ShardId)));
    }
}
