//! What a publish does: the checks in the reference's order (facts/jetstream-api.md §4), the
//! append, and what follows from it.

use super::Stream;
use super::batch::{NOTHING, Staged};
use super::counter::Counted;
use super::directives::Directives;
use super::fast_batch::is_fast;
use super::recovery::Recovery;
use super::schedule::headers_of_schedule;
use super::ttl::Ttl;
use crate::jetstream::config::{PersistMode, Retention, Storage, StreamConfig};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::info::PubAck;
use crate::jetstream::mutation::{self, Mutation};
use crate::jetstream::outbox::{Outgoing, Timed};
use crate::jetstream::store::NewMessage;
use crate::storage::{Health, Log, Lsn, Refusal, Seq, Urgency};
use crate::types::limits::STORED_HEADER_BYTES_MAX;

/// A publish as the shard received it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Incoming<'a> {
    pub subject: &'a [u8],
    /// Empty: nobody wants an answer.
    pub reply: &'a [u8],
    /// The whole block, or empty.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// A message that is about to be stored, with what its headers ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub subject: &'a [u8],
    pub headers: &'a [u8],
    pub payload: &'a [u8],
    pub asks: &'a Directives<'a>,
}

/// Where a message is stored, and when it was, in nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub seq: Seq,
    pub time: u64,
}

/// What became of a publish that was not refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    Stored(Seq),
    Duplicate(Seq),
    /// A counter's value after it.
    Counted(Seq, String),
    /// A batch's last message, its id, and how many it had.
    Batch(Seq, String, u64),
    /// Kept with its batch.
    Kept,
    /// Whoever has to know was told.
    Told,
    /// Nothing yet: a message has to be read first. Nothing was changed.
    Wait,
}

/// What else a stored message does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rollup {
    None,
    Subject,
    All,
}

impl Stream {
    /// Takes a message in: stores it or refuses it, and answers.
    pub fn publish(&mut self, ctx: &mut Context<'_>, message: &Incoming<'_>) {
        self.seen = ctx.now;
        let must_wait = self.recovery != Recovery::Done || !self.waiting.is_empty();
        if must_wait || self.is_behind(ctx, message) || !self.decide(ctx, message) {
            self.wait(ctx, message);
        }
    }

    /// The disk has to catch up first.
    pub(super) fn is_behind(&self, ctx: &mut Context<'_>, message: &Incoming<'_>) -> bool {
        let len = message.subject.len() + message.headers.len() + message.payload.len();
        match ctx.log.as_deref_mut() {
            Some(log) if self.config.storage == Storage::File => log.is_behind(len),
            _ => false,
        }
    }

    /// False: something has to be read first.
    pub(super) fn decide(&mut self, ctx: &mut Context<'_>, message: &Incoming<'_>) -> bool {
        let result = self.take_in(ctx, message);
        if let Ok(Outcome::Wait) = result {
            return false;
        }
        self.answer(ctx, message.reply, &result);
        true
    }

    fn take_in(&mut self, ctx: &mut Context<'_>, message: &Incoming<'_>) -> Taken {
        if self.config.sealed {
            return Err(ApiError::stream_sealed());
        }
        if message.headers.len() + message.payload.len() > self.rules.message_bytes_max {
            return Err(ApiError::stream_message_exceeds_maximum());
        }
        let asks = match message.headers.is_empty() {
            true => Directives::default(),
            false => Directives::read(message.headers),
        };
        if is_fast(message.reply) {
            return self.take_fast(ctx, message, &asks);
        }
        match asks.batch_id {
            Some(id) => self.take_batched(ctx, message, &asks, id),
            None => self.take_single(ctx, message, &asks),
        }
    }

