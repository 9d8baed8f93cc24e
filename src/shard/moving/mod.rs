//! Connections move between cores, so that those that talk to each other come together.
//!
//! A connection C of core A goes to core B, while every core P goes on sending. Each pair of cores has
//! one data lane, in order, and a core processes a peer's interest before data that was pushed behind it.
//!
//! ```text
//!   A                                   B                              each other core P
//!   reads C no more
//!   ── Adopt, parcel: who, what subs ─▶ a C' with the subs, closed to
//!   ── Leaving ──────────────────────────────────────────────────────▶ has all C published
//!      ◀───────────────────────────────────────────────────── Passed ──
//!                                       interest of C', and behind it
//!      ◀───────────────────── Switch ── opens C' to its own messages ─▶ Switch
//!      ◀───────────────────── Marker ──
//!   Marker ────────────────────────────▶ opens C' to A
//!   closes C to its own messages
//!      ◀───────────────────────────────────────────────────── Marker ── to both, at one point
//!   closes C to P                       opens C' to P ◀────── Marker ──  between two messages
//!   has all markers, all passes:
//!   ends C's subs, takes the socket
//!   ── Final, parcel: socket, debt … ─▶ puts A's debt before its own, and reads
//! ```
//!
//! - *Each message once, in order.* Of what P sends to both, A delivers what came before P's markers and B
//!   what came behind: a connection's [`closed_to`] names the cores whose plain messages it leaves to the
//!   other side. All that A delivered goes out before what B did.
//! - *Nobody misses it.* A's interest lasts until all have switched; B's is known where they do.
//! - *Its own messages keep their order.* C says nothing new before all others have what it published at A.
//! - *What it is answered holds.* A has seen the markers behind all that was published before; C is read at
//!   B after that, so a PONG comes behind what was published and answered before its PING.
//! - *Queue groups.* A part of a message is with one core at a time, so it may go to C or C', whoever is
//!   asked; a side that is closed to the sender lets others go first, since they keep the order. A part may
//!   have tried B before C' was there, and meet A when C is gone: where a switch was seen lately, all cores
//!   are tried once more, at most [`ROUNDS_MAX`] times.
//! - *Old names.* Who asks for C under its key at A is sent on, for [`FORWARD_NS`].
//! - *Its end.* Until Final C ends at A (Dead tells B); C' that owes too much is closed with Final.
//!
//! Parcels are what bytes can't be: they go through a channel beside each lane, one for each frame that
//! announces it, so a socket has one owner at any time, and is closed with whoever drops it.
//!
//! [`closed_to`]: crate::connection::Connection::closed_to

mod arriving;
mod leaving;
mod parcel;
#[cfg(all(test, feature = "testing"))]
mod tests;

use std::collections::BTreeMap;
use std::sync::mpsc;

pub use parcel::{Carriage, Parcel, Socket, Standings, carriages};

use super::Shard;
use super::frame::{self, MoveId, MoveStep};
use super::placement::{Placement, Policy};
use crate::connection::Journey;
use crate::jetstream::Caller;
use crate::types::limits::{FORWARD_NS, MOVES_WANTED_MAX, ROUNDS_MAX, SWITCH_NS};
use crate::types::mutation::{self, Mutation};
use crate::types::{ConnKey, Mono, ShardId, ShardSet};
use arriving::Arrival;
use leaving::Departure;

/// All that a core knows of connections that come and go.
#[derive(Debug, Default)]
pub struct Moves {
    /// `None`: nothing moves.
    carriage: Option<Carriage>,
    pub placement: Placement,
    /// To be moved as soon as they can be.
    wanted: Vec<(ConnKey, ShardId)>,
    departures: BTreeMap<ConnKey, Departure>,
    arrivals: BTreeMap<MoveId, Arrival>,
    forwards: BTreeMap<ConnKey, Forward>,
    /// When a connection switched last, anywhere.
    switched: Option<Mono>,
    /// The core stops: nothing comes or goes any more.
    is_over: bool,
    /// Frames were written after the turn had filled the lanes.
    pub has_news: bool,
    pub totals: MoveTotals,
}

/// Moves away from this core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MoveTotals {
    pub begun: u64,
    pub done: u64,
    /// The connection ended on the way, or the other core did not take it.
    pub abandoned: u64,
}

/// Where a connection went.
#[derive(Debug)]
struct Forward {
    to: ShardId,
    key: ConnKey,
    until: Mono,
    caller: Caller,
}

impl Moves {
    fn send(&mut self, to: ShardId, parcel: Parcel) {
        // A core that has ended takes nothing; with the parcel its socket is closed.
        if let Some(carriage) = &self.carriage {
            carriage.send(to, parcel);
        }
    }

    fn receive(&mut self, from: ShardId) -> Option<Parcel> {
        self.carriage.as_mut()?.receive(from)
    }

    /// Whether a part of a queue message that found nobody may try all cores once more.
    pub fn tries_again(&self, rounds: u8, now: Mono) -> bool {
        let lately = self.switched.is_some_and(|at| now.since(at) < SWITCH_NS);
        lately && rounds < ROUNDS_MAX
    }

    fn forget_old(&mut self, now: Mono) {
        self.forwards.retain(|_, forward| now < forward.until);
    }
}

