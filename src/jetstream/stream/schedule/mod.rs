//! Messages that make others, once or again and again (facts/jetstream-api.md §7).

mod cron;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};

use super::Stream;
use super::access::Wanted;
use super::directives::Directives;
use super::intake::{Candidate, Outcome, Rollup};
use super::ttl::Ttl;
use crate::jetstream::config::Moment;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::jetstream::store::{Fetch, Scan};
use crate::storage::Seq;
use crate::types::limits::{
    SCHEDULE_REFUSED_NS, SCHEDULE_RETRY_NS, SCHEDULES_TICK, STREAM_TICK_MESSAGES,
};
use crate::types::pattern::covers;
use crate::types::{Subject, Wall, rfc3339};

use pattern::{Pattern, time_zone};

/// What a message says that cancels a schedule, or that ends one.
const PURGE: &[u8] = b"purge";

/// The schedules of a stream, one a subject. Times are nanoseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_subject: BTreeMap<Box<[u8]>, Entry>,
    due: BTreeSet<(u64, Box<[u8]>)>,
    /// The log took nothing, or a read is under way: no attempt before this.
    not_before: u64,
    /// The last attempt ended at a read.
    is_reading: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The message that says it.
    seq: Seq,
    due: u64,
}

impl Schedules {
    /// A message was stored or found: a schedule, the end of one, or what one made.
    pub fn note(&mut self, subject: &[u8], seq: Seq, time: u64, asks: &Directives<'_>) {
        self.forget(subject);
        if let Some(text) = asks.schedule
            && let Ok(pattern) = Pattern::parse(text, asks.schedule_time_zone)
            && let Some(due) = pattern.next(Wall(time))
        {
            self.by_subject.insert(subject.into(), Entry { seq, due: due.0 });
            self.due.insert((due.0, subject.into()));
        }
        let (Some(scheduler), Some(next)) = (asks.scheduler, asks.schedule_next) else { return };
        if next == PURGE {
            return self.forget(scheduler);
        }
        if let Ok(next) = std::str::from_utf8(next)
            && let Ok(next) = Moment::parse(next)
        {
            self.put_off(scheduler, next.wall().0);
        }
    }

    pub fn due_at(&self) -> Option<u64> {
        self.due.first().map(|(due, _)| (*due).max(self.not_before))
    }

    pub fn is_reading(&self) -> bool {
        self.is_reading
    }

    fn forget(&mut self, subject: &[u8]) {
        if let Some(entry) = self.by_subject.remove(subject) {
            self.due.remove(&(entry.due, subject.into()));
        }
    }

    fn put_off(&mut self, subject: &[u8], due: u64) {
        let Some(entry) = self.by_subject.get_mut(subject) else { return };
        self.due.remove(&(entry.due, subject.into()));
        entry.due = due;
        self.due.insert((due, subject.into()));
    }
}

impl Stream {
    /// What a message says of schedules, on top of what else it asks.
    pub(super) fn check_schedule(&self, message: &Candidate<'_>) -> Result<(), ApiError> {
        let asks = message.asks;
        let is_enabled = self.config.allow_msg_schedules;
        if let Some(error) = asks.schedule_time_zone.and_then(|zone| time_zone(zone).err()) {
            return Err(if is_enabled { error } else { ApiError::message_schedules_disabled() });
        }
        if let Some(text) = asks.schedule {
            if !is_enabled {
                return Err(ApiError::message_schedules_disabled());
            }
            let pattern = Pattern::parse(text, asks.schedule_time_zone)?;
            if pattern.next(self.seen.wall).is_none() {
                return Err(ApiError::message_schedules_pattern_invalid());
            }
            self.check_schedule_parts(message.subject, asks)?;
        }
        if asks.scheduler.is_none() && asks.schedule_next.is_none() {
            return Ok(());
        }
        let is_end = asks.schedule_next == Some(PURGE);
        let is_other = |scheduler: &[u8]| is_literal(scheduler) && scheduler != message.subject;
        match asks.scheduler.is_some_and(is_other) && is_end {
            true if is_enabled => Ok(()),
            true => Err(ApiError::message_schedules_disabled()),
            false => Err(ApiError::message_schedules_scheduler_invalid()),
        }
    }

