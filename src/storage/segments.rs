//! Files of the log: prepared ahead, filled, sealed, retired, used again.

use std::rc::Rc;

use super::append::{Class, Urgency};
use super::effects::{Effect, Event};
use super::fault::Refusal;
use super::ids::{SegmentNo, SlotId, StreamId};
use super::log::{Errand, FreeSlot, Log, LogSettings};
use super::mutation::{self, Mutation};
use super::record::Record;
use super::segment::{Readiness, SEGMENT_HEADER, Segment, SegmentHeader, Stage};
use crate::types::Mono;
use crate::types::limits::{NO_SPACE_RETRY_NS, PACE_SEGMENT_BYTES_MAX};
use crate::types::time::SECOND;

/// Prepared ahead: two to go on with, one kept for deletes and copies when the disk is full.
const AHEAD: usize = 3;
/// A segment that was full so soon is followed by one of twice its length.
const FILLED_FAST_NS: u64 = SECOND;
/// After one that took so long the next may be half as long.
const FILLED_SLOWLY_NS: u64 = 60 * SECOND;
/// A segment is about this part of the log.
const SEGMENTS_PER_LOG: u64 = 4;

impl Log {
    /// The head goes on in another segment of at least `len_min`.
    pub(super) fn roll(&mut self, len_min: u32, class: Class, now: Mono) -> Result<(), Refusal> {
        let next = self.take_unused(len_min, class)?;
        if let Some(old) = self.head.replace(next) {
            self.learn_pace(old, now);
            self.seal(old);
            if let Some(old) = self.segments.get_mut(&old) {
                old.full_since = now;
            }
        }
        self.head_since = now;
        if let Some(segment) = self.segments.get_mut(&next) {
            segment.stage = Stage::Open;
        }
        Ok(())
    }

    /// Segments that fill fast are followed by larger ones, so that there is always one ready.
    fn learn_pace(&mut self, filled: SegmentNo, now: Mono) {
        let len = self.segments.get(&filled).map_or(0, |segment| segment.len);
        let took = now.since(self.head_since);
        if took < FILLED_FAST_NS {
            self.pace_len = len.saturating_mul(2).min(PACE_SEGMENT_BYTES_MAX);
        } else if took > FILLED_SLOWLY_NS {
            self.pace_len /= 2;
        }
    }

    /// A segment that nothing uses yet. Its file must be there, lest deletes wait behind publishes
    /// for a full disk; only the first of a log is filled while it is being made. The last one
    /// is not for publishes.
    pub(super) fn take_unused(&mut self, len_min: u32, class: Class) -> Result<SegmentNo, Refusal> {
        let is_full = self.full_until.is_some();
        let is_first = self.head.is_none() && !is_full;
        let unused = || self.segments.values().filter(|segment| segment.stage == Stage::Unused);
        let ready = || unused().filter(|segment| segment.file != Readiness::Preparing);
        let fitting = ready().find(|segment| segment.len >= len_min).map(|segment| segment.no);
        let has_reserve = ready().count() > 1;
        if let Some(no) = fitting
            && (class == Class::Essential || has_reserve || is_first)
        {
            return Ok(no);
        }
        if is_full {
            return Err(Refusal::NoSpace);
        }
        let coming = unused().find(|s| s.len >= len_min && s.file == Readiness::Preparing);
        let coming = coming.map(|segment| segment.no);
        let no = coming.unwrap_or_else(|| self.prepare(len_min));
        if is_first { Ok(no) } else { Err(Refusal::Behind) }
    }

    /// Keeps segments ready ahead of the head, once there is one.
    pub(super) fn prepare_ahead(&mut self) {
        // Asked each turn; nothing is missing before a segment was taken.
        let taken = |log: &Self| (log.head, log.sorted, log.next_segment);
        let is_known = self.ahead_of == taken(self);
        if self.head.is_none() || self.full_until.is_some() || is_known {
            return;
        }
        let unused = self.segments.values().filter(|segment| segment.stage == Stage::Unused);
        let missing = AHEAD.saturating_sub(unused.count());
        for _ in 0..missing {
            self.prepare(0);
        }
        self.ahead_of = taken(self);
    }

