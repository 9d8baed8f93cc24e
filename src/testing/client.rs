//! Clients: what they do, and that they do not do it nicely.

use std::collections::{HashMap, VecDeque};

use super::history::{Message, Step};
use super::plan::{DEEDS, Deed, Scenario};
use super::socket::End;
use super::world::World;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Living,
    /// It broke the protocol: it says no more, but reads to the end.
    Leaving,
    Gone,
}

/// An answer that must come, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Ok,
    Pong,
}

#[derive(Debug)]
pub struct Client {
    id: usize,
    pub shard: usize,
    pub phase: Phase,
    has_spoken: bool,
    pub verbose: bool,
    pub headers: bool,
    no_responders: bool,
    pub reading: bool,
    /// Read, but not whole yet.
    pub received: Vec<u8>,
    pub expected: VecDeque<(Answer, Step)>,
    /// Subscriptions it has not ended.
    subs: Vec<usize>,
    /// Subscribed to all its `_INBOX.<id>.*`.
    has_inbox: bool,
    requests: usize,
    /// The last message of each publisher that came to a plain subscription.
    pub latest: HashMap<usize, usize>,
}

/// In [`Scenario::LiveReader`].
pub const READER: usize = 0;

const SUBJECTS: [&str; 6] = ["a", "b", "a.b", "a.c", "b.c", "a.b.c"];
const PATTERNS: [&str; 16] = [
    "a", "b", "a.b", "a.c", "b.c", "a.b.c", "a", "a.b", "a.*", "*.c", ">", "a.>", "*", "*.b.>",
    "a.*.c", "b.*",
];
const QUEUES: [&str; 2] = ["q", "w"];
const HEADERS: [&str; 3] = ["", "NATS/1.0\r\n\r\n", "NATS/1.0\r\nK: value\r\n\r\n"];

impl Client {
    pub fn new(id: usize, shard: usize) -> Self {
        Self {
            id,
            shard,
            phase: Phase::Living,
            has_spoken: false,
            verbose: true,
            headers: false,
            no_responders: false,
            reading: true,
            received: Vec::new(),
            expected: VecDeque::new(),
            subs: Vec::new(),
            has_inbox: false,
            requests: 0,
            latest: HashMap::new(),
        }
    }

    pub fn is_there(&self) -> bool {
        self.phase == Phase::Living
    }
}

impl World {
    /// A client reads, or does something.
    pub fn client_acts(&mut self, client: usize) {
        if self.clients[client].reading && self.random.percent(50) {
            self.client_reads(client, false);
            return;
        }
        if !self.clients[client].is_there() || self.is_reader(client) {
            return;
        }
        if self.pipes[client].to_server.len() > self.plan.unread_max {
            return;
        }
        let deed = DEEDS[self.random.weighted(&self.plan.weights)];
        if deed == Deed::Burst {
            for _ in 0..self.random.between(2, 8) {
                let deed = DEEDS[self.random.weighted(&self.plan.weights)];
                if self.clients[client].is_there() {
                    self.perform(client, deed);
                }
            }
        } else {
            self.perform(client, deed);
        }
    }

    /// It only reads.
    fn is_reader(&self, client: usize) -> bool {
        client == READER && self.plan.scenario == Scenario::LiveReader
    }

    fn perform(&mut self, client: usize, deed: Deed) {
        // First, or never: one that says no CONNECT is what the reference takes it for.
        if !std::mem::replace(&mut self.clients[client].has_spoken, true) && self.random.percent(80)
        {
            self.introduce(client);
        }
        match deed {
            Deed::Subscribe => self.subscribe_any(client, None),
            Deed::JoinGroup => {
                let queue = self.random.pick(&QUEUES);
                self.subscribe_any(client, Some(queue));
            }
            Deed::Unsubscribe => self.unsubscribe(client, false),
            Deed::UnsubscribeMax => self.unsubscribe(client, true),
            Deed::Publish => {
                let subject = self.any_subject();
                self.publish(client, subject, None);
            }
            Deed::Request => self.request(client),
            Deed::Ping => self.command(client, "PING\r\n", Some(Answer::Pong)),
            Deed::PauseReading => self.clients[client].reading = false,
            Deed::ResumeReading => self.clients[client].reading = true,
            Deed::Quit => self.quit(client),
            Deed::Burst => {}
        }
    }

    /// Writes a command, at a moment of its own.
    fn command(&mut self, client: usize, text: &str, answer: Option<Answer>) {
        let at = self.tick();
        self.write(client, text.as_bytes(), answer, at);
    }

    fn write(&mut self, client: usize, bytes: &[u8], answer: Option<Answer>, at: Step) {
        self.trace.note(|| {
            format!("{at}: client {client} <<- {}", bytes[..bytes.len().min(200)].escape_ascii())
        });
        self.pipes[client].to_server.extend(bytes);
        let answer = match answer {
            Some(Answer::Ok) if !self.clients[client].verbose => None,
            other => other,
        };
        self.clients[client].expected.extend(answer.map(|answer| (answer, at)));
    }

    fn introduce(&mut self, client: usize) {
        let headers = self.random.percent(80);
        let no_responders = headers && self.random.percent(70);
        let (verbose, echo) = (self.random.percent(20), self.random.percent(70));
        let protocol = self.random.below(2);
        let text = format!(
            "CONNECT {{\"verbose\":{verbose},\"pedantic\":false,\"echo\":{echo},\
             \"headers\":{headers},\"no_responders\":{no_responders},\"protocol\":{protocol}}}\r\n"
        );
        let state = &mut self.clients[client];
        state.verbose = verbose;
        (state.headers, state.no_responders) = (headers, no_responders);
        self.command(client, &text, Some(Answer::Ok));
        self.history.echo[client] = echo;
    }

