//! A segment's own index: what recovery reads instead of the segment. It is a convenience:
//! what it does not tell is scanned.
//!
//! It is written in parts while the segment fills, each when the batches it tells of are durable,
//! from the end of the file downwards. So a footer is the checkpoint of its segment: after a kill
//! only what lies behind its newest part is scanned, and a part that cannot be read costs a scan
//! from where the one before it ended. A part is an rkyv archive, padded, with a trailer in the
//! last bytes of its last block; it is validated and used in place.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashTable;
use rkyv::rancor;
use rkyv::{Archive, Serialize};

use super::batch::{BLOCK, Buffer, FORMAT_VERSION, round_up};
use super::bytes::{Fields, put_varint};
use super::checksum;
use super::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, StreamId, position};
use super::index::SubjectId;
use super::index::entries::{Entry, Packer};
use super::record::Form;

const MAGIC: [u8; 4] = *b"WFTP";
pub const TRAILER: usize = 32;
/// Room for what is said of a part as a whole.
const FACTS_MAX: usize = 256;
/// What a run of batches takes.
const RUN_BYTES: usize = 16;

/// A part: what the batches between two places of the file hold.
#[derive(Archive, Serialize, Debug, Default)]
pub struct Part {
    pub log: u32,
    pub segment: u32,
    /// Where its first batch begins, and where its last one ends.
    pub from: u32,
    pub to: u32,
    /// The segment takes no batches behind this part.
    pub is_last: bool,
    /// Its last batch is an empty one.
    pub is_closed: bool,
    pub is_sorted: bool,
    /// The epoch of its batches, and that epoch's first batch: it still makes void what older epochs
    /// left behind that, when a later one has written the part.
    pub epoch: u32,
    pub epoch_first: u64,
    /// Its batches: runs of (first, how many).
    pub lsns: Vec<(u64, u32)>,
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

/// When a part is complete.
#[derive(Clone, Copy, Debug)]
pub struct PartLimits {
    /// Bytes it takes in the file.
    pub bytes: u32,
    /// Bytes of batches it tells of.
    pub batch_bytes: u32,
}

/// A segment's footer while the segment fills.
#[derive(Debug)]
pub struct Footer {
    segment: SegmentNo,
    /// All batches of a segment are of one epoch; with the first batch of that.
    epoch: (Epoch, Lsn),
    limits: PartLimits,
    hash_seed: u64,
    gathering: PartBuilder,
    /// Complete, and not yet written; the oldest first.
    complete: VecDeque<PartBuilder>,
    complete_len: u32,
    /// The next part ends here in the file.
    top: u32,
}

/// Gathers one part.
#[derive(Default, Debug)]
struct PartBuilder {
    from: u32,
    to: u32,
    is_last: bool,
    is_closed: bool,
    lsns: Vec<(Lsn, u32)>,
    streams: BTreeMap<StreamId, StreamPart>,
    others: Vec<u8>,
    other_lsns: Vec<u8>,
    other_lsn_last: u64,
    stream_bytes: usize,
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

impl Footer {
    /// Of the batches from `from` on; parts that tell of those before begin at `top`.
    pub fn new(
        segment: SegmentNo,
        epoch: (Epoch, Lsn),
        (from, top): (u32, u32),
        limits: PartLimits,
        hash_seed: u64,
    ) -> Self {
        let gathering = PartBuilder { from, to: from, ..PartBuilder::default() };
        let (complete, complete_len) = (VecDeque::new(), 0);
        Self { segment, epoch, limits, hash_seed, gathering, complete, complete_len, top }
    }

    /// Where the room for batches ends.
    pub fn bottom(&self) -> u32 {
        self.top.saturating_sub(self.complete_len).saturating_sub(self.gathering.len_max())
    }

    /// Bytes that it takes in a file of `file_len`, at most.
    pub fn len_max(&self, file_len: u32) -> u32 {
        file_len.saturating_sub(self.bottom())
    }

    pub fn message(
        &mut self,
        stream: StreamId,
        seq: Seq,
        place: Place,
        subject: &[u8],
        form: Form,
    ) {
        let part = self.gathering.streams.entry(stream).or_default();
        let before = part.entries.bytes().len() + part.subjects.len();
        let id = part.number(subject, self.hash_seed);
        part.entries.push(Entry { seq, place, subject: SubjectId(id), form });
        let after = part.entries.bytes().len() + part.subjects.len();
        self.gathering.stream_bytes += after - before;
    }

    pub fn other(&mut self, lsn: Lsn, offset: u32, record: &[u8]) {
        let part = &mut self.gathering;
        part.others.extend_from_slice(&offset.to_le_bytes());
        part.others.extend_from_slice(record);
        put_varint(&mut part.other_lsns, lsn.0.saturating_sub(part.other_lsn_last));
        part.other_lsn_last = lsn.0;
    }

    /// A batch ends at `end`, and its records were told. Whether a part is complete with it.
    pub fn batch(&mut self, lsn: Lsn, end: u32, is_empty: bool) -> bool {
        let part = &mut self.gathering;
        part.to = end;
        part.is_closed = is_empty;
        match part.lsns.last_mut() {
            Some((first, count)) if first.0 + u64::from(*count) == lsn.0 => *count += 1,
            _ => part.lsns.push((lsn, 1)),
        }
        let is_complete = part.len_max() >= self.limits.bytes
            || part.to.saturating_sub(part.from) >= self.limits.batch_bytes;
        if is_complete {
            self.complete(false);
        }
        is_complete
    }

