//! What is measured, one file each. A workload opens its connections on a running server, makes
//! its traffic, and gives back a [`Sample`].

mod bench;
mod churn;
mod connections;
mod fanout;
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
            Self::Visibility(workload) => workload.run(bench),
        }
    }

    /// Whether the server must be able to keep streams.
    pub fn wants_streams(&self) -> bool {
        match self {
            Self::Latency(workload) => workload.wants_streams(),
            _ => false,
        }
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
            Self::Visibility(_) => "visibility".into(),
        }
    }
}
