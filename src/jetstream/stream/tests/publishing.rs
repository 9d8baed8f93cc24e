//! Rows of what a publish is answered, as the reference answers it.

use super::{Desk, START, refused, stored};
use crate::types::time::SECOND;

#[test]
fn acks_count_up() {
    let mut desk = Desk::new("{}");
    assert_eq!(desk.ask("s.1", &[], "x"), stored(1));
    assert_eq!(desk.ask("s.2", &[("A", "b")], ""), stored(2));
    assert_eq!(desk.messages(), [(1, "s.1".into(), "x".into()), (2, "s.2".into(), "".into())]);
    assert_eq!(START / SECOND, 1_800_000_000);
}

#[test]
fn nobody_is_answered_who_does_not_ask() {
    let mut desk = Desk::new("{}");
    desk.publish("s.1", "", &[], "x");
    desk.settle();
    assert_eq!(desk.told, []);
    let mut desk = Desk::new(r#"{"no_ack":true}"#);
    assert_eq!(desk.ask("s.1", &[("Nats-Expected-Stream", "B")], "x"), "");
    assert_eq!(desk.ask("s.1", &[], "x"), "");
    assert_eq!(desk.state().1, 1);
}

#[test]
fn a_message_id_is_stored_once_within_the_window() {
    let mut desk = Desk::new(r#"{"duplicate_window":1000000000}"#);
    let id = [("Nats-Msg-Id", "1")];
    assert_eq!(desk.ask("s.1", &id, "x"), stored(1));
    assert_eq!(desk.ask("s.2", &id, "y"), r#"{"stream":"S","seq":1,"duplicate": true}"#);
    desk.pass(SECOND);
    assert_eq!(desk.ask("s.2", &id, "y"), stored(2));
}

#[test]
fn expectations() {
    let wrong = |last: u64| refused(400, 10071, &format!("wrong last sequence: {last}"));
    let mut desk = Desk::new("{}");
    desk.ask("s.1", &[], "");
    desk.ask("s.2", &[], "");
    desk.ask("s.1", &[], "");
    type Headers<'h> = &'h [(&'h str, &'h str)];
    let (seq, subject_seq) = ("Nats-Expected-Last-Sequence", "Nats-Expected-Last-Subject-Sequence");
    let of = "Nats-Expected-Last-Subject-Sequence-Subject";
    let rows: &[(Headers<'_>, String)] = &[
        (&[("Nats-Expected-Stream", "T")], refused(400, 10060, "expected stream does not match")),
        (&[("nats-expected-stream", "T")], stored(4)),
        (&[("Nats-Expected-Stream", "S")], stored(5)),
        (&[(seq, "9")], wrong(5)),
        (&[(seq, "zz")], wrong(5)),
        (&[(seq, "-1")], wrong(5)),
        (&[(seq, "5")], stored(6)),
        (&[(subject_seq, "0")], wrong(6)),
        (&[(subject_seq, "6")], stored(7)),
        (&[(subject_seq, "2"), (of, "s.2")], stored(8)),
        (&[(subject_seq, "8"), (of, "s.*")], stored(9)),
        (&[(subject_seq, "2"), (of, "s.zz")], wrong(0)),
        (&[(subject_seq, "0"), (of, "s..zz")], stored(10)),
        (
            &[(of, "s.1")],
            refused(400, 10193, "missing sequence for expected last sequence per subject"),
        ),
        (&[(seq, ""), (subject_seq, "")], stored(11)),
    ];
    for (headers, expected) in rows {
        assert_eq!(&desk.ask("s.1", headers, "x"), expected, "{headers:?}");
    }
}

#[test]
fn the_last_message_id_is_that_of_the_last_message() {
    let wrong = |id: &str| refused(400, 10070, &format!("wrong last msg ID: {id}"));
    let mut desk = Desk::new("{}");
    let expect = |id| [("Nats-Expected-Last-Msg-Id", id)];
    assert_eq!(desk.ask("s.1", &expect("1"), ""), wrong(""));
    desk.ask("s.1", &[("Nats-Msg-Id", "1")], "");
    assert_eq!(desk.ask("s.1", &expect("2"), ""), wrong("1"));
    assert_eq!(desk.ask("s.1", &expect("1"), ""), stored(2));
    assert_eq!(desk.ask("s.1", &expect("1"), ""), wrong(""));
}

#[test]
fn checks_come_in_the_reference_s_order() {
    let mut desk = Desk::new(r#"{"max_msgs":2,"discard":"new","max_msg_size":300000}"#);
    desk.ask("s.1", &[("Nats-Msg-Id", "dup")], "");
    desk.ask("s.1", &[], "");
    let long = "y".repeat(66_000);
    let steps: &[(&str, &str, u16)] = &[
        ("X", &long, 10097),
        ("Nats-Expected-Stream", "B", 10060),
        ("Nats-TTL", "5s", 10166),
        ("Nats-Expected-Last-Subject-Sequence", "99", 10071),
        ("Nats-Expected-Last-Sequence", "98", 10071),
        ("Nats-Stream-Source", "q", 10227),
        ("Nats-Msg-Id", "dup", 0),
        ("Nats-Expected-Last-Msg-Id", "qq", 10070),
        ("Nats-Rollup", "sub", 10111),
    ];
    for (at, (_, _, code)) in steps.iter().enumerate() {
        let headers: Vec<_> =
            steps[at..].iter().rev().map(|(name, value, _)| (*name, *value)).collect();
        let answer = desk.ask("s.1", &headers, "x");
        let expected = match code {
            0 => r#""duplicate": true"#.into(),
            code => format!(r#""err_code":{code},"#),
        };
        assert!(answer.contains(&expected), "{expected} {answer}");
    }
    assert_eq!(
        desk.ask("s.1", &[("Nats-TTL", "zz")], ""),
        refused(400, 10165, "invalid per-message TTL")
    );
    assert_eq!(desk.ask("s.1", &[], ""), refused(503, 10077, "maximum messages exceeded"));
    assert_eq!(
        desk.ask("s.1", &[("X", &long)], &"d".repeat(300_000)),
        refused(400, 10054, "message size exceeds maximum allowed")
    );
}

#[test]
fn a_stream_that_discards_new_messages_refuses_them() {
    let full = |what: &str| refused(503, 10077, &format!("maximum {what} exceeded"));
    let mut desk = Desk::new(r#"{"max_bytes":60,"discard":"new"}"#);
    let answers: Vec<_> = (0..4).map(|_| desk.ask("s.1", &[], "x")).collect();
    assert_eq!(answers, [stored(1), stored(2), stored(3), full("bytes")]);

    let config = r#"{"max_msgs_per_subject":2,"discard":"new","discard_new_per_subject":true}"#;
    let mut desk = Desk::new(config);
    let id = [("Nats-Msg-Id", "r")];
    desk.ask("s.1", &[], "");
    desk.ask("s.1", &[], "");
    assert_eq!(desk.ask("s.1", &id, ""), full("messages per subject"));
    assert_eq!(desk.ask("s.2", &id, ""), stored(3), "what was refused is no duplicate");
}

#[test]
fn what_a_message_displaces_makes_room_for_it() {
    let mut desk = Desk::new(r#"{"max_bytes":60,"max_msgs_per_subject":1,"discard":"new"}"#);
    for subject in ["s.1", "s.2", "s.3"] {
        desk.ask(subject, &[], "x");
    }
    assert_eq!(desk.ask("s.1", &[], "x"), stored(4));
    assert_eq!(desk.ask("s.1", &[], "xx"), refused(503, 10077, "maximum bytes exceeded"));
    assert_eq!(desk.ask("s.1", &[], ""), stored(5));
    assert_eq!(desk.state(), (2, 5, 3, 59));

    let mut desk = Desk::new(r#"{"max_msgs":2,"max_msgs_per_subject":1,"discard":"new"}"#);
    desk.ask("s.1", &[], "");
    desk.ask("s.2", &[], "");
    assert_eq!(desk.ask("s.3", &[], ""), refused(503, 10077, "maximum messages exceeded"));
    assert_eq!(desk.ask("s.1", &[], ""), stored(3));
}

#[test]
fn the_oldest_give_way() {
    let mut desk = Desk::new(r#"{"max_bytes":60}"#);
    (1..=5).for_each(|_| drop(desk.ask("s.1", &[], "x")));
    assert_eq!(desk.state(), (3, 5, 3, 60));
    assert_eq!(desk.ask("s.1", &[], &"x".repeat(1000)), stored(6));
    assert_eq!(desk.state(), (7, 6, 0, 0), "a message above the limit gives way at once");

    let mut desk = Desk::new(r#"{"max_msgs":2}"#);
    (1..=5).for_each(|_| drop(desk.ask("s.1", &[], "x")));
    assert_eq!(desk.state(), (4, 5, 2, 40));

    for max in [1, 3] {
        let mut desk = Desk::new(&format!(r#"{{"max_msgs_per_subject":{max}}}"#));
        for n in 0..10 {
            desk.ask(&format!("s.{}", n % 2), &[], "x");
        }
        let left: Vec<u64> = desk.messages().iter().map(|(seq, ..)| *seq).collect();
        assert_eq!(left, (11 - 2 * max..=10).collect::<Vec<_>>());
    }
}

#[test]
fn interest_retention_keeps_what_somebody_wants() {
    use crate::jetstream::filter::Filter;
    let mut desk = Desk::new(r#"{"retention":"interest","max_msgs":1,"discard":"new"}"#);
    assert_eq!(desk.ask("s.1", &[], ""), stored(1));
    assert_eq!(desk.state(), (2, 1, 0, 0));
    let id = [("Nats-Msg-Id", "1")];
    assert_eq!(desk.ask("s.1", &id, ""), stored(2));
    assert_eq!(desk.ask("s.1", &id, ""), r#"{"stream":"S","seq":2,"duplicate": true}"#);
    assert_eq!(desk.ask("s.1", &[("Nats-Expected-Last-Msg-Id", "1")], ""), stored(3));
    desk.stream.set_consumer_filters(vec![Filter::new(&["s.2"]).unwrap()]);
    assert_eq!(desk.ask("s.2", &[], ""), stored(4));
    assert_eq!(desk.ask("s.1", &[], ""), stored(5));
    assert_eq!(desk.state(), (4, 5, 1, 19));
    let acked = crate::storage::Seq(4);
    desk.with(|stream, ctx| stream.remove_acked(ctx, &[acked]));
    assert_eq!(desk.state(), (6, 5, 0, 0));
}

/// A disk that is behind: what consumers were done with goes as soon as the log takes that.
#[test]
fn a_removal_that_the_log_refuses_is_made_up_for() {
    use crate::storage::Seq;
    let mut desk = Desk::on_disk(r#"{"retention":"workqueue"}"#);
    let mut last = 0;
    loop {
        desk.publish("s.1", "", &[], "x");
        match desk.state().1 {
            same if same == last => break,
            stored => last = stored,
        }
    }
    assert!(last > 1000, "the reserve for removals is smaller than what all of them take: {last}");
    for seq in 1..=last {
        desk.with(|stream, ctx| stream.remove_acked(ctx, &[Seq(seq)]));
    }
    assert!(desk.stream.owes_removals());
    assert!(desk.state().2 > 0);
    desk.settle();
    desk.pass(SECOND);
    assert!(!desk.stream.owes_removals());
    // The publish that found no room waited, and was stored behind.
    let left = |desk: &mut Desk| desk.messages().iter().map(|(seq, ..)| *seq).collect::<Vec<_>>();
    assert_eq!(left(&mut desk), [last + 1]);
    desk.crash();
    assert_eq!(left(&mut desk), [last + 1]);
}

#[test]
fn rollups() {
    let sub = [("Nats-Rollup", "sub")];
    let mut desk = Desk::new("{}");
    assert_eq!(desk.ask("s.1", &sub, ""), refused(500, 10111, "rollup not permitted"));
    let mut desk = Desk::new(r#"{"allow_rollup_hdrs":true}"#);
    for n in 0..6 {
        desk.ask(&format!("s.{}", n % 2), &[], "x");
    }
    assert_eq!(
        desk.ask("s.1", &[("Nats-Rollup", "x")], ""),
        refused(500, 10111, r#"rollup value invalid: "x""#)
    );
    assert_eq!(desk.ask("s.1", &sub, "now"), stored(7));
    let left: Vec<u64> = desk.messages().iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(left, [1, 3, 5, 7]);
    assert_eq!(desk.ask("s.0", &[("Nats-Rollup", "ALL")], "now"), stored(8));
    assert_eq!(desk.state().2, 1);
    assert_eq!(desk.ask("s.0", &[("Nats-Rollup", "")], "now"), stored(9));
    assert_eq!(desk.state().2, 2);
}

#[test]
fn a_sealed_stream_takes_nothing() {
    let mut desk = Desk::new(r#"{"sealed":true}"#);
    let sealed = refused(400, 10109, "invalid operation on sealed stream");
    assert_eq!(desk.ask("s.1", &[("Nats-Batch-Id", "1")], ""), sealed);
}

#[test]
fn a_rollup_is_taken_where_its_subject_is_full() {
    let config = r#"{"max_msgs_per_subject":2,"discard":"new","discard_new_per_subject":true,
        "allow_rollup_hdrs":true}"#;
    for value in ["sub", "all"] {
        for mut desk in [Desk::new(config), Desk::on_disk(config)] {
            desk.ask("s.1", &[], "");
            desk.ask("s.1", &[], "");
            assert_eq!(desk.ask("s.1", &[("Nats-Rollup", value)], ""), stored(3), "{value}");
            assert_eq!((desk.state().0, desk.state().2), (3, 1));
        }
    }
}

#[test]
fn what_a_message_displaces_makes_no_room_for_a_larger_one() {
    let config = r#"{"max_bytes":153,"max_msgs_per_subject":1,"discard":"new"}"#;
    let full = refused(503, 10077, "maximum bytes exceeded");
    for mut desk in [Desk::new(config), Desk::on_disk(config)] {
        assert_eq!(desk.ask("s.1", &[], &"x".repeat(70)), stored(1));
        assert_eq!(desk.ask("s.1", &[], &"x".repeat(71)), full);
        assert_eq!(desk.ask("s.1", &[], &"x".repeat(70)), stored(2));
        assert_eq!(desk.ask("s.1", &[], &"x".repeat(60)), stored(3));
    }
}
