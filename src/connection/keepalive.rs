//! Pings, staleness and round-trip time (facts/core-protocol.md §9).

use crate::types::time::{Mono, SECOND};

/// The first PING comes this long after CONNECT, so that `/connz` shows a round trip.
const FIRST_PING_NS: u64 = 2 * SECOND;

#[derive(Debug)]
pub struct Keepalive {
    /// When bytes last came in.
    last_heard: Mono,
    /// Unanswered pings.
    pings_out: u32,
    ping_sent: Mono,
    /// Nanoseconds; 0 before the first PONG.
    pub rtt_ns: u64,
    first_ping_due: Option<Mono>,
    /// The one timer that counts; an earlier one for this connection is void.
    pub next_check: Mono,
}

/// What a check found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Late {
    /// Nothing to do before this moment.
    Until(Mono),
    /// Send a PING, then look again at this moment.
    Ping(Mono),
    /// Too many unanswered pings.
    Stale,
}

impl Keepalive {
    pub fn new(now: Mono) -> Self {
        Self {
            last_heard: now,
            pings_out: 0,
            ping_sent: now,
            rtt_ns: 0,
            first_ping_due: None,
            next_check: now,
        }
    }

    /// The client sent its first CONNECT. When to check next.
    pub fn on_connect(&mut self, now: Mono, interval_ns: u64) -> Mono {
        let first = now.plus(FIRST_PING_NS.min(interval_ns));
        self.first_ping_due = (interval_ns > FIRST_PING_NS).then_some(first);
        first
    }

    pub fn on_bytes(&mut self, now: Mono) {
        self.last_heard = now;
    }

    pub fn last_heard(&self) -> Mono {
        self.last_heard
    }

    pub fn on_pong(&mut self, now: Mono) {
        if self.pings_out > 0 {
            self.rtt_ns = now.since(self.ping_sent).max(1);
        }
        self.pings_out = 0;
    }

    /// Looks at the clock. A connection that was heard of within the interval is not pinged.
    pub fn check(&mut self, now: Mono, interval_ns: u64, ping_max: u32) -> Late {
        if let Some(due) = self.first_ping_due {
            if now < due {
                return Late::Until(due);
            }
            self.first_ping_due = None;
            return self.ping(now, interval_ns);
        }
        let quiet_until = self.last_heard.plus(interval_ns);
        if now < quiet_until {
            // Traffic is as good as a PONG for staleness.
            self.pings_out = 0;
            return Late::Until(quiet_until);
        }
        if self.pings_out >= ping_max {
            return Late::Stale;
        }
        self.ping(now, interval_ns)
    }

    fn ping(&mut self, now: Mono, interval_ns: u64) -> Late {
        self.pings_out += 1;
        self.ping_sent = now;
        Late::Ping(now.plus(interval_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_client_gets_its_pings_and_then_is_stale() {
        let mut keepalive = Keepalive::new(Mono(0));
        let mut at = |s: u64| keepalive.check(Mono(s * SECOND), SECOND, 2);
        assert_eq!(at(0), Late::Until(Mono(SECOND)));
        assert_eq!(at(1), Late::Ping(Mono(2 * SECOND)));
        assert_eq!(at(2), Late::Ping(Mono(3 * SECOND)));
        assert_eq!(at(3), Late::Stale);
    }

    #[test]
    fn traffic_counts_as_an_answer() {
        let mut keepalive = Keepalive::new(Mono(0));
        assert!(matches!(keepalive.check(Mono(SECOND), SECOND, 1), Late::Ping(_)));
        keepalive.on_bytes(Mono(SECOND + 1));
        assert_eq!(keepalive.check(Mono(2 * SECOND), SECOND, 1), Late::Until(Mono(2 * SECOND + 1)));
    }

    #[test]
    fn the_first_ping_measures_the_round_trip() {
        let mut keepalive = Keepalive::new(Mono(0));
        assert_eq!(keepalive.check(Mono(0), 120 * SECOND, 2), Late::Until(Mono(120 * SECOND)));
        assert_eq!(keepalive.on_connect(Mono(0), 120 * SECOND), Mono(2 * SECOND));
        assert!(matches!(keepalive.check(Mono(2 * SECOND), 120 * SECOND, 2), Late::Ping(_)));
        keepalive.on_pong(Mono(2 * SECOND + 300));
        assert_eq!(keepalive.rtt_ns, 300);
    }
}
