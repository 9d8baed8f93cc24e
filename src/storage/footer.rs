//! A sealed segment's own index: what recovery reads instead of the segment. An rkyv archive,
//! validated and used in place. It is a convenience: without it the segment is scanned.
//!
//! At the end of the file: the archive, padding to a block, then a trailer block.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use rkyv::rancor;
use rkyv::{Archive, Serialize};

use super::batch::{BLOCK, Buffer, FORMAT_VERSION, round_up};
use super::bytes::{Fields, put_varint};
use super::checksum;
use super::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, StreamId, position};
use super::index::SubjectId;
use super::index::entries::{Entry, Packer};

const MAGIC: [u8; 4] = *b"WFTF";
const TRAILER_FIELDS: usize = 32;
/// Room for what is said of the segment as a whole.
const FACTS_MAX: usize = 2048;

#[derive(Archive, Serialize, Debug, Default)]
pub struct Footer {
    pub log: u32,
    pub segment: u32,
    /// Where the batches end.
    pub end: u32,
    /// The epoch that wrote the footer, and its first batch.
    pub epoch: u32,
    pub epoch_first: u64,
    /// Its batches: runs of (first, how many).
    pub lsns: Vec<(u64, u32)>,
    pub is_sorted: bool,
    pub streams: Vec<FooterStream>,
    /// Records that are not messages: offset (u32), then the record itself, one after another.
    pub others: Vec<u8>,
    /// The batch of each of them, as steps.
    pub other_lsns: Vec<u8>,
}

#[derive(Archive, Serialize, Debug, Default)]
pub struct FooterStream {
    pub stream: u64,
    /// Length (varint) and bytes of each subject, one after another.
    pub subjects: Vec<u8>,
    /// Packed entries; their subject is the number of one of the above.
    pub entries: Vec<u8>,
}

/// What a footer says of its segment as a whole.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFacts<'a> {
    pub log: LogId,
    pub segment: SegmentNo,
    pub end: u32,
    pub epoch: Epoch,
    pub epoch_first: Lsn,
    pub lsns: &'a [(Lsn, u32)],
    pub is_sorted: bool,
}

/// Gathers a segment's footer while the segment fills.
#[derive(Default, Debug)]
pub struct FooterBuilder {
    streams: BTreeMap<StreamId, StreamPart>,
    others: Vec<u8>,
    other_lsns: Vec<u8>,
    other_lsn_last: u64,
    stream_bytes: usize,
    /// Of the tables of subjects; nothing on disk depends on it.
    hash_seed: u64,
}

#[derive(Default, Debug)]
struct StreamPart {
    names: HashTable<Name>,
    subjects: Vec<u8>,
    entries: Packer,
}

/// A subject among the bytes of all.
#[derive(Clone, Copy, Debug)]
struct Name {
    /// So that a growing table need not look at the bytes again.
    hash: u32,
    at: u32,
    len: u16,
    id: u32,
}

impl StreamPart {
    /// The number of a subject, which is given at its first message.
    fn number(&mut self, subject: &[u8], hash_seed: u64) -> u32 {
        let hash = checksum::short_of(subject, hash_seed);
        // A table uses the upper and the lower bits.
        let spread = |hash: u32| u64::from(hash) << 32 | u64::from(hash);
        let subjects = &self.subjects;
        let is_it = |name: &Name| {
            let at = name.at as usize;
            name.hash == hash && subjects.get(at..at + usize::from(name.len)) == Some(subject)
        };
        if let Some(known) = self.names.find(spread(hash), is_it) {
            return known.id;
        }
        let id = self.names.len() as u32;
        put_varint(&mut self.subjects, subject.len() as u64);
        let name = Name { hash, at: self.subjects.len() as u32, len: subject.len() as u16, id };
        self.subjects.extend_from_slice(subject);
        self.names.insert_unique(spread(hash), name, |name| spread(name.hash));
        id
    }
}

impl FooterBuilder {
    pub fn new(hash_seed: u64) -> Self {
        Self { hash_seed, ..Self::default() }
    }

    pub fn message(
        &mut self,
        stream: StreamId,
        seq: Seq,
        place: Place,
        subject: &[u8],
        has_headers: bool,
    ) {
        let part = self.streams.entry(stream).or_default();
        let before = part.entries.bytes().len() + part.subjects.len();
        let id = part.number(subject, self.hash_seed);
        part.entries.push(Entry { seq, place, subject: SubjectId(id), has_headers });
        self.stream_bytes += part.entries.bytes().len() + part.subjects.len() - before;
    }

