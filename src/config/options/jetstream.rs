//! The block `jetstream` (facts: config-and-ops §6).

use std::path::PathBuf;
use std::time::Duration;

use super::Options;
use super::field::{self, Field, Key};
use crate::config::ConfigError;
use crate::config::file::Data;

/// JetStream, switched on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JetStream {
    /// Streams are kept in `weft` below it. Default: `nats` in the directory for temporary
    /// files.
    pub store_dir: Option<PathBuf>,
    /// Bytes that streams in memory may reserve. Default: 75 % of the machine's memory.
    pub max_memory_bytes: Option<u64>,
    /// Bytes that streams in files may reserve. Default: 75 % of the disk's free space.
    pub max_file_bytes: Option<u64>,
    pub domain: Option<String>,
    /// Unknown fields in requests are errors. Default true.
    pub strict: bool,
    pub sync: Sync,
    pub limits: JetStreamLimits,
    /// What may wait for a stream; more is refused. Default 100,000 messages, 128 MiB.
    pub max_buffered_messages: usize,
    pub max_buffered_bytes: usize,
}

/// When what is published is safe from a power cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sync {
    /// Before it is acknowledged. Not so in the reference, where the default is 2 minutes.
    #[default]
    Always,
    /// At the latest after this.
    Every(Duration),
}

/// The block `limits`: what a stream or a consumer may ask for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JetStreamLimits {
    pub max_ack_pending: Option<i64>,
    /// Messages of one pull.
    pub max_request_batch: Option<i64>,
    pub duplicate_window: Option<Duration>,
    pub batch: BatchLimits,
}

/// Atomic batches. At `max_messages` a batch is refused, at the others its publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    pub max_inflight_per_stream: usize,
    pub max_inflight_total: usize,
    pub max_messages: usize,
    /// Silence after which an open batch is given up.
    pub timeout: Duration,
}

