//! Cores come and go. Logs have ids: each start shares out all there are among the cores, and new
//! cores get new logs. A start happens after a stop in order, a kill or a power cut.

use crate::storage::LogId;
use crate::testing::disk::Rng;

use super::world::{Options, Stats, World};

/// How many cores there are in one life after the other.
const CORES: [usize; 6] = [1, 4, 3, 4, 1, 4];

/// What a run did, and with how many logs it ended.
pub fn run_cores(seed: u64, options: Options) -> (Stats, usize) {
    let mut rng = Rng::new(seed ^ 0xc0_4e5);
    let mut logs: Vec<World> = Vec::new();
    for cores in CORES {
        while logs.len() < cores {
            let id = logs.len() as u32;
            logs.push(World::new(seed * 8 + u64::from(id), LogId(id), options));
        }
        for _ in 0..options.steps {
            // A turn of one core: all the logs it owns.
            let core = rng.below(cores as u64) as usize;
            for log in (core..logs.len()).step_by(cores) {
                logs[log].step();
            }
        }
        let in_order = rng.one_in(2);
        for log in &mut logs {
            if in_order { log.stop() } else { log.crash() }
        }
    }
    let total = logs.iter().fold(Stats::default(), |total, log| total.plus(&log.stats));
    (total, logs.len())
}
