//! monitor
//!
//! What operators see: snapshots of the shards in, documents out. No HTTP, no clock, no shard.

#![cfg_attr(
    not(feature = "runtime"),
    allow(dead_code, unused_imports, reason = "without the control thread nobody asks for a page")
)]

pub mod facts;
pub mod looks;
pub mod views;

pub use facts::{DiskFacts, DiskSpeed, JetStreamFacts, ProcessFacts, ServerFacts};
