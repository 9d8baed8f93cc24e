//! Bytes of messages in memory: appended to blocks, given back block by block.
//!
//! A block that is mostly dead is emptied by its owner, see [`Arena::sparse`], so that what is
//! held stays near what lives.

use std::collections::BTreeSet;

use crate::storage::{Place, SegmentNo, Seq};
use crate::types::limits::MEMORY_BLOCK_BYTES;

/// Sequence, time, length of the headers and of the payload stand before them.
pub const HEADER: usize = 24;
/// Dead bytes that are not worth tidying.
const SLACK: usize = 2 * MEMORY_BLOCK_BYTES;

/// A message in the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept<'a> {
    pub seq: Seq,
    pub time: u64,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    live: usize,
}

#[derive(Debug, Default)]
pub struct Arena {
    blocks: Vec<Option<Block>>,
    free: Vec<u32>,
    /// The block that is appended to.
    head: Option<u32>,
    /// Less than half of these lives. Not the head.
    sparse: BTreeSet<u32>,
    live: usize,
    held: usize,
}

impl Arena {
    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.held + self.blocks.capacity() * size_of::<Option<Block>>()
    }

    pub fn push(&mut self, kept: &Kept<'_>) -> Place {
        let len = HEADER + kept.headers.len() + kept.payload.len();
        let no = self.block_for(len);
        let Some(block) = &mut self.blocks[no as usize] else { unreachable!("it was just found") };
        let before = block.bytes.capacity();
        let offset = block.bytes.len();
        if before - offset < len {
            let wanted = (offset + len).next_power_of_two().min(MEMORY_BLOCK_BYTES);
            block.bytes.reserve_exact(wanted.max(offset + len) - offset);
        }
        block.bytes.extend_from_slice(&kept.seq.0.to_le_bytes());
        block.bytes.extend_from_slice(&kept.time.to_le_bytes());
        block.bytes.extend_from_slice(&(kept.headers.len() as u32).to_le_bytes());
        block.bytes.extend_from_slice(&(kept.payload.len() as u32).to_le_bytes());
        block.bytes.extend_from_slice(kept.headers);
        block.bytes.extend_from_slice(kept.payload);
        block.live += len;
        self.live += len;
        self.held += block.bytes.capacity() - before;
        Place { segment: SegmentNo(no), offset: offset as u32, len: len as u32 }
    }

    /// The head if it takes so much, else a new one.
    fn block_for(&mut self, len: usize) -> u32 {
        if let Some(head) = self.head {
            let used = self.blocks[head as usize].as_ref().map_or(0, |block| block.bytes.len());
            if used == 0 || used + len <= MEMORY_BLOCK_BYTES {
                return head;
            }
            self.head = None;
            self.judge(head);
        }
        let no = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(None);
            (self.blocks.len() - 1) as u32
        });
        self.blocks[no as usize] = Some(Block::default());
        self.head = Some(no);
        no
    }

    pub fn get(&self, place: Place) -> Option<Kept<'_>> {
        let block = self.blocks.get(place.segment.0 as usize)?.as_ref()?;
        let (kept, _) = decode(block.bytes.get(place.offset as usize..)?)?;
        Some(kept)
    }

    /// The message at a place is no more. `erase`: nor are its bytes.
    pub fn free(&mut self, place: Place, erase: bool) {
        let no = place.segment.0;
        let Some(Some(block)) = self.blocks.get_mut(no as usize) else { return };
        let (at, len) = (place.offset as usize, place.len as usize);
        if erase && let Some(bytes) = block.bytes.get_mut(at + HEADER..at + len) {
            bytes.fill(0);
        }
        block.live -= len;
        self.live -= len;
        self.judge(no);
    }

    /// A block with nothing alive is given back; one with little is to be emptied.
    fn judge(&mut self, no: u32) {
        let is_head = self.head == Some(no);
        let Some(Some(block)) = self.blocks.get_mut(no as usize) else { return };
        if block.live == 0 && is_head {
            block.bytes.clear();
        } else if block.live == 0 {
            self.held -= block.bytes.capacity();
            self.blocks[no as usize] = None;
            self.free.push(no);
            self.sparse.remove(&no);
        } else if !is_head && block.live * 2 < block.bytes.len() {
            self.sparse.insert(no);
        }
    }

    /// A block to be emptied with [`Arena::take`], if too much is held for what lives.
    pub fn sparse(&self) -> Option<u32> {
        if self.held <= self.live * 2 + SLACK {
            return None;
        }
        self.sparse.first().copied()
    }

    /// The bytes of a block, which is no more: walk them with [`records`] and push what lives.
    pub fn take(&mut self, no: u32) -> Vec<u8> {
        let Some(block) = self.blocks.get_mut(no as usize).and_then(Option::take) else {
            return Vec::new();
        };
        self.live -= block.live;
        self.held -= block.bytes.capacity();
        self.sparse.remove(&no);
        self.free.push(no);
        block.bytes
    }

    /// Everything is given back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The messages in a block's bytes, each with its place.
pub fn records(no: u32, bytes: &[u8]) -> impl Iterator<Item = (Kept<'_>, Place)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (kept, len) = decode(bytes.get(at..)?)?;
        let place = Place { segment: SegmentNo(no), offset: at as u32, len: len as u32 };
        at += len;
        Some((kept, place))
    })
}

fn decode(bytes: &[u8]) -> Option<(Kept<'_>, usize)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
    let u64_at = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes);
    let u32_at = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes);
    let (seq, time) = (Seq(u64_at(0).ok()?), u64_at(8).ok()?);
    let (headers, payload) = (u32_at(16).ok()? as usize, u32_at(20).ok()? as usize);
    let (headers, rest) = rest.split_at_checked(headers)?;
    let payload = rest.get(..payload)?;
    Some((Kept { seq, time, headers, payload }, HEADER + headers.len() + payload.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(seq: u64, payload: &[u8]) -> Kept<'_> {
        Kept { seq: Seq(seq), time: seq * 10, headers: b"h", payload }
    }

    #[test]
    fn messages_come_back() {
        let mut arena = Arena::default();
        let places: Vec<Place> = (1..=9).map(|seq| arena.push(&kept(seq, b"abc"))).collect();
        for (place, seq) in places.iter().zip(1..) {
            assert_eq!(arena.get(*place), Some(kept(seq, b"abc")));
        }
    }

    #[test]
    fn what_is_deleted_is_given_back() {
        let mut arena = Arena::default();
        let payload = [7; 1000];
        let mut places: Vec<Place> =
            (0..4000).map(|seq| arena.push(&kept(seq, &payload))).collect();
        assert!(arena.memory() > 4_000_000);
        let last = places.pop().unwrap();
        places.into_iter().for_each(|place| arena.free(place, false));
        assert!(arena.memory() < 2 * MEMORY_BLOCK_BYTES, "{}", arena.memory());
        assert_eq!(arena.get(last), Some(kept(3999, &payload)));
    }

    #[test]
    fn a_small_one_takes_little_and_a_large_one_its_size() {
        let mut arena = Arena::default();
        arena.push(&kept(1, b"abc"));
        assert!(arena.memory() < 1000, "{}", arena.memory());
        let large = vec![1; 3 * MEMORY_BLOCK_BYTES];
        let place = arena.push(&kept(2, &large));
        assert_eq!(arena.get(place), Some(kept(2, &large)));
        assert!(arena.memory() < large.len() + 2000);
    }
}
