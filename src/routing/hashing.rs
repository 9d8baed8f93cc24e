//! The hashes that all shards share. The seed is random per process, against flooding.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::types::AccountId;
use crate::types::subject::SEPARATOR;

/// Cache generations: one per bucket of (account, first token).
pub const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 12;
const PREFIX_BIT: u64 = 1 << BUCKET_BITS;
const HASH_MASK: u64 = !(PREFIX_BIT * 2 - 1);

/// What a shard tells the others of a `Literal` or `PrefixStar` pattern: 51 bits of hash, one
/// for the shape, and the cache bucket, so that patterns that collide share their bucket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct InterestHash(pub u64);

/// What a pattern is found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatternHash {
    /// `Literal` and `PrefixStar`.
    Plain(InterestHash),
    /// A true wildcard: found by its text. No bucket: it starts with a wildcard.
    Wild { bucket: Option<usize> },
}

#[derive(Clone)]
pub struct Hashing {
    state: RandomState,
    /// Tests make hashes collide.
    #[cfg(test)]
    pub mask: u64,
}

impl Hashing {
    pub fn new(seed: u64) -> Self {
        Self {
            state: RandomState::with_seeds(seed, !seed, 0x5EED, 0x77EF7),
            #[cfg(test)]
            mask: u64::MAX,
        }
    }

    #[inline]
    pub fn subject(&self, account: AccountId, subject: &[u8]) -> u64 {
        self.hash(u64::from(account.0), subject)
    }

    #[inline]
    pub fn token(&self, token: &[u8]) -> u64 {
        self.hash(2 << 32, token)
    }

    /// The cache bucket of a subject, or of a pattern whose first token is literal.
    #[inline]
    pub fn bucket(&self, account: AccountId, subject: &[u8]) -> usize {
        let first = memchr::memchr(SEPARATOR, subject).unwrap_or(subject.len());
        self.hash(3 << 32 | u64::from(account.0), &subject[..first]) as usize % BUCKETS
    }

    pub fn pattern(&self, account: AccountId, pattern: &[u8], is_wild: bool) -> PatternHash {
        if matches!(pattern, [b'*' | b'>'] | [b'*', SEPARATOR, ..]) {
            return PatternHash::Wild { bucket: None };
        }
        let bucket = self.bucket(account, pattern);
        match pattern {
            _ if is_wild => PatternHash::Wild { bucket: Some(bucket) },
            [prefix @ .., SEPARATOR, b'*'] => {
                PatternHash::Plain(self.prefix(account, prefix, bucket))
            }
            _ => PatternHash::Plain(self.literal(self.subject(account, pattern), bucket)),
        }
    }

    /// From the subject's own hash.
    #[inline]
    pub fn literal(&self, subject_hash: u64, bucket: usize) -> InterestHash {
        InterestHash(subject_hash & HASH_MASK | bucket as u64)
    }

    /// `prefix` without the final `.*`.
    #[inline]
    pub fn prefix(&self, account: AccountId, prefix: &[u8], bucket: usize) -> InterestHash {
        let hash = self.hash(1 << 32 | u64::from(account.0), prefix);
        InterestHash(hash & HASH_MASK | PREFIX_BIT | bucket as u64)
    }

    #[inline]
    fn hash(&self, key: u64, bytes: &[u8]) -> u64 {
        let mut hasher = self.state.build_hasher();
        hasher.write_u64(key);
        hasher.write(bytes);
        let hash = hasher.finish();
        #[cfg(test)]
        let hash = hash & self.mask;
        hash
    }
}

impl InterestHash {
    pub fn bucket(self) -> usize {
        self.0 as usize % BUCKETS
    }

    pub fn is_prefix(self) -> bool {
        self.0 & PREFIX_BIT != 0
    }
}
