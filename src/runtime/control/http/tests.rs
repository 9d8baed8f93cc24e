//! Real requests over a socket, and shards that are tasks beside the server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::monitor::ServerFacts;
use crate::runtime::control::ask::{ShardHandle, ShardHandles};
use crate::runtime::core::Request;
use crate::shard::latency::{Stage, histogram};
use crate::shard::snapshot::{
    Answer, ConnectionExtra, ConnectionSnapshot, LatencySnapshot, Query, SubscriptionSnapshot,
    Totals,
};
use crate::types::limits::CONTROL_REQUESTS_MAX;
use crate::types::{ClientId, ShardId, Wall};

const NOW: Wall = Wall(1_795_301_227_806_149_376);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}

/// A shard with one open connection, whose id is ten times that of the shard.
async fn fake_shard(shard: u16, mut inbox: mpsc::Receiver<Request>) {
    let client = ClientId(u64::from(shard) * 10);
    while let Some(request) = inbox.recv().await {
        let Request::Ask(query, reply) = request else { continue };
        let answer = match query {
            Query::Totals => Answer::Totals(Box::new(Totals {
                shard: ShardId(shard),
                connections: 1,
                ..Totals::default()
            })),
            Query::Connections(_) => Answer::Connections(vec![ConnectionSnapshot {
                client,
                peer: SocketAddr::from(([127, 0, 0, 1], 5000)),
                start: NOW,
                last_activity: NOW,
                closed: None,
                rtt_ns: 0,
                pending_bytes: 0,
                in_msgs: 0,
                in_bytes: 0,
                out_msgs: 0,
                out_bytes: 0,
                stalls: 0,
                extra: ConnectionExtra::default(),
                subscription_count: 1,
                name: "<n>".into(),
                lang: String::new(),
                version: String::new(),
                account: "$G".into(),
                authorized_user: String::new(),
                subscriptions: Vec::new(),
            }]),
            Query::JetStream(_) => Answer::JetStream(Box::default()),
            Query::Latencies => Answer::Latencies(Box::new(LatencySnapshot {
                shard: ShardId(shard),
                histograms: Stage::ALL.iter().map(|stage| histogram(stage.unit())).collect(),
                ..LatencySnapshot::default()
            })),
            Query::Subscriptions(_) => Answer::Subscriptions(vec![SubscriptionSnapshot {
                account: "$G".into(),
                subject: "a.>".into(),
                queue: String::new(),
                sid: "1".into(),
                msgs: 0,
                max: 0,
                client,
            }]),
        };
        let _ = reply.send(answer);
    }
}

struct Server {
    address: SocketAddr,
    rings: Arc<AtomicUsize>,
    facts: watch::Sender<Arc<ServerFacts>>,
    /// Kept open, and never read, for shards that do not answer.
    _silent: Vec<mpsc::Receiver<Request>>,
}

fn facts(base_path: &str) -> Arc<ServerFacts> {
    Arc::new(ServerFacts {
        server_id: "NID".into(),
        http_base_path: base_path.into(),
        system_account: "$SYS".into(),
        ..ServerFacts::default()
    })
}

async fn start(base_path: &str, answering: u16, silent: u16) -> Server {
    let rings = Arc::new(AtomicUsize::new(0));
    let (mut handles, mut kept) = (Vec::new(), Vec::new());
    for shard in 0..answering + silent {
        let counter = Arc::clone(&rings);
        let wake = Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let (requests, inbox) = mpsc::channel(CONTROL_REQUESTS_MAX);
        let handle = ShardHandle::new(requests, wake);
        handles.push(handle);
        if shard < answering {
            tokio::spawn(fake_shard(shard, inbox));
        } else {
            kept.push(inbox);
        }
    }
    let shards = ShardHandles::new(handles).with_patience(Duration::from_millis(50));
    let (sender, receiver) = watch::channel(facts(base_path));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, Arc::new(Pages::new(shards, receiver, || NOW))));
    Server { address, rings, facts: sender, _silent: kept }
}

impl Server {
    /// Everything the server sends for these bytes.
    async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        timeout(Duration::from_secs(20), read).await.expect("the server hangs").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    async fn request(&self, method: &str, target: &str) -> (u16, String, String) {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let text = self.exchange(request.as_bytes()).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String) {
        let (status, _, body) = self.request("GET", target).await;
        (status, body)
    }

