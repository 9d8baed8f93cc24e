//! The two clocks. Both are read once per turn, in `runtime/clock`, and passed down.

/// Nanoseconds of the monotonic clock since an arbitrary start: deadlines and durations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Mono(pub u64);

impl Mono {
    pub const NEVER: Self = Self(u64::MAX);

    #[must_use]
    pub fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds since 1970 (UTC): timestamps that people and clients see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Wall(pub u64);

/// The moment of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

impl Now {
    /// The wall time at which `mono` was, or will be, reached.
    pub fn wall_at(self, mono: Mono) -> Wall {
        if mono >= self.mono {
            Wall(self.wall.0.saturating_add(mono.since(self.mono)))
        } else {
            Wall(self.wall.0.saturating_sub(self.mono.since(mono)))
        }
    }
}

pub const MICROSECOND: u64 = 1_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;
