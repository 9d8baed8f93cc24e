//! The patterns of one shard, each stored once with its subscribers.
//!
//! A pattern is here while it has plain subscribers, or queue groups (here or on other shards),
//! or, if it is a true wildcard, while another shard has plain subscribers to it.

use super::hash_index::HashIndex;
use super::hashing::{Hashing, InterestHash, PatternHash};
use super::queue_group::GroupKey;
use super::slab::Slab;
use super::subscription::SubKey;
use super::texts::{TextKey, Texts};
use super::trie::Trie;
use crate::types::ShardSet;
use crate::types::subject::SEPARATOR;
use crate::types::{AccountId, Pattern, ShardId, Subject};

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
    /// Pairs of (true wildcard, other shard).
    remote: usize,
}

/// In place of a pattern's key in the trie: all that is known of it is that the shard in the
/// lower bits has plain subscribers. Without the text and the entry that is half the memory.
const SOLE_BIT: u32 = 1 << 31;

/// 16 bytes: most patterns have one subscriber.
struct Entry {
    account: AccountId,
    text: TextKey,
    /// The plain subscriber itself, or `LIST_BIT` and the key of a list, or [`NOBODY`].
    plain: SubKey,
    /// Key in `extras`, or [`NO_EXTRA`]; and [`WILD_BIT`].
    extra: u32,
}

