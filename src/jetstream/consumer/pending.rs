//! What was delivered and not acknowledged, and when it is due again.
//!
//! Slots lie in the order of stream sequences, which is the order of first deliveries; so a new
//! one is always pushed at the end and one is found by its distance from the first, or by a
//! binary search. A slot that is done becomes a gap; gaps at the front are dropped at once and
//! others when they outnumber what lives. 32 bytes each, nothing else per message.
//!
//! First deliveries fall due in the order they were made, so the slots themselves are the queue
//! of those timers. Only a message that is not due in that order (delivered again, delayed, still
//! worked at) has an entry in a heap. Entries of the heap and of the redelivery queue that no
//! longer fit their slot are passed over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Deref;

use super::ConsumerSeq;
use crate::storage::Seq;
use crate::types::Mono;
use crate::types::limits::PENDING_SLOTS_KEPT;

/// Gaps and stale timers that are not worth cleaning up.
const SLACK: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Due in the order of the slots.
    Fresh,
    /// Due as the heap says.
    Timed,
    /// In the queue for redelivery.
    Queued,
    /// Delivered as often as allowed: never again, but not acknowledged either.
    Spent,
    /// Done.
    Gap,
}

/// A message that was delivered and is not done.
#[derive(Clone, Copy, Debug)]
struct Slot {
    seq: Seq,
    /// Of the first delivery.
    consumer_seq: ConsumerSeq,
    due: Mono,
    deliveries: u32,
    state: State,
}

/// What is known of a message that was delivered and is not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub seq: Seq,
    /// Of the first delivery.
    pub consumer_seq: ConsumerSeq,
    pub due: Mono,
    pub deliveries: u32,
    /// Delivered as often as allowed.
    pub is_spent: bool,
    pub is_queued: bool,
}

/// Of a consumer that never delivered anything it is nothing: most of a hundred thousand are idle.
#[derive(Debug, Default)]
pub struct Pending(Option<Box<Deliveries>>);

static NONE: Deliveries = Deliveries::new();

impl Deref for Pending {
    type Target = Deliveries;

    fn deref(&self) -> &Deliveries {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl Pending {
    /// [`Deliveries::add`].
    pub fn add(&mut self, seq: Seq, consumer_seq: ConsumerSeq, due: Mono) -> bool {
        self.0.get_or_insert_default().add(seq, consumer_seq, due)
    }

    /// [`Deliveries::restore`].
    pub fn restore(&mut self, held: &Held) -> bool {
        self.0.get_or_insert_default().restore(held)
    }

    /// [`Deliveries::redeliver`].
    pub fn redeliver(&mut self, seq: Seq, due: Mono) -> Option<u32> {
        self.0.as_mut()?.redeliver(seq, due)
    }

    /// [`Deliveries::postpone`].
    pub fn postpone(&mut self, seq: Seq, due: Mono) -> bool {
        self.0.as_mut().is_some_and(|all| all.postpone(seq, due))
    }

    /// [`Deliveries::queue`].
    pub fn queue(&mut self, seq: Seq) -> bool {
        self.0.as_mut().is_some_and(|all| all.queue(seq))
    }

    /// [`Deliveries::next_queued`].
    pub fn next_queued(&mut self) -> Option<Held> {
        self.0.as_mut()?.next_queued()
    }

    /// [`Deliveries::spend`].
    pub fn spend(&mut self, seq: Seq) -> bool {
        self.0.as_mut().is_some_and(|all| all.spend(seq))
    }

    /// [`Deliveries::remove`].
    pub fn remove(&mut self, seq: Seq) -> Option<Held> {
        self.0.as_mut()?.remove(seq)
    }

    /// [`Deliveries::remove_to`].
    pub fn remove_to(&mut self, seq: Seq, done: impl FnMut(Held)) {
        if let Some(all) = &mut self.0 {
            all.remove_to(seq, done);
        }
    }

    /// [`Deliveries::queue_due`].
    pub fn queue_due(&mut self, now: Mono) {
        if let Some(all) = &mut self.0 {
            all.queue_due(now);
        }
    }

    /// How many displaced messages were looked at before, if there are others by now.
    pub fn look_at_displaced(&mut self, total: u64) -> Option<u64> {
        let all = self.0.as_mut().filter(|all| all.displaced_seen != total)?;
        Some(std::mem::replace(&mut all.displaced_seen, total))
    }

    /// Bytes of memory beside itself.
    pub fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |all| size_of::<Deliveries>() + all.memory())
    }
}

