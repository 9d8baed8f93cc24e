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
