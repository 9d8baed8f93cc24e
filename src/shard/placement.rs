//! Which connections are moved to which core, and when.
//!
//! A connection is worth moving if nearly all its messages go to, or come from, one other core
//! ([`Leaning`]), and are many. Messages that several want do not count for the core they come from: that
//! core's batch would be made for the others anyway.
//!
//! Time is cut into slices, the same on all cores. At the start of a slice each core says how busy it was
//! and counts anew; past the middle it decides. Connections move up (to cores of a higher number) in one
//! slice and down in the next, so the two ends of a pair never change places: who decides next has counted
//! what the last move left.
//!
//! The core they go to must bear it: it is less busy than the own core, give or take a margin, or the
//! connection is most of the own core's work and the other one stays below [`CALM_PERCENT`]. So a lone
//! pair comes together, many pairs spread evenly, and of those who all talk to one only as many come as
//! there is room for. Who was moved stays for a while, longer each time.

use super::moving::Standings;
use crate::connection::leaning::{Lean, Leaning};
use crate::types::limits::{MOVES_AT_ONCE, NOTED_MAX};
use crate::types::time::SECOND;
use crate::types::{ConnKey, Mono, ShardId};

/// What the settings say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    pub is_on: bool,
    /// Nanoseconds of a slice.
    pub interval_ns: u64,
    /// A connection with fewer messages a second is not moved.
    pub rate_min: u64,
}

#[derive(Debug, Default)]
pub struct Placement {
    pub is_on: bool,
    me: ShardId,
    interval_ns: u64,
    rate_min: u64,
    /// With so many messages since its count began a connection is noted.
    notable: u32,
    noted: Vec<ConnKey>,
    /// When there is something to do next.
    next: Mono,
    slice: u64,
    is_decided: bool,
    slice_began: Mono,
    /// Busy nanoseconds when the slice began.
    busy_ns: u64,
    busy_percent: u8,
}

/// Of more messages than this in a slice each connection is noted.
const NOTABLE_MAX: u64 = 32;
/// A core below this share of its time can do more.
const CALM_PERCENT: u32 = 60;
/// So much busier than the own core another may be.
const MARGIN_PERCENT: u32 = 20;
/// A moved connection stays for so many slices, twice as many after each further move.
const DWELL_SLICES: u64 = 12;
const DWELL_DOUBLED_MAX: u32 = 6;

/// A connection that would be better off elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Candidate {
    key: ConnKey,
    to: ShardId,
    messages: u32,
}

impl Placement {
    pub fn new(me: ShardId, policy: Policy) -> Self {
        let Policy { is_on, interval_ns, rate_min } = policy;
        let interval_ns = interval_ns.max(1);
        // What the rate makes until half of the slice is over, when it decides.
        let notable = rate_min.saturating_mul(interval_ns / 2) / SECOND;
        let notable = notable.clamp(1, NOTABLE_MAX) as u32;
        Self { is_on, me, interval_ns, rate_min, notable, ..Self::default() }
    }

    /// How long a connection stays that was moved so often.
    pub fn dwell_ns(&self, moves: u32) -> u64 {
        self.interval_ns.saturating_mul(DWELL_SLICES << moves.min(DWELL_DOUBLED_MAX))
    }

    /// A message of that connection went to that core, or came from it.
    #[inline]
    pub fn count(&mut self, key: ConnKey, leaning: &mut Leaning, shard: ShardId) {
        if leaning.count(shard, self.notable) {
            if self.noted.len() < NOTED_MAX {
                self.noted.push(key);
            } else {
                leaning.count_anew();
            }
        }
    }

