//! What ends by itself.

use super::{Desk, refused, stored};
use crate::types::time::{MILLISECOND, SECOND};

fn seqs(desk: &mut Desk) -> Vec<u64> {
    desk.messages().iter().map(|(seq, ..)| *seq).collect()
}

#[test]
fn messages_end_at_their_age() {
    let mut desk = Desk::new(r#"{"max_age":1000000000}"#);
    desk.ask("s.1", &[], "");
    desk.pass(SECOND / 2);
    desk.ask("s.2", &[], "");
    desk.pass(SECOND / 2 - 1);
    assert_eq!(seqs(&mut desk), [1, 2]);
    desk.pass(21 * MILLISECOND);
    assert_eq!(seqs(&mut desk), [2]);
    desk.pass(SECOND);
    assert_eq!(desk.state(), (3, 2, 0, 0));
    desk.ask("s.2", &[], "");
    desk.pass(SECOND + 20 * MILLISECOND);
    assert_eq!(desk.state(), (4, 3, 0, 0));
}

#[test]
fn ttl_values() {
    let mut desk = Desk::new(r#"{"allow_msg_ttl":true}"#);
    let bad = refused(400, 10165, "invalid per-message TTL");
    let mut seq = 0;
    for value in ["500ms", "1s", "-1", "0", "never", "10", "junk", "1.5s", " 5s "] {
        let answer = desk.ask("s.1", &[("Nats-TTL", value)], "");
        match matches!(value, "1s" | "never" | "10" | "1.5s") {
            true => {
                seq += 1;
                assert_eq!(answer, stored(seq), "{value}");
            }
            false => assert_eq!(answer, bad, "{value}"),
        }
    }
}

#[test]
fn messages_end_at_their_ttl_and_at_their_age() {
    let mut desk = Desk::new(r#"{"allow_msg_ttl":true,"max_age":4000000000}"#);
    for ttl in ["1s", "10s", "never", "2s"] {
        desk.ask("s.1", &[("Nats-TTL", ttl)], "");
    }
    desk.ask("s.1", &[], "");
    let mut left = vec![];
    for _ in 0..5 {
        left.push(seqs(&mut desk));
        desk.pass(SECOND + 5 * MILLISECOND);
    }
    assert_eq!(
        left,
        [vec![1, 2, 3, 4, 5], vec![2, 3, 4, 5], vec![2, 3, 5], vec![2, 3, 5], vec![3]]
    );
    desk.pass(100 * SECOND);
    assert_eq!(seqs(&mut desk), [3]);
}

#[test]
fn the_last_message_of_a_subject_leaves_a_marker() {
    let config = r#"{"allow_msg_ttl":true,"allow_rollup_hdrs":true,
        "subject_delete_marker_ttl":1000000000,"max_age":1500000000}"#;
    let mut desk = Desk::new(config);
    desk.ask("s.1", &[], "x");
    desk.ask("s.2", &[("Nats-TTL", "never")], "x");
    desk.ask("s.1", &[], "y");
    desk.ask("s.3", &[("Nats-TTL", "10s")], "x");
    desk.ask("s.4", &[("KV-Operation", "PURGE")], "");
    desk.ask("s.5", &[("KV-Operation", "DEL")], "");
    desk.pass(1_600 * MILLISECOND);
    let left = desk.messages();
    let left: Vec<_> = left.iter().map(|(seq, subject, _)| (*seq, &**subject)).collect();
    assert_eq!(left, [(2, "s.2"), (7, "s.1"), (8, "s.3"), (9, "s.5")]);
    let crate::jetstream::store::Fetch::Here(marker) =
        desk.stream.store.fetch(None, crate::storage::Seq(7))
    else {
        panic!("it is there")
    };
    assert_eq!(
        String::from_utf8_lossy(marker.headers),
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1s\r\nNats-Rollup: sub\r\n\r\n"
    );
    assert_eq!(marker.payload, b"");
    desk.pass(2 * SECOND);
    assert_eq!(seqs(&mut desk), [2], "markers leave no markers");
}

#[test]
fn a_message_lives_no_shorter_than_its_marker() {
    let config = r#"{"allow_msg_ttl":true,"allow_rollup_hdrs":true,"allow_atomic":true,
        "subject_delete_marker_ttl":3000000000}"#;
    let mut desk = Desk::new(config);
    let asked = ["1s", "4s", "never", "2"];
    for ttl in asked {
        desk.ask(&format!("s.{ttl}"), &[("Nats-TTL", ttl), ("A", "b")], "");
    }
    let batch =
        |at, more| [("Nats-TTL", "1"), ("Nats-Batch-Id", "x"), ("Nats-Batch-Sequence", at), more];
    desk.ask("s.5", &batch("1", ("A", "b")), "");
    desk.ask("s.6", &batch("2", ("Nats-Batch-Commit", "1")), "");
    let mut header = |seq| {
        let found = desk.stream.store.fetch(None, crate::storage::Seq(seq));
        let crate::jetstream::store::Fetch::Here(stored) = found else { panic!("{seq} is there") };
        String::from_utf8_lossy(stored.headers).into_owned()
    };
    // As nats-server writes it: the value it set stands last.
    assert_eq!(header(1), "NATS/1.0\r\nA: b\r\nNats-TTL: 3\r\n\r\n");
    assert_eq!(header(2), "NATS/1.0\r\nNats-TTL: 4s\r\nA: b\r\n\r\n");
    assert_eq!(header(3), "NATS/1.0\r\nNats-TTL: never\r\nA: b\r\n\r\n");
    for seq in [4, 5, 6] {
        assert!(header(seq).ends_with("\r\nNats-TTL: 3\r\n\r\n"), "{}", header(seq));
    }
    desk.pass(2_900 * MILLISECOND);
    assert_eq!(seqs(&mut desk), [1, 2, 3, 4, 5, 6]);
    desk.pass(200 * MILLISECOND);
    assert_eq!(seqs(&mut desk)[..2], [2, 3]);
}

#[test]
fn a_message_that_is_alone_under_its_subject_lives_as_long_as_it_asks() {
    let config = r#"{"allow_msg_ttl":true,"allow_rollup_hdrs":true,"max_msgs_per_subject":1,
        "subject_delete_marker_ttl":3000000000}"#;
    let mut desk = Desk::new(config);
    desk.ask("s.1", &[("Nats-TTL", "1s")], "");
    let found = desk.stream.store.fetch(None, crate::storage::Seq(1));
    let crate::jetstream::store::Fetch::Here(stored) = found else { panic!("it is there") };
    assert_eq!(stored.headers, b"NATS/1.0\r\nNats-TTL: 1s\r\n\r\n");
    desk.pass(1_100 * MILLISECOND);
    assert_eq!(seqs(&mut desk), [2], "its marker is there instead");
}

