//! A shard's doorbell: one word that changes when there may be something for it, and whether it
//! sleeps and must be woken to see that.
//!
//! A ring is not lost, whichever way the two sides interleave: the ringer bumps the word, passes
//! a full fence, then reads `parked`; the sleeper sets `parked`, passes a full fence, then reads
//! the word. At least one of them sees the other's write.

use std::sync::Arc;

use super::sync::{AtomicBool, AtomicU64, Guard, Guards, Ordering, Padded};
use crate::types::ShardId;

/// All doorbells of a mesh.
#[derive(Clone)]
pub struct Doorbells {
    bells: Arc<[Padded<Doorbell>]>,
    guards: Guards,
}

struct Doorbell {
    rings: AtomicU64,
    parked: AtomicBool,
}

impl Doorbells {
    pub fn new(shards: usize, guards: Guards) -> Self {
        let doorbell = || Doorbell { rings: AtomicU64::new(0), parked: AtomicBool::new(false) };
        Self { bells: (0..shards).map(|_| Padded(doorbell())).collect(), guards }
    }

    pub fn guards(&self) -> Guards {
        self.guards
    }

    #[inline]
    fn of(&self, shard: ShardId) -> &Doorbell {
        &self.bells[shard.index()].0
    }

    /// Changes the shard's word. What happened before is seen by whoever sees the change.
    #[inline]
    pub fn ring(&self, shard: ShardId) {
        // Release: a lane's tail was stored before it. An RMW, so that it also carries on what
        // other ringers released.
        self.of(shard).rings.fetch_add(1, Ordering::Release);
    }

    /// How often the shard's doorbell was rung.
    #[inline]
    pub fn rings(&self, shard: ShardId) -> u64 {
        // Acquire: pairs with `ring`.
        self.of(shard).rings.load(Ordering::Acquire)
    }

    /// Between the rings of a turn and the questions whom to wake.
    #[inline]
    pub fn fence_rings(&self) {
        self.guards.fence(Guard::WakeFence);
    }

    /// Whether the shard sleeps, or is about to, without having seen the rings before
    /// `fence_rings`. Answers `true` to one asker only.
    #[inline]
    pub fn take_parked(&self, shard: ShardId) -> bool {
        let parked = &self.of(shard).parked;
        // Relaxed: ordered by the fence. Read first, so that an awake shard's line stays shared.
        parked.load(Ordering::Relaxed) && parked.swap(false, Ordering::Relaxed)
    }

    /// Says that the shard is about to sleep. It must look at its word once more after this.
    pub fn park(&self, shard: ShardId) {
        // Relaxed: the fence orders it before the second look.
        self.of(shard).parked.store(true, Ordering::Relaxed);
        self.guards.fence(Guard::ParkFence);
    }

    pub fn unpark(&self, shard: ShardId) {
        // Relaxed: a ringer that still sees it wakes a shard that is awake, which costs little.
        self.of(shard).parked.store(false, Ordering::Relaxed);
    }
}

/// Rings shards from outside the mesh: the control thread, a waker.
#[derive(Clone)]
pub struct Bell {
    doorbells: Doorbells,
}

impl Bell {
    pub(super) fn new(doorbells: Doorbells) -> Self {
        Self { doorbells }
    }

    /// Rings after something was left for `to` elsewhere. `true`: it sleeps and the caller must
    /// wake it.
    #[must_use = "a parked shard must be woken"]
    pub fn ring(&self, to: ShardId) -> bool {
        self.doorbells.ring(to);
        self.doorbells.fence_rings();
        self.doorbells.take_parked(to)
    }
}
