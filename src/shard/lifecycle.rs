//! The life of a connection on its shard: greeting, keepalive, slowness, end.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use tracing::{debug, error, info};

use super::effects::Close;
use super::frame::{self, Origin};
use super::latency::Stage;
use super::timers::Due;
use super::{Shard, trace};
use crate::connection::outbound::{Flush, Run};
use crate::connection::{Connection, Journey, Late, Pauses, Phase, StalledProducer};
use crate::jetstream::API_LEVEL;
use crate::protocol::{ServerInfo, encode};
use crate::security::Nonce;
use crate::types::limits::{STALL_NS_MAX, Tuning};
use crate::types::mutation::{self, Mutation};
use crate::types::time::{Mono, SECOND};
use crate::types::{ClientId, CloseReason, ConnKey};

/// Keepalive, write deadline and stall; with more in the heap some are stale.
const TIMERS_PER_CONNECTION: usize = 4;
/// The heap may hold those of so many connections that are gone.
const IDLE_TIMERS: usize = 256;

/// A socket that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub client: ClientId,
    pub peer: SocketAddr,
    /// Over `max_connections`: greeted, told so, and closed.
    pub refused: bool,
}

/// What there was to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    Bytes,
    /// Something, that waits for the lanes to take what the connection published. It is listed
    /// for a flush again when they have.
    Held,
    Nothing,
}

impl Shard {
    /// Takes a new connection and greets it.
    pub fn on_opened(&mut self, opened: Opened) -> ConnKey {
        let now = self.now;
        self.totals.total_connections += 1;
        let key = self.connections.insert(|key| {
            let Opened { client, peer, .. } = opened;
            Connection::new(key, client, peer, now.wall, now.mono)
        });
        debug!("{} - Client connection created", self.label(key));
        self.send_info(key, false);
        if opened.refused {
            self.refuse_one_more(key);
        } else {
            self.check_keepalive_at(key, now.mono);
            self.guard(key);
        }
        key
    }

    fn refuse_one_more(&mut self, key: ConnKey) {
        self.send_error(key, "maximum connections exceeded");
        error!("{} - maximum connections exceeded", self.label(key));
        self.close(key, CloseReason::MaxConnectionsExceeded);
    }

    /// INFO for one connection: the greeting, or later news (`connect_info`: the answer to CONNECT).
    pub(super) fn send_info(&mut self, key: ConnKey, connect_info: bool) {
        let Some(conn) = self.connections.get(key) else { return };
        let identity = Arc::clone(&self.settings.identity);
        let nonce = self.settings.access.nonce(conn.client);
        let client_ip = conn.profile.peer.ip().to_canonical().to_string();
        let info = ServerInfo {
            server_id: &identity.server_id,
            server_name: &identity.server_name,
            version: &identity.version,
            proto: 1,
            git_commit: &identity.git_commit,
            go: &identity.go,
            host: &identity.host,
            port: identity.port,
            headers: !self.settings.no_header_support,
            jetstream: identity.jetstream,
            domain: &identity.domain,
            auth_required: self.settings.access.is_required(),
            nonce: nonce.as_ref().map_or("", Nonce::as_str),
            max_payload: self.settings.parser.max_payload,
            client_id: conn.client.0,
            client_ip: &client_ip,
            connect_urls: &identity.connect_urls,
            ldm: identity.lame_duck,
            connect_info,
            remote_account: if connect_info { "$G" } else { "" },
            // Sent even where JetStream is off.
            api_lvl: API_LEVEL,
            xkey: &identity.xkey,
            ..ServerInfo::default()
        };
        self.send(key, |out| encode::info(out, &info));
    }

    /// Tells every client that understands it that the server's facts changed.
    pub fn announce(&mut self) {
        for key in self.connections.keys() {
            if self.connections.get(key).is_some_and(|conn| conn.manners.async_info) {
                self.send_info(key, false);
            }
        }
    }

    /// The peer closed its end, or the socket failed.
    pub fn on_hangup(&mut self, key: ConnKey, reason: CloseReason) {
        let Some(conn) = self.connections.get_mut(key) else { return };
        conn.outbound.discard(&mut self.pool);
        if conn.is_open() {
            self.end(key, reason, true);
        } else {
            self.effects.close.push(Close { key, at_once: true });
        }
    }

    /// Ends a connection; what it is owed goes out first.
    pub(super) fn close(&mut self, key: ConnKey, reason: CloseReason) {
        if self.connections.get(key).is_some_and(Connection::is_open) {
            self.end(key, reason, false);
        }
    }

