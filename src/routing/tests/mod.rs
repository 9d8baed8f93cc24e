//! The router against the slow, obvious definition.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

mod memory;

use super::changes::InterestError;
use super::*;
use crate::types::{AccountId, Pattern, ShardId, ShardSet, Subject};

const SETTINGS: RouterSettings = RouterSettings { cache_subjects: 8, cache_enabled: true };

fn pattern(text: &str) -> Pattern<'_> {
    Pattern::parse(text.as_bytes()).unwrap()
}

fn subject(text: &str) -> Subject<'_> {
    Subject::parse(text.as_bytes()).unwrap()
}

fn routers(count: usize, settings: RouterSettings) -> Vec<Router> {
    (0..count).map(|shard| Router::new(ShardId(shard as u16), count, 7, settings)).collect()
}

fn subscribe(router: &mut Router, text: &str, queue: Option<&str>) -> SubKey {
    router.subscribe(NewSubscription {
        account: AccountId::GLOBAL,
        pattern: pattern(text),
        queue: queue.map(str::as_bytes),
        sid: b"1",
        owner: 0,
    })
}

fn route(router: &mut Router, text: &str) -> Rc<Fanout> {
    router.route(AccountId::GLOBAL, subject(text))
}

/// What one shard has to tell goes to all others. Returns its bytes.
fn exchange(routers: &mut [Router], from: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    let any = routers[from].encode_interest_changes(&mut encoded);
    assert_eq!(any, !encoded.is_empty());
    for (to, router) in routers.iter_mut().enumerate() {
        if to != from {
            router.apply_interest(ShardId(from as u16), &encoded).unwrap();
        }
    }
    encoded
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe { shard: usize, account: u32, pattern: String, queue: Option<u8> },
    Unsubscribe { nth: usize },
    Exchange { shard: usize },
    Route { shard: usize, account: u32, subject: String },
}

/// Tokens of a small alphabet, wildcards among them: literal text in a subject.
fn text() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        4 => Just("a"), 3 => Just("b"), 1 => Just("$JS"), 1 => Just("_INBOX"),
        3 => Just("*"), 1 => Just(">"), 1 => Just("*a"),
    ];
    prop::collection::vec(token, 1..5).prop_map(|tokens| tokens.join("."))
}

fn pattern_text() -> impl Strategy<Value = String> {
    text().prop_map(|text| match Pattern::parse(text.as_bytes()) {
        Some(_) => text,
        None => text.replace('>', "b"),
    })
}

fn step(shards: usize) -> impl Strategy<Value = Step> {
    let queue = prop::option::weighted(0.3, 0u8..3);
    // Half of the routes go to few subjects, so that they are cached when interest changes.
    let few = prop::sample::select(vec!["a", "a.b", "b.a", "a.b.a"]).prop_map(String::from);
    let routed = prop_oneof![few, text()];
    prop_oneof![
        6 => (0..shards, 0u32..2, pattern_text(), queue).prop_map(
            |(shard, account, pattern, queue)| Step::Subscribe { shard, account, pattern, queue }
        ),
        5 => any::<usize>().prop_map(|nth| Step::Unsubscribe { nth }),
        2 => (0..shards).prop_map(|shard| Step::Exchange { shard }),
        8 => (0..shards, 0u32..2, routed).prop_map(
            |(shard, account, subject)| Step::Route { shard, account, subject }
        ),
    ]
}

#[derive(Clone, PartialEq, Debug)]
struct Wanted {
    shard: usize,
    key: SubKey,
    account: AccountId,
    pattern: String,
    queue: Option<Vec<u8>>,
}

#[derive(Default)]
struct Members {
    local: Vec<SubKey>,
    remote: BTreeMap<ShardId, u32>,
}

/// All subscriptions of all shards in a plain list, and what each shard has told of its own.
struct Model {
    routers: Vec<Router>,
    subs: Vec<Wanted>,
    told: Vec<Vec<Wanted>>,
    /// Hashes are cut so short that they collide all the time.
    is_colliding: bool,
}

