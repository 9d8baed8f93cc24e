//! The newest batches, kept in memory for readers at the tail.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::batch::{BLOCK, Buffer};
use super::ids::{Place, position};
use crate::types::limits::TAIL_BATCHES_MAX;

/// What is kept of a batch.
#[derive(Debug)]
enum Kept {
    /// As it was written.
    Whole(Rc<Buffer>),
    /// One of a single block, which a lone publisher causes: without the padding, most of it.
    Short(Box<[u8]>),
}

impl Kept {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Short(bytes) => bytes,
        }
    }

    /// What it takes in memory.
    fn footprint(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.capacity(),
            Self::Short(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug)]
pub struct TailCache {
    /// By position. Most come at the end and go from the front.
    batches: VecDeque<(u64, Kept)>,
    /// Oldest first.
    order: VecDeque<u64>,
    /// What the batches take in memory.
    bytes: usize,
    bytes_max: usize,
    /// The batch that was read last, of which a reader wants more.
    hint: Cell<usize>,
}

impl TailCache {
    pub fn new(bytes_max: usize) -> Self {
        let (batches, order, hint) = (VecDeque::new(), VecDeque::new(), Cell::new(0));
        Self { batches, order, bytes: 0, bytes_max, hint }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a batch whose records end at `len`, and drops the oldest ones for it. Returns a buffer
    /// that nobody has any more, if there is one. No place is written twice.
    pub fn push(&mut self, start: u64, batch: Rc<Buffer>, len: usize) -> Option<Buffer> {
        let (kept, mut free) = match Rc::try_unwrap(batch) {
            Ok(buffer) if buffer.len() <= BLOCK => {
                (Kept::Short(buffer[..len.min(buffer.len())].into()), Some(buffer))
            }
            Ok(buffer) => (Kept::Whole(Rc::new(buffer)), None),
            Err(shared) => (Kept::Whole(shared), None),
        };
        self.bytes += kept.footprint();
        let at = self.batches.partition_point(|(other, _)| *other < start);
        self.batches.insert(at, (start, kept));
        self.order.push_back(start);
        while self.bytes > self.bytes_max || self.order.len() > TAIL_BATCHES_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            let at = self.batches.partition_point(|(other, _)| *other < oldest);
            let Some((_, dropped)) = self.batches.remove(at) else { continue };
            self.bytes -= dropped.footprint();
            if let Kept::Whole(bytes) = dropped {
                free = Rc::into_inner(bytes).or(free);
            }
        }
        free
    }

    pub fn get(&self, place: Place) -> Option<&[u8]> {
        let hint = self.hint.get();
        if let Some(found) = self.get_in(hint, place) {
            return Some(found);
        }
        let behind = self.batches.partition_point(|(start, _)| *start <= place.position());
        let at = behind.checked_sub(1)?;
        self.hint.set(at);
        self.get_in(at, place)
    }

    /// A record of one of the batches.
    fn get_in(&self, at: usize, place: Place) -> Option<&[u8]> {
        self.rest_of(at, place)?.get(..place.len as usize)
    }

    /// A batch, from a place in it on.
    fn rest_of(&self, at: usize, place: Place) -> Option<&[u8]> {
        let (start, kept) = self.batches.get(at)?;
        let is_same_segment = *start >= position(place.segment, 0);
        let at = place.position().checked_sub(*start).filter(|_| is_same_segment)?;
        kept.bytes().get(at as usize..)
    }

    /// The block at a place as it stands on disk, for a mutation that writes it again.
    pub fn block(&self, place: Place) -> Option<Buffer> {
        let behind = self.batches.partition_point(|(start, _)| *start <= place.position());
        let rest = self.rest_of(behind.checked_sub(1)?, place)?;
        let mut block = Buffer::new();
        block.extend_from_slice(&rest[..rest.len().min(BLOCK)]);
        block.resize(BLOCK, 0);
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ids::SegmentNo;

    fn batch(len: usize, value: u8) -> Rc<Buffer> {
        let mut bytes = Buffer::new();
        bytes.resize(len, value);
        Rc::new(bytes)
    }

    fn at(offset: u32, len: u32) -> Place {
        Place { segment: SegmentNo(1), offset, len }
    }

    #[test]
    fn the_oldest_batch_goes_first() {
        let mut tail = TailCache::new(16384);
        for n in 1..=3u32 {
            let dropped = tail.push(position(SegmentNo(1), n * 8192), batch(8192, n as u8), 8000);
            assert_eq!(dropped.map(|bytes| bytes[0]), (n == 3).then_some(1));
        }
        assert!(tail.get(at(8192, 8)).is_none());
        assert_eq!(tail.get(at(3 * 8192 + 80, 8)), Some(&[3; 8][..]));
        assert!(tail.get(at(4 * 8192, 8)).is_none());
        assert_eq!(tail.bytes(), 16384);
    }

    #[test]
    fn of_a_single_block_the_padding_is_not_kept() {
        let mut tail = TailCache::new(500);
        for n in 1..=3u32 {
            let start = position(SegmentNo(1), n * 4096);
            let mut bytes = Rc::into_inner(batch(200, n as u8)).unwrap();
            bytes.resize(4096, 0);
            let free = tail.push(start, Rc::new(bytes), 200);
            assert_eq!(free.map(|buffer| buffer.len()), Some(4096));
        }
        assert_eq!(tail.bytes(), 400);
        assert!(tail.get(at(4096, 8)).is_none());
        assert_eq!(tail.get(at(2 * 4096 + 80, 120)), Some(&[2; 120][..]));
        assert!(tail.get(at(2 * 4096 + 80, 121)).is_none());
        let block = tail.block(at(3 * 4096, 4096)).unwrap();
        assert_eq!((block.len(), block[199], block[200]), (4096, 3, 0));
        // One that somebody else holds stays as it is.
        let (mut tail, shared) = (TailCache::new(8192), batch(4096, 9));
        assert!(tail.push(position(SegmentNo(1), 4 * 4096), Rc::clone(&shared), 200).is_none());
        assert_eq!(tail.bytes(), 4096);
    }

    #[test]
    fn so_many_batches_are_kept() {
        let mut tail = TailCache::new(usize::MAX);
        for n in 0..=TAIL_BATCHES_MAX as u32 {
            tail.push(position(SegmentNo(1), n * 4096), batch(4096, 1), 100);
        }
        assert!(tail.get(at(0, 8)).is_none());
        assert!(tail.get(at(4096, 8)).is_some());
        assert_eq!(tail.bytes(), TAIL_BATCHES_MAX * 100);
    }
}
