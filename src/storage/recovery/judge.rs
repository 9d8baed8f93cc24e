//! Which of the batches that were found count, and what is missing.
//!
//! - A batch's durable mark, and a footer, prove that everything up to a point was durable.
//! - A manifest lists the segments in use; it was written only when all they held was durable.
//!   What it does not list, and is not younger, has retired.
//! - A later epoch makes void what an earlier one had left behind its first batch.
//! - Below the proven point what is missing is lost; above it the first hole ends the log.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::{Found, FoundBatch, FoundFooter, Item, PackedStream};
use crate::storage::fault::{Certainty, Damage};
use crate::storage::ids::{Epoch, Lsn, Place, SegmentNo, SlotId, StreamId};
use crate::storage::record::{Manifest, ManifestEntry, Record};

/// What counts.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub segments: Vec<JudgedSegment>,
    pub damages: Vec<Damage>,
    /// The last batch that counts.
    pub last: Lsn,
    pub epoch: Epoch,
    /// No number up to this one may be used for a new segment.
    pub segment_last: SegmentNo,
    pub footers: usize,
    pub parts: usize,
    pub batches_scanned: u64,
}

#[derive(Debug)]
pub(super) struct JudgedSegment {
    pub no: SegmentNo,
    pub slot: SlotId,
    pub len: u32,
    pub end: u32,
    /// Of its batches, with that epoch's first.
    pub epoch: (Epoch, Lsn),
    pub lsns: Vec<(Lsn, u32)>,
    pub is_sorted: bool,
    /// Its footer tells all of it.
    pub has_footer: bool,
    pub is_damaged: bool,
    /// The footer tells of batches up to here, and its parts begin there.
    pub footer_to: u32,
    pub footer_top: u32,
    /// From the footer.
    pub packed: Vec<PackedStream>,
    pub footer_items: Vec<Item>,
    /// Behind what the footer tells: batches, with where each ends and whether it is empty.
    pub batches: Vec<(Lsn, u32, bool)>,
    pub items: Vec<Item>,
}

/// Everything that can be said before a single batch is judged.
struct Evidence {
    epochs: BTreeMap<Epoch, Lsn>,
    manifest: Option<(Lsn, SegmentNo, Manifest)>,
    /// Durable for certain.
    proven: Lsn,
    /// By the batch that says so.
    retired: BTreeMap<SegmentNo, Lsn>,
    /// Batches of footers and of retired segments.
    accounted: BTreeSet<Lsn>,
}

pub(super) fn judge(mut found: Vec<Found>) -> Judged {
    let claimed_last = found.iter().map(|found| found.segment).max().unwrap_or_default();
    drop_namesakes(&mut found);
    let mut evidence = gather(&found);
    let mut judged = Judged {
        epoch: evidence.epochs.keys().next_back().copied().unwrap_or_default(),
        ..Judged::default()
    };
    judged.segment_last = claimed_last;
    let listed = evidence.listed();
    judged.segment_last = listed.keys().copied().fold(judged.segment_last, SegmentNo::max);
    judged.segment_last =
        evidence.retired.keys().copied().fold(judged.segment_last, SegmentNo::max);
    let (last, missing) = walk(&found, &evidence);
    judged.last = last;
    // What a batch that does not count says has not happened.
    evidence.retired.retain(|_, lsn| *lsn <= last);
    let mut present = BTreeSet::new();
    for found in found {
        present.insert(found.segment);
        if evidence.is_in_use(&found) {
            judged.segment(found, &evidence);
        }
    }
    for (no, entry) in listed {
        if !present.contains(&no) && !evidence.retired.contains_key(&no) {
            judged.damages.push(Damage {
                certainty: Certainty::Lost,
                segment: no,
                from: 0,
                to: entry.end,
                batches: None,
                streams: Vec::new(),
            });
        }
    }
    judged.name_missing(&missing);
    judged
}

/// A file that was prepared, never written to and deleted may come back with the directory of a
/// power cut, after its number was given to another.
fn drop_namesakes(found: &mut Vec<Found>) {
    let is_empty = |found: &Found| found.footer.parts == 0 && found.batches.is_empty();
    let written: BTreeSet<SegmentNo> =
        found.iter().filter(|found| !is_empty(found)).map(|found| found.segment).collect();
    found.retain(|found| !is_empty(found) || !written.contains(&found.segment));
}

