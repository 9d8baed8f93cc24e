//! Wildcard patterns by token. All edges stand in one hash index, so a node is 36 bytes
//! however many children it has.

use hashbrown::HashMap;

use super::hash_index::HashIndex;
use super::hashing::Hashing;
use super::slab::Slab;
use crate::types::subject::SEPARATOR;
use crate::types::{AccountId, Subject};

const NONE: u32 = u32::MAX;

#[derive(Default)]
pub struct Trie {
    roots: HashMap<AccountId, u32, ahash::RandomState>,
    nodes: Slab<Node>,
    /// (parent, token) → child.
    edges: HashIndex,
    /// Tokens that do not fit beside their node.
    long_tokens: Slab<Box<[u8]>>,
    /// Tokens of the subject being matched, each with its hash.
    subject: Vec<(u32, u32, u64)>,
    /// Nodes to visit, each with the number of tokens behind it.
    pending: Vec<(u32, u32)>,
}

struct Node {
    parent: u32,
    token: Token,
    star: u32,
    literals: Literals,
    /// The pattern that ends here.
    here: u32,
    /// The pattern that ends here with `>`.
    rest: u32,
}

/// The token that leads to a node; beside the node where it is short, as one cache line less
/// is what a step costs. Empty: the root, or the `*` of its parent.
struct Token([u8; TOKEN_SHORT + 1]);

/// Bytes beside the node; the last byte of a token is their number, or [`TOKEN_LONG`].
const TOKEN_SHORT: usize = 11;
const TOKEN_LONG: u8 = u8::MAX;

/// Children by literal tokens: none, one, or [`MANY`] and their number. Only many stand in
/// `edges`.
#[derive(Clone, Copy)]
struct Literals(u32);

const MANY: u32 = 1 << 31;

impl Trie {
    pub fn find(&self, hashing: &Hashing, account: AccountId, pattern: &[u8]) -> Option<u32> {
        let mut at = *self.roots.get(&account)?;
        for token in tokens(pattern) {
            at = match token {
                b">" => return some(self.nodes.get(at).rest),
                b"*" => some(self.nodes.get(at).star)?,
                _ => self.child(at, token, || hashing.token(token))?,
            };
        }
        some(self.nodes.get(at).here)
    }

    pub fn insert(&mut self, hashing: &Hashing, account: AccountId, pattern: &[u8], value: u32) {
        let nodes = &mut self.nodes;
        let mut at = *self.roots.entry(account).or_insert_with(|| nodes.insert(Node::new(NONE)));
        for token in tokens(pattern) {
            at = match token {
                b">" => {
                    self.nodes.get_mut(at).rest = value;
                    return;
                }
                b"*" => self.star_of(at),
                _ => self.child_of(hashing, at, token),
            };
        }
        self.nodes.get_mut(at).here = value;
    }