    /// The segment takes no more batches.
    pub fn seal(&mut self) {
        match self.complete.back_mut() {
            Some(part) if self.gathering.lsns.is_empty() => part.is_last = true,
            _ => self.complete(true),
        }
    }

    fn complete(&mut self, is_last: bool) {
        let from = self.gathering.to;
        let next = PartBuilder { from, to: from, ..PartBuilder::default() };
        let part = PartBuilder { is_last, ..std::mem::replace(&mut self.gathering, next) };
        self.complete_len += part.len_max();
        self.complete.push_back(part);
    }

    /// The last batch of the oldest part that waits to be written; 0 if it has none.
    pub fn due(&self) -> Option<Lsn> {
        let part = self.complete.front()?;
        let last = part.lsns.last();
        Some(last.map_or(Lsn(0), |&(first, count)| Lsn(first.0 + u64::from(count) - 1)))
    }

    /// The oldest part that waits, and where in the file it belongs. `None`: there is none, or it
    /// could not be archived, and the segment does without.
    pub fn write(&mut self, log: LogId, is_sorted: bool) -> Option<(u32, Buffer)> {
        let part = self.complete.pop_front()?;
        self.complete_len -= part.len_max();
        let bytes = part.finish(log, (self.segment, self.epoch), is_sorted, self.top)?;
        self.top = self.top.checked_sub(bytes.len() as u32)?;
        Some((self.top, bytes))
    }
}

impl PartBuilder {
    /// An upper bound of the bytes it will take in the file.
    fn len_max(&self) -> u32 {
        let streams = self.stream_bytes + self.streams.len() * 64;
        let others = self.others.len() + self.other_lsns.len();
        let lsns = self.lsns.len() * RUN_BYTES;
        round_up((streams + others + lsns + FACTS_MAX + TRAILER) as u32)
    }

    fn finish(
        self,
        log: LogId,
        (segment, (epoch, epoch_first)): (SegmentNo, (Epoch, Lsn)),
        is_sorted: bool,
        end: u32,
    ) -> Option<Buffer> {
        let streams = self.streams.into_iter().map(|(stream, part)| FooterStream {
            stream: stream.0,
            subjects: part.subjects,
            entries: part.entries.bytes().to_vec(),
        });
        let part = Part {
            log: log.0,
            segment: segment.0,
            from: self.from,
            to: self.to,
            is_last: self.is_last,
            is_closed: self.is_closed,
            is_sorted,
            epoch: epoch.0,
            epoch_first: epoch_first.0,
            lsns: self.lsns.iter().map(|&(first, count)| (first.0, count)).collect(),
            streams: streams.collect(),
            others: self.others,
            other_lsns: self.other_lsns,
        };
        let archive = rkyv::to_bytes::<rancor::Error>(&part).ok()?;
        let mut out = Buffer::new();
        out.extend_from_slice(&archive);
        out.resize(round_up((archive.len() + TRAILER) as u32) as usize - TRAILER, 0);
        out.extend_from_slice(&trailer(log, position(segment, end), &archive));
        Some(out)
    }
}

/// `seed`: the position of the part's end.
fn trailer(log: LogId, seed: u64, archive: &[u8]) -> [u8; TRAILER] {
    let mut out = [0; TRAILER];
    out[..4].copy_from_slice(&MAGIC);
    out[4] = FORMAT_VERSION;
    out[8..12].copy_from_slice(&log.0.to_le_bytes());
    out[12..16].copy_from_slice(&(archive.len() as u32).to_le_bytes());
    out[16..24].copy_from_slice(&checksum::of(archive, seed).to_le_bytes());
    let check = checksum::of(&out[..24], seed);
    out[24..].copy_from_slice(&check.to_le_bytes());
    out
}

/// A valid trailer: the archive's length and checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trailer {
    segment: SegmentNo,
    seed: u64,
    archive_len: u32,
    archive_check: u64,
}

impl Trailer {
    /// From the last bytes of a part that ends at `end` in the file.
    pub fn decode(bytes: &[u8], log: LogId, segment: SegmentNo, end: u32) -> Option<Self> {
        let raw = &bytes[bytes.len().checked_sub(TRAILER)?..];
        let mut fields = Fields(raw);
        if fields.bytes(4)? != MAGIC || fields.bytes(4)? != [FORMAT_VERSION, 0, 0, 0] {
            return None;
        }
        let is_ours = LogId(fields.u32()?) == log;
        let archive_len = fields.u32()?;
        let archive_check = fields.u64()?;
        let seed = position(segment, end);
        let is_whole = fields.u64()? == checksum::of(&raw[..24], seed);
        let trailer = Self { segment, seed, archive_len, archive_check };
        // A part never reaches down to the segment's header.
        (is_ours && is_whole && trailer.part_len() < u64::from(end)).then_some(trailer)
    }

    /// Bytes of the part, in whole blocks.
    pub fn part_len(&self) -> u64 {
        (u64::from(self.archive_len) + TRAILER as u64).next_multiple_of(BLOCK as u64)
    }

    /// The archive, from the bytes of the part.
    pub fn part<'a>(&self, bytes: &'a Buffer) -> Option<&'a ArchivedPart> {
        let archive = bytes.get(..self.archive_len as usize)?;
        let is_whole = checksum::of(archive, self.seed) == self.archive_check;
        if !is_whole && !super::mutation::skips_checksum() {
            return None;
        }
        let part = rkyv::access::<ArchivedPart, rancor::Error>(archive).ok()?;
        (part.segment.to_native() == self.segment.0).then_some(part)
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
