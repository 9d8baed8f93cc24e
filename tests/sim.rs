//! The broker simulated: many shards, sockets and clients in one thread, from one seed each.
//!
//! `WEFT_SIM_SEEDS=10000` runs so many seeds, `WEFT_SIM_SEED=123` one of them, and
//! `WEFT_SIM_RATES=1000` counts in how many seeds each mutation is caught.

use weft::testing::{Extent, Mutation, Scenario, breaks, is_mutated, mutate, simulate};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs seeds of a scenario; a failure tells its seed and what happened last.
fn run(scenario: Scenario, default_seeds: u64) {
    let seeds = match number("WEFT_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WEFT_SIM_SEEDS").unwrap_or(default_seeds),
    };
    let mut sum = Extent::default();
    for seed in seeds.clone() {
        match simulate(scenario, seed) {
            Ok(extent) => sum.add(extent),
            Err(failure) => {
                let tail = failure.trace.join("\n");
                panic!("{tail}\n\n{scenario:?} seed {seed}: {}", failure.rule);
            }
        }
    }
    println!("{scenario:?}: {} seeds: {sum:?}", seeds.end - seeds.start);
}

#[test]
fn everyone_gets_exactly_what_they_must() {
    run(Scenario::Mixed, 500);
}

#[test]
fn what_was_answered_is_known_everywhere() {
    run(Scenario::Visibility, 2000);
}

#[test]
fn saturation_through_lanes_of_one_slot_never_stops() {
    run(Scenario::Saturation, 50);
}

#[test]
fn a_live_reader_is_never_cut() {
    run(Scenario::LiveReader, 20);
}

/// Each mistake, and the seeds within which it must be seen. Two that chance hardly meets have tests of
/// their own, in `shard/moving/tests.rs`.
#[test]
fn every_mutation_is_caught() {
    let rows = [
        (Mutation::SendBeforePush, 1000),
        (Mutation::LookAfterProcessing, 100),
        (Mutation::SkipLane, 100),
        (Mutation::DropReroute, 1000),
        (Mutation::IgnoreCredit, 50),
        (Mutation::LosePause, 100),
        (Mutation::InterestAfterData, 5000),
        (Mutation::SubmitWhileBlocked, 1000),
        (Mutation::RepliesNotHeld, 2500),
        (Mutation::StallOnce, 250),
        (Mutation::NoWake, 200),
        (Mutation::NobodyUnheard, 2000),
        (Mutation::EarlyMarker, 2000),
        (Mutation::OpenGates, 500),
        (Mutation::OldBehindNew, 2000),
        (Mutation::EarlyWithdrawal, 2000),
    ];
    // A mutated broker may well trip over its own assertions.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !is_mutated() {
            usual(info);
        }
    }));
    let mut missed = Vec::new();
    for (mutation, seeds) in rows {
        mutate(Some(mutation));
        let scenario = match mutation {
            Mutation::StallOnce => Scenario::LiveReader,
            Mutation::IgnoreCredit => Scenario::Saturation,
            _ => Scenario::Visibility,
        };
        if let Some(seeds) = number("WEFT_SIM_RATES") {
            let caught = (0..seeds).filter(|seed| breaks(scenario, *seed)).count();
            println!("{mutation:?}: caught by {caught} of {seeds} seeds");
        }
        match (0..seeds).find(|seed| breaks(scenario, *seed)) {
            Some(seed) => println!("{mutation:?}: caught by seed {seed}"),
            None => missed.push(mutation),
        }
        mutate(None);
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
