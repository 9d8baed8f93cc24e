use super::*;

#[test]
fn seeds_end_well() {
    let mut total = Stats::default();
    for seed in 0..300 {
        total = total.plus(&World::run(seed, Options::of(seed)));
    }
    println!("{total:?}");
    assert!(total.retired > 0 && total.copied_bytes > 0 && total.footers > 0, "{total:?}");
    assert!(total.pages > 0, "{total:?}");
    assert!(total.parts > total.footers && total.spoiled > 0, "{total:?}");
    assert!(total.poisoned > 0 && total.full > 0, "{total:?}");
}

/// Every rule that is broken on purpose is noticed.
#[test]
fn mutations_are_caught() {
    let mutations = [
        Mutation::AckBeforeFlush,
        Mutation::ReadPastDurable,
        Mutation::DuplicateAnsweredEarly,
        Mutation::ServeBeforeFlush,
        Mutation::NoDirectorySync,
        Mutation::PositionCheckDropped,
        Mutation::ChecksumSkipped,
        Mutation::FlushRetried,
        Mutation::TailBlockRewritten,
        Mutation::SegmentRetiredEarly,
        Mutation::CopyAfterTombstone,
        Mutation::TrimNotLogged,
        Mutation::FooterBeforeDurable,
        Mutation::PagePastLanded,
    ];
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut caught = Vec::new();
    for mutation in mutations {
        mutate(Some(mutation));
        let seed = (0..SEEDS_PER_MUTATION).find_map(|seed| {
            let run = std::panic::catch_unwind(|| World::run(seed, Options::of(seed)));
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

const SEEDS_PER_MUTATION: u64 = 1000;

/// Ten thousand single bits, by full recovery and a reading of everything.
#[test]
fn flipped_bits_are_noticed_and_cost_no_more_than_their_batch() {
    for seed in 0..20 {
        let stats = World::flips(seed, 500);
        println!("{stats:?}");
        assert!(stats.lost_max <= 40, "{stats:?}");
    }
}

/// Logs go from core to core, and their number grows, with appends between.
#[test]
fn cores_change() {
    let mut total = Stats::default();
    for seed in 0..CORES_SEEDS {
        let options = Options { steps: 600, ..Options::of(seed) };
        let (stats, logs) = run_cores(seed, options);
        assert_eq!(logs, 4, "as many as there ever were cores");
        total = total.plus(&stats);
    }
    println!("{CORES_SEEDS} seeds: {total:?}");
    assert!(total.read > 0 && total.footers > 0 && total.crashes >= CORES_SEEDS * 15, "{total:?}");
}

const CORES_SEEDS: u64 = 100;

/// As many seeds as there is time for: `LOG_SIM_SEEDS=from..to cargo test --release … long_run`.
#[test]
fn long_run() {
    let range = std::env::var("LOG_SIM_SEEDS").unwrap_or_else(|_| "0..50".into());
    let (from, to) = range.split_once("..").expect("from..to");
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    let mut failed = Vec::new();
    for seed in from..to {
        if std::panic::catch_unwind(|| World::run(seed, Options::of(seed))).is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{} of {} seeds failed: {failed:?}", failed.len(), to - from);
}
