//! A batch: what one write makes durable. It begins on a block of its own, so that no block with
//! a durable record is ever written again. Layout: format.md, "Batch".

use rkyv::util::AlignedVec;

use super::bytes::Fields;
use super::checksum;
use super::ids::{Epoch, LogId, Lsn, SegmentNo, position};

/// What direct I/O is aligned to, and the unit that a power cut can tear.
pub const BLOCK: usize = 4096;
pub const BATCH_HEADER: usize = 80;
pub const FORMAT_VERSION: u8 = 1;
const MAGIC: [u8; 4] = *b"WFTB";

/// Bytes that the kernel may take by direct I/O.
pub type Buffer = AlignedVec<BLOCK>;

pub fn round_up(len: u32) -> u32 {
    len.saturating_add(BLOCK as u32 - 1) & !(BLOCK as u32 - 1)
}

pub fn round_down(offset: u32) -> u32 {
    offset & !(BLOCK as u32 - 1)
}

/// Everything that tells one batch from all others, alive or stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    pub log: LogId,
    pub epoch: Epoch,
    /// The first batch of this epoch: batches of older epochs from here on are void.
    pub epoch_first: Lsn,
    pub segment: SegmentNo,
    pub offset: u32,
    pub lsn: Lsn,
    /// All batches up to this one were durable when this one was submitted.
    pub durable: Lsn,
    /// Bytes of records after the header, without the padding.
    pub body_len: u32,
    pub records: u32,
    pub body_check: u64,
}

impl BatchHeader {
    /// The blocks of the batch, in bytes.
    pub fn padded_len(&self) -> u32 {
        round_up((BATCH_HEADER as u32).saturating_add(self.body_len))
    }

    pub fn encode(&self) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&[FORMAT_VERSION, 0, 0, 0]);
        put(&self.log.0.to_le_bytes());
        put(&self.epoch.0.to_le_bytes());
        put(&self.epoch_first.0.to_le_bytes());
        put(&position(self.segment, self.offset).to_le_bytes());
        put(&self.lsn.0.to_le_bytes());
        put(&self.durable.0.to_le_bytes());
        put(&self.body_len.to_le_bytes());
        put(&self.records.to_le_bytes());
        put(&self.body_check.to_le_bytes());
        put(&[0; 8]);
        let check = checksum::of(&out[..BATCH_HEADER - 8], position(self.segment, self.offset));
        out[BATCH_HEADER - 8..].copy_from_slice(&check.to_le_bytes());
        out
    }

    /// `None`: these bytes are no batch of this log at this place.
    pub fn decode(
        bytes: &[u8],
        log: LogId,
        segment: SegmentNo,
        offset: u32,
    ) -> Result<Self, BatchError> {
        let mut fields = Fields(bytes.get(..BATCH_HEADER).ok_or(BatchError::Short)?);
        let header = Self::fields(&mut fields).ok_or(BatchError::NotABatch)?;
        // The seed is the place the bytes were found at, so that they prove where they belong.
        let place = if super::mutation::skips_position_check() {
            position(header.segment, header.offset)
        } else {
            position(segment, offset)
        };
        let stored = u64::from_le_bytes(
            *bytes[BATCH_HEADER - 8..].first_chunk::<8>().ok_or(BatchError::Short)?,
        );
        if checksum::of(&bytes[..BATCH_HEADER - 8], place) != stored {
            return Err(BatchError::NotABatch);
        }
        let right_place = super::mutation::skips_position_check()
            || (header.log == log && header.segment == segment && header.offset == offset);
        if !right_place || header.durable >= header.lsn {
            return Err(BatchError::NotABatch);
        }
        Ok(header)
    }

    /// The segment that a batch header at `offset` belongs to, by its own word.
    pub fn claimed_segment(bytes: &[u8], log: LogId, offset: u32) -> Option<SegmentNo> {
        let header = Self::fields(&mut Fields(bytes.get(..BATCH_HEADER)?))?;
        Self::decode(bytes, log, header.segment, offset).ok()?;
        Some(header.segment)
    }

    fn fields(fields: &mut Fields<'_>) -> Option<Self> {
        if fields.bytes(4)? != MAGIC || fields.bytes(4)? != [FORMAT_VERSION, 0, 0, 0] {
            return None;
        }
        let log = LogId(fields.u32()?);
        let epoch = Epoch(fields.u32()?);
        let epoch_first = Lsn(fields.u64()?);
        let place = fields.u64()?;
        Some(Self {
            log,
            epoch,
            epoch_first,
            segment: SegmentNo((place >> 32) as u32),
            offset: place as u32,
            lsn: Lsn(fields.u64()?),
            durable: Lsn(fields.u64()?),
            body_len: fields.u32()?,
            records: fields.u32()?,
            body_check: fields.u64()?,
        })
    }

    /// The records of a batch whose header was decoded from the same bytes.
    pub fn body<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], BatchError> {
        let end = BATCH_HEADER + self.body_len as usize;
        let body = bytes.get(BATCH_HEADER..end).ok_or(BatchError::Short)?;
        let seed = position(self.segment, self.offset);
        if checksum::of(body, seed) != self.body_check && !super::mutation::skips_checksum() {
            return Err(BatchError::BadBody);
        }
        Ok(body)
    }
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchError {
    /// Fewer bytes than the batch has.
    Short,
    /// No header of this log for this place.
    NotABatch,
    /// A true header, but its records are damaged.
    BadBody,
}

/// Closes a buffer that begins with room for a header: writes the header, pads to whole blocks.
pub fn seal(buffer: &mut Buffer, mut header: BatchHeader) -> BatchHeader {
    let body = &buffer[BATCH_HEADER..];
    header.body_len = body.len() as u32;
    header.body_check = checksum::of(body, position(header.segment, header.offset));
    buffer[..BATCH_HEADER].copy_from_slice(&header.encode());
    buffer.resize(header.padded_len() as usize, 0);
    header
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

/// The bytes on disk are for ever: they are compared with a recorded file. `WEFT_RECORD_GOLDEN=1`
/// records them anew, for a new format version only.
#[cfg(test)]
pub(super) fn golden(name: &str, bytes: &[u8], recorded: &[u8]) {
    if std::env::var_os("WEFT_RECORD_GOLDEN").is_some() {
        let path = format!("{}/src/storage/golden/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, bytes).unwrap();
        return;
    }
    assert!(bytes == recorded, "the format of {name} has changed");
}
