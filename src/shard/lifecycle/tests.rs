use super::*;
use crate::shard::stage::Stage;
use crate::types::limits::{DRAIN_TRUST_BEHIND_NS, DRAIN_TRUST_NS, STALL_NS_MAX};
use crate::types::time::SECOND;

/// A subscriber of `x`, and a publisher.
fn pair() -> (Stage, ConnKey, ConnKey) {
    let mut stage = Stage::new([]);
    let subscriber = stage.open();
    stage.say(subscriber, "CONNECT {\"verbose\":false}\r\nSUB x 1\r\n");
    let publisher = stage.open();
    stage.say(publisher, "CONNECT {\"verbose\":false}\r\n");
    (stage, subscriber, publisher)
}

fn stalls(stage: &Stage, key: ConnKey) -> u64 {
    stage.0.connections.get(key).map_or(0, |conn| conn.counters.stalls)
}

/// Publishes until the subscriber owes `bytes`, or is cut, or the publisher has to wait.
fn publish_until_owed(stage: &mut Stage, subscriber: ConnKey, publisher: ConnKey, bytes: u64) {
    let message = format!("PUB x 4000\r\n{:4000}\r\n", "");
    while stage.is_open(subscriber)
        && stage.0.wants_read(publisher)
        && stage.0.connections.get(subscriber).is_some_and(|conn| conn.outbound.owed() < bytes)
    {
        stage.say(publisher, &message);
    }
}

const LIMIT: u64 = 1 << 20;

#[test]
fn nobody_waits_for_a_subscriber_that_takes_nothing() {
    let (mut stage, subscriber, publisher) = pair();
    publish_until_owed(&mut stage, subscriber, publisher, 2 * LIMIT);
    assert!(!stage.is_open(subscriber), "cut at its limit");
    assert_eq!(stalls(&stage, publisher), 0);
}

#[test]
fn producers_wait_for_a_subscriber_as_long_as_it_is_trusted() {
    for (owed_before, trust_ns) in
        [(LIMIT / 4, DRAIN_TRUST_NS), (LIMIT / 8 * 5, DRAIN_TRUST_BEHIND_NS)]
    {
        let (mut stage, subscriber, publisher) = pair();
        stage.turn_at(SECOND);
        publish_until_owed(&mut stage, subscriber, publisher, owed_before);
        stage.heard(subscriber);
        stage.turn_at(SECOND + trust_ns - 1);
        publish_until_owed(&mut stage, subscriber, publisher, 2 * LIMIT);
        assert!(stage.is_open(subscriber));
        assert_eq!(stalls(&stage, publisher), 1);

        stage.turn_at(SECOND + trust_ns - 1 + STALL_NS_MAX);
        publish_until_owed(&mut stage, subscriber, publisher, 2 * LIMIT);
        assert!(!stage.is_open(subscriber));
        assert_eq!(stalls(&stage, publisher), 1);
    }
}

#[test]
fn a_stall_ends_when_the_subscriber_has_drained_to_half() {
    let (mut stage, subscriber, publisher) = pair();
    stage.turn_at(SECOND);
    publish_until_owed(&mut stage, subscriber, publisher, LIMIT / 4);
    stage.heard(subscriber);
    publish_until_owed(&mut stage, subscriber, publisher, LIMIT);
    assert!(!stage.0.wants_read(publisher));
    while stage.0.connections.get(subscriber).is_some_and(|conn| conn.outbound.is_waiting()) {
        stage.heard(subscriber);
    }
    assert!(stage.0.wants_read(publisher));
}

/// Lets the client take `bytes` of what a send has lent.
fn takes(stage: &mut Stage, key: ConnKey, bytes: usize) {
    stage.0.on_sent(key, bytes);
}

#[test]
fn what_was_owed_must_be_sent_within_the_deadline() {
    const TEN: u64 = 10 * SECOND;
    for (retry, taken, survives) in
        [(false, 0, false), (false, 5000, false), (true, 0, false), (true, 5000, true)]
    {
        let (mut stage, subscriber, publisher) = pair();
        stage.set(|settings| settings.write_retry = retry);
        stage.turn_at(SECOND);
        publish_until_owed(&mut stage, subscriber, publisher, LIMIT / 4);
        stage.0.take_outbound(subscriber, &mut Vec::new());
        takes(&mut stage, subscriber, taken);
        stage.turn_at(SECOND + TEN + 1);
        assert_eq!(stage.is_open(subscriber), survives, "retry {retry}, {taken} taken");
        assert_eq!(stage.0.totals.slow_consumers_deadline, 1);

        // The next deadline is judged anew.
        stage.turn_at(SECOND + 2 * TEN + 2);
        stage.turn_at(SECOND + 3 * TEN);
        assert!(!stage.is_open(subscriber));
        assert_eq!(stage.0.totals.slow_consumers_deadline, 1 + u64::from(survives));
    }
}

#[test]
fn without_stalls_a_crowded_subscriber_misses_messages() {
    let (mut stage, subscriber, publisher) = pair();
    stage.set(|settings| settings.no_stall = true);
    publish_until_owed(&mut stage, subscriber, publisher, LIMIT / 4 * 3 + 1);
    let owed = |stage: &Stage| stage.0.connections.get(subscriber).map(|it| it.outbound.owed());
    let before = owed(&stage);
    for _ in 0..1000 {
        stage.say(publisher, "PUB x 1000\r\n");
        stage.say(publisher, &format!("{:1000}\r\n", ""));
    }
    assert!(stage.is_open(subscriber));
    assert_eq!(owed(&stage), before);
    while stage.0.connections.get(subscriber).is_some_and(|conn| conn.outbound.is_waiting()) {
        stage.heard(subscriber);
    }
    stage.say(publisher, "PUB x 2\r\nhi\r\n");
    assert_eq!(stage.heard(subscriber), "MSG x 1 2\r\nhi\r\n");
}