    fn prepare(&mut self, len_min: u32) -> SegmentNo {
        let wanted = self.segment_len().max(len_min);
        let reused = self.free_slots.iter().position(|free| free.len >= wanted);
        let (slot, len) = match reused {
            Some(at) => {
                let free = self.free_slots[at];
                (free.slot, free.len)
            }
            None => {
                let slot = self.next_slot;
                self.next_slot = SlotId(slot.0 + 1);
                (slot, wanted)
            }
        };
        let no = self.next_segment;
        self.next_segment = SegmentNo(no.0 + 1);
        let (parts, hash_seed) = (self.settings.footer_parts, self.settings.hash_seed);
        let mut segment = Segment::new((no, slot, len), self.commit.epoch(), parts, hash_seed);
        segment.is_recycled = reused.is_some();
        segment.erase = reused.is_some_and(|at| self.free_slots.remove(at).erase);
        self.segments.insert(no, segment);
        self.send_prepare(no);
        no
    }

    /// Segments grow with what lives in the log, so that a small log takes little disk, and with
    /// the pace at which it is written.
    fn segment_len(&self) -> u32 {
        let share = self.live_bytes() / SEGMENTS_PER_LOG;
        let LogSettings { segment_bytes_min: min, segment_bytes_max: max, .. } = self.settings;
        let len = u32::try_from(share).unwrap_or(max).max(self.pace_len).clamp(min, max);
        len.checked_next_power_of_two().unwrap_or(max).min(max)
    }

    fn send_prepare(&mut self, no: SegmentNo) {
        let op = self.op(Errand::Prepare(no));
        let Some(segment) = self.segments.get(&no) else { return };
        let (slot, len) = (segment.slot, segment.len);
        let header = SegmentHeader { log: self.id, segment: no, slot, len };
        self.effects.push(Effect::Prepare {
            op,
            slot,
            len,
            header: Rc::new(header.encode()),
            fresh: !segment.is_recycled,
            erase: segment.erase,
        });
    }

    pub(super) fn prepared(&mut self, no: SegmentNo) {
        let Some(segment) = self.segments.get_mut(&no) else { return };
        segment.erase = false;
        if segment.is_recycled || mutation::is(Mutation::NoDirectorySync) {
            segment.file = Readiness::Ready;
        } else {
            segment.file = Readiness::Naming;
            let op = self.op(Errand::Name(no));
            self.effects.push(Effect::SyncDirectory { op });
        }
        let is_waiting = |segment: &Segment| segment.file == Readiness::Preparing;
        if self.full_until.is_some() && !self.segments.values().any(is_waiting) {
            self.full_until = None;
            self.events.push_back(Event::Room);
        }
    }

    pub(super) fn disk_full(&mut self, now: Mono) {
        if self.full_until.is_none() {
            self.events.push_back(Event::Full);
        }
        self.full_until = Some(now.plus(NO_SPACE_RETRY_NS));
    }

    /// Asks a full disk again.
    pub(super) fn retry_full_disk(&mut self, now: Mono) {
        let Some(until) = self.full_until.filter(|&until| now >= until) else { return };
        self.full_until = Some(until.plus(NO_SPACE_RETRY_NS).max(now));
        let is_asked = |no| self.errands.values().any(|&errand| errand == Errand::Prepare(no));
        let waiting: Vec<SegmentNo> = (self.segments.values())
            .filter(|segment| segment.file == Readiness::Preparing)
            .map(|segment| segment.no)
            .filter(|&no| !is_asked(no))
            .collect();
        waiting.into_iter().for_each(|no| self.send_prepare(no));
    }

