//! A lane: batches one way, emptied buffers back, and word of new room to a producer that waits.

use std::{mem, sync::Arc};

use super::{
    Full,
    ring::{Reader, Writer, ring},
    sync::{AtomicBool, Guard, Guards, Ordering, Padded},
};

/// Emptied buffers on their way back in one lane; more are freed.
const SPARE_BUFFERS: usize = 4;
/// A larger buffer is freed instead of going back: an idle lane keeps at most 4 MiB.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// The two ends of a lane with room for `slots` batches.
pub fn lane(slots: usize, guards: Guards) -> (Outgoing, Incoming) {
    let (batches, arriving) = ring(slots);
    let (returning, spares) = ring(SPARE_BUFFERS);
    let starving = Arc::new(Padded(AtomicBool::new(false)));
    let outgoing = Outgoing { batches, spares, starving: Arc::clone(&starving), guards };
    (outgoing, Incoming { batches: arriving, spares: returning, starving, guards })
}

/// The producer's end.
pub struct Outgoing {
    batches: Writer,
    spares: Reader,
    /// The last push found the lane full, and nobody has answered that yet.
    starving: Arc<Padded<AtomicBool>>,
    guards: Guards,
}

impl Outgoing {
    /// Puts `batch` in the lane and leaves an emptied buffer in its place. `Full` leaves it
    /// untouched; the consumer then says when there is room.
    pub fn push(&mut self, batch: &mut Vec<u8>) -> Result<(), Full> {
        if self.batches.put(batch).is_err() {
            self.push_starving(batch)?;
        }
        self.spares.fix();
        *batch = self.spares.take().unwrap_or_default();
        Ok(())
    }

    /// Says that this end waits for room, then tries again. Without the second try the consumer
    /// could free its last slot just before it can see the flag, and never look again.
    #[cold]
    fn push_starving(&mut self, batch: &mut Vec<u8>) -> Result<(), Full> {
        // Relaxed: the fence orders it before the second look at the ring, against the
        // consumer's fence between freeing a slot and reading the flag.
        self.starving.0.store(true, Ordering::Relaxed);
        self.guards.fence(Guard::StarvingFence);
        if !self.guards.has(Guard::SecondTry) {
            return Err(Full);
        }
        self.batches.put(batch)?;
        // Relaxed: if the consumer took the flag first, this end is rung once for nothing.
        self.starving.0.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the next push would find no room.
    pub fn is_full(&mut self) -> bool {
        self.batches.is_full()
    }
}

/// The consumer's end.
pub struct Incoming {
    batches: Reader,
    spares: Writer,
    starving: Arc<Padded<AtomicBool>>,
    guards: Guards,
}

/// A batch was taken.
pub struct Popped {
    /// The producer waits for the room that this made, and must be told.
    pub producer_waits: bool,
}

impl Incoming {
    /// Fixes how far `pop` goes, and returns how many batches came to it.
    pub fn fix(&mut self) -> usize {
        self.batches.fix()
    }

    /// The next batch up to what was fixed, in exchange for the buffer in `into`.
    pub fn pop(&mut self, into: &mut Vec<u8>) -> Option<Popped> {
        let batch = self.batches.take()?;
        self.give_back(mem::replace(into, batch));
        // Between freeing the slot and reading the flag: see `push_starving`.
        self.guards.fence(Guard::RoomFence);
        // Relaxed: the doorbell that is rung for it carries the ordering.
        let flagged = self.starving.0.load(Ordering::Relaxed);
        Some(Popped { producer_waits: flagged && self.starving.0.swap(false, Ordering::Relaxed) })
    }

    fn give_back(&mut self, mut spare: Vec<u8>) {
        if (1..=SPARE_BYTES_MAX).contains(&spare.capacity()) {
            spare.clear();
            // Full: enough buffers are on their way already, this one is freed.
            let _ = self.spares.put(&mut spare);
        }
    }
}
