//! What ends by itself: `max_age`, messages with a TTL, and the markers that tell of the last
//! message of a subject (facts/jetstream-api.md §13).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::Stream;
use super::directives::Directives;
use super::intake::{Candidate, Rollup};
use super::ttl::Ttl;
use crate::jetstream::context::Context;
use crate::jetstream::headers;
use crate::jetstream::store::{Fetch, SeekTime};
use crate::storage::Seq;
use crate::types::limits::{EXPIRY_PAUSE_NS, STREAM_TICK_MESSAGES};
use crate::types::time::{self, SECOND};

/// When messages end. Times are nanoseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    /// Of messages with a TTL, those deleted meanwhile too: 16 bytes each.
    deadlines: BinaryHeap<Reverse<(u64, Seq)>>,
    /// Messages whose TTL is `never`: `max_age` passes them over.
    lasting: BTreeSet<Seq>,
    /// Whatever is before it has been looked at for its age.
    looked_up_to: Seq,
    /// When the oldest message may have reached its age; `None`: not known to have one.
    oldest_ends_at: Option<u64>,
    /// No look before this.
    not_before: u64,
    /// The last look ended at a read.
    is_reading: bool,
}

/// What a look at the messages came to.
enum Look {
    Done,
    /// A read is under way, or the budget was used up.
    Again,
}

impl Expiry {
    /// A message was stored or found.
    pub fn note(&mut self, seq: Seq, time: u64, asks: &Directives<'_>) {
        match asks.ttl.map(Ttl::parse) {
            Some(Ok(Ttl::Never)) => drop(self.lasting.insert(seq)),
            Some(Ok(ttl)) => {
                self.deadlines.extend(ttl.deadline(time).map(|at| Reverse((at, seq))));
            }
            Some(Err(_)) | None => {}
        }
    }

    /// A message came to a stream that may have been empty.
    pub fn note_age(&mut self, time: u64, max_age_ns: u64) {
        if max_age_ns > 0 && self.oldest_ends_at.is_none() {
            self.oldest_ends_at = Some(time.saturating_add(max_age_ns));
        }
    }

    /// The age was changed, or the stream was restored: look as soon as possible.
    pub fn look_again(&mut self) {
        self.oldest_ends_at = Some(0);
        self.looked_up_to = Seq(0);
    }

    /// When there may be something to remove, in nanoseconds since 1970.
    pub fn due_at(&self) -> Option<u64> {
        let first = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let due = first.into_iter().chain(self.oldest_ends_at).min()?;
        Some(due.max(self.not_before))
    }

    pub fn is_reading(&self) -> bool {
        self.is_reading
    }

    pub fn memory(&self) -> usize {
        self.deadlines.capacity() * 16 + self.lasting.len() * 16
    }
}

impl Stream {
    /// Removes what has outlived its time, a bounded number at a time.
    pub(super) fn expire(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now.wall.0;
        if std::mem::take(&mut self.expiry.is_reading) {
            self.expiry.not_before = 0;
        }
        if self.expiry.due_at().is_none_or(|due| due > now) {
            return;
        }
        self.remove_victims(ctx, Seq(u64::MAX));
        self.expiry.not_before = now.saturating_add(EXPIRY_PAUSE_NS);
        let mut budget = STREAM_TICK_MESSAGES;
        let mut ended = Vec::new();
        self.collect_deadlines(ctx, &mut budget, &mut ended);
        self.collect_aged(ctx, &mut budget, &mut ended);
        if let Some(&newest) = ended.iter().max() {
            self.keep_positions(ctx, newest);
            self.store.note_displaced(ctx.log.as_deref(), &ended);
            let log = ctx.log.as_deref_mut();
            let removed = self.store.delete(log, &ended, false, ctx.now.mono);
            if self.must_wait(removed, ctx.now.mono) {
                self.owe_removals(&ended);
            }
        }
    }

    fn collect_deadlines(
        &mut self,
        ctx: &mut Context<'_>,
        budget: &mut usize,
        ended: &mut Vec<Seq>,
    ) {
        while let Some(&Reverse((at, seq))) = self.expiry.deadlines.peek() {
            if at > ctx.now.wall.0 || *budget == 0 {
                return;
            }
            *budget -= 1;
            if self.store.holds(ctx.log.as_deref(), seq) {
                match self.leave(ctx, seq) {
                    Leaving::Goes => ended.push(seq),
                    Leaving::Marked => {}
                    Leaving::Wait => return,
                }
            }
            self.expiry.deadlines.pop();
        }
    }

    fn collect_aged(&mut self, ctx: &mut Context<'_>, budget: &mut usize, ended: &mut Vec<Seq>) {
        let max_age = self.config.max_age.ns();
        let due = self.expiry.oldest_ends_at.is_some_and(|at| at <= ctx.now.wall.0);
        if max_age == 0 {
            self.expiry.oldest_ends_at = None;
            return;
        }
        if !due {
            return;
        }
        let Some(limit) = ctx.now.wall.0.checked_sub(max_age) else { return };
        let end = match self.store.seq_at_time(ctx.log.as_deref_mut(), limit + 1) {
            SeekTime::Seq(end) => end,
            SeekTime::Wait => return self.expiry.is_reading = true,
        };
        let look = match self.marks() || !self.expiry.lasting.is_empty() {
            true => self.collect_each(ctx, end, budget, ended),
            false => {
                self.keep_positions(ctx, end.previous());
                let trimmed = self.store.trim(ctx.log.as_deref_mut(), end, ctx.now.mono);
                if self.must_wait(trimmed, ctx.now.mono) { Look::Again } else { Look::Done }
            }
        };
        if let Look::Done = look {
            self.find_oldest(ctx, end, max_age);
        }
    }

