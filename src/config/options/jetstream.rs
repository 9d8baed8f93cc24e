//! The block `jetstream` (facts: config-and-ops §6).

use std::path::PathBuf;
use std::time::Duration;

use super::field::{self, Field, Key};
use super::{Options, conflict};
use crate::config::ConfigError;
use crate::config::file::Data;
use crate::types::Pattern;

/// JetStream, switched on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JetStream {
    /// Bytes that streams in memory may reserve. Default `None`: 75 % of the machine's memory.
    pub max_memory_bytes: Option<u64>,
    /// Bytes that streams in files may reserve. Default `None`: 75 % of the disk's free space.
    pub max_file_bytes: Option<u64>,
    /// Makes `$JS.<domain>.API.>` one of our names.
    pub domain: Option<String>,
    /// Unknown fields in requests are errors. Default true.
    pub strict: bool,
    pub sync: Sync,
    pub limits: JetStreamLimits,
    /// What may wait to be stored in one stream; more is refused. Default 100,000 messages and
    /// 128 MiB.
    pub max_buffered_messages: usize,
    pub max_buffered_bytes: usize,
    /// Requests to the API that may wait; past it they are dropped. Default 10,000.
    pub request_queue_max: usize,
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
    /// Consumers of a stream that sets no limit of its own. Not limited where nothing is said, unlike
    /// the reference's: there it is 1000.
    pub default_max_consumers: Option<i64>,
    pub batch: BatchLimits,
}

/// Atomic batches. Past `max_messages` a batch is refused, past the others its publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchLimits {
    pub max_inflight_per_stream: usize,
    pub max_messages: usize,
    /// Silence after which an open batch is given up.
    pub timeout: Duration,
}

impl Default for JetStream {
    fn default() -> Self {
        Self {
            max_memory_bytes: None,
            max_file_bytes: None,
            domain: None,
            strict: true,
            sync: Sync::Always,
            limits: JetStreamLimits::default(),
            max_buffered_messages: MAX_BUFFERED_MESSAGES,
            max_buffered_bytes: MAX_BUFFERED_BYTES,
            request_queue_max: REQUEST_QUEUE_MAX,
        }
    }
}

/// The defaults that zero and below stand for as well.
const MAX_BUFFERED_MESSAGES: usize = 100_000;
const MAX_BUFFERED_BYTES: usize = 128 * 1024 * 1024;
const REQUEST_QUEUE_MAX: usize = 10_000;

impl Default for BatchLimits {
    fn default() -> Self {
        Self { max_inflight_per_stream: 50, max_messages: 1000, timeout: Duration::from_secs(10) }
    }
}

impl Options {
    pub(super) fn validate_jetstream(&self) -> Result<(), ConfigError> {
        let Some(domain) = self.jetstream.as_ref().and_then(|js| js.domain.as_deref()) else {
            return Ok(());
        };
        let derived = format!("$JS.{domain}.API.>");
        if Pattern::parse(derived.as_bytes()).is_none() || derived.contains(char::is_whitespace) {
            return Err(conflict(format!(
                "invalid domain name: derived {derived:?} is not a valid subject"
            )));
        }
        if domain.contains(['.', '*', '>']) {
            return Err(conflict("invalid domain name: may not contain ., * or >".into()));
        }
        Ok(())
    }
}

/// What the block says before it is known whether it says `enabled`.
struct Block {
    enabled: bool,
    store_dir: Option<PathBuf>,
    jetstream: JetStream,
}

const KEYS: &[Key<Block>] = &[
    Key { names: &["enabled", "enable"], read: |b, f| set(&mut b.enabled, f.boolean()?) },
    Key {
        names: &["store_dir", "storedir", "store"],
        read: |b, f| read_store_dir(&mut b.store_dir, f),
    },
    Key {
        names: &["max_memory_store", "max_mem_store", "max_mem"],
        read: |b, f| set(&mut b.jetstream.max_memory_bytes, storage_size(f, "max_mem_store")?),
    },
    Key {
        names: &["max_file_store", "max_file"],
        read: |b, f| set(&mut b.jetstream.max_file_bytes, storage_size(f, "max_file_store")?),
    },
    Key { names: &["domain"], read: |b, f| set(&mut b.jetstream.domain, f.optional_text()?) },
    Key { names: &["strict"], read: |b, f| set(&mut b.jetstream.strict, truth(f)?) },
    Key { names: &["sync", "sync_interval"], read: |b, f| set(&mut b.jetstream.sync, sync(f)?) },
    Key { names: &["limits"], read: |b, f| read_limits(&mut b.jetstream.limits, f) },
    Key {
        names: &["max_buffered_msgs"],
        read: |b, f| {
            set(&mut b.jetstream.max_buffered_messages, queue_size(f, MAX_BUFFERED_MESSAGES)?)
        },
    },
    Key {
        names: &["max_buffered_size"],
        read: |b, f| {
            let bytes = storage_size(f, "max_buffered_size")?.filter(|&bytes| bytes > 0);
            let bytes =
                bytes.map_or(MAX_BUFFERED_BYTES, |b| usize::try_from(b).unwrap_or(usize::MAX));
            set(&mut b.jetstream.max_buffered_bytes, bytes)
        },
    },
    Key {
        names: &["request_queue_limit"],
        read: |b, f| set(&mut b.jetstream.request_queue_max, queue_size(f, REQUEST_QUEUE_MAX)?),
    },
];

/// Keys of the reference that are refused: encryption, clusters, and its ways of doing I/O.
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
    "meta_compact",
    "meta_compact_size",
    "meta_compact_sync",
    "info_queue_limit",
    "max_concurrent_io",
];