    pub fn remove(&mut self, hashing: &Hashing, account: AccountId, pattern: &[u8]) {
        let Some(&root) = self.roots.get(&account) else { return };
        let mut at = root;
        let mut is_rest = false;
        for token in tokens(pattern) {
            let next = match token {
                b">" => {
                    is_rest = true;
                    break;
                }
                b"*" => some(self.nodes.get(at).star),
                _ => self.child(at, token, || hashing.token(token)),
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
            let token = &bytes[start as usize..end as usize];
            let child = self.child(at, token, || hash);
            self.pending.extend(child.map(|child| (child, depth + 1)));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    fn child(&self, parent: u32, token: &[u8], hash: impl Fn() -> u64) -> Option<u32> {
        match self.nodes.get(parent).literals {
            Literals(NONE) => None,
            Literals(many) if many & MANY != 0 => {
                let is_child = |&child: &u32| {
                    let node = self.nodes.get(child);
                    node.parent == parent && node.token.is(token, &self.long_tokens)
                };
                self.edges.find(edge(parent, hash())).find(is_child)
            }
            Literals(only) => {
                self.nodes.get(only).token.is(token, &self.long_tokens).then_some(only)
            }
        }
    }

    fn child_of(&mut self, hashing: &Hashing, parent: u32, token: &[u8]) -> u32 {
        let hash = hashing.token(token);
        if let Some(child) = self.child(parent, token, || hash) {
            return child;
        }
        let token = Token::new(token, &mut self.long_tokens);
        let child = self.nodes.insert(Node { token, ..Node::new(parent) });
        let Literals(before) = self.nodes.get(parent).literals;
        let after = if before == NONE {
            child
        } else if before & MANY != 0 {
            self.edges.insert(edge(parent, hash), child);
            before + 1
        } else {
            let first = hashing.token(self.nodes.get(before).token.bytes(&self.long_tokens));
            self.edges.insert(edge(parent, first), before);
            self.edges.insert(edge(parent, hash), child);
            MANY | 2
        };
        self.nodes.get_mut(parent).literals = Literals(after);
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
            let literals = self.nodes.get(parent).literals.0;
            let is_indexed = literals & MANY != 0 && literals != NONE;
            let text = token.bytes(&self.long_tokens);
            let parent_node = self.nodes.get_mut(parent);
            if text.is_empty() {
                parent_node.star = NONE;
            } else if is_indexed {
                self.edges.remove(edge(parent, hashing.token(text)), at);
                let left = if literals == MANY | 1 { NONE } else { literals - 1 };
                parent_node.literals = Literals(left);
            } else {
                parent_node.literals = Literals(NONE);
            }
            token.release(&mut self.long_tokens);
            at = parent;
        }
    }

    #[cfg(test)]
    pub fn node_count(&self) -> usize {
        self.nodes.len() + self.edges.len() + self.long_tokens.len()
    }
}

impl Node {
    fn new(parent: u32) -> Self {
        let (token, literals) = (Token([0; TOKEN_SHORT + 1]), Literals(NONE));
        Self { parent, token, star: NONE, literals, here: NONE, rest: NONE }
    }

    fn is_empty(&self) -> bool {
        self.literals.0 == NONE && self.star == NONE && self.here == NONE && self.rest == NONE
    }
}

impl Token {
    fn new(token: &[u8], long: &mut Slab<Box<[u8]>>) -> Self {
        let mut bytes = [0; TOKEN_SHORT + 1];
        if token.len() <= TOKEN_SHORT {
            bytes[..token.len()].copy_from_slice(token);
            bytes[TOKEN_SHORT] = token.len() as u8;
        } else {
            bytes[..4].copy_from_slice(&long.insert(token.into()).to_le_bytes());
            bytes[TOKEN_SHORT] = TOKEN_LONG;
        }
        Self(bytes)
    }

    fn bytes<'a>(&'a self, long: &'a Slab<Box<[u8]>>) -> &'a [u8] {
        match self.long_key() {
            Some(key) => long.get(key),
            None => &self.0[..usize::from(self.0[TOKEN_SHORT])],
        }
    }

    fn is(&self, token: &[u8], long: &Slab<Box<[u8]>>) -> bool {
        self.bytes(long) == token
    }

    fn release(&self, long: &mut Slab<Box<[u8]>>) {
        if let Some(key) = self.long_key() {
            long.remove(key);
        }
    }

    fn long_key(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.0;
        (self.0[TOKEN_SHORT] == TOKEN_LONG).then(|| u32::from_le_bytes([a, b, c, d]))
    }
}

fn tokens(pattern: &[u8]) -> impl Iterator<Item = &[u8]> {
    pattern.split(|&byte| byte == SEPARATOR)
}

fn some(key: u32) -> Option<u32> {
    (key != NONE).then_some(key)
}

fn edge(parent: u32, token_hash: u64) -> u64 {
    let mixed = token_hash ^ u64::from(parent).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}
