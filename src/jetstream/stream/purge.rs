//! Removing messages by request (facts/jetstream-api.md §2).

use std::collections::VecDeque;

use super::Stream;
use super::intake::refused;
use crate::jetstream::config::Storage;
use crate::jetstream::config::wire::object;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::storage::Seq;
use crate::types::Pattern;

object! {
    /// The body of `STREAM.PURGE`. An empty filter means every subject, 0 means not said.
    pub struct PurgeRequest as "server.JSApiStreamPurgeRequest" {
        /// Up to it, and without it.
        seq: u64 = filled "seq",
        /// So many of the newest stay.
        keep: u64 = filled "keep",
        filter: String = filled "filter",
    }
}

object! {
    /// The body of `STREAM.MSG.DELETE`.
    pub struct MessageDeleteRequest as "server.JSApiMsgDeleteRequest" {
        seq: u64 = always "seq",
        /// The bytes may stay where they are.
        no_erase: bool = filled "no_erase",
    }
}

impl PurgeRequest {
    /// What is wrong with it on any stream.
    pub fn check(&self) -> Result<(), ApiError> {
        match self.seq > 0 && self.keep > 0 {
            true => Err(ApiError::bad_request()),
            false => Ok(()),
        }
    }
}

/// A purge under way. A message that comes after it began is not concerned.
#[derive(Debug, Default)]
pub struct Purge {
    /// What it still has to remove one by one, ascending.
    rest: VecDeque<Seq>,
    /// All before this one is still to go.
    below: Option<Seq>,
    /// How many messages it removed.
    pub purged: u64,
}

impl Purge {
    pub fn is_done(&self) -> bool {
        self.rest.is_empty() && self.below.is_none()
    }
}

impl Stream {
    /// Begins a purge. If it is of all messages they go at once, otherwise with
    /// [`Stream::go_on_purging`].
    pub fn begin_purge(
        &mut self,
        ctx: &mut Context<'_>,
        request: &PurgeRequest,
    ) -> Result<Purge, ApiError> {
        request.check()?;
        if self.config.sealed {
            return Err(ApiError::stream_sealed());
        }
        if self.config.deny_purge {
            return Err(ApiError::stream_purge_failed("stream purge not permitted"));
        }
        self.remove_victims(ctx, Seq(u64::MAX));
        let covers_all = request.filter.is_empty() || request.filter == ">";
        let pattern = Pattern::parse(request.filter.as_bytes());
        let log = ctx.log.as_deref_mut();
        let end = self.store.last_seq(log.as_deref()).next();
        let below = match request.seq {
            0 => end,
            // Without a filter the stream goes on from there, even if it is beyond the end.
            seq if covers_all => Seq(seq),
            seq => Seq(seq).min(end),
        };
        let keep = usize::try_from(request.keep).unwrap_or(usize::MAX);
        let pattern = match (covers_all, pattern) {
            (true, _) => None,
            (false, Some(pattern)) => Some(pattern),
            // No subject is covered by what is no pattern.
            (false, None) => return Ok(Purge::default()),
        };
        if pattern.is_some() || keep > 0 {
            let rest = self.store.purge_list(log.as_deref(), pattern, below, keep).into();
            return Ok(Purge { rest, ..Purge::default() });
        }
        if below < end {
            return Ok(Purge { below: Some(below), ..Purge::default() });
        }
        self.keep_positions(ctx, below.previous());
        let log = ctx.log.as_deref_mut();
        let (purged, at) = self.store.purge(log, None, below, 0, ctx.now.mono).map_err(refused)?;
        self.appended = at;
        Ok(Purge { purged, ..Purge::default() })
    }