const LIMITS: &[Key<JetStreamLimits>] = &[
    Key { names: &["max_ack_pending"], read: |l, f| set(&mut l.max_ack_pending, f.limit()?) },
    Key { names: &["max_request_batch"], read: |l, f| set(&mut l.max_request_batch, f.limit()?) },
    Key {
        names: &["duplicate_window"],
        read: |l, f| {
            let window = f.duration()?;
            set(&mut l.duplicate_window, Some(window).filter(|window| !window.is_zero()))
        },
    },
    Key {
        names: &["default_max_consumers"],
        read: |l, f| set(&mut l.default_max_consumers, f.limit()?),
    },
    Key { names: &["batch"], read: |l, f| read_batch(&mut l.batch, f) },
];

const REFUSED_LIMITS: &[&str] = &["max_ha_assets"];

const BATCH: &[Key<BatchLimits>] = &[
    Key {
        names: &["max_inflight_per_stream"],
        read: |l, f| positive(&mut l.max_inflight_per_stream, f),
    },
    Key { names: &["max_msgs"], read: |l, f| positive(&mut l.max_messages, f) },
    Key {
        names: &["timeout"],
        read: |l, f| {
            let timeout = f.duration()?;
            if !timeout.is_zero() {
                l.timeout = timeout;
            }
            Ok(())
        },
    },
];

pub(super) fn read(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let mut block = Block {
        enabled: true,
        store_dir: options.store_dir.take(),
        jetstream: JetStream::default(),
    };
    match &field.value.data {
        Data::Boolean(on) => block.enabled = *on,
        Data::Text(text) => {
            block.enabled = match text.to_ascii_lowercase().as_str() {
                "enabled" | "enable" => true,
                "disabled" | "disable" => false,
                _ => {
                    return Err(field.error(format!(
                        "Expected 'enabled' or 'disabled' for string value, got '{text}'"
                    )));
                }
            }
        }
        Data::Map(map) => field::read_all(&mut block, map, KEYS, REFUSED)?,
        other => {
            let found = other.type_name();
            return Err(field
                .error(format!("Expected map, bool or string to define JetStream, got {found}")));
        }
    }
    options.store_dir = block.store_dir;
    options.jetstream = block.enabled.then_some(block.jetstream);
    Ok(())
}

/// Inside the block or beside it, but not both.
pub(super) fn read_store_dir(
    place: &mut Option<PathBuf>,
    field: &Field<'_>,
) -> Result<(), ConfigError> {
    let path = field.optional_path()?;
    if place.is_some() {
        return Err(field.error(DUPLICATE_STORE_DIR));
    }
    set(place, path)
}

pub(crate) const DUPLICATE_STORE_DIR: &str = "Duplicate 'store_dir' configuration";

fn read_limits(limits: &mut JetStreamLimits, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        let found = field.value.data.type_name();
        return Err(field.error(format!("Expected a map to define JetStreamLimits, got {found}")));
    };
    field::read_all(limits, map, LIMITS, REFUSED_LIMITS)
}

fn read_batch(limits: &mut BatchLimits, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        let found = field.value.data.type_name();
        return Err(field.error(format!("Expected a map to define batch limits, got {found}")));
    };
    field::read_all(limits, map, BATCH, &[])
}

fn set<T>(place: &mut T, value: T) -> Result<(), ConfigError> {
    *place = value;
    Ok(())
}

/// Zero and below leave the default.
fn positive(place: &mut usize, field: &Field<'_>) -> Result<(), ConfigError> {
    if let Some(value) = field.limit()? {
        *place = value;
    }
    Ok(())
}

fn truth(field: &Field<'_>) -> Result<bool, ConfigError> {
    match &field.value.data {
        Data::Boolean(truth) => Ok(*truth),
        other => {
            let found = match other {
                Data::Text(text) => text,
                other => other.type_name(),
            };
            Err(field.error(format!("Expected 'true' or 'false' for bool value, got '{found}'")))
        }
    }
}

fn sync(field: &Field<'_>) -> Result<Sync, ConfigError> {
    match &field.value.data {
        Data::Text(text) if text.eq_ignore_ascii_case("always") => return Ok(Sync::Always),
        // As the reference: the default.
        Data::Text(text) if text.starts_with('-') => return Ok(Sync::default()),
        _ => {}
    }
    let interval = field.duration_not_seconds()?;
    Ok(if interval.is_zero() { Sync::default() } else { Sync::Every(interval) })
}

/// A number, or a text that ends in K, M, G or T, which count in powers of 1024. `None` for
/// nothing and for what is negative.
fn storage_size(field: &Field<'_>, name: &str) -> Result<Option<u64>, ConfigError> {
    let text = match &field.value.data {
        Data::Integer(number) => return Ok(u64::try_from(*number).ok()),
        Data::Text(text) => text,
        _ => return Err(field.error(format!("{name} must be int64 or string"))),
    };
    let Some(last) = text.chars().next_back() else { return Ok(None) };
    let digits = &text[..text.len() - last.len_utf8()];
    let number: i64 = digits.parse().map_err(|_| {
        field.error(format!("{name} strconv.ParseInt: parsing {digits:?}: invalid syntax"))
    })?;
    let power = "KMGT".find(last).ok_or_else(|| {
        field.error(format!("{name} sizes defined as strings must end in K, M, G, T"))
    })?;
    let unit = 1024_u64.pow(power as u32 + 1);
    Ok(u64::try_from(number).ok().map(|number| number.saturating_mul(unit)))
}

fn queue_size(field: &Field<'_>, default: usize) -> Result<usize, ConfigError> {
    if let Data::Text(text) = &field.value.data {
        let name = &field.name;
        return Err(field.error(format!("Expected a parseable size for {name:?}, got {text}")));
    }
    Ok(field.limit()?.unwrap_or(default))
}

#[cfg(test)]
mod tests;
