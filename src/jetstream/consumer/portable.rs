//! A consumer as it travels in snapshots.

use super::super::config::{ConsumerConfig, DeliverPolicy};
use super::super::snapshot::{ConsumerProgress, ConsumerSnapshot, PendingMessage, SequencePair};
use super::pending::Held;
use super::state::Pair;
use super::*;

impl Consumer {
    /// What a snapshot of messages up to `last` tells of it.
    pub fn snapshot(&self, now: Now, last: Seq) -> ConsumerSnapshot {
        let pair = |pair: Pair| SequencePair {
            consumer_seq: pair.consumer.0,
            stream_seq: pair.stream.min(last).0,
        };
        let State { delivered, floor, pending, .. } = &self.state;
        let at = Pair { consumer: *delivered, stream: self.state.last_stream_seq() };
        let mut progress = ConsumerProgress {
            delivered: pair(at),
            ack_floor: pair(*floor),
            ..ConsumerProgress::default()
        };
        for held in pending.iter().filter(|held| held.seq <= last) {
            if held.deliveries > 1 {
                progress.redelivered.insert(held.seq.0, u64::from(held.deliveries - 1));
            }
            if !held.is_spent {
                let message = PendingMessage {
                    sequence: held.consumer_seq.0,
                    timestamp: self.delivered_at(now, &held),
                };
                progress.pending.insert(held.seq.0, message);
            }
        }
        ConsumerSnapshot { config: self.config(), progress }
    }

    /// When a message was delivered last, as far as when it is due tells it.
    fn delivered_at(&self, now: Now, held: &Held) -> i64 {
        let wait = self.settings.wait(held.deliveries);
        // Without a wait it is never due.
        let at = match wait {
            u64::MAX => now.wall.0,
            wait => now.wall_at(held.due).0.saturating_sub(wait),
        };
        i64::try_from(at).unwrap_or(i64::MAX)
    }

    /// A consumer out of a snapshot. Its configuration was checked and completed; `last` is the
    /// stream's last message. What does not fit together is left out, so at worst messages are
    /// delivered again. A poll has to follow.
    pub fn from_snapshot(
        name: &str,
        config: &ConsumerConfig,
        progress: &ConsumerProgress,
        home: &Home<'_>,
        last: Seq,
        now: Now,
    ) -> Self {
        let settings = Settings::of(config);
        let is_untouched = progress.delivered.consumer_seq == 0;
        // The list it was to deliver is not told: it begins anew.
        let is_lost = is_untouched && config.deliver_policy == DeliverPolicy::LastPerSubject;
        let mut state = State::new(config.ack_policy, Seq(0));
        if !is_lost {
            fill(&mut state, progress, &settings, last, now);
        }
        let start = state.cursor;
        let mut consumer = Self::of_state(name, config, home, now, state);
        consumer.start = start;
        consumer.journal = home.is_durable.then(Journal::new);
        consumer.is_pause_told = consumer.is_paused(now);
        consumer
    }
}

fn fill(state: &mut State, progress: &ConsumerProgress, settings: &Settings, last: Seq, now: Now) {
    let ConsumerProgress { delivered, ack_floor, pending, redelivered } = progress;
    let at = Seq(delivered.stream_seq).min(last);
    state.cursor = at.next();
    state.delivered = ConsumerSeq(delivered.consumer_seq);
    let stream = Seq(ack_floor.stream_seq).min(at);
    state.floor = Pair { consumer: ConsumerSeq(ack_floor.consumer_seq), stream };
    if !state.tracks() {
        return;
    }
    let spent = redelivered.keys().filter(|seq| !pending.contains_key(seq));
    let mut seqs: Vec<u64> = pending.keys().chain(spent).copied().collect();
    seqs.sort_unstable();
    for seq in seqs.into_iter().map(Seq).filter(|seq| stream < *seq && *seq <= at) {
        let again = redelivered.get(&seq.0).copied().unwrap_or(0);
        let deliveries = u32::try_from(again.saturating_add(1)).unwrap_or(u32::MAX);
        let message = pending.get(&seq.0);
        if message.is_none() && deliveries < settings.max_deliver {
            continue;
        }
        let message = message.copied().unwrap_or_default();
        let wait = settings.wait(deliveries);
        let due = u64::try_from(message.timestamp).unwrap_or(0).saturating_add(wait);
        let due = match due.checked_sub(now.wall.0) {
            Some(later) => now.mono.plus(later),
            None => now.mono,
        };
        state.pending.restore(&Held {
            seq,
            consumer_seq: ConsumerSeq(message.sequence),
            due,
            deliveries,
            is_spent: !pending.contains_key(&seq.0),
            is_queued: false,
        });
    }
}