fn gather(found: &[Found]) -> Evidence {
    let mut evidence = Evidence {
        epochs: BTreeMap::new(),
        manifest: None,
        proven: Lsn(0),
        retired: BTreeMap::new(),
        accounted: BTreeSet::new(),
    };
    for found in found {
        evidence.epochs.extend(found.footer.epochs.iter().copied());
        for &(first, count) in &found.footer.lsns {
            let lsns = first.0..first.0.saturating_add(u64::from(count));
            evidence.proven = evidence.proven.max(Lsn(lsns.end.saturating_sub(1)));
            evidence.accounted.extend(lsns.map(Lsn));
        }
        for batch in &found.batches {
            evidence.epochs.insert(batch.header.epoch, batch.header.epoch_first);
            evidence.proven = evidence.proven.max(batch.header.durable);
        }
    }
    // The newest manifest first: it tells which batches can count for the rest.
    for found in found {
        evidence.manifests(found.segment, &found.footer.items);
        for batch in &found.batches {
            if !evidence.is_void(batch) && batch.is_whole {
                evidence.manifests(found.segment, &batch.items);
            }
        }
    }
    for found in found.iter().filter(|found| evidence.is_listed(found)).collect::<Vec<_>>() {
        evidence.retirements(&found.footer.items);
        for batch in &found.batches {
            if batch.is_whole && evidence.counts(found.segment, batch, Lsn(u64::MAX)) {
                evidence.retirements(&batch.items);
            }
        }
    }
    evidence
}

impl Evidence {
    fn manifests(&mut self, segment: SegmentNo, items: &[Item]) {
        for item in items {
            let Item::Other { lsn, place, bytes } = item else { continue };
            if let Ok((Record::Manifest(manifest), _)) = Record::decode(bytes, place.position())
                && self.manifest.as_ref().is_none_or(|(newest, ..)| newest < lsn)
            {
                self.manifest = Some((*lsn, segment, manifest));
            }
        }
    }

    fn retirements(&mut self, items: &[Item]) {
        for item in items {
            let Item::Other { lsn, place, bytes } = item else { continue };
            if let Ok((Record::Retired { segment, lsns }, _)) =
                Record::decode(bytes, place.position())
            {
                self.retired.insert(segment, *lsn);
                for (first, count) in lsns {
                    let lsns = first.0..first.0.saturating_add(u64::from(count));
                    self.accounted.extend(lsns.map(Lsn));
                }
            }
        }
    }

    /// A later epoch began at or before it.
    fn is_void(&self, batch: &FoundBatch) -> bool {
        let later = self.epochs.range(Epoch(batch.header.epoch.0.saturating_add(1))..);
        later.into_iter().any(|(_, first)| *first <= batch.header.lsn)
    }

    fn manifest_lsn(&self) -> Lsn {
        self.manifest.as_ref().map_or(Lsn(0), |(lsn, ..)| *lsn)
    }

    fn listed(&self) -> BTreeMap<SegmentNo, ManifestEntry> {
        let entries = self.manifest.iter().flat_map(|(_, _, manifest)| &manifest.segments);
        entries.map(|entry| (entry.segment, *entry)).collect()
    }

    /// What the newest manifest says of a segment.
    fn entry(&self, no: SegmentNo) -> Option<ManifestEntry> {
        let (_, _, manifest) = self.manifest.as_ref()?;
        manifest.segments.iter().find(|entry| entry.segment == no).copied()
    }

    fn is_in_use(&self, found: &Found) -> bool {
        !self.retired.contains_key(&found.segment) && self.is_listed(found)
    }

    /// By the newest manifest, or younger than that.
    fn is_listed(&self, found: &Found) -> bool {
        let carries = |(lsn, carrier, _): &(Lsn, SegmentNo, Manifest)| {
            let scanned = found.batches.last().map_or(Lsn(0), |batch| batch.header.lsn);
            *carrier == found.segment || scanned.max(found.footer.last_lsn()) > *lsn
        };
        self.entry(found.segment).is_some() || self.manifest.as_ref().is_none_or(carries)
    }

    /// Whether a batch counts, given where the log ends.
    fn counts(&self, found_in: SegmentNo, batch: &FoundBatch, last: Lsn) -> bool {
        if self.is_void(batch) {
            return false;
        }
        match self.entry(found_in) {
            Some(entry) if batch.offset < entry.end => true,
            Some(entry) if entry.is_sealed => false,
            _ => batch.header.lsn <= last,
        }
    }
}

/// Where the log ends, and which batches before that are missing.
fn walk(found: &[Found], evidence: &Evidence) -> (Lsn, Vec<Lsn>) {
    let mut present = evidence.accounted.clone();
    let mut highest = evidence.proven;
    for found in found {
        for batch in found.batches.iter().filter(|batch| !evidence.is_void(batch)) {
            // A damaged batch counts as far as it goes, if it is proven to have been whole.
            if batch.is_whole || batch.header.lsn <= evidence.proven {
                present.insert(batch.header.lsn);
                highest = highest.max(batch.header.lsn);
            }
        }
    }
    let mut last = evidence.manifest_lsn();
    let mut missing = Vec::new();
    while last < highest {
        let next = last.next();
        if !present.contains(&next) {
            if next > evidence.proven {
                break;
            }
            missing.push(next);
        }
        last = next;
    }
    (last, missing)
}

