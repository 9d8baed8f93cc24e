//! The rules of order and visibility, tried many times over: the five cases of DESIGN §4 on many
//! independent lanes of three connections each, and queue groups whose members come and go.

mod cases;
mod membership;
mod prober;

use clap::{Args, ValueEnum};

use super::Bench;
use crate::failure::Outcome;
use crate::report::Sample;

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
            Case::SubPing => prober::probe(&cases::SubPing, tries, lanes, bench),
            Case::ThirdAnswer => prober::probe(&cases::ThirdAnswer, tries, lanes, bench),
            Case::PublishPong => prober::probe(&cases::PublishPong, tries, lanes, bench),
            Case::VerboseOk => prober::probe(&cases::VerboseOk, tries, lanes, bench),
            Case::UnsubRequest => prober::probe(&cases::UnsubRequest, tries, lanes, bench),
            Case::QueueMembers => membership::run(tries, bench),
        }
    }
}
