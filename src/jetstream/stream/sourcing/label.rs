//! What a sourced message says of where it comes from (facts/jetstream-api.md §11):
//!
//! ```text
//! Nats-Stream-Source: <stream> <sequence> <filters> <destinations> <subject there> <identity>
//! ```
//!
//! Filters and destinations are lists with a form feed between their entries, `>` for none.

use std::io::Write;

use crate::jetstream::advisory::hash_of;
use crate::jetstream::config::StreamSource;
use crate::jetstream::headers;
use crate::storage::Seq;

pub const SOURCE_HEADER: &str = "Nats-Stream-Source";
const LIST_SEPARATOR: &str = "\u{c}";

/// What tells the sources of a stream apart, in a header and after a restart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Label {
    /// The origin; one elsewhere, or drawn through a consumer of its own, has a hash behind it.
    name: Box<str>,
    /// Filters and destinations.
    rules: Box<str>,
}

/// How far an origin was drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// The origin's message that was taken last; 0: none.
    pub seq: Seq,
    /// Which stream of that name it was; empty: it was not told.
    pub identity: Box<str>,
}

impl Label {
    pub fn of(source: &StreamSource) -> Self {
        let mut name = source.name.clone();
        if let Some(external) = &source.external {
            name = format!("{name}:{}", hash_of(&external.api));
        }
        if let Some(consumer) = &source.consumer {
            name = format!("{name}:C={}", hash_of(&consumer.name));
        }
        let (_, _, _, rules) = source.identity();
        let (filters, destinations): (Vec<&str>, Vec<&str>) = rules.into_iter().unzip();
        let filters = filters.join(LIST_SEPARATOR);
        let destinations = destinations.join(LIST_SEPARATOR);
        let rules = format!("{filters} {destinations}");
        Self { name: name.into(), rules: rules.into() }
    }

    /// A label as it was kept: its two parts.
    pub fn from_parts(name: &str, rules: &str) -> Self {
        Self { name: name.into(), rules: rules.into() }
    }

    pub fn parts(&self) -> (&str, &str) {
        (&self.name, &self.rules)
    }

    /// Adds the header for a message of this source.
    pub fn append(&self, block: &mut Vec<u8>, seq: Seq, subject: &[u8], identity: &str) {
        let mut value = Vec::with_capacity(self.name.len() + self.rules.len() + 64);
        let (name, rules) = self.parts();
        write!(value, "{name} {} {rules} ", seq.0).expect("a Vec takes everything");
        value.extend_from_slice(subject);
        if !identity.is_empty() {
            write!(value, " {identity}").expect("a Vec takes everything");
        }
        headers::append(block, SOURCE_HEADER, &value);
    }

    /// What a header says. `None`: nothing that this server writes.
    pub fn parse(value: &[u8]) -> Option<(Self, Position)> {
        let value = std::str::from_utf8(value).ok()?;
        let mut tokens = value.split(' ');
        let (name, seq) = (tokens.next()?, tokens.next()?.parse().ok()?);
        let (filters, destinations) = (tokens.next()?, tokens.next()?);
        let identity = tokens.nth(1).unwrap_or_default();
        let rules = format!("{filters} {destinations}");
        let position = Position { seq: Seq(seq), identity: identity.into() };
        Some((Self { name: name.into(), rules: rules.into() }, position))
    }
}

/// Takes out of a block what was meant for the origin alone.
pub fn strip(block: &mut Vec<u8>, is_mirror: bool) {
    headers::retain(block, |name| {
        let is_for_origin = name.starts_with(b"Nats-Expected-")
            || name.starts_with(b"Nats-Batch-")
            || (!is_mirror && name == SOURCE_HEADER.as_bytes());
        !is_for_origin
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::config::{External, SourceConsumer, SubjectTransform};

    fn rule(source: &str, destination: &str) -> SubjectTransform {
        SubjectTransform { source: source.into(), destination: destination.into() }
    }

    fn line(source: &StreamSource, seq: u64, subject: &str) -> String {
        let mut block = Vec::new();
        Label::of(source).append(&mut block, Seq(seq), subject.as_bytes(), "pZyGpk5H");
        String::from_utf8(headers::get(&block, SOURCE_HEADER).unwrap().to_vec()).unwrap()
    }

    /// Each as 2.15.1 stores it.
    #[test]
    fn headers_of_sourced_messages() {
        let plain = StreamSource { name: "O".into(), ..StreamSource::default() };
        let filtered = StreamSource { filter_subject: "o.1".into(), ..plain.clone() };
        let rules = vec![rule("o.2", "t.2"), rule("o.0", "u.0")];
        let renamed = StreamSource { subject_transforms: rules, ..plain.clone() };
        let consumer = SourceConsumer { name: "dur".into(), deliver_subject: "dlv.x".into() };
        let durable = StreamSource { consumer: Some(consumer), ..plain.clone() };
        let rows = [
            (&plain, 1, "o.0", "O 1 > > o.0 pZyGpk5H"),
            (&filtered, 2, "o.1", "O 2 o.1 > o.1 pZyGpk5H"),
            (&renamed, 3, "o.2", "O 3 o.2\u{c}o.0 t.2\u{c}u.0 o.2 pZyGpk5H"),
            (&durable, 1, "o.0", "O:C=lS2bloCe 1 > > o.0 pZyGpk5H"),
        ];
        for (source, seq, subject, expected) in rows {
            assert_eq!(line(source, seq, subject), expected);
            let (label, position) = Label::parse(expected.as_bytes()).unwrap();
            assert_eq!(label, Label::of(source));
            assert_eq!((position.seq, &*position.identity), (Seq(seq), "pZyGpk5H"));
        }
        let external = External { api: "$JS.hub.API".into(), deliver: String::new() };
        let external = StreamSource { external: Some(external), ..plain };
        assert_ne!(Label::of(&external), Label::of(&durable));
    }

    #[test]
    fn lines_of_before_2_15_have_no_identity_and_junk_is_none() {
        let (_, position) = Label::parse(b"O 7 > > o.1").unwrap();
        assert_eq!(position, Position { seq: Seq(7), identity: "".into() });
        for junk in [&b""[..], b"O", b"O x > > o", b"O 1 >", b"\xff 1 > > o"] {
            assert_eq!(Label::parse(junk), None, "{junk:?}");
        }
    }

    #[test]
    fn what_was_for_the_origin_goes() {
        let block = b"NATS/1.0\r\nA: 1\r\nNats-Expected-Stream: O\r\nNats-Batch-Id: u\r\n\
            Nats-Stream-Source: X 1 > > x\r\nNats-Rollup: sub\r\n\r\n";
        let (mut mirrored, mut sourced) = (block.to_vec(), block.to_vec());
        strip(&mut mirrored, true);
        strip(&mut sourced, false);
        let text = |block: Vec<u8>| String::from_utf8(block).unwrap();
        assert_eq!(
            text(mirrored),
            "NATS/1.0\r\nA: 1\r\nNats-Stream-Source: X 1 > > x\r\nNats-Rollup: sub\r\n\r\n"
        );
        assert_eq!(text(sourced), "NATS/1.0\r\nA: 1\r\nNats-Rollup: sub\r\n\r\n");
        let mut only = b"NATS/1.0\r\nNats-Batch-Id: u\r\n\r\n".to_vec();
        strip(&mut only, true);
        assert!(only.is_empty());
    }
}
