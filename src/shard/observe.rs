//! Snapshots for the control thread, taken between two commands.

use std::collections::VecDeque;

use super::Shard;
#[cfg(feature = "testing")]
use super::peer::Peer;
use super::snapshot::{
    Answer, ConnectionQuery, ConnectionSnapshot, ConnectionState, Query, SubscriptionQuery,
    SubscriptionSnapshot, Totals,
};
use crate::connection::Connection;
use crate::routing::SubKey;
use crate::types::{CloseReason, ConnKey, Pattern};

/// The last connections that ended.
#[derive(Debug, Default)]
pub struct ClosedLog {
    ended: VecDeque<ConnectionSnapshot>,
}

impl Shard {
    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Totals => Answer::Totals(Box::new(self.totals_now())),
            Query::Connections(query) => Answer::Connections(self.connections_now(query)),
            Query::Subscriptions(query) => Answer::Subscriptions(self.subscriptions_now(query)),
        }
    }

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

    fn totals_now(&self) -> Totals {
        let open = self.connections.iter().filter(|conn| conn.is_open());
        let mut totals = self.totals.clone();
        totals.connections = open.clone().count() as u64;
        totals.pending_bytes = open.map(|conn| conn.outbound.owed()).sum();
        totals.closed_connections = self.closed.ended.len() as u64;
        totals.routing = self.router.totals();
        totals
    }

    fn connections_now(&self, query: &ConnectionQuery) -> Vec<ConnectionSnapshot> {
        let wanted = |client| query.client.is_none_or(|only| only == client);
        let mut rows = Vec::new();
        if query.state != ConnectionState::Closed {
            let open = self.connections.iter().filter(|conn| conn.is_open() && wanted(conn.client));
            rows.extend(
                open.filter(|conn| self.has_subject(conn, query.filter_subject.as_deref()))
                    .map(|conn| self.snapshot(conn, query.with_subscriptions)),
            );
        }
        if query.state != ConnectionState::Open {
            rows.extend(self.closed.ended.iter().filter(|row| wanted(row.client)).cloned());
        }
        rows
    }

    fn has_subject(&self, conn: &Connection, filter: Option<&[u8]>) -> bool {
        let Some(filter) = filter else { return true };
        conn.sids.iter().any(|sub| {
            let (_, pattern) = self.router.pattern_of(sub);
            Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(filter))
        })
    }

    fn subscriptions_now(&self, query: &SubscriptionQuery) -> Vec<SubscriptionSnapshot> {
        let matches = |sub: SubKey| {
            let Some(test) = query.test.as_deref() else { return true };
            let (_, pattern) = self.router.pattern_of(sub);
            Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(test))
        };
        self.connections
            .iter()
            .flat_map(|conn| conn.sids.iter())
            .filter(|sub| matches(*sub))
            .take(query.limit)
            .map(|sub| self.subscription_snapshot(sub))
            .collect()
    }

    fn subscription_snapshot(&self, sub: SubKey) -> SubscriptionSnapshot {
        let subscription = self.router.subscription(sub);
        let (_, pattern) = self.router.pattern_of(sub);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubscriptionSnapshot {
            account: "$G".to_owned(),
            subject: text(pattern),
            queue: text(self.router.queue_of(sub).unwrap_or_default()),
            sid: text(subscription.sid()),
            msgs: subscription.delivered(),
            max: subscription.max(),
            client: self.connections.owner(subscription.owner()).client,
        }
    }

    fn snapshot(&self, conn: &Connection, with_subscriptions: bool) -> ConnectionSnapshot {
        let subscriptions = if with_subscriptions {
            conn.sids.iter().map(|sub| self.subscription_snapshot(sub)).collect()
        } else {
            Vec::new()
        };
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
            subscriptions,
        }
    }

    pub(super) fn closed_snapshot(
        &self,
        key: ConnKey,
        reason: CloseReason,
    ) -> Option<ConnectionSnapshot> {
        let conn = self.connections.get(key)?;
        let mut snapshot = self.snapshot(conn, conn.sids.len() <= CLOSED_SUBSCRIPTIONS_KEPT);
        snapshot.closed = Some((self.now.wall, reason));
        Some(snapshot)
    }

    /// Keeps the last [`crate::connection::Settings::closed_kept`] of them.
    pub(super) fn remember_closed(&mut self, snapshot: Option<ConnectionSnapshot>) {
        self.closed.ended.extend(snapshot);
        while self.closed.ended.len() > self.settings.closed_kept {
            self.closed.ended.pop_front();
        }
    }
}

/// A closed connection's subscriptions are remembered by name up to so many.
const CLOSED_SUBSCRIPTIONS_KEPT: usize = 16;
