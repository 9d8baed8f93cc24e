//! Tidying: a sealed segment that is mostly dead, or that mixes streams, is read piece by piece;
//! what lives is appended again, messages grouped by stream into a sorted segment. Then nothing
//! in it lives, and it retires like any other.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::append::{Class, Urgency};
use super::batch::{BATCH_HEADER, BatchHeader, round_up};
use super::commit::Copied;
use super::effects::{Effect, Event};
use super::fault::{Certainty, Damage};
use super::ids::{Lsn, Place, SegmentNo, Seq, StreamId, position};
use super::index::keys::KeyRecord;
use super::log::{Errand, Log};
use super::mutation::{self, Mutation};
use super::record::{Message, Record};
use super::segment::{SEGMENT_HEADER, Segment, Stage};
use crate::types::Mono;
use crate::types::limits::STREAMS_COOLED_AT_ONCE;

/// Writes of publishers between two writes of copies, when both wait.
const LIVE_WRITES_PER_COPY: u32 = 4;

/// A slice is at most so many times as long as usual.
const COMPACTION_READ_GROWS: u32 = 8;

/// The segment being emptied.
#[derive(Default, Debug)]
pub struct Compaction {
    job: Option<Job>,
    /// Segments of which everything is copied, and the batch with the last copy: until that has
    /// landed something in them counts.
    emptied: Vec<(SegmentNo, Lsn)>,
    /// Writes of publishers since the last one of copies.
    live_writes: u32,
    /// What publishers had written when the last slice was asked for.
    published: u64,
    /// Nothing was to be done: not looked at again before.
    look_at: Mono,
}

/// Messages still to be copied: the last of each stream first.
type Copies = BTreeMap<StreamId, Vec<(Seq, Place)>>;

/// ```text
/// window: read and listed a slice at a time ─→ full: sorted and copied ─→ the next one
/// ```
#[derive(Debug)]
struct Job {
    segment: SegmentNo,
    is_reading: bool,
    /// What is sorted as a whole, as far as it is read, and where in the file it begins.
    window: Vec<u8>,
    window_at: u32,
    /// Bytes of the window whose records are listed: whole batches.
    listed: usize,
    messages: Copies,
    /// All of the window is listed: its messages are being copied.
    is_listed: bool,
}

/// Why a piece is not gone through to its end.
enum Stop {
    Damaged,
    /// No room to copy to, for now.
    Refused,
}

impl Job {
    fn has_copies(&self) -> bool {
        self.is_listed && !self.messages.is_empty()
    }
}

fn next_copy(messages: &mut Copies) -> Option<(StreamId, Seq, Place)> {
    let mut stream = messages.first_entry()?;
    let (seq, place) = stream.get_mut().pop()?;
    let id = *stream.key();
    if stream.get().is_empty() {
        stream.remove();
    }
    Some((id, seq, place))
}

impl Compaction {
    pub fn count_live_write(&mut self) {
        self.live_writes = self.live_writes.saturating_add(1);
    }

    pub fn is_at(&self, segment: SegmentNo) -> bool {
        self.job.as_ref().is_some_and(|job| job.segment == segment)
    }
}

impl Log {
    /// After something became durable: retire what is dead, look for a segment to empty.
    pub(super) fn tidy(&mut self, now: Mono) {
        self.check_emptied();
        if self.is_stopping || self.compaction.job.is_some() || now < self.compaction.look_at {
            return;
        }
        self.retire_dead(now);
        match self.pick(now) {
            Some(segment) => {
                self.compaction.published = self.published_bytes();
                self.compaction.job = Some(Job {
                    segment,
                    is_reading: false,
                    window: Vec::new(),
                    window_at: SEGMENT_HEADER,
                    listed: 0,
                    messages: Copies::new(),
                    is_listed: false,
                });
            }
            None => {
                self.cool_down();
                self.compaction.look_at = now.plus(self.settings.tidy_interval_ns);
            }
        }
    }

    fn published_bytes(&self) -> u64 {
        self.counters.batch_bytes.saturating_sub(self.counters.copied_bytes)
    }

