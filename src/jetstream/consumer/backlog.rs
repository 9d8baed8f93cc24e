//! How many messages a consumer has still to deliver for the first time.
//!
//! A number kept up to date: deliveries take from it, and messages that became visible are
//! counted once, when it is asked for again. Only when messages were removed from where it
//! counts is everything counted anew.

use std::collections::VecDeque;

use super::super::filter::Filter;
use super::super::store::Store;
use crate::storage::{Log, Seq};

#[derive(Debug, Default)]
pub struct Backlog {
    count: u64,
    /// The last message that was visible when counting.
    counted_to: Seq,
    /// The first message of the stream when counting.
    first: Seq,
    /// Of the store, when counting; `None`: count anew.
    epoch: Option<u64>,
}

/// The last messages of their subjects, which are delivered before everything from `until` on.
#[derive(Debug)]
pub struct LastOnly {
    /// Ascending, none delivered yet.
    pub seqs: VecDeque<Seq>,
    pub until: Seq,
}

impl Backlog {
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Nothing that was counted counts any more.
    pub fn forget(&mut self) {
        self.epoch = None;
    }

    /// One was delivered or turned out to be gone.
    pub fn take(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// Everything visible was looked at.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Messages were removed one by one and each was told: the count is up to date with them.
    #[cfg(test)]
    pub fn saw_removals(&mut self, store: &Store) {
        if self.epoch.is_some() {
            self.epoch = Some(store.removal_epoch());
        }
    }

    /// Brings the number up to date for a consumer whose next message is `cursor`.
    pub fn refresh(
        &mut self,
        store: &Store,
        log: Option<&Log>,
        filter: &mut Filter,
        cursor: Seq,
        last_only: Option<&LastOnly>,
    ) {
        let epoch = store.removal_epoch();
        let visible = store.visible_seq(log);
        let first = store.first_seq(log);
        let from = last_only.map_or(cursor, |last| last.until);
        let is_overtaken = first > cursor && first != self.first;
        self.first = first;
        if self.epoch != Some(epoch) || is_overtaken {
            let listed = last_only.map_or(0, |last| last.seqs.len() as u64);
            self.count = listed + store.count(log, filter, from);
            self.epoch = Some(epoch);
        } else if visible > self.counted_to {
            self.count += store.count(log, filter, from.max(self.counted_to.next()));
        }
        self.counted_to = visible;
    }
}
