//! Storing what an origin delivered: a mirror under the origin's sequence and time, a sourcing
//! stream as its own next message that says where it came from.
//!
//! Nothing an origin's client asked of the origin is asked here again. Its TTL and rollup count if
//! this stream has them; its id, if this stream has a window.

use num_bigint::BigInt;

use super::label::{SOURCE_HEADER, strip};
use crate::jetstream::consumer::DeliveryTokens;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::jetstream::stream::Stream;
use crate::jetstream::stream::batch::NOTHING;
use crate::jetstream::stream::counter::{Total, value_of};
use crate::jetstream::stream::directives::Directives;
use crate::jetstream::stream::intake::{Candidate, Incoming, Place, Rollup, rollup_of};
use crate::storage::Seq;
use crate::types::limits::STORED_HEADER_BYTES_MAX;

const INCREMENT_HEADER: &str = "Nats-Incr";

/// Where a message is made ready.
#[derive(Debug, Default)]
pub struct Scratch {
    subject: Vec<u8>,
    headers: Vec<u8>,
}

impl Stream {
    /// Stores a delivery, or passes it over. `Ok(false)`: something has to be read first.
    pub(super) fn take_drawn(
        &mut self,
        ctx: &mut Context<'_>,
        at: usize,
        message: &Incoming<'_>,
        tokens: &DeliveryTokens,
    ) -> Result<bool, ApiError> {
        let feed = &self.sourcing.feeds[at];
        let is_mirror = feed.is_mirror;
        let last = self.store.last_seq(ctx.log.as_deref());
        let known = if is_mirror { last } else { feed.position.seq };
        if tokens.stream_seq <= known {
            return Ok(true);
        }
        let mut scratch = std::mem::take(&mut self.sourcing.scratch);
        self.dress(at, message, tokens, &mut scratch);
        let taken = match is_mirror {
            true => self.take_mirrored(ctx, message.payload, &scratch, tokens),
            false => self.take_sourced(ctx, at, message, &mut scratch, tokens.stream_seq),
        };
        self.sourcing.scratch = scratch;
        taken
    }

    /// Subject and headers as they are stored here.
    fn dress(
        &self,
        at: usize,
        message: &Incoming<'_>,
        tokens: &DeliveryTokens,
        scratch: &mut Scratch,
    ) {
        let feed = &self.sourcing.feeds[at];
        let Scratch { subject, headers } = scratch;
        subject.clear();
        if !feed.rename(message.subject, tokens.stream_seq, subject) {
            subject.clear();
            subject.extend_from_slice(message.subject);
        }
        headers.clear();
        if !message.headers.is_empty() {
            headers.extend_from_slice(message.headers);
            strip(headers, feed.is_mirror);
        }
        if !feed.is_mirror {
            let identity = &feed.position.identity;
            feed.label.append(headers, tokens.stream_seq, message.subject, identity);
        }
        if let Some(renamed) = self.renamed(subject, tokens.stream_seq) {
            *subject = renamed;
        }
    }

    fn take_mirrored(
        &mut self,
        ctx: &mut Context<'_>,
        payload: &[u8],
        scratch: &Scratch,
        tokens: &DeliveryTokens,
    ) -> Result<bool, ApiError> {
        let Scratch { subject, headers } = scratch;
        let asks = Directives::read(headers);
        let candidate = Candidate { subject, headers, payload, asks: &asks };
        let place = Place { seq: tokens.stream_seq, time: self.last_time.max(tokens.stored.0) };
        self.store_drawn(ctx, &candidate, place)?;
        Ok(true)
    }

    fn take_sourced(
        &mut self,
        ctx: &mut Context<'_>,
        at: usize,
        message: &Incoming<'_>,
        scratch: &mut Scratch,
        drawn: Seq,
    ) -> Result<bool, ApiError> {
        let mut counted = None;
        let mut payload = message.payload;
        let body;
        if self.config.allow_msg_counter {
            let Some(total) = self.count_drawn(ctx, at, message, scratch)? else {
                return Ok(false);
            };
            body = total.body();
            payload = &body;
            counted = Some(total);
        }
        let Scratch { subject, headers } = &*scratch;
        let asks = Directives::read(headers);
        if let Some(id) = asks.msg_id
            && self.dedup.find(id, ctx.now.wall.0).is_some()
        {
            self.sourcing.write_soon(ctx.now.mono);
            return Ok(true);
        }
        let candidate = Candidate { subject, headers, payload, asks: &asks };
        let place = self.next_place(ctx);
        let before = self.sourcing.feeds[at].advance(drawn, place.seq);
        if let Err(error) = self.store_drawn(ctx, &candidate, place) {
            self.sourcing.feeds[at].advance(before.0, before.1);
            return Err(error);
        }
        if !self.retains(subject) {
            self.sourcing.write_soon(ctx.now.mono);
        }
        if let Some(total) = counted {
            self.counters.learn(subject, place.seq, total);
        }
        Ok(true)
    }

    /// What a subject counts with a message of another counter, whose share is told in the
    /// headers. `None`: it has to be read first.
    fn count_drawn(
        &mut self,
        ctx: &mut Context<'_>,
        at: usize,
        message: &Incoming<'_>,
        scratch: &mut Scratch,
    ) -> Result<Option<Total>, ApiError> {
        let increment = headers::get(message.headers, INCREMENT_HEADER);
        let increment = increment.ok_or_else(ApiError::message_incr_missing)?;
        let value = value_of(message.payload).ok_or_else(ApiError::message_counter_broken)?;
        let Some(mut total) = self.total_of(ctx, &scratch.subject)? else { return Ok(None) };
        let (origin, subject) =
            (&self.sourcing.feeds[at].source.name, String::from_utf8_lossy(message.subject));
        let drawn = total.draw(origin, &subject, &value);
        if BigInt::parse_bytes(increment, 10).as_ref() != Some(&drawn) {
            headers::set(&mut scratch.headers, INCREMENT_HEADER, drawn.to_string().as_bytes());
        }
        scratch.headers = total.headers(&scratch.headers);
        Ok(Some(total))
    }

    /// Stores a message that is not asked what a publish is asked.
    fn store_drawn(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        place: Place,
    ) -> Result<Seq, ApiError> {
        if self.config.sealed {
            return Err(ApiError::stream_sealed());
        }
        let Candidate { subject, headers, payload, asks } = *message;
        if headers.len() > STORED_HEADER_BYTES_MAX {
            return Err(ApiError::stream_header_exceeds_maximum());
        }
        // What says where it comes from is not the publisher's.
        let said = asks.stream_source.map_or(0, |line| line.len() + SOURCE_HEADER.len() + 4);
        let bytes = headers.len().saturating_sub(said) + payload.len();
        if bytes > self.rules.message_bytes_max {
            return Err(ApiError::stream_message_exceeds_maximum());
        }
        if !self.retains(subject) {
            self.skip_to(ctx, message, place)?;
            return Ok(place.seq);
        }
        self.check_limits(ctx, message, Rollup::None, &NOTHING)?;
        let rollup = match asks.rollup {
            Some(_) => rollup_of(&self.config, asks).unwrap_or(Rollup::None),
            None => Rollup::None,
        };
        self.append_at(ctx, message, rollup, place)?;
        Ok(place.seq)
    }
}
