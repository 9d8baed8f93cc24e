//! A key-value bucket, spoken to as clients do: put and update are publishes, get is a direct get
//! of a key's last message, watch is a consumer.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::get::headers_of;
use super::sample_of;
use super::stream::{Keeping, Stream};
use crate::client::{Greeting, Message};
use crate::engine::{
    Ack, Acks, Allowance, Asks, Delivery, Exchange, Group, Judged, Plan, Until, Window,
};
use crate::failure::Outcome;
use crate::payload::{self, Stamp};
use crate::report::Sample;
use crate::workload::Bench;

const STREAM: &str = "KV_bench";
const WATCH_WINDOW: u64 = 256;
/// Values per key that a bucket keeps: a watcher within this many rounds of the keys sees all.
const WATCH_HISTORY: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    Put,
    /// Put on condition of the key's revision.
    Update,
    Get,
    /// Every put, seen by one watcher; counted when it has arrived.
    Watch,
}

#[derive(Args, Clone, Debug)]
pub struct Kv {
    #[arg(long, value_enum, default_value = "put")]
    pub op: Operation,
    #[arg(long, default_value_t = 1000)]
    pub keys: u64,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 1)]
    pub outstanding: usize,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Kv {
    pub fn label(&self) -> String {
        let storage = self.keeping.storage.name();
        match self.op {
            Operation::Put => format!("kv put, {} outstanding, {storage}", self.outstanding),
            Operation::Update => format!("kv update, {} outstanding, {storage}", self.outstanding),
            Operation::Get => format!("kv get, {} outstanding, {storage}", self.outstanding),
            Operation::Watch => format!("kv put and watch, {storage}"),
        }
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let history = if self.op == Operation::Watch { WATCH_HISTORY } else { 1 };
        self.create(bench, history)?;
        let ask = |bucket: Bucket, until| {
            let connection = bench.connect(Greeting::default())?;
            let outstanding = self.outstanding;
            Asks::run(bucket, connection, bench.server, bench.load, outstanding, until)
        };
        let bucket = Bucket::new(self, bench.load.payload());
        match self.op {
            Operation::Watch => self.watch(bench),
            Operation::Put | Operation::Update => {
                let (bucket, mut sample) = sample_of(ask(bucket, Until::Window)?);
                let read = ask(bucket.getting(), Until::Count(self.keys))?;
                sample.faults.add(&read.faults);
                Ok(sample)
            }
            Operation::Get => {
                let put = ask(bucket.putting(), Until::Count(self.keys))?;
                let mut sample = sample_of(ask(put.exchange.getting(), Until::Window)?).1;
                sample.faults.add(&put.faults);
                Ok(sample)
            }
        }
    }

    fn create(&self, bench: &Bench<'_>, history: u64) -> Outcome<()> {
        Stream { id: 0 }.create_with(
            bench,
            &json!({
                "name": STREAM,
                "subjects": ["$KV.bench.>"],
                "storage": self.keeping.storage.name(),
                "max_msgs_per_subject": history,
                "discard": "new",
                "deny_delete": true,
                "allow_rollup_hdrs": true,
                "allow_direct": true,
            }),
        )
    }

    fn watch(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let stream = Stream { id: 0 };
        let group = Arc::new(Group::new(Delivery::Every, 1));
        let inbox = stream.inbox();
        let to: Vec<String> =
            (0..self.keys).map(|key| format!("{} {inbox}", subject(key))).collect();
        let allowance = Allowance { window: WATCH_WINDOW, limit: u64::MAX };
        let mut plan = Plan::default();
        plan.add(1, stream.push_reader(bench, &group)?);
        stream.push(
            bench,
            STREAM,
            &json!({ "deliver_policy": "last_per_subject", "filter_subject": "$KV.bench.>" }),
        )?;
        plan.add(0, stream.publisher_to(bench, &to, STREAM, &group, allowance)?);
        plan.groups.push(group);
        let engine = bench.engine(plan)?;
        let window = Window::measure(&engine, bench.server, bench.load.warmup, bench.load.seconds)?;
        let faults = engine.finish()?;
        Ok(bench.sample(&window, window.delivered, faults))
    }
}

