//! Commands: what streams ask the log to remember. Each appends records to the gathering batch,
//! changes the index, and returns the batch that has to become durable before anyone is told.

use std::collections::BTreeMap;

use super::batch::{BATCH_HEADER, round_up};
use super::commit::Closed;
use super::fault::Refusal;
use super::ids::{Lsn, Place, SegmentNo, Seq, StreamId};
use super::index::Entry;
use super::index::keys::{KeyRecord, KeyState};
use super::log::{Health, Log, Tally};
use super::mutation::{self, Mutation};
use super::record::{Manifest, Message, RECORD_HEADER, Record, SeqList};
use super::segment::{SEGMENT_HEADER, Stage};
use crate::types::limits::ATOMIC_BYTES_MAX;
use crate::types::{Mono, Pattern};

/// Bytes of a manifest's entry.
const MANIFEST_ENTRY: usize = 13;
/// What a record's field for it takes.
const SUBJECT_BYTES_MAX: usize = u16::MAX as usize;
/// Sequences in one `Delete` record.
const DELETE_SEQS_MAX: usize = 4096;

/// How soon a record must be on disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// Somebody waits.
    Now,
    /// Nobody waits: with the next batch, at the latest after `RIDE_ALONG_NS`.
    RideAlong,
}

/// What may use the segment kept for a full disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Publish,
    /// Makes room, or belongs to something already accepted.
    Essential,
}

impl Log {
    /// Stores a message. Its sequence must be above the stream's last one.
    pub fn append(
        &mut self,
        message: &Message<'_>,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        self.append_all(std::slice::from_ref(message), urgency, now)
    }

    /// A message of so many bytes would be refused now because the disk is behind. It is not once
    /// some completions have come.
    pub fn is_behind(&mut self, content_len: usize) -> bool {
        let len = Message::OVERHEAD + content_len;
        if self.health != Health::Running || len > ATOMIC_BYTES_MAX {
            return false;
        }
        if self.has_too_much_pending(len, Class::Publish) {
            return true;
        }
        if self.gather_takes(len) || self.head_takes(len) {
            return false;
        }
        let len = self.len_for(len);
        self.take_unused(len, Class::Publish) == Err(Refusal::Behind)
    }

    fn has_too_much_pending(&self, len: usize, class: Class) -> bool {
        let pending = self.commit.pending_bytes();
        let pending_max = match class {
            Class::Publish => self.settings.gather_bytes_max,
            Class::Essential => self.settings.gather_bytes_max * 2,
        };
        pending > 0 && pending + len > pending_max
    }

