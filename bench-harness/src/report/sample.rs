//! The result of one run of one workload on one server.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::HarnessUse;
use crate::server::UsageDelta;
use crate::verify::Faults;

#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Messages, deliveries, requests, tries: what the workload counts.
    pub count: u64,
    pub seconds: f64,
    /// `None` for a server that was not started here.
    pub server: Option<UsageDelta>,
    pub harness: HarnessUse,
    pub faults: Faults,
    pub latency: Option<Latency>,
    /// What only this workload measures.
    pub figures: Vec<Figure>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: Option<f64>,
    pub unit: String,
    pub text: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

impl Sample {
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
        let us = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| us(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(histogram.max()),
        }
    }
}
