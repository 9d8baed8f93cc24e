//! A subscriber that stops reading, beside a healthy one: what it costs its neighbour, how much
//! memory it takes, and when it is cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;

use super::Bench;
use crate::client::{Connection, Drained, Greeting, Scratch};
use crate::clock;
use crate::engine::{Delivery, Engine, Flow, Group, Plan, Window};
use crate::failure::{Context, Failure, Outcome};
use crate::report::{Figure, Sample};

/// How often the neighbour's progress and the server's log are looked at.
const SLOT: Duration = Duration::from_millis(10);
/// The neighbour is watched for so long after the stop, and until the cut.
const HORIZON: Duration = Duration::from_secs(1);
/// What counts as having its rate back, of the rate before.
const RECOVERED: f64 = 0.95;
/// Rates of single slots say nothing: recovery is judged over so many.
const RECOVERY_SLOTS: u32 = 10;

#[derive(Args, Clone, Debug)]
pub struct Slow {
    /// Seconds to wait for the cut at most.
    #[arg(long, default_value_t = 15)]
    pub patience: u64,
    /// Idle connections opened before the stopped one: they decide which core it is on.
    #[arg(long, default_value_t = 0)]
    pub spacers: usize,
    /// It reads at first like its neighbour, whose rate before is that beside a reader.
    #[arg(long)]
    pub reads_first: bool,
    /// Messages per second that are published; 0 for as many as go.
    #[arg(long, default_value_t = 0)]
    pub pace: u64,
}

/// What was seen from the stop until the cut, and at least for [`HORIZON`].
#[derive(Default)]
struct Trial {
    /// `None`: not within the patience.
    cut_after: Option<Duration>,
    until_cut: Stretch,
    /// The first [`HORIZON`].
    first: Stretch,
    rss_peak: u64,
    log_line: Option<String>,
}

/// The neighbour's share of a stretch of time.
#[derive(Clone, Copy, Default)]
struct Stretch {
    seconds: f64,
    delivered: u64,
}

impl Stretch {
    fn rate(self) -> f64 {
        self.delivered as f64 / self.seconds
    }
}

impl Slow {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let plan = self.plan(bench)?;
        let spacers: Outcome<Vec<_>> =
            (0..self.spacers).map(|_| bench.connect(Greeting::default())).collect();
        let spacers = spacers?;
        let engine = bench.engine(plan)?;
        let load = bench.load;
        let reader = if self.reads_first { Some(Reader::start(subscribe(bench)?)) } else { None };
        let before = Window::measure(&engine, bench.server, load.warmup, load.seconds)?;
        let stopped = match reader {
            Some(reader) => reader.stop()?,
            None => subscribe(bench)?,
        };
        // From here on nothing reads this connection.
        let trial = self.watch(bench, &engine)?;
        let recovery = self.wait_for_recovery(&engine, RECOVERED * rate_of(&before));
        let after = Window::measure(&engine, bench.server, Duration::ZERO, load.seconds)?;
        let faults = engine.finish()?;
        drop((stopped, spacers));
        let mut sample = bench.sample(&after, after.delivered, faults);
        sample.figures = figures(&before, &trial, recovery, &after);
        Ok(sample)
    }

    fn plan(&self, bench: &Bench<'_>) -> Outcome<Plan> {
        let mut plan = Plan::default();
        let group = Arc::new(Group::new(Delivery::Every, 1));
        plan.add(1, bench.subscriber(0, &group, 0)?);
        let pace = (self.pace > 0).then(|| Arc::new(AtomicU64::new(self.pace)));
        let flow = Flow { pace, ..bench.flow() };
        plan.add(0, bench.publisher_to(0, &bench.subjects(0), &group, flow)?);
        plan.groups.push(group);
        Ok(plan)
    }

    /// How long after the watch the neighbour had its rate back.
    fn wait_for_recovery(&self, engine: &Engine, rate_min: f64) -> Option<Duration> {
        let start = clock::now();
        while start.elapsed().as_secs() < self.patience {
            let (from, already) = (clock::now(), engine.delivered());
            clock::pause(RECOVERY_SLOTS * SLOT);
            let rate = (engine.delivered() - already) as f64 / from.elapsed().as_secs_f64();
            if rate >= rate_min {
                return Some(from - start);
            }
        }
        None
    }

    fn watch(&self, bench: &Bench<'_>, engine: &Engine) -> Outcome<Trial> {
        let start = clock::now();
        let already = engine.delivered();
        let stretch = |now: Instant| Stretch {
            seconds: (now - start).as_secs_f64(),
            delivered: engine.delivered() - already,
        };
        let mut trial = Trial::default();
        loop {
            clock::pause(SLOT);
            let now = clock::now();
            if trial.first.seconds < HORIZON.as_secs_f64() {
                trial.first = stretch(now);
            }
            trial.rss_peak = trial.rss_peak.max(bench.server.usage()?.rss_bytes);
            if trial.cut_after.is_none() {
                trial.until_cut = stretch(now);
                let log = bench.server.log();
                if let Some(line) = log.lines().find(|line| line.contains("Slow Consumer")) {
                    trial.log_line = Some(line.to_string());
                    trial.cut_after = Some(now - start);
                }
            }
            let is_seen = trial.cut_after.is_some() && now - start >= HORIZON;
            if is_seen || (now - start).as_secs() >= self.patience {
                return Ok(trial);
            }
        }
    }
}