impl Model {
    fn new(shards: usize, settings: RouterSettings, mask: u64) -> Self {
        let mut routers = routers(shards, settings);
        routers.iter_mut().for_each(|router| router.collide(mask));
        let told = vec![Vec::new(); shards];
        Self { routers, subs: Vec::new(), told, is_colliding: mask != u64::MAX }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Subscribe { shard, account, pattern: text, queue } => {
                let (queue, account) = (queue.map(|queue| vec![b'q', queue]), AccountId(*account));
                let key = self.routers[*shard].subscribe(NewSubscription {
                    account,
                    pattern: pattern(text),
                    queue: queue.as_deref(),
                    sid: b"9",
                    owner: 1,
                });
                assert_eq!(self.routers[*shard].pattern_of(key), (account, text.as_bytes()));
                assert_eq!(self.routers[*shard].queue_of(key), queue.as_deref());
                let pattern = text.clone();
                self.subs.push(Wanted { shard: *shard, key, account, pattern, queue });
            }
            Step::Unsubscribe { nth } => {
                if !self.subs.is_empty() {
                    let gone = self.subs.swap_remove(nth % self.subs.len());
                    self.routers[gone.shard].unsubscribe(gone.key);
                }
            }
            Step::Exchange { shard } => self.exchange(*shard),
            Step::Route { shard, account, subject: text } => {
                let (account, subject) = (AccountId(*account), subject(text));
                for _ in 0..3 {
                    let fanout = self.routers[*shard].route(account, subject);
                    self.check(*shard, account, text, &fanout);
                }
            }
        }
    }

    fn exchange(&mut self, shard: usize) {
        exchange(&mut self.routers, shard);
        self.told[shard] = self.subs.iter().filter(|sub| sub.shard == shard).cloned().collect();
    }

    fn check(&self, shard: usize, account: AccountId, text: &str, fanout: &Fanout) {
        let covers = |sub: &&Wanted| {
            sub.account == account && pattern(&sub.pattern).matches(text.as_bytes())
        };
        let mut plain = Vec::new();
        let mut groups: BTreeMap<Vec<u8>, Members> = BTreeMap::new();
        for sub in self.subs.iter().filter(|sub| sub.shard == shard).filter(covers) {
            match &sub.queue {
                None => plain.push(sub.key),
                Some(queue) => groups.entry(queue.clone()).or_default().local.push(sub.key),
            }
        }
        let mut remote = ShardSet::default();
        let elsewhere = self.told.iter().flatten().filter(|sub| sub.shard != shard);
        for sub in elsewhere.filter(covers) {
            let shard = ShardId(sub.shard as u16);
            match &sub.queue {
                None => remote.insert(shard),
                Some(queue) => {
                    *groups.entry(queue.clone()).or_default().remote.entry(shard).or_default() += 1;
                }
            }
        }
        let sorted = |keys: &[SubKey]| {
            let mut keys = keys.to_vec();
            keys.sort();
            keys
        };
        assert_eq!(sorted(&fanout.plain), sorted(&plain), "{text}");
        assert_eq!(fanout.remote.union(remote), fanout.remote, "{text}: a false negative");
        if !self.is_colliding {
            assert_eq!(fanout.remote, remote, "{text}: a false positive without a collision");
        }
        assert_eq!(fanout.groups.len(), groups.len(), "{text}");
        for (queue, Members { local, remote }) in groups {
            let group = fanout.group(&queue).expect("a group that matches");
            assert_eq!(sorted(&group.local), sorted(&local), "{text}");
            assert_eq!(group.remote.len(), remote.len(), "{text}: a shard stands here once");
            assert_eq!(group.remote.iter().copied().collect::<BTreeMap<_, _>>(), remote);
        }
    }

    fn empty(&mut self) {
        for gone in std::mem::take(&mut self.subs) {
            self.routers[gone.shard].unsubscribe(gone.key);
        }
        (0..self.routers.len()).for_each(|shard| self.exchange(shard));
        assert!(self.routers.iter().all(Router::is_clean), "nothing may be left behind");
    }
}

/// Full hashes; a few bits at the top; none at all.
fn mask() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(u64::MAX), 2 => Just(0xC100_0000_0003_0000), 1 => Just(0)]
}

