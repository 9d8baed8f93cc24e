//! How far each origin was drawn, in the log: so that a restart reads only the messages behind, and
//! knows of those that left the stream.
//!
//! ```text
//! version 1 │ the stream's last sequence then u64 │ entries: name, rules, identity: each a length
//! u16 and bytes; the origin's sequence u64
//! ```

use std::collections::BTreeMap;

use super::label::{Label, Position};
use crate::storage::Seq;
use crate::types::limits::SOURCE_POSITIONS_MAX;

/// The key of the positions among the stream's keys in the log.
pub const POSITIONS_KEY: &[u8] = b"f";
const VERSION: u8 = 1;

/// Positions of origins, those that are no longer drawn from among them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    /// The stream's last sequence when they were written; later messages tell more.
    pub as_of: Seq,
    by_label: BTreeMap<Label, Position>,
}

impl Positions {
    pub fn get(&self, label: &Label) -> Option<&Position> {
        self.by_label.get(label)
    }

    /// Beyond the limit what was known first by name gives way.
    pub fn set(&mut self, label: Label, position: Position) {
        self.by_label.insert(label, position);
        if self.by_label.len() > SOURCE_POSITIONS_MAX {
            self.by_label.pop_first();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_label.is_empty()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.as_of.0.to_le_bytes());
        for (label, position) in &self.by_label {
            let (name, rules) = label.parts();
            let texts = [name, rules, &position.identity];
            if texts.iter().any(|text| u16::try_from(text.len()).is_err()) {
                continue;
            }
            for text in texts {
                bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            bytes.extend_from_slice(&position.seq.0.to_le_bytes());
        }
        bytes
    }

    /// `None`: these bytes are no positions; all messages have to be read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (as_of, mut rest) = rest.split_first_chunk()?;
        if version != VERSION {
            return None;
        }
        let mut positions = Self { as_of: Seq(u64::from_le_bytes(*as_of)), ..Self::default() };
        while !rest.is_empty() {
            let (name, rules) = (text(&mut rest)?, text(&mut rest)?);
            let identity = text(&mut rest)?.into();
            let (seq, behind) = rest.split_first_chunk()?;
            rest = behind;
            let seq = Seq(u64::from_le_bytes(*seq));
            positions.set(Label::from_parts(name, rules), Position { seq, identity });
        }
        Some(positions)
    }
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (len, behind) = rest.split_first_chunk()?;
    let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
    *rest = behind;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_any_bytes_are_taken() {
        let mut positions = Positions { as_of: Seq(9), ..Positions::default() };
        for (name, seq) in [("A", 7), ("B:C=lS2bloCe", u64::MAX)] {
            let position = Position { seq: Seq(seq), identity: "pZyGpk5H".into() };
            positions.set(Label::from_parts(name, "> >"), position);
        }
        let bytes = positions.encode();
        assert_eq!(Positions::decode(&bytes), Some(positions));
        for len in 0..bytes.len() {
            // Cut behind an entry it is a shorter list.
            let read = Positions::decode(&bytes[..len]);
            assert!(read.is_none_or(|read| read.as_of == Seq(9)), "{len}");
        }
        assert_eq!(Positions::decode(b"\x02aaaaaaaaaaaa"), None);
    }

    #[test]
    fn there_is_a_limit() {
        let mut positions = Positions::default();
        for number in 0..=SOURCE_POSITIONS_MAX {
            positions.set(Label::from_parts(&format!("{number:05}"), "> >"), Position::default());
        }
        assert_eq!(positions.get(&Label::from_parts("00000", "> >")), None);
        assert!(positions.get(&Label::from_parts("00001", "> >")).is_some());
    }
}
