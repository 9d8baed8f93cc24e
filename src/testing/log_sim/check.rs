//! The oracle's judgement.

use std::collections::{BTreeMap, BTreeSet};

use crate::storage::{Health, Lsn, Message, Seq, StreamId, load_values};

use super::model::{ModelKey, ModelMessage, ModelStream};
use super::world::{World, tell};

/// By stream and key: the parts of the value.
type Values = BTreeMap<StreamId, BTreeMap<Vec<u8>, Vec<Vec<u8>>>>;

/// What a reader holds of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
    saved: u32,
}

pub(super) fn owned(message: &Message<'_>) -> Seen {
    Seen {
        subject: message.subject.to_vec(),
        headers: message.headers.to_vec(),
        payload: message.payload.to_vec(),
        saved: message.saved,
    }
}

impl World {
    /// A reader was given a message: it must be the one published, and stay.
    pub(super) fn seen(&mut self, stream: StreamId, seq: Seq, message: &Seen) {
        self.stats.read += 1;
        let seed = self.seed;
        let Some(model) = self.model.streams.get_mut(&stream) else { return };
        let Some(known) = model.messages.get_mut(&seq) else {
            panic!("seed {seed}: {stream:?} {seq:?} was read and never published");
        };
        let same = known.subject == message.subject
            && known.headers == message.headers
            && known.payload == message.payload
            && known.saved() == message.saved;
        assert!(same, "seed {seed}: {stream:?} {seq:?} is not what was published");
        known.is_known = true;
    }

    /// After a restart: everything told is there, nothing else is, and from here on what is there
    /// was told.
    pub(super) fn check(&mut self) {
        self.settle_down();
        assert_eq!(self.log.health(), Health::Running, "seed {}", self.seed);
        let ids: Vec<StreamId> = self.model.streams.keys().copied().collect();
        let present: BTreeSet<StreamId> = self.log.streams().map(|(id, _)| id).collect();
        for id in &present {
            assert!(ids.contains(id), "seed {}: {id:?} was never made", self.seed);
        }
        let mut values = self.read_keys();
        for id in ids {
            let found = self.read_all(id);
            let keys = values.remove(&id).unwrap_or_default();
            let model = self.model.streams.remove(&id).expect("it is one of the keys");
            if let Some(kept) = self.check_stream(id, model, &found, &keys) {
                self.model.streams.insert(id, kept);
            }
        }
        self.model.settled = self.log.settled();
        self.check_accounts();
    }

    fn read_all(&mut self, stream: StreamId) -> BTreeMap<Seq, Seen> {
        let mut found = BTreeMap::new();
        let mut from = Seq(0);
        while let Ok(Some(op)) = self.log.read(stream, from, 1 << 19) {
            for _ in 0..100_000 {
                for effect in self.log.take_effects() {
                    self.disk.push(effect);
                }
                self.finish_io();
                if let Some(run) = self.log.take_read(op) {
                    let seed = self.seed;
                    let run = run.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
                    for entry in run.entries() {
                        let message = run.message(entry).unwrap_or_else(|error| {
                            panic!("seed {seed}: {stream:?} {entry:?}: {error:?}")
                        });
                        found.insert(entry.seq, owned(&message));
                        from = entry.seq.next();
                    }
                    break;
                }
            }
        }
        found
    }

    /// As a start-up does.
    fn read_keys(&mut self) -> Values {
        let Self { log, disk, now, .. } = self;
        let loaded = load_values(log, |log| {
            for effect in log.take_effects() {
                disk.push(effect);
            }
            if let Some(outcome) = disk.finish_one() {
                tell(log, outcome, *now);
            }
            Ok::<(), ()>(())
        });
        let mut values = Values::new();
        for value in loaded.expect("the disk does not fail") {
            assert_eq!(value.error, None, "seed {}", self.seed);
            let index = self.log.stream(value.stream).expect("its key is in the index");
            let state = index.keys.get(&value.key).expect("it was found there");
            let parts = state.has_state().then_some(value.state).into_iter().chain(value.deltas);
            values.entry(value.stream).or_default().insert(value.key.into(), parts.collect());
        }
        values
    }

