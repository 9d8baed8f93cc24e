//! What must hold of the messages a subscriber gets: each publisher's in order, none lost, none
//! twice, none changed. Nothing here knows sockets.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::payload::Stamp;

/// Sequences remembered as missing per subscriber; a loss beyond that is counted, but a late
/// arrival of it is then called a duplicate.
const MISSING_MAX: usize = 4096;

/// What a server did that it must not do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    /// Connections the server closed, and `-ERR`s it sent.
    pub cut: u64,
    pub errors: u64,
    /// The first of them, in words.
    pub first: Option<String>,
}

impl Faults {
    pub fn total(&self) -> u64 {
        self.lost + self.duplicated + self.reordered + self.corrupted + self.cut + self.errors
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        if self.first.is_none() {
            self.first = Some(what());
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.cut += other.cut;
        self.errors += other.errors;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }
}

/// What a subscriber is entitled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Every message of its publishers: a gap is a loss.
    Every,
    /// Some of them (a queue group's member): a gap is another member's message.
    Some,
}

/// The account of one subscriber with one publisher.
pub struct Ledger {
    share: Share,
    publisher: u32,
    /// The least sequence that may come next.
    next: u64,
    received: u64,
    /// Sum of [`fingerprint`] over what was received: two members that both got a message, or a
    /// message that nobody got, show in the sum over the group.
    sum: u64,
    missing: BTreeSet<u64>,
    faults: Faults,
}

impl Ledger {
    pub fn new(share: Share, publisher: u32) -> Self {
        Self {
            share,
            publisher,
            next: 0,
            received: 0,
            sum: 0,
            missing: BTreeSet::new(),
            faults: Faults::default(),
        }
    }

    pub fn received(&self) -> u64 {
        self.received
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn faults(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// `None` where the payload did not read back.
    pub fn on_message(&mut self, stamp: Option<Stamp>) {
        self.received += 1;
        let Some(stamp) = stamp.filter(|stamp| stamp.publisher == self.publisher) else {
            self.faults.corrupted += 1;
            let next = self.next;
            self.faults.note(|| format!("a message changed on its way, where {next} was due"));
            return;
        };
        self.sum = self.sum.wrapping_add(fingerprint(stamp.seq));
        if stamp.seq == self.next {
            self.next += 1;
        } else if stamp.seq > self.next {
            self.on_gap(stamp.seq);
        } else {
            self.on_past(stamp.seq);
        }
    }

    fn on_gap(&mut self, seq: u64) {
        let expected = self.next;
        self.next = seq + 1;
        if self.share == Share::Some {
            return;
        }
        self.faults.lost += seq - expected;
        let room = MISSING_MAX.saturating_sub(self.missing.len());
        self.missing.extend((expected..seq).take(room));
        self.faults.note(|| format!("{seq} came where {expected} was due"));
    }

    fn on_past(&mut self, seq: u64) {
        let due = self.next;
        if self.missing.remove(&seq) {
            self.faults.lost -= 1;
            self.faults.reordered += 1;
        } else if self.share == Share::Some {
            // Which of the two it is shows in the group's sum.
            self.faults.reordered += 1;
        } else {
            self.faults.duplicated += 1;
        }
        self.faults.note(|| format!("{seq} came after {}", due - 1));
    }

    /// At the end: what was published and has not come.
    pub fn on_end(&mut self, published: u64) {
        if self.share == Share::Every && self.next < published {
            let (next, tail) = (self.next, published - self.next);
            self.faults.lost += tail;
            self.faults.note(|| format!("{tail} messages from {next} on never came"));
        }
    }
}

/// Spreads sequences so that no small set of losses and duplicates cancels out in a sum.
pub fn fingerprint(seq: u64) -> u64 {
    let mixed = (seq ^ (seq >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed ^ (mixed >> 29)
}

/// A group of which each message goes to exactly one member.
pub fn check_group(published: u64, received: u64, sum: u64) -> Faults {
    let mut faults = Faults::default();
    if received != published {
        faults.lost = published.saturating_sub(received);
        faults.duplicated = received.saturating_sub(published);
        faults.note(|| format!("the group got {received} of {published} messages"));
        return faults;
    }
    let expected = (0..published).fold(0u64, |sum, seq| sum.wrapping_add(fingerprint(seq)));
    if sum != expected {
        faults.duplicated = 1;
        faults.lost = 1;
        faults.note(|| "as many messages as published, but not the same ones".into());
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(share: Share, seqs: &[u64], published: u64) -> Faults {
        let mut ledger = Ledger::new(share, 1);
        for &seq in seqs {
            ledger.on_message(Some(Stamp { publisher: 1, seq }));
        }
        ledger.on_end(published);
        ledger.faults
    }

    #[test]
    fn each_kind_of_fault_has_its_name() {
        let f = |lost, duplicated, reordered| (lost, duplicated, reordered);
        for (seqs, expected) in [
            (&[0, 1, 2, 3][..], f(0, 0, 0)),
            (&[0, 2, 3], f(1, 0, 0)),
            (&[0, 1, 2], f(1, 0, 0)),
            (&[0, 1, 1, 2, 3], f(0, 1, 0)),
            (&[0, 2, 1, 3], f(0, 0, 1)),
            (&[], f(4, 0, 0)),
        ] {
            let faults = faults_of(Share::Every, seqs, 4);
            let seen = (faults.lost, faults.duplicated, faults.reordered);
            assert_eq!(seen, expected, "{seqs:?}");
            assert_eq!(faults.first.is_some(), expected != (0, 0, 0), "{seqs:?}");
        }
    }

    #[test]
    fn a_member_may_miss_what_others_get_but_not_go_back() {
        assert_eq!(faults_of(Share::Some, &[1, 5, 9], 10).total(), 0);
        assert_eq!(faults_of(Share::Some, &[1, 5, 4], 10).reordered, 1);
    }

    #[test]
    fn a_changed_message_and_one_of_another_publisher_are_corruption() {
        let mut ledger = Ledger::new(Share::Every, 1);
        ledger.on_message(None);
        ledger.on_message(Some(Stamp { publisher: 2, seq: 0 }));
        assert_eq!(ledger.faults().corrupted, 2);
    }

    #[test]
    fn a_group_shows_a_loss_hidden_by_a_duplicate() {
        let sum = |seqs: &[u64]| seqs.iter().fold(0u64, |s, &q| s.wrapping_add(fingerprint(q)));
        assert_eq!(check_group(4, 4, sum(&[0, 1, 2, 3])).total(), 0);
        assert_eq!(check_group(4, 4, sum(&[0, 1, 1, 3])).total(), 2);
        assert_eq!(check_group(4, 3, 0).lost, 1);
    }
}
