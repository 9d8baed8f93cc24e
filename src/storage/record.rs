//! Records: everything durable is one. Layout: format.md, "Record".

use super::bytes::{Fields, put_varint};
use super::checksum;
use super::ids::{Lsn, SegmentNo, Seq, SlotId, StreamId};
use rkyv::util::AlignedVec;

/// Length, check and kind stand before every record's own fields.
pub const RECORD_HEADER: usize = 12;
/// What a message costs beside its subject, headers and payload.
pub const MESSAGE_OVERHEAD: usize = RECORD_HEADER + PLAIN_FIELDS;
/// The numbers that every message has: stream, sequence, time, lengths.
const PLAIN_FIELDS: usize = 30;

/// A record as it lies in a batch, borrowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    Message(Message<'a>),
    /// These messages are no more. All of them lay in one segment; the record lives while that
    /// segment does.
    Delete {
        stream: StreamId,
        victims: SegmentNo,
        seqs: SeqList<'a>,
    },
    /// The stream's first and last sequence. Neither ever goes back.
    Bounds {
        stream: StreamId,
        first_seq: Seq,
        last_seq: Seq,
        /// When the last message was stored, in nanoseconds since 1970; 0: not known.
        last_time: u64,
    },
    /// The value of a key of the stream (its config, a consumer's state): the newest version wins.
    State {
        stream: StreamId,
        key: &'a [u8],
        version: u64,
        value: &'a [u8],
    },
    /// Added to the value with the next lower version.
    Delta {
        stream: StreamId,
        key: &'a [u8],
        version: u64,
        value: &'a [u8],
    },
    /// The key is no more.
    Gone {
        stream: StreamId,
        key: &'a [u8],
        version: u64,
    },
    /// Nothing of this stream is left.
    StreamGone {
        stream: StreamId,
    },
    /// First in every segment of the head: the segments that hold the log.
    Manifest(Manifest),
    /// The segment holds nothing alive; its file is about to be reused. `lsns`: its batches since
    /// the newest manifest, runs of (first, how many).
    Retired {
        segment: SegmentNo,
        lsns: Vec<(Lsn, u32)>,
    },
}

/// A stored message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    pub stream: StreamId,
    pub seq: Seq,
    /// Nanoseconds since 1970.
    pub time: u64,
    pub subject: &'a [u8],
    pub headers: &'a [u8],
    /// As it lies in the log: packed if something is saved.
    pub payload: &'a [u8],
    /// Bytes by which packing made the record shorter; 0: the payload is as it came. What packs and
    /// unpacks is whoever appends and reads.
    pub saved: u32,
}

impl Message<'_> {
    /// What a record is longer than subject, headers and payload.
    pub const OVERHEAD: usize = MESSAGE_OVERHEAD;
    /// The same of one with a packed payload.
    pub const PACKED_OVERHEAD: usize = MESSAGE_OVERHEAD + 4;

    /// The bytes of its record.
    pub fn record_len(&self) -> usize {
        let overhead = if self.saved > 0 { Self::PACKED_OVERHEAD } else { Self::OVERHEAD };
        overhead + self.subject.len() + self.headers.len() + self.payload.len()
    }

    pub fn form(&self) -> Form {
        Form { has_headers: !self.headers.is_empty(), saved: self.saved }
    }
}

/// What the index knows of a message beside its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Form {
    pub has_headers: bool,
    /// As [`Message::saved`].
    pub saved: u32,
}

/// Ascending sequences, as differences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeqList<'a> {
    Plain(&'a [Seq]),
    Packed(&'a [u8]),
}

impl SeqList<'_> {
    pub fn to_vec(&self) -> Vec<Seq> {
        let raw = match self {
            Self::Plain(seqs) => return seqs.to_vec(),
            Self::Packed(raw) => raw,
        };
        let mut fields = Fields(raw);
        let mut last = 0u64;
        let mut out = Vec::new();
        while let Some(step) = fields.varint() {
            last = last.saturating_add(step);
            out.push(Seq(last));
        }
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Packed(raw) => out.extend_from_slice(raw),
            Self::Plain(seqs) => {
                let mut last = 0;
                for seq in *seqs {
                    put_varint(out, seq.0 - last);
                    last = seq.0;
                }
            }
        }
    }
}

/// The segments that hold the log, as of the record's batch. All that lies below the ends is
/// durable: a head segment begins only when everything before it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Manifest {
    pub segments: Vec<ManifestEntry>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ManifestEntry {
    pub segment: SegmentNo,
    pub slot: SlotId,
    /// Where its batches end, or ended when the record was written.
    pub end: u32,
    /// Nothing is written after `end` any more.
    pub is_sealed: bool,
}