    /// A message by itself.
    pub(super) fn take_single(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Incoming<'_>,
        asks: &Directives<'_>,
    ) -> Taken {
        let last_seq = self.store.last_seq(ctx.log.as_deref());
        let renamed = self.renamed(message.subject, last_seq);
        let subject = renamed.as_deref().unwrap_or(message.subject);
        let Incoming { headers, payload, .. } = *message;
        let candidate = Candidate { subject, headers, payload, asks };
        self.check(ctx, &candidate, &NOTHING)?;
        if let Some(id) = asks.msg_id
            && let Some(seq) = self.dedup.find(id, ctx.now.wall.0)
        {
            return Ok(Outcome::Duplicate(seq));
        }
        let rollup = self.check_late(&candidate)?;
        self.store_checked(ctx, &candidate, rollup)
    }

    /// Everything that is looked at before the duplicate window.
    pub(super) fn check(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        staged: &Staged,
    ) -> Result<(), ApiError> {
        let asks = message.asks;
        if message.headers.is_empty() && !self.config.allow_msg_counter {
            return Ok(());
        }
        if message.headers.len() > STORED_HEADER_BYTES_MAX {
            return Err(ApiError::stream_header_exceeds_maximum());
        }
        self.check_counting(message)?;
        self.check_expected_stream(asks)?;
        if asks.ttl.is_some_and(|ttl| Ttl::parse(ttl).is_ok()) && !self.config.allow_msg_ttl {
            return Err(ApiError::message_ttl_disabled());
        }
        self.check_expected_sequences(ctx, message, staged)?;
        self.check_schedule(message)?;
        if asks.stream_source.is_some() {
            return Err(ApiError::message_source_hdr_not_allowed());
        }
        Ok(())
    }

    /// What is looked at behind the duplicate window.
    pub(super) fn check_late(&mut self, message: &Candidate<'_>) -> Result<Rollup, ApiError> {
        let asks = message.asks;
        self.check_expected_last_msg_id(asks)?;
        let rollup = rollup_of(&self.config, asks)?;
        if asks.increment.is_none() && self.config.allow_msg_counter {
            return Err(ApiError::message_incr_missing());
        }
        if asks.ttl.is_some_and(|ttl| Ttl::parse(ttl).is_err()) {
            return Err(ApiError::message_ttl_invalid());
        }
        if asks.msg_id.is_some() && self.dedup.is_full() {
            return Err(ApiError::stream_too_many_requests());
        }
        Ok(rollup)
    }

    /// Stores a message that passed all checks but those of the limits.
    pub(super) fn store_checked(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        rollup: Rollup,
    ) -> Taken {
        if !self.retains(message.subject) {
            return self.skip(ctx, message);
        }
        self.check_server(ctx)?;
        self.check_limits(ctx, message, rollup, &NOTHING)?;
        if let Some(headers) = headers_of_schedule(message.asks, message.headers) {
            let schedule = Candidate { headers: &headers, ..*message };
            return self.append(ctx, &schedule, rollup).map(Outcome::Stored);
        }
        let total = match self.count(ctx, message, &[])? {
            Counted::Not => return self.append(ctx, message, rollup).map(Outcome::Stored),
            Counted::To(total) => total,
            Counted::Wait => return Ok(Outcome::Wait),
        };
        let (headers, body) = (total.headers(message.headers), total.body());
        let counted = Candidate { headers: &headers, payload: &body, ..*message };
        let seq = self.append(ctx, &counted, rollup)?;
        let value = total.value();
        self.counters.learn(message.subject, seq, total);
        Ok(Outcome::Counted(seq, value))
    }

    /// What a subject becomes on the way in, if it changes.
    pub(super) fn renamed(&self, subject: &[u8], chance: Seq) -> Option<Vec<u8>> {
        let rule = self.transform.as_ref().filter(|rule| rule.covers(subject))?;
        let mut renamed = Vec::with_capacity(subject.len());
        rule.apply(subject, chance.0, &mut renamed);
        Some(renamed)
    }

    /// Appends, and does what follows from it. Nothing is refused behind the append.
    pub(super) fn append(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        rollup: Rollup,
    ) -> Result<Seq, ApiError> {
        let place = self.next_place(ctx);
        self.append_at(ctx, message, rollup, place)?;
        Ok(place.seq)
    }

    /// Behind the last message, now.
    pub(super) fn next_place(&self, ctx: &Context<'_>) -> Place {
        let seq = self.store.last_seq(ctx.log.as_deref()).next();
        Place { seq, time: self.last_time.max(ctx.now.wall.0) }
    }

