//! The patterns of one shard, each stored once with its subscribers.
//!
//! A pattern is here while it has plain subscribers, or queue groups (here or on other shards),
//! or, if it is a true wildcard, while another shard has plain subscribers to it.

use super::hash_index::HashIndex;
use super::hashing::{Hashing, InterestHash};
use super::queue_group::GroupKey;
use super::shard_set::ShardSet;
use super::slab::Slab;
use super::subscription::SubKey;
use super::texts::{TextKey, Texts};
use super::trie::Trie;
use crate::types::pattern::Shape;
use crate::types::subject::SEPARATOR;
use crate::types::{AccountId, Pattern, Subject};

#[derive(Default)]
pub struct Sublist {
    entries: Slab<Entry>,
    texts: Texts,
    literals: HashIndex,
    prefixes: HashIndex,
    wild: Trie,
    /// Subscribers of patterns that have more than one.
    lists: Slab<Vec<SubKey>>,
    extras: Slab<Extra>,
}

/// 16 bytes: most patterns have one subscriber.
struct Entry {
    account: AccountId,
    text: TextKey,
    /// The plain subscriber itself, or `LIST_BIT` and the key of a list, or [`NOBODY`].
    plain: SubKey,
    /// Key in `extras`, or [`NO_EXTRA`].
    extra: u32,
}

const LIST_BIT: u32 = 1 << 31;
const NOBODY: SubKey = SubKey(u32::MAX);
const NO_EXTRA: u32 = u32::MAX;

/// What few patterns have.
#[derive(Default)]
pub struct Extra {
    pub groups: Vec<GroupKey>,
    /// Other shards with plain interest. Of true wildcards only; the rest is in `Interest`.
    pub remote: ShardSet,
}

/// The hashes a subject is looked up by.
#[derive(Clone, Copy)]
pub struct SubjectHashes {
    pub literal: InterestHash,
    /// None where the subject has a single token.
    pub prefix: Option<InterestHash>,
}

impl SubjectHashes {
    pub fn new(
        hashing: &Hashing,
        account: AccountId,
        subject: &[u8],
        hash: u64,
        bucket: usize,
    ) -> Self {
        let prefix = memchr::memrchr(SEPARATOR, subject)
            .map(|dot| hashing.prefix(account, &subject[..dot], bucket));
        Self { literal: hashing.literal(hash, bucket), prefix }
    }
}

impl Sublist {
    pub fn find(&self, hashing: &Hashing, account: AccountId, pattern: Pattern<'_>) -> Option<u32> {
        match pattern.shape() {
            Shape::Literal => {
                let hash = interest_hash(hashing, account, pattern);
                self.find_text(&self.literals, hash, account, pattern.bytes())
            }
            Shape::PrefixStar => {
                let hash = interest_hash(hashing, account, pattern);
                self.find_text(&self.prefixes, hash, account, pattern.bytes())
            }
            Shape::Wild => self.wild.find(hashing, account, pattern),
        }
    }

    pub fn find_or_insert(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        pattern: Pattern<'_>,
    ) -> u32 {
        if let Some(key) = self.find(hashing, account, pattern) {
            return key;
        }
        let text = self.texts.insert(pattern.bytes());
        let entry = Entry { account, text, plain: NOBODY, extra: NO_EXTRA };
        let key = self.entries.insert(entry);
        match pattern.shape() {
            Shape::Literal => {
                self.literals.insert(interest_hash(hashing, account, pattern).0, key);
            }
            Shape::PrefixStar => {
                self.prefixes.insert(interest_hash(hashing, account, pattern).0, key);
            }
            Shape::Wild => self.wild.insert(hashing, account, pattern, key),
        }
        key
    }

    /// Forgets the pattern if nobody wants it any more.
    pub fn release(&mut self, hashing: &Hashing, key: u32) {
        let entry = self.entries.get(key);
        if entry.plain != NOBODY {
            return;
        }
        if entry.extra != NO_EXTRA {
            let extra = self.extras.get(entry.extra);
            if !extra.groups.is_empty() || !extra.remote.is_empty() {
                return;
            }
            self.extras.remove(entry.extra);
        }
        let Entry { account, text, .. } = self.entries.remove(key);
        let pattern = stored(self.texts.get(text));
        match pattern.shape() {
            Shape::Literal => {
                self.literals.remove(interest_hash(hashing, account, pattern).0, key);
            }
            Shape::PrefixStar => {
                self.prefixes.remove(interest_hash(hashing, account, pattern).0, key);
            }
            Shape::Wild => self.wild.remove(hashing, account, pattern),
        }
        self.texts.remove(text);
    }

    pub fn pattern(&self, key: u32) -> (AccountId, Pattern<'_>) {
        let entry = self.entries.get(key);
        (entry.account, stored(self.texts.get(entry.text)))
    }

