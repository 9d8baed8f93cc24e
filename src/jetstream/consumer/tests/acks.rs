//! Acknowledgements, redelivery and what is told of them. As 2.15.1 does it.

use super::*;

#[test]
fn answers_to_acknowledgements() {
    let mut rig = Rig::new(10, &explicit());
    rig.pulled("5");
    let nak =
        |seq, count| format!("! MSG_NAKED consumer_seq:{seq},stream_seq:{seq},deliveries:{count}");
    let term = |seq: u64, reason: &str| {
        format!("! MSG_TERMINATED consumer_seq:{seq},stream_seq:{seq},deliveries:1{reason}")
    };
    type Row<'a> = (&'a str, &'a str, &'a [String], (u64, u64));
    let rows: &[Row<'_>] = &[
        ("1/2/2", "", &["re".into()], (0, 0)),
        ("1/2/2", "+ACK", &["re".into()], (0, 0)),
        ("1/1/1", "+WPI", &["re".into()], (0, 0)),
        ("1/1/1", "garbage", &["re".into()], (0, 0)),
        ("1/1/1", "-NAK {\"delay\":100}", &[nak(1, 1), "re".into()], (0, 0)),
        ("1/1/1", "+TERM because", &["re".into(), term(1, ",reason:because")], (2, 2)),
        ("1/3/3", "+TERMx", &["re".into(), term(3, ",reason:x")], (3, 3)),
        ("1/4/4", "-NAK", &[nak(4, 1), "re".into()], (3, 3)),
        ("1/4/4", "-NAK", &[nak(4, 1), "re".into()], (3, 3)),
        // What was never delivered: no answer but to a NAK, and 2.15.1 tells of a TERM.
        ("1/99/99", "+ACK", &[], (3, 3)),
        ("1/99/99", "-NAK", &["re".into()], (3, 3)),
        ("1/99/99", "+TERM", &[term(99, "")], (3, 3)),
    ];
    for (numbers, payload, expected, floor) in rows {
        rig.ack(numbers, payload, "re");
        assert_eq!(rig.lines(), *expected, "{numbers} {payload}");
        assert_eq!(rig.floor(), *floor, "{numbers} {payload}");
    }
    assert_eq!(rig.info().num_ack_pending, 2);
    assert_eq!(rig.info().num_redelivered, 0);
    assert_eq!(rig.pulled("1"), ["in a.x 2/4/6 +5"]);
    assert_eq!(rig.info().num_redelivered, 1);
}

#[test]
fn next_acknowledges_and_pulls() {
    let mut rig = Rig::new(4, &explicit());
    rig.pulled("1");
    rig.ack("1/1/1", "+NXT", "more");
    assert_eq!(rig.lines(), ["more a.x 1/2/2 +2"]);
    assert_eq!(rig.floor(), (1, 1));
    rig.ack("1/2/2", "+NXT {\"batch\":3,\"no_wait\":true}", "more");
    let expected = ["more a.x 1/3/3 +1", "more a.x 1/4/4 +0", "more 404 No Messages"];
    assert_eq!(rig.lines(), expected);
}

#[test]
fn redelivery_after_the_ack_wait() {
    let mut rig = Rig::new(2, &config(|config| config.ack_wait = ms(100)));
    rig.pulled("5");
    rig.pass(99 * MILLISECOND);
    rig.ack("1/1/1", "+WPI", "");
    assert!(rig.lines().is_empty());
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), ["in a.x 2/2/3 +0"]);
    rig.pass(98 * MILLISECOND);
    assert!(rig.lines().is_empty());
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), ["in a.x 2/1/4 +0"]);
    assert_eq!(rig.info().num_redelivered, 2);
}

#[test]
fn a_delayed_nak_waits() {
    let mut rig = Rig::new(1, &explicit());
    rig.pulled("5");
    rig.ack("1/1/1", "-NAK {\"delay\":200000000}", "");
    rig.lines();
    rig.pass(199 * MILLISECOND);
    assert!(rig.lines().is_empty());
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), ["in a.x 2/1/2 +0"]);
}

#[test]
fn backoff_stretches_the_waits() {
    let mut rig = Rig::new(
        1,
        &config(|config| {
            config.backoff = vec![ms(200), ms(400)];
            config.ack_wait = ms(200);
        }),
    );
    rig.pulled("9");
    let mut at = Vec::new();
    for step in 1..=15 {
        rig.pass(100 * MILLISECOND);
        if !rig.lines().is_empty() {
            at.push(step * 100);
        }
    }
    assert_eq!(at, [200, 600, 1000, 1400]);
}

