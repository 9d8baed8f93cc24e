//! The log of one core: state and questions. Commands are in `append`, the way to the disk in
//! `flush`, files in `segments`, tidying in `compaction`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::batch::Buffer;
use super::commit::Commit;
use super::compaction::Compaction;
use super::effects::{Effect, Event, OpId};
use super::fault::{IoFault, Poison, ReadError};
use super::figures::Counters;
use super::footer::PartLimits;
use super::ids::{Epoch, LogId, Lsn, Place, SegmentNo, SlotId, StreamId};
use super::index::{Debris, Entry, StreamIndex};
use super::read_cache::ReadCache;
use super::segment::Segment;
use super::tail::TailCache;
use crate::types::Mono;
use crate::types::limits;

/// When an ack may go out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// When its record is on stable storage. The default.
    Always,
    /// When its record is written; flushes come at this interval, in nanoseconds.
    Every(u64),
}

/// Settings of a log; the defaults are the limits.
#[derive(Clone, Copy, Debug)]
pub struct LogSettings {
    pub sync: SyncMode,
    pub segment_bytes_min: u32,
    pub segment_bytes_max: u32,
    pub batch_bytes_max: usize,
    pub gather_bytes_max: usize,
    pub tail_cache_bytes: usize,
    /// What single reads brought is kept, in pages; with less than four pages nothing is.
    pub read_cache_bytes: usize,
    pub read_page_bytes: u32,
    pub compaction_window_bytes: u32,
    pub compaction_read_bytes: u32,
    pub copy_batch_bytes: usize,
    pub spare_slots: usize,
    /// How often the log looks for segments to retire or to empty.
    pub tidy_interval_ns: u64,
    /// How long a full segment waits to be sorted.
    pub sort_delay_ns: u64,
    /// More messages that go at once are taken out of the accounts bit by bit.
    pub swept_at_once: u64,
    /// When a part of a segment's footer is complete.
    pub footer_parts: PartLimits,
    /// Seeds the hash tables of subjects.
    pub hash_seed: u64,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            sync: SyncMode::Always,
            segment_bytes_min: limits::SEGMENT_BYTES_MIN,
            segment_bytes_max: limits::SEGMENT_BYTES_MAX,
            batch_bytes_max: limits::BATCH_BYTES_MAX,
            gather_bytes_max: limits::GATHER_BYTES_MAX,
            tail_cache_bytes: limits::TAIL_CACHE_BYTES,
            read_cache_bytes: limits::READ_CACHE_BYTES,
            read_page_bytes: limits::READ_PAGE_BYTES,
            compaction_window_bytes: limits::COMPACTION_WINDOW_BYTES,
            compaction_read_bytes: limits::COMPACTION_READ_BYTES,
            copy_batch_bytes: limits::COPY_BATCH_BYTES,
            spare_slots: limits::SPARE_SLOTS,
            tidy_interval_ns: limits::TIDY_INTERVAL_NS,
            sort_delay_ns: limits::SORT_DELAY_NS,
            swept_at_once: limits::SWEPT_AT_ONCE,
            footer_parts: PartLimits {
                bytes: limits::FOOTER_PART_BYTES,
                batch_bytes: limits::FOOTER_PART_BATCH_BYTES,
            },
            hash_seed: 0,
        }
    }
}

/// ```text
/// Starting ─→ Running ─→ Poisoned (until a restart)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// What recovery found is being flushed; nothing may be read or written yet.
    Starting,
    Running,
    Poisoned(Poison),
}

/// What an operation under way is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    Batch,
    /// A flush of everything submitted up to here.
    Flush(Lsn),
    /// The flush after recovery.
    StartFlush,
    Prepare(SegmentNo),
    Name(SegmentNo),
    Footer(SegmentNo),
    Read,
    /// A read that goes to the cache.
    Page,
    CompactionRead,
}

/// A file that holds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FreeSlot {
    pub slot: SlotId,
    pub len: u32,
    pub erase: bool,
}

/// A read that has ended.
#[derive(Debug)]
pub(super) struct DoneRead {
    pub entries: Vec<Entry>,
    pub offset: u32,
    pub result: Result<Buffer, ReadError>,
}

