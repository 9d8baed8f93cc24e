//! A consumer's client: takes messages of one stream as they are pushed, or pulls them, and
//! verifies what it gets: the payload, the stream's sequence and the consumer's.

use std::sync::Arc;
use std::time::Instant;

use super::{Account, Actor, Group, Next, Turn};
use crate::client::{Connection, Drained, Message, ServerOp, each_op};
use crate::failure::{Context, Outcome};
use crate::payload::{self, Stamp};
use crate::verify::{Ledger, Share};

/// Nanoseconds a pull waits at the server: longer than any run stalls.
const EXPIRES_NS: u64 = 30_000_000_000;

/// How messages come.
#[derive(Clone, Debug)]
pub enum Taking {
    /// The server pushes; its flow control is answered.
    Push,
    Pull(Pulls),
}

#[derive(Clone, Debug)]
pub struct Pulls {
    /// Where requests go: `$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`.
    pub subject: String,
    /// Where messages come to.
    pub inbox: String,
    /// Messages per request.
    pub batch: u64,
    /// Asks for more when half a batch is left, instead of when nothing is.
    pub overlaps: bool,
}

/// What is read.
pub struct Reading {
    pub group: Arc<Group>,
    pub receiver: usize,
    /// Stamped on the messages; the stream holds nothing else.
    pub publisher: u32,
    pub size: usize,
    pub taking: Taking,
    pub acks: bool,
    /// Bytes per second it reads at most; 0 for as many as come.
    pub pace: u64,
}

pub struct Reader {
    connection: Connection,
    reading: Reading,
    ledger: Ledger,
    /// Messages asked for that have not come.
    wanted: u64,
    asked: u64,
    out: Vec<u8>,
    /// When the first byte came, and how many have since.
    began: Option<Instant>,
    taken: u64,
}

/// What the server says of a delivery, in the subject for its acknowledgement.
pub struct Place {
    pub deliveries: u64,
    pub stream_seq: u64,
    pub consumer_seq: u64,
}

impl Reader {
    /// The connection must have its subscription already.
    pub fn new(connection: Connection, reading: Reading) -> Self {
        let ledger = Ledger::new(Share::Every, reading.publisher);
        Self {
            connection,
            reading,
            ledger,
            wanted: 0,
            asked: 0,
            out: Vec::new(),
            began: None,
            taken: 0,
        }
    }

    /// It has read what its pace allows.
    fn is_ahead(&mut self, now: Instant) -> bool {
        let due = (now - *self.began.get_or_insert(now)).as_secs_f64() * self.reading.pace as f64;
        self.reading.pace > 0 && self.taken as f64 > due
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        if self.is_ahead(turn.now) {
            return Ok(Next::Tick);
        }
        let Self { connection, reading, ledger, wanted, out, taken, .. } = self;
        let drained = connection.receive(turn.scratch, |bytes| {
            let used = each_op(bytes, |op| match op {
                ServerOp::Message(message) if is_status(&message) => {
                    on_status(&message, ledger, out);
                }
                ServerOp::Message(message) => {
                    *wanted = wanted.saturating_sub(1);
                    on_message(&message, reading, ledger, out);
                }
                ServerOp::Ping => out.extend_from_slice(b"PONG\r\n"),
                ServerOp::Error(text) => on_error(ledger, text),
                _ => {}
            })?;
            *taken += used as u64;
            Ok(used)
        });
        self.reading.group.set_received(self.reading.receiver, self.ledger.received());
        match drained.context("reader")? {
            Drained::NotYet => return Ok(Next::Again),
            Drained::Empty => turn.ready.readable = false,
            Drained::Closed => {
                turn.ready.readable = false;
                self.reading.group.set_gone(self.reading.receiver);
                let faults = self.ledger.faults();
                faults.cut += 1;
                faults.note(|| "the server cut a reader".into());
            }
        }
        Ok(Next::OnEvent)
    }

