//! Many wildcard subscriptions of which each message matches one: what a lookup costs that no
//! small cache helps with.

use std::sync::Arc;

use clap::Args;

use super::Bench;
use crate::client::Greeting;
use crate::engine::{Delivery, Group, Plan, Subscriber, Subscription};
use crate::failure::{Context, Outcome};
use crate::report::Sample;
use crate::verify::Share;

/// Subscriptions sent before the next PING.
const CHUNK: usize = 1000;

#[derive(Args, Clone, Debug)]
pub struct Wildcards {
    #[arg(long, default_value_t = 100_000)]
    pub subscriptions: usize,
}

impl Wildcards {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let group = Arc::new(Group::new(Delivery::Every, 1));
        let mut plan = Plan::default();
        plan.add(1, self.subscriber(bench, &group)?);
        let mut subjects: Vec<_> =
            (0..self.subscriptions).map(|nth| format!("bench.{nth:07}.x")).collect();
        // The same order for every server and every run.
        fastrand::Rng::with_seed(1).shuffle(&mut subjects);
        plan.add(0, bench.publisher_to(0, &subjects, &group, bench.flow())?);
        plan.groups.push(group);
        bench.measure(plan, |window| window.delivered)
    }

    fn subscriber(&self, bench: &Bench<'_>, group: &Arc<Group>) -> Outcome<Subscriber> {
        let mut connection = bench.connect(Greeting::default())?;
        let all: Vec<usize> = (0..self.subscriptions).collect();
        for chunk in all.chunks(CHUNK) {
            let lines: String =
                chunk.iter().map(|nth| format!("SUB bench.{nth:07}.* {}\r\n", nth + 1)).collect();
            connection.settle(lines.as_bytes()).context("subscribing")?;
        }
        let subscription = Subscription {
            group: Arc::clone(group),
            receiver: 0,
            share: Share::Every,
            publisher: 0,
            size: bench.load.payload(),
            fixed: None,
        };
        Ok(Subscriber::new(connection, subscription))
    }
}
