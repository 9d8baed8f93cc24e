//! Whole numbers in as few bits as they need: the columns of a packed chunk of the index. In
//! memory only, so the bytes are always what [`put`] made.

use crate::storage::bytes::{Fields, put_varint};

/// Numbers in a column at most.
pub const COLUMN_MAX: usize = 256;
/// More different ones are not listed.
const FEW: usize = 16;

/// How a column is packed: the low bits of its first byte. The others are the width of a number.
const CONSTANT: u8 = 0;
/// The distances from the smallest one.
const PLAIN: u8 = 1;
/// As plain, of the steps from each to the next.
const STEPS: u8 = 2;
/// Which of a few it is.
const LISTED: u8 = 3;
const KIND_BITS: u8 = 2;

/// Distances from `base` in `width` bits each; those that need more stand beside.
#[derive(Clone, Copy, Debug)]
struct Plan {
    base: u64,
    width: u8,
    exceptions: u8,
    /// Bytes it takes.
    len: usize,
}

fn bits_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

fn varint_len(bits: usize) -> usize {
    bits.max(1).div_ceil(7)
}

impl Plan {
    fn new(values: &[u64]) -> Self {
        let base = values.iter().copied().min().unwrap_or(0);
        let mut of_bits = [0usize; u64::BITS as usize + 1];
        values.iter().for_each(|&value| of_bits[bits_of(value - base)] += 1);
        let widest = of_bits.iter().rposition(|&count| count > 0).unwrap_or(0);
        let fixed = varint_len(bits_of(base)) + 2;
        let mut best = Self { base, width: 0, exceptions: 0, len: usize::MAX };
        let (mut wider, mut wider_len) = (0, 0);
        for width in (0..=widest).rev() {
            let len = fixed + (values.len() * width).div_ceil(8) + wider_len;
            if len < best.len {
                best = Self { base, width: width as u8, exceptions: wider as u8, len };
            }
            wider += of_bits[width];
            wider_len += of_bits[width] * (1 + varint_len(width));
        }
        best
    }

    fn put(&self, out: &mut Vec<u8>, values: &[u64]) {
        put_varint(out, self.base);
        out.push(self.exceptions);
        let distances = || values.iter().map(|value| value - self.base);
        let is_wide = |distance: u64| bits_of(distance) > usize::from(self.width);
        for (distance, at) in distances().zip(0u8..=u8::MAX) {
            if is_wide(distance) {
                out.push(at);
                put_varint(out, distance);
            }
        }
        let narrow = distances().map(|distance| if is_wide(distance) { 0 } else { distance });
        put_bits(out, self.width, narrow);
    }
}

