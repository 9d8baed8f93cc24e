//! Many keys with one small value each, as a bucket with a history of 1 keeps them: what one takes
//! of the server's memory beside the log's tail, which it keeps to answer reads.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::stream::{Keeping, Stream, require};
use crate::client::Api;
use crate::clock;
use crate::engine::{Allowance, Delivery, Edge, Group, Plan, Window};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::verify::Faults;
use crate::workload::Bench;

/// For the server to come to rest before it is looked at.
const SETTLE: Duration = Duration::from_secs(3);
const UNACKED: u64 = 1000;

#[derive(Args, Clone, Debug)]
pub struct Keys {
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// Rounds in which each key is put; only its last value is kept.
    #[arg(long, default_value_t = 1)]
    pub puts: u64,
    /// Bytes per key after a restart, when no values are cached, that are a fault; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub bound: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Keys {
    pub fn label(&self) -> String {
        format!("{} keys put {} times, {}", self.keys, self.puts, self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut server = bench.server.another()?;
        clock::pause(SETTLE);
        let empty = server.usage()?.rss_bytes;
        let stream = Stream { id: 0 };
        let first = Edge::take(&server)?;
        self.fill(&Bench { server: &server, load: bench.load }, stream)?;
        let span = first.until(&Edge::take(&server)?, &server);
        clock::pause(SETTLE);
        let full = server.usage()?.rss_bytes;
        server.stop(false);
        server.start_again()?;
        clock::pause(SETTLE);
        let again = server.usage()?.rss_bytes;
        let mut faults = self.check(&Bench { server: &server, load: bench.load }, stream)?;
        let per_key = |rss: u64| rss.saturating_sub(empty) as f64 / self.keys.max(1) as f64;
        if self.bound > 0 && per_key(again) > self.bound as f64 {
            faults.errors += 1;
            faults.note(|| format!("a key takes {:.1} B", per_key(again)));
        }
        let mut sample = Sample::of(self.keys * self.puts.max(1), &span, faults);
        sample.figures = vec![
            Figure::new("RSS per key with the log's tail", per_key(full), "B"),
            Figure::new("RSS per key after a restart", per_key(again), "B"),
            Figure::new("RSS empty", empty as f64, "B"),
            Figure::new("RSS full", full as f64, "B"),
        ];
        Ok(sample)
    }

    fn fill(&self, bench: &Bench<'_>, stream: Stream) -> Outcome<()> {
        let config = json!({
            "name": stream.name(),
            "subjects": ["$KV.bench.>"],
            "storage": self.keeping.storage.name(),
            "max_msgs_per_subject": 1,
            "discard": "new",
            "deny_delete": true,
            "allow_rollup_hdrs": true,
            "allow_direct": true,
        });
        stream.create_with(bench, &config)?;
        let inbox = stream.inbox();
        let key = |nth| format!("$KV.bench.user.{nth:07} {inbox}");
        let to: Vec<String> = (0..self.keys).map(key).collect();
        let group = Arc::new(Group::new(Delivery::Nobody, 0));
        let limit = self.keys * self.puts.max(1);
        let allowance = Allowance { window: UNACKED, limit };
        let mut plan = Plan::default();
        plan.add(0, stream.publisher_to(bench, &to, &stream.name(), &group, allowance)?);
        plan.groups.push(group);
        let (_, engine) = Window::until_over(bench.server, || bench.engine(plan))?;
        require(&engine.finish()?)
    }

    /// Each key has its last value.
    fn check(&self, bench: &Bench<'_>, stream: Stream) -> Outcome<Faults> {
        let mut faults = stream.check_count(bench, self.keys)?;
        let state = Api::open(bench.server.address)?.stream(&stream.name())?;
        if state.last_seq != self.keys * self.puts.max(1) {
            faults.lost += 1;
            faults.note(|| format!("after all puts the stream is at {}", state.last_seq));
        }
        if self.puts <= 1 {
            faults.add(&stream.read_back(bench, self.keys)?.1);
        }
        Ok(faults)
    }
}
