//! The bench doors: each hop of a message's way on its own, to be repeated. The runner is
//! `benches/hot_path.rs`; `scripts/instructions.sh` counts the instructions of one repetition and
//! compares them with the kept ones.

use std::hint::black_box;

use rkyv::util::AlignedVec;

use crate::protocol::encode::{Kind, msg_with_tail};
use crate::protocol::{Command, ParserLimits, Step, parser};
use crate::routing::{NewSubscription, Router, RouterSettings};
use crate::storage::{
    Form, Message, Place, Record, SegmentNo, Seq, StreamId, StreamIndex, checksum_of,
};
use crate::types::{AccountId, Pattern, ShardId, Subject};

/// Bytes of the payloads.
const PAYLOAD: usize = 128;
const SUBJECTS: u32 = 1000;
const LIMITS: ParserLimits = ParserLimits { max_control_line: 4096, max_payload: 1 << 20 };
const SETTINGS: RouterSettings = RouterSettings { cache_subjects: 4096, cache_enabled: true };
/// Messages of one index or batch before it starts anew, as segments do.
const BATCH: u32 = 4096;

/// What can be repeated, and what one repetition is.
pub const HOPS: [(&str, &str); 9] = [
    ("parse", "a PUB of 128 bytes"),
    ("subscribe", "SUB and UNSUB of a literal among a thousand"),
    ("sublist", "a match among a thousand literals and a hundred wildcards, nothing remembered"),
    ("router-last", "the subject that was routed just before"),
    ("router-hit", "a subject whose fan-out is remembered"),
    ("router-miss", "a subject that comes for the first time"),
    ("encode", "a MSG of 128 bytes"),
    ("record", "a stored message of 128 bytes into its batch, and the batch's checksum"),
    ("index", "a stored message into its stream's index, and found again"),
];

/// Repeats the hop `times` times, and gives back a sum that depends on everything done. `None`
/// for a hop there is not.
pub fn repeat(hop: &str, times: u32) -> Option<u64> {
    Some(match hop {
        "parse" => parse(times),
        "subscribe" => subscribe(times),
        "sublist" => route(times, RouterSettings { cache_enabled: false, ..SETTINGS }, |nth| nth),
        "router-last" => route(times, SETTINGS, |_| 7),
        "router-hit" => route(times, SETTINGS, |nth| nth),
        "router-miss" => miss(times),
        "encode" => encode(times),
        "record" => record(times),
        "index" => index(times),
        _ => return None,
    })
}

fn publish_bytes() -> Vec<u8> {
    [format!("PUB orders.eu.7 {PAYLOAD}\r\n").as_bytes(), &[b'x'; PAYLOAD], b"\r\n"].concat()
}

fn parse(times: u32) -> u64 {
    let bytes = publish_bytes();
    let mut sum = 0;
    for _ in 0..times {
        if let Ok(Step::Command { command: Command::Publish(publish), consumed }) =
            parser::next(black_box(&bytes), &LIMITS)
        {
            sum += (consumed + publish.subject.len()) as u64;
        }
    }
    sum
}

fn subject(nth: u32) -> String {
    format!("orders.eu.{:04}", nth % SUBJECTS)
}

fn add(router: &mut Router, pattern: &str) -> crate::routing::SubKey {
    let pattern = Pattern::parse(pattern.as_bytes()).expect("written here");
    let account = AccountId::GLOBAL;
    router.subscribe(NewSubscription { account, pattern, queue: None, sid: b"1", owner: 0 })
}

fn router(settings: RouterSettings) -> Router {
    let mut router = Router::new(ShardId(0), 1, 7, settings);
    for nth in 0..SUBJECTS {
        add(&mut router, &subject(nth));
    }
    for nth in 0..100 {
        add(&mut router, &format!("orders.*.{nth:04}"));
    }
    router
}

