//! The consumers of one stream, each in a seat: found by name, queued when there may be work.

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashTable;

use super::consumer::{Common, Consumer};
use crate::storage::Lsn;
use crate::types::Mono;

/// What a consumer was last seen waiting for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rest {
    /// A request, its clock: nothing that concerns others too.
    #[default]
    Idle,
    /// The next message of the stream.
    Hungry,
    /// A read of the log.
    Reading,
    /// Room at whoever it delivers to.
    Crowded,
    /// Somebody to deliver to.
    Unheard,
}

#[derive(Debug)]
pub struct Seat {
    pub consumer: Box<Consumer>,
    /// Mirrors and sources make it for themselves; lists do not show it.
    is_direct: bool,
    rest: Rest,
    /// The lists it stands on, one bit each.
    listed: u8,
    /// In the queue of those that may have work.
    queued: bool,
    /// In the list of those whose progress is not in the log yet.
    pub unwritten: bool,
    /// The batch of what was written last: who asks what it is waits for that.
    pub written: Lsn,
    /// Its earliest alarm.
    pub armed: Mono,
}

#[derive(Debug, Default)]
pub struct Seats {
    seats: Vec<Option<Seat>>,
    free: Vec<u32>,
    /// By their consumers' names, which are kept in the consumers only.
    by_name: HashTable<u32>,
    hasher: RandomState,
    /// Of the consumer made last.
    common: Common,
    ready: VecDeque<u32>,
    /// By what they wait for: those that do, and some that no longer do.
    resting: [Vec<u32>; RESTS],
}

const RESTS: usize = 5;

impl Seats {
    pub fn insert(&mut self, mut consumer: Consumer) -> u32 {
        consumer.share(&mut self.common);
        let hash = self.hasher.hash_one(consumer.name());
        let seat = Seat {
            is_direct: consumer.is_direct(),
            consumer: Box::new(consumer),
            rest: Rest::Idle,
            listed: 0,
            queued: false,
            unwritten: false,
            written: Lsn(0),
            armed: Mono::NEVER,
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            (self.seats.len() - 1) as u32
        });
        self.seats[at as usize] = Some(seat);
        let Self { seats, by_name, hasher, .. } = self;
        by_name.insert_unique(hash, at, |&at| hasher.hash_one(name_at(seats, at)));
        at
    }

    pub fn remove(&mut self, name: &str) -> Option<Seat> {
        let Self { seats, by_name, hasher, .. } = self;
        let found = by_name.find_entry(hasher.hash_one(name), |&at| name_at(seats, at) == name);
        let (at, _) = found.ok()?.remove();
        let seat = self.seats[at as usize].take()?;
        // A place in a queue would be the next one's.
        if seat.queued {
            self.ready.retain(|other| *other != at);
        }
        for (rest, list) in self.resting.iter_mut().enumerate() {
            if seat.listed & 1 << rest != 0 {
                list.retain(|other| *other != at);
            }
        }
        self.free.push(at);
        Some(seat)
    }

    pub fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |&at| name_at(&self.seats, at) == name).copied()
    }

    pub fn get(&self, at: u32) -> Option<&Seat> {
        self.seats.get(at as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, at: u32) -> Option<&mut Seat> {
        self.seats.get_mut(at as usize)?.as_mut()
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Seat)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(at, seat)| Some((at as u32, seat.as_ref()?)))
    }

    /// Consumers that clients made, by name.
    pub fn visible_names(&self) -> Vec<&str> {
        let visible = self.iter().filter(|(_, seat)| !seat.is_direct);
        let mut names: Vec<&str> = visible.map(|(_, seat)| seat.consumer.name()).collect();
        names.sort_unstable();
        names
    }

    /// How many places there are, taken or free; [`Seats::get`] finds what sits there.
    pub fn places(&self) -> u32 {
        self.seats.len() as u32
    }

    /// Bytes.
    pub fn memory(&self) -> usize {
        self.iter().map(|(_, seat)| seat.consumer.memory()).sum()
    }

    pub fn visible_len(&self) -> usize {
        self.iter().filter(|(_, seat)| !seat.is_direct).count()
    }

    /// There may be work for this one.
    pub fn queue(&mut self, at: u32) {
        if let Some(seat) = self.seats.get_mut(at as usize).and_then(Option::as_mut)
            && !seat.queued
        {
            seat.queued = true;
            self.ready.push_back(at);
        }
    }

    /// It was looked at, and waits now.
    pub fn rest(&mut self, at: u32, rest: Rest) {
        let Some(seat) = self.seats.get_mut(at as usize).and_then(Option::as_mut) else { return };
        seat.rest = rest;
        let bit = 1 << rest as u8;
        if rest != Rest::Idle && seat.listed & bit == 0 {
            seat.listed |= bit;
            self.resting[rest as usize].push(at);
        }
    }

    /// Queues all that wait for one thing.
    pub fn wake(&mut self, rest: Rest) {
        let mut list = std::mem::take(&mut self.resting[rest as usize]);
        for at in list.drain(..) {
            let Some(seat) = self.get_mut(at) else { continue };
            seat.listed &= !(1 << rest as u8);
            if seat.rest == rest {
                self.queue(at);
            }
        }
        self.resting[rest as usize] = list;
    }

    pub fn pop_ready(&mut self) -> Option<u32> {
        let at = self.ready.pop_front()?;
        if let Some(seat) = self.get_mut(at) {
            seat.queued = false;
        }
        Some(at)
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn ready_len(&self) -> usize {
        self.ready.len()
    }
}

fn name_at(seats: &[Option<Seat>], at: u32) -> &str {
    seats.get(at as usize).and_then(Option::as_ref).map_or("", |seat| seat.consumer.name())
}
