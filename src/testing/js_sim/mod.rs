//! JetStream under a seed: publishers, streams and consumers that come and go, acknowledgements
//! that get lost, crashes on disks that do their worst; judged by an oracle.
//!
//! ```text
//!   plan     shapes of streams and consumers     server    cores, logs, disks, lanes
//!   world    what clients do                     hear      what they hear, and whether they may
//!   changes  what they change
//!   model    what a stream must hold             consumer  what a consumer owes
//!   check    at rest, after a start, in the end  steps     a crash at every step of a change
//!   fault    a disk that fails
//! ```
//!
//! [`World::run`] either ends well or panics with the seed.

mod changes;
mod check;
mod consumer;
mod fault;
mod hear;
mod model;
mod plan;
mod server;
mod steps;
mod world;

pub use plan::Keeps;
pub use steps::{CHANGES, Change, crash_at_every_step};
pub use world::{Stats, World};

pub use crate::jetstream::Mutation;

/// Breaks one rule of JetStream for this thread.
pub fn mutate(mutation: Option<Mutation>) {
    crate::jetstream::set_mutation(mutation);
}

#[cfg(test)]
mod tests;
