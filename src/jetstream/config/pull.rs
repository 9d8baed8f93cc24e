//! What a pull asks for (facts/jetstream-api.md §10).

use super::values::Nanos;
use super::wire::object;

object! {
    /// The JSON form of a pull request. Fields nobody knows are passed over.
    pub struct PullRequest as "server.JSApiConsumerGetNextRequest" {
        batch: i64 = filled "batch" as "int",
        expires: Nanos = filled "expires",
        max_bytes: i64 = filled "max_bytes" as "int",
        no_wait: bool = filled "no_wait",
        idle_heartbeat: Nanos = filled "idle_heartbeat",
        group: String = filled "group",
        min_pending: i64 = filled "min_pending",
        min_ack_pending: i64 = filled "min_ack_pending",
        /// Of the pinned client.
        id: String = filled "id",
        priority: i64 = filled "priority" as "int",
    }
}

object! {
    /// What may follow `-NAK`.
    pub struct NakOptions as "server.ConsumerNakOptions" {
        delay: Nanos = filled "delay",
    }
}