    /// Up to `count` connections are closed: the server stops, or may have fewer from now on.
    pub fn shed(&mut self, count: usize, reason: CloseReason) -> usize {
        let keys: Vec<_> = self
            .connections
            .iter()
            .filter(|conn| conn.is_open() && conn.journey != Journey::Arriving)
            .map(|conn| conn.key)
            .take(count)
            .collect();
        for key in &keys {
            if reason == CloseReason::MaxConnectionsExceeded {
                self.refuse_one_more(*key);
            } else {
                self.close(*key, reason);
            }
        }
        keys.len()
    }

    /// Cuts a subscriber whose debt is beyond its limit, or whose send takes too long.
    pub(super) fn cut_slow_consumer(&mut self, key: ConnKey, reason: CloseReason) {
        let label = self.label(key);
        if reason == CloseReason::SlowConsumerPendingBytes {
            self.totals.slow_consumers_pending += 1;
            let max = self.settings.max_pending;
            info!("{label} - Slow Consumer Detected: MaxPending of {max} Exceeded");
        } else {
            self.note_late_flush(key);
        }
        // Ended first: `/connz` shows what it owed.
        self.end(key, reason, true);
        if let Some(conn) = self.connections.get_mut(key) {
            conn.outbound.discard(&mut self.pool);
        }
    }

    /// A flush took longer than the deadline.
    fn note_late_flush(&mut self, key: ConnKey) {
        self.totals.slow_consumers_deadline += 1;
        let deadline = std::time::Duration::from_nanos(self.settings.write_deadline_ns);
        let Some(conn) = self.connections.get_mut(key) else { return };
        let Flush { bytes, chunks, .. } = conn.outbound.flush();
        let known = if std::mem::replace(&mut conn.is_slow, true) { "State" } else { "Detected" };
        info!(
            "{} - Slow Consumer {known}: WriteDeadline of {deadline:?} exceeded with {chunks} \
             chunks of {bytes} total bytes.",
            conn.label()
        );
    }

    fn end(&mut self, key: ConnKey, reason: CloseReason, at_once: bool) {
        let label = self.label(key);
        debug!("{label} - Client connection closed: {}", reason.text());
        let snapshot = self.closed_snapshot(key, reason);
        self.remember_closed(snapshot);
        let Some(conn) = self.connections.get_mut(key) else { return };
        conn.phase = Phase::Closing(reason);
        let is_leaving = matches!(conn.journey, Journey::Leaving | Journey::Left);
        let subs = conn.sids.take();
        let producers = std::mem::take(&mut conn.stalled_producers);
        let stash = conn.inbound.take();
        self.pool.give(stash);
        for sub in subs {
            if self.settings.trace.is_some() {
                trace::ended(&label, self.router.subscription(sub).sid());
            }
            self.router.unsubscribe(sub);
        }
        self.release(producers);
        self.give_room(key);
        self.interest_moved = true;
        if is_leaving {
            self.abandon_move(key);
        }
        self.effects.close.push(Close { key, at_once });
    }

    /// The socket is gone, and every operation on it complete.
    pub fn on_closed(&mut self, key: ConnKey) {
        if let Some(mut conn) = self.connections.remove(key) {
            conn.outbound.discard(&mut self.pool);
        }
    }

    /// Bytes for a socket that has no send in flight.
    pub fn take_outbound(&mut self, key: ConnKey, into: &mut Vec<Run>) -> Taken {
        let now = self.now.mono;
        let deadline = self.settings.write_deadline_ns;
        let Some(conn) = self.connections.get_mut(key) else { return Taken::Nothing };
        conn.flush_listed = false;
        if !conn.outbound.is_waiting() {
            return Taken::Nothing;
        }
        if conn.unpushed != 0 && !mutation::active(Mutation::RepliesNotHeld) {
            return Taken::Held;
        }
        let (stamp, waiting) = (conn.outbound.oldest(), conn.outbound.waiting_bytes());
        conn.outbound.take(now, into);
        let bytes = waiting - conn.outbound.waiting_bytes();
        let mut messages = conn.counters.out_msgs - conn.taken_msgs;
        if bytes < waiting {
            // A part of what is owed: as many messages as its share of the bytes.
            messages = messages * bytes as u64 / waiting as u64;
        }
        conn.taken_msgs += messages;
        self.latencies.on_taken(stamp.unwrap_or_default(), messages, bytes as u64);
        if !conn.write_watched {
            conn.write_watched = true;
            self.timers.set(now.plus(deadline), Due::WriteDeadline(key));
        }
        Taken::Bytes
    }

