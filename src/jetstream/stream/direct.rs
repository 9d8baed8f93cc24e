//! Direct gets: messages as messages, without the envelope of the API
//! (facts/jetstream-api.md §8).

use std::collections::VecDeque;

use super::Stream;
use super::access::Wanted;
use super::request::{MessageGetRequest, Refused};
use crate::jetstream::config::API_LEVEL;
use crate::jetstream::context::{Context, GateState};
use crate::jetstream::filter::Filter;
use crate::jetstream::headers;
use crate::jetstream::outbox::Outgoing;
use crate::jetstream::store::{Fetch, Scan, SeekTime, Stored};
use crate::storage::Seq;
use crate::types::limits::{
    GET_BATCH_MESSAGES, GET_BYTES_MAX, MULTI_GET_SUBJECTS_MAX, STREAM_TICK_MESSAGES,
    WAITING_GETS_MAX,
};
use crate::types::{Wall, push_rfc3339};

/// A direct get as the shard received it.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectGet<'a> {
    /// The subject behind the stream's name, if the request was sent to one.
    pub subject: Option<&'a [u8]>,
    pub reply: &'a [u8],
    pub headers: &'a [u8],
    pub body: &'a [u8],
}

/// Gets that wait for a read, or for room on their way out.
#[derive(Debug, Default)]
pub(super) struct WaitingGets {
    queue: VecDeque<Get>,
}

/// One get under way.
#[derive(Debug)]
struct Get {
    reply: Box<[u8]>,
    no_headers: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    One(Wanted),
    Many(Run),
    /// The last messages of subjects, once it is known up to where.
    Lasts {
        patterns: Vec<String>,
        up_to: UpTo,
        batch: u64,
        bytes_max: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum UpTo {
    End,
    Seq(Seq),
    /// Nanoseconds since 1970.
    Time(u64),
}

/// Several messages, one after the other.
#[derive(Debug)]
struct Run {
    from: From,
    left: u64,
    bytes_left: u64,
    pending: Option<u64>,
    last_seq: Seq,
    up_to: Option<Seq>,
}

#[derive(Debug)]
enum From {
    /// Where to begin is not known yet.
    Search(Wanted),
    Filter(Filter, Seq),
    List(VecDeque<Seq>),
}

/// How far a get came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Done,
    /// It needs a read, room, or another turn.
    Wait,
}

impl WaitingGets {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Stream {
    /// Answers a direct get, now or when what it needs has been read.
    pub fn direct_get(&mut self, ctx: &mut Context<'_>, get: &DirectGet<'_>) {
        if get.reply.is_empty() {
            return;
        }
        if !is_level_served(get.headers) {
            return self.tell_status(ctx, get.reply, "412 Required Api Level");
        }
        // A subject alone, the way of key-value stores, is answered without a detour.
        if let Some(subject) = get.subject
            && get.body.is_empty()
            && let Some(told) = self.tell_last(ctx, subject, get.reply)
        {
            return told;
        }
        // So is a sequence alone.
        if let Some(seq) = lone_seq(get)
            && let Some(told) = self.tell_seq(ctx, seq, get.reply)
        {
            return told;
        }
        match MessageGetRequest::of_direct(get.subject, get.body) {
            Ok(request) => self.begin_get(ctx, get.reply, request),
            Err(Refused::Empty) => self.tell_status(ctx, get.reply, "408 Empty Request"),
            Err(Refused::Malformed) => self.tell_status(ctx, get.reply, "408 Malformed Request"),
            Err(Refused::Bad) => self.tell_status(ctx, get.reply, "408 Bad Request"),
        }
    }

    /// `None`: it has to wait.
    fn tell_last(&mut self, ctx: &mut Context<'_>, subject: &[u8], reply: &[u8]) -> Option<()> {
        let Scan::Found(seq) = self.find_last(ctx, subject) else {
            self.tell_status(ctx, reply, "404 Message Not Found");
            return Some(());
        };
        self.tell_seq(ctx, seq, reply)
    }

    /// `None`: it has to wait.
    fn tell_seq(&mut self, ctx: &mut Context<'_>, seq: Seq, reply: &[u8]) -> Option<()> {
        match self.tell(ctx, seq, reply, false, None) {
            Told::Sent(_) => Some(()),
            Told::Gone => {
                self.tell_status(ctx, reply, "404 Message Not Found");
                Some(())
            }
            Told::Wait => None,
        }
    }

