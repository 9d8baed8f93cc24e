//! A consumer's configuration (facts/jetstream-api.md §9).

use std::collections::BTreeMap;

use super::moment::Moment;
use super::values::{AckPolicy, Action, DeliverPolicy, Nanos, PriorityPolicy, ReplayPolicy};
use super::wire::{Mode, object, parse};
use super::with_server_metadata;
use crate::jetstream::error::ApiError;

object! {
    /// A consumer as its creator wants it; after the checks, as the server keeps it.
    pub struct ConsumerConfig as "server.ConsumerConfig" {
        durable_name: String = filled "durable_name",
        name: String = filled "name",
        description: String = filled "description",
        deliver_policy: DeliverPolicy = always "deliver_policy",
        opt_start_seq: u64 = filled "opt_start_seq",
        opt_start_time: Option<Moment> = filled "opt_start_time",
        ack_policy: AckPolicy = always "ack_policy",
        ack_wait: Nanos = filled "ack_wait",
        /// -1: without end.
        max_deliver: i64 = filled "max_deliver" as "int",
        backoff: Vec<Nanos> = filled "backoff" as "[]time.Duration",
        filter_subject: String = filled "filter_subject",
        filter_subjects: Vec<String> = filled "filter_subjects",
        replay_policy: ReplayPolicy = always "replay_policy",
        rate_limit_bps: u64 = filled "rate_limit_bps",
        /// `100` or `100%`.
        sample_freq: String = filled "sample_freq",
        max_waiting: i64 = filled "max_waiting" as "int",
        /// -1: without limit.
        max_ack_pending: i64 = filled "max_ack_pending" as "int",
        flow_control: bool = filled "flow_control",
        headers_only: bool = filled "headers_only",
        /// Of one pull: messages, time, bytes. 0 is no limit.
        max_batch: i64 = filled "max_batch" as "int",
        max_expires: Nanos = filled "max_expires",
        max_bytes: i64 = filled "max_bytes" as "int",
        /// Empty for a pull consumer.
        deliver_subject: String = filled "deliver_subject",
        deliver_group: String = filled "deliver_group",
        idle_heartbeat: Nanos = filled "idle_heartbeat",
        /// 0: it stays however long nobody uses it.
        inactive_threshold: Nanos = filled "inactive_threshold",
        /// 0: as the stream.
        num_replicas: i64 = always "num_replicas" as "int",
        mem_storage: bool = filled "mem_storage",
        /// Made by a mirror or a sourcing stream for itself.
        direct: bool = filled "direct",
        sourcing: bool = filled "sourcing",
        metadata: BTreeMap<String, String> = filled "metadata",
        pause_until: Option<Moment> = filled "pause_until",
        priority_groups: Vec<String> = filled "priority_groups",
        priority_policy: PriorityPolicy = filled "priority_policy",
        /// How long a pinned client may be silent.
        priority_timeout: Nanos = filled "priority_timeout",
    }
}

impl ConsumerConfig {
    /// As answers show it: with the server's version and level beside the required one.
    #[must_use]
    pub fn with_server_metadata(mut self, version: &str) -> Self {
        with_server_metadata(&mut self.metadata, version);
        self
    }
}

object! {
    /// The body of a consumer's creation.
    pub struct ConsumerRequest as "server.CreateConsumerRequest" {
        stream_name: String = always "stream_name",
        config: ConsumerConfig = always "config",
        action: Action = always "action",
        /// What the server would change is refused.
        pedantic: bool = filled "pedantic",
    }
}

impl ConsumerRequest {
    pub fn parse(text: &[u8], mode: Mode) -> Result<Self, ApiError> {
        parse(text, mode, "CreateConsumerRequest")
    }
}
