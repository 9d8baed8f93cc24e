//! A stream that is fed from others: a mirror of one, or drawn from several
//! (facts/jetstream-api.md §11).
//!
//! Each origin is asked, through the API, for a hidden push consumer that delivers to the stream.
//! What comes is stored in the consumer's order; a gap, silence or a refusal ends the round, and
//! the next one begins behind what is stored. Answers to flow control wait until all before them
//! is settled, so no more than a window is on its way.
//!
//! | file | knows |
//! |---|---|
//! | `ask` | the request for a consumer, and its answer |
//! | `feed` | one origin: its round, its timers |
//! | `take` | storing what came |
//! | `label` `positions` | how far an origin was drawn: in messages, in the log |

mod ask;
mod feed;
mod label;
mod positions;
mod take;
#[cfg(test)]
mod tests;

use super::Stream;
use super::intake::Incoming;
use super::recovery::Recovery;
use crate::jetstream::config::StreamConfig;
use crate::jetstream::consumer::{ConsumerSeq, DeliveryTokens};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::jetstream::info::SourceInfo;
use crate::jetstream::outbox::Outgoing;
use crate::storage::{Refusal, Seq, Urgency};
use crate::types::limits::{
    SOURCE_CHECKPOINT_MESSAGES, SOURCE_HELD_BYTES_MAX, SOURCE_PASSED_NS, SOURCE_PAUSE_NS,
    SOURCE_PENDING_BYTES_MAX,
};
use crate::types::{Mono, Now};

use ask::{Answer, ApiRequest};
use feed::{Feed, Order};
use label::Label;
use positions::Positions;
use take::Scratch;

pub use ask::{IDENTITY_HEADER, patterns};
pub use positions::POSITIONS_KEY;

/// What came for a stream from one of its origins, or from the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feeding<'a> {
    /// What it was sent to.
    pub route: &'a [u8],
    pub message: Incoming<'a>,
}

/// The origins of a stream.
#[derive(Debug, Default)]
pub(super) struct Sourcing {
    feeds: Vec<Feed>,
    /// Of origins as far as it was written, and of those that are no longer drawn from.
    positions: Positions,
    /// The newest message that tells of an origin that is no longer drawn from.
    told_of_former_by: Seq,
    /// When positions are to be written of which no message tells.
    write_at: Option<Mono>,
    /// Consumers that are no longer wanted.
    leaving: Vec<ApiRequest>,
    /// Where the last delivery was for; the next one is most likely for it too.
    recent: usize,
    scratch: Scratch,
}

impl Sourcing {
    /// With what the log holds of positions; nothing: none were written.
    pub fn with_positions(bytes: &[u8]) -> Self {
        let positions = Positions::decode(bytes).unwrap_or_default();
        Self { positions, ..Self::default() }
    }

    /// Takes the origins of a configuration. Those that stay go on as they were.
    pub fn configure(&mut self, config: &StreamConfig, now: Mono) {
        let mut before = std::mem::take(&mut self.feeds);
        let is_mirror = config.mirror.is_some();
        for source in config.feeds() {
            let label = Label::of(source);
            let stays = |feed: &Feed| feed.label == label && feed.is_mirror == is_mirror;
            if let Some(at) = before.iter().position(stays) {
                let mut feed = before.remove(at);
                feed.source = source.clone();
                self.feeds.push(feed);
                continue;
            }
            let position = self.positions.get(&label).cloned().unwrap_or_default();
            // Its subscriptions are to be there when the answer comes.
            let start_at = now.plus(SOURCE_PAUSE_NS);
            self.feeds.push(Feed::new(source.clone(), is_mirror, position, start_at));
        }
        for feed in before {
            self.leaving.extend(feed.end());
            if !feed.is_mirror {
                self.told_of_former_by = self.told_of_former_by.max(feed.told_by);
                self.positions.set(feed.label, feed.position);
            }
        }
    }

    /// Sequences before this one tell nothing of origins that is not known. `None`: nothing is
    /// drawn, or ever was.
    pub fn unread_from(&self) -> Option<Seq> {
        let draws = self.feeds.iter().any(|feed| !feed.is_mirror);
        (draws || !self.positions.is_empty()).then(|| self.positions.as_of.next())
    }

