//! What is carried from core to core beside the lanes: the state of a connection, and its socket.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Way;
use crate::connection::Profile;
use crate::connection::inbound::Inbound;
use crate::connection::keepalive::Keepalive;
use crate::connection::outbound::Outbound;
use crate::connection::session::{Counters, Manners};
use crate::security::{Access, User};
use crate::types::{AccountId, ClientId, ConnKey, Mono, ShardId, Wall};

/// The runtime's socket; a shard only passes it on. Dropped, it is closed.
pub type Socket = Box<dyn Any + Send>;

#[derive(Debug)]
pub enum Parcel {
    First(Box<First>),
    Last(Box<Last>),
}

/// With Adopt: enough to deliver to it.
#[derive(Debug)]
pub struct First {
    pub client: ClientId,
    pub peer: SocketAddr,
    pub start: Wall,
    pub label: Box<str>,
    pub login: Option<Arc<User>>,
    /// By whose rules it was admitted.
    pub access: Arc<Access>,
    pub account: AccountId,
    pub manners: Manners,
    pub formerly: Vec<(ShardId, ConnKey)>,
    pub subs: Vec<SubRow>,
}

/// A subscription.
#[derive(Debug)]
pub struct SubRow {
    pub pattern: Box<[u8]>,
    pub queue: Option<Box<[u8]>>,
    pub sid: Box<[u8]>,
    pub delivered: u64,
}

/// With Final: all the rest.
pub struct Last {
    pub socket: Socket,
    pub profile: Box<Profile>,
    pub access: Arc<Access>,
    pub outbound: Outbound,
    pub inbound: Inbound,
    pub counters: Counters,
    pub taken_msgs: u64,
    pub keepalive: Keepalive,
    pub greeted: bool,
    pub is_slow: bool,
    /// Whole commands wait in `inbound`, since this time.
    pub backlog: Option<Mono>,
    /// A subscriber asked it to wait.
    pub is_stalled: bool,
    pub moves: u32,
    /// Its login was being checked anew.
    pub is_judged: bool,
    /// The subscriptions that it still has, by sid, and what was delivered since the first parcel.
    pub delivered: Vec<(Box<[u8]>, u64)>,
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Last").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// One core's ends of the ways to and from all others, and how busy each says it is. As many parcels are
/// under way as connections may leave a core at once, twice.
#[derive(Debug)]
pub struct Carriage {
    ways: Vec<Option<Way>>,
    standings: Arc<[AtomicU8]>,
}

/// The carriages of all cores, in order.
pub fn carriages(shards: usize) -> Vec<Carriage> {
    let standings: Arc<[AtomicU8]> = (0..shards).map(|_| AtomicU8::new(0)).collect();
    let mut all: Vec<Vec<Option<Way>>> = Vec::new();
    for me in 0..shards {
        let mut ways: Vec<Option<Way>> = (0..shards).map(|_| None).collect();
        for (other, way) in all.iter_mut().zip(&mut ways) {
            let (to_other, from_me) = std::sync::mpsc::channel();
            let (to_me, from_other) = std::sync::mpsc::channel();
            *way = Some((to_other, from_other));
            other[me] = Some((to_me, from_me));
        }
        all.push(ways);
    }
    let carriage = |ways| Carriage { ways, standings: Arc::clone(&standings) };
    all.into_iter().map(carriage).collect()
}

impl Carriage {
    pub fn send(&self, to: ShardId, parcel: Parcel) {
        if let Some(Some((sender, _))) = self.ways.get(to.index()) {
            // The other core may have ended; then the parcel is dropped, and its socket closed.
            let _ = sender.send(parcel);
        }
    }

    /// The next parcel from there. It was sent before the frame that announces it.
    pub fn receive(&self, from: ShardId) -> Option<Parcel> {
        self.ways.get(from.index())?.as_ref()?.1.try_recv().ok()
    }

    pub fn standings(&self) -> Standings<'_> {
        Standings(&self.standings)
    }
}

/// How busy each core is, in percent of its time, as it said last.
#[derive(Clone, Copy, Debug)]
pub struct Standings<'a>(&'a [AtomicU8]);

impl Standings<'_> {
    pub fn of(&self, shard: ShardId) -> u8 {
        // Relaxed: a hint.
        self.0[shard.index()].load(Ordering::Relaxed)
    }

    pub fn set(&self, shard: ShardId, percent: u8) {
        self.0[shard.index()].store(percent, Ordering::Relaxed);
    }
}
