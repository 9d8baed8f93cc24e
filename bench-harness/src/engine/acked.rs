//! A publisher to a stream: so many messages unanswered, and each answer verified.

use std::sync::Arc;

use super::acks::{Ack, Acks};
use super::{Account, Actor, Group, Next, Phase, Turn};
use crate::client::{Batch, Connection, ServerOp, each_op};
use crate::failure::{Context, Outcome};
use crate::payload::Stamp;
use crate::verify::{Faults, Ledger, Share};

/// Bytes per write, about.
const WRITE_MAX: usize = 128 * 1024;
/// Messages that may be with the stream and not yet with the slowest who follows it.
const LEAD_MAX: u64 = 20_000;

pub struct AckedPublisher {
    connection: Connection,
    batch: Batch,
    group: Arc<Group>,
    acks: Acks,
    ledger: Ledger,
    /// Messages without an answer, at most.
    window: u64,
    /// Messages in all, at most.
    limit: u64,
    refused: u64,
    owes_pong: bool,
    faults: Faults,
}

/// What a publisher may do.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    pub window: u64,
    pub limit: u64,
}

impl AckedPublisher {
    /// `connection` hears the subject that `batch` names for replies. `stream` is empty and
    /// nobody else's, so that its sequences are those of the batch, from 1 on.
    pub fn new(
        connection: Connection,
        batch: Batch,
        group: Arc<Group>,
        stream: &str,
        allowance: Allowance,
    ) -> Self {
        let ledger = Ledger::new(Share::Every, batch.publisher());
        Self {
            connection,
            batch,
            group,
            acks: Acks::of(stream),
            ledger,
            window: allowance.window.max(1),
            limit: allowance.limit,
            refused: 0,
            owes_pong: false,
            faults: Faults::default(),
        }
    }

    fn answered(&self) -> u64 {
        self.ledger.received() + self.refused
    }

    fn room(&self, phase: Phase) -> u64 {
        let begun = self.batch.begun();
        if phase != Phase::Running || self.owes_pong {
            return 0;
        }
        let unanswered = begun.saturating_sub(self.answered());
        let ahead = begun.saturating_sub(self.group.finished());
        let window = self.window.saturating_sub(unanswered);
        window.min(LEAD_MAX.saturating_sub(ahead)).min(self.limit - begun)
    }

    fn publish(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        let begun = self.batch.begun();
        if self.batch.is_at_boundary() {
            if std::mem::take(&mut self.owes_pong) {
                self.connection.queue(b"PONG\r\n");
            }
            if !self.connection.flush().context("publisher")? {
                return Ok(Next::OnEvent);
            }
            let ends = turn.phase != Phase::Running || begun == self.limit;
            if ends && self.answered() >= begun && self.group.total().is_none() {
                self.group.set_total(begun - self.refused);
            }
        }
        if !turn.ready.writable {
            return Ok(Next::Tick);
        }
        let slice = self.batch.next_slice(WRITE_MAX, self.room(turn.phase));
        if slice.is_empty() {
            return Ok(Next::Tick);
        }
        let count = turn.write(&mut self.connection, slice, "publisher")?;
        self.batch.advance(count);
        self.group.set_begun(self.batch.begun());
        Ok(if turn.ready.writable { Next::Again } else { Next::OnEvent })
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Outcome<()> {
        let Self { connection, acks, ledger, faults, refused, owes_pong, batch, .. } = self;
        let publisher = batch.publisher();
        let drained = connection.receive(turn.scratch, |bytes| {
            each_op(bytes, |op| match op {
                ServerOp::Message(message) => match acks.read(message.payload) {
                    Ack::Stored(seq) if seq > 0 => {
                        ledger.on_message(Some(Stamp { publisher, seq: seq - 1 }));
                    }
                    Ack::Refused(why) => {
                        *refused += 1;
                        faults.errors += 1;
                        faults.note(|| format!("a publish was refused: {why}"));
                    }
                    Ack::Stored(_) | Ack::Garbled => ledger.on_message(None),
                },
                ServerOp::Ping => *owes_pong = true,
                ServerOp::Error(text) => {
                    faults.errors += 1;
                    faults.note(|| format!("got -ERR {}", String::from_utf8_lossy(text)));
                }
                _ => {}
            })
        });
        self.group.set_confirmed(self.answered());
        turn.on_drained(drained, "publisher")
    }
}

impl Actor for AckedPublisher {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        if turn.ready.readable {
            self.listen(turn)?;
        }
        self.publish(turn)
    }

    fn account(&mut self) -> Account {
        self.ledger.on_end(self.batch.begun() - self.refused);
        let mut faults = std::mem::take(&mut self.faults);
        faults.add(self.ledger.faults());
        Account { group: None, received: 0, sum: 0, faults }
    }
}
