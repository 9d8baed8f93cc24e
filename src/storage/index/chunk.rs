//! A packed chunk of the index: consecutive sequences of one stream, column by column. What is
//! the same for all costs a few bytes, the rest the bits it needs.
//!
//! A place is told by its distance from the end of the message before. Where a batch begins on
//! the next block it is as expected, too, so a message in a batch of its own costs no more.

use crate::storage::batch::{BATCH_HEADER, round_up};
use crate::storage::bytes::{Fields, put_varint};
use crate::storage::ids::{Place, SegmentNo, Seq};
use crate::storage::record::Form;

use super::columns::{self, COLUMN_MAX, Column};
use super::entries::Entry;
use super::subjects::SubjectId;

/// Sequences that share a chunk.
pub const CHUNK: u64 = COLUMN_MAX as u64;

/// What a place is as seen from the end of the one before.
const RIGHT_BEHIND: u64 = 0;
/// The first of a batch on the next block.
const NEXT_BATCH: u64 = 1;

fn next_batch(end: u32) -> u32 {
    round_up(end).wrapping_add(BATCH_HEADER as u32)
}

fn step_to(offset: u32, end: u32) -> u64 {
    match offset.wrapping_sub(end) {
        0 => RIGHT_BEHIND,
        _ if offset == next_batch(end) => NEXT_BATCH,
        step => u64::from(step) + 1,
    }
}

fn after_step(end: u32, step: u64) -> u32 {
    match step {
        RIGHT_BEHIND => end,
        NEXT_BATCH => next_batch(end),
        step => end.wrapping_add(step.wrapping_sub(1) as u32),
    }
}

fn number_of(form: Form) -> u64 {
    u64::from(form.saved) << 1 | u64::from(form.has_headers)
}

fn form_of(number: u64) -> Form {
    Form { has_headers: number & 1 == 1, saved: (number >> 1) as u32 }
}

fn low_of(seq: Seq) -> u8 {
    (seq.0 % CHUNK) as u8
}

/// Packs entries of one chunk, ascending, at least one.
pub fn pack(entries: &[Entry]) -> Box<[u8]> {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Box::default();
    };
    let mut out = Vec::with_capacity(64);
    let (low, high) = (low_of(first.seq), low_of(last.seq));
    out.extend_from_slice(&[low, high, (entries.len() - 1) as u8]);
    let span = usize::from(high - low) + 1;
    if span != entries.len() {
        let bits = out.len();
        out.resize(bits + span.div_ceil(8), 0);
        for entry in entries {
            let at = usize::from(low_of(entry.seq) - low);
            out[bits + at / 8] |= 1 << (at % 8);
        }
    }
    put_varint(&mut out, u64::from(first.place.offset));
    let mut scratch = [0; COLUMN_MAX];
    let mut put = |entries: &[Entry], value: &dyn Fn(usize, &Entry) -> u64| {
        for ((at, entry), room) in entries.iter().enumerate().zip(&mut scratch) {
            *room = value(at, entry);
        }
        columns::put(&mut out, &scratch[..entries.len()]);
    };
    put(entries, &|_, entry| u64::from(entry.place.segment.0));
    put(entries, &|_, entry| u64::from(entry.place.len));
    put(&entries[1..], &|at, entry| step_to(entry.place.offset, end_of(&entries[at])));
    put(entries, &|_, entry| u64::from(entry.subject.0));
    put(entries, &|_, entry| number_of(entry.form));
    out.into_boxed_slice()
}

fn end_of(entry: &Entry) -> u32 {
    entry.place.offset.wrapping_add(entry.place.len)
}

/// A chunk being read, in order.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    /// The chunk's first sequence, whether it has a message or not.
    base: u64,
    low: u8,
    /// Which have messages from `low` on; empty: all.
    present: &'a [u8],
    left: usize,
    /// Of the next one, from `low` on.
    at: usize,
    /// Where the one before ends, or the first one begins.
    end: u32,
    is_first: bool,
    segment: Column<'a>,
    len: Column<'a>,
    step: Column<'a>,
    subject: Column<'a>,
    form: Column<'a>,
}

impl<'a> Chunk<'a> {
    /// `number`: of the chunk, counted from sequence 0. `None`: [`pack`] did not make the bytes.
    pub fn new(bytes: &'a [u8], number: u64) -> Option<Self> {
        let mut fields = Fields(bytes);
        let (low, high, count) = (fields.u8()?, fields.u8()?, usize::from(fields.u8()?) + 1);
        let span = usize::from(high.checked_sub(low)?) + 1;
        let present = if span == count { &[][..] } else { fields.bytes(span.div_ceil(8))? };
        Some(Self {
            base: number * CHUNK,
            low,
            present,
            left: count,
            at: 0,
            end: fields.varint()? as u32,
            is_first: true,
            segment: Column::take(&mut fields, count)?,
            len: Column::take(&mut fields, count)?,
            step: Column::take(&mut fields, count - 1)?,
            subject: Column::take(&mut fields, count)?,
            form: Column::take(&mut fields, count)?,
        })
    }

