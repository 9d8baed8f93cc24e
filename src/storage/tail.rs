//! The newest batches, kept in memory for readers at the tail.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::batch::Buffer;
use super::ids::{Place, position};

#[derive(Debug)]
pub struct TailCache {
    /// By position. Most come at the end and go from the front.
    batches: VecDeque<(u64, Rc<Buffer>)>,
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

    /// Keeps a batch, and drops the oldest ones for it; the last of those is returned, if nobody else
    /// has it. No place is written twice.
    pub fn push(&mut self, start: u64, bytes: Rc<Buffer>) -> Option<Buffer> {
        self.bytes += bytes.capacity();
        let at = self.batches.partition_point(|(other, _)| *other < start);
        self.batches.insert(at, (start, bytes));
        self.order.push_back(start);
        let mut last = None;
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { break };
            let at = self.batches.partition_point(|(other, _)| *other < oldest);
            if let Some((_, dropped)) = self.batches.remove(at) {
                self.bytes -= dropped.capacity();
                last = Rc::into_inner(dropped);
            }
        }
        last
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
        let (start, bytes) = self.batches.get(at)?;
        let is_same_segment = *start >= position(place.segment, 0);
        let at = place.position().checked_sub(*start).filter(|_| is_same_segment)? as usize;
        bytes.get(at..at + place.len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::ids::SegmentNo;

    #[test]
    fn the_oldest_batch_goes_first() {
        let mut tail = TailCache::new(8192);
        for n in 1..=3u32 {
            let mut bytes = Buffer::new();
            bytes.resize(4096, n as u8);
            let dropped = tail.push(position(SegmentNo(1), n * 4096), Rc::new(bytes));
            assert_eq!(dropped.map(|bytes| bytes[0]), (n == 3).then_some(1));
        }
        let at = |offset| Place { segment: SegmentNo(1), offset, len: 8 };
        assert!(tail.get(at(4096)).is_none());
        assert_eq!(tail.get(at(3 * 4096 + 80)), Some(&[3; 8][..]));
        assert!(tail.get(at(4 * 4096)).is_none());
        assert_eq!(tail.bytes(), 8192);
    }
}
