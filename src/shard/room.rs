//! Whether there is room for what JetStream delivers (DESIGN §4, "on credit").
//!
//! A connection of this core has room while it is owed less than [`CREDIT_BYTES`]. For one of
//! another core we count what was sent there; from half of the credit on a probe follows the
//! messages, and comes back when the receiving connections have room again. What was sent behind a
//! probe needs another: nobody is told to wait while none is under way.

use ahash::{AHashMap, RandomState};

use super::Shard;
use super::frame;
use crate::connection::{Connection, RoomWaiter};
use crate::jetstream::{Caller, Gate, GateState, Posted};
use crate::routing::Fanout;
use crate::types::limits::JETSTREAM_CREDIT_BYTES;
use crate::types::time::SECOND;
use crate::types::{AccountId, ConnKey, Mono, ShardId, Subject};

/// A route nobody sent to for so long is forgotten, if nothing is known to be under way.
const WINDOW_IDLE_NS: u64 = 10 * SECOND;

#[derive(Debug)]
struct Window {
    /// Bytes sent since the last probe that came back.
    sent: u64,
    /// Of them, those sent before the probe under way.
    probed: u64,
    /// Probes of this round that have not come back.
    probes: u32,
    used: Mono,
}

/// What is known of the room other cores have.
#[derive(Debug)]
pub struct Room {
    windows: AHashMap<u64, Window>,
    hasher: RandomState,
    opened: bool,
    swept: Mono,
}

impl Room {
    pub fn new(seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, 4, 5, 6);
        Self { windows: AHashMap::default(), hasher, opened: false, swept: Mono(0) }
    }

    /// Whether somebody who had no room has some now; said once.
    pub fn take_opened(&mut self) -> bool {
        std::mem::take(&mut self.opened)
    }

    pub fn open(&mut self) {
        self.opened = true;
    }

    fn id(&self, account: AccountId, route: &[u8]) -> u64 {
        self.hasher.hash_one((account.0, route))
    }

    fn sweep(&mut self, now: Mono) {
        if now.since(self.swept) > WINDOW_IDLE_NS {
            self.swept = now;
            self.windows
                .retain(|_, window| window.probes > 0 || now.since(window.used) < WINDOW_IDLE_NS);
        }
    }
}

/// The shard, as JetStream asks it.
pub struct ShardGate<'a>(pub &'a mut Shard);

impl Gate for ShardGate<'_> {
    fn state(&mut self, account: AccountId, route: &[u8]) -> GateState {
        let shard = &mut *self.0;
        let Some(subject) = Subject::parse(route) else { return GateState::Nobody };
        let fanout = shard.router.route(account, subject);
        if fanout.is_empty() {
            return GateState::Nobody;
        }
        let mut crowded = false;
        for sub in fanout.locals() {
            let owner = shard.router.subscription(sub).owner();
            if owner == frame::SERVICE.slot {
                continue;
            }
            let conn = shard.connections.owner_mut(owner);
            if conn.outbound.owed() > credit(shard.settings.max_pending) {
                conn.wait_for_room(RoomWaiter::Here);
                crowded = true;
            }
        }
        if fanout.reaches_others() {
            let now = shard.now.mono;
            shard.room.sweep(now);
            let id = shard.room.id(account, route);
            let new = || Window { sent: 0, probed: 0, probes: 0, used: now };
            let window = shard.room.windows.entry(id).or_insert_with(new);
            window.used = now;
            if window.sent > credit(shard.settings.max_pending) {
                crowded = true;
                shard.probe(id, account, route, &fanout);
            }
        }
        if crowded { GateState::Crowded } else { GateState::Open }
    }

    fn is_named(&mut self, account: AccountId, subject: &[u8]) -> bool {
        let subject = Subject::parse(subject);
        subject.is_some_and(|subject| self.0.router.is_named(account, subject))
    }

    fn caller(&self, conn: ConnKey) -> Option<Caller> {
        match self.0.connections.get(conn) {
            Some(found) => Some(caller_of(found)),
            None => self.0.former_caller(conn).cloned(),
        }
    }

    fn nobody(&mut self, conn: ConnKey, subject: &[u8], reply: &[u8]) {
        self.0.bounce(conn, subject, reply);
    }
}

