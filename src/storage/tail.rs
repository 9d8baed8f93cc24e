//! The newest batches, kept in memory for readers at the tail.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::batch::Buffer;
use super::ids::{Place, position};

#[derive(Debug)]
pub struct TailCache {
    batches: BTreeMap<u64, Rc<Buffer>>,
    /// Oldest first.
    order: VecDeque<u64>,
    bytes: usize,
    bytes_max: usize,
}

impl TailCache {
    pub fn new(bytes_max: usize) -> Self {
        Self { batches: BTreeMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a batch, and drops the oldest ones for it.
    pub fn push(&mut self, start: u64, bytes: Rc<Buffer>) {
        self.bytes += bytes.len();
        self.batches.insert(start, bytes);
        self.order.push_back(start);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else { return };
            let dropped = self.batches.remove(&oldest);
            self.bytes -= dropped.map_or(0, |bytes| bytes.len());
        }
    }

    pub fn get(&self, place: Place) -> Option<&[u8]> {
        let first = position(place.segment, 0);
        let (start, bytes) = self.batches.range(first..=place.position()).next_back()?;
        let at = (place.position() - start) as usize;
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
            tail.push(position(SegmentNo(1), n * 4096), Rc::new(bytes));
        }
        let at = |offset| Place { segment: SegmentNo(1), offset, len: 8 };
        assert!(tail.get(at(4096)).is_none());
        assert_eq!(tail.get(at(3 * 4096 + 80)), Some(&[3; 8][..]));
        assert!(tail.get(at(4 * 4096)).is_none());
        assert_eq!(tail.bytes(), 8192);
    }
}