    /// The stored message `seq` says where it came from. What was written later knows better.
    pub fn note(&mut self, seq: Seq, line: &[u8]) {
        if seq <= self.positions.as_of {
            return;
        }
        let Some((label, position)) = Label::parse(line) else { return };
        match self.feeds.iter_mut().find(|feed| feed.label == label) {
            Some(feed) if feed.is_mirror => {}
            Some(feed) => (feed.position, feed.told_by) = (position, seq),
            None => {
                self.told_of_former_by = seq;
                self.positions.set(label, position);
            }
        }
    }

    /// Without the messages up to `newest` a restart would not know how far an origin was drawn.
    fn is_told_only_up_to(&self, newest: Seq) -> bool {
        let written = self.positions.as_of;
        let is_one = |told_by: Seq| written < told_by && told_by <= newest;
        written < newest
            && (is_one(self.told_of_former_by)
                || self.feeds.iter().any(|feed| is_one(feed.told_by)))
    }

    /// No message tells of the newest position.
    fn write_soon(&mut self, now: Mono) {
        self.write_at.get_or_insert(now.plus(SOURCE_PASSED_NS));
    }

    pub fn due_at(&self) -> Mono {
        let leaving = if self.leaving.is_empty() { Mono::NEVER } else { Mono(0) };
        let own = self.write_at.unwrap_or(Mono::NEVER).min(leaving);
        self.feeds.iter().map(Feed::due_at).fold(own, Mono::min)
    }

    /// Which origin something sent to this subject is of, and whether it is the API's answer.
    fn find(&mut self, route: &[u8]) -> Option<(usize, bool)> {
        let is_recent = |feed: &Feed| feed.delivers_to(route);
        if self.feeds.get(self.recent).is_some_and(is_recent) {
            return Some((self.recent, false));
        }
        let found = |feed: &Feed| feed.delivers_to(route) || feed.answers_to(route);
        self.recent = self.feeds.iter().position(found)?;
        Some((self.recent, self.feeds[self.recent].answers_to(route)))
    }

    pub fn memory(&self) -> usize {
        self.feeds.iter().map(Feed::memory).sum()
    }
}

impl Stream {
    /// Something came from an origin.
    pub fn on_feeding(&mut self, ctx: &mut Context<'_>, feeding: &Feeding<'_>) {
        self.seen = ctx.now;
        let Some((at, is_answer)) = self.sourcing.find(feeding.route) else { return };
        let message = &feeding.message;
        if is_answer {
            self.on_source_answer(ctx, at, message);
        } else if DeliveryTokens::parse(message.reply).is_some() {
            self.on_source_delivery(ctx, at, message);
        } else {
            self.on_source_status(ctx, at, message);
        }
        self.write_positions_in_time(ctx);
    }

    fn on_source_answer(&mut self, ctx: &mut Context<'_>, at: usize, message: &Incoming<'_>) {
        let answer = Answer::read(message.headers, message.payload);
        let feed = &mut self.sourcing.feeds[at];
        let Some(begin) = feed.on_answer(answer, ctx.now) else { return };
        // What the origin no longer has, or never had, the mirror leaves out.
        if feed.is_mirror && begin.delivered > self.store.last_seq(ctx.log.as_deref()) {
            let skipped = self.store.skip(ctx.log.as_deref_mut(), begin.delivered, ctx.now.mono);
            match skipped {
                Ok(settled_by) => self.appended = settled_by,
                Err(_) => return self.give_up_source(ctx, at),
            }
        }
        self.take_held(ctx, at);
    }

    fn on_source_delivery(&mut self, ctx: &mut Context<'_>, at: usize, message: &Incoming<'_>) {
        let feed = &mut self.sourcing.feeds[at];
        feed.hear(ctx.now);
        let must_wait = feed.is_asking() || feed.is_holding();
        if must_wait || !self.take_delivery(ctx, at, message) {
            let held: usize = self.sourcing.feeds.iter().map(Feed::held_bytes).sum();
            let feed = &mut self.sourcing.feeds[at];
            match held < SOURCE_HELD_BYTES_MAX {
                _ if feed.is_resting() => {}
                true => feed.hold(message),
                false => self.give_up_source(ctx, at),
            }
        }
    }

