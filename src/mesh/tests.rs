use std::{
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::types::ShardId;

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);

fn ports<const N: usize>(lane_slots: usize) -> [Port; N] {
    mesh(N, MeshSettings { lane_slots }).try_into().ok().unwrap()
}

fn batch(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn drain(port: &mut Port) -> Vec<(ShardId, String)> {
    let mut into = Vec::new();
    let mut seen = Vec::new();
    while let Some(from) = port.pop_interest(&mut into) {
        seen.push((from, format!("interest {}", String::from_utf8_lossy(&into))));
    }
    while let Some(from) = port.pop_data(&mut into) {
        seen.push((from, String::from_utf8_lossy(&into).into_owned()));
    }
    seen
}

fn sleep(port: &Port) {
    port.prepare_park();
    assert!(port.may_sleep());
}

#[test]
fn a_port_can_move_to_its_core() {
    fn send<T: Send>() {}
    fn share<T: Clone + Send + Sync>() {}
    send::<Port>();
    share::<Bell>();
}

#[test]
fn a_look_fixes_what_is_seen() {
    let [mut a, mut b] = ports(4);
    assert!(!b.rung());
    a.push_data(B, &mut batch("1")).unwrap();
    assert!(b.rung());
    assert_eq!(drain(&mut b), [], "nothing before the look");
    b.look();
    assert!(!b.rung());
    assert!(!b.is_drained());
    a.push_data(B, &mut batch("2")).unwrap();
    assert_eq!(drain(&mut b), [(A, "1".into())]);
    assert!(b.is_drained());
    assert!(b.rung());
    b.look();
    assert_eq!(drain(&mut b), [(A, "2".into())]);
}

#[test]
fn interest_goes_first_and_sources_take_turns() {
    let [mut a, mut b, mut c] = ports(4);
    for text in ["a1", "a2", "a3"] {
        a.push_data(B, &mut batch(text)).unwrap();
    }
    c.push_data(B, &mut batch("c1")).unwrap();
    c.push_interest(B, &mut batch("i")).unwrap();
    b.look();
    let texts: Vec<_> = drain(&mut b).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["interest i", "a1", "c1", "a2", "a3"]);
}

#[test]
fn a_full_lane_refuses_and_rings_back() {
    let [mut a, mut b] = ports(1);
    a.push_data(B, &mut batch("1")).unwrap();
    let mut second = batch("2");
    assert_eq!(a.push_data(B, &mut second), Err(Full));
    assert_eq!(second, b"2", "untouched");
    assert!(a.take_wakes().is_empty(), "nobody sleeps");
    sleep(&a);

    b.look();
    assert_eq!(drain(&mut b), [(A, "1".into())]);
    assert!(a.rung());
    assert_eq!(b.take_wakes().iter().collect::<Vec<_>>(), [A]);
    a.unpark();
    a.push_data(B, &mut second).unwrap();
    b.look();
    a.look();
    assert_eq!(drain(&mut b), [(A, "2".into())]);
    assert!(!a.rung(), "nobody waited this time");
}

#[test]
fn interest_wakes_nobody_until_its_lane_is_full() {
    let [mut a, b] = ports(2);
    sleep(&b);
    a.push_interest(B, &mut batch("1")).unwrap();
    assert!(a.take_wakes().is_empty());
    a.push_interest(B, &mut batch("2")).unwrap();
    assert_eq!(a.take_wakes().iter().collect::<Vec<_>>(), [B]);
    assert!(a.take_wakes().is_empty(), "one waker pays");
}

#[test]
fn data_and_bells_wake_once() {
    let [mut a, mut b, mut c] = ports(4);
    let bell = a.bell();
    sleep(&b);
    a.push_data(B, &mut batch("1")).unwrap();
    c.push_data(B, &mut batch("1")).unwrap();
    assert_eq!(a.take_wakes().iter().collect::<Vec<_>>(), [B]);
    assert!(c.take_wakes().is_empty());
    assert!(!bell.ring(B));
    b.prepare_park();
    assert!(!b.may_sleep(), "rung since the last look");
    b.look();
    b.prepare_park();
    assert!(!b.may_sleep(), "not drained");
    drain(&mut b);
    sleep(&b);
    assert!(bell.ring(B));
    assert!(b.rung());
}

#[test]
fn buffers_come_back_emptied_unless_they_are_huge() {
    let [mut a, mut b] = ports(4);
    let mut outgoing = Vec::with_capacity(5000);
    let mut into = Vec::with_capacity(7000);
    outgoing.push(1);
    a.push_data(B, &mut outgoing).unwrap();
    assert_eq!(outgoing.capacity(), 0, "nothing has come back yet");
    b.look();
    b.pop_data(&mut into).unwrap();
    assert_eq!((into.as_slice(), into.capacity()), (&[1][..], 5000));
    outgoing.push(2);
    a.push_data(B, &mut outgoing).unwrap();
    assert_eq!((outgoing.len(), outgoing.capacity()), (0, 7000));

    into.reserve_exact(2 << 20);
    b.look();
    b.pop_data(&mut into).unwrap();
    a.push_data(B, &mut outgoing).unwrap();
    assert_eq!(outgoing.capacity(), 0, "too large to keep");
}

/// Two threads, every batch numbered, lanes of two slots: nothing is lost, doubled or out of
/// order, and nobody sleeps through a ring. Sleep is `thread::park`, a wake `unpark`.
#[test]
#[expect(clippy::disallowed_methods, reason = "tells a lost wake-up by the time it takes")]
fn stress() {
    const BATCHES: u64 = 20_000;
    const TOO_LONG: Duration = Duration::from_secs(20);
    let [a, b] = ports(2);
    let threads = Arc::new(OnceLock::<[thread::Thread; 2]>::new());
    let run = |mut port: Port, peer: ShardId| {
        let threads = Arc::clone(&threads);
        move || {
            let peers = threads.wait();
            let (mut sent, mut received) = (0u64, 0u64);
            let (mut outgoing, mut into) = (Vec::new(), Vec::new());
            while sent < BATCHES || received < BATCHES {
                port.look();
                while port.pop_data(&mut into).is_some() {
                    assert_eq!(into, received.to_le_bytes());
                    received += 1;
                }
                let mut full = false;
                while sent < BATCHES && !full {
                    outgoing.clear();
                    outgoing.extend_from_slice(&sent.to_le_bytes());
                    full = port.push_data(peer, &mut outgoing).is_err();
                    sent += u64::from(!full);
                }
                port.take_wakes().iter().for_each(|shard| peers[shard.index()].unpark());
                port.prepare_park();
                if (sent < BATCHES || received < BATCHES) && port.may_sleep() {
                    let asleep_since = Instant::now();
                    // It may be a wake-up left over from an earlier round.
                    thread::park_timeout(TOO_LONG);
                    assert!(asleep_since.elapsed() < TOO_LONG, "slept through a ring");
                }
                port.unpark();
            }
        }
    };
    let first = thread::spawn(run(a, B));
    let second = thread::spawn(run(b, A));
    threads.set([first.thread().clone(), second.thread().clone()]).ok().unwrap();
    first.join().unwrap();
    second.join().unwrap();
}
