//! One life of the server: publishers that keep a window of unacknowledged messages, and readers
//! whose acknowledgements are acknowledged, until the server is gone or everything was read.

use std::time::{Duration, Instant};

use super::ACK_WAIT;
use super::book::{Book, Then};
use crate::client::{Connection, Outboxes, Party, ServerOp, Switchboard};
use crate::clock;
use crate::failure::{Context, Failure, Outcome};
use crate::workload::Bench;

/// The durable consumer of every stream.
pub const CONSUMER: &str = "work";
/// Messages a reader asks for at a time.
const PULL_BATCH: u64 = 256;
/// Nothing came for so long: nothing will.
const STUCK_AFTER: Duration = Duration::from_secs(15);
/// So long after the last delivery nothing is left that would come again.
const QUIET: Duration = Duration::from_millis(2 * ACK_WAIT.as_millis() as u64);
/// Messages of a publisher that go out in one turn.
const ROUND_MAX: u64 = 512;
const MESSAGES_SID: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Publishes and reads until the server is gone.
    Work,
    /// Reads until every message of every stream was acknowledged, and nothing comes again.
    Drain,
}

pub struct Life<'a> {
    books: &'a mut [Book],
    number: u32,
    purpose: Purpose,
    outstanding: u64,
    /// By stream: messages asked for that have not come.
    wanted: Vec<u64>,
    closed: usize,
    last_word: Instant,
}

impl<'a> Life<'a> {
    pub fn run(
        bench: &Bench<'_>,
        books: &'a mut [Book],
        number: u32,
        purpose: Purpose,
        outstanding: u64,
    ) -> Outcome<()> {
        let connections = connections(bench, books)?;
        let wanted = vec![0; books.len()];
        let last_word = clock::now();
        let mut life = Life { books, number, purpose, outstanding, wanted, closed: 0, last_word };
        Switchboard::new(connections, false)?.run(&mut life)
    }

    fn publish(&mut self, out: &mut Outboxes) {
        for (who, book) in self.books.iter_mut().enumerate() {
            let room = self.outstanding.saturating_sub(book.sent - book.acked);
            // Half a window at once: as a client that is woken by acknowledgements.
            if room >= self.outstanding.div_ceil(2) {
                let out = out.to(who);
                (0..room.min(ROUND_MAX)).for_each(|_| book.publish(out));
            }
        }
    }

    fn pull(&mut self, out: &mut Outboxes) {
        let publishers = self.books.len();
        for (at, book) in self.books.iter().enumerate() {
            if self.wanted[at] > PULL_BATCH / 2 {
                continue;
            }
            let batch = PULL_BATCH - self.wanted[at];
            let (stream, id) = (book.stream.name(), book.stream.id);
            let body = format!("{{\"batch\":{batch}}}");
            let line = format!(
                "PUB $JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER} _INBOX.work.{id} {}\r\n{body}\r\n",
                body.len()
            );
            out.to(publishers + at).extend_from_slice(line.as_bytes());
            self.wanted[at] += batch;
        }
    }

    /// What a reader hears.
    fn on_read(&mut self, at: usize, op: &ServerOp<'_>, out: &mut Vec<u8>) {
        let (book, life) = (&mut self.books[at], self.number);
        let ServerOp::Message(message) = op else { return };
        if message.sid != MESSAGES_SID {
            return book.on_confirmed(message, life);
        }
        if message.payload.is_empty() {
            let said = String::from_utf8_lossy(message.headers).into_owned();
            return book.fault(|faults| &mut faults.errors, || format!("a pull got {said:?}"));
        }
        self.wanted[at] = self.wanted[at].saturating_sub(1);
        if let Then::Acknowledge { sequence } = book.on_delivery(message, life) {
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(message.reply.unwrap_or_default());
            let inbox = format!(" _INBOX.sync.{}.{sequence} 4\r\n+ACK\r\n", book.stream.id);
            out.extend_from_slice(inbox.as_bytes());
        }
    }
}

impl Party for Life<'_> {
    fn on_op(&mut self, who: usize, op: ServerOp<'_>, out: &mut Outboxes) -> Outcome<()> {
        self.last_word = clock::now();
        if let ServerOp::Error(text) = op {
            return Err(Failure::new(String::from_utf8_lossy(text)));
        }
        match who.checked_sub(self.books.len()) {
            Some(at) => self.on_read(at, &op, out.to(who)),
            None => {
                if let ServerOp::Message(message) = &op {
                    self.books[who].on_ack(message);
                }
            }
        }
        Ok(())
    }

    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()> {
        if now - self.last_word > STUCK_AFTER {
            let left: Vec<_> =
                self.books.iter().map(|book| (book.acked, book.seen, book.confirmations)).collect();
            return Err(Failure::new(format!(
                "nothing was heard for {STUCK_AFTER:?}; there, acknowledged, for good: {left:?}"
            )));
        }
        if self.closed == 0 {
            if self.purpose == Purpose::Work {
                self.publish(out);
            }
            self.pull(out);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        match self.purpose {
            Purpose::Work => self.closed == 2 * self.books.len(),
            Purpose::Drain => {
                self.last_word.elapsed() > QUIET
                    && self.books.iter().all(|book| book.seen == book.acked)
            }
        }
    }

    fn on_closed(&mut self, who: usize) -> Outcome<()> {
        self.closed += 1;
        match self.purpose {
            Purpose::Work => Ok(()),
            Purpose::Drain => Err(Failure::new(format!("the server closed connection {who}"))),
        }
    }
}

/// One for each publisher, then one for each reader.
fn connections(bench: &Bench<'_>, books: &[Book]) -> Outcome<Vec<Connection>> {
    let publishers =
        books.iter().map(|book| bench.subscribed(&format!("{}.*", book.stream.inbox())));
    let readers = books.iter().map(|book| {
        let id = book.stream.id;
        let mut connection = bench.subscribed(&format!("_INBOX.work.{id}"))?;
        let line = format!("SUB _INBOX.sync.{id}.* 2\r\n");
        connection.settle(line.as_bytes()).context("subscribing")?;
        Ok(connection)
    });
    publishers.chain(readers).collect()
}
