//! The fuzz door of JetStream: requests, acknowledgements and publishes as a script, one a line,
//! to one core with a stream in a log, one in memory and consumers on both.
//!
//! ```text
//! [-]SUBJECT ['[' HEADER ; HEADER ']'] [PAYLOAD]     a message; with `-` nobody wants an answer
//! @MILLISECONDS                                      time passes
//! ```
//!
//! Promises: no panic; a call of the API is answered once, in JSON with a type, or not at all;
//! what is told elsewhere is whole; and nothing that was asked for takes memory beyond reason.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::Value;

use super::disk::SimDisk;
use super::log_sim::tell;
use crate::jetstream::{
    Gate, GateState, JetStream, Posted, PostedQueue, Received, Seed, Site, SubscriptionKey,
};
use crate::storage::{Health, Log, LogId, LogSettings};
use crate::types::time::{MILLISECOND, SECOND};
use crate::types::{AccountId, ConnKey, Mono, Now, Pattern, ShardId, Subject, Wall};

const TURN_BYTES: usize = 64 * 1024;
/// Lines of a script that are obeyed.
const LINES_MAX: usize = 64;
/// Streams may feed each other for ever; a script is over after so many turns or messages.
const TURNS_MAX: usize = 400;
const MESSAGES_MAX: usize = 20_000;
/// What a script of a few kilobytes may make JetStream say.
const POSTED_BYTES_MAX: usize = 64 << 20;
const PASSING_MS_MAX: u64 = 3_600_000;
const STEP_NS: u64 = 20 * MILLISECOND;
const STEPS_MAX: u64 = 50;

/// What each script meets.
const FURNITURE: &[&str] = &[
    r#"$JS.API.STREAM.CREATE.F {"name":"F","subjects":["f.>"],"storage":"file","allow_direct":true,"allow_msg_ttl":true,"allow_rollup_hdrs":true}"#,
    r#"$JS.API.STREAM.CREATE.M {"name":"M","subjects":["m.*"],"storage":"memory","allow_direct":true,"allow_atomic":true,"max_msgs_per_subject":2}"#,
    r#"$JS.API.CONSUMER.CREATE.F.c {"stream_name":"F","config":{"durable_name":"c","ack_policy":"explicit"}}"#,
    r#"$JS.API.CONSUMER.CREATE.M.p {"stream_name":"M","config":{"name":"p","deliver_subject":"_INBOX.d","ack_policy":"all"}}"#,
    "f.1 one",
    "f.2 [Nats-Msg-Id: a] two",
    "f.2 two",
    "m.1 one",
    "m.2 two",
    r#"$JS.API.CONSUMER.MSG.NEXT.F.c {"batch":2}"#,
];

struct Subscriptions(Vec<SubscriptionKey>);

impl Subscriptions {
    fn wants<'a>(&'a self, route: &'a [u8]) -> impl Iterator<Item = &'a SubscriptionKey> {
        let matches =
            |pattern: &[u8]| Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(route));
        self.0.iter().filter(move |(_, pattern, _)| matches(pattern))
    }
}

impl Gate for &Subscriptions {
    fn state(&mut self, _: AccountId, route: &[u8]) -> GateState {
        let is_heard = route.starts_with(b"_INBOX.") || route.starts_with(b"$JS.EVENT.");
        if is_heard || self.wants(route).next().is_some() {
            GateState::Open
        } else {
            GateState::Nobody
        }
    }
}

/// A message on its way.
struct Sent {
    route: Vec<u8>,
    subject: Vec<u8>,
    reply: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

struct World {
    core: JetStream,
    disk: SimDisk,
    subscriptions: Subscriptions,
    now: Now,
    /// Between two streams, or to come back to one.
    mail: VecDeque<Sent>,
    /// Calls by inbox, and whether they were answered.
    calls: BTreeMap<Vec<u8>, bool>,
    sent: usize,
    turns: usize,
    messages: usize,
    posted_bytes: usize,
    /// Of what kinds the answers were.
    kinds: DefaultHasher,
}

/// A script of JetStream. The word tells which answers it got.
pub fn jetstream(bytes: &[u8]) -> u64 {
    let mut world = World::new();
    for line in FURNITURE {
        world.obey(line.as_bytes());
    }
    world.kinds = DefaultHasher::new();
    (world.turns, world.messages) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n').take(LINES_MAX) {
        world.obey(line);
    }
    world.pass(SECOND);
    world.kinds.finish()
}

