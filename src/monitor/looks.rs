//! What was seen before, so that a look shows what came since.
//!
//! Shards only count up. Who looks under a name of their own gets intervals of their own: a page
//! that asks every second does not shorten those of a person.

use hdrhistogram::Histogram;

use crate::shard::latency::{Stage, histogram};
use crate::shard::snapshot::LatencySnapshot;
use crate::types::Wall;
use crate::types::limits::{VIEWER_NAME_BYTES_MAX, VIEWERS_MAX};

/// The figures of all shards at one time.
#[derive(Clone, Debug)]
pub struct Look {
    pub at: Wall,
    shards: Vec<Seen>,
}

/// Of one shard. Histograms as value and count of the places that hold something: a few KB each.
#[derive(Clone, Debug)]
struct Seen {
    counts: Vec<Vec<(u64, u64)>>,
    busy_ns: u64,
    turns: u64,
    in_msgs: u64,
    in_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
}

impl Look {
    fn of(at: Wall, shards: &[LatencySnapshot]) -> Self {
        Self { at, shards: shards.iter().map(Seen::of).collect() }
    }
}

impl Seen {
    fn of(shard: &LatencySnapshot) -> Self {
        let counts = |histogram: &Histogram<u64>| {
            let recorded = histogram.iter_recorded();
            recorded.map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
        };
        Self {
            counts: shard.histograms.iter().map(counts).collect(),
            busy_ns: shard.busy_ns,
            turns: shard.turns,
            in_msgs: shard.in_msgs,
            in_bytes: shard.in_bytes,
            out_msgs: shard.out_msgs,
            out_bytes: shard.out_bytes,
        }
    }
}

/// The last look of each viewer, and the last reset.
#[derive(Debug, Default)]
pub struct Looks {
    /// Most recent last; the first makes room.
    viewers: Vec<(String, Look)>,
    reset: Option<Look>,
}

/// The figures of all shards over a span of time.
#[derive(Debug)]
pub struct Span {
    pub from: Wall,
    pub to: Wall,
    pub shards: Vec<LatencySnapshot>,
}

/// Since the start or the last reset, and since the viewer's look before.
#[derive(Debug)]
pub struct Spans {
    pub total: Span,
    pub interval: Span,
}

impl Looks {
    /// Takes a look. The first of a viewer has the total for its interval. With `reset` the total
    /// counts from here on.
    pub fn look(
        &mut self,
        viewer: &str,
        reset: bool,
        start: Wall,
        now: Wall,
        shards: Vec<LatencySnapshot>,
    ) -> Spans {
        let viewer: String = viewer.chars().take(VIEWER_NAME_BYTES_MAX / 4).collect();
        let look = Look::of(now, &shards);
        let known = self.viewers.iter().position(|(name, _)| *name == viewer);
        let before = known.map(|at| self.viewers.remove(at).1);
        let total = Span::since(self.reset.as_ref(), start, now, shards.clone());
        let interval = Span::since(before.as_ref().or(self.reset.as_ref()), start, now, shards);
        if self.viewers.len() >= VIEWERS_MAX {
            self.viewers.remove(0);
        }
        if reset {
            self.reset = Some(look.clone());
        }
        self.viewers.push((viewer, look));
        Spans { total, interval }
    }
}

impl Span {
    fn since(
        before: Option<&Look>,
        start: Wall,
        to: Wall,
        mut shards: Vec<LatencySnapshot>,
    ) -> Self {
        let Some(before) = before else { return Self { from: start, to, shards } };
        for (shard, seen) in shards.iter_mut().zip(&before.shards) {
            for ((now, counts), stage) in
                shard.histograms.iter_mut().zip(&seen.counts).zip(Stage::ALL)
            {
                subtract(now, counts, stage);
            }
            less(&mut shard.busy_ns, seen.busy_ns);
            less(&mut shard.turns, seen.turns);
            less(&mut shard.in_msgs, seen.in_msgs);
            less(&mut shard.in_bytes, seen.in_bytes);
            less(&mut shard.out_msgs, seen.out_msgs);
            less(&mut shard.out_bytes, seen.out_bytes);
        }
        Self { from: before.at, to, shards }
    }

    /// At least a nanosecond, so that rates are numbers.
    pub fn seconds(&self) -> f64 {
        (self.to.0.saturating_sub(self.from.0)).max(1) as f64 / 1e9
    }

    /// One stage over all shards.
    pub fn merged(&self, stage: Stage) -> Histogram<u64> {
        let mut all = histogram(stage.unit());
        for shard in &self.shards {
            if let Some(one) = shard.histograms.get(stage as usize) {
                all.add(one).expect("all are of one shape");
            }
        }
        all
    }
}

// Shards only count up, but two looks at once may pass each other: the one that comes late has
// nothing new.

fn less(now: &mut u64, before: u64) {
    *now = now.saturating_sub(before);
}

fn subtract(now: &mut Histogram<u64>, counts: &[(u64, u64)], stage: Stage) {
    let mut before = histogram(stage.unit());
    counts.iter().for_each(|&(value, count)| before.saturating_record_n(value, count));
    if now.subtract(&before).is_err() {
        now.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(turns: &[u64]) -> Vec<LatencySnapshot> {
        let mut histograms: Vec<_> =
            Stage::ALL.iter().map(|stage| histogram(stage.unit())).collect();
        turns.iter().for_each(|&ns| histograms[Stage::Turn as usize].saturating_record(ns));
        let busy_ns = turns.iter().sum();
        vec![LatencySnapshot { histograms, busy_ns, ..LatencySnapshot::default() }]
    }

    fn counts(spans: &Spans) -> (u64, u64) {
        (spans.total.merged(Stage::Turn).len(), spans.interval.merged(Stage::Turn).len())
    }

    #[test]
    fn each_viewer_has_its_interval_and_a_reset_is_of_all() {
        let mut looks = Looks::default();
        let mut look = |viewer: &str, reset, at, turns: &[u64]| {
            looks.look(viewer, reset, Wall(5), Wall(at), shard(turns))
        };
        assert_eq!(counts(&look("a", false, 10, &[1])), (1, 1));
        let second = look("a", false, 20, &[1, 1_000_000]);
        assert_eq!(counts(&second), (2, 1));
        assert_eq!((second.interval.from, second.total.from), (Wall(10), Wall(5)));
        assert!(second.interval.merged(Stage::Turn).min() > 900_000);
        assert_eq!(second.interval.shards[0].busy_ns, 1_000_000);
        assert_eq!(counts(&look("b", true, 30, &[1, 1_000_000, 7])), (3, 3));
        assert_eq!(counts(&look("a", false, 40, &[1, 1_000_000, 7, 8])), (1, 2));
    }

    #[test]
    fn looks_that_pass_each_other_harm_nothing() {
        let mut looks = Looks::default();
        looks.look("a", false, Wall(0), Wall(2), shard(&[1, 2, 1_000_000]));
        let late = looks.look("a", false, Wall(0), Wall(1), shard(&[1, 2]));
        assert_eq!(counts(&late), (2, 0));
        assert_eq!(late.interval.shards[0].busy_ns, 0);
        assert!(late.interval.seconds() > 0.0);
    }

    #[test]
    fn viewers_are_few() {
        let mut looks = Looks::default();
        for viewer in 0..=VIEWERS_MAX {
            looks.look(&viewer.to_string(), false, Wall(0), Wall(1), shard(&[1]));
        }
        assert_eq!(looks.viewers.len(), VIEWERS_MAX);
        let again = looks.look("0", false, Wall(0), Wall(2), shard(&[1]));
        assert_eq!(counts(&again), (1, 1), "forgotten");
    }
}
