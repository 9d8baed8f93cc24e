//! Interest that comes and goes beside the measured traffic: SUB and UNSUB at a steady rate.

use std::time::Instant;

use super::{Account, Actor, Next, Phase, Turn};
use crate::client::{Connection, ServerOp, each_op};
use crate::failure::{Context, Outcome};
use crate::verify::Faults;

/// Subscriptions held at any time: the oldest goes when one more comes.
const HELD_MAX: u64 = 64;
/// Late operations made up for in one turn.
const CATCH_UP_MAX: u64 = 100;

pub struct Churner {
    connection: Connection,
    per_second: u64,
    began: Option<Instant>,
    /// SUB and UNSUB pairs sent; also the sid of the next SUB.
    sent: u64,
    faults: Faults,
}

impl Churner {
    /// `per_second` counts SUBs; as many UNSUBs go with them.
    pub fn new(connection: Connection, per_second: u64) -> Self {
        Self { connection, per_second, began: None, sent: 0, faults: Faults::default() }
    }

    fn change(&mut self) {
        let sid = self.sent;
        // The first token is that of the measured subjects: what is cached for them must go.
        let mut lines = format!("SUB bench.churn.{sid} {sid}\r\n");
        if sid >= HELD_MAX {
            lines.push_str(&format!("UNSUB {}\r\n", sid - HELD_MAX));
        }
        self.connection.queue(lines.as_bytes());
        self.sent += 1;
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Outcome<()> {
        let (mut pinged, mut errors) = (false, 0);
        let drained = self.connection.receive(turn.scratch, |bytes| {
            each_op(bytes, |op| match op {
                ServerOp::Ping => pinged = true,
                ServerOp::Error(_) => errors += 1,
                _ => {}
            })
        });
        self.faults.errors += errors;
        if pinged {
            self.connection.queue(b"PONG\r\n");
        }
        turn.on_drained(drained, "churner")
    }
}

impl Actor for Churner {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        if turn.ready.readable {
            self.listen(turn)?;
        }
        let began = *self.began.get_or_insert(turn.now);
        let elapsed = turn.now.saturating_duration_since(began).as_secs_f64();
        let due = (elapsed * self.per_second as f64) as u64;
        if turn.phase == Phase::Running {
            for _ in self.sent..due.min(self.sent + CATCH_UP_MAX) {
                self.change();
            }
        }
        self.connection.flush().context("churner")?;
        Ok(Next::Tick)
    }

    fn account(&mut self) -> Account {
        Account { group: None, received: 0, sum: 0, faults: std::mem::take(&mut self.faults) }
    }
}
