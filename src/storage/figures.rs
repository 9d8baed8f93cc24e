//! What can be told of a log: what it holds, what it has done, and what it keeps in memory, each
//! bounded part with its limit.

use super::fault::Poison;
use super::ids::StreamId;
use super::log::{Health, Log};
use crate::types::limits::READS_MAX;

/// Since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    pub batches: u64,
    pub records: u64,
    pub batch_bytes: u64,
    pub copied_bytes: u64,
    /// Flushes apart from writes; none where every write is flushed.
    pub flushes: u64,
    pub segments_retired: u64,
    /// Writes that have ended, with their flush where acks wait for it, and how long they took.
    pub writes: u64,
    pub write_ns: u64,
    pub write_ns_max: u64,
}

impl Counters {
    pub(super) fn count_write(&mut self, took_ns: u64) {
        self.writes += 1;
        self.write_ns += took_ns;
        self.write_ns_max = self.write_ns_max.max(took_ns);
    }
}

/// A log at one moment. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFigures {
    pub log: u32,
    /// Why it is read-only.
    pub poison: Option<Poison>,
    /// There is no room for another segment: publishes are refused until there is.
    pub is_full: bool,
    pub segments: usize,
    /// Of files, used or spare.
    pub disk_bytes: u64,
    /// Of records that count.
    pub live_bytes: u64,
    pub counters: Counters,
    /// Appended, and not yet on disk.
    pub waiting_bytes: usize,
    pub waiting_bytes_max: usize,
    pub tail_cache_bytes: usize,
    pub tail_cache_bytes_max: usize,
    pub read_cache_bytes: usize,
    pub read_cache_bytes_max: usize,
    /// Reads under way.
    pub reads: usize,
    pub reads_max: usize,
}

impl Log {
    pub fn figures(&self) -> LogFigures {
        let poison = match self.health {
            Health::Poisoned(poison) => Some(poison),
            Health::Starting | Health::Running => None,
        };
        LogFigures {
            log: self.id.0,
            poison,
            is_full: self.full_until.is_some(),
            segments: self.segments.len(),
            disk_bytes: self.disk_bytes(),
            live_bytes: self.live_bytes(),
            counters: self.counters(),
            waiting_bytes: self.pending_bytes(),
            waiting_bytes_max: self.settings.gather_bytes_max,
            tail_cache_bytes: self.tail.bytes(),
            tail_cache_bytes_max: self.settings.tail_cache_bytes,
            read_cache_bytes: self.read_cache.bytes(),
            read_cache_bytes_max: self.settings.read_cache_bytes,
            reads: self.reads.len(),
            reads_max: READS_MAX,
        }
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes of files, used or spare.
    pub fn disk_bytes(&self) -> u64 {
        let segments: u64 = self.segments.values().map(|segment| u64::from(segment.len)).sum();
        let free: u64 = self.free_slots.iter().map(|free| u64::from(free.len)).sum();
        segments + free
    }

    /// Where in the files what is written of footers lies: slot, begin and end.
    #[cfg(feature = "testing")]
    pub fn footers(&self) -> Vec<(super::SlotId, u32, u32)> {
        let parts =
            self.segments.values().map(|segment| (segment.slot, segment.footer_top, segment.len));
        parts.filter(|(_, from, to)| from < to).collect()
    }

    /// Bytes of memory that the index of a stream takes. They grow with its messages.
    pub fn index_bytes(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, |index| index.memory())
    }
}