/// A read of a reader that is under way.
#[derive(Clone, Debug)]
pub(super) struct OpenRead {
    pub segment: SegmentNo,
    pub offset: u32,
    /// What the reader wants out of the bytes.
    pub entries: Vec<Entry>,
}

/// Bytes of records that stopped counting, by segment.
#[derive(Default, Debug)]
pub(super) struct Tally(Vec<(SegmentNo, u64)>);

impl Tally {
    /// Cheap for places that come in the order of their segments.
    pub fn add(&mut self, place: Place) {
        match self.0.last_mut() {
            Some((segment, bytes)) if *segment == place.segment => *bytes += u64::from(place.len),
            _ => self.0.push((place.segment, u64::from(place.len))),
        }
    }
}

/// The log of one core. It does no I/O: commands and completions go in, [`Effect`]s and
/// [`Event`]s come out.
#[derive(Debug)]
pub struct Log {
    pub(super) id: LogId,
    pub(super) settings: LogSettings,
    pub(super) health: Health,
    pub(super) commit: Commit,
    pub(super) streams: BTreeMap<StreamId, StreamIndex>,
    /// Deleted streams that some segment still mentions, and the record that says so.
    pub(super) gone_streams: BTreeMap<StreamId, Place>,
    /// Messages that were removed in masses, and still count as alive in their segments.
    pub(super) debris: VecDeque<Debris>,
    pub(super) segments: BTreeMap<SegmentNo, Segment>,
    pub(super) head: Option<SegmentNo>,
    pub(super) head_since: Mono,
    /// The head, the sorted segment and the next number when there were enough segments ahead.
    pub(super) ahead_of: (Option<SegmentNo>, Option<SegmentNo>, SegmentNo),
    /// What the pace of writing asks segments to be long.
    pub(super) pace_len: u32,
    /// The open segment that copies go to.
    pub(super) sorted: Option<SegmentNo>,
    /// The batch of the newest manifest.
    pub(super) manifest_lsn: Lsn,
    pub(super) free_slots: Vec<FreeSlot>,
    /// Files to delete once what recovery found is flushed: the record that says they are not
    /// needed may be part of it.
    pub(super) doomed: Vec<SlotId>,
    /// Segments with parts of footers to be written once their batches are durable.
    pub(super) footers_due: BTreeSet<SegmentNo>,
    pub(super) next_segment: SegmentNo,
    pub(super) next_slot: SlotId,
    pub(super) compaction: Compaction,
    /// The stream whose index was last looked at for what it need not hold.
    pub(super) cooled: StreamId,
    pub(super) tail: TailCache,
    pub(super) read_cache: ReadCache,
    /// Files written since the last flush.
    pub(super) unflushed: BTreeSet<SlotId>,
    pub(super) flush_under_way: bool,
    pub(super) flush_at: Mono,
    /// The tail ends in a batch that no later one vouches for.
    pub(super) tail_is_open: bool,
    pub(super) idle_since: Mono,
    /// Nothing is tidied any more.
    pub(super) is_stopping: bool,
    /// When a full disk is asked again.
    pub(super) full_until: Option<Mono>,
    pub(super) reads: BTreeMap<OpId, OpenRead>,
    pub(super) done_reads: BTreeMap<OpId, DoneRead>,
    pub(super) errands: BTreeMap<OpId, Errand>,
    pub(super) next_op: u64,
    pub(super) effects: Vec<Effect>,
    pub(super) events: VecDeque<Event>,
    pub(super) counters: Counters,
}

