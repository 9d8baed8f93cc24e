//! Questions and answers, closed loop: so many under way at a time, each verified when its
//! answer comes, and its latency recorded.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{Edge, Span};
use crate::client::{Connection, Message, Outboxes, Party, ServerOp, Switchboard};
use crate::clock;
use crate::failure::{Context, Failure, Outcome};
use crate::load::Load;
use crate::server::Server;
use crate::verify::Faults;

/// Latencies above are recorded as this.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// A question that takes longer is lost, and the next one is asked.
const LOST_AFTER: Duration = Duration::from_secs(2);
/// Answers come to `_INBOX.ask.<slot>.<number of the question>`, possibly with more behind.
const INBOX: &str = "_INBOX.ask.";

pub enum Judged {
    /// The question is answered.
    Done,
    /// Right so far, and more is to come.
    More,
    Wrong(String),
}

/// What is asked, and what has to be answered.
pub trait Exchange {
    /// Appends question `nth`, counted from 0, to be answered at `reply`.
    fn ask(&mut self, slot: usize, nth: u64, reply: &str, out: &mut Vec<u8>);
    fn judge(&mut self, slot: usize, nth: u64, answer: &Message<'_>) -> Judged;
}

/// When to stop asking.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After the load's warm-up and window.
    Window,
    /// After so many questions, all of them measured.
    Count(u64),
}

struct Slot {
    nth: u64,
    sent: Instant,
    is_waiting: bool,
}

pub struct Asks<'a, E> {
    pub exchange: E,
    server: &'a Server,
    slots: Vec<Slot>,
    asked: u64,
    limit: u64,
    begins: Instant,
    ends: Option<Instant>,
    first: Option<Edge>,
    last: Option<Edge>,
    latency: Histogram<u64>,
    faults: Faults,
}

/// What came of it.
pub struct Answers<E> {
    pub exchange: E,
    pub span: Span,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    pub faults: Faults,
}

impl<'a, E: Exchange> Asks<'a, E> {
    /// `connection` may hear things of its own; answers come to its sid 2.
    pub fn run(
        exchange: E,
        mut connection: Connection,
        server: &'a Server,
        load: &Load,
        outstanding: usize,
        until: Until,
    ) -> Outcome<Answers<E>> {
        connection.settle(format!("SUB {INBOX}> 2\r\n").as_bytes()).context("subscribing")?;
        let now = clock::now();
        let slot = |_| Slot { nth: 0, sent: now, is_waiting: false };
        let (begins, ends, limit) = match until {
            Until::Window => (now + load.warmup, Some(now + load.warmup + load.seconds), u64::MAX),
            Until::Count(count) => (now, None, count),
        };
        let mut asks = Self {
            exchange,
            server,
            slots: (0..outstanding.max(1)).map(slot).collect(),
            asked: 0,
            limit,
            begins,
            ends,
            first: None,
            last: None,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
                .context("a histogram")?,
            faults: Faults::default(),
        };
        Switchboard::new(vec![connection], load.spin)?.run(&mut asks)?;
        asks.finish()
    }

    fn finish(self) -> Outcome<Answers<E>> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Err(Failure::new("the window did not close"));
        };
        Ok(Answers {
            exchange: self.exchange,
            span: first.until(&last, self.server),
            latency: self.latency,
            faults: self.faults,
        })
    }

    fn ask(&mut self, nth_slot: usize, out: &mut Outboxes) {
        let slot = &mut self.slots[nth_slot];
        slot.nth = self.asked;
        slot.is_waiting = true;
        self.asked += 1;
        let reply = format!("{INBOX}{nth_slot}.{}", slot.nth);
        self.exchange.ask(nth_slot, slot.nth, &reply, out.to(0));
        slot.sent = clock::now();
    }

    fn may_ask(&self) -> bool {
        self.last.is_none() && self.asked < self.limit
    }

    fn on_answer(&mut self, message: &Message<'_>, out: &mut Outboxes) {
        let place = place_of(message.subject).or_else(|| self.only_waiting());
        let Some((nth_slot, nth)) = place.filter(|(slot, _)| *slot < self.slots.len()) else {
            self.faults.corrupted += 1;
            self.faults.note(|| "an answer to nothing that was asked".into());
            return;
        };
        let slot = &mut self.slots[nth_slot];
        if !slot.is_waiting || slot.nth != nth {
            self.faults.duplicated += 1;
            self.faults.note(|| format!("question {nth} was answered again"));
            return;
        }
        let took = slot.sent.elapsed().as_nanos() as u64;
        match self.exchange.judge(nth_slot, nth, message) {
            Judged::More => return,
            Judged::Done => {}
            Judged::Wrong(why) => {
                self.faults.corrupted += 1;
                self.faults.note(|| format!("question {nth}: {why}"));
            }
        }
        self.slots[nth_slot].is_waiting = false;
        if self.first.is_some() && self.last.is_none() {
            self.latency.saturating_record(took);
        }
        if self.may_ask() {
            self.ask(nth_slot, out);
        }
    }

    /// Messages of streams come under their own subjects: to the only question there is.
    fn only_waiting(&self) -> Option<(usize, u64)> {
        match self.slots.as_slice() {
            [slot] => Some((0, slot.nth)),
            _ => None,
        }
    }

    fn give_up_on_late(&mut self, now: Instant) {
        for slot in &mut self.slots {
            if slot.is_waiting && now.saturating_duration_since(slot.sent) > LOST_AFTER {
                slot.is_waiting = false;
                let nth = slot.nth;
                self.faults.lost += 1;
                self.faults.note(|| format!("question {nth} was never answered"));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| !slot.is_waiting)
    }
}

/// Slot and number of the question.
fn place_of(subject: &[u8]) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(subject).ok()?.strip_prefix(INBOX)?;
    let mut tokens = text.split('.');
    Some((tokens.next()?.parse().ok()?, tokens.next()?.parse().ok()?))
}

impl<E: Exchange> Party for Asks<'_, E> {
    fn on_op(&mut self, _who: usize, op: ServerOp<'_>, out: &mut Outboxes) -> Outcome<()> {
        match op {
            ServerOp::Message(message) => self.on_answer(&message, out),
            ServerOp::Error(text) => {
                self.faults.errors += 1;
                self.faults.note(|| format!("-ERR {}", String::from_utf8_lossy(text)));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()> {
        if self.first.is_none() && now >= self.begins {
            self.first = Some(Edge::take(self.server)?);
        }
        self.give_up_on_late(now);
        let all_asked = self.asked >= self.limit && self.is_idle();
        if self.last.is_none() && (self.ends.is_some_and(|ends| now >= ends) || all_asked) {
            self.last = Some(Edge::take(self.server)?);
        }
        for slot in 0..self.slots.len() {
            if !self.slots[slot].is_waiting && self.may_ask() {
                self.ask(slot, out);
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.last.is_some() && self.is_idle()
    }
}