    /// The kernel took bytes of a connection. Whether more are waiting.
    pub fn on_sent(&mut self, key: ConnKey, bytes: usize) -> bool {
        let now = self.now.mono;
        let half = self.settings.max_pending / 2;
        let Tuning { drain_bytes_min, drain_trust_ns, drain_trust_behind_ns, .. } = self.tuning;
        let Some(conn) = self.connections.get_mut(key) else { return false };
        let was_behind = conn.outbound.owed() > half;
        let flushed = conn.outbound.on_sent(bytes, now);
        if let Some(flush) = &flushed {
            self.latencies.record(Stage::OutboundWait, now.since(flush.began));
        }
        if let Some(flush) = flushed
            && std::mem::take(&mut conn.is_slow)
        {
            let took = now.since(flush.began) as f64 / SECOND as f64;
            let Flush { chunks, bytes, .. } = flush;
            info!(
                "{} - Slow Consumer Recovered: Flush took {took:.3}s with {chunks} chunks of \
                 {bytes} total bytes.",
                conn.label()
            );
        }
        let trust_ns = if was_behind { drain_trust_behind_ns } else { drain_trust_ns };
        conn.outbound.earn_trust(drain_bytes_min, now.plus(trust_ns));
        let waiting = conn.outbound.is_waiting();
        let room_wanted = conn.has_room_waiters();
        if conn.is_crowded && conn.outbound.owed() < half {
            conn.is_crowded = false;
            let producers = std::mem::take(&mut conn.stalled_producers);
            self.release(producers);
        }
        if room_wanted {
            self.give_room(key);
        }
        waiting
    }

    /// A buffer whose bytes are sent.
    pub fn recycle(&mut self, run: Run) {
        if let Run::Owned(buffer) = run {
            self.pool.give(buffer);
        }
    }

    pub(super) fn list_flush(&mut self, key: ConnKey) {
        if let Some(conn) = self.connections.get_mut(key)
            && !conn.flush_listed
        {
            conn.flush_listed = true;
            self.effects.flush.push(key);
        }
    }

    /// A subscriber above three quarters of its limit asks its producer to wait, if it drains.
    /// JetStream does not: it delivers on credit.
    pub(super) fn ask_stall(&mut self, subscriber: ConnKey, producer: &Origin) {
        if producer.conn == frame::SERVICE {
            return;
        }
        let now = self.now.mono;
        let Some(conn) = self.connections.get_mut(subscriber) else { return };
        if !conn.outbound.is_draining(now) {
            return;
        }
        let Origin { shard, conn: producing, .. } = *producer;
        let mut listed = conn.stalled_producers.iter_mut();
        let listed = listed.find(|it| (it.shard, it.conn) == (shard, producing));
        // What is on its way needs no further asking; what comes after the stall does.
        let asks_again = listed.as_ref().is_none_or(|it| {
            now.since(it.asked) >= STALL_NS_MAX && !mutation::active(Mutation::StallOnce)
        });
        conn.counters.stalls_asked += u64::from(asks_again);
        match listed {
            Some(listed) if asks_again => listed.asked = now,
            Some(_) => {}
            None => {
                let asked = now;
                conn.stalled_producers.push(StalledProducer { shard, conn: producing, asked });
            }
        }
        if shard != self.id {
            if asks_again {
                frame::push_stall(&mut self.peers.of(shard).data, producing);
            }
        } else if let Some(conn) = self.connections.get_mut(producer.conn) {
            conn.stall_asked = true;
        }
    }

    /// A read of this connection is done: time to wait, if one of its subscribers asked for it.
    pub(super) fn end_of_read(&mut self, key: ConnKey) {
        if self.connections.get_mut(key).is_some_and(|conn| std::mem::take(&mut conn.stall_asked)) {
            self.stall(key);
        }
    }

    /// Stops reading a producer for [`STALL_NS_MAX`], or until its subscriber has drained.
    pub(super) fn stall(&mut self, key: ConnKey) {
        let now = self.now.mono;
        if let Some((shard, there)) = self.whereabouts(key) {
            return frame::push_stall(&mut self.peers.of(shard).data, there);
        }
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        if conn.pauses.contains(Pauses::STALL) {
            return;
        }
        conn.pauses.add(Pauses::STALL);
        conn.stalled_until = now.plus(STALL_NS_MAX);
        conn.counters.stalls += 1;
        self.totals.stalled_clients += 1;
        self.timers.set(conn.stalled_until, Due::StallEnd(key));
    }

