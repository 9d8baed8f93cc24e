//! To which core a connection's traffic leans: which one core, if any, it nearly all goes to or comes
//! from.
//!
//! A vote as in "MJRTY — A Fast Majority Vote Algorithm" (Boyer and Moore, 1981): one candidate, and by
//! how much it is ahead. Where a core has nine tenths of the traffic it is the candidate, and ahead by
//! eight tenths. A message costs a comparison and two additions.

use crate::types::ShardId;
use crate::types::time::Mono;

#[derive(Clone, Copy, Debug)]
pub struct Leaning {
    candidate: ShardId,
    ahead: u32,
    total: u32,
    /// When the count began.
    began: Mono,
    /// Not moved before this time.
    pub settled_until: Mono,
    /// How often it was moved.
    pub moves: u32,
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lean {
    pub to: ShardId,
    /// At least so many of `total` went to or came from `to`, if it is more than the half.
    pub ahead: u32,
    pub total: u32,
    /// Nanoseconds.
    pub took: u64,
}

impl Leaning {
    pub fn new(now: Mono) -> Self {
        let (candidate, settled_until) = (ShardId::default(), Mono(0));
        Self { candidate, ahead: 0, total: 0, began: now, settled_until, moves: 0 }
    }

    /// A message went to that core, or came from it. Whether it was the `notable`-th.
    #[inline]
    pub fn count(&mut self, shard: ShardId, notable: u32) -> bool {
        self.total = self.total.wrapping_add(1);
        if self.candidate == shard {
            self.ahead = self.ahead.saturating_add(1);
        } else if self.ahead > 0 {
            self.ahead -= 1;
        } else {
            self.candidate = shard;
            self.ahead = 1;
        }
        self.total == notable
    }

    pub fn read(&self, now: Mono) -> Lean {
        let took = now.since(self.began);
        Lean { to: self.candidate, ahead: self.ahead, total: self.total, took }
    }

    pub fn begin(&mut self, now: Mono) {
        (self.ahead, self.total, self.began) = (0, 0, now);
    }

    /// Nobody took note: it becomes notable again, and is as old as it was.
    pub fn count_anew(&mut self) {
        (self.ahead, self.total) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_tenths_are_eight_ahead_and_half_and_half_are_nothing() {
        let mut leaning = Leaning::new(Mono(0));
        let noted = (0..1000).filter(|at| leaning.count(ShardId(u16::from(at % 10 != 0)), 64));
        assert_eq!(noted.count(), 1);
        let lean = leaning.read(Mono(7));
        assert_eq!((lean.to, lean.total, lean.took), (ShardId(1), 1000, 7));
        assert!(lean.ahead >= 800, "{lean:?}");

        leaning.begin(Mono(9));
        for at in 0..1000 {
            leaning.count(ShardId(at % 2), 64);
        }
        assert!(leaning.read(Mono(9)).ahead <= 2);
    }
}
