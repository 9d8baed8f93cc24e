//! Tidying: a sealed segment that is mostly dead, or that mixes streams, is read piece by piece;
//! what lives is appended again, messages grouped by stream into a sorted segment. Then nothing
//! in it lives, and it retires like any other.

use std::cmp::Reverse;

use super::append::{Class, Urgency};
use super::batch::{BATCH_HEADER, BatchHeader, round_up};
use super::commit::Copied;
use super::effects::{Effect, Event};
use super::fault::{Certainty, Damage};
use super::ids::{Place, SegmentNo, Seq, StreamId, position};
use super::index::keys::KeyRecord;
use super::log::{Errand, Log};
use super::mutation::{self, Mutation};
use super::record::{Message, Record};
use super::segment::{SEGMENT_HEADER, Segment, Stage};
use crate::types::Mono;

/// Writes of publishers between two writes of copies, when both wait.
const LIVE_WRITES_PER_COPY: u32 = 4;

/// The segment being emptied.
#[derive(Default, Debug)]
pub struct Compaction {
    job: Option<Job>,
    live_writes: u32,
    /// Nothing was to be done: not looked at again before.
    look_at: Mono,
}

#[derive(Debug)]
struct Job {
    segment: SegmentNo,
    /// Where the next piece begins.
    next: u32,
    is_reading: bool,
    window: Vec<u8>,
    window_at: u32,
    /// Messages of the window still to be copied, last first.
    messages: Vec<(StreamId, Seq, Place)>,
}

/// Why a piece is not gone through to its end.
enum Stop {
    Damaged,
    /// No room to copy to, for now.
    Refused,
}

impl Compaction {
    pub fn is_at(&self, segment: SegmentNo) -> bool {
        self.job.as_ref().is_some_and(|job| job.segment == segment)
    }
}

impl Log {
    /// After something became durable: retire what is dead, look for a segment to empty.
    pub(super) fn tidy(&mut self, now: Mono) {
        if self.is_stopping || self.compaction.job.is_some() || now < self.compaction.look_at {
            return;
        }
        self.retire_dead(now);
        match self.pick() {
            Some(segment) => {
                self.compaction.job = Some(Job {
                    segment,
                    next: SEGMENT_HEADER,
                    is_reading: false,
                    window: Vec::new(),
                    window_at: 0,
                    messages: Vec::new(),
                });
            }
            None => self.compaction.look_at = now.plus(self.settings.tidy_interval_ns),
        }
    }

    /// The segment that gives most room back; else one that mixes streams.
    fn pick(&self) -> Option<SegmentNo> {
        let durable = self.commit.durable();
        let is_free = |segment: &&Segment| {
            segment.stage == Stage::Sealed
                && !segment.is_damaged
                && segment.live_bytes > 0
                && segment.last_lsn() <= durable
                && !segment.sources.iter().any(|no| self.segments.contains_key(no))
        };
        let free = || self.segments.values().filter(is_free);
        let wasteful = free().filter(|segment| segment.live_bytes < u64::from(segment.len / 2));
        let worst =
            wasteful.min_by_key(|segment| segment.live_bytes * 1000 / u64::from(segment.len));
        let mixed = || {
            free().find(|segment| {
                let with_messages = segment.streams.values().filter(|seq| seq.0 > 0);
                !segment.is_sorted && with_messages.count() > 1
            })
        };
        worst.or_else(mixed).map(|segment| segment.no)
    }

    /// Puts the next copies into a batch of their own, if it is their turn.
    pub(super) fn gather_copies(&mut self, now: Mono) {
        if self.is_stopping {
            return;
        }
        self.read_on(now);
        let Some(job) = &mut self.compaction.job else { return };
        if job.messages.is_empty() || self.commit.gather.is_some() {
            return;
        }
        let mut messages = std::mem::take(&mut job.messages);
        self.copy_some(&mut messages, now);
        if let Some(job) = &mut self.compaction.job {
            job.messages = messages;
        }
    }

    /// Whether copies have waited for long enough to go before publishers.
    pub(super) fn copies_are_due(&mut self) -> bool {
        let has_copies = self.compaction.job.as_ref().is_some_and(|job| !job.messages.is_empty());
        self.compaction.live_writes += 1;
        has_copies && self.compaction.live_writes > LIVE_WRITES_PER_COPY
    }

    fn read_on(&mut self, now: Mono) {
        let Some(job) = &self.compaction.job else { return };
        if job.is_reading || !job.messages.is_empty() {
            return;
        }
        let (no, offset) = (job.segment, job.next);
        let Some(segment) = self.segments.get(&no) else {
            self.compaction.job = None;
            return;
        };
        if offset >= segment.end {
            self.finish_job(no, now);
            return;
        }
        let slot = segment.slot;
        let first = self.compaction.job.as_ref().map_or(0, |job| job.window.len() as u32);
        let len = self.settings.compaction_window_bytes.max(first).min(segment.end - offset);
        let op = self.op(Errand::CompactionRead);
        if let Some(job) = &mut self.compaction.job {
            job.is_reading = true;
        }
        self.effects.push(Effect::Read { op, slot, offset, len });
    }

