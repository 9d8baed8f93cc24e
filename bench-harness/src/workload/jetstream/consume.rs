//! Taking a full stream in: pushed, pulled, or fetched batch by batch.

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::stream::{Keeping, Stream, full_group, require};
use crate::engine::{Plan, Reader, Taking, Window};
use crate::failure::Outcome;
use crate::report::Sample;
use crate::workload::Bench;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum How {
    /// An ordered consumer that pushes, with flow control.
    Push,
    /// Pull requests that overlap, each message acknowledged.
    Pull,
    /// One pull request after the other, each message acknowledged.
    Fetch,
}

#[derive(Args, Clone, Debug)]
pub struct Consume {
    #[arg(long, value_enum, default_value = "push")]
    pub how: How,
    /// Messages per pull request.
    #[arg(long, default_value_t = 100)]
    pub pull_batch: u64,
    /// Messages in the stream.
    #[arg(long, default_value_t = 200_000)]
    pub messages: u64,
    /// Pull without acknowledging.
    #[arg(long)]
    pub no_acks: bool,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Consume {
    pub fn label(&self) -> String {
        let acks = if self.no_acks { "no acks" } else { "acks" };
        let how = match self.how {
            How::Push => "ordered push".into(),
            How::Pull => format!("pull of {}, {acks}", self.pull_batch),
            How::Fetch => format!("fetch of {}, {acks}", self.pull_batch),
        };
        format!("js consume, {how}, {}", self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let stream = Stream { id: 0 };
        stream.create(bench, self.keeping.storage)?;
        require(&stream.fill(bench, self.messages)?)?;
        let group = full_group(self.messages);
        let mut plan = Plan::default();
        let acks = !self.no_acks;
        if self.how == How::Push {
            plan.add(0, stream.push_reader(bench, &group)?);
        } else {
            let pulls = stream.pull(bench, self.pull_batch.max(1), self.how == How::Pull, acks)?;
            let connection = bench.subscribed(&pulls.inbox)?;
            let reading = stream.reading(bench, &group, Taking::Pull(pulls), acks);
            plan.add(0, Reader::new(connection, reading));
        }
        plan.groups.push(group);
        let (window, engine) = Window::until_over(bench.server, || {
            let engine = super::stream::engine_for(bench, plan, self.pull_batch)?;
            if self.how == How::Push {
                stream.push(bench, &stream.name(), &Value::Null)?;
            }
            Ok(engine)
        })?;
        let mut faults = engine.finish()?;
        if self.how != How::Push && faults.total() == 0 {
            faults.add(&stream.check_consumed(bench)?);
        }
        Ok(bench.sample(&window, window.delivered, faults))
    }
}
