//! Deadlines of connections: logins, keepalive, the ends of stalls.
//!
//! A deadline is a hint to look: the owner decides what is due, and a connection that is gone is
//! skipped by its generation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::types::ConnKey;
use crate::types::time::Mono;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Due {
    Keepalive(ConnKey),
    StallEnd(ConnKey),
    WriteDeadline(ConnKey),
    /// CONNECT should have come.
    Login(ConnKey),
}

#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Mono, Due)>>,
}

impl Timers {
    pub fn set(&mut self, at: Mono, due: Due) {
        self.heap.push(Reverse((at, due)));
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn retain(&mut self, keep: impl Fn(Mono, Due) -> bool) {
        self.heap.retain(|Reverse((at, due))| keep(*at, *due));
    }

    pub fn next(&self) -> Mono {
        self.heap.peek().map_or(Mono::NEVER, |Reverse((at, _))| *at)
    }

    pub fn pop_due(&mut self, now: Mono) -> Option<Due> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, due))| due)
    }
}