fn put_bits(out: &mut Vec<u8>, width: u8, values: impl Iterator<Item = u64>) {
    let (mut word, mut filled) = (0u128, 0u32);
    for value in values {
        word |= u128::from(value) << filled;
        filled += u32::from(width);
        while filled >= 8 {
            out.push(word as u8);
            word >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        out.push(word as u8);
    }
}

fn zigzag(step: u64) -> u64 {
    step << 1 ^ ((step as i64 >> 63) as u64)
}

fn unzigzag(raw: u64) -> u64 {
    (raw >> 1) ^ (raw & 1).wrapping_neg()
}

/// Appends a column of at most [`COLUMN_MAX`] numbers.
pub fn put(out: &mut Vec<u8>, values: &[u64]) {
    let Some((&first, rest)) = values.split_first() else { return };
    if rest.iter().all(|&value| value == first) {
        out.push(CONSTANT);
        put_varint(out, first);
        return;
    }
    let mut steps = [0; COLUMN_MAX];
    let steps = &mut steps[..rest.len()];
    for (step, pair) in steps.iter_mut().zip(values.windows(2)) {
        *step = zigzag(pair[1].wrapping_sub(pair[0]));
    }
    let (plain, stepped) = (Plan::new(values), Plan::new(steps));
    let stepped_len = stepped.len + varint_len(bits_of(first));
    if let Some(listed) = Listed::new(values)
        && listed.len < plain.len.min(stepped_len)
    {
        listed.put(out, values);
    } else if stepped_len < plain.len {
        out.push(STEPS | stepped.width << KIND_BITS);
        put_varint(out, first);
        stepped.put(out, steps);
    } else {
        out.push(PLAIN | plain.width << KIND_BITS);
        plain.put(out, values);
    }
}

/// The different numbers of a column, where they are few.
struct Listed {
    values: [u64; FEW],
    count: usize,
    width: u8,
    /// Bytes it takes.
    len: usize,
}

impl Listed {
    fn new(values: &[u64]) -> Option<Self> {
        let mut listed = Self { values: [0; FEW], count: 0, width: 0, len: 2 };
        for &value in values {
            if listed.number(value).is_none() {
                *listed.values.get_mut(listed.count)? = value;
                listed.count += 1;
                listed.len += varint_len(bits_of(value));
            }
        }
        listed.width = bits_of(listed.count as u64 - 1) as u8;
        listed.len += (values.len() * usize::from(listed.width)).div_ceil(8);
        Some(listed)
    }

    fn number(&self, value: u64) -> Option<usize> {
        self.values[..self.count].iter().position(|&other| other == value)
    }

    fn put(&self, out: &mut Vec<u8>, values: &[u64]) {
        out.push(LISTED | self.width << KIND_BITS);
        out.push(self.count as u8);
        self.values[..self.count].iter().for_each(|&value| put_varint(out, value));
        let numbers = values.iter().map(|&value| self.number(value).unwrap_or(0) as u64);
        put_bits(out, self.width, numbers);
    }
}

/// Reads a column back, in order.
#[derive(Clone, Debug)]
pub struct Column<'a> {
    kind: u8,
    width: u8,
    base: u64,
    /// Numbers that are listed.
    listed: [u64; FEW],
    exceptions: Fields<'a>,
    /// The next of them, and its distance.
    wide: Option<(usize, u64)>,
    /// The column and what stands behind it.
    bytes: &'a [u8],
    /// The bit of it at which the packed numbers begin.
    from: usize,
    /// The number to be read next; of steps, the one behind the first.
    at: usize,
    last: u64,
    is_first: bool,
}

impl<'a> Column<'a> {
    /// Takes a column of `count` numbers from the front.
    pub fn take(fields: &mut Fields<'a>, count: usize) -> Option<Self> {
        let bytes = fields.0;
        let head = if count > 0 { fields.u8()? } else { CONSTANT };
        let mut column = Self {
            kind: head & ((1 << KIND_BITS) - 1),
            width: head >> KIND_BITS,
            base: 0,
            listed: [0; FEW],
            exceptions: Fields(&[]),
            wide: None,
            bytes,
            from: 0,
            at: 0,
            last: 0,
            is_first: true,
        };
        let mut count = count;
        match column.kind {
            CONSTANT => {
                column.base = if count > 0 { fields.varint()? } else { 0 };
                return Some(column);
            }
            LISTED => {
                let listed = usize::from(fields.u8()?);
                for value in column.listed.get_mut(..listed)? {
                    *value = fields.varint()?;
                }
            }
            kind => {
                if kind == STEPS {
                    column.last = fields.varint()?;
                    count -= 1;
                }
                column.base = fields.varint()?;
                let exceptions = fields.u8()?;
                column.exceptions = *fields;
                for _ in 0..exceptions {
                    fields.u8()?;
                    fields.varint()?;
                }
                let len = column.exceptions.0.len() - fields.0.len();
                column.exceptions.0 = &column.exceptions.0[..len];
                column.next_exception();
            }
        }
        column.from = (bytes.len() - fields.0.len()) * 8;
        fields.bytes((count * usize::from(column.width)).div_ceil(8))?;
        Some(column)
    }

    /// The number that all of them are.
    pub fn constant(&self) -> Option<u64> {
        (self.kind == CONSTANT).then_some(self.base)
    }

    /// The number that all of them are but those [`Column::next_unusual`] tells, if few are.
    pub fn usual(&self) -> Option<u64> {
        (self.kind == CONSTANT || self.kind == PLAIN && self.width == 0).then_some(self.base)
    }

    /// The next number that stands out, with its place.
    pub fn next_unusual(&mut self) -> Option<(usize, u64)> {
        let (at, distance) = self.wide?;
        self.next_exception();
        Some((at, self.base.wrapping_add(distance)))
    }

