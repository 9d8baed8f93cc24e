//! Snapshots and expectations that the tests of the views share.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::config::JetStream;
use crate::jetstream::{
    ConsumerConfig, ConsumerInfo, Counts, Figures, FiguresQuery, StreamConfig, StreamFigures,
    StreamInfo, Usage,
};
use crate::monitor::facts::{DiskFacts, JetStreamFacts, ServerFacts};
use crate::shard::moving::MoveTotals;
use crate::shard::snapshot::{ConnectionExtra, ConnectionSnapshot, RoutingTotals, Totals};
use crate::types::{ClientId, ShardId, Wall};

pub const NOW: Wall = Wall(1_795_301_227_806_149_376);

pub fn facts() -> ServerFacts {
    ServerFacts {
        server_id: "NID".into(),
        server_name: "name".into(),
        version: "2.15.1".into(),
        git_commit: "b2fd3ef".into(),
        go: "go1.27.2".into(),
        host: "0.0.0.0".into(),
        port: 4222,
        max_connections: 65536,
        ping_interval_ns: 120_000_000_000,
        ping_max: 2,
        http_host: "0.0.0.0".into(),
        http_port: 8222,
        auth_timeout_seconds: 2.0,
        tls_timeout_seconds: 2.0,
        max_control_line: 4096,
        max_payload: 1 << 20,
        max_pending: 64 << 20,
        write_deadline_ns: 10_000_000_000,
        start: Wall(NOW.0 - 65_000_000_000),
        config_load_time: Wall(NOW.0 - 65_000_000_000),
        feature_flags: BTreeMap::from([("js_ack_fc_v2".into(), false)]),
        system_account: "$SYS".into(),
        weft_version: "0.1.0".into(),
        shards: 2,
        ..ServerFacts::default()
    }
}

pub fn totals_of_shard(shard: u16) -> Totals {
    Totals {
        shard: ShardId(shard),
        connections: 3,
        total_connections: 7,
        closed_connections: 4,
        in_msgs: 10,
        in_bytes: 100,
        out_msgs: 20,
        out_bytes: 200,
        slow_consumers_pending: 1,
        slow_consumers_deadline: 2,
        stale_connections: 5,
        stalled_clients: 6,
        routing: RoutingTotals {
            subscriptions: 8,
            cached: 4,
            inserts: 9,
            removes: 1,
            matches: 16,
            cache_hits: 4,
            fanout_max: 3,
            fanout_sum: 6,
            remote_interest: 11,
        },
        pending_bytes: 12,
        peer_msgs: 13,
        peer_batches: 14,
        moves: MoveTotals { begun: 9, done: 7, abandoned: 1 },
        turns: 15,
    }
}

pub fn jetstream_on(facts: ServerFacts) -> ServerFacts {
    let options = JetStream {
        max_memory_bytes: Some(64 << 20),
        max_file_bytes: Some(128 << 20),
        ..JetStream::default()
    };
    let disk = DiskFacts { filesystem: "xfs".into(), is_direct: true, ..DiskFacts::default() };
    let jetstream = JetStreamFacts { options, store_dir: "/store/weft".into(), disk };
    ServerFacts { jetstream: Some(jetstream), ..facts }
}

/// Two shards: B in memory on the first, A in a file, with two consumers, on the other.
pub fn jetstream_figures(query: &FiguresQuery) -> Vec<Figures> {
    let row = |name: &str, consumers: &[&str]| StreamFigures {
        info: StreamInfo {
            config: StreamConfig { name: name.into(), ..StreamConfig::default() },
            ..StreamInfo::default()
        },
        consumers: consumers.iter().map(|name| consumer(query, name)).collect(),
        direct_consumers: consumers.iter().map(|name| consumer(query, name)).collect(),
    };
    let told = |mut row: StreamFigures| match query {
        FiguresQuery::Logs | FiguresQuery::Sums => Vec::new(),
        FiguresQuery::Stream(name) if *name != row.info.config.name => Vec::new(),
        FiguresQuery::Stream(_) => vec![row],
        FiguresQuery::Streams(wanted) => {
            row.consumers.retain(|_| wanted.visible);
            row.direct_consumers.retain(|_| wanted.direct);
            vec![row]
        }
    };
    let usage = Usage { streams: 1, consumers: 2, messages: 3, ..Usage::default() };
    let (memory, file) = (Usage { memory: 72, ..usage }, Usage { file: 228, ..usage });
    let first = Figures {
        usage: memory,
        calls: Counts { total: 8, errors: 1 },
        streams: told(row("B", &[])),
        ..Figures::default()
    };
    let second =
        Figures { usage: file, streams: told(row("A", &["c2", "c1"])), ..Figures::default() };
    vec![first, second]
}

fn consumer(query: &FiguresQuery, name: &str) -> ConsumerInfo {
    let with_config = matches!(query, FiguresQuery::Streams(wanted) if wanted.config);
    ConsumerInfo {
        name: name.into(),
        config: with_config.then(ConsumerConfig::default),
        ..ConsumerInfo::default()
    }
}

pub fn connection(cid: u64) -> ConnectionSnapshot {
    ConnectionSnapshot {
        client: ClientId(cid),
        peer: SocketAddr::from(([127, 0, 0, 1], 5000 + cid as u16)),
        start: Wall(NOW.0 - 10_000_000_000 + cid),
        last_activity: Wall(NOW.0 - 3_000_000_000),
        closed: None,
        rtt_ns: 442_999,
        pending_bytes: 0,
        in_msgs: 0,
        in_bytes: 0,
        out_msgs: 0,
        out_bytes: 0,
        stalls: 0,
        extra: ConnectionExtra::default(),
        subscription_count: 0,
        name: String::new(),
        lang: String::new(),
        version: String::new(),
        account: "$G".into(),
        authorized_user: String::new(),
        subscriptions: Vec::new(),
    }
}

/// The keys of a document in order, each with the type of its value: `server_id:str now:str
/// conns:num list:[cid:num] nested:{…}`. A list shows its first element.
pub fn shape(document: &impl Serialize) -> String {
    let value: Value = serde_json::from_slice(&json::pretty(document)).unwrap();
    let text = shape_of(&value);
    let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inner.expect("documents are objects").to_owned()
}

fn shape_of(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "num".into(),
        Value::String(_) => "str".into(),
        Value::Array(list) => format!("[{}]", list.first().map(shape_of).unwrap_or_default()),
        Value::Object(object) => {
            let pairs: Vec<_> =
                object.iter().map(|(key, value)| format!("{key}:{}", shape_of(value))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
    }
}
