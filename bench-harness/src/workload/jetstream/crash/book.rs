//! What is known of one stream over all lives of its server: what was acknowledged to its
//! publisher, and which deliveries were acknowledged to its reader for good.
//!
//! Message `n`, counted from 0, is stamped `n` and has to be stored under sequence `n + 1`: a start
//! goes on behind the last message that was kept.

use crate::client::Message;
use crate::engine::{Ack, Acks, place_of};
use crate::payload::{self, Stamp};
use crate::verify::Faults;
use crate::workload::jetstream::stream::Stream;

/// Every so many deliveries one is not acknowledged when it comes for the first time.
const UNACKNOWLEDGED: u64 = 61;
/// Never delivered. Delivered, and acknowledged by the reader, of which nothing was heard: a server
/// that was killed may have remembered it. Otherwise the life in which it was acknowledged for good.
const UNSEEN: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;

pub struct Book {
    pub stream: Stream,
    acks: Acks,
    template: Vec<u8>,
    /// The next message to be sent, and the next to be acknowledged.
    pub sent: u64,
    pub acked: u64,
    /// The highest sequence that was delivered.
    pub delivered: u64,
    /// By sequence, from 1.
    states: Vec<u32>,
    /// Sequences that are not unseen any more, and those that are acknowledged for good.
    pub seen: u64,
    pub confirmations: u64,
    /// Of all lives.
    pub acknowledgements: u64,
    /// Deliveries of what had been delivered before.
    pub again: u64,
    pub faults: Faults,
}

/// What to do with a delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    Acknowledge { sequence: u64 },
    Leave,
}

impl Book {
    pub fn new(id: u32, size: usize) -> Self {
        let stream = Stream { id };
        Self {
            stream,
            acks: Acks::of(&stream.name()),
            template: payload::template(id, size),
            sent: 0,
            acked: 0,
            delivered: 0,
            states: Vec::new(),
            seen: 0,
            confirmations: 0,
            acknowledgements: 0,
            again: 0,
            faults: Faults::default(),
        }
    }

    /// Appends the next message, to be acknowledged at an inbox that ends with its number.
    pub fn publish(&mut self, out: &mut Vec<u8>) {
        let (number, size) = (self.sent, self.template.len());
        let (subject, inbox) = (self.stream.subject(), self.stream.inbox());
        out.extend_from_slice(format!("PUB {subject} {inbox}.{number} {size}\r\n").as_bytes());
        payload::write(&mut self.template, Stamp { publisher: self.stream.id, seq: number });
        out.extend_from_slice(&self.template);
        out.extend_from_slice(b"\r\n");
        self.sent += 1;
    }

    /// The stream's answer to a message.
    pub fn on_ack(&mut self, message: &Message<'_>) {
        let number = last_token(message.subject);
        let due = self.acked;
        let name = self.stream.name();
        match self.acks.read(message.payload) {
            Ack::Stored(sequence) if number == Some(due) && sequence == due + 1 => {
                self.acked += 1;
                self.acknowledgements += 1;
            }
            Ack::Stored(sequence) => self.fault(
                |faults| &mut faults.reordered,
                || format!("{name}: {number:?} was stored as {sequence} where {due} was due"),
            ),
            Ack::Refused(why) => {
                self.fault(|faults| &mut faults.errors, || format!("{name}: refused: {why}"));
            }
            Ack::Garbled => self.fault(
                |faults| &mut faults.corrupted,
                || {
                    let said = String::from_utf8_lossy(message.payload).into_owned();
                    format!("{name}: an acknowledgement said {said:?}")
                },
            ),
        }
    }

    pub fn on_delivery(&mut self, message: &Message<'_>, life: u32) -> Then {
        let stamp = payload::read(message.payload, self.template.len());
        let (name, id) = (self.stream.name(), self.stream.id);
        let place = message.reply.and_then(place_of);
        let (Some(stamp), Some(place)) = (stamp, place) else {
            self.fault(|faults| &mut faults.corrupted, || format!("{name}: a changed message"));
            return Then::Leave;
        };
        let sequence = place.stream_seq;
        if stamp.publisher != id || stamp.seq + 1 != sequence {
            let what = || format!("{name}: {stamp:?} was delivered as {sequence}");
            self.fault(|faults| &mut faults.corrupted, what);
            return Then::Leave;
        }
        self.delivered = self.delivered.max(sequence);
        self.again += u64::from(place.deliveries > 1);
        let state = self.state(sequence);
        let before = *state;
        if before < life {
            self.fault(
                |faults| &mut faults.duplicated,
                || {
                    format!(
                        "{name}: {sequence} was acknowledged in life {before}, delivered in {life}"
                    )
                },
            );
        }
        if place.deliveries == 1 && sequence.is_multiple_of(UNACKNOWLEDGED) {
            return Then::Leave;
        }
        if before == UNSEEN {
            *self.state(sequence) = OPEN;
            self.seen += 1;
        }
        Then::Acknowledge { sequence }
    }

