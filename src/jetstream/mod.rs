//! JetStream of one core: the streams placed on it, with their consumers, and the log beneath.
//!
//! It does no I/O and reads no clock. What arrives goes in with a [`Context`]; what it publishes
//! comes out of the [`Outbox`].
//!
//! | file | knows |
//! |---|---|
//! | `config/` `info` `error` | the API's JSON: what is asked, what is answered |
//! | `store/` `filter` | messages in sequence: in the log, or in memory |
//! | `stream/` | what a publish does, limits, retention |
//! | `consumer/` | who gets what next, and what was acknowledged |
//! | `advisory/` | what is told of it all |
//! | `outbox` `context` | the border to the shard |

mod advisory;
mod config;
mod consumer;
mod context;
mod error;
mod filter;
mod headers;
mod info;
mod outbox;
mod store;
mod stream;
