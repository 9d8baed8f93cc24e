//! The documents of the monitoring port, as the reference words them
//! (facts/config-and-ops.md §10, §12; each was compared with nats-server 2.15.1).
//!
//! A view is a pure function: snapshots of all shards and `now` in, a serialisable document out.

pub mod accounts;
pub mod args;
pub mod connz;
pub mod go_text;
pub mod healthz;
pub mod index;
pub mod jetstream;
pub mod jsz;
pub mod latencyz;
pub mod logs;
pub mod metrics;
pub mod refusal;
pub mod requests;
pub mod standalone;
pub mod subsz;
pub mod totals;
pub mod varz;

#[cfg(test)]
mod fixtures;

pub use args::Args;
pub use refusal::Refusal;

pub use crate::types::json;
