//! The highest rate a server keeps up with, found by stepping the rate.

use std::time::Duration;

use super::lane::Shape;
use super::pass::{Pass, Verdict};
use crate::failure::Outcome;
use crate::load::Load;
use crate::workload::Bench;

/// Where the search begins, in messages per second, and where it gives up.
const LOWEST: f64 = 4_000.0;
const HIGHEST: f64 = 32e6;
/// Steps up, until one is not kept; then the interval is halved this often.
const FACTOR: f64 = 2.0;
const HALVINGS: u32 = 4;
const STEP: Duration = Duration::from_millis(400);
const STEP_WARMUP: Duration = Duration::from_millis(150);
/// At the end of a step half the messages must have been done within this, or within
/// [`SLOWER_MAX`] times what they took at the lowest rate.
const MEDIAN_MAX_NS: u64 = 10_000_000;
const SLOWER_MAX: u64 = 3;

#[derive(Clone, Copy, Debug)]
pub struct Saturation {
    /// Messages per second.
    pub rate: f64,
    /// At that rate the harness was what gave out first, or may have been.
    pub is_harness_bound: bool,
}

/// Needs a server of its own for the time of the search.
pub fn find(bench: &Bench<'_>, shape: Shape, lanes: usize) -> Outcome<Saturation> {
    let load = Load { seconds: STEP, warmup: STEP_WARMUP, ..bench.load.clone() };
    let mut search = Search {
        bench: Bench { server: bench.server, load: &load },
        shape,
        lanes,
        median_max_ns: u64::MAX,
    };
    let Some((first, median_ns)) = search.step(LOWEST) else {
        return Ok(Saturation { rate: 0.0, is_harness_bound: false });
    };
    search.median_max_ns = MEDIAN_MAX_NS.max(SLOWER_MAX * median_ns);
    let (mut kept, mut missed) = (first, HIGHEST);
    while kept.rate * FACTOR < HIGHEST {
        match search.try_twice(kept.rate * FACTOR) {
            Some(higher) => kept = higher,
            None => {
                missed = kept.rate * FACTOR;
                break;
            }
        }
    }
    for _ in 0..HALVINGS {
        let middle = (kept.rate + missed) / 2.0;
        match search.try_twice(middle) {
            Some(higher) => kept = higher,
            None => missed = middle,
        }
    }
    Ok(kept)
}

struct Search<'a> {
    bench: Bench<'a>,
    shape: Shape,
    lanes: usize,
    median_max_ns: u64,
}

impl Search<'_> {
    /// A machine has bad moments: a rate is missed when it is missed twice.
    fn try_twice(&self, rate: f64) -> Option<Saturation> {
        self.step(rate).or_else(|| self.step(rate)).map(|(kept, _)| kept)
    }

    /// The rate and the median in nanoseconds at the end, where the server kept up. A connection
    /// that it cut because nobody could read so fast is not kept either.
    fn step(&self, rate: f64) -> Option<(Saturation, u64)> {
        let pass = Pass::run(&self.bench, self.shape, rate, self.lanes).ok()?;
        let median_ns = pass.recorder.last_median_ns();
        let kept = pass.verdict == Verdict::Kept
            && pass.faults.total() + pass.refused == 0
            && median_ns <= self.median_max_ns;
        let server_cpu = pass.span.server.map_or(f64::INFINITY, |server| server.cpu_seconds);
        let is_harness_bound = pass.span.harness.is_bound(server_cpu);
        kept.then_some((Saturation { rate, is_harness_bound }, median_ns))
    }
}
