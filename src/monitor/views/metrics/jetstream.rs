//! JetStream's part of a scrape: what `/jsz` sums up, and each log. Nothing with JetStream off.

use std::fmt;

use super::{BYTES, Metrics, Page, SECONDS};
use crate::jetstream::Usage;
use crate::storage::LogFigures;

impl Metrics {
    pub(super) fn jetstream(&self, page: &mut Page<'_>) -> fmt::Result {
        if self.jetstream.is_empty() {
            return Ok(());
        }
        self.streams(page)?;
        self.logs(page)
    }

    fn streams(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut sum = Usage::default();
        self.jetstream.iter().for_each(|shard| sum += shard.usage);
        let counts = [
            ("jetstream_streams", "Streams", sum.streams),
            ("jetstream_consumers", "Consumers, those of mirrors and sources aside", sum.consumers),
            ("jetstream_messages", "Messages in streams", sum.messages),
        ];
        for (name, help, count) in counts {
            page.gauge(name, help, None, &count)?;
        }
        let bytes = [
            ("jetstream_memory", "Messages kept in memory", sum.memory),
            ("jetstream_storage", "Messages kept in files", sum.file),
            ("jetstream_reserved_memory", "Reserved by streams in memory", sum.reserved_memory),
            ("jetstream_reserved_storage", "Reserved by streams in files", sum.reserved_file),
        ];
        for (name, help, size) in bytes {
            page.gauge(name, help, BYTES, &size)?;
        }
        let calls = || self.jetstream.iter().map(|shard| shard.calls);
        let total: u64 = calls().map(|calls| calls.total).sum();
        let errors: u64 = calls().map(|calls| calls.errors).sum();
        page.counter("jetstream_api_requests", "Calls of the API", None, &total)?;
        page.counter("jetstream_api_errors", "Calls of the API that were refused", None, &errors)
    }

    fn logs(&self, page: &mut Page<'_>) -> fmt::Result {
        let logs: Vec<(String, &LogFigures)> = self
            .jetstream
            .iter()
            .flat_map(|shard| &shard.logs)
            .map(|log| (log.log.to_string(), log))
            .collect();
        let rows = |figure: fn(&LogFigures) -> u64| {
            logs.iter().map(move |(name, log)| (name.as_str(), figure(log)))
        };
        page.gauges(
            "log_segments",
            "Files of a log",
            None,
            "log",
            rows(|log| log.segments as u64),
        )?;
        page.gauges("log_disk", "Files of a log", BYTES, "log", rows(|log| log.disk_bytes))?;
        page.gauges("log_live", "Records that count", BYTES, "log", rows(|log| log.live_bytes))?;
        page.gauges(
            "log_waiting",
            "Appended, and not yet on disk",
            BYTES,
            "log",
            rows(|log| log.waiting_bytes as u64),
        )?;
        page.gauges(
            "log_read_only",
            "1 if the disk failed and the log takes no more until a restart",
            None,
            "log",
            rows(|log| u64::from(log.poison.is_some())),
        )?;
        page.gauges(
            "log_full",
            "1 if there is no room for another file",
            None,
            "log",
            rows(|log| u64::from(log.is_full)),
        )?;
        page.counters(
            "log_records",
            "Records appended",
            None,
            "log",
            rows(|log| log.counters.records),
        )?;
        page.counters("log_writes", "Writes", None, "log", rows(|log| log.counters.writes))?;
        page.counters(
            "log_written",
            "Bytes of batches, headers and padding among them",
            BYTES,
            "log",
            rows(|log| log.counters.batch_bytes),
        )?;
        let seconds =
            logs.iter().map(|(name, log)| (name.as_str(), log.counters.write_ns as f64 / 1e9));
        page.counters("log_write_time", "Time that writes took", SECONDS, "log", seconds)
    }
}
