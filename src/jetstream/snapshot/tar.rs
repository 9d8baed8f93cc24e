//! What snapshots of nats-server before 2.15 hold: a tar of the files the server keeps a stream in.
//!
//! | file | holds |
//! |---|---|
//! | `meta.inf` | the stream's configuration and when it was made |
//! | `msgs/<n>.blk` | messages ([`super::block`]) |
//! | `obs/<name>/meta.inf` `o.dat` | a consumer's configuration; how far it is |
//! | `errors.txt` | why the snapshot is not whole |
//!
//! Others are passed over: `meta.sum`, and `msgs/index.db`, which repeats what the blocks tell.

use super::block::{BlockKey, Record};
use crate::types::limits::ARCHIVE_ENTRY_BYTES_MAX;

const HEADER: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    Stream(&'a [u8]),
    Record(Record<'a>),
    Consumer {
        name: &'a str,
        config: &'a [u8],
    },
    Progress {
        name: &'a str,
        state: &'a [u8],
    },
    /// The server that made the snapshot could not go on.
    Failed(&'a [u8]),
    End,
}

/// These bytes are no such snapshot; why, as a sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TarError(pub &'static str);

const INVALID: TarError = TarError("archive/tar: invalid tar header");

#[derive(Clone, Debug)]
enum Kind {
    Stream,
    Block(BlockKey),
    Consumer(String),
    Progress(String),
    Failed,
    /// The name of the next file, if it is long.
    Extended,
    Other,
}

#[derive(Debug)]
struct File {
    kind: Kind,
    left: usize,
    padding: usize,
}

/// Finds files, and records in them, in bytes that come in pieces of any size.
#[derive(Debug)]
pub struct TarReader {
    stream: String,
    /// Unpacked bytes; whoever unpacks adds to them.
    pub bytes: Vec<u8>,
    at: usize,
    file: Option<File>,
    next_name: Option<String>,
}

/// Whether a tar begins with these bytes. `None`: more are needed.
pub fn is_tar(bytes: &[u8]) -> Option<bool> {
    let header = bytes.first_chunk::<HEADER>()?;
    Some(&header[257..262] == b"ustar")
}

impl TarReader {
    /// `stream`: whose snapshot it is.
    pub fn new(stream: &str, bytes: Vec<u8>) -> Self {
        Self { stream: stream.into(), bytes, at: 0, file: None, next_name: None }
    }

    /// The next part and its length, which is to be [taken](Self::take) when it was dealt with.
    /// `None`: more bytes are needed.
    pub fn part(&mut self) -> Result<Option<(Part<'_>, usize)>, TarError> {
        if !self.advance()? {
            return Ok(None);
        }
        let Some(file) = &self.file else { return Ok(Some((Part::End, 0))) };
        let rest = &self.bytes[self.at..];
        let rest = &rest[..file.left.min(rest.len())];
        if let Kind::Block(key) = &file.kind {
            let record = key.record(rest).map_err(|_| TarError("a message block is damaged"))?;
            return match record {
                Some((record, len)) => Ok(Some((Part::Record(record), len))),
                None if rest.len() == file.left => Err(TarError("a message block is cut off")),
                None => Ok(None),
            };
        }
        if rest.len() < file.left {
            return Ok(None);
        }
        let part = match &file.kind {
            Kind::Stream => Part::Stream(rest),
            Kind::Consumer(name) => Part::Consumer { name, config: rest },
            Kind::Progress(name) => Part::Progress { name, state: rest },
            Kind::Failed => Part::Failed(rest),
            Kind::Block(_) | Kind::Extended | Kind::Other => return Err(INVALID),
        };
        Ok(Some((part, rest.len())))
    }

    /// A part of this length was dealt with.
    pub fn take(&mut self, len: usize) {
        self.at += len;
        if let Some(file) = &mut self.file {
            file.left -= len;
        }
    }

    /// Forgets what was taken: to be called before more is added.
    pub fn make_room(&mut self) {
        self.bytes.drain(..self.at);
        self.at = 0;
    }

    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Goes to the next file with something to tell, or to the end, where there is no file.
    /// False: more bytes are needed.
    fn advance(&mut self) -> Result<bool, TarError> {
        loop {
            let here = self.bytes.len() - self.at;
            let Some(file) = &mut self.file else {
                if here < HEADER {
                    return Ok(false);
                }
                if !self.open()? {
                    return Ok(true);
                }
                continue;
            };
            if matches!(file.kind, Kind::Extended) {
                if here < file.left {
                    return Ok(false);
                }
                let text = &self.bytes[self.at..self.at + file.left];
                self.next_name = extended_path(text).or(self.next_name.take());
                file.kind = Kind::Other;
            }
            if matches!(file.kind, Kind::Other) {
                let passed = file.left.min(here);
                file.left -= passed;
                self.at += passed;
            }
            if file.left > 0 {
                return Ok(!matches!(file.kind, Kind::Other));
            }
            let passed = file.padding.min(self.bytes.len() - self.at);
            file.padding -= passed;
            self.at += passed;
            if file.padding > 0 {
                return Ok(false);
            }
            self.file = None;
        }
    }

    /// Reads a file's header. False: it is the end.
    fn open(&mut self) -> Result<bool, TarError> {
        let header = self.bytes[self.at..].first_chunk::<HEADER>().ok_or(INVALID)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(false);
        }
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = header[148..156].iter().map(|byte| u32::from(*byte)).sum();
        if octal(&header[148..156]) != Some(u64::from(sum - own + 8 * u32::from(b' '))) {
            return Err(INVALID);
        }
        let left = octal(&header[124..136]).and_then(|len| usize::try_from(len).ok());
        let left = left.ok_or(INVALID)?;
        let kind = match header[156] {
            b'x' => Kind::Extended,
            b'0' | 0 => {
                let short = text_of(&header[..100]);
                let name = self.next_name.take().unwrap_or(short);
                kind_of(&name, &self.stream)
            }
            _ => return Err(TarError("unexpected content")),
        };
        let is_gathered = !matches!(kind, Kind::Block(_) | Kind::Other);
        if is_gathered && left > ARCHIVE_ENTRY_BYTES_MAX {
            return Err(INVALID);
        }
        self.at += HEADER;
        self.file = Some(File { kind, left, padding: left.wrapping_neg() % HEADER });
        Ok(true)
    }
}

fn text_of(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(|letter| letter == ' ' || letter == '\0');
    u64::from_str_radix(digits, 8).ok()
}

/// The path that an extended header gives: records of `<length> <key>=<value>\n`.
fn extended_path(mut text: &[u8]) -> Option<String> {
    let mut path = None;
    while let Some(blank) = text.iter().position(|byte| *byte == b' ') {
        let len: usize = std::str::from_utf8(&text[..blank]).ok()?.parse().ok()?;
        let record = text.get(blank + 1..len)?;
        let value = record.strip_prefix(b"path=").and_then(|value| value.strip_suffix(b"\n"));
        path = value.map(|value| String::from_utf8_lossy(value).into_owned()).or(path);
        text = &text[len..];
    }
    path
}

fn kind_of(name: &str, stream: &str) -> Kind {
    let block = name.strip_prefix("msgs/").and_then(|name| name.strip_suffix(".blk"));
    if let Some(block) = block.and_then(|number| number.parse().ok()) {
        return Kind::Block(BlockKey::new(stream, block));
    }
    let consumer = name.strip_prefix("obs/").and_then(|name| name.split_once('/'));
    match (name, consumer) {
        ("meta.inf", _) => Kind::Stream,
        ("errors.txt", _) => Kind::Failed,
        (_, Some((consumer, "meta.inf"))) => Kind::Consumer(consumer.into()),
        (_, Some((consumer, "o.dat"))) => Kind::Progress(consumer.into()),
        _ => Kind::Other,
    }
}
