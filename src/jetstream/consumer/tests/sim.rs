//! A consumer driven at random beside an oracle that knows what must and must not happen.

use std::collections::BTreeMap;

use super::durability::Records;
use super::*;

/// What the oracle knows of a message of the stream.
#[derive(Clone, Debug, Default)]
struct Known {
    subject_wanted: bool,
    deliveries: u32,
    /// It must not come before this, and has to come then if somebody waits.
    due: u64,
    consumer_seq: u64,
    acked: bool,
    deleted: bool,
    spent: bool,
}

struct Oracle {
    messages: BTreeMap<u64, Known>,
    last_first_delivery: u64,
    ack_wait: u64,
    max_deliver: u32,
    max_ack_pending: usize,
    seed: u64,
}

impl Oracle {
    fn pending(&self) -> impl Iterator<Item = (&u64, &Known)> {
        self.messages.iter().filter(|(_, known)| known.is_pending())
    }

    /// Takes in what the consumer published.
    fn hear(&mut self, lines: &[String], now: u64) {
        for line in lines {
            let seed = self.seed;
            if let Some(rest) = line.strip_prefix("! MAX_DELIVERIES stream_seq:") {
                let seq: u64 = rest.split(',').next().unwrap().parse().unwrap();
                let known = self.messages.get_mut(&seq).unwrap();
                assert_eq!(known.deliveries, self.max_deliver, "seed {seed}: {line}");
                known.spent = true;
            }
            let Some(numbers) = line.split(' ').find(|word| word.matches('/').count() == 2) else {
                continue;
            };
            let parts: Vec<u64> = numbers.split('/').map(|part| part.parse().unwrap()).collect();
            self.hear_delivery(parts[0] as u32, parts[1], parts[2], now, line);
        }
    }

    fn hear_delivery(&mut self, count: u32, seq: u64, consumer_seq: u64, now: u64, line: &str) {
        let (seed, out) = (self.seed, self.pending().count());
        let known = self.messages.get_mut(&seq).unwrap();
        assert!(known.subject_wanted, "seed {seed}: not wanted: {line}");
        assert!(!known.acked, "seed {seed}: acknowledged before: {line}");
        assert!(!known.deleted, "seed {seed}: deleted before: {line}");
        assert_eq!(count, known.deliveries + 1, "seed {seed}: {line}");
        assert!(count <= self.max_deliver, "seed {seed}: too often: {line}");
        if count == 1 {
            assert!(seq > self.last_first_delivery, "seed {seed}: out of order: {line}");
            assert!(out < self.max_ack_pending, "seed {seed}: too many out: {line}");
            self.last_first_delivery = seq;
        } else {
            // Time goes on by a nanosecond at least between two looks.
            assert!(now + 1000 >= known.due, "seed {seed}: at {now}, due {}: {line}", known.due);
        }
        known.deliveries = count;
        known.consumer_seq = consumer_seq;
        known.due = now + self.ack_wait;
    }
}

impl Known {
    fn is_pending(&self) -> bool {
        self.deliveries > 0 && !self.acked && !self.deleted && !self.spent
    }

    fn is_to_come(&self) -> bool {
        self.deliveries == 0 && self.subject_wanted && !self.deleted
    }
}