    pub fn other(&mut self, lsn: Lsn, offset: u32, record: &[u8]) {
        self.others.extend_from_slice(&offset.to_le_bytes());
        self.others.extend_from_slice(record);
        put_varint(&mut self.other_lsns, lsn.0.saturating_sub(self.other_lsn_last));
        self.other_lsn_last = lsn.0;
    }

    /// An upper bound of the bytes it will take in the file.
    pub fn len_max(&self) -> u32 {
        let streams = self.stream_bytes + self.streams.len() * 64;
        let others = self.others.len() + self.other_lsns.len();
        round_up((streams + others + FACTS_MAX) as u32) + BLOCK as u32
    }

    /// The archive and its trailer, to be written so that it ends with the file.
    /// `None`: it could not be archived; the segment does without.
    pub fn finish(self, facts: &SegmentFacts<'_>) -> Option<Buffer> {
        let streams = self.streams.into_iter().map(|(stream, part)| FooterStream {
            stream: stream.0,
            subjects: part.subjects,
            entries: part.entries.bytes().to_vec(),
        });
        let footer = Footer {
            log: facts.log.0,
            segment: facts.segment.0,
            end: facts.end,
            epoch: facts.epoch.0,
            epoch_first: facts.epoch_first.0,
            lsns: facts.lsns.iter().map(|&(first, count)| (first.0, count)).collect(),
            is_sorted: facts.is_sorted,
            streams: streams.collect(),
            others: self.others,
            other_lsns: self.other_lsns,
        };
        let archive = rkyv::to_bytes::<rancor::Error>(&footer).ok()?;
        let mut out = Buffer::new();
        out.extend_from_slice(&archive);
        out.resize(round_up(archive.len() as u32) as usize, 0);
        out.extend_from_slice(&trailer(facts.log, facts.segment, &archive));
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        Some(out)
    }
}

fn trailer(log: LogId, segment: SegmentNo, archive: &[u8]) -> [u8; TRAILER_FIELDS] {
    let mut out = [0; TRAILER_FIELDS];
    out[..4].copy_from_slice(&MAGIC);
    out[4] = FORMAT_VERSION;
    out[8..12].copy_from_slice(&log.0.to_le_bytes());
    out[12..16].copy_from_slice(&(archive.len() as u32).to_le_bytes());
    let seed = position(segment, 0);
    out[16..24].copy_from_slice(&checksum::of(archive, seed).to_le_bytes());
    let check = checksum::of(&out[..24], seed);
    out[24..].copy_from_slice(&check.to_le_bytes());
    out
}

/// A valid trailer: the archive's length and checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    segment: SegmentNo,
    archive_len: u32,
    archive_check: u64,
}

impl Trailer {
    /// From the last block of a segment's file.
    pub fn decode(block: &[u8], log: LogId, segment: SegmentNo) -> Option<Self> {
        let raw = block.get(..TRAILER_FIELDS)?;
        let mut fields = Fields(raw);
        if fields.bytes(4)? != MAGIC || fields.bytes(4)? != [FORMAT_VERSION, 0, 0, 0] {
            return None;
        }
        let is_ours = LogId(fields.u32()?) == log;
        let archive_len = fields.u32()?;
        let archive_check = fields.u64()?;
        let is_whole = fields.u64()? == checksum::of(&raw[..24], position(segment, 0));
        (is_ours && is_whole).then_some(Self { segment, archive_len, archive_check })
    }

    /// Where the archive lies in a file of `file_len`, in whole blocks.
    pub fn archive_range(&self, file_len: u32) -> Option<(u32, u32)> {
        let padded = round_up(self.archive_len);
        let offset = file_len.checked_sub(BLOCK as u32)?.checked_sub(padded)?;
        Some((offset, padded))
    }

    /// The archive, from the bytes of that range.
    pub fn footer<'a>(&self, bytes: &'a Buffer) -> Option<&'a ArchivedFooter> {
        let archive = bytes.get(..self.archive_len as usize)?;
        let is_whole = checksum::of(archive, position(self.segment, 0)) == self.archive_check;
        if !is_whole && !super::mutation::skips_checksum() {
            return None;
        }
        let footer = rkyv::access::<ArchivedFooter, rancor::Error>(archive).ok()?;
        (footer.segment.to_native() == self.segment.0).then_some(footer)
    }
}

/// The subjects of one stream of a footer, by number.
pub fn subjects_of(packed: &[u8]) -> Vec<&[u8]> {
    let mut fields = Fields(packed);
    let mut out = Vec::new();
    while let Some(len) = fields.varint() {
        let Some(subject) = usize::try_from(len).ok().and_then(|len| fields.bytes(len)) else {
            break;
        };
        out.push(subject);
    }
    out
}

#[cfg(test)]
#[path = "footer_tests.rs"]
mod tests;
