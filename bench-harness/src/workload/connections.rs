//! Idle connections: what one keeps in the server's memory, and what all of them cost per second.

use std::time::Duration;

use clap::Args;

use super::Bench;
use crate::client::Greeting;
use crate::clock;
use crate::engine::HarnessUse;
use crate::failure::{Context, Outcome};
use crate::report::{Figure, Sample};
use crate::verify::Faults;

/// For the server to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub struct Connections {
    #[arg(long, default_value_t = 10_000)]
    pub count: usize,
    /// Seconds of idleness to measure.
    #[arg(long, default_value_t = 10)]
    pub idle: u64,
}

impl Connections {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let before = bench.server.usage()?;
        let start = clock::now();
        let mut open = Vec::with_capacity(self.count);
        for nth in 0..self.count {
            open.push(bench.connect(Greeting::default()).context(format!("connection {nth}"))?);
        }
        let seconds = start.elapsed().as_secs_f64();
        let opened = bench.server.usage()?;
        clock::pause(SETTLE);
        let resting = bench.server.usage()?;
        clock::pause(Duration::from_secs(self.idle));
        let idle = bench.server.usage()?.since(&resting);
        let mut faults = Faults::default();
        for (nth, connection) in open.iter_mut().enumerate() {
            if let Err(error) = connection.settle(b"") {
                faults.cut += 1;
                faults.note(|| format!("connection {nth} is gone: {error}"));
            }
        }
        let grown = resting.rss_bytes.saturating_sub(before.rss_bytes) as f64;
        Ok(Sample {
            count: self.count as u64,
            seconds,
            server: bench.server.is_measured().then(|| opened.since(&before)),
            harness: HarnessUse::default(),
            faults,
            offered: None,
            latency: None,
            figures: vec![
                Figure::new("RSS per connection", grown / self.count as f64, "B"),
                Figure::new("idle CPU", 100.0 * idle.cpu_seconds / self.idle as f64, "%"),
                Figure::new("RSS", resting.rss_bytes as f64, "B"),
            ],
        })
    }
}
