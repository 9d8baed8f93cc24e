//! JetStream of several cores in one thread: what only shows when they work together.

use std::sync::Arc;

use super::context::{Gate, GateState, Site};
use super::core::{JetStream, Received, Seed};
use super::figures::{Consumers, Figures, FiguresQuery, Step, Walk};
use super::letter::Request;
use super::outbox::PostedQueue;
use super::target::SubscriptionKey;
use crate::config::JetStream as Options;
use crate::storage::{Effect, IoFault, Log, LogId, LogSettings};
use crate::types::time::SECOND;
use crate::types::{AccountId, ConnKey, Mono, Now, Pattern, ShardId, Wall};

struct Nobody;

impl Gate for Nobody {
    fn state(&mut self, _: AccountId, _: &[u8]) -> GateState {
        GateState::Nobody
    }
}

struct Server {
    cores: Vec<JetStream>,
    /// By core.
    subscriptions: Vec<Vec<SubscriptionKey>>,
    answers: Vec<String>,
    /// Subjects and bodies of advisories.
    advisories: Vec<String>,
    now: Now,
}

impl Server {
    fn new(shards: usize, options: Options, logs: Vec<Log>) -> Self {
        let site = Arc::new(Site { options, ..Site::default() });
        let mut logs: Vec<Vec<Log>> = logs.into_iter().map(|log| vec![log]).collect();
        logs.resize_with(shards, Vec::new);
        let cores = logs.into_iter().enumerate().map(|(index, logs)| {
            let values = logs.iter().map(|_| Vec::new()).collect();
            let seed = Seed { site: Arc::clone(&site), shards, logs, values };
            JetStream::new(ShardId(index as u16), seed)
        });
        let mut server = Self {
            cores: cores.collect(),
            subscriptions: vec![Vec::new(); shards],
            answers: Vec::new(),
            advisories: Vec::new(),
            now: Now { mono: Mono(SECOND), wall: Wall(SECOND) },
        };
        server.settle();
        server
    }

    /// Turns of all cores until none has anything to say.
    fn settle(&mut self) {
        let mut is_quiet = false;
        while !is_quiet {
            is_quiet = true;
            for at in 0..self.cores.len() {
                let core = &mut self.cores[at];
                core.run(self.now, &mut Nobody, 1 << 20);
                let mut posted = PostedQueue::default();
                while core.take_posted(&mut posted) {
                    while let Some(message) = posted.first() {
                        if message.route == b"reply" {
                            self.answers.push(String::from_utf8_lossy(message.body).into_owned());
                        } else if message.route.starts_with(b"$JS.EVENT.ADVISORY.") {
                            let told = [message.route, b" ", message.body].concat();
                            self.advisories.push(String::from_utf8_lossy(&told).into_owned());
                        }
                        posted.pop();
                    }
                }
                for change in core.take_subscription_changes() {
                    self.subscriptions[at].retain(|key| *key != change.key);
                    if change.wanted {
                        self.subscriptions[at].push(change.key);
                    }
                }
                for (to, bytes) in core.take_letters() {
                    is_quiet = false;
                    let from = ShardId(at as u16);
                    self.cores[to.index()].on_letter(from, &bytes, self.now, &mut Nobody);
                }
            }
        }
    }

    /// The answer to a publish; empty if there is none.
    fn ask(&mut self, subject: &str, body: &[u8]) -> String {
        self.ask_with(subject, b"", body)
    }

    /// The disk of the first log refuses to prepare the file it asks for.
    fn fail_log(&mut self) {
        let now = self.now.mono;
        let log = &mut self.cores[0].logs()[0];
        log.on_turn_end(now);
        let effects = log.take_effects();
        let op = effects.iter().find_map(|effect| match effect {
            Effect::Prepare { op, .. } => Some(*op),
            _ => None,
        });
        log.on_fault(op.unwrap(), IoFault::Failed(5), now);
    }

    fn ask_with(&mut self, subject: &str, headers: &[u8], body: &[u8]) -> String {
        let received = Received {
            account: AccountId::GLOBAL,
            origin: (ShardId(0), ConnKey::from_bits(0)),
            subject: subject.as_bytes(),
            route: subject.as_bytes(),
            reply: b"reply",
            headers,
            payload: body,
        };
        for (core, keys) in self.cores.iter_mut().zip(&self.subscriptions) {
            let matches = |key: &&SubscriptionKey| {
                Pattern::parse(&key.1).is_some_and(|pattern| pattern.matches(subject.as_bytes()))
            };
            for (_, _, target) in keys.iter().filter(matches) {
                core.receive(*target, &received, self.now, &mut Nobody);
            }
        }
        self.settle();
        self.answers.pop().unwrap_or_default()
    }

