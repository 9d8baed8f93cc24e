//! One line of the index, and how a footer packs a run of them: see [`Packer`].

use crate::storage::bytes::{Fields, put_signed, put_varint};
use crate::storage::ids::{Place, SegmentNo, Seq};
use crate::storage::record::Form;

use super::subjects::SubjectId;

/// A live message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    pub seq: Seq,
    pub place: Place,
    pub subject: SubjectId,
    pub form: Form,
}

impl Entry {
    /// Bytes its record would have with its payload as it came.
    pub fn plain_len(&self) -> u64 {
        u64::from(self.place.len) + u64::from(self.form.saved)
    }

    /// The entry so many places on, where all are as expected.
    pub fn after(self, count: u32) -> Self {
        let Place { segment, offset, len } = self.place;
        let offset = offset.wrapping_add(len.wrapping_mul(count));
        let seq = Seq(self.seq.0.wrapping_add(u64::from(count)));
        Self { seq, place: Place { segment, offset, len }, ..self }
    }
}

const NEXT_SEQ: u8 = 1;
const SAME_SEGMENT: u8 = 2;
const FOLLOWS: u8 = 4;
const SAME_LEN: u8 = 8;
const SAME_SUBJECT: u8 = 16;
const HEADERS: u8 = 32;
const SAVED: u8 = 64;
/// Everything as expected; the low bits count how often.
const REPEAT: u8 = 0x80;
const EXPECTED: u8 = NEXT_SEQ | SAME_SEGMENT | FOLLOWS | SAME_LEN | SAME_SUBJECT;

const NOTHING: Entry = Entry {
    seq: Seq(0),
    place: Place { segment: SegmentNo(0), offset: 0, len: 0 },
    subject: SubjectId(0),
    form: Form { has_headers: false, saved: 0 },
};

/// Packs entries, each as its difference from the one before.
#[derive(Clone, Debug)]
pub struct Packer {
    out: Vec<u8>,
    last: Entry,
}

impl Default for Packer {
    fn default() -> Self {
        Self { out: Vec::new(), last: NOTHING }
    }
}

impl Packer {
    pub fn push(&mut self, entry: Entry) {
        let last = self.last;
        let tag = tag_of(&last, &entry);
        self.last = entry;
        if tag & EXPECTED == EXPECTED && entry.form == last.form {
            match self.out.last_mut() {
                Some(byte) if *byte >= REPEAT && *byte < u8::MAX => *byte += 1,
                _ => self.out.push(REPEAT),
            }
            return;
        }
        // The varints of an entry end in a byte below 0x80, so a repeat is told from them.
        self.out.push(tag);
        if tag & NEXT_SEQ == 0 {
            put_signed(&mut self.out, entry.seq.0.wrapping_sub(last.seq.0) as i64);
        }
        if tag & SAME_SEGMENT == 0 {
            put_varint(&mut self.out, u64::from(entry.place.segment.0));
        }
        if tag & FOLLOWS == 0 {
            let step = i64::from(entry.place.offset) - i64::from(last.place.end());
            put_signed(&mut self.out, step);
        }
        if tag & SAME_LEN == 0 {
            put_varint(&mut self.out, u64::from(entry.place.len));
        }
        if tag & SAME_SUBJECT == 0 {
            put_varint(&mut self.out, u64::from(entry.subject.0));
        }
        if tag & SAVED != 0 {
            put_varint(&mut self.out, u64::from(entry.form.saved));
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.out
    }
}

fn tag_of(last: &Entry, entry: &Entry) -> u8 {
    let mut tag = 0;
    let mut set = |bit, holds| {
        if holds {
            tag |= bit;
        }
    };
    set(NEXT_SEQ, entry.seq == last.seq.next());
    set(SAME_SEGMENT, entry.place.segment == last.place.segment);
    set(FOLLOWS, entry.place.offset == last.place.end());
    set(SAME_LEN, entry.place.len == last.place.len);
    set(SAME_SUBJECT, entry.subject == last.subject);
    set(HEADERS, entry.form.has_headers);
    set(SAVED, entry.form.saved > 0);
    tag
}

/// Reads packed entries back. It ends early on bytes that are not packed entries.
#[derive(Clone, Debug)]
pub struct Unpacker<'a> {
    fields: Fields<'a>,
    last: Entry,
    repeats: u8,
}

