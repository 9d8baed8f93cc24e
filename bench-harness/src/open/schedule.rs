//! When each message of a lane is due.

/// Message `n` is due `(offset + n) / rate` seconds after the start.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Nanoseconds from one message to the next.
    interval_ns: f64,
    offset_ns: f64,
    /// How many messages there will be.
    pub total: u64,
}

impl Schedule {
    /// The schedule of lane `nth` of `lanes`, which share `rate` messages per second and take
    /// turns. At least one message.
    pub fn new(rate: f64, nth: usize, lanes: usize, seconds: f64) -> Self {
        let own = rate / lanes as f64;
        Self {
            interval_ns: 1e9 / own,
            offset_ns: 1e9 / rate * nth as f64,
            total: ((own * seconds) as u64).max(1),
        }
    }

    /// Nanoseconds after the start.
    pub fn due_ns(&self, seq: u64) -> u64 {
        (self.offset_ns + seq as f64 * self.interval_ns) as u64
    }

    /// Messages that are due by `now_ns`.
    pub fn due_count(&self, now_ns: u64) -> u64 {
        let since = now_ns as f64 - self.offset_ns;
        if since < 0.0 {
            return 0;
        }
        ((since / self.interval_ns) as u64 + 1).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_exactly_when_it_is_counted() {
        for (rate, lanes) in [(1.0, 1), (1e4, 1), (3e6, 4), (777_777.0, 3)] {
            for nth in 0..lanes {
                let schedule = Schedule::new(rate, nth, lanes, 1e3);
                for seq in [0, 1, 2, 17, 999] {
                    let due = schedule.due_ns(seq);
                    let around = (schedule.due_count(due), schedule.due_count(due + 2));
                    assert!(
                        around.0 <= seq + 1 && around.1 > seq,
                        "{rate} {nth} {seq}: {around:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn lanes_share_the_rate() {
        let total: u64 = (0..4).map(|nth| Schedule::new(1e5, nth, 4, 2.0).total).sum();
        assert_eq!(total, 200_000);
    }
}