    fn check_schedule_parts(&self, subject: &[u8], asks: &Directives<'_>) -> Result<(), ApiError> {
        let is_bad = |rollup: Option<&[u8]>| rollup.is_some_and(|rollup| rollup != b"sub");
        let source_invalid = ApiError::message_schedules_source_invalid;
        if asks.schedule_ttl.is_some_and(|ttl| Ttl::parse(ttl).is_err()) {
            return Err(ApiError::message_schedules_ttl_invalid());
        }
        if is_bad(asks.schedule_rollup) {
            return Err(ApiError::message_schedules_rollup_invalid());
        }
        if asks.schedule_ttl.is_some() && !self.config.allow_msg_ttl {
            return Err(ApiError::message_ttl_disabled());
        }
        let is_other = |other: &[u8]| is_literal(other) && other != subject;
        let target = asks.schedule_target.filter(|target| is_other(target));
        let target = target.ok_or_else(ApiError::message_schedules_target_invalid)?;
        if asks.schedule_source.is_some_and(|source| !is_other(source) || source == target) {
            return Err(source_invalid());
        }
        let is_own =
            |other: &[u8]| self.config.subjects.iter().any(|own| covers(own.as_bytes(), other));
        if !is_own(target) {
            return Err(ApiError::message_schedules_target_invalid());
        }
        if asks.schedule_source.is_some_and(|source| !is_own(source)) {
            return Err(source_invalid());
        }
        if is_bad(asks.rollup) {
            return Err(ApiError::message_schedules_rollup_invalid());
        }
        Ok(())
    }

    /// Obeys the schedules that are due, a bounded number of them.
    pub(super) fn obey_schedules(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now.wall.0;
        if std::mem::take(&mut self.schedules.is_reading) {
            self.schedules.not_before = 0;
        }
        for _ in 0..SCHEDULES_TICK {
            if self.schedules.due_at().is_none_or(|due| due > now) {
                return;
            }
            let Some((_, subject)) = self.schedules.due.first().cloned() else { return };
            if !self.obey(ctx, &subject) {
                self.schedules.not_before = now.saturating_add(SCHEDULE_RETRY_NS);
                return;
            }
        }
    }

    /// False: it has to be tried again.
    fn obey(&mut self, ctx: &mut Context<'_>, subject: &[u8]) -> bool {
        let Some(entry) = self.schedules.by_subject.get(subject).copied() else { return true };
        if !self.store.holds(ctx.log.as_deref(), entry.seq) {
            self.schedules.forget(subject);
            return true;
        }
        let (block, body) = match self.store.fetch(ctx.log.as_deref_mut(), entry.seq) {
            Fetch::Here(stored) => (stored.headers.to_vec(), stored.payload.to_vec()),
            Fetch::Wait => {
                self.schedules.is_reading = true;
                return false;
            }
            // Not visible yet.
            Fetch::Gone => return false,
            Fetch::Broken(_) => {
                self.schedules.forget(subject);
                return true;
            }
        };
        let asks = Directives::read(&block);
        let (Some(target), Some(Ok(pattern))) = (
            asks.schedule_target,
            asks.schedule.map(|text| Pattern::parse(text, asks.schedule_time_zone)),
        ) else {
            self.schedules.forget(subject);
            return true;
        };
        let (base, payload) = match asks.schedule_source {
            Some(source) => match self.copy_of_last(ctx, source) {
                Sourced::Copied(block, body) => (block, body),
                Sourced::None => (block.clone(), body),
                Sourced::Wait => {
                    self.schedules.is_reading = true;
                    return false;
                }
            },
            None => (block.clone(), body),
        };
        let next = if pattern.is_single() { None } else { pattern.next(ctx.now.wall) };
        let made = headers_of_made(base, subject, next, &asks);
        self.make(ctx, subject, target, (&made, &payload))
    }

