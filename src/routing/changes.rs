//! Interest changes: what a shard tells the others at the end of a turn, and its bytes.
//!
//! A batch of changes is a sequence of runs. It holds each key at most once, so that the order
//! of changes within it does not matter.
//!
//! ```text
//! kind u8, count varint, then count ×
//!   HASH_REMOVE, HASH_ADD   hash u64            Literal and PrefixStar patterns, plain
//!   WILD_REMOVE, WILD_ADD   key                 true wildcards, plain
//!   QUEUE                   key, queue name, members varint
//! key:  account varint, pattern;   text: length varint, bytes;   integers little-endian
//! ```

use std::fmt;

use ahash::RandomState;
use hashbrown::HashMap;

use super::hashing::InterestHash;
use crate::types::{AccountId, Pattern};

const HASH_REMOVE: u8 = 1;
const HASH_ADD: u8 = 2;
const WILD_REMOVE: u8 = 3;
const WILD_ADD: u8 = 4;
const QUEUE: u8 = 5;

/// Changes since the other shards were last told. What returns to where it was vanishes.
///
/// The maps are seeded, so that a simulated server tells its changes in the same order each run.
pub struct PendingChanges {
    hashes: HashMap<InterestHash, bool, RandomState>,
    /// By encoded key.
    wild: HashMap<Box<[u8]>, bool, RandomState>,
    /// By encoded key and queue name: members as last told, and now.
    queues: HashMap<Box<[u8]>, (u32, u32), RandomState>,
    key: Vec<u8>,
}

/// Room the maps keep after a burst of changes.
const KEPT: usize = 4096;

impl PendingChanges {
    pub fn new(hash_seed: u64) -> Self {
        let state = RandomState::with_seeds(!hash_seed, hash_seed, 0x5EED, 0xC4A6E5);
        Self {
            hashes: HashMap::with_hasher(state.clone()),
            wild: HashMap::with_hasher(state.clone()),
            queues: HashMap::with_hasher(state),
            key: Vec::new(),
        }
    }

    /// Interest in the hash began or ended.
    pub fn flip_hash(&mut self, hash: InterestHash, wanted: bool) {
        if self.hashes.remove(&hash).is_none() {
            self.hashes.insert(hash, wanted);
        }
    }

    /// Interest in a true wildcard began or ended.
    pub fn flip_wild(&mut self, account: AccountId, pattern: &[u8], wanted: bool) {
        self.key.clear();
        put_key(&mut self.key, account, pattern);
        if self.wild.remove(&self.key[..]).is_none() {
            self.wild.insert(self.key[..].into(), wanted);
        }
    }

    pub fn set_queue(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        queue: &[u8],
        members_before: u32,
        members: u32,
    ) {
        self.key.clear();
        put_key(&mut self.key, account, pattern);
        put_text(&mut self.key, queue);
        match self.queues.get_mut(&self.key[..]) {
            Some((_, now)) => *now = members,
            None => {
                self.queues.insert(self.key[..].into(), (members_before, members));
            }
        }
    }

    /// Appends a batch; false: there is nothing to tell.
    pub fn encode(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        for (kind, wanted) in [(HASH_REMOVE, false), (HASH_ADD, true)] {
            let run = self.hashes.iter().filter(|change| *change.1 == wanted);
            put_run(out, kind, run, |out, (hash, _)| out.extend(hash.0.to_le_bytes()));
        }
        for (kind, wanted) in [(WILD_REMOVE, false), (WILD_ADD, true)] {
            let run = self.wild.iter().filter(|change| *change.1 == wanted);
            put_run(out, kind, run, |out, (key, _)| out.extend_from_slice(key));
        }
        let run = self.queues.iter().filter(|(_, (before, now))| before != now);
        put_run(out, QUEUE, run, |out, (key, &(_, now))| {
            out.extend_from_slice(key);
            put_varint(out, now.into());
        });
        self.hashes.clear();
        self.wild.clear();
        self.queues.clear();
        self.hashes.shrink_to(KEPT);
        self.wild.shrink_to(KEPT);
        self.queues.shrink_to(KEPT);
        out.len() > start
    }
}

/// One change of another shard's interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change<'a> {
    Hash { hash: InterestHash, wanted: bool },
    Wild { account: AccountId, pattern: Pattern<'a>, wanted: bool },
    Queue { account: AccountId, pattern: Pattern<'a>, queue: &'a [u8], members: u32 },
}

/// Bytes from another shard that are no interest changes: a bug, since shards are one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterestError;

impl fmt::Display for InterestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed interest changes")
    }
}

impl std::error::Error for InterestError {}

/// Hands each change of a batch to `apply`.
pub fn decode<'a>(
    mut encoded: &'a [u8],
    mut apply: impl FnMut(Change<'a>),
) -> Result<(), InterestError> {
    let input = &mut encoded;
    while !input.is_empty() {
        let kind = take(input, 1)?[0];
        for _ in 0..take_varint(input)? {
            apply(take_change(kind, input)?);
        }
    }
    Ok(())
}

fn take_change<'a>(kind: u8, input: &mut &'a [u8]) -> Result<Change<'a>, InterestError> {
    if kind == HASH_ADD || kind == HASH_REMOVE {
        let bytes = take(input, 8)?.try_into().map_err(|_| InterestError)?;
        let hash = InterestHash(u64::from_le_bytes(bytes));
        return Ok(Change::Hash { hash, wanted: kind == HASH_ADD });
    }
    let account = AccountId(take_varint(input)?.try_into().map_err(|_| InterestError)?);
    let pattern = Pattern::parse(take_text(input)?).ok_or(InterestError)?;
    match kind {
        WILD_ADD | WILD_REMOVE => Ok(Change::Wild { account, pattern, wanted: kind == WILD_ADD }),
        QUEUE => {
            let queue = take_text(input)?;
            let members = take_varint(input)?.try_into().map_err(|_| InterestError)?;
            Ok(Change::Queue { account, pattern, queue, members })
        }
        _ => Err(InterestError),
    }
}

fn put_run<T>(
    out: &mut Vec<u8>,
    kind: u8,
    run: impl Iterator<Item = T> + Clone,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let count = run.clone().count();
    if count != 0 {
        out.push(kind);
        put_varint(out, count as u64);
        run.for_each(|change| put(out, change));
    }
}

fn put_key(out: &mut Vec<u8>, account: AccountId, pattern: &[u8]) {
    put_varint(out, account.0.into());
    put_text(out, pattern);
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Result<&'a [u8], InterestError> {
    input.split_off(..len).ok_or(InterestError)
}

fn take_text<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], InterestError> {
    let len = take_varint(input)?;
    take(input, usize::try_from(len).map_err(|_| InterestError)?)
}

fn take_varint(input: &mut &[u8]) -> Result<u64, InterestError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(InterestError)
}
