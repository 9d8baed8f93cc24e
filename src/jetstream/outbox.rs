//! What JetStream publishes, until the shard routes it at the end of the turn.

use std::collections::VecDeque;

use crate::storage::Lsn;
use crate::types::{AccountId, Mono, Spans};

/// A message JetStream publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outgoing<'a> {
    /// Whom it goes to: an inbox, a deliver subject, an advisory's subject.
    pub route: &'a [u8],
    /// What they see as its subject: for a delivery, that of the stored message.
    pub subject: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// The whole block with its version line and the empty line, or nothing.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// A message that is seen under the subject it goes to.
    pub fn plain(subject: &'a [u8], payload: &'a [u8]) -> Self {
        Self { route: subject, subject, payload, ..Self::default() }
    }
}

/// Lengths of one message's parts, which lie in the arena one after the other.
#[derive(Clone, Copy, Debug)]
struct Item {
    account: AccountId,
    route: u32,
    subject: u32,
    reply: u32,
    headers: u32,
    payload: u32,
}

impl Item {
    fn len(&self) -> usize {
        (self.route + self.subject + self.reply + self.headers + self.payload) as usize
    }
}

/// A message to route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posted<'a> {
    pub account: AccountId,
    pub route: &'a [u8],
    pub subject: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// Bytes of `body` that are headers.
    pub header_len: usize,
    pub body: &'a [u8],
}

/// Messages in one arena, first in first out.
#[derive(Debug, Default)]
pub struct PostedQueue {
    items: VecDeque<Item>,
    arena: Vec<u8>,
    /// Where the first item begins.
    at: usize,
}

impl PostedQueue {
    fn push(&mut self, account: AccountId, message: &Outgoing<'_>) {
        let Outgoing { route, subject, reply, headers, payload } = message;
        // A subject that repeats the route is not stored twice.
        let shown: &[u8] = if subject == route { &[] } else { subject };
        let len = |part: &[u8]| u32::try_from(part.len()).expect("parts of one message");
        let item = Item {
            account,
            route: len(route),
            subject: len(shown),
            reply: len(reply),
            headers: len(headers),
            payload: len(payload),
        };
        self.arena.reserve(item.len());
        for part in [route, shown, reply, headers, payload] {
            self.arena.extend_from_slice(part);
        }
        self.items.push_back(item);
    }

    pub fn first(&self) -> Option<Posted<'_>> {
        let item = self.items.front()?;
        let mut rest = &self.arena[self.at..];
        let mut part = |len: u32| {
            let (taken, left) = rest.split_at(len as usize);
            rest = left;
            taken
        };
        let route = part(item.route);
        let shown = part(item.subject);
        let subject = if shown.is_empty() { route } else { shown };
        let (reply, body) = (part(item.reply), part(item.headers + item.payload));
        let header_len = item.headers as usize;
        Some(Posted { account: item.account, route, subject, reply, header_len, body })
    }

    pub fn pop(&mut self) {
        if let Some(item) = self.items.pop_front() {
            self.at += item.len();
        }
        if self.items.is_empty() {
            self.arena.clear();
            self.at = 0;
        } else if self.at > self.arena.len() / 2 && self.at > 1 << 20 {
            self.arena.drain(..self.at);
            self.at = 0;
        }
    }
}

/// What JetStream publishes: now, or when the log has settled what the message tells.
#[derive(Debug, Default)]
pub struct Outbox {
    ready: PostedQueue,
    held: PostedQueue,
    /// By held message.
    marks: VecDeque<Mark>,
    released: Released,
}

/// What a held message waits for.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// What must be settled. Ascending.
    at: Lsn,
    timed: Timed,
}

/// Of what a message is the end, for histograms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timed {
    No,
    /// A publish that was read then.
    Publish(Mono),
    /// An API call that its core took then.
    Call(Mono),
}

/// What went out and was timed.
#[derive(Debug, Default)]
pub struct Released {
    pub publishes: Spans,
    /// Deliveries that a client has acknowledged, by when they were made.
    pub deliveries: Spans,
    pub calls: Spans,
}

impl Released {
    fn add(&mut self, timed: Timed) {
        match timed {
            Timed::No => {}
            Timed::Publish(began) => self.publishes.add(began, 1),
            Timed::Call(began) => self.calls.add(began, 1),
        }
    }
}

impl Outbox {
    /// Goes out this turn.
    pub fn publish(&mut self, account: AccountId, message: Outgoing<'_>) {
        self.ready.push(account, &message);
    }

    /// Goes out when the log has settled `at`; `Lsn(0)` is settled always. Held messages go out in
    /// the order they came.
    pub fn publish_when(&mut self, account: AccountId, at: Lsn, message: Outgoing<'_>) {
        self.publish_timed(account, at, message, Timed::No);
    }

    /// The same, and the time it took is measured.
    pub fn publish_timed(
        &mut self,
        account: AccountId,
        at: Lsn,
        message: Outgoing<'_>,
        timed: Timed,
    ) {
        if at == Lsn(0) {
            self.released.add(timed);
            return self.publish(account, message);
        }
        let at = self.marks.back().map_or(at, |last| at.max(last.at));
        self.marks.push_back(Mark { at, timed });
        self.held.push(account, &message);
    }

