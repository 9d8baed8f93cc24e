//! One run at one rate: opens the lanes, follows the schedule, waits for the rest.

use std::time::{Duration, Instant};

use super::lane::{Lane, Shape};
use super::recorder::Recorder;
use super::schedule::Schedule;
use crate::client::{Poller, Ready, Scratch};
use crate::clock;
use crate::engine::{Edge, Span};
use crate::failure::{Failure, Outcome};
use crate::server::Server;
use crate::verify::Faults;
use crate::workload::Bench;

/// After the last message was due: when nothing arrives for this long, nothing more will.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// A server further behind than this, in nanoseconds of the schedule, will not catch up.
const BEHIND_MAX_NS: u64 = 500_000_000;
/// Between the opening of the lanes and the first message.
const LEAD: Duration = Duration::from_millis(2);
/// Longest wait, so that ends of windows are noticed.
const WAIT_MAX: Duration = Duration::from_millis(5);

/// How a server took a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    /// It fell so far behind that the run was broken off; not a fault.
    Overwhelmed,
}

pub struct Pass {
    pub verdict: Verdict,
    pub recorder: Recorder,
    pub span: Span,
    pub faults: Faults,
    /// Messages that a stream would not take for being too busy.
    pub refused: u64,
    /// Of each lane, how many messages the server has taken.
    pub kept: Vec<u64>,
}

struct Run<'a> {
    server: &'a Server,
    lanes: Vec<Lane>,
    poller: Poller,
    ready: Vec<Ready>,
    scratch: Scratch,
    recorder: Recorder,
    spin: bool,
    start: Instant,
    begins_ns: u64,
    ends_ns: u64,
    first: Option<Edge>,
    last: Option<Edge>,
}

impl Pass {
    /// `rate` in messages per second, shared by `lanes` connections.
    pub fn run(bench: &Bench<'_>, shape: Shape, rate: f64, lanes: usize) -> Outcome<Self> {
        let mut run = Run::open(bench, shape, rate, lanes)?;
        let verdict = run.follow()?;
        let (Some(first), Some(last)) = (&run.first, &run.last) else {
            return Err(Failure::new("the window did not close"));
        };
        let span = first.until(last, bench.server);
        let refused = run.lanes.iter().map(Lane::refused).sum();
        let kept = run.lanes.iter().map(Lane::kept).collect();
        let mut faults = Faults::default();
        if verdict == Verdict::Kept {
            run.lanes.into_iter().for_each(|lane| faults.add(&lane.faults()));
        }
        Ok(Self { verdict, recorder: run.recorder, span, faults, refused, kept })
    }
}

impl<'a> Run<'a> {
    fn open(bench: &Bench<'a>, shape: Shape, rate: f64, lanes: usize) -> Outcome<Self> {
        let lanes = lanes.max(1);
        let seconds = bench.load.warmup + bench.load.seconds;
        let open = |nth: usize| {
            let schedule = Schedule::new(rate, nth, lanes, seconds.as_secs_f64());
            Lane::open(bench, shape, nth as u32, schedule)
        };
        let lanes = (0..lanes).map(open).collect::<Outcome<Vec<_>>>()?;
        let poller = Poller::new()?;
        for (nth, lane) in lanes.iter().enumerate() {
            for (end, connection) in lane.connections().enumerate() {
                poller.watch(connection, nth * Lane::ENDS_MAX + end)?;
            }
        }
        let begins_ns = bench.load.warmup.as_nanos() as u64;
        let ends_ns = seconds.as_nanos() as u64;
        Ok(Self {
            server: bench.server,
            ready: vec![Ready::default(); lanes.len() * Lane::ENDS_MAX],
            lanes,
            poller,
            scratch: Scratch::new(),
            recorder: Recorder::new(begins_ns, ends_ns)?,
            spin: bench.load.spin,
            start: clock::now() + LEAD,
            begins_ns,
            ends_ns,
            first: None,
            last: None,
        })
    }

    fn follow(&mut self) -> Outcome<Verdict> {
        clock::sharpen_timers()?;
        let mut progress = (0, 0);
        loop {
            let now_ns = ns_since(self.start);
            self.take_edges(now_ns)?;
            for lane in &mut self.lanes {
                lane.send(now_ns, &mut self.recorder)?;
            }
            self.wait(now_ns)?;
            self.listen()?;
            let received = self.lanes.iter().map(Lane::received).sum();
            if received != progress.0 {
                progress = (received, now_ns);
            }
            if self.is_overwhelmed(now_ns, received) {
                self.close_window()?;
                return Ok(Verdict::Overwhelmed);
            }
            let is_over = now_ns >= self.ends_ns && self.lanes.iter().all(Lane::is_complete);
            let quiet_ns = now_ns.saturating_sub(progress.1.max(self.ends_ns));
            if is_over || quiet_ns > STUCK_AFTER.as_nanos() as u64 {
                self.close_window()?;
                return Ok(Verdict::Kept);
            }
        }
    }

    fn take_edges(&mut self, now_ns: u64) -> Outcome<()> {
        if self.first.is_none() && now_ns >= self.begins_ns {
            self.first = Some(Edge::take(self.server)?);
        }
        if self.last.is_none() && now_ns >= self.ends_ns {
            self.last = Some(Edge::take(self.server)?);
        }
        Ok(())
    }

    fn close_window(&mut self) -> Outcome<()> {
        self.take_edges(u64::MAX)
    }

    fn is_overwhelmed(&self, now_ns: u64, received: u64) -> bool {
        let due_before = now_ns.saturating_sub(BEHIND_MAX_NS);
        if due_before == 0 || now_ns > self.ends_ns {
            return false;
        }
        received < self.lanes.iter().map(|lane| lane.due_count(due_before)).sum()
    }

    fn wait(&mut self, now_ns: u64) -> Outcome<()> {
        let next_ns = self.lanes.iter().filter_map(Lane::next_due_ns).min();
        let left = next_ns.map_or(WAIT_MAX, |due| Duration::from_nanos(due.saturating_sub(now_ns)));
        let unread = self.ready.iter().any(|ready| ready.readable);
        let timeout = if self.spin || unread { Duration::ZERO } else { left.min(WAIT_MAX) };
        let ready = &mut self.ready;
        let mut unblocked = Vec::new();
        self.poller.wait_precisely(timeout, |token, event| {
            ready[token].readable |= event.readable;
            if event.writable {
                unblocked.push(token);
            }
        })?;
        for token in unblocked {
            self.lanes[token / Lane::ENDS_MAX].on_writable(token % Lane::ENDS_MAX)?;
        }
        Ok(())
    }

    fn listen(&mut self) -> Outcome<()> {
        let start = self.start;
        for (token, ready) in self.ready.iter_mut().enumerate().filter(|(_, it)| it.readable) {
            let lane = &mut self.lanes[token / Lane::ENDS_MAX];
            let end = token % Lane::ENDS_MAX;
            let now_ns = || ns_since(start);
            ready.readable = lane.listen(end, now_ns, &mut self.scratch, &mut self.recorder)?;
        }
        Ok(())
    }
}

/// Zero before the start.
fn ns_since(start: Instant) -> u64 {
    clock::now().saturating_duration_since(start).as_nanos() as u64
}
