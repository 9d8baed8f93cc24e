//! Which streams there are and which core owns each. Shard 0 has the only one: it reserves names
//! and subjects when a stream is made, and frees them when its owner says that it is gone.

use std::collections::BTreeMap;

use super::config::StreamConfig;
use super::letter::{Request, StreamCard};
use crate::types::{AccountId, ShardId, Wall};

/// ```text
/// Making, Restoring ─▶ Live ⇄ Leaving
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Its owner has not said yet whether it could be made.
    Making,
    /// It is coming out of a snapshot: nobody but its owner knows it yet.
    Restoring,
    Live,
    /// Its owner has not said yet that it is gone.
    Leaving,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub owner: ShardId,
    pub incarnation: u64,
    pub config: StreamConfig,
    pub stage: Stage,
}

type Name = (AccountId, Box<str>);

/// All streams of the server.
#[derive(Debug)]
pub struct Registry {
    streams: BTreeMap<Name, Entry>,
    /// By shard: how many streams it owns.
    loads: Vec<u32>,
    last_incarnation: u64,
    /// Cores that have not yet told what they found in their logs.
    reports_missing: usize,
    /// Requests that came too early: before all reports, or for a name that is being freed.
    waiting: Vec<Request>,
    waiting_max: usize,
}

impl Registry {
    /// `waiting_max`: requests that may wait.
    pub fn new(shards: usize, waiting_max: usize) -> Self {
        Self {
            streams: BTreeMap::new(),
            loads: vec![0; shards],
            last_incarnation: 0,
            reports_missing: shards,
            waiting: Vec::new(),
            waiting_max,
        }
    }

    /// All cores have reported: requests may be served.
    pub fn is_complete(&self) -> bool {
        self.reports_missing == 0
    }

    /// A core tells what it found in its logs. Streams of one name found twice: the younger one
    /// counts, and the other is returned with its owner, to be deleted.
    pub fn on_report(
        &mut self,
        owner: ShardId,
        cards: impl Iterator<Item = (StreamCard, StreamConfig)>,
    ) -> Vec<(ShardId, StreamCard)> {
        self.reports_missing = self.reports_missing.saturating_sub(1);
        let mut superseded = Vec::new();
        for (card, config) in cards {
            self.last_incarnation = self.last_incarnation.max(card.incarnation);
            let name: Name = (AccountId(card.account), card.name.as_str().into());
            if let Some(other) = self.streams.get(&name) {
                if other.incarnation > card.incarnation {
                    superseded.push((owner, card));
                    continue;
                }
                let (incarnation, name) = (other.incarnation, card.name.clone());
                let old =
                    StreamCard { account: card.account, name, config: Vec::new(), incarnation };
                superseded.push((other.owner, old));
            }
            self.insert(
                name,
                Entry { owner, incarnation: card.incarnation, config, stage: Stage::Live },
            );
        }
        superseded
    }

    fn insert(&mut self, name: Name, entry: Entry) {
        self.loads[entry.owner.index()] += 1;
        if let Some(old) = self.streams.insert(name, entry) {
            self.loads[old.owner.index()] -= 1;
        }
    }

    /// Reserves a name for a new stream, on the core with the fewest.
    pub fn reserve(
        &mut self,
        account: AccountId,
        config: StreamConfig,
        stage: Stage,
        now: Wall,
    ) -> (ShardId, u64) {
        let least = self.loads.iter().enumerate().min_by_key(|(_, load)| **load);
        let owner = ShardId(least.map_or(0, |(index, _)| index as u16));
        // The clock keeps it above those of streams of which nothing is left.
        self.last_incarnation = now.0.max(self.last_incarnation + 1);
        let incarnation = self.last_incarnation;
        let name = (account, config.name.as_str().into());
        self.insert(name, Entry { owner, incarnation, config, stage });
        (owner, incarnation)
    }

    pub fn get(&self, account: AccountId, name: &str) -> Option<&Entry> {
        self.streams.get(&(account, name.into()))
    }

    pub fn get_mut(&mut self, account: AccountId, name: &str) -> Option<&mut Entry> {
        self.streams.get_mut(&(account, name.into()))
    }

    /// The streams of an account that are there or are being made, by name.
    pub fn of_account(&self, account: AccountId) -> impl Iterator<Item = (&str, &Entry)> {
        let from: Name = (account, "".into());
        let streams = self.streams.range(from..);
        let own = streams.take_while(move |((other, _), _)| *other == account);
        own.map(|((_, name), entry)| (&**name, entry))
    }

    /// A stream could not be made, or is gone. Its name is free.
    pub fn forget(&mut self, account: AccountId, name: &str, incarnation: u64) {
        let name = (account, name.into());
        if self.streams.get(&name).is_some_and(|entry| entry.incarnation == incarnation)
            && let Some(entry) = self.streams.remove(&name)
        {
            self.loads[entry.owner.index()] -= 1;
        }
    }

    /// Keeps a request for later. False: too many wait already.
    pub fn wait(&mut self, request: Request) -> bool {
        let has_room = self.waiting.len() < self.waiting_max;
        if has_room {
            self.waiting.push(request);
        }
        has_room
    }

    /// Requests that may be looked at again.
    pub fn take_waiting(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.waiting)
    }
}
