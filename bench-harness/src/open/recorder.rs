//! From due to done, in histograms: over the whole window, and over slices of it.

use hdrhistogram::Histogram;

use crate::failure::{Context, Outcome};

/// Latencies above are recorded as this: a minute, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// Slices of the window.
pub const SLICES: usize = 50;

pub struct Recorder {
    begins_ns: u64,
    ends_ns: u64,
    /// Nanoseconds from due to done.
    pub latency: Histogram<u64>,
    /// Nanoseconds from due to handed to the kernel: what the harness itself was late.
    pub lag: Histogram<u64>,
    /// Latency by the moment at which messages were due.
    pub slices: Vec<Histogram<u64>>,
}

impl Recorder {
    /// Counts messages due in this part of the run, in nanoseconds after its start.
    pub fn new(begins_ns: u64, ends_ns: u64) -> Outcome<Self> {
        let histogram =
            |digits| Histogram::new_with_bounds(1, LATENCY_MAX_NS, digits).context("a histogram");
        let slices: Outcome<Vec<_>> = (0..SLICES).map(|_| histogram(2)).collect();
        Ok(Self { begins_ns, ends_ns, latency: histogram(3)?, lag: histogram(3)?, slices: slices? })
    }

    pub fn on_done(&mut self, due_ns: u64, now_ns: u64) {
        if due_ns < self.begins_ns || due_ns >= self.ends_ns {
            return;
        }
        let took = now_ns.saturating_sub(due_ns);
        self.latency.saturating_record(took);
        let length = self.ends_ns - self.begins_ns;
        let slice = (due_ns - self.begins_ns) as u128 * SLICES as u128 / u128::from(length);
        self.slices[slice as usize].saturating_record(took);
    }

    /// `count` messages went out together, the oldest of them due at `due_ns`.
    pub fn on_sent(&mut self, due_ns: u64, now_ns: u64, count: u64) {
        if due_ns >= self.begins_ns && due_ns < self.ends_ns {
            self.lag.saturating_record_n(now_ns.saturating_sub(due_ns), count);
        }
    }

    /// The median of the last tenth of the window, in nanoseconds: how far behind the server was
    /// when it ended.
    pub fn last_median_ns(&self) -> u64 {
        let mut last = self.slices[SLICES - SLICES / 10..].iter();
        let Some(first) = last.next() else { return 0 };
        let mut sum = first.clone();
        for slice in last {
            // All slices have the same bounds.
            let _ = sum.add(slice);
        }
        sum.value_at_quantile(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_due_in_the_window_counts_and_from_when_it_was_due() {
        let mut recorder = Recorder::new(1000, 2000).unwrap();
        recorder.on_done(999, 5000);
        recorder.on_done(1000, 1100);
        recorder.on_done(1999, 9999);
        recorder.on_done(2000, 2001);
        assert_eq!(recorder.latency.len(), 2);
        assert_eq!(recorder.latency.max(), recorder.latency.highest_equivalent(8000));
        assert_eq!((recorder.slices[0].len(), recorder.slices[SLICES - 1].len()), (1, 1));
        assert!(recorder.last_median_ns() >= 7900);
    }
}
