//! What is written down leads to the same state again.

use super::*;
use crate::jetstream::consumer::pending::Held;

/// All that must survive.
#[derive(PartialEq, Debug)]
struct Kept {
    cursor: Seq,
    delivered: ConsumerSeq,
    floor: state::Pair,
    pending: Vec<(Seq, ConsumerSeq, u32, bool)>,
    created: Wall,
    config: ConsumerConfig,
}

fn kept(consumer: &Consumer) -> Kept {
    let held = |held: Held| (held.seq, held.consumer_seq, held.deliveries, held.is_spent);
    Kept {
        cursor: consumer.state.cursor,
        delivered: consumer.state.delivered,
        floor: consumer.state.floor,
        pending: consumer.state.pending.iter().map(held).collect(),
        created: consumer.created,
        config: consumer.config(),
    }
}

/// What the log holds.
#[derive(Default)]
pub struct Records {
    pub whole: Vec<u8>,
    pub deltas: Vec<Vec<u8>>,
}

impl Records {
    pub fn write(&mut self, rig: &mut Rig) -> bool {
        let now = rig.now;
        match rig.consumer.as_mut().unwrap().take_journal(now) {
            None => return false,
            Some(Entry::Whole(whole)) => (self.whole, self.deltas) = (whole, Vec::new()),
            Some(Entry::Delta(delta)) => self.deltas.push(delta),
        }
        true
    }

    pub fn restore(&self, rig: &Rig) -> Consumer {
        Consumer::restore("C", &rig.home(), &self.whole, &self.deltas, rig.now).unwrap()
    }
}

fn durable(config: &ConsumerConfig) -> Rig {
    let mut rig = Rig::empty();
    rig.is_durable = true;
    rig.store("a.x", 20);
    rig.make(config);
    rig
}

