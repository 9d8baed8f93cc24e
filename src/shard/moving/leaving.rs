//! A connection leaves this core.

use tracing::debug;

use super::parcel::{First, Last, Parcel, Socket, SubRow};
use crate::connection::{Connection, Gate, Journey, Pauses};
use crate::shard::Shard;
use crate::shard::frame::{MoveId, MoveStep};
use crate::shard::room::caller_of;
use crate::types::limits::{
    DEPARTURES_MAX, FORMER_NAMES_MAX, FORWARDS_MAX, MOVE_FLUSH_NS_MAX, MOVE_OWED_BYTES_MAX,
    MOVE_SUBSCRIPTIONS_MAX,
};
use crate::types::mutation::{self, Mutation};
use crate::types::{ConnKey, ShardId, ShardSet};

/// What is still awaited of it.
#[derive(Debug)]
pub struct Departure {
    id: MoveId,
    pub to: ShardId,
    /// Its key at the new core, once that has said it.
    pub there: Option<ConnKey>,
    /// Cores that have not switched, this one among them.
    unmarked: ShardSet,
    /// Cores that may not have processed all it published.
    unpassed: ShardSet,
    /// By sid: what was delivered before, and, once its subscriptions have ended, since.
    delivered: Vec<(Box<[u8]>, u64)>,
}

impl Shard {
    /// Whether a connection can be moved at all. One that is anything but ordinary stays.
    pub(super) fn may_leave(&self, key: ConnKey) -> bool {
        let Some(conn) = self.connections.get(key).filter(|conn| conn.is_open()) else {
            return false;
        };
        // What the kernel does not take would hold up its reads until it does.
        let is_stuck = conn.outbound.flush().is_overdue(self.now.mono, MOVE_FLUSH_NS_MAX);
        let login = conn.profile.login.as_ref().and_then(|user| user.permissions());
        let has_one_time_replies = login.is_some_and(|texts| texts.responses.is_some());
        let is_known = conn.gate == Gate::Open && conn.manners.introduced && conn.proofs == 0;
        let is_at_home = conn.journey == Journey::Settled && conn.closed_to.is_empty();
        is_known
            && is_at_home
            && !has_one_time_replies
            && !conn.is_crowded
            && !conn.is_slow
            && !is_stuck
            && conn.outbound.owed() <= MOVE_OWED_BYTES_MAX.min(self.settings.max_pending / 2)
            && conn.sids.len() <= MOVE_SUBSCRIPTIONS_MAX
            && conn.sids.iter().all(|sub| self.router.subscription(sub).max() == 0)
            && self.moves.departures.len() < DEPARTURES_MAX
            && self.moves.forwards.len() < FORWARDS_MAX
    }

    /// Nobody keeps it waiting, so that all it said so far is said to all.
    pub(super) fn is_readable_soon(&self, key: ConnKey) -> bool {
        let waits = |conn: &Connection| conn.pauses.waits_for_others() || conn.stall_asked;
        self.connections.get(key).is_some_and(|conn| !waits(conn))
    }

    /// Reads it no more, and tells all.
    pub(super) fn depart(&mut self, key: ConnKey, to: ShardId) {
        if to == self.id {
            return;
        }
        let rows = self.sub_rows(key);
        let others = self.all_others();
        let access = std::sync::Arc::clone(&self.settings.access);
        let Some(conn) = self.connections.get_mut(key) else { return };
        debug!("{} - Client connection moves to core {to}", conn.label());
        conn.pauses.add(Pauses::MOVE);
        conn.journey = Journey::Leaving;
        let delivered = rows.iter().map(|row| (row.sid.clone(), row.delivered)).collect();
        let mut formerly = conn.formerly.clone();
        formerly.push((self.id, key));
        if formerly.len() > FORMER_NAMES_MAX {
            formerly.remove(0);
        }
        let first = First {
            client: conn.client,
            peer: conn.profile.peer,
            start: conn.profile.start,
            label: conn.profile.label.clone(),
            login: conn.profile.login.clone(),
            access,
            account: conn.account,
            manners: conn.manners,
            formerly,
            subs: rows,
        };
        let unpassed = others.without(to);
        let unmarked = others.with(self.id);
        self.moves.totals.begun += 1;
        let number = self.moves.totals.begun as u32;
        let id = MoveId { shard: self.id, conn: key, number };
        let departure = Departure { id, to, there: None, unmarked, unpassed, delivered };
        self.moves.departures.insert(key, departure);
        self.moves.send(to, Parcel::First(Box::new(first)));
        self.tell_move(to, id, MoveStep::Adopt);
        for shard in unpassed.iter() {
            self.tell_move(shard, id, MoveStep::Leaving);
        }
    }

    fn sub_rows(&self, key: ConnKey) -> Vec<SubRow> {
        let Some(conn) = self.connections.get(key) else { return Vec::new() };
        let row = |sub| {
            let subscription = self.router.subscription(sub);
            SubRow {
                pattern: self.router.pattern_of(sub).1.into(),
                queue: self.router.queue_of(sub).map(Into::into),
                sid: subscription.sid().into(),
                delivered: subscription.delivered(),
            }
        };
        conn.sids.iter().map(row).collect()
    }

