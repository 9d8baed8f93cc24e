//! What was measured, and how it is shown: a table and a page with plots for people, JSON, CSV
//! and `.hlog` for everything else.

mod bars;
mod environment;
mod export;
mod html;
mod lines;
mod palette;
mod sample;
mod table;

pub use environment::Environment;
pub use sample::{Figure, Latency, Sample};
pub use table::heading;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Context, Outcome};

/// One workload at one size, on every server.
#[derive(Deserialize, Serialize)]
pub struct Row {
    pub workload: String,
    pub size: usize,
    /// Where the workload was run at several points of something, which of them this is.
    #[serde(default)]
    pub scale: Option<Scale>,
    pub servers: Vec<ServerRow>,
    /// What the harness' own server reached, per second: more the harness can't show.
    #[serde(default)]
    pub ceiling: Option<f64>,
}

/// One point of a series.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Scale {
    /// `connections`, `CPUs of the server`, `bytes of payload`
    pub over: String,
    pub at: f64,
}

/// All rounds of one server, in the order they were run.
#[derive(Deserialize, Serialize)]
pub struct ServerRow {
    pub name: String,
    pub samples: Vec<Sample>,
    pub median: Medians,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Medians {
    pub per_second: f64,
    /// Server CPU seconds per million; `None` where the server isn't measured.
    pub cpu_per_million: Option<f64>,
    pub harness_cpu_per_million: f64,
    pub busiest: f64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
}

#[derive(Deserialize, Serialize)]
pub struct Report {
    pub environment: Environment,
    pub rows: Vec<Row>,
}

impl ServerRow {
    pub fn new(name: String, samples: Vec<Sample>) -> Self {
        let over = |pick: &dyn Fn(&Sample) -> Option<f64>| {
            median(samples.iter().filter_map(pick).collect())
        };
        let latency = |pick: &dyn Fn(&Latency) -> f64| over(&|s| s.latency.as_ref().map(pick));
        let median = Medians {
            per_second: over(&|s| Some(s.per_second())).unwrap_or_default(),
            cpu_per_million: over(&Sample::cpu_per_million),
            harness_cpu_per_million: over(&|s| Some(s.harness_cpu_per_million()))
                .unwrap_or_default(),
            busiest: over(&|s| Some(s.harness.busiest)).unwrap_or_default(),
            p50_us: latency(&|l| l.p50_us),
            p99_us: latency(&|l| l.p99_us),
            p999_us: latency(&|l| l.p999_us),
        };
        Self { name, samples, median }
    }
}

impl Report {
    pub fn faults(&self) -> u64 {
        let servers = self.rows.iter().flat_map(|row| &row.servers);
        servers.flat_map(|server| &server.samples).map(|sample| sample.faults.total()).sum()
    }

    /// As JSON, and beside it as CSV, `.hlog` and HTML. Gives back where the page is.
    pub fn save(&self, path: &Path) -> Outcome<PathBuf> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).context(folder.display())?;
        }
        let text = serde_json::to_string_pretty(self).context("encoding the report")?;
        for (path, bytes) in [
            (path.to_path_buf(), (text + "\n").into_bytes()),
            (path.with_extension("csv"), export::csv(self)?),
            (path.with_extension("hlog"), export::hlog(self)?),
        ] {
            std::fs::write(&path, bytes).context(path.display())?;
        }
        self.draw(path)
    }

    /// Only the page: a report that was kept has no histograms any more for the `.hlog`.
    pub fn draw(&self, path: &Path) -> Outcome<PathBuf> {
        let page = path.with_extension("html");
        std::fs::write(&page, html::page(self)?).context(page.display())?;
        Ok(page)
    }

    /// One that [`Self::save`] has written.
    pub fn load(path: &Path) -> Outcome<Self> {
        let text = std::fs::read(path).context(path.display())?;
        serde_json::from_slice(&text).context(path.display())
    }
}

/// `None` of nothing; the mean of the middle two of an even number.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
