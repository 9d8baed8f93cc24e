use super::*;
use crate::storage::ids::{Lsn, SegmentNo, Seq, SlotId, StreamId};

fn one_of_each() -> Vec<Record<'static>> {
    let stream = StreamId(0x0102_0304_0506_0708);
    let entry =
        ManifestEntry { segment: SegmentNo(3), slot: SlotId(4), end: 8192, is_sealed: true };
    vec![
        Record::Message(Message {
            stream,
            seq: Seq(77),
            time: 1_700_000_000_000_000_000,
            subject: b"orders.eu.1",
            headers: b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n",
            payload: b"payload",
            saved: 0,
        }),
        Record::Delete { stream, victims: SegmentNo(9), seqs: SeqList::Packed(&[5, 1, 0x80, 1]) },
        Record::Bounds { stream, first_seq: Seq(5), last_seq: Seq(77), last_time: 9 },
        Record::State { stream, key: b"c.worker", version: 3, value: b"{}" },
        Record::Delta { stream, key: b"c.worker", version: 4, value: b"ack" },
        Record::Gone { stream, key: b"c.worker", version: 5 },
        Record::StreamGone { stream },
        Record::Manifest(Manifest { segments: vec![entry] }),
        Record::Retired { segment: SegmentNo(2), lsns: vec![(Lsn(7), 2)] },
        packed_message(),
    ]
}

fn packed_message() -> Record<'static> {
    let (subject, headers) = (&b"orders.eu.1"[..], &b""[..]);
    let (stream, seq, payload) = (StreamId(7), Seq(78), &b"packed"[..]);
    Record::Message(Message { stream, seq, time: 9, subject, headers, payload, saved: 300 })
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut out = AlignedVec::new();
    let len = record.encode(&mut out, 4176);
    assert_eq!(len as usize, out.len());
    out.to_vec()
}

#[test]
fn every_kind_comes_back() {
    for record in one_of_each() {
        let bytes = encoded(&record);
        assert_eq!(Record::decode(&bytes, 4176), Ok((record, bytes.len() as u32)));
    }
}

#[test]
fn lengths_are_known_before() {
    for record in one_of_each() {
        let Record::Message(message) = &record else { continue };
        assert_eq!(encoded(&record).len(), message.record_len());
    }
}

#[test]
fn every_flipped_bit_is_seen() {
    for record in one_of_each() {
        let bytes = encoded(&record);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&damaged, 4176).is_err(), "{record:?} bit {bit}");
        }
    }
}

#[test]
fn a_record_belongs_to_its_place() {
    let bytes = encoded(&one_of_each()[0]);
    assert_eq!(Record::decode(&bytes, 4177), Err(RecordError::Damaged));
}

#[test]
fn a_cut_record_is_no_record() {
    for record in one_of_each() {
        let bytes = encoded(&record);
        for len in 0..bytes.len() {
            assert!(Record::decode(&bytes[..len], 4176).is_err(), "{record:?} cut at {len}");
        }
    }
}

#[test]
fn the_format_is_the_recorded_one() {
    let all: Vec<u8> = one_of_each().iter().flat_map(encoded).collect();
    crate::storage::batch::golden("records", &all, include_bytes!("golden/records.bin"));
}
