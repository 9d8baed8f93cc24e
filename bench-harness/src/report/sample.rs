//! The result of one run of one workload on one server.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::engine::{HarnessUse, Span};
use crate::server::UsageDelta;
use crate::verify::Faults;

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// Messages, deliveries, requests, tries: what the workload counts.
    pub count: u64,
    pub seconds: f64,
    /// Messages per second that were asked for, where the loop is open.
    #[serde(default)]
    pub offered: Option<f64>,
    /// `None` for a server that was not started here.
    pub server: Option<UsageDelta>,
    pub harness: HarnessUse,
    pub faults: Faults,
    pub latency: Option<Latency>,
    /// What only this workload measures.
    pub figures: Vec<Figure>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: Option<f64>,
    pub unit: String,
    pub text: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Latency {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Quantiles and what they are in microseconds, denser towards 1 as on a logarithmic axis.
    pub curve: Vec<(f64, f64)>,
    /// Where the workload kept them: slices of the window.
    pub over_time: Vec<Slice>,
    /// Nanoseconds. Not in the JSON: `.hlog` keeps it.
    #[serde(skip, default = "nothing")]
    pub histogram: Histogram<u64>,
}

/// Latency of what was due in one slice of the window.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Slice {
    /// Since the window began.
    pub at_seconds: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Sample {
    pub fn of(count: u64, span: &Span, faults: Faults) -> Self {
        Self {
            count,
            seconds: span.seconds,
            offered: None,
            server: span.server,
            harness: span.harness,
            faults,
            latency: None,
            figures: Vec::new(),
        }
    }

    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.seconds
    }

    pub fn cpu_per_million(&self) -> Option<f64> {
        self.server.map(|server| per_million(server.cpu_seconds, self.count))
    }

    pub fn harness_cpu_per_million(&self) -> f64 {
        per_million(self.harness.cpu_seconds, self.count)
    }

    pub fn is_harness_bound(&self) -> bool {
        self.server.is_some_and(|server| self.harness.is_bound(server.cpu_seconds))
    }
}

fn per_million(cpu_seconds: f64, count: u64) -> f64 {
    cpu_seconds / count.max(1) as f64 * 1e6
}

impl Figure {
    pub fn new(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value: Some(value), unit: unit.into(), text: None }
    }

    pub fn text(name: &str, text: &str) -> Self {
        let text = Some(text.to_string());
        Self { name: name.into(), value: None, unit: String::new(), text }
    }
}

impl Latency {
    /// From nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(histogram.max()),
            curve: curve(histogram.len()).map(|quantile| (quantile, at(quantile))).collect(),
            over_time: Vec::new(),
            histogram: histogram.clone(),
        }
    }

    /// `slices` in order, together `seconds` long.
    pub fn with_slices(mut self, slices: &[Histogram<u64>], seconds: f64) -> Self {
        let length = seconds / slices.len() as f64;
        let filled = slices.iter().enumerate().filter(|(_, slice)| !slice.is_empty());
        let slice = |(nth, slice): (usize, &Histogram<u64>)| Slice {
            at_seconds: length * (nth as f64 + 0.5),
            p50_us: micros(slice.value_at_quantile(0.5)),
            p99_us: micros(slice.value_at_quantile(0.99)),
            max_us: micros(slice.max()),
        };
        self.over_time = filled.map(slice).collect();
        self
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// Quantiles `1 - 10^(-step/STEPS)`, as far as `count` values can tell them apart.
fn curve(count: u64) -> impl Iterator<Item = f64> {
    const STEPS_PER_DECADE: f64 = 10.0;
    let last = ((count.max(1) as f64).log10() * STEPS_PER_DECADE).floor() as u32;
    (0..=last).map(|step| 1.0 - 10f64.powf(-f64::from(step) / STEPS_PER_DECADE))
}

fn nothing() -> Histogram<u64> {
    Histogram::new(2).expect("two digits are a precision there is")
}
