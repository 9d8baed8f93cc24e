//! Schedules, as the reference takes and obeys them.

use super::{Desk, refused, stored};
use crate::jetstream::store::Fetch;
use crate::storage::Seq;
use crate::types::time::{MILLISECOND, SECOND};

fn desk() -> Desk {
    Desk::new(r#"{"allow_msg_schedules":true,"allow_msg_ttl":true,"allow_rollup_hdrs":true}"#)
}

/// Subject, headers and payload, as text.
fn message(desk: &mut Desk, seq: u64) -> Option<(String, String, String)> {
    let log = desk.bench.as_mut().map(|bench| &mut bench.log);
    let Fetch::Here(stored) = desk.stream.store.fetch(log, Seq(seq)) else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = text(stored.headers);
    let headers = headers.trim_start_matches("NATS/1.0\r\n").trim_end().replace("\r\n", "|");
    Some((text(stored.subject), headers, text(stored.payload)))
}

#[test]
fn what_is_refused() {
    let every: &[(&str, &str)] = &[("Nats-Schedule", "@every 1s")];
    let target: &[(&str, &str)] =
        &[("Nats-Schedule", "@every 1s"), ("Nats-Schedule-Target", "s.t")];
    let bad_target = || refused(400, 10190, "message schedules target is invalid");
    let bad_source = || refused(400, 10203, "message schedules source is invalid");
    let bad_ttl = || refused(400, 10191, "message schedules invalid per-message TTL");
    let bad_rollup = || refused(400, 10192, "message schedules invalid rollup");
    let bad_scheduler = || refused(400, 10212, "message schedules invalid scheduler");
    let bad_zone = || refused(400, 10223, "message schedules time zone is invalid");
    type Rows<'r> = &'r [(&'r str, &'r str)];
    let rows: &[(Rows<'_>, Rows<'_>, String)] = &[
        (every, &[], bad_target()),
        (every, &[("Nats-Schedule-Target", "zz.q")], bad_target()),
        (every, &[("Nats-Schedule-Target", "s.*")], bad_target()),
        (every, &[("Nats-Schedule-Target", "s.own")], bad_target()),
        (every, &[("Nats-Schedule-Target", "s..q")], bad_target()),
        (target, &[("Nats-Schedule-Source", "s.*")], bad_source()),
        (target, &[("Nats-Schedule-Source", "zz")], bad_source()),
        (target, &[("Nats-Schedule-Source", "s.own")], bad_source()),
        (target, &[("Nats-Schedule-Source", "s.t")], bad_source()),
        (target, &[("Nats-Schedule-TTL", "zz")], bad_ttl()),
        (target, &[("Nats-Schedule-TTL", "500ms")], bad_ttl()),
        (target, &[("Nats-Schedule-Rollup", "all")], bad_rollup()),
        (target, &[("Nats-Schedule-Rollup", "SUB")], bad_rollup()),
        (target, &[("Nats-Rollup", "all")], bad_rollup()),
        (target, &[("Nats-Rollup", "x")], bad_rollup()),
        (target, &[("Nats-Schedule-Next", "purge")], bad_scheduler()),
        (target, &[("Nats-Scheduler", "s.x")], bad_scheduler()),
        (&[], &[("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.*")], bad_scheduler()),
        (&[], &[("Nats-Schedule-Next", "x"), ("Nats-Scheduler", "s.1")], bad_scheduler()),
        (&[], &[("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.own")], bad_scheduler()),
        // Which of two is found first.
        (every, &[("Nats-Schedule-Target", "zz"), ("Nats-Schedule-TTL", "zz")], bad_ttl()),
        (every, &[("Nats-Schedule-Target", "zz"), ("Nats-Schedule-Rollup", "x")], bad_rollup()),
        (every, &[("Nats-Schedule-Target", "zz"), ("Nats-Schedule-Source", "s.*")], bad_source()),
        (every, &[("Nats-Schedule-Target", "zz"), ("Nats-Schedule-Source", "zz.1")], bad_target()),
        (every, &[("Nats-Schedule-Target", "s.*"), ("Nats-Schedule-Source", "s.*")], bad_target()),
        (every, &[("Nats-Schedule-Target", "zz"), ("Nats-Rollup", "x")], bad_target()),
        (target, &[("Nats-Schedule-Source", "zz"), ("Nats-Rollup", "x")], bad_source()),
        (target, &[("Nats-Schedule-Time-Zone", "x")], bad_zone()),
        (target, &[("Nats-Schedule-Time-Zone", "")], bad_zone()),
        (&[], &[("Nats-Schedule-Time-Zone", "x")], bad_zone()),
        (&[], &[("Nats-Schedule-Time-Zone", ""), ("Nats-Scheduler", "s.*")], bad_zone()),
        (
            &[("Nats-Schedule", "0 0 0 30 2 *")],
            &[("Nats-Schedule-Target", "s.t")],
            refused(400, 10189, "message schedules pattern is invalid"),
        ),
    ];
    for (base, more, expected) in rows {
        let headers = [*base, *more].concat();
        assert_eq!(&desk().ask("s.own", &headers, ""), expected, "{headers:?}");
    }
    let disabled = refused(400, 10188, "message schedules is disabled");
    let purge = ("Nats-Schedule-Next", "purge");
    let zone = ("Nats-Schedule-Time-Zone", "x");
    for headers in [
        &[("Nats-Schedule", "q")][..],
        &[zone],
        &[zone, ("Nats-Scheduler", "s.*")],
        &[purge, ("Nats-Scheduler", "s.x")],
    ] {
        assert_eq!(Desk::new("{}").ask("s.1", headers, ""), disabled, "{headers:?}");
    }
    let wild = [purge, ("Nats-Scheduler", "s.*")];
    assert_eq!(Desk::new("{}").ask("s.1", &wild, ""), bad_scheduler());
    let fine = [("Nats-Schedule-Time-Zone", "UTC")];
    assert_eq!(Desk::new("{}").ask("s.1", &fine, ""), stored(1));
    let no_ttl = || refused(400, 10166, "per-message TTL is disabled");
    for ttl in ["1s", "never"] {
        let headers = [target, &[("Nats-Schedule-TTL", ttl)]].concat();
        let mut desk = Desk::new(r#"{"allow_msg_schedules":true}"#);
        assert_eq!(desk.ask("s.own", &headers, ""), no_ttl());
    }
}

#[test]
fn an_empty_rollup_keeps_the_schedule_before() {
    let mut desk = Desk::on_disk(r#"{"allow_msg_schedules":true,"allow_rollup_hdrs":true}"#);
    let plain = [("Nats-Schedule", "@every 1h"), ("Nats-Schedule-Target", "s.t")];
    let empty = [plain[0], plain[1], ("Nats-Rollup", "")];
    for seq in 1..=2 {
        assert_eq!(desk.ask("s.own", &empty, ""), stored(seq));
    }
    assert_eq!(desk.state().2, 2);
    let (_, headers, _) = message(&mut desk, 2).unwrap();
    assert!(headers.ends_with("|Nats-Rollup: |Nats-Rollup: sub"), "{headers}");
    desk.restart();
    assert_eq!(desk.state().2, 2);
    assert_eq!(desk.ask("s.own", &plain, ""), stored(3));
    desk.settle();
    assert_eq!(desk.state().2, 1);
}

#[test]
fn once() {
    let mut desk = desk();
    let headers = [
        ("Foo", "bar"),
        ("Nats-Msg-Id", "1"),
        ("Nats-Schedule", "@at 2027-01-15T08:00:01.3Z"),
        ("Nats-Schedule-Target", "s.t"),
        ("Nats-Schedule-TTL", "never"),
        ("Zed", "1"),
    ];
    desk.ask("s.once", &headers, "body");
    let (_, stored, _) = message(&mut desk, 1).unwrap();
    assert!(stored.ends_with("|Zed: 1|Nats-Rollup: sub"), "{stored}");
    desk.pass(1_299 * MILLISECOND);
    assert_eq!(desk.state().1, 1);
    desk.pass(MILLISECOND);
    let made = "Foo: bar|Zed: 1|Nats-Scheduler: s.once|Nats-Schedule-Next: purge|Nats-TTL: never";
    assert_eq!(message(&mut desk, 2), Some(("s.t".into(), made.into(), "body".into())));
    assert_eq!(message(&mut desk, 1), None, "the schedule is done");
    desk.pass(10 * SECOND);
    assert_eq!(desk.state(), (2, 2, 1, desk.state().3));
}

#[test]
fn again_and_again() {
    let mut desk = desk();
    let headers = [
        ("Nats-Schedule", "@every 2s"),
        ("Nats-Schedule-Target", "s.t"),
        ("Nats-Schedule-Rollup", "sub"),
        ("Nats-Schedule-Source", "s.data"),
    ];
    desk.ask("s.every", &headers, "body");
    desk.pass(2 * SECOND);
    let made =
        |next: &str| format!("Nats-Scheduler: s.every|Nats-Schedule-Next: {next}|Nats-Rollup: sub");
    let expected = ("s.t".into(), made("2027-01-15T08:00:04Z"), "body".into());
    assert_eq!(message(&mut desk, 2), Some(expected), "nothing to copy yet");
    desk.ask("s.data", &[("H", "1"), ("Nats-TTL", "1h")], "the data");
    desk.pass(2 * SECOND);
    let expected =
        ("s.t".into(), format!("H: 1|{}", made("2027-01-15T08:00:06Z")), "the data".into());
    assert_eq!(message(&mut desk, 4), Some(expected));
    assert_eq!(message(&mut desk, 2), None, "rolled up");
    let end = [("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.every")];
    desk.ask("s.q", &end, "");
    desk.pass(10 * SECOND);
    assert_eq!((message(&mut desk, 1), desk.state().1), (None, 5), "cancelled");
}

#[test]
fn one_schedule_a_subject() {
    let mut desk = desk();
    let every = |interval| [("Nats-Schedule", interval), ("Nats-Schedule-Target", "s.t")];
    desk.ask("s.x", &every("@every 1s"), "");
    desk.ask("s.x", &every("@every 3s"), "");
    assert_eq!(desk.state().2, 1);
    desk.pass(3 * SECOND);
    assert_eq!(desk.state().1, 3);
    desk.ask("s.x", &[], "no schedule");
    desk.pass(10 * SECOND);
    assert_eq!(desk.state().1, 4);
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let config = r#"{"allow_msg_schedules":true,"allow_msg_ttl":true,"allow_rollup_hdrs":true}"#;
    let mut desk = Desk::on_disk(config);
    let headers = [("Nats-Schedule", "*/2 * * * * *"), ("Nats-Schedule-Target", "s.t")];
    desk.ask("s.cron", &headers, "body");
    desk.pass(2 * SECOND);
    assert_eq!(desk.state().1, 2);
    desk.restart();
    desk.pass(SECOND);
    assert_eq!(desk.state().1, 2);
    desk.pass(SECOND);
    assert_eq!(desk.state().1, 3);
}