    fn pull(&mut self) {
        let Taking::Pull(pulls) = &self.reading.taking else { return };
        let left = self.reading.group.total().unwrap_or(u64::MAX) - self.asked;
        let least = if pulls.overlaps { pulls.batch / 2 } else { 0 };
        let batch = (pulls.batch - self.wanted.min(pulls.batch)).min(left);
        if self.wanted > least || batch == 0 {
            return;
        }
        let body = format!("{{\"batch\":{batch},\"expires\":{EXPIRES_NS}}}");
        let line = format!("PUB {} {} {}\r\n{body}\r\n", pulls.subject, pulls.inbox, body.len());
        self.out.extend_from_slice(line.as_bytes());
        self.wanted += batch;
        self.asked += batch;
    }
}

impl Actor for Reader {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        turn.ready.writable = false;
        let mut next = Next::OnEvent;
        if turn.ready.readable {
            next = self.listen(turn)?;
        }
        self.pull();
        self.connection.queue(&self.out);
        self.out.clear();
        self.connection.flush().context("reader")?;
        Ok(next)
    }

    fn account(&mut self) -> Account {
        let group = &self.reading.group;
        self.ledger.on_end(group.total_or_begun());
        Account {
            group: Some((Arc::clone(group), Share::Every)),
            received: self.ledger.received(),
            sum: self.ledger.sum(),
            faults: std::mem::take(self.ledger.faults()),
        }
    }
}

fn on_error(ledger: &mut Ledger, text: &[u8]) {
    let faults = ledger.faults();
    faults.errors += 1;
    faults.note(|| format!("a reader got {}", String::from_utf8_lossy(text)));
}

/// Statuses have headers and nothing else; messages of these workloads have no headers.
fn is_status(message: &Message<'_>) -> bool {
    message.payload.is_empty() && message.headers.starts_with(b"NATS/1.0 ")
}

fn on_status(message: &Message<'_>, ledger: &mut Ledger, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(message.headers);
    let stalled = || text.lines().find_map(|line| line.strip_prefix("Nats-Consumer-Stalled: "));
    let reply = message.reply.map(String::from_utf8_lossy);
    if !text.starts_with("NATS/1.0 100") {
        on_error(ledger, text.lines().next().unwrap_or_default().as_bytes());
    } else if let Some(subject) = reply.as_deref().or_else(stalled) {
        out.extend_from_slice(format!("PUB {subject} 0\r\n\r\n").as_bytes());
    }
}

fn on_message(message: &Message<'_>, reading: &Reading, ledger: &mut Ledger, out: &mut Vec<u8>) {
    let stamp = payload::read(message.payload, reading.size);
    let place = message.reply.and_then(place_of);
    let nth = ledger.received() + 1;
    ledger.on_message(stamp.filter(|stamp| fits(stamp, place.as_ref())));
    if let Some(place) = &place
        && (place.deliveries, place.consumer_seq) != (1, nth)
    {
        let faults = ledger.faults();
        faults.reordered += 1;
        faults.note(|| {
            let Place { deliveries, consumer_seq, .. } = place;
            format!("delivery {nth} called itself {consumer_seq}, the {deliveries}. of its message")
        });
    }
    if let Some(reply) = message.reply.filter(|_| reading.acks) {
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(reply);
        out.extend_from_slice(b" 4\r\n+ACK\r\n");
    }
}

/// The stream's sequence is the message's own, counted from 1.
fn fits(stamp: &Stamp, place: Option<&Place>) -> bool {
    place.is_some_and(|place| place.stream_seq == stamp.seq + 1)
}

/// `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`
pub fn place_of(reply: &[u8]) -> Option<Place> {
    let mut tokens = std::str::from_utf8(reply).ok()?.rsplit('.').skip(2);
    let mut number = || tokens.next()?.parse().ok();
    let consumer_seq = number()?;
    let stream_seq = number()?;
    Some(Place { deliveries: number()?, stream_seq, consumer_seq })
}
