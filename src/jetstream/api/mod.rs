//! The API: requests under `$JS.API.`, and their answers.
//!
//! | file | knows |
//! |---|---|
//! | `call` | which call a subject names |
//! | `front` | shard 0: the registry, lists, and the way to a stream's core |
//! | `serve` `consumers` | the stream's core: calls about it, and about its consumers |
//! | `purges` | the stream's core: purges, in slices |
//! | `snapshots` | the stream's core: snapshots and restores |
//! | `feeder` | consumers that feed other streams |
//! | `stored` | a message as it is answered |
//! | `requests` `refusals` `level` | bodies of requests, and what is refused |

mod call;
mod consumers;
mod feeder;
pub mod front;
mod level;
mod purges;
mod refusals;
mod requests;
mod serve;
mod snapshots;
mod stored;

pub use call::{API_PATTERNS, Call};
pub use front::Counts;
pub use purges::{PurgeCall, Purges};
pub use serve::error_of;
pub use snapshots::RESTORING_KEY;
