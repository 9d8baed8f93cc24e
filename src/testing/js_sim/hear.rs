//! What clients hear, and whether they may.

use serde_json::Value;

use super::consumer::Sure;
use super::model::{Answer, There};
use super::plan::{Acks, Keeps};
use super::server::Sent;
use super::world::{Call, Hand, World};

/// Who made a delivery, and what it says of itself.
struct Told {
    stream: String,
    consumer: String,
    deliveries: u32,
    seq: u64,
    number: u64,
}

impl Told {
    /// Out of `$JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<number>.<time>.<pending>`.
    fn parse(reply: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(reply).ok()?;
        let parts: Vec<&str> = text.strip_prefix("$JS.ACK.")?.split('.').collect();
        let [stream, consumer, deliveries, seq, number, _, _] = parts[..] else { return None };
        Some(Self {
            stream: stream.into(),
            consumer: consumer.into(),
            deliveries: deliveries.parse().ok()?,
            seq: seq.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

impl World {
    /// Clients take what the broker has sent.
    pub(super) fn hear(&mut self) {
        while let Some(sent) = self.server.heard.pop_front() {
            let route = String::from_utf8_lossy(&sent.route).into_owned();
            let number = |text: &str| text.parse::<u32>().ok();
            self.note(|| {
                let len = sent.payload.len().min(160);
                let (headers, reply) = (&sent.headers, &sent.reply);
                let body = match reply.is_empty() {
                    true => String::from_utf8_lossy(&sent.payload[..len]),
                    false => "".into(),
                };
                let parts = [headers, reply].map(|part| String::from_utf8_lossy(part));
                format!("heard {route} {parts:?} {body}")
            });
            if let Some(n) = route.strip_prefix("_INBOX.p.").and_then(number) {
                self.on_stored(n, &sent);
            } else if let Some(n) = route.strip_prefix("_INBOX.a.").and_then(number) {
                self.on_answer(n, &sent);
            } else if let Some(n) = route.strip_prefix("_INBOX.k.").and_then(number) {
                self.on_confirmed(n, &sent);
            } else if let Some(n) = route.strip_prefix("_INBOX.c.").and_then(number) {
                self.on_pulled(n, &sent);
            } else if route.starts_with("_INBOX.q.") {
                self.told.push(sent);
            } else if route.starts_with("deliver.") {
                self.on_pushed(&route, &sent);
            } else {
                self.fail(&format!("nobody asked for a message to {route}"));
            }
        }
    }

    fn on_stored(&mut self, number: u32, sent: &Sent) {
        if !self.unanswered.remove(&number) {
            self.fail(&format!("publish {number} was answered twice, or after a crash"));
        }
        let attempt = self.attempts[number as usize].clone();
        let said: Value = serde_json::from_slice(&sent.payload).unwrap_or_default();
        let answer = match (said["seq"].as_u64(), said["duplicate"].as_bool()) {
            _ if !said["error"].is_null() => Answer::Refused,
            (Some(seq), Some(true)) => Answer::Duplicate(seq),
            (Some(seq), _) => Answer::Stored(seq),
            _ => self.fail(&format!("publish {number} was answered {said}")),
        };
        if self.is_failing && answer == Answer::Refused {
            self.stats.turned_away += u64::from(attempt.answer != Answer::Refused);
            return;
        }
        if answer != attempt.answer {
            self.fail(&format!("publish {number} was answered {said}: {attempt:?}"));
        }
        if answer != Answer::Refused {
            self.lives[attempt.life].tell(attempt.change);
        }
        self.stats.duplicates += u64::from(matches!(answer, Answer::Duplicate(_)));
    }

    fn on_answer(&mut self, number: u32, sent: &Sent) {
        let Some(call) = self.calls.remove(&number) else {
            self.fail(&format!("call {number} was answered twice"));
        };
        let said: Value = serde_json::from_slice(&sent.payload).unwrap_or_default();
        let is_refused = !said["error"].is_null();
        if is_refused && self.is_failing {
            return;
        }
        match call {
            Call::Change { life, change, what } => {
                if is_refused {
                    self.fail(&format!(
                        "{what} was refused: {said}, {:?}",
                        self.lives[life].plan()
                    ));
                }
                self.lives[life].tell(change);
            }
            Call::Delete { life } => {
                if is_refused {
                    self.fail(&format!("the delete of a stream was refused: {said}"));
                }
                self.lives[life].deleted = Some(true);
                self.lives[life].is_gone = true;
            }
            Call::Other(what) if is_refused => self.fail(&format!("{what} was refused: {said}")),
            Call::Other(_) => {}
            Call::Look { consumer, below, step } if !is_refused => {
                self.check_floor(consumer, &said, below, step);
            }
            Call::Look { .. } => {}
        }
    }

    /// The ack floor of a consumer, when all before message `below` was acknowledged.
    pub(super) fn check_floor(&mut self, at: usize, info: &Value, below: u64, step: u64) {
        let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
        let consumer = &self.consumers[at];
        let name = consumer.plan.name.clone();
        if floor < consumer.floor && consumer.plan.acks != Acks::None {
            self.fail(&format!("the ack floor of {name} fell from {} to {floor}", consumer.floor));
        }
        if floor >= below {
            self.fail(&format!("the ack floor of {name} is {floor}, {below} is not acknowledged"));
        }
        let out = info["num_ack_pending"].as_u64().unwrap_or(0) as usize;
        let most = consumer.seen.values().filter(|seen| seen.out != Sure::No).count();
        if out > most {
            self.fail(&format!("{out} messages are out at {name}, but {most} were delivered"));
        }
        // What moved it may be younger than the last acknowledgement: a purge does, and a limit.
        let consumer = &mut self.consumers[at];
        (consumer.floor, consumer.floor_at) = (floor, step + 1);
    }

    fn on_confirmed(&mut self, number: u32, sent: &Sent) {
        let Some(confirm) = self.confirms.remove(&number) else {
            self.fail(&format!("ack {number} was confirmed twice, or after a crash"));
        };
        if !sent.headers.is_empty() {
            return;
        }
        self.stats.confirmed += 1;
        let consumer = &mut self.consumers[confirm.consumer];
        let done = consumer.confirm(confirm.seq, confirm.step, confirm.delivered);
        let done = done.into_iter().map(|seq| (seq, Sure::Yes)).collect();
        if !self.consumers[confirm.consumer].is_gone {
            self.release(confirm.consumer, done);
        }
    }

    fn on_pulled(&mut self, number: u32, sent: &Sent) {
        let Some(at) = self.pulls.get(&number).copied() else {
            self.fail(&format!("an answer to pull {number}, which nobody made"));
        };
        if let Some(status) = sent.headers.strip_prefix(b"NATS/1.0 ") {
            if !status.starts_with(b"100") {
                self.consumers[at].pulls.retain(|pull| pull.number != number);
            }
            return;
        }
        let now = self.wall();
        let pulls = &mut self.consumers[at].pulls;
        let Some(pull) = pulls.iter_mut().find(|pull| pull.number == number) else {
            self.fail(&format!("a message for pull {number}, which has ended"));
        };
        pull.left -= 1;
        let is_late = pull.expires < now;
        pulls.retain(|pull| pull.left > 0);
        if is_late {
            self.fail(&format!("a message for pull {number}, which has expired"));
        }
        self.on_delivery(at, sent);
    }

    fn on_pushed(&mut self, route: &str, sent: &Sent) {
        if sent.headers.starts_with(b"NATS/1.0 100") {
            return;
        }
        let all = self.by_name.values().flat_map(|life| self.lives[*life].consumers.values());
        let found = all.copied().find(|at| self.consumers[*at].plan.deliver_subject == route);
        let Some(at) = found else {
            self.fail(&format!("{route} is no deliver subject of anybody"));
        };
        if !self.server.ears.open.contains(&sent.route) {
            self.fail(&format!("nobody listens to {route}"));
        }
        self.on_delivery(at, sent);
    }

    fn on_delivery(&mut self, at: usize, sent: &Sent) {
        let Some(told) = Told::parse(&sent.reply) else {
            self.fail(&format!("a delivery with the reply {:?}", sent.reply));
        };
        let life = self.consumers[at].life;
        let own = &self.lives[life];
        let who = format!("{told_stream}.{}", told.consumer, told_stream = told.stream);
        if told.stream != own.name || own.consumers.get(&told.consumer) != Some(&at) {
            self.fail(&format!("a delivery of {who}, which is not there"));
        }
        self.check_content(at, &told, sent, &who);
        if told.deliveries == 1 {
            self.check_order(at, told.seq, &who);
        }
        let now = self.wall();
        let result = self.consumers[at].deliver(told.seq, told.deliveries, told.number, now);
        if let Err(rule) = result {
            self.fail(&format!("{who}, message {}: {rule}", told.seq));
        }
        self.stats.delivered += 1;
        self.stats.redelivered += u64::from(told.deliveries > 1);
        match self.consumers[at].plan.acks {
            Acks::None => self.release(at, vec![(told.seq, Sure::Yes)]),
            _ => {
                let reply = String::from_utf8_lossy(&sent.reply).into_owned();
                let Told { stream, consumer, seq, .. } = told;
                self.hands.push(Hand { reply, stream, consumer, seq });
            }
        }
    }

    /// What was delivered is what was stored there, and is there.
    fn check_content(&mut self, at: usize, told: &Told, sent: &Sent, who: &str) {
        let (life, seq, now) = (self.consumers[at].life, told.seq, self.wall());
        let own = &self.lives[life];
        let number = own.now.messages.get(&seq).or_else(|| own.fading.get(&seq)).copied();
        let Some(number) = number else {
            self.fail(&format!("{who} delivers message {seq}, which is not there"));
        };
        let attempt = &self.attempts[number as usize];
        let is_same = sent.subject == attempt.subject.as_bytes()
            && sent.headers == attempt.headers
            && sent.payload == attempt.payload(number);
        if !is_same {
            self.fail(&format!("{who} delivers message {seq} not as it was stored: {sent:?}"));
        }
        if !self.consumers[at].plan.takes(&attempt.subject) && told.deliveries == 1 {
            self.fail(&format!("{who} delivers {}, which it does not take", attempt.subject));
        }
        if attempt.run == self.run {
            let change = attempt.change;
            self.lives[life].tell(change);
        }
        let is_there = |seq| self.lives[life].there(seq, &self.attempts, now) == There::Yes;
        let consumer = &self.consumers[at];
        let most = consumer.plan.max_ack_pending;
        if told.deliveries == 1 && most > 0 && consumer.out(is_there) >= most {
            self.fail(&format!("{who} has more than {most} messages out"));
        }
        if self.lives[life].plan().keeps == Keeps::WorkQueue {
            self.check_owner(at, seq);
        }
    }

    /// A message of a work queue is out at one consumer.
    fn check_owner(&self, at: usize, seq: u64) {
        for other in self.lives[self.consumers[at].life].consumers.values() {
            let held = self.consumers[*other].seen.get(&seq);
            let is_out = held.is_some_and(|it| it.out == Sure::Yes && it.acked == Sure::No);
            if *other != at && is_out {
                self.fail(&format!("message {seq} of a work queue is out at two consumers"));
            }
        }
    }

    /// Nothing was passed over on the way to a first delivery.
    fn check_order(&self, at: usize, seq: u64, who: &str) {
        let consumer = &self.consumers[at];
        let own = &self.lives[consumer.life];
        let now = self.wall();
        for (other, number) in own.now.messages.range(..seq) {
            let subject = &self.attempts[*number as usize].subject;
            let is_passed = !consumer.seen.contains_key(other)
                && consumer.owes(*other, subject)
                && own.there(*other, &self.attempts, now) == There::Yes;
            if is_passed {
                self.fail(&format!("{who} delivers {seq}, and never {other}"));
            }
        }
    }
}
