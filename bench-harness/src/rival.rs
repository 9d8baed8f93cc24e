//! Rivals in turn, A B A B: machines are noisy over minutes, so a figure is a ratio of medians of
//! runs that alternate. Each run starts its server afresh.

use crate::failure::{Context, Outcome};
use crate::load::Load;
use crate::report::{Row, Sample, ServerRow};
use crate::server::{Launch, Server, Spec};
use crate::workload::{Bench, Workload};

pub struct Rivals {
    pub specs: Vec<Spec>,
    pub launch: Launch,
    pub rounds: usize,
}

impl Rivals {
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
        for _ in 0..self.rounds {
            for (nth, (spec, workload)) in self.specs.iter().zip(workloads).enumerate() {
                let results = self.run_once(spec, workload, load).context(&spec.name)?;
                samples.resize_with(results.len(), || vec![Vec::new(); self.specs.len()]);
                for (by_server, sample) in samples.iter_mut().zip(results) {
                    by_server[nth].push(sample);
                }
            }
        }
        let row = |by_server: Vec<Vec<Sample>>| Row {
            workload: label.to_owned(),
            size: load.payload(),
            servers: self.server_rows(by_server),
        };
        Ok(samples.into_iter().map(row).collect())
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

    pub fn server_rows(&self, by_server: Vec<Vec<Sample>>) -> Vec<ServerRow> {
        let named = self.specs.iter().zip(by_server);
        named.map(|(spec, samples)| ServerRow::new(spec.name.clone(), samples)).collect()
    }
}
