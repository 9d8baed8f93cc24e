use super::*;
use crate::storage::batch::golden;

const FILE: u32 = 1 << 16;
const LIMITS: PartLimits = PartLimits { bytes: 2 * BLOCK as u32, batch_bytes: 24 * 1024 };
const LOG: LogId = LogId(7);
const EPOCH: (Epoch, Lsn) = (Epoch(2), Lsn(3));

fn filled(from: u32) -> Footer {
    let mut footer = Footer::new(SegmentNo(5), EPOCH, (from, FILE), LIMITS, 1);
    for n in 0..40u32 {
        let place = Place { segment: SegmentNo(5), offset: 4176 + n * 200, len: 200 };
        let stream = StreamId(u64::from(n % 3));
        let subject = if n % 2 == 0 { &b"a.b"[..] } else { b"c" };
        let form = Form { has_headers: n % 7 == 0, saved: 0 };
        footer.message(stream, Seq(u64::from(n) + 1), place, subject, form);
    }
    footer.other(Lsn(12), 20_000, &[24, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(!footer.batch(Lsn(11), 16_384, false));
    footer
}

/// The first part, as it lies at the end of a file.
fn sample() -> Buffer {
    let mut footer = filled(4096);
    assert!(footer.batch(Lsn(12), 28_672, true), "it tells of enough");
    let bottom = footer.bottom();
    assert_eq!(footer.due(), Some(Lsn(12)));
    let (offset, bytes) = footer.write(LOG, false).unwrap();
    assert!(offset >= bottom, "{offset} < {bottom}");
    assert_eq!(offset + bytes.len() as u32, FILE);
    bytes
}

fn trailer_of(bytes: &[u8], end: u32) -> Option<Trailer> {
    Trailer::decode(bytes, LogId(7), SegmentNo(5), end)
}

fn is_valid(bytes: &[u8]) -> bool {
    let mut aligned = Buffer::new();
    aligned.extend_from_slice(bytes);
    trailer_of(bytes, FILE).is_some_and(|trailer| {
        trailer.part_len() == bytes.len() as u64 && trailer.part(&aligned).is_some()
    })
}

#[test]
fn a_part_comes_back() {
    let bytes = sample();
    assert!(is_valid(&bytes));
    let part = trailer_of(&bytes, FILE).unwrap();
    let part = part.part(&bytes).unwrap();
    assert_eq!((part.from.to_native(), part.to.to_native()), (4096, 28_672));
    assert!(part.is_closed && !part.is_last);
    assert_eq!(part.streams.len(), 3);
    assert_eq!(subjects_of(&part.streams[0].subjects), [&b"a.b"[..], b"c"]);
    assert!(Trailer::decode(&bytes, LogId(7), SegmentNo(6), FILE).is_none());
    assert!(trailer_of(&bytes, FILE - 4096).is_none(), "right bytes at a wrong place");
}

#[test]
fn parts_go_on_where_the_one_before_ended() {
    let mut footer = filled(4096);
    footer.batch(Lsn(12), 28_672, false);
    footer.batch(Lsn(13), 32_768, false);
    footer.seal();
    let (first_at, _) = footer.write(LOG, false).unwrap();
    let (second_at, second) = footer.write(LOG, false).unwrap();
    assert!(footer.write(LOG, false).is_none());
    assert_eq!(second_at + second.len() as u32, first_at);
    let trailer = trailer_of(&second, first_at).unwrap();
    let part = trailer.part(&second).unwrap();
    assert_eq!((part.from.to_native(), part.to.to_native()), (28_672, 32_768));
    assert!(part.is_last);
}

#[test]
fn a_sealed_segment_gets_no_empty_part() {
    let mut footer = filled(4096);
    footer.batch(Lsn(12), 28_672, false);
    footer.seal();
    let (offset, bytes) = footer.write(LOG, false).unwrap();
    assert!(footer.due().is_none());
    let trailer = trailer_of(&bytes, offset + bytes.len() as u32).unwrap();
    assert!(trailer.part(&bytes).unwrap().is_last);
}

#[test]
fn every_flipped_bit_is_seen() {
    let bytes = sample();
    let trailer = trailer_of(&bytes, FILE).unwrap();
    let archive = 0..trailer.archive_len as usize;
    for byte in archive.chain(bytes.len() - TRAILER..bytes.len()) {
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
    let mut footer = filled(4096);
    for n in 40..48u32 {
        let place = Place { segment: SegmentNo(5), offset: 4176 + n * 200, len: 200 };
        let form = Form { has_headers: n % 2 == 0, saved: n / 3 * 100 };
        footer.message(StreamId(1), Seq(u64::from(n) + 1), place, b"c", form);
    }
    footer.seal();
    let (_, bytes) = footer.write(LOG, false).unwrap();
    golden("packed_footer", &bytes, include_bytes!("golden/packed_footer.bin"));
}
