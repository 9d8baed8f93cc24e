//! A core is played: pauses of one length, what an event costs it awake, and after a sleep.

use std::time::Duration;

use super::*;

const SHORT: u64 = SPIN_NS / 2;
const LONG: u64 = SPIN_NS * 4;

struct Load {
    pause_ns: u64,
    event_ns: u64,
    /// What falling asleep and waking costs.
    sleep_ns: u64,
}

#[derive(Default)]
struct Played {
    now: Mono,
    spent: Spent,
}

impl Played {
    /// Plays so many events; how many of the pauses after them were watched to the end, and in vain.
    fn play(&mut self, watch: &mut Watch, load: &Load, events: usize) -> (usize, usize) {
        let (mut hits, mut misses) = (0, 0);
        for _ in 0..events {
            self.now = self.now.plus(load.event_ns);
            self.spent.cpu_ns += load.event_ns;
            self.spent.messages += 1;
            watch.on_event(self.now, || self.spent);
            let (begun, until) = (self.now, self.now.plus(load.pause_ns));
            while self.now < until && watch.goes_on(self.now) {
                self.now = self.now.plus(1_000);
            }
            self.spent.cpu_ns += self.now.since(begun);
            if self.now < until {
                misses += usize::from(self.now > begun);
                self.spent.cpu_ns += load.sleep_ns;
                self.now = until;
            } else {
                hits += 1;
            }
        }
        (hits, misses)
    }
}

fn play(spin: Spin, load: &Load, events: usize) -> (usize, usize) {
    Played::default().play(&mut Watch::new(spin), load, events)
}

#[test]
fn short_pauses_are_watched_where_sleeping_costs_more() {
    let load = Load { pause_ns: SHORT, event_ns: 5_000, sleep_ns: 60_000 };
    let (hits, misses) = play(Spin::Auto, &load, 100_000);
    assert!(hits > 95_000, "{hits} of 100000");
    assert_eq!(misses, 0);
}

#[test]
fn short_pauses_are_slept_through_where_that_costs_less() {
    let load = Load { pause_ns: SHORT, event_ns: 5_000, sleep_ns: 10_000 };
    let (hits, _) = play(Spin::Auto, &load, 100_000);
    assert!((1..10_000).contains(&hits), "{hits} of 100000");
}

#[test]
fn long_pauses_are_tried_seldom() {
    let load = Load { pause_ns: LONG, event_ns: 5_000, sleep_ns: 60_000 };
    let (hits, misses) = play(Spin::Auto, &load, 100_000);
    assert_eq!(hits, 0);
    assert!((1..100).contains(&misses), "{misses} of 100000");
}

#[test]
fn a_load_that_changes_is_found_out() {
    let (mut watch, mut played) = (Watch::new(Spin::Auto), Played::default());
    let mut load = Load { pause_ns: LONG, event_ns: 5_000, sleep_ns: 60_000 };
    played.play(&mut watch, &load, 100_000);
    load.pause_ns = SHORT;
    played.play(&mut watch, &load, 200_000);
    let (hits, _) = played.play(&mut watch, &load, 10_000);
    assert!(hits > 9_000, "{hits} of 10000");
}

#[test]
fn a_fixed_time_is_watched_each_time_and_none_never() {
    let load = Load { pause_ns: LONG, event_ns: 5_000, sleep_ns: 0 };
    assert_eq!(play(Spin::For(Duration::from_nanos(SPIN_NS)), &load, 100), (0, 100));
    let load = Load { pause_ns: SHORT, ..load };
    assert_eq!(play(Spin::For(Duration::ZERO), &load, 100), (0, 0));
}

#[test]
fn waking_to_nothing_is_no_pause() {
    let mut watch = Watch::new(Spin::For(Duration::from_nanos(SPIN_NS)));
    assert!(!watch.goes_on(Mono(0)));
    watch.on_event(Mono(0), Spent::default);
    assert!(watch.goes_on(Mono(0)));
    assert!(!watch.goes_on(Mono(SPIN_NS)));
    assert!(!watch.goes_on(Mono(SPIN_NS * 10)));
}
