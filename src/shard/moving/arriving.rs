//! A connection comes from another core.

use std::sync::Arc;

use tracing::debug;

use super::parcel::{First, Last, Parcel};
use crate::connection::{Connection, Gate, Journey, Pauses};
use crate::routing::NewSubscription;
use crate::security::Permit;
use crate::shard::Shard;
use crate::shard::effects::Close;
use crate::shard::frame::{MoveId, MoveStep};
use crate::types::limits::ARRIVALS_MAX;
use crate::types::mutation::{self, Mutation};
use crate::types::{CloseReason, ConnKey, Pattern, ShardId, ShardSet};

#[derive(Debug)]
pub struct Arrival {
    key: ConnKey,
    /// Cores that have not switched yet.
    closed_to: ShardSet,
    /// Its socket is here.
    is_here: bool,
}

impl Shard {
    /// Makes a connection without a socket, which gets what those send that have switched.
    pub(super) fn on_adopt(&mut self, from: ShardId, id: MoveId) {
        let Some(Parcel::First(first)) = self.moves.receive(from) else { return };
        let is_welcome = !self.moves.is_over
            && self.moves.arrivals.len() < ARRIVALS_MAX
            && Arc::ptr_eq(&first.access, &self.settings.access);
        if !is_welcome {
            return self.tell_move(from, id, MoveStep::Refused);
        }
        let now = self.now;
        let closed_to = match mutation::active(Mutation::OpenGates) {
            true => ShardSet::default(),
            false => self.all_others(),
        };
        let First { client, peer, start, .. } = *first;
        let key =
            self.connections.insert(|key| Connection::new(key, client, peer, start, now.mono));
        if let Some(conn) = self.connections.get_mut(key) {
            furnish(conn, &first);
            conn.closed_to = closed_to;
        }
        self.subscribe_rows(key, &first);
        self.moves.arrivals.insert(id, Arrival { key, closed_to, is_here: false });
        self.moves.switched = Some(now.mono);
        // Behind the interest that the subscriptions bring: that is pushed first.
        for shard in self.peers.others() {
            self.tell_move(shard, id, MoveStep::Switch(key));
        }
        self.tell_move(from, id, MoveStep::Marker);
    }

    fn subscribe_rows(&mut self, key: ConnKey, first: &First) {
        let (account, owner) = (first.account, key.slot);
        for row in &first.subs {
            let Some(pattern) = Pattern::parse(&row.pattern) else { continue };
            let (queue, sid) = (row.queue.as_deref(), &*row.sid);
            let sub =
                self.router.subscribe(NewSubscription { account, pattern, queue, sid, owner });
            self.router.subscription_mut(sub).add_delivered(row.delivered);
            let conn = self.connections.owner_mut(owner);
            conn.sids.insert(sub, &self.hasher, &self.router);
            if let Some(permit) = &mut conn.permit {
                // It was allowed; this tells which deliveries are to be looked at.
                permit.subscribe(&row.pattern, queue);
            }
        }
        self.interest_moved = true;
    }

    /// What follows from that core is delivered here.
    pub(super) fn on_first_marker(&mut self, from: ShardId, id: MoveId) {
        let Some(arrival) = self.moves.arrivals.get_mut(&id) else { return };
        arrival.closed_to = arrival.closed_to.without(from);
        if let Some(conn) = self.connections.get_mut(arrival.key) {
            conn.closed_to = arrival.closed_to;
        }
        if arrival.is_here && arrival.closed_to.is_empty() {
            self.moves.arrivals.remove(&id);
        }
    }

    /// The socket is here, and what the old core owed: the connection is whole again.
    pub(super) fn on_final(&mut self, from: ShardId, id: MoveId) {
        let Some(Parcel::Last(last)) = self.moves.receive(from) else { return };
        let Some(arrival) = self.moves.arrivals.get_mut(&id) else { return };
        arrival.is_here = true;
        let key = arrival.key;
        if arrival.closed_to.is_empty() {
            self.moves.arrivals.remove(&id);
        }
        let Some(conn) = self.connections.get_mut(key) else { return };
        if conn.is_open() {
            self.move_in(key, *last);
        } else {
            conn.journey = Journey::Settled;
            self.effects.take.push((key, last.socket));
            self.effects.close.push(Close { key, at_once: true });
        }
    }

