//! Batches that are stored whole or not at all (facts/jetstream-api.md §5). A batch gathers here;
//! its messages are looked at when it is committed.

use std::collections::{BTreeMap, BTreeSet};

use super::Stream;
use super::counter::{Counted, Total};
use super::direct::is_level_served;
use super::directives::Directives;
use super::expectations::number;
use super::intake::{Candidate, Incoming, Outcome, Rollup, Taken, refused};
use super::kept::Kept;
use super::limits::Before;
use super::schedule::headers_of_schedule;
use crate::config::BatchLimits;
use crate::jetstream::advisory::{AboutStream, BatchFate, StreamAdvisory};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::jetstream::store::NewMessage;
use crate::storage::Seq;
use crate::types::Mono;
use crate::types::limits::{ATOMIC_BYTES_MAX, BATCH_ID_BYTES_MAX, BATCHES_BYTES_MAX};

/// The open batches of a stream.
#[derive(Debug)]
pub(super) struct Batches {
    open: BTreeMap<Box<[u8]>, Open>,
    bytes: usize,
    limits: BatchLimits,
}

#[derive(Debug, Default)]
struct Open {
    messages: Vec<Kept>,
    bytes: usize,
    /// When it got its newest message.
    since: Mono,
}

/// How a batch ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Commit {
    /// With this message.
    Here,
    /// With the one before; this one is not stored.
    Before,
}

/// What a batch already has that a further message belongs to. A publish by itself has nothing.
#[derive(Debug)]
pub(super) struct Staged {
    messages: u64,
    bytes: u64,
    /// How many, and the last.
    subjects: BTreeMap<Box<[u8]>, (u64, Seq)>,
    ids: BTreeSet<Box<[u8]>>,
}

pub(super) static NOTHING: Staged = Staged::new();

impl Staged {
    const fn new() -> Self {
        Self { messages: 0, bytes: 0, subjects: BTreeMap::new(), ids: BTreeSet::new() }
    }

    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// By the formula of the limits.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn has_subject(&self, subject: &[u8]) -> bool {
        self.subjects.contains_key(subject)
    }

    pub fn of_subject(&self, subject: &[u8]) -> u64 {
        self.subjects.get(subject).map_or(0, |(count, _)| *count)
    }

    fn add(&mut self, message: &Candidate<'_>, seq: Seq, cost: u64) {
        self.messages += 1;
        self.bytes += cost;
        let of = self.subjects.entry(message.subject.into()).or_default();
        *of = (of.0 + 1, seq);
        self.ids.extend(message.asks.msg_id.map(Into::into));
    }

    /// What a subject has before the next message, the batch's own included.
    fn before(&self, stored: Before, subject: &[u8]) -> Before {
        match self.subjects.get(subject) {
            Some(&(count, last)) => {
                Before { last: Some(last), count: stored.count.saturating_add(count) }
            }
            None => stored,
        }
    }
}

/// A message of a batch that passed all checks.
struct Accepted<'a> {
    message: Candidate<'a>,
    seq: Seq,
    rollup: Rollup,
    before: Before,
    /// Interest retention may keep nothing of it but the sequence.
    is_retained: bool,
}

impl Batches {
    pub fn new(limits: &BatchLimits) -> Self {
        Self { open: BTreeMap::new(), bytes: 0, limits: limits.clone() }
    }

    fn take(&mut self, id: &[u8]) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.bytes -= open.bytes;
        Some(open)
    }

    /// When the oldest is given up.
    pub fn due_at(&self) -> Mono {
        let since = self.open.values().map(|open| open.since).min();
        since.map_or(Mono::NEVER, |since| since.plus(self.limits.timeout.as_nanos() as u64))
    }

    pub fn memory(&self) -> usize {
        self.bytes
    }
}

impl Stream {
    /// A message of a batch: kept, or with all before it stored or refused.
    pub(super) fn take_batched(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Incoming<'_>,
        asks: &Directives<'_>,
        id: &[u8],
    ) -> Taken {
        if !self.config.allow_atomic {
            return Err(ApiError::atomic_publish_disabled());
        }
        if id.len() > BATCH_ID_BYTES_MAX {
            return Err(ApiError::atomic_publish_invalid_batch_id());
        }
        self.check_server(ctx)?;
        let place = asks.batch_sequence.and_then(number);
        let place = place.ok_or_else(ApiError::atomic_publish_missing_seq)?;
        if place != 1 && !self.batches.open.contains_key(id) {
            return Err(ApiError::atomic_publish_incomplete_batch());
        }
        let commit = match asks.batch_commit {
            None => None,
            Some(b"1") => Some(Commit::Here),
            Some(b"eob") => Some(Commit::Before),
            Some(_) => {
                self.batches.take(id);
                return Err(ApiError::atomic_publish_invalid_batch_commit());
            }
        };
        if !is_level_served(message.headers) {
            self.abandon(ctx, id, BatchFate::Unsupported);
            return Err(ApiError::required_api_level());
        }
        self.find_place(ctx, id, place)?;
        if commit == Some(Commit::Before) && place == 1 {
            self.batches.open.entry(id.into()).or_default();
            self.abandon(ctx, id, BatchFate::Incomplete);
            return Err(ApiError::atomic_publish_incomplete_batch());
        }
        let messages_max = self.batches.limits.max_messages as u64;
        let count = if commit == Some(Commit::Before) { place - 1 } else { place };
        let held = self.batches.open.get(id).map_or(0, |open| open.bytes);
        let len = message.subject.len() + message.headers.len() + message.payload.len();
        if count > messages_max
            || held + len > ATOMIC_BYTES_MAX
            || self.batches.bytes + len > BATCHES_BYTES_MAX
        {
            self.abandon(ctx, id, BatchFate::Large);
            return Err(ApiError::atomic_publish_too_large_batch(messages_max));
        }
        match commit {
            None => {
                self.keep_batched(ctx, id, message);
                Ok(Outcome::Kept)
            }
            Some(commit) => self.commit(ctx, id, message, commit),
        }
    }

