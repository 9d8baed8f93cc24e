//! Who gets one message, and which member of each queue group.

use std::rc::Rc;

use super::subscription::SubKey;
use crate::types::ShardId;
use crate::types::ShardSet;

/// Good until the next `subscribe`. A key is here once: to end the subscription that was just
/// delivered to is fine, to use its key again is not.
#[derive(Default, Debug)]
pub struct Fanout {
    /// Each gets a copy; a client may be here with several subscriptions.
    pub plain: Vec<SubKey>,
    /// Other shards with plain interest. One too many costs a frame that is discarded there.
    pub remote: ShardSet,
    pub groups: Vec<GroupFanout>,
    /// Emptied groups, kept for their allocations.
    spare: Vec<GroupFanout>,
}

/// All members of one queue group that match, over all their patterns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupFanout {
    pub queue: Rc<[u8]>,
    pub local: Vec<SubKey>,
    /// Members on other shards: a shard once, its count never 0.
    pub remote: Vec<(ShardId, u32)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pick {
    Local(SubKey),
    Remote(ShardId),
}

impl Fanout {
    /// Nobody wants it, here or elsewhere.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.remote.is_empty() && self.groups.is_empty()
    }

    /// Subscriptions of this shard, plain ones and members of groups.
    pub fn locals(&self) -> impl Iterator<Item = SubKey> {
        self.plain.iter().chain(self.groups.iter().flat_map(|group| &group.local)).copied()
    }

    /// Whether another shard may get it.
    pub fn reaches_others(&self) -> bool {
        !self.remote.is_empty() || self.groups.iter().any(|group| !group.remote.is_empty())
    }

    pub fn reaches(&self, shard: ShardId) -> bool {
        let in_group = |group: &GroupFanout| group.remote.iter().any(|(other, _)| *other == shard);
        self.remote.contains(shard) || self.groups.iter().any(in_group)
    }

    /// The group that a frame from another core names.
    pub fn group(&self, queue: &[u8]) -> Option<&GroupFanout> {
        self.groups.iter().find(|group| *group.queue == *queue)
    }

    /// Subscriptions, groups and shards: the size `/subsz` shows and the cache pays for.
    pub fn len(&self) -> usize {
        self.plain.len() + self.remote.len() + self.groups.len()
    }

    /// Entries held in memory.
    pub(super) fn weight(&self) -> usize {
        let groups = self.groups.iter().map(|group| 8 + group.local.len() + group.remote.len());
        self.plain.len() + groups.sum::<usize>()
    }

    pub(super) fn clear(&mut self) {
        self.plain.clear();
        self.remote = ShardSet::default();
        self.spare.append(&mut self.groups);
    }

    /// Gives back what a long-lived fan-out does not need.
    pub(super) fn shrink(&mut self) {
        self.plain.shrink_to_fit();
        self.spare = Vec::new();
        self.groups.shrink_to_fit();
        for group in &mut self.groups {
            group.local.shrink_to_fit();
            group.remote.shrink_to_fit();
        }
    }

    pub(super) fn open_group(&mut self, queue: &Rc<[u8]>) -> &mut GroupFanout {
        let group = match self.spare.pop() {
            Some(mut group) => {
                group.queue = Rc::clone(queue);
                group.local.clear();
                group.remote.clear();
                group
            }
            None => GroupFanout { queue: Rc::clone(queue), local: Vec::new(), remote: Vec::new() },
        };
        self.groups.push(group);
        self.groups.last_mut().expect("pushed above")
    }
}

impl GroupFanout {
    /// One member of all, each as likely as any other, without those that `exclude` names (the
    /// publisher's own where echo is off). `random` is 64 random bits.
    #[inline]
    pub fn pick(&self, random: u64, exclude: impl Fn(SubKey) -> bool) -> Option<Pick> {
        self.draw(random, true, ShardSet::default(), exclude)
    }

    /// For a frame that another core sent to a member here.
    #[inline]
    pub fn pick_local(&self, random: u64, exclude: impl Fn(SubKey) -> bool) -> Option<SubKey> {
        match self.draw(random, true, ShardSet::ALL, exclude)? {
            Pick::Local(sub) => Some(sub),
            Pick::Remote(_) => None,
        }
    }

    /// For a frame that found no member where it was sent: among the shards not in `tried`, of
    /// which `here` is the one that asks.
    pub fn pick_among(
        &self,
        random: u64,
        here: ShardId,
        tried: ShardSet,
        exclude: impl Fn(SubKey) -> bool,
    ) -> Option<Pick> {
        self.draw(random, !tried.contains(here), tried, exclude)
    }

