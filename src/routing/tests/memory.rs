//! Bytes per subscription, counted at the allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::{exchange, pattern, routers, subscribe};
use crate::routing::{NewSubscription, Router, RouterSettings};
use crate::types::{AccountId, ShardId};

/// Counts what each test thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; the count allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const SUBSCRIPTIONS: usize = 300_000;
const SETTINGS: RouterSettings = RouterSettings { cache_subjects: 1024, cache_enabled: true };

/// Bytes per subscription on the shard that has them, and on another. Subjects of 25 bytes.
fn cost(subject: impl Fn(usize) -> String) -> (f64, f64) {
    let mut routers = routers(2, SETTINGS);
    let start = HELD.get();
    let mut told = 0;
    for nth in 0..SUBSCRIPTIONS {
        let (subject, sid) = (subject(nth), nth.to_string());
        assert_eq!(subject.len(), 25);
        routers[0].subscribe(NewSubscription {
            account: AccountId::GLOBAL,
            pattern: pattern(&subject),
            queue: None,
            sid: sid.as_bytes(),
            owner: nth as u32,
        });
        if nth % 1000 == 999 {
            let mut encoded = Vec::new();
            routers[0].encode_interest_changes(&mut encoded);
            let before = HELD.get();
            routers[1].apply_interest(ShardId(0), &encoded).unwrap();
            told += HELD.get() - before;
        }
    }
    let here = HELD.get() - start - told;
    (here as f64 / SUBSCRIPTIONS as f64, told as f64 / SUBSCRIPTIONS as f64)
}

#[test]
fn a_literal_or_inbox_subscription_costs_100_bytes_here_and_12_elsewhere() {
    for (shape, (here, elsewhere)) in [
        ("literal", cost(|nth| format!("orders.eu.{nth:07}.created"))),
        ("inbox", cost(|nth| format!("_INBOX.{nth:016}.*"))),
    ] {
        println!("{shape}: {here:.1} bytes here, {elsewhere:.1} elsewhere");
        assert!(here <= 100.0, "{shape}: {here} bytes here");
        assert!(elsewhere <= 12.0, "{shape}: {elsewhere} bytes elsewhere");
    }
}

#[test]
fn a_true_wildcard_costs_a_trie_node_more_for_each_token_of_its_own() {
    for (shape, nodes, (here, elsewhere)) in [
        ("a.N.>", 1.0, cost(|nth| format!("orders.europe.{nth:09}.>"))),
        ("a.N.*.b", 3.0, cost(|nth| format!("orders.{nth:09}.*.madrid"))),
    ] {
        println!("{shape}: {here:.1} bytes here, {elsewhere:.1} elsewhere");
        assert!(here <= 95.0 + 36.0 * nodes, "{shape}: {here} bytes here");
        assert!(elsewhere <= 14.0 + 36.0 * nodes, "{shape}: {elsewhere} bytes elsewhere");
    }
}

#[test]
fn an_idle_router_is_small() {
    let start = HELD.get();
    let router = routers(1, SETTINGS).remove(0);
    assert!(HELD.get() - start < 100_000, "{}", HELD.get() - start);
    drop(router);
    assert_eq!(HELD.get(), start);
}

#[test]
fn routing_what_is_not_cached_allocates_nothing() {
    let mut routers = routers(2, SETTINGS);
    subscribe(&mut routers[0], "_INBOX.a.*", None);
    subscribe(&mut routers[0], "_INBOX.>", None);
    subscribe(&mut routers[0], "_INBOX.*.*", Some("q"));
    exchange(&mut routers, 0);
    for router in &mut routers {
        let wanted = |router: &mut Router, text: &str| super::route(router, text).len();
        (0..2).for_each(|_| _ = wanted(router, "_INBOX.a.0"));
        let start = HELD.get();
        let subjects = ["_INBOX.a.1", "_INBOX.b", "_INBOX.a.3"];
        assert!(subjects.iter().all(|text| wanted(router, text) > 0));
        assert_eq!(HELD.get(), start);
    }
}
