//! One connection as `/connz` shows it.

use std::net::IpAddr;

use serde::Serialize;

use super::{ConnzOptions, Subs};
use crate::monitor::facts::GLOBAL_ACCOUNT;
use crate::monitor::views::go_text::{round_trip, timestamp, uptime};
use crate::monitor::views::subsz::SubscriptionRow;
use crate::shard::snapshot::{ConnectionExtra, ConnectionSnapshot};
use crate::types::Wall;

#[derive(Serialize, Debug)]
pub struct Row<'a> {
    cid: u64,
    kind: &'static str,
    #[serde(rename = "type")]
    transport: &'static str,
    ip: IpAddr,
    port: u16,
    start: String,
    last_activity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: u64,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stalls: Option<u64>,
    subscriptions: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    authorized_user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubscriptionRow<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name_tag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    weft: Option<Extra>,
}

/// What the reference has no field for, of an open connection.
#[derive(Serialize, Debug)]
struct Extra {
    shard: u16,
    /// It is owed so much that its producers are asked to wait, since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    crowded_since: Option<String>,
    /// How long the oldest bytes it is owed have been on their way.
    #[serde(skip_serializing_if = "is_zero")]
    waiting_ns: u64,
    /// How often a producer was asked to wait for it.
    #[serde(skip_serializing_if = "is_zero")]
    stalls_asked: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Extra {
    fn of(extra: &ConnectionExtra) -> Self {
        Self {
            shard: extra.shard.0,
            crowded_since: extra.crowded_since.map(timestamp),
            waiting_ns: extra.waiting_ns,
            stalls_asked: extra.stalls_asked,
        }
    }
}

impl<'a> Row<'a> {
    #[cfg(test)]
    pub fn cid(&self) -> u64 {
        self.cid
    }

    pub fn of(row: &'a ConnectionSnapshot, options: &ConnzOptions, now: Wall) -> Self {
        let end = row.closed.map_or(now, |(stop, _)| stop);
        let since = |earlier: Wall| uptime(end.0.saturating_sub(earlier.0));
        // The reference names the global account only in the tag, and only while connected.
        let is_global = row.account == GLOBAL_ACCOUNT;
        let show = |shown: bool, text: &'a str| if options.auth && shown { text } else { "" };
        Self {
            cid: row.client.0,
            kind: "Client",
            transport: "nats",
            ip: row.peer.ip().to_canonical(),
            port: row.peer.port(),
            start: timestamp(row.start),
            last_activity: timestamp(row.last_activity),
            stop: row.closed.map(|(stop, _)| timestamp(stop)),
            reason: row.closed.map(|(_, reason)| reason.text()),
            rtt: round_trip(row.rtt_ns),
            uptime: since(row.start),
            idle: since(row.last_activity),
            pending_bytes: row.pending_bytes,
            in_msgs: row.in_msgs,
            out_msgs: row.out_msgs,
            in_bytes: row.in_bytes,
            out_bytes: row.out_bytes,
            stalls: Some(row.stalls).filter(|&stalls| stalls > 0),
            subscriptions: row.subscription_count,
            name: &row.name,
            lang: &row.lang,
            version: &row.version,
            authorized_user: show(true, &row.authorized_user),
            account: show(!is_global, &row.account),
            subscriptions_list: match options.subs {
                Subs::Listed => row.subscriptions.iter().map(|sub| sub.subject.as_str()).collect(),
                _ => Vec::new(),
            },
            subscriptions_list_detail: match options.subs {
                // While open, the account is that of the connection and left out.
                Subs::Detailed if row.closed.is_none() => {
                    row.subscriptions.iter().map(SubscriptionRow::without_account).collect()
                }
                Subs::Detailed => row.subscriptions.iter().map(SubscriptionRow::of).collect(),
                _ => Vec::new(),
            },
            name_tag: show(row.closed.is_none() || !is_global, &row.account),
            weft: row.closed.is_none().then(|| Extra::of(&row.extra)),
        }
    }
}
