//! `/varz`: the server as a whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::go_text::{timestamp, uptime};
use super::jetstream::{Config, Limits, Stats};
use super::logs::Logs;
use super::totals;
use crate::jetstream::Figures;
use crate::monitor::facts::{JetStreamFacts, ProcessFacts, ServerFacts};
use crate::shard::moving::MoveTotals;
use crate::shard::snapshot::Totals;
use crate::types::Wall;

#[derive(Serialize, Debug)]
pub struct Varz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    version: &'a str,
    proto: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    git_commit: &'a str,
    go: &'a str,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    connect_urls: &'a [String],
    max_connections: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max_subscriptions: u64,
    ping_interval: u64,
    ping_max: u32,
    http_host: &'a str,
    http_port: u16,
    http_base_path: &'a str,
    https_port: u16,
    auth_timeout: f64,
    max_control_line: u64,
    max_payload: u64,
    max_pending: u64,
    cluster: NotConfigured,
    gateway: NotConfigured,
    leaf: NotConfigured,
    mqtt: NotConfigured,
    websocket: NotConfigured,
    jetstream: JetStream<'a>,
    tls_timeout: f64,
    write_deadline: u64,
    start: String,
    now: String,
    uptime: String,
    mem: u64,
    cores: usize,
    /// How many threads carry messages: here, the shards.
    gomaxprocs: usize,
    cpu: f64,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    /// Without the sixty or so that the reference holds itself for its system account.
    subscriptions: u64,
    http_req_stats: &'a BTreeMap<&'static str, u64>,
    config_load_time: String,
    config_digest: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    feature_flags: &'a BTreeMap<String, bool>,
    system_account: &'a str,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskIoWaits,
    weft: Weft<'a>,
}

/// A listener or subsystem that is off shows an empty object.
#[derive(Serialize, Debug)]
struct NotConfigured {}

/// Empty where JetStream is off.
#[derive(Serialize, Debug, Default)]
struct JetStream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
}

impl<'a> JetStream<'a> {
    fn of(facts: Option<&'a JetStreamFacts>, shards: &[Figures]) -> Self {
        Self {
            config: facts.map(Config::of),
            stats: facts.map(|_| Stats::of(shards)),
            limits: facts.map(|facts| Limits::of(&facts.options)),
        }
    }
}

#[derive(Serialize, Debug)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

/// The reference counts threads that wait for its disk slots; our shards never wait for a disk.
#[derive(Serialize, Debug, Default)]
struct DiskIoWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

/// What the reference has no field for. Last, so that a reader of the reference's meets it never.
#[derive(Serialize, Debug)]
struct Weft<'a> {
    version: &'a str,
    shards: usize,
    pending_bytes: u64,
    slow_consumers_pending: u64,
    slow_consumers_deadline: u64,
    /// Connections that went from one core to another.
    moves: Moves,
    per_shard: Vec<PerShard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jetstream: Option<Logs<'a>>,
}

#[derive(Serialize, Debug)]
struct Moves {
    begun: u64,
    done: u64,
    abandoned: u64,
}

impl Moves {
    fn of(totals: &Totals) -> Self {
        let MoveTotals { begun, done, abandoned } = totals.moves;
        Self { begun, done, abandoned }
    }
}

#[derive(Serialize, Debug)]
struct PerShard {
    shard: u16,
    connections: u64,
    subscriptions: u64,
    remote_interest: u64,
    in_msgs: u64,
    in_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    pending_bytes: u64,
    peer_msgs: u64,
    peer_batches: u64,
    turns: u64,
}

impl PerShard {
    fn of(one: &Totals) -> Self {
        Self {
            shard: one.shard.0,
            connections: one.connections,
            subscriptions: one.routing.subscriptions,
            remote_interest: one.routing.remote_interest,
            in_msgs: one.in_msgs,
            in_bytes: one.in_bytes,
            out_msgs: one.out_msgs,
            out_bytes: one.out_bytes,
            pending_bytes: one.pending_bytes,
            peer_msgs: one.peer_msgs,
            peer_batches: one.peer_batches,
            turns: one.turns,
        }
    }
}

