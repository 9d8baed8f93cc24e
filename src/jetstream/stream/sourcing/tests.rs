//! A stream that is fed, by itself: the origin's part is played by the test.

use std::collections::BTreeSet;

use super::{Feeding, Seq};
use crate::jetstream::stream::intake::Incoming;
use crate::jetstream::stream::tests::{Desk, Sent, block, config_of};
use crate::jetstream::stream::{MessageDeleteRequest, PurgeRequest};
use crate::types::time::{MILLISECOND, SECOND};

const IDENTITY: &str = "pZyGpk5H";

/// A round as the stream asked for it.
struct Round {
    request: Sent,
    deliver: String,
    consumer: String,
    /// Deliveries so far.
    count: u64,
}

impl Desk {
    fn feed(&mut self, route: &str, message: &Incoming<'_>) {
        let feeding = Feeding { route: route.as_bytes(), message: *message };
        self.with(|stream, ctx| stream.on_feeding(ctx, &feeding));
    }

    /// Requests to the API since the last look.
    fn requests(&mut self) -> Vec<Sent> {
        self.settle();
        let all = std::mem::take(&mut self.told);
        let (calls, rest) = all.into_iter().partition(|sent| sent.subject.contains(".API."));
        self.told = rest;
        calls
    }

    fn asked(&mut self) -> Round {
        self.pass(20 * MILLISECOND);
        let request = self.requests().pop().expect("it asks");
        let body: serde_json::Value = serde_json::from_str(&request.payload).unwrap();
        let deliver = body["config"]["deliver_subject"].as_str().unwrap().to_owned();
        let consumer = body["config"]["name"].as_str().unwrap().to_owned();
        Round { request, deliver, consumer, count: 0 }
    }

    /// The origin has a consumer for it, which begins behind `delivered`.
    fn grant(&mut self, round: &Round, delivered: u64) {
        let payload = format!(
            r#"{{"type":"x","name":"{}","delivered":{{"consumer_seq":0,"stream_seq":{delivered}}},"num_pending":3}}"#,
            round.consumer
        );
        let headers = block(&[("Nats-Stream-Identity", IDENTITY)]);
        let message = Incoming {
            subject: round.request.reply.as_bytes(),
            headers: headers.as_bytes(),
            payload: payload.as_bytes(),
            ..Incoming::default()
        };
        let route = round.request.reply.clone();
        self.feed(&route, &message);
    }

