//! A connection and what its client has said about itself.
//!
//! ```text
//!   Open ──violation, slow, stale, kicked, shutdown──▶ Closing(reason) ──socket gone──▶ (slot free)
//!     └──────────── socket gone ─────────────────────────────────────────────────────▶ (slot free)
//! ```
//! A closing connection has no subscriptions, takes no input, and sends only its last words.

use std::net::SocketAddr;

use super::identity::Profile;
use super::inbound::Inbound;
use super::keepalive::Keepalive;
use super::leaning::Leaning;
use super::outbound::Outbound;
use super::sids::Sids;
use crate::protocol::Violation;
use crate::security::Permit;
use crate::types::time::{Mono, Wall};
use crate::types::{AccountId, ClientId, CloseReason, ConnKey, ShardId, ShardSet};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Open,
    Closing(CloseReason),
}

/// Why a connection is not read at present. It is read again when none is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pauses(u8);

impl Pauses {
    /// The turn's budget is spent; the rest of the read is in the stash.
    pub const BUDGET: Self = Self(1);
    /// A core this connection publishes to has given no credit.
    pub const CREDIT: Self = Self(2);
    /// A slow but draining subscriber is given time, until a deadline.
    pub const STALL: Self = Self(4);
    /// Its login is being checked.
    pub const LOGIN: Self = Self(8);
    /// It moves to another core.
    pub const MOVE: Self = Self(16);

    pub fn any(self) -> bool {
        self.0 != 0
    }

    pub fn contains(self, pause: Self) -> bool {
        self.0 & pause.0 != 0
    }

    /// Paused for the sake of somebody else, not merely for the rest of this turn.
    pub fn waits_for_others(self) -> bool {
        self.0 & (Self::CREDIT.0 | Self::STALL.0 | Self::LOGIN.0 | Self::MOVE.0) != 0
    }

    pub fn add(&mut self, pause: Self) {
        self.0 |= pause.0;
    }

    /// Whether this was the last one.
    pub fn remove(&mut self, pause: Self) -> bool {
        let had = self.0 != 0;
        self.0 &= !pause.0;
        had && self.0 == 0
    }
}

/// Whether commands are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Of everybody, or of a user that was admitted.
    Open,
    /// Only CONNECT, and that before long.
    Connect,
}

/// Where a connection is on its way from one core to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Journey {
    /// Nowhere: it is at home here.
    #[default]
    Settled,
    /// It still gets messages here, and sends what it is owed.
    Leaving,
    /// It gets nothing here any more; its socket is being taken from the ring.
    Left,
    /// It gets messages here already; its socket and all it was owed before are yet to come.
    Arriving,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    pub stalls: u64,
    /// How often a producer was asked to wait for it.
    pub stalls_asked: u64,
}

impl Counters {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.in_msgs += other.in_msgs;
        self.in_bytes += other.in_bytes;
        self.out_msgs += other.out_msgs;
        self.out_bytes += other.out_bytes;
        self.stalls += other.stalls;
        self.stalls_asked += other.stalls_asked;
    }
}

/// What of CONNECT the data path asks. Before CONNECT the reference's defaults hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Manners {
    pub verbose: bool,
    pub pedantic: bool,
    pub echo: bool,
    pub headers: bool,
    pub no_responders: bool,
    /// Understands INFO at any time.
    pub async_info: bool,
    /// CONNECT has been received.
    pub introduced: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            async_info: false,
            introduced: false,
        }
    }
}

/// A producer that was asked to wait.
#[derive(Clone, Copy, Debug)]
pub struct StalledProducer {
    pub shard: ShardId,
    /// Its connection there.
    pub conn: ConnKey,
    /// When it was last asked.
    pub asked: Mono,
}

/// Who is told when a subscriber has room again for what JetStream delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomWaiter {
    /// JetStream of this core.
    Here,
    /// A probe of another core.
    Probe { shard: ShardId, id: u64 },
}