impl Judged {
    fn segment(&mut self, found: Found, evidence: &Evidence) {
        self.footers += usize::from(found.footer.is_complete);
        self.parts += found.footer.parts;
        let judged = self.scanned(found, evidence);
        if judged.end > crate::storage::segment::SEGMENT_HEADER {
            self.segments.push(judged);
        }
    }

    fn scanned(&mut self, found: Found, evidence: &Evidence) -> JudgedSegment {
        let Found { segment: no, slot, len, footer, batches, gaps } = found;
        let mut is_closed = footer.is_closed;
        let mut out = JudgedSegment::new(no, slot, len, footer);
        if !out.has_footer {
            out.end = out.end.max(evidence.entry(no).map_or(0, |entry| entry.end));
        }
        let mut torn = None;
        for batch in batches {
            self.batches_scanned += 1;
            let (from, to) = (batch.offset, batch.offset + batch.header.padded_len());
            if !evidence.counts(no, &batch, self.last) {
                torn.get_or_insert((from, to));
                continue;
            }
            if !batch.is_whole {
                out.is_damaged = true;
                let batches = Some((batch.header.lsn, batch.header.lsn));
                self.damage(Certainty::Lost, no, (from, to), batches, &batch.items);
            }
            out.end = out.end.max(to);
            out.epoch = (batch.header.epoch, batch.header.epoch_first);
            out.add_lsn(batch.header.lsn);
            is_closed = batch.header.records == 0;
            out.batches.push((batch.header.lsn, to, is_closed));
            out.items.extend(batch.items);
        }
        for gap in gaps {
            if gap.from < out.end {
                out.is_damaged = true;
                let to = gap.to.min(out.end);
                self.damage(Certainty::Lost, no, (gap.from, to), None, &gap.items);
                out.items.extend(gap.items);
            } else if gap.from == out.end && !gap.is_blank && !is_closed && !out.is_sealed(evidence)
            {
                torn.get_or_insert((gap.from, gap.to));
            }
        }
        if let Some(range) = torn.filter(|_| !out.is_sealed(evidence)) {
            self.damage(Certainty::PossiblyLost, no, range, None, &[]);
        }
        out
    }

    fn damage(
        &mut self,
        certainty: Certainty,
        segment: SegmentNo,
        (from, to): (u32, u32),
        batches: Option<(Lsn, Lsn)>,
        items: &[Item],
    ) {
        let mut streams: Vec<StreamId> = Vec::new();
        for item in items {
            if let Item::Message { stream, .. } = item
                && !streams.contains(stream)
            {
                streams.push(*stream);
            }
        }
        self.damages.push(Damage { certainty, segment, from, to, batches, streams });
    }

    /// Missing batches that no damaged segment explains.
    fn name_missing(&mut self, missing: &[Lsn]) {
        let is_explained = |lsn: &Lsn| {
            let named = self.damages.iter().filter_map(|damage| damage.batches);
            named.into_iter().any(|(first, last)| first <= *lsn && *lsn <= last)
        };
        let unnamed: Vec<Lsn> = missing.iter().filter(|lsn| !is_explained(lsn)).copied().collect();
        let mut runs: Vec<(Lsn, Lsn)> = Vec::new();
        for lsn in unnamed {
            match runs.last_mut() {
                Some((_, last)) if last.next() == lsn => *last = lsn,
                _ => runs.push((lsn, lsn)),
            }
        }
        for run in runs {
            self.damage(Certainty::Lost, SegmentNo(0), (0, 0), Some(run), &[]);
        }
    }
}

impl JudgedSegment {
    /// As far as its footer tells.
    fn new(no: SegmentNo, slot: SlotId, len: u32, footer: FoundFooter) -> Self {
        let FoundFooter { parts, to, top, lsns, packed, items, .. } = footer;
        Self {
            no,
            slot,
            len,
            end: if parts > 0 { to } else { 0 },
            epoch: footer.epochs.first().copied().unwrap_or_default(),
            lsns,
            is_sorted: footer.is_sorted,
            has_footer: footer.is_complete,
            is_damaged: false,
            footer_to: to,
            footer_top: top,
            packed,
            footer_items: items,
            batches: Vec::new(),
            items: Vec::new(),
        }
    }

