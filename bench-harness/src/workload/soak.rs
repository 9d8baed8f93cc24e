//! Varying load for a long time, beside witnesses of the machine: stalls that only the server
//! can explain, and whether its memory stays flat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use clap::Args;

use super::Bench;
use super::witness::{Interval, Witnesses, unshared};
use crate::affinity::Cpus;
use crate::client::Greeting;
use crate::clock;
use crate::engine::{Churner, Delivery, Engine, Flow, Group, Plan, Window};
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::server::guard;

const STALL_MAX: Duration = Duration::from_millis(50);
/// Interest that comes and goes meanwhile.
const CHURN_PER_SECOND: u64 = 100;
/// Looks at memory, and changes of the load.
const STEP: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub struct Soak {
    #[arg(long, default_value_t = 20.0)]
    pub minutes: f64,
    #[arg(long, default_value_t = 16)]
    pub pairs: u32,
    /// Messages per second of all pairs at the height of the load; the least is a fiftieth.
    #[arg(long, default_value_t = 200_000)]
    pub rate: u64,
}

impl Soak {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let pace = Arc::new(AtomicU64::new(0));
        let (plan, silences) = self.plan(bench, &pace)?;
        let witnesses = Witnesses::start(&Cpus::allowed()?);
        let engine = bench.engine(plan)?;
        let (window, memory) = self.watch(bench, &engine, &pace)?;
        let faults = engine.finish()?;
        let witnessed = witnesses.finish()?;
        let stalls: Vec<Interval> = silences.try_iter().collect();
        let own: Vec<_> = stalls.iter().map(|&stall| unshared(stall, &witnessed)).collect();
        let mut sample = bench.sample(&window, window.delivered, faults);
        let unexplained = own.iter().filter(|&&left| left > STALL_MAX).count();
        let longest = own.iter().max().copied().unwrap_or_default();
        sample.figures = vec![
            Figure::new("silences over 50 ms", stalls.len() as f64, ""),
            Figure::new("of them not the machine's", unexplained as f64, ""),
            Figure::new("longest own", longest.as_secs_f64() * 1e3, "ms"),
            Figure::new("witnessed stalls", witnessed.len() as f64, ""),
        ];
        sample.figures.extend(memory);
        Ok(sample)
    }

    fn plan(
        &self,
        bench: &Bench<'_>,
        pace: &Arc<AtomicU64>,
    ) -> Outcome<(Plan, Receiver<Interval>)> {
        let mut plan = Plan::default();
        let (to, silences) = mpsc::channel();
        for id in 0..self.pairs {
            let group = Arc::new(Group::new(Delivery::Every, 1));
            let mut subscriber = bench.subscriber(id, &group, 0)?;
            subscriber.watch_silences(STALL_MAX, to.clone());
            plan.add(id as usize, subscriber);
            let flow = Flow { pace: Some(Arc::clone(pace)), ..bench.flow() };
            let publisher = bench.publisher_to(id, &bench.subjects(id), &group, flow)?;
            plan.add(id as usize, publisher);
            plan.groups.push(group);
        }
        plan.add(0, Churner::new(bench.connect(Greeting::default())?, CHURN_PER_SECOND));
        Ok((plan, silences))
    }

    /// The load swings through its whole range once a minute.
    fn watch(
        &self,
        bench: &Bench<'_>,
        engine: &Engine,
        pace: &AtomicU64,
    ) -> Outcome<(Window, Vec<Figure>)> {
        let steps = (self.minutes * 60.0 / STEP.as_secs_f64()).ceil().max(1.0) as u64;
        let mut rss = Vec::new();
        let length = STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        let start = clock::now();
        let window = std::thread::scope(|scope| {
            let measured =
                scope.spawn(|| Window::measure(engine, bench.server, Duration::ZERO, length));
            while start.elapsed() < length && !guard::is_asked_to_end() {
                let phase = start.elapsed().as_secs_f64() / 60.0 * std::f64::consts::TAU;
                let share = 0.51 - 0.49 * phase.cos();
                let each = self.rate as f64 * share / f64::from(self.pairs);
                pace.store((each as u64).max(1), Relaxed);
                clock::pause(STEP);
                rss.push(bench.server.usage().map_or(0, |usage| usage.rss_bytes));
            }
            measured.join()
        });
        let window = window.map_err(|_| crate::failure::Failure::new("the window panicked"))??;
        Ok((window, memory(&rss)))
    }
}

/// Memory after the first tenth, at the most, and at the end.
fn memory(rss: &[u64]) -> Vec<Figure> {
    let at = |nth: usize| rss.get(nth).copied().unwrap_or_default() as f64;
    vec![
        Figure::new("RSS early", at(rss.len() / 10), "B"),
        Figure::new("RSS peak", rss.iter().copied().max().unwrap_or_default() as f64, "B"),
        Figure::new("RSS end", at(rss.len().saturating_sub(1)), "B"),
    ]
}