    /// The stream as it must be taken to be from now on, or none if it is gone.
    fn check_stream(
        &mut self,
        id: StreamId,
        mut model: ModelStream,
        found: &BTreeMap<Seq, Seen>,
        keys: &BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    ) -> Option<ModelStream> {
        let seed = self.seed;
        let settled = self.model.settled;
        let index = self.log.stream(id);
        if let Some(lsn) = model.dropped {
            if lsn <= settled {
                assert!(index.is_none(), "seed {seed}: {id:?} was deleted and is back");
            }
            index?;
            model.dropped = None;
        }
        let (first_seq, last_seq) =
            index.map_or((Seq(1), Seq(0)), |index| (index.first_seq(), index.last_seq()));
        check_messages(seed, id, &model, found, settled);
        let highest_known = model.messages.iter().filter(|(_, message)| message.is_known);
        let highest_known = highest_known.map(|(seq, _)| *seq).max().unwrap_or_default();
        let highest_known = highest_known.max(model.last_seq_min);
        assert!(last_seq >= highest_known, "seed {seed}: {id:?}: the last sequence went back");
        assert!(last_seq <= model.last_seq, "seed {seed}: {id:?}: sequences from nowhere");
        assert!(
            first_seq >= model.first_seq,
            "seed {seed}: {id:?}: first went back from {:?} to {first_seq:?}",
            model.first_seq
        );
        for (key, key_model) in &mut model.keys {
            let value = keys.get(key).cloned();
            let allowed = key_model.allowed(settled);
            assert!(
                allowed.contains(&value),
                "seed {seed}: {id:?} key {key:?}: {value:?} is none of {allowed:?}"
            );
            *key_model = ModelKey { base: value, changes: Vec::new() };
        }
        model.messages.retain(|seq, _| found.contains_key(seq));
        for message in model.messages.values_mut() {
            message.is_known = true;
            message.removal = None;
            message.lsn = Lsn(0);
            message.group = None;
        }
        model.trims.clear();
        model.skips.clear();
        model.last_seq_min = last_seq;
        model.first_seq = first_seq;
        model.last_seq = last_seq;
        Some(model)
    }

    /// What the index counts is what is there.
    fn check_accounts(&mut self) {
        let seed = self.seed;
        let ids: Vec<StreamId> = self.log.streams().map(|(id, _)| id).collect();
        for id in ids {
            let model = &self.model.streams[&id];
            let mut subjects: BTreeMap<&[u8], (Seq, Seq, u64)> = BTreeMap::new();
            for (seq, message) in &model.messages {
                let entry = subjects.entry(&message.subject).or_insert((*seq, *seq, 0));
                entry.1 = *seq;
                entry.2 += 1;
            }
            let plain_len = |(seq, message): (&Seq, &ModelMessage)| {
                let stored = message.as_stored(id, *seq, 0);
                stored.record_len() as u64 + u64::from(stored.saved)
            };
            let bytes: u64 = model.messages.iter().map(plain_len).sum();
            let Some(index) = self.log.stream_mut(id) else { continue };
            assert_eq!(index.bytes(), bytes, "seed {seed}: {id:?}");
            assert_eq!(index.messages(), model.messages.len() as u64, "seed {seed}: {id:?}");
            assert_eq!(index.subjects().len(), subjects.len(), "seed {seed}: {id:?}");
            for (name, expected) in subjects {
                let subject = index.subjects().find(name);
                let range = subject.and_then(|subject| index.subject_range(subject));
                assert_eq!(range, Some(expected), "seed {seed}: {id:?} {name:?}");
            }
        }
    }
}

fn check_messages(
    seed: u64,
    id: StreamId,
    model: &ModelStream,
    found: &BTreeMap<Seq, Seen>,
    settled: Lsn,
) {
    for (seq, seen) in found {
        let Some(known) = model.messages.get(seq) else {
            panic!("seed {seed}: {id:?} {seq:?} was never published, or was deleted before");
        };
        let same = known.subject == seen.subject
            && known.headers == seen.headers
            && known.payload == seen.payload
            && known.saved() == seen.saved;
        assert!(same, "seed {seed}: {id:?} {seq:?} is not what was published");
        let is_removed = known.removal.is_some_and(|lsn| lsn <= settled);
        assert!(!is_removed, "seed {seed}: {id:?} {seq:?} was deleted and is back");
    }
    let mut groups: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (seq, message) in &model.messages {
        let is_there = found.contains_key(seq);
        if message.is_known && message.removal.is_none() {
            assert!(is_there, "seed {seed}: {id:?} {seq:?} was acknowledged and is gone");
        }
        if let Some(group) = untouched_group(message) {
            let (there, gone) = groups.entry(group).or_default();
            if is_there { *there += 1 } else { *gone += 1 }
        }
    }
    for (group, (there, gone)) in groups {
        assert!(there == 0 || gone == 0, "seed {seed}: {id:?}: group {group} is cut in two");
    }
}

fn untouched_group(message: &ModelMessage) -> Option<u64> {
    message.group.filter(|_| message.removal.is_none())
}
