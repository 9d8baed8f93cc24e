//! The options that concern connections, as the shards hold them. Replaced whole by a reload.

use std::sync::Arc;

use crate::protocol::ParserLimits;
use crate::security::Access;

/// Shared by all connections of all shards; read on the data path, never written there.
#[derive(Clone, Debug)]
pub struct Settings {
    pub parser: ParserLimits,
    /// Bytes a connection may owe before it is cut as a slow consumer.
    pub max_pending: u64,
    /// Subscriptions of one connection; 0 = no limit.
    pub max_subscriptions: usize,
    /// Tokens of a subscription's pattern; 0 = no limit.
    pub max_sub_tokens: usize,
    /// Closed connections remembered by each shard.
    pub closed_kept: usize,
    pub ping_interval_ns: u64,
    /// Unanswered pings after which a connection is stale.
    pub ping_max: u32,
    /// What is owed at some time has to be sent so much later, or the client is a slow consumer.
    pub write_deadline_ns: u64,
    /// A slow consumer that took some of it is noted and goes on, instead of being cut.
    pub write_retry: bool,
    /// HPUB is refused and no client gets headers.
    pub no_header_support: bool,
    /// Producers are never delayed for a slow subscriber, which misses messages instead.
    pub no_stall: bool,
    /// Log each protocol line.
    pub trace: Option<Trace>,
    pub identity: Arc<Identity>,
    /// Who may connect; the same one as long as that does not change.
    pub access: Arc<Access>,
}

/// What trace lines show beside the protocol.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// Of payloads only their headers.
    pub headers_only: bool,
    /// Also what the server itself publishes.
    pub system: bool,
    /// Bytes of a payload; 0 = all.
    pub payload_bytes_max: usize,
}

/// What INFO says of the server (facts/core-protocol.md §3).
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// A public server nkey, new at each start.
    pub server_id: String,
    pub server_name: String,
    /// The version of the reference that we stand in for: clients gate features on it.
    pub version: String,
    pub git_commit: String,
    pub go: String,
    pub host: String,
    pub port: u16,
    /// A public curve nkey.
    pub xkey: String,
    pub connect_urls: Vec<String>,
    /// JetStream is on.
    pub jetstream: bool,
    /// Of JetStream; empty: none.
    pub domain: String,
    /// The server is about to go: clients should leave.
    pub lame_duck: bool,
}
