//! The rules of order and visibility, tried many times over: the five cases of DESIGN §4 on many
//! independent lanes of three connections each, and queue groups whose members come and go.

mod cases;
mod membership;
mod prober;

use clap::{Args, ValueEnum};
use nix::unistd::Pid;

use super::Bench;
use crate::client::{Connection, Party, Switchboard};
use crate::clock;
use crate::engine::HarnessUse;
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::server::UsageDelta;
use crate::verify::Faults;

#[derive(Args, Clone, Debug)]
pub struct Visibility {
    /// Tries per case.
    #[arg(long, default_value_t = 1_000_000)]
    pub tries: u64,
    /// Lanes of three connections that try independently of each other.
    #[arg(long, default_value_t = 64)]
    pub lanes: usize,
    /// Only these cases.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub case: Vec<Case>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// SUB + PING on one connection, then publish from another.
    SubPing,
    /// SUB then PUB without PING; the answer comes through a third connection.
    ThirdAnswer,
    /// Publish + PONG, then PING on the subscriber's connection: the message is before that PONG.
    PublishPong,
    /// SUB answered by +OK, then publish from another connection.
    VerboseOk,
    /// UNSUB + PING, then a request: 503 at once.
    UnsubRequest,
    /// Queue groups whose members come and go: each message to exactly one.
    QueueMembers,
}

impl Visibility {
    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Vec<Sample>> {
        let picked = |case: &&Case| self.case.is_empty() || self.case.contains(case);
        Case::value_variants()
            .iter()
            .filter(picked)
            .map(|&case| self.try_case(case, bench))
            .collect()
    }

    fn try_case(&self, case: Case, bench: &Bench<'_>) -> Outcome<Sample> {
        let (tries, lanes) = (self.tries, self.lanes.max(1));
        match case {
            Case::SubPing => prober::probe(&cases::SUB_PING, tries, lanes, bench),
            Case::ThirdAnswer => prober::probe(&cases::ThirdAnswer, tries, lanes, bench),
            Case::PublishPong => prober::probe(&cases::PublishPong, tries, lanes, bench),
            Case::VerboseOk => prober::probe(&cases::VERBOSE_OK, tries, lanes, bench),
            Case::UnsubRequest => prober::probe(&cases::UnsubRequest, tries, lanes, bench),
            Case::QueueMembers => membership::run(tries, bench),
        }
    }
}

/// What it took to let a party do all it wanted.
struct Effort {
    seconds: f64,
    server: Option<UsageDelta>,
    harness: HarnessUse,
}

impl Effort {
    fn of(
        bench: &Bench<'_>,
        connections: Vec<Connection>,
        party: &mut impl Party,
    ) -> Outcome<Self> {
        let before = bench.server.usage()?;
        let (start, own) = (clock::now(), clock::process_cpu(Pid::this())?);
        Switchboard::new(connections, false)?.run(party)?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu_seconds = (clock::process_cpu(Pid::this())? - own).as_secs_f64();
        let after = bench.server.usage()?;
        Ok(Self {
            seconds,
            server: bench.server.is_measured().then(|| after.since(&before)),
            harness: HarnessUse { cpu_seconds, busiest: cpu_seconds / seconds },
        })
    }

    fn sample(self, case: &str, count: u64, faults: Faults, figure: Figure) -> Sample {
        Sample {
            count,
            seconds: self.seconds,
            server: self.server,
            harness: self.harness,
            faults,
            offered: None,
            latency: None,
            figures: vec![Figure::text("case", case), figure],
        }
    }
}
