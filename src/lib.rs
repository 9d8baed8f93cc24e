//! weft: a NATS-compatible message broker, thread per core. The map is `src/README.md`.
//!
//! Modules stand in layer order: each uses only rows above its own (`tests/architecture.rs`).

mod types;

mod mesh;
mod protocol;
mod routing;
mod security;
#[allow(dead_code, unused_imports, reason = "streams will stand on it; until then its tests do")]
mod storage;

pub mod config;

mod connection;
#[allow(dead_code, unused_imports, reason = "being built: the shard will own it")]
mod jetstream;

mod shard;

mod monitor;
#[cfg(feature = "testing")]
pub mod testing;

pub mod cli;

#[cfg(feature = "runtime")]
pub mod runtime;
