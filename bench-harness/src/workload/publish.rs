//! Publish only: what taking a message in costs. A PING per MiB tells how far the server is.

use clap::Args;

use super::Bench;
use crate::engine::{Delivery, Plan};
use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Publish {
    /// Publishing connections, each with its own subject.
    #[arg(long, default_value_t = 1)]
    pub publishers: u32,
}

impl Publish {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        for id in 0..self.publishers {
            bench.add_flow(&mut plan, id, Delivery::Nobody, 0)?;
        }
        bench.measure(plan, |window| window.published)
    }
}
