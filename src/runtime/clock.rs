//! Both clocks. The rest of the broker is handed what is read here.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::types::{Mono, Now, Wall};

/// Monotonic time counts from the clock's making; all cores share one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    start_wall: u64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_wall: wall.as_nanos() as u64 }
    }

    /// For pages and log lines of the control thread.
    pub fn wall() -> Wall {
        Self::new().now().wall
    }

    pub fn mono(&self) -> Mono {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
        let now = Instant::now();
        // From 1: 0 is "never happened".
        Mono(now.duration_since(self.start).as_nanos() as u64 + 1)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads clocks")]
    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = (wall.as_nanos() as u64).max(self.start_wall);
        Now { mono: self.mono(), wall: Wall(wall) }
    }
}

/// CPU time of the thread that asks. 0 where the kernel does not tell.
pub fn thread_cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    used.map_or(0, |used| Duration::from(used).as_nanos() as u64)
}