    fn is_sealed(&self, evidence: &Evidence) -> bool {
        evidence.entry(self.no).is_some_and(|entry| entry.is_sealed)
    }

    fn add_lsn(&mut self, lsn: Lsn) {
        match self.lsns.last_mut() {
            Some((first, count)) if first.0 + u64::from(*count) == lsn.0 => *count += 1,
            _ => self.lsns.push((lsn, 1)),
        }
    }

    pub fn last_lsn(&self) -> Lsn {
        let last = self.lsns.last();
        last.map_or(Lsn(0), |&(first, count)| Lsn(first.0 + u64::from(count) - 1))
    }
}

/// Where an item lies.
pub(super) fn place_of(item: &Item) -> Place {
    match item {
        Item::Message { place, .. } | Item::Other { place, .. } => *place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::batch::{BatchHeader, Buffer};
    use crate::storage::ids::LogId;
    use crate::storage::recovery::scan::FoundFooter;

    const LEN: u32 = 1 << 20;
    const OLD: (Epoch, Lsn) = (Epoch(3), Lsn(100));
    const NEXT: (Epoch, Lsn) = (Epoch(4), Lsn(120));
    const LAST: (Epoch, Lsn) = (Epoch(5), Lsn(125));

    /// One block with one record.
    fn batch(
        no: u32,
        (epoch, epoch_first): (Epoch, Lsn),
        lsn: u64,
        record: &Record<'_>,
    ) -> FoundBatch {
        let offset = (lsn as u32 % 100) * 4096;
        let place = Place { segment: SegmentNo(no), offset: offset + 64, len: 0 };
        let mut bytes = Buffer::new();
        record.encode(&mut bytes, place.position());
        let header = BatchHeader {
            log: LogId(1),
            epoch,
            epoch_first,
            segment: SegmentNo(no),
            offset,
            lsn: Lsn(lsn),
            durable: epoch_first,
            body_len: bytes.len() as u32,
            records: 1,
            body_check: 0,
        };
        let item = Item::Other { lsn: Lsn(lsn), place, bytes: bytes.as_slice().into() };
        FoundBatch { header, offset, is_whole: true, items: vec![item] }
    }

    fn found(no: u32, batches: Vec<FoundBatch>) -> Found {
        let (segment, slot, footer) = (SegmentNo(no), SlotId(no), FoundFooter::none(LEN));
        Found { segment, slot, len: LEN, footer, batches, gaps: Vec::new() }
    }

    fn manifest(listed: &[(u32, u32)]) -> Record<'static> {
        let entry = |&(no, blocks): &(u32, u32)| ManifestEntry {
            segment: SegmentNo(no),
            slot: SlotId(no),
            end: blocks * 4096,
            is_sealed: true,
        };
        Record::Manifest(Manifest { segments: listed.iter().map(entry).collect() })
    }

    fn in_use(found: Vec<Found>) -> Vec<u32> {
        judge(found).segments.iter().map(|segment| segment.no.0).collect()
    }

    /// Segment 28 ends with a batch of an epoch that a power cut ended before it counted. It says
    /// that 21 has retired; its number has been given again since.
    fn what_a_lost_epoch_left() -> Vec<Found> {
        let retired = Record::Retired { segment: SegmentNo(21), lsns: Vec::new() };
        let gone = |stream| Record::StreamGone { stream: StreamId(stream) };
        vec![
            found(21, vec![batch(21, OLD, 118, &gone(1))]),
            found(28, vec![batch(28, OLD, 119, &gone(2)), batch(28, OLD, 122, &retired)]),
        ]
    }

    #[test]
    fn what_lies_behind_the_listed_end_says_nothing() {
        // Nothing is left of the epoch in between.
        let mut all = what_a_lost_epoch_left();
        let list = manifest(&[(21, 19), (28, 20)]);
        all.push(found(36, vec![batch(36, LAST, 125, &list)]));
        assert_eq!(in_use(all), [21, 28, 36]);
    }

    #[test]
    fn a_part_keeps_the_epoch_of_its_batches() {
        // The epoch in between is known from a part that the last one wrote, before its own batches.
        let mut all = what_a_lost_epoch_left();
        let mut footer = FoundFooter::none(LEN);
        footer.epochs.push(NEXT);
        footer.lsns.push((Lsn(120), 5));
        (footer.parts, footer.to, footer.is_complete) = (1, 25 * 4096, true);
        let list = batch(32, NEXT, 120, &manifest(&[(21, 19), (28, 20)]));
        footer.items.extend(list.items);
        all.push(Found { footer, ..found(32, Vec::new()) });
        assert_eq!(in_use(all), [21, 28, 32]);
    }
}