const MESSAGE: u8 = 1;
const DELETE: u8 = 2;
const BOUNDS: u8 = 3;
const STATE: u8 = 4;
const DELTA: u8 = 5;
const GONE: u8 = 6;
const STREAM_GONE: u8 = 7;
const MANIFEST: u8 = 8;
const RETIRED: u8 = 9;
const PACKED_MESSAGE: u8 = 10;

impl<'a> Record<'a> {
    /// Appends the record to a batch. `position` is where its first byte will lie.
    /// Returns its length.
    pub fn encode(&self, out: &mut AlignedVec<4096>, position: u64) -> u32 {
        let start = out.len();
        out.extend_from_slice(&[0; RECORD_HEADER]);
        let kind = match self {
            Self::Message(message) => {
                put_message(out, message);
                if message.saved > 0 { PACKED_MESSAGE } else { MESSAGE }
            }
            other => {
                let mut body = Vec::new();
                let kind = other.put(&mut body);
                out.extend_from_slice(&body);
                kind
            }
        };
        let len = (out.len() - start) as u32;
        let record = &mut out[start..];
        record[..4].copy_from_slice(&len.to_le_bytes());
        record[8] = kind;
        let check = check_of(record, position);
        record[4..8].copy_from_slice(&check.to_le_bytes());
        len
    }

    fn put(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Message(_) => MESSAGE,
            Self::Delete { stream, victims, seqs } => {
                put_u64(out, stream.0);
                out.extend_from_slice(&victims.0.to_le_bytes());
                seqs.put(out);
                DELETE
            }
            Self::Bounds { stream, first_seq, last_seq, last_time } => {
                put_u64(out, stream.0);
                put_u64(out, first_seq.0);
                put_u64(out, last_seq.0);
                put_u64(out, *last_time);
                BOUNDS
            }
            Self::State { stream, key, version, value } => {
                put_keyed(out, *stream, key, *version, value);
                STATE
            }
            Self::Delta { stream, key, version, value } => {
                put_keyed(out, *stream, key, *version, value);
                DELTA
            }
            Self::Gone { stream, key, version } => {
                put_keyed(out, *stream, key, *version, &[]);
                GONE
            }
            Self::StreamGone { stream } => {
                put_u64(out, stream.0);
                STREAM_GONE
            }
            Self::Manifest(manifest) => {
                for entry in &manifest.segments {
                    out.extend_from_slice(&entry.segment.0.to_le_bytes());
                    out.extend_from_slice(&entry.slot.0.to_le_bytes());
                    out.extend_from_slice(&entry.end.to_le_bytes());
                    out.push(u8::from(entry.is_sealed));
                }
                MANIFEST
            }
            Self::Retired { segment, lsns } => {
                out.extend_from_slice(&segment.0.to_le_bytes());
                for (first, count) in lsns {
                    put_u64(out, first.0);
                    out.extend_from_slice(&count.to_le_bytes());
                }
                RETIRED
            }
        }
    }

    /// The stream it belongs to, and the message it holds if it holds one.
    pub fn mentions(&self) -> Option<(StreamId, Seq)> {
        match *self {
            Self::Message(message) => Some((message.stream, message.seq)),
            Self::Delete { stream, .. }
            | Self::Bounds { stream, .. }
            | Self::State { stream, .. }
            | Self::Delta { stream, .. }
            | Self::Gone { stream, .. } => Some((stream, Seq(0))),
            Self::StreamGone { .. } | Self::Manifest(_) | Self::Retired { .. } => None,
        }
    }

    /// The record that begins at `bytes`, and its length. Checked: wrong bytes, or right bytes of
    /// another place, are an error.
    pub fn decode(bytes: &'a [u8], position: u64) -> Result<(Self, u32), RecordError> {
        let len = peek_len(bytes)?;
        let raw = bytes.get(..len as usize).ok_or(RecordError::Cut)?;
        if !(MESSAGE..=PACKED_MESSAGE).contains(&raw[8]) {
            return Err(RecordError::Malformed);
        }
        let stored = Fields(&raw[4..]).u32().ok_or(RecordError::Cut)?;
        if check_of(raw, position) != stored && !super::mutation::skips_checksum() {
            return Err(RecordError::Damaged);
        }
        let mut fields = Fields(&raw[RECORD_HEADER..]);
        let record = Self::fields(raw[8], &mut fields).ok_or(RecordError::Malformed)?;
        Ok((record, len))
    }

    fn fields(kind: u8, fields: &mut Fields<'a>) -> Option<Self> {
        let record = match kind {
            MESSAGE => return message_fields(fields, false).map(Self::Message),
            PACKED_MESSAGE => return message_fields(fields, true).map(Self::Message),
            DELETE => Self::Delete {
                stream: StreamId(fields.u64()?),
                victims: SegmentNo(fields.u32()?),
                seqs: SeqList::Packed(fields.bytes(fields.0.len())?),
            },
            BOUNDS => Self::Bounds {
                stream: StreamId(fields.u64()?),
                first_seq: Seq(fields.u64()?),
                last_seq: Seq(fields.u64()?),
                last_time: fields.u64()?,
            },
            STATE => {
                let (stream, key, version, value) = keyed_fields(fields)?;
                Self::State { stream, key, version, value }
            }
            DELTA => {
                let (stream, key, version, value) = keyed_fields(fields)?;
                Self::Delta { stream, key, version, value }
            }
            GONE => {
                let (stream, key, version, _) = keyed_fields(fields)?;
                Self::Gone { stream, key, version }
            }
            STREAM_GONE => Self::StreamGone { stream: StreamId(fields.u64()?) },
            MANIFEST => Self::Manifest(manifest_fields(fields)?),
            RETIRED => retired_fields(fields)?,
            _ => return None,
        };
        fields.is_empty().then_some(record)
    }
}