    /// False: it has to wait.
    fn take_delivery(&mut self, ctx: &mut Context<'_>, at: usize, message: &Incoming<'_>) -> bool {
        let Some(tokens) = DeliveryTokens::parse(message.reply) else { return true };
        match self.sourcing.feeds[at].order(&tokens) {
            Order::Next => {}
            Order::Old => return true,
            Order::Gap => {
                self.restart_source(ctx, at);
                return true;
            }
        }
        let is_behind = |log: &crate::storage::Log| log.pending_bytes() > SOURCE_PENDING_BYTES_MAX;
        if ctx.log.as_deref().is_some_and(is_behind) {
            return false;
        }
        match self.take_drawn(ctx, at, message, &tokens) {
            Ok(true) => self.sourcing.feeds[at].took(&tokens),
            Ok(false) => return false,
            // The log is behind.
            Err(error) if error == ApiError::stream_too_many_requests() => return false,
            Err(error) => {
                tracing::debug!(
                    "JetStream: stream {} does not take a message of {}: {}",
                    self.config.name,
                    self.sourcing.feeds[at].source.name,
                    error.description
                );
                self.give_up_source(ctx, at);
            }
        }
        true
    }

    /// A heartbeat, or a request of flow control.
    fn on_source_status(&mut self, ctx: &mut Context<'_>, at: usize, message: &Incoming<'_>) {
        if headers::status(message.headers).is_none_or(|(status, _)| status != 100) {
            return;
        }
        let feed = &mut self.sourcing.feeds[at];
        if feed.is_asking() {
            return;
        }
        feed.hear(ctx.now);
        let last = headers::get(message.headers, "Nats-Last-Consumer");
        let last = last.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        if last.is_some_and(|last| feed.misses(ConsumerSeq(last))) {
            return self.restart_source(ctx, at);
        }
        let stalled = headers::get(message.headers, "Nats-Consumer-Stalled");
        let asked = if message.reply.is_empty() { stalled } else { Some(message.reply) };
        if let Some(reply) = asked {
            feed.owe(reply);
            self.answer_source(ctx, at);
        }
    }

    /// Answers flow control when all before is stored, and tells how far that is.
    fn answer_source(&mut self, ctx: &mut Context<'_>, at: usize) {
        let feed = &mut self.sourcing.feeds[at];
        let Some(reply) = feed.take_owed() else { return };
        let (consumer, stream) = feed.last();
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        headers::append_display(&mut block, "Nats-Last-Consumer", consumer.0);
        headers::append_display(&mut block, "Nats-Last-Stream", stream.0);
        let answer = Outgoing { headers: &block, ..Outgoing::plain(&reply, b"") };
        ctx.out.publish_when(self.account, self.appended, answer);
        self.block = block;
    }

    /// Goes on with deliveries that wait. True: none is left.
    pub(super) fn poll_sources(&mut self, ctx: &mut Context<'_>) -> bool {
        let mut is_idle = true;
        for at in 0..self.sourcing.feeds.len() {
            if !self.sourcing.feeds[at].is_asking() {
                is_idle &= self.take_held(ctx, at);
            }
        }
        is_idle
    }

    fn take_held(&mut self, ctx: &mut Context<'_>, at: usize) -> bool {
        while let Some(kept) = self.sourcing.feeds[at].next_held() {
            if !self.take_delivery(ctx, at, &kept.incoming()) {
                self.sourcing.feeds[at].put_back(kept);
                return false;
            }
        }
        self.answer_source(ctx, at);
        true
    }

    /// What time asks for: origins are asked, those that are silent anew.
    pub(super) fn tick_sources(&mut self, ctx: &mut Context<'_>) {
        for request in std::mem::take(&mut self.sourcing.leaving) {
            self.call_api(ctx, &request, "");
        }
        if self.sourcing.write_at.is_some_and(|at| at <= ctx.now.mono) {
            self.write_positions(ctx);
        }
        if self.config.sealed {
            return;
        }
        let last = self.store.last_seq(ctx.log.as_deref());
        for at in 0..self.sourcing.feeds.len() {
            let feed = &mut self.sourcing.feeds[at];
            if feed.due_at() > ctx.now.mono {
                continue;
            }
            if !feed.is_resting() {
                match feed.is_asking() {
                    true => self.give_up_source(ctx, at),
                    false => self.restart_source(ctx, at),
                }
                continue;
            }
            let names = (&*self.account_name, &*self.config.name);
            let (request, answer) = feed.ask(names, last, ctx.now);
            self.call_api(ctx, &request, &answer);
        }
    }

    /// When [`Stream::tick_sources`] has something to do.
    pub(super) fn sources_due_at(&self) -> Mono {
        match self.recovery == Recovery::Done && !self.config.sealed {
            true => self.sourcing.due_at(),
            false => Mono::NEVER,
        }
    }