pub(super) fn caller_of(conn: &Connection) -> Caller {
    let (profile, options) = (&conn.profile, &conn.profile.options);
    Caller {
        start: profile.start,
        host: profile.peer.ip().to_canonical().to_string(),
        id: conn.client.0,
        user: profile.user().to_owned(),
        name: options.name.to_string(),
        lang: options.lang.to_string(),
        version: options.version.to_string(),
        rtt_ns: conn.keepalive.rtt_ns,
    }
}

/// What one connection may be owed by JetStream before it waits.
fn credit(max_pending: u64) -> u64 {
    JETSTREAM_CREDIT_BYTES.min(max_pending / 4)
}

impl Shard {
    /// A message went to other cores: it counts against their window, and a probe may follow it.
    pub(super) fn count_remote(&mut self, posted: &Posted<'_>, fanout: &Fanout) {
        let id = self.room.id(posted.account, posted.route);
        let credit = credit(self.settings.max_pending);
        let Some(window) = self.room.windows.get_mut(&id) else { return };
        window.sent += posted.body.len() as u64 + MESSAGE_BYTES;
        if window.sent >= credit / 2 {
            self.probe(id, posted.account, posted.route, fanout);
        }
    }

    /// Sends a probe behind all that was sent, unless one is under way.
    fn probe(&mut self, id: u64, account: AccountId, route: &[u8], fanout: &Fanout) {
        let Some(window) = self.room.windows.get_mut(&id) else { return };
        if window.probes > 0 {
            return;
        }
        window.probed = window.sent;
        for shard in self.peers.others() {
            if fanout.reaches(shard) {
                window.probes += 1;
                frame::push_probe(&mut self.peers.of(shard).data, id, account, route);
            }
        }
    }

    /// Another core asks to hear when those who get this route have room.
    pub(super) fn on_probe(&mut self, from: ShardId, id: u64, account: AccountId, route: &[u8]) {
        let Some(subject) = Subject::parse(route) else { return };
        let fanout = self.router.route(account, subject);
        let credit = credit(self.settings.max_pending);
        for sub in fanout.locals() {
            let owner = self.router.subscription(sub).owner();
            if owner == frame::SERVICE.slot {
                continue;
            }
            let conn = self.connections.owner_mut(owner);
            if conn.outbound.owed() > credit / 2 {
                conn.wait_for_room(RoomWaiter::Probe { shard: from, id });
                return;
            }
        }
        frame::push_probed(&mut self.peers.of(from).data, id);
    }

    /// A probe of ours came back.
    pub(super) fn on_probed(&mut self, id: u64) {
        let Some(window) = self.room.windows.get_mut(&id) else { return };
        window.probes = window.probes.saturating_sub(1);
        if window.probes == 0 {
            window.sent -= window.probed.min(window.sent);
            window.probed = 0;
            self.room.open();
        }
    }

    /// A connection is owed less, or is gone: who waited for room is told.
    pub(super) fn give_room(&mut self, key: ConnKey) {
        let credit = credit(self.settings.max_pending);
        let Some(conn) = self.connections.get_mut(key) else { return };
        if !conn.is_open() || conn.outbound.owed() <= credit / 2 {
            self.tell_room(key);
        }
    }

    /// Who waited for room looks again.
    pub(super) fn tell_room(&mut self, key: ConnKey) {
        let Some(conn) = self.connections.get_mut(key) else { return };
        for waiter in conn.take_room_waiters() {
            match waiter {
                RoomWaiter::Here => self.room.open(),
                RoomWaiter::Probe { shard, id } => {
                    frame::push_probed(&mut self.peers.of(shard).data, id);
                }
            }
        }
    }
}

/// A message's own cost beside its body.
const MESSAGE_BYTES: u64 = 64;
