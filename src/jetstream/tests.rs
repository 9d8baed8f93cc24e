//! JetStream of several cores in one thread: letters and messages go from one to another, requests
//! come from the test.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::{Gate, GateState, Site};
use super::core::{JetStream, Received, Seed};
use super::outbox::PostedQueue;
use super::target::{SubscriptionKey, Target};
use crate::types::pattern::covers;
use crate::types::time::{MILLISECOND, SECOND};
use crate::types::{AccountId, ConnKey, Mono, Now, ShardId, Wall};

const TURN_BYTES: usize = 64 * 1024;
const CORES: [usize; 3] = [1, 2, 4];

struct Subscriptions(Vec<(usize, SubscriptionKey)>);

impl Subscriptions {
    fn of(&self, route: &[u8]) -> Vec<(usize, Target)> {
        let found = self.0.iter().filter(|(_, (_, pattern, _))| covers(pattern, route));
        found.map(|(core, (_, _, target))| (*core, *target)).collect()
    }
}

impl Gate for &Subscriptions {
    fn state(&mut self, _: AccountId, route: &[u8]) -> GateState {
        let is_inbox = route.starts_with(b"_INBOX");
        if is_inbox || !self.of(route).is_empty() { GateState::Open } else { GateState::Nobody }
    }
}

#[derive(Clone, Debug, Default)]
struct Sent {
    route: Vec<u8>,
    subject: Vec<u8>,
    reply: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

struct World {
    cores: Vec<JetStream>,
    subscriptions: Subscriptions,
    now: Now,
    /// What reached inboxes.
    inbox: VecDeque<Sent>,
    /// Messages of sources that are not delivered: every such one, counted.
    lose_every: Option<u64>,
    sourced: u64,
}

impl World {
    fn new(cores: usize) -> Self {
        let seed = || Seed {
            site: Arc::new(Site::default()),
            shards: cores,
            logs: Vec::new(),
            values: Vec::new(),
        };
        let jetstreams = (0..cores).map(|core| JetStream::new(ShardId(core as u16), seed()));
        let mut world = Self {
            cores: jetstreams.collect(),
            subscriptions: Subscriptions(Vec::new()),
            now: Now { mono: Mono(SECOND), wall: Wall(1_800_000_000 * SECOND) },
            inbox: VecDeque::new(),
            lose_every: None,
            sourced: 0,
        };
        world.rest();
        world
    }

