//! What the control thread is shown of connections, and those that are remembered.

use std::collections::VecDeque;

use super::Shard;
#[cfg(feature = "testing")]
use super::peer::Peer;
use super::snapshot::ConnectionSnapshot;
use crate::connection::Connection;
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
            subscription_count: conn.sids.len() as u64,
            name: conn.profile.options.name.to_string(),
            lang: conn.profile.options.lang.to_string(),
            version: conn.profile.options.version.to_string(),
            account: "$G".to_owned(),
            authorized_user: conn.profile.user().to_owned(),
            subscriptions: Vec::new(),
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
