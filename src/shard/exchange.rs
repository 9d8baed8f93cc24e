//! This shard's side of the lanes: taking in what other cores sent, handing over what they want.

use super::Shard;
use super::frame::{self, Frame, Message};
use crate::connection::outbound::{Source, Stamp};
use crate::mesh::Port;
use crate::types::mutation::{self, Mutation};
use crate::types::{ConnKey, Mono, ShardId};

/// A batch from another core, processed up to `at`.
#[derive(Debug, Default)]
pub struct Inbox {
    batch: Vec<u8>,
    at: usize,
    from: ShardId,
    /// When the oldest of its messages was read from a socket.
    began: Mono,
}

impl Shard {
    /// Step 2 of the turn. Takes in what the lanes held at this look, interest first, within the
    /// turn's budget. Whether that was all: only then may the bytes of sockets be processed.
    pub fn absorb(&mut self, port: &mut Port) -> bool {
        if self.inbox.is_done() && port.is_drained() {
            if !port.rung() {
                return true;
            }
            port.look();
        }
        while let Some(from) = port.pop_interest(&mut self.interest) {
            self.router.apply_interest(from, &self.interest).expect("our own encoding");
            self.interest_moved = true;
        }
        let mut budget = self.tuning.turn_peer_bytes;
        loop {
            if !self.process_inbox(&mut budget) {
                return false;
            }
            let mut inbox = std::mem::take(&mut self.inbox);
            let next = port.pop_data(&mut inbox.batch);
            inbox.at = 0;
            if next.is_some() {
                inbox.began = self.on_batch(&inbox.batch);
            }
            inbox.from = next.unwrap_or_default();
            if next.is_none() {
                inbox.batch.clear();
            }
            self.inbox = inbox;
            if next.is_none() {
                return true;
            }
        }
    }

    /// Whether the batch at hand is done.
    fn process_inbox(&mut self, budget: &mut usize) -> bool {
        let mut inbox = std::mem::take(&mut self.inbox);
        self.pool.stamp = Stamp { at: inbox.began, source: Source::Peer };
        self.source = inbox.from;
        while let Some((frame, length)) = frame::first(&inbox.batch[inbox.at..]) {
            if *budget == 0 || self.effects.outbound_bytes > self.tuning.turn_outbound_bytes {
                self.inbox = inbox;
                self.source = self.id;
                return false;
            }
            *budget = budget.saturating_sub(length);
            self.on_frame(inbox.from, frame, length);
            inbox.at += length;
        }
        self.inbox = inbox;
        self.source = self.id;
        true
    }

    fn on_frame(&mut self, from: ShardId, frame: Frame<'_>, length: usize) {
        match frame {
            Frame::Message { origin, account, ask, route, publish, plain, charged, groups } => {
                let tail = publish.tail.expect("frames carry their tail");
                let message = Message { origin, account, route, publish: &publish, tail, ask };
                self.deliver_from_peer(&message, plain, groups);
                if charged {
                    self.peers.of(from).on_consumed(length);
                }
            }
            Frame::Nobody { ask, subject, reply } => {
                self.on_nobody(ask, subject, reply);
                self.cut_doomed();
            }
            Frame::Credit(bytes) => {
                for key in self.peers.of(from).on_credit(bytes) {
                    self.on_credit_for(key);
                }
            }
            Frame::Stall(key) => self.stall(key),
            Frame::Times => {}
            Frame::Probe { id, account, route } => self.on_probe(from, id, account, route),
            Frame::Probed(id) => self.on_probed(id),
            Frame::Meta(bytes) => self.on_meta(from, bytes),
            Frame::Move(id, step) => self.on_move(from, id, step),
            Frame::Bounce { conn, subject, reply } => {
                self.bounce(conn, subject, reply);
                self.cut_doomed();
            }
            Frame::Release(key) => self.unpause(key, crate::connection::Pauses::STALL),
        }
    }

    /// Measures the way of a batch. When the oldest of its messages was read from a socket.
    fn on_batch(&mut self, batch: &[u8]) -> Mono {
        let Some((began, pushed)) = frame::times(batch) else { return self.now.mono };
        self.latencies.on_hop(self.now.mono.since(pushed), batch.len() as u64);
        began
    }

    /// A connection had waited for credit; it goes on if no other core keeps it waiting.
    fn on_credit_for(&mut self, key: ConnKey) {
        let waits = self.peers.all.iter().any(|peer| peer.waiting.contains(&key));
        if !waits {
            self.unpause(key, crate::connection::Pauses::CREDIT);
        }
    }

    /// Step 4 of the turn. Interest goes to all peers before any data goes to one: a core that
    /// sees a message of ours, or hears from one that did, has seen what we want.
    pub fn push(&mut self, port: &mut Port) {
        self.interest.clear();
        self.moves.has_news = false;
        self.router.encode_interest_changes(&mut self.interest);
        let changed = !self.interest.is_empty();
        self.interest_blocked = false;
        let others = self.peers.others();
        if mutation::active(Mutation::InterestAfterData) {
            self.push_data(port);
        }
        for shard in others {
            let peer = &mut self.peers.all[shard.index()];
            if changed && !(mutation::active(Mutation::SkipLane) && shard.0 == 1) {
                peer.interest.extend_from_slice(&self.interest);
            }
            if !peer.interest.is_empty() {
                let full = port.push_interest(shard, &mut peer.interest).is_err();
                self.interest_blocked |= full;
            }
        }
        if self.interest_blocked {
            return;
        }
        self.push_data(port);
    }

    fn push_data(&mut self, port: &mut Port) {
        for shard in self.peers.others() {
            let peer = &mut self.peers.all[shard.index()];
            if peer.data.is_empty() {
                continue;
            }
            peer.close_batch(self.latencies.obtained, self.now.mono);
            if port.push_data(shard, &mut peer.data).is_ok() {
                peer.on_taken();
                self.totals.peer_batches += 1;
                self.on_pushed(shard);
            }
        }
    }

    /// The lane took everything: replies of those who published it may go out.
    fn on_pushed(&mut self, shard: ShardId) {
        let mut contributors = std::mem::take(&mut self.peers.of(shard).contributors);
        for key in contributors.drain(..) {
            let Some(conn) = self.connections.get_mut(key) else { continue };
            conn.unpushed &= !(1 << shard.0);
            if conn.unpushed == 0 && conn.outbound.is_waiting() {
                self.list_flush(key);
            }
        }
        self.peers.of(shard).contributors = contributors;
    }
}

impl Inbox {
    pub fn is_done(&self) -> bool {
        self.at >= self.batch.len()
    }
}