impl Shard {
    /// Before the first turn. Without it nothing moves.
    pub fn set_carriage(&mut self, carriage: Carriage, policy: Policy) {
        self.moves.placement = Placement::new(self.id, policy);
        self.moves.carriage = Some(carriage);
    }

    /// Nothing comes or goes from now on; what is on its way arrives, and is closed.
    pub fn stop_moving(&mut self) {
        self.moves.is_over = true;
        self.moves.placement.is_on = false;
    }

    /// How many left this core since the last question.
    #[cfg(feature = "testing")]
    pub fn take_moved(&mut self) -> u64 {
        std::mem::take(&mut self.moves.totals.done)
    }

    /// Wants a connection moved, whatever the policy thinks.
    #[cfg(feature = "testing")]
    pub fn want_move(&mut self, at: usize, to: ShardId) {
        let keys = self.connections.keys();
        if let Some(key) = keys.get(at % keys.len().max(1)) {
            self.moves.wanted.push((*key, to));
        }
    }

    /// Begins the moves that are due. Called when all bytes that were read are processed or stashed.
    pub fn run_moves(&mut self) {
        if self.moves.carriage.is_none() || self.moves.is_over {
            return;
        }
        self.decide_moves();
        if self.moves.wanted.is_empty() {
            return;
        }
        self.moves.forget_old(self.now.mono);
        for (key, to) in std::mem::take(&mut self.moves.wanted) {
            if !self.may_leave(key) {
                continue;
            }
            if self.is_readable_soon(key) {
                self.depart(key, to);
            } else if self.moves.wanted.len() < MOVES_WANTED_MAX {
                self.moves.wanted.push((key, to));
            }
        }
    }

    fn decide_moves(&mut self) {
        let now = self.now.mono;
        let busy_ns = self.latencies.busy_ns;
        let connections = &mut self.connections;
        let Some(carriage) = &self.moves.carriage else { return };
        let placement = &mut self.moves.placement;
        let chosen = placement.look(now, busy_ns, carriage.standings(), |key, show| {
            connections.get_mut(key).into_iter().for_each(|conn| show(&mut conn.leaning));
        });
        if !chosen.is_empty() {
            // What was wanted before, and could not be done, is no longer wanted.
            self.moves.wanted = chosen;
        }
    }

    pub(super) fn on_move(&mut self, from: ShardId, id: MoveId, step: MoveStep) {
        match step {
            MoveStep::Adopt => self.on_adopt(from, id),
            MoveStep::Refused => self.on_refused(id),
            MoveStep::Leaving => self.tell_move(id.shard, id, MoveStep::Passed),
            MoveStep::Passed => self.on_passed(from, id),
            MoveStep::Switch(there) => self.on_switch(from, id, there),
            MoveStep::Marker if id.shard == self.id => self.on_last_marker(from, id),
            MoveStep::Marker => self.on_first_marker(from, id),
            MoveStep::Final => self.on_final(from, id),
            MoveStep::Dead => self.on_dead(id),
        }
    }

    /// The connection is wanted at its new core: from here on it gets this core's messages there.
    fn on_switch(&mut self, to: ShardId, id: MoveId, there: ConnKey) {
        self.moves.switched = Some(self.now.mono);
        if id.shard == self.id {
            self.tell_move(to, id, MoveStep::Marker);
            self.switch_own(id, there);
        } else {
            self.mark_end(id);
            self.tell_move(to, id, MoveStep::Marker);
        }
    }

    /// Marks the end of what this core has for the connection at its old core.
    fn mark_end(&mut self, id: MoveId) {
        if mutation::active(Mutation::EarlyMarker) {
            let mut marker = Vec::new();
            frame::push_move(&mut marker, id, MoveStep::Marker);
            self.peers.of(id.shard).data.splice(0..0, marker);
            return;
        }
        self.tell_move(id.shard, id, MoveStep::Marker);
    }

    fn tell_move(&mut self, to: ShardId, id: MoveId, step: MoveStep) {
        frame::push_move(&mut self.peers.of(to).data, id, step);
    }

    /// Where a connection is that was here, and its key there.
    pub(super) fn whereabouts(&self, key: ConnKey) -> Option<(ShardId, ConnKey)> {
        if mutation::active(Mutation::NoForward) {
            return None;
        }
        match self.connections.get(key) {
            Some(conn) if conn.journey == Journey::Left => {
                let departure = self.moves.departures.get(&key)?;
                Some((departure.to, departure.there?))
            }
            Some(_) => None,
            None => self.moves.forwards.get(&key).map(|forward| (forward.to, forward.key)),
        }
    }

    /// Who called the API from here, and has moved since.
    pub(super) fn former_caller(&self, key: ConnKey) -> Option<&Caller> {
        self.moves.forwards.get(&key).map(|forward| &forward.caller)
    }

    fn note_forward(&mut self, key: ConnKey, to: ShardId, there: ConnKey, caller: Caller) {
        let now = self.now.mono;
        let forward = Forward { to, key: there, until: now.plus(FORWARD_NS), caller };
        self.moves.forwards.insert(key, forward);
    }

    /// All cores but this one.
    fn all_others(&self) -> ShardSet {
        let mut others = ShardSet::default();
        self.peers.others().for_each(|shard| others.insert(shard));
        others
    }
}

/// The two ends of one parcel's way.
type Way = (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>);
