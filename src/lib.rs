//! weft: a NATS-compatible message broker, thread per core. The map is `src/README.md`.
//!
//! Modules stand in layer order: each uses only rows above its own (`tests/architecture.rs`).

mod types;

mod mesh;
mod protocol;
mod routing;
mod security;
mod storage;

pub mod config;

mod connection;
mod jetstream;

mod shard;

mod monitor;
#[cfg(feature = "testing")]
pub mod testing;

pub mod cli;

#[cfg(feature = "runtime")]
pub mod runtime;
