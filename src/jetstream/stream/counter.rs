//! Counters: messages that add to what their subject holds (facts/jetstream-api.md §6). The value
//! is the body of a subject's last message, `{"val":"6"}`, an integer of any size.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde::{Deserialize, Serialize};

use super::Stream;
use super::directives::Directives;
use super::intake::Candidate;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::jetstream::store::{Fetch, Stored};
use crate::storage::Seq;
use crate::types::json;
use crate::types::limits::COUNTERS_KEPT;

const SOURCES: &str = "Nats-Counter-Sources";

/// What a subject counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Total {
    value: BigInt,
    /// Of what was drawn from other streams: stream, subject there, its value as far as counted.
    sources: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
struct Body {
    val: String,
}

/// Whether and how a message counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    /// The stream has no counters.
    Not,
    To(Total),
    /// The last value has to be read first.
    Wait,
}

/// Counts that are known without a look at the messages: those not visible yet are all here.
#[derive(Debug, Default)]
pub(super) struct Counters {
    known: BTreeMap<Box<[u8]>, (Seq, Total)>,
}

impl Counters {
    pub fn learn(&mut self, subject: &[u8], seq: Seq, total: Total) {
        self.known.insert(subject.into(), (seq, total));
    }

    /// The total as of a message that is the subject's last.
    fn get(&self, subject: &[u8], last: Seq) -> Option<&Total> {
        self.known.get(subject).filter(|(seq, _)| *seq == last).map(|(_, total)| total)
    }

    fn shed(&mut self, visible: Seq) {
        if self.known.len() > COUNTERS_KEPT {
            self.known.retain(|_, (seq, _)| *seq > visible);
        }
    }
}

impl Total {
    fn of(stored: &Stored<'_>) -> Option<Self> {
        Some(Self { value: value_of(stored.payload)?, sources: sources_of(stored.headers)? })
    }

    pub fn value(&self) -> String {
        self.value.to_string()
    }

    pub fn body(&self) -> Vec<u8> {
        json::compact(&Body { val: self.value() })
    }

    /// The headers to store: what was drawn from elsewhere is told with every message.
    pub fn headers(&self, block: &[u8]) -> Vec<u8> {
        let mut stored = block.to_vec();
        match self.sources.is_empty() {
            true => drop(headers::remove(&mut stored, SOURCES)),
            false => headers::set(&mut stored, SOURCES, &json::compact(&self.sources)),
        }
        stored
    }

    fn add(&mut self, increment: &BigInt) {
        self.value += increment;
    }

    /// The origin's counter stands at `value` now. By how much that is more than was counted.
    pub fn draw(&mut self, stream: &str, subject: &str, value: &BigInt) -> BigInt {
        let of = self.sources.entry(stream.into()).or_default();
        let counted = of.insert(subject.into(), value.to_string());
        let counted = counted.and_then(|text| integer(text.as_bytes())).unwrap_or_default();
        let increment = value - counted;
        self.add(&increment);
        increment
    }
}

/// The value in a counter's body.
pub(super) fn value_of(payload: &[u8]) -> Option<BigInt> {
    let body: Body = serde_json::from_slice(payload).ok()?;
    integer(body.val.as_bytes())
}

fn sources_of(block: &[u8]) -> Option<BTreeMap<String, BTreeMap<String, String>>> {
    match headers::get(block, SOURCES) {
        Some(text) => serde_json::from_slice(text).ok(),
        None => Some(BTreeMap::new()),
    }
}

/// An optional sign and digits.
pub(super) fn integer(text: &[u8]) -> Option<BigInt> {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    BigInt::parse_bytes(text, 10)
}

impl Stream {
    /// What a counter asks of its messages, and every other stream of those that count.
    pub(super) fn check_counting(&self, message: &Candidate<'_>) -> Result<(), ApiError> {
        let asks = message.asks;
        // Whether it is missing is looked at late.
        let Some(increment) = asks.increment else { return Ok(()) };
        if integer(increment).is_none() {
            return Err(ApiError::message_incr_invalid());
        }
        if !self.config.allow_msg_counter {
            return Err(ApiError::message_incr_disabled());
        }
        if !message.payload.is_empty() {
            return Err(ApiError::message_incr_payload());
        }
        if expects(asks) || asks.rollup.is_some() {
            return Err(ApiError::message_incr_invalid());
        }
        Ok(())
    }

    /// What the subject will count with a message. `staged`: what its batch has counted already.
    pub(super) fn count(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        staged: &[(&[u8], Total)],
    ) -> Result<Counted, ApiError> {
        if !self.config.allow_msg_counter {
            return Ok(Counted::Not);
        }
        let increment = message.asks.increment.and_then(integer);
        let increment = increment.ok_or_else(ApiError::message_incr_invalid)?;
        let staged = staged.iter().rev().find(|(subject, _)| *subject == message.subject);
        let mut total = match staged {
            Some((_, total)) => total.clone(),
            None => match self.total_of(ctx, message.subject)? {
                Some(total) => total,
                None => return Ok(Counted::Wait),
            },
        };
        total.add(&increment);
        Ok(Counted::To(total))
    }

    /// What a subject counts now. `None`: it has to be read first.
    pub(super) fn total_of(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &[u8],
    ) -> Result<Option<Total>, ApiError> {
        let visible = self.store.visible_seq(ctx.log.as_deref());
        self.counters.shed(visible);
        let last = self.store.last_appended(ctx.log.as_deref_mut(), subject);
        let Some(last) = last else { return Ok(Some(Total::default())) };
        if let Some(total) = self.counters.get(subject, last) {
            return Ok(Some(total.clone()));
        }
        match self.store.fetch(ctx.log.as_deref_mut(), last) {
            Fetch::Here(stored) => match Total::of(&stored) {
                Some(total) => Ok(Some(total)),
                None => Err(ApiError::message_counter_broken()),
            },
            Fetch::Wait => Ok(None),
            Fetch::Gone | Fetch::Broken(_) => Err(ApiError::message_counter_broken()),
        }
    }
}

fn expects(asks: &Directives<'_>) -> bool {
    asks.expected_stream.is_some()
        || asks.expected_last_seq.is_some()
        || asks.expected_last_subject_seq.is_some()
        || asks.expected_last_subject_seq_subject.is_some()
        || asks.expected_last_msg_id.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let nines = "9".repeat(30);
        for text in ["0", "1", "+5", "-2", "00", &nines] {
            assert!(integer(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["", "-", "+", "1.5", "0x10", "1_000", " 7", "--1"] {
            assert!(integer(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_drawn_counts_once() {
        let mut total = Total::default();
        let at = |n: i64| BigInt::from(n);
        assert_eq!(total.draw("CA", "ca.1", &at(4)), at(4));
        assert_eq!(total.draw("CB", "cb.1", &at(10)), at(10));
        assert_eq!(total.draw("CA", "ca.1", &at(7)), at(3));
        assert_eq!(total.draw("CA", "ca.1", &at(-13)), at(-20));
        assert_eq!(total.body(), br#"{"val":"-3"}"#);
        assert_eq!(
            String::from_utf8_lossy(&total.headers(b"NATS/1.0\r\nNats-Incr: 1\r\n\r\n")),
            "NATS/1.0\r\nNats-Incr: 1\r\n\
            Nats-Counter-Sources: {\"CA\":{\"ca.1\":\"-13\"},\"CB\":{\"cb.1\":\"10\"}}\r\n\r\n"
        );
    }
}