impl<'a> Unpacker<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { fields: Fields(bytes), last: NOTHING, repeats: 0 }
    }

    /// The next entry, and how many follow it that are as expected: the next sequence of the same
    /// subject, of the same length, right behind.
    pub fn next_run(&mut self) -> Option<(Entry, u32)> {
        let first = self.next()?;
        let mut more = u32::from(std::mem::take(&mut self.repeats));
        while let Some((&tag, rest)) =
            self.fields.0.split_first().filter(|(tag, _)| **tag >= REPEAT)
        {
            self.fields.0 = rest;
            more = more.saturating_add(u32::from(tag - REPEAT) + 1);
        }
        self.last = first.after(more);
        Some((first, more))
    }

    fn read(&mut self) -> Option<Entry> {
        if self.repeats == 0 {
            let tag = self.fields.u8()?;
            if tag < REPEAT {
                return self.read_fields(tag);
            }
            self.repeats = tag - REPEAT + 1;
        }
        self.repeats -= 1;
        let mut entry = self.last;
        entry.seq = entry.seq.next();
        entry.place.offset = entry.place.end();
        Some(entry)
    }

    fn read_fields(&mut self, tag: u8) -> Option<Entry> {
        let last = self.last;
        let fields = &mut self.fields;
        let has = |bit| tag & bit != 0;
        let seq = match has(NEXT_SEQ) {
            true => last.seq.next(),
            false => Seq(last.seq.0.wrapping_add(fields.signed()? as u64)),
        };
        let segment = match has(SAME_SEGMENT) {
            true => last.place.segment,
            false => SegmentNo(u32::try_from(fields.varint()?).ok()?),
        };
        let offset = match has(FOLLOWS) {
            true => last.place.end(),
            false => {
                let step = fields.signed()?;
                u32::try_from(i64::from(last.place.end()).checked_add(step)?).ok()?
            }
        };
        let len = match has(SAME_LEN) {
            true => last.place.len,
            false => u32::try_from(fields.varint()?).ok()?,
        };
        let subject = match has(SAME_SUBJECT) {
            true => last.subject,
            false => SubjectId(u32::try_from(fields.varint()?).ok()?),
        };
        let saved = match has(SAVED) {
            true => u32::try_from(fields.varint()?).ok()?,
            false => 0,
        };
        let place = Place { segment, offset, len };
        let form = Form { has_headers: has(HEADERS), saved };
        Some(Entry { seq, place, subject, form })
    }
}

impl Iterator for Unpacker<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let entry = self.read()?;
        self.last = entry;
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(seq: u64, segment: u32, offset: u32, len: u32, subject: u32, form: Form) -> Entry {
        Entry {
            seq: Seq(seq),
            place: Place { segment: SegmentNo(segment), offset, len },
            subject: SubjectId(subject),
            form,
        }
    }

    #[test]
    fn a_lone_stream_costs_next_to_nothing() {
        let mut packer = Packer::default();
        for n in 0..256 {
            packer.push(entry(7 + u64::from(n), 3, 4176 + n * 180, 180, 5, Form::default()));
        }
        assert!(packer.bytes().len() < 16, "{}", packer.bytes().len());
        assert_eq!(Unpacker::new(packer.bytes()).count(), 256);
    }

    proptest! {
        #[test]
        fn packed_entries_come_back(
            raw in proptest::collection::vec(
                (0u64..9, 0u32..3, 0u32..5000, 0u32..3, 0u32..3, any::<bool>(), any::<bool>(), 0u32..3),
                0..300,
            ),
        ) {
            let mut last = NOTHING;
            let mut entries = Vec::new();
            for (step, segment, offset, len, subject, has_headers, follow, saved) in raw {
                let form = Form { has_headers, saved };
                let mut next = entry(last.seq.0 + step, segment, offset, len, subject, form);
                if follow {
                    next.place.segment = last.place.segment;
                    next.place.offset = last.place.end();
                }
                entries.push(next);
                last = next;
            }
            let mut packer = Packer::default();
            entries.iter().for_each(|&entry| packer.push(entry));
            let back: Vec<_> = Unpacker::new(packer.bytes()).collect();
            prop_assert_eq!(&back, &entries);
            let mut unpacker = Unpacker::new(packer.bytes());
            let runs = std::iter::from_fn(|| unpacker.next_run());
            let back: Vec<_> =
                runs.flat_map(|(first, more)| (0..=more).map(move |n| first.after(n))).collect();
            prop_assert_eq!(back, entries);
        }

        #[test]
        fn garbage_ends_without_harm(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Unpacker::new(&raw).take(100_000).count();
        }
    }
}
