//! Push consumers: interest, heartbeats, flow control, rate and rhythm.

use super::super::super::config::ReplayPolicy;
use super::*;

fn push(change: impl FnOnce(&mut ConsumerConfig)) -> ConsumerConfig {
    config(|config| {
        config.deliver_subject = "d".into();
        config.max_waiting = 0;
        change(config);
    })
}

#[test]
fn it_delivers_while_somebody_listens() {
    let mut rig = Rig::new(2, &push(|_| {}));
    rig.listeners.nobody.insert(b"d".to_vec());
    rig.poll();
    assert!(rig.lines().is_empty() && !rig.info().push_bound);
    rig.listeners.nobody.clear();
    rig.with(|consumer, ctx, _| consumer.on_interest(ctx));
    rig.poll();
    assert_eq!(rig.lines(), ["d a.x 1/1/1 +1", "d a.x 1/2/2 +0"]);
    assert!(rig.info().push_bound);
}

#[test]
fn heartbeats_between_messages() {
    let mut rig = Rig::new(1, &push(|config| config.idle_heartbeat = ms(300)));
    rig.poll();
    rig.lines();
    let beat = |consumer, stream| {
        format!("d 100 Idle Heartbeat; Nats-Last-Consumer: {consumer}; Nats-Last-Stream: {stream}")
    };
    rig.pass(650 * MILLISECOND);
    assert_eq!(rig.lines(), [beat(1, 1), beat(1, 1)]);
    rig.store("a.x", 1);
    rig.poll();
    rig.pass(299 * MILLISECOND);
    assert_eq!(rig.lines(), ["d a.x 1/2/2 +0"]);
    rig.pass(MILLISECOND);
    assert_eq!(rig.lines(), [beat(2, 2)]);
    rig.listeners.nobody.insert(b"d".to_vec());
    rig.pass(SECOND);
    assert!(rig.lines().is_empty());
}

#[test]
fn an_abandoned_push_consumer_ends_after_its_threshold() {
    let mut rig = Rig::new(1, &push(|config| config.inactive_threshold = ms(500)));
    rig.poll();
    assert_eq!(rig.pass(9 * SECOND), Tick::Alive);
    rig.pass(100 * MILLISECOND);
    rig.listeners.nobody.insert(b"d".to_vec());
    rig.with(|consumer, ctx, _| consumer.on_interest(ctx));
    assert_eq!(rig.pass(499 * MILLISECOND), Tick::Alive);
    assert_eq!(rig.pass(MILLISECOND), Tick::Expired);
}

#[test]
fn a_client_that_left_unnoticed_has_its_time_too() {
    let mut rig = Rig::new(1, &push(|config| config.inactive_threshold = ms(500)));
    rig.poll();
    rig.pass(490 * MILLISECOND);
    rig.listeners.nobody.insert(b"d".to_vec());
    assert_eq!(rig.pass(500 * MILLISECOND), Tick::Alive);
    assert_eq!(rig.pass(MILLISECOND * 10), Tick::Expired);
}

fn flow_reply(rig: &mut Rig, subject: &str, block: &str) -> Answered {
    let answered = rig
        .with(|consumer, ctx, _| consumer.on_flow_reply(ctx, subject.as_bytes(), block.as_bytes()));
    rig.poll();
    answered
}

fn asked(lines: &[String]) -> String {
    let line = lines.iter().find(|line| line.contains("FlowControl")).unwrap();
    line.split(' ').nth(1).unwrap().trim_start_matches('?').to_string()
}

fn big_messages(rig: &mut Rig, count: usize) {
    for _ in 0..count {
        rig.store_one("a.x", "", &vec![b'y'; 500_000]);
    }
}

#[test]
fn a_client_that_does_not_answer_stalls_the_flow() {
    let mut rig = Rig::empty();
    big_messages(&mut rig, 20);
    rig.make(&push(|config| {
        config.ack_policy = AckPolicy::None;
        config.flow_control = true;
        config.idle_heartbeat = ms(300);
    }));
    rig.poll();
    let lines = rig.lines();
    assert_eq!(lines.len(), 6, "5 messages and the request behind the third");
    assert!(
        lines[3].starts_with("d ?$JS.FC.S.C.") && lines[3].ends_with("100 FlowControl Request")
    );
    rig.pass(300 * MILLISECOND);
    let subject = asked(&lines);
    let beat = &rig.lines()[0];
    assert!(beat.ends_with(&format!("Nats-Last-Stream: 5; Nats-Consumer-Stalled: {subject}")));
    assert_eq!(flow_reply(&mut rig, "$JS.FC.S.C.nope", ""), Answered::Done);
    assert!(rig.lines().is_empty());
    assert_eq!(flow_reply(&mut rig, &subject, ""), Answered::Poll);
    let lines = rig.lines();
    assert!(lines.len() > 6 && lines[3].contains("FlowControl"), "{lines:?}");
}