#[test]
fn whole_and_deltas_lead_to_the_same_state() {
    for seed in 1..150u64 {
        let mut random = Random(seed);
        let mut rig = durable(&config(|config| {
            config.ack_policy =
                [AckPolicy::Explicit, AckPolicy::All, AckPolicy::None][seed as usize % 3];
            config.ack_wait = ms(100);
            config.max_deliver = 3;
        }));
        let mut records = Records::default();
        records.write(&mut rig);
        for _ in 0..150 {
            let last = rig.store.last_seq(None).0;
            let seq = last.saturating_sub(random.below(15)).max(1);
            let cseq = rig
                .with(|consumer, _, _| consumer.state.delivered.0.saturating_sub(random.below(8)));
            match random.below(10) {
                0 => rig.store("a.x", 3),
                1..4 => rig.pull("in", r#"{"batch":4,"no_wait":true}"#),
                4..6 => drop(rig.ack(&format!("1/{seq}/{cseq}"), "", "")),
                6 => drop(rig.ack(&format!("1/{seq}/{cseq}"), "-NAK {\"delay\":60000000}", "")),
                7 => drop(rig.pass(random.below(120) * MILLISECOND)),
                8 => {
                    let first = Seq(last.saturating_sub(12 + random.below(20)).max(1));
                    rig.store.trim(None, first, rig.now.mono).unwrap();
                    rig.with(|consumer, ctx, store| consumer.on_purge(ctx, store));
                }
                _ => drop(rig.ack(&format!("1/{seq}/{cseq}"), "-NAK", "")),
            }
            rig.lines();
            if random.below(3) == 0 {
                records.write(&mut rig);
                let restored = records.restore(&rig);
                assert_eq!(kept(&restored), kept(rig.consumer.as_ref().unwrap()), "seed {seed}");
            }
            if random.below(40) == 0 {
                records.write(&mut rig);
                rig.consumer = Some(Box::new(records.restore(&rig)));
            }
        }
    }
}

#[test]
fn a_batch_in_order_takes_a_few_bytes() {
    let mut rig = durable(&explicit());
    let mut records = Records::default();
    records.write(&mut rig);
    rig.store("a.x", 1000);
    rig.pull("in", "1000");
    for seq in 1..=1000 {
        rig.ack(&format!("1/{seq}/{seq}"), "", "");
    }
    assert!(records.write(&mut rig));
    assert!(records.deltas[0].len() < 30, "{:?}", records.deltas[0]);
    assert!(!records.write(&mut rig), "nothing is owed twice");
}

#[test]
fn the_whole_is_written_again_now_and_then() {
    let mut rig = durable(&explicit());
    let mut records = Records::default();
    records.write(&mut rig);
    let mut deltas_max = 0;
    for _ in 0..2000 {
        rig.store("a.x", 1);
        rig.pull("in", "1");
        records.write(&mut rig);
        deltas_max = deltas_max.max(records.deltas.len());
    }
    assert!(deltas_max as u32 <= crate::types::limits::CONSUMER_DELTAS_MAX, "{deltas_max}");
    assert_eq!(kept(&records.restore(&rig)), kept(rig.consumer.as_ref().unwrap()));
}

#[test]
fn a_double_ack_is_answered_when_it_is_written() {
    let mut rig = durable(&explicit());
    let mut records = Records::default();
    rig.pulled("2");
    records.write(&mut rig);
    rig.ack("1/1/1", "", "re");
    let consumer = rig.consumer.as_ref().unwrap();
    assert!(rig.out.is_empty() && consumer.wants_journal_now());
    assert!(records.write(&mut rig));
    let confirmed = |rig: &mut Rig| {
        let mut replies = Vec::new();
        rig.with(|consumer, _, _| {
            consumer.take_confirmations(|reply| {
                replies.push(String::from_utf8_lossy(reply).into_owned());
            });
        });
        replies
    };
    rig.ack("1/2/2", "", "again");
    assert_eq!(confirmed(&mut rig), ["re", "again"]);
    records.write(&mut rig);
    // Asked again there is nothing new, and still it waits for what may be on its way to disk.
    rig.ack("1/1/1", "", "re");
    assert!(records.write(&mut rig));
    assert_eq!(confirmed(&mut rig), ["re"]);
    assert!(!rig.consumer.as_ref().unwrap().wants_journal_now());
    assert_eq!(kept(&records.restore(&rig)), kept(rig.consumer.as_ref().unwrap()));
}

#[test]
fn deadlines_survive_a_restart() {
    let mut rig = durable(&config(|config| config.ack_wait = ms(30_000)));
    let mut records = Records::default();
    records.write(&mut rig);
    rig.pulled("2");
    rig.ack("1/2/2", "-NAK {\"delay\":90000000000}", "");
    records.write(&mut rig);
    rig.pass(20 * SECOND);
    rig.lines();
    // The new run's clock begins elsewhere.
    rig.now.mono = Mono(5 * SECOND);
    rig.consumer = Some(Box::new(records.restore(&rig)));
    rig.pulled("300");
    rig.lines();
    let mut at = Vec::new();
    for second in 1..=80 {
        rig.pass(SECOND);
        let lines = rig.lines();
        at.extend(lines.iter().filter(|line| line.contains(" 2/")).map(|line| {
            let seq: u64 = line.split('/').nth(1).unwrap().parse().unwrap();
            (second, seq)
        }));
    }
    assert_eq!(at[0], (10, 1));
    assert!(at.contains(&(70, 2)), "{at:?}");
}

#[test]
fn settings_survive_as_they_are() {
    let mut rig = durable(&explicit());
    let mut records = Records::default();
    records.write(&mut rig);
    let home = rig.home();
    let changed = config(|config| config.max_ack_pending = 3);
    rig.with(|consumer, ctx, _| consumer.update(ctx, &changed, &home));
    rig.with(|consumer, _, _| consumer.reset(Seq(7))).unwrap();
    assert!(records.write(&mut rig));
    assert!(records.deltas.is_empty(), "such changes are written whole");
    let restored = records.restore(&rig);
    assert_eq!(restored.config().max_ack_pending, 3);
    assert_eq!(kept(&restored), kept(rig.consumer.as_ref().unwrap()));
}

#[test]
fn the_list_of_lasts_is_found_again() {
    use super::super::super::config::DeliverPolicy;
    let mut rig = Rig::empty();
    rig.is_durable = true;
    for subject in ["k.x", "k.y", "k.z", "k.x", "k.y", "k.z"] {
        rig.store(subject, 1);
    }
    rig.make(&config(|config| {
        config.deliver_policy = DeliverPolicy::LastPerSubject;
        config.filter_subject = "k.>".into();
    }));
    let mut records = Records::default();
    rig.pulled("1");
    records.write(&mut rig);
    rig.store("k.x", 1);
    rig.consumer = Some(Box::new(records.restore(&rig)));
    let expected = ["in k.y 1/5/2 +2", "in k.z 1/6/3 +1", "in k.x 1/7/4 +0"];
    assert_eq!(rig.pulled("9"), expected);
}

#[test]
fn damaged_records_are_refused_or_end_early() {
    let mut rig = durable(&explicit());
    let mut records = Records::default();
    rig.pulled("5");
    rig.ack("1/2/2", "", "");
    records.write(&mut rig);
    rig.pulled("5");
    rig.ack("1/3/3", "-NAK {\"delay\":5}", "");
    rig.ack("1/1/1", "", "");
    records.write(&mut rig);
    let home = rig.home();
    for at in 0..records.whole.len() {
        for bit in 0..8 {
            let mut whole = records.whole.clone();
            whole[at] ^= 1 << bit;
            let _ = Consumer::restore("C", &home, &whole, &records.deltas, rig.now);
            let _ = Consumer::restore("C", &home, &records.whole[..at], &[], rig.now);
        }
    }
    for at in 0..records.deltas[0].len() {
        for bit in 0..8 {
            let mut delta = records.deltas[0].clone();
            delta[at] ^= 1 << bit;
            let restored = Consumer::restore("C", &home, &records.whole, &[delta], rig.now);
            assert!(restored.is_ok());
        }
        let cut = records.deltas[0][..at].to_vec();
        assert!(Consumer::restore("C", &home, &records.whole, &[cut], rig.now).is_ok());
    }
}
