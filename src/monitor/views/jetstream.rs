//! What `/jsz` and `/varz` both say of JetStream.

use serde::Serialize;

use crate::config::{BatchLimits, JetStream, JetStreamSync};
use crate::jetstream::{API_LEVEL, Figures, Usage};
use crate::monitor::facts::JetStreamFacts;
use crate::types::time::SECOND;

/// The settings.
#[derive(Serialize, Debug, Default)]
pub struct Config<'a> {
    max_memory: u64,
    max_storage: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    store_dir: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    sync_interval: u64,
    #[serde(skip_serializing_if = "is_false")]
    sync_always: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    compress_ok: bool,
    #[serde(skip_serializing_if = "is_false")]
    strict: bool,
}

/// What the reference shows beside `sync: always`, its default.
const SYNC_INTERVAL_NS: u64 = 120 * SECOND;

impl<'a> Config<'a> {
    pub fn of(facts: &'a JetStreamFacts) -> Self {
        let options = &facts.options;
        let (sync_interval, sync_always) = match options.sync {
            JetStreamSync::Always => (SYNC_INTERVAL_NS, true),
            JetStreamSync::Every(interval) => (interval.as_nanos() as u64, false),
        };
        Self {
            max_memory: options.max_memory_bytes.unwrap_or(0),
            max_storage: options.max_file_bytes.unwrap_or(0),
            store_dir: &facts.store_dir,
            sync_interval,
            sync_always,
            domain: options.domain.as_deref().unwrap_or_default(),
            compress_ok: true,
            strict: options.strict,
        }
    }
}

/// The block `limits`; what is not set is not shown.
#[derive(Serialize, Debug)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_request_batch: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ack_pending: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_duplicate_window: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_batch_inflight_per_stream: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_batch_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_batch_timeout: Option<u64>,
    /// -1: not limited.
    default_max_consumers: i64,
}

impl Limits {
    pub fn of(options: &JetStream) -> Self {
        let limits = &options.limits;
        let (batch, usual) = (&limits.batch, BatchLimits::default());
        let (inflight, size) = (batch.max_inflight_per_stream, batch.max_messages);
        Self {
            max_request_batch: limits.max_request_batch,
            max_ack_pending: limits.max_ack_pending,
            max_duplicate_window: limits.duplicate_window.map(|window| window.as_nanos() as u64),
            max_batch_inflight_per_stream: Some(inflight)
                .filter(|&most| most != usual.max_inflight_per_stream),
            max_batch_size: Some(size).filter(|&most| most != usual.max_messages),
            max_batch_timeout: Some(batch.timeout)
                .filter(|&timeout| timeout != usual.timeout)
                .map(|timeout| timeout.as_nanos() as u64),
            default_max_consumers: limits.default_max_consumers.unwrap_or(-1),
        }
    }
}

/// What is used and reserved, and what was asked.
#[derive(Serialize, Debug, Default)]
pub struct Stats {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: Api,
}

#[derive(Serialize, Debug, Default)]
struct Api {
    level: u32,
    total: u64,
    errors: u64,
}

impl Stats {
    /// Of the server. `shards`: by shard.
    pub fn of(shards: &[Figures]) -> Self {
        let sum = usage(shards);
        Self {
            reserved_memory: sum.reserved_memory,
            reserved_storage: sum.reserved_file,
            accounts: 1,
            api: Api { level: API_LEVEL, ..Api::of(shards) },
            ..Self::of_account(shards)
        }
    }

    /// Of the account of all clients. It has no limits, for which the reference shows the largest
    /// numbers as reserved, and it tells no level.
    pub fn of_account(shards: &[Figures]) -> Self {
        let sum = usage(shards);
        Self {
            memory: sum.memory,
            storage: sum.file,
            reserved_memory: u64::MAX,
            reserved_storage: u64::MAX,
            accounts: 0,
            ha_assets: 0,
            api: Api::of(shards),
        }
    }
}

impl Api {
    fn of(shards: &[Figures]) -> Self {
        let total = shards.iter().map(|shard| shard.calls.total).sum();
        let errors = shards.iter().map(|shard| shard.calls.errors).sum();
        Self { level: 0, total, errors }
    }
}

pub fn usage(shards: &[Figures]) -> Usage {
    let mut sum = Usage::default();
    shards.iter().for_each(|shard| sum += shard.usage);
    sum
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
