//! A message on its way through one core: to the subscribers here, and to the cores that have more.
//!
//! Cost of a small message: one route look-up, and per subscriber one copy from the read buffer
//! into its outbound bytes; per other core one copy into its batch.

use std::rc::Rc;

use bytes::Bytes;

use super::frame::{self, GroupPart, Groups, Message, Origin, SERVICE};
use super::{Shard, trace};
use crate::connection::{Connection, Pauses, Phase};
use crate::protocol::encode::{self, Kind};
use crate::routing::{Fanout, GroupFanout, Pick, SubKey, Subscription};
use crate::types::mutation::{self, Mutation};
use crate::types::{AccountId, CloseReason, ConnKey, ShardId, ShardSet, Subject};

/// Forms of one message that are made at most once, however many subscribers there are.
#[derive(Debug, Default)]
pub struct Forms {
    /// A large tail, for all to refer to.
    tail: Option<Bytes>,
    /// The tail with the headers taken out, for clients that don't understand them.
    stripped: Option<Bytes>,
}

/// A part of a message for another core.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    shard: ShardId,
    /// Which of the fan-out's groups it serves.
    group: usize,
}

/// Lists used while one message is delivered, kept for their capacity.
#[derive(Debug, Default)]
pub struct Scratch {
    parts: Vec<Part>,
    /// Subscriptions that had their last message.
    spent: Vec<SubKey>,
    /// Subscribers that owe too much.
    doomed: Vec<ConnKey>,
    /// Subscribers that would like their producer to wait.
    crowded: Vec<ConnKey>,
    /// A part of a queue message goes to any member, also to one that another core answers for.
    takes_all: bool,
}

/// Who got a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reached {
    Somebody,
    /// Other cores were asked, and will say if nobody is there.
    Unknown,
    Nobody,
}

impl Shard {
    /// Who wants a message. `None`: its subject is none, and matches nothing.
    pub(super) fn route(&mut self, account: AccountId, subject: &[u8]) -> Option<Rc<Fanout>> {
        if let Some(fanout) = self.router.again(account, subject) {
            return Some(fanout);
        }
        Subject::parse(subject).map(|subject| self.router.route(account, subject))
    }

    /// Delivers a message that was published on this core.
    /// `asking`: the publisher wants to know if nobody gets it.
    pub(super) fn fan_out(
        &mut self,
        message: &mut Message<'_>,
        fanout: &Rc<Fanout>,
        whole: Option<&Bytes>,
        asking: bool,
    ) -> Reached {
        let mut forms = Forms::default();
        let mut delivered = false;
        self.leans_to = self.id;
        for &sub in &fanout.plain {
            delivered |= self.deliver(sub, message, whole, &mut forms);
        }
        for (group, members) in fanout.groups.iter().enumerate() {
            match self.pick(members, message, whole, &mut forms) {
                Chosen::Delivered => delivered = true,
                Chosen::Remote(shard) => self.scratch.parts.push(Part { shard, group }),
                Chosen::Nobody => {}
            }
        }
        self.count_way(message, fanout, delivered);
        let mut reached = if delivered { Reached::Somebody } else { Reached::Nobody };
        if !fanout.remote.is_empty() || !self.scratch.parts.is_empty() {
            if asking && !delivered {
                message.ask = self.peers.asks.open(message.origin.conn);
            }
            self.forward(message, fanout);
            if !delivered {
                reached = Reached::Unknown;
            }
        }
        self.settle(&message.origin);
        reached
    }

    /// Serves the subscribers of this core with a message from another one.
    /// Returns whether each part that was meant for this core found somebody, or went on.
    pub(super) fn deliver_from_peer(
        &mut self,
        message: &Message<'_>,
        plain: bool,
        groups: Groups<'_>,
    ) {
        let Some(fanout) = self.route(message.account, message.routed_by()) else { return };
        let mut forms = Forms::default();
        let is_for_one = fanout.plain.len() <= 1;
        self.leans_to = if is_for_one { self.source } else { self.id };
        if plain {
            let mut delivered = false;
            for &sub in &fanout.plain {
                delivered |= self.deliver(sub, message, None, &mut forms);
            }
            if !delivered {
                self.report_nobody(message);
            }
        }
        for part in groups {
            self.serve_group(message, &fanout, part, &mut forms);
        }
        self.settle(&message.origin);
    }