#[test]
fn a_shorter_age_takes_effect_at_once() {
    let mut desk = Desk::new("{}");
    desk.ask("s.1", &[], "");
    desk.pass(10 * SECOND);
    desk.ask("s.1", &[], "");
    let mut config = desk.stream.config().clone();
    config.max_age.0 = 5 * SECOND as i64;
    desk.with(|stream, ctx| stream.update(ctx, config)).unwrap();
    assert_eq!(seqs(&mut desk), [2]);
}

#[test]
fn a_restart_forgets_nothing_that_is_stored() {
    let mut desk = Desk::on_disk(r#"{"allow_msg_ttl":true}"#);
    let id = [("Nats-Msg-Id", "1"), ("Nats-TTL", "5s")];
    assert_eq!(desk.ask("s.1", &id, "x"), stored(1));
    desk.restart();
    assert_eq!(desk.ask("s.1", &id, "x"), r#"{"stream":"S","seq":1,"duplicate": true}"#);
    assert_eq!(
        desk.ask("s.1", &[("Nats-Expected-Last-Msg-Id", "2")], ""),
        refused(400, 10070, "wrong last msg ID: 1")
    );
    assert_eq!(desk.ask("s.1", &[("Nats-Expected-Last-Msg-Id", "1")], ""), stored(2));
    desk.pass(5 * SECOND);
    desk.pass(5 * SECOND);
    assert_eq!(desk.messages().len(), 1, "the one without a TTL");
}
