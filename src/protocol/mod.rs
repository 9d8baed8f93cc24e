//! The client protocol as bytes (facts/core-protocol.md §1–5): parsing and encoding.
//! Knows nothing of connections, routing or I/O.

pub mod command;
pub mod violation;

pub use command::{Command, Publish, Step};
pub use violation::Violation;