    /// [`Stream::append`] at a place behind the last message, before which some may be left out.
    pub(super) fn append_at(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        rollup: Rollup,
        place: Place,
    ) -> Result<(), ApiError> {
        let raised = self.raised_ttl(message.headers, message.asks);
        let headers = raised.as_deref().unwrap_or(message.headers);
        let ttl = raised.as_deref().map_or(message.asks.ttl, |block| Directives::read(block).ttl);
        let asks = &Directives { ttl, ..*message.asks };
        let message = &Candidate { headers, asks, ..*message };
        let Candidate { subject, payload, .. } = *message;
        let Place { seq, time } = place;
        let before = self.before(ctx, subject, rollup);
        let new = NewMessage { seq, time, subject, headers, payload };
        let log = ctx.log.as_deref_mut();
        let appended = self.store.append(log, &[new], self.rules.urgency, ctx.now.mono);
        self.appended = appended.map_err(refused)?;
        self.last_time = time;
        self.remember(subject, asks, seq, time);
        self.republish(ctx, &before, seq, time, message);
        self.displace(ctx, &before, rollup, subject, seq);
        self.end_schedule(ctx, asks, seq);
        Ok(())
    }

    /// What later publishes and expiry need to know of a stored message.
    pub(super) fn remember(&mut self, subject: &[u8], asks: &Directives<'_>, seq: Seq, time: u64) {
        self.last_msg_id.set(asks.msg_id);
        if let Some(id) = asks.msg_id {
            self.dedup.insert(id, seq, time);
        }
        if self.config.allow_msg_ttl {
            self.expiry.note(seq, time, asks);
        }
        if self.config.allow_msg_schedules {
            self.schedules.note(subject, seq, time, asks);
        }
        self.expiry.note_age(time, self.config.max_age.ns());
    }

    /// Interest retention, and nobody is interested: only the sequence moves on.
    fn skip(&mut self, ctx: &mut Context<'_>, message: &Candidate<'_>) -> Taken {
        let place = self.next_place(ctx);
        self.skip_to(ctx, message, place)?;
        Ok(Outcome::Stored(place.seq))
    }

    /// The place of a message that is not kept.
    pub(super) fn skip_to(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        Place { seq, time }: Place,
    ) -> Result<(), ApiError> {
        let skipped = self.store.skip(ctx.log.as_deref_mut(), seq, ctx.now.mono);
        self.appended = skipped.map_err(refused)?;
        self.last_time = time;
        self.remember(message.subject, message.asks, seq, time);
        self.end_schedule(ctx, message.asks, seq);
        Ok(())
    }

    pub(super) fn answer(&mut self, ctx: &mut Context<'_>, reply: &[u8], result: &Taken) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        let is_poisoned = matches!(log_health(ctx), Some(Health::Poisoned(_)));
        let failed;
        let result = if is_poisoned && !self.outlives_log(ctx, result) {
            failed = Err(refused(Refusal::Poisoned));
            &failed
        } else {
            result
        };
        self.answer.clear();
        let mut ack = PubAck::default();
        match result {
            Ok(Outcome::Stored(seq)) => ack.seq = seq.0,
            Ok(Outcome::Duplicate(seq)) => (ack.seq, ack.duplicate) = (seq.0, true),
            Ok(Outcome::Counted(seq, value)) => (ack.seq, ack.value) = (seq.0, Some(&**value)),
            Ok(Outcome::Batch(seq, id, count)) => {
                (ack.seq, ack.batch) = (seq.0, Some((&**id, *count)));
            }
            Ok(Outcome::Kept) => {
                return ctx.out.publish(self.account, Outgoing::plain(reply, b""));
            }
            Ok(Outcome::Told) => return,
            Ok(Outcome::Wait) | Err(_) => {}
        }
        match result {
            Ok(_) => self.acks.write(&mut self.answer, &ack),
            Err(error) => self.acks.refuse(&mut self.answer, error),
        }
        // A log that failed settles nothing any more.
        let is_early = is_poisoned || mutation::is(Mutation::AckedEarly);
        let at = if is_early { Lsn(0) } else { self.rules.settle(self.appended) };
        let timed = Timed::Publish(ctx.now.mono);
        ctx.out.publish_timed(self.account, at, Outgoing::plain(reply, &self.answer), timed);
    }

