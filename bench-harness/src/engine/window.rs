//! The measured window: what the server and the harness used, and what was done, between two
//! moments of one run.

use std::time::{Duration, Instant};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{Engine, Progress};
use crate::clock;
use crate::failure::Outcome;
use crate::server::{Server, Usage, UsageDelta, guard};

/// A thread busier than this may be what limits the rate.
const BUSY_MAX: f64 = 0.80;

/// How soon a window ends when somebody wants it to.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How exact the end of a counted run is.
const LOOK_EVERY: Duration = Duration::from_micros(500);

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct HarnessUse {
    pub cpu_seconds: f64,
    /// Share of the window that the busiest thread was on a CPU.
    pub busiest: f64,
}

impl HarnessUse {
    /// The figures say as much about the harness as about the server.
    pub fn is_bound(&self, server_cpu_seconds: f64) -> bool {
        self.busiest > BUSY_MAX || self.cpu_seconds > server_cpu_seconds
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    pub seconds: f64,
    pub published: u64,
    pub delivered: u64,
    pub server: UsageDelta,
    pub harness: HarnessUse,
}

struct Moment {
    at: Instant,
    published: u64,
    delivered: u64,
    server: Usage,
    harness: Duration,
    threads: Vec<Duration>,
}

impl Moment {
    fn take(engine: &Engine, server: &Server) -> Outcome<Self> {
        Ok(Self {
            at: clock::now(),
            published: engine.published(),
            delivered: engine.delivered(),
            server: server.usage()?,
            harness: clock::process_cpu(Pid::this())?,
            threads: engine.threads_cpu()?,
        })
    }
}

/// Shorter when somebody wants the run to end.
fn pause_unless_ended(length: Duration) {
    let start = clock::now();
    while !guard::is_asked_to_end() {
        let left = length.saturating_sub(start.elapsed());
        if left.is_zero() {
            return;
        }
        clock::pause(left.min(ASK_EVERY));
    }
}

impl Window {
    pub fn measure(
        engine: &Engine,
        server: &Server,
        warmup: Duration,
        length: Duration,
    ) -> Outcome<Self> {
        clock::pause(warmup);
        let before = Moment::take(engine, server)?;
        pause_unless_ended(length);
        let after = Moment::take(engine, server)?;
        Ok(Self::between(&before, &after))
    }

    /// From just before `start` until everything has arrived, or nothing more does. The engine
    /// comes back to be finished.
    pub fn until_over(
        server: &Server,
        start: impl FnOnce() -> Outcome<Engine>,
    ) -> Outcome<(Self, Engine)> {
        let usage = server.usage()?;
        let harness = clock::process_cpu(Pid::this())?;
        let at = clock::now();
        let engine = start()?;
        let threads = vec![Duration::ZERO; engine.threads_cpu()?.len()];
        let before = Moment { at, published: 0, delivered: 0, server: usage, harness, threads };
        let mut progress = Progress::begin();
        while engine.is_over(&mut progress).is_none() {
            clock::pause(LOOK_EVERY);
        }
        let after = Moment::take(&engine, server)?;
        Ok((Self::between(&before, &after), engine))
    }

    fn between(before: &Moment, after: &Moment) -> Self {
        let seconds = (after.at - before.at).as_secs_f64();
        let busy = after.threads.iter().zip(&before.threads);
        let busiest = busy.map(|(after, before)| after.saturating_sub(*before)).max();
        Self {
            seconds,
            published: after.published - before.published,
            delivered: after.delivered - before.delivered,
            server: after.server.since(&before.server),
            harness: HarnessUse {
                cpu_seconds: after.harness.saturating_sub(before.harness).as_secs_f64(),
                busiest: busiest.unwrap_or_default().as_secs_f64() / seconds,
            },
        }
    }
}