/// `requests` are the pages asked for so far, by path; `jetstream` is by shard, and empty with
/// JetStream off.
pub fn varz<'a>(
    facts: &'a ServerFacts,
    process: ProcessFacts,
    requests: &'a BTreeMap<&'static str, u64>,
    shards: &[Totals],
    jetstream: &[Figures],
    now: Wall,
) -> Varz<'a> {
    let all = totals::sum(shards);
    Varz {
        server_id: &facts.server_id,
        server_name: &facts.server_name,
        version: &facts.version,
        proto: 1,
        git_commit: &facts.git_commit,
        go: &facts.go,
        host: &facts.host,
        port: facts.port,
        auth_required: facts.auth_required,
        tls_required: facts.tls_required,
        connect_urls: &facts.connect_urls,
        max_connections: facts.max_connections,
        max_subscriptions: facts.max_subscriptions,
        ping_interval: facts.ping_interval_ns,
        ping_max: facts.ping_max,
        http_host: &facts.http_host,
        http_port: facts.http_port,
        http_base_path: &facts.http_base_path,
        https_port: facts.https_port,
        auth_timeout: facts.auth_timeout_seconds,
        max_control_line: facts.max_control_line,
        max_payload: facts.max_payload,
        max_pending: facts.max_pending,
        cluster: NotConfigured {},
        gateway: NotConfigured {},
        leaf: NotConfigured {},
        mqtt: NotConfigured {},
        websocket: NotConfigured {},
        jetstream: JetStream::of(facts.jetstream.as_ref(), jetstream),
        tls_timeout: facts.tls_timeout_seconds,
        write_deadline: facts.write_deadline_ns,
        start: timestamp(facts.start),
        now: timestamp(now),
        uptime: uptime(now.0.saturating_sub(facts.start.0)),
        mem: process.mem,
        cores: process.cores,
        gomaxprocs: facts.shards,
        cpu: process.cpu,
        connections: all.connections,
        total_connections: all.total_connections,
        routes: 0,
        remotes: 0,
        leafnodes: 0,
        in_msgs: all.in_msgs,
        in_bytes: all.in_bytes,
        in_client_msgs: all.in_msgs,
        in_client_bytes: all.in_bytes,
        out_msgs: all.out_msgs,
        out_bytes: all.out_bytes,
        out_client_msgs: all.out_msgs,
        out_client_bytes: all.out_bytes,
        slow_consumers: totals::slow_consumers(&all),
        stale_connections: all.stale_connections,
        stalled_clients: all.stalled_clients,
        subscriptions: all.routing.subscriptions,
        http_req_stats: requests,
        config_load_time: timestamp(facts.config_load_time),
        config_digest: &facts.config_digest,
        tags: &facts.tags,
        metadata: &facts.metadata,
        feature_flags: &facts.feature_flags,
        system_account: &facts.system_account,
        slow_consumer_stats: clients_only(totals::slow_consumers(&all)),
        stale_connection_stats: clients_only(all.stale_connections),
        disk_io_wait_stats: DiskIoWaits::default(),
        weft: Weft {
            version: &facts.weft_version,
            shards: facts.shards,
            pending_bytes: all.pending_bytes,
            slow_consumers_pending: all.slow_consumers_pending,
            slow_consumers_deadline: all.slow_consumers_deadline,
            moves: Moves::of(&all),
            per_shard: shards.iter().map(PerShard::of).collect(),
            jetstream: facts.jetstream.as_ref().map(|facts| Logs::of(facts, jetstream)),
        },
    }
}