fn subscribe(times: u32) -> u64 {
    let mut router = router(SETTINGS);
    for _ in 0..times {
        let key = add(&mut router, black_box("orders.eu.new"));
        router.unsubscribe(key);
    }
    router.totals().inserts
}

fn route(times: u32, settings: RouterSettings, pick: impl Fn(u32) -> u32) -> u64 {
    let mut router = router(settings);
    let subjects: Vec<String> = (0..SUBJECTS).map(subject).collect();
    let all = subjects.iter().map(|it| Subject::parse(it.as_bytes()).expect("written here"));
    let all: Vec<Subject<'_>> = all.collect();
    for &subject in &all {
        router.route(AccountId::GLOBAL, subject);
    }
    for nth in 0..times {
        let subject = all[(pick(nth) % SUBJECTS) as usize];
        // As a publish does it: the last one is asked for first.
        if router.again(AccountId::GLOBAL, subject_bytes(&subjects, pick(nth))).is_none() {
            black_box(router.route(AccountId::GLOBAL, black_box(subject)));
        }
    }
    router.totals().matches
}

fn subject_bytes(subjects: &[String], nth: u32) -> &[u8] {
    subjects[(nth % SUBJECTS) as usize].as_bytes()
}

fn miss(times: u32) -> u64 {
    let mut router = router(SETTINGS);
    let mut text = *b"orders.eu.zzzzzzzz";
    for nth in 0..times {
        // Letters, so that nothing that is subscribed to is met.
        for (at, byte) in text[10..].iter_mut().enumerate() {
            *byte = b'a' + (nth >> (4 * at) & 15) as u8;
        }
        let subject = Subject::parse(&text).expect("letters and dots");
        black_box(router.route(AccountId::GLOBAL, subject));
    }
    router.totals().matches
}

fn encode(times: u32) -> u64 {
    let tail = [format!(" {PAYLOAD}\r\n").as_bytes(), &[b'x'; PAYLOAD], b"\r\n"].concat();
    let mut out = Vec::with_capacity(1 << 20);
    let mut sum = 0;
    for _ in 0..times {
        if out.len() > 1 << 19 {
            out.clear();
        }
        msg_with_tail(&mut out, Kind::Msg, black_box(b"orders.eu.7"), b"1", black_box(&tail));
        sum += out.len() as u64;
    }
    sum
}

fn record(times: u32) -> u64 {
    let payload = [b'x'; PAYLOAD];
    let mut out: AlignedVec<4096> = AlignedVec::with_capacity(1 << 20);
    let mut sum = 0;
    for nth in 0..times {
        if nth % BATCH == BATCH - 1 {
            sum ^= checksum_of(&out, u64::from(nth));
            out.clear();
        }
        let record = Record::Message(Message {
            stream: StreamId(1),
            seq: Seq(u64::from(nth) + 1),
            time: u64::from(nth),
            subject: black_box(b"orders.eu.7"),
            headers: b"",
            payload: &payload,
            saved: 0,
        });
        let position = out.len() as u64;
        sum += u64::from(record.encode(&mut out, position));
    }
    sum ^ checksum_of(&out, 0)
}

fn index(times: u32) -> u64 {
    let mut index = StreamIndex::new(7);
    let subjects: Vec<String> = (0..SUBJECTS).map(subject).collect();
    let mut sum = 0;
    for nth in 0..times {
        let place = Place { segment: SegmentNo(nth / BATCH), offset: nth % BATCH * 256, len: 200 };
        let seq = Seq(u64::from(nth) + 1);
        index.append(seq, place, subject_bytes(&subjects, nth), Form::default());
        sum += index.get(black_box(seq)).map_or(0, |entry| u64::from(entry.place.offset));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hop_repeats_and_depends_on_how_often() {
        for (hop, _) in HOPS {
            let (few, many) = (repeat(hop, 10).unwrap(), repeat(hop, 5000).unwrap());
            assert!(hop.starts_with("router") || few != many, "{hop} does nothing");
        }
        assert!(repeat("leap", 1).is_none());
    }
}
