//! The log under a seed: publishers, deletes, reads, compaction and crashes on a disk that does
//! its worst, judged by an oracle.
//!
//! `World::run(seed, options)` either ends well or panics with the seed.

mod check;
mod flips;
mod model;
mod world;

pub use flips::FlipStats;
pub(super) use world::tell;
pub use world::{Options, Stats, World};

pub use crate::storage::Mutation;

/// Breaks one rule of the log for this thread.
pub fn mutate(mutation: Option<Mutation>) {
    crate::storage::set_mutation(mutation);
}

#[cfg(test)]
mod tests;
