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
//! | `outbox` `context` | the border to the shard |

mod advisory;
mod config;
mod consumer;
mod context;
mod error;
mod filter;
mod headers;
mod info;
mod outbox;
mod store;
mod stream;

pub use context::Site;

use std::sync::Arc;

use crate::storage::Log;

/// A core's JetStream. Without a seed it is off.
#[derive(Default)]
pub struct JetStream {
    site: Arc<Site>,
    /// The logs this core owns.
    logs: Vec<Log>,
}

/// What a core's JetStream starts from.
pub struct Seed {
    pub site: Arc<Site>,
    /// Recovered, in the order of their ids.
    pub logs: Vec<Log>,
}

impl JetStream {
    pub fn new(seed: Seed) -> Self {
        Self { site: seed.site, logs: seed.logs }
    }

    /// For the disk: effects out, completions in.
    pub fn logs(&mut self) -> &mut [Log] {
        &mut self.logs
    }
}