    /// The first message opens a batch; every other must follow the one before.
    fn find_place(&mut self, ctx: &mut Context<'_>, id: &[u8], place: u64) -> Result<(), ApiError> {
        match self.batches.open.get(id) {
            Some(open) if place == open.messages.len() as u64 + 1 => Ok(()),
            Some(_) => {
                self.abandon(ctx, id, BatchFate::Incomplete);
                Err(ApiError::atomic_publish_incomplete_batch())
            }
            None if self.batches.open.len() >= self.batches.limits.max_inflight_per_stream => {
                Err(ApiError::atomic_publish_too_many_inflight())
            }
            None => Ok(()),
        }
    }

    fn keep_batched(&mut self, ctx: &mut Context<'_>, id: &[u8], message: &Incoming<'_>) {
        let kept = Kept::of(message);
        self.batches.bytes += kept.len();
        let open = self.batches.open.entry(id.into()).or_default();
        open.bytes += kept.len();
        open.messages.push(kept);
        open.since = ctx.now.mono;
    }

    fn commit(
        &mut self,
        ctx: &mut Context<'_>,
        id: &[u8],
        last: &Incoming<'_>,
        commit: Commit,
    ) -> Taken {
        let open = self.batches.take(id).unwrap_or_default();
        let mut messages: Vec<Incoming<'_>> = open.messages.iter().map(Kept::incoming).collect();
        let mut closing = Vec::new();
        match commit {
            Commit::Here => messages.push(*last),
            // The last one that is stored tells that the batch ends with it.
            Commit::Before => {
                if let Some(message) = messages.last_mut() {
                    closing.extend_from_slice(message.headers);
                    headers::append(&mut closing, "Nats-Batch-Commit", b"1");
                    message.headers = &closing;
                }
            }
        }
        let taken = self.store_all(ctx, &messages);
        let count = messages.len() as u64;
        match taken {
            Ok(Some(seq)) => {
                Ok(Outcome::Batch(seq, String::from_utf8_lossy(id).into_owned(), count))
            }
            Ok(None) => {
                // Decided again when what was missing has been read.
                self.batches.bytes += open.bytes;
                self.batches.open.insert(id.into(), Open { since: ctx.now.mono, ..open });
                Ok(Outcome::Wait)
            }
            Err(error) => Err(error),
        }
    }

    /// Stores messages all or none. `None`: something has to be read first.
    fn store_all(
        &mut self,
        ctx: &mut Context<'_>,
        messages: &[Incoming<'_>],
    ) -> Result<Option<Seq>, ApiError> {
        let raise = |message: &Incoming<'_>| {
            self.raised_ttl(message.headers, &Directives::read(message.headers))
        };
        let raised: Vec<Option<Vec<u8>>> = messages.iter().map(raise).collect();
        let headers_of = |at: usize| raised[at].as_deref().unwrap_or(messages[at].headers);
        let asks: Vec<Directives<'_>> =
            (0..messages.len()).map(|at| Directives::read(headers_of(at))).collect();
        let last_seq = self.store.last_seq(ctx.log.as_deref());
        let renamed: Vec<Option<Vec<u8>>> =
            messages.iter().map(|message| self.renamed(message.subject, last_seq)).collect();
        let mut staged = Staged::new();
        let mut totals = Vec::with_capacity(messages.len());
        let mut accepted = Vec::with_capacity(messages.len());
        let mut seq = last_seq;
        for (at, message) in messages.iter().enumerate() {
            let subject = renamed[at].as_deref().unwrap_or(message.subject);
            let (headers, payload) = (headers_of(at), message.payload);
            let candidate = Candidate { subject, headers, payload, asks: &asks[at] };
            seq = seq.next();
            let rollup = self.check_staged(ctx, &candidate, &staged)?;
            match self.count(ctx, &candidate, &totals)? {
                Counted::Not => {}
                Counted::To(total) => totals.push((subject, total)),
                Counted::Wait => return Ok(None),
            }
            let is_retained = self.retains(subject);
            let before = self.before(ctx, subject, rollup);
            let before = staged.before(before, subject);
            if is_retained {
                self.check_limits(ctx, &candidate, rollup, &staged)?;
            }
            let cost = self.store.cost(subject.len(), headers.len(), payload.len());
            staged.add(&candidate, seq, cost);
            accepted.push(Accepted { message: candidate, seq, rollup, before, is_retained });
        }
        self.append_all(ctx, accepted, &totals)?;
        Ok(Some(seq))
    }

