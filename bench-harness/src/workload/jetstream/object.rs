//! An object store, spoken to as clients do: chunks are published, then the object's description;
//! a reader asks for the description and has the chunks delivered.

use clap::{Args, ValueEnum};
use data_encoding::BASE64URL;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sample_of;
use super::stream::{Keeping, Stream};
use crate::client::Message;
use crate::engine::{Ack, Acks, Asks, Exchange, Judged, Until};
use crate::failure::Outcome;
use crate::payload::{self, Stamp};
use crate::report::{Figure, Sample};
use crate::workload::Bench;

const STREAM: &str = "OBJ_bench";
/// Where chunks are delivered.
const CHUNKS: &str = "read.chunks";
/// What clients cut objects into.
const CHUNK: usize = 128 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    Put,
    Get,
}

#[derive(Args, Clone, Debug)]
pub struct Object {
    #[arg(long, value_enum, default_value = "put")]
    pub op: Operation,
    #[arg(long, default_value_t = 64)]
    pub objects: u64,
    /// Chunks of 128 KiB per object.
    #[arg(long, default_value_t = 8)]
    pub chunks: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Object {
    pub fn label(&self) -> String {
        let op = if self.op == Operation::Put { "put" } else { "get" };
        let kib = self.chunks * CHUNK as u64 / 1024;
        format!("object {op}, {kib} KiB, {}", self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        Stream { id: 0 }.create_with(
            bench,
            &json!({
                "name": STREAM,
                "subjects": ["$O.bench.C.>", "$O.bench.M.>"],
                "storage": self.keeping.storage.name(),
                "discard": "new",
                "allow_rollup_hdrs": true,
                "allow_direct": true,
            }),
        )?;
        let ask = |store: Store| {
            // Literally: below a wildcard nats-server finds nobody to deliver to.
            let connection = bench.subscribed(CHUNKS)?;
            let until = Until::Count(self.objects);
            Asks::run(store, connection, bench.server, bench.load, 1, until)
        };
        let put = ask(Store::new(self))?;
        let put_faults = put.faults.clone();
        let (store, put) = sample_of(put);
        let got = ask(Store { gets: true, ..store })?;
        let got_faults = got.faults.clone();
        let mut sample = if self.op == Operation::Put { put } else { sample_of(got).1 };
        sample.faults = put_faults;
        sample.faults.add(&got_faults);
        let bytes = (self.chunks * CHUNK as u64 * sample.count) as f64;
        sample.figures.push(Figure::new("throughput", bytes / sample.seconds / 1e6, "MB/s"));
        Ok(sample)
    }
}

/// Objects by number, all as large; the chunks of one are stamped with it.
struct Store {
    gets: bool,
    chunks: u64,
    /// By object, as clients write it.
    descriptions: Vec<String>,
    acks: Acks,
    last_seq: u64,
    chunks_seen: u64,
    /// The description, and the word that the consumer is made: they may come after the chunks.
    is_described: bool,
    is_made: bool,
}

impl Store {
    /// Everything that costs time is done here: digests and descriptions.
    fn new(object: &Object) -> Self {
        let chunks = object.chunks.max(1);
        let describe = |nth| {
            let mut digest = Sha256::new();
            (0..chunks).for_each(|chunk| digest.update(chunk_of(nth, chunk)));
            let digest = format!("SHA-256={}", BASE64URL.encode(&digest.finalize()));
            json!({
                "name": format!("object{nth}"), "bucket": "bench", "nuid": nuid(nth),
                "size": chunks * CHUNK as u64, "chunks": chunks, "digest": digest,
                "mtime": "0001-01-01T00:00:00Z", "options": { "max_chunk_size": CHUNK },
            })
            .to_string()
        };
        Self {
            gets: false,
            chunks,
            descriptions: (0..object.objects).map(describe).collect(),
            acks: Acks::of(STREAM),
            last_seq: 0,
            chunks_seen: 0,
            is_described: false,
            is_made: false,
        }
    }

    fn ask_put(&mut self, nth: u64, reply: &str, out: &mut Vec<u8>) {
        let nuid = nuid(nth);
        for chunk in 0..self.chunks {
            let line = format!("PUB $O.bench.C.{nuid} {reply}.{chunk} {CHUNK}\r\n");
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(&chunk_of(nth, chunk));
            out.extend_from_slice(b"\r\n");
        }
        let description = &self.descriptions[nth as usize];
        let headers = "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n";
        let (head, total) = (headers.len(), headers.len() + description.len());
        let subject = description_subject(nth);
        let line = format!("HPUB {subject} {reply} {head} {total}\r\n{headers}{description}\r\n");
        out.extend_from_slice(line.as_bytes());
    }

    fn ask_get(&mut self, nth: u64, reply: &str, out: &mut Vec<u8>) {
        (self.chunks_seen, self.is_described, self.is_made) = (0, false, false);
        let subject = description_subject(nth);
        let line = format!("PUB $JS.API.DIRECT.GET.{STREAM}.{subject} {reply} 0\r\n\r\n");
        out.extend_from_slice(line.as_bytes());
        let config = json!({
            "deliver_subject": CHUNKS, "ack_policy": "none", "max_deliver": 1,
            "filter_subject": format!("$O.bench.C.{}", nuid(nth)), "mem_storage": true,
            "inactive_threshold": 5_000_000_000u64,
        });
        let body = json!({ "stream_name": STREAM, "config": config }).to_string();
        let size = body.len();
        let call = format!("$JS.API.CONSUMER.CREATE.{STREAM}.get{nth}");
        let line = format!("PUB {call} {reply}.made {size}\r\n{body}\r\n");
        out.extend_from_slice(line.as_bytes());
    }

    fn judge_ack(&mut self, nth: u64, answer: &Message<'_>) -> Judged {
        let due = self.last_seq + 1;
        match self.acks.read(answer.payload) {
            Ack::Stored(seq) if seq == due => self.last_seq = seq,
            Ack::Stored(seq) => {
                self.last_seq = seq;
                return Judged::Wrong(format!("stored as {seq}, not {due}"));
            }
            Ack::Refused(why) => return Judged::Wrong(why),
            Ack::Garbled => return Judged::Wrong("a garbled acknowledgement".into()),
        }
        // An object's last message is its description.
        if self.last_seq == (nth + 1) * (self.chunks + 1) { Judged::Done } else { Judged::More }
    }

    fn judge_part(&mut self, nth: u64, answer: &Message<'_>) -> Judged {
        if answer.subject.ends_with(b".made") {
            let said: Value = serde_json::from_slice(answer.payload).unwrap_or_default();
            self.is_made = said["name"] == format!("get{nth}");
            if !self.is_made {
                return Judged::Wrong(format!("no consumer: {said}"));
            }
        } else if answer.subject.starts_with(b"_INBOX.") {
            self.is_described = answer.payload == self.descriptions[nth as usize].as_bytes();
            if !self.is_described {
                return Judged::Wrong("another description".into());
            }
        } else {
            let chunk = self.chunks_seen;
            if answer.payload != chunk_of(nth, chunk) {
                return Judged::Wrong(format!("not chunk {chunk} of object {nth}"));
            }
            self.chunks_seen += 1;
        }
        let is_whole = self.is_made && self.is_described && self.chunks_seen == self.chunks;
        if is_whole { Judged::Done } else { Judged::More }
    }
}

impl Exchange for Store {
    fn ask(&mut self, _slot: usize, nth: u64, reply: &str, out: &mut Vec<u8>) {
        if self.gets { self.ask_get(nth, reply, out) } else { self.ask_put(nth, reply, out) }
    }

    fn judge(&mut self, _slot: usize, nth: u64, answer: &Message<'_>) -> Judged {
        if self.gets { self.judge_part(nth, answer) } else { self.judge_ack(nth, answer) }
    }
}

fn nuid(nth: u64) -> String {
    format!("BENCH{nth:017}")
}

fn description_subject(nth: u64) -> String {
    format!("$O.bench.M.{}", BASE64URL.encode(format!("object{nth}").as_bytes()))
}

fn chunk_of(object: u64, chunk: u64) -> Vec<u8> {
    let mut bytes = payload::template(object as u32, CHUNK);
    payload::write(&mut bytes, Stamp { publisher: object as u32, seq: chunk });
    bytes
}
