//! Segments: the header that names one, and what lives in it.

use std::collections::BTreeMap;

use super::batch::{BLOCK, Buffer, FORMAT_VERSION};
use super::bytes::Fields;
use super::checksum;
use super::footer::{Footer, PartLimits};
use super::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, SlotId, StreamId};
use super::record::{Form, ManifestEntry, Message, Record};
use crate::types::Mono;

/// The first block of the file; batches begin behind it.
pub const SEGMENT_HEADER: u32 = BLOCK as u32;
const MAGIC: [u8; 4] = *b"WFTS";
const HEADER_FIELDS: usize = 40;
/// A footer takes at most this part of its file.
const FOOTER_SHARE_MAX: u32 = 3;

/// The first block of a segment's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    pub log: LogId,
    pub segment: SegmentNo,
    pub slot: SlotId,
    pub len: u32,
}

impl SegmentHeader {
    pub fn encode(&self) -> Buffer {
        let mut out = Buffer::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT_VERSION, 0, 0, 0]);
        out.extend_from_slice(&self.log.0.to_le_bytes());
        out.extend_from_slice(&self.segment.0.to_le_bytes());
        out.extend_from_slice(&self.slot.0.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.resize(HEADER_FIELDS - 8, 0);
        let check = checksum::of(&out, 0);
        out.extend_from_slice(&check.to_le_bytes());
        out.resize(BLOCK, 0);
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let raw = bytes.get(..HEADER_FIELDS)?;
        let mut fields = Fields(raw);
        if fields.bytes(4)? != MAGIC || fields.bytes(4)? != [FORMAT_VERSION, 0, 0, 0] {
            return None;
        }
        let header = Self {
            log: LogId(fields.u32()?),
            segment: SegmentNo(fields.u32()?),
            slot: SlotId(fields.u32()?),
            len: fields.u32()?,
        };
        fields.bytes(8)?;
        (fields.u64()? == checksum::of(&raw[..HEADER_FIELDS - 8], 0)).then_some(header)
    }
}

/// How far its file is. A recycled file's name needs no flush.
///
/// ```text
/// Preparing ─→ Naming ─→ Ready
///     └──────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// The file is being written; batches for it may already gather.
    Preparing,
    /// The file's name is being made durable.
    Naming,
    Ready,
}

/// ```text
/// Unused ─→ Open ─→ Sealed ─→ Retiring ─→ (gone)
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Unused,
    Open,
    /// Full, or left behind by a crash.
    Sealed,
    /// Its `Retired` record is in this batch.
    Retiring(Lsn),
}

/// A segment in use.
#[derive(Debug)]
pub struct Segment {
    pub no: SegmentNo,
    pub slot: SlotId,
    pub len: u32,
    pub file: Readiness,
    pub stage: Stage,
    /// Where the next batch would begin.
    pub end: u32,
    /// Its batches: runs of (first, how many).
    pub lsns: Vec<(Lsn, u32)>,
    /// Bytes of records that count.
    pub live_bytes: u64,
    /// Bytes of records, dead or alive.
    pub record_bytes: u64,
    /// Bytes of records here that must live as long as another segment does: deletes, by the
    /// segment of their victims, with the offset and length of each.
    pub tombs: BTreeMap<SegmentNo, BTreeMap<u32, u32>>,
    /// Streams with records here, and the highest sequence of each.
    pub streams: BTreeMap<StreamId, Seq>,
    /// Segments that also hold what was copied into this one. It must not retire before them:
    /// deletes name this one.
    pub sources: Vec<SegmentNo>,
    pub is_sorted: bool,
    /// Since when it is full; if it was so at the start, since then.
    pub full_since: Mono,
    /// Its file held another segment before.
    pub is_recycled: bool,
    /// Bytes in it are not what was written: it is left alone.
    pub is_damaged: bool,
    /// Deleted bytes in it must be overwritten before its file is reused.
    pub erase: bool,
    /// What is still to be written of its footer; `None` once it is complete, or if it grew too
    /// large.
    pub footer: Option<Footer>,
    /// What is written of the footer begins here.
    pub footer_top: u32,
}

