//! One publisher, one queue group: each message goes to one member.

use clap::Args;

use super::Bench;
use crate::engine::{Delivery, Plan};
use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Queue {
    #[arg(long, default_value_t = 8)]
    pub members: usize,
}

impl Queue {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        bench.add_flow(&mut plan, 0, Delivery::One, self.members)?;
        bench.measure(plan, |window| window.delivered)
    }
}
