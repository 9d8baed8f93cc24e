//! Answers to publishers (facts/jetstream-api.md §4): made in one buffer that is used again.

use crate::jetstream::error::ApiError;
use crate::storage::Seq;
use crate::types::json;

/// What an accepted publish is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted<'a> {
    Stored(Seq),
    /// It was stored before, under this sequence.
    Duplicate(Seq),
    /// A counter's value after it.
    Counted(Seq, &'a str),
    /// The last message of a batch, how many it had.
    Batch(Seq, &'a str, u64),
}

/// `{"stream":"S","domain":"d","seq":7}` in the parts that stay and the parts that change.
#[derive(Debug)]
pub struct Acks {
    /// `{"stream":"S","domain":"d","seq":`
    begin: Box<[u8]>,
    /// `,"stream":"S","seq":0}`: refusals do not name the domain.
    refused_end: Box<[u8]>,
    text: Vec<u8>,
}

impl Acks {
    pub fn new(stream: &str, domain: Option<&str>) -> Self {
        let stream = json::compact(&stream);
        let mut begin = [b"{\"stream\":", &stream[..]].concat();
        if let Some(domain) = domain {
            begin.extend_from_slice(b",\"domain\":");
            begin.extend(json::compact(&domain));
        }
        begin.extend_from_slice(b",\"seq\":");
        let refused_end = [b",\"stream\":", &stream[..], b",\"seq\":0}"].concat();
        Self { begin: begin.into(), refused_end: refused_end.into(), text: Vec::new() }
    }

    pub fn accepted(&mut self, what: Accepted<'_>) -> &[u8] {
        let (Accepted::Stored(seq)
        | Accepted::Duplicate(seq)
        | Accepted::Counted(seq, _)
        | Accepted::Batch(seq, ..)) = what;
        self.text.clear();
        self.text.extend_from_slice(&self.begin);
        self.push_number(seq.0);
        match what {
            Accepted::Stored(_) => {}
            Accepted::Duplicate(_) => self.text.extend_from_slice(b",\"duplicate\": true"),
            Accepted::Counted(_, value) => {
                self.text.extend_from_slice(b",\"val\":");
                self.text.extend(json::compact(&value));
            }
            Accepted::Batch(_, id, count) => {
                self.text.extend_from_slice(b",\"batch\":");
                self.text.extend(json::compact(&id));
                self.text.extend_from_slice(b",\"count\":");
                self.push_number(count);
            }
        }
        self.text.push(b'}');
        &self.text
    }

    pub fn refused(&mut self, error: &ApiError) -> &[u8] {
        self.text.clear();
        self.text.extend_from_slice(b"{\"error\":");
        self.text.extend(json::compact(error));
        self.text.extend_from_slice(&self.refused_end);
        &self.text
    }

    fn push_number(&mut self, number: u64) {
        self.text.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_reference_writes_them() {
        let mut acks = Acks::new("A", None);
        let rows = [
            (Accepted::Stored(Seq(1)), r#"{"stream":"A","seq":1}"#),
            (Accepted::Duplicate(Seq(2)), r#"{"stream":"A","seq":2,"duplicate": true}"#),
            (Accepted::Counted(Seq(2), "-6"), r#"{"stream":"A","seq":2,"val":"-6"}"#),
            (
                Accepted::Batch(Seq(3), "b\"1", 2),
                r#"{"stream":"A","seq":3,"batch":"b\"1","count":2}"#,
            ),
        ];
        for (what, expected) in rows {
            assert_eq!(acks.accepted(what), expected.as_bytes(), "{what:?}");
        }
        assert_eq!(
            acks.refused(&ApiError::stream_wrong_last_sequence(1)),
            br#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 1"},"stream":"A","seq":0}"#
        );
    }

    #[test]
    fn a_domain_is_named_in_acks_only() {
        let mut acks = Acks::new("A", Some("hub"));
        let ack = acks.accepted(Accepted::Stored(Seq(1)));
        assert_eq!(ack, br#"{"stream":"A","domain":"hub","seq":1}"#);
        let refused = acks.refused(&ApiError::bad_request());
        assert_eq!(
            refused,
            br#"{"error":{"code":400,"err_code":10003,"description":"bad request"},"stream":"A","seq":0}"#
        );
    }
}
