//! What a stream may hold, and what gives way (facts/jetstream-api.md §3, §4).
//!
//! A message that displaces others in a file stream is not on disk yet. Its victims stay until it
//! is, so that a reader finds one or the other at any time; meanwhile the limits count them as gone.

use std::collections::VecDeque;

use super::Stream;
use super::batch::Staged;
use super::intake::{Candidate, Rollup};
use super::recovery::Recovery;
use crate::jetstream::config::Discard;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::mutation::{self, Mutation};
use crate::storage::{Lsn, Refusal, Seq};
use crate::types::limits::REMOVAL_RETRY_NS;
use crate::types::{Mono, Pattern, Subject};

/// What a subject had before a message came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub last: Option<Seq>,
    pub count: u64,
}

/// Something to remove once the message `by` may be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Victim {
    /// And what it counts for.
    Message(Seq, u64),
    /// Everything of the subject before `by`.
    Subject(Box<[u8]>),
    /// Everything of the subjects a pattern covers before `by`.
    Pattern(Box<[u8]>),
    /// Everything before `by`.
    All,
}

/// Removals that wait, in the order of what they wait for.
#[derive(Debug, Default)]
pub(super) struct Removals {
    waiting: VecDeque<(Seq, Victim)>,
    /// Of the victims that are single messages.
    messages: u64,
    bytes: u64,
    scratch: Vec<Seq>,
    /// Messages whose removal the log refused, or of which is still being read what they tell of
    /// origins. Nothing else finds them again.
    owed: Vec<Seq>,
    /// When the log is asked again, which refused something.
    retry_at: Option<Mono>,
    /// The limits were lowered, or the stream was restored: all subjects are to be looked at.
    is_overdue: bool,
}

impl Stream {
    /// The server holds more than it may: nothing is stored until that has changed.
    pub(super) fn check_server(&self, ctx: &Context<'_>) -> Result<(), ApiError> {
        match ctx.ledger.is_exceeded(self.config.storage, &ctx.site.options) {
            true => Err(ApiError::insufficient_resources()),
            false => Ok(()),
        }
    }

    /// A stream that discards new messages refuses what has no room.
    pub(super) fn check_limits(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        rollup: Rollup,
        staged: &Staged,
    ) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        let Candidate { subject, headers, payload, .. } = *message;
        let rules = self.rules;
        let log = ctx.log.as_deref_mut();
        let mut displaced = None;
        if rules.messages_per_subject_max != u64::MAX {
            let held = self.store.count_of(log.as_deref(), subject) + staged.of_subject(subject);
            if held >= rules.messages_per_subject_max {
                // A rollup empties the subject.
                if self.config.discard_new_per_subject && rollup == Rollup::None {
                    return Err(full("maximum messages per subject exceeded"));
                }
                displaced = self.store.first_of(log, subject);
            }
        }
        let log = ctx.log.as_deref();
        let messages = self.store.messages(log) + staged.messages() - self.removals.messages;
        if displaced.is_none() && messages >= rules.messages_max {
            return Err(full("maximum messages exceeded"));
        }
        if rules.bytes_max == u64::MAX {
            return Ok(());
        }
        let cost = self.store.cost(subject.len(), headers.len(), payload.len());
        let gone = displaced.map_or(0, |seq| self.store.cost_of(log, seq));
        let bytes = self.store.bytes(log) + staged.bytes() - self.removals.bytes;
        // The message that goes makes room for one of its size, whatever else is free.
        if bytes.saturating_add(cost) > rules.bytes_max && cost > gone {
            return Err(full("maximum bytes exceeded"));
        }
        Ok(())
    }
}

fn is_literal(subject: &[u8]) -> bool {
    Subject::parse(subject).is_some_and(Subject::is_literal)
}

fn full(what: &'static str) -> ApiError {
    ApiError::stream_store_failed(what)
}

impl Stream {
    /// What the append of a message to this subject will have displaced.
    pub(super) fn before(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &[u8],
        rollup: Rollup,
    ) -> Before {
        if self.rules.messages_per_subject_max == u64::MAX
            && self.republish.is_none()
            && rollup != Rollup::Subject
        {
            return Before::default();
        }
        let last = self.store.last_appended(ctx.log.as_deref_mut(), subject);
        Before { last, count: self.store.count_of(ctx.log.as_deref(), subject) }
    }