    /// One member here, or another core that has not been tried, or a report to the origin.
    fn serve_group(
        &mut self,
        message: &Message<'_>,
        fanout: &Fanout,
        part: GroupPart<'_>,
        forms: &mut Forms,
    ) {
        let members = fanout.group(part.name);
        if members.is_some_and(|members| self.pick_here(members, message, forms)) {
            return;
        }
        let tried = ShardSet::from_bits(part.tried).with(self.id);
        if let Some(members) = members
            && !mutation::active(Mutation::DropReroute)
        {
            if self.send_on(message, members, GroupPart { tried: tried.to_bits(), ..part }) {
                return;
            }
            // A member on its way here, or away: the other end answers for this message, but is
            // not there yet, or no more.
            self.scratch.takes_all = true;
            let is_taken = self.pick_here(members, message, forms);
            self.scratch.takes_all = false;
            if is_taken {
                return;
            }
            if self.moves.tries_again(part.rounds, self.now.mono) {
                let tried = ShardSet::default().with(self.id).to_bits();
                let part = GroupPart { tried, rounds: part.rounds + 1, ..part };
                if self.send_on(message, members, part) {
                    return;
                }
            }
        }
        self.report_nobody(message);
    }

    /// Sends a part of a message to a core that has not been tried. Whether there is one.
    fn send_on(
        &mut self,
        message: &Message<'_>,
        members: &GroupFanout,
        part: GroupPart<'_>,
    ) -> bool {
        let random = self.random.next();
        let tried = ShardSet::from_bits(part.tried);
        let next = members.pick_among(random, self.id, tried, |_| false);
        let Some(Pick::Remote(shard)) = next else { return false };
        let peer = self.peers.of(shard);
        frame::push_message(&mut peer.data, message, false, false, std::iter::once(part));
        true
    }

    /// A part of the message met nobody here; its origin may be waiting to hear that.
    fn report_nobody(&mut self, message: &Message<'_>) {
        if message.ask == 0 {
            return;
        }
        let (subject, reply) = (message.publish.subject, message.publish.reply.unwrap_or_default());
        if message.origin.shard == self.id {
            self.on_nobody(message.ask, subject, reply);
        } else {
            let peer = self.peers.of(message.origin.shard);
            frame::push_nobody(&mut peer.data, message.ask, subject, reply);
        }
    }

    /// A core reports that its part of a message met nobody.
    pub(super) fn on_nobody(&mut self, ask: u32, subject: &[u8], reply: &[u8]) {
        if mutation::active(Mutation::NobodyUnheard) {
            return;
        }
        if let Some(publisher) = self.peers.asks.on_nobody(ask) {
            self.no_responders(publisher, subject, reply);
        }
    }

    /// Tells a requester that nobody is there, on its own subscription for the reply. The caller
    /// sees to [`Shard::cut_doomed`].
    pub(super) fn no_responders(&mut self, requester: ConnKey, subject: &[u8], reply: &[u8]) {
        if let Some((shard, there)) = self.whereabouts(requester) {
            let peer = self.peers.of(shard);
            return frame::push_bounce(&mut peer.data, there, subject, reply);
        }
        let Some(reply_subject) = Subject::parse(reply) else { return };
        let Some(account) = self.connections.get(requester).map(|found| found.account) else {
            return;
        };
        let fanout = self.router.route(account, reply_subject);
        let own = fanout
            .plain
            .iter()
            .find(|sub| self.router.subscription(**sub).owner() == requester.slot)
            .copied();
        let (Some(sub), Some(conn)) = (own, self.connections.get_mut(requester)) else { return };
        if !conn.is_open() {
            return;
        }
        let sid = self.router.subscription(sub).sid();
        encode::no_responders(conn.outbound.buffer(&mut self.pool), reply, sid, subject);
        if conn.outbound.owed() > self.settings.max_pending {
            conn.phase = Phase::Closing(CloseReason::SlowConsumerPendingBytes);
            self.scratch.doomed.push(requester);
        }
        self.list_flush(requester);
    }

    /// The same, if the requester cares to hear it.
    pub(super) fn bounce(&mut self, requester: ConnKey, subject: &[u8], reply: &[u8]) {
        let conn = self.connections.get(requester);
        if conn.is_none_or(|conn| conn.manners.no_responders) {
            self.no_responders(requester, subject, reply);
        }
    }

    /// Notes to which core a message of a connection went, if to one alone.
    fn count_way(&mut self, message: &Message<'_>, fanout: &Fanout, delivered: bool) {
        if !self.moves.placement.is_on || message.origin.conn == SERVICE {
            return;
        }
        let mut targets = fanout.remote;
        self.scratch.parts.iter().for_each(|part| targets.insert(part.shard));
        let way = match (delivered, targets.len()) {
            (false, 0) => return,
            (false, 1) => targets.iter().next().unwrap_or(self.id),
            _ => self.id,
        };
        if let Some(conn) = self.connections.get_mut(message.origin.conn) {
            self.moves.placement.count(conn.key, &mut conn.leaning, way);
        }
    }