    /// The new core does not take it: it goes on here.
    pub(super) fn on_refused(&mut self, id: MoveId) {
        let key = id.conn;
        if self.departure(id).is_none() {
            return;
        }
        self.moves.departures.remove(&key);
        self.moves.totals.abandoned += 1;
        let now = self.now.mono;
        let dwell = self.moves.placement.dwell_ns(0);
        if let Some(conn) = self.connections.get_mut(key) {
            conn.journey = Journey::Settled;
            conn.leaning.settled_until = now.plus(dwell);
        }
        self.unpause(key, Pauses::MOVE);
    }

    /// `None`: that move was given up.
    fn departure(&mut self, id: MoveId) -> Option<&mut Departure> {
        self.moves.departures.get_mut(&id.conn).filter(|departure| departure.id == id)
    }

    pub(super) fn on_passed(&mut self, from: ShardId, id: MoveId) {
        if let Some(departure) = self.departure(id) {
            departure.unpassed = departure.unpassed.without(from);
            self.leave_if_switched(id.conn);
        }
    }

    /// This core's own messages go to the new core from here on.
    pub(super) fn switch_own(&mut self, id: MoveId, there: ConnKey) {
        if let Some(departure) = self.departure(id) {
            departure.there = Some(there);
            self.on_last_marker(self.id, id);
        }
    }

    /// What follows from that core is for the new one to deliver.
    pub(super) fn on_last_marker(&mut self, from: ShardId, id: MoveId) {
        let Some(departure) = self.departure(id) else { return };
        departure.unmarked = departure.unmarked.without(from);
        if let Some(conn) = self.connections.get_mut(id.conn) {
            conn.closed_to.insert(from);
        }
        self.leave_if_switched(id.conn);
    }

    /// When all have switched, and have all it published, it gets nothing here any more.
    fn leave_if_switched(&mut self, key: ConnKey) {
        let Some(departure) = self.moves.departures.get_mut(&key) else { return };
        let is_marked = departure.unmarked.is_empty()
            || departure.there.is_some() && mutation::active(Mutation::EarlyWithdrawal);
        let is_passed = departure.unpassed.is_empty() || mutation::active(Mutation::EarlyReading);
        let Some(conn) = self.connections.get_mut(key) else { return };
        if !is_marked || !is_passed || conn.journey != Journey::Leaving {
            return;
        }
        conn.journey = Journey::Left;
        let producers = std::mem::take(&mut conn.stalled_producers);
        let mut ended = Vec::new();
        for sub in conn.sids.take() {
            let subscription = self.router.subscription(sub);
            ended.push((subscription.sid().to_vec(), subscription.delivered()));
            self.router.unsubscribe(sub);
        }
        departure.delivered.retain_mut(|(sid, delivered)| {
            let found = ended.iter().find(|(ended, _)| **ended == **sid);
            if let Some((_, now)) = found {
                *delivered = now - *delivered;
            }
            found.is_some()
        });
        self.interest_moved = true;
        self.release(producers);
        self.tell_room(key);
        self.effects.part.push(key);
    }

    /// Whether the runtime may take the socket out of the ring: the connection did not end meanwhile.
    pub fn may_part(&self, key: ConnKey) -> bool {
        self.connections
            .get(key)
            .is_some_and(|conn| conn.is_open() && conn.journey == Journey::Left)
    }

    /// No operation refers to the socket any more: it goes to its new core with all the rest.
    pub fn on_parted(&mut self, key: ConnKey, socket: Socket) {
        let Some(departure) = self.moves.departures.remove(&key) else { return };
        let Some(there) = departure.there else { return };
        let Some(conn) = self.connections.remove(key) else { return };
        assert!(conn.outbound.is_at_rest(), "a send is under way");
        let caller = caller_of(&conn);
        let Connection { pauses, .. } = conn;
        let last = Last {
            socket,
            profile: conn.profile,
            access: std::sync::Arc::clone(&self.settings.access),
            outbound: conn.outbound,
            inbound: conn.inbound,
            counters: conn.counters,
            taken_msgs: conn.taken_msgs,
            keepalive: conn.keepalive,
            greeted: conn.greeted,
            is_slow: conn.is_slow,
            backlog: pauses.contains(Pauses::BUDGET).then_some(conn.stashed_at),
            is_stalled: pauses.contains(Pauses::STALL),
            moves: conn.leaning.moves + 1,
            is_judged: conn.proofs > 0,
            delivered: departure.delivered,
        };
        self.note_forward(key, departure.to, there, caller);
        self.moves.totals.done += 1;
        self.moves.has_news = true;
        let id = departure.id;
        self.moves.send(departure.to, Parcel::Last(Box::new(last)));
        self.tell_move(departure.to, id, MoveStep::Final);
    }

    /// A connection ends while it is on its way.
    pub(in crate::shard) fn abandon_move(&mut self, key: ConnKey) {
        if let Some(departure) = self.moves.departures.remove(&key) {
            self.moves.totals.abandoned += 1;
            self.moves.has_news = true;
            self.tell_move(departure.to, departure.id, MoveStep::Dead);
        }
    }
}