    /// Looks at the clock, and in the right moment at the busiest connections: who is to be moved.
    /// `with`: shows what was counted of a connection, if it is still there.
    pub fn look(
        &mut self,
        now: Mono,
        busy_ns: u64,
        standings: Standings<'_>,
        mut with: impl FnMut(ConnKey, &mut dyn FnMut(&mut Leaning)),
    ) -> Vec<(ConnKey, ShardId)> {
        if !self.is_on || now < self.next {
            return Vec::new();
        }
        let slice = now.0 / self.interval_ns;
        if slice != self.slice {
            self.begin_slice(slice, now, busy_ns);
            standings.set(self.me, self.busy_percent);
            for key in self.noted.drain(..) {
                with(key, &mut |leaning| leaning.begin(now));
            }
            return Vec::new();
        }
        self.next = Mono((slice + 1) * self.interval_ns);
        // Late in the slice there is no time left for the move.
        if std::mem::replace(&mut self.is_decided, true) || self.is_late(now) {
            return Vec::new();
        }
        let mut messages = 0;
        let mut candidates = Vec::new();
        for &key in &self.noted {
            with(key, &mut |leaning| {
                let lean = leaning.read(now);
                messages += u64::from(lean.total);
                if self.is_worth_it(&lean, now) && now >= leaning.settled_until {
                    candidates.push(Candidate { key, to: lean.to, messages: lean.total });
                }
            });
        }
        self.choose(candidates, messages, standings)
    }

    fn begin_slice(&mut self, slice: u64, now: Mono, busy_ns: u64) {
        let took = now.since(self.slice_began).max(1);
        let busy = busy_ns - self.busy_ns;
        self.busy_percent = (busy.saturating_mul(100) / took).min(100) as u8;
        (self.slice, self.slice_began, self.busy_ns) = (slice, now, busy_ns);
        self.is_decided = false;
        self.next = Mono(slice * self.interval_ns + self.interval_ns / 2);
    }

    fn is_late(&self, now: Mono) -> bool {
        now.0 % self.interval_ns > self.interval_ns / 4 * 3
    }

    /// Enough messages since the slice began, nine tenths of them with one other core, and in the
    /// direction of this slice.
    fn is_worth_it(&self, lean: &Lean, now: Mono) -> bool {
        let is_up = self.slice.is_multiple_of(2);
        let is_this_way = if is_up { lean.to > self.me } else { lean.to < self.me };
        let is_fresh = lean.took <= now.since(self.slice_began);
        let is_much = u64::from(lean.total) * SECOND >= self.rate_min.saturating_mul(lean.took);
        is_this_way
            && is_fresh
            && is_much
            && u64::from(lean.ahead) * 10 >= u64::from(lean.total) * 8
    }

    /// The busiest first, as far as the other cores bear it.
    fn choose(
        &self,
        mut candidates: Vec<Candidate>,
        messages: u64,
        standings: Standings<'_>,
    ) -> Vec<(ConnKey, ShardId)> {
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.messages));
        let mut own = u32::from(self.busy_percent);
        let mut added: Vec<(ShardId, u32)> = Vec::new();
        let mut chosen = Vec::new();
        for Candidate { key, to, messages: of_it } in candidates {
            let share = (u64::from(self.busy_percent) * u64::from(of_it) / messages.max(1)) as u32;
            let before = added.iter().filter(|(shard, _)| *shard == to).map(|(_, share)| share);
            let there = u32::from(standings.of(to)) + before.sum::<u32>();
            if chosen.len() < MOVES_AT_ONCE && bears(own, there, share) {
                chosen.push((key, to));
                added.push((to, share));
                own = own.saturating_sub(share);
            }
        }
        chosen
    }
}