    /// Notes what the message `by` displaces; a stream in memory removes it at once.
    pub(super) fn displace(
        &mut self,
        ctx: &mut Context<'_>,
        before: &Before,
        rollup: Rollup,
        subject: &[u8],
        by: Seq,
    ) {
        let more = u64::from(mutation::is(Mutation::SubjectLimitOff));
        let subject_max = self.rules.messages_per_subject_max.saturating_add(more);
        match rollup {
            // Published to a literal `*` or `>`, it rolls up all subjects these cover.
            Rollup::Subject if !is_literal(subject) => {
                self.removals.add(by, Victim::Pattern(subject.into()));
            }
            Rollup::Subject if before.count > 1 => {
                self.removals.add(by, Victim::Subject(subject.into()));
            }
            Rollup::Subject => self.displace_last(ctx, before, by),
            Rollup::All => self.removals.add(by, Victim::All),
            Rollup::None if before.count < subject_max => {}
            Rollup::None if subject_max == 1 => self.displace_last(ctx, before, by),
            Rollup::None => self.shorten(ctx, subject),
        }
        if self.store.visible_seq(ctx.log.as_deref()) >= by {
            self.make_room(ctx);
        }
    }

    /// All messages of a subject go once `by` may be seen.
    pub(super) fn remove_all_of(&mut self, ctx: &mut Context<'_>, subject: &[u8], by: Seq) {
        self.removals.add(by, Victim::Subject(subject.into()));
        if self.store.visible_seq(ctx.log.as_deref()) >= by {
            self.make_room(ctx);
        }
    }

    /// One message at most is left of the subject: the last.
    fn displace_last(&mut self, ctx: &mut Context<'_>, before: &Before, by: Seq) {
        if let Some(last) = before.last {
            let cost = self.store.cost_of(ctx.log.as_deref(), last);
            self.removals.add(by, Victim::Message(last, cost));
        }
    }

    /// Removes the oldest messages of a subject that has too many.
    fn shorten(&mut self, ctx: &mut Context<'_>, subject: &[u8]) {
        let over = self.store.count_of(ctx.log.as_deref(), subject);
        let over = over.saturating_sub(self.rules.messages_per_subject_max);
        let seqs = self.store.oldest_of(ctx.log.as_deref(), subject, over, Seq(u64::MAX));
        self.remove(ctx, &seqs);
    }

    /// Removes what visible messages displaced, and what is above the limits of the stream.
    pub(super) fn make_room(&mut self, ctx: &mut Context<'_>) {
        if !matches!(self.recovery, Recovery::Last | Recovery::Done) {
            // Rollups that a restart has still to find come first: they may be displaced themselves.
            return;
        }
        let visible = self.store.visible_seq(ctx.log.as_deref());
        self.remove_victims(ctx, visible);
        let rules = self.rules;
        if std::mem::take(&mut self.removals.is_overdue) {
            let seqs =
                self.store.above_per_subject(ctx.log.as_deref(), rules.messages_per_subject_max);
            self.remove(ctx, &seqs);
        }
        if self.config.discard == Discard::New
            || (rules.messages_max == u64::MAX && rules.bytes_max == u64::MAX)
        {
            return;
        }
        let log = ctx.log.as_deref();
        let first = self.store.first_seq(log);
        // What messages on their way displace counts no more.
        let messages = self.store.messages(log).saturating_sub(self.removals.messages);
        let bytes = self.store.bytes(log).saturating_sub(self.removals.bytes);
        let over_messages = messages.saturating_sub(rules.messages_max);
        let over_bytes = bytes.saturating_sub(rules.bytes_max);
        let (mut messages, mut bytes, mut end) = (0, 0, first);
        while (messages < over_messages || bytes < over_bytes)
            && let Some(seq) = self.store.next_any(log, end)
        {
            messages += 1;
            bytes += self.store.cost_of(log, seq);
            end = seq.next();
        }
        if end > first {
            self.keep_positions(ctx, end.previous());
            let removed = self.store.give_way_below(ctx.log.as_deref_mut(), end, ctx.now.mono);
            // The limits find them again.
            self.must_wait(removed, ctx.now.mono);
        }
    }

    /// Every subject is to be looked at: limits were lowered, or the stream was restored.
    pub(super) fn judge_all_subjects(&mut self) {
        self.removals.is_overdue = self.rules.messages_per_subject_max != u64::MAX;
    }