    fn move_in(&mut self, key: ConnKey, last: Last) {
        let now = self.now.mono;
        let dwell_ns = self.moves.placement.dwell_ns(last.moves);
        let Some(conn) = self.connections.get_mut(key) else { return };
        conn.journey = Journey::Settled;
        conn.profile = last.profile;
        conn.inbound = last.inbound;
        conn.keepalive = last.keepalive;
        (conn.greeted, conn.is_slow) = (last.greeted, last.is_slow);
        conn.taken_msgs = last.taken_msgs;
        conn.counters.add(&last.counters);
        conn.leaning.begin(now);
        conn.leaning.moves = last.moves;
        conn.leaning.settled_until = now.plus(dwell_ns);
        let here = std::mem::take(&mut conn.outbound);
        let (mut first, second) = match mutation::active(Mutation::OldBehindNew) {
            true => (here, last.outbound),
            false => (last.outbound, here),
        };
        first.append(second);
        conn.outbound = first;
        conn.flush_listed = false;
        if let Some(since) = last.backlog {
            conn.stashed_at = since;
            conn.pauses.add(Pauses::BUDGET);
            self.backlog.push(key);
        }
        let check_at = conn.keepalive.next_check;
        let owed = conn.outbound.owed();
        debug!("{} - Client connection came to core {}", conn.label(), self.id);
        self.effects.take.push((key, last.socket));
        self.add_delivered(key, &last.delivered);
        self.check_keepalive_at(key, check_at);
        self.list_flush(key);
        if owed > self.settings.max_pending {
            self.cut_slow_consumer(key, CloseReason::SlowConsumerPendingBytes);
        } else if self.moves.is_over {
            self.close(key, CloseReason::ServerShutdown);
        }
        if last.is_stalled {
            self.stall(key);
        }
        // The users changed on one of the two cores, and not yet on the other, or it was in doubt.
        if last.is_judged || !Arc::ptr_eq(&last.access, &self.settings.access) {
            self.admit_again(key);
        }
    }

    /// What the old core delivered counts here too; what ended there ends here.
    fn add_delivered(&mut self, key: ConnKey, rows: &[(Box<[u8]>, u64)]) {
        let Some(conn) = self.connections.get(key) else { return };
        let subs: Vec<_> = conn.sids.iter().collect();
        for sub in subs {
            let sid = self.router.subscription(sub).sid();
            match rows.iter().find(|(known, _)| **known == *sid) {
                Some((_, count)) => self.router.subscription_mut(sub).add_delivered(*count),
                None => self.unsubscribe(sub),
            }
        }
    }

    /// It ended at its old core.
    pub(super) fn on_dead(&mut self, id: MoveId) {
        let Some(arrival) = self.moves.arrivals.remove(&id) else { return };
        let key = arrival.key;
        let Some(conn) = self.connections.get_mut(key) else { return };
        let producers = std::mem::take(&mut conn.stalled_producers);
        for sub in conn.sids.take() {
            self.router.unsubscribe(sub);
        }
        self.interest_moved = true;
        self.release(producers);
        self.tell_room(key);
        self.on_closed(key);
    }
}

/// Gives a connection what is known of it before its socket comes.
fn furnish(conn: &mut Connection, first: &First) {
    conn.account = first.account;
    conn.manners = first.manners;
    conn.gate = Gate::Open;
    conn.journey = Journey::Arriving;
    conn.formerly.clone_from(&first.formerly);
    let rules = first.login.as_ref().and_then(|user| user.rules.clone());
    conn.permit = rules.map(|rules| Box::new(Permit::new(rules)));
    conn.profile.login.clone_from(&first.login);
    conn.profile.label.clone_from(&first.label);
    // Nothing is sent before its socket is here.
    conn.flush_listed = true;
}