    /// Stores messages that count together or not at all: they share a batch.
    pub fn append_all(
        &mut self,
        messages: &[Message<'_>],
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        self.append_each(messages.iter().copied(), urgency, now)
    }

    /// As [`Log::append_all`], for messages that are not gathered in memory.
    pub fn append_each<'m>(
        &mut self,
        messages: impl Iterator<Item = Message<'m>> + Clone,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        if messages.clone().any(|message| message.subject.len() > SUBJECT_BYTES_MAX) {
            return Err(Refusal::TooLarge);
        }
        let len = messages.clone().map(|message| message.record_len()).sum();
        self.admit(len, Class::Publish, now)?;
        for message in messages {
            let index = self.stream_entry(message.stream);
            assert!(message.seq > index.last_seq(), "a sequence is given out once");
            let place = self.put(&Record::Message(message), urgency);
            let index = self.stream_entry(message.stream);
            index.append(message.seq, place, message.subject, message.form());
            index.learn_last_time(message.time);
            self.count_in(place);
            if let Some(gather) = &mut self.commit.gather {
                gather.show(message.stream, message.seq);
            }
        }
        Ok(self.appended())
    }

    /// Deletes messages. Those at the stream's front raise its first sequence; the last sequence
    /// stays.
    /// Sequences that are not there are passed over.
    pub fn delete(
        &mut self,
        stream: StreamId,
        seqs: &[Seq],
        erase: bool,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        if let &[seq] = seqs {
            return self.delete_one(stream, seq, erase, urgency, now);
        }
        let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
        let mut seqs: Vec<Seq> =
            seqs.iter().copied().filter(|&seq| index.get(seq).is_some()).collect();
        seqs.sort_unstable();
        seqs.dedup();
        let front = self.front_of(stream, &seqs);
        let was_last = seqs[front..].last() == Some(&index.last_seq());
        for chunk in seqs[front..].chunks(DELETE_SEQS_MAX) {
            self.delete_inside(stream, chunk, erase, urgency, now)?;
        }
        if was_last {
            self.admit(64, Class::Essential, now)?;
            self.put_bounds(stream, Urgency::RideAlong);
        }
        if let Some(&last) = seqs[..front].last() {
            let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
            let next = index.next(last.next()).map_or(index.last_seq().next(), |entry| entry.seq);
            if erase {
                self.mark_for_erasure(stream, &seqs[..front]);
            }
            return self.trim(stream, next, urgency, now);
        }
        Ok(self.unchanged(urgency))
    }

    /// As [`Log::delete`], without lists.
    fn delete_one(
        &mut self,
        stream: StreamId,
        seq: Seq,
        erase: bool,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
        let (first, last) = (index.first_seq(), index.last_seq());
        let Some(entry) = index.get(seq) else { return Ok(self.unchanged(urgency)) };
        if erase {
            self.mark_for_erasure(stream, &[seq]);
        }
        if seq == first {
            let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
            let next = index.next(seq.next()).map_or(last.next(), |entry| entry.seq);
            return self.trim(stream, next, urgency, now);
        }
        let victims = self.victims(stream, &entry);
        self.delete_in(stream, victims, &[seq], urgency, now)?;
        if seq == last {
            self.admit(64, Class::Essential, now)?;
            self.put_bounds(stream, Urgency::RideAlong);
        }
        Ok(self.appended())
    }

    /// The segment that a delete of a message must name: that of a copy under way, which outlives
    /// the original's, or else its own.
    fn victims(&self, stream: StreamId, entry: &Entry) -> SegmentNo {
        let copied = self.commit.copy_of(stream, entry.seq);
        copied.map_or(entry.place, |copied| copied.to).segment
    }

    /// How many of the sequences are the stream's first messages.
    fn front_of(&self, stream: StreamId, seqs: &[Seq]) -> usize {
        let Some(index) = self.streams.get(&stream) else { return 0 };
        let mut from = index.first_seq();
        for (at, &seq) in seqs.iter().enumerate() {
            match index.next(from) {
                Some(entry) if entry.seq == seq => from = seq.next(),
                _ => return at,
            }
        }
        seqs.len()
    }

    fn mark_for_erasure(&mut self, stream: StreamId, seqs: &[Seq]) {
        let Some(index) = self.streams.get(&stream) else { return };
        for entry in seqs.iter().filter_map(|&seq| index.get(seq)) {
            if let Some(segment) = self.segments.get_mut(&entry.place.segment) {
                segment.erase = true;
            }
        }
    }

    fn delete_inside(
        &mut self,
        stream: StreamId,
        seqs: &[Seq],
        erase: bool,
        urgency: Urgency,
        now: Mono,
    ) -> Result<(), Refusal> {
        let mut by_segment: BTreeMap<SegmentNo, Vec<Seq>> = BTreeMap::new();
        for &seq in seqs {
            let Some(entry) = self.streams.get(&stream).and_then(|index| index.get(seq)) else {
                continue;
            };
            by_segment.entry(self.victims(stream, &entry)).or_default().push(seq);
        }
        if erase {
            self.mark_for_erasure(stream, seqs);
        }
        for (victims, seqs) in by_segment {
            self.delete_in(stream, victims, &seqs, urgency, now)?;
        }
        Ok(())
    }

    /// Deletes messages that one segment holds.
    fn delete_in(
        &mut self,
        stream: StreamId,
        victims: SegmentNo,
        seqs: &[Seq],
        urgency: Urgency,
        now: Mono,
    ) -> Result<(), Refusal> {
        let len = RECORD_HEADER + 12 + seqs.len() * 10;
        self.admit(len, Class::Essential, now)?;
        let record = Record::Delete { stream, victims, seqs: SeqList::Plain(seqs) };
        let place = self.put(&record, urgency);
        self.bury(place, victims);
        for &seq in seqs {
            let removed = self.stream_entry(stream).remove(seq);
            if let Some(entry) = removed {
                self.count_out(entry.place);
            }
        }
        Ok(())
    }

    /// A record at `place` lives as long as the segment of its victims: not at all if that is its
    /// own.
    pub(super) fn bury(&mut self, place: Place, victims: SegmentNo) {
        if victims == place.segment || !self.segments.contains_key(&victims) {
            return;
        }
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.tombs.entry(victims).or_default().insert(place.offset, place.len);
            segment.count_in(place);
        }
    }

    /// Removes everything before `first_seq`, for good. It never goes back. A stream that is not
    /// there yet will begin with it.
    pub fn trim(
        &mut self,
        stream: StreamId,
        first_seq: Seq,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        if self.gone_streams.contains_key(&stream) {
            return Err(Refusal::NotFound);
        }
        if self.streams.get(&stream).is_some_and(|index| first_seq <= index.first_seq()) {
            return Ok(self.unchanged(urgency));
        }
        self.admit(64, Class::Essential, now)?;
        let mut removed = Tally::default();
        let swept_at_once = self.settings.swept_at_once;
        let index = self.stream_entry(stream);
        let is_all = first_seq > index.last_seq() && index.messages() > swept_at_once;
        let debris = is_all.then(|| index.clear());
        index.trim(first_seq, |entry| removed.add(entry.place));
        index.settle_first();
        self.count_out_all(&removed);
        self.debris.extend(debris);
        if !mutation::is(Mutation::TrimNotLogged) {
            self.put_bounds(stream, urgency);
        }
        Ok(self.appended())
    }

    /// Nothing is to be written, but what was before, which nobody waited for then.
    fn unchanged(&mut self, urgency: Urgency) -> Lsn {
        if urgency == Urgency::Now
            && let Some(gather) = &mut self.commit.gather
        {
            gather.hurry();
        }
        self.appended()
    }

    /// Leaves out the sequences up to `last_seq`: the stream's next message comes behind it.
    pub fn skip(&mut self, stream: StreamId, last_seq: Seq, now: Mono) -> Result<Lsn, Refusal> {
        if self.gone_streams.contains_key(&stream) {
            return Err(Refusal::NotFound);
        }
        if self.streams.get(&stream).is_some_and(|index| last_seq <= index.last_seq()) {
            return Ok(self.appended());
        }
        self.admit(64, Class::Essential, now)?;
        self.stream_entry(stream).skip(last_seq);
        self.put_bounds(stream, Urgency::RideAlong);
        Ok(self.appended())
    }

    /// Removes the messages of a pattern below `below`, all but the newest `keep`. How many.
    pub fn purge(
        &mut self,
        stream: StreamId,
        pattern: Option<Pattern<'_>>,
        below: Seq,
        keep: usize,
        now: Mono,
    ) -> Result<(u64, Lsn), Refusal> {
        let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
        let seqs = index.purge_list(pattern, below, keep);
        let lsn = self.delete(stream, &seqs, false, Urgency::Now, now)?;
        Ok((seqs.len() as u64, lsn))
    }

    /// Appends the stream's bounds; the record before is dead. Room must have been made.
    pub(super) fn put_bounds(&mut self, stream: StreamId, urgency: Urgency) {
        let index = self.stream_entry(stream);
        let (first_seq, last_seq) = (index.first_seq(), index.last_seq());
        let last_time = index.last_time().unwrap_or(0);
        let place = self.put(&Record::Bounds { stream, first_seq, last_seq, last_time }, urgency);
        // Sequences that were left out can be seen past when all before them can.
        if let Some(gather) = &mut self.commit.gather {
            gather.show(stream, last_seq);
        }
        self.count_in(place);
        let old = self.stream_entry(stream).bounds.replace((place, last_seq));
        if let Some((old, _)) = old {
            self.count_out(old);
        }
    }

    /// Sets the value of a key of the stream: its config, a consumer's whole state.
    pub fn put_state(
        &mut self,
        stream: StreamId,
        key: &[u8],
        value: &[u8],
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        self.put_keyed(stream, key, value, KeyRecord::State, urgency, now)
    }

    /// Adds to the value of a key: a consumer's progress. The next `put_state` replaces it all.
    pub fn put_delta(
        &mut self,
        stream: StreamId,
        key: &[u8],
        value: &[u8],
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        self.put_keyed(stream, key, value, KeyRecord::Delta, urgency, now)
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, stream: StreamId, key: &[u8], now: Mono) -> Result<Lsn, Refusal> {
        let index = self.streams.get(&stream).ok_or(Refusal::NotFound)?;
        if !index.keys.get(key).is_some_and(KeyState::has_value) {
            return Err(Refusal::NotFound);
        }
        self.put_keyed(stream, key, &[], KeyRecord::Gone, Urgency::Now, now)
    }

    fn put_keyed(
        &mut self,
        stream: StreamId,
        key: &[u8],
        value: &[u8],
        kind: KeyRecord,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        let len = RECORD_HEADER + 20 + key.len() + value.len();
        self.admit(len, Class::Essential, now)?;
        let version = self.stream_entry(stream).keys.next_version();
        let record = match kind {
            KeyRecord::State => Record::State { stream, key, version, value },
            KeyRecord::Delta => Record::Delta { stream, key, version, value },
            KeyRecord::Gone => Record::Gone { stream, key, version },
        };
        let place = self.put(&record, urgency);
        let shifts = self.stream_entry(stream).keys.put(key, kind, version, place);
        self.apply_shifts(shifts);
        Ok(self.appended())
    }

    pub(super) fn apply_shifts(&mut self, shifts: Vec<(Place, bool)>) {
        for (place, counts) in shifts {
            if counts { self.count_in(place) } else { self.count_out(place) }
        }
    }

    /// Deletes the stream and everything of it. Its id is never used again.
    pub fn drop_stream(&mut self, stream: StreamId, now: Mono) -> Result<Lsn, Refusal> {
        if !self.streams.contains_key(&stream) {
            return Err(Refusal::NotFound);
        }
        self.admit(64, Class::Essential, now)?;
        let place = self.put(&Record::StreamGone { stream }, Urgency::Now);
        self.count_in(place);
        self.gone_streams.insert(stream, place);
        self.forget_stream(stream);
        Ok(self.appended())
    }

    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        let Some(mut index) = self.streams.remove(&stream) else { return };
        let mut dead = Tally::default();
        index.keys.places().for_each(|place| dead.add(place));
        index.bounds.iter().for_each(|(place, _)| dead.add(*place));
        if index.messages() > self.settings.swept_at_once {
            self.debris.push_back(index.clear());
        } else {
            index.trim(Seq(u64::MAX), |entry| dead.add(entry.place));
        }
        self.count_out_all(&dead);
    }

    /// Takes some of what was removed in masses out of the accounts.
    pub(super) fn sweep(&mut self) {
        let mut removed = Tally::default();
        for _ in 0..self.settings.swept_at_once.div_ceil(256) {
            let Some(debris) = self.debris.front_mut() else { break };
            if !debris.sweep(|entry| removed.add(entry.place)) {
                self.debris.pop_front();
            }
        }
        self.count_out_all(&removed);
    }

    /// Makes room for records of `len` bytes in the gathering batch.
    pub(super) fn admit(&mut self, len: usize, class: Class, now: Mono) -> Result<(), Refusal> {
        match self.health {
            Health::Starting => return Err(Refusal::Starting),
            Health::Poisoned(_) => return Err(Refusal::Poisoned),
            Health::Running => {}
        }
        if len > ATOMIC_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        if self.has_too_much_pending(len, class) {
            return Err(Refusal::Behind);
        }
        if self.gather_takes(len) {
            return Ok(());
        }
        self.close_gather();
        if !self.head_takes(len) {
            self.roll(self.len_for(len), class, now)?;
        }
        let (segment, offset) = self.head_end().ok_or(Refusal::NoSpace)?;
        self.commit.begin(segment, offset, now);
        if offset == SEGMENT_HEADER {
            self.put_manifest();
        }
        Ok(())
    }

    fn gather_takes(&self, len: usize) -> bool {
        let Some(gather) = &self.commit.gather else { return false };
        let total = gather.bytes.len() + len;
        let Some(segment) = self.segments.get(&gather.segment) else { return false };
        let is_empty = gather.bytes.len() == BATCH_HEADER;
        (total <= self.settings.batch_bytes_max || is_empty)
            && round_up(total as u32) <= segment.room()
    }

    fn head_end(&self) -> Option<(SegmentNo, u32)> {
        let segment = self.segments.get(&self.head?)?;
        Some((segment.no, segment.end))
    }

    /// Behind what is gathering now.
    fn head_takes(&self, len: usize) -> bool {
        let segment = self.head.and_then(|head| self.segments.get(&head));
        let gathering = self.commit.gather.as_ref().map_or(0, |gather| gather.bytes.len());
        let wanted = round_up(gathering as u32) + round_up((BATCH_HEADER + len) as u32);
        segment.is_some_and(|segment| wanted <= segment.room())
    }

    /// A segment's length that surely takes a record of `len` behind a manifest.
    fn len_for(&self, len: usize) -> u32 {
        let manifest = RECORD_HEADER + (self.segments.len() + 2) * MANIFEST_ENTRY;
        SEGMENT_HEADER + round_up((BATCH_HEADER + manifest + len) as u32) + 4 * SEGMENT_HEADER
    }

    fn put_manifest(&mut self) {
        let head = self.head;
        // A retiring one is left out: its `Retired` record is durable before this is written.
        let in_use = self.segments.values().filter(|segment| {
            matches!(segment.stage, Stage::Open | Stage::Sealed)
                && Some(segment.no) != head
                && segment.end > SEGMENT_HEADER
        });
        let manifest =
            Manifest { segments: in_use.map(|segment| segment.manifest_entry()).collect() };
        if let Some(gather) = &mut self.commit.gather {
            gather.wait_for_flush();
            self.manifest_lsn = gather.lsn;
        }
        // It does not count as alive: a segment retires by a record in a later head, whose
        // manifest is newer.
        self.put(&Record::Manifest(manifest), Urgency::RideAlong);
    }

    /// Puts a record into the gathering batch, for which room was made.
    pub(super) fn put(&mut self, record: &Record<'_>, urgency: Urgency) -> Place {
        let gather = self.commit.gather.as_mut().expect("admit() began a batch");
        if urgency == Urgency::Now {
            gather.hurry();
        }
        let place = gather.push(record);
        let lsn = gather.lsn;
        let at = (place.offset - gather.offset) as usize;
        self.counters.records += 1;
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.list(record, lsn, place, &gather.bytes[at..]);
        }
        place
    }

    /// The gathering batch is complete: its segment ends behind it.
    pub(super) fn close_gather(&mut self) {
        if let Some(Closed { segment: no, end, lsn, is_empty }) = self.commit.close()
            && let Some(segment) = self.segments.get_mut(&no)
            && segment.add_batch(lsn, end, is_empty)
        {
            self.footers_due.insert(no);
        }
    }
}