    /// A turn of every core. True: something happened.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for core in 0..self.cores.len() {
            let mut gate = &self.subscriptions;
            let jetstream = &mut self.cores[core];
            jetstream.on_interest();
            jetstream.run(self.now, &mut gate, TURN_BYTES);
            moved |= self.carry_out(core);
            let mut posted = PostedQueue::default();
            while self.cores[core].take_posted(&mut posted) {
                moved = true;
                while let Some(message) = posted.first() {
                    let (headers, payload) = message.body.split_at(message.header_len);
                    let sent = Sent {
                        route: message.route.to_vec(),
                        subject: message.subject.to_vec(),
                        reply: message.reply.to_vec(),
                        headers: headers.to_vec(),
                        payload: payload.to_vec(),
                    };
                    posted.pop();
                    self.send(sent);
                }
            }
        }
        moved
    }

    fn carry_out(&mut self, core: usize) -> bool {
        let mut moved = false;
        for change in self.cores[core].take_subscription_changes() {
            moved = true;
            match change.wanted {
                true => self.subscriptions.0.push((core, change.key)),
                false => self.subscriptions.0.retain(|(_, key)| *key != change.key),
            }
        }
        for (to, bytes) in self.cores[core].take_letters() {
            moved = true;
            let mut gate = &self.subscriptions;
            let to = to.index();
            self.cores[to].on_letter(ShardId(core as u16), &bytes, self.now, &mut gate);
        }
        moved
    }

    fn send(&mut self, sent: Sent) {
        if sent.route.starts_with(b"_INBOX") {
            self.inbox.push_back(sent);
            return;
        }
        if sent.reply.starts_with(b"$JS.ACK.") {
            self.sourced += 1;
            if self.lose_every.is_some_and(|every| self.sourced.is_multiple_of(every)) {
                return;
            }
        }
        for (core, target) in self.subscriptions.of(&sent.route) {
            let received = Received {
                account: AccountId::GLOBAL,
                origin: (ShardId(core as u16), ConnKey::from_bits(0)),
                subject: &sent.subject,
                route: &sent.route,
                reply: &sent.reply,
                headers: &sent.headers,
                payload: &sent.payload,
            };
            let mut gate = &self.subscriptions;
            self.cores[core].receive(target, &received, self.now, &mut gate);
        }
    }

    /// Turns until nothing happens.
    fn rest(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// Lets time pass in steps in which heartbeats are heard.
    fn pass(&mut self, ns: u64) {
        let end = self.now.mono.0 + ns;
        while self.now.mono.0 < end {
            let step = (50 * MILLISECOND).min(end - self.now.mono.0);
            self.now.mono.0 += step;
            self.now.wall.0 += step;
            self.rest();
        }
    }

    fn publish(&mut self, subject: &str, payload: &str) {
        let (subject, payload) = (subject.as_bytes().to_vec(), payload.as_bytes().to_vec());
        self.send(Sent { route: subject.clone(), subject, payload, ..Sent::default() });
    }

    fn call(&mut self, subject: &str, body: &Value) -> Value {
        let subject = format!("$JS.API.{subject}").into_bytes();
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = b"_INBOX.1".to_vec();
        self.send(Sent { route: subject.clone(), subject, reply, payload, ..Sent::default() });
        self.rest();
        let answer = self.inbox.pop_front().expect("an answer");
        serde_json::from_slice(&answer.payload).unwrap()
    }

    fn create(&mut self, mut config: Value) {
        config["storage"] = json!("memory");
        let name = config["name"].as_str().unwrap().to_owned();
        let answer = self.call(&format!("STREAM.CREATE.{name}"), &config);
        assert!(answer["error"].is_null(), "{answer}");
    }

    fn update(&mut self, config: Value) -> Value {
        let mut config = config;
        config["storage"] = json!("memory");
        let name = config["name"].as_str().unwrap().to_owned();
        self.call(&format!("STREAM.UPDATE.{name}"), &config)
    }

    fn delete(&mut self, name: &str) {
        let answer = self.call(&format!("STREAM.DELETE.{name}"), &Value::Null);
        assert_eq!(answer["success"], true);
    }

    fn info(&mut self, name: &str) -> Value {
        self.call(&format!("STREAM.INFO.{name}"), &Value::Null)
    }

    /// Messages, first and last sequence.
    fn state(&mut self, name: &str) -> (u64, u64, u64) {
        let info = self.info(name);
        let number = |field: &str| info["state"][field].as_u64().unwrap();
        (number("messages"), number("first_seq"), number("last_seq"))
    }
}

#[test]
fn a_mirror_follows_its_origin_on_any_core() {
    for cores in CORES {
        let mut world = World::new(cores);
        world.create(json!({"name": "O", "subjects": ["o.>"]}));
        for n in 0..2000 {
            world.publish(&format!("o.{}", n % 7), "payload");
        }
        world.create(json!({"name": "M", "mirror": {"name": "O"}}));
        world.pass(SECOND);
        assert_eq!(world.state("M"), (2000, 1, 2000), "{cores} cores");
        world.publish("o.1", "live");
        world.rest();
        assert_eq!(world.state("M"), (2001, 1, 2001));
        let info = world.info("M");
        assert_eq!(info["mirror"]["name"], "O");
        assert_eq!(info["mirror"]["lag"], 0);
        assert!(info["mirror"]["active"].as_i64().unwrap() >= 0);
        // Nobody sees what feeds it.
        let names = world.call("CONSUMER.NAMES.O", &Value::Null);
        assert_eq!(names["total"], 0);
        world.pass(10 * SECOND);
        assert_eq!(world.state("M"), (2001, 1, 2001));
    }
}

#[test]
fn a_mirror_does_not_tell_its_filter() {
    let mut world = World::new(2);
    world.create(json!({"name": "O", "subjects": ["o.>"]}));
    world.create(json!({"name": "M", "mirror": {"name": "O", "filter_subject": "o.1"}}));
    let info = world.info("M");
    assert_eq!(info["mirror"]["name"], "O");
    assert!(info["mirror"]["filter_subject"].is_null(), "{info}");
    assert_eq!(info["config"]["mirror"]["filter_subject"], "o.1");
}

