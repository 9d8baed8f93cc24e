//! JetStream of one core: the streams placed on it, with their consumers, and the log beneath.
//!
//! It does no I/O and reads no clock. What arrives goes in with a [`Context`]; what it publishes
//! comes out of the [`Outbox`].
//!
//! | file | knows |
//! |---|---|
//! | `config/` `info` `error` | the API's JSON: what is asked, what is answered |
//! | `store/` `filter` | messages in sequence: in the log, or in memory |
//! | `stream/` | what a publish does, limits, retention |
//! | `consumer/` | who gets what next, and what was acknowledged |
//! | `advisory/` | what is told of it all |
//! | `api/` | requests and answers |
//! | `registry` `letter` | who owns which stream; what cores tell each other |
//! | `outbox` `context` `target` | the border to the shard |

mod advisory;
mod api;
mod config;
mod consumer;
mod context;
mod error;
mod filter;
mod headers;
mod info;
mod letter;
mod outbox;
mod store;
mod stream;
mod target;

use std::sync::Arc;

use crate::storage::{Event, Log};
use crate::types::{AccountId, Mono, Now, ShardId};

pub use context::{Gate, GateState, Site};
use letter::{Letter, Posting};
use outbox::Outbox;
pub use outbox::{Posted, PostedQueue};
pub use target::{SubscriptionChange, SubscriptionKey, Target};

/// What a core's JetStream starts from.
pub struct Seed {
    pub site: Arc<Site>,
    pub shards: usize,
    /// Recovered, in the order of their ids.
    pub logs: Vec<Log>,
}

/// A message that met a subscription of JetStream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    pub account: AccountId,
    pub subject: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// The whole block, or nothing.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

/// JetStream of one core.
pub struct JetStream {
    shard: ShardId,
    shards: usize,
    site: Arc<Site>,
    /// The logs this core owns.
    logs: Vec<Log>,
    outbox: Outbox,
    subscription_changes: Vec<SubscriptionChange>,
    postings: Vec<Posting>,
}

impl JetStream {
    pub fn new(shard: ShardId, seed: Seed) -> Self {
        Self {
            shard,
            shards: seed.shards,
            site: seed.site,
            logs: seed.logs,
            outbox: Outbox::default(),
            subscription_changes: Vec::new(),
            postings: Vec::new(),
        }
    }

    /// For the disk: effects out, completions in.
    pub fn logs(&mut self) -> &mut [Log] {
        &mut self.logs
    }

    /// A message met one of our subscriptions.
    pub fn receive(
        &mut self,
        target: Target,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let _ = (target, received, now, gate);
    }

    /// A letter of another core.
    pub fn on_letter(&mut self, from: ShardId, bytes: &[u8], now: Now, gate: &mut dyn Gate) {
        let _ = (from, Letter::decode(bytes), now, gate);
    }

    /// Somebody subscribed or left.
    pub fn on_interest(&mut self) {}

    /// Somebody who had no room has some.
    pub fn on_room(&mut self) {}

    /// Delivers what can be delivered, about `budget` bytes of it, and does what is due.
    pub fn run(&mut self, now: Now, gate: &mut dyn Gate, budget: usize) {
        let _ = (now, gate, budget);
        for log in &mut self.logs {
            while let Some(event) = log.take_event() {
                if event == Event::Durable {
                    self.outbox.release(log.settled());
                }
            }
        }
    }

    /// When [`JetStream::run`] must be called at the latest.
    pub fn wake_at(&self) -> Mono {
        Mono::NEVER
    }

    /// Swaps what is to be routed for an emptied queue. False: there is nothing.
    pub fn take_posted(&mut self, emptied: &mut PostedQueue) -> bool {
        self.outbox.take(emptied)
    }

    /// Whether there are subscriptions to change, or letters to send.
    pub fn has_wishes(&self) -> bool {
        !self.subscription_changes.is_empty() || !self.postings.is_empty()
    }

    pub fn take_subscription_changes(&mut self) -> Vec<SubscriptionChange> {
        std::mem::take(&mut self.subscription_changes)
    }

    pub fn take_letters(&mut self) -> Vec<(ShardId, Vec<u8>)> {
        let postings = std::mem::take(&mut self.postings);
        postings.into_iter().map(|posting| (posting.to, posting.letter.encode())).collect()
    }
}