    /// What a message of a batch may ask, on top of what any message may.
    fn check_staged(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        staged: &Staged,
    ) -> Result<Rollup, ApiError> {
        if message.asks.expected_last_msg_id.is_some() {
            let header = "Nats-Expected-Last-Msg-Id";
            return Err(ApiError::atomic_publish_unsupported_header_batch(header));
        }
        self.check(ctx, message, staged)?;
        if let Some(id) = message.asks.msg_id
            && (staged.ids.contains(id) || self.dedup.find(id, ctx.now.wall.0).is_some())
        {
            return Err(ApiError::atomic_publish_contains_duplicate_message());
        }
        let rollup = self.check_late(message)?;
        match rollup {
            Rollup::Subject if staged.has_subject(message.subject) => {
                Err(ApiError::stream_rollup_failed("batch rollup sub invalid"))
            }
            Rollup::All if staged.messages() > 0 => {
                Err(ApiError::stream_rollup_failed("batch rollup all invalid"))
            }
            rollup => Ok(rollup),
        }
    }

    fn append_all(
        &mut self,
        ctx: &mut Context<'_>,
        accepted: Vec<Accepted<'_>>,
        totals: &[(&[u8], Total)],
    ) -> Result<(), ApiError> {
        let time = self.last_time.max(ctx.now.wall.0);
        // Of a counter's messages each has a total, of others none.
        let rewritten: Vec<_> = accepted
            .iter()
            .enumerate()
            .map(|(at, accepted)| rewritten(&accepted.message, totals.get(at)))
            .collect();
        let mut accepted = accepted;
        for (accepted, (headers, body)) in accepted.iter_mut().zip(&rewritten) {
            let message = &mut accepted.message;
            message.headers = headers.as_deref().unwrap_or(message.headers);
            message.payload = body.as_deref().unwrap_or(message.payload);
        }
        let new: Vec<NewMessage<'_>> = accepted
            .iter()
            .filter(|accepted| accepted.is_retained)
            .map(|accepted| {
                let Candidate { subject, headers, payload, .. } = accepted.message;
                NewMessage { seq: accepted.seq, time, subject, headers, payload }
            })
            .collect();
        let now = ctx.now.mono;
        if !new.is_empty() {
            let log = ctx.log.as_deref_mut();
            let appended = self.store.append(log, &new, self.rules.urgency, now);
            self.appended = appended.map_err(refused)?;
        }
        let Some(last) = accepted.last().map(|accepted| accepted.seq) else { return Ok(()) };
        if self.store.last_seq(ctx.log.as_deref()) < last {
            let skipped = self.store.skip(ctx.log.as_deref_mut(), last, now);
            self.appended = skipped.map_err(refused)?;
        }
        self.last_time = time;
        for ((subject, total), accepted) in totals.iter().zip(accepted.iter()) {
            self.counters.learn(subject, accepted.seq, total.clone());
        }
        for accepted in accepted.iter() {
            self.follow(ctx, accepted, time);
        }
        Ok(())
    }

    fn follow(&mut self, ctx: &mut Context<'_>, accepted: &Accepted<'_>, time: u64) {
        let Accepted { message, seq, rollup, before, is_retained } = accepted;
        self.remember(message.subject, message.asks, *seq, time);
        if *is_retained {
            self.republish(ctx, before, *seq, time, message);
            self.displace(ctx, before, *rollup, message.subject, *seq);
        }
        self.end_schedule(ctx, message.asks, *seq);
    }

    fn abandon(&mut self, ctx: &mut Context<'_>, id: &[u8], reason: BatchFate) {
        if self.batches.take(id).is_none() {
            return;
        }
        let batch = String::from_utf8_lossy(id);
        let about = AboutStream { account: self.account, stream: &self.config.name };
        StreamAdvisory::BatchAbandoned { batch: &batch, reason }.publish(
            ctx.out,
            ctx.site,
            ctx.now.wall,
            about,
        );
    }

    /// Gives up batches that got nothing for long.
    pub(super) fn abandon_idle(&mut self, ctx: &mut Context<'_>) {
        while self.batches.due_at() <= ctx.now.mono {
            let oldest = self.batches.open.iter().min_by_key(|(_, open)| open.since);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else { return };
            self.abandon(ctx, &id, BatchFate::Timeout);
        }
    }
}

/// Headers and body as they are stored, where that is not as they came.
fn rewritten(
    message: &Candidate<'_>,
    total: Option<&(&[u8], Total)>,
) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    match total {
        Some((_, total)) => (Some(total.headers(message.headers)), Some(total.body())),
        None => (headers_of_schedule(message.asks, message.headers), None),
    }
}
