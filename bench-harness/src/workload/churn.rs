//! A pair with interest coming and going beside it: what invalidation costs.

use clap::Args;

use super::Bench;
use crate::client::Greeting;
use crate::engine::{Churner, Delivery, Plan};
use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Churn {
    /// SUBs per second, and as many UNSUBs.
    #[arg(long, default_value_t = 1000)]
    pub rate: u64,
}

impl Churn {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        bench.add_flow(&mut plan, 0, Delivery::Every, 1)?;
        plan.add(0, Churner::new(bench.connect(Greeting::default())?, self.rate));
        bench.measure(plan, |window| window.delivered)
    }
}