impl World {
    fn new() -> Self {
        let log = Log::new(LogId(0), settings());
        let seed = Seed {
            site: Arc::new(Site::default()),
            shards: 1,
            logs: vec![log],
            values: vec![Vec::new()],
        };
        Self {
            core: JetStream::new(ShardId(0), seed),
            disk: SimDisk::new(1),
            subscriptions: Subscriptions(Vec::new()),
            now: Now { mono: Mono(SECOND), wall: Wall(1_800_000_000 * SECOND) },
            mail: VecDeque::new(),
            calls: BTreeMap::new(),
            sent: 0,
            turns: 0,
            messages: 0,
            posted_bytes: 0,
            kinds: DefaultHasher::new(),
        }
    }

    fn obey(&mut self, line: &[u8]) {
        self.rest();
        if let Some(passing) = line.strip_prefix(b"@") {
            let millis = std::str::from_utf8(passing).ok().and_then(|text| text.parse().ok());
            return self.pass(millis.unwrap_or(0).min(PASSING_MS_MAX) * MILLISECOND);
        }
        let (is_silent, line) = match line.strip_prefix(b"-") {
            Some(line) => (true, line),
            None => (false, line),
        };
        let mut parts = line.splitn(2, |byte| *byte == b' ');
        let subject = parts.next().unwrap_or_default();
        // What the parser does not let through, or the router finds nobody for.
        let is_control = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        if subject.is_empty() || subject.iter().any(is_control) || Subject::parse(subject).is_none()
        {
            return;
        }
        let (headers, payload) = headers_of(parts.next().unwrap_or_default());
        self.sent += 1;
        let reply = format!("_R.{}", self.sent).into_bytes();
        if !is_silent && is_answered_in_json(subject) {
            self.calls.insert(reply.clone(), false);
        }
        self.mail.push_back(Sent {
            route: subject.to_vec(),
            subject: subject.to_vec(),
            reply: if is_silent { Vec::new() } else { reply },
            headers,
            payload: payload.to_vec(),
        });
        self.rest();
    }

    /// In steps, so that what is due again and again has its turns.
    fn pass(&mut self, ns: u64) {
        let step = (ns / STEPS_MAX).max(STEP_NS);
        let end = self.now.mono.0 + ns;
        while self.now.mono.0 < end {
            let step = step.min(end - self.now.mono.0);
            self.now.mono.0 += step;
            self.now.wall.0 += step;
            self.rest();
        }
    }

    /// Turns until nothing happens, or enough has.
    fn rest(&mut self) {
        let mut quiet = 0;
        while quiet < 2 && self.turns < TURNS_MAX && self.messages < MESSAGES_MAX {
            quiet = if self.turn() { 0 } else { quiet + 1 };
        }
    }

    /// True: something happened.
    fn turn(&mut self) -> bool {
        let mut moved = false;
        for sent in std::mem::take(&mut self.mail) {
            moved = true;
            self.send(&sent);
        }
        let mut gate = &self.subscriptions;
        self.core.on_interest();
        self.core.on_room();
        self.core.run(self.now, &mut gate, TURN_BYTES);
        for change in self.core.take_subscription_changes() {
            moved = true;
            self.subscriptions.0.retain(|key| *key != change.key);
            if change.wanted {
                self.subscriptions.0.push(change.key);
            }
        }
        let mut posted = PostedQueue::default();
        while self.core.take_posted(&mut posted) {
            moved = true;
            while let Some(message) = posted.first() {
                self.hear(message);
                posted.pop();
            }
        }
        moved |= self.move_disk();
        self.turns += usize::from(moved);
        moved
    }

    fn move_disk(&mut self) -> bool {
        let now = self.now.mono;
        let mut moved = false;
        for log in self.core.logs() {
            if log.health() != Health::Starting {
                log.on_tick(now);
            }
            for effect in log.take_effects() {
                moved = true;
                self.disk.push(effect);
            }
            while let Some(outcome) = self.disk.finish_one() {
                moved = true;
                tell(log, outcome, now);
            }
        }
        moved
    }

    fn send(&mut self, sent: &Sent) {
        self.messages += 1;
        let targets: Vec<_> =
            self.subscriptions.wants(&sent.route).map(|(_, _, target)| *target).collect();
        for target in targets {
            let received = Received {
                account: AccountId::GLOBAL,
                origin: (ShardId(0), ConnKey::from_bits(0)),
                subject: &sent.subject,
                route: &sent.route,
                reply: &sent.reply,
                headers: &sent.headers,
                payload: &sent.payload,
            };
            let mut gate = &self.subscriptions;
            self.core.receive(target, &received, self.now, &mut gate);
        }
    }

