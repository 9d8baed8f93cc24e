//! Latency under a load that does not wait: each server's saturation, then all servers in turn
//! at shares of it.

use clap::{Args, ValueEnum};

use crate::failure::{Context, Outcome};
use crate::load::Load;
use crate::open::{self, Saturation, Shape};
use crate::report::Row;
use crate::rival::Rivals;
use crate::server::{Server, guard};
use crate::workload::{Bench, Latency, Workload};

#[derive(Args, Clone, Debug)]
pub struct OpenLoop {
    #[arg(long, value_enum, value_delimiter = ',', default_value = "core,durable,request")]
    pub shapes: Vec<Shape>,
    /// Percent of saturation.
    #[arg(long, value_delimiter = ',', default_value = "10,50,70,90")]
    pub shares: Vec<u32>,
    /// Of whose saturation: each server's own, or the lowest of all, which gives them equal work.
    #[arg(long, value_enum, default_value = "own")]
    pub of: Of,
    /// Messages per second, the same for all servers, instead of shares.
    #[arg(long, value_delimiter = ',')]
    pub rates: Vec<f64>,
    /// Connections that share the rate, each with a counterpart of its own.
    #[arg(long, default_value_t = 1)]
    pub lanes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    Own,
    Lowest,
}

impl OpenLoop {
    /// As part of the standard comparison.
    pub fn standard() -> Self {
        Self {
            shapes: vec![Shape::Core, Shape::Durable],
            shares: vec![10, 50, 70, 90],
            of: Of::Own,
            rates: Vec::new(),
            lanes: 1,
        }
    }

    pub fn label(&self) -> &'static str {
        "open loop"
    }

    /// Hands each row to `each` as soon as it is there.
    pub fn run(&self, rivals: &Rivals, load: &Load, mut each: impl FnMut(Row)) -> Outcome<()> {
        let points = if self.rates.is_empty() { self.shares.len() } else { self.rates.len() };
        rivals.expect(self.shapes.len() * points);
        for &shape in &self.shapes {
            if !self.rates.is_empty() {
                for &rate in &self.rates {
                    let label = format!("{} at {rate:.0}/s", self.label_of(shape));
                    let all = vec![rate; rivals.specs.len()];
                    self.race(&label, shape, &all, rivals, load)?.into_iter().for_each(&mut each);
                }
                continue;
            }
            if guard::is_asked_to_end() {
                return Ok(());
            }
            let found = self.saturations(shape, rivals, load)?;
            for share in &self.shares {
                let rates: Vec<f64> =
                    found.iter().map(|it| it.rate * f64::from(*share) / 100.0).collect();
                let label = format!("{} at {share} %", self.label_of(shape));
                self.race(&label, shape, &rates, rivals, load)?.into_iter().for_each(&mut each);
            }
        }
        Ok(())
    }

    fn label_of(&self, shape: Shape) -> String {
        match self.of {
            Of::Lowest if self.rates.is_empty() => format!("{}, equal rates,", shape.label()),
            _ => shape.label().to_owned(),
        }
    }

    fn saturations(&self, shape: Shape, rivals: &Rivals, load: &Load) -> Outcome<Vec<Saturation>> {
        let mut found = Vec::new();
        for spec in &rivals.specs {
            rivals.bar.set_message(format!(
                "{}: {}, looking for saturation",
                spec.name,
                shape.label()
            ));
            let server = Server::start(spec, &rivals.launch, shape == Shape::Durable)?;
            let saturation = open::find(&Bench { server: &server, load }, shape, self.lanes);
            let saturation = saturation.context(&spec.name)?;
            let bound = if saturation.is_harness_bound { " (bound by the harness)" } else { "" };
            let (what, rate) = (shape.label(), saturation.rate);
            rivals
                .bar
                .suspend(|| println!("{what}: {} saturates at {rate:.0}/s{bound}", spec.name));
            found.push(saturation);
        }
        let lowest = found.iter().map(|it| it.rate).fold(f64::INFINITY, f64::min);
        if self.of == Of::Lowest {
            found.iter_mut().for_each(|it| it.rate = lowest);
        }
        Ok(found)
    }

    fn race(
        &self,
        label: &str,
        shape: Shape,
        rates: &[f64],
        rivals: &Rivals,
        load: &Load,
    ) -> Outcome<Vec<Row>> {
        let workload = |&rate: &f64| {
            Workload::Latency(Latency { shape, rate: rate.max(1.0), lanes: self.lanes })
        };
        let workloads: Vec<Workload> = rates.iter().map(workload).collect();
        rivals.compete_each(label, &workloads, load)
    }
}
