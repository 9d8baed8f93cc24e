//! The log out of what counts. Nothing here depends on the order in which records are met:
//! deletes, trims and ends of streams win, keys go by version, copies by segment age.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::{Judged, JudgedSegment, place_of};
use super::scan::{Item, PackedStream};
use super::{Report, SlotFile};
use crate::storage::commit::Commit;
use crate::storage::effects::Effect;
use crate::storage::footer::Footer;
use crate::storage::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, SlotId, StreamId};
use crate::storage::index::entries::Unpacker;
use crate::storage::index::keys::KeyRecord;
use crate::storage::index::{Entry, SubjectId};
use crate::storage::log::{Errand, FreeSlot, Health, Log, LogSettings};
use crate::storage::mutation::{self, Mutation};
use crate::storage::record::Record;
use crate::storage::segment::{Readiness, SEGMENT_HEADER, Segment, Stage};

/// What the small records say, to be applied when all messages are in.
#[derive(Default)]
struct Verdicts {
    deletes: Vec<(StreamId, Seq)>,
    /// First and last sequence, the highest met, and the place of the newest record.
    bounds: BTreeMap<StreamId, Bounds>,
    gone: BTreeMap<StreamId, Place>,
}

#[derive(Clone, Copy)]
struct Bounds {
    first_seq: Seq,
    last_seq: Seq,
    /// When the last message was stored, of the highest last sequence met.
    last_time: u64,
    newest: (Lsn, Place, Seq),
}

pub(super) fn rebuild(
    id: LogId,
    settings: LogSettings,
    judged: Judged,
    files: &[SlotFile],
) -> (Log, Report) {
    let mut log = Log::new(id, settings);
    log.commit = Commit::new(id, Epoch(judged.epoch.0.saturating_add(1)), judged.last);
    let report = Report {
        last: judged.last,
        segments: judged.segments.len(),
        footers: judged.footers,
        parts: judged.parts,
        batches_scanned: judged.batches_scanned,
        damages: judged.damages,
        bytes_read: 0,
    };
    let mut segments = judged.segments;
    segments.sort_by_key(|segment| (segment.last_lsn(), segment.no));
    let unflushed: Vec<SlotId> =
        segments.iter().filter(|segment| !segment.has_footer).map(|segment| segment.slot).collect();
    for judged in &segments {
        let segment = adopt(judged, &settings);
        if segment.footer.is_some() {
            log.footers_due.insert(judged.no);
        }
        log.segments.insert(judged.no, segment);
    }
    let mut verdicts = Verdicts::default();
    for judged in segments {
        log.take_packed(judged.no, judged.packed);
        log.take_items(judged.footer_items, &mut verdicts);
        log.take_items(judged.items, &mut verdicts);
    }
    log.apply(verdicts);
    log.adopt_files(files);
    log.next_segment = SegmentNo(judged.segment_last.0 + 1);
    log.begin(unflushed);
    (log, report)
}

/// What its footer does not tell yet goes into further parts.
fn adopt(judged: &JudgedSegment, settings: &LogSettings) -> Segment {
    let (parts, hash_seed) = (settings.footer_parts, settings.hash_seed);
    let mut segment =
        Segment::new((judged.no, judged.slot, judged.len), judged.epoch, parts, hash_seed);
    segment.file = Readiness::Ready;
    segment.stage = Stage::Sealed;
    segment.is_sorted = judged.is_sorted;
    segment.is_damaged = judged.is_damaged;
    // Whether secrets were deleted in it is not known any more.
    segment.erase = true;
    segment.footer_top = judged.footer_top;
    segment.footer = None;
    judged.footer_items.iter().for_each(|item| list(&mut segment, item));
    if !judged.has_footer && !judged.is_damaged {
        let room = (judged.footer_to, judged.footer_top);
        segment.footer = Some(Footer::new(judged.no, judged.epoch, room, parts, hash_seed));
    }
    let mut batches = judged.batches.iter().peekable();
    for item in &judged.items {
        while let Some((lsn, end, is_empty)) =
            batches.next_if(|(_, end, _)| *end <= place_of(item).offset)
        {
            segment.add_batch(*lsn, *end, *is_empty);
        }
        list(&mut segment, item);
    }
    for (lsn, end, is_empty) in batches {
        segment.add_batch(*lsn, *end, *is_empty);
    }
    if let Some(footer) = &mut segment.footer {
        footer.seal();
    }
    segment.end = judged.end;
    segment.lsns.clone_from(&judged.lsns);
    segment
}

