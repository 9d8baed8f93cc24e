//! What a consumer must not forget: how far it is, and what it delivered that is not done.
//!
//! Everything that changes it is a [`Step`]. Steps are applied as they happen and, for a durable
//! consumer, written down; applied again in order they lead to the same state.

use super::super::config::AckPolicy;
use super::super::mutation::{self, Mutation};
use super::ConsumerSeq;
use super::pending::{Held, Pending};
use crate::storage::Seq;
use crate::types::Mono;

/// A change of the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Delivered for the first time.
    Deliver(Seq),
    /// Delivered again.
    Again(Seq),
    /// Acknowledged, terminated, or gone from the stream.
    Done(Seq),
    /// Everything delivered up to here is acknowledged.
    DoneTo(Seq, ConsumerSeq),
    /// Delivered as often as allowed.
    Spend(Seq),
    /// Due at another time.
    Postpone(Seq, Mono),
    /// Messages before this one are gone from the stream.
    Trim(Seq),
    /// Messages before this one were looked at, and are not for this consumer.
    Look(Seq),
}

/// Sequences of both kinds that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pair {
    pub consumer: ConsumerSeq,
    pub stream: Seq,
}

#[derive(Debug)]
pub struct State {
    /// The next message to look at; `Seq(0)` while where to begin is still being looked up.
    pub cursor: Seq,
    /// Of the last delivery.
    pub delivered: ConsumerSeq,
    /// Everything delivered up to here is done.
    pub floor: Pair,
    pub pending: Pending,
    ack: AckPolicy,
}

impl State {
    /// Begins at `cursor`.
    pub fn new(ack: AckPolicy, cursor: Seq) -> Self {
        let floor = Pair { consumer: ConsumerSeq(0), stream: cursor.previous() };
        Self { cursor, delivered: ConsumerSeq(0), floor, pending: Pending::default(), ack }
    }

    /// Deliveries are kept until they are acknowledged.
    pub fn tracks(&self) -> bool {
        self.ack != AckPolicy::None
    }

    /// The last message looked at.
    pub fn last_stream_seq(&self) -> Seq {
        self.cursor.previous()
    }

    /// Applies a step. `due`: when a message delivered so often by this step is due again.
    ///
    /// A step that does not fit the state, as damaged records may hold, changes nothing that
    /// could break an invariant.
    pub fn apply(&mut self, step: Step, due: impl Fn(u32) -> Mono) {
        match step {
            Step::Deliver(seq) => self.deliver(seq, due(1)),
            Step::Again(seq) => {
                self.delivered = self.delivered.next();
                let deliveries = self.pending.get(seq).map_or(1, |held| held.deliveries);
                self.pending.redeliver(seq, due(deliveries.saturating_add(1)));
            }
            Step::Done(seq) => {
                let held = self.pending.remove(seq);
                if let Some(held) = held.filter(|held| !held.is_spent) {
                    self.raise_floor(held);
                }
            }
            Step::DoneTo(seq, consumer_seq) => {
                self.pending.remove_to(seq, |_| {});
                self.floor = Pair { consumer: consumer_seq, stream: seq };
            }
            Step::Spend(seq) => {
                self.pending.spend(seq);
            }
            Step::Postpone(seq, due) => {
                self.pending.postpone(seq, due);
            }
            Step::Trim(first) => self.trim(first),
            Step::Look(next) => self.cursor = self.cursor.max(next),
        }
    }

    fn deliver(&mut self, seq: Seq, due: Mono) {
        self.delivered = self.delivered.next();
        if seq < self.cursor {
            return;
        }
        self.cursor = seq.next();
        if self.tracks() {
            self.pending.add(seq, self.delivered, due);
        } else {
            self.floor = Pair { consumer: self.delivered, stream: seq };
        }
    }

    /// A pending message is done. The floor moves when it was the one right above.
    fn raise_floor(&mut self, done: Held) {
        if mutation::is(Mutation::FloorPastGap) {
            self.floor = Pair { consumer: done.consumer_seq, stream: done.seq };
        } else if self.pending.is_empty() {
            self.floor = Pair { consumer: self.delivered, stream: self.last_stream_seq() };
        } else if done.consumer_seq == self.floor.consumer.next() && !self.has_older(done.seq) {
            let next = self.pending.first_from(done.seq);
            self.floor =
                next.map_or(Pair { consumer: done.consumer_seq, stream: done.seq }, |next| Pair {
                    consumer: next.consumer_seq.previous(),
                    stream: next.seq.previous(),
                });
        }
    }