    fn call_api(&self, ctx: &mut Context<'_>, request: &ApiRequest, answer: &str) {
        let ApiRequest { subject, headers, body } = request;
        let call = Outgoing {
            reply: answer.as_bytes(),
            headers,
            ..Outgoing::plain(subject.as_bytes(), body)
        };
        ctx.out.publish(self.account, call);
    }

    fn restart_source(&mut self, ctx: &mut Context<'_>, at: usize) {
        if let Some(end) = self.sourcing.feeds[at].again(ctx.now) {
            self.call_api(ctx, &end, "");
        }
    }

    fn give_up_source(&mut self, ctx: &mut Context<'_>, at: usize) {
        if let Some(end) = self.sourcing.feeds[at].give_up(ctx.now) {
            self.call_api(ctx, &end, "");
        }
    }

    /// The stream is deleted: its consumers are too.
    pub fn end_sources(&mut self, ctx: &mut Context<'_>) {
        let leaving = std::mem::take(&mut self.sourcing.leaving);
        let ends: Vec<_> = self.sourcing.feeds.iter().filter_map(Feed::end).collect();
        for request in leaving.iter().chain(&ends) {
            self.call_api(ctx, request, "");
        }
    }

    /// The origins changed: consumers of those that left end.
    pub(super) fn part_with_sources(&mut self, ctx: &mut Context<'_>) {
        for request in std::mem::take(&mut self.sourcing.leaving) {
            self.call_api(ctx, &request, "");
        }
        self.write_positions(ctx);
    }

    /// Messages are about to leave the stream, `newest` the last of them. What only they tell of
    /// origins is written before, in front of their removal in the log, or a restart would draw
    /// them again.
    pub(super) fn keep_positions(&mut self, ctx: &mut Context<'_>, newest: Seq) {
        if self.sourcing.is_told_only_up_to(newest) {
            self.write_positions(ctx);
        }
    }

    /// What messages tell of origins is still being read: until then none may leave.
    pub(super) fn reads_of_origins(&self) -> bool {
        !matches!(self.recovery, Recovery::Last | Recovery::Done)
            && self.sourcing.unread_from().is_some()
    }

    fn write_positions_in_time(&mut self, ctx: &mut Context<'_>) {
        let last = self.store.last_seq(ctx.log.as_deref());
        let unread = last.0.saturating_sub(self.sourcing.positions.as_of.0);
        if unread >= SOURCE_CHECKPOINT_MESSAGES && self.config.mirror.is_none() {
            self.write_positions(ctx);
        }
    }

    /// What the log has no room for is tried again soon.
    fn write_positions(&mut self, ctx: &mut Context<'_>) {
        self.sourcing.write_at = None;
        let is_read = matches!(self.recovery, Recovery::Last | Recovery::Done);
        if self.sourcing.unread_from().is_none() || !is_read {
            return;
        }
        let last = self.store.last_seq(ctx.log.as_deref());
        let Some(log) = ctx.log.as_deref_mut() else { return };
        let mut positions = self.sourcing.positions.clone();
        positions.as_of = last;
        for feed in self.sourcing.feeds.iter().filter(|feed| !feed.is_mirror) {
            positions.set(feed.label.clone(), feed.position.clone());
        }
        let (bytes, now) = (positions.encode(), ctx.now.mono);
        match log.put_state(self.id, POSITIONS_KEY, &bytes, Urgency::RideAlong, now) {
            Ok(_) => self.sourcing.positions = positions,
            Err(Refusal::Behind | Refusal::NoSpace) => self.sourcing.write_soon(now),
            Err(_) => {}
        }
    }

    /// What STREAM.INFO tells of the mirror, and of sources.
    pub(super) fn source_infos(&self, now: Now) -> (Option<SourceInfo>, Vec<SourceInfo>) {
        let (mirrors, sources): (Vec<&Feed>, Vec<&Feed>) =
            self.sourcing.feeds.iter().partition(|feed| feed.is_mirror);
        let info = |feed: &Feed| feed.info(now.mono);
        let mirror = mirrors.first().map(|feed| info(feed));
        (mirror, sources.into_iter().map(info).collect())
    }

    /// The position of an origin, for tests.
    #[cfg(test)]
    fn source_position(&self, at: usize) -> &label::Position {
        &self.sourcing.feeds[at].position
    }
}
