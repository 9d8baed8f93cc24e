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
//! | `snapshot/` | streams as archives, on their way out and in |
//! | `advisory/` | what is told of it all |
//! | `api/` | requests and answers |
//! | `registry` `letter` | who owns which stream; what cores tell each other |
//! | `core` | a core's streams: where what arrives goes |
//! | `wake` `alarm` `seats` | who is looked at, and when |
//! | `ledger` `figures` | what it all takes, and what the operator is told |
//! | `progress` | what consumers write into the log |
//! | `outbox` `context` `target` | the border to the shard |
//! | `mutation` | mistakes on purpose, for the simulator |

mod advisory;
mod alarm;
mod api;
mod config;
mod consumer;
mod context;
mod core;
#[allow(dead_code, reason = "the whole table of the reference; some are of clusters and accounts")]
mod error;
mod figures;
mod filter;
mod ground;
mod headers;
mod hosted;
mod info;
mod ledger;
mod letter;
mod lifecycle;
mod mutation;
mod outbox;
mod progress;
mod registry;
mod seats;
mod snapshot;
mod store;
mod stream;
mod target;
#[cfg(test)]
mod tests;
mod wake;

#[cfg(test)]
pub use api::Counts;
#[cfg(test)]
pub use config::ConsumerConfig;
pub use config::{API_LEVEL, StreamConfig, json_fault};
pub use context::{Caller, Gate, GateState, Site};
pub use core::{JetStream, Received, Seed};
pub use figures::{Consumers, Figures, FiguresQuery, Step, StreamFigures, Walk};
pub use info::{ClusterInfo, ConsumerInfo, SourceInfo, StreamInfo, StreamState};
pub use letter::Usage;
#[cfg(feature = "testing")]
pub use mutation::{Mutation, set as set_mutation};
pub use outbox::{Posted, PostedQueue, Released};
pub use target::{SubscriptionChange, SubscriptionKey, Target};

#[cfg(test)]
mod server_tests;
