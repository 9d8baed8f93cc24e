//! The one door for what tests the broker from outside: doors for fuzzers and for benchmarks of
//! the hot path, and a simulator in which all shards, their sockets and their clients run in one
//! thread from one seed.
//!
//! ```text
//!   plan     what a seed decides         world    shards, time, parking, rest
//!   socket   splits, delays, windows     client   what clients do      reader   what they read
//!   history  what happened, when         oracle   what must have happened
//! ```
//!
//! The log has a simulator of its own, on a disk that does its worst: `log_sim`, `disk`. So has
//! JetStream, on the same disk: `js_sim`.

pub mod disk;
pub mod fuzz;
pub mod hot_path;
pub mod js_sim;
pub mod log_sim;

mod client;
mod history;
mod js_fuzz;
mod oracle;
mod plan;
mod random;
mod reader;
mod socket;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use crate::types::mutation::{Mutation, is_any as is_mutated, set as mutate};
pub use plan::Scenario;

use crate::shard::snapshot::{Answer, Query};
use plan::Plan;
use random::Random;
use world::World;

impl Extent {
    pub fn add(&mut self, other: Self) {
        self.turns += other.turns;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.bounces += other.bounces;
        self.cuts += other.cuts;
        self.stalls += other.stalls;
        self.moves += other.moves;
    }

    fn of(world: &mut World) -> Self {
        let totals = world.cores.iter_mut().flatten().map(|core| core.shard.answer(&Query::Totals));
        let stalls = totals
            .map(|answer| match answer {
                Answer::Totals(totals) => totals.stalled_clients,
                _ => 0,
            })
            .sum();
        let history = &world.history;
        let deliveries = history.subs.iter().map(|sub| sub.deliveries.len() as u64).sum();
        let bounces = history.messages.iter().map(|it| u64::from(it.bounces)).sum();
        let cuts = history.fates.iter().filter(|fate| fate.cut != history::NEVER).count() as u64;
        let messages = history.messages.len() as u64;
        let moves = world.moved;
        Self { turns: world.turns, messages, deliveries, bounces, cuts, stalls, moves }
    }
}

/// A rule was broken.
#[derive(Debug)]
pub struct Failure {
    pub scenario: Scenario,
    pub seed: u64,
    pub rule: String,
    /// The last events.
    pub trace: Vec<String>,
}

/// How much happened in a seed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Extent {
    pub turns: u64,
    pub messages: u64,
    pub deliveries: u64,
    pub bounces: u64,
    pub cuts: u64,
    pub stalls: u64,
    pub moves: u64,
}

/// Simulates one seed. A failed one is run again for its trace.
pub fn simulate(scenario: Scenario, seed: u64) -> Result<Extent, Failure> {
    run(scenario, seed, false).or_else(|_| run(scenario, seed, true))
}

/// Whether a seed breaks a rule. For mutated brokers: without a trace.
pub fn breaks(scenario: Scenario, seed: u64) -> bool {
    run(scenario, seed, false).is_err()
}

fn run(scenario: Scenario, seed: u64, traced: bool) -> Result<Extent, Failure> {
    let mut random = Random::new(seed);
    let plan = Plan::new(scenario, &mut random);
    let mut world = World::new(plan, random);
    world.trace.on = traced;
    // A broken assertion of the broker is a broken rule too.
    let outcome = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    let rule = match outcome {
        Ok(Ok(())) => return Ok(Extent::of(&mut world)),
        Ok(Err(rule)) => rule,
        Err(_) => "the broker's own assertions hold".to_owned(),
    };
    let mut trace = vec![format!("{:?}", world.plan)];
    trace.extend(world.trace.tail());
    Err(Failure { scenario, seed, rule, trace })
}

fn live(world: &mut World) -> Result<(), String> {
    for _ in 0..world.plan.epochs {
        for _ in 0..world.plan.steps {
            world.step();
            if world.failure.is_some() {
                break;
            }
        }
        world.rest();
        if let Some(rule) = world.failure.take() {
            return Err(rule);
        }
    }
    oracle::judge(&world.history)
}