    /// Draws among all candidates, then again among the rest if an excluded one came up: still
    /// uniform, and the members are looked through only then.
    fn draw(
        &self,
        random: u64,
        here: bool,
        tried: ShardSet,
        exclude: impl Fn(SubKey) -> bool,
    ) -> Option<Pick> {
        let local: &[SubKey] = if here { &self.local } else { &[] };
        let remote = self.remote.iter().filter(|(shard, _)| !tried.contains(*shard));
        let elsewhere: u64 = remote.map(|&(_, members)| u64::from(members)).sum();
        let at = below(random, local.len() as u64 + elsewhere)?;
        match local.get(at as usize) {
            None => self.remote_at(at - local.len() as u64, tried),
            Some(&sub) if !exclude(sub) => Some(Pick::Local(sub)),
            Some(_) => {
                let allowed = || local.iter().filter(|&&sub| !exclude(sub));
                let count = allowed().count() as u64;
                let at = below(remix(random), count + elsewhere)?;
                match allowed().nth(at as usize) {
                    Some(&sub) => Some(Pick::Local(sub)),
                    None => self.remote_at(at - count, tried),
                }
            }
        }
    }

    fn remote_at(&self, mut at: u64, tried: ShardSet) -> Option<Pick> {
        for &(shard, members) in &self.remote {
            if tried.contains(shard) {
                continue;
            }
            if at < u64::from(members) {
                return Some(Pick::Remote(shard));
            }
            at -= u64::from(members);
        }
        None
    }

    pub(super) fn add_remote(&mut self, shard: ShardId, members: u32) {
        match self.remote.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, count)) => *count = count.saturating_add(members),
            None => self.remote.push((shard, members)),
        }
    }
}

/// `0..bound` from 64 random bits, without a division; `None` where `bound` is 0.
#[inline]
fn below(random: u64, bound: u64) -> Option<u64> {
    (bound != 0).then(|| ((u128::from(random) * u128::from(bound)) >> 64) as u64)
}

/// Random bits of their own from those already used (the finaliser of SplitMix64).
fn remix(random: u64) -> u64 {
    let mixed = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each candidate came up: local subs by key, shards from 100 on.
    fn histogram(draws: u64, pick: impl Fn(u64) -> Option<Pick>) -> Vec<(u32, u64)> {
        let mut counts = std::collections::BTreeMap::new();
        let mut random = 0x1234_5678;
        for _ in 0..draws {
            random = remix(random);
            let target = match pick(random) {
                Some(Pick::Local(sub)) => sub.0,
                Some(Pick::Remote(shard)) => 100 + u32::from(shard.0),
                None => u32::MAX,
            };
            *counts.entry(target).or_default() += 1;
        }
        counts.into_iter().collect()
    }

    fn assert_shares(counts: &[(u32, u64)], shares: &[(u32, u64)]) {
        let draws: u64 = counts.iter().map(|(_, count)| count).sum();
        let weights: u64 = shares.iter().map(|(_, share)| share).sum();
        assert_eq!(counts.len(), shares.len(), "{counts:?}");
        let mut chi_square = 0.0;
        for (&(target, count), &(expected_target, share)) in counts.iter().zip(shares) {
            assert_eq!(target, expected_target);
            let expected = (draws * share) as f64 / weights as f64;
            chi_square += (count as f64 - expected).powi(2) / expected;
        }
        // The 99.99 % quantile for up to 6 degrees of freedom.
        assert!(chi_square < 27.9, "{chi_square} {counts:?}");
    }

    fn group() -> GroupFanout {
        GroupFanout {
            queue: b"q"[..].into(),
            local: (0..4).map(SubKey).collect(),
            remote: vec![(ShardId(2), 5), (ShardId(5), 1)],
        }
    }

    #[test]
    fn every_member_is_as_likely_as_any_other() {
        let (group, none) = (group(), |_: SubKey| false);
        let all = [(0, 1), (1, 1), (2, 1), (3, 1), (102, 5), (105, 1)];
        assert_shares(&histogram(60_000, |random| group.pick(random, none)), &all);
        let local = |random| group.pick_local(random, none).map(Pick::Local);
        assert_shares(&histogram(60_000, local), &all[..4]);
    }

    #[test]
    fn the_excluded_are_never_picked_and_the_rest_stay_even() {
        let (group, odd) = (group(), |sub: SubKey| sub.0 % 2 == 1);
        let counts = histogram(60_000, |random| group.pick(random, odd));
        assert_shares(&counts, &[(0, 1), (2, 1), (102, 5), (105, 1)]);
        let everyone = |_: SubKey| true;
        let counts = histogram(6_000, |random| group.pick(random, everyone));
        assert_shares(&counts, &[(102, 5), (105, 1)]);
        assert_eq!(group.pick_local(7, everyone), None);
    }

    #[test]
    fn shards_already_tried_are_passed_over() {
        let (group, none) = (group(), |_: SubKey| false);
        let tried = |shards: &[u16]| {
            let mut set = ShardSet::default();
            shards.iter().for_each(|&shard| set.insert(ShardId(shard)));
            set
        };
        let here = ShardId(0);
        let pick = |random, shards| group.pick_among(random, here, tried(shards), none);
        assert_shares(&histogram(6_000, |random| pick(random, &[0])), &[(102, 5), (105, 1)]);
        assert_shares(&histogram(6_000, |random| pick(random, &[0, 2])), &[(105, 1)]);
        assert_eq!(pick(9, &[0, 2, 5]), None);
        let counts = histogram(6_000, |random| pick(random, &[2]));
        assert_shares(&counts, &[(0, 1), (1, 1), (2, 1), (3, 1), (105, 1)]);
    }
}
