//! Batches and counters, as the reference answers them.

use super::{Desk, refused, stored};
use crate::jetstream::store::Fetch;
use crate::storage::Seq;
use crate::types::time::SECOND;

/// A message of a batch.
fn send(
    desk: &mut Desk,
    (id, place, commit): (&str, u64, &str),
    (subject, payload): (&str, &str),
    more: &[(&str, &str)],
) -> String {
    let place = place.to_string();
    let mut headers = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", &place)];
    if !commit.is_empty() {
        headers.push(("Nats-Batch-Commit", commit));
    }
    headers.extend_from_slice(more);
    desk.ask(subject, &headers, payload)
}

/// Two messages, the second commits; what the first is answered is always empty.
type Half<'a> = (&'a str, &'a [(&'a str, &'a str)]);
fn two(desk: &mut Desk, first: Half<'_>, second: Half<'_>) -> String {
    assert_eq!(send(desk, ("x", 1, ""), (first.0, "x"), first.1), "");
    send(desk, ("x", 2, "1"), (second.0, "x"), second.1)
}

fn done(seq: u64, id: &str, count: u64) -> String {
    format!(r#"{{"stream":"S","seq":{seq},"batch":"{id}","count":{count}}}"#)
}

fn incomplete() -> String {
    refused(400, 10176, "atomic publish batch is incomplete")
}

/// The reasons of abandoned batches since the last look.
fn abandoned(desk: &mut Desk) -> Vec<String> {
    let told = std::mem::take(&mut desk.told);
    let advisories =
        told.iter().filter(|sent| sent.subject == "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.S");
    advisories
        .map(|sent| {
            let (_, tail) = sent.payload.split_once(r#""stream":"S","batch":"#).expect("its form");
            tail.trim_end_matches('}').replace('"', "")
        })
        .collect()
}

#[test]
fn a_batch_is_stored_whole() {
    let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
    assert_eq!(send(&mut desk, ("b", 1, ""), ("s.1", "1"), &[]), "");
    assert_eq!(send(&mut desk, ("b", 2, ""), ("s.2", "2"), &[]), "");
    assert_eq!(desk.state().1, 0);
    assert_eq!(send(&mut desk, ("b", 3, "1"), ("s.1", "3"), &[]), done(3, "b", 3));
    let payloads: Vec<_> = desk.messages().into_iter().map(|(.., payload)| payload).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
    assert_eq!(send(&mut desk, ("e", 1, ""), ("s.1", "4"), &[]), "");
    assert_eq!(send(&mut desk, ("e", 2, "eob"), ("s.1", "no"), &[]), done(4, "e", 1));
    assert_eq!(send(&mut desk, ("s", 1, "1"), ("s.1", "5"), &[]), done(5, "s", 1));
    assert_eq!(desk.state().2, 5);
}

#[test]
fn what_is_refused_at_once() {
    let mut desk = Desk::new("{}");
    let disabled = refused(400, 10174, "atomic publish is disabled");
    assert_eq!(send(&mut desk, ("b", 1, ""), ("s.1", ""), &[]), disabled);

    let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
    let missing = refused(400, 10175, "atomic publish sequence is missing");
    assert_eq!(desk.ask("s.1", &[("Nats-Batch-Id", "q")], ""), missing);
    let junk = [("Nats-Batch-Id", "q"), ("Nats-Batch-Sequence", "z")];
    assert_eq!(desk.ask("s.1", &junk, ""), missing);
    assert_eq!(send(&mut desk, ("q", 0, ""), ("s.1", ""), &[]), incomplete());
    assert_eq!(send(&mut desk, ("q", 2, ""), ("s.1", ""), &[]), incomplete());
    assert_eq!(abandoned(&mut desk), [""; 0]);

    assert_eq!(send(&mut desk, ("q", 1, ""), ("s.1", ""), &[]), "");
    assert_eq!(send(&mut desk, ("q", 3, ""), ("s.1", ""), &[]), incomplete());
    assert_eq!(abandoned(&mut desk), ["q,reason:incomplete"]);
    assert_eq!(send(&mut desk, ("q", 2, ""), ("s.1", ""), &[]), incomplete());

    let long = "i".repeat(65);
    let invalid = refused(400, 10179, "atomic publish batch ID is invalid");
    assert_eq!(send(&mut desk, (&long, 1, ""), ("s.1", ""), &[]), invalid);
    let id = "i".repeat(64);
    assert_eq!(send(&mut desk, (&id, 1, "1"), ("s.1", "x"), &[]), done(1, &id, 1));

    let bad = refused(400, 10200, "atomic publish batch commit is invalid");
    assert_eq!(send(&mut desk, ("c", 1, "2"), ("s.1", ""), &[]), bad);
    assert_eq!(send(&mut desk, ("c", 1, ""), ("s.1", ""), &[]), "");
    assert_eq!(send(&mut desk, ("c", 2, "x"), ("s.1", ""), &[]), bad);
    assert_eq!(send(&mut desk, ("c", 2, "1"), ("s.1", ""), &[]), incomplete());
    assert_eq!(abandoned(&mut desk), [""; 0]);
    assert_eq!(send(&mut desk, ("e", 1, "eob"), ("s.1", ""), &[]), incomplete());
    assert_eq!(abandoned(&mut desk), ["e,reason:incomplete"]);

    let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
    assert_eq!(send(&mut desk, ("x", 1, ""), ("s.1", ""), &[]), "");
    let level = [("Nats-Required-Api-Level", "99")];
    let unserved = refused(412, 10185, "JetStream minimum api level required");
    assert_eq!(send(&mut desk, ("x", 2, "1"), ("s.1", ""), &level), unserved);
    assert_eq!(abandoned(&mut desk), ["x,reason:unsupported"]);
}

#[test]
fn bounds_of_batches() {
    let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
    let too_large = refused(400, 10199, "atomic publish batch is too large: 1000");
    for (last, commit, expected) in [
        (1001, "1", too_large),
        (1000, "1", done(1000, "x", 1000)),
        (1001, "eob", done(2000, "x", 1000)),
    ] {
        for place in 1..last {
            assert_eq!(send(&mut desk, ("x", place, ""), ("s.1", ""), &[]), "");
        }
        assert_eq!(send(&mut desk, ("x", last, commit), ("s.1", ""), &[]), expected);
    }
    assert_eq!(abandoned(&mut desk), ["x,reason:large"]);

    for n in 0..50 {
        assert_eq!(send(&mut desk, (&format!("m{n}"), 1, ""), ("s.1", ""), &[]), "");
    }
    let many = refused(429, 10210, "atomic publish too many inflight");
    assert_eq!(send(&mut desk, ("more", 1, "1"), ("s.1", ""), &[]), many);
    assert_eq!(send(&mut desk, ("m0", 2, "1"), ("s.1", ""), &[]), done(2002, "m0", 2));
    desk.pass(10 * SECOND - 1);
    assert_eq!(abandoned(&mut desk).len(), 0);
    desk.pass(1);
    let given_up = abandoned(&mut desk);
    assert_eq!(given_up.len(), 49);
    assert!(given_up.iter().all(|advisory| advisory.ends_with(",reason:timeout")));
}

#[test]
fn what_is_refused_at_the_commit() {
    let wrong = |seq: u64| refused(400, 10071, &format!("wrong last sequence: {seq}"));
    let constant = || refused(400, 10164, "wrong last sequence");
    let (seq, subject_seq) = ("Nats-Expected-Last-Sequence", "Nats-Expected-Last-Subject-Sequence");
    let of = "Nats-Expected-Last-Subject-Sequence-Subject";
    let id = "Nats-Msg-Id";
    let duplicate = || refused(400, 10201, "atomic publish batch contains duplicate message id");
    let unsupported =
        refused(400, 10177, "atomic publish unsupported header used: Nats-Expected-Last-Msg-Id");
    let rollup = |scope: &str| refused(500, 10111, &format!("batch rollup {scope} invalid"));
    let config = r#"{"allow_atomic":true,"allow_rollup_hdrs":true,"allow_msg_ttl":true}"#;
    let mut desk = Desk::new(config);
    // The stream has two messages, s.2 the last.
    assert_eq!(two(&mut desk, ("s.1", &[(seq, "0")]), ("s.2", &[])), done(2, "x", 2));
    let rows: &[(Half<'_>, Half<'_>, String)] = &[
        (("s.1", &[(seq, "9")]), ("s.1", &[]), wrong(2)),
        (("s.1", &[]), ("s.1", &[(seq, "3")]), constant()),
        (("s.1", &[]), ("s.1", &[(seq, "2")]), wrong(3)),
        (("s.2", &[(subject_seq, "2")]), ("s.2", &[(subject_seq, "2")]), constant()),
        (("s.2", &[(subject_seq, "2")]), ("s.2", &[(subject_seq, "3")]), constant()),
        (("s.3", &[]), ("s.3", &[(subject_seq, "0")]), constant()),
        (("s.3", &[]), ("s.4", &[(subject_seq, "9"), (of, "s.*")]), wrong(2)),
        (("s.1", &[("Nats-Expected-Last-Msg-Id", "1")]), ("s.1", &[]), unsupported),
        (("s.1", &[(id, "1")]), ("s.1", &[(id, "1")]), duplicate()),
        (("s.1", &[]), ("s.1", &[("Nats-Rollup", "sub")]), rollup("sub")),
        (("s.1", &[]), ("s.2", &[("Nats-Rollup", "all")]), rollup("all")),
        (
            ("s.1", &[("Nats-TTL", "5s")]),
            ("s.1", &[("Nats-TTL", "z")]),
            refused(400, 10165, "invalid per-message TTL"),
        ),
        (
            ("s.1", &[("Nats-Stream-Source", "5")]),
            ("s.1", &[]),
            refused(400, 10227, "message stream source header is not allowed"),
        ),
        (
            ("s.1", &[("Nats-Expected-Stream", "B")]),
            ("s.1", &[]),
            refused(400, 10060, "expected stream does not match"),
        ),
        (
            ("s.1", &[("Nats-Incr", "1")]),
            ("s.1", &[]),
            refused(400, 10168, "message counters is disabled"),
        ),
        (
            ("s.1", &[(of, "s.1")]),
            ("s.1", &[]),
            refused(400, 10193, "missing sequence for expected last sequence per subject"),
        ),
    ];
    for (first, second, expected) in rows {
        assert_eq!(&two(&mut desk, *first, *second), expected, "{first:?} {second:?}");
    }
    assert_eq!(desk.state().1, 2);
    let both = [(subject_seq, "2"), (of, "s.2")];
    assert_eq!(two(&mut desk, ("s.3", &both), ("s.4", &both)), done(4, "x", 2));
    assert_eq!(two(&mut desk, ("s.3", &both), ("s.2", &[])), done(6, "x", 2));
    assert_eq!(two(&mut desk, ("s.1", &[(id, "1")]), ("s.1", &[(id, "2")])), done(8, "x", 2));
    assert_eq!(two(&mut desk, ("s.1", &[]), ("s.1", &[(id, "2")])), duplicate());
    assert_eq!(two(&mut desk, ("s.1", &[("Nats-Rollup", "all")]), ("s.1", &[])), done(10, "x", 2));
    assert_eq!(desk.state().2, 2);
}

#[test]
fn limits_hold_for_the_whole_batch() {
    let mut desk = Desk::new(r#"{"allow_atomic":true,"max_msgs":1,"discard":"new"}"#);
    let full = refused(503, 10077, "maximum messages exceeded");
    assert_eq!(two(&mut desk, ("s.1", &[]), ("s.2", &[])), full);
    assert_eq!(desk.state().1, 0);
    let mut desk = Desk::new(r#"{"allow_atomic":true,"max_msgs_per_subject":1}"#);
    assert_eq!(two(&mut desk, ("s.1", &[]), ("s.1", &[])), done(2, "x", 2));
    assert_eq!(desk.state().2, 1);
}

#[test]
fn counters_add_up() {
    let mut desk =
        Desk::new(r#"{"allow_msg_counter":true,"allow_atomic":true,"allow_rollup_hdrs":true}"#);
    let counted =
        |seq: u64, value: &str| format!(r#"{{"stream":"S","seq":{seq},"val":"{value}"}}"#);
    let invalid = || refused(400, 10171, "message counter increment is invalid");
    let missing = || refused(400, 10169, "message counter increment is missing");
    let nines = "9".repeat(30);
    let rows = [
        ("1", counted(1, "1")),
        ("+5", counted(2, "6")),
        ("-2", counted(3, "4")),
        ("0", counted(4, "4")),
        (&nines, counted(5, "1000000000000000000000000000003")),
        ("1.5", invalid()),
        ("", missing()),
        ("-", invalid()),
        (" 7", counted(6, "1000000000000000000000000000010")),
        ("0x10", invalid()),
        ("1_000", invalid()),
    ];
    for (increment, expected) in rows {
        assert_eq!(desk.ask("s.1", &[("Nats-Incr", increment)], ""), expected, "{increment}");
    }
    assert_eq!(desk.ask("s.1", &[], ""), missing());
    let payload = refused(400, 10170, "message counter has payload");
    assert_eq!(desk.ask("s.1", &[("Nats-Incr", "1")], "x"), payload);
    for other in ["Nats-Rollup", "Nats-Expected-Stream", "Nats-Expected-Last-Sequence"] {
        assert_eq!(desk.ask("s.1", &[("Nats-Incr", "1"), (other, "S")], ""), invalid(), "{other}");
    }
    let body = desk.messages().pop().expect("the last").2;
    assert_eq!(body, r#"{"val":"1000000000000000000000000000010"}"#);
    let five: &[(&str, &str)] = &[("Nats-Incr", "5")];
    send(&mut desk, ("x", 1, ""), ("s.2", ""), five);
    assert_eq!(send(&mut desk, ("x", 2, "1"), ("s.2", ""), five), done(8, "x", 2));
    assert_eq!(desk.messages().pop().expect("the last").2, r#"{"val":"10"}"#);
    assert_eq!(desk.ask("s.2", &[("Nats-Incr", "1")], ""), counted(9, "11"));

    let mut desk = Desk::new("{}");
    let disabled = refused(400, 10168, "message counters is disabled");
    assert_eq!(desk.ask("s.1", &[("Nats-Incr", "1")], ""), disabled);
    assert_eq!(desk.ask("s.1", &[("Nats-Incr", "q")], ""), invalid());
    assert_eq!(desk.ask("s.1", &[], ""), stored(1));
}

/// What a message of a fast batch is answered. `control`: id, window, gaps, place, operation.
fn fast(desk: &mut Desk, control: &str, headers: &[(&str, &str)]) -> Vec<String> {
    desk.publish("s.1", &format!("F.{control}.$FI"), headers, "x");
    desk.settle();
    std::mem::take(&mut desk.told).into_iter().map(|sent| sent.payload).collect()
}

#[test]
fn fast_batches() {
    let ack =
        |place: u64, window: u64| format!(r#"{{"type":"ack","seq":{place},"msgs":{window}}}"#);
    let gap = |last: u64, seq: u64| format!(r#"{{"type":"gap","last_seq":{last},"seq":{seq}}}"#);
    let err = |seq: u64, last: u64| {
        format!(
            r#"{{"type":"err","seq":{seq},"error":{{"code":400,"err_code":10071,"description":"wrong last sequence: {last}"}}}}"#
        )
    };
    let unknown = || refused(400, 10208, "batch publish ID unknown");
    let pattern = || refused(400, 10206, "batch publish pattern is invalid");
    let wrong = [("Nats-Expected-Last-Sequence", "99")];
    let other = [("Nats-Expected-Last-Msg-Id", "m2")];
    let wrong_id = || refused(400, 10070, "wrong last msg ID: ");
    let id = |value| [("Nats-Msg-Id", value)];
    type Headers<'h> = &'h [(&'h str, &'h str)];
    let rows: &[(&str, Headers<'_>, Vec<String>)] = &[
        ("U1.2.fail.1.0", &[], vec![ack(0, 2)]),
        ("U1.2.fail.2.1", &[], vec![ack(2, 2)]),
        ("U1.2.fail.3.1", &[], vec![]),
        ("U1.2.fail.4.1", &[], vec![ack(4, 2)]),
        ("U1.2.fail.5.1", &[], vec![]),
        ("U1.2.fail.5.4", &[], vec![ack(4, 2)]),
        ("U1.2.fail.6.2", &[], vec![done(6, "U1", 6)]),
        ("U1.2.fail.7.1", &[], vec![unknown()]),
        ("U2.0.ok.1.0", &[], vec![ack(0, 10)]),
        ("U2.0.ok.3.1", &[], vec![gap(2, 3)]),
        ("U2.0.ok.4.1", &wrong, vec![err(4, 8)]),
        ("U2.0.ok.5.3", &[], vec![done(8, "U2", 4)]),
        ("U3.5.fail.1.0", &[], vec![ack(0, 5)]),
        ("U3.5.fail.3.1", &[], vec![gap(2, 3), done(9, "U3", 1)]),
        ("U3.5.fail.4.1", &[], vec![unknown()]),
        ("U4.5.fail.1.0", &[], vec![ack(0, 5)]),
        ("U4.5.fail.2.1", &wrong, vec![err(2, 10), done(10, "U4", 1)]),
        ("U5.5.fail.1.2", &[], vec![done(11, "U5", 1)]),
        ("U5.5.fail.1.3", &[], vec![pattern()]),
        ("U6.100.fail.1.0", &[], vec![ack(0, 100)]),
        ("U6.5.fail.2.1", &[], vec![]),
        ("U6.5.fail.5.4", &[], vec![gap(3, 6), done(13, "U6", 2)]),
        ("U7.5.fail.2.0", &[], vec![pattern()]),
        ("U7.5.fail.1.1", &[], vec![pattern()]),
        ("U7.5.fail.1.4", &[], vec![unknown()]),
        ("U7.5.fail.1.9", &[], vec![pattern()]),
        ("U7.5.bad.1.0", &[], vec![pattern()]),
        ("U7.5.ok.x.0", &[], vec![pattern()]),
        ("U7.x.ok.1.0", &[], vec![ack(0, 10)]),
        ("U7.-5.ok.1.0", &[], vec![gap(2, 1), done(14, "U7", 1)]),
        ("U8.5.ok.1.0", &id("q"), vec![ack(0, 5)]),
        ("U8.5.ok.2.1", &id("r"), vec![]),
        ("U8.5.ok.3.2", &id("r"), vec![done(16, "U8", 3)]),
        ("V1.5.fail.1.0", &id("q"), vec![ack(0, 5)]),
        ("V1.5.fail.2.2", &id("q"), vec![done(0, "V1", 2)]),
        ("V5.5.fail.1.2", &wrong, vec![refused(400, 10071, "wrong last sequence: 16")]),
        ("V7.1.ok.1.0", &[], vec![ack(0, 1), ack(1, 1)]),
        ("V7.1.ok.2.2", &wrong, vec![err(2, 17), done(17, "V7", 1)]),
        ("V8.5.ok.1.0", &[], vec![ack(0, 5)]),
        ("V8.5.ok.4.2", &[], vec![gap(2, 4), done(19, "V8", 4)]),
        ("V9.5.fail.1.0", &[], vec![ack(0, 5)]),
        ("V9.5.fail.4.2", &[], vec![gap(2, 4), done(20, "V9", 1)]),
        ("R1.1.ok.1.0", &wrong, vec![ack(0, 1), err(1, 20)]),
        ("R1.1.ok.2.1", &[], vec![ack(2, 1)]),
        ("R1.1.ok.3.1", &wrong, vec![err(3, 21)]),
        ("R1.1.ok.4.2", &[], vec![done(22, "R1", 4)]),
        ("R2.2.ok.1.0", &[], vec![ack(0, 2)]),
        ("R2.2.ok.2.1", &wrong, vec![err(2, 23)]),
        ("R2.2.ok.3.1", &[], vec![ack(2, 2)]),
        ("R2.2.ok.4.1", &other, vec![wrong_id()]),
        ("R2.2.ok.9.1", &[], vec![gap(5, 9), ack(8, 2)]),
        ("R2.2.ok.10.2", &[], vec![done(26, "R2", 10)]),
        ("R3.2.fail.1.0", &other, vec![ack(0, 2), wrong_id()]),
        ("R3.2.fail.2.1", &[], vec![ack(2, 2)]),
        ("R3.2.fail.3.2", &other, vec![wrong_id()]),
        ("R4.2.fail.1.0", &wrong, vec![ack(0, 2), refused(400, 10071, "wrong last sequence: 27")]),
        ("R4.2.fail.2.1", &[], vec![unknown()]),
        ("R5.2.ok.1.2", &wrong, vec![err(1, 27), done(0, "R5", 0)]),
        ("W1.5.fail.1.0", &[], vec![ack(0, 5)]),
    ];
    let mut desk = Desk::new(r#"{"allow_batched":true}"#);
    for (control, headers, expected) in rows {
        assert_eq!(&fast(&mut desk, control, headers), expected, "{control}");
    }
    desk.pass(10 * SECOND);
    assert_eq!(fast(&mut desk, "W1.5.fail.2.1", &[]), [unknown()]);
    let long = format!("{}.5.ok.1.0", "u".repeat(65));
    let invalid = refused(400, 10207, "batch publish ID is invalid");
    assert_eq!(fast(&mut desk, &long, &[]), [invalid]);
    let level = [("Nats-Required-Api-Level", "99")];
    let unserved = refused(412, 10185, "JetStream minimum api level required");
    assert_eq!(fast(&mut desk, "X.5.ok.1.0", &level), [unserved]);
    let disabled = refused(400, 10205, "batch publish is disabled");
    assert_eq!(fast(&mut Desk::new("{}"), "X.5.ok.1.0", &[]), [disabled]);
}

#[test]
fn the_last_message_tells_the_end_of_its_batch() {
    let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
    send(&mut desk, ("e", 1, ""), ("s.1", ""), &[]);
    send(&mut desk, ("e", 2, "eob"), ("s.1", ""), &[]);
    let headers =
        desk.with(|stream, ctx| match stream.store().fetch(ctx.log.as_deref_mut(), Seq(1)) {
            Fetch::Here(stored) => String::from_utf8_lossy(stored.headers).into_owned(),
            other => panic!("{other:?}"),
        });
    let lines = "Nats-Batch-Id: e\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1";
    assert_eq!(headers, format!("NATS/1.0\r\n{lines}\r\n\r\n"));
}

#[test]
fn a_commit_that_is_none_ends_a_batch_before_its_place_is_looked_at() {
    let bad = refused(400, 10200, "atomic publish batch commit is invalid");
    for (place, commit) in [("2", ""), ("0", "0"), ("2", "no")] {
        let mut desk = Desk::new(r#"{"allow_atomic":true}"#);
        send(&mut desk, ("b", 1, ""), ("s.1", ""), &[]);
        let headers =
            [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", place), ("Nats-Batch-Commit", commit)];
        assert_eq!(desk.ask("s.1", &headers, ""), bad, "{place} {commit}");
        assert_eq!(send(&mut desk, ("b", 2, ""), ("s.1", ""), &[]), incomplete());
        assert_eq!(abandoned(&mut desk), [""; 0]);
        // Where there is no batch its place comes first.
        assert_eq!(send(&mut desk, ("b", 5, "0"), ("s.1", ""), &[]), incomplete());
    }
}

#[test]
fn that_a_counter_misses_its_increment_is_told_last() {
    let mut desk = Desk::new(r#"{"allow_msg_counter":true}"#);
    let rows = [
        ("Nats-Expected-Last-Msg-Id", "10070"),
        ("Nats-Expected-Last-Sequence", "10071"),
        ("Nats-Expected-Stream", "10060"),
        ("Nats-Stream-Source", "10227"),
        ("Nats-Rollup", "10111"),
        ("Nats-Schedule", "10188"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "10193"),
        ("Nats-TTL", "10169"),
        ("Other", "10169"),
    ];
    for (header, code) in rows {
        let answer = desk.ask("s.1", &[(header, "q")], "");
        assert!(answer.contains(code), "{header}: {answer}");
    }
    assert_eq!(desk.state().1, 0);
}