#[test]
fn messages_that_get_lost_are_fetched_again() {
    for cores in CORES {
        let mut world = World::new(cores);
        world.create(json!({"name": "O", "subjects": ["o.>"]}));
        world.create(json!({"name": "M", "mirror": {"name": "O"}}));
        world.create(json!({"name": "S", "sources": [{"name": "O", "filter_subject": "o.1"}]}));
        world.lose_every = Some(37);
        for n in 0..1000 {
            world.publish(&format!("o.{}", n % 2), "payload");
        }
        world.pass(20 * SECOND);
        world.lose_every = None;
        world.pass(5 * SECOND);
        assert_eq!(world.state("M"), (1000, 1, 1000));
        assert_eq!(world.state("S"), (500, 1, 500));
    }
}

#[test]
fn many_origins_one_after_the_other_in_order() {
    for cores in CORES {
        let mut world = World::new(cores);
        world.create(json!({"name": "S", "subjects": ["s"], "sources": [
            {"name": "A", "filter_subject": "a.1"},
            {"name": "B", "subject_transforms": [{"src": "b.*", "dest": "x.{{wildcard(1)}}"}]},
        ]}));
        world.pass(SECOND);
        assert_eq!(world.info("S")["sources"][0]["error"]["err_code"], 10059);
        // Origins that come later are found.
        world.create(json!({"name": "A", "subjects": ["a.>"]}));
        world.create(json!({"name": "B", "subjects": ["b.>"]}));
        for n in 0..300 {
            world.publish(&format!("a.{}", n % 3), "a");
            world.publish(&format!("b.{n}"), "b");
        }
        world.pass(5 * SECOND);
        assert_eq!(world.state("S"), (400, 1, 400));
        let info = world.info("S");
        assert_eq!(info["sources"][0]["seq"], 299);
        assert!(info["sources"][0]["error"].is_null());
        assert_eq!(info["sources"][1]["seq"], 300);
        world.publish("s", "own");
        world.rest();
        assert_eq!(world.state("S").0, 401);
    }
}

#[test]
fn an_origin_made_anew_is_drawn_anew() {
    let mut world = World::new(2);
    world.create(json!({"name": "O", "subjects": ["o.>"]}));
    for _ in 0..5 {
        world.publish("o.1", "old");
    }
    world.create(json!({"name": "S", "sources": [{"name": "O"}]}));
    world.pass(SECOND);
    world.delete("O");
    world.pass(SECOND);
    world.create(json!({"name": "O", "subjects": ["o.>"]}));
    world.publish("o.1", "new");
    world.publish("o.1", "new");
    world.pass(10 * SECOND);
    assert_eq!(world.state("S").0, 7);
    assert_eq!(world.info("S")["sources"][0]["seq"], 2);
}

#[test]
fn what_feeds_another_stream_acknowledges_where_that_counts() {
    for retention in ["workqueue", "interest"] {
        for cores in CORES {
            let mut world = World::new(cores);
            world.create(json!({"name": "W", "subjects": ["w.>"], "retention": retention}));
            world.create(json!({"name": "S", "sources": [{"name": "W"}]}));
            world.pass(SECOND / 10);
            world.lose_every = Some(1499);
            for n in 0..5000 {
                world.publish(&format!("w.{n}"), "x");
            }
            world.pass(5 * SECOND);
            world.lose_every = None;
            world.pass(5 * SECOND);
            let states = (world.state("W").0, world.state("S").0);
            assert_eq!(states, (0, 5000), "{retention} {cores}");
            let names = world.call("CONSUMER.NAMES.W", &Value::Null);
            assert_eq!(names["total"], 1, "{names}");
            world.delete("S");
            let names = world.call("CONSUMER.NAMES.W", &Value::Null);
            assert_eq!(names["total"], 0, "{names}");
        }
    }
}

#[test]
fn a_deleted_stream_leaves_no_consumer_behind() {
    let mut world = World::new(2);
    world.create(json!({"name": "O", "subjects": ["o.>"]}));
    world.create(json!({"name": "S", "sources": [{"name": "O"}]}));
    world.pass(SECOND);
    let listeners = |world: &World| -> usize {
        let feeds =
            |(_, (_, _, target)): &&(usize, SubscriptionKey)| matches!(target, Target::Feed(_));
        world.subscriptions.0.iter().filter(feeds).count()
    };
    assert_eq!(listeners(&world), 1);
    world.delete("S");
    world.pass(SECOND);
    assert_eq!(listeners(&world), 0);
    let consumers: usize = world.cores.iter().map(JetStream::consumers_len).sum();
    assert_eq!(consumers, 0);
}