    fn is_present(&self, at: usize) -> bool {
        let is_all = self.present.is_empty();
        is_all || self.present.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    /// The entry of a sequence of this chunk; a fresh chunk is to be asked.
    pub fn find(mut self, seq: Seq) -> Option<Entry> {
        let at = usize::from(low_of(seq).checked_sub(self.low)?);
        let before = (0..at).filter(|&before| self.is_present(before)).count();
        if before >= self.left || !self.is_present(at) {
            return None;
        }
        let (offset, len) = self.place_of(before);
        let segment = SegmentNo(self.segment.nth(before) as u32);
        Some(Entry {
            seq,
            place: Place { segment, offset, len },
            subject: SubjectId(self.subject.nth(before) as u32),
            form: form_of(self.form.nth(before)),
        })
    }

    /// Offset and length of an entry by its number.
    fn place_of(&mut self, number: usize) -> (u32, u32) {
        let (lens, steps) = (&mut self.len, &mut self.step);
        let mut offset = self.end;
        if let (Some(len), Some(RIGHT_BEHIND)) = (lens.constant(), steps.usual()) {
            // From one that does not lie right behind another to the next.
            let len = len as u32;
            let (mut passed, mut unusual) = (0, steps.next_unusual());
            while let Some((at, step)) = unusual.filter(|(at, _)| *at < number) {
                let end = offset.wrapping_add(len.wrapping_mul((at + 1 - passed) as u32));
                offset = after_step(end, step);
                (passed, unusual) = (at + 1, steps.next_unusual());
            }
            return (offset.wrapping_add(len.wrapping_mul((number - passed) as u32)), len);
        }
        let mut len = lens.read() as u32;
        for _ in 0..number {
            offset = after_step(offset.wrapping_add(len), steps.read());
            len = lens.read() as u32;
        }
        (offset, len)
    }
}

impl Iterator for Chunk<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        while !self.is_present(self.at) {
            self.at += 1;
        }
        let seq = Seq(self.base + u64::from(self.low) + self.at as u64);
        self.at += 1;
        let offset = match std::mem::take(&mut self.is_first) {
            true => self.end,
            false => after_step(self.end, self.step.read()),
        };
        let len = self.len.read() as u32;
        self.end = offset.wrapping_add(len);
        let segment = SegmentNo(self.segment.read() as u32);
        Some(Entry {
            seq,
            place: Place { segment, offset, len },
            subject: SubjectId(self.subject.read() as u32),
            form: form_of(self.form.read()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spread(n: u64) -> u64 {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
    }

    fn entry(n: u64, offset: u64, len: u64, subject: u64) -> Entry {
        let place = Place { segment: SegmentNo(3), offset: offset as u32, len: len as u32 };
        Entry {
            seq: Seq(512 + n),
            place,
            subject: SubjectId(subject as u32),
            form: Form::default(),
        }
    }

    #[test]
    fn a_chunk_costs_the_bits_that_differ() {
        type Case = (&'static str, fn(u64) -> (u64, u64), fn(u64) -> u64, usize);
        let block = |offset: u64| offset.next_multiple_of(4096) + 80;
        let cases: [Case; 5] = [
            ("alike", |_| (180, 5), |end| end, 20),
            ("lengths 100 to 163", |r| (152 + r % 64, 5), |end| end, 215),
            ("1000 subjects in no order", |r| (180, r % 1000), |end| end, 345),
            ("100 streams in turn", |_| (180, 5), |end| end + 99 * 180, 24),
            ("each in a batch of its own", |r| (152 + r % 64, 5), block, 215),
        ];
        for (what, shape, place, len_max) in cases {
            let mut end = 4176;
            let entries: Vec<Entry> = (0..CHUNK)
                .map(|n| {
                    let (len, subject) = shape(spread(n));
                    let offset = place(end);
                    end = offset + len;
                    entry(n, offset, len, subject)
                })
                .collect();
            let bytes = pack(&entries);
            assert!(bytes.len() <= len_max, "{what}: {} bytes", bytes.len());
            assert_eq!(Chunk::new(&bytes, 2).unwrap().collect::<Vec<_>>(), entries, "{what}");
        }
    }

    proptest! {
        #[test]
        fn chunks_come_back(
            raw in proptest::collection::btree_map(
                0u64..CHUNK,
                (0u32..3, any::<u32>(), 0u32..5000, 0u32..2000, any::<bool>(), 0u8..4, 0usize..3),
                1..=COLUMN_MAX,
            ),
            alike: Option<u32>,
        ) {
            let mut end = 4176u32;
            let entries: Vec<Entry> = raw.into_iter().map(|(low, fields)| {
                let (segment, anywhere, len, subject, has_headers, follows, saved) = fields;
                // Of one length, and only here and there not right behind one another.
                let len = alike.map_or(len, |alike| alike % 5000);
                let follows = if alike.is_some() && anywhere % 30 != 0 { 0 } else { follows };
                let offset = match follows {
                    0 => end,
                    1 => next_batch(end),
                    2 => end.wrapping_add(anywhere % 9000),
                    _ => anywhere,
                };
                end = offset.wrapping_add(len);
                let place = Place { segment: SegmentNo(segment), offset, len };
                let seq = Seq(7 * CHUNK + low);
                let form = Form { has_headers, saved: [0, 1, u32::MAX][saved] };
                Entry { seq, place, subject: SubjectId(subject), form }
            }).collect();
            let bytes = pack(&entries);
            let chunk = Chunk::new(&bytes, 7).unwrap();
            prop_assert_eq!(&chunk.clone().collect::<Vec<_>>(), &entries);
            for low in 0..CHUNK {
                let seq = Seq(7 * CHUNK + low);
                let expected = entries.iter().find(|entry| entry.seq == seq).copied();
                prop_assert_eq!(chunk.clone().find(seq), expected);
            }
        }
    }
}
