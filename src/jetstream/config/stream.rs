//! A stream's configuration (facts/jetstream-api.md §3).

use std::collections::BTreeMap;

use super::json::Node;
use super::source::{ConsumerLimits, Placement, RePublish, StreamSource, SubjectTransform};
use super::values::{Compression, Discard, Nanos, PersistMode, Retention, Storage};
use super::wire::{
    Mode, Problem, members, object, own_name, parse, parse_with, read_field, unknown,
};
use super::with_server_metadata;
use crate::jetstream::error::ApiError;

object! {
    /// A stream as its creator wants it; after the checks, as the server keeps it.
    pub struct StreamConfig as "server.StreamConfig" {
        name: String = always "name",
        description: String = filled "description",
        /// What is stored. Patterns that overlap neither each other nor another stream's.
        subjects: Vec<String> = filled "subjects",
        retention: Retention = always "retention",
        /// Limits: -1 is none.
        max_consumers: i64 = always "max_consumers" as "int",
        max_msgs: i64 = always "max_msgs",
        max_bytes: i64 = always "max_bytes",
        /// 0: messages do not age.
        max_age: Nanos = always "max_age",
        max_msgs_per_subject: i64 = always "max_msgs_per_subject",
        max_msg_size: i32 = always "max_msg_size",
        discard: Discard = always "discard",
        storage: Storage = always "storage",
        num_replicas: i64 = always "num_replicas" as "int",
        /// Publishes are not answered, not even refusals.
        no_ack: bool = filled "no_ack",
        duplicate_window: Nanos = filled "duplicate_window",
        placement: Option<Placement> = filled "placement",
        mirror: Option<StreamSource> = filled "mirror",
        sources: Vec<StreamSource> = filled "sources" as "[]*server.StreamSource",
        compression: Compression = always "compression",
        /// Where an empty stream begins; 0 is 1.
        first_seq: u64 = filled "first_seq",
        subject_transform: Option<SubjectTransform> = filled "subject_transform",
        republish: Option<RePublish> = filled "republish",
        allow_direct: bool = always "allow_direct",
        mirror_direct: bool = always "mirror_direct",
        discard_new_per_subject: bool = filled "discard_new_per_subject",
        sealed: bool = always "sealed",
        deny_delete: bool = always "deny_delete",
        deny_purge: bool = always "deny_purge",
        allow_rollup_hdrs: bool = always "allow_rollup_hdrs",
        consumer_limits: ConsumerLimits = always "consumer_limits",
        allow_msg_ttl: bool = always "allow_msg_ttl",
        subject_delete_marker_ttl: Nanos = filled "subject_delete_marker_ttl",
        allow_msg_counter: bool = filled "allow_msg_counter",
        allow_atomic: bool = filled "allow_atomic",
        allow_msg_schedules: bool = filled "allow_msg_schedules",
        persist_mode: PersistMode = filled "persist_mode",
        /// Fast-ingest batches.
        allow_batched: bool = filled "allow_batched",
        metadata: BTreeMap<String, String> = filled "metadata",
    }
}

impl StreamConfig {
    /// Reads a configuration by itself: one that was kept, or one to restore.
    pub fn parse(text: &[u8], mode: Mode) -> Result<Self, ApiError> {
        parse(text, mode, "StreamConfig")
    }

    /// What it takes of the memory or disk that the operator allows, used or not.
    pub fn reserved_bytes(&self) -> u64 {
        u64::try_from(self.max_bytes).unwrap_or(0)
    }

    /// As answers show it: with the server's version and level beside the required one.
    #[must_use]
    pub fn with_server_metadata(mut self, version: &str) -> Self {
        with_server_metadata(&mut self.metadata, version);
        self
    }
}

/// The body of a stream's creation or update: a configuration, with one field more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StreamRequest {
    pub config: StreamConfig,
    /// What the server would change is refused.
    pub pedantic: bool,
}

impl StreamRequest {
    pub fn parse(text: &[u8], mode: Mode) -> Result<Self, ApiError> {
        let mut request = Self::default();
        parse_with(text, "StreamConfigRequest", |node| request.read(node, mode))?;
        Ok(request)
    }

    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem> {
        for (name, value) in members(node, "server.StreamConfigRequest")? {
            if own_name(&["pedantic"], name).is_some() {
                read_field(&mut self.pedantic, "pedantic", None, value, mode)?;
            } else if !self.config.read_member(name, value, mode)? {
                unknown(name, mode)?;
            }
        }
        Ok(())
    }
}
