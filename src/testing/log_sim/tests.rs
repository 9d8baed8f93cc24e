use super::*;

#[test]
fn seeds_end_well() {
    let mut total = Stats::default();
    for seed in 0..300 {
        let stats = World::run(seed, Options::of(seed));
        total.retired += stats.retired;
        total.copied_bytes += stats.copied_bytes;
        total.read += stats.read;
        total.footers += stats.footers;
        total.poisoned += stats.poisoned;
        total.full += stats.full;
    }
    println!("{total:?}");
    assert!(total.retired > 0 && total.copied_bytes > 0 && total.footers > 0, "{total:?}");
    assert!(total.poisoned > 0 && total.full > 0, "{total:?}");
}
