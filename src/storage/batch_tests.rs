use super::*;
use crate::storage::segment::SegmentHeader;

fn sample() -> (BatchHeader, Buffer) {
    let mut bytes = Buffer::new();
    bytes.resize(BATCH_HEADER, 0);
    bytes.extend_from_slice(&[0xab; 200]);
    let header = BatchHeader {
        log: LogId(7),
        epoch: Epoch(2),
        epoch_first: Lsn(90),
        segment: SegmentNo(5),
        offset: 8192,
        lsn: Lsn(100),
        durable: Lsn(99),
        body_len: 0,
        records: 3,
        body_check: 0,
    };
    let header = seal(&mut bytes, header);
    (header, bytes)
}

fn decoded(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::decode(bytes, LogId(7), SegmentNo(5), 8192)?;
    header.body(bytes)?;
    Ok(header)
}

#[test]
fn a_batch_comes_back_in_whole_blocks() {
    let (header, bytes) = sample();
    assert_eq!(bytes.len(), BLOCK);
    assert_eq!(decoded(&bytes), Ok(header));
    assert_eq!(header.body(&bytes), Ok(&[0xab; 200][..]));
}

#[test]
fn every_flipped_bit_is_seen() {
    let (header, bytes) = sample();
    for bit in 0..(BATCH_HEADER + header.body_len as usize) * 8 {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(decoded(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_batch_belongs_to_its_log_segment_and_offset() {
    let (_, bytes) = sample();
    for (log, segment, offset) in [(8, 5, 8192), (7, 6, 8192), (7, 5, 4096)] {
        let found = BatchHeader::decode(&bytes, LogId(log), SegmentNo(segment), offset);
        assert_eq!(found, Err(BatchError::NotABatch), "{log} {segment} {offset}");
    }
}

#[test]
fn a_cut_batch_is_no_batch() {
    let (header, bytes) = sample();
    for len in 0..BATCH_HEADER + header.body_len as usize {
        assert!(decoded(&bytes[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn the_format_is_the_recorded_one() {
    let (_, bytes) = sample();
    golden("batch", &bytes, include_bytes!("golden/batch.bin"));
    let header = SegmentHeader {
        log: LogId(7),
        segment: SegmentNo(5),
        slot: crate::storage::ids::SlotId(4),
        len: 1 << 20,
    };
    golden("segment", &header.encode(), include_bytes!("golden/segment.bin"));
}
