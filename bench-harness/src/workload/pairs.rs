//! Many publishers with a subscriber each: many connections that all have little to say.

use clap::Args;

use super::Bench;
use crate::engine::{Delivery, Plan};
use crate::failure::Outcome;
use crate::load::Load;
use crate::report::Sample;

#[derive(Args, Clone, Debug)]
pub struct Pairs {
    #[arg(long, default_value_t = 64)]
    pub pairs: u32,
}

impl Pairs {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        // The window is for all of them: what is in flight stays the same as for one pair.
        let share = u64::from(self.pairs).max(1);
        let window = if bench.load.window == 0 { 0 } else { (bench.load.window / share).max(1) };
        let load = Load { window, ..bench.load.clone() };
        let bench = Bench { server: bench.server, load: &load };
        let mut plan = Plan::default();
        for id in 0..self.pairs {
            bench.add_flow(&mut plan, id, Delivery::Every, 1)?;
        }
        bench.measure(plan, |window| window.delivered)
    }
}