    /// Picks a member of a queue group among all cores: one of this core gets the message at
    /// once.
    fn pick(
        &mut self,
        members: &GroupFanout,
        message: &Message<'_>,
        whole: Option<&Bytes>,
        forms: &mut Forms,
    ) -> Chosen {
        let random = self.random.next();
        let subject = message.publish.subject;
        match members.pick(random, |sub| !self.takes(sub, subject, &message.origin)) {
            Some(Pick::Local(sub)) if self.deliver(sub, message, whole, forms) => Chosen::Delivered,
            Some(Pick::Remote(shard)) => Chosen::Remote(shard),
            _ => Chosen::Nobody,
        }
    }

    /// Picks among the members of this core only.
    fn pick_here(
        &mut self,
        members: &GroupFanout,
        message: &Message<'_>,
        forms: &mut Forms,
    ) -> bool {
        let random = self.random.next();
        let subject = message.publish.subject;
        members
            .pick_local(random, |sub| !self.takes(sub, subject, &message.origin))
            .is_some_and(|sub| self.deliver(sub, message, None, forms))
    }

    /// Whether a subscription would get a message of this origin.
    fn takes(&self, sub: SubKey, subject: &[u8], origin: &Origin) -> bool {
        let subscription = self.router.subscription(sub);
        if subscription.owner() == SERVICE.slot {
            return true;
        }
        let conn = self.connections.owner(subscription.owner());
        let is_shut = conn.closed_to.contains(self.source) && !self.scratch.takes_all;
        let takes = conn.is_open()
            && !is_shut
            && !is_spent(subscription)
            && !refuses_own(conn, origin, self.id);
        takes
            && conn
                .permit
                .as_ref()
                .is_none_or(|permit| permit.delivers(subject, self.router.queue_of(sub)))
    }

    /// Writes the message into one subscriber's outbound bytes.
    fn deliver(
        &mut self,
        sub: SubKey,
        message: &Message<'_>,
        whole: Option<&Bytes>,
        forms: &mut Forms,
    ) -> bool {
        let subscription = self.router.subscription(sub);
        if subscription.owner() == SERVICE.slot {
            return self.serve(sub, message);
        }
        let conn = self.connections.owner_mut(subscription.owner());
        let own = refuses_own(conn, &message.origin, self.id);
        let is_shut = conn.closed_to.contains(self.source) && !self.scratch.takes_all;
        if own || is_shut || !conn.is_open() || is_spent(subscription) {
            return false;
        }
        if let Some(permit) = &mut conn.permit {
            if !permit.delivers(message.publish.subject, self.router.queue_of(sub)) {
                return false;
            }
            if let Some(reply) = message.publish.reply {
                permit.on_delivered(reply, self.now.mono);
            }
        }
        let subscription = self.router.subscription_mut(sub);
        if subscription.count_delivery() {
            self.scratch.spent.push(sub);
        }
        let publish = message.publish;
        if conn.is_crowded && self.settings.no_stall && message.origin.conn != SERVICE {
            // It misses the message, which counts for it as in the reference.
            conn.counters.out_msgs += 1;
            conn.counters.out_bytes += publish.payload.len() as u64;
            return false;
        }
        let kind = if conn.manners.headers { Kind::of(publish) } else { Kind::Msg };
        let body_len = if kind == Kind::of(publish) {
            let out = conn.outbound.buffer(&mut self.pool);
            if publish.payload.len() < self.tuning.shared_payload_bytes {
                encode::msg_with_tail(out, kind, publish.subject, subscription.sid(), message.tail);
            } else {
                encode::msg_with_tail(out, kind, publish.subject, subscription.sid(), b"");
                let tail = forms.tail.get_or_insert_with(|| share(message.tail, whole));
                conn.outbound.share(tail.clone());
            }
            publish.payload.len()
        } else {
            let tail = forms.stripped.get_or_insert_with(|| {
                let mut tail = Vec::new();
                encode::build_stripped_tail(&mut tail, publish);
                Bytes::from(tail)
            });
            let out = conn.outbound.buffer(&mut self.pool);
            if publish.payload.len() < self.tuning.shared_payload_bytes {
                encode::msg_with_tail(out, kind, publish.subject, subscription.sid(), tail);
            } else {
                encode::msg_with_tail(out, kind, publish.subject, subscription.sid(), b"");
                conn.outbound.share(tail.clone());
            }
            publish.payload.len() - publish.header_len
        };
        if let Some(how) = &self.settings.trace {
            trace::delivery(&conn.label(), kind, subscription.sid(), publish, how);
        }
        conn.counters.out_msgs += 1;
        conn.counters.out_bytes += body_len as u64;
        let placement = &mut self.moves.placement;
        if placement.is_on {
            placement.count(conn.key, &mut conn.leaning, self.leans_to);
        }
        self.totals.out_msgs += 1;
        self.totals.out_bytes += body_len as u64;
        self.effects.outbound_bytes += message.tail.len();
        if !conn.flush_listed {
            conn.flush_listed = true;
            self.effects.flush.push(conn.key);
        }
        let owed = conn.outbound.owed();
        if owed > self.settings.max_pending {
            conn.phase = Phase::Closing(CloseReason::SlowConsumerPendingBytes);
            self.scratch.doomed.push(conn.key);
        } else if owed > self.settings.max_pending / 4 * 3 {
            if !std::mem::replace(&mut conn.is_crowded, true) {
                conn.crowded_since = self.now.mono;
            }
            self.scratch.crowded.push(conn.key);
        }
        true
    }

