//! A multimap from a hash to 32-bit values, in about ten bytes an entry.
//!
//! 256 segments by the hash's top byte, each a sorted array with gaps: an entry stands at the
//! place its hash points to, or behind it, pushed by smaller ones (Robin Hood hashing without
//! the wrap-around). Keys are not stored: whoever looks up checks the value's own key. A segment
//! grows by a quarter and on its own, so a million entries never move in one turn (4,000 do).

const SEGMENTS: usize = 256;
const EMPTY: u64 = u64::MAX;
const HOMES_MIN: usize = 4;

pub struct HashIndex {
    segments: Vec<Segment>,
    len: usize,
}

/// `slots` is sorted, gaps aside. Entry: 32 bits of hash, then the value.
///
/// Invariant: between an entry's home and its slot no slot is empty.
#[derive(Default)]
struct Segment {
    slots: Vec<u64>,
    /// Places that hashes point to; the slots behind them take what the last ones push out.
    homes: u32,
    len: u32,
}

impl Default for HashIndex {
    fn default() -> Self {
        Self { segments: (0..SEGMENTS).map(|_| Segment::default()).collect(), len: 0 }
    }
}

impl HashIndex {
    /// The same pair twice is two entries. `value` is not `u32::MAX`.
    pub fn insert(&mut self, hash: u64, value: u32) {
        debug_assert!(value != u32::MAX);
        self.len += 1;
        self.segments[segment_of(hash)].insert(entry(hash, value));
    }

    /// Whether the pair was there.
    pub fn remove(&mut self, hash: u64, value: u32) -> bool {
        let removed = self.segments[segment_of(hash)].remove(entry(hash, value));
        self.len -= usize::from(removed);
        removed
    }

    pub fn contains(&self, hash: u64, value: u32) -> bool {
        let segment = &self.segments[segment_of(hash)];
        let entry = entry(hash, value);
        segment.slots.get(segment.seek(entry)) == Some(&entry)
    }

    /// The values whose hash agrees in its upper 40 bits, ascending.
    #[inline]
    pub fn find(&self, hash: u64) -> impl Iterator<Item = u32> {
        let segment = &self.segments[segment_of(hash)];
        let first = entry(hash, 0);
        let from = if segment.len == 0 { 0 } else { segment.seek(first) };
        segment.slots[from..]
            .iter()
            .take_while(move |&&slot| slot >> 32 == first >> 32 && slot != EMPTY)
            .map(|&slot| slot as u32)
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

fn segment_of(hash: u64) -> usize {
    (hash >> 56) as usize
}

fn entry(hash: u64, value: u32) -> u64 {
    (hash << 8) >> 32 << 32 | u64::from(value)
}

impl Segment {
    fn home(&self, entry: u64) -> usize {
        (((entry >> 32) * u64::from(self.homes)) >> 32) as usize
    }

    /// The first slot that holds `entry`, or something greater, or nothing.
    fn seek(&self, entry: u64) -> usize {
        let home = self.home(entry);
        let run = self.slots[home.min(self.slots.len())..].iter();
        home + run.take_while(|&&slot| slot < entry).count()
    }

    fn insert(&mut self, entry: u64) {
        // At most 7/8 full: a look-up passes four entries on average.
        if (self.len + 1) * 8 > self.homes * 7 {
            self.resize((self.homes as usize * 5 / 4).max(HOMES_MIN));
        }
        loop {
            let at = self.seek(entry);
            let gap = self.slots[at..].iter().position(|&slot| slot == EMPTY);
            if let Some(gap) = gap {
                self.slots.copy_within(at..at + gap, at + 1);
                self.slots[at] = entry;
                self.len += 1;
                return;
            }
            self.resize(self.homes as usize * 5 / 4 + 1);
        }
    }

    fn remove(&mut self, entry: u64) -> bool {
        let at = self.seek(entry);
        if self.slots.get(at) != Some(&entry) || entry == EMPTY {
            return false;
        }
        let mut end = at + 1;
        while let Some(&slot) = self.slots.get(end)
            && slot != EMPTY
            && self.home(slot) < end
        {
            end += 1;
        }
        self.slots.copy_within(at + 1..end, at);
        self.slots[end - 1] = EMPTY;
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else if self.len * 3 < self.homes && self.homes as usize > 2 * HOMES_MIN {
            self.resize(self.len as usize * 2);
        }
        true
    }

    /// One pass, since both are sorted. `homes` is more than there are entries.
    fn resize(&mut self, homes: usize) {
        let old = std::mem::take(&mut self.slots);
        self.homes = homes as u32;
        // Entries at the very end need room behind the last home.
        self.slots = vec![EMPTY; homes + HOMES_MIN + homes / 64];
        let mut next = 0;
        for slot in old.into_iter().filter(|&slot| slot != EMPTY) {
            let at = self.home(slot).max(next);
            if at == self.slots.len() {
                self.slots.push(slot);
            } else {
                self.slots[at] = slot;
            }
            next = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A small generator of its own, so that a failure repeats.
    fn mixed(seed: u64) -> u64 {
        let mixed = (seed ^ seed >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    #[test]
    fn agrees_with_a_set_under_churn() {
        // Few distinct hashes, at both ends of the range, so that runs meet and overflow.
        let hash_of = |n: u64| match n % 4 {
            0 => u64::MAX << 24,
            1 => u64::MAX << (24 + n / 4 % 8),
            2 => (n / 4 % 50) << 24,
            _ => mixed(n / 4 % 3000),
        };
        let mut index = HashIndex::default();
        let mut model = BTreeSet::new();
        for step in 0..60_000u64 {
            let random = mixed(step);
            let hash = hash_of(random >> 20) >> 24 << 24;
            let value = (random >> 12 & 7) as u32;
            let growing = step % 20_000 < 12_000;
            if (random & 7 < 5) == growing {
                if model.insert((hash, value)) {
                    index.insert(hash, value);
                }
            } else {
                assert_eq!(index.remove(hash, value), model.remove(&(hash, value)));
            }
            let expected = model.range((hash, 0)..=(hash, u32::MAX)).map(|&(_, value)| value);
            assert!(index.find(hash).eq(expected), "step {step}");
            assert_eq!(index.contains(hash, value), model.contains(&(hash, value)));
            assert_eq!(index.len(), model.len());
        }
    }
}