    /// An answer holds although the log has failed: all that the stream knows is on the disk. What
    /// a publish is a duplicate of, or comes behind, may be lost otherwise, and who tries again
    /// must not be told that it is there.
    fn outlives_log(&self, ctx: &Context<'_>, result: &Taken) -> bool {
        let is_settled = |log: &Log| self.appended <= log.settled();
        match result {
            Ok(Outcome::Kept | Outcome::Told | Outcome::Wait) => true,
            Ok(_) | Err(_) => ctx.log.as_deref().is_none_or(is_settled),
        }
    }

    /// Too much waits already: the publisher should come again.
    pub fn refuse_for_now(&mut self, ctx: &mut Context<'_>, reply: &[u8]) {
        self.answer(ctx, reply, &Err(ApiError::stream_too_many_requests()));
    }

    /// Whether a message is kept at all: interest retention keeps what a consumer wants.
    pub fn retains(&self, subject: &[u8]) -> bool {
        self.config.retention != Retention::Interest
            || self.interest.iter().any(|filter| filter.matches(subject))
    }
}

/// What a message asks to be rolled up, if the stream allows that.
pub(super) fn rollup_of(config: &StreamConfig, asks: &Directives<'_>) -> Result<Rollup, ApiError> {
    let Some(value) = asks.rollup else {
        let replaces = asks.schedule.is_some() && !asks.has_empty_rollup;
        return Ok(if replaces { Rollup::Subject } else { Rollup::None });
    };
    if !config.allow_rollup_hdrs || config.deny_purge {
        return Err(ApiError::stream_rollup_failed("rollup not permitted"));
    }
    match value {
        value if value.eq_ignore_ascii_case(b"sub") => Ok(Rollup::Subject),
        value if value.eq_ignore_ascii_case(b"all") => Ok(Rollup::All),
        value => {
            let value = String::from_utf8_lossy(value);
            Err(ApiError::stream_rollup_failed(format_args!("rollup value invalid: {value:?}")))
        }
    }
}

fn log_health(ctx: &Context<'_>) -> Option<Health> {
    ctx.log.as_ref().map(|log| log.health())
}

pub(super) type Taken = Result<Outcome, ApiError>;

/// What of the configuration a publish looks at, ready to be compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Headers and payload of one message.
    pub message_bytes_max: usize,
    pub messages_max: u64,
    pub bytes_max: u64,
    pub messages_per_subject_max: u64,
    pub urgency: Urgency,
    answers_at_once: bool,
}

impl Rules {
    pub fn of(config: &StreamConfig) -> Self {
        let limit = |value: i64| if value > 0 { value as u64 } else { u64::MAX };
        Self {
            message_bytes_max: usize::try_from(config.max_msg_size).unwrap_or(usize::MAX),
            messages_max: limit(config.max_msgs),
            bytes_max: limit(config.max_bytes),
            messages_per_subject_max: limit(config.max_msgs_per_subject),
            urgency: Urgency::Now,
            answers_at_once: config.persist_mode == PersistMode::Async,
        }
    }

    /// What an answer waits for that rests on `appended`.
    pub fn settle(self, appended: Lsn) -> Lsn {
        if self.answers_at_once { Lsn(0) } else { appended }
    }
}

/// The answer to a publish that the log does not take.
pub(super) fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Behind => ApiError::stream_too_many_requests(),
        Refusal::NoSpace => ApiError::storage_resources_exceeded(),
        Refusal::TooLarge => ApiError::stream_message_exceeds_maximum(),
        Refusal::Poisoned => ApiError::stream_store_failed("the log can not be written to"),
        Refusal::Starting | Refusal::NotFound => {
            ApiError::stream_store_failed("the log is not ready")
        }
    }
}
