use super::*;
use crate::storage::batch::golden;

fn sample() -> Buffer {
    let mut builder = FooterBuilder::default();
    for n in 0..40u32 {
        let place = Place { segment: SegmentNo(5), offset: 4176 + n * 200, len: 200 };
        let stream = StreamId(u64::from(n % 3));
        let subject = if n % 2 == 0 { &b"a.b"[..] } else { b"c" };
        builder.message(stream, Seq(u64::from(n) + 1), place, subject, n % 7 == 0);
    }
    builder.other(Lsn(12), 40_000, &[24, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let facts = SegmentFacts {
        log: LogId(7),
        segment: SegmentNo(5),
        end: 49_152,
        epoch: Epoch(2),
        epoch_first: Lsn(3),
        lsns: &[(Lsn(11), 4)],
        is_sorted: false,
    };
    let len_max = builder.len_max();
    let bytes = builder.finish(&facts).unwrap();
    assert!(bytes.len() as u32 <= len_max, "{} > {len_max}", bytes.len());
    bytes
}

/// As recovery meets it: the trailer in the last block, the archive before it.
fn is_valid(bytes: &[u8]) -> bool {
    let at = bytes.len() - BLOCK;
    let Some(trailer) = Trailer::decode(&bytes[at..], LogId(7), SegmentNo(5)) else { return false };
    let Some((offset, len)) = trailer.archive_range(bytes.len() as u32) else { return false };
    let mut archive = Buffer::new();
    archive.extend_from_slice(&bytes[offset as usize..(offset + len) as usize]);
    trailer.footer(&archive).is_some()
}

#[test]
fn a_footer_comes_back() {
    let bytes = sample();
    assert!(is_valid(&bytes));
    let trailer = Trailer::decode(&bytes[bytes.len() - BLOCK..], LogId(7), SegmentNo(5)).unwrap();
    let mut archive = Buffer::new();
    archive.extend_from_slice(&bytes[..bytes.len() - BLOCK]);
    let footer = trailer.footer(&archive).unwrap();
    assert_eq!(footer.end.to_native(), 49_152);
    assert_eq!(footer.streams.len(), 3);
    assert_eq!(subjects_of(&footer.streams[0].subjects), [&b"a.b"[..], b"c"]);
    assert!(Trailer::decode(&bytes[bytes.len() - BLOCK..], LogId(7), SegmentNo(6)).is_none());
}

#[test]
fn every_flipped_bit_is_seen() {
    let bytes = sample();
    let trailer = Trailer::decode(&bytes[bytes.len() - BLOCK..], LogId(7), SegmentNo(5)).unwrap();
    let archive = 0..trailer.archive_len as usize;
    let tail = bytes.len() - BLOCK..bytes.len() - BLOCK + TRAILER_FIELDS;
    for byte in archive.chain(tail) {
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[byte] ^= 1 << bit;
            assert!(!is_valid(&damaged), "byte {byte} bit {bit}");
        }
    }
}

#[test]
fn the_format_is_the_recorded_one() {
    golden("footer", &sample(), include_bytes!("golden/footer.bin"));
}
