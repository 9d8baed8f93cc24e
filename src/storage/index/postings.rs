//! The sequences of a subject with few messages: the steps from each to the next, as varints.
//! Fourteen bytes of them cost no allocation.

use std::ops::Range;

use crate::storage::bytes::Fields;
use crate::storage::ids::Seq;

const INLINE: usize = 14;
/// Steps that came down to this many bytes move back inside.
const INLINE_AGAIN: usize = 8;

#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every subject")]
enum Bytes {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<Vec<u8>>),
}

/// Steps between ascending sequences; the first one is kept elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Postings(Bytes);

impl Default for Postings {
    fn default() -> Self {
        Self(Bytes::Inline { len: 0, bytes: [0; INLINE] })
    }
}

impl Postings {
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Bytes::Heap(bytes) => bytes,
        }
    }

    /// Bytes of memory beside itself, roughly.
    pub fn heap(&self) -> usize {
        match &self.0 {
            Bytes::Inline { .. } => 0,
            Bytes::Heap(bytes) => bytes.capacity() + 48,
        }
    }

    /// All sequences, beginning with `first`.
    pub fn seqs(&self, first: Seq) -> impl Iterator<Item = Seq> {
        let mut at = 0;
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let seq = next?;
            next = self.step(at).map(|step| {
                at = step.end;
                seq.plus(step.len)
            });
            Some(seq)
        })
    }

    /// The sequence `last` is followed by `seq`.
    pub fn push(&mut self, last: Seq, seq: Seq) {
        let at = self.bytes().len();
        self.put(at..at, &[seq.0 - last.0]);
    }

    /// Adds a sequence that is not there, anywhere. Returns the first one.
    pub fn insert(&mut self, first: Seq, seq: Seq) -> Seq {
        if seq < first {
            self.put(0..0, &[first.0 - seq.0]);
            return seq;
        }
        let (mut at, mut last) = (0, first);
        while let Some(step) = self.step(at) {
            let next = last.plus(step.len);
            if next > seq {
                self.put(at..step.end, &[seq.0 - last.0, next.0 - seq.0]);
                return first;
            }
            (at, last) = (step.end, next);
        }
        self.put(at..at, &[seq.0 - last.0]);
        first
    }

    /// Removes a sequence. Returns the first and the last one, or `None` if it was not there or
    /// was the only one.
    pub fn remove(&mut self, first: Seq, last: Seq, seq: Seq) -> Option<(Seq, Seq)> {
        if seq == first {
            let step = self.step(0)?;
            self.put(0..step.end, &[]);
            return Some((first.plus(step.len), last));
        }
        let (mut at, mut before) = (0, first);
        loop {
            let step = self.step(at)?;
            let next = before.plus(step.len);
            if next < seq {
                (at, before) = (step.end, next);
                continue;
            }
            if next > seq {
                return None;
            }
            let Some(behind) = self.step(step.end) else {
                self.put(at..step.end, &[]);
                return Some((first, before));
            };
            self.put(at..behind.end, &[step.len + behind.len]);
            return Some((first, last));
        }
    }

    /// The step that stands at a byte.
    fn step(&self, at: usize) -> Option<Step> {
        let bytes = self.bytes();
        let mut fields = Fields(bytes.get(at..)?);
        let len = fields.varint()?;
        Some(Step { len, end: bytes.len() - fields.0.len() })
    }

    /// Replaces bytes by one or two steps, or by none.
    fn put(&mut self, at: Range<usize>, steps: &[u64]) {
        let mut new = [0; 20];
        let mut len = 0;
        for &step in steps {
            len += varint(step, &mut new[len..]);
        }
        let new = &new[..len];
        match &mut self.0 {
            Bytes::Heap(bytes) => {
                bytes.splice(at, new.iter().copied());
                if bytes.len() <= INLINE_AGAIN {
                    *self = Self::inline(&[bytes]);
                }
            }
            Bytes::Inline { len: old, bytes } => {
                let old = &bytes[..usize::from(*old)];
                let parts = [&old[..at.start], new, &old[at.end..]];
                *self = match parts.iter().map(|part| part.len()).sum::<usize>() <= INLINE {
                    true => Self::inline(&parts),
                    false => Self(Bytes::Heap(Box::new(parts.concat()))),
                };
            }
        }
    }

    fn inline(parts: &[&[u8]]) -> Self {
        let mut bytes = [0; INLINE];
        let mut len = 0;
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Self(Bytes::Inline { len: len as u8, bytes })
    }
}

#[derive(Clone, Copy)]
struct Step {
    /// From one sequence to the next.
    len: u64,
    /// Where the next step stands.
    end: usize,
}

/// LEB128 into an array. Returns how many bytes.
fn varint(mut value: u64, out: &mut [u8]) -> usize {
    let mut len = 0;
    while value >= 0x80 {
        out[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    out[len] = value as u8;
    len + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(acts in proptest::collection::vec((1u64..100_000, any::<bool>()), 1..90)) {
            let mut model = BTreeSet::new();
            let mut real: Option<(Postings, Seq, Seq)> = None;
            for (raw, add) in acts {
                let seq = Seq(raw);
                match (&mut real, add) {
                    (None, true) => real = Some((Postings::default(), seq, seq)),
                    (Some((postings, first, last)), true) if !model.contains(&seq) => {
                        if seq > *last {
                            postings.push(*last, seq);
                        } else {
                            *first = postings.insert(*first, seq);
                        }
                        *last = seq.max(*last);
                    }
                    (Some((postings, first, last)), false) => {
                        // Mostly one that is there.
                        let seq = model.range(seq..).next().copied().unwrap_or(seq);
                        let left = postings.remove(*first, *last, seq);
                        let was_there = model.remove(&seq);
                        prop_assert_eq!(left.is_some(), was_there && !model.is_empty());
                        if let Some(left) = left {
                            (*first, *last) = left;
                        }
                        if model.is_empty() {
                            real = None;
                        }
                        continue;
                    }
                    _ => continue,
                }
                model.insert(seq);
                let (postings, first, last) = real.as_ref().unwrap();
                let seqs: Vec<Seq> = postings.seqs(*first).collect();
                prop_assert_eq!(&seqs, &model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(seqs.last(), Some(last));
            }
        }
    }

    #[test]
    fn a_few_steps_need_no_allocation() {
        let mut postings = Postings::default();
        for seq in 1..5 {
            postings.push(Seq((seq - 1) * 1_000_000), Seq(seq * 1_000_000));
            assert_eq!(postings.heap(), 0);
        }
        assert_eq!(size_of::<Postings>(), 16);
    }
}
