//! A stream by itself: what is asked of it, what it answers.

mod batches;
mod getting;
mod model;
mod publishing;
mod telling;
mod time;

use super::{Incoming, Stream, StreamRecord};
use crate::jetstream::config::{Mode, StreamConfig};
use crate::jetstream::context::{Context, Gate, GateState, Site};
use crate::jetstream::outbox::{Outbox, PostedQueue};
use crate::storage::StreamId;
use crate::types::time::SECOND;
use crate::types::{AccountId, Mono, Now, Wall};

/// 2027-01-15T08:00:00Z
pub const START: u64 = 1_800_000_000 * SECOND;

struct Open;

impl Gate for Open {
    fn state(&mut self, _: AccountId, _: &[u8]) -> GateState {
        GateState::Open
    }
}

/// A message that left the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    pub subject: String,
    pub reply: String,
    pub headers: String,
    pub payload: String,
}

/// A stream in memory with everything around it.
pub struct Desk {
    pub stream: Stream,
    pub out: Outbox,
    pub now: Now,
    pub site: Site,
    /// What left the stream and was no answer.
    pub told: Vec<Sent>,
}

impl Desk {
    /// A stream in memory; `config` is JSON, to which name, subjects and storage are added.
    pub fn new(config: &str) -> Self {
        let config = config_of(config);
        let now = Now { mono: Mono(SECOND), wall: Wall(START) };
        let mut desk = Self::empty(now, config);
        desk.settle();
        desk
    }

    fn empty(now: Now, config: StreamConfig) -> Self {
        let (mut out, site) = (Outbox::default(), Site::default());
        let mut ctx = Context { now, log: None, out: &mut out, gate: &mut Open, site: &site };
        let stream =
            Stream::create(StreamId(1), AccountId(0), "$G", config, &mut ctx).expect("in memory");
        Self { stream, out, now, site, told: Vec::new() }
    }

    pub fn with<T>(&mut self, act: impl FnOnce(&mut Stream, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context {
            now: self.now,
            log: None,
            out: &mut self.out,
            gate: &mut Open,
            site: &self.site,
        };
        act(&mut self.stream, &mut ctx)
    }

    /// Lets time pass, with a tick whenever the stream wants one.
    pub fn pass(&mut self, ns: u64) {
        let end = self.now.mono.0 + ns;
        loop {
            let next = self.stream.wake_at().0.clamp(self.now.mono.0, end);
            self.now.wall.0 += next - self.now.mono.0;
            self.now.mono.0 = next;
            self.with(|stream, ctx| stream.on_tick(ctx));
            if next == end {
                break self.settle();
            }
        }
    }

    /// Publishes and returns the answer; empty if there is none.
    pub fn ask(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> String {
        self.publish(subject, "reply", headers, payload);
        self.settle();
        let at = self.told.iter().position(|sent| sent.subject == "reply");
        at.map_or_else(String::new, |at| self.told.remove(at).payload)
    }

    pub fn publish(&mut self, subject: &str, reply: &str, headers: &[(&str, &str)], payload: &str) {
        let headers = block(headers);
        let incoming = Incoming {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
        };
        self.with(|stream, ctx| stream.publish(ctx, &incoming));
    }

    /// Moves what left the stream into `told`.
    pub fn settle(&mut self) {
        let mut posted = PostedQueue::default();
        self.out.take(&mut posted);
        while let Some(message) = posted.first() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (headers, payload) = message.body.split_at(message.header_len);
            self.told.push(Sent {
                subject: text(message.subject),
                reply: text(message.reply),
                headers: text(headers),
                payload: text(payload),
            });
            posted.pop();
        }
    }

    /// Sequence, subject and payload of everything there is.
    pub fn messages(&mut self) -> Vec<(u64, String, String)> {
        use crate::jetstream::store::Fetch;
        use crate::storage::Seq;
        let mut found = Vec::new();
        let mut from = Seq(0);
        while let Some(seq) = self.stream.store.next_any(None, from) {
            let Fetch::Here(stored) = self.stream.store.fetch(None, seq) else { panic!("{seq:?}") };
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push((seq.0, text(stored.subject), text(stored.payload)));
            from = seq.next();
        }
        found
    }

    /// First and last sequence, messages, bytes.
    pub fn state(&self) -> (u64, u64, u64, u64) {
        let store = &self.stream.store;
        (store.first_seq(None).0, store.last_seq(None).0, store.messages(None), store.bytes(None))
    }
}

pub fn config_of(json: &str) -> StreamConfig {
    let mut config: StreamConfig =
        StreamConfig::parse(json.as_bytes(), Mode::Strict).expect("a test's config");
    config.name = "S".into();
    config.subjects = vec!["s.>".into()];
    config.storage = crate::jetstream::config::Storage::Memory;
    for limit in [&mut config.max_msgs, &mut config.max_bytes, &mut config.max_msgs_per_subject] {
        *limit = if *limit == 0 { -1 } else { *limit };
    }
    if config.max_msg_size == 0 {
        config.max_msg_size = -1;
    }
    if config.duplicate_window.is_zero() {
        config.duplicate_window.0 = 120 * SECOND as i64;
    }
    config
}

pub fn block(headers: &[(&str, &str)]) -> String {
    if headers.is_empty() {
        return String::new();
    }
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("NATS/1.0\r\n{lines}\r\n")
}

pub fn refused(code: u16, err_code: u16, description: &str) -> String {
    let description = description.replace('"', "\\\"");
    format!(
        r#"{{"error":{{"code":{code},"err_code":{err_code},"description":"{description}"}},"stream":"S","seq":0}}"#
    )
}

pub fn stored(seq: u64) -> String {
    format!(r#"{{"stream":"S","seq":{seq}}}"#)
}