    fn begin_get(&mut self, ctx: &mut Context<'_>, reply: &[u8], request: MessageGetRequest) {
        let no_headers = request.no_hdr;
        let mut get = Get { reply: reply.into(), no_headers, kind: kind_of(request) };
        if self.gets.queue.is_empty() && self.go_on(ctx, &mut get) == Step::Done {
            return;
        }
        if self.gets.queue.len() >= WAITING_GETS_MAX {
            return self.tell_status(ctx, reply, "429 Too Many Requests");
        }
        self.gets.queue.push_back(get);
    }

    /// Goes on with the gets that wait. Each has one turn.
    pub(super) fn retry_gets(&mut self, ctx: &mut Context<'_>) {
        for _ in 0..self.gets.queue.len() {
            let Some(mut get) = self.gets.queue.pop_front() else { return };
            if self.go_on(ctx, &mut get) == Step::Wait {
                self.gets.queue.push_back(get);
            }
        }
    }

    fn go_on(&mut self, ctx: &mut Context<'_>, get: &mut Get) -> Step {
        loop {
            match &mut get.kind {
                Kind::One(wanted) => {
                    return self.one(ctx, &get.reply, get.no_headers, wanted);
                }
                Kind::Many(run) => {
                    match ctx.gate.state(self.account, &get.reply) {
                        GateState::Nobody => return Step::Done,
                        GateState::Crowded => return Step::Wait,
                        GateState::Open => {}
                    }
                    return self.many(ctx, &get.reply, get.no_headers, run);
                }
                Kind::Lasts { patterns, up_to, batch, bytes_max } => {
                    let up_to = match self.resolve(ctx, *up_to) {
                        Some(up_to) => up_to,
                        None => return Step::Wait,
                    };
                    let lasts = match Filter::new(patterns) {
                        Some(filter) => {
                            let log = ctx.log.as_deref_mut();
                            self.store.last_per_subject(log.as_deref(), &filter, Some(up_to))
                        }
                        None => Vec::new(),
                    };
                    if lasts.is_empty() {
                        self.tell_status(ctx, &get.reply, "404 No Results");
                        return Step::Done;
                    }
                    if lasts.len() > MULTI_GET_SUBJECTS_MAX {
                        self.tell_status(ctx, &get.reply, "413 Too Many Results");
                        return Step::Done;
                    }
                    get.kind = Kind::Many(Run {
                        left: *batch,
                        bytes_left: *bytes_max,
                        pending: Some(lasts.len() as u64),
                        from: From::List(lasts.into()),
                        last_seq: Seq(0),
                        up_to: Some(up_to),
                    });
                    // The reference ignores it here.
                    get.no_headers = false;
                }
            }
        }
    }

    fn one(
        &mut self,
        ctx: &mut Context<'_>,
        reply: &[u8],
        no_headers: bool,
        wanted: &mut Wanted,
    ) -> Step {
        let mut budget = STREAM_TICK_MESSAGES;
        let told = match self.find(ctx, wanted, &mut budget) {
            Scan::Found(seq) => self.tell(ctx, seq, reply, no_headers, None),
            Scan::End => Told::Gone,
            Scan::Later(_) => return Step::Wait,
        };
        match told {
            Told::Sent(_) => Step::Done,
            Told::Wait => Step::Wait,
            Told::Gone => {
                self.tell_status(ctx, reply, "404 Message Not Found");
                Step::Done
            }
        }
    }