/// What a consumer delivered and waits for.
#[derive(Debug, Default)]
pub struct Deliveries {
    slots: VecDeque<Slot>,
    timers: BinaryHeap<Reverse<(Mono, Seq)>>,
    queue: VecDeque<Seq>,
    /// Slots that wait for an acknowledgement: fresh, timed and queued.
    live: u32,
    queued: u32,
    spent: u32,
    /// Slots, spent or not, of messages delivered more than once.
    redelivered: u32,
    /// The first fresh slot; the number of slots if there is none.
    fresh: u32,
    last_fresh_due: Mono,
    /// Messages that gave way inside the stream and were looked at.
    displaced_seen: u64,
}

impl Deliveries {
    const fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            timers: BinaryHeap::new(),
            queue: VecDeque::new(),
            live: 0,
            queued: 0,
            spent: 0,
            redelivered: 0,
            fresh: 0,
            last_fresh_due: Mono(0),
            displaced_seen: 0,
        }
    }

    /// Messages that wait for an acknowledgement.
    pub fn len(&self) -> usize {
        self.live as usize
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Messages that wait to be delivered again.
    pub fn queued(&self) -> usize {
        self.queued as usize
    }

    /// Messages delivered more than once and not acknowledged.
    pub fn redelivered(&self) -> usize {
        self.redelivered as usize
    }

    pub fn get(&self, seq: Seq) -> Option<Held> {
        let at = self.find(seq)?;
        Some(self.slots[at].held())
    }

    /// All, spent ones too, in the order of their sequences.
    pub fn iter(&self) -> impl Iterator<Item = Held> {
        self.slots.iter().filter(|slot| slot.state != State::Gap).map(Slot::held)
    }

    /// The first that waits for an acknowledgement from `from` on.
    pub fn first_from(&self, from: Seq) -> Option<Held> {
        let at = match self.slots.front() {
            // Acknowledged in order: nothing is in front of it.
            Some(front) if front.seq >= from => 0,
            _ => self.slots.partition_point(|slot| slot.seq < from),
        };
        self.slots.range(at..).find(|slot| slot.is_live()).map(Slot::held)
    }

    /// The first of all slots, spent ones too.
    pub fn first(&self) -> Option<Held> {
        self.slots.front().map(Slot::held)
    }

    /// A message was delivered for the first time. False: its sequence is not above all others.
    pub fn add(&mut self, seq: Seq, consumer_seq: ConsumerSeq, due: Mono) -> bool {
        self.push(Slot { seq, consumer_seq, due, deliveries: 1, state: State::Fresh })
    }

    /// Takes up what another run of the server knew. False: the sequence is not above all others.
    pub fn restore(&mut self, held: &Held) -> bool {
        let Held { seq, consumer_seq, due, deliveries, .. } = *held;
        let state = if held.is_spent { State::Spent } else { State::Fresh };
        self.push(Slot { seq, consumer_seq, due, deliveries, state })
    }

    fn push(&mut self, mut slot: Slot) -> bool {
        if self.slots.back().is_some_and(|last| last.seq >= slot.seq) {
            return false;
        }
        if slot.state == State::Fresh && slot.due < self.last_fresh_due {
            slot.state = State::Timed;
            self.timers.push(Reverse((slot.due, slot.seq)));
        }
        if slot.state == State::Fresh {
            self.last_fresh_due = slot.due;
        } else if self.fresh as usize == self.slots.len() {
            self.fresh += 1;
        }
        self.live += u32::from(slot.state != State::Spent);
        self.spent += u32::from(slot.state == State::Spent);
        self.redelivered += u32::from(slot.deliveries > 1);
        self.slots.push_back(slot);
        true
    }

    /// A message was delivered again; returns how often by now. `None`: it is not pending.
    pub fn redeliver(&mut self, seq: Seq, due: Mono) -> Option<u32> {
        let at = self.find(seq)?;
        if !self.slots[at].is_live() {
            return None;
        }
        self.unqueue(at);
        self.slots[at].deliveries = self.slots[at].deliveries.saturating_add(1);
        self.redelivered += u32::from(self.slots[at].deliveries == 2);
        self.set_timer(at, due);
        Some(self.slots[at].deliveries)
    }

    /// A message is due at another time than thought, and not queued if it was.
    pub fn postpone(&mut self, seq: Seq, due: Mono) -> bool {
        let Some(at) = self.find(seq).filter(|&at| self.slots[at].is_live()) else { return false };
        self.unqueue(at);
        self.set_timer(at, due);
        true
    }

    /// A message is to be delivered again as soon as possible.
    pub fn queue(&mut self, seq: Seq) -> bool {
        let Some(at) = self.find(seq).filter(|&at| self.slots[at].is_live()) else { return false };
        if self.slots[at].state != State::Queued {
            self.set_state(at, State::Queued);
            self.queued += 1;
            self.queue.push_back(seq);
        }
        true
    }

    /// The message to be delivered again next.
    pub fn next_queued(&mut self) -> Option<Held> {
        while let Some(&seq) = self.queue.front() {
            let held = self.get(seq).filter(|held| held.is_queued);
            if held.is_some() {
                return held;
            }
            self.queue.pop_front();
        }
        None
    }

    /// The message will not be delivered again. It stays known until it is acknowledged or gone.
    pub fn spend(&mut self, seq: Seq) -> bool {
        let Some(at) = self.find(seq).filter(|&at| self.slots[at].is_live()) else { return false };
        self.unqueue(at);
        self.set_state(at, State::Spent);
        self.live -= 1;
        self.spent += 1;
        true
    }

    /// The message is done.
    pub fn remove(&mut self, seq: Seq) -> Option<Held> {
        let at = self.find(seq)?;
        let held = self.remove_at(at);
        self.tidy();
        Some(held)
    }

    /// All messages up to `seq` are done; `done` hears of each.
    pub fn remove_to(&mut self, seq: Seq, mut done: impl FnMut(Held)) {
        let mut at = 0;
        while self.slots.get(at).is_some_and(|slot| slot.seq <= seq) {
            if self.slots[at].state != State::Gap {
                done(self.remove_at(at));
            }
            at += 1;
        }
        self.tidy();
    }

    /// When the next message is due; [`Mono::NEVER`] if none is.
    pub fn next_due(&self) -> Mono {
        let fresh = self.slots.get(self.fresh as usize).map_or(Mono::NEVER, |slot| slot.due);
        let timed = self.timers.peek().map_or(Mono::NEVER, |Reverse((due, _))| *due);
        fresh.min(timed)
    }

    /// Queues what is due by now, in the order of sequences.
    pub fn queue_due(&mut self, now: Mono) {
        let from = self.queue.len();
        while let Some(slot) = self.slots.get(self.fresh as usize)
            && slot.due <= now
        {
            let seq = slot.seq;
            self.queue(seq);
        }
        while let Some(&Reverse((due, seq))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
            if self.is_timed(due, seq) {
                self.queue(seq);
            }
        }
        self.queue.make_contiguous()[from..].sort_unstable();
    }

    fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
            + self.timers.capacity() * size_of::<(Mono, Seq)>()
            + self.queue.capacity() * size_of::<Seq>()
    }

    fn find(&self, seq: Seq) -> Option<usize> {
        let first = self.slots.front()?.seq;
        let distance = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        // Sequences ascend, so none lies further from the first than its distance.
        let last = distance.min(self.slots.len() - 1);
        let at = match self.slots[last].seq == seq {
            true => last,
            false => self.slots.binary_search_by_key(&seq, |slot| slot.seq).ok()?,
        };
        (self.slots[at].state != State::Gap).then_some(at)
    }

    fn is_timed(&self, due: Mono, seq: Seq) -> bool {
        let slot = self.find(seq).map(|at| &self.slots[at]);
        slot.is_some_and(|slot| slot.state == State::Timed && slot.due == due)
    }

    fn set_timer(&mut self, at: usize, due: Mono) {
        self.set_state(at, State::Timed);
        self.slots[at].due = due;
        self.timers.push(Reverse((due, self.slots[at].seq)));
        if self.timers.len() > 2 * self.live as usize + SLACK {
            let timers = std::mem::take(&mut self.timers).into_vec();
            let kept = timers.into_iter().filter(|Reverse((due, seq))| self.is_timed(*due, *seq));
            let mut kept: Vec<_> = kept.collect();
            kept.sort_unstable();
            kept.dedup();
            self.timers = BinaryHeap::from(kept);
        }
    }

    fn unqueue(&mut self, at: usize) {
        if self.slots[at].state != State::Queued {
            return;
        }
        self.queued -= 1;
        if self.queue.front() == Some(&self.slots[at].seq) {
            self.queue.pop_front();
        }
    }

    fn set_state(&mut self, at: usize, state: State) {
        self.slots[at].state = state;
        while self.slots.get(self.fresh as usize).is_some_and(|slot| slot.state != State::Fresh) {
            self.fresh += 1;
        }
    }

    fn remove_at(&mut self, at: usize) -> Held {
        let held = self.slots[at].held();
        self.unqueue(at);
        if held.is_spent {
            self.spent -= 1;
        } else {
            self.live -= 1;
        }
        self.redelivered -= u32::from(held.deliveries > 1);
        self.set_state(at, State::Gap);
        held
    }

    /// Drops gaps: those in front always, the others when they outnumber the rest.
    fn tidy(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.state == State::Gap) {
            self.slots.pop_front();
            self.fresh = self.fresh.saturating_sub(1);
        }
        let kept = (self.live + self.spent) as usize;
        if self.slots.len() > 2 * kept + SLACK {
            self.slots.retain(|slot| slot.state != State::Gap);
            let fresh = self.slots.iter().position(|slot| slot.state == State::Fresh);
            self.fresh = fresh.unwrap_or(self.slots.len()) as u32;
        }
        if kept == 0 {
            self.timers.clear();
            self.queue.clear();
            self.last_fresh_due = Mono(0);
            if self.slots.capacity() > PENDING_SLOTS_KEPT {
                *self = Self::default();
            }
        }
    }
}