#[test]
fn delivered_as_often_as_allowed() {
    let mut rig = Rig::new(
        2,
        &config(|config| {
            config.ack_wait = ms(100);
            config.max_deliver = 2;
        }),
    );
    rig.pulled("4");
    rig.pass(100 * MILLISECOND);
    assert_eq!(rig.lines(), ["in a.x 2/1/3 +0", "in a.x 2/2/4 +0"]);
    // Nobody waits, and it is told all the same.
    rig.pass(100 * MILLISECOND);
    let told = |seq| format!("! MAX_DELIVERIES stream_seq:{seq},deliveries:2");
    assert_eq!(rig.lines(), [told(1), told(2)]);
    let info = rig.info();
    assert_eq!((info.num_ack_pending, info.num_redelivered, rig.floor()), (0, 2, (0, 0)));
    rig.pass(SECOND);
    assert!(rig.lines().is_empty());
    rig.ack("2/1/3", "", "re");
    assert_eq!((rig.lines().len(), rig.info().num_redelivered, rig.floor()), (1, 1, (0, 0)));
    rig.store("a.x", 1);
    rig.pulled("1");
    rig.ack("1/3/5", "", "");
    assert_eq!(rig.floor(), (5, 3));
}

#[test]
fn a_nak_of_the_last_delivery_waits_for_a_pull_to_give_up() {
    let mut rig = Rig::new(2, &config(|config| config.max_deliver = 1));
    rig.pulled("1");
    rig.ack("1/1/1", "-NAK", "");
    rig.lines();
    assert_eq!(rig.info().num_ack_pending, 1);
    let expected = ["! MAX_DELIVERIES stream_seq:1,deliveries:1", "in a.x 1/2/2 +0"];
    assert_eq!(rig.pulled("1"), expected);
}

#[test]
fn an_ack_of_all_takes_what_came_before() {
    let mut rig = Rig::new(5, &config(|config| config.ack_policy = AckPolicy::All));
    rig.retention = Retention::WorkQueue;
    rig.make(&config(|config| config.ack_policy = AckPolicy::All));
    rig.pulled("5");
    rig.ack("1/2/2", "-NAK", "");
    rig.lines();
    assert_eq!(rig.pulled("1"), ["in a.x 2/2/6 +0"]);
    rig.ack("1/3/3", "", "re");
    assert_eq!((rig.lines().len(), rig.floor()), (1, (3, 3)));
    assert_eq!((rig.info().num_ack_pending, rig.info().num_redelivered), (2, 0));
    rig.ack("1/2/2", "", "re");
    assert_eq!((rig.lines().len(), rig.floor()), (1, (3, 3)));
    rig.ack("1/5/5", "+TERM", "");
    assert_eq!((rig.info().num_ack_pending, rig.floor()), (0, (5, 5)));
    rig.with(|consumer, _, _| assert_eq!(consumer.finished, [1, 2, 3, 4, 5].map(Seq)));
}

#[test]
fn a_client_cannot_lift_the_floor_above_what_was_delivered() {
    let mut rig = Rig::new(5, &config(|config| config.ack_policy = AckPolicy::All));
    rig.pulled("3");
    rig.ack("1/2/999", "", "");
    assert_eq!(rig.floor(), (3, 2));
}

#[test]
fn an_ack_of_all_counts_though_an_older_message_was_delivered_later() {
    let mut rig = Rig::new(5, &config(|config| config.ack_policy = AckPolicy::All));
    rig.pulled("5");
    rig.ack("1/2/2", "-NAK", "");
    rig.pulled("1");
    rig.ack("2/2/6", "", "");
    rig.ack("1/3/3", "", "");
    assert_eq!((rig.floor(), rig.info().num_ack_pending), ((6, 3), 2));
}

#[test]
fn a_nak_stands_whatever_is_said_after_it() {
    let mut rig = Rig::new(1, &explicit());
    rig.pulled("1");
    rig.ack("1/1/1", "-NAK", "");
    rig.ack("1/1/1", "+WPI", "");
    rig.lines();
    assert_eq!(rig.pulled("1"), ["in a.x 2/1/2 +0"]);
}

#[test]
fn without_acks_nobody_takes_them() {
    let mut rig = Rig::empty();
    rig.store("a.x", 3);
    rig.retention = Retention::Interest;
    rig.make(&config(|config| config.ack_policy = AckPolicy::None));
    assert_eq!(rig.pulled("2"), ["in a.x 1/1/1 +2", "in a.x 1/2/2 +1"]);
    assert_eq!(rig.floor(), (2, 2));
    assert_eq!(rig.ack("1/1/1", "", "re"), Answered::Nobody);
    assert!(rig.lines().is_empty());
    rig.with(|consumer, _, _| assert_eq!(consumer.finished, [1, 2].map(Seq)));
}

