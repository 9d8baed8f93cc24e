//! Short byte strings under one-word keys, without a header, a pointer or padding per string.

use std::num::NonZeroU32;

use super::slab::Slab;

/// Strings shorter than this stand in blocks of exactly their length.
const SHORT: usize = 1 << SHORT_BITS;
const SHORT_BITS: u32 = 6;
const INDEX_MAX: u32 = 1 << (32 - SHORT_BITS);
/// Blocks of one length allocated at once.
const BLOCKS: usize = 256;

/// `index << 6 | length`; length 0 stands for a long string.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextKey(NonZeroU32);

pub struct Texts {
    lengths: Vec<Blocks>,
    long: Slab<Box<[u8]>>,
}

#[derive(Default)]
struct Blocks {
    chunks: Vec<Box<[u8]>>,
    used: u32,
    free: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { lengths: (0..SHORT).map(|_| Blocks::default()).collect(), long: Slab::default() }
    }
}

impl Texts {
    /// `text` is not empty.
    pub fn insert(&mut self, text: &[u8]) -> TextKey {
        debug_assert!(!text.is_empty());
        let length = text.len();
        let full = length >= SHORT || {
            let blocks = &self.lengths[length];
            blocks.free.is_empty() && blocks.used == INDEX_MAX
        };
        let (index, length) = if full {
            (self.long.insert(text.into()) + 1, 0)
        } else {
            (self.lengths[length].insert(text), length as u32)
        };
        assert!(index < INDEX_MAX, "memory ends long before the keys do");
        TextKey(NonZeroU32::new(index << SHORT_BITS | length).expect("index or length is not 0"))
    }

    pub fn get(&self, key: TextKey) -> &[u8] {
        let (index, length) = key.parts();
        if length == 0 {
            return self.long.get(index - 1);
        }
        let offset = index as usize % BLOCKS * length;
        &self.lengths[length].chunks[index as usize / BLOCKS][offset..offset + length]
    }

    pub fn remove(&mut self, key: TextKey) {
        let (index, length) = key.parts();
        if length == 0 {
            self.long.remove(index - 1);
        } else {
            self.lengths[length].free.push(index);
        }
    }
}

impl TextKey {
    fn parts(self) -> (u32, usize) {
        (self.0.get() >> SHORT_BITS, self.0.get() as usize & (SHORT - 1))
    }
}

impl Blocks {
    fn insert(&mut self, text: &[u8]) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        });
        if index as usize / BLOCKS == self.chunks.len() {
            self.chunks.push(vec![0; BLOCKS * text.len()].into_boxed_slice());
        }
        let offset = index as usize % BLOCKS * text.len();
        let chunk = &mut self.chunks[index as usize / BLOCKS];
        chunk[offset..offset + text.len()].copy_from_slice(text);
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_length_come_back() {
        let mut texts = Texts::default();
        let all: Vec<Vec<u8>> = (1..200usize)
            .flat_map(|len| (0..5u8).map(move |salt| vec![salt.wrapping_add(len as u8); len]))
            .collect();
        let keys: Vec<TextKey> = all.iter().map(|text| texts.insert(text)).collect();
        for key in keys.iter().step_by(2) {
            texts.remove(*key);
        }
        let again: Vec<TextKey> = all.iter().step_by(2).map(|text| texts.insert(text)).collect();
        for (key, text) in again.iter().zip(all.iter().step_by(2)) {
            assert_eq!(texts.get(*key), text);
        }
        for (key, text) in keys.iter().zip(&all).skip(1).step_by(2) {
            assert_eq!(texts.get(*key), text);
        }
    }
}