fn settings() -> impl Strategy<Value = RouterSettings> {
    (0usize..20, any::<bool>()).prop_map(|(cache_subjects, cache_enabled)| RouterSettings {
        cache_subjects,
        cache_enabled,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn fanouts_are_what_the_patterns_say(
        (shards, steps) in (1usize..5)
            .prop_flat_map(|shards| (Just(shards), prop::collection::vec(step(shards), 1..120))),
        settings in settings(),
        mask in mask(),
    ) {
        let mut model = Model::new(shards, settings, mask);
        steps.iter().for_each(|step| model.step(step));
        model.empty();
    }
}

#[test]
fn what_returns_to_where_it_was_is_not_told() {
    let mut routers = routers(2, SETTINGS);
    for (text, queue) in
        [("a.b", None), ("a.*", None), ("a.>", None), ("*.b", None), ("a", Some("q"))]
    {
        let sub = subscribe(&mut routers[0], text, queue);
        routers[0].unsubscribe(sub);
        assert_eq!(exchange(&mut routers, 0), b"", "{text}: subscribed and gone");

        let sub = subscribe(&mut routers[0], text, queue);
        assert_ne!(exchange(&mut routers, 0), b"", "{text}");
        routers[0].unsubscribe(sub);
        let sub = subscribe(&mut routers[0], text, queue);
        assert_eq!(exchange(&mut routers, 0), b"", "{text}: gone and subscribed");
        routers[0].unsubscribe(sub);
        exchange(&mut routers, 0);
        assert!(routers.iter().all(Router::is_clean), "{text}");
    }
}

#[test]
fn only_the_last_member_count_of_a_turn_is_told() {
    let mut routers = routers(2, SETTINGS);
    let subs: Vec<SubKey> = (0..9).map(|_| subscribe(&mut routers[0], "a", Some("q"))).collect();
    subs[..4].iter().for_each(|&sub| routers[0].unsubscribe(sub));
    assert!(exchange(&mut routers, 0).len() < 12);
    let fanout = route(&mut routers[1], "a");
    assert_eq!(fanout.groups[0].remote, [(ShardId(0), 5)]);
    assert!(fanout.plain.is_empty() && fanout.remote.is_empty());
}

#[test]
fn a_second_plain_subscriber_is_no_news() {
    let mut routers = routers(2, SETTINGS);
    for text in ["a.b", "a.*", "a.>"] {
        let first = subscribe(&mut routers[0], text, None);
        assert_ne!(exchange(&mut routers, 0), b"");
        let second = subscribe(&mut routers[0], text, None);
        routers[0].unsubscribe(first);
        assert_eq!(exchange(&mut routers, 0), b"", "{text}");
        routers[0].unsubscribe(second);
        assert_ne!(exchange(&mut routers, 0), b"");
        assert!(route(&mut routers[1], "a.b").is_empty());
    }
}

#[test]
fn a_subject_is_remembered_from_its_second_sight_and_one_shots_never() {
    let mut router = routers(1, SETTINGS).remove(0);
    subscribe(&mut router, ">", None);
    for _ in 0..4 {
        for text in ["a.b", "_INBOX.x.1", "_R_.y", "$JS.ACK.s.c.1"] {
            assert_eq!(route(&mut router, text).plain.len(), 1);
        }
        route(&mut router, "b");
    }
    assert_eq!(router.totals().cached, 2);
    assert_eq!(router.totals().cache_hits, 4);
    assert_eq!(router.totals().matches, 20);
}

#[test]
fn subjects_in_turn_are_all_remembered_in_the_end() {
    let settings = RouterSettings { cache_subjects: 64, cache_enabled: true };
    let mut router = routers(1, settings).remove(0);
    let texts: Vec<String> = (0..40).map(|n| format!("a.{n}")).collect();
    for _ in 0..40 {
        texts.iter().for_each(|text| drop(route(&mut router, text)));
    }
    assert_eq!(router.cache_len(), 40);
}

#[test]
fn tokens_of_any_length_are_told_apart_in_the_trie() {
    let mut router = routers(1, SETTINGS).remove(0);
    let tokens: Vec<String> = (1..40).map(|len| "x".repeat(len)).collect();
    let subs: Vec<SubKey> = (tokens.iter())
        .map(|token| subscribe(&mut router, &format!("a.{token}.>"), None))
        .collect();
    for (token, &sub) in tokens.iter().zip(&subs) {
        assert_eq!(route(&mut router, &format!("a.{token}.b")).plain, [sub]);
        assert!(route(&mut router, &format!("a.{token}y.b")).is_empty());
    }
    subs.into_iter().for_each(|sub| router.unsubscribe(sub));
    assert!(router.is_clean());
}

#[test]
fn a_full_cache_makes_room() {
    let settings = RouterSettings { cache_subjects: 64, cache_enabled: true };
    let mut router = routers(1, settings).remove(0);
    subscribe(&mut router, ">", None);
    for n in 0..1000 {
        let text = format!("a.{n}");
        (0..3).for_each(|_| assert_eq!(route(&mut router, &text).plain.len(), 1));
        assert!(router.cache_len() <= 64);
    }
    assert!(router.cache_len() >= 48);
}

#[test]
fn the_cache_is_bounded_by_what_its_fanouts_hold() {
    let settings = RouterSettings { cache_subjects: 64, cache_enabled: true };
    let mut router = routers(1, settings).remove(0);
    (0..500).for_each(|_| _ = subscribe(&mut router, ">", None));
    for n in 0..100 {
        let text = format!("a.{n}");
        (0..3).for_each(|_| assert_eq!(route(&mut router, &text).plain.len(), 500));
        assert!(router.cache_len() <= 64 * 64 / 500);
    }
    assert!(router.cache_len() > 4);
    (0..50).for_each(|_| _ = subscribe(&mut router, ">", None));
    (0..3).for_each(|_| assert_eq!(route(&mut router, "a.1").plain.len(), 550));
    assert_eq!(router.totals().cached, 0, "too large to remember");
}

#[test]
fn interest_changes_stale_only_the_subjects_of_their_first_token() {
    let mut routers = routers(2, SETTINGS);
    let cached = |router: &mut Router| {
        (0..2).for_each(|_| _ = (route(router, "a.b"), route(router, "c.d")));
        assert_eq!(router.totals().cached, 2);
    };
    for (text, left) in [("a.x", 1), ("a.*", 1), ("c.>", 1), ("*.z", 0), (">", 0), ("z", 2)] {
        cached(&mut routers[1]);
        let sub = subscribe(&mut routers[0], text, None);
        exchange(&mut routers, 0);
        assert_eq!(routers[1].totals().cached, left, "told: {text}");
        cached(&mut routers[1]);
        let here = subscribe(&mut routers[1], text, None);
        assert_eq!(routers[1].totals().cached, left, "subscribed: {text}");
        cached(&mut routers[1]);
        routers[1].unsubscribe(here);
        assert_eq!(routers[1].totals().cached, left, "unsubscribed: {text}");
        routers[0].unsubscribe(sub);
        exchange(&mut routers, 0);
    }
}

#[test]
fn a_fanout_still_held_is_not_overwritten() {
    let mut router = routers(1, SETTINGS).remove(0);
    let sub = subscribe(&mut router, "_INBOX.a", None);
    let held = route(&mut router, "_INBOX.a");
    assert!(route(&mut router, "_INBOX.b").is_empty());
    assert_eq!(held.plain, [sub]);
}

#[test]
fn subjects_and_patterns_of_2048_tokens() {
    let mut router = routers(1, SETTINGS).remove(0);
    let tokens = |token: &str| vec![token; 2048].join(".");
    let subs: Vec<SubKey> = ["*", "a", "b"]
        .iter()
        .flat_map(|token| [tokens(token), format!("{}.>", tokens(token))])
        .map(|text| subscribe(&mut router, &text, None))
        .collect();
    assert_eq!(route(&mut router, &tokens("a")).plain.len(), 2);
    assert_eq!(route(&mut router, &format!("{}.x", tokens("b"))).plain.len(), 2);
    subs.into_iter().for_each(|sub| router.unsubscribe(sub));
    assert!(router.is_clean());
}

#[test]
fn a_walk_visits_no_more_than_the_trie_has() {
    let mut router = routers(1, SETTINGS).remove(0);
    // Every combination of `*` and `a` over 12 tokens: 4096 patterns that all match.
    for bits in 0u32..4096 {
        let token = |at: u32| if bits >> at & 1 == 0 { "*" } else { "a" };
        let text = (0..12).map(token).collect::<Vec<_>>().join(".");
        subscribe(&mut router, &text, None);
    }
    assert_eq!(route(&mut router, &["a"; 12].join(".")).plain.len(), 4096);
    assert_eq!(route(&mut router, &["b"; 12].join(".")).plain.len(), 1);
    assert!(route(&mut router, &["a"; 13].join(".")).is_empty());
}

#[test]
fn a_subscriber_list_of_100_000_is_left_in_any_order() {
    let mut router = routers(1, SETTINGS).remove(0);
    let mut subs: Vec<SubKey> = (0..100_000).map(|_| subscribe(&mut router, "a.>", None)).collect();
    let mut random = 1usize;
    while !subs.is_empty() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let gone = subs.swap_remove((random >> 33) % subs.len());
        router.unsubscribe(gone);
    }
    assert!(router.is_clean());
}

#[test]
fn bytes_that_are_no_changes_are_refused() {
    let mut routers = routers(2, SETTINGS);
    subscribe(&mut routers[0], "a.>", Some("q"));
    subscribe(&mut routers[0], "a.*.c", None);
    subscribe(&mut routers[0], "a.b", None);
    let mut encoded = Vec::new();
    assert!(routers[0].encode_interest_changes(&mut encoded));
    for cut in 1..encoded.len() {
        // A cut between two runs is a shorter batch; any other is an error.
        let _ = routers[1].apply_interest(ShardId(0), &encoded[..cut]);
    }
    for bad in [&b"\x09\x01"[..], b"\x01\x01abc", b"\x03\x01\x00\x02..", b"\x05\xFF\xFF"] {
        assert_eq!(routers[1].apply_interest(ShardId(0), bad), Err(InterestError), "{bad:?}");
    }
    assert_eq!(routers[0].apply_interest(ShardId(0), &encoded), Err(InterestError));
    assert_eq!(routers[1].apply_interest(ShardId(0), &encoded), Ok(()));
    assert_eq!(route(&mut routers[1], "a.b").remote.len(), 1);
}
