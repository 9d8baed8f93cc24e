//! A subscriber: reads, verifies, counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::intake::{Heard, Intake};
use super::{Account, Actor, Group, Next, Phase, Turn};
use crate::client::{Connection, Drained};
use crate::failure::{Context, Outcome};
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
    intake: Intake,
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
        let fixed = subscription.fixed.as_ref().map(|(subject, sid)| (subject.as_str(), *sid));
        Self {
            intake: Intake::new(fixed, subscription.size),
            connection,
            ledger: Ledger::new(subscription.share, subscription.publisher),
            subscription,
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
        let ledger = &mut self.ledger;
        let mut heard = Heard::default();
        let each = |stamp| ledger.on_message(stamp);
        let drained = self
            .connection
            .receive(turn.scratch, |bytes| self.intake.take(bytes, &mut heard, each));
        self.owes_pong |= heard.pinged;
        heard.report_to(self.ledger.faults());
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
