//! What a publisher and its subscribers know of each other: counters, nothing else. Written by
//! one thread each, read by all; exactness only matters after the threads have ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// No total known yet.
const UNKNOWN: u64 = u64::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Nobody listens.
    Nobody,
    /// Each receiver gets each message.
    Every,
    /// One of the receivers gets each message.
    One,
}

/// Apart from its neighbours by a cache line: each is written by another thread.
#[derive(Default)]
#[repr(align(64))]
struct Receiver {
    received: AtomicU64,
    gone: AtomicBool,
}

pub struct Group {
    delivery: Delivery,
    begun: AtomicU64,
    /// Known to be processed by the server, from its PONGs.
    confirmed: AtomicU64,
    total: AtomicU64,
    receivers: Vec<Receiver>,
}

impl Group {
    pub fn new(delivery: Delivery, receivers: usize) -> Self {
        Self {
            delivery,
            begun: AtomicU64::new(0),
            confirmed: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            receivers: (0..receivers).map(|_| Receiver::default()).collect(),
        }
    }

    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    pub fn set_begun(&self, count: u64) {
        self.begun.store(count, Relaxed);
    }

    pub fn set_confirmed(&self, count: u64) {
        self.confirmed.store(count, Relaxed);
    }

    pub fn set_total(&self, count: u64) {
        self.total.store(count, Relaxed);
    }

    pub fn set_received(&self, receiver: usize, count: u64) {
        self.receivers[receiver].received.store(count, Relaxed);
    }

    /// A receiver that is gone holds nobody back.
    pub fn set_gone(&self, receiver: usize) {
        self.receivers[receiver].gone.store(true, Relaxed);
    }

    pub fn taken(&self) -> u64 {
        match self.delivery {
            Delivery::Nobody => self.confirmed.load(Relaxed),
            Delivery::Every | Delivery::One => self.begun.load(Relaxed),
        }
    }

    pub fn received_sum(&self) -> u64 {
        self.receivers.iter().map(|receiver| receiver.received.load(Relaxed)).sum()
    }

    /// Messages that are over and done with: a window is counted from here.
    pub fn finished(&self) -> u64 {
        match self.delivery {
            Delivery::Nobody => self.confirmed.load(Relaxed),
            Delivery::One => self.received_sum(),
            Delivery::Every => {
                let present = self.receivers.iter().filter(|receiver| !receiver.gone.load(Relaxed));
                let least = present.map(|receiver| receiver.received.load(Relaxed)).min();
                least.unwrap_or_else(|| self.begun.load(Relaxed))
            }
        }
    }

    /// Known after the publisher's last PONG.
    pub fn total(&self) -> Option<u64> {
        let total = self.total.load(Relaxed);
        (total != UNKNOWN).then_some(total)
    }

    /// Where the publisher ended early, what it had begun to send.
    pub fn total_or_begun(&self) -> u64 {
        self.total().unwrap_or_else(|| self.begun.load(Relaxed))
    }

    pub fn is_complete(&self) -> bool {
        self.total().is_some_and(|total| self.finished() >= total)
    }
}
