//! Republishing, renaming, and what is told on request.

use super::{Desk, Sent, refused, stored};
use crate::jetstream::error::ApiError;
use crate::jetstream::stream::access::Wanted;
use crate::jetstream::stream::{Got, InfoRequest, MessageDeleteRequest, PurgeRequest};
use crate::storage::Seq;

#[test]
fn stored_messages_are_published_again() {
    let config = r#"{"republish":{"src":"s.>","dest":"rp.>"},
        "subject_transform":{"src":"s.*","dest":"s.t.{{wildcard(1)}}"}}"#;
    let mut desk = Desk::new(config);
    desk.ask("s.1", &[("A", "b")], "x");
    desk.ask("s.1", &[], "y");
    let told = |seq: u64, last: u64, user: &str, payload: &str| Sent {
        subject: "rp.t.1".into(),
        reply: String::new(),
        headers: format!(
            "NATS/1.0\r\n{user}Nats-Stream: S\r\nNats-Subject: s.t.1\r\nNats-Sequence: {seq}\r\n\
            Nats-Time-Stamp: 2027-01-15T08:00:00Z\r\nNats-Last-Sequence: {last}\r\n\r\n"
        ),
        payload: payload.into(),
    };
    assert_eq!(desk.told, [told(1, 0, "A: b\r\n", "x"), told(2, 1, "", "y")]);

    let config = r#"{"republish":{"src":"s.1","dest":"rp","headers_only":true}}"#;
    let mut desk = Desk::new(config);
    desk.ask("s.1", &[], "four");
    desk.ask("s.2", &[], "four");
    assert_eq!(desk.told.len(), 1);
    assert!(desk.told[0].headers.ends_with("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 4\r\n\r\n"));
    assert_eq!(desk.told[0].payload, "");
}

