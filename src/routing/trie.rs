//! Wildcard patterns by token. All edges stand in one hash index, so a node is 28 bytes
//! however many children it has.

use hashbrown::HashMap;

use super::hash_index::HashIndex;
use super::hashing::Hashing;
use super::slab::Slab;
use super::texts::{TextKey, Texts};
use crate::types::{AccountId, Pattern, Subject};

const NONE: u32 = u32::MAX;

#[derive(Default)]
pub struct Trie {
    roots: HashMap<AccountId, u32, ahash::RandomState>,
    nodes: Slab<Node>,
    /// (parent, token) → child.
    edges: HashIndex,
    tokens: Texts,
    /// Tokens of the subject being matched, each with its hash.
    subject: Vec<(u32, u32, u64)>,
    /// Nodes to visit, each with the number of tokens behind it.
    pending: Vec<(u32, u32)>,
}

struct Node {
    parent: u32,
    /// `None`: the root, or the `*` of its parent.
    token: Option<TextKey>,
    star: u32,
    literal_children: u32,
    /// The pattern that ends here.
    here: u32,
    /// The pattern that ends here with `>`.
    rest: u32,
}

impl Trie {
    pub fn find(&self, hashing: &Hashing, account: AccountId, pattern: Pattern<'_>) -> Option<u32> {
        let mut at = *self.roots.get(&account)?;
        for token in pattern.tokens() {
            at = match token {
                b">" => return some(self.nodes.get(at).rest),
                b"*" => some(self.nodes.get(at).star)?,
                _ => self.child(at, token, hashing.token(token))?,
            };
        }
        some(self.nodes.get(at).here)
    }

    pub fn insert(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        pattern: Pattern<'_>,
        value: u32,
    ) {
        let nodes = &mut self.nodes;
        let mut at = *self.roots.entry(account).or_insert_with(|| nodes.insert(Node::new(NONE)));
        for token in pattern.tokens() {
            at = match token {
                b">" => {
                    self.nodes.get_mut(at).rest = value;
                    return;
                }
                b"*" => self.star_of(at),
                _ => self.child_of(at, token, hashing.token(token)),
            };
        }
        self.nodes.get_mut(at).here = value;
    }

    pub fn remove(&mut self, hashing: &Hashing, account: AccountId, pattern: Pattern<'_>) {
        let Some(&root) = self.roots.get(&account) else { return };
        let mut at = root;
        let mut is_rest = false;
        for token in pattern.tokens() {
            let next = match token {
                b">" => {
                    is_rest = true;
                    break;
                }
                b"*" => some(self.nodes.get(at).star),
                _ => self.child(at, token, hashing.token(token)),
            };
            let Some(next) = next else { return };
            at = next;
        }
        let node = self.nodes.get_mut(at);
        *(if is_rest { &mut node.rest } else { &mut node.here }) = NONE;
        self.prune(hashing, account, at);
    }

    /// Appends the patterns that match. A node is reached by one path only, so the worst case
    /// is every node of the account as deep as the subject, each visited once.
    pub fn find_matches(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        subject: Subject<'_>,
        found: &mut Vec<u32>,
    ) {
        let Some(&root) = self.roots.get(&account) else { return };
        let bytes = subject.bytes();
        self.subject.clear();
        let mut start = 0;
        for token in subject.tokens() {
            let end = start + token.len();
            self.subject.push((start as u32, end as u32, hashing.token(token)));
            start = end + 1;
        }
        self.pending.push((root, 0));
        while let Some((at, depth)) = self.pending.pop() {
            let node = self.nodes.get(at);
            let Some(&(start, end, hash)) = self.subject.get(depth as usize) else {
                found.extend(some(node.here));
                continue;
            };
            found.extend(some(node.rest));
            if node.star != NONE {
                self.pending.push((node.star, depth + 1));
            }
            if node.literal_children != 0 {
                let token = &bytes[start as usize..end as usize];
                let child = self.child(at, token, hash);
                self.pending.extend(child.map(|child| (child, depth + 1)));
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    fn child(&self, parent: u32, token: &[u8], hash: u64) -> Option<u32> {
        self.edges.find(edge(parent, hash)).find(|&child| {
            let node = self.nodes.get(child);
            node.parent == parent && node.token.is_some_and(|key| self.tokens.get(key) == token)
        })
    }

    fn child_of(&mut self, parent: u32, token: &[u8], hash: u64) -> u32 {
        if let Some(child) = self.child(parent, token, hash) {
            return child;
        }
        let token = Some(self.tokens.insert(token));
        let child = self.nodes.insert(Node { token, ..Node::new(parent) });
        self.edges.insert(edge(parent, hash), child);
        self.nodes.get_mut(parent).literal_children += 1;
        child
    }

    fn star_of(&mut self, parent: u32) -> u32 {
        if let Some(star) = some(self.nodes.get(parent).star) {
            return star;
        }
        let star = self.nodes.insert(Node::new(parent));
        self.nodes.get_mut(parent).star = star;
        star
    }

    /// Removes a node that holds nothing, and then its parents.
    fn prune(&mut self, hashing: &Hashing, account: AccountId, mut at: u32) {
        while self.nodes.get(at).is_empty() {
            let Node { parent, token, .. } = self.nodes.remove(at);
            if parent == NONE {
                self.roots.remove(&account);
                return;
            }
            match token {
                None => self.nodes.get_mut(parent).star = NONE,
                Some(token) => {
                    let hash = hashing.token(self.tokens.get(token));
                    self.edges.remove(edge(parent, hash), at);
                    self.tokens.remove(token);
                    self.nodes.get_mut(parent).literal_children -= 1;
                }
            }
            at = parent;
        }
    }

    #[cfg(test)]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    fn new(parent: u32) -> Self {
        Self { parent, token: None, star: NONE, literal_children: 0, here: NONE, rest: NONE }
    }

    fn is_empty(&self) -> bool {
        self.literal_children == 0 && self.star == NONE && self.here == NONE && self.rest == NONE
    }
}

fn some(key: u32) -> Option<u32> {
    (key != NONE).then_some(key)
}

fn edge(parent: u32, token_hash: u64) -> u64 {
    let mixed = token_hash ^ u64::from(parent).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}
