//! What only we tell of JetStream: its disk, its logs, and the memory it takes, each bounded part
//! with its limit. Sizes in bytes, times in nanoseconds.

use serde::Serialize;

use crate::jetstream::Figures;
use crate::monitor::facts::{DiskFacts, DiskSpeed, JetStreamFacts};
use crate::storage::{Counters, LogFigures};

/// In `/varz`.
#[derive(Serialize, Debug)]
pub struct Logs<'a> {
    disk: Disk<'a>,
    memory: Memory,
    logs: Vec<Log>,
}

/// What the start found.
#[derive(Serialize, Debug)]
struct Disk<'a> {
    filesystem: &'a str,
    access: &'static str,
    /// Not there before it is measured.
    #[serde(flatten)]
    check: Option<Check>,
}

#[derive(Serialize, Debug)]
struct Check {
    check_write_bytes: usize,
    check_writes: usize,
    check_p50_ns: u64,
    check_max_ns: u64,
}

#[derive(Serialize, Debug)]
struct Memory {
    /// With what streams in memory hold, which is what `max_memory` bounds.
    streams: usize,
    /// Grow with the messages in files.
    indexes: usize,
    consumers: usize,
    snapshots: usize,
    outboxes: usize,
    tail_caches: usize,
    tail_caches_max: usize,
    read_caches: usize,
    read_caches_max: usize,
    waiting: usize,
    waiting_max: usize,
}

#[derive(Serialize, Debug)]
struct Log {
    log: u32,
    shard: usize,
    state: &'static str,
    /// Why it is read-only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// No room on the disk: publishes are refused until there is.
    is_full: bool,
    segments: usize,
    disk_bytes: u64,
    live_bytes: u64,
    batches: u64,
    records: u64,
    batch_bytes: u64,
    copied_bytes: u64,
    segments_retired: u64,
    flushes: u64,
    writes: u64,
    write_ns_mean: u64,
    write_ns_max: u64,
    reads: usize,
    reads_max: usize,
    waiting_bytes: usize,
    waiting_bytes_max: usize,
    tail_cache_bytes: usize,
    tail_cache_bytes_max: usize,
    read_cache_bytes: usize,
    read_cache_bytes_max: usize,
}

impl<'a> Logs<'a> {
    /// `shards`: by shard.
    pub fn of(facts: &'a JetStreamFacts, shards: &[Figures]) -> Self {
        let shards = || shards.iter().enumerate();
        let logs = shards()
            .flat_map(|(shard, figures)| figures.logs.iter().map(move |log| Log::of(shard, log)));
        let mut logs: Vec<Log> = logs.collect();
        logs.sort_by_key(|log| log.log);
        let sum = |part: fn(&Figures) -> usize| shards().map(|(_, figures)| part(figures)).sum();
        let of_logs = |part: fn(&Log) -> usize| logs.iter().map(part).sum();
        let memory = Memory {
            streams: sum(|figures| figures.memory.streams),
            indexes: sum(|figures| figures.memory.indexes),
            consumers: sum(|figures| figures.memory.consumers),
            snapshots: sum(|figures| figures.memory.snapshots),
            outboxes: sum(|figures| figures.memory.outboxes),
            tail_caches: of_logs(|log| log.tail_cache_bytes),
            tail_caches_max: of_logs(|log| log.tail_cache_bytes_max),
            read_caches: of_logs(|log| log.read_cache_bytes),
            read_caches_max: of_logs(|log| log.read_cache_bytes_max),
            waiting: of_logs(|log| log.waiting_bytes),
            waiting_max: of_logs(|log| log.waiting_bytes_max),
        };
        Self { disk: Disk::of(&facts.disk), memory, logs }
    }
}

impl<'a> Disk<'a> {
    fn of(facts: &'a DiskFacts) -> Self {
        Self {
            filesystem: &facts.filesystem,
            access: if facts.is_direct { "direct" } else { "buffered" },
            check: facts.speed.get().map(Check::of),
        }
    }
}

impl Check {
    fn of(speed: &DiskSpeed) -> Self {
        Self {
            check_write_bytes: speed.write_bytes,
            check_writes: speed.writes,
            check_p50_ns: speed.p50_ns,
            check_max_ns: speed.max_ns,
        }
    }
}

impl Log {
    fn of(shard: usize, figures: &LogFigures) -> Self {
        let Counters {
            batches,
            records,
            batch_bytes,
            copied_bytes,
            flushes,
            segments_retired,
            writes,
            write_ns,
            write_ns_max,
        } = figures.counters;
        Self {
            log: figures.log,
            shard,
            state: if figures.poison.is_some() { "read-only" } else { "running" },
            error: figures.poison.map(|poison| poison.to_string()),
            is_full: figures.is_full,
            segments: figures.segments,
            disk_bytes: figures.disk_bytes,
            live_bytes: figures.live_bytes,
            batches,
            records,
            batch_bytes,
            copied_bytes,
            segments_retired,
            flushes,
            writes,
            write_ns_mean: write_ns.checked_div(writes).unwrap_or(0),
            write_ns_max,
            reads: figures.reads,
            reads_max: figures.reads_max,
            waiting_bytes: figures.waiting_bytes,
            waiting_bytes_max: figures.waiting_bytes_max,
            tail_cache_bytes: figures.tail_cache_bytes,
            tail_cache_bytes_max: figures.tail_cache_bytes_max,
            read_cache_bytes: figures.read_cache_bytes,
            read_cache_bytes_max: figures.read_cache_bytes_max,
        }
    }
}