const LIST_BIT: u32 = 1 << 31;
const NOBODY: SubKey = SubKey(u32::MAX);
const NO_EXTRA: u32 = WILD_BIT - 1;
/// The pattern is a true wildcard.
const WILD_BIT: u32 = 1 << 31;

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
    /// `hash` is the pattern's.
    pub fn find_or_insert(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        pattern: Pattern<'_>,
        hash: PatternHash,
    ) -> u32 {
        let text = pattern.bytes();
        let found = match hash {
            PatternHash::Plain(hash) => self.find_text(hash, account, text),
            PatternHash::Wild { .. } => self.wild.find(hashing, account, text),
        };
        let sole = found.and_then(sole_shard);
        if let (Some(key), None) = (found, sole) {
            return key;
        }
        let extra = match hash {
            PatternHash::Plain(_) => NO_EXTRA,
            PatternHash::Wild { .. } => NO_EXTRA | WILD_BIT,
        };
        let entry = Entry { account, text: self.texts.insert(text), plain: NOBODY, extra };
        let key = self.entries.insert(entry);
        match hash {
            PatternHash::Plain(hash) => self.index_mut(hash).insert(hash.0, key),
            PatternHash::Wild { .. } => self.wild.insert(hashing, account, text, key),
        }
        if let Some(shard) = sole {
            self.extra_mut(key).remote.insert(shard);
        }
        key
    }

    /// Plain interest of another shard in a true wildcard began or ended.
    pub fn set_remote(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        pattern: Pattern<'_>,
        hash: PatternHash,
        (shard, wanted): (ShardId, bool),
    ) {
        let text = pattern.bytes();
        let sole = SOLE_BIT | u32::from(shard.0);
        match self.wild.find(hashing, account, text) {
            None if wanted => {
                self.wild.insert(hashing, account, text, sole);
                self.remote += 1;
            }
            Some(found) if found == sole && !wanted => {
                self.wild.remove(hashing, account, text);
                self.remote -= 1;
            }
            None => {}
            Some(found) if found == sole || sole_shard(found).is_some() && !wanted => {}
            Some(_) => {
                let key = self.find_or_insert(hashing, account, pattern, hash);
                let shards = self.extra(key).map_or(ShardSet::default(), |extra| extra.remote);
                let now = if wanted { shards.with(shard) } else { shards.without(shard) };
                if now != shards {
                    self.extra_mut(key).remote = now;
                    self.remote = self.remote + now.len() - shards.len();
                }
                self.release(hashing, key, hash);
            }
        }
    }

    /// Pairs of (true wildcard, other shard).
    pub fn remote_len(&self) -> usize {
        self.remote
    }

    /// Forgets the pattern if nobody wants it any more. `hash` is the pattern's.
    pub fn release(&mut self, hashing: &Hashing, key: u32, hash: PatternHash) {
        let entry = self.entries.get(key);
        if entry.plain != NOBODY {
            return;
        }
        if let Some(extra) = entry.extra_key() {
            let Extra { groups, remote } = self.extras.get(extra);
            if !groups.is_empty() || !remote.is_empty() {
                return;
            }
            self.extras.remove(extra);
        }
        let Entry { account, text, .. } = self.entries.remove(key);
        match hash {
            PatternHash::Plain(hash) => {
                self.index_mut(hash).remove(hash.0, key);
            }
            PatternHash::Wild { .. } => {
                self.wild.remove(hashing, account, self.texts.get(text));
            }
        }
        self.texts.remove(text);
    }

    pub fn hash(&self, hashing: &Hashing, key: u32) -> PatternHash {
        let entry = self.entries.get(key);
        let is_wild = entry.extra & WILD_BIT != 0;
        hashing.pattern(entry.account, self.texts.get(entry.text), is_wild)
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
        self.entries.get(key).extra_key().map(|extra| self.extras.get(extra))
    }

    pub fn extra_mut(&mut self, key: u32) -> &mut Extra {
        let entry = self.entries.get_mut(key);
        let extra = match entry.extra_key() {
            Some(extra) => extra,
            None => {
                let extra = self.extras.insert(Extra::default());
                assert!(extra < NO_EXTRA, "memory ends long before the keys do");
                entry.extra = entry.extra & WILD_BIT | extra;
                extra
            }
        };
        self.extras.get_mut(extra)
    }

    /// Whether another pattern that other shards can't tell from this one has plain subscribers.
    pub fn has_plain_twin(&self, hashing: &Hashing, key: u32, hash: InterestHash) -> bool {
        self.index(hash).find(hash.0).any(|other| {
            other != key
                && self.entries.get(other).plain != NOBODY
                && self.hash(hashing, other) == PatternHash::Plain(hash)
        })
    }

    /// Appends the patterns that match; [`sole_shard`] tells those without a key.
    pub fn find_matches(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        subject: Subject<'_>,
        hashes: SubjectHashes,
        found: &mut Vec<u32>,
    ) {
        let bytes = subject.bytes();
        found.extend(self.find_text(hashes.literal, account, bytes));
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

    fn find_text(&self, hash: InterestHash, account: AccountId, text: &[u8]) -> Option<u32> {
        self.index(hash).find(hash.0).find(|&key| {
            let entry = self.entries.get(key);
            entry.account == account && self.texts.get(entry.text) == text
        })
    }

    fn index(&self, hash: InterestHash) -> &HashIndex {
        if hash.is_prefix() { &self.prefixes } else { &self.literals }
    }

    fn index_mut(&mut self, hash: InterestHash) -> &mut HashIndex {
        if hash.is_prefix() { &mut self.prefixes } else { &mut self.literals }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.entries.len() + self.lists.len() + self.extras.len() + self.wild.node_count() == 0
            && self.literals.len() + self.prefixes.len() == 0
    }
}

impl Entry {
    fn extra_key(&self) -> Option<u32> {
        let key = self.extra & !WILD_BIT;
        (key != NO_EXTRA).then_some(key)
    }
}

/// The only one that wants a pattern this shard does not know by key.
#[inline]
pub fn sole_shard(found: u32) -> Option<ShardId> {
    (found & SOLE_BIT != 0).then_some(ShardId(found as u16))
}

/// Also gives memory back when most of a long list has gone.
pub fn swap_remove(list: &mut Vec<SubKey>, position: u32) {
    list.swap_remove(position as usize);
    if list.len() * 4 < list.capacity() {
        list.shrink_to(list.len() * 2);
    }
}