    pub(super) fn seal(&mut self, no: SegmentNo) {
        if let Some(segment) = self.segments.get_mut(&no) {
            segment.stage = Stage::Sealed;
            if let Some(footer) = &mut segment.footer {
                footer.seal();
                self.footers_due.insert(no);
            }
        }
        if self.sorted == Some(no) {
            self.sorted = None;
        }
    }

    /// The next part of a footer whose batches are durable. One write at a time, so that no turn
    /// archives more than one part.
    pub(super) fn write_footers(&mut self) {
        let is_under_way = self.errands.values().any(|errand| matches!(errand, Errand::Footer(_)));
        if self.footers_due.is_empty() || is_under_way {
            return;
        }
        let durable = match mutation::is(Mutation::FooterBeforeDurable) {
            true => self.commit.appended(),
            false => self.commit.durable(),
        };
        let mut is_written = false;
        let mut due = std::mem::take(&mut self.footers_due);
        due.retain(|&no| {
            let last = self.segments.get(&no).and_then(|segment| segment.footer.as_ref()?.due());
            if !is_written && last.is_some_and(|last| last <= durable) {
                is_written = self.write_footer(no);
            }
            let footer = self.segments.get(&no).and_then(|segment| segment.footer.as_ref());
            footer.is_some_and(|footer| footer.due().is_some())
        });
        self.footers_due.append(&mut due);
    }

    /// False: there is nothing to write any more.
    fn write_footer(&mut self, no: SegmentNo) -> bool {
        let log = self.id;
        let Some(segment) = self.segments.get_mut(&no) else { return false };
        let Some(mut footer) = segment.footer.take() else { return false };
        let (slot, is_sealed) = (segment.slot, segment.stage == Stage::Sealed);
        let Some((offset, bytes)) = footer.write(log, segment.is_sorted) else { return false };
        if offset < segment.end {
            return false;
        }
        segment.footer_top = offset;
        let is_last = is_sealed && footer.due().is_none();
        if !is_last {
            segment.footer = Some(footer);
        }
        let op = self.op(Errand::Footer(no));
        let bytes = Rc::new(bytes);
        self.effects.push(Effect::Write { op, slot, offset, bytes, flush: is_last });
        true
    }

    /// Begins the end of sealed segments in which nothing lives.
    pub(super) fn retire_dead(&mut self, now: Mono) {
        let dead: Vec<SegmentNo> = (self.segments.values())
            .filter(|segment| segment.stage == Stage::Sealed && segment.live_bytes == 0)
            .filter(|segment| !segment.is_damaged)
            .filter(|segment| segment.last_lsn() <= self.commit.durable())
            .filter(|segment| !segment.sources.iter().any(|no| self.segments.contains_key(no)))
            .filter(|segment| !self.compaction.is_at(segment.no))
            .map(|segment| segment.no)
            .collect();
        for no in dead {
            self.retire(no, now);
        }
    }

    fn retire(&mut self, no: SegmentNo, now: Mono) {
        for stream in self.streams_to_remember(no) {
            if self.admit(64, Class::Essential, now).is_err() {
                return;
            }
            self.put_bounds(stream, Urgency::RideAlong);
        }
        // Its batches after the newest manifest would be missed by a recovery from there.
        let manifest_lsn = self.manifest_lsn;
        let late = self.segments.get(&no).map(|segment| segment.lsns_after(manifest_lsn));
        let lsns = late.unwrap_or_default();
        if self.admit(64 + lsns.len() * 12, Class::Essential, now).is_err() {
            return;
        }
        self.put(&Record::Retired { segment: no, lsns }, Urgency::RideAlong);
        let lsn = self.appended();
        if let Some(segment) = self.segments.get_mut(&no) {
            segment.stage = Stage::Retiring(lsn);
            segment.footer = None;
        }
        if mutation::is(Mutation::SegmentRetiredEarly) {
            self.release(no);
        }
    }