    /// The server answered the acknowledgement of a delivery: it has to remember it.
    pub fn on_confirmed(&mut self, message: &Message<'_>, life: u32) {
        let name = self.stream.name();
        let sequence = last_token(message.subject).unwrap_or(0);
        if !message.payload.is_empty()
            || !message.headers.is_empty()
            || !(1..=self.delivered).contains(&sequence)
        {
            let said = String::from_utf8_lossy(message.headers).into_owned();
            let what =
                || format!("{name}: the acknowledgement of {sequence} was answered {said:?}");
            return self.fault(|faults| &mut faults.errors, what);
        }
        let state = self.state(sequence);
        if *state >= OPEN {
            *state = life;
            self.confirmations += 1;
        }
    }

    /// Of a sequence, from 1.
    fn state(&mut self, sequence: u64) -> &mut u32 {
        let at = sequence.saturating_sub(1) as usize;
        if self.states.len() <= at {
            self.states.resize(at + 1, UNSEEN);
        }
        &mut self.states[at]
    }

    /// What a start has found: everything that was acknowledged, delivered or confirmed, and
    /// nothing that was not sent.
    pub fn on_start(&mut self, kept: u64) {
        let (name, acked, sent) = (self.stream.name(), self.acked, self.sent);
        let seen = self.delivered;
        if kept < acked {
            self.fault(
                |faults| &mut faults.lost,
                || format!("{name}: {acked} messages were acknowledged, {kept} are there"),
            );
        }
        if kept < seen {
            self.fault(
                |faults| &mut faults.lost,
                || format!("{name}: {seen} messages were delivered, {kept} are there"),
            );
        }
        if kept > sent {
            self.fault(
                |faults| &mut faults.duplicated,
                || format!("{name}: {sent} messages were sent, {kept} are there"),
            );
        }
        (self.sent, self.acked) = (kept, kept);
    }

    pub fn fault(
        &mut self,
        count: impl FnOnce(&mut Faults) -> &mut u64,
        what: impl FnOnce() -> String,
    ) {
        *count(&mut self.faults) += 1;
        self.faults.note(what);
    }
}

fn last_token(subject: &[u8]) -> Option<u64> {
    std::str::from_utf8(subject).ok()?.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(subject: &'a [u8], reply: Option<&'a [u8]>, payload: &'a [u8]) -> Message<'a> {
        Message { subject, sid: 1, reply, headers: b"", payload }
    }

    #[test]
    fn a_delivery_confirmed_in_an_earlier_life_is_a_fault() {
        let mut book = Book::new(0, 64);
        let mut out = Vec::new();
        book.publish(&mut out);
        let sent = book.template.clone();
        book.on_ack(&message(b"_INBOX.ack.0.0", None, br#"{"stream":"BENCH_0","seq":1}"#));
        let reply = b"$JS.ACK.BENCH_0.work.1.1.1.17.0";
        let then = book.on_delivery(&message(b"js.0", Some(reply), &sent), 0);
        assert_eq!(then, Then::Acknowledge { sequence: 1 });
        book.on_confirmed(&message(b"_INBOX.sync.0.1", None, b""), 0);
        book.on_delivery(&message(b"js.0", Some(reply), &sent), 0);
        assert_eq!((book.faults.total(), book.acked, book.confirmations), (0, 1, 1));
        book.on_delivery(&message(b"js.0", Some(reply), &sent), 1);
        assert_eq!(book.faults.duplicated, 1);
    }

    #[test]
    fn what_is_gone_after_a_start_is_a_fault() {
        let mut book = Book::new(0, 64);
        (0..3).for_each(|_| book.publish(&mut Vec::new()));
        book.on_ack(&message(b"_INBOX.ack.0.0", None, br#"{"stream":"BENCH_0","seq":1}"#));
        book.on_start(2);
        assert_eq!((book.faults.total(), book.sent, book.acked), (0, 2, 2));
        book.on_start(1);
        assert_eq!(book.faults.lost, 1);
        book.on_start(9);
        assert_eq!(book.faults.duplicated, 1);
    }

    #[test]
    fn an_acknowledgement_of_another_message_is_a_fault() {
        let mut book = Book::new(0, 64);
        book.publish(&mut Vec::new());
        book.on_ack(&message(b"_INBOX.ack.0.0", None, br#"{"stream":"BENCH_0","seq":2}"#));
        book.on_ack(&message(b"_INBOX.ack.0.1", None, br#"{"stream":"BENCH_0","seq":1}"#));
        assert_eq!((book.faults.reordered, book.acked), (2, 0));
    }
}