/// Whether a core that is `there` percent busy can take `share` percent of one that is `own` percent busy.
fn bears(own: u32, there: u32, share: u32) -> bool {
    let is_even = there + share <= own.saturating_sub(share) + MARGIN_PERCENT;
    let is_the_load = share * 2 >= own && there + share <= CALM_PERCENT;
    is_even || is_the_load || share * 2 >= own && there <= own
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::shard::moving::carriages;
    use crate::types::time::MILLISECOND;

    const INTERVAL: u64 = 80 * MILLISECOND;

    fn key(slot: u32) -> ConnKey {
        ConnKey { slot, generation: 0 }
    }

    /// Core `me` of two in one slice: each connection has so many messages with the other.
    fn decide(
        me: u16,
        slice: u64,
        busy: [u8; 2],
        counts: &[(u32, u32)],
    ) -> Vec<(ConnKey, ShardId)> {
        let carriages = carriages(2);
        let standings = carriages[0].standings();
        let policy = Policy { is_on: true, interval_ns: INTERVAL, rate_min: 1000 };
        let mut placement = Placement::new(ShardId(me), policy);
        let began = Mono(slice * INTERVAL);
        placement.slice_began = Mono(began.0 - INTERVAL);
        let busy_ns = u64::from(busy[usize::from(me)]) * INTERVAL / 100;
        let mut leanings: BTreeMap<ConnKey, Leaning> = BTreeMap::new();
        assert!(placement.look(began, busy_ns, standings, |_, _| ()).is_empty());
        let other = ShardId(1 - me);
        standings.set(other, busy[other.index()]);
        for (slot, &(across, here)) in counts.iter().enumerate() {
            let key = key(slot as u32);
            let leaning = leanings.entry(key).or_insert(Leaning::new(began));
            let shards = std::iter::repeat_n(ShardId(me), here as usize);
            for shard in shards.chain(std::iter::repeat_n(other, across as usize)) {
                placement.count(key, leaning, shard);
            }
        }
        let at = began.plus(INTERVAL / 2);
        placement.look(at, busy_ns, standings, |key, show| {
            leanings.get_mut(&key).into_iter().for_each(show);
        })
    }

    #[test]
    fn who_finds_no_room_is_noted_once_there_is() {
        let mut placement = Placement::new(
            ShardId(0),
            Policy { is_on: true, interval_ns: INTERVAL, rate_min: 1000 },
        );
        let mut leanings = vec![Leaning::new(Mono(0)); NOTED_MAX + 1];
        let mut play = |placement: &mut Placement| {
            for (slot, leaning) in leanings.iter_mut().enumerate() {
                (0..=NOTABLE_MAX)
                    .for_each(|_| placement.count(key(slot as u32), leaning, ShardId(1)));
            }
        };
        play(&mut placement);
        assert!(!placement.noted.contains(&key(NOTED_MAX as u32)));
        placement.noted.clear();
        play(&mut placement);
        assert_eq!(placement.noted, [key(NOTED_MAX as u32)]);
    }

    #[test]
    fn a_lone_pair_comes_together_in_one_direction_at_a_time() {
        assert_eq!(decide(0, 10, [40, 30], &[(1000, 0)]), [(key(0), ShardId(1))]);
        assert_eq!(decide(1, 10, [30, 30], &[(1000, 0)]), []);
        assert_eq!(decide(1, 11, [30, 30], &[(1000, 0)]), [(key(0), ShardId(0))]);
        assert_eq!(decide(0, 11, [40, 30], &[(1000, 0)]), []);
    }

    #[test]
    fn a_saturated_pair_goes_to_the_core_that_has_less_to_do() {
        assert_eq!(decide(0, 10, [100, 70], &[(100_000, 0)]).len(), 1);
        assert_eq!(decide(1, 11, [100, 70], &[(100_000, 0)]), []);
    }

    #[test]
    fn few_messages_and_divided_ones_stay() {
        assert_eq!(decide(0, 10, [40, 30], &[(20, 0)]), []);
        assert_eq!(decide(0, 10, [40, 30], &[(500, 500)]), []);
        assert_eq!(decide(0, 10, [40, 30], &[(850, 150)]), []);
        assert_eq!(decide(0, 10, [40, 30], &[(950, 50)]).len(), 1);
    }

    #[test]
    fn many_pairs_do_not_pile_onto_one_core() {
        let pairs = [(1000, 0); 32];
        let chosen = decide(0, 10, [100, 100], &pairs).len();
        assert!((1..=MOVES_AT_ONCE).contains(&chosen), "{chosen}");
        assert_eq!(decide(0, 10, [50, 100], &pairs), []);
        let chosen = decide(0, 10, [30, 30], &pairs).len();
        assert!((1..=MOVES_AT_ONCE).contains(&chosen), "{chosen}");
    }

    #[test]
    fn who_was_moved_stays_longer_each_time() {
        let placement = Placement::new(
            ShardId(0),
            Policy { is_on: true, interval_ns: INTERVAL, rate_min: 1000 },
        );
        assert!(placement.dwell_ns(0) < SECOND && placement.dwell_ns(1) > SECOND);
        assert_eq!(placement.dwell_ns(6), placement.dwell_ns(60));
    }
}
