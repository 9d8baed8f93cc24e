//! Records of nats-server's message blocks, as snapshots of servers before 2.15 carry them.
//!
//! ```text
//! length u32, top bit: has headers │ sequence u64 │ time u64, ns │ length of the subject u16
//! │ subject │ [length of the headers u32 │ headers] │ payload │ HighwayHash-64
//! ```
//! The hash covers sequence, time, length of the subject, subject, headers and payload; its key is
//! the SHA-256 of `<stream>-<block>`. Bit 63 of a sequence: the message was erased. Bit 62: a
//! message of this sequence, in this block or another, was deleted.

use highway::{HighwayHash, HighwayHasher, Key};
use sha2::{Digest, Sha256};

use crate::types::limits::ARCHIVE_ENTRY_BYTES_MAX;

const HAS_HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const DELETED: u64 = 1 << 62;
const HEAD: usize = 22;
const HASH: usize = 8;

/// What a record tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    Message {
        seq: u64,
        time: i64,
        subject: &'a [u8],
        headers: &'a [u8],
        payload: &'a [u8],
    },
    /// There was a message, and is none any more.
    Gone {
        seq: u64,
    },
}

/// These bytes are no record, or not one of this block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

/// How the records of one block are checked.
#[derive(Clone, Copy, Debug)]
pub struct BlockKey([u64; 4]);

impl BlockKey {
    pub fn new(stream: &str, block: u32) -> Self {
        let digest = Sha256::digest(format!("{stream}-{block}"));
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(digest.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        Self(words)
    }

    /// The record at the front of `bytes`, and its length. `None`: more bytes are needed.
    pub fn record<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Record<'a>, usize)>, Damaged> {
        let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
        let [l0, l1, l2, l3, rest @ ..] = *head;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let (seq, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let (time, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let subject_len = u16::from_le_bytes(rest.try_into().map_err(|_| Damaged)?);
        let (has_headers, len) = (len & HAS_HEADERS != 0, (len & !HAS_HEADERS) as usize);
        if !(HEAD + HASH..=ARCHIVE_ENTRY_BYTES_MAX).contains(&len) {
            return Err(Damaged);
        }
        let Some(whole) = bytes.get(..len) else { return Ok(None) };
        let (body, hash) = whole[HEAD..].split_last_chunk::<HASH>().ok_or(Damaged)?;
        let (subject, body) = body.split_at_checked(usize::from(subject_len)).ok_or(Damaged)?;
        let (headers, payload) = match has_headers {
            false => (&[][..], body),
            true => {
                let (len, body) = body.split_first_chunk().ok_or(Damaged)?;
                body.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(Damaged)?
            }
        };
        let mut hasher = HighwayHasher::new(Key(self.0));
        [&head[4..20], subject, headers, payload].iter().for_each(|part| hasher.append(part));
        if hasher.finalize64() != u64::from_le_bytes(*hash) {
            return Err(Damaged);
        }
        let (seq, time) = (u64::from_le_bytes(*seq), i64::from_le_bytes(*time));
        let record = match seq & (ERASED | DELETED) != 0 || seq == 0 {
            true => Record::Gone { seq: seq & !(ERASED | DELETED) },
            false => Record::Message { seq, time, subject, headers, payload },
        };
        Ok(Some((record, len)))
    }
}
