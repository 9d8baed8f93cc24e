//! One lane: a sender with its own schedule, and whoever shows that its messages are done. A
//! lane's own words to the server never block; what the socket does not take waits and is late.

use std::cell::Cell;

use clap::ValueEnum;

use super::recorder::Recorder;
use super::schedule::Schedule;
use crate::client::{
    Batch, Broken, Connection, Drained, Greeting, Message, Scratch, ServerOp, each_op,
};
use crate::engine::{Ack, Acks, Heard, Intake};
use crate::failure::{Context, Failure, Outcome};
use crate::payload::Stamp;
use crate::verify::{Faults, Ledger, Share};
use crate::workload::{Bench, Storage, Stream};

/// Bytes per write, about.
const WRITE_MAX: usize = 128 * 1024;

/// What is sent, and what counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Publish, until its subscriber has it.
    Core,
    /// Publish to a stream on disk, until it is acknowledged.
    Durable,
    /// Request, until the reply is back.
    Request,
}

impl Shape {
    pub fn label(self) -> &'static str {
        match self {
            Self::Core => "publish → subscriber",
            Self::Durable => "durable publish → ack",
            Self::Request => "request → reply",
        }
    }
}

/// How one end of a lane understands what it hears.
enum Hears {
    Nothing,
    Stamps(Intake),
    /// Of the stream of the publisher with this number.
    Acks(Acks, u32),
    /// Requests, which it answers.
    Requests,
}

struct End {
    connection: Connection,
    hears: Hears,
    /// To be answered between messages.
    owes_pong: bool,
}

pub struct Lane {
    /// The first sends.
    ends: Vec<End>,
    batch: Batch,
    schedule: Schedule,
    ledger: Ledger,
    is_blocked: bool,
    /// Messages the stream would not take, which a busy server may do. Answers come in order, so
    /// that sequences of the stream are this far behind those of the schedule.
    refused: u64,
}

impl Lane {
    pub const ENDS_MAX: usize = 2;

