//! What is measured, one file each. A workload opens its connections on a running server, makes
//! its traffic, and gives back a [`Sample`].

mod bench;
mod churn;
mod connections;
mod fanout;
mod jetstream;
mod latency;
mod pair;
mod pairs;
mod publish;
mod queue;
mod request;
mod slow;
mod soak;
mod subscriptions;
mod visibility;
mod wildcards;
mod witness;

#[cfg(test)]
mod tests;

pub use bench::Bench;
pub use jetstream::{Storage, Stream};
pub use latency::Latency;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::report::Sample;

#[derive(Clone, Debug, Subcommand)]
pub enum Workload {
    /// One publisher, nobody listens.
    Publish(publish::Publish),
    /// One publisher, one subscriber.
    Pair(pair::Pair),
    /// One publisher, many subscribers; counted per delivery.
    Fanout(fanout::Fanout),
    /// Many publishers with a subscriber each.
    Pairs(pairs::Pairs),
    /// One publisher, one queue group.
    Queue(queue::Queue),
    /// Request and reply, closed loop: latency.
    Request(request::Request),
    /// Latency at a fixed rate, open loop.
    Latency(Latency),
    /// One publisher, one subscriber, and interest that comes and goes beside them.
    Churn(churn::Churn),
    /// Many wildcard subscriptions, each message matches one.
    Wildcards(wildcards::Wildcards),
    /// Idle connections: memory and idle CPU.
    Connections(connections::Connections),
    /// Subscriptions at scale: memory.
    Subscriptions(subscriptions::Subscriptions),
    /// A subscriber that stops reading beside a healthy one.
    Slow(slow::Slow),
    /// Varying load for a long time: stalls, memory.
    Soak(soak::Soak),
    /// Publish to streams and wait for the acknowledgements.
    JsPublish(jetstream::Publish),
    /// Take a full stream in: pushed, pulled, fetched.
    JsConsume(jetstream::Consume),
    /// Single messages of a stream through direct get: latency.
    JsGet(jetstream::Get),
    /// Key-value bucket: put, update, get, watch.
    Kv(jetstream::Kv),
    /// Object store: put, get.
    Object(jetstream::Object),
    /// Idle consumers: creation, memory.
    Consumers(jetstream::Consumers),
    /// Stop or kill a server with a full stream, and start it again.
    Restart(jetstream::Restart),
    /// Kill a server again and again while streams are written and read: what it acknowledged stays.
    Crash(jetstream::Crash),
    /// A reader that is slower than its stream: it gets everything, and memory stays bounded.
    JsSlow(jetstream::SlowReader),
    /// Keys of one bucket: memory.
    Keys(jetstream::Keys),
    /// Core, stream and churn at once.
    Mixed(jetstream::Mixed),
    /// Interest is visible when it must be, and a queue message has exactly one taker.
    Visibility(visibility::Visibility),
}

impl Workload {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Vec<Sample>> {
        let one = |sample: Outcome<Sample>| sample.map(|sample| vec![sample]);
        match self {
            Self::Publish(workload) => one(workload.run(bench)),
            Self::Pair(workload) => one(workload.run(bench)),
            Self::Fanout(workload) => one(workload.run(bench)),
            Self::Pairs(workload) => one(workload.run(bench)),
            Self::Queue(workload) => one(workload.run(bench)),
            Self::Request(workload) => one(workload.run(bench)),
            Self::Latency(workload) => one(workload.run(bench)),
            Self::Churn(workload) => one(workload.run(bench)),
            Self::Wildcards(workload) => one(workload.run(bench)),
            Self::Connections(workload) => one(workload.run(bench)),
            Self::Subscriptions(workload) => one(workload.run(bench)),
            Self::Slow(workload) => one(workload.run(bench)),
            Self::Soak(workload) => one(workload.run(bench)),
            Self::JsPublish(workload) => one(workload.run(bench)),
            Self::JsConsume(workload) => one(workload.run(bench)),
            Self::JsGet(workload) => one(workload.run(bench)),
            Self::Kv(workload) => one(workload.run(bench)),
            Self::Object(workload) => one(workload.run(bench)),
            Self::Consumers(workload) => one(workload.run(bench)),
            Self::Restart(workload) => one(workload.run(bench)),
            Self::Crash(workload) => one(workload.run(bench)),
            Self::JsSlow(workload) => one(workload.run(bench)),
            Self::Keys(workload) => one(workload.run(bench)),
            Self::Mixed(workload) => one(workload.run(bench)),
            Self::Visibility(workload) => workload.run(bench),
        }
    }

    /// Whether the server must be able to keep streams.
    pub fn wants_streams(&self) -> bool {
        match self {
            Self::Latency(workload) => workload.wants_streams(),
            Self::JsPublish(_)
            | Self::JsConsume(_)
            | Self::JsGet(_)
            | Self::Kv(_)
            | Self::Object(_)
            | Self::Consumers(_)
            | Self::Restart(_)
            | Self::Crash(_)
            | Self::JsSlow(_)
            | Self::Keys(_)
            | Self::Mixed(_) => true,
            _ => false,
        }
    }

    /// Whether the harness' own server can do it: it forgets everything when it ends.
    pub fn suits_null(&self) -> bool {
        !matches!(
            self,
            Self::Restart(_)
                | Self::Crash(_)
                | Self::JsSlow(_)
                | Self::Keys(_)
                | Self::Latency(_)
                | Self::Slow(_)
                | Self::Soak(_)
        )
    }

    /// What the table calls this line.
    pub fn label(&self) -> String {
        match self {
            Self::Publish(_) => "publish only".into(),
            Self::Pair(_) => "1 → 1".into(),
            Self::Fanout(w) => format!("1 → {} (per delivery)", w.subscribers),
            Self::Pairs(w) => format!("{} pairs", w.pairs),
            Self::Queue(w) => format!("queue of {}", w.members),
            Self::Request(w) => w.label(),
            Self::Latency(w) => w.label(),
            Self::Churn(w) => format!("1 → 1, {} SUB+UNSUB/s beside", w.rate),
            Self::Wildcards(w) => format!("{} wildcard subscriptions", w.subscriptions),
            Self::Connections(w) => format!("{} idle connections", w.count),
            Self::Subscriptions(w) => format!("{} subscriptions", w.count),
            Self::Slow(_) => "a stopped subscriber beside a healthy one".into(),
            Self::Soak(w) => format!("soak of {} min", w.minutes),
            Self::JsPublish(w) => w.label(),
            Self::JsConsume(w) => w.label(),
            Self::JsGet(w) => w.label(),
            Self::Kv(w) => w.label(),
            Self::Object(w) => w.label(),
            Self::Consumers(w) => w.label(),
            Self::Restart(w) => w.label(),
            Self::Crash(w) => w.label(),
            Self::JsSlow(w) => w.label(),
            Self::Keys(w) => w.label(),
            Self::Mixed(w) => w.label(),
            Self::Visibility(_) => "visibility".into(),
        }
    }
}