fn list(segment: &mut Segment, item: &Item) {
    match item {
        Item::Message { stream, seq, place, subject, form } => {
            segment.list_message(*stream, *seq, *place, subject, *form);
        }
        Item::Other { lsn, place, bytes } => {
            if let Ok((record, _)) = Record::decode(bytes, place.position()) {
                segment.list(&record, *lsn, *place, bytes);
            }
        }
    }
}

impl Log {
    /// The messages of a segment's footer. Subjects are looked up once, not per message.
    fn take_packed(&mut self, no: SegmentNo, packed: Vec<PackedStream>) {
        for part in packed {
            let mut known: Vec<Option<SubjectId>> = vec![None; part.subjects.len()];
            let (mut live, mut all, mut seq_max) = (0, 0, Seq(0));
            let mut replaced: Vec<Place> = Vec::new();
            let index = self.stream_entry(part.stream);
            let mut unpacker = Unpacker::new(&part.entries);
            while let Some((entry, more)) = unpacker.next_run() {
                let entry = Entry { place: Place { segment: no, ..entry.place }, ..entry };
                let at = entry.subject.0 as usize;
                let (Some(name), Some(subject)) = (part.subjects.get(at), known.get_mut(at)) else {
                    continue;
                };
                let len = u64::from(entry.place.len) * (u64::from(more) + 1);
                if !index.adopt_run(entry, more, name, subject) {
                    for entry in (0..=more).map(|n| entry.after(n)) {
                        replaced.extend(index.adopt(entry, name, subject));
                    }
                }
                live += len;
                all += len;
                seq_max = seq_max.max(entry.after(more).seq);
            }
            if let Some(segment) = self.segments.get_mut(&no) {
                segment.mention(part.stream, seq_max);
                segment.live_bytes += live;
                segment.record_bytes += all;
            }
            for old in replaced {
                self.count_out(old);
                self.note_source(no, old.segment);
            }
        }
    }

    fn take_items(&mut self, items: Vec<Item>, verdicts: &mut Verdicts) {
        for item in items {
            let place = place_of(&item);
            match item {
                Item::Message { stream, seq, subject, form, .. } => {
                    let old = self.stream_entry(stream).add(seq, place, &subject, form);
                    self.count_in(place);
                    if let Some(old) = old {
                        self.count_out(old);
                        self.note_source(place.segment, old.segment);
                    }
                }
                Item::Other { lsn, bytes, .. } => {
                    if let Ok((record, _)) = Record::decode(&bytes, place.position()) {
                        self.take_record(&record, lsn, place, verdicts);
                    }
                }
            }
        }
    }

    /// A message lies in both: the newer segment must outlive the older.
    fn note_source(&mut self, newer: SegmentNo, older: SegmentNo) {
        if newer == older {
            return;
        }
        if let Some(segment) = self.segments.get_mut(&newer)
            && !segment.sources.contains(&older)
        {
            segment.sources.push(older);
        }
    }

