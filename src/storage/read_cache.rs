//! What single reads brought from the disk, in pages of a segment, for those who ask for the same
//! messages or their neighbours. Whose page has not been used since it was looked at last goes first.
//!
//! A page holds only bytes that are never written again: what had landed when it was read. If a
//! segment grows behind it, a longer page takes its place. Segment numbers are never reused, so a
//! recycled file has other pages; those of a segment that has retired are dropped with it. Records
//! are checked each time one is given out, as everywhere.

use std::cell::Cell;
use std::collections::VecDeque;

use ahash::AHashMap;

use super::batch::{BLOCK, Buffer, round_up};
use super::ids::{Place, SegmentNo, position};

/// Pages that a cache holds at least; one that is allowed less holds none.
const PAGES_MIN: usize = 4;

/// A part of a segment that is read and kept as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    pub segment: SegmentNo,
    pub offset: u32,
    pub len: u32,
}

impl Page {
    pub fn covers(&self, place: Place) -> bool {
        place.segment == self.segment
            && place.offset >= self.offset
            && place.end() <= self.offset + self.len
    }
}

#[derive(Debug)]
pub struct ReadCache {
    /// By number: the position of the page's first byte, in pages.
    pages: AHashMap<u64, Kept>,
    /// The numbers of all pages, in the order in which they are looked at.
    order: VecDeque<u64>,
    bytes: usize,
    bytes_max: usize,
    page_bytes: u32,
}

#[derive(Debug)]
struct Kept {
    bytes: Buffer,
    /// Since the page was looked at.
    mark: Cell<Mark>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mark {
    Unused,
    Used,
    /// A record in it is not what was written: it is read anew before anything else is believed.
    Distrusted,
}

impl ReadCache {
    /// `page_bytes`: a power of two, whole blocks.
    pub fn new(bytes_max: usize, page_bytes: u32) -> Self {
        debug_assert!(page_bytes.is_power_of_two() && page_bytes as usize >= BLOCK);
        Self { pages: AHashMap::default(), order: VecDeque::new(), bytes: 0, bytes_max, page_bytes }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn number(&self, segment: SegmentNo, offset: u32) -> u64 {
        position(segment, offset) / u64::from(self.page_bytes)
    }

    /// What to read for a record of a segment of which everything up to `landed` is on disk.
    /// `None`: such a record is not kept.
    pub fn page_of(&self, place: Place, landed: u32) -> Option<Page> {
        let is_small = place.len <= self.page_bytes / 2;
        let has_room = self.bytes_max >= PAGES_MIN * self.page_bytes as usize;
        if !is_small || !has_room || place.end() > landed {
            return None;
        }
        let offset = place.offset & !(self.page_bytes - 1);
        // With the rest of a small record that begins in the page and ends behind it.
        let end = (offset + self.page_bytes).saturating_add(BLOCK as u32);
        let end = end.max(round_up(place.end())).min(landed);
        Some(Page { segment: place.segment, offset, len: end - offset })
    }

    /// Keeps a page, and drops others for it.
    pub fn put(&mut self, segment: SegmentNo, offset: u32, bytes: Buffer) {
        let number = self.number(segment, offset);
        self.bytes += bytes.len();
        let kept = Kept { bytes, mark: Cell::new(Mark::Unused) };
        match self.pages.insert(number, kept) {
            Some(replaced) => self.bytes -= replaced.bytes.len(),
            None => self.order.push_back(number),
        }
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_used = |kept: &Kept| kept.mark.get() == Mark::Used;
            if oldest == number || self.pages.get(&oldest).is_some_and(is_used) {
                self.order.push_back(oldest);
                self.pages.entry(oldest).and_modify(|kept| kept.mark.set(Mark::Unused));
            } else if let Some(dropped) = self.pages.remove(&oldest) {
                self.bytes -= dropped.bytes.len();
            }
        }
    }

    pub fn get(&self, place: Place) -> Option<&[u8]> {
        let kept = self.pages.get(&self.number(place.segment, place.offset))?;
        let at = (place.offset & (self.page_bytes - 1)) as usize;
        let found = kept.bytes.get(at..at + place.len as usize)?;
        if kept.mark.get() == Mark::Distrusted {
            return None;
        }
        kept.mark.set(Mark::Used);
        Some(found)
    }

    /// What was found at a place is not what was written there.
    pub fn distrust(&self, place: Place) {
        if let Some(kept) = self.pages.get(&self.number(place.segment, place.offset)) {
            kept.mark.set(Mark::Distrusted);
        }
    }