#[test]
fn samples_of_acknowledgements() {
    let mut rig = Rig::new(3, &config(|config| config.sample_freq = "100%".into()));
    rig.pulled("3");
    rig.pass(5 * MILLISECOND);
    rig.ack("1/1/1", "", "");
    let told = "! ACK consumer_seq:1,stream_seq:1,ack_time:5000000,deliveries:1";
    assert_eq!(rig.lines(), [told]);
    rig.ack("1/1/1", "", "");
    rig.ack("1/2/2", "+TERM", "");
    rig.ack("1/3/3", "+WPI", "");
    rig.pass(7);
    assert_eq!(rig.lines().len(), 1, "the TERM only");
    rig.ack("1/3/3", "", "");
    assert_eq!(rig.lines(), ["! ACK consumer_seq:3,stream_seq:3,ack_time:7,deliveries:1"]);
}

#[test]
fn what_a_consumer_still_wants() {
    let mut rig = Rig::new(6, &config(|config| config.max_deliver = 1));
    rig.pulled("4");
    rig.ack("1/1/1", "", "");
    rig.ack("1/3/3", "", "");
    rig.ack("1/4/4", "-NAK", "");
    rig.pulled("1");
    let wants = |rig: &mut Rig| {
        rig.with(|consumer, _, _| {
            (1..=8).filter(|&seq| consumer.wants(Seq(seq), b"a.x")).collect::<Vec<u64>>()
        })
    };
    // 4 was delivered as often as allowed, 5 is out, and from 6 on all is to come.
    assert_eq!(wants(&mut rig), [2, 5, 6, 7, 8]);
    let mut rig = Rig::new(6, &config(|config| config.filter_subject = "b".into()));
    assert_eq!(wants(&mut rig), [0; 0]);
}

#[test]
fn a_claim_of_no_sequence_is_not_answered() {
    let mut rig = Rig::new(1, &explicit());
    rig.pulled("1");
    for payload in ["+WPI", "-NAK"] {
        rig.ack("1/0/1", payload, "re");
        assert!(rig.lines().is_empty(), "{payload}");
        rig.ack("1/1/1", payload, "re");
        assert_eq!(rig.lines().iter().filter(|line| *line == "re").count(), 1, "{payload}");
    }
}

/// As 2.15.1: a message that gave way inside the stream takes up no place among those out.
#[test]
fn a_displaced_message_makes_room_for_the_next() {
    const GONE: &str = "! MSG_TERMINATED consumer_seq:2,stream_seq:2,deliveries:1,reason:Unacknowledged message was deleted";
    let mut rig = Rig::new(3, &config(|config| config.max_ack_pending = 2));
    assert_eq!(rig.pulled("10").len(), 2);
    rig.store.give_way(None, &[Seq(2)], rig.now.mono).unwrap();
    rig.poll();
    assert_eq!(rig.lines(), [GONE, "in a.x 1/3/3 +0"]);
    // More than is remembered.
    let mut rig = Rig::new(400, &config(|config| config.max_ack_pending = 300));
    assert_eq!(rig.pulled("300").len(), 300);
    let seqs: Vec<Seq> = (2..=300).map(Seq).collect();
    rig.store.give_way(None, &seqs, rig.now.mono).unwrap();
    assert_eq!(rig.info().num_ack_pending, 1);
    let lines = rig.lines();
    assert_eq!((lines.len(), &*lines[0]), (299, GONE));
}

#[test]
fn a_message_deleted_by_request_is_told() {
    let mut rig = Rig::new(2, &config(|config| config.max_ack_pending = 1));
    rig.pulled("10");
    rig.store.delete(None, &[Seq(1)], false, rig.now.mono).unwrap();
    rig.with(|consumer, ctx, store| consumer.on_message_deleted(ctx, store, Seq(1)));
    rig.poll();
    let gone = "! MSG_TERMINATED consumer_seq:1,stream_seq:1,deliveries:1,reason:Unacknowledged message was deleted";
    assert_eq!(rig.lines(), [gone, "in a.x 1/2/2 +0"]);
}

#[test]
fn a_message_deleted_while_it_waits_for_redelivery_is_done() {
    let mut rig = Rig::new(2, &config(|config| config.ack_wait = ms(100)));
    rig.pulled("5");
    rig.poll();
    rig.store.delete(None, &[Seq(2)], false, rig.now.mono).unwrap();
    rig.pass(100 * MILLISECOND);
    let gone = "! MSG_TERMINATED consumer_seq:2,stream_seq:2,deliveries:1,reason:Unacknowledged message was deleted";
    assert_eq!(rig.lines(), ["in a.x 2/1/3 +0", gone]);
    assert_eq!(rig.info().num_ack_pending, 1);
}
