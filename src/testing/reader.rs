//! What clients read: every byte is understood, and must be right where it stands.

use super::client::{Answer, Phase, body};
use super::history::NEVER;
use super::plan::Scenario;
use super::socket::End;
use super::world::World;

const BOUNCE: &str = "NATS/1.0 503\r\nNats-Subject: ";

/// The front of what was received.
enum Unit {
    Partial,
    /// A line of so many bytes, which is no message.
    Line(usize),
    Message {
        head: usize,
        header: usize,
        total: usize,
    },
}

impl World {
    /// Reads some of what has come. Whether there was anything.
    pub fn client_reads(&mut self, client: usize, all: bool) -> bool {
        if self.clients[client].phase == Phase::Gone {
            return false;
        }
        let pipe = &mut self.pipes[client];
        let mut len = pipe.to_client.len();
        if len == 0 {
            return self.notice_end(client);
        }
        if !all {
            len = self.random.portion(len);
            len = if self.plan.read_max == 0 { len } else { len.min(self.plan.read_max) };
        }
        self.clients[client].received.extend(pipe.to_client.drain(..len));
        self.understand(client);
        true
    }

    /// Reads all there is, also where it had stopped to.
    pub fn client_drains(&mut self, client: usize) -> bool {
        self.clients[client].reading = true;
        self.client_reads(client, self.plan.scenario != Scenario::LiveReader)
    }

    fn notice_end(&mut self, client: usize) -> bool {
        if !self.pipes[client].server_closed {
            return false;
        }
        if self.clients[client].phase == Phase::Living {
            let at = self.tick();
            self.trace.note(|| format!("{at}: client {client} was cut"));
            self.history.fates[client].cut = at;
            self.pipes[client].client_end = End::Reset;
        }
        self.clients[client].phase = Phase::Gone;
        true
    }

    fn understand(&mut self, client: usize) {
        let received = std::mem::take(&mut self.clients[client].received);
        let mut at = 0;
        while self.failure.is_none() {
            match unit(&received[at..]) {
                Unit::Partial => break,
                Unit::Line(len) => {
                    self.on_line(client, &received[at..at + len - 2]);
                    at += len;
                }
                Unit::Message { head, header, total } => {
                    let line = &received[at..at + head - 2];
                    let payload = &received[at + head..at + head + total];
                    self.on_message(client, line, header, payload);
                    at += head + total + 2;
                }
            }
        }
        self.clients[client].received = received[at..].to_vec();
    }

    fn on_line(&mut self, client: usize, line: &[u8]) {
        let at = self.tick();
        self.trace.note(|| {
            format!("{at}: client {client} ->> {}", line[..line.len().min(60)].escape_ascii())
        });
        let answer = match line {
            b"PONG" => Answer::Pong,
            b"+OK" => Answer::Ok,
            b"PING" => return,
            _ if line.starts_with(b"INFO {") => return,
            b"-ERR 'Unknown Protocol Operation'"
                if self.clients[client].phase == Phase::Leaving =>
            {
                return;
            }
            _ => return self.fail(format!("client {client} read {}", line.escape_ascii())),
        };
        match self.clients[client].expected.pop_front() {
            Some((expected, sent)) if expected == answer => self.history.answered(client, sent, at),
            other => self
                .fail(format!("answers in order: client {client} got {answer:?}, not {other:?}")),
        }
    }

    fn on_message(&mut self, client: usize, line: &[u8], header: usize, payload: &[u8]) {
        let at = self.tick();
        let text = String::from_utf8_lossy(line).into_owned();
        let payload = String::from_utf8_lossy(payload).into_owned();
        self.trace.note(|| {
            format!(
                "{at}: client {client} ->> {text} {}",
                payload[..payload.len().min(60)].escape_debug()
            )
        });
        let words: Vec<&str> = text.split(' ').collect();
        let sub = words.get(2).and_then(|sid| sid.parse::<usize>().ok());
        let Some(sub) =
            sub.filter(|sub| self.history.subs.get(*sub).is_some_and(|it| it.client == client))
        else {
            return self.fail(format!("a subscription of its own: client {client} read {text}"));
        };
        let sub_sent = self.history.subs[sub].sent;
        self.history.executed(client, sub_sent, at);
        if payload.starts_with(BOUNCE) {
            return self.on_bounce(client, words[1], &payload);
        }
        let number = payload[header..].strip_prefix('m').and_then(|rest| rest.split(':').next());
        let id = number.and_then(|number| number.parse::<usize>().ok());
        let Some(id) = id.filter(|id| *id < self.history.messages.len()) else {
            return self.fail(format!("a message that was sent: {text} {payload}"));
        };
        let expected = self.expected_text(client, sub, id);
        if (text.as_str(), payload.as_str()) != (expected.0.as_str(), expected.1.as_str()) {
            return self.fail(format!("as it was sent: {text} {payload} is not {expected:?}"));
        }
        self.on_delivery(client, sub, id, at);
    }

