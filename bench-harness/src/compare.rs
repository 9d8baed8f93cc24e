//! The standard comparison: the lines every change of the hot path is judged by.

use clap::{Args, FromArgMatches, Subcommand};

use crate::failure::{Context, Outcome};
use crate::load::Load;
use crate::openloop::OpenLoop;
use crate::report::Row;
use crate::rival::Rivals;
use crate::workload::Workload;

#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// Only lines whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
    /// Without the open loop.
    #[arg(long)]
    pub closed: bool,
}

const ONE: &[usize] = &[128];
const SMALL: &[usize] = &[16, 128, 1024];
const SMALL_AND_LARGE: &[usize] = &[16, 128, 1024, 65_536];

/// A workload as it is given on the command line, and the sizes it is run at.
type Line = (&'static [&'static str], &'static [usize]);

const CORE: &[Line] = &[
    (&["publish"], SMALL),
    (&["pair"], SMALL_AND_LARGE),
    (&["fanout", "--subscribers", "64"], ONE),
    (&["pairs", "--pairs", "64"], ONE),
    (&["queue", "--members", "8"], ONE),
    (&["request", "--requesters", "1"], ONE),
    (&["request", "--requesters", "1", "--spacers", "1"], ONE),
    (&["request", "--requesters", "64"], ONE),
    (&["churn", "--rate", "1000"], ONE),
];

const STREAMS: &[Line] = &[
    (&["js-publish", "--unacked", "1"], ONE),
    (&["js-publish", "--unacked", "256"], SMALL),
    (&["js-publish", "--unacked", "1000", "--streams", "8"], ONE),
    (&["js-publish", "--unacked", "256", "--storage", "memory"], ONE),
    (&["js-consume", "--how", "push"], ONE),
    (&["js-consume", "--how", "pull", "--pull-batch", "100"], ONE),
    (&["js-consume", "--how", "fetch", "--pull-batch", "500"], ONE),
    (&["js-get", "--outstanding", "64"], ONE),
    (&["kv", "--op", "put"], ONE),
    (&["kv", "--op", "get"], ONE),
    (&["kv", "--op", "watch"], ONE),
    (&["object", "--op", "put"], ONE),
    (&["mixed"], ONE),
];

/// Rounds of the lines on streams: each fills a stream first.
const STREAM_ROUNDS_MAX: usize = 2;

impl Compare {
    /// Hands each row to `each` as soon as it is there.
    pub fn run(&self, rivals: &Rivals, load: &Load, mut each: impl FnMut(Row)) -> Outcome<()> {
        self.run_lines(CORE, rivals, load, &mut each)?;
        let fewer = rivals.with_rounds(rivals.rounds.min(STREAM_ROUNDS_MAX));
        self.run_lines(STREAMS, &fewer, load, &mut each)?;
        let open = OpenLoop::standard();
        if !self.closed
            && self.only.as_ref().is_none_or(|only| open.label().contains(only.as_str()))
        {
            open.run(&rivals.with_rounds(1), load, &mut each)?;
        }
        Ok(())
    }

    fn run_lines(
        &self,
        lines: &[Line],
        rivals: &Rivals,
        load: &Load,
        each: &mut impl FnMut(Row),
    ) -> Outcome<()> {
        let mut chosen = Vec::new();
        for (arguments, sizes) in lines {
            let workload = parse(arguments)?;
            let label = workload.label();
            if self.only.as_ref().is_none_or(|only| label.contains(only.as_str())) {
                chosen.extend(sizes.iter().map(|&size| (workload.clone(), size)));
            }
        }
        rivals.expect(chosen.len());
        for (workload, size) in chosen {
            rivals.compete(&workload, &load.at_size(size))?.into_iter().for_each(&mut *each);
        }
        Ok(())
    }
}

pub fn parse(arguments: &[&str]) -> Outcome<Workload> {
    let command = Workload::augment_subcommands(clap::Command::new("line"));
    let line = std::iter::once(&"line").chain(arguments);
    let matches = command.try_get_matches_from(line).context("a line of the comparison")?;
    Workload::from_arg_matches(&matches).context("a line of the comparison")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_workload() {
        for (arguments, sizes) in CORE.iter().chain(STREAMS) {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
            assert!(!sizes.is_empty());
        }
    }
}
