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
fn a_shorter_age_takes_effect_at_once() {
    let mut desk = Desk::new("{}");
    desk.ask("s.1", &[], "");
    desk.pass(10 * SECOND);
    desk.ask("s.1", &[], "");
    let mut config = desk.stream.config().clone();
    config.max_age.0 = 5 * SECOND as i64;
    desk.with(|stream, ctx| stream.update(ctx, config)).unwrap();
    desk.pass(1);
    assert_eq!(seqs(&mut desk), [2]);
}
