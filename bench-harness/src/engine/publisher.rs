//! A publisher: writes its ring of messages as fast as its window allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use super::{Account, Actor, Delivery, Group, Next, Phase, Turn};
use crate::client::{Batch, Connection, ServerOp, each_op};
use crate::failure::{Context, Failure, Outcome};
use crate::verify::Faults;

/// How many bytes apart the PINGs are, at most, that confirm what nobody receives.
const CONFIRM_BYTES: u64 = 1024 * 1024;

#[derive(Clone)]
pub struct Flow {
    /// Bytes per write, about.
    pub batch_bytes: usize,
    /// Bytes published and not yet finished; `u64::MAX` runs free.
    pub window_bytes: u64,
    /// Messages per second, to be changed at any time. `None`: as fast as it goes.
    pub pace: Option<Arc<AtomicU64>>,
}

pub struct Publisher {
    connection: Connection,
    batch: Batch,
    group: Arc<Group>,
    flow: Flow,
    window_messages: u64,
    /// Every how many messages a PING asks how far the server is; 0 for never.
    confirm_every: u64,
    /// What was published before each PING that is still unanswered.
    pings: VecDeque<u64>,
    pinged_at: u64,
    owes_pong: bool,
    /// The PING behind the last message is out.
    is_closing: bool,
    /// What the pace has allowed so far, and until when it was reckoned.
    allowed: f64,
    reckoned: Option<Instant>,
    faults: Faults,
}

impl Publisher {
    pub fn new(connection: Connection, batch: Batch, group: Arc<Group>, flow: Flow) -> Self {
        let stride = batch.stride() as u64;
        let confirms = group.delivery() == Delivery::Nobody;
        // Several to a window, or the publisher would stand still between them.
        let confirm_bytes = CONFIRM_BYTES.min(flow.window_bytes / 4);
        Self {
            connection,
            window_messages: (flow.window_bytes / stride).max(1),
            confirm_every: if confirms { (confirm_bytes / stride).max(1) } else { 0 },
            batch,
            group,
            flow,
            pings: VecDeque::new(),
            pinged_at: 0,
            owes_pong: false,
            is_closing: false,
            allowed: 0.0,
            reckoned: None,
            faults: Faults::default(),
        }
    }

    /// Messages that may be begun now.
    fn room(&mut self, turn: &Turn<'_>) -> u64 {
        let begun = self.batch.begun();
        if turn.phase != Phase::Running || self.owes_pong || self.wants_ping() {
            return 0;
        }
        let in_flight = begun.saturating_sub(self.group.finished());
        let window = self.window_messages.saturating_sub(in_flight);
        window.min(self.paced(turn.now).saturating_sub(begun))
    }

    fn paced(&mut self, now: Instant) -> u64 {
        let Some(pace) = &self.flow.pace else { return u64::MAX };
        let since = now.saturating_duration_since(self.reckoned.unwrap_or(now));
        self.reckoned = Some(now);
        self.allowed += since.as_secs_f64() * pace.load(Relaxed) as f64;
        // What the server would not take in time is not made up for later.
        self.allowed = self.allowed.min(self.batch.begun() as f64 + self.window_messages as f64);
        self.allowed as u64
    }

    fn wants_ping(&self) -> bool {
        self.confirm_every > 0 && self.batch.begun() - self.pinged_at >= self.confirm_every
    }

    fn ping(&mut self) {
        self.batch.ping();
        self.pinged_at = self.batch.begun();
        self.pings.push_back(self.pinged_at);
    }

    /// What goes between messages. False when the socket is too full even for that.
    fn at_boundary(&mut self, phase: Phase) -> Outcome<bool> {
        if std::mem::take(&mut self.owes_pong) {
            self.connection.queue(b"PONG\r\n");
        }
        if !self.connection.flush().context("publisher")? {
            return Ok(false);
        }
        if self.wants_ping() {
            self.ping();
        }
        if phase == Phase::Draining && !self.is_closing {
            self.is_closing = true;
            // A PING put in just now is the closing one.
            if self.batch.is_at_boundary() {
                self.ping();
            }
        }
        Ok(true)
    }

    fn publish(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        if !turn.ready.writable {
            return Ok(Next::OnEvent);
        }
        if self.batch.is_at_boundary() && !self.at_boundary(turn.phase)? {
            turn.ready.writable = false;
            return Ok(Next::OnEvent);
        }
        let room = self.room(turn);
        let slice = self.batch.next_slice(self.flow.batch_bytes, room);
        if slice.is_empty() {
            return Ok(if turn.phase == Phase::Running { Next::Tick } else { Next::OnEvent });
        }
        let count = turn.write(&mut self.connection, slice, "publisher")?;
        self.batch.advance(count);
        self.group.set_begun(self.batch.begun());
        Ok(if turn.ready.writable { Next::Again } else { Next::OnEvent })
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Outcome<()> {
        let (mut pongs, mut pinged, mut error) = (0, false, None);
        let drained = self.connection.receive(turn.scratch, |bytes| {
            each_op(bytes, |op| match op {
                ServerOp::Pong => pongs += 1,
                ServerOp::Ping => pinged = true,
                ServerOp::Error(text) => error = Some(String::from_utf8_lossy(text).into_owned()),
                _ => {}
            })
        });
        self.owes_pong |= pinged;
        for _ in 0..pongs {
            let count = self.pings.pop_front().ok_or_else(|| Failure::new("a PONG too many"))?;
            self.group.set_confirmed(count);
        }
        if self.is_closing && self.pings.is_empty() {
            self.group.set_total(self.batch.begun());
        }
        if let Some(text) = error {
            self.faults.errors += 1;
            self.faults.note(|| format!("the publisher got -ERR {text}"));
        }
        turn.on_drained(drained, "publisher")
    }
}

impl Actor for Publisher {
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
        Account { group: None, received: 0, sum: 0, faults: std::mem::take(&mut self.faults) }
    }
}
