//! A stream on its way out: chunks to whoever asked, as many at once as the window allows.
//!
//! ```text
//! Settling ─▶ Listening ─▶ Flowing ─▶ done
//! ```
//! It holds at most one unpacked block and one chunk more than that, however large the stream is.

use super::archive::{CONSUMERS, Entry, MAGIC, STATE};
use super::consumer::ConsumerSnapshot;
use super::frame;
use crate::jetstream::advisory::ID_LEN;
use crate::jetstream::config::wire::object;
use crate::jetstream::context::{Context, GateState};
use crate::jetstream::info::StreamState;
use crate::jetstream::letter::Request;
use crate::jetstream::outbox::Outgoing;
use crate::jetstream::store::{Fetch, Store};
use crate::storage::{Health, Lsn, Seq};
use crate::types::limits::{
    SNAPSHOT_BLOCK_BYTES, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MIN,
    SNAPSHOT_FLOW_NS, SNAPSHOT_INTEREST_NS, SNAPSHOT_TURN_BYTES, SNAPSHOT_WINDOW_BYTES,
    SNAPSHOT_WINDOW_BYTES_MAX,
};
use crate::types::{AccountId, Mono, Wall, json};

object! {
    /// The body of `STREAM.SNAPSHOT`.
    pub struct ExportRequest as "server.JSApiStreamSnapshotRequest" {
        deliver_subject: String = always "deliver_subject",
        no_consumers: bool = filled "no_consumers",
        /// Bytes; 0: the default.
        chunk_size: i64 = filled "chunk_size" as "int",
        window_size: i64 = filled "window_size" as "int",
        /// Reading checks every message anyway, here and in the reference of today.
        jsck: bool = filled "jsck",
    }
}

impl ExportRequest {
    /// Bytes of a chunk, and how many chunks may be under way.
    fn sizes(&self) -> (usize, u64) {
        let asked = |value: i64, default: usize| match value {
            0 => default,
            value => usize::try_from(value).unwrap_or(0),
        };
        let chunk = asked(self.chunk_size, SNAPSHOT_CHUNK_BYTES);
        let chunk = chunk.clamp(SNAPSHOT_CHUNK_BYTES_MIN, SNAPSHOT_CHUNK_BYTES_MAX);
        let window = asked(self.window_size, SNAPSHOT_WINDOW_BYTES);
        let window = window.clamp(SNAPSHOT_CHUNK_BYTES_MIN, SNAPSHOT_WINDOW_BYTES_MAX);
        (chunk, (window.max(chunk) / chunk) as u64)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// What the state tells is not all on disk.
    Settling(Lsn),
    /// Clients subscribe when they have the answer; not longer than until then.
    Listening(Mono),
    Flowing,
}

/// Where a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// There is more to do, in the next turn.
    Again,
    /// For something to happen, or until then.
    Waiting(Mono),
    /// The asker can be answered: everything its answer tells is on disk.
    Settled,
    Done,
    /// It was given up, for this reason; the listener was told.
    Failed(String),
}

/// What filling the next chunk came to.
enum Filled {
    Full,
    End,
    Reading,
    Spent,
}

/// What an export begins with.
#[derive(Debug)]
pub struct Plan<'a> {
    pub id: [u8; ID_LEN],
    pub account: AccountId,
    pub stream: &'a str,
    pub asked: &'a ExportRequest,
    /// What the archive holds.
    pub state: StreamState,
    pub consumers: &'a [ConsumerSnapshot],
    /// What has to be settled before the state is told.
    pub at: Lsn,
    pub request: Request,
    /// To the request, once all it tells is on disk.
    pub answer: Vec<u8>,
}

#[derive(Debug)]
pub struct Export {
    pub started: Wall,
    pub state: StreamState,
    pub request: Request,
    pub answer: Vec<u8>,
    account: AccountId,
    deliver: Box<[u8]>,
    /// `$JS.SNAPSHOT.ACK.<stream>.<id>`
    ack_prefix: Box<str>,
    chunk_bytes: usize,
    window: u64,
    stage: Stage,
    /// Somebody listened when it began: when nobody does any more, it ends.
    is_heard: bool,
    next: Seq,
    last: Seq,
    /// Entries that are not packed yet.
    plain: Vec<u8>,
    packed: Vec<u8>,
    /// Of the packed bytes, those sent.
    at: usize,
    /// Everything is packed.
    is_read: bool,
    sent: u64,
    acknowledged: u64,
    sent_at: Mono,
}

