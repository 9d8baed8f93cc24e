//! Publishes that cannot be decided yet: a message has to be read first, or the disk is behind.
//! Whatever comes behind them waits too, so that the order stays.

use std::collections::VecDeque;

use super::Stream;
use super::intake::Incoming;
use super::kept::Kept;
use crate::config::JetStream as Options;
use crate::jetstream::context::Context;

use crate::jetstream::error::ApiError;

#[derive(Debug, Default)]
pub(super) struct WaitingPublishes {
    queue: VecDeque<Kept>,
    bytes: usize,
}

impl WaitingPublishes {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// False: there is no room.
    pub fn push(&mut self, message: &Incoming<'_>, options: &Options) -> bool {
        let kept = Kept::of(message);
        if self.queue.len() >= options.max_buffered_messages
            || self.bytes + kept.len() > options.max_buffered_bytes
        {
            return false;
        }
        self.bytes += kept.len();
        self.queue.push_back(kept);
        true
    }

    fn pop(&mut self) -> Option<Kept> {
        let kept = self.queue.pop_front()?;
        self.bytes -= kept.len();
        Some(kept)
    }

    fn put_back(&mut self, kept: Kept) {
        self.bytes += kept.len();
        self.queue.push_front(kept);
    }

    pub fn memory(&self) -> usize {
        self.bytes
    }
}

impl Stream {
    /// Keeps a publish until it can be decided.
    pub(super) fn wait(&mut self, ctx: &mut Context<'_>, message: &Incoming<'_>) {
        if !self.waiting.push(message, &ctx.site.options) {
            self.answer(ctx, message.reply, &Err(ApiError::stream_too_many_requests()));
        }
    }

    pub fn has_waiting_publishes(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Decides what can be decided of the publishes that wait.
    pub(super) fn retry_publishes(&mut self, ctx: &mut Context<'_>) {
        while let Some(kept) = self.waiting.pop() {
            if self.is_behind(ctx, &kept.incoming()) || !self.decide(ctx, &kept.incoming()) {
                return self.waiting.put_back(kept);
            }
        }
    }
}