#[test]
fn answers_to_flow_control_acknowledge() {
    let mut rig = Rig::empty();
    big_messages(&mut rig, 4);
    rig.make(&push(|config| {
        config.ack_policy = AckPolicy::FlowControl;
        config.ack_wait = Nanos(0);
        config.flow_control = true;
        config.idle_heartbeat = ms(1000);
    }));
    rig.poll();
    let subject = asked(&rig.lines());
    assert_eq!(rig.ack("1/2/2", "", ""), Answered::Nobody);
    assert_eq!(rig.info().num_ack_pending, 4);
    let block = "NATS/1.0\r\nNats-Last-Consumer: 3\r\nNats-Last-Stream: 3\r\n\r\n";
    flow_reply(&mut rig, &subject, block);
    assert_eq!((rig.floor(), rig.info().num_ack_pending), ((3, 3), 1));
    // What is still out is asked for with each heartbeat.
    rig.pass(SECOND);
    let lines = rig.lines();
    assert!(lines[0].contains("Idle Heartbeat") && lines[1].contains("FlowControl"), "{lines:?}");
    rig.pass(60 * SECOND);
    assert!(counts(&rig.lines()).is_empty(), "it never redelivers by itself");
}

#[test]
fn a_rate_is_kept() {
    let mut rig = Rig::empty();
    for _ in 0..4 {
        rig.store_one("a.x", "", &vec![b'y'; 999_900]);
    }
    rig.make(&push(|config| config.rate_limit_bps = 8_000_000));
    rig.poll();
    let mut at = Vec::new();
    for step in 0..40u64 {
        at.extend(rig.lines().iter().map(|_| step));
        rig.pass(100 * MILLISECOND);
    }
    assert_eq!(at, [0, 10, 20, 30]);
}

#[test]
fn a_replay_keeps_the_rhythm_until_it_has_caught_up() {
    let mut rig = Rig::empty();
    for gap in [0, 200, 100] {
        rig.now.wall.0 += gap * MILLISECOND;
        rig.store("a.x", 1);
    }
    rig.make(&push(|config| config.replay_policy = ReplayPolicy::Original));
    rig.poll();
    let mut at = Vec::new();
    for step in 0..6u64 {
        at.extend(rig.lines().iter().map(|_| step * 50));
        rig.pass(50 * MILLISECOND);
    }
    assert_eq!(at, [0, 200]);
    assert_eq!(rig.lines().len(), 1);
    rig.pass(SECOND);
    rig.store("a.x", 1);
    rig.now.wall.0 += SECOND;
    rig.store("a.x", 1);
    rig.poll();
    assert_eq!(rig.lines().len(), 2);
}

#[test]
fn a_crowded_client_is_waited_for() {
    let mut rig = Rig::new(2, &push(|_| {}));
    rig.listeners.crowded.insert(b"d".to_vec());
    assert_eq!(rig.poll(), Poll::Crowded);
    rig.listeners.crowded.clear();
    assert_eq!(rig.poll(), Poll::Idle);
    assert_eq!(rig.lines().len(), 2);
}

#[test]
fn an_update_takes_effect() {
    let mut rig = Rig::new(2, &push(|_| {}));
    rig.poll();
    rig.lines();
    let home = rig.home();
    let changed = push(|config| {
        config.deliver_subject = "e".into();
        config.filter_subject = "a.y".into();
    });
    rig.with(|consumer, ctx, _| consumer.update(ctx, &changed, &home));
    rig.store("a.x", 1);
    rig.store("a.y", 1);
    rig.poll();
    assert_eq!(rig.lines(), ["e a.y 1/4/3 +0"]);
    assert_eq!(rig.info().config.unwrap().deliver_subject, "e");
}
