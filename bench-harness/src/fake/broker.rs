//! Operations of clients, and who gets what.

use std::collections::HashMap;

use memchr::memchr;

use super::fault::{Fault, Gate};
use super::jetstream::{JetStream, Output};
use super::peer::Peer;

struct Sub {
    peer: usize,
    pattern: String,
    queue: Option<String>,
    sid: String,
}

/// One message on its way to subscribers.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    pub subject: &'a str,
    pub reply: Option<&'a str>,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

pub struct Broker {
    pub peers: Vec<Peer>,
    /// Subscriptions to one subject, by it.
    literal: HashMap<String, Vec<Sub>>,
    wild: Vec<Sub>,
    gate: Gate,
    streams: JetStream,
    scratch: Vec<u8>,
    /// Peers with bytes to be written.
    owing: Vec<usize>,
}

impl Broker {
    pub fn new(fault: Fault) -> Self {
        Self {
            peers: Vec::new(),
            literal: HashMap::new(),
            wild: Vec::new(),
            gate: Gate::new(fault),
            streams: JetStream::default(),
            scratch: Vec::new(),
            owing: Vec::new(),
        }
    }

    pub fn on_ready(&mut self, from: usize) {
        loop {
            let more = self.peers[from].read(&mut self.scratch);
            let inbox = std::mem::take(&mut self.peers[from].inbox);
            let mut used = 0;
            while let Some(count) = self.op(from, &inbox[used..]) {
                used += count;
            }
            self.peers[from].inbox.extend_from_slice(&inbox[used..]);
            self.owing.push(from);
            if !more {
                return;
            }
        }
    }

    pub fn end_turn(&mut self) {
        for (peer, bytes) in self.gate.end_turn() {
            self.peers[peer].out.extend_from_slice(&bytes);
            self.owing.push(peer);
        }
        for output in self.streams.deliver() {
            self.put_out(&output);
        }
        for peer in std::mem::take(&mut self.owing) {
            self.peers[peer].write();
        }
    }

    /// Bytes used by one operation, if it is all there.
    fn op(&mut self, from: usize, bytes: &[u8]) -> Option<usize> {
        let end = memchr(b'\n', bytes)?;
        // What is not text was not sent by the harness.
        let line = std::str::from_utf8(bytes[..end].strip_suffix(b"\r")?).unwrap_or_default();
        let (name, args) = line.split_once(' ').unwrap_or((line, ""));
        let mut used = end + 1;
        match name {
            "PUB" | "HPUB" => {
                let mut words = args.split(' ');
                let subject = words.next()?;
                let mut lengths = args.rsplit(' ');
                let total: usize = lengths.next()?.parse().ok()?;
                let has_headers = name == "HPUB";
                let header_len = if has_headers { lengths.next()?.parse().ok()? } else { 0 };
                bytes.get(used..used + total + 2)?;
                let middle = words.next()?;
                let reply = words.nth(usize::from(has_headers)).map(|_| middle);
                let (headers, payload) = bytes[used..used + total].split_at(header_len);
                used += total + 2;
                self.publish(from, Envelope { subject, reply, headers, payload });
            }
            "PING" => self.peers[from].out.extend_from_slice(b"PONG\r\n"),
            "CONNECT" => self.peers[from].verbose = args.contains("verbose\":true"),
            "SUB" => self.subscribe(from, args),
            "UNSUB" if self.gate.hears_unsub() => self.unsubscribe(from, args),
            _ => {}
        }
        if self.peers[from].verbose && !matches!(name, "PING" | "PONG") {
            self.peers[from].out.extend_from_slice(b"+OK\r\n");
        }
        Some(used)
    }

    fn subscribe(&mut self, peer: usize, args: &str) {
        let words: Vec<&str> = args.split(' ').collect();
        let [pattern, middle @ .., sid] = words.as_slice() else { return };
        let queue = middle.first().map(|queue| (*queue).to_owned());
        let sub = Sub { peer, pattern: (*pattern).into(), queue, sid: (*sid).into() };
        if pattern.contains(['*', '>']) {
            self.wild.push(sub);
        } else {
            self.literal.entry(sub.pattern.clone()).or_default().push(sub);
        }
    }

    fn unsubscribe(&mut self, peer: usize, sid: &str) {
        let stays = |sub: &Sub| sub.peer != peer || sub.sid != sid;
        self.wild.retain(stays);
        self.literal.retain(|_, subs| {
            subs.retain(stays);
            !subs.is_empty()
        });
    }

    fn publish(&mut self, from: usize, message: Envelope<'_>) {
        let outputs = self.streams.on_message(&message);
        let is_stored = !outputs.is_empty();
        for output in &outputs {
            self.put_out(output);
        }
        let was_heard = self.deliver(message.subject, message);
        if let Some(reply) = message.reply
            && !was_heard
            && !is_stored
            && !message.subject.starts_with("$JS.")
        {
            let headers = b"NATS/1.0 503\r\n\r\n";
            self.deliver(reply, Envelope { subject: reply, reply: None, headers, payload: b"" });
            self.owing.push(from);
        }
    }

    fn put_out(&mut self, output: &Output) {
        let envelope = Envelope {
            subject: &output.subject,
            reply: output.reply.as_deref(),
            headers: &output.headers,
            payload: &output.payload,
        };
        self.deliver(&output.to, envelope);
    }

    /// To all plain subscriptions that match `to`, and one of its queue group. Answers to the
    /// harness' own questions are not tampered with.
    fn deliver(&mut self, to: &str, message: Envelope<'_>) -> bool {
        let Self { peers, literal, wild, gate, owing, .. } = self;
        let literal = literal.get(to).into_iter().flatten();
        let wild = wild.iter().filter(|sub| matches(&sub.pattern, to));
        let members = literal.clone().chain(wild.clone()).filter(|sub| sub.queue.is_some());
        let turn = gate.delivered() as usize % members.clone().count().max(1);
        let chosen = members.clone().nth(turn);
        let mut was_heard = false;
        for sub in literal.chain(wild).filter(|sub| sub.queue.is_none()).chain(chosen) {
            let out = &mut peers[sub.peer].out;
            let from = out.len();
            encode(out, &sub.sid, &message);
            if !to.starts_with("_INBOX.api.") {
                gate.pass(sub.peer, out, from);
            }
            owing.push(sub.peer);
            was_heard = true;
        }
        was_heard
    }
}

fn encode(out: &mut Vec<u8>, sid: &str, message: &Envelope<'_>) {
    use std::io::Write;
    let Envelope { subject, reply, headers, payload } = message;
    let total = headers.len() + payload.len();
    let name = if headers.is_empty() { "MSG" } else { "HMSG" };
    // Writing into a Vec does not fail.
    let _ = write!(out, "{name} {subject} {sid} ");
    if let Some(reply) = reply {
        let _ = write!(out, "{reply} ");
    }
    if !headers.is_empty() {
        let _ = write!(out, "{} ", headers.len());
    }
    let _ = write!(out, "{total}\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

pub fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(want), Some(token)) if want == "*" || want == token => {}
            _ => return false,
        }
    }
}
