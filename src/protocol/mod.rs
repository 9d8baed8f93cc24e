//! The client protocol as bytes (facts/core-protocol.md §1–5): parsing and encoding.
//! Knows nothing of connections, routing or I/O.

pub mod command;
pub mod encode;
pub mod handshake;
pub mod parser;
pub mod violation;

pub use command::{Command, Publish, Step};
pub use handshake::{ConnectOptions, ServerInfo};
pub use parser::ParserLimits;
pub use violation::Violation;