    /// One frame per core that has plain subscribers or was picked for a group.
    fn forward(&mut self, message: &Message<'_>, fanout: &Rc<Fanout>) {
        let parts = std::mem::take(&mut self.scratch.parts);
        let mut targets = fanout.remote;
        for part in &parts {
            targets.insert(part.shard);
        }
        for shard in targets.iter() {
            let plain = fanout.remote.contains(shard);
            let groups = parts.iter().filter(|part| part.shard == shard);
            if message.ask != 0 {
                let count = u32::from(plain) + groups.clone().count() as u32;
                (0..count).for_each(|_| self.peers.asks.add_part(message.ask));
            }
            let names = groups.map(|part| GroupPart {
                name: &fanout.groups[part.group].queue,
                tried: 0,
                rounds: 0,
            });
            let peer = self.peers.of(shard);
            let bytes = frame::push_message(&mut peer.data, message, plain, true, names);
            self.effects.outbound_bytes += bytes;
            self.totals.peer_msgs += 1;
            self.charge(shard, bytes, message.origin.conn);
        }
        self.scratch.parts = parts;
        self.scratch.parts.clear();
    }

    /// Socket input for another core uses up credit; without it its publisher is not read.
    fn charge(&mut self, shard: ShardId, bytes: usize, publisher: ConnKey) {
        let peer = self.peers.of(shard);
        let exhausted = peer.charge(bytes) && !mutation::active(Mutation::IgnoreCredit);
        let Some(conn) = self.connections.get_mut(publisher) else { return };
        let bit = 1 << shard.0;
        if conn.unpushed & bit == 0 {
            conn.unpushed |= bit;
            peer.contributors.push(publisher);
        }
        if exhausted && !peer.waiting.contains(&publisher) {
            peer.waiting.push(publisher);
            conn.pauses.add(Pauses::CREDIT);
        }
    }

    /// Ends those who turned out to owe too much while a list of subscribers was walked.
    pub(super) fn cut_doomed(&mut self) {
        while let Some(key) = self.scratch.doomed.pop() {
            self.cut_slow_consumer(key, CloseReason::SlowConsumerPendingBytes);
        }
    }

    /// What a delivery brought about, done when no list of subscribers is being walked any more.
    fn settle(&mut self, origin: &Origin) {
        while let Some(sub) = self.scratch.spent.pop() {
            self.unsubscribe(sub);
        }
        self.cut_doomed();
        while let Some(key) = self.scratch.crowded.pop() {
            if !self.settings.no_stall {
                self.ask_stall(key, origin);
            }
        }
    }
}

enum Chosen {
    Delivered,
    Remote(ShardId),
    Nobody,
}

/// It has had all the messages its `UNSUB max` allows, and is about to go.
fn is_spent(subscription: &Subscription) -> bool {
    let max = subscription.max();
    max != 0 && subscription.delivered() >= max
}

/// The publisher's own connection, with echo off.
fn refuses_own(conn: &Connection, origin: &Origin, here: ShardId) -> bool {
    !origin.echo
        && (conn.key == origin.conn && origin.shard == here
            || conn.formerly.contains(&(origin.shard, origin.conn)))
}

/// The tail as a counted reference: of the publisher's own buffer where the message has one, and
/// is most of it (a subscriber that owes a little must not keep a lot).
fn share(tail: &[u8], whole: Option<&Bytes>) -> Bytes {
    let is_most = |whole: &Bytes| tail.len() >= whole.len() / 2;
    match whole.filter(|whole| is_most(whole)) {
        Some(whole) if whole.as_ptr_range().contains(&tail.as_ptr()) => whole.slice_ref(tail),
        _ => Bytes::copy_from_slice(tail),
    }
}
