//! Latency at one fixed rate, open loop: see [`crate::open`].

use clap::Args;

use super::{Bench, Stream};
use crate::failure::Outcome;
use crate::open::{Pass, Shape, Verdict};
use crate::report::{self, Figure, Sample};
use crate::verify::Faults;

#[derive(Args, Clone, Debug)]
pub struct Latency {
    #[arg(long, value_enum, default_value = "core")]
    pub shape: Shape,
    /// Messages per second.
    #[arg(long, default_value_t = 10_000.0, value_parser = parse_rate)]
    pub rate: f64,
    /// Connections that share the rate, each with a counterpart of its own.
    #[arg(long, default_value_t = 1)]
    pub lanes: usize,
}

impl Latency {
    pub fn label(&self) -> String {
        format!("open loop, {}", self.shape.label())
    }

    pub fn wants_streams(&self) -> bool {
        self.shape == Shape::Durable
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let pass = Pass::run(bench, self.shape, self.rate, self.lanes)?;
        let Pass { verdict, recorder, span, mut faults, refused, kept } = pass;
        if self.shape == Shape::Durable && verdict == Verdict::Kept {
            for (id, count) in (0..).zip(kept) {
                faults.add(&verify(bench, Stream { id }, count, refused)?);
            }
        }
        let seconds = bench.load.seconds.as_secs_f64();
        let latency = report::Latency::of(&recorder.latency).with_slices(&recorder.slices, seconds);
        let mut sample = Sample::of(recorder.latency.len(), &span, faults);
        sample.offered = Some(self.rate);
        let lag_us = recorder.lag.value_at_quantile(0.99) as f64 / 1e3;
        sample.figures.push(Figure::new("asked for", self.rate, "/s"));
        sample.figures.push(Figure::new("harness late by (p99)", lag_us, "µs"));
        if refused > 0 {
            sample.figures.push(Figure::new("refused", refused as f64, "messages"));
        }
        if verdict == Verdict::Overwhelmed {
            sample.figures.push(Figure::text("verdict", "could not keep up: broken off"));
        }
        sample.latency = Some(latency);
        Ok(sample)
    }
}

/// What was acknowledged is there. Where messages were refused, those behind them moved up, so that
/// only their number can be compared.
fn verify(bench: &Bench<'_>, stream: Stream, count: u64, refused: u64) -> Outcome<Faults> {
    let mut faults = stream.check_count(bench, count)?;
    if refused == 0 {
        faults.add(&stream.read_back(bench, count)?.1);
    }
    Ok(faults)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if rate >= 1.0 && rate.is_finite() { Ok(rate) } else { Err("at least one per second".into()) }
}