    fn next_exception(&mut self) {
        let fields = &mut self.exceptions;
        self.wide = fields.u8().and_then(|at| Some((usize::from(at), fields.varint()?)));
    }

    #[inline]
    fn bits_at(&self, at: usize) -> u64 {
        let bit = self.from + at * usize::from(self.width);
        // Eight bytes at once, near the end the last eight.
        let byte = (bit / 8).min(self.bytes.len().saturating_sub(8));
        let raw = match self.bytes.get(byte..).and_then(<[u8]>::first_chunk) {
            Some(raw) => u64::from_le_bytes(*raw),
            None => self.bytes.iter().rev().fold(0, |raw, &byte| raw << 8 | u64::from(byte)),
        };
        raw.unbounded_shr((bit - byte * 8) as u32) & ((1 << self.width) - 1)
    }

    #[inline]
    fn distance(&mut self) -> u64 {
        let at = self.at;
        self.at += 1;
        match self.wide {
            Some((wide, distance)) if wide == at => {
                self.next_exception();
                distance
            }
            _ => self.bits_at(at),
        }
    }

    /// The next number. Behind the last one, whatever.
    #[inline]
    pub fn read(&mut self) -> u64 {
        match self.kind {
            CONSTANT => self.base,
            PLAIN => self.base.wrapping_add(self.distance()),
            LISTED => {
                let number = self.distance() as usize;
                self.listed.get(number).copied().unwrap_or(0)
            }
            _ => {
                if !std::mem::take(&mut self.is_first) {
                    let step = unzigzag(self.base.wrapping_add(self.distance()));
                    self.last = self.last.wrapping_add(step);
                }
                self.last
            }
        }
    }

    /// The number so many places on.
    pub fn nth(mut self, mut at: usize) -> u64 {
        if self.kind != STEPS {
            while self.wide.is_some_and(|(wide, _)| wide < at) {
                self.next_exception();
            }
            (self.at, at) = (at, 0);
        }
        for _ in 0..at {
            self.read();
        }
        self.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(values: &[u64]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, values);
        out
    }

    fn unpacked(bytes: &[u8], count: usize) -> Vec<u64> {
        let mut fields = Fields(bytes);
        let mut column = Column::take(&mut fields, count).unwrap();
        assert!(fields.is_empty());
        (0..count).map(|_| column.read()).collect()
    }

    #[test]
    fn each_way_is_taken_where_it_is_shortest() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        type Case = (&'static str, fn(u64, u64) -> u64, usize);
        let cases: [Case; 6] = [
            ("all the same", |_, _| 300, 3),
            ("one up each", |n, _| 900_000 + n, 8),
            ("two far apart in no order", |_, random| [5, 1 << 30][random as usize % 2], 40),
            ("64 lengths", |_, random| 172 + random % 64, 6 * 32 + 5),
            ("1000 subjects", |_, random| random % 1000, 10 * 32 + 5),
            ("rarely far off", |n, _| if n % 20 == 7 { 20_000 + n } else { 18_000 }, 59),
        ];
        for (what, value, len_max) in cases {
            let values: Vec<u64> = (0..256).map(|n| value(n, spread(n))).collect();
            let bytes = packed(&values);
            assert!(bytes.len() <= len_max, "{what}: {} bytes", bytes.len());
            assert_eq!(unpacked(&bytes, values.len()), values, "{what}");
        }
    }

    proptest! {
        #[test]
        fn columns_come_back(
            raw in proptest::collection::vec((0u64..=u64::from(u32::MAX) + 1, 0u8..34), 0..=COLUMN_MAX),
            base in 0u64..1 << 32,
            is_rising: bool,
        ) {
            let mut last = base;
            let values: Vec<u64> = raw.into_iter().map(|(value, width)| {
                let value = value & ((1 << width) - 1);
                last = if is_rising { (last + value) & 0xffff_ffff } else { base + value };
                last
            }).collect();
            let bytes = packed(&values);
            prop_assert_eq!(&unpacked(&bytes, values.len()), &values);
            for (at, value) in values.iter().enumerate() {
                let column = Column::take(&mut Fields(&bytes), values.len()).unwrap();
                prop_assert_eq!(column.nth(at), *value);
            }
        }
    }
}