    /// Forgets a segment of `len` bytes.
    pub fn forget(&mut self, segment: SegmentNo, len: u32) {
        if self.pages.is_empty() {
            return;
        }
        let (first, last) = (self.number(segment, 0), self.number(segment, len));
        for number in first..=last {
            let dropped = self.pages.remove(&number);
            self.bytes -= dropped.map_or(0, |kept| kept.bytes.len());
        }
        self.order.retain(|number| !(first..=last).contains(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u32 = 8192;
    const SEGMENT: SegmentNo = SegmentNo(3);

    fn cache(pages: usize) -> ReadCache {
        ReadCache::new(pages * PAGE as usize, PAGE)
    }

    fn at(offset: u32, len: u32) -> Place {
        Place { segment: SEGMENT, offset, len }
    }

    fn bytes(len: u32, fill: u8) -> Buffer {
        let mut bytes = Buffer::new();
        bytes.resize(len as usize, fill);
        bytes
    }

    fn put(cache: &mut ReadCache, page: u32) {
        cache.put(SEGMENT, page * PAGE, bytes(PAGE, page as u8));
    }

    #[test]
    fn a_page_ends_where_the_disk_may_still_be_written() {
        let cache = cache(4);
        let page = |offset, len, landed| {
            cache.page_of(at(offset, len), landed).map(|page| (page.offset, page.len))
        };
        assert_eq!(page(100, 50, 100_000), Some((0, PAGE + 4096)));
        assert_eq!(page(PAGE + 5, 50, 2 * PAGE - 4096), Some((PAGE, PAGE - 4096)));
        // A record over the page's edge brings all of itself.
        assert_eq!(page(PAGE - 10, 4096, 100_000), Some((0, PAGE + 4096)));
        assert_eq!(page(4096 + 4000, 4096, 100_000), Some((0, PAGE + 4096)));
        assert_eq!(page(100, 50, 149), None);
        assert_eq!(page(100, PAGE, 100_000), None);
        assert_eq!(ReadCache::new(3 * PAGE as usize, PAGE).page_of(at(0, 9), 100_000), None);
    }

    #[test]
    fn what_nobody_used_goes_first() {
        let mut cache = cache(4);
        (0..4).for_each(|page| put(&mut cache, page));
        assert_eq!(cache.get(at(3, 2)), Some(&[0, 0][..]));
        put(&mut cache, 4);
        put(&mut cache, 5);
        let kept: Vec<u32> =
            (0..6).filter(|page| cache.get(at(page * PAGE, 1)).is_some()).collect();
        assert_eq!(kept, [0, 3, 4, 5]);
        assert_eq!(cache.bytes(), 4 * PAGE as usize);
        // All were used by now: the newest stays all the same.
        put(&mut cache, 6);
        assert!(cache.get(at(6 * PAGE, 1)).is_some());
        assert_eq!(cache.bytes(), 4 * PAGE as usize);
    }

    #[test]
    fn a_longer_page_takes_the_place_of_a_shorter_one() {
        let mut cache = cache(4);
        cache.put(SEGMENT, 0, bytes(4096, 1));
        assert!(cache.get(at(4000, 100)).is_none());
        cache.put(SEGMENT, 0, bytes(PAGE, 2));
        assert_eq!(cache.get(at(4000, 100)), Some(&[2; 100][..]));
        assert_eq!((cache.bytes(), cache.order.len()), (PAGE as usize, 1));
    }

    #[test]
    fn a_retired_segment_is_forgotten_and_no_other() {
        let mut cache = cache(8);
        let other = SegmentNo(4);
        put(&mut cache, 0);
        put(&mut cache, 2);
        cache.put(other, 0, bytes(PAGE, 9));
        cache.forget(SEGMENT, 3 * PAGE);
        assert!(cache.get(at(0, 1)).is_none() && cache.get(at(2 * PAGE, 1)).is_none());
        assert!(cache.get(Place { segment: other, ..at(0, 1) }).is_some());
        assert_eq!((cache.bytes(), cache.order.len()), (PAGE as usize, 1));
    }

    #[test]
    fn a_page_with_damage_is_read_anew() {
        let mut cache = cache(4);
        put(&mut cache, 0);
        cache.distrust(at(17, 4));
        assert!(cache.get(at(17, 4)).is_none() && cache.get(at(99, 4)).is_none());
        put(&mut cache, 0);
        assert!(cache.get(at(17, 4)).is_some());
    }
}