#[derive(Debug)]
pub struct Connection {
    pub key: ConnKey,
    pub account: AccountId,
    /// `None`: it may publish and subscribe to everything.
    pub permit: Option<Box<Permit>>,
    pub manners: Manners,
    pub phase: Phase,
    pub gate: Gate,
    pub pauses: Pauses,
    /// On the list of connections to flush at the end of this turn.
    pub flush_listed: bool,
    /// A subscriber asked for a stall while this read was executed.
    pub stall_asked: bool,
    /// A timer looks whether its sends are in time.
    pub write_watched: bool,
    /// A flush exceeded the write deadline, and none has succeeded since.
    pub is_slow: bool,
    /// It owed more than three quarters of its limit, and not less than half since.
    pub is_crowded: bool,
    /// Since when, where it is.
    pub crowded_since: Mono,
    /// The first PONG went out, and after it the INFO that answers CONNECT.
    pub greeted: bool,
    /// Other shards (one bit each) whose lane has not yet taken what this connection published.
    /// Its replies wait for them.
    pub unpushed: u64,
    /// Cores whose messages for it are delivered by another core, while it moves.
    pub closed_to: ShardSet,
    pub journey: Journey,
    pub leaning: Leaning,
    pub counters: Counters,
    pub outbound: Outbound,
    pub inbound: Inbound,
    pub keepalive: Keepalive,
    pub sids: Sids,
    /// [`Counters::out_msgs`] when all it was owed had last been taken for a send.
    pub taken_msgs: u64,
    /// When the bytes came that wait in `inbound` for [`Pauses::BUDGET`].
    pub stashed_at: Mono,
    /// Until when [`Pauses::STALL`] lasts, if nobody ends it before.
    pub stalled_until: Mono,
    /// Producers that wait for this subscriber to drain.
    pub stalled_producers: Vec<StalledProducer>,
    room_waiters: Vec<RoomWaiter>,
    /// Proofs of its login that are being checked.
    pub proofs: u32,
    /// Who it was on the cores it came from, latest last.
    pub formerly: Vec<(ShardId, ConnKey)>,
    pub client: ClientId,
    pub profile: Box<Profile>,
}

impl Connection {
    pub fn new(key: ConnKey, client: ClientId, peer: SocketAddr, start: Wall, now: Mono) -> Self {
        Self {
            key,
            account: AccountId::GLOBAL,
            permit: None,
            manners: Manners::default(),
            phase: Phase::Open,
            gate: Gate::Open,
            pauses: Pauses::default(),
            flush_listed: false,
            stall_asked: false,
            write_watched: false,
            is_slow: false,
            is_crowded: false,
            crowded_since: Mono::default(),
            greeted: false,
            unpushed: 0,
            closed_to: ShardSet::default(),
            journey: Journey::Settled,
            leaning: Leaning::new(now),
            counters: Counters::default(),
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            keepalive: Keepalive::new(now),
            sids: Sids::default(),
            taken_msgs: 0,
            stashed_at: Mono::default(),
            stalled_until: Mono::default(),
            stalled_producers: Vec::new(),
            room_waiters: Vec::new(),
            proofs: 0,
            formerly: Vec::new(),
            client,
            profile: Box::new(Profile::new(peer, start)),
        }
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Notes who wants to hear of room; each once.
    pub fn wait_for_room(&mut self, waiter: RoomWaiter) {
        if !self.room_waiters.contains(&waiter) {
            self.room_waiters.push(waiter);
        }
    }

    pub fn has_room_waiters(&self) -> bool {
        !self.room_waiters.is_empty()
    }

    pub fn take_room_waiters(&mut self) -> Vec<RoomWaiter> {
        std::mem::take(&mut self.room_waiters)
    }

    /// How log lines name it.
    pub fn label(&self) -> String {
        self.profile.logged_as(self.client)
    }

    /// Behaves from now on as CONNECT asked; said of an admitted client.
    pub fn introduce(&mut self, headers_supported: bool) -> Result<(), Violation> {
        let options = &self.profile.options;
        if !options.credentials.account.is_empty() {
            // Accounts are not for clients to choose.
            return Err(Violation::UNAUTHORIZED);
        }
        options.check()?;
        let headers = options.headers && headers_supported;
        if options.no_responders && !headers {
            return Err(Violation::NO_RESPONDERS_WITHOUT_HEADERS);
        }
        self.manners = Manners {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers,
            no_responders: options.no_responders,
            async_info: options.protocol >= 1,
            introduced: true,
        };
        Ok(())
    }
}
