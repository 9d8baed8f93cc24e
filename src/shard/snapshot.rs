//! What a shard tells the control thread: plain values, taken between two commands.
//!
//! The monitoring views are built from these; a shard never formats JSON.

use std::net::SocketAddr;

use hdrhistogram::Histogram;

use super::moving::MoveTotals;
use crate::jetstream::{Figures, FiguresQuery};
pub use crate::routing::RoutingTotals;
use crate::types::{ClientId, CloseReason, ShardId, Wall};

/// A question of the control thread, answered in slices ([`super::survey`]).
#[derive(Clone, Debug)]
pub enum Query {
    Totals,
    Connections(ConnectionQuery),
    Subscriptions(SubscriptionQuery),
    JetStream(FiguresQuery),
    Latencies,
}

#[derive(Clone, Debug)]
pub enum Answer {
    Totals(Box<Totals>),
    Connections(Vec<ConnectionSnapshot>),
    Subscriptions(Vec<SubscriptionSnapshot>),
    /// With JetStream off there are none.
    JetStream(Box<Figures>),
    Latencies(Box<LatencySnapshot>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ConnectionState {
    #[default]
    Open,
    Closed,
    All,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectionQuery {
    pub state: ConnectionState,
    /// Only this connection.
    pub client: Option<ClientId>,
    /// Fill [`ConnectionSnapshot::subscriptions`].
    pub with_subscriptions: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionQuery {
    /// Only subscriptions whose pattern matches this literal subject (`/subsz?test=`).
    pub test: Option<Vec<u8>>,
    /// At most so many rows.
    pub limit: usize,
}

/// Counters of one shard since start, and gauges of now.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub shard: ShardId,
    pub connections: u64,
    /// Connections accepted since start.
    pub total_connections: u64,
    /// Ended connections still remembered.
    pub closed_connections: u64,
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    /// Cut for bytes owed.
    pub slow_consumers_pending: u64,
    /// Cut because a send took too long.
    pub slow_consumers_deadline: u64,
    pub stale_connections: u64,
    /// Reads delayed for the sake of a slow subscriber.
    pub stalled_clients: u64,
    pub routing: RoutingTotals,
    /// Bytes of outbound messages waiting in all connections.
    pub pending_bytes: u64,
    /// Messages sent to other shards, and the batches that carried them.
    pub peer_msgs: u64,
    pub peer_batches: u64,
    pub moves: MoveTotals,
    pub turns: u64,
}

/// How long things took on one shard, and who keeps it busy.
#[derive(Clone, Debug, Default)]
pub struct LatencySnapshot {
    pub shard: ShardId,
    /// Since start, in the order of [`Stage::ALL`].
    pub histograms: Vec<Histogram<u64>>,
    /// Nanoseconds of the turns in which something was done, since start.
    pub busy_ns: u64,
    pub turns: u64,
    pub connections: u64,
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    /// Who does not take what it is owed, at most [`SLOW_SHOWN_MAX`] of them, most owed first.
    pub slow: Vec<SlowSnapshot>,
    pub hot: HotSnapshot,
}

/// A connection that is behind: it owes an answer to a send for a while, or much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlowSnapshot {
    pub client: ClientId,
    pub name: String,
    pub peer: SocketAddr,
    pub pending_bytes: u64,
    /// Nanoseconds since its oldest owed bytes were to be sent first.
    pub waiting_ns: u64,
    /// Since it owed three quarters of its limit and not less than half since.
    pub crowded_since: Option<Wall>,
    /// Times that a producer was asked to wait for it.
    pub stalls_asked: u64,
    /// Subjects it is subscribed to, the first few.
    pub subjects: Vec<String>,
}

/// Who published most, of about the last ten seconds, estimated from samples.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct HotSnapshot {
    /// Nanoseconds that the counts are of.
    pub window_ns: u64,
    pub subjects: Vec<Hot<String>>,
    pub publishers: Vec<Hot<ClientId>>,
}

/// Counts are too high by at most `error`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hot<T> {
    pub what: T,
    pub msgs: u64,
    pub error: u64,
}

#[derive(Clone, Debug)]
pub struct ConnectionSnapshot {
    pub client: ClientId,
    pub peer: SocketAddr,
    pub start: Wall,
    pub last_activity: Wall,
    /// When and why it ended; `None` while open.
    pub closed: Option<(Wall, CloseReason)>,
    /// Nanoseconds; before the first PONG, from accept to CONNECT, and 0 before that.
    pub rtt_ns: u64,
    pub pending_bytes: u64,
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    pub stalls: u64,
    /// Not in the reference.
    pub extra: ConnectionExtra,
    pub subscription_count: u64,
    /// From CONNECT; empty where the client gave none.
    pub name: String,
    pub lang: String,
    pub version: String,
    pub account: String,
    pub authorized_user: String,
    pub subscriptions: Vec<SubscriptionSnapshot>,
}

/// What the reference does not tell of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionExtra {
    pub shard: ShardId,
    /// Nanoseconds since its oldest owed bytes were to be sent first; 0 where nothing is owed.
    pub waiting_ns: u64,
    pub crowded_since: Option<Wall>,
    pub stalls_asked: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionSnapshot {
    pub account: String,
    pub subject: String,
    /// Empty for a plain subscription.
    pub queue: String,
    pub sid: String,
    /// Delivered so far.
    pub msgs: u64,
    /// From `UNSUB sid max`; 0 without.
    pub max: u64,
    pub client: ClientId,
}
