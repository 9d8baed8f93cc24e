//! One publisher, one subscriber: the plain life of a message.

use clap::Args;

use super::Bench;
use crate::engine::{Delivery, Plan};
use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Pair {}

impl Pair {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        bench.add_flow(&mut plan, 0, Delivery::Every, 1)?;
        bench.measure(plan, |window| window.delivered)
    }
}
