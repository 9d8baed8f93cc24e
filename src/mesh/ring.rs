//! A ring of byte buffers between one producer and one consumer. The mesh's only unsafe code.

use std::{mem, sync::Arc};

use super::{
    Full,
    sync::{AtomicUsize, Ordering, Padded, UnsafeCell},
};

/// Invariant: `taken <= put <= taken + slots.len()`. Both only grow.
///
/// Slots at positions `taken..put` belong to the reader, all others to the writer.
struct Ring {
    slots: Box<[UnsafeCell<Vec<u8>>]>,
    /// Buffers put in so far: written by the writer alone.
    put: Padded<AtomicUsize>,
    /// Buffers taken out so far: written by the reader alone.
    taken: Padded<AtomicUsize>,
}

// SAFETY: the slots are the only part that is not `Sync` by itself. They are reached through
// `Writer` and `Reader` alone, of which `ring` makes one each and neither can be cloned; by the
// invariant a slot belongs to one of the two at any time, and it changes hands by a store-Release
// of `put` or `taken` that the other side loads with Acquire before it touches the slot.
unsafe impl Sync for Ring {}

impl Ring {
    /// The slot of a position: the slots are a power of two.
    #[inline]
    fn slot(&self, position: usize) -> &UnsafeCell<Vec<u8>> {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

/// The two ends of a ring with room for `slots` buffers, rounded up to a power of two.
pub fn ring(slots: usize) -> (Writer, Reader) {
    let slots = (0..slots.max(1).next_power_of_two()).map(|_| UnsafeCell::new(Vec::new()));
    let ring = Arc::new(Ring {
        slots: slots.collect(),
        put: Padded(AtomicUsize::new(0)),
        taken: Padded(AtomicUsize::new(0)),
    });
    let writer = Writer { ring: Arc::clone(&ring), put: 0, taken: 0 };
    (writer, Reader { ring, taken: 0, fixed: 0 })
}

/// The producer's end.
pub struct Writer {
    ring: Arc<Ring>,
    put: usize,
    /// `ring.taken` when last looked at: its line is fetched only when the ring seems full.
    taken: usize,
}

impl Writer {
    /// Moves `buffer` into the ring and leaves an empty one; a full ring leaves it untouched.
    #[inline]
    pub fn put(&mut self, buffer: &mut Vec<u8>) -> Result<(), Full> {
        if self.is_full() {
            return Err(Full);
        }
        self.ring.slot(self.put).with_mut(|slot| {
            // SAFETY: `put - taken < slots`, so the slot is the writer's (see `Ring`). The
            // Acquire load in `is_full` orders the reader's last use of it before this one.
            unsafe { *slot = mem::take(buffer) };
        });
        self.put += 1;
        // Release: hands the slot over, and all that happened before on this core with it.
        self.ring.put.0.store(self.put, Ordering::Release);
        Ok(())
    }

    /// Whether nothing more can be put in now.
    #[inline]
    pub fn is_full(&mut self) -> bool {
        if self.put - self.taken == self.ring.slots.len() {
            // Acquire: pairs with the Release in `take`, which hands the slot back.
            self.taken = self.ring.taken.0.load(Ordering::Acquire);
        }
        self.put - self.taken == self.ring.slots.len()
    }
}

/// The consumer's end.
pub struct Reader {
    ring: Arc<Ring>,
    taken: usize,
    /// `ring.put` when last looked at. Invariant: `taken <= fixed <= ring.put`.
    fixed: usize,
}

impl Reader {
    /// Looks how far the writer is, and returns how many buffers came to what `take` gives.
    #[inline]
    pub fn fix(&mut self) -> usize {
        // Acquire: pairs with the Release in `put`.
        let put = self.ring.put.0.load(Ordering::Acquire);
        put - mem::replace(&mut self.fixed, put)
    }

    /// The oldest buffer, up to what was fixed.
    #[inline]
    pub fn take(&mut self) -> Option<Vec<u8>> {
        if self.taken == self.fixed {
            return None;
        }
        let buffer = self.ring.slot(self.taken).with_mut(|slot| {
            // SAFETY: `taken < fixed <= put`, so the slot is the reader's (see `Ring`). The
            // Acquire load in `fix` orders the writer's use of it before this one.
            unsafe { mem::take(&mut *slot) }
        });
        self.taken += 1;
        // Release: hands the slot back.
        self.ring.taken.0.store(self.taken, Ordering::Release);
        Some(buffer)
    }
}
