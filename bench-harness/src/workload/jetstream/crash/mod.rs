//! A server that is killed at random moments while streams are published to and read, and started
//! again. Afterwards every acknowledged message is there once, in order and unchanged, and no
//! delivery whose acknowledgement was acknowledged comes again.

mod book;
mod life;

use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::book::Book;
use self::life::{CONSUMER, Life, Purpose};
use super::stream::Storage;
use crate::client::Api;
use crate::clock;
use crate::engine::{Edge, Span};
use crate::failure::{Context, Failure, Outcome};
use crate::report::{Figure, Sample};
use crate::server::{Server, guard};
use crate::verify::Faults;
use crate::workload::Bench;

/// A delivery that is not acknowledged comes again after this.
const ACK_WAIT: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
pub struct Crash {
    #[arg(long, default_value_t = 100)]
    pub kills: u32,
    #[arg(long, default_value_t = 8)]
    pub streams: u32,
    /// Unacknowledged messages of a publisher.
    #[arg(long, default_value_t = 256)]
    pub unacked: u64,
    /// Kills on one store; the next begins with an empty one.
    #[arg(long, default_value_t = 10)]
    pub lives: u32,
    /// Milliseconds until the kill at most; the least is none.
    #[arg(long, default_value_t = 1000)]
    pub longest: u64,
    /// Of the moments; by default another one each time.
    #[arg(long)]
    pub seed: Option<u64>,
}

/// What all lives came to.
#[derive(Default)]
struct Tally {
    kills: u32,
    acked: u64,
    confirmed: u64,
    again: u64,
    starts: Vec<Duration>,
    published: Duration,
    faults: Faults,
}

impl Crash {
    pub fn label(&self) -> String {
        format!("{} kills, {} streams", self.kills, self.streams)
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        let mut tally = Tally::default();
        let first = Edge::take(bench.server)?;
        while tally.kills < self.kills && tally.faults.total() == 0 && !guard::is_asked_to_end() {
            let lives = self.lives.clamp(1, self.kills - tally.kills);
            let server = bench.server.another()?;
            self.fill_a_store(server, bench, lives, &mut random, &mut tally)?;
        }
        let mut span: Span = first.until(&Edge::take(bench.server)?, bench.server);
        span.seconds = tally.published.as_secs_f64();
        let slowest = tally.starts.iter().max().copied().unwrap_or_default();
        let mut sample = Sample::of(tally.acked, &span, tally.faults);
        sample.server = None;
        sample.figures = vec![
            Figure::new("kills", f64::from(tally.kills), ""),
            Figure::new("acknowledged messages", tally.acked as f64, ""),
            Figure::new("double-acknowledged deliveries", tally.confirmed as f64, ""),
            Figure::new("redeliveries", tally.again as f64, ""),
            Figure::new("slowest start", slowest.as_secs_f64() * 1e3, "ms"),
            Figure::text("seed", &seed.to_string()),
        ];
        Ok(sample)
    }

    /// So many lives on one store, then everything is read to its end.
    fn fill_a_store(
        &self,
        mut server: Server,
        bench: &Bench<'_>,
        lives: u32,
        random: &mut fastrand::Rng,
        tally: &mut Tally,
    ) -> Outcome<()> {
        let size = bench.load.payload();
        let mut books: Vec<Book> = (0..self.streams.max(1)).map(|id| Book::new(id, size)).collect();
        furnish(&Bench { server: &server, load: bench.load }, &books)?;
        for life in 0..lives {
            let delay = Duration::from_micros(random.u64(0..=self.longest * 1000));
            self.live(&server, bench, &mut books, life, delay)?;
            server.stop(true);
            let stopped = clock::now();
            server.start_again().context(format!("life {life}"))?;
            tally.starts.push(stopped.elapsed());
            tally.kills += 1;
            tally.published += delay;
            look_at(&Bench { server: &server, load: bench.load }, &mut books)?;
            if let Some(first) = tally.add_faults(&mut books) {
                tally.faults.first = Some(format!("{first} (life {life}, killed after {delay:?})"));
                return Ok(());
            }
        }
        let last = Bench { server: &server, load: bench.load };
        let drained = Life::run(&last, &mut books, lives, Purpose::Drain, self.unacked);
        let drained = drained.and_then(|()| check_consumers(&last, &mut books));
        for book in &books {
            tally.acked += book.acknowledgements;
            tally.confirmed += book.confirmations;
            tally.again += book.again;
        }
        tally.add_faults(&mut books);
        drained.context("reading what is left")
    }

    /// Until the server is killed.
    fn live(
        &self,
        server: &Server,
        bench: &Bench<'_>,
        books: &mut [Book],
        life: u32,
        delay: Duration,
    ) -> Outcome<()> {
        let began = clock::now();
        server.kill_after(delay)?;
        let bench = Bench { server, load: bench.load };
        let lived = Life::run(&bench, books, life, Purpose::Work, self.unacked);
        if began.elapsed() < delay {
            let why =
                lived.err().map_or_else(|| "nothing".to_owned(), |failure| failure.to_string());
            return Err(Failure::new(format!(
                "the server ended by itself: {why}\n{}",
                server.log()
            )));
        }
        // A server that was killed before its first connection refuses it.
        Ok(())
    }
}

impl Tally {
    /// The first of them in words, if there are any.
    fn add_faults(&mut self, books: &mut [Book]) -> Option<String> {
        for book in books {
            self.faults.add(&std::mem::take(&mut book.faults));
        }
        self.faults.first.clone()
    }
}

fn furnish(bench: &Bench<'_>, books: &[Book]) -> Outcome<()> {
    let mut api = Api::open(bench.server.address)?;
    for book in books {
        book.stream.create(bench, Storage::File)?;
        let config = json!({
            "durable_name": CONSUMER,
            "ack_policy": "explicit",
            "ack_wait": ACK_WAIT.as_nanos() as u64,
            "max_ack_pending": 4096,
        });
        api.create_consumer(&book.stream.name(), CONSUMER, &config)?;
    }
    Ok(())
}

/// Everything was delivered and acknowledged, and the consumers know it.
fn check_consumers(bench: &Bench<'_>, books: &mut [Book]) -> Outcome<()> {
    let mut api = Api::open(bench.server.address)?;
    for book in books {
        let state = api.consumer(&book.stream.name(), CONSUMER)?;
        if state.pending + state.ack_pending > 0 {
            book.fault(
                |faults| &mut faults.lost,
                || format!("all was acknowledged, yet {state:?}"),
            );
        }
    }
    Ok(())
}

/// Reads everything that is there, in order.
fn look_at(bench: &Bench<'_>, books: &mut [Book]) -> Outcome<()> {
    let mut api = Api::open(bench.server.address)?;
    for book in books {
        let state = api.stream(&book.stream.name())?;
        book.on_start(state.last_seq);
        if state.messages != state.last_seq || state.last_seq > 0 && state.first_seq != 1 {
            book.fault(|faults| &mut faults.lost, || format!("a stream with holes: {state:?}"));
        }
        if state.messages > 0 {
            book.faults.add(&book.stream.read_back(bench, state.messages)?.1);
            api.delete_consumer(&book.stream.name(), &book.stream.reader_name())?;
        }
    }
    Ok(())
}
