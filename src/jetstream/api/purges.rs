//! `STREAM.PURGE`: a few messages at once, many in slices, between which the core does its other
//! work.

use std::collections::VecDeque;

use serde::Serialize;

use super::call::{Call, StreamCall};
use super::requests::optional_body;
use super::serve::Served;
use crate::jetstream::context::Gate;
use crate::jetstream::core::JetStream;
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::Reply;
use crate::jetstream::hosted::Hosted;
use crate::jetstream::info::answer;
use crate::jetstream::letter::{Letter, Request};
use crate::jetstream::mutation::{self, Mutation};
use crate::jetstream::stream::{Purge, PurgeRequest};
use crate::jetstream::target::StreamSlot;
use crate::storage::Lsn;
use crate::types::limits::PURGE_SLICE_MESSAGES;
use crate::types::{Now, ShardId};

#[derive(Serialize)]
struct Purged {
    success: bool,
    purged: u64,
}

/// A purge and who waits for its end.
#[derive(Debug)]
pub struct PurgeCall {
    purge: Purge,
    request: Request,
}

/// The purges of a core.
#[derive(Debug)]
pub struct Purges {
    /// Streams with purges under way, each as often as it has some. One slice per turn is removed.
    streams: VecDeque<StreamSlot>,
    /// Messages of a slice.
    pub slice: usize,
}

impl Default for Purges {
    fn default() -> Self {
        Self { streams: VecDeque::new(), slice: PURGE_SLICE_MESSAGES }
    }
}

impl Purges {
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }
}

impl JetStream {
    /// `None`: there is much to remove, the answer comes when all of it is gone.
    pub(super) fn purge(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let asked: PurgeRequest = optional_body(&request.body, "JSApiStreamPurgeRequest")?;
        let slice = self.purges.slice;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            return Err(ApiError::stream_not_found());
        };
        let mut purge = hosted.stream.begin_purge(&mut context, &asked)?;
        hosted.stream.go_on_purging(&mut context, &mut purge, slice)?;
        if purge.is_done() {
            return Ok(Some(self.end_purge(slot, &purge, now, gate)));
        }
        hosted.purges.push_back(PurgeCall { purge, request: request.clone() });
        self.purges.streams.push_back(slot);
        Ok(None)
    }

    fn end_purge(
        &mut self,
        slot: StreamSlot,
        purge: &Purge,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Reply {
        let appended = self.at(slot, now, gate).map(|(hosted, _)| hosted.stream.appended());
        let is_early = mutation::is(Mutation::PurgeToldEarly);
        let at = appended.filter(|_| !is_early).unwrap_or(Lsn(0));
        self.tell_of_purge(slot, now, gate);
        Reply::when(at, answer("stream_purge", &Purged { success: true, purged: purge.purged }))
    }

    /// The next slice of the purges under way, which take turns.
    pub(in crate::jetstream) fn run_purges(&mut self, now: Now, gate: &mut dyn Gate) {
        let slice = self.purges.slice;
        let Some(slot) = self.purges.streams.pop_front() else { return };
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let Some(mut call) = hosted.purges.pop_front() else { return };
        let result = hosted.stream.go_on_purging(&mut context, &mut call.purge, slice);
        if result.is_ok() && !call.purge.is_done() {
            hosted.purges.push_front(call);
            self.purges.streams.push_back(slot);
            return self.after_change(slot);
        }
        match result {
            Ok(()) => {
                let reply = self.end_purge(slot, &call.purge, now, gate);
                // It was checked when the purge began, and a stream keeps its identity.
                let headers = self.check_identity(slot, &call.request).unwrap_or_default();
                self.reply(Some(slot), &call.request, &Reply { headers, ..reply }, now);
            }
            Err(error) => {
                self.tell_of_purge(slot, now, gate);
                self.refuse_purge(Some(slot), &call.request, &error, now);
            }
        }
    }

    /// A stream is gone: who waits for the end of a purge is told.
    pub(in crate::jetstream) fn abandon_purges(&mut self, hosted: &mut Hosted, now: Now) {
        for call in hosted.purges.drain(..) {
            self.refuse_purge(None, &call.request, &ApiError::stream_not_found(), now);
        }
    }

    fn refuse_purge(
        &mut self,
        slot: Option<StreamSlot>,
        request: &Request,
        error: &ApiError,
        now: Now,
    ) {
        self.post(ShardId(0), Letter::Failed);
        let refusal = Call::Stream(StreamCall::Purge, "").refusal(error);
        self.reply(slot, request, &Reply::now(refusal), now);
    }
}
