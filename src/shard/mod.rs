//! Owns everything of one core and decides nothing: each input goes to the file that knows.
//!
//! ```text
//!   receive    bytes → commands           commands   what each does
//!   admission  CONNECT → user, permissions
//!   delivery   message → subscribers      frame, peer, exchange   other cores
//!   lifecycle  open, slow, stale, close   timers     when to look again
//!   services   what the server answers    trace      what the log shows of it
//!   turn       the fixed order of it all  observe, snapshot, survey   what the control thread sees
//!   moving     from core to core          placement  which, and when
//!   latency    how long things took       heat       who publishes most
//! ```

pub mod connections;
pub mod effects;
pub mod latency;
pub mod lifecycle;
pub mod moving;
pub mod placement;
pub mod services;
pub mod snapshot;
pub mod survey;
pub mod turn;

mod admission;
mod commands;
mod delivery;
mod exchange;
mod frame;
mod heat;
mod jetstream;
mod observe;
mod peer;
mod receive;
mod room;
#[cfg(test)]
mod stage;
mod timers;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::connection::Settings;
use crate::connection::outbound::BufferPool;
use crate::jetstream::{JetStream, PostedQueue, Seed, SubscriptionKey};
use crate::routing::{Router, RouterSettings, SubKey};
use crate::storage::Log;
use crate::types::limits::{ROUTE_CACHE_SUBJECTS, Tuning};
use crate::types::{ConnKey, Mono, Now, ShardId};
use connections::Connections;
use effects::{Effects, Wish};
use latency::Latencies;
use snapshot::Totals;

pub use lifecycle::{Opened, Taken};

/// All state of one core.
pub struct Shard {
    id: ShardId,
    now: Now,
    settings: Arc<Settings>,
    tuning: Tuning,
    connections: Connections,
    router: Router,
    peers: peer::Peers,
    timers: timers::Timers,
    totals: Totals,
    closed: observe::ClosedLog,
    pub latencies: Latencies,
    heat: heat::Heat,
    /// For the runtime, emptied at the end of each turn.
    pub effects: Effects,

    /// Connections with commands in their stash that may be executed.
    backlog: Vec<ConnKey>,
    inbox: exchange::Inbox,
    /// The lanes hold more than the last look's budget allowed.
    behind: bool,
    /// A peer's interest lane is full: nothing may leave this core before it has taken ours.
    interest_blocked: bool,

    hasher: RandomState,
    random: Random,
    system_seq: u64,
    pool: BufferPool,
    /// `None`: off, or at work.
    jetstream: Option<Box<JetStream>>,
    service_subs: BTreeMap<SubscriptionKey, SubKey>,
    room: room::Room,
    moves: moving::Moves,
    /// Where what is delivered now came from: a lane, or this core.
    source: ShardId,
    /// For which core a delivery counts where it is asked to whom a connection leans.
    leans_to: ShardId,
    /// What JetStream published, while it is routed.
    posted: PostedQueue,
    /// Somebody subscribed or left, here or elsewhere, since JetStream was last told.
    interest_moved: bool,
    scratch: delivery::Scratch,
    /// A message tail put together anew.
    tail: Vec<u8>,
    /// Encoded interest changes, coming or going.
    interest: Vec<u8>,
}

/// What a shard is told at its birth.
#[derive(Clone, Debug)]
pub struct ShardSeed {
    pub id: ShardId,
    pub shards: usize,
    /// Seeds the choice of queue group members.
    pub random: u64,
    /// The same for all shards of a server, and known to no client.
    pub hash: u64,
    pub cache_enabled: bool,
    pub tuning: Tuning,
}

impl Shard {
    pub fn new(seed: &ShardSeed, settings: Arc<Settings>) -> Self {
        let router_settings = RouterSettings {
            cache_subjects: ROUTE_CACHE_SUBJECTS,
            cache_enabled: seed.cache_enabled,
        };
        Self {
            id: seed.id,
            now: Now::default(),
            settings,
            tuning: seed.tuning,
            connections: Connections::default(),
            router: Router::new(seed.id, seed.shards, seed.hash, router_settings),
            peers: peer::Peers::new(seed.id, seed.shards, &seed.tuning),
            timers: timers::Timers::default(),
            totals: Totals { shard: seed.id, ..Totals::default() },
            closed: observe::ClosedLog::default(),
            latencies: Latencies::default(),
            heat: heat::Heat::default(),
            effects: Effects::default(),
            backlog: Vec::new(),
            inbox: exchange::Inbox::default(),
            behind: false,
            interest_blocked: false,
            hasher: RandomState::with_seeds(seed.hash, 1, 2, 3),
            random: Random(seed.random | 1),
            system_seq: 0,
            pool: BufferPool::default(),
            jetstream: None,
            service_subs: BTreeMap::default(),
            room: room::Room::new(seed.hash),
            moves: moving::Moves::default(),
            source: seed.id,
            leans_to: seed.id,
            posted: PostedQueue::default(),
            interest_moved: false,
            scratch: delivery::Scratch::default(),
            tail: Vec::new(),
            interest: Vec::new(),
        }
    }

    /// What happens from now on happens at this time, though no turn has begun.
    pub fn tell_time(&mut self, now: Now) {
        self.now = now;
    }

    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.totals.turns += 1;
        self.effects.outbound_bytes = 0;
        self.heat.begin_turn(self.totals.in_msgs, now.mono);
    }

    /// The sends of the turn that began last are with the kernel.
    pub fn end_turn(&mut self, ended: Mono) {
        self.latencies.end_turn(self.now.mono, ended, self.messages());
    }

    /// From clients and to clients, since the start.
    pub fn messages(&self) -> u64 {
        self.totals.in_msgs + self.totals.out_msgs
    }

    /// Replaces the settings for what happens from now on.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        let before = std::mem::replace(&mut self.settings, settings);
        if !Arc::ptr_eq(&before.access, &self.settings.access) {
            self.admit_all_again();
        }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Before the first turn.
    pub fn start_jetstream(&mut self, seed: Seed) {
        self.jetstream = Some(Box::new(JetStream::new(self.id, seed)));
    }

    /// The logs of this core, for the disk: their effects are taken and completions told there.
    pub fn logs(&mut self) -> &mut [Log] {
        self.jetstream.as_mut().map_or(&mut [], |jetstream| jetstream.logs())
    }

    #[cfg(feature = "testing")]
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Whether bytes that were read wait for the lanes to be drained.
    pub fn is_behind(&self) -> bool {
        self.behind || self.interest_blocked
    }

    pub fn set_behind(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// Whether all that this core listens to is in its lanes: JetStream's streams, too.
    pub fn is_announced(&self) -> bool {
        let wishes = self.jetstream.as_ref().is_some_and(|jetstream| jetstream.has_wishes());
        !wishes && !self.interest_blocked
    }

    pub fn is_interest_blocked(&self) -> bool {
        self.interest_blocked
    }

    /// When to run the next turn if nothing arrives.
    pub fn wish(&self) -> Wish {
        let Effects { resume, proofs, requests, .. } = &self.effects;
        let is_owed =
            !resume.is_empty() || !proofs.is_empty() || !requests.is_empty() || self.moves.has_news;
        if self.behind || !self.backlog.is_empty() || is_owed {
            return Wish::AtOnce;
        }
        let jetstream =
            self.jetstream.as_ref().map_or(Mono::NEVER, |jetstream| jetstream.wake_at());
        match self.timers.next().min(jetstream) {
            Mono::NEVER => Wish::Never,
            at => Wish::At(at),
        }
    }
}

/// xorshift64*: which member of a queue group is next need not be unpredictable.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
