//! What must be true of a broker at rest, after a start, and in the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::consumer::Sure;
use super::model::{Picture, There};
use super::plan::Keeps;
use super::server::Sent;
use super::world::{Call, NAMES, World};
use crate::types::limits::RIDE_ALONG_NS;
use crate::types::time::{MILLISECOND, SECOND};

/// Turns that what is due may take.
const SLACK: u64 = 3 * MILLISECOND;

/// A stream as the API tells of it.
struct Found {
    mark: u64,
    last_seq: u64,
    messages: BTreeMap<u64, u32>,
    /// Consumers that survive restarts: their marks.
    consumers: BTreeMap<String, u32>,
    infos: BTreeMap<String, Value>,
}

impl World {
    /// The broker comes to rest while hardly any time passes; then nothing may be owed to anybody.
    pub(super) fn rest(&mut self) {
        self.server.settle();
        self.hear();
        if !self.unanswered.is_empty() || !self.calls.is_empty() {
            // What nobody hurried waits for company.
            self.server.pass(RIDE_ALONG_NS);
            self.server.settle();
            self.hear();
        }
        self.check_answers();
        for life in self.by_name.clone().into_values() {
            for at in self.lives[life].consumers.clone().into_values() {
                self.check_taker(at);
            }
        }
    }

    /// Nobody who was to be answered waits any more. A stop ends with that too, but not with all
    /// deliveries made that could be.
    pub(super) fn check_answers(&mut self) {
        if let Some(number) = self.unanswered.first() {
            let attempt = &self.attempts[*number as usize];
            self.fail(&format!("publish {number} is never answered: {attempt:?}"));
        }
        // What waits for a read ends with its stream.
        let ends = |call: &Call| matches!(call, Call::Change { life, .. } if self.lives[*life].deleted.is_some());
        if let Some((number, call)) = self.calls.iter().find(|(_, call)| !ends(call)) {
            self.fail(&format!("call {number} is never answered: {call:?}"));
        }
        for life in self.by_name.clone().into_values() {
            self.lives[life].rest();
        }
    }

    /// Who waits for messages has got what is there, and what is due again.
    fn check_taker(&self, at: usize) {
        let consumer = &self.consumers[at];
        let (own, now) = (&self.lives[consumer.life], self.wall());
        let subject = consumer.plan.deliver_subject.as_bytes();
        let ears = &self.server.ears;
        let has_taker = match consumer.plan.is_push() {
            true => ears.open.contains(subject) && !ears.crowded.contains(subject),
            false => consumer.pulls.iter().any(|pull| pull.expires > now),
        };
        if !has_taker {
            return;
        }
        let who = format!("{}.{}", own.name, consumer.plan.name);
        let is_full = consumer.may_be_full();
        for (seq, number) in &own.now.messages {
            let subject = &self.attempts[*number as usize].subject;
            if own.there(*seq, &self.attempts, now) != There::Yes {
                continue;
            }
            match consumer.seen.get(seq) {
                None if !is_full && consumer.owes(*seq, subject) => {
                    self.fail(&format!("{who} does not deliver {seq}: {:?}", consumer.plan));
                }
                None => {}
                Some(seen) if seen.acked != Sure::No || consumer.is_spent(seen) => {}
                // A crash may have taken its delivery back, and then it is for others now.
                Some(seen) if seen.out == Sure::Maybe && !consumer.owes(*seq, subject) => {}
                Some(seen) => {
                    let due = match seen.out {
                        Sure::Yes => seen.late,
                        _ => consumer.all_due.max(seen.late),
                    };
                    if due + SLACK < now && (seen.out == Sure::Yes || !is_full) {
                        let late = (now - due) / MILLISECOND;
                        self.fail(&format!("{who} is late with {seq} by {late} ms: {seen:?}"));
                    }
                }
            }
        }
    }