struct Sim {
    rig: Rig,
    oracle: Oracle,
    random: Random,
    records: Records,
    /// The host tells of removals: all of them, or none.
    tells_removals: bool,
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let ack_wait = 50 + random.below(100);
        let max_deliver = if random.below(2) == 0 { 3 } else { -1 };
        let max_ack_pending = 3 + random.below(20) as i64;
        let is_filtered = random.below(2) == 0;
        let mut rig = Rig::empty();
        rig.is_durable = true;
        rig.make(&config(|config| {
            config.ack_wait = ms(ack_wait);
            config.max_deliver = max_deliver;
            config.max_ack_pending = max_ack_pending;
            if is_filtered {
                config.filter_subject = "a.*".into();
            }
        }));
        let mut records = Records::default();
        records.write(&mut rig);
        let oracle = Oracle {
            messages: BTreeMap::new(),
            last_first_delivery: 0,
            ack_wait: ack_wait * MILLISECOND,
            max_deliver: u32::try_from(max_deliver).unwrap_or(u32::MAX),
            max_ack_pending: max_ack_pending as usize,
            seed,
        };
        Self { rig, oracle, random, records, tells_removals: seed.is_multiple_of(2) }
    }

    fn hear(&mut self) {
        let lines = self.rig.lines();
        self.oracle.hear(&lines, self.rig.now.mono.0);
    }

    /// Lets time pass, and hears what is published when it is.
    fn pass(&mut self, ns: u64) {
        let end = self.rig.now.mono.plus(ns);
        while self.rig.now.mono < end {
            let wake = self.rig.consumer.as_ref().unwrap().wake_at(self.rig.now);
            let to = wake.max(self.rig.now.mono.plus(1)).min(end);
            self.rig.pass(to.since(self.rig.now.mono));
            self.hear();
        }
    }

    fn publish(&mut self) {
        let is_filtered = !self.rig.consumer.as_ref().unwrap().filter().is_all();
        let subject = if self.random.below(3) == 0 { "b.x" } else { "a.x" };
        let seq = self.rig.store_one(subject, "", b"x");
        let subject_wanted = !is_filtered || subject == "a.x";
        self.oracle.messages.insert(seq, Known { subject_wanted, ..Known::default() });
        self.rig.poll();
    }

    /// A message that was delivered once, done or not.
    fn any_delivered(&mut self) -> Option<(u64, Known)> {
        let delivered: Vec<u64> = self
            .oracle
            .messages
            .iter()
            .filter(|(_, known)| known.deliveries > 0)
            .map(|(&seq, _)| seq)
            .rev()
            .take(12)
            .collect();
        let seq = *delivered.get(self.random.below(delivered.len().max(1) as u64) as usize)?;
        Some((seq, self.oracle.messages[&seq].clone()))
    }

    fn say(&mut self, payload: &str, change: impl FnOnce(&mut Known, u64)) {
        let Some((seq, known)) = self.any_delivered() else { return };
        let numbers = format!("{}/{seq}/{}", known.deliveries, known.consumer_seq);
        let now = self.rig.now.mono.0;
        if known.is_pending() || payload == "+ACK" {
            change(self.oracle.messages.get_mut(&seq).unwrap(), now);
        }
        self.rig.ack(&numbers, payload, "");
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..5 => self.publish(),
            5..8 => {
                let batch = 1 + self.random.below(5);
                let expires = (1 + self.random.below(80)) * MILLISECOND;
                let no_wait = self.random.below(3) == 0;
                let body =
                    format!(r#"{{"batch":{batch},"expires":{expires},"no_wait":{no_wait}}}"#);
                self.rig.pull("in", &body);
            }
            8..13 => self.say("+ACK", |known, _| known.acked = true),
            13 => self.say("-NAK", |known, now| known.due = now),
            14 => {
                self.say("-NAK {\"delay\":20000000}", |known, now| {
                    known.due = now + 20 * MILLISECOND;
                });
            }
            15 => {
                let wait = self.oracle.ack_wait;
                // After a NAK it changes nothing.
                self.say("+WPI", |known, now| {
                    known.due = if known.due > now { now + wait } else { known.due };
                });
            }
            16 => self.say("+TERM", |known, _| known.acked = true),
            17 => {
                let ns = self.random.below(60) * MILLISECOND;
                self.pass(ns);
            }
            18 => self.delete(),
            _ => self.restart(),
        }
        self.hear();
        self.check();
    }

    fn delete(&mut self) {
        let last = self.rig.store.last_seq(None).0;
        let seq = Seq(last.saturating_sub(self.random.below(15)).max(1));
        let Some(known) = self.oracle.messages.get_mut(&seq.0).filter(|known| !known.deleted)
        else {
            return;
        };
        known.deleted = true;
        let subject = if known.subject_wanted { b"a.x" } else { b"b.x" };
        self.rig.store.delete(None, &[seq], false, self.rig.now.mono).unwrap();
        if self.tells_removals {
            self.rig.with(|consumer, ctx, store| consumer.on_removed(ctx, store, seq, subject));
        }
        self.rig.poll();
    }

    /// The server stops after writing all it owes, or all but the last.
    fn restart(&mut self) {
        self.records.write(&mut self.rig);
        self.rig.consumer = Some(Box::new(self.records.restore(&self.rig)));
        // Deadlines are kept to the millisecond, later rather than sooner.
        for known in self.oracle.messages.values_mut() {
            known.due = known.due.min(self.rig.now.mono.0);
        }
        self.rig.poll();
    }

    fn check(&mut self) {
        let seed = self.oracle.seed;
        let is_waiting = self.rig.consumer.as_ref().unwrap().is_waiting();
        let info = self.rig.info();
        let to_come = self.oracle.messages.values().filter(|known| known.is_to_come()).count();
        assert_eq!(info.num_pending, to_come as u64, "seed {seed}");
        let out = self.oracle.pending().count() as u64;
        // A deleted message is noticed when it is due at the latest.
        let lost =
            self.oracle.messages.values().filter(|known| {
                known.deleted && known.deliveries > 0 && !known.acked && !known.spent
            });
        assert!((out..=out + lost.count() as u64).contains(&info.num_ack_pending), "seed {seed}");
        if is_waiting && info.num_ack_pending < self.oracle.max_ack_pending as u64 {
            assert_eq!(to_come, 0, "seed {seed}: somebody waits and there is something");
        }
        let floor = info.ack_floor.stream_seq;
        let below = self.oracle.pending().find(|(seq, _)| **seq <= floor);
        assert_eq!(below.map(|(seq, _)| seq), None, "seed {seed}: pending below floor {floor}");
    }

    /// Everybody behaves: everything must come, and be done in the end.
    fn settle(&mut self) {
        let seed = self.oracle.seed;
        for _ in 0..400 {
            let pending: Vec<(u64, Known)> =
                self.oracle.pending().map(|(&seq, known)| (seq, known.clone())).collect();
            for (seq, known) in pending {
                self.oracle.messages.get_mut(&seq).unwrap().acked = true;
                self.rig.ack(&format!("{}/{seq}/{}", known.deliveries, known.consumer_seq), "", "");
                self.hear();
            }
            self.rig.pull("in", r#"{"batch":20,"expires":1000000}"#);
            self.hear();
            self.pass(self.oracle.ack_wait / 8);
        }
        let missing: Vec<_> =
            self.oracle.messages.iter().filter(|(_, known)| known.is_to_come()).collect();
        assert!(missing.is_empty(), "seed {seed}: never delivered: {missing:?}");
        let info = self.rig.info();
        assert_eq!((info.num_ack_pending, info.num_pending), (0, 0), "seed {seed}");
        assert_eq!(self.oracle.pending().count(), 0, "seed {seed}");
        let spent = self.oracle.messages.values().any(|known| known.spent);
        let last = self.rig.store.last_seq(None).0;
        assert!(spent || info.ack_floor.stream_seq <= last, "seed {seed}");
    }
}

#[test]
fn whatever_clients_do_nothing_is_lost() {
    for seed in 1..=150 {
        let mut sim = Sim::new(seed);
        for _ in 0..400 {
            sim.step();
        }
        sim.settle();
    }
}