fn clients_only(clients: u64) -> ByKind {
    ByKind { clients, routes: 0, gateways: 0, leafs: 0 }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::limits::{READ_CACHE_BYTES, TAIL_CACHE_BYTES};
    use std::time::Duration;

    use crate::config::JetStreamSync;
    use crate::jetstream::FiguresQuery;
    use crate::monitor::views::fixtures::{
        NOW, facts, jetstream_figures, jetstream_on, shape, totals_of_shard,
    };
    use crate::storage::{Log, LogId, LogSettings};

    /// nats-server 2.15.1 with no settings but `-m`, and then our own field.
    const PLAIN: &str = "server_id:str server_name:str version:str proto:num git_commit:str go:str \
        host:str port:num max_connections:num ping_interval:num ping_max:num http_host:str \
        http_port:num http_base_path:str https_port:num auth_timeout:num max_control_line:num \
        max_payload:num max_pending:num cluster:{} gateway:{} leaf:{} mqtt:{} websocket:{} \
        jetstream:{} tls_timeout:num write_deadline:num start:str now:str uptime:str mem:num \
        cores:num gomaxprocs:num cpu:num connections:num total_connections:num routes:num \
        remotes:num leafnodes:num in_msgs:num in_bytes:num in_client_msgs:num in_client_bytes:num \
        out_msgs:num out_bytes:num out_client_msgs:num out_client_bytes:num slow_consumers:num \
        stale_connections:num stalled_clients:num subscriptions:num http_req_stats:{/varz:num} \
        config_load_time:str config_digest:str feature_flags:{js_ack_fc_v2:bool} \
        system_account:str slow_consumer_stats:{clients:num routes:num gateways:num leafs:num} \
        stale_connection_stats:{clients:num routes:num gateways:num leafs:num} \
        disk_io_wait_stats:{waiters:num waits:num wait_time:num max_wait_time:num} weft:{";

    fn requests() -> BTreeMap<&'static str, u64> {
        BTreeMap::from([("/varz", 1)])
    }

    #[test]
    fn the_plain_server_has_the_fields_of_the_reference() {
        let (facts, requests) = (facts(), requests());
        let view =
            varz(&facts, ProcessFacts::default(), &requests, &[totals_of_shard(0)], &[], NOW);
        let got = shape(&view);
        assert_eq!(&got[..PLAIN.len().min(got.len())], PLAIN);
    }

    #[test]
    fn settings_add_fields_in_their_places() {
        let facts = ServerFacts {
            auth_required: true,
            tls_required: true,
            connect_urls: vec!["1.2.3.4:4222".into()],
            max_subscriptions: 7,
            auth_timeout_seconds: 3.5,
            tags: vec!["a".into()],
            metadata: BTreeMap::from([("b".into(), "c".into())]),
            ..facts()
        };
        let requests = requests();
        let got = shape(&varz(&facts, ProcessFacts::default(), &requests, &[], &[], NOW));
        for part in [
            "port:num auth_required:bool tls_required:bool connect_urls:[str] max_connections:num \
             max_subscriptions:num ping_interval:num",
            "config_digest:str tags:[str] metadata:{b:str} feature_flags:",
        ] {
            assert!(got.contains(part), "{part} in {got}");
        }
    }

    /// nats-server 2.15.1 with `-js`, `sync_interval: always`, and then our own field.
    #[test]
    fn jetstream_has_its_settings_sums_and_limits() {
        let facts = jetstream_on(facts());
        let requests = requests();
        let mut figures = jetstream_figures(&FiguresQuery::Sums);
        figures[0].logs.push(Log::new(LogId(0), LogSettings::default()).figures());
        let view = varz(&facts, ProcessFacts::default(), &requests, &[], &figures, NOW);
        let got = shape(&view);
        for part in [
            "websocket:{} jetstream:{config:{max_memory:num max_storage:num store_dir:str \
             sync_interval:num sync_always:bool compress_ok:bool strict:bool} stats:{memory:num \
             storage:num reserved_memory:num reserved_storage:num accounts:num ha_assets:num \
             api:{level:num total:num errors:num}} limits:{default_max_consumers:num}} \
             tls_timeout:num",
            "jetstream:{disk:{filesystem:str access:str",
        ] {
            assert!(got.contains(part), "{part} in {got}");
        }
        let view = serde_json::to_value(view).unwrap();
        assert_eq!(view["jetstream"]["stats"]["memory"], 72);
        assert_eq!(view["jetstream"]["stats"]["storage"], 228);
        let log = &view["weft"]["jetstream"]["logs"][0];
        assert_eq!((&log["state"], &log["reads_max"]), (&"running".into(), &1024.into()));
        let memory = &view["weft"]["jetstream"]["memory"];
        assert_eq!(memory["tail_caches_max"], TAIL_CACHE_BYTES);
        assert_eq!(memory["read_caches_max"], READ_CACHE_BYTES);
    }

    #[test]
    fn limits_that_are_set_are_shown() {
        let mut facts = jetstream_on(facts());
        let options = &mut facts.jetstream.as_mut().unwrap().options;
        options.sync = JetStreamSync::Every(Duration::from_secs(120));
        (options.domain, options.strict) = (Some("hub".into()), false);
        options.limits.max_request_batch = Some(50);
        options.limits.max_ack_pending = Some(100);
        options.limits.duplicate_window = Some(Duration::from_secs(60));
        let batch = &mut options.limits.batch;
        (batch.max_inflight_per_stream, batch.max_messages) = (3, 20);
        batch.timeout = Duration::from_secs(3);
        let requests = requests();
        let got = shape(&varz(&facts, ProcessFacts::default(), &requests, &[], &[], NOW));
        for part in [
            "sync_interval:num domain:str compress_ok:bool} stats:",
            "limits:{max_request_batch:num max_ack_pending:num max_duplicate_window:num \
             max_batch_inflight_per_stream:num max_batch_size:num max_batch_timeout:num \
             default_max_consumers:num}",
        ] {
            assert!(got.contains(part), "{part} in {got}");
        }
    }

    #[test]
    fn numbers_are_the_servers_and_the_shards_stand_beside() {
        let (facts, requests) = (facts(), requests());
        let shards = [totals_of_shard(0), totals_of_shard(1)];
        let process = ProcessFacts { mem: 1 << 20, cpu: 1.5, cpu_seconds: 2.0, cores: 4 };
        let view =
            serde_json::to_value(varz(&facts, process, &requests, &shards, &[], NOW)).unwrap();
        let rows = [
            ("connections", 6),
            ("total_connections", 14),
            ("in_client_msgs", 20),
            ("out_bytes", 400),
            ("slow_consumers", 6),
            ("subscriptions", 16),
            ("mem", 1 << 20),
            ("cores", 4),
            ("gomaxprocs", 2),
        ];
        for (key, expected) in rows {
            assert_eq!(view[key], expected, "{key}");
        }
        assert_eq!(view["uptime"], "1m5s");
        assert_eq!(view["weft"]["per_shard"][1]["connections"], 3);
        assert_eq!(view["weft"]["shards"], 2);
    }
}
