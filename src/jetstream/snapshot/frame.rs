//! The S2 stream format: an identifier, then chunks of compressed bytes, each with a checksum.
//! (github.com/google/snappy/framing_format.txt, with the blocks of S2.) Streams of Snappy are
//! read too.
//!
//! ```text
//! chunk  kind u8 │ length u24 │ data
//! data   masked CRC-32C of what it stands for, u32 │ a block, or the bytes themselves
//! ```

use crate::types::limits::{S2_BLOCK_BYTES_MAX, S2_CHUNK_BYTES_MAX};

/// What a stream begins with.
pub const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00S2sTwO";

const COMPRESSED: u8 = 0x00;
const PLAIN: u8 = 0x01;
/// From here on chunks of unknown kinds are passed over.
const SKIPPABLE: u8 = 0x80;
const BEGIN: u8 = 0xff;

const HEAD: usize = 4;
const CHECKSUM: usize = 4;

/// These bytes are no such stream. The texts are the reference's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    Corrupt,
    Checksum,
    Unsupported,
}

impl FrameError {
    pub fn text(self) -> &'static str {
        match self {
            Self::Corrupt => "s2: corrupt input",
            Self::Checksum => "s2: corrupt input, crc mismatch",
            Self::Unsupported => "s2: unsupported input",
        }
    }
}

/// Adds bytes as one chunk; at most [`S2_BLOCK_BYTES_MAX`] of them.
pub fn append(out: &mut Vec<u8>, plain: &[u8]) {
    let block = minlz::encode(plain);
    // As the reference: what saves less than an eighth is not worth unpacking.
    let (kind, data) = match block.len() < plain.len() - plain.len() / 8 {
        true => (COMPRESSED, &block[..]),
        false => (PLAIN, plain),
    };
    let len = u32::try_from(CHECKSUM + data.len()).expect("blocks are short").to_le_bytes();
    out.extend_from_slice(&[kind, len[0], len[1], len[2]]);
    out.extend_from_slice(&minlz::crc::crc(plain).to_le_bytes());
    out.extend_from_slice(data);
}

/// Unpacks a stream that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct FrameReader {
    input: Vec<u8>,
    /// Bytes of the input that are done with.
    at: usize,
    /// Bytes still to be passed over.
    skip: usize,
    is_begun: bool,
}

impl FrameReader {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        self.input.extend_from_slice(&bytes[skipped..]);
    }

    /// Everything pushed belonged to whole chunks.
    pub fn is_at_end(&self) -> bool {
        self.at == self.input.len() && self.skip == 0
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.input.capacity()
    }

    /// Unpacks the next chunk behind what `out` holds. False: more bytes are needed.
    pub fn unpack(&mut self, out: &mut Vec<u8>) -> Result<bool, FrameError> {
        loop {
            let rest = &self.input[self.at..];
            let Some((&[kind, l0, l1, l2], rest)) = rest.split_first_chunk::<HEAD>() else {
                return Ok(false);
            };
            if !self.is_begun && kind != BEGIN {
                return Err(FrameError::Corrupt);
            }
            let len = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
            if (SKIPPABLE..BEGIN).contains(&kind) {
                let here = len.min(rest.len());
                self.skip = len - here;
                self.at += HEAD + here;
                continue;
            }
            if kind > PLAIN && kind < SKIPPABLE {
                return Err(FrameError::Unsupported);
            }
            if len > S2_CHUNK_BYTES_MAX {
                return Err(FrameError::Corrupt);
            }
            let Some(data) = rest.get(..len) else { return Ok(false) };
            if kind == BEGIN {
                if data != &IDENTIFIER[HEAD..] && data != b"sNaPpY" {
                    return Err(FrameError::Corrupt);
                }
                self.is_begun = true;
                self.at += HEAD + len;
                continue;
            }
            unpack_chunk(kind, data, out)?;
            self.at += HEAD + len;
            return Ok(true);
        }
    }
}

fn unpack_chunk(kind: u8, data: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let Some((checksum, data)) = data.split_first_chunk::<CHECKSUM>() else {
        return Err(FrameError::Corrupt);
    };
    let from = out.len();
    if kind == PLAIN {
        out.extend_from_slice(data);
    } else {
        let (len, _) = minlz::decode_len(data).map_err(|_| FrameError::Corrupt)?;
        if len > S2_BLOCK_BYTES_MAX {
            return Err(FrameError::Corrupt);
        }
        out.resize(from + len, 0);
        minlz::decode_into(&mut out[from..], data).map_err(|_| FrameError::Corrupt)?;
    }
    match minlz::crc::crc(&out[from..]) == u32::from_le_bytes(*checksum) {
        true => Ok(()),
        false => Err(FrameError::Checksum),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(blocks: &[&[u8]]) -> Vec<u8> {
        let mut out = IDENTIFIER.to_vec();
        blocks.iter().for_each(|block| append(&mut out, block));
        out
    }

    fn unpacked(pieces: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
        let (mut reader, mut out) = (FrameReader::default(), Vec::new());
        for piece in pieces {
            reader.push(piece);
            while reader.unpack(&mut out)? {}
        }
        assert!(reader.is_at_end());
        Ok(out)
    }

    #[test]
    fn what_is_packed_is_unpacked_however_it_is_cut() {
        let stream = packed(&[&[7; 3000], b"no gain"]);
        let plain = [&[7; 3000][..], b"no gain"].concat();
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(unpacked(&[head, tail]).as_ref(), Ok(&plain), "{cut}");
        }
    }

    #[test]
    fn unknown_chunks_are_passed_over_or_refused() {
        let mut stream = packed(&[b"ab"]);
        stream.extend_from_slice(b"\x99\x03\x00\x00xyz");
        append(&mut stream, b"cd");
        for cut in 0..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(unpacked(&[head, tail]), Ok(b"abcd".to_vec()), "{cut}");
        }
        stream.extend_from_slice(b"\x02\x01\x00\x00x");
        assert_eq!(unpacked(&[&stream]), Err(FrameError::Unsupported));
    }

    #[test]
    fn no_damage_goes_unseen_or_panics() {
        let noise: Vec<u8> = (0..2000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let stream = packed(&[&noise, &[1; 500]]);
        let plain = unpacked(&[&stream]);
        for at in 10..stream.len() {
            for flip in [1, 0x80] {
                let mut bad = stream.clone();
                bad[at] ^= flip;
                let (mut reader, mut out) = (FrameReader::default(), Vec::new());
                reader.push(&bad);
                let mut result = Ok(true);
                while result == Ok(true) {
                    result = reader.unpack(&mut out);
                }
                assert!(result.is_err() || Ok(&out) != plain.as_ref(), "{at}");
            }
        }
    }
}