#[test]
fn without_a_destination_nothing_is_published_again() {
    for rule in [r#"{"src":"s.*","dest":""}"#, "{}"] {
        let mut desk = Desk::new(&format!(r#"{{"republish":{rule}}}"#));
        assert_eq!(desk.ask("s.1", &[], "x"), stored(1));
        assert_eq!(desk.told, []);
    }
}

fn ten() -> Desk {
    let mut desk = Desk::new("{}");
    for n in 0..10 {
        desk.ask(&format!("s.{}", n % 3), &[], &format!("m{n}"));
    }
    desk
}

#[test]
fn purges() {
    // filter, seq, keep → purged, messages, first, last
    let rows = [
        ("", 4, 0, 3, (4, 10, 7)),
        ("", 100, 0, 10, (100, 99, 0)),
        ("", 11, 0, 10, (11, 10, 0)),
        ("", 10, 0, 9, (10, 10, 1)),
        ("", 1, 0, 0, (1, 10, 10)),
        ("", 0, 4, 6, (7, 10, 4)),
        ("", 0, 100, 0, (1, 10, 10)),
        ("s.1", 0, 0, 3, (1, 10, 7)),
        ("s.1", 5, 0, 1, (1, 10, 9)),
        ("s.1", 0, 1, 2, (1, 10, 8)),
        ("s.*", 0, 2, 8, (9, 10, 2)),
        ("zz", 0, 0, 0, (1, 10, 10)),
        ("zz", 100, 0, 0, (1, 10, 10)),
        ("s..1", 0, 0, 0, (1, 10, 10)),
        (">", 0, 0, 10, (11, 10, 0)),
        ("s.>", 5, 0, 4, (5, 10, 6)),
        ("s.1", 100, 0, 3, (1, 10, 7)),
    ];
    for (filter, seq, keep, purged, state) in rows {
        let mut desk = ten();
        let request = PurgeRequest { seq, keep, filter: filter.into() };
        let answer = desk.with(|stream, ctx| stream.purge(ctx, &request));
        assert_eq!(answer, Ok(purged), "{request:?}");
        let (first, last, messages, _) = desk.state();
        assert_eq!((first, last, messages), state, "{request:?}");
    }
    let request = PurgeRequest { seq: 5, keep: 1, filter: String::new() };
    let answer = ten().with(|stream, ctx| stream.purge(ctx, &request));
    assert_eq!(answer, Err(ApiError::bad_request()));
}

#[test]
fn a_purge_forgets_no_id() {
    let mut desk = Desk::new("{}");
    desk.ask("s.1", &[("Nats-Msg-Id", "1")], "");
    desk.with(|stream, ctx| stream.purge(ctx, &PurgeRequest::default())).unwrap();
    let again = desk.ask("s.1", &[("Nats-Msg-Id", "1")], "");
    assert_eq!(again, r#"{"stream":"S","seq":1,"duplicate": true}"#);
    assert_eq!(desk.ask("s.1", &[("Nats-Expected-Last-Msg-Id", "1")], ""), stored(2));
    assert_eq!(
        desk.ask("s.1", &[("Nats-Expected-Last-Sequence", "0")], ""),
        refused(400, 10071, "wrong last sequence: 2")
    );
}

#[test]
fn deletes() {
    let mut desk = ten();
    let mut delete = |seq| {
        let request = MessageDeleteRequest { seq, no_erase: false };
        let answer = desk.with(|stream, ctx| stream.delete_message(ctx, &request));
        (answer, desk.state().0)
    };
    assert_eq!(delete(3), (Ok(()), 1));
    assert_eq!(delete(3), (Err(ApiError::sequence_not_found(3)), 1));
    assert_eq!(delete(100), (Err(ApiError::sequence_not_found(100)), 1));
    assert_eq!(delete(1), (Ok(()), 2));
    assert_eq!(delete(2), (Ok(()), 4));
    let mut desk = Desk::new(r#"{"deny_delete":true,"deny_purge":true}"#);
    let request = MessageDeleteRequest { seq: 1, no_erase: false };
    let answer = desk.with(|stream, ctx| stream.delete_message(ctx, &request));
    assert_eq!(answer, Err(ApiError::stream_msg_delete_failed("message delete not permitted")));
    let answer = desk.with(|stream, ctx| stream.purge(ctx, &PurgeRequest::default()));
    assert_eq!(answer, Err(ApiError::stream_purge_failed("stream purge not permitted")));
}

#[test]
fn messages_by_request() {
    let next = |filter: &str, seq| Wanted::Next(filter.as_bytes().into(), Seq(seq));
    let last = |filter: &str| Wanted::Last(filter.as_bytes().into());
    let rows = [
        (Wanted::Seq(Seq(3)), Some(3)),
        (Wanted::Seq(Seq(100)), None),
        (last("s.1"), Some(8)),
        (last("s.*"), Some(10)),
        (last("zz"), None),
        (last("s..1"), None),
        (next("s.1", 0), Some(2)),
        (next("s.1", 3), Some(5)),
        (next("s.1", 9), None),
        (next("s.*", 4), Some(4)),
        (next("", 7), Some(7)),
        (Wanted::Since([].into(), 0), Some(1)),
        (Wanted::Since([].into(), u64::MAX), None),
        (Wanted::Since(b"s.1"[..].into(), 0), Some(2)),
    ];
    let mut desk = ten();
    for (mut wanted, expected) in rows {
        let label = format!("{wanted:?}");
        let found = desk.with(|stream, ctx| match stream.get(ctx, &mut wanted) {
            Got::Here(stored) => Some(stored.seq.0),
            Got::Missing => None,
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected, "{label}");
    }
}

#[test]
fn info() {
    let mut desk = Desk::new(r#"{"first_seq":100}"#);
    let state = desk.with(|stream, ctx| stream.state(ctx)).unwrap();
    assert_eq!((state.first_seq, state.last_seq, state.first_ts.0), (100, 99, 0));
    let mut desk = Desk::new("{}");
    let state = desk.with(|stream, ctx| stream.state(ctx)).unwrap();
    assert_eq!((state.first_seq, state.last_seq), (0, 0));
    let mut desk = ten();
    let delete = MessageDeleteRequest { seq: 3, no_erase: true };
    desk.with(|stream, ctx| stream.delete_message(ctx, &delete)).unwrap();
    let request = InfoRequest { offset: 1, deleted_details: true, subjects_filter: "s.*".into() };
    let page = desk.with(|stream, ctx| stream.info(ctx, &request)).unwrap();
    let state = page.info.unwrap().state;
    assert_eq!((page.page.total, page.page.offset, page.page.limit), (3, 1, 100_000));
    let subjects: Vec<_> = state.subjects.iter().map(|(name, n)| (&**name, *n)).collect();
    assert_eq!(subjects, [("s.1", 3), ("s.2", 2)]);
    assert_eq!((state.num_deleted, state.deleted, state.num_subjects), (1, vec![3], 3));
}

#[test]
fn a_file_has_its_own_words_for_what_is_gone() {
    let mut desk = Desk::on_disk("{}");
    (0..5).for_each(|_| drop(desk.ask("s.1", &[], "")));
    let mut delete = |seq| {
        let request = MessageDeleteRequest { seq, no_erase: false };
        desk.with(|stream, ctx| stream.delete_message(ctx, &request))
    };
    assert_eq!([delete(3), delete(5)], [Ok(()), Ok(())]);
    for seq in [3, 5] {
        assert_eq!(delete(seq), Err(ApiError::sequence_not_found(seq)));
    }
    assert_eq!([delete(1), delete(2)], [Ok(()), Ok(())]);
    let gone = |text| Err(ApiError::stream_msg_delete_failed(text));
    // Before the first message there is nothing, whether there was something once or not.
    for seq in [0, 1, 3] {
        assert_eq!(delete(seq), gone("no message found"), "{seq}");
    }
    assert_eq!(delete(9), gone("stream store EOF"));
}

#[test]
fn the_time_of_a_message_that_was_not_kept_is_told() {
    let config = r#"{"retention":"interest"}"#;
    for mut desk in [Desk::new(config), Desk::on_disk(config)] {
        desk.ask("s.1", &[], "");
        let state = desk.with(|stream, ctx| stream.state(ctx)).unwrap();
        assert_eq!(state.last_ts, desk.now.wall);
    }
}