    /// Some streams in turn give back what only those in use need.
    fn cool_down(&mut self) {
        let behind = (Bound::Excluded(self.cooled), Bound::Unbounded);
        let mut left = STREAMS_COOLED_AT_ONCE;
        for (&id, index) in self.streams.range_mut(behind).take(left) {
            index.cool_down();
            self.cooled = id;
            left -= 1;
        }
        if left > 0 {
            self.cooled = StreamId(0);
        }
    }

    /// The segment that gives most room back; else one that mixes streams, and has done so for a while.
    fn pick(&self, now: Mono) -> Option<SegmentNo> {
        let durable = self.commit.durable();
        let is_free = |segment: &&Segment| {
            segment.stage == Stage::Sealed
                && !segment.is_damaged
                && segment.live_bytes > 0
                && !self.compaction.emptied.iter().any(|&(no, _)| no == segment.no)
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
                !segment.is_sorted
                    && now.since(segment.full_since) >= self.settings.sort_delay_ns
                    && with_messages.count() > 1
            })
        };
        worst.or_else(mixed).map(|segment| segment.no)
    }

    /// Puts the next copies into a batch of their own, if it is their turn.
    pub(super) fn gather_copies(&mut self, now: Mono) {
        if self.is_stopping {
            return;
        }
        let may_close = self.copies_are_due();
        let Some(job) = &mut self.compaction.job else { return };
        if !job.has_copies() || (self.commit.gather.is_some() && !may_close) {
            return;
        }
        let mut messages = std::mem::take(&mut job.messages);
        self.copy_some(&mut messages, now);
        if let Some(job) = &mut self.compaction.job {
            job.messages = messages;
        }
    }

    /// Whether copies have waited for long enough to go before publishers.
    pub(super) fn copies_are_due(&self) -> bool {
        let has_copies = self.compaction.job.as_ref().is_some_and(Job::has_copies);
        has_copies && self.compaction.live_writes >= LIVE_WRITES_PER_COPY
    }

    /// Reads the next slice of the window, or of the next one when all of this is copied. Whatever
    /// publishers do: where they never pause, what is dead must go all the same. A slice is twice as long as
    /// what publishers wrote since the last one, within bounds, so that large turns do not outrun it.
    pub(super) fn read_on(&mut self, now: Mono) {
        if self.is_stopping {
            return;
        }
        let Some(job) = &mut self.compaction.job else { return };
        if job.is_reading || job.has_copies() {
            return;
        }
        if job.is_listed {
            job.window_at += job.listed as u32;
            job.window.clear();
            (job.listed, job.is_listed) = (0, false);
        }
        let (no, offset) = (job.segment, job.window_at + job.window.len() as u32);
        let Some(segment) = self.segments.get(&no) else {
            self.compaction.job = None;
            return;
        };
        if offset >= segment.end {
            self.finish_job(no, now);
            return;
        }
        job.is_reading = true;
        let slot = segment.slot;
        let published = self.published_bytes();
        let since = published.saturating_sub(self.compaction.published);
        let since = u32::try_from(since).unwrap_or(u32::MAX);
        self.compaction.published = published;
        let least = self.settings.compaction_read_bytes;
        let len = round_up(since.saturating_mul(2))
            .clamp(least, least.saturating_mul(COMPACTION_READ_GROWS))
            .min(segment.end - offset);
        let op = self.op(Errand::CompactionRead);
        self.effects.push(Effect::Read { op, slot, offset, len });
    }

    /// All of it was copied; copies may still be on their way.
    fn finish_job(&mut self, no: SegmentNo, now: Mono) {
        self.compaction.job = None;
        self.compaction.emptied.push((no, self.commit.appended()));
        self.compaction.look_at = now;
        self.tidy(now);
    }

    /// Looks whether nothing counts any more in what was emptied.
    fn check_emptied(&mut self) {
        let mut emptied = std::mem::take(&mut self.compaction.emptied);
        emptied.retain(|&(no, last)| {
            let live = self.segments.get(&no).map_or(0, |segment| segment.live_bytes);
            let is_certain = self.commit.submitted() >= last && self.debris.is_empty();
            if live > 0 && is_certain {
                // Something counts that was not found: never the cause of deletion.
                self.segment_damaged(no, SEGMENT_HEADER);
            }
            live > 0 && !is_certain
        });
        self.compaction.emptied = emptied;
    }

    pub(super) fn compaction_failed(&mut self) {
        if let Some(job) = self.compaction.job.take() {
            self.compaction_damaged(job.segment, job.window_at + job.listed as u32);
        }
    }

    fn compaction_damaged(&mut self, no: SegmentNo, from: u32) {
        self.compaction.job = None;
        self.segment_damaged(no, from);
    }

    fn segment_damaged(&mut self, no: SegmentNo, from: u32) {
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

    /// A slice of the window: the records of whole batches that live are listed, small state is
    /// appended at once.
    pub(super) fn on_compaction_read(&mut self, bytes: &[u8], now: Mono) {
        let Some(job) = &mut self.compaction.job else { return };
        let Some(end) = self.segments.get(&job.segment).map(|segment| segment.end) else { return };
        let window_max = self.settings.compaction_window_bytes;
        job.is_reading = false;
        if job.window.is_empty() {
            job.window.reserve_exact(window_max.min(end - job.window_at) as usize);
        }
        job.window.extend_from_slice(bytes);
        let no = job.segment;
        let (window, mut messages) =
            (std::mem::take(&mut job.window), std::mem::take(&mut job.messages));
        let (start, from) = (job.window_at, job.listed);
        let listed = match self.list_batches(no, (start, &window), from, &mut messages, now) {
            Ok(listed) => listed,
            Err((_, Stop::Refused)) => {
                self.compaction.job = None;
                return;
            }
            Err((offset, Stop::Damaged)) => return self.compaction_damaged(no, offset),
        };
        let Some(job) = &mut self.compaction.job else { return };
        let is_full = window.len() >= window_max as usize && listed > 0;
        job.is_listed = is_full || start + window.len() as u32 >= end;
        if job.is_listed {
            messages.values_mut().for_each(|stream| stream.sort_unstable_by_key(|&m| Reverse(m.0)));
        }
        (job.window, job.messages, job.listed) = (window, messages, listed);
        if !job.is_listed {
            self.read_on(now);
        }
    }

    /// Walks the batches of a window from `at` on that are whole; where they end.
    fn list_batches(
        &mut self,
        no: SegmentNo,
        (start, window): (u32, &[u8]),
        mut at: usize,
        messages: &mut Copies,
        now: Mono,
    ) -> Result<usize, (u32, Stop)> {
        let end = self.segments.get(&no).map_or(0, |segment| segment.end);
        while at < window.len() {
            let offset = start + at as u32;
            let damaged = |_| (offset, Stop::Damaged);
            let header =
                BatchHeader::decode(&window[at..], self.id, no, offset).map_err(damaged)?;
            let padded = header.padded_len();
            if at + padded as usize > window.len() {
                if offset.saturating_add(padded) > end {
                    return Err((offset, Stop::Damaged));
                }
                break;
            }
            let body = header.body(&window[at..]).map_err(damaged)?;
            self.list_live(no, offset, body, messages, now).map_err(|stop| (offset, stop))?;
            at += padded as usize;
        }
        Ok(at)
    }

    /// Walks the records of a batch. What was kept before a stop does no harm.
    fn list_live(
        &mut self,
        no: SegmentNo,
        batch: u32,
        body: &[u8],
        messages: &mut Copies,
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
                        messages.entry(message.stream).or_default().push((message.seq, place));
                    }
                }
                other => self.keep(&other, place, now)?,
            }
        }
        Ok(())
    }

    fn is_live(&self, message: &Message<'_>, place: Place) -> bool {
        let index = self.streams.get(&message.stream);
        let entry = index.and_then(|index| index.get_among(message.seq));
        entry.is_some_and(|entry| entry.place == place)
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
    fn copy_some(&mut self, messages: &mut Copies, now: Mono) {
        let (bytes, len) = self.next_copies(messages);
        if len == 0 {
            return;
        }
        let Ok((segment, offset)) = self.sorted_for(round_up(len)) else { return };
        self.close_gather();
        self.compaction.live_writes = 0;
        self.commit.begin(segment, offset, now).hurry();
        let Some(job) = self.compaction.job.take() else { return };
        let mut copied_bytes = 0;
        while copied_bytes < bytes {
            let Some((stream, seq, place)) = next_copy(messages) else { break };
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
    fn next_copies(&self, messages: &Copies) -> (u32, u32) {
        let mut bytes = 0u32;
        for (_, place) in messages.values().flat_map(|stream| stream.iter().rev()) {
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