    fn many(
        &mut self,
        ctx: &mut Context<'_>,
        reply: &[u8],
        no_headers: bool,
        run: &mut Run,
    ) -> Step {
        let mut budget = STREAM_TICK_MESSAGES;
        for _ in 0..GET_BATCH_MESSAGES {
            if run.pending.is_some() && (run.left == 0 || run.bytes_left == 0) {
                return self.end(ctx, reply, run);
            }
            let seq = match self.next_of(ctx, run, &mut budget) {
                Scan::Found(seq) => seq,
                Scan::End => return self.end(ctx, reply, run),
                Scan::Later(_) => return Step::Wait,
            };
            if run.left == 0 {
                return self.end(ctx, reply, run);
            }
            let pending = run.pending.unwrap_or_default();
            let chain = Chain { pending: pending.saturating_sub(1), last_seq: run.last_seq };
            match self.tell(ctx, seq, reply, no_headers, Some(chain)) {
                Told::Sent(bytes) => {
                    run.left -= 1;
                    run.bytes_left = run.bytes_left.saturating_sub(bytes);
                    run.last_seq = seq;
                    if !no_headers {
                        run.pending = Some(chain.pending);
                    }
                }
                Told::Gone => {}
                Told::Wait => return Step::Wait,
            }
            match &mut run.from {
                From::List(list) => drop(list.pop_front()),
                From::Filter(_, from) => *from = seq.next(),
                From::Search(_) => {}
            }
        }
        Step::Wait
    }

    fn next_of(&mut self, ctx: &mut Context<'_>, run: &mut Run, budget: &mut usize) -> Scan {
        loop {
            match &mut run.from {
                From::List(list) => return list.front().map_or(Scan::End, |&seq| Scan::Found(seq)),
                From::Filter(filter, from) => {
                    let log = ctx.log.as_deref();
                    if run.pending.is_none() {
                        run.pending = Some(self.store.count(log, filter, *from));
                    }
                    let scan = self.store.next(log, filter, *from, budget);
                    if let Scan::Later(seq) = scan {
                        *from = seq;
                    }
                    return scan;
                }
                From::Search(wanted) => match self.begin_of(ctx, wanted) {
                    Some(from) => run.from = from,
                    None => return Scan::Later(Seq(0)),
                },
            }
        }
    }

    /// Where a run begins. `None`: a read is under way.
    fn begin_of(&mut self, ctx: &mut Context<'_>, wanted: &mut Wanted) -> Option<From> {
        let (filter, from) = match wanted {
            Wanted::Next(filter, from) => (std::mem::take(filter), *from),
            Wanted::Since(filter, time) => {
                match self.store.seq_at_time(ctx.log.as_deref_mut(), *time) {
                    SeekTime::Seq(seq) => (std::mem::take(filter), seq),
                    SeekTime::Wait => return None,
                }
            }
            Wanted::Seq(seq) => (Box::default(), *seq),
            Wanted::Last(_) => (Box::default(), Seq(u64::MAX)),
        };
        let filter = match filter.is_empty() {
            true => Some(Filter::all()),
            false => Filter::new(&[filter]),
        };
        Some(match filter {
            Some(filter) => From::Filter(filter, from),
            None => From::List(VecDeque::new()),
        })
    }

    fn resolve(&mut self, ctx: &mut Context<'_>, up_to: UpTo) -> Option<Seq> {
        Some(match up_to {
            UpTo::End => self.store.visible_seq(ctx.log.as_deref()),
            UpTo::Seq(seq) => seq,
            UpTo::Time(time) => match self.store.seq_at_time(ctx.log.as_deref_mut(), time) {
                SeekTime::Seq(seq) => seq.previous(),
                SeekTime::Wait => return None,
            },
        })
    }

    /// The end of several messages, or that there was none.
    fn end(&mut self, ctx: &mut Context<'_>, reply: &[u8], run: &Run) -> Step {
        let is_missing = run.last_seq == Seq(0) && run.left > 0 && run.up_to.is_none();
        if is_missing {
            self.tell_status(ctx, reply, "404 Message Not Found");
            return Step::Done;
        }
        let block = &mut self.block;
        headers::begin_status(block, "204 EOB");
        headers::append_display(block, "Nats-Num-Pending", run.pending.unwrap_or_default());
        headers::append_display(block, "Nats-Last-Sequence", run.last_seq.0);
        if let Some(up_to) = run.up_to {
            headers::append_display(block, "Nats-UpTo-Sequence", up_to.0);
        }
        let message = Outgoing { headers: block, ..Outgoing::plain(reply, b"") };
        ctx.out.publish(self.account, message);
        Step::Done
    }

    pub(super) fn tell_status(&mut self, ctx: &mut Context<'_>, reply: &[u8], status: &str) {
        headers::begin_status(&mut self.block, status);
        let message = Outgoing { headers: &self.block, ..Outgoing::plain(reply, b"") };
        ctx.out.publish(self.account, message);
    }

