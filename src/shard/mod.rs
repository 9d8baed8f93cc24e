//! Owns everything of one core and decides nothing.

pub mod snapshot;