    fn refuse(&mut self, round: &Round, err_code: u16) {
        let payload =
            format!(r#"{{"error":{{"code":400,"err_code":{err_code},"description":"no"}}}}"#);
        let message = Incoming { payload: payload.as_bytes(), ..Incoming::default() };
        let route = round.request.reply.clone();
        self.feed(&route, &message);
    }

    fn deliver(&mut self, round: &mut Round, seq: u64, subject: &str, headers: &[(&str, &str)]) {
        round.count += 1;
        let time = super::super::tests::START + seq;
        let reply = format!("$JS.ACK.O.{}.1.{seq}.{}.{time}.0", round.consumer, round.count);
        let headers = block(headers);
        let message = Incoming {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            headers: headers.as_bytes(),
            payload: b"p",
        };
        let route = round.deliver.clone();
        self.feed(&route, &message);
    }

    fn source(&self) -> crate::jetstream::info::SourceInfo {
        let (mirror, sources) = self.stream.source_infos(self.now);
        mirror.or_else(|| sources.into_iter().next()).unwrap()
    }
}

fn desk(config: &str, on_disk: bool) -> Desk {
    let mut config = config_of(config);
    if config.mirror.is_some() {
        config.subjects.clear();
    }
    Desk::fed(config, on_disk)
}

fn mirror(on_disk: bool) -> Desk {
    desk(r#"{"name":"S","mirror":{"name":"O"}}"#, on_disk)
}

fn sources(on_disk: bool) -> Desk {
    desk(r#"{"name":"S","sources":[{"name":"O"}]}"#, on_disk)
}

#[test]
fn a_mirror_keeps_sequences_and_times() {
    for on_disk in [false, true] {
        let mut desk = mirror(on_disk);
        let mut round = desk.asked();
        assert!(round.request.subject.starts_with("$JS.API.CONSUMER.CREATE.O.JS_MIRROR_"));
        assert!(round.request.payload.contains(r#""deliver_policy":"all""#));
        assert_eq!(desk.source().active, -1);
        desk.grant(&round, 2);
        assert_eq!((desk.state().0, desk.state().1), (3, 2));
        desk.deliver(&mut round, 3, "o.1", &[("Nats-Expected-Stream", "O"), ("A", "1")]);
        desk.deliver(&mut round, 6, "o.2", &[]);
        desk.settle();
        assert_eq!(desk.messages(), [(3, "o.1".into(), "p".into()), (6, "o.2".into(), "p".into())]);
        let log = desk.bench.as_mut().map(|bench| &mut bench.log);
        let last = desk.stream.store.last_time(log);
        assert_eq!(last, crate::jetstream::store::Moment::At(super::super::tests::START + 6));
        let info = desk.source();
        assert_eq!((&*info.name, info.lag, info.seq, info.active >= 0), ("O", 0, 0, true));
    }
}

#[test]
fn a_source_says_where_its_messages_come_from() {
    let config = r#"{"name":"S","sources":[{"name":"O",
        "subject_transforms":[{"src":"o.*","dest":"x.{{wildcard(1)}}"}]}]}"#;
    let mut desk = desk(config, false);
    let mut round = desk.asked();
    assert!(round.request.headers.contains("Nats-Stream-Identity: \r\n"));
    assert!(round.request.payload.contains(r#""filter_subject":"o.*""#));
    desk.grant(&round, 0);
    desk.deliver(&mut round, 4, "o.7", &[("A", "1"), ("Nats-Batch-Id", "b")]);
    assert_eq!(desk.messages(), [(1, "x.7".into(), "p".into())]);
    let stored = desk.with(|stream, ctx| {
        let crate::jetstream::store::Fetch::Here(stored) =
            stream.store.fetch(ctx.log.as_deref_mut(), Seq(1))
        else {
            panic!("it is there")
        };
        String::from_utf8(stored.headers.to_vec()).unwrap()
    });
    assert_eq!(
        stored,
        "NATS/1.0\r\nA: 1\r\nNats-Stream-Source: O 4 o.* x.{{wildcard(1)}} o.7 pZyGpk5H\r\n\r\n"
    );
    // Its own subjects go on, but nobody may say such a thing.
    assert_eq!(desk.ask("s.1", &[], "own"), r#"{"stream":"S","seq":2}"#);
    let refused = desk.ask("s.1", &[("Nats-Stream-Source", "O 9 > > o.1")], "");
    assert!(refused.contains("10227"), "{refused}");
}

#[test]
fn a_gap_begins_a_new_round_behind_what_is_stored() {
    let mut desk = sources(false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 1, "o.1", &[]);
    round.count += 1;
    desk.deliver(&mut round, 3, "o.3", &[]);
    assert_eq!(desk.state().2, 1);
    let ends = desk.requests();
    assert_eq!(ends[0].subject, format!("$JS.API.CONSUMER.DELETE.O.{}", round.consumer));
    // What still comes of the old round counts no more.
    round.count = 1;
    desk.deliver(&mut round, 2, "o.2", &[]);
    assert_eq!(desk.state().2, 1);
    let mut next = desk.asked();
    assert_ne!(next.deliver, round.deliver);
    assert!(next.request.payload.contains(r#""opt_start_seq":2"#));
    assert!(next.request.headers.contains("Nats-Stream-Identity: pZyGpk5H\r\n"));
    desk.deliver(&mut next, 2, "o.2", &[]);
    assert_eq!(desk.state().2, 1, "the answer has not come yet");
    desk.grant(&next, 1);
    desk.deliver(&mut next, 3, "o.3", &[]);
    assert_eq!(desk.state().2, 3);
    assert_eq!(desk.source().seq, 3);
}

#[test]
fn silence_begins_a_new_round() {
    let mut desk = sources(false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 1, "o.1", &[]);
    for _ in 0..4 {
        desk.pass(2 * SECOND);
        let headers = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n";
        let beat = Incoming { headers: headers.as_bytes(), ..Incoming::default() };
        desk.feed(&round.deliver.clone(), &beat);
    }
    assert_eq!(desk.requests(), []);
    desk.pass(3 * SECOND + 20 * MILLISECOND);
    let calls = desk.requests();
    assert!(calls[0].subject.contains("CONSUMER.DELETE.O"), "{calls:?}");
    assert!(calls[1].payload.contains(r#""opt_start_seq":2"#), "{calls:?}");
}

#[test]
fn a_heartbeat_tells_of_what_is_missing() {
    let mut desk = sources(false);
    let round = desk.asked();
    desk.grant(&round, 0);
    let headers = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n";
    let beat = Incoming { headers: headers.as_bytes(), ..Incoming::default() };
    desk.feed(&round.deliver.clone(), &beat);
    assert!(desk.requests()[0].subject.contains("CONSUMER.DELETE.O"));
}

#[test]
fn an_origin_that_is_not_there_is_asked_again_and_again() {
    let mut desk = mirror(false);
    let round = desk.asked();
    desk.refuse(&round, 10059);
    assert_eq!(desk.source().error.map(|error| error.err_code), Some(10059));
    assert_eq!(desk.source().active, -1);
    desk.pass(30 * SECOND);
    let asked = desk.requests().len();
    assert!((9..=200).contains(&asked), "{asked}");
}

#[test]
fn another_stream_of_the_name_is_drawn_from_its_beginning() {
    let mut desk = sources(false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 5, "o.1", &[]);
    desk.pass(4 * SECOND);
    let round = {
        let request = desk.requests().pop().unwrap();
        let body: serde_json::Value = serde_json::from_str(&request.payload).unwrap();
        let deliver = body["config"]["deliver_subject"].as_str().unwrap().to_owned();
        Round { request, deliver, consumer: String::new(), count: 0 }
    };
    desk.refuse(&round, 10225);
    let round = desk.asked();
    assert!(round.request.payload.contains(r#""deliver_policy":"all""#));
    assert!(round.request.headers.contains("Nats-Stream-Identity: \r\n"));
}

#[test]
fn flow_control_is_answered_when_all_before_is_settled() {
    let mut desk = sources(true);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 1, "o.1", &[]);
    let headers = "NATS/1.0 100 FlowControl Request\r\n\r\n";
    let ask =
        Incoming { headers: headers.as_bytes(), reply: b"$JS.FC.O.x.abcd", ..Incoming::default() };
    desk.feed(&round.deliver.clone(), &ask);
    let is_answer = |sent: &Sent| sent.subject == "$JS.FC.O.x.abcd";
    assert!(desk.out.is_empty(), "not before it is on disk");
    desk.settle();
    let answer = desk.told.iter().find(|sent| is_answer(sent)).expect("it is answered");
    assert!(answer.headers.contains("Nats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n"));
}

#[test]
fn a_full_stream_takes_no_more_and_tries_again() {
    let config = r#"{"name":"S","discard":"new","max_msgs":1,"sources":[{"name":"O"}]}"#;
    let mut desk = desk(config, false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 1, "o.1", &[]);
    desk.deliver(&mut round, 2, "o.2", &[]);
    assert_eq!(desk.state().2, 1);
    desk.pass(SECOND);
    let last = desk.requests().pop().unwrap();
    assert!(last.payload.contains(r#""opt_start_seq":2"#), "{last:?}");
}

#[test]
fn ids_within_the_window_are_duplicates_and_pass() {
    let config = r#"{"name":"S","duplicate_window":60000000000,"sources":[{"name":"O"}]}"#;
    let mut desk = desk(config, false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 1, "o.1", &[("Nats-Msg-Id", "x")]);
    desk.deliver(&mut round, 2, "o.2", &[("Nats-Msg-Id", "x")]);
    desk.deliver(&mut round, 3, "o.3", &[]);
    assert_eq!((desk.state().2, desk.source().seq), (2, 3));
}

#[test]
fn a_restart_goes_on_behind_what_is_stored() {
    let mut desk = sources(true);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    // More than lie between two checkpoints.
    for seq in 1..=5000 {
        desk.deliver(&mut round, seq, "o.1", &[]);
    }
    desk.settle();
    desk.restart();
    desk.pass(SECOND / 100);
    assert_eq!(desk.stream.source_position(0).seq, Seq(5000));
    let round = desk.asked();
    assert!(round.request.payload.contains(r#""opt_start_seq":5001"#), "{:?}", round.request);
    assert!(round.request.headers.contains(IDENTITY));

    let mut desk = mirror(true);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 7, "o.1", &[]);
    desk.settle();
    desk.restart();
    let round = desk.asked();
    assert!(round.request.payload.contains(r#""opt_start_seq":8"#), "{:?}", round.request);
}

#[test]
fn sources_come_and_go_by_update() {
    let mut desk = sources(true);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 3, "o.1", &[]);
    let with = |text: &str| {
        let mut config = config_of(text);
        config.storage = crate::jetstream::config::Storage::File;
        config
    };
    let other = with(r#"{"name":"S","sources":[{"name":"P"}]}"#);
    desk.with(|stream, ctx| stream.update(ctx, other)).unwrap();
    let calls = desk.requests();
    assert!(calls[0].subject.contains("CONSUMER.DELETE.O"), "{calls:?}");
    desk.asked();
    // After a restart in between it is still known how far it was.
    desk.restart();
    let both = with(r#"{"name":"S","sources":[{"name":"P"},{"name":"O"}]}"#);
    desk.with(|stream, ctx| stream.update(ctx, both)).unwrap();
    desk.pass(SECOND / 50);
    let calls = desk.requests();
    let again = calls.iter().find(|call| call.subject.contains("CREATE.O.")).unwrap();
    assert!(again.payload.contains(r#""opt_start_seq":4"#), "{again:?}");
}

#[test]
fn a_mirror_becomes_a_stream_of_its_own() {
    let mut desk = mirror(false);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    desk.deliver(&mut round, 3, "o.1", &[]);
    let config = config_of(r#"{"name":"S"}"#);
    desk.with(|stream, ctx| stream.update(ctx, config)).unwrap();
    assert!(desk.requests()[0].subject.contains("CONSUMER.DELETE.O"));
    desk.deliver(&mut round, 4, "o.1", &[]);
    assert_eq!(desk.ask("s.1", &[], ""), r#"{"stream":"S","seq":4}"#);
    assert!(desk.stream.source_infos(desk.now).0.is_none());
}

#[test]
fn whatever_comes_is_taken_or_dropped() {
    let mut desk = sources(false);
    let round = desk.asked();
    let (deliver, answer) = (round.deliver.clone(), round.request.reply.clone());
    let junk: [&[u8]; 6] =
        [b"", b"$JS.ACK.", b"$JS.ACK.O.c.1.x.1.1.1", b"$JS.FC.x", b"NATS/1.0 100\r\n\r\n", b"{}"];
    for one in junk {
        for two in junk {
            let message = Incoming { subject: b"o.1", reply: one, headers: two, payload: two };
            desk.feed(&deliver, &message);
            desk.feed("nobody", &message);
        }
    }
    desk.feed(&answer, &Incoming { payload: b"{", ..Incoming::default() });
    assert_eq!(desk.state().2, 0);
}

/// On disk, with the origin's first messages, all of one subject.
fn drawn(config: &str, count: u64) -> Desk {
    let mut desk = desk(config, true);
    let mut round = desk.asked();
    desk.grant(&round, 0);
    for seq in 1..=count {
        desk.deliver(&mut round, seq, "o.1", &[]);
    }
    desk.settle();
    desk
}

/// Where the stream asks its origin to begin.
fn begins_at(round: &Round) -> u64 {
    let body: serde_json::Value = serde_json::from_str(&round.request.payload).unwrap();
    body["config"]["opt_start_seq"].as_u64().unwrap_or(1)
}

#[test]
fn what_left_the_stream_is_not_drawn_again() {
    type Leave = fn(&mut Desk);
    let rows: [(&str, &str, Leave); 7] = [
        ("acked", r#""retention":"workqueue""#, |desk| {
            let seqs: Vec<Seq> = (1..=4).map(Seq).collect();
            desk.with(|stream, ctx| stream.remove_acked(ctx, &seqs));
        }),
        ("purged", r#""max_msgs":9"#, |desk| purge(desk, "")),
        ("purged by subject", r#""max_msgs":9"#, |desk| purge(desk, "o.1")),
        ("deleted", r#""allow_msg_ttl":true"#, |desk| {
            let request = MessageDeleteRequest { seq: 4, no_erase: true };
            desk.with(|stream, ctx| stream.delete_message(ctx, &request)).unwrap();
        }),
        ("too old", r#""max_age":1000000000"#, |desk| desk.pass(2 * SECOND)),
        ("displaced", r#""max_msgs":1"#, |desk| drop(desk.ask("s.1", &[], "own"))),
        ("wanted by nobody", r#""retention":"interest""#, |desk| desk.pass(SECOND / 10)),
    ];
    for (name, rule, leave) in rows {
        let config = format!(r#"{{"name":"S",{rule},"sources":[{{"name":"O"}}]}}"#);
        let mut desk = drawn(&config, 4);
        leave(&mut desk);
        desk.settle();
        let _ = desk.requests();
        // Twice: what the first start knows is not forgotten by the second.
        for _ in 0..2 {
            desk.restart();
            let round = desk.asked();
            assert_eq!(begins_at(&round), 5, "{name}");
            assert!(round.request.headers.contains(IDENTITY), "{name}");
        }
    }
}

fn purge(desk: &mut Desk, filter: &str) {
    let request = PurgeRequest { filter: filter.into(), ..PurgeRequest::default() };
    desk.with(|stream, ctx| stream.purge(ctx, &request)).unwrap();
}

/// One subject, one message each: every delivery displaces the one before while it is stored.
#[test]
fn what_is_displaced_by_the_next_is_drawn_once() {
    let config = r#"{"name":"S","max_msgs_per_subject":2,"sources":[{"name":"O"}]}"#;
    let mut desk = drawn(config, 9);
    desk.restart();
    assert_eq!(begins_at(&desk.asked()), 10);
}

/// A client may acknowledge before it was read what the messages tell.
#[test]
fn what_is_acknowledged_at_once_after_a_restart_goes_when_it_was_read() {
    let config = r#"{"name":"S","retention":"workqueue","sources":[{"name":"O"}]}"#;
    let mut desk = drawn(config, 4);
    desk.reopen();
    let all: Vec<Seq> = (1..=4).map(Seq).collect();
    desk.with(|stream, ctx| stream.remove_acked(ctx, &all));
    assert!(desk.stream.owes_removals(), "consumers write nothing of themselves yet");
    assert_eq!(desk.state().2, 4);
    desk.settle();
    assert!(!desk.stream.owes_removals());
    assert_eq!(desk.state().2, 0);
    desk.restart();
    assert_eq!(begins_at(&desk.asked()), 5);
}

/// Deliveries, removals and crashes at any place: what the stream asks for is what it neither has
/// nor had, as far as the files tell.
#[test]
fn nothing_is_lost_or_drawn_twice_whatever_crashes() {
    for seed in 0..60u64 {
        let config = r#"{"name":"S","retention":"workqueue","sources":[{"name":"O"}]}"#;
        let mut desk = desk(config, true);
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        // Payloads are alike, so subjects tell the origin's messages apart.
        let (mut removed, mut surely_removed) = (BTreeSet::new(), BTreeSet::new());
        let mut next = 1;
        for _ in 0..6 {
            let mut round = desk.asked();
            assert_eq!(begins_at(&round), next, "seed {seed}");
            desk.grant(&round, next - 1);
            for _ in 0..random(40) {
                match random(6) {
                    0..=2 => {
                        desk.deliver(&mut round, next, &format!("o.{next}"), &[]);
                        next += 1;
                    }
                    3 => drop(desk.ask("s.own", &[], "own")),
                    4 => {
                        desk.settle();
                        surely_removed.clone_from(&removed);
                    }
                    _ => {
                        let all = desk.messages();
                        let from = random(all.len() as u64 + 1) as usize;
                        let gone = all.iter().skip(from).take(1 + random(4) as usize);
                        let (seqs, names): (Vec<Seq>, Vec<String>) =
                            gone.map(|(seq, name, _)| (Seq(*seq), name.clone())).unzip();
                        removed.extend(names);
                        desk.with(|stream, ctx| stream.remove_acked(ctx, &seqs));
                    }
                }
            }
            desk.crash();
            desk.settle();
            let held: BTreeSet<String> = desk.messages().into_iter().map(|all| all.1).collect();
            next = desk.stream.source_position(0).seq.0 + 1;
            for seq in 1..next {
                let name = format!("o.{seq}");
                assert!(
                    held.contains(&name) || removed.contains(&name),
                    "seed {seed}: {name} lost"
                );
            }
            for name in held.iter().chain(&surely_removed).filter(|name| name.starts_with('o')) {
                let seq: u64 = name[2..].parse().unwrap();
                assert!(seq < next, "seed {seed}: {name} is drawn again");
            }
        }
    }
}

#[test]
fn an_origin_elsewhere_without_an_api_is_never_asked() {
    let config = r#"{"name":"S","sources":[{"name":"O","external":{"api":"","deliver":"x"}}]}"#;
    let mut desk = desk(config, false);
    desk.pass(30 * SECOND);
    assert_eq!(desk.requests(), []);
    assert_eq!((desk.source().lag, desk.source().active), (0, -1));
}
