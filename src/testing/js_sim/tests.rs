use super::*;

#[test]
fn seeds_end_well() {
    let mut total = Stats::default();
    for seed in 0..200 {
        total.add(&World::run(seed));
    }
    println!("{total:?}");
}

#[test]
fn a_crash_at_any_step_leaves_old_or_new() {
    for seed in 0..6 {
        for change in CHANGES {
            for keeps in [Keeps::Limits, Keeps::WorkQueue, Keeps::Interest] {
                let steps = crash_at_every_step(change, keeps, seed);
                assert!(steps > 2, "{change:?} of {keeps:?} has {steps} steps");
            }
        }
    }
}

/// As many seeds as there is time for: `JS_SIM_SEEDS=from..to cargo test … js_sim::tests::long_run`.
#[test]
fn long_run() {
    let range = std::env::var("JS_SIM_SEEDS").unwrap_or_else(|_| "200..230".into());
    let (from, to) = range.split_once("..").expect("from..to");
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let mut failed = Vec::new();
    let mut total = Stats::default();
    for seed in from..to {
        match std::panic::catch_unwind(|| World::run(seed)) {
            Ok(stats) => total.add(&stats),
            Err(_) => failed.push(seed),
        }
    }
    println!("{total:?}");
    assert!(failed.is_empty(), "{} of {} seeds failed: {failed:?}", failed.len(), to - from);
}

/// Every rule that is broken on purpose is noticed.
#[test]
fn mutations_are_caught() {
    let mutations = [
        Mutation::AckedEarly,
        Mutation::StreamToldEarly,
        Mutation::ConsumerToldEarly,
        Mutation::PurgeToldEarly,
        Mutation::ConfirmedEarly,
        Mutation::DedupNotRebuilt,
        Mutation::FloorPastGap,
        Mutation::TimerDropped,
        Mutation::NakDelayIgnored,
        Mutation::WorkRemovedOnDelivery,
        Mutation::InterestRemovedOnFirstAck,
        Mutation::SubjectLimitOff,
        Mutation::StreamDeleteNotLogged,
        Mutation::ConsumerDeleteNotLogged,
        Mutation::MaxDeliverOff,
        Mutation::MaxAckPendingOff,
        Mutation::ProgressLostOnStop,
    ];
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut caught = Vec::new();
    for mutation in mutations {
        mutate(Some(mutation));
        let seed = (0..SEEDS_PER_MUTATION).find_map(|seed| {
            let run = std::panic::catch_unwind(|| World::run(seed));
            let words = run.err()?;
            Some((seed, words.downcast_ref::<String>().cloned().unwrap_or_default()))
        });
        mutate(None);
        caught.push((mutation, seed));
    }
    std::panic::set_hook(quiet);
    for (mutation, seed) in &caught {
        println!("{mutation:?}: {seed:?}");
    }
    assert!(caught.iter().all(|(_, seed)| seed.is_some()), "{caught:?}");
}

/// A log that takes a later flush for the one that failed acknowledges what it has lost.
#[test]
fn a_failed_flush_that_is_forgotten_is_noticed() {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    crate::storage::set_mutation(Some(crate::storage::Mutation::FlushRetried));
    let seed = (0..SEEDS_PER_FAULT).find(|seed| {
        let run = std::panic::catch_unwind(|| World::run(*seed));
        run.is_err()
    });
    crate::storage::set_mutation(None);
    std::panic::set_hook(quiet);
    assert!(seed.is_some(), "none of {SEEDS_PER_FAULT} seeds");
}

const SEEDS_PER_FAULT: u64 = 300;
const SEEDS_PER_MUTATION: u64 = 100;