    /// All of it was copied, unless copies are still on their way.
    fn finish_job(&mut self, no: SegmentNo, now: Mono) {
        let live = self.segments.get(&no).map_or(0, |segment| segment.live_bytes);
        let is_busy = self.commit.flight.is_some() || self.commit.has_queue();
        if live > 0 && (is_busy || !self.debris.is_empty()) {
            return;
        }
        self.compaction.job = None;
        if live > 0 {
            // Something counts that was not found: never the cause of deletion.
            self.compaction_damaged(no, SEGMENT_HEADER);
        }
        self.compaction.look_at = now;
        self.tidy(now);
    }

    pub(super) fn compaction_failed(&mut self) {
        if let Some(job) = self.compaction.job.take() {
            self.compaction_damaged(job.segment, job.next);
        }
    }

    fn compaction_damaged(&mut self, no: SegmentNo, from: u32) {
        self.compaction.job = None;
        let Some(segment) = self.segments.get_mut(&no) else { return };
        segment.is_damaged = true;
        let damage = Damage {
            certainty: Certainty::Lost,
            segment: no,
            from,
            to: segment.end,
            batches: None,
            streams: segment.streams.keys().copied().collect(),
        };
        self.events.push_back(Event::Damaged(damage));
    }

    /// A piece of the segment: the records that live are listed, small state is appended at once.
    pub(super) fn on_compaction_read(&mut self, bytes: &[u8], now: Mono) {
        let Some(job) = &mut self.compaction.job else { return };
        job.is_reading = false;
        let (no, start) = (job.segment, job.next);
        let Some(end) = self.segments.get(&no).map(|segment| segment.end) else { return };
        let mut at = 0usize;
        let mut listed = Vec::new();
        while at < bytes.len() {
            let offset = start + at as u32;
            let Ok(header) = BatchHeader::decode(&bytes[at..], self.id, no, offset) else {
                return self.compaction_damaged(no, offset);
            };
            let padded = header.padded_len() as usize;
            if at + padded > bytes.len() {
                if at == 0 && start.saturating_add(padded as u32) > end {
                    return self.compaction_damaged(no, offset);
                }
                if at == 0 {
                    // A batch larger than the window: read again, all of it.
                    return self.widen_window(padded);
                }
                break;
            }
            let Ok(body) = header.body(&bytes[at..]) else {
                return self.compaction_damaged(no, offset);
            };
            match self.list_live(no, offset, body, &mut listed, now) {
                Ok(()) => {}
                Err(Stop::Damaged) => return self.compaction_damaged(no, offset),
                Err(Stop::Refused) => {
                    self.compaction.job = None;
                    return;
                }
            }
            at += padded;
        }
        listed.sort_unstable_by_key(|&(stream, seq, _)| Reverse((stream, seq)));
        if let Some(job) = &mut self.compaction.job {
            job.window_at = start;
            job.next = start + at as u32;
            job.window = bytes[..at].to_vec();
            job.messages = listed;
        }
    }

    fn widen_window(&mut self, len: usize) {
        if let Some(job) = &mut self.compaction.job {
            job.window = vec![0; len];
            job.messages.clear();
        }
    }

    /// Walks the records of a batch. What was kept before a stop does no harm.
    fn list_live(
        &mut self,
        no: SegmentNo,
        batch: u32,
        body: &[u8],
        listed: &mut Vec<(StreamId, Seq, Place)>,
        now: Mono,
    ) -> Result<(), Stop> {
        let mut at = 0usize;
        while at < body.len() {
            let offset = batch + (BATCH_HEADER + at) as u32;
            let (record, len) =
                Record::decode(&body[at..], position(no, offset)).map_err(|_| Stop::Damaged)?;
            let place = Place { segment: no, offset, len };
            at += len as usize;
            match record {
                Record::Message(message) => {
                    if self.is_live(&message, place) {
                        listed.push((message.stream, message.seq, place));
                    }
                }
                other => self.keep(&other, place, now)?,
            }
        }
        Ok(())
    }

    fn is_live(&self, message: &Message<'_>, place: Place) -> bool {
        let index = self.streams.get(&message.stream);
        index.and_then(|index| index.get(message.seq)).is_some_and(|entry| entry.place == place)
            || mutation::is(Mutation::CopyAfterTombstone)
    }

