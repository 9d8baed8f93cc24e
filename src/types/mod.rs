//! Words every layer speaks: identities, time, limits, subjects. No behaviour of the broker.

pub mod close;
pub mod ids;
pub mod json;
pub mod limits;
pub mod mutation;
pub mod pattern;
pub mod shard_set;
pub mod spans;
pub mod subject;
pub mod time;
pub mod transform;

pub use close::CloseReason;
pub use ids::{AccountId, ClientId, ConnKey, ShardId};
pub use pattern::Pattern;
pub use shard_set::ShardSet;
pub use spans::Spans;
pub use subject::Subject;
pub use time::{Mono, Now, Wall, push_rfc3339, rfc3339};
pub use transform::Transform;
