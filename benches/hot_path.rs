//! Each hop of a message's way on its own.
//!
//! ```text
//! cargo bench --no-default-features --features testing           nanoseconds of each hop
//! hot_path <hop> <times>                                         one hop, for callgrind
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use weft::testing::hot_path::{HOPS, repeat};

/// Repetitions of one measurement, and measurements, of which the fastest counts: whatever else
/// the machine does only adds.
const TIMES: u32 = 200_000;
const MEASUREMENTS: usize = 15;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    match words.as_slice() {
        [hop, times] => {
            let times = times.parse().expect("a number of repetitions");
            black_box(repeat(hop, times).expect("a hop that there is"));
        }
        _ => HOPS.iter().for_each(|(hop, about)| {
            let per_hop = measure(hop).as_nanos() as f64 / f64::from(TIMES);
            println!("{hop:<12} {per_hop:>8.1} ns   {about}");
        }),
    }
}

fn measure(hop: &str) -> Duration {
    let once = |_| {
        let start = now();
        black_box(repeat(hop, 0));
        let prepared = start.elapsed();
        let start = now();
        black_box(repeat(hop, TIMES));
        start.elapsed().saturating_sub(prepared)
    };
    (0..MEASUREMENTS).map(once).min().unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is a thing of the real world")]
fn now() -> Instant {
    Instant::now()
}
