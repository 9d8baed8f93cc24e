//! A subscriber that stops reading, beside a healthy one: what it costs its neighbour, how much
//! memory it takes, and when it is cut.

use std::time::{Duration, Instant};

use clap::Args;

use super::Bench;
use crate::client::Greeting;
use crate::clock;
use crate::engine::{Delivery, Engine, Plan, Window};
use crate::failure::{Context, Outcome};
use crate::report::{Figure, Sample};

const SLOT: Duration = Duration::from_millis(100);

#[derive(Args, Clone, Debug)]
pub struct Slow {
    /// Seconds to wait for the cut at most.
    #[arg(long, default_value_t = 15)]
    pub patience: u64,
    /// Idle connections opened before the stopped one: they decide which core it is on.
    #[arg(long, default_value_t = 0)]
    pub spacers: usize,
}

/// What was seen from the stopped subscriber's arrival until it was cut.
struct Trial {
    /// From its arrival; `None`: not within the patience.
    cut_after: Option<Duration>,
    seconds: f64,
    delivered: u64,
    /// The worst slot, messages per second.
    least_rate: f64,
    rss_peak: u64,
    log_line: Option<String>,
}

impl Slow {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut plan = Plan::default();
        bench.add_flow(&mut plan, 0, Delivery::Every, 1)?;
        let spacers: Outcome<Vec<_>> =
            (0..self.spacers).map(|_| bench.connect(Greeting::default())).collect();
        let spacers = spacers?;
        let engine = bench.engine(plan)?;
        let load = bench.load;
        let before = Window::measure(&engine, bench.server, load.warmup, load.seconds)?;
        let mut stopped = bench.connect(Greeting::default())?;
        let pattern = bench.subjects(0).first().cloned().unwrap_or_default();
        // From here on nothing reads this connection.
        stopped.queue(format!("SUB {pattern} 1\r\n").as_bytes());
        stopped.flush().context("the stopped subscriber")?;
        let trial = self.wait_for_cut(bench, &engine)?;
        let recovery = self.wait_for_recovery(&engine, 0.95 * rate_of(&before));
        let after = Window::measure(&engine, bench.server, Duration::ZERO, load.seconds)?;
        let faults = engine.finish()?;
        drop((stopped, spacers));
        let mut sample = bench.sample(&after, after.delivered, faults);
        sample.figures = figures(&before, &trial, recovery, &after);
        Ok(sample)
    }

    /// How long after the cut the neighbour had its rate back.
    fn wait_for_recovery(&self, engine: &Engine, rate_min: f64) -> Option<Duration> {
        let start = clock::now();
        while start.elapsed().as_secs() < self.patience {
            let (from, already) = (clock::now(), engine.delivered());
            clock::pause(SLOT);
            let rate = (engine.delivered() - already) as f64 / from.elapsed().as_secs_f64();
            if rate >= rate_min {
                return Some(from - start);
            }
        }
        None
    }

    fn wait_for_cut(&self, bench: &Bench<'_>, engine: &Engine) -> Outcome<Trial> {
        let start = clock::now();
        let already = engine.delivered();
        let mut trial = Trial {
            cut_after: None,
            seconds: 0.0,
            delivered: 0,
            least_rate: f64::INFINITY,
            rss_peak: 0,
            log_line: None,
        };
        let mut slot: (Instant, u64) = (start, already);
        while trial.cut_after.is_none() && start.elapsed().as_secs() < self.patience {
            clock::pause(SLOT);
            let (now, delivered) = (clock::now(), engine.delivered());
            let rate = (delivered - slot.1) as f64 / (now - slot.0).as_secs_f64();
            slot = (now, delivered);
            trial.least_rate = trial.least_rate.min(rate);
            trial.rss_peak = trial.rss_peak.max(bench.server.usage()?.rss_bytes);
            let log = bench.server.log();
            if let Some(line) = log.lines().find(|line| line.contains("Slow Consumer")) {
                trial.log_line = Some(line.to_string());
                trial.cut_after = Some(now - start);
            }
        }
        trial.seconds = (slot.0 - start).as_secs_f64();
        trial.delivered = slot.1 - already;
        Ok(trial)
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
    let during = trial.delivered as f64 / trial.seconds;
    let mut figures = vec![
        Figure::new("rate before", rate_of(before), "msg/s"),
        Figure::new("rate until the cut", during, "msg/s"),
        Figure::new("kept", 100.0 * during / rate_of(before), "%"),
        Figure::new("worst 100 ms", trial.least_rate, "msg/s"),
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