impl Segment {
    /// `epoch`: that of its batches, with the first batch of that epoch.
    pub fn new(
        (no, slot, len): (SegmentNo, SlotId, u32),
        epoch: (Epoch, Lsn),
        parts: PartLimits,
        hash_seed: u64,
    ) -> Self {
        Self {
            no,
            slot,
            len,
            file: Readiness::Preparing,
            stage: Stage::Unused,
            end: SEGMENT_HEADER,
            lsns: Vec::new(),
            live_bytes: 0,
            record_bytes: 0,
            tombs: BTreeMap::new(),
            streams: BTreeMap::new(),
            sources: Vec::new(),
            is_sorted: false,
            full_since: Mono(0),
            is_recycled: false,
            is_damaged: false,
            erase: false,
            footer: Some(Footer::new(no, epoch, (SEGMENT_HEADER, len), parts, hash_seed)),
            footer_top: len,
        }
    }

    /// Bytes that batches may still take, with the footer's room left free.
    pub fn room(&self) -> u32 {
        self.footer.as_ref().map_or(self.footer_top, Footer::bottom).saturating_sub(self.end)
    }

    pub fn manifest_entry(&self) -> ManifestEntry {
        ManifestEntry {
            segment: self.no,
            slot: self.slot,
            end: self.end,
            is_sealed: matches!(self.stage, Stage::Sealed | Stage::Retiring(_)),
        }
    }

    /// Its last batch; 0 if it has none.
    pub fn last_lsn(&self) -> Lsn {
        let last = self.lsns.last();
        last.map_or(Lsn(0), |&(first, count)| Lsn(first.0 + u64::from(count) - 1))
    }

    /// A batch ends at `end`. Whether a part of the footer is complete with it.
    pub fn add_batch(&mut self, lsn: Lsn, end: u32, is_empty: bool) -> bool {
        self.end = end;
        match self.lsns.last_mut() {
            Some((first, count)) if first.0 + u64::from(*count) == lsn.0 => *count += 1,
            _ => self.lsns.push((lsn, 1)),
        }
        self.footer.as_mut().is_some_and(|footer| footer.batch(lsn, end, is_empty))
    }

    /// Its batches after `lsn`.
    pub fn lsns_after(&self, lsn: Lsn) -> Vec<(Lsn, u32)> {
        let late = self.lsns.iter().filter(|(first, _)| *first > lsn);
        late.copied().collect()
    }

    /// A record was put here: counts its bytes and lists it in the footer to be.
    pub fn list(&mut self, record: &Record<'_>, lsn: Lsn, place: Place, bytes: &[u8]) {
        if let Record::Message(message) = record {
            let Message { stream, seq, subject, .. } = *message;
            self.list_message(stream, seq, place, subject, message.form());
            return;
        }
        self.record_bytes += u64::from(place.len);
        if let Some((stream, seq)) = record.mentions() {
            self.mention(stream, seq);
        }
        if let Some(footer) = &mut self.footer {
            footer.other(lsn, place.offset, bytes);
        }
        self.limit_footer();
    }

    pub fn list_message(
        &mut self,
        stream: StreamId,
        seq: Seq,
        place: Place,
        subject: &[u8],
        form: Form,
    ) {
        self.record_bytes += u64::from(place.len);
        self.mention(stream, seq);
        if let Some(footer) = &mut self.footer {
            footer.message(stream, seq, place, subject, form);
        }
        self.limit_footer();
    }

    /// A footer that takes too much of its segment is not worth its room. What is written of it
    /// stays.
    fn limit_footer(&mut self) {
        let len = self.footer.as_ref().map_or(0, |footer| footer.len_max(self.len));
        if len > self.len / FOOTER_SHARE_MAX {
            self.footer = None;
        }
    }

    pub fn count_in(&mut self, place: Place) {
        self.live_bytes += u64::from(place.len);
    }

    pub fn count_out(&mut self, bytes: u64) {
        debug_assert!(self.live_bytes >= bytes);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
    }

    pub fn mention(&mut self, stream: StreamId, seq: Seq) {
        let highest = self.streams.entry(stream).or_default();
        *highest = (*highest).max(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_every_flipped_bit_is_seen() {
        let header =
            SegmentHeader { log: LogId(3), segment: SegmentNo(9), slot: SlotId(2), len: 1 << 20 };
        let bytes = header.encode();
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(SegmentHeader::decode(&bytes), Some(header));
        for bit in 0..HEADER_FIELDS * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), None, "bit {bit}");
        }
    }
}
