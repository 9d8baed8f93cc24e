//! Who wants a message: the subscriptions of one shard and, compactly, what the others want.
//!
//! Single-threaded, no clock, no I/O. It knows patterns, queue groups and shards; it must not
//! know connections (an owner is a number to it), bytes on a wire to clients, or payloads.
//!
//! ```text
//! router ─┬→ cache ─(miss)→ interest ─┬→ sublist ─┬→ hash_index  literals, prefix.*
//!         │                           │           └→ trie        the other wildcards
//!         │                           └→ queue_group             members here and elsewhere
//!         └→ changes                  what this shard tells the others at the end of a turn
//! ```

mod cache;
mod changes;
mod fanout;
mod hash_index;
mod hashing;
mod interest;
mod queue_group;
mod router;
mod slab;
mod sublist;
mod subscription;
mod texts;
mod trie;

#[cfg(test)]
mod tests;

pub use fanout::{Fanout, GroupFanout, Pick};
pub use router::{Router, RouterSettings, RoutingTotals};
pub use subscription::{NewSubscription, SubKey, Subscription};