/// The length a record claims; enough to know how much to read before it can be checked.
pub fn peek_len(bytes: &[u8]) -> Result<u32, RecordError> {
    let len = Fields(bytes).u32().ok_or(RecordError::Cut)?;
    if (len as usize) < RECORD_HEADER { Err(RecordError::Malformed) } else { Ok(len) }
}

/// Over everything but the check itself; the length goes in with the seed.
fn check_of(record: &[u8], position: u64) -> u32 {
    checksum::short_of(&record[8..], position ^ (record.len() as u64).rotate_left(40))
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_message(out: &mut AlignedVec<4096>, message: &Message<'_>) {
    let mut fields = [0; PLAIN_FIELDS];
    fields[..8].copy_from_slice(&message.stream.0.to_le_bytes());
    fields[8..16].copy_from_slice(&message.seq.0.to_le_bytes());
    fields[16..24].copy_from_slice(&message.time.to_le_bytes());
    fields[24..26].copy_from_slice(&(message.subject.len() as u16).to_le_bytes());
    fields[26..].copy_from_slice(&(message.headers.len() as u32).to_le_bytes());
    out.extend_from_slice(&fields);
    if message.saved > 0 {
        out.extend_from_slice(&message.saved.to_le_bytes());
    }
    out.extend_from_slice(message.subject);
    out.extend_from_slice(message.headers);
    out.extend_from_slice(message.payload);
}

fn message_fields<'a>(fields: &mut Fields<'a>, is_packed: bool) -> Option<Message<'a>> {
    let stream = StreamId(fields.u64()?);
    let seq = Seq(fields.u64()?);
    let time = fields.u64()?;
    let subject_len = usize::from(fields.u16()?);
    let headers_len = fields.u32()? as usize;
    let saved = if is_packed { fields.u32()? } else { 0 };
    Some(Message {
        stream,
        seq,
        time,
        subject: fields.bytes(subject_len)?,
        headers: fields.bytes(headers_len)?,
        payload: fields.0,
        saved,
    })
}

fn put_keyed(out: &mut Vec<u8>, stream: StreamId, key: &[u8], version: u64, value: &[u8]) {
    put_u64(out, stream.0);
    put_u64(out, version);
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

type Keyed<'a> = (StreamId, &'a [u8], u64, &'a [u8]);

fn keyed_fields<'a>(fields: &mut Fields<'a>) -> Option<Keyed<'a>> {
    let stream = StreamId(fields.u64()?);
    let version = fields.u64()?;
    let key_len = fields.u32()? as usize;
    let key = fields.bytes(key_len)?;
    let value = fields.bytes(fields.0.len())?;
    Some((stream, key, version, value))
}

fn manifest_fields(fields: &mut Fields<'_>) -> Option<Manifest> {
    let mut manifest = Manifest::default();
    while !fields.is_empty() {
        manifest.segments.push(ManifestEntry {
            segment: SegmentNo(fields.u32()?),
            slot: SlotId(fields.u32()?),
            end: fields.u32()?,
            is_sealed: fields.u8()? != 0,
        });
    }
    Some(manifest)
}

fn retired_fields<'a>(fields: &mut Fields<'_>) -> Option<Record<'a>> {
    let segment = SegmentNo(fields.u32()?);
    let mut lsns = Vec::new();
    while !fields.is_empty() {
        lsns.push((Lsn(fields.u64()?), fields.u32()?));
    }
    Some(Record::Retired { segment, lsns })
}

/// Why bytes are not a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordError {
    /// Fewer bytes than the record claims.
    Cut,
    /// The check does not fit.
    Damaged,
    /// The check fits but the fields make no record: another version, or a bug.
    Malformed,
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