    /// Removes the next messages of a purge, so many at most. To be told when all are gone and
    /// [`Stream::appended`] is settled.
    pub fn go_on_purging(
        &mut self,
        ctx: &mut Context<'_>,
        purge: &mut Purge,
        slice: usize,
    ) -> Result<(), ApiError> {
        if let Some(below) = purge.below {
            return self.trim_slice(ctx, purge, below, slice);
        }
        if purge.is_done() {
            return Ok(());
        }
        let seqs: Vec<Seq> = purge.rest.drain(..slice.min(purge.rest.len())).collect();
        if let Some(&newest) = seqs.last() {
            self.keep_positions(ctx, newest);
        }
        let mut log = ctx.log.as_deref_mut();
        let before = self.store.messages(log.as_deref());
        let removed = self.store.delete(log.as_deref_mut(), &seqs, false, ctx.now.mono);
        self.appended = removed.map_err(refused)?;
        purge.purged += before - self.store.messages(log.as_deref());
        Ok(())
    }

    /// The first messages go, those of so many sequences.
    fn trim_slice(
        &mut self,
        ctx: &mut Context<'_>,
        purge: &mut Purge,
        below: Seq,
        slice: usize,
    ) -> Result<(), ApiError> {
        let first = self.store.first_seq(ctx.log.as_deref());
        let next = Seq(first.0.saturating_add(slice as u64)).min(below);
        self.keep_positions(ctx, next.previous());
        let log = ctx.log.as_deref_mut();
        let (purged, at) = self.store.purge(log, None, next, 0, ctx.now.mono).map_err(refused)?;
        self.appended = at;
        purge.purged += purged;
        purge.below = Some(below).filter(|below| next < *below);
        Ok(())
    }

    /// A whole purge: how many messages went.
    #[cfg(test)]
    pub fn purge(
        &mut self,
        ctx: &mut Context<'_>,
        request: &PurgeRequest,
    ) -> Result<u64, ApiError> {
        let mut purge = self.begin_purge(ctx, request)?;
        while !purge.is_done() {
            self.go_on_purging(ctx, &mut purge, 3)?;
        }
        Ok(purge.purged)
    }

    /// `STREAM.MSG.DELETE`; to be told when [`Stream::appended`] is settled.
    pub fn delete_message(
        &mut self,
        ctx: &mut Context<'_>,
        request: &MessageDeleteRequest,
    ) -> Result<(), ApiError> {
        let (seq, erase) = (Seq(request.seq), !request.no_erase);
        if self.config.sealed {
            return Err(ApiError::stream_sealed());
        }
        if self.config.deny_delete {
            return Err(ApiError::stream_msg_delete_failed("message delete not permitted"));
        }
        self.remove_victims(ctx, Seq(u64::MAX));
        let log = ctx.log.as_deref_mut();
        if self.config.storage == Storage::File {
            // The reference's file store has other words than its memory store.
            let text = match seq {
                seq if seq < self.store.first_seq(log.as_deref()) => Some("no message found"),
                seq if seq > self.store.last_seq(log.as_deref()) => Some("stream store EOF"),
                _ => None,
            };
            if let Some(text) = text {
                return Err(ApiError::stream_msg_delete_failed(text));
            }
        }
        if !self.store.holds(log.as_deref(), seq) {
            return Err(ApiError::sequence_not_found(seq.0));
        }
        self.keep_positions(ctx, seq);
        let log = ctx.log.as_deref_mut();
        self.appended = self.store.delete(log, &[seq], erase, ctx.now.mono).map_err(refused)?;
        Ok(())
    }

    /// Messages that all consumers have done with (interest and work-queue retention).
    pub fn remove_acked(&mut self, ctx: &mut Context<'_>, seqs: &[Seq]) {
        if self.reads_of_origins() || self.owes_removals() {
            // They go with the others.
            return self.owe_removals(seqs);
        }
        self.remove_victims(ctx, Seq(u64::MAX));
        if let Some(&newest) = seqs.iter().max() {
            self.keep_positions(ctx, newest);
        }
        let removed = self.store.delete(ctx.log.as_deref_mut(), seqs, false, ctx.now.mono);
        if let Ok(at) = removed {
            self.appended = at;
        }
        if self.must_wait(removed, ctx.now.mono) {
            self.owe_removals(seqs);
        }
    }
}
