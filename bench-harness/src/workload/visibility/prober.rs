//! Runs one case on many lanes until it has been tried often enough. Each lane is three
//! connections and one try at a time; lanes know nothing of each other.

use std::time::{Duration, Instant};

use super::super::Bench;
use super::Effort;
use crate::client::{Connection, Greeting, Outboxes, Party, ServerOp};
use crate::clock;
use crate::failure::{Context, Outcome};
use crate::report::{Figure, Sample};
use crate::verify::Faults;

/// A try that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
const ROLES: usize = 3;

/// The three connections of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Subscribes, and is who must (or must not) get the message.
    Asker,
    /// Publishes, or serves.
    Other,
    Third,
}

const ALL: [Role; ROLES] = [Role::Asker, Role::Other, Role::Third];

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Pending,
    Held,
    Broken(String),
}

impl Verdict {
    pub fn of(held: bool, broken: &str) -> Self {
        if held { Self::Held } else { Self::Broken(broken.to_owned()) }
    }
}

/// An operation of the server, and whose connection it came on.
pub struct Heard<'a> {
    pub by: Role,
    pub op: &'a ServerOp<'a>,
}

/// One try of one lane.
pub struct Try {
    pub lane: usize,
    /// Number of the try in its lane, from 1.
    pub n: u64,
    /// Free for the case; 0 when a try begins.
    pub step: u8,
}

/// Where a case puts what it sends.
pub struct Wire<'a> {
    out: &'a mut Outboxes,
    lane: usize,
}

impl Wire<'_> {
    pub fn send(&mut self, role: Role, text: &str) {
        self.out.to(self.lane * ROLES + role as usize).extend_from_slice(text.as_bytes());
    }
}

pub trait Case {
    fn name(&self) -> &'static str;

    fn greeting(&self, _role: Role) -> Greeting {
        Greeting::default()
    }

    /// What a connection is subscribed to throughout.
    fn standing(&self, _lane: usize, _role: Role) -> Option<String> {
        None
    }

    fn begin(&self, attempt: &Try, wire: &mut Wire<'_>);

    /// What an operation means for the try; late ones of earlier tries arrive here, too.
    fn on_op(&self, attempt: &mut Try, heard: &Heard<'_>, wire: &mut Wire<'_>) -> Verdict;
}

pub fn probe(case: &impl Case, tries: u64, lanes: usize, bench: &Bench<'_>) -> Outcome<Sample> {
    let connections = open(case, lanes, bench)?;
    let mut prober = Prober::new(case, tries, lanes);
    let effort = Effort::of(bench, connections, &mut prober)?;
    let longest = Figure::new("longest try", prober.longest.as_secs_f64() * 1e3, "ms");
    Ok(effort.sample(case.name(), prober.finished, prober.faults, longest))
}

/// In an order that spreads the roles over the cores of a server that places in turn.
fn open(case: &impl Case, lanes: usize, bench: &Bench<'_>) -> Outcome<Vec<Connection>> {
    let mut connections = Vec::with_capacity(lanes * ROLES);
    for lane in 0..lanes {
        for role in ALL {
            let mut connection = bench.connect(case.greeting(role))?;
            if let Some(lines) = case.standing(lane, role) {
                connection.settle(lines.as_bytes()).context("subscribing")?;
            }
            connections.push(connection);
        }
    }
    Ok(connections)
}

struct Lane {
    attempt: Try,
    began: Instant,
    is_busy: bool,
}

struct Prober<'a, C> {
    case: &'a C,
    tries: u64,
    begun: u64,
    finished: u64,
    lanes: Vec<Lane>,
    now: Instant,
    longest: Duration,
    faults: Faults,
}

impl<'a, C: Case> Prober<'a, C> {
    fn new(case: &'a C, tries: u64, lanes: usize) -> Self {
        let now = clock::now();
        let lane = |lane| Lane { attempt: Try { lane, n: 0, step: 0 }, began: now, is_busy: false };
        Self {
            case,
            tries,
            begun: 0,
            finished: 0,
            lanes: (0..lanes).map(lane).collect(),
            now,
            longest: Duration::ZERO,
            faults: Faults::default(),
        }
    }

    fn begin(&mut self, lane: usize, out: &mut Outboxes) {
        if self.begun == self.tries {
            return;
        }
        self.begun += 1;
        let state = &mut self.lanes[lane];
        state.attempt.n += 1;
        state.attempt.step = 0;
        state.began = self.now;
        state.is_busy = true;
        self.case.begin(&state.attempt, &mut Wire { out, lane });
    }

    fn end(&mut self, lane: usize, failure: Option<String>, out: &mut Outboxes) {
        let state = &mut self.lanes[lane];
        state.is_busy = false;
        self.finished += 1;
        self.longest = self.longest.max(self.now.saturating_duration_since(state.began));
        if let Some(what) = failure {
            let n = state.attempt.n;
            self.faults.lost += 1;
            self.faults.note(|| format!("lane {lane}, try {n}: {what}"));
        }
        self.begin(lane, out);
    }
}

impl<C: Case> Party for Prober<'_, C> {
    fn on_op(&mut self, who: usize, op: ServerOp<'_>, out: &mut Outboxes) -> Outcome<()> {
        let (lane, role) = (who / ROLES, ALL[who % ROLES]);
        if let ServerOp::Error(text) = &op {
            self.faults.errors += 1;
            self.faults.note(|| format!("-ERR {}", String::from_utf8_lossy(text)));
            return Ok(());
        }
        let state = &mut self.lanes[lane];
        if !state.is_busy {
            return Ok(());
        }
        let heard = Heard { by: role, op: &op };
        match self.case.on_op(&mut state.attempt, &heard, &mut Wire { out, lane }) {
            Verdict::Pending => {}
            Verdict::Held => self.end(lane, None, out),
            Verdict::Broken(what) => self.end(lane, Some(what), out),
        }
        Ok(())
    }

    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()> {
        self.now = now;
        for lane in 0..self.lanes.len() {
            let state = &self.lanes[lane];
            if !state.is_busy {
                self.begin(lane, out);
            } else if now.saturating_duration_since(state.began) > PATIENCE {
                let step = state.attempt.step;
                self.end(lane, Some(format!("nothing came at step {step}")), out);
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.finished == self.tries
    }
}
