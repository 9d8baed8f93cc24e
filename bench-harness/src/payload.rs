//! What a measured payload holds, so that its receiver can tell whose it is, where it belongs in
//! order and whether it arrived whole.
//!
//! ```text
//! 0        8           12      16                     len-8      len
//! | seq u64 | publisher | check | fill of the publisher | seq u64 |   (the last from 24 bytes on)
//! ```

/// The least payload that can be verified.
pub const SIZE_MIN: usize = 16;
const HEAD: usize = 16;
const TAIL: usize = 8;
/// From here on the sequence is repeated in the last bytes.
const TAILED_FROM: usize = HEAD + TAIL;
/// Every how many messages the whole fill is compared: the ends of each message are always.
const FILL_SAMPLE: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u32,
    pub seq: u64,
}

/// A payload without a sequence: only the fill.
pub fn template(publisher: u32, size: usize) -> Vec<u8> {
    (0..size as u32).map(|at| (at.wrapping_mul(31) ^ publisher) as u8 | 0x20).collect()
}

pub fn write(payload: &mut [u8], stamp: Stamp) {
    payload[..8].copy_from_slice(&stamp.seq.to_le_bytes());
    payload[8..12].copy_from_slice(&stamp.publisher.to_le_bytes());
    payload[12..HEAD].copy_from_slice(&check(stamp).to_le_bytes());
    if payload.len() >= TAILED_FROM {
        let tail = payload.len() - TAIL;
        payload[tail..].copy_from_slice(&stamp.seq.to_le_bytes());
    }
}

/// The stamp, if the payload is the one that was written with it.
pub fn read(payload: &[u8], size: usize) -> Option<Stamp> {
    if payload.len() != size || size < SIZE_MIN {
        return None;
    }
    let seq = u64::from_le_bytes(payload[..8].try_into().ok()?);
    let publisher = u32::from_le_bytes(payload[8..12].try_into().ok()?);
    let stamp = Stamp { publisher, seq };
    if payload[12..HEAD] != check(stamp).to_le_bytes() {
        return None;
    }
    if size >= TAILED_FROM && payload[size - TAIL..] != seq.to_le_bytes() {
        return None;
    }
    if seq.is_multiple_of(FILL_SAMPLE) && !fill_is_intact(payload, publisher) {
        return None;
    }
    Some(stamp)
}

fn fill_is_intact(payload: &[u8], publisher: u32) -> bool {
    let end = if payload.len() >= TAILED_FROM { payload.len() - TAIL } else { payload.len() };
    (HEAD..end).all(|at| payload[at] == ((at as u32).wrapping_mul(31) ^ publisher) as u8 | 0x20)
}

fn check(stamp: Stamp) -> u32 {
    ((stamp.seq ^ (u64::from(stamp.publisher) << 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32)
        as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(size: usize, stamp: Stamp) -> Vec<u8> {
        let mut payload = template(stamp.publisher, size);
        write(&mut payload, stamp);
        payload
    }

    #[test]
    fn what_is_written_is_read_at_every_size() {
        for size in SIZE_MIN..200 {
            let stamp = Stamp { publisher: 7, seq: 64 };
            assert_eq!(read(&sealed(size, stamp), size), Some(stamp), "size {size}");
        }
    }

    #[test]
    fn any_changed_byte_of_a_sampled_message_is_seen() {
        let payload = sealed(100, Stamp { publisher: 7, seq: 128 });
        for at in 0..payload.len() {
            let mut bad = payload.clone();
            bad[at] ^= 1;
            assert_eq!(read(&bad, 100), None, "byte {at}");
        }
    }

    #[test]
    fn the_end_of_another_message_is_seen() {
        let mut mixed = sealed(128, Stamp { publisher: 1, seq: 5 });
        mixed[64..].copy_from_slice(&sealed(128, Stamp { publisher: 1, seq: 6 })[64..]);
        assert_eq!(read(&mixed, 128), None);
    }
}