    pub fn text(&self, key: u32) -> (AccountId, &[u8]) {
        let entry = self.entries.get(key);
        (entry.account, self.texts.get(entry.text))
    }

    pub fn plain(&self, key: u32) -> &[SubKey] {
        let entry = self.entries.get(key);
        match entry.plain {
            NOBODY => &[],
            SubKey(list) if list & LIST_BIT != 0 => self.lists.get(list & !LIST_BIT),
            _ => std::slice::from_ref(&entry.plain),
        }
    }

    /// Its place among the plain subscribers.
    pub fn add_plain(&mut self, key: u32, sub: SubKey) -> u32 {
        let entry = self.entries.get_mut(key);
        match entry.plain {
            NOBODY => {
                entry.plain = sub;
                0
            }
            SubKey(list) if list & LIST_BIT != 0 => {
                let list = self.lists.get_mut(list & !LIST_BIT);
                list.push(sub);
                list.len() as u32 - 1
            }
            first => {
                entry.plain = SubKey(self.lists.insert(vec![first, sub]) | LIST_BIT);
                1
            }
        }
    }

    /// The subscription that now stands at `position`, if one moved there.
    pub fn remove_plain(&mut self, key: u32, position: u32) -> Option<SubKey> {
        let entry = self.entries.get_mut(key);
        let SubKey(plain) = entry.plain;
        if plain & LIST_BIT == 0 {
            entry.plain = NOBODY;
            return None;
        }
        let list = self.lists.get_mut(plain & !LIST_BIT);
        swap_remove(list, position);
        let moved = list.get(position as usize).copied();
        if let [last] = list[..] {
            entry.plain = last;
            self.lists.remove(plain & !LIST_BIT);
        }
        moved
    }

    pub fn extra(&self, key: u32) -> Option<&Extra> {
        let extra = self.entries.get(key).extra;
        (extra != NO_EXTRA).then(|| self.extras.get(extra))
    }

    pub fn extra_mut(&mut self, key: u32) -> &mut Extra {
        let entry = self.entries.get_mut(key);
        if entry.extra == NO_EXTRA {
            entry.extra = self.extras.insert(Extra::default());
        }
        self.extras.get_mut(entry.extra)
    }

    /// Whether another pattern that other shards can't tell from this one has plain subscribers.
    pub fn has_plain_twin(&self, hashing: &Hashing, key: u32, hash: InterestHash) -> bool {
        let index = if hash.is_prefix() { &self.prefixes } else { &self.literals };
        index.find(hash.0).any(|other| {
            let (account, pattern) = self.pattern(other);
            other != key
                && self.entries.get(other).plain != NOBODY
                && interest_hash(hashing, account, pattern) == hash
        })
    }

    /// Appends the patterns that match.
    pub fn find_matches(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        subject: Subject<'_>,
        hashes: SubjectHashes,
        found: &mut Vec<u32>,
    ) {
        let bytes = subject.bytes();
        found.extend(self.find_text(&self.literals, hashes.literal, account, bytes));
        if let Some(hash) = hashes.prefix {
            found.extend(self.prefixes.find(hash.0).find(|&key| {
                let (of, text) = self.text(key);
                let dot = text.len() - 1;
                of == account
                    && bytes.get(..dot) == Some(&text[..dot])
                    && !bytes[dot..].contains(&SEPARATOR)
            }));
        }
        if !self.wild.is_empty() {
            self.wild.find_matches(hashing, account, subject, found);
        }
    }

    fn find_text(
        &self,
        index: &HashIndex,
        hash: InterestHash,
        account: AccountId,
        text: &[u8],
    ) -> Option<u32> {
        index.find(hash.0).find(|&key| {
            let entry = self.entries.get(key);
            entry.account == account && self.texts.get(entry.text) == text
        })
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.len() + self.lists.len() + self.extras.len() + self.wild.node_count() == 0
            && self.literals.len() + self.prefixes.len() == 0
    }
}

/// Of a pattern that is no true wildcard.
pub fn interest_hash(hashing: &Hashing, account: AccountId, pattern: Pattern<'_>) -> InterestHash {
    let bytes = pattern.bytes();
    let bucket = hashing.bucket(account, bytes);
    match pattern.shape() {
        Shape::PrefixStar => hashing.prefix(account, &bytes[..bytes.len() - 2], bucket),
        _ => hashing.literal(hashing.subject(account, bytes), bucket),
    }
}

/// Also gives memory back when most of a long list has gone.
pub fn swap_remove(list: &mut Vec<SubKey>, position: u32) {
    list.swap_remove(position as usize);
    if list.len() * 4 < list.capacity() {
        list.shrink_to(list.len() * 2);
    }
}

fn stored(text: &[u8]) -> Pattern<'_> {
    Pattern::parse(text).expect("parsed before it was stored")
}
