//! A subscriber: reads, verifies, counts. The common message (known subject, sid and size) is
//! recognised by one comparison instead of being parsed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Account, Actor, Group, Next, Phase, Turn};
use crate::client::{Broken, Connection, Drained, Message, ServerOp, Step, next_op};
use crate::failure::{Context, Outcome};
use crate::payload;
use crate::verify::{Ledger, Share};

/// Where a subscriber belongs and what it is sent.
pub struct Subscription {
    pub group: Arc<Group>,
    /// Which of the group's receivers it is.
    pub receiver: usize,
    pub share: Share,
    pub publisher: u32,
    pub size: usize,
    /// The only subject and sid it will see, if there is only one.
    pub fixed: Option<(String, u64)>,
}

pub struct Subscriber {
    connection: Connection,
    subscription: Subscription,
    ledger: Ledger,
    /// `MSG subject sid size\r\n`
    header: Vec<u8>,
    owes_pong: bool,
    is_gone: bool,
    /// Silences longer than this are noted, where the publisher is known not to pause.
    silence_max: Option<Duration>,
    heard: Option<Instant>,
    silences: std::sync::mpsc::Sender<(Instant, Instant)>,
}

impl Subscriber {
    /// The connection must have its subscription already.
    pub fn new(connection: Connection, subscription: Subscription) -> Self {
        let header = match &subscription.fixed {
            Some((subject, sid)) => format!("MSG {subject} {sid} {}\r\n", subscription.size),
            None => String::new(),
        };
        Self {
            connection,
            ledger: Ledger::new(subscription.share, subscription.publisher),
            subscription,
            header: header.into_bytes(),
            owes_pong: false,
            is_gone: false,
            silence_max: None,
            heard: None,
            silences: std::sync::mpsc::channel().0,
        }
    }

    /// Reports each silence of more than `max` to `to`.
    pub fn watch_silences(
        &mut self,
        max: Duration,
        to: std::sync::mpsc::Sender<(Instant, Instant)>,
    ) {
        self.silence_max = Some(max);
        self.silences = to;
    }

    fn listen(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        let mut intake = Intake {
            ledger: &mut self.ledger,
            header: &self.header,
            size: self.subscription.size,
            pinged: false,
        };
        let drained = self.connection.receive(turn.scratch, |bytes| intake.take(bytes));
        self.owes_pong |= intake.pinged;
        let Subscription { group, receiver, .. } = &self.subscription;
        group.set_received(*receiver, self.ledger.received());
        self.note_silence(turn);
        match drained.context("subscriber")? {
            Drained::NotYet => return Ok(Next::Again),
            Drained::Empty => turn.ready.readable = false,
            Drained::Closed => self.on_closed(turn),
        }
        Ok(Next::OnEvent)
    }

    fn on_closed(&mut self, turn: &mut Turn<'_>) {
        turn.ready.readable = false;
        self.is_gone = true;
        self.subscription.group.set_gone(self.subscription.receiver);
        let received = self.ledger.received();
        let faults = self.ledger.faults();
        faults.cut += 1;
        faults.note(|| format!("a subscriber was cut after {received} messages"));
    }

    fn note_silence(&mut self, turn: &Turn<'_>) {
        let Some(max) = self.silence_max else { return };
        if turn.phase != Phase::Running {
            return;
        }
        if let Some(heard) = self.heard
            && turn.now.saturating_duration_since(heard) > max
        {
            // Nobody listens any more: the run is over.
            let _ = self.silences.send((heard, turn.now));
        }
        self.heard = Some(turn.now);
    }
}

impl Actor for Subscriber {
    fn connection(&self) -> &Connection {
        &self.connection
    }

    fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome<Next> {
        // Nothing is ever held back by a full socket here but a PONG.
        turn.ready.writable = false;
        let mut next = Next::OnEvent;
        if turn.ready.readable && !self.is_gone {
            next = self.listen(turn)?;
        }
        if std::mem::take(&mut self.owes_pong) {
            self.connection.queue(b"PONG\r\n");
            self.connection.flush().context("subscriber")?;
        }
        Ok(next)
    }

    fn account(&mut self) -> Account {
        let Subscription { group, share, .. } = &self.subscription;
        self.ledger.on_end(group.total_or_begun());
        Account {
            group: Some((Arc::clone(group), *share)),
            received: self.ledger.received(),
            sum: self.ledger.sum(),
            faults: std::mem::take(self.ledger.faults()),
        }
    }
}

struct Intake<'a> {
    ledger: &'a mut Ledger,
    header: &'a [u8],
    size: usize,
    pinged: bool,
}

impl Intake<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut used = 0;
        loop {
            used += self.take_expected(&bytes[used..]);
            let Step::Op { op, consumed } = next_op(&bytes[used..])? else { return Ok(used) };
            self.on_op(op);
            used += consumed;
        }
    }

    /// As many messages in a row as look exactly as expected.
    fn take_expected(&mut self, bytes: &[u8]) -> usize {
        let (head, frame) = (self.header.len(), self.header.len() + self.size + 2);
        if head == 0 {
            return 0;
        }
        let mut used = 0;
        while let Some(message) = bytes.get(used..used + frame) {
            if !message.starts_with(self.header) || !message.ends_with(b"\r\n") {
                break;
            }
            self.ledger.on_message(payload::read(&message[head..head + self.size], self.size));
            used += frame;
        }
        used
    }

    fn on_op(&mut self, op: ServerOp<'_>) {
        match op {
            ServerOp::Message(message) => self.on_message(&message),
            ServerOp::Ping => self.pinged = true,
            ServerOp::Error(text) => {
                let faults = self.ledger.faults();
                faults.errors += 1;
                faults.note(|| format!("got -ERR {}", String::from_utf8_lossy(text)));
            }
            ServerOp::Pong | ServerOp::Ok | ServerOp::Info(_) => {}
        }
    }

    fn on_message(&mut self, message: &Message<'_>) {
        // With a fixed subject, size and sid, whatever else arrives is not ours.
        let stamp = payload::read(message.payload, self.size).filter(|_| self.header.is_empty());
        self.ledger.on_message(stamp);
    }
}