    fn on_delivery(&mut self, client: usize, sub: usize, id: usize, at: u64) {
        let message = &mut self.history.messages[id];
        let first = !std::mem::replace(&mut message.seen, true);
        let (publisher, sent, reply) = (message.publisher, message.sent, message.reply.clone());
        self.history.executed(publisher, sent - 1, at);
        if self.history.subs[sub].deliveries.iter().any(|(other, _)| *other == id) {
            return self.fail(format!("at most once: message {id} at sub {sub}"));
        }
        self.history.subs[sub].deliveries.push((id, at));
        if self.history.subs[sub].queue.is_none() {
            let latest = self.clients[client].latest.insert(publisher, id);
            if latest.is_some_and(|latest| latest > id) {
                self.fail(format!("in order: client {client} read message {id} after {latest:?}"));
            }
        }
        if let Some(reply) = reply.filter(|_| first) {
            self.answer(&reply);
        }
    }

    /// The line and payload by which a message must come to a subscription.
    fn expected_text(&self, client: usize, sub: usize, id: usize) -> (String, String) {
        let message = &self.history.messages[id];
        let reply = message.reply.as_ref().map(|reply| format!(" {reply}")).unwrap_or_default();
        let to = format!("{} {sub}{reply}", message.subject);
        let body = body(id, message.padding);
        match message.header.filter(|header| !header.is_empty()) {
            Some(header) if self.clients[client].headers => {
                let (len, total) = (header.len(), header.len() + body.len());
                (format!("HMSG {to} {len} {total}"), format!("{header}{body}"))
            }
            _ => (format!("MSG {to} {}", body.len()), body),
        }
    }

    /// Nobody was there for a request.
    fn on_bounce(&mut self, client: usize, reply: &str, payload: &str) {
        let mut messages = self.history.messages.iter_mut();
        let Some(message) =
            messages.find(|it| it.publisher == client && it.reply.as_deref() == Some(reply))
        else {
            return self.fail(format!("a 503 for a request: client {client} {reply}"));
        };
        message.bounces += 1;
        if payload != format!("{BOUNCE}{}\r\n\r\n", message.subject) {
            self.fail(format!("a 503 as the reference writes it: {payload}"));
        }
    }

    /// After everything came to rest nothing may be owed to a client that is there.
    pub fn check_rest(&mut self, client: usize) {
        let (state, pipe) = (&self.clients[client], &self.pipes[client]);
        let fate = self.history.fates[client];
        if fate.cut != NEVER && !self.plan.may_cut {
            return self.fail(format!("nobody is cut without cause: client {client}"));
        }
        let rule = match state.phase {
            Phase::Gone => return,
            Phase::Leaving => Some("a broken connection is closed"),
            Phase::Living if !pipe.to_server.is_empty() => Some("all that clients say is read"),
            Phase::Living if !state.expected.is_empty() => Some("all commands are answered"),
            Phase::Living if !state.received.is_empty() => Some("whole messages only"),
            Phase::Living => None,
        };
        if let Some(rule) = rule {
            let (unread, expected) = (pipe.to_server.len(), state.expected.len());
            self.fail(format!(
                "{rule}: client {client}, {unread} bytes unread, {expected} answers missing"
            ));
        }
    }
}

fn unit(bytes: &[u8]) -> Unit {
    let Some(end) = memchr::memchr(b'\n', bytes) else { return Unit::Partial };
    let line = &bytes[..end + 1];
    if !line.starts_with(b"MSG ") && !line.starts_with(b"HMSG ") {
        return Unit::Line(end + 1);
    }
    let text = String::from_utf8_lossy(line);
    let mut words = text.trim_end().rsplit(' ').map(|word| word.parse().unwrap_or(0));
    let total = words.next().unwrap_or(0);
    let header = if line.starts_with(b"H") { words.next().unwrap_or(0) } else { 0 };
    let head = end + 1;
    if bytes.len() < head + total + 2 {
        Unit::Partial
    } else {
        Unit::Message { head, header, total }
    }
}
