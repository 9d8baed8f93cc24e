//! Consumers on a stream in memory, with everything they publish as lines of text.
//!
//! `in a.x 1/2/3 +4`: to `in`, subject a.x, first delivery of message 2 as the consumer's third,
//! 4 left. `in 404 No Messages`: a status. `! MSG_NAKED …`: an advisory or a metric.

use std::collections::{BTreeSet, HashMap};

use super::super::config::{AckPolicy, ConsumerConfig, Nanos, Retention};
use super::super::context::{Context, Gate, GateState, Site};
use super::super::ledger::Ledger;
use super::super::outbox::Outbox;
use super::super::store::{NewMessage, Store};
use super::ack::ACK_PREFIX;
use super::*;
use crate::storage::Urgency;
use crate::types::time::{MILLISECOND, SECOND};

mod acks;
mod durability;
mod pulling;
mod pushing;
mod sim;
mod size;

const START: u64 = 1_000 * SECOND;
const EPOCH: u64 = 1_700_000_000 * SECOND;

#[derive(Default)]
pub struct Listeners {
    /// Everybody listens but these.
    nobody: BTreeSet<Vec<u8>>,
    crowded: BTreeSet<Vec<u8>>,
}

impl Gate for Listeners {
    fn state(&mut self, _: AccountId, route: &[u8]) -> GateState {
        if self.nobody.contains(route) {
            GateState::Nobody
        } else if self.crowded.contains(route) {
            GateState::Crowded
        } else {
            GateState::Open
        }
    }
}

/// A stream in memory and one consumer of it.
pub struct Rig {
    pub store: Store,
    pub out: Outbox,
    pub listeners: Listeners,
    pub site: Site,
    pub now: Now,
    pub consumer: Option<Box<Consumer>>,
    pub is_durable: bool,
    pub retention: Retention,
}

impl Rig {
    pub fn empty() -> Self {
        Self {
            store: Store::memory_only(1),
            out: Outbox::default(),
            listeners: Listeners::default(),
            site: Site::default(),
            now: Now { mono: Mono(START), wall: Wall(EPOCH) },
            consumer: None,
            is_durable: false,
            retention: Retention::Limits,
        }
    }

    /// With a consumer, made when there are `messages` of subject `a.x`.
    pub fn new(messages: usize, config: &ConsumerConfig) -> Self {
        let mut rig = Self::empty();
        rig.store("a.x", messages);
        rig.make(config);
        rig
    }