    fn create(&mut self, name: &str, storage: &str, max_bytes: i64) -> String {
        let config = format!(
            r#"{{"name":"{name}","subjects":["{name}"],"storage":"{storage}","max_bytes":{max_bytes}}}"#
        );
        self.ask(&format!("$JS.API.STREAM.CREATE.{name}"), config.as_bytes())
    }

    fn figures(&mut self, query: &FiguresQuery) -> Vec<Figures> {
        let now = self.now;
        let walked = self.cores.iter_mut().map(|core| {
            let mut walk = Walk::new(query.clone());
            while core.look(&mut walk, now, &mut Nobody) != Step::Done {}
            core.conclude(walk)
        });
        walked.collect()
    }
}

fn limits(memory: u64, file: u64) -> Options {
    Options { max_memory_bytes: Some(memory), max_file_bytes: Some(file), ..Options::default() }
}

const REFUSED: &str = r#""err_code":10023,"description":"insufficient resources""#;

/// The numbers are those of nats-server 2.15.1 with `max_mem: 100000`.
#[test]
fn memory_is_limited_over_all_cores() {
    for shards in [1, 2, 4] {
        let mut server = Server::new(shards, limits(100_000, 0), Vec::new());
        for name in ["A", "B"] {
            assert!(server.create(name, "memory", -1).contains("did_create"), "{shards}");
        }
        let message = vec![b'x'; 30_000];
        for name in ["A", "B", "A", "B"] {
            assert!(server.ask(name, &message).contains(r#""seq":"#), "{shards} {name}");
        }
        for name in ["A", "B"] {
            let answer = server.ask(name, b"x");
            assert!(answer.contains(REFUSED), "{shards} {name} {answer}");
        }
        assert!(server.ask("$JS.API.STREAM.PURGE.A", b"").contains(r#""purged":2"#));
        for name in ["A", "B"] {
            assert!(!server.ask(name, b"x").contains(REFUSED), "{shards} {name}");
        }
    }
}

#[test]
fn what_a_deleted_stream_held_is_free() {
    let mut server = Server::new(2, limits(1000, 0), Vec::new());
    server.create("A", "memory", -1);
    server.create("B", "memory", -1);
    server.ask("A", &[b'x'; 2000]);
    assert!(server.ask("B", b"x").contains(REFUSED));
    server.ask("$JS.API.STREAM.DELETE.A", b"");
    assert!(server.ask("B", b"x").contains(r#""seq":1"#));
}

/// Answers of nats-server 2.15.1 with `max_mem: 100000`.
#[test]
fn reservations_are_of_all_cores() {
    const EXCEEDED: &str =
        r#""err_code":10028,"description":"insufficient memory resources available""#;
    let mut server = Server::new(3, limits(100_000, 100_000), Vec::new());
    let rows = [
        ("A", 99_999, true),
        // Not limited: it wants one byte.
        ("D", -1, true),
        ("B", 2, false),
        ("B", i64::MAX, false),
        ("C", 1, true),
        ("E", -1, false),
        // What it has already.
        ("A", 99_999, true),
        ("D", -1, true),
    ];
    for (name, max_bytes, is_made) in rows {
        let answer = server.create(name, "memory", max_bytes);
        assert_eq!(answer.contains("did_create"), is_made, "{name} {max_bytes} {answer}");
        assert_eq!(answer.contains(EXCEEDED), !is_made, "{name} {max_bytes} {answer}");
    }
    let mut update = |name: &str, max_bytes: i64| {
        let config = format!(
            r#"{{"name":"{name}","subjects":["{name}"],"storage":"memory","max_bytes":{max_bytes}}}"#
        );
        let answer = server.ask(&format!("$JS.API.STREAM.UPDATE.{name}"), config.as_bytes());
        !answer.contains(EXCEEDED)
    };
    let rows = [
        ("A", 100_000, false),
        ("D", -1, true),
        ("A", 10, true),
        ("D", 99_990, false),
        ("D", 99_989, true),
        ("D", -1, true),
        ("A", 99_999, true),
    ];
    for (name, max_bytes, expected) in rows {
        assert_eq!(update(name, max_bytes), expected, "{name} {max_bytes}");
    }
}

/// However a consumer ends, as 2.15.1 tells it.
#[test]
fn the_end_of_a_consumer_is_told() {
    let mut server = Server::new(1, limits(1 << 20, 0), Vec::new());
    server.create("S", "memory", -1);
    let rows = [
        ("a", r#""durable_name":"a""#),
        ("b", r#""name":"b","deliver_subject":"to.b""#),
        ("c", r#""name":"c","inactive_threshold":1000000000"#),
        ("d", r#""name":"d""#),
    ];
    for (name, config) in rows {
        let body = format!(r#"{{"stream_name":"S","config":{{{config}}}}}"#);
        server.ask(&format!("$JS.API.CONSUMER.CREATE.S.{name}"), body.as_bytes());
    }
    server.advisories.clear();
    server.ask("$JS.API.CONSUMER.DELETE.S.a", b"");
    server.now.mono = Mono(4 * SECOND);
    server.settle();
    server.ask("$JS.API.STREAM.DELETE.S", b"");
    let told = std::mem::take(&mut server.advisories);
    let names = ["a", "c", "b", "d"];
    for (name, told) in names.iter().zip(&told) {
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.{name} ");
        let end = format!(r#""stream":"S","consumer":"{name}","action":"delete"}}"#);
        assert!(told.starts_with(&subject) && told.ends_with(&end), "{told}");
    }
    assert_eq!(told.len(), 5);
    assert!(told[4].contains(r#""stream":"S","action":"delete""#), "{}", told[4]);
}

/// As 2.15.1, where acknowledgements decide what stays.
#[test]
fn what_no_consumer_wants_any_more_goes() {
    let mut server = Server::new(1, limits(1 << 20, 0), Vec::new());
    let config = br#"{"name":"I","subjects":["i.*"],"storage":"memory","retention":"interest"}"#;
    server.ask("$JS.API.STREAM.CREATE.I", config);
    let filter = |server: &mut Server, subject: &str| {
        let body = format!(
            r#"{{"stream_name":"I","config":{{"durable_name":"c","ack_policy":"explicit","filter_subject":"{subject}"}}}}"#
        );
        server.ask("$JS.API.CONSUMER.CREATE.I.c", body.as_bytes());
    };
    let holds = |server: &mut Server, messages: u64| {
        let state = server.ask("$JS.API.STREAM.INFO.I", b"");
        assert!(state.contains(&format!(r#""messages":{messages},"#)), "{messages} {state}");
    };
    filter(&mut server, "i.b");
    server.ask("i.b", b"");
    holds(&mut server, 1);
    filter(&mut server, "i.a");
    holds(&mut server, 0);
    server.ask("i.a", b"");
    holds(&mut server, 1);
    server.ask("$JS.API.CONSUMER.RESET.I.c", br#"{"seq":3}"#);
    holds(&mut server, 0);
}

#[test]
fn figures_are_of_every_core() {
    let mut server = Server::new(2, limits(1 << 20, 1 << 20), Vec::new());
    for name in ["A", "B", "C"] {
        server.create(name, "memory", 1000);
        server.ask(name, b"hello");
    }
    for consumer in ["c2", "c1"] {
        let config = format!(
            r#"{{"stream_name":"B","config":{{"name":"{consumer}","durable_name":"{consumer}","ack_policy":"explicit"}}}}"#
        );
        let subject = format!("$JS.API.CONSUMER.CREATE.B.{consumer}");
        assert!(server.ask(&subject, config.as_bytes()).contains(r#""num_pending":1"#));
    }
    server.ask("$JS.API.STREAM.INFO.NOPE", b"");
    let figures = server.figures(&FiguresQuery::Sums);
    assert_eq!((figures[0].calls.total, figures[0].calls.errors), (6, 1));
    assert_eq!(figures[1].calls, Default::default());
    let streams: Vec<u64> = figures.iter().map(|shard| shard.usage.streams).collect();
    assert_eq!(streams, [2, 1]);
    let sum = |part: fn(&Figures) -> u64| figures.iter().map(part).sum::<u64>();
    assert_eq!(sum(|shard| shard.usage.messages), 3);
    assert_eq!(sum(|shard| shard.usage.memory), 3 * (16 + 1 + 5));
    assert_eq!(sum(|shard| shard.usage.reserved_memory), 3000);
    assert_eq!(sum(|shard| shard.usage.consumers), 2);
    assert!(figures.iter().all(|shard| shard.streams.is_empty()));

    let consumers = Consumers { visible: true, direct: true, config: false };
    let figures = server.figures(&FiguresQuery::Streams(consumers));
    let rows = figures.iter().flat_map(|shard| &shard.streams);
    let mut rows: Vec<_> =
        rows.map(|row| (row.info.config.name.as_str(), row.consumers.len())).collect();
    rows.sort_unstable();
    assert_eq!(rows, [("A", 0), ("B", 2), ("C", 0)]);
    for (name, found) in [("B", 1), ("NOPE", 0)] {
        let figures = server.figures(&FiguresQuery::Stream(name.into()));
        assert_eq!(figures.iter().map(|shard| shard.streams.len()).sum::<usize>(), found);
    }
}

/// With the stream `F`, whose log is the first.
fn with_file_stream() -> Server {
    let log = Log::new(LogId(7), LogSettings::default());
    let mut server = Server::new(1, limits(1 << 20, 1 << 20), vec![log]);
    server.create("F", "file", -1);
    server
}

#[test]
fn a_log_that_failed_is_told() {
    let mut server = with_file_stream();
    server.fail_log();
    let figures = server.figures(&FiguresQuery::Logs);
    let told = &figures[0].logs[0];
    assert_eq!(told.log, 7);
    assert_eq!(
        told.poison.unwrap().to_string(),
        "the preparation of a file failed: Input/output error (os error 5)"
    );
}

/// It must not be lost between here and gone: a create of its name would wait for ever.
#[test]
fn a_stream_that_can_not_be_deleted_is_still_there() {
    let mut server = with_file_stream();
    server.fail_log();
    server.settle();
    server.answers.clear();
    let refused = server.ask("$JS.API.STREAM.DELETE.F", b"");
    assert!(refused.contains(REFUSED), "{refused}");
    let names = server.ask("$JS.API.STREAM.NAMES", b"");
    assert!(names.contains(r#""streams":["F"]"#), "{names}");
    assert!(server.create("F", "memory", -1).contains("10058"));
}

/// Who waits is told, and who tries again must not hear that the message is there already.
#[test]
fn a_log_that_failed_refuses_what_it_lost_and_duplicates_of_it() {
    let mut server = with_file_stream();
    let headers = b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n";
    assert_eq!(server.ask_with("F", headers, b"1"), "");
    server.fail_log();
    server.settle();
    let [created, published] = &*std::mem::take(&mut server.answers) else { panic!() };
    let refusal = format!(r#"stream_create_response","error":{{"code":503,{REFUSED}}}}}"#);
    assert!(created.ends_with(&refusal), "{created}");
    let refusal = concat!(
        r#"{"error":{"code":503,"err_code":10077,"#,
        r#""description":"the log failed before the message was on disk"},"stream":"F","seq":0}"#,
    );
    assert_eq!(published, refusal);
    let answer = server.ask_with("F", headers, b"1");
    assert!(answer.contains("10077") && !answer.contains("duplicate"), "{answer}");
}

/// A stream whose purges go by two messages, with ten messages of each of two subjects.
fn with_slow_purges() -> Server {
    let mut server = Server::new(1, limits(1 << 20, 0), Vec::new());
    server.cores[0].slice_purges(2);
    let config = br#"{"name":"M","subjects":["m.*"],"storage":"memory"}"#;
    server.ask_with("$JS.API.STREAM.CREATE.M", b"", config);
    for _ in 0..10 {
        server.ask("m.a", b"");
        server.ask("m.b", b"");
    }
    server.answers.clear();
    server
}

/// The answer to the purge under way.
fn end_of_purge(server: &mut Server) -> String {
    while server.answers.is_empty() {
        assert!(server.cores[0].wake_at() == Mono(0), "it goes on without a wait");
        server.settle();
    }
    server.answers.pop().unwrap()
}

#[test]
fn a_large_purge_leaves_room_for_others_and_takes_nothing_that_comes_after_it() {
    let mut server = with_slow_purges();
    let purge = "$JS.API.STREAM.PURGE.M";
    assert_eq!(server.ask(purge, br#"{"filter":"m.a","keep":1}"#), "");
    assert!(server.ask("m.a", b"").contains(r#""seq":21"#));
    let state = server.ask("$JS.API.STREAM.INFO.M", b"");
    assert!(!state.contains(r#""messages":12"#), "{state}");
    assert!(end_of_purge(&mut server).contains(r#""success":true,"purged":9"#));
    let state = server.ask("$JS.API.STREAM.INFO.M", b"");
    assert!(state.contains(r#""messages":12"#), "{state}");
    assert!(server.cores[0].wake_at() > Mono(0));
}

#[test]
fn a_large_purge_up_to_a_sequence_leaves_room_for_others() {
    let mut server = with_slow_purges();
    assert_eq!(server.ask("$JS.API.STREAM.PURGE.M", br#"{"seq":16}"#), "");
    let state = server.ask("$JS.API.STREAM.INFO.M", b"");
    assert!(!state.contains(r#""first_seq":16"#), "{state}");
    assert!(end_of_purge(&mut server).contains(r#""success":true,"purged":15"#));
    let state = server.ask("$JS.API.STREAM.INFO.M", b"");
    assert!(state.contains(r#""messages":5"#) && state.contains(r#""first_seq":16"#), "{state}");
}

#[test]
fn who_waits_for_a_purge_hears_of_the_end_of_the_stream() {
    let mut server = with_slow_purges();
    assert_eq!(server.ask("$JS.API.STREAM.PURGE.M", br#"{"filter":"m.b"}"#), "");
    let deleted = server.ask("$JS.API.STREAM.DELETE.M", b"");
    server.answers.push(deleted);
    let has = |text| server.answers.iter().any(|answer| answer.contains(text));
    assert!(has(r#"stream_delete_response","success":true"#), "{:?}", server.answers);
    assert!(has(r#""err_code":10059"#), "{:?}", server.answers);
}

#[test]
fn a_message_that_was_asked_for_is_not_repeated_to_who_listens() {
    let mut server = Server::new(1, limits(100_000, 0), Vec::new());
    server.create("A", "memory", -1);
    server.ask("A", b"x");
    let rows =
        [("MSG.GET.A", r#"{"seq":1}"#, 0), ("MSG.GET.A", r#"{"seq":9}"#, 1), ("INFO.A", "", 1)];
    for (call, body, told) in rows {
        let request = Request {
            came_ns: 0,
            account: 0,
            subject: format!("$JS.API.STREAM.{call}").into_bytes(),
            reply: b"reply".to_vec(),
            headers: Vec::new(),
            body: body.into(),
            is_audited: true,
            client: b"{}".to_vec(),
        };
        let core = &mut server.cores[0];
        core.serve(&request, server.now, &mut Nobody);
        let (mut posted, mut audits) = (PostedQueue::default(), 0);
        while core.take_posted(&mut posted) {
            while let Some(message) = posted.first() {
                audits += usize::from(message.route == b"$JS.EVENT.ADVISORY.API");
                posted.pop();
            }
        }
        assert_eq!(audits, told, "{call} {body}");
    }
}

#[test]
fn a_name_that_is_taken_is_told_before_subjects_that_are() {
    let mut server = Server::new(2, limits(100_000, 0), Vec::new());
    server.create("A", "memory", -1);
    server.create("B", "memory", -1);
    let config = br#"{"name":"A","subjects":["B"],"storage":"memory"}"#;
    assert!(server.ask("$JS.API.STREAM.CREATE.A", config).contains("10058"));
    let config = br#"{"name":"C","subjects":["B"],"storage":"memory"}"#;
    assert!(server.ask("$JS.API.STREAM.CREATE.C", config).contains("10065"));
}

#[test]
fn a_purge_that_contradicts_itself_is_told_first() {
    let mut server = Server::new(2, limits(100_000, 0), Vec::new());
    let config = br#"{"name":"A","storage":"memory","deny_purge":true}"#;
    server.ask("$JS.API.STREAM.CREATE.A", config);
    for name in ["A", "missing"] {
        let answer = server.ask(&format!("$JS.API.STREAM.PURGE.{name}"), br#"{"seq":1,"keep":3}"#);
        assert!(answer.contains("10003"), "{answer}");
    }
}

#[test]
fn subjects_beside_a_sequence_are_passed_over() {
    let mut server = Server::new(1, limits(100_000, 0), Vec::new());
    server.create("A", "memory", -1);
    server.ask("A", b"x");
    let ask =
        |server: &mut Server, body: &str| server.ask("$JS.API.STREAM.MSG.GET.A", body.as_bytes());
    for with in [r#""seq":1,"#, r#""last_by_subj":"A","#] {
        let answer = ask(&mut server, &format!(r#"{{{with}"multi_last":["A"]}}"#));
        assert!(answer.contains(r#""seq":1"#), "{answer}");
    }
    assert!(ask(&mut server, r#"{"multi_last":["A"]}"#).contains("10003"));
}