    /// A question of the simulator itself, answered while nothing else happens.
    fn ask(&mut self, subject: &str, body: &Value) -> Vec<Sent> {
        let number = self.number();
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let reply = format!("_INBOX.q.{number}");
        self.server.send(&Sent::new(&format!("$JS.API.{subject}"), &reply, payload));
        self.server.settle();
        self.hear();
        std::mem::take(&mut self.told)
    }

    fn ask_json(&mut self, subject: &str, body: &Value) -> Value {
        let answers = self.ask(subject, body);
        let [answer] = &answers[..] else {
            self.fail(&format!("{subject} has {} answers", answers.len()));
        };
        serde_json::from_slice(&answer.payload).unwrap_or_default()
    }

    /// After a start: everything is as it was at some moment that nobody was told to be past.
    /// `is_exact`: as it was last.
    pub(super) fn survey(&mut self, is_exact: bool) {
        self.run += 1;
        self.calls.clear();
        self.confirms.clear();
        self.unanswered.clear();
        self.pulls.clear();
        self.by_name.clear();
        let list = self.ask_json("STREAM.LIST", &Value::Null);
        let streams = list["streams"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> =
            streams.iter().filter_map(|it| it["config"]["name"].as_str()).collect();
        let once: BTreeSet<&str> = names.iter().copied().collect();
        if once.len() != names.len() {
            self.fail(&format!("a stream is there twice: {names:?}"));
        }
        for name in NAMES {
            let info = streams.iter().find(|it| it["config"]["name"] == name);
            self.survey_name(name, info, is_exact);
        }
    }

    fn survey_name(&mut self, name: &str, info: Option<&Value>, is_exact: bool) {
        let all = 0..self.lives.len();
        let candidates: Vec<usize> =
            all.filter(|at| self.lives[*at].name == name && !self.lives[*at].is_gone).collect();
        let Some(info) = info else {
            for at in candidates {
                let own = &mut self.lives[at];
                let may_be_gone =
                    own.deleted.is_some() || own.plan().in_memory || !own.is_told && !is_exact;
                own.is_gone = true;
                if !may_be_gone {
                    self.fail(&format!("stream {name} is gone"));
                }
            }
            return;
        };
        let found = self.look_at(name, info);
        let has_mark = |at: &usize| self.lives[*at].configs.iter().any(|it| it.mark == found.mark);
        let Some(at) = candidates.iter().copied().find(has_mark) else {
            self.fail(&format!("stream {name} is back, or never was: {info}"));
        };
        if self.lives[at].plan().in_memory {
            self.fail(&format!("stream {name} outlived a restart in memory"));
        }
        if is_exact && self.lives[at].deleted.is_some() {
            self.fail(&format!("stream {name} is back after an orderly stop"));
        }
        for other in candidates {
            let own = &mut self.lives[other];
            let is_lost = other > at
                && own.deleted.is_none()
                && !own.plan().in_memory
                && (own.is_told || is_exact);
            own.is_gone = other != at;
            if is_lost {
                self.fail(&format!("stream {name} is an older one: {info}"));
            }
        }
        self.lives[at].deleted = None;
        self.by_name.insert(name.into(), at);
        let picture = self.match_picture(at, &found, is_exact);
        self.take_up(at, picture, &found);
    }

    fn look_at(&mut self, name: &str, info: &Value) -> Found {
        let mark = |config: &Value| {
            let text = config["metadata"]["mark"].as_str();
            text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        let list = self.ask_json(&format!("CONSUMER.LIST.{name}"), &Value::Null);
        let (mut consumers, mut infos) = (BTreeMap::new(), BTreeMap::new());
        for it in list["consumers"].as_array().cloned().unwrap_or_default() {
            let consumer = it["name"].as_str().unwrap_or_default().to_owned();
            consumers.insert(consumer.clone(), mark(&it["config"]) as u32);
            infos.insert(consumer, it);
        }
        Found {
            mark: mark(&info["config"]),
            last_seq: info["state"]["last_seq"].as_u64().unwrap_or(0),
            messages: self.read_all(name),
            consumers,
            infos,
        }
    }

    /// Every message of a stream, compared with what was published.
    fn read_all(&mut self, name: &str) -> BTreeMap<u64, u32> {
        let mut found = BTreeMap::new();
        let answers = self.ask(&format!("DIRECT.GET.{name}"), &json!({"seq": 1, "batch": 100_000}));
        for sent in answers {
            if sent.headers.starts_with(b"NATS/1.0 ") {
                continue;
            }
            let headers = String::from_utf8_lossy(&sent.headers).into_owned();
            let get = |key: &str| {
                let value = headers.lines().find_map(|line| line.strip_prefix(key));
                value.unwrap_or_default().trim().to_owned()
            };
            let seq = get("Nats-Sequence:").parse().unwrap_or(0);
            let number = sent.payload.first_chunk().map_or(u32::MAX, |it| u32::from_le_bytes(*it));
            let Some(attempt) = self.attempts.get(number as usize) else {
                self.fail(&format!("message {seq} of {name} was never published"));
            };
            let own = attempt.headers.strip_suffix(b"\r\n").unwrap_or_default();
            let is_same = sent.payload == attempt.payload(number)
                && get("Nats-Subject:") == attempt.subject
                && sent.headers.starts_with(own);
            if !is_same {
                self.fail(&format!("message {seq} of {name} is not as it was: {attempt:?}"));
            }
            found.insert(seq, number);
        }
        found
    }

    /// Which of the pictures that the stream may show it shows.
    fn match_picture(&self, at: usize, found: &Found, is_exact: bool) -> Picture {
        let own = &self.lives[at];
        let mut picture = own.base.clone();
        let first = if is_exact { own.changes.len() - 1 } else { own.told };
        let mut complaints = Vec::new();
        for (change, effects) in own.changes.iter().enumerate() {
            effects.iter().for_each(|effect| picture.apply(effect));
            if change < first {
                continue;
            }
            match self.differs(at, &picture, found) {
                None => {
                    picture.messages.clone_from(&found.messages);
                    return picture;
                }
                Some(complaint) => complaints.push(complaint),
            }
        }
        self.fail(&format!(
            "stream {} is none of what it may be, from change {first} of {} on: {complaints:?}; {:?}",
            own.name,
            own.changes.len(),
            own.plan()
        ));
    }

    fn differs(&self, at: usize, picture: &Picture, found: &Found) -> Option<String> {
        let own = &self.lives[at];
        let mark = own.configs[picture.config].mark;
        if mark != found.mark {
            return Some(format!("configuration {} and not {mark}", found.mark));
        }
        if picture.last_seq != found.last_seq {
            return Some(format!("it ends at {} and not {}", found.last_seq, picture.last_seq));
        }
        if picture.consumers != found.consumers {
            return Some(format!("consumers {:?}, not {:?}", found.consumers, picture.consumers));
        }
        let now = self.wall();
        for (seq, number) in &picture.messages {
            let is_doubtful =
                own.doubtful.contains(seq) || own.may_be_too_old(*number, &self.attempts, now);
            match found.messages.get(seq) {
                Some(other) if other != number => {
                    return Some(format!("message {seq} is {other} and not {number}"));
                }
                None if !is_doubtful => return Some(format!("message {seq} is missing")),
                _ => {}
            }
        }
        let more = found.messages.keys().find(|seq| !picture.messages.contains_key(seq));
        more.map(|seq| format!("message {seq} is too much"))
    }

    /// Goes on from what was found.
    fn take_up(&mut self, at: usize, picture: Picture, found: &Found) {
        let now = self.wall();
        self.lives[at].resume(picture, &self.attempts, now);
        let mut own = BTreeMap::new();
        for (number, consumer) in self.consumers.iter_mut().enumerate() {
            if consumer.life != at {
                continue;
            }
            let mark = found.consumers.get(&consumer.plan.name);
            let plan = consumer.plans.iter().find(|plan| Some(&plan.mark) == mark);
            consumer.is_gone = plan.is_none();
            let Some(plan) = plan.cloned() else { continue };
            own.insert(plan.name.clone(), number);
            consumer.plan = plan;
            consumer.restart(now);
        }
        self.lives[at].consumers.clone_from(&own);
        for (name, number) in own {
            let info = &found.infos[&name];
            let consumer = &self.consumers[number];
            let delivered = info["delivered"]["consumer_seq"].as_u64().unwrap_or(0);
            let (least, most) = (consumer.delivered_kept, consumer.delivered_max);
            if delivered < least || delivered > most {
                self.fail(&format!("{name} has delivered {delivered}, not {least} to {most}"));
            }
            let (below, step) = (self.unacked(number), self.consumers[number].steps);
            self.check_floor(number, info, below, step);
        }
    }

    /// Everything is delivered and acknowledged that can be; then nothing may be left that
    /// should not.
    pub(super) fn drain(&mut self) {
        let mut quiet = 0;
        for _ in 0..200 {
            for life in self.by_name.clone().into_values() {
                for at in self.lives[life].consumers.clone().into_values() {
                    self.take_all(at);
                }
            }
            let before = self.stats.delivered;
            self.rest();
            for hand in std::mem::take(&mut self.hands) {
                self.ack(&hand, b"", true);
            }
            self.rest();
            quiet = if self.stats.delivered == before { quiet + 1 } else { 0 };
            if quiet == 8 {
                break;
            }
            self.server.pass(300 * MILLISECOND);
        }
        for life in self.by_name.clone().into_values() {
            self.check_drained(life);
        }
    }

    fn take_all(&mut self, at: usize) {
        let plan = &self.consumers[at].plan;
        if plan.is_push() {
            let subject = plan.deliver_subject.clone().into_bytes();
            self.server.crowd(&subject, false);
            self.server.listen(&subject, true);
        } else if self.consumers[at].pulls.len() < 3 {
            self.pull_so(at, 1000, SECOND, false);
        }
    }

    fn check_drained(&mut self, life: usize) {
        let name = self.lives[life].name.clone();
        let found = self.read_all(&name);
        let now = self.wall();
        let own = &self.lives[life];
        for seq in own.now.messages.keys() {
            if own.there(*seq, &self.attempts, now) == There::Yes && !found.contains_key(seq) {
                self.fail(&format!("message {seq} of {name} is missing"));
            }
        }
        for (seq, number) in &found {
            if !own.now.messages.contains_key(seq) {
                self.fail(&format!("message {seq} of {name} should have gone"));
            }
            let ended = own.ends_at(*number, &self.attempts);
            if ended.is_some_and(|at| at + 500 * MILLISECOND < now) {
                self.fail(&format!("message {seq} of {name} is too old"));
            }
            self.check_left(life, *seq, *number);
        }
    }

    /// A message that is left at the end is left for a reason.
    fn check_left(&self, life: usize, seq: u64, number: u32) {
        let own = &self.lives[life];
        let subject = &self.attempts[number as usize].subject;
        let name = &own.name;
        let mut wanted = false;
        for at in own.consumers.values() {
            let consumer = &self.consumers[*at];
            if !consumer.owes(seq, subject) {
                continue;
            }
            let seen = consumer.seen.get(&seq);
            let is_spent = seen.is_some_and(|seen| {
                consumer.is_spent(seen) || consumer.plans.iter().any(|it| it.max_deliver > 0)
            });
            wanted |= is_spent;
            let is_done = seen.is_some_and(|seen| seen.acked != Sure::No);
            if !is_done && !is_spent {
                self.fail(&format!(
                    "message {seq} of {name} was lost for {}: {seen:?}",
                    consumer.plan.name
                ));
            }
            wanted |= own.plan().keeps == Keeps::Limits;
        }
        let keeps = own.plan().keeps;
        let is_taken = own.consumers.values().any(|at| self.consumers[*at].plan.takes(subject));
        let must_go = match keeps {
            Keeps::Limits => false,
            Keeps::WorkQueue => is_taken && !wanted,
            Keeps::Interest => !wanted,
        };
        if must_go {
            self.fail(&format!("message {seq} of {name} was done with, and is still there"));
        }
    }
}