    fn take_record(
        &mut self,
        record: &Record<'_>,
        lsn: Lsn,
        place: Place,
        verdicts: &mut Verdicts,
    ) {
        match record {
            Record::Delete { stream, victims, seqs } => {
                verdicts.deletes.extend(seqs.to_vec().into_iter().map(|seq| (*stream, seq)));
                self.bury(place, *victims);
            }
            Record::Bounds { stream, first_seq, last_seq, last_time } => {
                let newest = (lsn, place, *last_seq);
                let bounds = verdicts.bounds.entry(*stream).or_insert(Bounds {
                    first_seq: *first_seq,
                    last_seq: *last_seq,
                    last_time: *last_time,
                    newest,
                });
                bounds.first_seq = bounds.first_seq.max(*first_seq);
                if bounds.last_seq < *last_seq {
                    (bounds.last_seq, bounds.last_time) = (*last_seq, *last_time);
                } else if bounds.last_seq == *last_seq {
                    bounds.last_time = bounds.last_time.max(*last_time);
                }
                if bounds.newest.0 <= lsn {
                    bounds.newest = newest;
                }
            }
            Record::State { stream, key, version, .. } => {
                self.take_keyed(*stream, key, KeyRecord::State, *version, place);
            }
            Record::Delta { stream, key, version, .. } => {
                self.take_keyed(*stream, key, KeyRecord::Delta, *version, place);
            }
            Record::Gone { stream, key, version } => {
                self.take_keyed(*stream, key, KeyRecord::Gone, *version, place);
            }
            Record::StreamGone { stream } => {
                verdicts.gone.insert(*stream, place);
            }
            Record::Message(_) | Record::Manifest(_) | Record::Retired { .. } => {}
        }
    }

    fn take_keyed(
        &mut self,
        stream: StreamId,
        key: &[u8],
        kind: KeyRecord,
        version: u64,
        place: Place,
    ) {
        let shifts = self.stream_entry(stream).keys.put(key, kind, version, place);
        self.apply_shifts(shifts);
    }

    fn apply(&mut self, verdicts: Verdicts) {
        let Verdicts { deletes, bounds, gone } = verdicts;
        for (stream, bounds) in bounds {
            let mut dead = Vec::new();
            let index = self.stream_entry(stream);
            index.trim(bounds.first_seq, |entry| dead.push(entry.place));
            index.raise_last(bounds.last_seq);
            if bounds.last_time > 0 && bounds.last_seq == index.last_seq() {
                index.learn_last_time(bounds.last_time);
            }
            let (_, place, known) = bounds.newest;
            index.bounds = Some((place, known));
            self.count_in(place);
            dead.into_iter().for_each(|place| self.count_out(place));
        }
        for (stream, seq) in deletes {
            let removed = self.streams.get_mut(&stream).and_then(|index| index.remove(seq));
            if let Some(entry) = removed {
                self.count_out(entry.place);
            }
        }
        for (stream, place) in gone {
            self.forget_stream(stream);
            self.count_in(place);
            self.gone_streams.insert(stream, place);
        }
        for index in self.streams.values_mut() {
            index.settle_first();
            index.show(index.last_seq());
        }
    }

    /// Files that hold nothing that counts are free.
    fn adopt_files(&mut self, files: &[SlotFile]) {
        let used: BTreeSet<SlotId> = self.segments.values().map(|segment| segment.slot).collect();
        for file in files {
            self.next_slot = self.next_slot.max(SlotId(file.slot.0 + 1));
            if used.contains(&file.slot) {
                continue;
            }
            let is_usable = file.len >= self.settings.segment_bytes_min
                && file.len.is_multiple_of(SEGMENT_HEADER);
            if is_usable && self.free_slots.len() < self.settings.spare_slots {
                self.free_slots.push(FreeSlot { slot: file.slot, len: file.len, erase: true });
            } else {
                self.doomed.push(file.slot);
            }
        }
    }

    /// What was found may not have been flushed: it is, before anyone sees it.
    fn begin(&mut self, unflushed: Vec<SlotId>) {
        if mutation::is(Mutation::ServeBeforeFlush) || unflushed.is_empty() {
            self.delete_doomed();
            return;
        }
        self.health = Health::Starting;
        let op = self.op(Errand::StartFlush);
        self.effects.push(Effect::Sync { op, slots: unflushed });
    }
}