/// All equally long.
fn subject(key: u64) -> String {
    format!("$KV.bench.key{key:07}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Putting,
    Updating,
    Getting,
}

/// What is in the bucket, if the server does as it should.
struct Bucket {
    now: Now,
    size: usize,
    template: Vec<u8>,
    acks: Acks,
    last_seq: u64,
    /// By key: the number in its value, `None` before the first.
    values: Vec<Option<u64>>,
    /// By key: the revision its next update has to name.
    revisions: Vec<u64>,
    slots: u64,
}

impl Bucket {
    fn new(kv: &Kv, size: usize) -> Self {
        let keys = kv.keys.max(kv.outstanding as u64) as usize;
        Self {
            now: if kv.op == Operation::Update { Now::Updating } else { Now::Putting },
            size,
            template: payload::template(0, size),
            acks: Acks::of(STREAM),
            last_seq: 0,
            values: vec![None; keys],
            revisions: vec![0; keys],
            slots: kv.outstanding.max(1) as u64,
        }
    }

    fn putting(self) -> Self {
        Self { now: Now::Putting, ..self }
    }

    fn getting(self) -> Self {
        Self { now: Now::Getting, ..self }
    }

    /// Slots that update have keys of their own: a revision is known only after its answer.
    fn key(&self, slot: usize, nth: u64) -> usize {
        let keys = self.values.len() as u64;
        let key = match self.now {
            Now::Updating => (nth % (keys / self.slots)) * self.slots + slot as u64,
            Now::Putting | Now::Getting => nth % keys,
        };
        key as usize
    }

    fn put(&mut self, key: usize, nth: u64, reply: &str, out: &mut Vec<u8>) {
        self.values[key] = Some(nth);
        payload::write(&mut self.template, Stamp { publisher: 0, seq: nth });
        let (subject, size) = (subject(key as u64), self.size);
        let line = match self.now {
            Now::Updating => {
                let revision = self.revisions[key];
                let headers =
                    format!("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {revision}\r\n\r\n");
                let (head, total) = (headers.len(), headers.len() + size);
                format!("HPUB {subject} {reply} {head} {total}\r\n{headers}")
            }
            Now::Putting | Now::Getting => format!("PUB {subject} {reply} {size}\r\n"),
        };
        out.extend_from_slice(line.as_bytes());
        out.extend_from_slice(&self.template);
        out.extend_from_slice(b"\r\n");
    }

    fn judge_ack(&mut self, key: usize, answer: &Message<'_>) -> Judged {
        let due = self.last_seq + 1;
        match self.acks.read(answer.payload) {
            Ack::Stored(seq) => {
                self.last_seq = seq;
                self.revisions[key] = seq;
                if seq == due {
                    Judged::Done
                } else {
                    Judged::Wrong(format!("revision {seq}, not {due}"))
                }
            }
            Ack::Refused(why) => Judged::Wrong(why),
            Ack::Garbled => Judged::Wrong("a garbled acknowledgement".into()),
        }
    }

    fn judge_value(&self, key: usize, answer: &Message<'_>) -> Judged {
        let due = self.values[key].map(|seq| Stamp { publisher: 0, seq });
        let found = payload::read(answer.payload, self.size);
        if found == due || (due.is_none() && answer.payload.is_empty()) {
            return Judged::Done;
        }
        Judged::Wrong(format!("key {key} is {found:?}, not {due:?}: {}", headers_of(answer)))
    }
}

impl Exchange for Bucket {
    fn ask(&mut self, slot: usize, nth: u64, reply: &str, out: &mut Vec<u8>) {
        let key = self.key(slot, nth);
        if self.now == Now::Getting {
            let subject = subject(key as u64);
            let line = format!("PUB $JS.API.DIRECT.GET.{STREAM}.{subject} {reply} 0\r\n\r\n");
            out.extend_from_slice(line.as_bytes());
        } else {
            self.put(key, nth, reply, out);
        }
    }

    fn judge(&mut self, slot: usize, nth: u64, answer: &Message<'_>) -> Judged {
        let key = self.key(slot, nth);
        match self.now {
            Now::Getting => self.judge_value(key, answer),
            Now::Putting | Now::Updating => self.judge_ack(key, answer),
        }
    }
}
