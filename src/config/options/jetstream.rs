//! The block `jetstream` (facts: config-and-ops §6).

use std::path::PathBuf;
use std::time::Duration;

/// JetStream, switched on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JetStream {
    /// Streams are kept in `jetstream` below it. Default: `nats` in the directory for temporary
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
    /// Requests to the API that may wait; all that wait are dropped then. Default 10,000.
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
            request_queue_max: 10_000,
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
