//! Subscriptions at scale: what one keeps in the server's memory.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Bench;
use crate::client::Greeting;
use crate::clock;
use crate::engine::HarnessUse;
use crate::failure::{Context, Outcome};
use crate::report::{Figure, Sample};
use crate::verify::Faults;

/// Subscriptions sent before the next PING.
const CHUNK: usize = 1000;
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub struct Subscriptions {
    #[arg(long, default_value_t = 1_000_000)]
    pub count: usize,
    /// Connections they are spread over.
    #[arg(long, default_value_t = 10)]
    pub connections: usize,
    #[arg(long, value_enum, default_value_t = Shape::Literal)]
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// `orders.0000001.placed`
    Literal,
    /// `orders.0000001.*`
    Prefix,
    /// `orders.*.0000001`
    Wildcard,
    /// `orders.0000001.placed workers`
    Queue,
}

impl Shape {
    fn line(self, nth: usize) -> String {
        match self {
            Self::Literal => format!("SUB orders.{nth:07}.placed {nth}\r\n"),
            Self::Prefix => format!("SUB orders.{nth:07}.* {nth}\r\n"),
            Self::Wildcard => format!("SUB orders.*.{nth:07} {nth}\r\n"),
            Self::Queue => format!("SUB orders.{nth:07}.placed workers {nth}\r\n"),
        }
    }
}

impl Subscriptions {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let open: Outcome<Vec<_>> =
            (0..self.connections.max(1)).map(|_| bench.connect(Greeting::default())).collect();
        let mut open = open?;
        let before = bench.server.usage()?;
        let start = clock::now();
        let all: Vec<usize> = (0..self.count).collect();
        for (turn, chunk) in all.chunks(CHUNK).enumerate() {
            let lines: String = chunk.iter().map(|&nth| self.shape.line(nth)).collect();
            let to = turn % open.len();
            open[to].settle(lines.as_bytes()).context("subscribing")?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let done = bench.server.usage()?;
        clock::pause(SETTLE);
        let rss = bench.server.usage()?.rss_bytes;
        let grown = rss.saturating_sub(before.rss_bytes) as f64;
        Ok(Sample {
            count: self.count as u64,
            seconds,
            server: bench.server.is_measured().then(|| done.since(&before)),
            harness: HarnessUse::default(),
            faults: Faults::default(),
            offered: None,
            latency: None,
            figures: vec![
                Figure::new("RSS per subscription", grown / self.count as f64, "B"),
                Figure::new("RSS", rss as f64, "B"),
            ],
        })
    }
}