    /// One by one: some stay, and of some a marker is left.
    fn collect_each(
        &mut self,
        ctx: &mut Context<'_>,
        end: Seq,
        budget: &mut usize,
        ended: &mut Vec<Seq>,
    ) -> Look {
        loop {
            let next = self.store.next_any(ctx.log.as_deref(), self.expiry.looked_up_to);
            let Some(seq) = next.filter(|&seq| seq < end) else { return Look::Done };
            if *budget == 0 {
                return Look::Again;
            }
            *budget -= 1;
            if !self.expiry.lasting.contains(&seq) {
                match self.leave(ctx, seq) {
                    Leaving::Goes => ended.push(seq),
                    Leaving::Marked => {}
                    Leaving::Wait => return Look::Again,
                }
            }
            self.expiry.looked_up_to = seq.next();
        }
    }

    /// When the oldest message that ages will have reached its age.
    fn find_oldest(&mut self, ctx: &mut Context<'_>, from: Seq, max_age: u64) {
        let log = ctx.log.as_deref();
        let first = self.store.first_seq(log);
        self.expiry.lasting = self.expiry.lasting.split_off(&first);
        let mut from = from;
        let oldest = loop {
            match self.store.next_any(ctx.log.as_deref(), from) {
                Some(seq) if self.expiry.lasting.contains(&seq) => from = seq.next(),
                oldest => break oldest,
            }
        };
        self.expiry.oldest_ends_at = match oldest {
            Some(seq) => match self.store.fetch(ctx.log.as_deref_mut(), seq) {
                Fetch::Here(stored) => Some(stored.time.saturating_add(max_age)),
                // Not known yet: the next look finds nothing to remove, and this again.
                Fetch::Wait => return self.expiry.is_reading = true,
                Fetch::Gone | Fetch::Broken(_) => Some(ctx.now.wall.0.saturating_add(max_age)),
            },
            // What is not visible yet is young.
            None if self.store.messages(ctx.log.as_deref()) > 0 => {
                Some(ctx.now.wall.0.saturating_add(max_age))
            }
            None => None,
        };
    }

    /// Whether the last message of a subject leaves a marker.
    fn marks(&self) -> bool {
        !self.config.subject_delete_marker_ttl.is_zero()
    }

    /// Headers in which a message lives as long as the marker that will tell of its end, if they ask
    /// for less. Not where a subject has one message only: the marker then takes its place.
    pub(super) fn raised_ttl(&self, headers: &[u8], asks: &Directives<'_>) -> Option<Vec<u8>> {
        let is_raised = self.marks() && self.config.max_msgs_per_subject != 1;
        let asked = asks.ttl.filter(|_| is_raised)?;
        let least = self.config.subject_delete_marker_ttl.ns() / SECOND;
        let Ok(Ttl::Seconds(seconds)) = Ttl::parse(asked) else { return None };
        if seconds >= least {
            return None;
        }
        let mut block = headers.to_vec();
        headers::remove(&mut block, "Nats-TTL");
        headers::append_display(&mut block, "Nats-TTL", least);
        Some(block)
    }

    /// A message has outlived its time. If it is the last of its subject and no marker itself, a
    /// marker takes its place, which displaces it as any rollup does.
    fn leave(&mut self, ctx: &mut Context<'_>, seq: Seq) -> Leaving {
        if !self.marks() {
            return Leaving::Goes;
        }
        let (subject, is_marker) = match self.store.fetch(ctx.log.as_deref_mut(), seq) {
            Fetch::Here(stored) => (stored.subject.to_vec(), is_marker(stored.headers)),
            Fetch::Wait => {
                self.expiry.is_reading = true;
                return Leaving::Wait;
            }
            Fetch::Gone | Fetch::Broken(_) => return Leaving::Goes,
        };
        let last = self.store.last_appended(ctx.log.as_deref_mut(), &subject);
        if is_marker || last != Some(seq) {
            return Leaving::Goes;
        }
        let mut block = Vec::new();
        let ttl = time::duration(self.config.subject_delete_marker_ttl.ns());
        headers::append(&mut block, "Nats-Marker-Reason", b"MaxAge");
        headers::append(&mut block, "Nats-TTL", ttl.as_bytes());
        headers::append(&mut block, "Nats-Rollup", b"sub");
        let asks = Directives::read(&block);
        let marker = Candidate { subject: &subject, headers: &block, payload: b"", asks: &asks };
        match self.append(ctx, &marker, Rollup::Subject) {
            Ok(_) => Leaving::Marked,
            // The log is full or behind: the message stays until it takes the marker.
            Err(_) => Leaving::Wait,
        }
    }
}

/// What already tells that its subject is gone.
fn is_marker(block: &[u8]) -> bool {
    Directives::read(block).marker_reason.is_some()
        || headers::get(block, "KV-Operation") == Some(b"PURGE")
}

enum Leaving {
    Goes,
    Marked,
    /// A read is under way, or the log takes nothing now.
    Wait,
}
