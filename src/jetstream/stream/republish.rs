//! Stored messages published again under another subject (facts/jetstream-api.md §12).

use super::Stream;
use super::intake::Candidate;
use super::limits::Before;
use crate::jetstream::config::StreamConfig;
use crate::jetstream::context::Context;
use crate::jetstream::headers;
use crate::jetstream::outbox::Outgoing;
use crate::storage::Seq;
use crate::types::Transform;
use crate::types::{Wall, rfc3339};

/// The rule of a stream that republishes, and where its messages are made.
#[derive(Debug)]
pub(super) struct Republish {
    rule: Transform,
    headers_only: bool,
    subject: Vec<u8>,
    headers: Vec<u8>,
}

impl Republish {
    /// `None`: the stream does not, nor does one without a destination. A rule that was accepted
    /// compiles.
    pub fn of(config: &StreamConfig) -> Option<Self> {
        let republish = config.republish.as_ref().filter(|rule| !rule.destination.is_empty())?;
        let rule = Transform::parse(&republish.source, &republish.destination).ok()?;
        Some(Self {
            rule,
            headers_only: republish.headers_only,
            subject: Vec::new(),
            headers: Vec::new(),
        })
    }
}

impl Stream {
    /// Publishes a message that was appended just now, when it may be seen.
    pub(super) fn republish(
        &mut self,
        ctx: &mut Context<'_>,
        before: &Before,
        seq: Seq,
        time: u64,
        message: &Candidate<'_>,
    ) {
        let Some(republish) = &mut self.republish else { return };
        if !republish.rule.covers(message.subject) {
            return;
        }
        republish.subject.clear();
        republish.rule.apply(message.subject, seq.0, &mut republish.subject);
        let block = &mut republish.headers;
        block.clear();
        block.extend_from_slice(message.headers);
        headers::append(block, "Nats-Stream", self.config.name.as_bytes());
        headers::append(block, "Nats-Subject", message.subject);
        headers::append_display(block, "Nats-Sequence", seq.0);
        headers::append(block, "Nats-Time-Stamp", rfc3339(Wall(time)).as_bytes());
        headers::append_display(block, "Nats-Last-Sequence", before.last.unwrap_or_default().0);
        let mut payload = message.payload;
        if republish.headers_only {
            headers::append_display(block, "Nats-Msg-Size", payload.len());
            payload = &[];
        }
        let outgoing = Outgoing { headers: block, ..Outgoing::plain(&republish.subject, payload) };
        ctx.out.publish_when(self.account, self.appended, outgoing);
    }
}