    fn any_subject(&mut self) -> String {
        let subjects = if self.plan.narrow { &SUBJECTS[..2] } else { &SUBJECTS[..] };
        self.random.pick(subjects).to_owned()
    }

    fn subscribe_any(&mut self, client: usize, queue: Option<&'static str>) {
        let pattern = match self.plan.narrow {
            true => self.any_subject(),
            false => self.random.pick(&PATTERNS).to_owned(),
        };
        self.subscribe(client, &pattern, queue);
    }

    pub fn subscribe(
        &mut self,
        client: usize,
        pattern: &str,
        queue: Option<&'static str>,
    ) -> usize {
        let at = self.tick();
        let group = queue.map(|queue| format!("{queue} ")).unwrap_or_default();
        let sub = self.history.subscribe(client, pattern.to_owned(), queue, at);
        let text = format!("SUB {pattern} {group}{sub}\r\n");
        self.write(client, text.as_bytes(), Some(Answer::Ok), at);
        self.clients[client].subs.push(sub);
        sub
    }

    fn unsubscribe(&mut self, client: usize, later: bool) {
        let subs = &self.clients[client].subs;
        if subs.is_empty() {
            return;
        }
        let at = self.random.below(subs.len());
        let sub = subs[at];
        if !later {
            self.clients[client].subs.swap_remove(at);
            self.end_after(client, sub, 0);
        } else if self.history.subs[sub].max == 0 {
            let max = self.random.between(1, 6) as u64;
            self.end_after(client, sub, max);
        }
    }

    fn end_after(&mut self, client: usize, sub: usize, max: u64) {
        let at = self.tick();
        self.history.unsubscribe(sub, max, at);
        let max = if max == 0 { String::new() } else { format!(" {max}") };
        self.write(client, format!("UNSUB {sub}{max}\r\n").as_bytes(), Some(Answer::Ok), at);
    }

    /// A message that names itself, so that whoever reads it knows what it must be.
    pub fn publish(&mut self, client: usize, subject: String, reply: Option<String>) {
        let at = self.tick();
        let state = &self.clients[client];
        let asks = state.no_responders && reply.is_some();
        let with_header = state.headers && self.random.percent(30);
        let header = with_header.then(|| self.random.pick(&HEADERS));
        let padding = self.random.below(self.plan.padding + 1);
        let answer = format!(" {}", reply.as_deref().unwrap_or_default());
        let answer = answer.trim_end();
        // Two blanks here and there: such a line is put together anew.
        let blank = if self.random.percent(10) { "  " } else { " " };
        let to = format!("{subject}{answer}");
        let message = Message {
            publisher: client,
            subject,
            reply,
            asks,
            header,
            padding,
            sent: at,
            certain: Step::MAX,
            seen: false,
            bounces: 0,
        };
        let id = self.history.publish(message);
        let body = body(id, padding);
        let text = match header {
            None => format!("PUB {to}{blank}{}\r\n{body}\r\n", body.len()),
            Some(header) => {
                let (len, total) = (header.len(), header.len() + body.len());
                format!("HPUB {to}{blank}{len} {total}\r\n{header}{body}\r\n")
            }
        };
        self.write(client, text.as_bytes(), Some(Answer::Ok), at);
    }

    /// With an inbox for all its answers, or one for this one alone. Nothing waits for a PONG.
    fn request(&mut self, client: usize) {
        let number = self.clients[client].requests;
        self.clients[client].requests += 1;
        let reply = if self.random.percent(60) {
            if !std::mem::replace(&mut self.clients[client].has_inbox, true) {
                self.subscribe(client, &format!("_INBOX.{client}.*"), None);
            }
            format!("_INBOX.{client}.{number}")
        } else {
            let reply = format!("_INBOX.{client}.one.{number}");
            let sub = self.subscribe(client, &reply, None);
            if self.random.percent(50) {
                self.end_after(client, sub, 1);
            }
            reply
        };
        let subject = self.any_subject();
        self.publish(client, subject, Some(reply));
    }

    /// Somebody answers a request that was read: any connection, not only the one that read it.
    pub fn answer(&mut self, reply: &str) {
        let living: Vec<usize> =
            self.clients.iter().filter(|client| client.is_there()).map(|it| it.id).collect();
        if !living.is_empty() && self.random.percent(60) {
            let client = self.random.pick(&living);
            self.publish(client, reply.to_owned(), None);
        }
    }

    fn quit(&mut self, client: usize) {
        if self.plan.scenario != Scenario::Mixed {
            return;
        }
        let at = self.tick();
        self.history.fates[client].quit = at;
        let kind = self.random.below(3);
        self.trace.note(|| format!("{at}: client {client} quits, kind {kind}"));
        match kind {
            0 => {
                self.write(client, b"BYE\r\n", None, at);
                self.clients[client].phase = Phase::Leaving;
                self.clients[client].reading = true;
                return;
            }
            1 => self.pipes[client].client_end = End::Reset,
            _ => self.pipes[client].client_end = End::Finished,
        }
        self.clients[client].phase = Phase::Gone;
    }
}

/// What a message says after its header.
pub fn body(id: usize, padding: usize) -> String {
    format!("m{id}:{}", "x".repeat(padding))
}