    fn copy_of_last(&mut self, ctx: &mut Context<'_>, subject: &[u8]) -> Sourced {
        let mut wanted = Wanted::Last(subject.into());
        let mut budget = STREAM_TICK_MESSAGES;
        let Scan::Found(seq) = self.find(ctx, &mut wanted, &mut budget) else {
            return Sourced::None;
        };
        match self.store.fetch(ctx.log.as_deref_mut(), seq) {
            Fetch::Here(stored) => {
                Sourced::Copied(stored.headers.to_vec(), stored.payload.to_vec())
            }
            Fetch::Wait => Sourced::Wait,
            Fetch::Gone | Fetch::Broken(_) => Sourced::None,
        }
    }

    /// Stores what a schedule makes. Where the stream or the log refuses it, others have their turn.
    fn make(
        &mut self,
        ctx: &mut Context<'_>,
        scheduler: &[u8],
        target: &[u8],
        (block, body): (&[u8], &[u8]),
    ) -> bool {
        let asks = Directives::read(block);
        let rollup = if asks.rollup.is_some() { Rollup::Subject } else { Rollup::None };
        let message = Candidate { subject: target, headers: block, payload: body, asks: &asks };
        match self.store_checked(ctx, &message, rollup) {
            Ok(Outcome::Wait) => return false,
            Ok(_) => {}
            Err(_) => {
                let later = ctx.now.wall.0.saturating_add(SCHEDULE_REFUSED_NS);
                self.schedules.put_off(scheduler, later);
            }
        }
        true
    }

    /// A message may end a schedule: the one it was made by, or one that is to be cancelled.
    pub(super) fn end_schedule(&mut self, ctx: &mut Context<'_>, asks: &Directives<'_>, by: Seq) {
        if !self.config.allow_msg_schedules || asks.schedule_next != Some(PURGE) {
            return;
        }
        if let Some(scheduler) = asks.scheduler {
            self.schedules.forget(scheduler);
            self.remove_all_of(ctx, scheduler, by);
        }
    }
}

/// A schedule replaces the one before on its subject, and says so. `None`: it does already, or is
/// none.
pub(super) fn headers_of_schedule(asks: &Directives<'_>, block: &[u8]) -> Option<Vec<u8>> {
    if asks.schedule.is_none() || asks.rollup.is_some() {
        return None;
    }
    let mut block = block.to_vec();
    headers::append(&mut block, "Nats-Rollup", b"sub");
    Some(block)
}

enum Sourced {
    Copied(Vec<u8>, Vec<u8>),
    None,
    Wait,
}

/// The user's headers, and who made the message and when the next one comes.
fn headers_of_made(
    base: Vec<u8>,
    scheduler: &[u8],
    next: Option<Wall>,
    asks: &Directives<'_>,
) -> Vec<u8> {
    let mut block = base;
    headers::retain(&mut block, |name| !name.starts_with(b"Nats-"));
    headers::append(&mut block, "Nats-Scheduler", scheduler);
    match next {
        Some(next) => headers::append(&mut block, "Nats-Schedule-Next", rfc3339(next).as_bytes()),
        None => headers::append(&mut block, "Nats-Schedule-Next", PURGE),
    }
    if let Some(ttl) = asks.schedule_ttl {
        headers::append(&mut block, "Nats-TTL", ttl);
    }
    if asks.schedule_rollup.is_some() {
        headers::append(&mut block, "Nats-Rollup", b"sub");
    }
    block
}

fn is_literal(subject: &[u8]) -> bool {
    Subject::parse(subject).is_some_and(Subject::is_literal)
}
