//! A reader that takes less than its stream could send: it gets everything in order, is never cut,
//! and what waits for it stays in the stream, not in the server's memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::stream::{Keeping, Stream, full_group, require};
use crate::client::Greeting;
use crate::clock;
use crate::engine::{Plan, Pulls, Reader, Taking, Window};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::server::Server;
use crate::verify::Faults;
use crate::workload::Bench;

/// How often the server's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// For the server to come to rest when the stream is full.
const SETTLE: Duration = Duration::from_secs(1);
const MEBIBYTE: f64 = (1 << 20) as f64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Manner {
    /// One pull of all messages.
    Pull,
    /// Pushed without flow control.
    Push,
    /// Pushed with flow control.
    Flow,
    /// As clients make ordered consumers.
    Ordered,
}

#[derive(Args, Clone, Debug)]
pub struct SlowReader {
    #[arg(long, value_enum, default_value = "pull")]
    pub manner: Manner,
    /// Messages in the stream.
    #[arg(long, default_value_t = 100_000)]
    pub messages: u64,
    /// Bytes per second that are read.
    #[arg(long, default_value_t = 5_000_000)]
    pub reads: u64,
    /// Idle connections opened before the reader: they decide which core it is on.
    #[arg(long, default_value_t = 0)]
    pub spacers: usize,
    /// MiB that the server's memory may grow by.
    #[arg(long, default_value_t = 24)]
    pub bound: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl SlowReader {
    pub fn label(&self) -> String {
        let how = match self.manner {
            Manner::Pull => "one pull",
            Manner::Push => "push",
            Manner::Flow => "push with flow control",
            Manner::Ordered => "ordered",
        };
        let rate = self.reads as f64 / 1e6;
        format!("{how} read at {rate} MB/s, {} spacers", self.spacers)
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let stream = Stream { id: 0 };
        stream.create(bench, self.keeping.storage)?;
        require(&stream.fill(bench, self.messages)?)?;
        clock::pause(SETTLE);
        let spacers: Outcome<Vec<_>> =
            (0..self.spacers).map(|_| bench.connect(Greeting::default())).collect();
        let spacers = spacers?;
        let before = bench.server.usage()?.rss_bytes;
        let (outcome, peak) = with_peak(bench.server, || self.read(bench, stream));
        let (window, mut faults) = outcome?;
        drop(spacers);
        let grown = peak.saturating_sub(before) as f64 / MEBIBYTE;
        self.judge(bench, grown, &mut faults);
        let mut sample = bench.sample(&window, window.delivered, faults);
        let bytes = window.delivered as f64 * bench.load.payload() as f64;
        sample.figures = vec![
            Figure::new("read", bytes / window.seconds / 1e6, "MB/s"),
            Figure::new("RSS before", before as f64 / MEBIBYTE, "MiB"),
            Figure::new("RSS grown at most", grown, "MiB"),
            Figure::new("allowed", self.bound as f64, "MiB"),
        ];
        Ok(sample)
    }

    fn read(&self, bench: &Bench<'_>, stream: Stream) -> Outcome<(Window, Faults)> {
        let group = full_group(self.messages);
        let taking = match self.manner {
            Manner::Pull => Taking::Pull(self.pulls(bench, stream)?),
            Manner::Push | Manner::Flow | Manner::Ordered => Taking::Push,
        };
        let connection = bench.subscribed(&format!("read.{}", stream.id))?;
        let mut reading = stream.reading(bench, &group, taking, false);
        reading.pace = self.reads;
        let mut plan = Plan::default();
        plan.add(0, Reader::new(connection, reading));
        plan.groups.push(group);
        let (window, engine) = Window::until_over(bench.server, || {
            let engine = bench.engine(plan)?;
            if let Some(config) = self.push_config() {
                stream.push(bench, &stream.name(), &config)?;
            }
            Ok(engine)
        })?;
        Ok((window, engine.finish()?))
    }

    fn pulls(&self, bench: &Bench<'_>, stream: Stream) -> Outcome<Pulls> {
        stream.pull(bench, self.messages, false, false)
    }

    /// What sets the pushing consumer apart from an ordered one.
    fn push_config(&self) -> Option<Value> {
        match self.manner {
            Manner::Pull => None,
            Manner::Push => Some(json!({ "flow_control": false, "idle_heartbeat": 0 })),
            Manner::Flow => Some(json!({ "durable_name": "read0", "mem_storage": false })),
            Manner::Ordered => Some(Value::Null),
        }
    }

    fn judge(&self, bench: &Bench<'_>, grown: f64, faults: &mut Faults) {
        if grown > self.bound as f64 {
            faults.errors += 1;
            faults.note(|| format!("the server grew by {grown:.1} MiB"));
        }
        if let Some(line) = bench.server.log().lines().find(|line| line.contains("Slow Consumer")) {
            faults.cut += 1;
            faults.note(|| line.to_owned());
        }
    }
}

/// Runs `work` and gives back the most memory the server had meanwhile, in bytes.
fn with_peak<T>(server: &Server, work: impl FnOnce() -> T) -> (T, u64) {
    let is_over = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                // A server that is gone is a fault of the work's.
                let rss = server.usage().map_or(0, |usage| usage.rss_bytes);
                peak.fetch_max(rss, Relaxed);
                clock::pause(LOOK_EVERY);
            }
        });
        let result = work();
        is_over.store(true, Relaxed);
        result
    });
    (result, peak.into_inner())
}
