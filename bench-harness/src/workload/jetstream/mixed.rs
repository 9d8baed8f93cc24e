//! Everything at once: a pair on core subjects, a stream that is written and followed, and
//! interest that comes and goes.

use std::sync::Arc;

use clap::Args;
use serde_json::Value;

use super::stream::{Keeping, Stream};
use crate::client::Greeting;
use crate::engine::{Allowance, Churner, Delivery, Group, Plan, Window};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::workload::Bench;

const WINDOW: u64 = 256;

#[derive(Args, Clone, Debug)]
pub struct Mixed {
    /// SUBs per second beside the traffic.
    #[arg(long, default_value_t = 100)]
    pub churn: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Mixed {
    pub fn label(&self) -> String {
        format!("mixed: pair, stream with reader, churn, {}", self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let stream = Stream { id: 7 };
        stream.create(bench, self.keeping.storage)?;
        let mut plan = Plan::default();
        let group = Arc::new(Group::new(Delivery::Every, 1));
        plan.add(1, stream.push_reader(bench, &group)?);
        stream.push(bench, &stream.name(), &Value::Null)?;
        let allowance = Allowance { window: WINDOW, limit: u64::MAX };
        plan.add(0, stream.publisher(bench, &group, allowance)?);
        plan.groups.push(Arc::clone(&group));
        bench.add_flow(&mut plan, 0, Delivery::Every, 1)?;
        plan.add(0, Churner::new(bench.connect(Greeting::default())?, self.churn));
        let engine = bench.engine(plan)?;
        let window = Window::measure(&engine, bench.server, bench.load.warmup, bench.load.seconds)?;
        let faults = engine.finish()?;
        let mut sample = bench.sample(&window, window.delivered, faults);
        let through = group.received_sum() as f64;
        sample.figures.push(Figure::new(
            "of them through the stream, whole run",
            through,
            "messages",
        ));
        Ok(sample)
    }
}