    pub fn open(bench: &Bench<'_>, shape: Shape, id: u32, schedule: Schedule) -> Outcome<Self> {
        let size = bench.load.payload();
        let stream = Stream { id };
        let (subject, inbox) = match shape {
            Shape::Durable => (stream.subject(), stream.inbox()),
            Shape::Core | Shape::Request => (format!("open.{id}"), format!("_INBOX.open.{id}")),
        };
        let to = match shape {
            Shape::Core => subject.clone(),
            Shape::Durable | Shape::Request => format!("{subject} {inbox}"),
        };
        let end = |pattern: Option<&str>, hears: Hears| -> Outcome<End> {
            let connection = match pattern {
                Some(pattern) => bench.subscribed(pattern)?,
                None => bench.connect(Greeting::default())?,
            };
            Ok(End { connection, hears, owes_pong: false })
        };
        let ends = match shape {
            Shape::Core => {
                let intake = Intake::new(Some((&subject, 1)), size);
                let receiver = end(Some(&subject), Hears::Stamps(intake))?;
                vec![end(None, Hears::Nothing)?, receiver]
            }
            Shape::Durable => {
                stream.recreate(bench, Storage::File)?;
                vec![end(Some(&inbox), Hears::Acks(Acks::of(&stream.name()), id))?]
            }
            Shape::Request => {
                let responder = end(Some(&subject), Hears::Requests)?;
                let intake = Intake::new(Some((&inbox, 1)), size);
                vec![end(Some(&inbox), Hears::Stamps(intake))?, responder]
            }
        };
        let ledger = Ledger::new(Share::Every, id);
        let batch = Batch::new(id, &[to], size, WRITE_MAX);
        Ok(Self { ends, batch, schedule, ledger, is_blocked: false, refused: 0 })
    }

    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.ends.iter().map(|end| &end.connection)
    }

    /// Sends what is due. Without effect while the socket is full.
    pub fn send(&mut self, now_ns: u64, recorder: &mut Recorder) -> Outcome<()> {
        while !self.is_blocked {
            let begun = self.batch.begun();
            if self.batch.is_at_boundary() && !self.settle_debts()? {
                self.is_blocked = true;
                return Ok(());
            }
            let room = self.schedule.due_count(now_ns).saturating_sub(begun);
            let slice = self.batch.next_slice(WRITE_MAX, room);
            if slice.is_empty() {
                return Ok(());
            }
            let wanted = slice.len();
            let written = self.ends[0].connection.write_direct(slice).context("sending")?;
            let Some(count) = written else {
                self.is_blocked = true;
                return Ok(());
            };
            self.batch.advance(count);
            self.is_blocked = count < wanted;
            let sent = self.batch.begun() - begun;
            recorder.on_sent(self.schedule.due_ns(begun), now_ns, sent);
        }
        Ok(())
    }

    /// False when the socket is too full for what is owed.
    fn settle_debts(&mut self) -> Outcome<bool> {
        let sender = &mut self.ends[0];
        if std::mem::take(&mut sender.owes_pong) {
            sender.connection.queue(b"PONG\r\n");
        }
        sender.connection.flush().context("sending")
    }

    pub fn on_writable(&mut self, end: usize) -> Outcome<()> {
        if end == 0 {
            self.is_blocked = false;
        } else {
            self.ends[end].connection.flush().context("sending")?;
        }
        Ok(())
    }

    /// One read of one end. `now_ns` is asked once, when the first message is there. True when
    /// there may be more.
    pub fn listen(
        &mut self,
        nth: usize,
        now_ns: impl Fn() -> u64,
        scratch: &mut Scratch,
        recorder: &mut Recorder,
    ) -> Outcome<bool> {
        let Self { ends, ledger, schedule, refused, .. } = self;
        let refused = Cell::from_mut(refused);
        let end = &mut ends[nth];
        let (mut heard, mut answers) = (Heard::default(), Vec::new());
        let mut arrived = None;
        let mut done = |stamp: Option<Stamp>| {
            let arrived = *arrived.get_or_insert_with(&now_ns);
            if let Some(stamp) = stamp {
                recorder.on_done(schedule.due_ns(stamp.seq + refused.get()), arrived);
            }
            ledger.on_message(stamp);
        };
        let hears = &end.hears;
        let refuse = || refused.set(refused.get() + 1);
        let drained = end.connection.receive(scratch, |bytes| {
            hears.take(bytes, &mut heard, &mut answers, &mut done, refuse)
        });
        end.owes_pong |= heard.pinged;
        heard.report_to(ledger.faults());
        if nth > 0 && std::mem::take(&mut end.owes_pong) {
            answers.extend_from_slice(b"PONG\r\n");
        }
        if !answers.is_empty() {
            end.connection.queue(&answers);
            end.connection.flush().context("answering")?;
        }
        match drained.context("receiving")? {
            Drained::NotYet => Ok(true),
            Drained::Empty => Ok(false),
            Drained::Closed => Err(Failure::new("the server closed a connection")),
        }
    }

    pub fn received(&self) -> u64 {
        self.ledger.received()
    }

    pub fn due_count(&self, now_ns: u64) -> u64 {
        self.schedule.due_count(now_ns)
    }

    /// When the next message is due, if any is left and the socket would take it.
    pub fn next_due_ns(&self) -> Option<u64> {
        let begun = self.batch.begun();
        (begun < self.schedule.total && !self.is_blocked).then(|| self.schedule.due_ns(begun))
    }

    pub fn is_complete(&self) -> bool {
        self.ledger.received() + self.refused >= self.schedule.total
    }

    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// What the server has taken, if nothing was lost.
    pub fn kept(&self) -> u64 {
        self.batch.begun() - self.refused
    }

    /// Closes the account.
    pub fn faults(mut self) -> Faults {
        self.ledger.on_end(self.kept());
        std::mem::take(self.ledger.faults())
    }
}

impl Hears {
    fn take(
        &self,
        bytes: &[u8],
        heard: &mut Heard,
        answers: &mut Vec<u8>,
        mut done: impl FnMut(Option<Stamp>),
        mut refuse: impl FnMut(),
    ) -> Result<usize, Broken> {
        if let Self::Stamps(intake) = self {
            return intake.take(bytes, heard, done);
        }
        each_op(bytes, |op| match (op, self) {
            (ServerOp::Message(message), Self::Acks(acks, id)) => {
                match acks.read(message.payload) {
                    Ack::Stored(seq) => done(stamp_of(*id, seq)),
                    Ack::Refused(_) => refuse(),
                    Ack::Garbled => done(None),
                }
            }
            (ServerOp::Message(message), Self::Requests) => answer(&message, answers),
            (ServerOp::Ping, _) => heard.pinged = true,
            (ServerOp::Error(text), _) => heard.on_error(text),
            _ => {}
        })
    }
}

/// Streams of lanes are new, so that the message with sequence 0 is the stream's first.
fn stamp_of(id: u32, seq: u64) -> Option<Stamp> {
    Some(Stamp { publisher: id, seq: seq.checked_sub(1)? })
}

fn answer(request: &Message<'_>, answers: &mut Vec<u8>) {
    let Some(reply) = request.reply else { return };
    answers.extend_from_slice(b"PUB ");
    answers.extend_from_slice(reply);
    answers.extend_from_slice(format!(" {}\r\n", request.payload.len()).as_bytes());
    answers.extend_from_slice(request.payload);
    answers.extend_from_slice(b"\r\n");
}
