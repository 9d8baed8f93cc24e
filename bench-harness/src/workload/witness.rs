//! Witnesses of the machine: one thread per CPU that does nothing but sleep a millisecond at a
//! time and note when it woke late. A stall that a witness shares is the machine's, not the
//! server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::affinity::Cpus;
use crate::clock;
use crate::failure::{Failure, Outcome};

const NAP: Duration = Duration::from_millis(1);
/// Waking later than this is noted.
const LATE: Duration = Duration::from_millis(5);

pub type Interval = (Instant, Instant);

pub struct Witnesses {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Interval>>>,
}

impl Witnesses {
    pub fn start(cpus: &Cpus) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = cpus
            .iter()
            .map(|cpu| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || watch(cpu, &stop))
            })
            .collect();
        Self { stop, threads }
    }

    /// All stalls seen on any CPU.
    pub fn finish(self) -> Outcome<Vec<Interval>> {
        self.stop.store(true, Relaxed);
        let mut stalls = Vec::new();
        for thread in self.threads {
            stalls.extend(thread.join().map_err(|_| Failure::new("a witness panicked"))?);
        }
        Ok(stalls)
    }
}

fn watch(cpu: usize, stop: &AtomicBool) -> Vec<Interval> {
    let mut stalls = Vec::new();
    // Unpinned it still sees stalls of the whole machine.
    let _ = Cpus::one(cpu).pin_this_thread();
    let mut before = clock::now();
    while !stop.load(Relaxed) {
        clock::pause(NAP);
        let after = clock::now();
        if after - before > LATE + NAP {
            stalls.push((before, after));
        }
        before = after;
    }
    stalls
}

/// What remains of a stall when the time that witnesses lost in it is taken off. Losses on
/// several CPUs at once count once.
pub fn unshared(stall: Interval, witnessed: &[Interval]) -> Duration {
    let mut parts: Vec<Interval> = witnessed
        .iter()
        .map(|&(from, to)| (from.max(stall.0), to.min(stall.1)))
        .filter(|(from, to)| from < to)
        .collect();
    parts.sort();
    let mut shared = Duration::ZERO;
    let mut covered = stall.0;
    for (from, to) in parts {
        shared += to.saturating_duration_since(from.max(covered));
        covered = covered.max(to);
    }
    (stall.1 - stall.0).saturating_sub(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_witnesses_lost_is_taken_off_once() {
        let zero = clock::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let stall = (at(100), at(200));
        for (witnessed, left) in [
            (vec![], 100),
            (vec![(at(0), at(50))], 100),
            (vec![(at(90), at(150))], 50),
            (vec![(at(110), at(150)), (at(120), at(160))], 50),
            (vec![(at(0), at(300))], 0),
        ] {
            assert_eq!(unshared(stall, &witnessed), Duration::from_millis(left));
        }
    }
}