#[test]
fn counters_add_up_over_streams() {
    let mut world = World::new(2);
    for (name, subject) in [("A", "a"), ("B", "b")] {
        world.create(json!({"name": name, "subjects": [subject], "allow_msg_counter": true}));
    }
    let rule = |from: &str| json!([{"src": from, "dest": "e"}]);
    world.create(json!({"name": "C", "subjects": ["e"], "allow_msg_counter": true, "sources": [
        {"name": "A", "subject_transforms": rule("a")},
        {"name": "B", "subject_transforms": rule("b")},
    ]}));
    world.pass(SECOND);
    for (subject, increment) in [("a", "2"), ("b", "5"), ("a", "7"), ("e", "100")] {
        let headers = format!("NATS/1.0\r\nNats-Incr: {increment}\r\n\r\n").into_bytes();
        let subject = subject.as_bytes().to_vec();
        world.send(Sent { route: subject.clone(), subject, headers, ..Sent::default() });
        world.pass(SECOND / 10);
    }
    let last = world.call("STREAM.MSG.GET.C", &json!({"last_by_subj": "e"}));
    let decode = |field: &str| last["message"][field].as_str().unwrap().to_owned();
    // {"val":"114"}
    assert_eq!(decode("data"), "eyJ2YWwiOiIxMTQifQ==");
}

#[test]
fn an_update_that_breaks_consumers_changes_nothing() {
    let mut world = World::new(2);
    world.create(json!({"name": "O", "subjects": ["o.>"]}));
    let consumer = json!({"stream_name": "O", "config":
        {"durable_name": "c", "ack_policy": "explicit", "max_ack_pending": 100}});
    let made = world.call("CONSUMER.CREATE.O.c", &consumer);
    assert!(made["error"].is_null(), "{made}");
    let limited = json!({"name": "O", "subjects": ["o.>"],
        "consumer_limits": {"max_ack_pending": 5}});
    let refused = world.update(limited);
    assert_eq!(refused["error"]["err_code"], 10069);
    assert_eq!(refused["error"]["description"], "change to limits violates consumers: c");
    let same = json!({"name": "O", "subjects": ["o.>"]});
    let again = world.call("STREAM.CREATE.O", &{
        let mut same = same.clone();
        same["storage"] = json!("memory");
        same
    });
    assert!(again["error"].is_null(), "the registry has what was before: {again}");
}

#[test]
fn a_stream_without_consumers_that_turns_to_interest_is_empty() {
    for (consumer, expected) in [(None, (0, 3, 2)), (Some("o.2"), (2, 1, 2))] {
        let mut world = World::new(2);
        world.create(json!({"name": "O", "subjects": ["o.>"]}));
        world.publish("o.1", "x");
        world.publish("o.2", "x");
        if let Some(filter) = consumer {
            let consumer = json!({"stream_name": "O", "config": {"durable_name": "c",
                "ack_policy": "explicit", "filter_subject": filter}});
            world.call("CONSUMER.CREATE.O.c", &consumer);
        }
        let told = world.update(json!({"name": "O", "subjects": ["o.>"], "retention": "interest"}));
        assert_eq!(told["state"]["messages"], expected.0, "{told}");
        assert_eq!(world.state("O"), expected);
    }
}

#[test]
fn a_sealed_stream_comes_back_from_a_backup() {
    let mut world = World::new(2);
    let config = json!({"name": "S", "subjects": ["s.>"], "storage": "memory", "sealed": true,
        "deny_delete": true, "deny_purge": true, "discard": "new"});
    let refused = world.call("STREAM.CREATE.S", &config);
    assert_eq!(refused["error"]["err_code"], 10052);
    let begun = world.call("STREAM.RESTORE.S", &json!({"config": config, "state": {}}));
    assert!(begun["error"].is_null(), "{begun}");
    assert!(begun["deliver_subject"].is_string(), "{begun}");
}
