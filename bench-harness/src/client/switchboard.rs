//! Conversations over many connections in one thread: every operation of every connection goes
//! to one [`Party`], which answers by putting bytes into outboxes. One write per connection and
//! turn.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::protocol::{ServerOp, each_op};
use super::{Connection, Drained, Poller, Ready, Scratch};
use crate::clock;
use crate::failure::{Context, Failure, Outcome};

/// How long a quiet turn waits before the party is asked whether it is done.
const QUIET_TURN: Duration = Duration::from_millis(20);

pub trait Party {
    fn on_op(&mut self, who: usize, op: ServerOp<'_>, out: &mut Outboxes) -> Outcome<()>;

    /// Once per turn, after all operations that had arrived.
    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()>;

    fn is_done(&self) -> bool;

    /// Nothing more comes from this connection, and nothing can be sent to it.
    fn on_closed(&mut self, who: usize) -> Outcome<()> {
        Err(Failure::new(format!("the server closed connection {who}")))
    }
}

/// Bytes to be sent at the end of the turn, by connection.
pub struct Outboxes {
    bytes: Vec<Vec<u8>>,
    owing: Vec<usize>,
}

impl Outboxes {
    /// The caller appends to what it is given.
    pub fn to(&mut self, who: usize) -> &mut Vec<u8> {
        if self.bytes[who].is_empty() {
            self.owing.push(who);
        }
        &mut self.bytes[who]
    }
}

pub struct Switchboard {
    connections: Vec<Connection>,
    ready: Vec<Ready>,
    poller: Poller,
    scratch: Scratch,
    out: Outboxes,
    /// Connections with bytes left that a read did not fetch.
    unread: Vec<usize>,
    /// Turns without a wait: burns the CPU to save the wake-up.
    spin: bool,
}

impl Switchboard {
    pub fn new(connections: Vec<Connection>, spin: bool) -> Outcome<Self> {
        let poller = Poller::new()?;
        for (token, connection) in connections.iter().enumerate() {
            poller.watch(connection, token)?;
        }
        let count = connections.len();
        Ok(Self {
            connections,
            ready: vec![Ready::default(); count],
            poller,
            scratch: Scratch::new(),
            out: Outboxes { bytes: vec![Vec::new(); count], owing: Vec::new() },
            unread: Vec::new(),
            spin,
        })
    }

    pub fn run(&mut self, party: &mut impl Party) -> Outcome<()> {
        while !party.is_done() {
            party.on_turn(clock::now(), &mut self.out)?;
            self.send()?;
            self.wait()?;
            for who in std::mem::take(&mut self.unread) {
                self.receive(who, party)?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Outcome<()> {
        for who in std::mem::take(&mut self.out.owing) {
            let connection = &mut self.connections[who];
            connection.queue(&self.out.bytes[who]);
            self.out.bytes[who].clear();
            flush(connection)?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Outcome<()> {
        let busy = self.spin || !self.unread.is_empty();
        let (unread, ready) = (&mut self.unread, &mut self.ready);
        let mut unblocked = Vec::new();
        self.poller.wait(if busy { Duration::ZERO } else { QUIET_TURN }, |who, event| {
            if event.readable && !ready[who].readable {
                ready[who].readable = true;
                unread.push(who);
            }
            if event.writable {
                unblocked.push(who);
            }
        })?;
        for who in unblocked {
            flush(&mut self.connections[who])?;
        }
        Ok(())
    }

    fn receive(&mut self, who: usize, party: &mut impl Party) -> Outcome<()> {
        let mut refused = None;
        let out = &mut self.out;
        let drained = self.connections[who].receive(&mut self.scratch, |bytes| {
            each_op(bytes, |op| match op {
                ServerOp::Ping => out.to(who).extend_from_slice(b"PONG\r\n"),
                op => {
                    if let Err(failure) = party.on_op(who, op, out) {
                        refused.get_or_insert(failure);
                    }
                }
            })
        });
        if let Some(failure) = refused {
            return Err(failure);
        }
        match drained.context("receiving")? {
            Drained::NotYet => self.unread.push(who),
            Drained::Empty => self.ready[who].readable = false,
            Drained::Closed => party.on_closed(who)?,
        }
        Ok(())
    }
}

/// That the other end is gone is told by the next read, behind what it still has.
fn flush(connection: &mut Connection) -> Outcome<()> {
    match connection.flush() {
        Err(error)
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Ok(())
        }
        other => other.map(drop).context("sending"),
    }
}
