//! Publishes that cannot be decided yet, because a message has to be read first. Whatever comes
//! behind them waits too, so that the order stays.

use std::collections::VecDeque;

use super::Stream;
use super::intake::Incoming;
use super::kept::Kept;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::types::limits::{WAITING_PUBLISH_BYTES_MAX, WAITING_PUBLISHES_MAX};

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
    pub fn push(&mut self, message: &Incoming<'_>) -> bool {
        let kept = Kept::of(message);
        if self.queue.len() >= WAITING_PUBLISHES_MAX
            || self.bytes + kept.len() > WAITING_PUBLISH_BYTES_MAX
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
    /// Keeps a publish until what it hangs on has been read.
    pub(super) fn wait(&mut self, ctx: &mut Context<'_>, message: &Incoming<'_>) {
        if !self.waiting.push(message) {
            self.answer(ctx, message.reply, &Err(ApiError::stream_too_many_requests()));
        }
    }

    /// Decides what can be decided of the publishes that wait.
    pub(super) fn retry_publishes(&mut self, ctx: &mut Context<'_>) {
        while let Some(kept) = self.waiting.pop() {
            if !self.decide(ctx, &kept.incoming()) {
                return self.waiting.put_back(kept);
            }
        }
    }
}