impl Export {
    pub fn new(plan: Plan<'_>, now: Wall) -> Self {
        let Plan { id, account, stream, asked, state, consumers, at, request, answer } = plan;
        let (chunk_bytes, window) = asked.sizes();
        let name = String::from_utf8_lossy(&id);
        let mut export = Self {
            started: now,
            request,
            answer,
            account,
            deliver: asked.deliver_subject.as_bytes().into(),
            ack_prefix: format!("$JS.SNAPSHOT.ACK.{stream}.{name}").into(),
            chunk_bytes,
            window,
            stage: Stage::Settling(at),
            is_heard: false,
            next: Seq(state.first_seq),
            last: Seq(state.last_seq),
            state,
            plain: MAGIC.to_vec(),
            packed: frame::IDENTIFIER.to_vec(),
            at: 0,
            is_read: false,
            sent: 0,
            acknowledged: 0,
            sent_at: Mono(0),
        };
        export.write_head(consumers, now);
        export
    }

    fn write_head(&mut self, consumers: &[ConsumerSnapshot], now: Wall) {
        let time = i64::try_from(now.0).unwrap_or(i64::MAX);
        let consumer_count = consumers.len() as u64;
        let payload = &json::compact(&StreamState { consumer_count, ..self.state.clone() });
        Entry { name: STATE, time, payload, ..Entry::default() }.append(&mut self.plain);
        for consumer in consumers {
            let name = &[CONSUMERS, consumer.config.name.as_bytes()].concat();
            let payload = &json::compact(consumer);
            Entry { name, time, payload, ..Entry::default() }.append(&mut self.plain);
        }
        self.pack();
    }

    /// Where acknowledgements are sent to.
    pub fn ack_pattern(&self) -> String {
        format!("{}.>", self.ack_prefix)
    }

