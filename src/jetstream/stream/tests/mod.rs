//! A stream by itself: what is asked of it, what it answers.

mod batches;
mod getting;
mod model;
mod publishing;
mod schedules;
mod telling;
mod time;

use super::{Incoming, POSITIONS_KEY, Stream, StreamRecord};
use crate::jetstream::config::{Mode, Storage, StreamConfig};
use crate::jetstream::context::{Context, Gate, GateState, Site};
use crate::jetstream::ledger::Ledger;
use crate::jetstream::outbox::{Outbox, PostedQueue};
use crate::jetstream::store::Fetch;
use crate::jetstream::store::tests::Bench;
use crate::storage::{Log, Seq, StreamId};
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

/// A stream with everything around it.
pub struct Desk {
    pub stream: Stream,
    /// The log of a stream in a file.
    pub bench: Option<Bench>,
    pub out: Outbox,
    pub now: Now,
    pub site: Site,
    pub ledger: Ledger,
    /// What left the stream and was no answer.
    pub told: Vec<Sent>,
}

impl Desk {
    /// A stream in memory; `config` is JSON, to which name, subjects and storage are added.
    pub fn new(config: &str) -> Self {
        Self::of(config_of(config), None)
    }

    /// The same in a file.
    pub fn on_disk(config: &str) -> Self {
        let config = StreamConfig { storage: Storage::File, ..config_of(config) };
        Self::of(config, Some(Bench::new()))
    }

    /// A stream with origins, which tests play.
    pub fn fed(config: StreamConfig, on_disk: bool) -> Self {
        let storage = if on_disk { Storage::File } else { Storage::Memory };
        Self::of(StreamConfig { storage, ..config }, on_disk.then(Bench::new))
    }

    fn of(config: StreamConfig, mut bench: Option<Bench>) -> Self {
        let now = Now { mono: Mono(SECOND), wall: Wall(START) };
        let (mut out, site) = (Outbox::default(), Site::default());
        let log = bench.as_mut().map(|bench| &mut bench.log);
        let ledger = Ledger::default();
        let mut ctx =
            Context { now, log, out: &mut out, gate: &mut Open, site: &site, ledger: &ledger };
        let stream = Stream::create(StreamId(1), AccountId(0), "$G", config, &mut ctx);
        let stream = stream.expect("there is room");
        let mut desk = Self { stream, bench, out, now, site, ledger, told: Vec::new() };
        desk.settle();
        desk
    }

    /// Starts again on what is in the files, behind a stop.
    pub fn restart(&mut self) {
        let bench = self.bench.as_mut().expect("a file");
        // Removals ride along with what comes next; nothing comes any more.
        while !bench.log.settle(self.now.mono) {
            bench.run(&mut self.stream.store);
        }
        self.crash();
    }

    /// Stops everything where it is and starts again on what is in the files.
    pub fn crash(&mut self) {
        self.reopen();
        self.settle();
    }

    /// As [`Self::crash`], before the first turn behind it.
    pub fn reopen(&mut self) {
        let (account, config) = ("$G".into(), self.stream.config().clone());
        let record =
            StreamRecord { created: self.stream.created(), account, config, drawn: Vec::new() };
        let bench = self.bench.as_mut().expect("a file");
        bench.reopen();
        let drawn = bench.value(StreamId(1), POSITIONS_KEY).unwrap_or_default();
        let record = StreamRecord { drawn, ..record };
        self.out = Outbox::default();
        let restored = self.with(|_, ctx| Stream::restore(StreamId(1), AccountId(0), record, ctx));
        self.stream = restored;
    }

    pub fn with<T>(&mut self, act: impl FnOnce(&mut Stream, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context {
            now: self.now,
            log: self.bench.as_mut().map(|bench| &mut bench.log),
            out: &mut self.out,
            gate: &mut Open,
            site: &self.site,
            ledger: &self.ledger,
        };
        act(&mut self.stream, &mut ctx)
    }

    pub fn log(&self) -> Option<&Log> {
        self.bench.as_ref().map(|bench| &bench.log)
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

    /// Does what is to be done to files, and moves what left the stream into `told`.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            let Some(bench) = &mut self.bench else { break };
            bench.run(&mut self.stream.store);
            self.out.release(bench.log.settled());
            self.with(|stream, ctx| stream.on_visible(ctx));
            if self.with(|stream, ctx| stream.poll(ctx)) {
                break;
            }
        }
        if let Some(bench) = &mut self.bench {
            bench.run(&mut self.stream.store);
        }
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
        let mut found = Vec::new();
        let mut from = Seq(0);
        while let Some(seq) = self.stream.store.next_any(self.log(), from) {
            found.extend(self.message(seq));
            from = seq.next();
        }
        found
    }

    fn message(&mut self, seq: Seq) -> Option<(u64, String, String)> {
        loop {
            let log = self.bench.as_mut().map(|bench| &mut bench.log);
            match self.stream.store.fetch(log, seq) {
                Fetch::Here(stored) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    return Some((seq.0, text(stored.subject), text(stored.payload)));
                }
                Fetch::Wait => {}
                Fetch::Gone | Fetch::Broken(_) => return None,
            }
            self.bench.as_mut().expect("it waits").run(&mut self.stream.store);
        }
    }

    /// First and last sequence, messages, bytes.
    pub fn state(&self) -> (u64, u64, u64, u64) {
        let (store, log) = (&self.stream.store, self.log());
        (store.first_seq(log).0, store.last_seq(log).0, store.messages(log), store.bytes(log))
    }
}

pub fn config_of(json: &str) -> StreamConfig {
    let mut config: StreamConfig =
        StreamConfig::parse(json.as_bytes(), Mode::Strict).expect("a test's config");
    config.name = "S".into();
    config.subjects = vec!["s.>".into()];
    config.storage = Storage::Memory;
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
