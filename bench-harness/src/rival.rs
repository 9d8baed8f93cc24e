//! Rivals in turn, A B A B: machines are noisy over minutes, so a figure is a ratio of medians of
//! runs that alternate. Each run starts its server afresh.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::{Context, Failure, Outcome};
use crate::load::Load;
use crate::report::{Row, Sample, ServerRow};
use crate::server::{Launch, Server, Spec, guard};
use crate::workload::{Bench, Workload};

/// How often the bar is drawn at least.
const TICK: Duration = Duration::from_millis(500);

pub struct Rivals {
    pub specs: Vec<Spec>,
    pub launch: Launch,
    pub rounds: usize,
    /// Whether the harness' own server runs as well, once per row.
    pub ceiling: bool,
    /// Only where standard error is a terminal.
    pub bar: ProgressBar,
}

pub fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

impl Rivals {
    /// The same, started in another way.
    pub fn launched(&self, launch: Launch) -> Self {
        Self { launch, specs: self.specs.clone(), bar: self.bar.clone(), ..*self }
    }

    pub fn with_rounds(&self, rounds: usize) -> Self {
        Self { rounds, ..self.launched(self.launch.clone()) }
    }

    /// `rows` more will be asked for.
    pub fn expect(&self, rows: usize) {
        self.bar.inc_length((rows * self.runs_per_row()) as u64);
    }

    fn runs_per_row(&self) -> usize {
        self.rounds * self.specs.len() + usize::from(self.ceiling)
    }

    /// One row, or several where the workload has several results.
    pub fn compete(&self, workload: &Workload, load: &Load) -> Outcome<Vec<Row>> {
        let all = vec![workload.clone(); self.specs.len()];
        self.compete_each(&workload.label(), &all, load)
    }

    /// Where each server, in the order of `specs`, has a workload of its own.
    pub fn compete_each(
        &self,
        label: &str,
        workloads: &[Workload],
        load: &Load,
    ) -> Outcome<Vec<Row>> {
        // By result, then by server.
        let mut samples: Vec<Vec<Vec<Sample>>> = Vec::new();
        for round in 0..self.rounds {
            for (nth, (spec, workload)) in self.specs.iter().zip(workloads).enumerate() {
                if guard::is_asked_to_end() {
                    break;
                }
                let size = load.payload();
                let round = round + 1;
                self.bar.set_message(format!("{}: {label}, {size} B, round {round}", spec.name));
                let results = self.run_once(spec, workload, load).context(&spec.name)?;
                samples.resize_with(results.len(), || vec![Vec::new(); self.specs.len()]);
                for (by_server, sample) in samples.iter_mut().zip(results) {
                    by_server[nth].push(sample);
                }
                self.bar.inc(1);
            }
        }
        // A row that somebody ended before each server had its turn compares nothing.
        samples.retain(|by_server| by_server.iter().all(|samples| !samples.is_empty()));
        let ceilings = self.ceilings(&workloads[0], load)?;
        let row = |(nth, by_server): (usize, Vec<Vec<Sample>>)| Row {
            ceiling: ceilings.get(nth).copied(),
            workload: label.to_owned(),
            size: load.payload(),
            scale: None,
            servers: self.server_rows(by_server),
        };
        Ok(samples.into_iter().enumerate().map(row).collect())
    }

    /// By result: what the harness' own server reaches per second.
    fn ceilings(&self, workload: &Workload, load: &Load) -> Outcome<Vec<f64>> {
        if !self.ceiling || !workload.suits_null() || guard::is_asked_to_end() {
            return Ok(Vec::new());
        }
        let null: Spec = "null=null".parse().map_err(|why: String| Failure::new(why))?;
        let samples = self.run_once(&null, workload, load).context("null")?;
        self.bar.inc(1);
        Ok(samples.iter().map(Sample::per_second).collect())
    }

    fn run_once(&self, spec: &Spec, workload: &Workload, load: &Load) -> Outcome<Vec<Sample>> {
        let mut server = Server::start(spec, &self.launch, workload.wants_streams())?;
        let mut samples = workload.run(&Bench { server: &server, load })?;
        if !server.is_running()
            && let Some(last) = samples.last_mut()
        {
            last.faults.errors += 1;
            let log = server.log();
            last.faults.note(|| format!("the server ended: {log}"));
        }
        Ok(samples)
    }

    fn server_rows(&self, by_server: Vec<Vec<Sample>>) -> Vec<ServerRow> {
        let named = self.specs.iter().zip(by_server);
        named.map(|(spec, samples)| ServerRow::new(spec.name.clone(), samples)).collect()
    }
}