    /// Whether one before it is not done. Only where acknowledgements are of all the numbers do
    /// not tell: such a floor has the number of a delivery that may have been a later one.
    fn has_older(&self, seq: Seq) -> bool {
        self.ack != AckPolicy::Explicit
            && self.pending.first_from(Seq(0)).is_some_and(|first| first.seq < seq)
    }

    fn trim(&mut self, first: Seq) {
        self.cursor = self.cursor.max(first);
        let mut consumer = self.floor.consumer;
        self.pending.remove_to(first.previous(), |held| consumer = consumer.max(held.consumer_seq));
        self.floor = Pair { consumer, stream: self.floor.stream.max(first.previous()) };
        if self.pending.is_empty() {
            self.floor = Pair { consumer: self.delivered, stream: self.last_stream_seq() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(state: &mut State, steps: &[Step]) {
        for step in steps {
            state.apply(*step, |_| Mono(1));
        }
    }

    fn state(ack: AckPolicy, steps: &[Step]) -> State {
        let mut state = State::new(ack, Seq(1));
        apply(&mut state, steps);
        state
    }

    fn floor(state: &State) -> (u64, u64) {
        (state.floor.consumer.0, state.floor.stream.0)
    }

    use Step::{Again, Deliver, Done, DoneTo, Spend, Trim};

    #[test]
    fn the_floor_follows_explicit_acks() {
        let delivered = [Deliver(Seq(1)), Deliver(Seq(2)), Deliver(Seq(5))];
        let mut state = state(AckPolicy::Explicit, &delivered);
        let rows: &[(&[Step], (u64, u64))] = &[
            (&[Done(Seq(2))], (0, 0)),
            (&[Done(Seq(1))], (2, 4)),
            (&[Again(Seq(5)), Deliver(Seq(6))], (2, 4)),
            (&[Done(Seq(5))], (4, 5)),
            (&[Done(Seq(6))], (5, 6)),
            (&[Done(Seq(6))], (5, 6)),
        ];
        for (steps, expected) in rows {
            apply(&mut state, steps);
            assert_eq!(floor(&state), *expected, "{steps:?}");
        }
    }

    /// As 2.15.1: acknowledging a message that was delivered as often as allowed moves nothing;
    /// the next that leaves nothing pending takes the floor to the end.
    #[test]
    fn spent_messages_hold_the_floor_until_all_is_done() {
        let steps = [Deliver(Seq(1)), Deliver(Seq(2)), Spend(Seq(1)), Spend(Seq(2)), Done(Seq(1))];
        let mut state = state(AckPolicy::Explicit, &steps);
        assert_eq!((floor(&state), state.pending.len()), ((0, 0), 0));
        apply(&mut state, &[Deliver(Seq(3)), Done(Seq(3))]);
        assert_eq!(floor(&state), (3, 3));
    }

    #[test]
    fn the_floor_is_what_acks_of_all_say() {
        let delivered: Vec<Step> = (1..=5).map(|seq| Deliver(Seq(seq))).collect();
        let mut state = state(AckPolicy::All, &delivered);
        apply(&mut state, &[DoneTo(Seq(3), ConsumerSeq(3))]);
        assert_eq!((floor(&state), state.pending.len()), ((3, 3), 2));
    }

    /// The second delivery of 1 has the number before that of 3, but 2 is still out.
    #[test]
    fn a_deleted_message_takes_no_floor_past_an_older_one() {
        let steps = [
            Deliver(Seq(1)),
            Deliver(Seq(2)),
            Again(Seq(1)),
            Deliver(Seq(3)),
            Deliver(Seq(4)),
            DoneTo(Seq(1), ConsumerSeq(3)),
            Done(Seq(3)),
        ];
        let state = state(AckPolicy::All, &steps);
        assert_eq!((floor(&state), state.pending.len()), ((3, 1), 2));
    }

    #[test]
    fn without_acks_the_floor_is_the_last_delivery() {
        let state = state(AckPolicy::None, &[Deliver(Seq(2)), Deliver(Seq(7))]);
        assert_eq!((floor(&state), state.pending.len(), state.cursor), ((2, 7), 0, Seq(8)));
    }

    #[test]
    fn a_trim_takes_cursor_and_floor_along() {
        let mut state = state(AckPolicy::Explicit, &[Deliver(Seq(1)), Deliver(Seq(4))]);
        apply(&mut state, &[Trim(Seq(4))]);
        assert_eq!((floor(&state), state.pending.len()), ((1, 3), 1));
        apply(&mut state, &[Trim(Seq(11))]);
        assert_eq!((floor(&state), state.cursor), ((2, 10), Seq(11)));
    }
}
