//! Publish to streams and wait for the acknowledgements, so many at a time.

use std::sync::Arc;

use clap::Args;

use super::stream::{Keeping, Stream, engine_for};
use crate::engine::{Allowance, Delivery, Group, Plan, Window};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::workload::Bench;

#[derive(Args, Clone, Debug)]
pub struct Publish {
    /// Unacknowledged messages per publisher; 1 is a synchronous publisher.
    #[arg(long, default_value_t = 256)]
    pub unacked: u64,
    /// Streams, each with a publisher of its own.
    #[arg(long, default_value_t = 1)]
    pub streams: u32,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Publish {
    pub fn label(&self) -> String {
        let streams =
            if self.streams == 1 { "1 stream".into() } else { format!("{} streams", self.streams) };
        format!("js publish, window {}, {streams}, {}", self.unacked, self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let streams: Vec<Stream> = (0..self.streams).map(|id| Stream { id }).collect();
        let mut plan = Plan::default();
        for stream in &streams {
            stream.create(bench, self.keeping.storage)?;
            let group = Arc::new(Group::new(Delivery::Nobody, 0));
            let allowance = Allowance { window: self.unacked, limit: u64::MAX };
            plan.add(stream.id as usize, stream.publisher(bench, &group, allowance)?);
            plan.groups.push(group);
        }
        let groups = plan.groups.clone();
        let engine = engine_for(bench, plan, self.unacked)?;
        let window = Window::measure(&engine, bench.server, bench.load.warmup, bench.load.seconds)?;
        let mut faults = engine.finish()?;
        for (stream, group) in streams.iter().zip(&groups) {
            faults.add(&stream.check_count(bench, group.total_or_begun())?);
            faults.add(&stream.read_back(bench, group.total_or_begun())?.1);
        }
        let mut sample = bench.sample(&window, window.published, faults);
        let written = window.server.disk_bytes as f64 / window.published.max(1) as f64;
        sample.figures.push(Figure::new("to disk per message", written, "B"));
        Ok(sample)
    }
}