    /// Removes what messages up to `by` displaced.
    pub(super) fn remove_victims(&mut self, ctx: &mut Context<'_>, by: Seq) {
        let mut seqs = std::mem::take(&mut self.removals.scratch);
        while let Some((at, victim)) = self.removals.take_up_to(by) {
            if matches!(victim, Victim::Pattern(_) | Victim::All) {
                self.keep_positions(ctx, at.previous());
            }
            let log = ctx.log.as_deref_mut();
            let now = ctx.now.mono;
            let removed = match &victim {
                Victim::Message(seq, _) => {
                    seqs.push(*seq);
                    continue;
                }
                Victim::Subject(subject) => {
                    let log = log.as_deref();
                    seqs.extend(self.store.oldest_of(log, subject, u64::MAX, at));
                    continue;
                }
                Victim::Pattern(pattern) => {
                    let pattern = Pattern::parse(pattern);
                    self.store.purge(log, pattern, at, 0, now).map(|(_, at)| at)
                }
                Victim::All => self.store.give_way_below(log, at, now),
            };
            if self.must_wait(removed, now) {
                self.removals.waiting.push_front((at, victim));
                break;
            }
        }
        if !seqs.is_empty() {
            self.remove(ctx, &seqs);
        }
        seqs.clear();
        self.removals.scratch = seqs;
    }

    /// Removes what gave way. No answer waits until that is on disk.
    fn remove(&mut self, ctx: &mut Context<'_>, seqs: &[Seq]) {
        if let Some(&newest) = seqs.iter().max() {
            self.keep_positions(ctx, newest);
        }
        let removed = self.store.give_way(ctx.log.as_deref_mut(), seqs, ctx.now.mono);
        if self.must_wait(removed, ctx.now.mono) {
            self.owe_removals(seqs);
        }
    }

    /// Whether the log refuses a removal for now, because it is behind or its disk is full. It is
    /// asked again soon.
    pub(super) fn must_wait(&mut self, removed: Result<Lsn, Refusal>, now: Mono) -> bool {
        let must_wait = matches!(removed, Err(Refusal::Behind | Refusal::NoSpace));
        if must_wait {
            self.removals.retry_at = Some(now.plus(REMOVAL_RETRY_NS));
        }
        must_wait
    }

    /// These are still to be removed.
    pub(super) fn owe_removals(&mut self, seqs: &[Seq]) {
        self.removals.owed.extend_from_slice(seqs);
    }

    /// Messages wait to be removed that consumers were done with: what these write of themselves has
    /// to come behind that in the log, or after a crash nobody knew that they are to go.
    pub fn owes_removals(&self) -> bool {
        !self.removals.owed.is_empty()
    }

    /// Asks the log again, if it is time.
    pub(super) fn retry_removals(&mut self, ctx: &mut Context<'_>) {
        if self.removals.retry_at.is_some_and(|at| at <= ctx.now.mono) {
            self.removals.retry_at = None;
            self.make_room(ctx);
            self.remove_owed(ctx);
        }
    }

    /// Removes what was owed.
    pub(super) fn remove_owed(&mut self, ctx: &mut Context<'_>) {
        let seqs = std::mem::take(&mut self.removals.owed);
        if !seqs.is_empty() {
            self.remove_acked(ctx, &seqs);
        }
    }
}

impl Removals {
    /// What the rollup `by` displaces goes once `by` may be seen: a crash may have come before.
    pub(super) fn roll_up(&mut self, rollup: Rollup, subject: &[u8], by: Seq) {
        match rollup {
            Rollup::None => {}
            Rollup::All => self.add(by, Victim::All),
            Rollup::Subject if is_literal(subject) => {
                self.add(by, Victim::Subject(subject.into()));
            }
            Rollup::Subject => self.add(by, Victim::Pattern(subject.into())),
        }
    }

    fn add(&mut self, by: Seq, victim: Victim) {
        if let Victim::Message(_, cost) = victim {
            self.messages += 1;
            self.bytes += cost;
        }
        self.waiting.push_back((by, victim));
    }

    /// When what the log refused is tried again.
    pub(super) fn retry_at(&self) -> Mono {
        self.retry_at.unwrap_or(Mono::NEVER)
    }

    fn take_up_to(&mut self, by: Seq) -> Option<(Seq, Victim)> {
        let taken = self.waiting.pop_front_if(|(at, _)| *at <= by)?;
        if let Victim::Message(_, cost) = taken.1 {
            self.messages -= 1;
            self.bytes -= cost;
        }
        Some(taken)
    }

    /// Down the chain of what displaces what: the first message up to `visible`.
    pub(super) fn displaced_by(&self, by: Seq, visible: Seq) -> Option<Seq> {
        let mut by = by;
        while by > visible {
            let at = self.waiting.binary_search_by_key(&by, |(by, _)| *by).ok()?;
            match self.waiting.get(at) {
                Some((_, Victim::Message(seq, _))) => by = *seq,
                _ => return None,
            }
        }
        Some(by)
    }
}
