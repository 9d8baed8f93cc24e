//! What a stream may hold, and what gives way (facts/jetstream-api.md §3, §4).
//!
//! A message that displaces others in a file stream is not on disk yet. Its victims stay until it
//! is, so that a reader finds one or the other at any time; meanwhile the limits count them as gone.

use std::collections::VecDeque;

use super::Stream;
use super::batch::Staged;
use super::intake::{Candidate, Rollup, refused};
use crate::jetstream::config::Discard;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::filter::Filter;
use crate::jetstream::store::Scan;
use crate::storage::{Refusal, Seq};

/// What a subject had before a message came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub last: Option<Seq>,
    pub count: u64,
}

/// Something to remove once the message `by` may be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Victim {
    Message(Seq),
    /// Everything of the subject before `by`.
    Subject(Box<[u8]>),
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
}

impl Stream {
    /// A stream that discards new messages refuses what has no room.
    pub(super) fn check_limits(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        staged: &Staged,
    ) -> Result<(), ApiError> {
        if self.config.discard != Discard::New {
            return Ok(());
        }
        let Candidate { subject, headers, payload, .. } = *message;
        let rules = self.rules;
        let log = ctx.log.as_deref_mut();
        let mut displaces = false;
        if rules.messages_per_subject_max != u64::MAX {
            let state = self.store.subject_state(log, subject);
            let held = state.map_or(0, |(_, _, count)| count) + staged.of_subject(subject);
            displaces = held >= rules.messages_per_subject_max;
            if displaces && self.config.discard_new_per_subject {
                return Err(full("maximum messages per subject exceeded"));
            }
        }
        if displaces {
            return Ok(());
        }
        let log = ctx.log.as_deref();
        let messages = self.store.messages(log) + staged.messages() - self.removals.messages;
        if messages >= rules.messages_max {
            return Err(full("maximum messages exceeded"));
        }
        let cost = self.store.cost(subject.len(), headers.len(), payload.len());
        let bytes = self.store.bytes(log) + staged.bytes() - self.removals.bytes;
        if bytes.saturating_add(cost) > rules.bytes_max {
            return Err(full("maximum bytes exceeded"));
        }
        Ok(())
    }
}

fn full(what: &'static str) -> ApiError {
    ApiError::stream_store_failed(what)
}