    /// The log has settled everything up to `settled`.
    pub fn release(&mut self, settled: Lsn) {
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.at <= settled) {
            self.released.add(mark.timed);
            if let Some(posted) = self.held.first() {
                let Posted { account, route, subject, reply, header_len, body } = posted;
                let (headers, payload) = body.split_at(header_len);
                self.ready.push(account, &Outgoing { route, subject, reply, headers, payload });
            }
            self.held.pop();
        }
    }

    /// The log will never settle more: of what waits for it, answers go out as what `refusal` has
    /// in their place, and the rest is forgotten.
    pub fn fail_held(&mut self, refusal: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        while let Some(mark) = self.marks.pop_front() {
            let answer = self.held.first().filter(|_| mark.timed != Timed::No);
            if let Some(Posted { account, route, body, .. }) = answer
                && let Some(body) = refusal(body)
            {
                self.ready.push(account, &Outgoing::plain(route, &body));
            }
            self.held.pop();
        }
    }

    /// A client has acknowledged what was delivered then.
    pub fn on_acknowledged(&mut self, delivered: Mono) {
        self.released.deliveries.add(delivered, 1);
    }

    /// What has gone out and was timed, for the caller to empty.
    pub fn released(&mut self) -> &mut Released {
        &mut self.released
    }

    /// Swaps what is to be routed for an emptied queue. False: there is nothing.
    pub fn take(&mut self, emptied: &mut PostedQueue) -> bool {
        std::mem::swap(&mut self.ready, emptied);
        !emptied.items.is_empty()
    }

    /// The next message to be routed, for tests of what publishes.
    #[cfg(test)]
    pub fn first(&self) -> Option<(AccountId, Outgoing<'_>)> {
        let Posted { account, route, subject, reply, header_len, body } = self.ready.first()?;
        let (headers, payload) = body.split_at(header_len);
        Some((account, Outgoing { route, subject, reply, headers, payload }))
    }

    #[cfg(test)]
    pub fn pop(&mut self) {
        self.ready.pop();
    }

    pub fn is_empty(&self) -> bool {
        self.ready.items.is_empty()
    }

    /// Bytes that wait to be routed.
    pub fn ready_bytes(&self) -> usize {
        self.ready.arena.len() - self.ready.at
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.ready.arena.capacity() + self.held.arena.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &mut Outbox) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut out, mut posted) = (Vec::new(), PostedQueue::default());
        outbox.take(&mut posted);
        while let Some(message) = posted.first() {
            out.push((message.subject.to_vec(), message.body.to_vec()));
            posted.pop();
        }
        out
    }

    #[test]
    fn messages_leave_as_they_came() {
        let mut outbox = Outbox::default();
        let message = Outgoing {
            route: b"inbox",
            subject: b"orders.1",
            reply: b"$JS.ACK.x",
            headers: b"NATS/1.0\r\n\r\n",
            payload: b"p",
        };
        outbox.publish(AccountId(3), message);
        outbox.publish(AccountId(0), Outgoing::plain(b"a", b""));
        let mut posted = PostedQueue::default();
        assert!(outbox.take(&mut posted));
        let first = posted.first().unwrap();
        assert_eq!(
            (first.account, first.route, first.subject),
            (AccountId(3), &b"inbox"[..], &b"orders.1"[..])
        );
        assert_eq!(
            (first.reply, first.header_len, first.body),
            (&b"$JS.ACK.x"[..], 12, &b"NATS/1.0\r\n\r\np"[..])
        );
        posted.pop();
        assert_eq!(posted.first().map(|posted| posted.subject), Some(&b"a"[..]));
        posted.pop();
        assert!(posted.first().is_none() && outbox.is_empty());
    }

    #[test]
    fn held_messages_wait_for_the_log() {
        let mut outbox = Outbox::default();
        outbox.publish_when(AccountId(0), Lsn(2), Outgoing::plain(b"a", b"1"));
        outbox.publish_when(AccountId(0), Lsn(1), Outgoing::plain(b"a", b"2"));
        outbox.publish_when(AccountId(0), Lsn(0), Outgoing::plain(b"a", b"0"));
        assert_eq!(drain(&mut outbox), [(b"a".to_vec(), b"0".to_vec())]);
        outbox.release(Lsn(1));
        assert!(outbox.is_empty());
        outbox.release(Lsn(2));
        assert_eq!(drain(&mut outbox).len(), 2);
    }

    #[test]
    fn of_what_a_failed_log_holds_only_answers_go_out_as_refusals() {
        let mut outbox = Outbox::default();
        let publish = Timed::Publish(Mono(1));
        outbox.publish_timed(AccountId(0), Lsn(1), Outgoing::plain(b"a", b"ack"), publish);
        outbox.publish_when(AccountId(0), Lsn(1), Outgoing::plain(b"a", b"republished"));
        outbox.publish_timed(AccountId(0), Lsn(1), Outgoing::plain(b"b", b"other"), publish);
        outbox.fail_held(|body| (body == b"ack").then(|| b"refusal".to_vec()));
        assert_eq!(drain(&mut outbox), [(b"a".to_vec(), b"refusal".to_vec())]);
        outbox.release(Lsn(2));
        assert!(outbox.is_empty());
    }
}