impl Log {
    /// An empty log. One that may have files comes from [`super::Recovery`].
    pub fn new(id: LogId, settings: LogSettings) -> Self {
        Self {
            id,
            settings,
            health: Health::Running,
            commit: Commit::new(id, Epoch(1), Lsn(0)),
            streams: BTreeMap::new(),
            gone_streams: BTreeMap::new(),
            debris: VecDeque::new(),
            segments: BTreeMap::new(),
            head: None,
            head_since: Mono(0),
            ahead_of: (None, None, SegmentNo(0)),
            pace_len: 0,
            sorted: None,
            manifest_lsn: Lsn(0),
            free_slots: Vec::new(),
            doomed: Vec::new(),
            footers_due: BTreeSet::new(),
            next_segment: SegmentNo(1),
            next_slot: SlotId(1),
            compaction: Compaction::default(),
            cooled: StreamId(0),
            tail: TailCache::new(settings.tail_cache_bytes),
            read_cache: ReadCache::new(settings.read_cache_bytes, settings.read_page_bytes),
            unflushed: BTreeSet::new(),
            flush_under_way: false,
            flush_at: Mono::NEVER,
            tail_is_open: false,
            idle_since: Mono(0),
            is_stopping: false,
            full_until: None,
            reads: BTreeMap::new(),
            done_reads: BTreeMap::new(),
            errands: BTreeMap::new(),
            next_op: 1,
            effects: Vec::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    pub fn id(&self) -> LogId {
        self.id
    }

    pub fn health(&self) -> Health {
        self.health
    }

    /// The newest batch with a record in it.
    pub fn appended(&self) -> Lsn {
        self.commit.appended()
    }

    pub fn submitted(&self) -> Lsn {
        self.commit.submitted()
    }

    pub fn durable(&self) -> Lsn {
        self.commit.durable()
    }

    /// Acks and answers that rest on batches up to this one may go out.
    pub fn settled(&self) -> Lsn {
        if super::mutation::is(super::Mutation::AckBeforeFlush) {
            return self.commit.appended();
        }
        match self.settings.sync {
            SyncMode::Always => self.commit.durable(),
            SyncMode::Every(_) => self.commit.submitted(),
        }
    }

    pub fn stream(&self, stream: StreamId) -> Option<&StreamIndex> {
        self.streams.get(&stream)
    }

    /// For questions that tidy up as they answer, such as a subject's range.
    pub fn stream_mut(&mut self, stream: StreamId) -> Option<&mut StreamIndex> {
        self.streams.get_mut(&stream)
    }

    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &StreamIndex)> {
        self.streams.iter().map(|(id, stream)| (*id, stream))
    }

    /// Bytes of records that count.
    pub fn live_bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.live_bytes).sum()
    }

    /// Bytes that wait for the disk.
    pub fn pending_bytes(&self) -> usize {
        self.commit.pending_bytes()
    }

    /// What is to be done to files, in the order it was decided.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Log::on_tick`] must be called at the latest. What waits for a completion wants no
    /// call: the completion is one.
    pub fn wake_at(&self) -> Mono {
        if !self.is_running() {
            return Mono::NEVER;
        }
        if !self.debris.is_empty() {
            return Mono(0);
        }
        let mut at = self.full_until.unwrap_or(Mono::NEVER);
        if !self.flush_under_way {
            at = at.min(self.flush_at);
        }
        if self.commit.flight.is_some() || self.commit.has_queue() {
            return at;
        }
        match &self.commit.gather {
            Some(gather) if gather.is_urgent() => at.min(gather.began()),
            Some(gather) => at.min(gather.began().plus(limits::RIDE_ALONG_NS)),
            None if self.tail_is_open => at.min(self.idle_since.plus(limits::IDLE_CLOSE_NS)),
            None => at,
        }
    }

    /// Whether there are effects or events to take.
    pub fn has_output(&self) -> bool {
        !self.effects.is_empty() || !self.events.is_empty()
    }

    pub(super) fn op(&mut self, errand: Errand) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.errands.insert(op, errand);
        op
    }

    pub(super) fn poison(&mut self, poison: Poison) {
        if !matches!(self.health, Health::Poisoned(_)) {
            self.health = Health::Poisoned(poison);
            self.events.push_back(Event::Poisoned(poison));
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.health == Health::Running
    }

    pub(super) fn stream_entry(&mut self, stream: StreamId) -> &mut StreamIndex {
        let hash_seed = self.settings.hash_seed;
        self.streams.entry(stream).or_insert_with(|| StreamIndex::new(hash_seed))
    }

    pub(super) fn count_in(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.count_in(place);
        }
    }

    pub(super) fn count_out(&mut self, place: Place) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.count_out(u64::from(place.len));
        }
    }

    pub(super) fn count_out_all(&mut self, tally: &Tally) {
        for &(segment, bytes) in &tally.0 {
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.count_out(bytes);
            }
        }
    }

    /// A read, write or flush has failed.
    pub fn on_fault(&mut self, op: OpId, fault: IoFault, now: Mono) {
        self.fail(op, fault, now);
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