    fn tell(
        &mut self,
        ctx: &mut Context<'_>,
        seq: Seq,
        reply: &[u8],
        no_headers: bool,
        chain: Option<Chain>,
    ) -> Told {
        let stored = match self.store.fetch(ctx.log.as_deref_mut(), seq) {
            Fetch::Here(stored) => stored,
            Fetch::Wait => return Told::Wait,
            Fetch::Gone | Fetch::Broken(_) => return Told::Gone,
        };
        let bytes = stored.subject.len() + stored.headers.len() + stored.payload.len();
        self.block.clear();
        if !no_headers {
            describe(&mut self.block, &self.config.name, &stored, chain);
        }
        let outgoing = Outgoing { headers: &self.block, ..Outgoing::plain(reply, stored.payload) };
        ctx.out.publish(self.account, outgoing);
        Told::Sent(bytes as u64)
    }
}

/// The sequence that a request asks for, if it is short and asks for nothing else.
fn lone_seq(get: &DirectGet<'_>) -> Option<Seq> {
    let digits = get.body.strip_prefix(b"{\"seq\":")?.strip_suffix(b"}")?;
    let digits = digits.strip_prefix(b" ").unwrap_or(digits);
    let is_number = matches!(digits, [b'1'..=b'9', ..]) && digits.len() < DIGITS_MAX;
    if get.subject.is_some() || !is_number {
        return None;
    }
    digits.iter().try_fold(Seq(0), |seq, digit| match digit {
        b'0'..=b'9' => Some(Seq(seq.0 * 10 + u64::from(digit - b'0'))),
        _ => None,
    })
}

/// So many digits may be more than a sequence can be.
const DIGITS_MAX: usize = 20;

enum Told {
    /// And what it counts for.
    Sent(u64),
    Gone,
    Wait,
}

/// What ties a message to the one before and those behind.
#[derive(Clone, Copy, Debug)]
struct Chain {
    pending: u64,
    last_seq: Seq,
}

fn describe(block: &mut Vec<u8>, stream: &str, stored: &Stored<'_>, chain: Option<Chain>) {
    block.extend_from_slice(stored.headers);
    let mut lines = headers::Lines::behind(block);
    lines.text("Nats-Stream", stream.as_bytes());
    lines.text("Nats-Subject", stored.subject);
    lines.number("Nats-Sequence", stored.seq.0);
    lines.add("Nats-Time-Stamp", |block| push_rfc3339(block, Wall(stored.time)));
    if let Some(chain) = chain {
        lines.number("Nats-Num-Pending", chain.pending);
        lines.number("Nats-Last-Sequence", chain.last_seq.0);
    }
    lines.end();
}

/// Whether the level that a request requires, if any, is one this server has.
pub(super) fn is_level_served(block: &[u8]) -> bool {
    let Some(required) = headers::get(block, "Nats-Required-Api-Level") else { return true };
    let level = std::str::from_utf8(required).ok().and_then(|text| text.parse::<i64>().ok());
    level.is_some_and(|level| level <= i64::from(API_LEVEL))
}

fn kind_of(request: MessageGetRequest) -> Kind {
    let bytes_max = match u64::try_from(request.max_bytes) {
        Ok(0) | Err(_) => GET_BYTES_MAX,
        Ok(bytes) => bytes,
    };
    if !request.multi_last.is_empty() {
        let up_to = match (request.up_to_seq, request.up_to_time) {
            (0, None) => UpTo::End,
            (0, Some(time)) => UpTo::Time(time.wall().0),
            (seq, _) => UpTo::Seq(Seq(seq)),
        };
        let batch = u64::try_from(request.batch).ok().filter(|&batch| batch > 0);
        return Kind::Lasts {
            patterns: request.multi_last,
            up_to,
            batch: batch.unwrap_or(u64::MAX),
            bytes_max,
        };
    }
    let batch = request.batch;
    let wanted = request.wanted();
    if batch == 0 {
        return Kind::One(wanted);
    }
    Kind::Many(Run {
        from: From::Search(wanted),
        left: u64::try_from(batch).unwrap_or(0),
        bytes_left: bytes_max,
        pending: None,
        last_seq: Seq(0),
        up_to: None,
    })
}
