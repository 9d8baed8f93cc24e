//! The standard comparison: the lines every change of the hot path is judged by.

use clap::{Args, FromArgMatches, Subcommand};

use crate::failure::{Context, Outcome};
use crate::load::Load;
use crate::report::Row;
use crate::rival::Rivals;
use crate::workload::Workload;

#[derive(Args, Clone, Debug)]
pub struct Compare {
    /// Only lines whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
}

const SMALL: &[usize] = &[16, 128, 1024];
const SMALL_AND_LARGE: &[usize] = &[16, 128, 1024, 65_536];

/// Workloads as they are given on the command line, and the sizes each is run at.
const LINES: &[(&[&str], &[usize])] = &[
    (&["publish"], SMALL_AND_LARGE),
    (&["pair"], SMALL_AND_LARGE),
    (&["fanout", "--subscribers", "64"], SMALL),
    (&["pairs", "--pairs", "64"], SMALL),
    (&["queue", "--members", "8"], SMALL),
    (&["request", "--requesters", "1"], &[128]),
    (&["request", "--requesters", "1", "--spacers", "1"], &[128]),
    (&["request", "--requesters", "64"], &[128]),
    (&["churn", "--rate", "1000"], &[128]),
];

impl Compare {
    /// Hands each row to `each` as soon as it is there.
    pub fn run(&self, rivals: &Rivals, load: &Load, mut each: impl FnMut(Row)) -> Outcome<()> {
        for (arguments, sizes) in LINES {
            let workload = parse(arguments)?;
            let label = workload.label();
            if self.only.as_ref().is_some_and(|only| !label.contains(only.as_str())) {
                continue;
            }
            for &size in *sizes {
                rivals.compete(&workload, &load.at_size(size))?.into_iter().for_each(&mut each);
            }
        }
        Ok(())
    }
}

fn parse(arguments: &[&str]) -> Outcome<Workload> {
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
        for (arguments, sizes) in LINES {
            assert!(parse(arguments).is_ok(), "{arguments:?}");
            assert!(!sizes.is_empty());
        }
    }
}