impl Default for JetStream {
    fn default() -> Self {
        Self {
            store_dir: None,
            max_memory_bytes: None,
            max_file_bytes: None,
            domain: None,
            strict: true,
            sync: Sync::Always,
            limits: JetStreamLimits::default(),
            max_buffered_messages: 100_000,
            max_buffered_bytes: 128 * 1024 * 1024,
        }
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            max_inflight_per_stream: 50,
            max_inflight_total: 1000,
            max_messages: 1000,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Keys of the reference that are refused by name.
const REFUSED: &[&str] = &[
    "key",
    "ek",
    "encryption_key",
    "prev_key",
    "prev_ek",
    "prev_encryption_key",
    "cipher",
    "tpm",
    "unique_tag",
    "extension_hint",
    "max_outstanding_catchup",
    "request_queue_limit",
    "info_queue_limit",
    "meta_compact",
    "meta_compact_size",
    "meta_compact_sync",
    "max_concurrent_io",
];

const KEYS: &[Key<Block>] = &[
    Key { names: &["enabled"], read: |b, f| set(&mut b.enabled, f.boolean()) },
    Key {
        names: &["store_dir", "store", "storedir"],
        read: |b, f| set(&mut b.options.store_dir, f.optional_path()),
    },
    Key {
        names: &["max_memory_store", "max_mem_store", "max_mem", "max_memory"],
        read: |b, f| read_bytes(&mut b.options.max_memory_bytes, f),
    },
    Key {
        names: &["max_file_store", "max_file"],
        read: |b, f| read_bytes(&mut b.options.max_file_bytes, f),
    },
    Key { names: &["domain"], read: read_domain },
    Key { names: &["strict"], read: |b, f| set(&mut b.options.strict, f.boolean()) },
    Key { names: &["sync_interval", "sync"], read: read_sync },
    Key { names: &["limits"], read: read_limits },
    Key {
        names: &["max_buffered_msgs"],
        read: |b, f| set(&mut b.options.max_buffered_messages, f.unsigned()),
    },
    Key {
        names: &["max_buffered_size"],
        read: |b, f| set(&mut b.options.max_buffered_bytes, f.unsigned()),
    },
];

const LIMITS: &[Key<JetStreamLimits>] = &[
    Key { names: &["max_ack_pending"], read: |l, f| set(&mut l.max_ack_pending, f.limit()) },
    Key { names: &["max_request_batch"], read: |l, f| set(&mut l.max_request_batch, f.limit()) },
    Key {
        names: &["duplicate_window"],
        read: |l, f| set(&mut l.duplicate_window, f.duration().map(Some)),
    },
    Key { names: &["batch"], read: read_batch },
];

const BATCH: &[Key<BatchLimits>] = &[
    Key {
        names: &["max_inflight_per_stream"],
        read: |b, f| set(&mut b.max_inflight_per_stream, f.unsigned()),
    },
    Key {
        names: &["max_inflight_total"],
        read: |b, f| set(&mut b.max_inflight_total, f.unsigned()),
    },
    Key { names: &["max_msgs"], read: |b, f| set(&mut b.max_messages, f.unsigned()) },
    Key { names: &["timeout"], read: |b, f| set(&mut b.timeout, f.duration()) },
];

/// The block while it is read.
struct Block {
    enabled: bool,
    options: JetStream,
}

fn set<T>(field: &mut T, value: Result<T, ConfigError>) -> Result<(), ConfigError> {
    value.map(|value| *field = value)
}

pub(super) fn read(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let enabled = match &field.value.data {
        Data::Boolean(enabled) => *enabled,
        Data::Text(text) if text.eq_ignore_ascii_case("enabled") => true,
        Data::Text(text) if text.eq_ignore_ascii_case("disabled") => false,
        Data::Text(text) => {
            let text = format!("Expected 'enabled' or 'disabled' for string value, got '{text}'");
            return Err(field.error(text));
        }
        Data::Map(map) => {
            let mut block = Block { enabled: true, options: JetStream::default() };
            field::read_all(&mut block, map, KEYS, REFUSED)?;
            options.jetstream = block.enabled.then_some(block.options);
            return Ok(());
        }
        other => {
            let found = other.type_name();
            return Err(field
                .error(format!("Expected map, bool or string to define JetStream, got {found}")));
        }
    };
    options.jetstream = enabled.then(JetStream::default);
    Ok(())
}

pub(super) fn read_store_dir(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    set(&mut options.store_dir, field.optional_path())
}

/// A number of bytes, or text with a suffix of powers of 1024. -1 is the default.
fn read_bytes(bytes: &mut Option<u64>, field: &Field<'_>) -> Result<(), ConfigError> {
    let number = match &field.value.data {
        Data::Text(text) => bytes_of(text)
            .ok_or_else(|| field.error(format!("{} is not a size: {text:?}", field.name)))?,
        _ => field.integer()?,
    };
    *bytes = u64::try_from(number).ok();
    Ok(())
}

/// `"64M"`: only K, M, G and T, each a power of 1024.
fn bytes_of(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(scale)
}

fn read_domain(block: &mut Block, field: &Field<'_>) -> Result<(), ConfigError> {
    let domain = field.optional_text()?;
    let bad = |c: char| matches!(c, '.' | '*' | '>') || c.is_whitespace();
    if domain.as_ref().is_some_and(|domain| domain.contains(bad)) {
        return Err(field.error("invalid domain name: may not contain ., * or >"));
    }
    block.options.domain = domain;
    Ok(())
}

fn read_sync(block: &mut Block, field: &Field<'_>) -> Result<(), ConfigError> {
    let is_always =
        matches!(&field.value.data, Data::Text(text) if text.eq_ignore_ascii_case("always"));
    block.options.sync = if is_always { Sync::Always } else { Sync::Every(field.duration()?) };
    Ok(())
}

fn read_limits(block: &mut Block, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        return Err(field.wrong_type("map"));
    };
    field::read_all(&mut block.options.limits, map, LIMITS, &["max_ha_assets"])
}

fn read_batch(limits: &mut JetStreamLimits, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        return Err(field.wrong_type("map"));
    };
    field::read_all(&mut limits.batch, map, BATCH, &[])
}

impl Options {
    /// Where JetStream keeps its files, if the operator named a place.
    pub fn jetstream_dir(&self) -> Option<&PathBuf> {
        let own = self.jetstream.as_ref().and_then(|jetstream| jetstream.store_dir.as_ref());
        own.or(self.store_dir.as_ref())
    }
}
