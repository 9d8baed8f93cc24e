//! The archive inside a snapshot of nats-server 2.15 (facts/jetstream-api.md §2): entries one
//! after the other, behind a magic word.
//!
//! ```text
//! NATSARC1 │ entry …
//! entry    │ length of the name │ time, ns, signed │ sequence │ length of the headers
//!          │ length of the payload │ name │ headers │ payload
//! ```
//! Numbers are varints. First comes `state.json`, then `consumers/<name>` for each consumer, then
//! the messages under their subjects; an entry of zeros is the end.

use super::tar::is_tar;
use crate::types::limits::{ARCHIVE_ENTRY_BYTES_MAX, ARCHIVE_NAME_BYTES_MAX};

pub const MAGIC: &[u8; 8] = b"NATSARC1";
pub const STATE: &[u8] = b"state.json";
pub const CONSUMERS: &[u8] = b"consumers/";

/// These bytes are no archive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArchiveError {
    Invalid,
    /// It is what servers before 2.15 made: see [`super::tar`].
    Tar,
}

pub const INVALID: &str = "archive: invalid archive stream";

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry<'a> {
    pub name: &'a [u8],
    /// Nanoseconds since 1970.
    pub time: i64,
    /// 0: no message.
    pub seq: u64,
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl Entry<'_> {
    /// The end of the archive is an entry without anything in it.
    pub fn is_end(&self) -> bool {
        self.seq == 0 && self.time == 0 && self.headers.is_empty() && self.payload.is_empty()
    }

    pub fn append(&self, out: &mut Vec<u8>) {
        put(out, self.name.len() as u64);
        put(out, (self.time << 1 ^ self.time >> 63) as u64);
        for number in [self.seq, self.headers.len() as u64, self.payload.len() as u64] {
            put(out, number);
        }
        for part in [self.name, self.headers, self.payload] {
            out.extend_from_slice(part);
        }
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The lengths at an entry's head.
#[derive(Clone, Copy, Debug)]
struct Head {
    name: usize,
    time: i64,
    seq: u64,
    headers: usize,
    payload: usize,
}

/// Finds entries in bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub struct ArchiveReader {
    /// Unpacked bytes; whoever unpacks adds to them.
    pub bytes: Vec<u8>,
    /// Of them, those done with.
    at: usize,
    is_begun: bool,
}

impl ArchiveReader {
    /// The next entry and its length, which is to be [taken](Self::take) when it was dealt with.
    /// `None`: more bytes are needed.
    pub fn entry(&mut self) -> Result<Option<(Entry<'_>, usize)>, ArchiveError> {
        if !self.is_begun {
            let Some(magic) = self.bytes.first_chunk::<8>() else { return Ok(None) };
            if magic != MAGIC {
                return match is_tar(&self.bytes) {
                    None => Ok(None),
                    Some(true) => Err(ArchiveError::Tar),
                    Some(false) => Err(ArchiveError::Invalid),
                };
            }
            self.is_begun = true;
            self.at = MAGIC.len();
        }
        let all = &self.bytes[self.at..];
        let mut rest = all;
        let Some(head) = read_head(&mut rest)? else { return Ok(None) };
        let Some((name, rest)) = rest.split_at_checked(head.name) else { return Ok(None) };
        let Some((headers, rest)) = rest.split_at_checked(head.headers) else { return Ok(None) };
        let Some((payload, rest)) = rest.split_at_checked(head.payload) else { return Ok(None) };
        let entry = Entry { name, time: head.time, seq: head.seq, headers, payload };
        Ok(Some((entry, all.len() - rest.len())))
    }

    /// An entry of this length was dealt with.
    pub fn take(&mut self, len: usize) {
        self.at += len;
    }

    /// Forgets what was taken: to be called before more is added.
    pub fn make_room(&mut self) {
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
    }

    /// Everything added belonged to whole entries.
    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Refuses what no entry can be, before its bytes are gathered.
fn read_head(rest: &mut &[u8]) -> Result<Option<Head>, ArchiveError> {
    let mut numbers = [0; 5];
    for number in &mut numbers {
        match read_number(rest)? {
            Some(value) => *number = value,
            None => return Ok(None),
        }
    }
    let [name, time, seq, headers, payload] = numbers;
    let len = |value: u64| usize::try_from(value).map_err(|_| ArchiveError::Invalid);
    let (name, headers, payload) = (len(name)?, len(headers)?, len(payload)?);
    let is_large = headers.saturating_add(payload) > ARCHIVE_ENTRY_BYTES_MAX;
    if name > ARCHIVE_NAME_BYTES_MAX || is_large {
        return Err(ArchiveError::Invalid);
    }
    let time = (time >> 1) as i64 ^ -((time & 1) as i64);
    Ok(Some(Head { name, time, seq, headers, payload }))
}

/// `None`: cut off.
pub fn read_number(rest: &mut &[u8]) -> Result<Option<u64>, ArchiveError> {
    let mut value = 0;
    for (at, &byte) in rest.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == 9 && bits > 1 {
            return Err(ArchiveError::Invalid);
        }
        value |= bits << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            return Ok(Some(value));
        }
    }
    if rest.len() >= 10 { Err(ArchiveError::Invalid) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

    fn read(bytes: &[u8]) -> Result<Vec<Found>, ArchiveError> {
        let mut reader = ArchiveReader::default();
        let mut found = Vec::new();
        for byte in bytes {
            reader.bytes.push(*byte);
            while let Some((entry, len)) = reader.entry()? {
                let Entry { name, time, seq, headers, payload } = entry;
                found.push((name.to_vec(), time, seq, headers.to_vec(), payload.to_vec()));
                reader.take(len);
            }
            reader.make_room();
        }
        Ok(found)
    }

    #[test]
    fn entries_are_found_byte_by_byte() {
        let mut bytes = MAGIC.to_vec();
        let message = Entry { name: b"a.b", time: -7, seq: u64::MAX, headers: b"h", payload: b"p" };
        message.append(&mut bytes);
        Entry::default().append(&mut bytes);
        let message = (b"a.b".to_vec(), -7, u64::MAX, b"h".to_vec(), b"p".to_vec());
        let end = (Vec::new(), 0, 0, Vec::new(), Vec::new());
        assert_eq!(read(&bytes), Ok(vec![message, end]));
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert_eq!(read(&[b'N'; 512]), Err(ArchiveError::Invalid));
        assert_eq!(read(&[MAGIC, &[0xff; 10][..]].concat()), Err(ArchiveError::Invalid));
        let huge = [&MAGIC[..], &[0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
        assert_eq!(read(&huge), Err(ArchiveError::Invalid));
    }
}