    /// Streams whose last sequence only this segment may still tell.
    fn streams_to_remember(&self, no: SegmentNo) -> Vec<StreamId> {
        let Some(segment) = self.segments.get(&no) else { return Vec::new() };
        let is_forgotten = |stream: &StreamId, seq| {
            let index = self.streams.get(stream);
            index.is_some_and(|index| index.bounds.is_none_or(|(_, known)| known < seq))
        };
        let streams = segment.streams.iter();
        streams.filter(|&(id, &seq)| is_forgotten(id, seq)).map(|(id, _)| *id).collect()
    }

    /// Files of retired segments are free once nothing is under way in them: a footer still on
    /// its way would land in whatever the file holds next, or miss it.
    pub(super) fn finish_retirements(&mut self) {
        let durable = self.commit.durable();
        let is_read = |no| self.reads.values().any(|read| read.segment == no);
        let is_written = |no| self.errands.values().any(|&errand| errand == Errand::Footer(no));
        let done: Vec<SegmentNo> = (self.segments.values())
            .filter(|segment| matches!(segment.stage, Stage::Retiring(lsn) if lsn <= durable))
            .filter(|segment| !is_read(segment.no) && !is_written(segment.no))
            .map(|segment| segment.no)
            .collect();
        done.into_iter().for_each(|no| self.release(no));
    }

    /// The segment is no more; its file is free.
    fn release(&mut self, no: SegmentNo) {
        let Some(segment) = self.segments.remove(&no) else { return };
        self.counters.segments_retired += 1;
        self.read_cache.forget(no, segment.len);
        let (slot, len, erase) = (segment.slot, segment.len, segment.erase);
        if self.free_slots.len() < self.settings.spare_slots {
            self.free_slots.push(FreeSlot { slot, len, erase });
        } else {
            self.effects.push(Effect::Delete { slot });
        }
        self.forget_segment(no);
        self.events.push_back(Event::Retired(no));
    }

    pub(super) fn delete_doomed(&mut self) {
        let doomed = std::mem::take(&mut self.doomed).into_iter();
        self.effects.extend(doomed.map(|slot| Effect::Delete { slot }));
    }

    /// What was remembered only because of this segment is dead.
    pub(super) fn forget_segment(&mut self, no: SegmentNo) {
        for segment in self.segments.values_mut() {
            let tombs = segment.tombs.remove(&no).unwrap_or_default();
            let bytes: u64 = tombs.values().map(|&len| u64::from(len)).sum();
            segment.live_bytes = segment.live_bytes.saturating_sub(bytes);
            segment.sources.retain(|&source| source != no);
        }
        let mut shifts = Vec::new();
        for index in self.streams.values_mut() {
            shifts.extend(index.keys.on_retired(no));
        }
        self.apply_shifts(shifts);
        let is_mentioned = |stream: &StreamId| {
            self.segments.values().any(|segment| segment.streams.contains_key(stream))
        };
        let over: Vec<StreamId> =
            self.gone_streams.keys().filter(|stream| !is_mentioned(stream)).copied().collect();
        for stream in over {
            if let Some(place) = self.gone_streams.remove(&stream) {
                self.count_out(place);
            }
        }
    }

    /// The open sorted segment, with room for `len` bytes of batch; another is opened if need be.
    pub(super) fn sorted_for(&mut self, len: u32) -> Result<(SegmentNo, u32), Refusal> {
        if let Some(segment) = self.sorted.and_then(|no| self.segments.get(&no)) {
            if segment.room() >= len {
                return Ok((segment.no, segment.end));
            }
            let no = segment.no;
            self.seal(no);
        }
        let no = self.take_unused(SEGMENT_HEADER + len + 4 * SEGMENT_HEADER, Class::Essential)?;
        self.sorted = Some(no);
        let segment = self.segments.get_mut(&no).ok_or(Refusal::NoSpace)?;
        segment.stage = Stage::Open;
        segment.is_sorted = true;
        Ok((no, segment.end))
    }
}
