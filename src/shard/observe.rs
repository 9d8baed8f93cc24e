//! What the control thread is shown of connections, and those that are remembered.

use std::collections::VecDeque;

use super::Shard;
#[cfg(feature = "testing")]
use super::peer::Peer;
use super::snapshot::{ConnectionExtra, ConnectionSnapshot, LatencySnapshot, SlowSnapshot};
use crate::connection::Connection;
use crate::types::limits::{SLOW_SHOWN_NS_MIN, SLOW_SUBJECTS_SHOWN};
use crate::types::{CloseReason, ConnKey};

/// The last connections that ended.
#[derive(Debug, Default)]
pub struct ClosedLog {
    ended: VecDeque<ConnectionSnapshot>,
    /// Those that ended before them.
    forgotten: u64,
}

impl ClosedLog {
    pub fn len(&self) -> usize {
        self.ended.len()
    }

    /// The first that is remembered of those from number `at` on, counted since the start, and
    /// its number.
    pub fn from(&self, at: u64) -> Option<(u64, &ConnectionSnapshot)> {
        let at = at.max(self.forgotten);
        let row = self.ended.get(usize::try_from(at - self.forgotten).ok()?)?;
        Some((at, row))
    }
}

impl Shard {
    /// The most charged bytes under way to one other core.
    #[cfg(feature = "testing")]
    pub fn outstanding_most(&self) -> u64 {
        self.peers.all.iter().map(Peer::outstanding).max().unwrap_or_default()
    }

    /// The most that one open connection is owed.
    #[cfg(feature = "testing")]
    pub fn owed_most(&self) -> u64 {
        let open = self.connections.iter().filter(|conn| conn.is_open());
        open.map(|conn| conn.outbound.owed()).max().unwrap_or_default()
    }

    /// A row without its subscriptions.
    pub(super) fn snapshot(&self, conn: &Connection) -> ConnectionSnapshot {
        ConnectionSnapshot {
            client: conn.client,
            peer: conn.profile.peer,
            start: conn.profile.start,
            last_activity: self.now.wall_at(conn.keepalive.last_heard()),
            closed: None,
            rtt_ns: conn.keepalive.rtt_ns,
            pending_bytes: conn.outbound.owed(),
            in_msgs: conn.counters.in_msgs,
            in_bytes: conn.counters.in_bytes,
            out_msgs: conn.counters.out_msgs,
            out_bytes: conn.counters.out_bytes,
            stalls: conn.counters.stalls,
            extra: self.extra(conn),
            subscription_count: conn.sids.len() as u64,
            name: conn.profile.options.name.to_string(),
            lang: conn.profile.options.lang.to_string(),
            version: conn.profile.options.version.to_string(),
            account: "$G".to_owned(),
            authorized_user: conn.profile.user().to_owned(),
            subscriptions: Vec::new(),
        }
    }

    fn extra(&self, conn: &Connection) -> ConnectionExtra {
        ConnectionExtra {
            shard: self.id,
            waiting_ns: self.waiting_ns(conn),
            crowded_since: conn.is_crowded.then(|| self.now.wall_at(conn.crowded_since)),
            stalls_asked: conn.counters.stalls_asked,
        }
    }

    /// How long its oldest owed bytes have been with the kernel.
    fn waiting_ns(&self, conn: &Connection) -> u64 {
        let flush = conn.outbound.flush();
        if flush.left > 0 { self.now.mono.since(flush.began) } else { 0 }
    }

    /// Whether a connection is behind, and how.
    pub(super) fn slow_snapshot(&self, conn: &Connection) -> Option<SlowSnapshot> {
        let waiting_ns = self.waiting_ns(conn);
        if !conn.is_crowded && waiting_ns < SLOW_SHOWN_NS_MIN {
            return None;
        }
        let extra = self.extra(conn);
        let subs = conn.sids.iter().take(SLOW_SUBJECTS_SHOWN);
        let subject = |sub| String::from_utf8_lossy(self.router.pattern_of(sub).1).into_owned();
        Some(SlowSnapshot {
            client: conn.client,
            name: conn.profile.options.name.to_string(),
            peer: conn.profile.peer,
            pending_bytes: conn.outbound.owed(),
            waiting_ns,
            crowded_since: extra.crowded_since,
            stalls_asked: extra.stalls_asked,
            subjects: subs.map(subject).collect(),
        })
    }

    /// The figures of a shard that stand ready.
    pub(super) fn latency_snapshot(&self, counted: LatencySnapshot) -> LatencySnapshot {
        LatencySnapshot {
            shard: self.id,
            busy_ns: self.latencies.busy_ns,
            turns: self.totals.turns,
            in_msgs: self.totals.in_msgs,
            in_bytes: self.totals.in_bytes,
            out_msgs: self.totals.out_msgs,
            out_bytes: self.totals.out_bytes,
            hot: self.heat.snapshot(self.now.mono),
            ..counted
        }
    }

    pub(super) fn closed_snapshot(
        &self,
        key: ConnKey,
        reason: CloseReason,
    ) -> Option<ConnectionSnapshot> {
        let conn = self.connections.get(key)?;
        let mut snapshot = self.snapshot(conn);
        if conn.sids.len() <= CLOSED_SUBSCRIPTIONS_KEPT {
            snapshot
                .subscriptions
                .extend(conn.sids.iter().map(|sub| self.subscription_snapshot(sub)));
        }
        snapshot.closed = Some((self.now.wall, reason));
        Some(snapshot)
    }

    /// Keeps the last [`crate::connection::Settings::closed_kept`] of them.
    pub(super) fn remember_closed(&mut self, snapshot: Option<ConnectionSnapshot>) {
        self.closed.ended.extend(snapshot);
        while self.closed.ended.len() > self.settings.closed_kept {
            self.closed.ended.pop_front();
            self.closed.forgotten += 1;
        }
    }
}

/// A closed connection's subscriptions are remembered by name up to so many.
const CLOSED_SUBSCRIPTIONS_KEPT: usize = 16;
