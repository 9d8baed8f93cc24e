//! The primitives the mesh stands on: std's, or loom's where the mesh is model-checked.

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

/// std's cell with loom's way of asking for the pointer.
#[cfg(not(loom))]
#[derive(Default)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub fn with_mut<R>(&self, use_pointer: impl FnOnce(*mut T) -> R) -> R {
        use_pointer(self.0.get())
    }
}

/// A value alone on its cache lines (two, as x86 fetches them in pairs).
#[repr(align(128))]
pub struct Padded<T>(pub T);

/// A step without which some interleaving goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// The fence between saying "parked" and the second look.
    ParkFence,
    /// The look at the doorbell after "parked" was said.
    SecondLook,
    /// The fence between ringing and asking whether the peer is parked.
    WakeFence,
    /// The fence between saying that a lane was full and the second try.
    StarvingFence,
    /// The second try after a lane was said to be full.
    SecondTry,
    /// The fence between freeing a slot and asking whether the producer waits for one.
    RoomFence,
    /// Fixing the data lanes before the interest lanes.
    DataFirst,
}

/// Which steps are taken: all of them. A model leaves one out to prove that it is needed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Guards {
    #[cfg(loom)]
    pub without: Option<Guard>,
}

impl Guards {
    #[cfg(not(loom))]
    #[inline(always)]
    pub fn has(self, _: Guard) -> bool {
        true
    }

    #[cfg(loom)]
    pub fn has(self, guard: Guard) -> bool {
        self.without != Some(guard)
    }

    /// A full fence: what was written before it is visible to whoever passes one later.
    #[inline]
    pub fn fence(self, guard: Guard) {
        if self.has(guard) {
            fence(Ordering::SeqCst);
        }
    }
}