impl Slot {
    fn held(&self) -> Held {
        Held {
            seq: self.seq,
            consumer_seq: self.consumer_seq,
            due: self.due,
            deliveries: self.deliveries,
            is_spent: self.state == State::Spent,
            is_queued: self.state == State::Queued,
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Fresh | State::Timed | State::Queued)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn seqs(pending: &Pending) -> Vec<u64> {
        pending.iter().map(|held| held.seq.0).collect()
    }

    fn filled(seqs: &[u64]) -> Pending {
        let mut pending = Pending::default();
        for (at, &seq) in seqs.iter().enumerate() {
            pending.add(Seq(seq), ConsumerSeq(at as u64 + 1), Mono(100 + at as u64));
        }
        pending
    }

    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 32);
    }

    #[test]
    fn first_deliveries_fall_due_in_order() {
        let mut pending = filled(&[1, 5, 9]);
        assert_eq!(pending.next_due(), Mono(100));
        pending.remove(Seq(1));
        assert_eq!(pending.next_due(), Mono(101));
        pending.queue_due(Mono(101));
        assert_eq!((pending.queued(), pending.next_due()), (1, Mono(102)));
        assert_eq!(pending.next_queued().map(|held| held.seq), Some(Seq(5)));
        assert_eq!(pending.redeliver(Seq(5), Mono(201)), Some(2));
        assert_eq!((pending.queued(), pending.redelivered()), (0, 1));
        assert!(pending.next_queued().is_none());
        pending.queue_due(Mono(300));
        assert_eq!(pending.next_queued().map(|held| held.seq), Some(Seq(5)));
        assert_eq!((pending.queued(), pending.next_due()), (2, Mono::NEVER));
    }

    #[test]
    fn what_is_due_at_once_is_queued_by_sequence() {
        let mut pending = filled(&[1, 2, 3, 4]);
        pending.postpone(Seq(4), Mono(50));
        pending.postpone(Seq(1), Mono(150));
        pending.queue_due(Mono(200));
        let queue: Vec<u64> = pending.queue.iter().map(|seq| seq.0).collect();
        assert_eq!(queue, [1, 2, 3, 4]);
    }

    #[test]
    fn what_was_spent_stays_known() {
        let mut pending = filled(&[1, 2, 3]);
        pending.queue(Seq(2));
        assert!(pending.spend(Seq(2)));
        assert!(!pending.spend(Seq(2)));
        assert_eq!((pending.len(), pending.queued()), (2, 0));
        assert_eq!(pending.first_from(Seq(2)).map(|held| held.seq), Some(Seq(3)));
        assert!(pending.remove(Seq(2)).is_some_and(|held| held.is_spent));
        assert_eq!(seqs(&pending), [1, 3]);
    }

    #[test]
    fn gaps_behind_an_old_message_are_dropped() {
        let mut pending = Pending::default();
        for seq in 1..=10_000 {
            pending.add(Seq(seq), ConsumerSeq(seq), Mono(seq));
            if seq > 1 {
                pending.remove(Seq(seq));
            }
        }
        assert_eq!((pending.len(), seqs(&pending)), (1, vec![1]));
        assert!(pending.memory() < 16 * 1024, "{}", pending.memory());
    }

    #[test]
    fn timers_changed_again_and_again_stay_few() {
        let mut pending = filled(&[1]);
        for due in 0..10_000 {
            pending.postpone(Seq(1), Mono(1000 + due));
        }
        assert!(pending.timers.len() <= 2 + SLACK);
        pending.queue_due(Mono(10_998));
        assert_eq!(pending.queued(), 0);
        pending.queue_due(Mono(10_999));
        assert_eq!(pending.queued(), 1);
    }

    /// Against a map that is searched from end to end.
    #[test]
    fn as_a_plain_map_would() {
        for seed in 1..200u64 {
            let mut random = seed;
            let mut next = move |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            let mut pending = Pending::default();
            let mut plain: BTreeMap<u64, Held> = BTreeMap::new();
            let (mut seq, mut now) = (0u64, 0u64);
            for _ in 0..300 {
                now += next(5);
                let any = Seq(seq.saturating_sub(next(20)));
                match next(8) {
                    0..3 => {
                        seq += 1 + next(3);
                        pending.add(Seq(seq), ConsumerSeq(seq), Mono(now + 30));
                        plain.insert(seq, pending.get(Seq(seq)).unwrap());
                    }
                    3 => {
                        assert_eq!(
                            pending.remove(any).map(|held| held.seq),
                            plain.remove(&any.0).map(|held| held.seq)
                        );
                    }
                    4 => {
                        let due = Mono(now + next(60));
                        if pending.postpone(any, due) {
                            let held = plain.get_mut(&any.0).unwrap();
                            (held.due, held.is_queued) = (due, false);
                        }
                    }
                    5 => {
                        if let Some(held) = pending.next_queued() {
                            assert!(plain[&held.seq.0].is_queued);
                            pending.redeliver(held.seq, Mono(now + 30));
                            let held = plain.get_mut(&held.seq.0).unwrap();
                            (held.due, held.is_queued) = (Mono(now + 30), false);
                            held.deliveries += 1;
                        }
                    }
                    6 => {
                        if pending.spend(any) {
                            let held = plain.get_mut(&any.0).unwrap();
                            (held.is_spent, held.is_queued) = (true, false);
                        }
                    }
                    _ => {
                        let to = Seq(seq.saturating_sub(10 + next(10)));
                        let mut done = Vec::new();
                        pending.remove_to(to, |held| done.push(held.seq.0));
                        let kept = plain.split_off(&(to.0 + 1));
                        assert_eq!(done, plain.into_keys().collect::<Vec<_>>());
                        plain = kept;
                    }
                }
                pending.queue_due(Mono(now));
                for held in plain.values_mut().filter(|held| !held.is_spent) {
                    held.is_queued |= held.due.0 <= now;
                }
                let live = plain.values().filter(|held| !held.is_spent);
                let next_due = live.clone().filter(|held| !held.is_queued).map(|held| held.due);
                assert!(pending.next_due() <= next_due.min().unwrap_or(Mono::NEVER), "{seed}");
                assert_eq!(pending.len(), live.count(), "{seed}");
                assert_eq!(pending.queued(), plain.values().filter(|h| h.is_queued).count());
                assert_eq!(
                    pending.redelivered(),
                    plain.values().filter(|h| h.deliveries > 1).count()
                );
                assert!(pending.iter().eq(plain.values().copied()), "{seed}");
            }
        }
    }
}
