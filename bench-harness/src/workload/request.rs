//! Request and reply, closed loop: each requester has one request under way. Requesters and the
//! responder share one harness thread, so that no wake-up between harness threads is measured.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;

use super::Bench;
use crate::client::{Connection, Greeting, Message, Outboxes, Party, ServerOp, Switchboard};
use crate::clock;
use crate::engine::Edge;
use crate::failure::{Context, Failure, Outcome};
use crate::payload::{self, Stamp};
use crate::report::{Latency, Sample};
use crate::server::Server;
use crate::verify::Faults;

/// Latencies above are recorded as this.
const LATENCY_MAX: Duration = Duration::from_secs(60);
/// A request that takes longer is lost, and its requester asks again.
const LOST_AFTER: Duration = Duration::from_secs(2);
const RESPONDER: usize = 0;

#[derive(Args, Clone, Debug)]
pub struct Request {
    #[arg(long, default_value_t = 1)]
    pub requesters: usize,
    /// Idle connections opened between the responder and the requesters: on a server that places
    /// connections in turn, they decide whether the two ends share a core.
    #[arg(long, default_value_t = 0)]
    pub spacers: usize,
}

impl Request {
    pub fn label(&self) -> String {
        let placed =
            if self.spacers > 0 { format!(", {} between", self.spacers) } else { String::new() };
        format!("request/reply, {}{placed}", self.requesters)
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut connections = vec![subscribed(bench, "bench.request")?];
        let spacers: Outcome<Vec<_>> =
            (0..self.spacers).map(|_| bench.connect(Greeting::default())).collect();
        let spacers = spacers?;
        for requester in 0..self.requesters {
            connections.push(subscribed(bench, &format!("_INBOX.{requester}.*"))?);
        }
        let mut loops = Loops::new(bench, self.requesters)?;
        Switchboard::new(connections, bench.load.spin)?.run(&mut loops)?;
        drop(spacers);
        loops.sample(bench.server)
    }
}

fn subscribed(bench: &Bench<'_>, pattern: &str) -> Outcome<Connection> {
    let mut connection = bench.connect(Greeting { verbose: false, no_responders: true })?;
    connection.settle(format!("SUB {pattern} 1\r\n").as_bytes()).context("subscribing")?;
    Ok(connection)
}

struct Requester {
    /// The request under way.
    seq: u64,
    sent: Instant,
    is_waiting: bool,
}

struct Loops<'a> {
    server: &'a Server,
    size: usize,
    requesters: Vec<Requester>,
    begins: Instant,
    ends: Instant,
    first: Option<Edge>,
    last: Option<Edge>,
    latency: Histogram<u64>,
    faults: Faults,
    template: Vec<u8>,
}

impl<'a> Loops<'a> {
    fn new(bench: &Bench<'a>, requesters: usize) -> Outcome<Self> {
        let now = clock::now();
        let begins = now + bench.load.warmup;
        Ok(Self {
            server: bench.server,
            size: bench.load.payload(),
            requesters: (0..requesters)
                .map(|_| Requester { seq: 0, sent: now, is_waiting: false })
                .collect(),
            begins,
            ends: begins + bench.load.seconds,
            first: None,
            last: None,
            latency: Histogram::new_with_bounds(1, LATENCY_MAX.as_nanos() as u64, 3)
                .context("histogram")?,
            faults: Faults::default(),
            template: payload::template(0, bench.load.payload()),
        })
    }

    fn ask(&mut self, requester: usize, out: &mut Outboxes) {
        let state = &mut self.requesters[requester];
        state.seq += 1;
        let stamp = Stamp { publisher: 0, seq: state.seq };
        payload::write(&mut self.template, stamp);
        let to = out.to(1 + requester);
        let (seq, size) = (state.seq, self.size);
        to.extend_from_slice(
            format!("PUB bench.request _INBOX.{requester}.{seq} {size}\r\n").as_bytes(),
        );
        to.extend_from_slice(&self.template);
        to.extend_from_slice(b"\r\n");
        state.sent = clock::now();
        state.is_waiting = true;
    }

    fn on_reply(&mut self, requester: usize, message: &Message<'_>) {
        let state = &mut self.requesters[requester];
        let due = Some(Stamp { publisher: 0, seq: state.seq });
        let took = state.sent.elapsed().as_nanos() as u64;
        if message.is_no_responders() {
            self.faults.lost += 1;
            self.faults.note(|| "503 although the responder is there".into());
        } else if payload::read(message.payload, self.size) != due || !state.is_waiting {
            self.faults.corrupted += 1;
            self.faults.note(|| "a reply that is not the request's".into());
            return;
        }
        state.is_waiting = false;
        if self.first.is_some() && self.last.is_none() {
            self.latency.saturating_record(took);
        }
    }

    /// Who has its answer asks again; who waits too long has lost it.
    fn ask_all(&mut self, now: Instant, out: &mut Outboxes) {
        for requester in 0..self.requesters.len() {
            let state = &mut self.requesters[requester];
            if state.is_waiting && now.saturating_duration_since(state.sent) > LOST_AFTER {
                let seq = state.seq;
                state.is_waiting = false;
                self.faults.lost += 1;
                self.faults.note(|| format!("request {seq} of {requester} was never answered"));
            }
            if !self.requesters[requester].is_waiting && self.last.is_none() {
                self.ask(requester, out);
            }
        }
    }

    fn sample(self, server: &Server) -> Outcome<Sample> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Err(Failure::new("the window did not close"));
        };
        let span = first.until(&last, server);
        Ok(Sample {
            count: self.latency.len(),
            seconds: span.seconds,
            server: span.server,
            harness: span.harness,
            faults: self.faults,
            offered: None,
            latency: Some(Latency::of(&self.latency)),
            figures: Vec::new(),
        })
    }
}

impl Party for Loops<'_> {
    fn on_op(&mut self, who: usize, op: ServerOp<'_>, out: &mut Outboxes) -> Outcome<()> {
        match op {
            ServerOp::Message(message) if who == RESPONDER => {
                let reply = message.reply.ok_or_else(|| Failure::new("a request without reply"))?;
                let to = out.to(RESPONDER);
                to.extend_from_slice(b"PUB ");
                to.extend_from_slice(reply);
                to.extend_from_slice(format!(" {}\r\n", message.payload.len()).as_bytes());
                to.extend_from_slice(message.payload);
                to.extend_from_slice(b"\r\n");
            }
            ServerOp::Message(message) => {
                self.on_reply(who - 1, &message);
                if !self.requesters[who - 1].is_waiting && self.last.is_none() {
                    self.ask(who - 1, out);
                }
            }
            ServerOp::Error(text) => {
                self.faults.errors += 1;
                self.faults.note(|| format!("-ERR {}", String::from_utf8_lossy(text)));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()> {
        self.ask_all(now, out);
        if self.first.is_none() && now >= self.begins {
            self.first = Some(Edge::take(self.server)?);
        }
        if self.last.is_none() && now >= self.ends {
            self.last = Some(Edge::take(self.server)?);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.last.is_some() && self.requesters.iter().all(|requester| !requester.is_waiting)
    }
}
