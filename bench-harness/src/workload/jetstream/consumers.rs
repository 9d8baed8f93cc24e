//! Consumers at scale: how fast they are made, and what an idle one keeps in memory.

use clap::Args;
use serde_json::{Value, json};

use super::sample_of;
use super::stream::{Keeping, Storage, Stream};
use crate::client::{Api, Greeting, Message};
use crate::clock;
use crate::engine::{Asks, Exchange, Judged, Until};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::server::Server;
use crate::workload::Bench;

/// For the server to come to rest before it is looked at.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(3);

/// nats-server has no more consumers on a stream.
const PER_STREAM: u64 = 1000;

#[derive(Args, Clone, Debug)]
pub struct Consumers {
    #[arg(long, default_value_t = 100_000)]
    pub count: u64,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 64)]
    pub outstanding: usize,
    /// They end when nobody uses them, and are not kept on disk.
    #[arg(long)]
    pub ephemeral: bool,
    /// Bytes per consumer that are a fault when they are exceeded; 0 for none.
    #[arg(long, default_value_t = 0)]
    pub bound: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Consumers {
    pub fn label(&self) -> String {
        let kind = if self.ephemeral { "ephemeral" } else { "durable" };
        format!("{} idle {kind} consumers, {}", self.count, self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        // What is on disk is looked at after a restart, too: then nothing of the log is cached.
        let lasts = bench.server.is_measured() && self.keeping.storage == Storage::File;
        let own = lasts.then(|| bench.server.another()).transpose()?;
        let bench = Bench { server: own.as_ref().unwrap_or(bench.server), load: bench.load };
        for id in 0..self.count.div_ceil(PER_STREAM).max(1) {
            Stream { id: id as u32 }.create(&bench, self.keeping.storage)?;
        }
        let before = bench.server.usage()?.rss_bytes;
        let connection = bench.connect(Greeting::default())?;
        let (load, until) = (bench.load, Until::Count(self.count));
        let answers =
            Asks::run(self.creations(), connection, bench.server, load, self.outstanding, until)?;
        let mut sample = sample_of(answers).1;
        let mut each = self.look(bench.server, before, &mut sample, "RSS per consumer")?;
        if let Some(mut server) = own {
            server.stop(false);
            server.start_again()?;
            each = self.look(&server, before, &mut sample, "after a restart")?;
        }
        if self.bound > 0 && each > self.bound as f64 {
            sample.faults.errors += 1;
            sample.faults.note(|| format!("a consumer takes {each:.0} B"));
        }
        Ok(sample)
    }

    /// All are there; what one of them takes, in bytes.
    fn look(&self, server: &Server, before: u64, sample: &mut Sample, name: &str) -> Outcome<f64> {
        clock::pause(SETTLE);
        let rss = server.usage()?.rss_bytes;
        let there = Api::open(server.address)?.consumers()?;
        if there != self.count {
            sample.faults.lost += self.count.saturating_sub(there);
            sample.faults.duplicated += there.saturating_sub(self.count);
            sample.faults.note(|| format!("the account has {there} consumers of {}", self.count));
        }
        let each = rss.saturating_sub(before) as f64 / self.count.max(1) as f64;
        sample.figures.push(Figure::new(name, each, "B"));
        Ok(each)
    }

    fn creations(&self) -> Creations {
        Creations { ephemeral: self.ephemeral }
    }
}

struct Creations {
    ephemeral: bool,
}

/// Of ephemeral consumers: longer than any run.
const INACTIVE_NS: u64 = 3_600_000_000_000;

fn stream_of(nth: u64) -> String {
    Stream { id: (nth / PER_STREAM) as u32 }.name()
}

impl Exchange for Creations {
    fn ask(&mut self, _slot: usize, nth: u64, reply: &str, out: &mut Vec<u8>) {
        let stream = stream_of(nth);
        let name = format!("c{nth}");
        let config = match self.ephemeral {
            true => {
                json!({ "name": name, "ack_policy": "explicit", "inactive_threshold": INACTIVE_NS })
            }
            false => json!({ "durable_name": name, "ack_policy": "explicit" }),
        };
        let body = json!({ "stream_name": stream, "config": config }).to_string();
        let size = body.len();
        let line =
            format!("PUB $JS.API.CONSUMER.CREATE.{stream}.c{nth} {reply} {size}\r\n{body}\r\n");
        out.extend_from_slice(line.as_bytes());
    }

    fn judge(&mut self, _slot: usize, nth: u64, answer: &Message<'_>) -> Judged {
        let Ok(said) = serde_json::from_slice::<Value>(answer.payload) else {
            return Judged::Wrong("not JSON".into());
        };
        if said["name"] == format!("c{nth}") && said["stream_name"] == stream_of(nth) {
            Judged::Done
        } else {
            Judged::Wrong(format!("not consumer c{nth}: {}", said["error"]))
        }
    }
}
