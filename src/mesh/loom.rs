//! The mesh under every interleaving and every memory ordering C11 allows.
//!
//! `scripts/loom.sh` runs the models, in a package of their own (`tests/loom`).
//!
//! Each model holds with all guards, and fails with any of the guards left out that it is about:
//! so the models are shown to see what they are there to see.

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    thread,
};

use super::{
    MeshSettings, Port, mesh,
    sync::{Guard, Guards},
};
use crate::types::ShardId;

const A: ShardId = ShardId(0);
const B: ShardId = ShardId(1);
const C: ShardId = ShardId(2);

/// Explores a model with all its guards, then expects each of `needed` to be missed.
fn holds(needed: &[Guard], model: fn(Guards)) {
    explore(Guards::default(), model);
    for &guard in needed {
        let without = Guards { without: Some(guard) };
        let outcome = catch_unwind(AssertUnwindSafe(|| explore(without, model)));
        assert!(outcome.is_err(), "the model does not notice that {guard:?} is missing");
    }
}

fn explore(guards: Guards, model: fn(Guards)) {
    let mut explorer = loom::model::Builder::new();
    // Every preemption, not only the first few: some seconds for all models.
    explorer.preemption_bound = None;
    explorer.check(move || model(guards));
}

fn ports<const N: usize>(lane_slots: usize, guards: Guards) -> [Port; N] {
    mesh(N, MeshSettings { lane_slots, guards }).try_into().ok().unwrap()
}

/// What the runtime's eventfd is: a wake-up that stays until it is consumed.
#[derive(Clone)]
struct Eventfd(Arc<AtomicBool>);

impl Eventfd {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    fn signal(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn was_signalled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Tries to sleep once. `true`: it sleeps.
fn falls_asleep(port: &Port) -> bool {
    port.prepare_park();
    port.may_sleep()
}

#[test]
fn batches_arrive_once_and_in_order() {
    holds(&[], |guards| {
        let [mut a, mut b] = ports(2, guards);
        let producer = thread::spawn(move || {
            let mut batch = Vec::new();
            for number in 1..=3 {
                batch.push(number);
                if a.push_data(B, &mut batch).is_err() {
                    return number - 1;
                }
                assert!(batch.is_empty());
            }
            3
        });
        let mut seen = 0;
        let mut into = Vec::with_capacity(1);
        let mut drain = |b: &mut Port| {
            b.look();
            while let Some(from) = b.pop_data(&mut into) {
                seen += 1;
                assert_eq!((from, into.as_slice()), (A, &[seen][..]));
            }
            seen
        };
        drain(&mut b);
        let pushed = producer.join().unwrap();
        assert_eq!(drain(&mut b), pushed);
    });
}

/// A data push is either seen before the consumer sleeps, or wakes it.
#[test]
fn no_wake_up_is_lost() {
    holds(&[Guard::ParkFence, Guard::SecondLook, Guard::WakeFence], |guards| {
        let [mut a, mut b] = ports(1, guards);
        let eventfd = Eventfd::new();
        let waker = eventfd.clone();
        let producer = thread::spawn(move || {
            a.push_data(B, &mut vec![1]).unwrap();
            if a.take_wakes().contains(B) {
                waker.signal();
            }
        });
        b.look();
        let early = b.pop_data(&mut Vec::new()).is_some();
        let asleep = falls_asleep(&b);
        producer.join().unwrap();
        if asleep && !early {
            assert!(eventfd.was_signalled(), "sleeps for good with a batch in its lane");
        }
        assert!(early || b.rung());
        b.look();
        assert!(early ^ b.pop_data(&mut Vec::new()).is_some());
    });
}

/// Whoever hears the doorbell finds what it was rung for.
#[test]
fn a_ring_comes_after_its_batch() {
    holds(&[], |guards| {
        let [mut a, mut b] = ports(1, guards);
        let producer = thread::spawn(move || a.push_interest(B, &mut vec![1]).unwrap());
        if b.rung() {
            b.look();
            assert_eq!(b.pop_interest(&mut Vec::new()), Some(A));
        }
        producer.join().unwrap();
    });
}

/// The same for the control thread's bell.
#[test]
fn no_bell_is_lost() {
    holds(&[Guard::ParkFence, Guard::SecondLook, Guard::WakeFence], |guards| {
        let [a, b] = ports(1, guards);
        let eventfd = Eventfd::new();
        let waker = eventfd.clone();
        let bell = a.bell();
        let control = thread::spawn(move || {
            if bell.ring(B) {
                waker.signal();
            }
        });
        let asleep = falls_asleep(&b);
        control.join().unwrap();
        assert!(b.rung());
        assert!(!asleep || eventfd.was_signalled(), "sleeps through the bell");
    });
}

/// Two ringers, one sleeper: one of them wakes it, not both.
#[test]
fn one_waker_pays() {
    holds(&[], |guards| {
        let [a, b] = ports(1, guards);
        assert!(falls_asleep(&b));
        let (first, second) = (a.bell(), a.bell());
        let other = thread::spawn(move || first.ring(B));
        let here = second.ring(B);
        assert!(here ^ other.join().unwrap());
    });
}

/// A producer whose push was refused and who sleeps on it is rung, and woken, by the pop.
#[test]
fn room_is_handed_back() {
    let needed = [
        Guard::StarvingFence,
        Guard::SecondTry,
        Guard::RoomFence,
        Guard::ParkFence,
        Guard::SecondLook,
        Guard::WakeFence,
    ];
    holds(&needed, |guards| {
        let [mut a, mut b] = ports(1, guards);
        let eventfd = Eventfd::new();
        let waker = eventfd.clone();
        a.push_data(B, &mut vec![1]).unwrap();
        let consumer = thread::spawn(move || {
            b.look();
            assert!(b.pop_data(&mut Vec::new()).is_some());
            if b.take_wakes().contains(A) {
                waker.signal();
            }
            b
        });
        let refused = a.push_data(B, &mut vec![2]).is_err();
        assert!(a.take_wakes().is_empty());
        let asleep = refused && falls_asleep(&a);
        let mut b = consumer.join().unwrap();
        if refused {
            assert!(a.rung(), "nobody said that there is room");
            assert!(!asleep || eventfd.was_signalled(), "sleeps for good with a batch to push");
            a.push_data(B, &mut vec![2]).unwrap();
        }
        let mut into = Vec::new();
        b.look();
        assert_eq!(b.pop_data(&mut into), Some(A));
        assert_eq!(into, [2]);
    });
}

/// A tells C of an interest, then tells B something; B passes it on to C. When C sees what came
/// from B, it has seen the interest.
#[test]
fn interest_is_seen_before_its_consequences() {
    holds(&[Guard::DataFirst], |guards| {
        let [mut a, mut b, mut c] = ports(1, guards);
        let first = thread::spawn(move || {
            a.push_interest(C, &mut vec![1]).unwrap();
            a.push_data(B, &mut vec![2]).unwrap();
        });
        let second = thread::spawn(move || {
            b.look();
            let mut batch = Vec::new();
            if b.pop_data(&mut batch).is_some() {
                b.push_data(C, &mut batch).unwrap();
            }
        });
        c.look();
        let interest = c.pop_interest(&mut Vec::new());
        if c.pop_data(&mut Vec::new()).is_some() {
            assert_eq!(interest, Some(A));
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}