    /// Appends a small record again if it still counts.
    fn keep(&mut self, record: &Record<'_>, place: Place, now: Mono) -> Result<(), Stop> {
        match record {
            Record::Delete { victims, .. } => {
                if self.is_buried(place, *victims) {
                    let copy = self.again(record, place, now)?;
                    self.bury(copy, *victims);
                    self.unbury(place, *victims);
                }
            }
            Record::Bounds { stream, .. } => {
                let newest = self.streams.get(stream).and_then(|index| index.bounds);
                if newest.is_some_and(|(newest, _)| newest == place) {
                    self.admit(64, Class::Essential, now).map_err(|_| Stop::Refused)?;
                    self.put_bounds(*stream, Urgency::RideAlong);
                }
            }
            Record::State { stream, key, version, .. } => {
                self.keep_keyed(record, place, (*stream, key, *version), KeyRecord::State, now)?;
            }
            Record::Delta { stream, key, version, .. } => {
                self.keep_keyed(record, place, (*stream, key, *version), KeyRecord::Delta, now)?;
            }
            Record::Gone { stream, key, version } => {
                self.keep_keyed(record, place, (*stream, key, *version), KeyRecord::Gone, now)?;
            }
            Record::StreamGone { stream } => {
                if self.gone_streams.get(stream) == Some(&place) {
                    let copy = self.again(record, place, now)?;
                    self.count_in(copy);
                    self.count_out(place);
                    self.gone_streams.insert(*stream, copy);
                }
            }
            Record::Message(_) | Record::Manifest(_) | Record::Retired { .. } => {}
        }
        Ok(())
    }

    fn keep_keyed(
        &mut self,
        record: &Record<'_>,
        place: Place,
        (stream, key, version): (StreamId, &[u8], u64),
        kind: KeyRecord,
        now: Mono,
    ) -> Result<(), Stop> {
        let index = self.streams.get(&stream);
        if index.is_none_or(|index| !index.keys.counts(key, version, place)) {
            return Ok(());
        }
        let copy = self.again(record, place, now)?;
        let shifts = self.stream_entry(stream).keys.put(key, kind, version, copy);
        self.apply_shifts(shifts);
        Ok(())
    }

    fn again(&mut self, record: &Record<'_>, place: Place, now: Mono) -> Result<Place, Stop> {
        let admitted = self.admit(place.len as usize, Class::Essential, now);
        admitted.map_err(|_| Stop::Refused)?;
        Ok(self.put(record, Urgency::RideAlong))
    }

    /// Whether the delete record at `place` is still needed.
    fn is_buried(&self, place: Place, victims: SegmentNo) -> bool {
        let tombs =
            self.segments.get(&place.segment).and_then(|segment| segment.tombs.get(&victims));
        tombs.is_some_and(|tombs| tombs.contains_key(&place.offset))
    }

    /// The delete record at `place` need not outlive its segment.
    fn unbury(&mut self, place: Place, victims: SegmentNo) {
        let Some(segment) = self.segments.get_mut(&place.segment) else { return };
        let tombs = segment.tombs.get_mut(&victims);
        if tombs.is_some_and(|tombs| tombs.remove(&place.offset).is_some()) {
            segment.count_out(u64::from(place.len));
        }
    }

    /// One batch of copies, as many as may go into one write.
    fn copy_some(&mut self, messages: &mut Vec<(StreamId, Seq, Place)>, now: Mono) {
        let (bytes, len) = self.next_copies(messages);
        if len == 0 {
            return;
        }
        let Ok((segment, offset)) = self.sorted_for(round_up(len)) else { return };
        self.compaction.live_writes = 0;
        self.commit.begin(segment, offset, now).hurry();
        let Some(job) = self.compaction.job.take() else { return };
        let mut copied_bytes = 0;
        while copied_bytes < bytes {
            let Some((stream, seq, place)) = messages.pop() else { break };
            copied_bytes += place.len;
            let at = (place.offset - job.window_at) as usize;
            let window = job.window.get(at..).unwrap_or(&[]);
            // The window was checked when it was read; liveness is checked here, at the append.
            if let Ok((Record::Message(message), _)) = Record::decode(window, place.position())
                && self.is_live(&message, place)
            {
                let to = self.put(&Record::Message(message), Urgency::Now);
                self.counters.copied_bytes += u64::from(to.len);
                if let Some(gather) = &mut self.commit.gather {
                    gather.copied(stream, seq, Copied { from: place, to });
                }
            }
        }
        if let Some(target) = self.segments.get_mut(&segment)
            && !target.sources.contains(&job.segment)
        {
            target.sources.push(job.segment);
        }
        self.compaction.job = Some(job);
        self.close_gather();
    }

    /// Record bytes of the next copies, and the bytes of a batch that takes them.
    fn next_copies(&self, messages: &[(StreamId, Seq, Place)]) -> (u32, u32) {
        let mut bytes = 0u32;
        for (_, _, place) in messages.iter().rev() {
            bytes += place.len;
            if bytes as usize >= self.settings.copy_batch_bytes {
                break;
            }
        }
        if bytes == 0 { (0, 0) } else { (bytes, bytes + BATCH_HEADER as u32) }
    }

    /// A copy is durable: the index points to it, unless the message is gone.
    pub(super) fn copy_landed(&mut self, stream: StreamId, seq: Seq, copied: Copied) {
        let moved = self
            .streams
            .get_mut(&stream)
            .is_some_and(|index| index.relocate(seq, copied.from, copied.to));
        if moved {
            self.count_out(copied.from);
            self.count_in(copied.to);
        }
    }
}