    pub(super) fn release(&mut self, producers: Vec<StalledProducer>) {
        for StalledProducer { shard, conn, .. } in producers {
            if shard == self.id {
                self.unpause(conn, Pauses::STALL);
            } else {
                frame::push_release(&mut self.peers.of(shard).data, conn);
            }
        }
    }

    /// Does what is due at this time.
    pub fn run_timers(&mut self) {
        let now = self.now.mono;
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Keepalive(key) => self.check_keepalive(key),
                Due::StallEnd(key) => self.end_stall(key),
                Due::WriteDeadline(key) => self.check_write(key),
                Due::Login(key) => self.check_login(key),
            }
        }
        if self.timers.len() > TIMERS_PER_CONNECTION * (self.connections.len() + IDLE_TIMERS) {
            self.forget_stale_timers();
        }
    }

    /// Deadlines of connections that are gone, and of stalls that have ended, would otherwise
    /// stay until they are due.
    fn forget_stale_timers(&mut self) {
        let connections = &self.connections;
        self.timers.retain(|at, due| match due {
            Due::Keepalive(key) | Due::WriteDeadline(key) | Due::Login(key) => {
                connections.get(key).is_some()
            }
            Due::StallEnd(key) => connections.get(key).is_some_and(|conn| {
                conn.pauses.contains(Pauses::STALL) && conn.stalled_until == at
            }),
        });
    }

    /// A stall that was ended early may have been followed by another, which lasts longer.
    fn end_stall(&mut self, key: ConnKey) {
        let now = self.now.mono;
        if self.connections.get(key).is_some_and(|conn| conn.stalled_until <= now) {
            self.unpause(key, Pauses::STALL);
        }
    }

    pub(super) fn check_keepalive_at(&mut self, key: ConnKey, at: Mono) {
        if let Some(conn) = self.connections.get_mut(key) {
            conn.keepalive.next_check = at;
            self.timers.set(at, Due::Keepalive(key));
        }
    }

    fn check_keepalive(&mut self, key: ConnKey) {
        let now = self.now.mono;
        let (interval, max) = (self.settings.ping_interval_ns, self.settings.ping_max);
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        if now < conn.keepalive.next_check {
            return;
        }
        match conn.keepalive.check(now, interval, max) {
            Late::Until(at) => self.check_keepalive_at(key, at),
            Late::Ping(at) => {
                self.send(key, |out| out.extend_from_slice(encode::PING));
                self.check_keepalive_at(key, at);
            }
            Late::Stale => {
                self.totals.stale_connections += 1;
                debug!("{} - Stale Client Connection - Closing", self.label(key));
                self.send_error(key, "Stale Connection");
                self.close(key, CloseReason::StaleConnection);
            }
        }
    }

    fn check_write(&mut self, key: ConnKey) {
        let now = self.now.mono;
        let deadline = self.settings.write_deadline_ns;
        let Some(conn) = self.connections.get_mut(key) else { return };
        let flush = *conn.outbound.flush();
        if flush.is_overdue(now, deadline) {
            let goes_on = self.settings.write_retry && flush.left < flush.bytes;
            if !conn.is_open() {
                self.effects.close.push(Close { key, at_once: true });
            } else if goes_on {
                self.note_late_flush(key);
                self.begin_flush_again(key);
            } else {
                self.cut_slow_consumer(key, CloseReason::SlowConsumerWriteDeadline);
            }
        } else if conn.outbound.is_empty() {
            conn.write_watched = false;
        } else {
            self.timers.set(now.plus(deadline / 4), Due::WriteDeadline(key));
        }
    }

    fn begin_flush_again(&mut self, key: ConnKey) {
        let now = self.now.mono;
        if let Some(conn) = self.connections.get_mut(key) {
            conn.outbound.begin_flush(now);
            self.timers.set(now.plus(self.settings.write_deadline_ns / 4), Due::WriteDeadline(key));
        }
    }

    /// How log lines name a connection.
    pub(super) fn label(&self, key: ConnKey) -> String {
        self.connections.get(key).map_or_else(String::new, Connection::label)
    }
}
