//! One workload at several points of what it may scale with.

use clap::{Args, ValueEnum};

use crate::affinity::Cpus;
use crate::compare;
use crate::failure::Outcome;
use crate::load::Load;
use crate::report::{Row, Scale};
use crate::rival::Rivals;
use crate::server::Launch;
use crate::workload::Workload;

#[derive(Args, Clone, Debug)]
pub struct Scaling {
    #[arg(long, value_enum, value_delimiter = ',', default_value = "connections,cpus,payload")]
    pub over: Vec<Over>,
    /// Pairs of a publisher and a subscriber.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    pub pairs: Vec<usize>,
    /// Bytes.
    #[arg(long, value_delimiter = ',', default_value = "16,128,1024,8192,65536")]
    pub payloads: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// Many pairs.
    Connections,
    /// 64 pairs, the server on 1, 2, … CPUs.
    Cpus,
    /// One pair, messages of several sizes.
    Payload,
}

impl Scaling {
    /// Hands each row to `each` as soon as it is there.
    pub fn run(&self, rivals: &Rivals, load: &Load, mut each: impl FnMut(Row)) -> Outcome<()> {
        for over in &self.over {
            rivals.expect(match over {
                Over::Connections => self.pairs.len(),
                Over::Cpus => Cpus::allowed()?.iter().count(),
                Over::Payload => self.payloads.len(),
            });
            match over {
                Over::Connections => {
                    for &pairs in &self.pairs {
                        let workload = pairs_of(pairs)?;
                        let rows = rivals.compete(&workload, load)?;
                        named(rows, "connections", 2 * pairs).for_each(&mut each);
                    }
                }
                Over::Cpus => {
                    let all: Vec<usize> = Cpus::allowed()?.iter().collect();
                    for count in 1..=all.len() {
                        let cpus = Cpus::of(&all[..count]);
                        let launch = Launch { cpus: Some(cpus), ..rivals.launch.clone() };
                        let rows = rivals.launched(launch).compete(&pairs_of(64)?, load)?;
                        named(rows, "CPUs of the server", count).for_each(&mut each);
                    }
                }
                Over::Payload => {
                    for &size in &self.payloads {
                        let rows = rivals.compete(&pairs_of(1)?, &load.at_size(size))?;
                        named(rows, "bytes of payload", size).for_each(&mut each);
                    }
                }
            }
        }
        Ok(())
    }
}

fn named(rows: Vec<Row>, over: &str, at: usize) -> impl Iterator<Item = Row> {
    let over = over.to_owned();
    rows.into_iter().map(move |row| {
        let workload = format!("{} ({over}: {at})", row.workload);
        Row { workload, scale: Some(Scale { over: over.clone(), at: at as f64 }), ..row }
    })
}

fn pairs_of(count: usize) -> Outcome<Workload> {
    compare::parse(&["pairs", "--pairs", &count.to_string()])
}