    async fn json(&self, target: &str) -> serde_json::Value {
        let (status, body) = self.get(target).await;
        assert_eq!(status, 200, "{target}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

#[test]
fn every_page_answers() {
    run(async {
        let server = start("", 2, 0).await;
        for route in ROUTES {
            let (status, head, body) = server.request("GET", route.path).await;
            match route.path {
                "/raftz" => assert_eq!((status, body.as_str()), (404, "No Raft nodes registered")),
                "/" => assert!(head.contains("content-type: text/html") && status == 200),
                "/metrics" => assert!(
                    head.contains("content-type: application/openmetrics-text") && status == 200
                ),
                "/latencyz.hlog" => {
                    assert!(body.starts_with("#") && head.contains("text/plain") && status == 200);
                }
                path => {
                    assert_eq!(status, 200, "{path}");
                    assert!(head.contains("content-type: application/json\r\n"), "{head}");
                    assert!(head.contains("access-control-allow-origin: *"), "{head}");
                }
            }
        }
    });
}

#[test]
fn rows_of_all_shards_make_one_page() {
    run(async {
        let server = start("", 3, 0).await;
        let (_, body) = server.get("/connz").await;
        assert!(body.starts_with(
            "{\n  \"server_id\": \"NID\",\n  \"now\": \"2026-11-21T22:47:07.806149376Z\""
        ));
        assert!(body.contains(r#""name": "\u003cn\u003e""#));
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        let cids: Vec<_> =
            page["connections"].as_array().unwrap().iter().map(|c| &c["cid"]).collect();
        assert_eq!(cids, [0, 10, 20]);
        assert_eq!(server.rings.load(Ordering::Relaxed), 3);
        assert_eq!(server.json("/connz?cid=10").await["total"], 3);
        assert_eq!(server.json("/subsz?subs=1&test=a.b").await["total"], 3);
        assert_eq!(server.json("/varz").await["connections"], 3);
    });
}

#[test]
fn refusals_are_plain_text() {
    run(async {
        let server = start("", 1, 0).await;
        let (status, head, body) = server.request("GET", "/connz?sort=bogus").await;
        assert_eq!((status, body.as_str()), (400, "invalid sorting option: bogus"));
        assert!(head.contains("content-type: text/plain; charset=utf-8"));
        assert!(!head.contains("access-control"));
        let (status, head, body) = server.request("GET", "/healthz?stream=S").await;
        assert!(status == 400 && head.contains("application/json"), "{head}");
        assert_eq!(
            body,
            r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#
        );
    });
}

#[test]
fn unknown_paths_are_not_found() {
    run(async {
        let server = start("", 1, 0).await;
        for path in ["/nope", "/varz/", "/VARZ", "/stacksz", "/debug/vars"] {
            let (status, head, body) = server.request("GET", path).await;
            assert_eq!((status, body.as_str()), (404, "404 page not found\n"), "{path}");
            assert!(head.contains("x-content-type-options: nosniff"));
        }
    });
}

#[test]
fn the_base_path_moves_everything() {
    run(async {
        for base in ["/mon", "mon/", "/a/{b}", "/:x/*y"] {
            let server = start(base, 1, 0).await;
            let below = normalized(base);
            assert_eq!(server.get(&below).await.0, 200, "{base}");
            assert_eq!(server.get(&format!("{below}/healthz")).await.0, 200, "{base}");
            for path in ["/", "/healthz", &format!("{below}/"), "/z/z/healthz"] {
                assert_eq!(server.get(path).await.0, 404, "{base} {path}");
            }
        }
    });
}

#[test]
fn any_method_is_answered_and_head_has_no_body() {
    run(async {
        let server = start("", 1, 0).await;
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let (status, _, body) = server.request(method, "/healthz").await;
            assert_eq!((status, body.as_str()), (200, r#"{"status":"ok"}"#), "{method}");
        }
        let (status, head, body) = server.request("HEAD", "/healthz").await;
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(head.contains("content-length: 15"), "{head}");
    });
}

#[test]
fn requests_are_counted_by_path() {
    run(async {
        let server = start("", 1, 0).await;
        for path in ["/subsz", "/subscriptionsz", "/connz?limit=x", "/raftz", "/ipqueuesz", "/nope"]
        {
            server.get(path).await;
        }
        let counts = server.json("/varz").await["http_req_stats"].clone();
        assert_eq!(counts, serde_json::json!({"/connz": 1, "/subsz": 2, "/varz": 1}));
    });
}

#[test]
fn a_silent_shard_is_named_and_nobody_hangs() {
    run(async {
        let server = start("", 1, 1).await;
        let silence = "shard 1 did not answer within 50ms";
        for path in ["/varz", "/connz", "/subsz", "/accstatz"] {
            assert_eq!(server.get(path).await, (503, silence.into()), "{path}");
        }
        let health = format!(r#"{{"status":"unavailable","error":"{silence}"}}"#);
        assert_eq!(server.get("/healthz").await, (503, health));
        // Pages that ask nobody are there.
        assert_eq!(server.get("/jsz").await.0, 200);
    });
}

#[test]
fn a_stopped_shard_is_named() {
    run(async {
        let mut server = start("", 0, 1).await;
        server._silent.clear();
        assert_eq!(server.get("/varz").await, (503, "shard 0 has stopped".into()));
    });
}

#[test]
fn requests_that_are_none_are_refused() {
    run(async {
        let server = start("", 1, 0).await;
        assert!(server.exchange(b"GARBAGE\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
        let padding = "a".repeat(2 * MONITOR_HEADER_BYTES_MAX);
        let long = format!("GET /varz HTTP/1.1\r\nHost: x\r\nX: {padding}\r\n\r\n");
        assert!(server.exchange(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let old = server.exchange(b"GET /healthz HTTP/1.0\r\n\r\n").await;
        assert!(old.starts_with("HTTP/1.0 200 OK"), "{old}");
    });
}

#[test]
fn a_connection_takes_request_after_request() {
    run(async {
        let server = start("", 1, 0).await;
        let one = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let last = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let text = server.exchange(format!("{one}{one}{last}").as_bytes()).await;
        assert_eq!(text.matches(r#"{"status":"ok"}"#).count(), 3);
    });
}

#[test]
fn reloaded_settings_are_shown() {
    run(async {
        let server = start("", 1, 0).await;
        let renamed = ServerFacts { server_name: "renamed".into(), ..(*facts("")).clone() };
        server.facts.send(Arc::new(renamed)).unwrap();
        assert_eq!(server.json("/varz").await["server_name"], "renamed");
    });
}

#[test]
fn idle_connections_do_not_keep_others_out() {
    run(async {
        let server = start("", 1, 0).await;
        let mut idle = Vec::new();
        for _ in 0..MONITOR_CONNECTIONS_MAX - 1 {
            idle.push(TcpStream::connect(server.address).await.unwrap());
        }
        assert_eq!(server.get("/healthz").await.0, 200);
    });
}
