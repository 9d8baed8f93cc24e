//! weft: a NATS-compatible message broker, thread per core. The map is `src/README.md`.
//!
//! Modules stand in layer order: each uses only rows above its own (`tests/architecture.rs`).

mod types;

mod mesh;
mod protocol;
mod routing;
mod security;
#[allow(dead_code, unused_imports, reason = "figures and errors that /jsz will show")]
mod storage;

pub mod config;

mod connection;
#[allow(
    dead_code,
    unused_imports,
    reason = "sizes and errors that /jsz, mirrors and accounts will use"
)]
mod jetstream;

mod shard;

mod monitor;
#[cfg(feature = "testing")]
pub mod testing;

pub mod cli;

#[cfg(feature = "runtime")]
pub mod runtime;
