//! Payloads in the log of a stream with `compression: s2`: each by itself an S2 block, where that
//! saves enough. Subjects and headers stay as they are, so that nothing but a delivery unpacks.

use crate::storage::{Message, ReadError};
use crate::types::limits::{PACKED_SHARE_MIN, PACKING_BYTES_KEPT, PACKING_PAYLOAD_MIN};

/// The field of a packed record that a plain one does not have.
const EXTRA: usize = Message::PACKED_OVERHEAD - Message::OVERHEAD;

/// A payload as it goes into the log.
#[derive(Debug)]
pub struct Packed {
    pub bytes: Vec<u8>,
    /// As [`Message::saved`].
    pub saved: u32,
}

/// Packs payloads, one after another.
#[derive(Default)]
pub struct Packer {
    encoder: minlz::Encoder,
    trial: Vec<u8>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// `None`: it is stored as it is. A message is acknowledged on the word of the encoder, so
    /// what that made is unpacked again before it counts.
    pub fn pack(&mut self, payload: &[u8]) -> Option<Packed> {
        if payload.len() < PACKING_PAYLOAD_MIN {
            return None;
        }
        let bytes = self.encoder.encode(payload);
        let saved = payload.len().checked_sub(bytes.len() + EXTRA)?;
        if saved < payload.len() / PACKED_SHARE_MIN {
            return None;
        }
        let saved = u32::try_from(saved).ok()?;
        let is_faithful = unpack(&bytes, saved, &mut self.trial).is_ok_and(|back| back == payload);
        if !is_faithful {
            tracing::error!(
                bytes = payload.len(),
                "a payload does not survive packing, and is stored as it is"
            );
        }
        is_faithful.then_some(Packed { bytes, saved })
    }
}

/// The payload of a message as it was published; in `room` if it is packed.
pub fn payload<'a>(message: &Message<'a>, room: &'a mut Vec<u8>) -> Result<&'a [u8], ReadError> {
    match message.saved {
        0 => Ok(message.payload),
        saved => unpack(message.payload, saved, room),
    }
}

fn unpack<'a>(packed: &[u8], saved: u32, room: &'a mut Vec<u8>) -> Result<&'a [u8], ReadError> {
    let len = packed.len() + EXTRA + saved as usize;
    let told = minlz::decode_len(packed).map_err(|_| ReadError::Damaged)?;
    if told.0 != len {
        return Err(ReadError::Damaged);
    }
    if room.capacity() > len.max(PACKING_BYTES_KEPT) {
        *room = Vec::new();
    }
    room.resize(len, 0);
    match minlz::decode_into(room, packed) {
        Ok(written) if written == len => Ok(room),
        _ => Err(ReadError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_repeats_is_packed_and_comes_back() {
        let payload = b"{\"id\":7,\"name\":\"nobody\"},".repeat(40);
        let packed = Packer::default().pack(&payload).unwrap();
        assert!(packed.bytes.len() < payload.len() / 4, "{}", packed.bytes.len());
        assert_eq!(packed.saved as usize, payload.len() - packed.bytes.len() - EXTRA);
        let mut room = Vec::new();
        assert_eq!(unpack(&packed.bytes, packed.saved, &mut room), Ok(&payload[..]));
        assert_eq!(unpack(&packed.bytes, packed.saved + 1, &mut room), Err(ReadError::Damaged));
        let cut = &packed.bytes[..packed.bytes.len() - 1];
        assert_eq!(unpack(cut, packed.saved + 1, &mut room), Err(ReadError::Damaged));
    }

    #[test]
    fn what_gains_nothing_stays() {
        let mut packer = Packer::default();
        let mut state = 1u64;
        let noise: Vec<u8> = (0..4096)
            .map(|_| {
                state =
                    state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                (state >> 56) as u8
            })
            .collect();
        assert!(packer.pack(&noise).is_none());
        assert!(packer.pack(&[7; PACKING_PAYLOAD_MIN - 1]).is_none());
    }

    #[test]
    fn a_large_payload_leaves_no_large_room() {
        let mut packer = Packer::default();
        let (large, small) = (vec![1; 3 * PACKING_BYTES_KEPT], vec![1; PACKING_PAYLOAD_MIN]);
        let mut room = Vec::new();
        for payload in [large, small] {
            let packed = packer.pack(&payload).unwrap();
            assert_eq!(unpack(&packed.bytes, packed.saved, &mut room), Ok(&payload[..]));
        }
        assert!(room.capacity() <= PACKING_BYTES_KEPT);
    }

    proptest! {
        #[test]
        fn garbage_is_an_error(
            raw in proptest::collection::vec(any::<u8>(), 0..300),
            saved in 0u32..5000,
        ) {
            let _ = unpack(&raw, saved, &mut Vec::new());
        }

        #[test]
        fn payloads_come_back(
            words in proptest::collection::vec((0u8..4, 1usize..200), 0..60),
        ) {
            let payload: Vec<u8> =
                words.iter().flat_map(|&(letter, times)| vec![letter; times]).collect();
            if let Some(packed) = Packer::default().pack(&payload) {
                let mut room = Vec::new();
                prop_assert_eq!(unpack(&packed.bytes, packed.saved, &mut room), Ok(&payload[..]));
            }
        }
    }
}
