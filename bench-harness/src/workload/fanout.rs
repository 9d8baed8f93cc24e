//! One publisher, many subscribers: what a delivery costs once the message is in.

use clap::Args;

use super::Bench;
use crate::engine::{Delivery, Plan};
use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Fanout {
    #[arg(long, default_value_t = 64)]
    pub subscribers: usize,
}

impl Fanout {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        bench.add_flow(&mut plan, 0, Delivery::Every, self.subscribers)?;
        bench.measure(plan, |window| window.delivered)
    }
}