    pub fn home(&self) -> Home<'static> {
        Home {
            account: AccountId::GLOBAL,
            account_name: "$G",
            stream: "S",
            retention: self.retention,
            max_msg_size: 0,
            is_durable: self.is_durable,
        }
    }

    pub fn make(&mut self, config: &ConsumerConfig) {
        let home = self.home();
        let Self { store, out, listeners, site, now, .. } = self;
        let ledger = &Ledger::default();
        let mut ctx = Context { now: *now, log: None, out, gate: listeners, site, ledger };
        let name = if config.name.is_empty() { "C" } else { &config.name };
        self.consumer = Some(Box::new(Consumer::new(name, config, &home, store, &mut ctx)));
    }

    pub fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Consumer, &mut Context<'_>, &mut Store) -> T,
    ) -> T {
        let Self { store, out, listeners, site, now, consumer, .. } = self;
        let ledger = &Ledger::default();
        let mut ctx = Context { now: *now, log: None, out, gate: listeners, site, ledger };
        act(consumer.as_mut().unwrap(), &mut ctx, store)
    }

    pub fn store_one(&mut self, subject: &str, headers: &str, payload: &[u8]) -> u64 {
        let seq = self.store.last_seq(None).next();
        let message = NewMessage {
            seq,
            time: self.now.wall.0,
            subject: subject.as_bytes(),
            headers: headers.as_bytes(),
            payload,
        };
        self.store.append(None, &[message], Urgency::Now, self.now.mono).unwrap();
        seq.0
    }

    pub fn store(&mut self, subject: &str, count: usize) {
        for _ in 0..count {
            self.store_one(subject, "", b"x");
        }
    }

    /// As a core does while there is more, within bounds.
    pub fn poll(&mut self) -> Poll {
        let mut poll = || self.with(|consumer, ctx, store| consumer.poll(ctx, store, &mut 10_000));
        (0..100).map(|_| poll()).find(|outcome| *outcome != Poll::Again).unwrap_or(Poll::Again)
    }

    pub fn pull(&mut self, inbox: &str, body: &str) {
        self.with(|consumer, ctx, store| {
            consumer.on_pull(ctx, store, body.as_bytes(), inbox.as_bytes(), b"");
        });
        self.poll();
    }

    /// Pulls and tells what came.
    pub fn pulled(&mut self, body: &str) -> Vec<String> {
        self.pull("in", body);
        self.lines()
    }

    pub fn ack(&mut self, numbers: &str, payload: &str, reply: &str) -> Answered {
        let subject = format!("$JS.ACK.S.C.{}.0.0", numbers.replace('/', "."));
        let answered = self.with(|consumer, ctx, store| {
            let tokens = AckTokens::parse(subject.as_bytes()).unwrap();
            consumer.on_ack(ctx, store, &tokens, payload.as_bytes(), reply.as_bytes())
        });
        if answered == Answered::Poll {
            self.poll();
        }
        answered
    }

    /// Lets time pass, with a tick and a poll whenever the consumer wanted one.
    pub fn pass(&mut self, ns: u64) -> Tick {
        let end = self.now.mono.plus(ns);
        loop {
            let wake = self.consumer.as_ref().unwrap().wake_at(self.now).max(self.now.mono);
            let to = wake.min(end);
            self.now.wall = self.now.wall_at(to);
            self.now.mono = to;
            if self.with(|consumer, ctx, _| consumer.on_tick(ctx)) == Tick::Expired {
                return Tick::Expired;
            }
            self.poll();
            if to == end {
                return Tick::Alive;
            }
        }
    }

    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some((_, message)) = self.out.first() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let route = text(message.route);
            let mut line = match route.strip_prefix("$JS.EVENT.") {
                Some(event) => advisory(event, &text(message.payload)),
                None => route,
            };
            if message.subject != message.route {
                line += &format!(" {}", text(message.subject));
            }
            if message.reply.starts_with(ACK_PREFIX) {
                let reply = text(message.reply);
                let tokens: Vec<&str> = reply.split('.').collect();
                line += &format!(" {}/{}/{} +{}", tokens[4], tokens[5], tokens[6], tokens[8]);
            } else if !message.reply.is_empty() {
                line += &format!(" ?{}", text(message.reply));
            }
            if !message.headers.is_empty() {
                let headers = text(message.headers);
                let headers = headers.strip_prefix("NATS/1.0").unwrap().trim();
                line += &format!(" {}", headers.replace("\r\n", "; "));
            }
            lines.push(line);
            self.out.pop();
        }
        lines
    }

    pub fn floor(&self) -> (u64, u64) {
        let floor = self.consumer.as_ref().unwrap().state.floor;
        (floor.consumer.0, floor.stream.0)
    }

    pub fn info(&mut self) -> super::super::info::ConsumerInfo {
        self.with(|consumer, ctx, store| consumer.info(ctx, store))
    }
}

/// The last part of the subject's name and the payload's fields behind the time.
fn advisory(event: &str, payload: &str) -> String {
    let fields = payload.split_once(r#""consumer":"C","#).map_or(payload, |(_, rest)| rest);
    let name = event.split('.').nth(2).unwrap();
    format!("! {name} {}", fields.trim_end_matches('}').replace('"', ""))
}

pub fn explicit() -> ConsumerConfig {
    ConsumerConfig {
        ack_policy: AckPolicy::Explicit,
        ack_wait: Nanos(30 * SECOND as i64),
        max_deliver: -1,
        max_waiting: 512,
        max_ack_pending: 1000,
        ..ConsumerConfig::default()
    }
}

pub fn ms(count: u64) -> Nanos {
    Nanos((count * MILLISECOND) as i64)
}

pub fn config(change: impl FnOnce(&mut ConsumerConfig)) -> ConsumerConfig {
    let mut config = explicit();
    change(&mut config);
    config
}

/// Deliveries per message as lines tell them.
pub fn counts(lines: &[String]) -> HashMap<u64, u32> {
    let mut counts = HashMap::new();
    for line in lines {
        let Some(numbers) = line.split(' ').find(|word| word.matches('/').count() == 2) else {
            continue;
        };
        let seq = numbers.split('/').nth(1).unwrap().parse().unwrap();
        *counts.entry(seq).or_insert(0) += 1;
    }
    counts
}

/// Chance that can be had again.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % below
    }
}
