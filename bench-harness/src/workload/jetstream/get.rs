//! Single messages of a stream by sequence, through direct get.

use clap::Args;

use super::sample_of;
use super::stream::{Keeping, Stream, require};
use crate::client::{Greeting, Message};
use crate::engine::{Asks, Exchange, Judged, Until};
use crate::failure::Outcome;
use crate::payload::{self, Stamp};
use crate::report::Sample;
use crate::verify::fingerprint;
use crate::workload::Bench;

#[derive(Args, Clone, Debug)]
pub struct Get {
    /// Requests under way at a time.
    #[arg(long, default_value_t = 1)]
    pub outstanding: usize,
    /// Messages in the stream.
    #[arg(long, default_value_t = 100_000)]
    pub messages: u64,
    #[command(flatten)]
    pub keeping: Keeping,
}

impl Get {
    pub fn label(&self) -> String {
        format!("js direct get, {} outstanding, {}", self.outstanding, self.keeping.storage.name())
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let stream = Stream { id: 0 };
        stream.create(bench, self.keeping.storage)?;
        require(&stream.fill(bench, self.messages)?)?;
        let gets = Gets {
            subject: format!("$JS.API.DIRECT.GET.{}", stream.name()),
            messages: self.messages.max(1),
            size: bench.load.payload(),
        };
        let connection = bench.connect(Greeting::default())?;
        let (load, server) = (bench.load, bench.server);
        let answers = Asks::run(gets, connection, server, load, self.outstanding, Until::Window)?;
        Ok(sample_of(answers).1)
    }
}

struct Gets {
    subject: String,
    messages: u64,
    size: usize,
}

impl Gets {
    /// All over the stream, in no order a cache could guess. Counted from 0.
    fn wanted(&self, nth: u64) -> u64 {
        fingerprint(nth) % self.messages
    }
}

impl Exchange for Gets {
    fn ask(&mut self, _slot: usize, nth: u64, reply: &str, out: &mut Vec<u8>) {
        let body = format!("{{\"seq\":{}}}", self.wanted(nth) + 1);
        let line = format!("PUB {} {reply} {}\r\n{body}\r\n", self.subject, body.len());
        out.extend_from_slice(line.as_bytes());
    }

    fn judge(&mut self, _slot: usize, nth: u64, answer: &Message<'_>) -> Judged {
        let wanted = self.wanted(nth);
        let due = Stamp { publisher: 0, seq: wanted };
        if payload::read(answer.payload, self.size) == Some(due) {
            Judged::Done
        } else {
            Judged::Wrong(format!("not message {}: {}", wanted + 1, headers_of(answer)))
        }
    }
}

/// The first line, which says why there is nothing.
pub fn headers_of(answer: &Message<'_>) -> String {
    let text = String::from_utf8_lossy(answer.headers);
    text.lines().next().unwrap_or("no headers").to_owned()
}
