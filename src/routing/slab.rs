//! Values under small reusable keys. Grows by chunks, so that growth never moves what is there.

const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;
/// Keys stay below this: the routing tables use the top bit for themselves.
const KEYS_MAX: u32 = 1 << 31;
const NO_KEY: u32 = u32::MAX;

pub struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// Head of the chain of free slots.
    free: u32,
    len: usize,
}

enum Slot<T> {
    Used(T),
    /// The next free slot.
    Free(u32),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: NO_KEY, len: 0 }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free != NO_KEY {
            let key = self.free;
            let slot = &mut self.chunks[key as usize >> CHUNK_BITS][key as usize & (CHUNK - 1)];
            if let Slot::Free(next) = *slot {
                self.free = next;
            }
            *slot = Slot::Used(value);
            return key;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunks = self.chunks.len() - 1;
        let chunk = &mut self.chunks[chunks];
        chunk.push(Slot::Used(value));
        let key = (chunks << CHUNK_BITS) + chunk.len() - 1;
        assert!(key < KEYS_MAX as usize, "memory ends long before the keys do");
        key as u32
    }

    pub fn remove(&mut self, key: u32) -> T {
        let slot = &mut self.chunks[key as usize >> CHUNK_BITS][key as usize & (CHUNK - 1)];
        match std::mem::replace(slot, Slot::Free(self.free)) {
            Slot::Used(value) => {
                self.free = key;
                self.len -= 1;
                value
            }
            Slot::Free(_) => panic!("slab key {key} removed twice"),
        }
    }

    pub fn get(&self, key: u32) -> &T {
        match &self.chunks[key as usize >> CHUNK_BITS][key as usize & (CHUNK - 1)] {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("slab key {key} used after its removal"),
        }
    }

    pub fn get_mut(&mut self, key: u32) -> &mut T {
        match &mut self.chunks[key as usize >> CHUNK_BITS][key as usize & (CHUNK - 1)] {
            Slot::Used(value) => value,
            Slot::Free(_) => panic!("slab key {key} used after its removal"),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_reused() {
        let mut slab = Slab::default();
        let keys: Vec<u32> = (0..3000).map(|value| slab.insert(value)).collect();
        assert_eq!(keys, (0..3000).collect::<Vec<u32>>());
        assert_eq!(slab.remove(1500), 1500);
        assert_eq!(slab.remove(7), 7);
        assert_eq!(slab.len(), 2998);
        assert_eq!(slab.insert(70), 7);
        assert_eq!(*slab.get(7), 70);
        assert_eq!(slab.len(), 2999);
    }
}