    /// Whether an acknowledgement under this subject is this one's.
    pub fn owns(&self, subject: &[u8]) -> bool {
        subject.strip_prefix(self.ack_prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"."))
    }

    /// A chunk arrived.
    pub fn on_ack(&mut self) {
        self.acknowledged = (self.acknowledged + 1).min(self.sent);
    }

    /// Goes on: sends what may be sent. After [`Step::Settled`] it wants to be called again.
    pub fn step(&mut self, ctx: &mut Context<'_>, store: &mut Store) -> Step {
        loop {
            match self.stage {
                Stage::Settling(at) => {
                    if !is_settled(ctx, at) {
                        return Step::Waiting(Mono::NEVER);
                    }
                    self.stage = Stage::Listening(ctx.now.mono.plus(SNAPSHOT_INTEREST_NS));
                    return Step::Settled;
                }
                Stage::Listening(until) => {
                    self.is_heard = ctx.gate.is_named(self.account, &self.deliver);
                    if !self.is_heard && ctx.now.mono < until {
                        return Step::Waiting(until);
                    }
                    self.sent_at = ctx.now.mono;
                    self.stage = Stage::Flowing;
                }
                Stage::Flowing => return self.flow(ctx, store),
            }
        }
    }

    fn flow(&mut self, ctx: &mut Context<'_>, store: &mut Store) -> Step {
        let mut budget = SNAPSHOT_TURN_BYTES;
        if self.is_heard && !ctx.gate.is_named(self.account, &self.deliver) {
            return self.fail(ctx, "408 No Interest", "no interest");
        }
        loop {
            match ctx.gate.state(self.account, &self.deliver) {
                GateState::Crowded => return self.wait(ctx),
                // Nobody ever listened: the reference sends all the same.
                GateState::Open | GateState::Nobody => {}
            }
            if self.sent - self.acknowledged >= self.window {
                return self.wait(ctx);
            }
            match self.fill(ctx, store, &mut budget) {
                Ok(Filled::Full) => self.send(ctx),
                Ok(Filled::Reading) => return Step::Waiting(Mono::NEVER),
                Ok(Filled::Spent) => return Step::Again,
                Ok(Filled::End) => {
                    self.finish(ctx);
                    return Step::Done;
                }
                Err(error) => return self.fail(ctx, &format!("500 {error}"), &error),
            }
        }
    }

    /// Nothing may be sent: not for longer than the reference waits.
    fn wait(&mut self, ctx: &mut Context<'_>) -> Step {
        let until = self.sent_at.plus(SNAPSHOT_FLOW_NS);
        match ctx.now.mono < until {
            true => Step::Waiting(until),
            false => self.fail(ctx, "408 No Flow Response", "no flow response"),
        }
    }

    /// Packs messages until there is a whole chunk, or no more of them.
    fn fill(
        &mut self,
        ctx: &mut Context<'_>,
        store: &mut Store,
        budget: &mut usize,
    ) -> Result<Filled, String> {
        self.packed.drain(..self.at);
        self.at = 0;
        while self.packed.len() < self.chunk_bytes {
            if self.is_read {
                return Ok(Filled::End);
            }
            if *budget == 0 {
                return Ok(Filled::Spent);
            }
            let next = store.next_any(ctx.log.as_deref(), self.next);
            let Some(seq) = next.filter(|seq| *seq <= self.last) else {
                Entry::default().append(&mut self.plain);
                self.pack();
                self.is_read = true;
                continue;
            };
            let before = self.plain.len();
            match store.fetch(ctx.log.as_deref_mut(), seq) {
                Fetch::Here(stored) => Entry {
                    name: stored.subject,
                    time: i64::try_from(stored.time).unwrap_or(i64::MAX),
                    seq: stored.seq.0,
                    headers: stored.headers,
                    payload: stored.payload,
                }
                .append(&mut self.plain),
                Fetch::Wait => return Ok(Filled::Reading),
                Fetch::Gone => {}
                Fetch::Broken(error) => {
                    return Err(format!("couldn't load message {}: {error:?}", seq.0));
                }
            }
            *budget = budget.saturating_sub(self.plain.len() - before);
            self.next = seq.next();
            if self.plain.len() >= SNAPSHOT_BLOCK_BYTES {
                self.pack();
            }
        }
        Ok(Filled::Full)
    }

    fn pack(&mut self) {
        for block in self.plain.chunks(SNAPSHOT_BLOCK_BYTES) {
            frame::append(&mut self.packed, block);
        }
        self.plain.clear();
    }

    /// Sends whole chunks, as many as there are and the window has room for.
    fn send(&mut self, ctx: &mut Context<'_>) {
        while self.packed.len() - self.at >= self.chunk_bytes
            && self.sent - self.acknowledged < self.window
        {
            let chunk = &self.packed[self.at..self.at + self.chunk_bytes];
            self.sent += 1;
            let reply = format!("{}.{}.{}", self.ack_prefix, chunk.len(), self.sent);
            let message =
                Outgoing { reply: reply.as_bytes(), ..Outgoing::plain(&self.deliver, chunk) };
            ctx.out.publish(self.account, message);
            self.at += self.chunk_bytes;
        }
        self.sent_at = ctx.now.mono;
    }

    /// The rest, which nobody has to acknowledge, and the end. The reference gives the end a
    /// status only if there was a whole chunk before.
    fn finish(&mut self, ctx: &mut Context<'_>) {
        let rest = &self.packed[self.at..];
        if !rest.is_empty() {
            ctx.out.publish(self.account, Outgoing::plain(&self.deliver, rest));
        }
        let headers: &[u8] = if self.sent > 0 { b"NATS/1.0 204\r\n\r\n" } else { b"" };
        let end = Outgoing { headers, ..Outgoing::plain(&self.deliver, b"") };
        ctx.out.publish(self.account, end);
    }

    fn fail(&mut self, ctx: &mut Context<'_>, status: &str, reason: &str) -> Step {
        self.abandon_as(ctx, status);
        Step::Failed(reason.to_owned())
    }

    /// The stream is gone: there will be no more.
    pub fn abandon(&mut self, ctx: &mut Context<'_>, reason: &str) {
        self.abandon_as(ctx, &format!("500 {reason}"));
    }

    fn abandon_as(&mut self, ctx: &mut Context<'_>, status: &str) {
        let headers = format!("NATS/1.0 {status}\r\n\r\n");
        let end = Outgoing { headers: headers.as_bytes(), ..Outgoing::plain(&self.deliver, b"") };
        ctx.out.publish(self.account, end);
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.plain.capacity() + self.packed.capacity()
    }
}

/// A log that failed settles nothing more, and nothing new is told of it.
fn is_settled(ctx: &Context<'_>, at: Lsn) -> bool {
    let is_failed = |log: &crate::storage::Log| matches!(log.health(), Health::Poisoned(_));
    ctx.log.as_deref().is_none_or(|log| log.settled() >= at || is_failed(log))
}