/// Another subscriber of what is published, outside the engine.
fn subscribe(bench: &Bench<'_>) -> Outcome<Connection> {
    let pattern = bench.subjects(0).first().cloned().unwrap_or_default();
    let mut connection = bench.connect(Greeting::default())?;
    connection.queue(format!("SUB {pattern} 1\r\n").as_bytes());
    connection.flush().context("the subscriber that will stop")?;
    Ok(connection)
}

/// Reads a subscription and throws away what it reads, on a thread of its own.
struct Reader {
    go_on: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<Connection>>,
}

impl Reader {
    fn start(mut connection: Connection) -> Self {
        let go_on = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&go_on);
        let thread = std::thread::spawn(move || {
            let mut scratch = Scratch::new();
            while asked.load(Relaxed) {
                let drained = connection.receive(&mut scratch, |bytes| Ok(bytes.len()));
                match drained.context("the subscriber that will stop")? {
                    Drained::NotYet => {}
                    Drained::Empty => clock::pause(Duration::from_micros(50)),
                    Drained::Closed => return Err(Failure::new("cut while it was reading")),
                }
            }
            Ok(connection)
        });
        Self { go_on, thread }
    }

    /// The connection, which nothing reads any more.
    fn stop(self) -> Outcome<Connection> {
        self.go_on.store(false, Relaxed);
        self.thread.join().map_err(|_| Failure::new("the reader panicked"))?
    }
}

fn rate_of(window: &Window) -> f64 {
    window.delivered as f64 / window.seconds
}

fn figures(
    before: &Window,
    trial: &Trial,
    recovery: Option<Duration>,
    after: &Window,
) -> Vec<Figure> {
    let rate = rate_of(before);
    let kept = |stretch: Stretch| 100.0 * stretch.rate() / rate;
    let lost = trial.first.seconds - trial.first.delivered as f64 / rate;
    let mut figures = vec![
        Figure::new("rate before", rate, "msg/s"),
        Figure::new("kept until the cut", kept(trial.until_cut), "%"),
        Figure::new("kept in the first second", kept(trial.first), "%"),
        Figure::new("lost of it", lost * 1e3, "ms"),
        Figure::new("rate after", rate_of(after), "msg/s"),
        Figure::new("RSS before", before.server.rss_bytes as f64, "B"),
        Figure::new("RSS peak", trial.rss_peak as f64, "B"),
    ];
    match (trial.cut_after, &trial.log_line) {
        (Some(after), Some(line)) => {
            figures.push(Figure::new("cut after", after.as_secs_f64() * 1e3, "ms"));
            figures.push(Figure::text("log", line));
        }
        _ => figures.push(Figure::text("cut after", "never")),
    }
    figures.push(match recovery {
        Some(after) => Figure::new("95 % again after another", after.as_secs_f64() * 1e3, "ms"),
        None => Figure::text("95 % again", "never"),
    });
    figures
}
