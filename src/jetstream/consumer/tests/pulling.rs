//! Pulls: what they get, and how they end. Expected lines are what 2.15.1 sent.

use super::super::super::config::{DeliverPolicy, PriorityPolicy};
use super::*;

const TIMEOUT: &str = "in 408 Request Timeout; Nats-Pending-Messages: ";

#[test]
fn a_batch_is_delivered_with_its_ack_subjects() {
    let mut rig = Rig::new(3, &explicit());
    let lines = rig.pulled(r#"{"batch":5,"expires":200000000}"#);
    assert_eq!(lines, ["in a.x 1/1/1 +2", "in a.x 1/2/2 +1", "in a.x 1/3/3 +0"]);
    rig.pass(199 * MILLISECOND);
    assert!(rig.lines().is_empty());
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), [format!("{TIMEOUT}2; Nats-Pending-Bytes: 0")]);
    assert!(!rig.with(|consumer, _, _| consumer.is_waiting()));
}

#[test]
fn requests_that_are_refused() {
    let limited = |change: fn(&mut ConsumerConfig)| config(change);
    let plain = explicit();
    let overflow = config(|config| {
        config.priority_policy = PriorityPolicy::Overflow;
        config.priority_groups = vec!["g".into()];
    });
    let rows: &[(&ConsumerConfig, &str, &str)] = &[
        (&plain, r#"{"batch":2"#, "400 Bad Request - unexpected end of JSON input"),
        (
            &plain,
            r#"{"batch":"x"}"#,
            "400 Bad Request - json: cannot unmarshal string into Go struct field .batch of type int",
        ),
        (&plain, r#"{"no_wait":true}"#, "404 No Messages"),
        (&plain, r#"{"idle_heartbeat":6}"#, "400 Bad Request - heartbeat value too large"),
        (
            &plain,
            r#"{"expires":100,"idle_heartbeat":51}"#,
            "400 Bad Request - heartbeat value too large",
        ),
        (&plain, r#"{"priority":10}"#, "400 Bad Request - Priority must be between 0 and 9"),
        (&plain, r#"{"priority":-1}"#, "400 Bad Request - Priority must be between 0 and 9"),
        (&plain, r#"{"min_pending":3}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (&plain, r#"{"min_ack_pending":3}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (&plain, r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
        (&overflow, r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
        (
            &plain,
            r#"{"id":"x","priority":10}"#,
            "400 Bad Request - Not a Pinned Client Priority consumer",
        ),
        (
            &plain,
            r#"{"min_ack_pending":3,"priority":10}"#,
            "400 Bad Request - Not a Overflow Priority consumer",
        ),
        (&overflow, r#"{"batch":5}"#, "400 Bad Request - Priority Group missing"),
        (&overflow, r#"{"group":"x"}"#, "400 Bad Request - Invalid Priority Group"),
        (&limited(|c| c.max_batch = 2), "3", "409 Exceeded MaxRequestBatch of 2"),
        (
            &limited(|c| c.max_batch = 2),
            r#"{"batch":3,"id":"x","min_pending":1,"priority":-1}"#,
            "409 Exceeded MaxRequestBatch of 2",
        ),
        (
            &limited(|c| c.max_expires = ms(1000)),
            r#"{"expires":1000000001}"#,
            "409 Exceeded MaxRequestExpires of 1s",
        ),
        (
            &limited(|c| c.max_bytes = 100),
            r#"{"max_bytes":101}"#,
            "409 Exceeded MaxRequestMaxBytes of 100",
        ),
    ];
    for (config, body, expected) in rows {
        let mut rig = Rig::new(0, config);
        assert_eq!(rig.pulled(body), [format!("in {expected}")], "{body}");
        assert_eq!(rig.info().num_waiting, 0, "{body}");
    }
}

#[test]
fn requests_that_wait() {
    for body in
        ["", "{}", "5", "junk", "-5", r#"{"batch":-3}"#, r#"{"priority":5}"#, r#"{"group":"g"}"#]
    {
        let mut rig = Rig::new(0, &explicit());
        assert!(rig.pulled(body).is_empty(), "{body}");
        assert_eq!(rig.info().num_waiting, 1, "{body}");
        rig.with(|consumer, ctx, _| consumer.on_deleted(ctx));
        let told = ["! DELETED action:delete", "in 409 Consumer Deleted"];
        assert_eq!(rig.lines(), told, "{body}");
    }
}

/// As 2.15.1: where there are groups, a pull that is no object waits without one.
#[test]
fn bare_pulls_need_no_group() {
    let mut rig = Rig::new(
        3,
        &config(|config| {
            config.priority_policy = PriorityPolicy::Overflow;
            config.priority_groups = vec!["g".into()];
        }),
    );
    assert_eq!(rig.pulled("1"), ["in a.x 1/1/1 +2"]);
    rig.ack("1/1/1", "+NXT", "in");
    assert_eq!(rig.lines(), ["in a.x 1/2/2 +1"]);
    assert_eq!(rig.pulled(""), ["in a.x 1/3/3 +0"]);
    assert!(rig.pulled("").is_empty());
    assert_eq!(rig.info().num_waiting, 1);
}

#[test]
fn negative_batches_and_times() {
    let mut rig = Rig::new(1, &explicit());
    assert_eq!(rig.pulled(r#"{"batch":-3,"expires":9}"#), ["in a.x 1/1/1 +0"]);
    rig.pass(10);
    assert!(rig.lines().is_empty());
    rig.pulled(r#"{"batch":-3,"expires":9}"#);
    rig.pass(10);
    assert_eq!(rig.lines(), [format!("{TIMEOUT}-3; Nats-Pending-Bytes: 0")]);
    assert_eq!(rig.pulled(r#"{"expires":-5}"#), [format!("{TIMEOUT}0; Nats-Pending-Bytes: 0")]);
}

#[test]
fn bytes_below_zero_are_told_as_they_came() {
    let mut rig = Rig::new(1, &explicit());
    rig.pulled(r#"{"batch":3,"max_bytes":-1,"expires":9}"#);
    rig.pass(10);
    assert_eq!(rig.lines(), [format!("{TIMEOUT}2; Nats-Pending-Bytes: -1")]);
}

#[test]
fn what_goes_nowhere_is_dropped_and_push_consumers_take_no_pulls() {
    let mut rig = Rig::new(1, &explicit());
    rig.pull("", "");
    assert_eq!((rig.lines().len(), rig.info().num_waiting), (0, 0));
    let mut rig = Rig::new(1, &config(|config| config.deliver_subject = "d".into()));
    rig.listeners.nobody.insert(b"d".to_vec());
    assert_eq!(rig.pulled(""), ["in 409 Consumer is push based"]);
    // Whatever else is wrong with it.
    let block = b"NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n";
    rig.with(|consumer, ctx, store| consumer.on_pull(ctx, store, b"", b"in", block));
    assert_eq!(rig.lines(), ["in 409 Consumer is push based"]);
}

#[test]
fn a_required_api_level_is_looked_at() {
    for (level, is_refused) in [("5", false), ("6", true), ("x", true)] {
        let mut rig = Rig::new(0, &explicit());
        let block = format!("NATS/1.0\r\nNats-Required-Api-Level: {level}\r\n\r\n");
        rig.with(|consumer, ctx, store| {
            consumer.on_pull(ctx, store, b"", b"in", block.as_bytes());
        });
        let refused = rig.lines() == ["in 412 Required Api Level"];
        assert_eq!(refused, is_refused, "{level}");
    }
}

#[test]
fn no_wait_ends_with_404_after_what_there_is() {
    let mut rig = Rig::new(1, &explicit());
    let lines = rig.pulled(r#"{"batch":5,"no_wait":true}"#);
    assert_eq!(lines, ["in a.x 1/1/1 +0", "in 404 No Messages"]);
    rig.store("a.x", 1);
    let lines = rig.pulled(r#"{"batch":5,"no_wait":true,"expires":300000000}"#);
    assert_eq!(lines, ["in a.x 1/2/2 +0", "in 404 No Messages"]);
    // With a time and nothing there it waits for a first message.
    assert!(rig.pulled(r#"{"batch":1,"no_wait":true,"expires":300000000}"#).is_empty());
    rig.pass(300 * MILLISECOND);
    assert_eq!(rig.lines(), [format!("{TIMEOUT}1; Nats-Pending-Bytes: 0")]);
}

#[test]
fn no_wait_behind_others_who_would_get_everything() {
    let mut rig = Rig::new(3, &config(|config| config.max_ack_pending = 1));
    rig.pulled(r#"{"batch":100}"#);
    assert_eq!(rig.pulled(r#"{"no_wait":true}"#), ["in 408 Requests Pending"]);
}

#[test]
fn pulls_take_turns() {
    let mut rig = Rig::new(0, &explicit());
    rig.pull("in1", r#"{"batch":3}"#);
    rig.pull("in2", r#"{"batch":3}"#);
    rig.store("a.x", 5);
    rig.poll();
    let lines: Vec<String> = rig.lines().iter().map(|line| line[..3].to_string()).collect();
    assert_eq!(lines, ["in1", "in2", "in1", "in2", "in1"]);
}

/// Messages of 150 bytes, each 193 as a client counts.
fn bulky(messages: usize) -> Rig {
    let mut rig = Rig::empty();
    rig.store("a.x", 22);
    for _ in 0..messages {
        rig.store_one("a.b", "", &[b'y'; 150]);
    }
    rig.make(&config(|config| config.filter_subject = "a.b".into()));
    rig
}

#[test]
fn bytes_are_counted_as_a_client_counts_them() {
    let mut rig = bulky(3);
    // Subject, 150 bytes and an ack subject of 40 bytes each, as in the capture.
    let lines = rig.pulled(r#"{"batch":3,"max_bytes":400}"#);
    let end =
        "in 409 Message Size Exceeds MaxBytes; Nats-Pending-Messages: 1; Nats-Pending-Bytes: 14";
    assert_eq!(lines[2], end);
    let lines = rig.pulled(r#"{"batch":3,"max_bytes":100}"#);
    let end =
        "in 409 Message Size Exceeds MaxBytes; Nats-Pending-Messages: 3; Nats-Pending-Bytes: 100";
    assert_eq!(lines, [end]);
    let lines = rig.pulled(r#"{"batch":1,"max_bytes":1000}"#);
    let end = "in 409 Batch Completed; Nats-Pending-Messages: 0; Nats-Pending-Bytes: 807";
    assert_eq!(lines[1], end);
}

#[test]
fn bytes_used_up_to_the_last_end_a_pull_in_silence() {
    let mut rig = bulky(2);
    assert_eq!(rig.pulled(r#"{"batch":3,"max_bytes":193}"#).len(), 1);
    assert_eq!(rig.info().num_waiting, 0);
}

#[test]
fn waiting_pulls_get_heartbeats() {
    let mut rig = Rig::new(2, &config(|config| config.filter_subject = "a.y".into()));
    rig.pull("in", r#"{"batch":2,"expires":1000000000,"idle_heartbeat":200000000}"#);
    let beat = |consumer, stream| {
        format!("in 100 Idle Heartbeat; Nats-Last-Consumer: {consumer}; Nats-Last-Stream: {stream}")
    };
    rig.pass(500 * MILLISECOND);
    assert_eq!(rig.lines(), [beat(0, 2), beat(0, 2)]);
    rig.store("a.y", 1);
    rig.poll();
    rig.lines();
    rig.pass(199 * MILLISECOND);
    assert!(rig.lines().is_empty(), "a message is as good as a heartbeat");
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), [beat(1, 3)]);
}

#[test]
fn too_many_pulls() {
    let mut rig = Rig::new(0, &config(|config| config.max_waiting = 1));
    rig.pull("in1", "");
    assert_eq!(rig.pulled(""), ["in 409 Exceeded MaxWaiting"]);
    // A client with heartbeats finds out by itself.
    assert!(rig.pulled(r#"{"expires":9000000000,"idle_heartbeat":1000000000}"#).is_empty());
    // There is nothing for it anyway.
    assert_eq!(rig.pulled(r#"{"no_wait":true}"#), ["in 404 No Messages"]);
    rig.listeners.nobody.insert(b"in1".to_vec());
    assert!(rig.pulled("").is_empty());
    assert_eq!(rig.info().num_waiting, 1);
}

#[test]
fn a_pull_whose_requester_left_is_dropped() {
    let mut rig = Rig::new(0, &explicit());
    rig.pull("gone", "2");
    rig.pull("in", "2");
    rig.listeners.nobody.insert(b"gone".to_vec());
    assert_eq!(rig.info().num_waiting, 1);
    rig.store("a.x", 1);
    rig.poll();
    assert_eq!(rig.lines(), ["in a.x 1/1/1 +0"]);
}

#[test]
fn a_crowded_requester_is_passed_over() {
    let mut rig = Rig::new(0, &explicit());
    rig.pull("slow", "2");
    rig.listeners.crowded.insert(b"slow".to_vec());
    rig.store("a.x", 1);
    assert_eq!(rig.poll(), Poll::Crowded);
    assert_eq!(rig.pulled("1"), ["in a.x 1/1/1 +0"]);
    rig.store("a.x", 1);
    rig.listeners.crowded.clear();
    assert_eq!(rig.poll(), Poll::Idle);
    assert_eq!(rig.lines(), ["slow a.x 1/2/2 +0"]);
}

#[test]
fn a_full_consumer_waits_for_acks() {
    let mut rig = Rig::new(5, &config(|config| config.max_ack_pending = 2));
    assert_eq!(rig.pulled(r#"{"batch":4,"no_wait":true}"#).len(), 2);
    assert_eq!(rig.info().num_waiting, 1, "a pull that does not wait stays while others must ack");
    assert_eq!(rig.ack("1/2/2", "", ""), Answered::Poll);
    assert_eq!(rig.lines(), ["in a.x 1/3/3 +2"]);
    assert_eq!(rig.ack("1/2/2", "", ""), Answered::Done);
}

#[test]
fn the_budget_bounds_a_poll() {
    let mut rig = Rig::new(0, &explicit());
    rig.pull("in", "100");
    rig.store("a.x", 10);
    let polled = |rig: &mut Rig, budget: usize| {
        rig.with(|consumer, ctx, store| consumer.poll(ctx, store, &mut { budget }))
    };
    assert_eq!(polled(&mut rig, 4), Poll::Again);
    assert_eq!(rig.lines().len(), 4);
    assert_eq!(polled(&mut rig, 100), Poll::Idle);
    assert_eq!(rig.lines().len(), 6);
}

#[test]
fn headers_only_tells_the_size() {
    let mut rig = Rig::empty();
    rig.store_one("a.x", "", b"hello");
    rig.store_one("a.x", "NATS/1.0\r\nA: b\r\n\r\n", b"hi");
    rig.make(&config(|config| config.headers_only = true));
    rig.pull("in", "2");
    assert!(rig.out.first().unwrap().1.payload.is_empty());
    let lines = rig.lines();
    assert_eq!(
        lines,
        ["in a.x 1/1/1 +1 Nats-Msg-Size: 5", "in a.x 1/2/2 +0 A: b; Nats-Msg-Size: 2"]
    );
}

#[test]
fn filters_skip_what_is_not_wanted() {
    let mut rig = Rig::empty();
    for subject in ["a.x", "a.y", "a.z", "a.x"] {
        rig.store(subject, 1);
    }
    rig.make(&config(|config| config.filter_subjects = vec!["a.x".into(), "a.z".into()]));
    assert_eq!(rig.info().num_pending, 3);
    let lines = rig.pulled("9");
    assert_eq!(lines, ["in a.x 1/1/1 +2", "in a.z 1/3/2 +1", "in a.x 1/4/3 +0"]);
    rig.store("a.y", 2);
    rig.poll();
    assert_eq!((rig.info().num_pending, rig.info().delivered.stream_seq), (0, 6));
}

#[test]
fn where_a_consumer_begins() {
    use super::super::super::config::Moment;
    let at = |seconds: u64| Some(Moment::from_wall(Wall(EPOCH + seconds * SECOND)));
    type Change = Box<dyn Fn(&mut ConsumerConfig)>;
    // What is changed; the last stream sequence and the pending count before any pull.
    let rows: Vec<(&str, Change, u64, u64)> = vec![
        ("all", Box::new(|_| {}), 2, 6),
        ("new", Box::new(|c| c.deliver_policy = DeliverPolicy::New), 8, 0),
        ("last", Box::new(|c| c.deliver_policy = DeliverPolicy::Last), 7, 1),
        (
            "last of a filter",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::Last;
                c.filter_subject = "a.0".into();
            }),
            5,
            1,
        ),
        (
            "last of none",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::Last;
                c.filter_subject = "a.none".into();
            }),
            2,
            0,
        ),
        (
            "last per subject",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::LastPerSubject;
                c.filter_subject = "a.>".into();
            }),
            5,
            3,
        ),
        (
            "a sequence",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::ByStartSequence;
                c.opt_start_seq = 5;
            }),
            4,
            4,
        ),
        (
            "a sequence long gone",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::ByStartSequence;
                c.opt_start_seq = 1;
            }),
            2,
            6,
        ),
        (
            "a sequence to come",
            Box::new(|c| {
                c.deliver_policy = DeliverPolicy::ByStartSequence;
                c.opt_start_seq = 50;
            }),
            49,
            0,
        ),
        (
            "a time",
            Box::new(move |c| {
                c.deliver_policy = DeliverPolicy::ByStartTime;
                c.opt_start_time = at(5);
            }),
            5,
            3,
        ),
        (
            "a time to come",
            Box::new(move |c| {
                c.deliver_policy = DeliverPolicy::ByStartTime;
                c.opt_start_time = at(500);
            }),
            8,
            0,
        ),
    ];
    for (what, change, stream_seq, pending) in rows {
        let mut rig = Rig::empty();
        for count in 0..8 {
            rig.store(&format!("a.{}", count % 5 % 3), 1);
            rig.now.wall.0 += SECOND;
        }
        rig.store.trim(None, Seq(3), rig.now.mono).unwrap();
        rig.make(&config(change));
        let info = rig.info();
        assert_eq!((info.delivered.stream_seq, info.num_pending), (stream_seq, pending), "{what}");
        assert_eq!(info.ack_floor.stream_seq, stream_seq, "{what}");
        let lines = rig.pulled(r#"{"batch":9,"no_wait":true}"#);
        let got = lines.iter().filter(|line| line.contains('/')).count() as u64;
        assert_eq!(got, pending, "{what}: {lines:?}");
    }
}

#[test]
fn the_last_of_each_subject_and_then_everything() {
    let mut rig = Rig::empty();
    for subject in ["k.x", "k.y", "k.z", "k.x", "k.y", "k.z"] {
        rig.store(subject, 1);
    }
    rig.make(&config(|config| {
        config.deliver_policy = DeliverPolicy::LastPerSubject;
        config.filter_subject = "k.>".into();
    }));
    rig.store("k.y", 1);
    assert_eq!(rig.pulled("2"), ["in k.x 1/4/1 +3", "in k.y 1/5/2 +2"]);
    rig.store.delete(None, &[Seq(6)], false, rig.now.mono).unwrap();
    rig.with(|consumer, ctx, store| consumer.on_removed(ctx, store, Seq(6), b"k.z"));
    assert_eq!(rig.info().num_pending, 1);
    assert_eq!(rig.pulled("2"), ["in k.y 1/7/3 +0"]);
    rig.store("k.y", 1);
    rig.poll();
    assert_eq!(rig.lines(), ["in k.y 1/8/4 +0"]);
}

#[test]
fn a_trimmed_stream_takes_the_cursor_along() {
    let mut rig = Rig::new(6, &explicit());
    rig.pulled("2");
    rig.store.trim(None, Seq(5), rig.now.mono).unwrap();
    let gone = r#"reason:Unacknowledged message was deleted"#;
    let lines = rig.pulled("9");
    let expected = [
        format!("! MSG_TERMINATED consumer_seq:1,stream_seq:1,deliveries:1,{gone}"),
        format!("! MSG_TERMINATED consumer_seq:2,stream_seq:2,deliveries:1,{gone}"),
        "in a.x 1/5/3 +1".into(),
        "in a.x 1/6/4 +0".into(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_purge_ends_what_it_removed_in_silence() {
    let mut rig = Rig::new(10, &explicit());
    rig.pulled("4");
    rig.store.purge(None, None, Seq(4), 0, rig.now.mono).unwrap();
    rig.with(|consumer, ctx, store| consumer.on_purge(ctx, store));
    assert_eq!((rig.floor(), rig.info().num_ack_pending, rig.info().num_pending), ((3, 3), 1, 6));
    rig.store.purge(None, None, Seq(u64::MAX), 0, rig.now.mono).unwrap();
    rig.with(|consumer, ctx, store| consumer.on_purge(ctx, store));
    let info = rig.info();
    assert_eq!((rig.floor(), info.num_ack_pending, info.num_pending), ((4, 10), 0, 0));
    assert_eq!(info.delivered.stream_seq, 10);
    assert!(rig.lines().is_empty());
}

#[test]
fn a_deleted_message_counts_no_more() {
    let mut rig = Rig::new(10, &explicit());
    rig.pulled("4");
    let delete = |rig: &mut Rig, seq: u64| {
        rig.store.delete(None, &[Seq(seq)], false, rig.now.mono).unwrap();
        rig.with(|consumer, ctx, store| consumer.on_removed(ctx, store, Seq(seq), b"a.x"));
        rig.lines().len()
    };
    assert_eq!((delete(&mut rig, 2), rig.info().num_pending), (1, 6));
    assert_eq!((delete(&mut rig, 7), rig.info().num_pending), (0, 5));
    assert_eq!((delete(&mut rig, 1), rig.floor()), (1, (2, 2)));
    // A host that does not tell is found out all the same.
    rig.store.delete(None, &[Seq(8)], false, rig.now.mono).unwrap();
    assert_eq!(rig.info().num_pending, 4);
    let lines = rig.pulled("9");
    assert_eq!(
        lines,
        ["in a.x 1/5/5 +3", "in a.x 1/6/6 +2", "in a.x 1/9/7 +1", "in a.x 1/10/8 +0"]
    );
}

#[test]
fn overflow_serves_when_enough_is_there() {
    let mut rig = Rig::new(
        5,
        &config(|config| {
            config.priority_policy = PriorityPolicy::Overflow;
            config.priority_groups = vec!["g".into()];
        }),
    );
    let mut served = |more: &str| {
        let lines = rig.pulled(&format!(r#"{{"expires":5,"group":"g"{more}}}"#));
        rig.pass(5);
        rig.lines();
        lines.len()
    };
    assert_eq!(served(r#","min_pending":6"#), 0);
    assert_eq!(served(r#","min_pending":5"#), 1);
    assert_eq!(served(r#","min_ack_pending":2"#), 0);
    assert_eq!(served(""), 1);
    assert_eq!(served(r#","min_ack_pending":2"#), 1);
    assert_eq!(served(r#","min_pending":9,"min_ack_pending":3"#), 1);
    assert_eq!(rig.info().priority_groups.len(), 1);
}

#[test]
fn lower_numbers_come_first() {
    let mut rig = Rig::new(
        0,
        &config(|config| {
            config.priority_policy = PriorityPolicy::Prioritized;
            config.priority_groups = vec!["g".into()];
        }),
    );
    for (inbox, priority) in [("in1", 1), ("in2", 1), ("in3", 0), ("in4", 0)] {
        rig.pull(inbox, &format!(r#"{{"batch":2,"group":"g","priority":{priority}}}"#));
    }
    rig.store("a.x", 7);
    rig.poll();
    let lines: Vec<String> = rig.lines().iter().map(|line| line[..3].to_string()).collect();
    assert_eq!(lines, ["in3", "in4", "in3", "in4", "in1", "in2", "in1"]);
}

fn pinned() -> Rig {
    Rig::new(
        0,
        &config(|config| {
            config.priority_policy = PriorityPolicy::PinnedClient;
            config.priority_groups = vec!["g".into()];
            config.priority_timeout = ms(700);
        }),
    )
}

fn pin_of(rig: &mut Rig) -> String {
    rig.info().priority_groups[0].pinned_client_id.clone()
}

#[test]
fn the_first_client_is_pinned() {
    let mut rig = pinned();
    rig.pull("in0", r#"{"batch":2,"group":"g","id":"x"}"#);
    rig.pull("in1", r#"{"batch":2,"group":"g"}"#);
    rig.pull("in2", r#"{"batch":2,"group":"g"}"#);
    assert!(rig.lines().is_empty() && pin_of(&mut rig).is_empty());
    rig.store("a.x", 3);
    rig.poll();
    let pin = pin_of(&mut rig);
    assert_eq!(pin.len(), 22);
    let lines = rig.lines();
    let wrong = "in0 423 Nats-Wrong-Pin-Id; Nats-Pending-Messages: 2; Nats-Pending-Bytes: 0";
    assert_eq!(lines[0], wrong);
    assert!(lines[1].starts_with("! PINNED") && lines[1].contains(&pin), "{}", lines[1]);
    assert_eq!(lines[2], format!("in1 a.x 1/1/1 +2 Nats-Pin-Id: {pin}"));
    assert_eq!(lines[3], format!("in1 a.x 1/2/2 +1 Nats-Pin-Id: {pin}"));
    assert_eq!(lines.len(), 4, "in2 has to wait: {lines:?}");
    let lines = rig.pulled(r#"{"group":"g","id":"other"}"#);
    assert_eq!(lines, ["in 423 Nats-Pin-Id mismatch"]);
    let lines = rig.pulled(&format!(r#"{{"group":"g","id":"{pin}"}}"#));
    assert_eq!(lines, [format!("in a.x 1/3/3 +0 Nats-Pin-Id: {pin}")]);
}

/// As 2.15.1: it must not stand in the way of the pinned client.
#[test]
fn a_pull_that_does_not_wait_and_is_of_another_client_ends() {
    let mut rig = pinned();
    rig.store("a.x", 2);
    assert_eq!(rig.pulled(r#"{"no_wait":true,"group":"g"}"#).len(), 2);
    let lines = rig.pulled(r#"{"batch":5,"no_wait":true,"group":"g"}"#);
    assert_eq!((lines, rig.info().num_waiting), (vec!["in 404 No Messages".into()], 0));
    let pin = pin_of(&mut rig);
    let lines = rig.pulled(&format!(r#"{{"batch":1,"no_wait":true,"group":"g","id":"{pin}"}}"#));
    assert_eq!(lines, [format!("in a.x 1/2/2 +0 Nats-Pin-Id: {pin}")]);
}

#[test]
fn a_silent_client_is_unpinned() {
    let mut rig = pinned();
    rig.store("a.x", 1);
    rig.pull("in1", r#"{"batch":1,"group":"g"}"#);
    rig.pull("in2", r#"{"batch":5,"group":"g"}"#);
    let pin = pin_of(&mut rig);
    rig.lines();
    rig.pass(500 * MILLISECOND);
    rig.pull("in1", &format!(r#"{{"batch":1,"expires":1,"group":"g","id":"{pin}"}}"#));
    rig.pass(699 * MILLISECOND);
    assert_eq!(pin_of(&mut rig), pin, "asking is a sign of life");
    rig.lines();
    rig.pass(MILLISECOND);
    let lines = rig.lines();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("UNPINNED") && lines[0].contains("timeout"), "{lines:?}");
    rig.store("a.x", 1);
    rig.poll();
    assert!(rig.lines()[1].starts_with("in2 a.x"));
    assert_ne!(pin_of(&mut rig), pin);
}

#[test]
fn only_the_first_group_is_told() {
    let mut rig = Rig::new(
        0,
        &config(|config| {
            config.priority_policy = PriorityPolicy::Overflow;
            config.priority_groups = vec!["g".into(), "h".into()];
        }),
    );
    let groups = rig.info().priority_groups;
    assert_eq!(groups.iter().map(|state| state.group.as_str()).collect::<Vec<_>>(), ["g"]);
}

#[test]
fn an_operator_unpins() {
    let mut rig = pinned();
    rig.store("a.x", 1);
    rig.pull("in1", r#"{"batch":1,"group":"g"}"#);
    rig.lines();
    rig.with(|consumer, ctx, _| consumer.unpin(ctx, "g")).unwrap();
    assert!(rig.lines()[0].contains("reason:admin"));
    assert!(pin_of(&mut rig).is_empty());
    let error = rig.with(|consumer, ctx, _| consumer.unpin(ctx, "h")).unwrap_err();
    assert_eq!(error.err_code, 10160);
}

#[test]
fn a_paused_consumer_delivers_nothing() {
    use super::super::super::config::Moment;
    let until = Moment::from_wall(Wall(EPOCH + SECOND));
    let mut rig = Rig::new(3, &config(|config| config.pause_until = Some(until)));
    rig.with(|consumer, ctx, _| consumer.announce_pause(ctx));
    assert!(rig.lines()[0].starts_with("! PAUSE paused:true"));
    assert_eq!(rig.pulled(r#"{"no_wait":true}"#), ["in 404 No Messages"]);
    assert!(rig.pulled("1").is_empty());
    let info = rig.info();
    assert_eq!((info.paused, info.pause_remaining), (true, SECOND));
    rig.pass(SECOND);
    let lines = rig.lines();
    assert!(lines[0].starts_with("! PAUSE paused:false"), "{lines:?}");
    assert_eq!(lines[1..], ["in a.x 1/1/1 +2"]);
    let state = rig.with(|consumer, ctx, _| {
        consumer.pause(ctx, Some(Moment::from_wall(Wall(EPOCH + 9 * SECOND))))
    });
    assert!(state.paused && state.pause_remaining == 8 * SECOND);
    assert!(rig.pulled("1").len() == 1, "the advisory only");
    let state = rig.with(|consumer, ctx, _| consumer.pause(ctx, None));
    assert!(!state.paused && state.pause_until.is_zero());
    rig.poll();
    let lines = rig.lines();
    assert_eq!(lines[0], "! PAUSE paused:false,pause_until:0001-01-01T00:00:00Z");
    assert_eq!(lines[1..], ["in a.x 1/2/2 +1"]);
}

/// As 2.15.1 tells of pauses, and what it notes of them.
#[test]
fn only_a_pause_is_told_and_leaves_its_level() {
    use super::super::super::config::Moment;
    let mut rig = Rig::new(0, &explicit());
    rig.with(|consumer, ctx, _| consumer.pause(ctx, None));
    assert!(rig.lines().is_empty());
    let until = Moment::from_wall(Wall(EPOCH + 9 * SECOND));
    rig.with(|consumer, ctx, _| consumer.pause(ctx, Some(until)));
    let told = rig.lines();
    assert!(told[0].starts_with("! PAUSE paused:true"), "{told:?}");
    rig.with(|consumer, ctx, _| consumer.pause(ctx, Some(until)));
    assert!(rig.lines().is_empty(), "it is known");
    let home = rig.home();
    rig.with(|consumer, ctx, _| consumer.update(ctx, &consumer.config(), &home));
    assert_eq!(rig.lines(), told);
    rig.with(|consumer, ctx, _| consumer.pause(ctx, None));
    let level = rig.with(|consumer, _, _| consumer.config().metadata["_nats.req.level"].clone());
    assert_eq!((rig.lines().len(), level.as_str()), (1, "1"));
}

#[test]
fn nobody_needs_an_abandoned_consumer() {
    let mut rig = Rig::new(3, &config(|config| config.inactive_threshold = ms(5000)));
    assert_eq!(rig.pass(5 * SECOND), Tick::Alive);
    assert_eq!(rig.pass(SECOND), Tick::Expired);
    let mut rig = Rig::new(3, &config(|config| config.inactive_threshold = ms(5000)));
    rig.pulled("1");
    assert_eq!(rig.pass(60 * SECOND), Tick::Alive, "an acknowledgement is to come");
    rig.ack("1/1/1", "", "");
    assert_eq!(rig.pass(5 * SECOND), Tick::Alive);
    assert_eq!(rig.pass(SECOND), Tick::Expired);
    let mut rig = Rig::new(0, &config(|config| config.inactive_threshold = ms(5000)));
    rig.pull("in", "");
    assert_eq!(rig.pass(60 * SECOND), Tick::Alive, "somebody waits");
    rig.listeners.nobody.insert(b"in".to_vec());
    assert_eq!(rig.pass(60 * SECOND), Tick::Expired);
}

#[test]
fn a_reset_begins_anew() {
    let mut rig = Rig::new(6, &explicit());
    rig.pulled("4");
    rig.ack("1/1/1", "", "");
    rig.ack("1/3/3", "", "");
    let reset = |rig: &mut Rig, seq: u64| {
        let at = rig.with(|consumer, _, _| consumer.reset(Seq(seq)));
        rig.poll();
        at.map(|seq| seq.0).map_err(|error| error.description.into_owned())
    };
    assert_eq!(reset(&mut rig, 0), Ok(2));
    let info = rig.info();
    assert_eq!((info.delivered.consumer_seq, info.delivered.stream_seq), (0, 1));
    assert_eq!((info.delivered.last_active, info.ack_floor.last_active), (None, None));
    assert_eq!((info.num_pending, info.num_ack_pending), (5, 0));
    assert_eq!(rig.pulled("1"), ["in a.x 1/2/1 +4"]);
    assert_eq!((reset(&mut rig, 99), rig.info().delivered.stream_seq), (Ok(99), 98));
    let policies = [
        (DeliverPolicy::New, Err("invalid reset: not allowed".to_string())),
        (DeliverPolicy::ByStartSequence, Err("invalid reset: below start seq".to_string())),
        (DeliverPolicy::ByStartTime, Ok(2)),
    ];
    for (policy, expected) in policies {
        let mut rig = Rig::new(
            6,
            &config(|config| {
                config.deliver_policy = policy;
                config.opt_start_seq = 3;
            }),
        );
        assert_eq!(reset(&mut rig, 2), expected, "{policy:?}");
    }
}
