//! What a stream or a consumer is asked to be: read, completed, judged, written.
//!
//! | file | knows |
//! |---|---|
//! | `json` | JSON text, with Go's words for what is wrong with it |
//! | `wire` | objects of the API: their fields in order, what is left out, strict and lenient reading |
//! | `values` `moment` | durations, times and the words fields may hold |
//! | `stream` `source` `consumer` | the configurations |
//! | `pull` | what a pull asks for |
//! | `check/` | what they have to obey, what is filled in, what may change |

use std::collections::BTreeMap;

mod check;
mod consumer;
pub(super) mod json;
mod moment;
mod pull;
mod source;
mod stream;
mod values;
pub(super) mod wire;

pub use check::{Checked, ConsumerBounds, ConsumerSubject, StreamBounds};
pub use consumer::{ConsumerConfig, ConsumerRequest};
pub use json::fault as json_fault;
pub use moment::Moment;
pub use pull::{NakOptions, PullRequest};
#[cfg(test)]
pub use source::SourceConsumer;
pub use source::{External, StreamSource, SubjectTransform};
pub use stream::{StreamConfig, StreamRequest};
pub use values::{
    AckPolicy, Action, Compression, DeliverPolicy, Discard, Nanos, PersistMode, PriorityPolicy,
    ReplayPolicy, Retention, Storage,
};
pub(in crate::jetstream) use wire::object;
pub use wire::{Mode, Wire, parse};

/// What this server can do, of the reference's levels (facts/jetstream-api.md §1).
pub const API_LEVEL: u32 = 5;

/// Kept with a configuration: the API level that a server needs to serve it.
const REQUIRED_LEVEL: &str = "_nats.req.level";

fn with_server_metadata(metadata: &mut BTreeMap<String, String>, version: &str) {
    metadata.insert("_nats.ver".into(), version.into());
    metadata.insert("_nats.level".into(), API_LEVEL.to_string());
}