    /// JetStream said something.
    fn hear(&mut self, message: Posted<'_>) {
        self.messages += 1;
        self.posted_bytes += message.body.len() + message.route.len();
        assert!(self.posted_bytes < POSTED_BYTES_MAX, "a script makes it say too much");
        let (headers, payload) = message.body.split_at(message.header_len);
        assert!(
            headers.is_empty()
                || headers.starts_with(b"NATS/1.0") && headers.ends_with(b"\r\n\r\n"),
            "a block of headers that is none: {}",
            headers.escape_ascii()
        );
        if let Some(was_answered) = self.calls.get_mut(message.route) {
            assert!(!std::mem::replace(was_answered, true), "a call was answered twice");
            return self.read(payload);
        }
        if message.route.starts_with(b"$JS.EVENT.") {
            self.read(payload);
        }
        if message.route.starts_with(b"_R.") || message.route.starts_with(b"_INBOX.") {
            return headers.get(..12).hash(&mut self.kinds);
        }
        self.mail.push_back(Sent {
            route: message.route.to_vec(),
            subject: message.subject.to_vec(),
            reply: message.reply.to_vec(),
            headers: headers.to_vec(),
            payload: payload.to_vec(),
        });
    }

    /// An answer, or an advisory: an object that says what it is.
    fn read(&mut self, payload: &[u8]) {
        let text = || payload.escape_ascii().to_string();
        let Ok(said) = serde_json::from_slice::<Value>(payload) else {
            panic!("this is no JSON: {}", text());
        };
        let kind = said["type"].as_str().unwrap_or_else(|| panic!("without a type: {}", text()));
        let error = &said["error"];
        assert!(error.is_null() || error["code"].is_u64(), "an error without a code: {}", text());
        (kind, error["err_code"].as_u64()).hash(&mut self.kinds);
    }
}

/// Small, so that a script fills segments.
fn settings() -> LogSettings {
    LogSettings {
        segment_bytes_min: 32 * 1024,
        segment_bytes_max: 64 * 1024,
        batch_bytes_max: 16 * 1024,
        gather_bytes_max: 96 * 1024,
        tail_cache_bytes: 8 * 1024,
        spare_slots: 1,
        sort_delay_ns: 0,
        ..LogSettings::default()
    }
}

/// What comes to pulls and direct gets are messages and statuses.
fn is_answered_in_json(subject: &[u8]) -> bool {
    subject.starts_with(b"$JS.API.")
        && !subject.starts_with(b"$JS.API.CONSUMER.MSG.NEXT.")
        && !subject.starts_with(b"$JS.API.DIRECT.GET.")
}

/// `[Name: value;Name: value] payload`
fn headers_of(rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = rest.iter().position(|byte| *byte == b']');
    let Some((listed, payload)) =
        end.filter(|_| rest.starts_with(b"[")).map(|end| (&rest[1..end], &rest[end + 1..]))
    else {
        return (Vec::new(), rest);
    };
    let mut headers = b"NATS/1.0\r\n".to_vec();
    for header in listed.split(|byte| *byte == b';') {
        headers.extend_from_slice(header);
        headers.extend_from_slice(b"\r\n");
    }
    headers.extend_from_slice(b"\r\n");
    (headers, payload.strip_prefix(b" ").unwrap_or(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the door does not obey would not be fuzzed.
    #[test]
    fn scripts_are_obeyed_and_answered() {
        let mut world = World::new();
        FURNITURE.iter().for_each(|line| world.obey(line.as_bytes()));
        assert!(world.calls.len() == 4 && world.calls.values().all(|answered| *answered));
        world.obey(b"$JS.API.STREAM.INFO.F");
        world.obey(br#"$JS.API.STREAM.MSG.GET.F {"seq":1}"#);
        world.obey(b"f.9 [Nats-TTL: 1s] soon gone");
        world.obey(b"@2000");
        world.obey(b"$JS.ACK.F.c.1.1.1.1.0 +NXT {\"batch\":1}");
        assert!(world.calls.len() == 6 && world.calls.values().all(|answered| *answered));
        assert!(jetstream(b"") != jetstream(b"$JS.API.STREAM.INFO.F"));
        assert!(jetstream(b"$JS.API.STREAM.INFO.F") != jetstream(b"$JS.API.STREAM.INFO.X"));
    }

    #[test]
    fn headers_are_taken_off_a_line() {
        assert_eq!(
            headers_of(b"[a: 1;b: 2] x"),
            (b"NATS/1.0\r\na: 1\r\nb: 2\r\n\r\n".to_vec(), &b"x"[..])
        );
        assert_eq!(headers_of(b"[1,2").0, b"");
        assert_eq!(headers_of(b"{}").1, b"{}");
    }
}
