//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::affinity::Cpus;
use crate::compare::Compare;
use crate::fake::Null;
use crate::load::Load;
use crate::openloop::OpenLoop;
use crate::scaling::Scaling;
use crate::server::Spec;
use crate::workload::Workload;

/// Load, latency and comparison runs for NATS servers.
#[derive(Parser)]
#[command(name = "bench-harness", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub load: Load,
    /// Where the report goes as JSON; beside it, by the same name, it goes as .csv, .hlog and .html.
    #[arg(long, global = true)]
    pub json: Option<PathBuf>,
    /// The same, by name, in bench-harness/results/.
    #[arg(long, global = true, conflicts_with = "json")]
    pub save: Option<String>,
}

#[derive(Subcommand)]
pub enum Command {
    #[command(flatten)]
    Run(Workload),
    /// The standard comparison of all servers given.
    Compare(Compare),
    /// Latency of all servers given at shares of their saturation.
    Openloop(OpenLoop),
    /// How one workload scales: with connections, with CPUs of the server, with payload.
    Scale(Scaling),
    /// Draws a report that was kept as JSON again.
    Draw {
        /// The JSON; the page goes beside it.
        report: PathBuf,
    },
    /// Serves as `--server null=null` does: the least the workloads need, on one thread.
    NullServer(Null),
}

#[derive(Args)]
pub struct Servers {
    /// null=null (the harness' own server), weft=<path>, nats=<path>, <name>=<command line with {port}>, or <name>=@<ip:port>. Several
    /// are run in turn, and compared with the first.
    #[arg(long = "server", global = true, required = false, value_name = "NAME=WHAT")]
    pub servers: Vec<Spec>,
    /// Turns of each server [default: 3 for several servers, otherwise 1].
    #[arg(long, global = true)]
    pub rounds: Option<usize>,
    /// Runs each workload against the harness' own server as well: what the harness can do.
    #[arg(long, global = true)]
    pub ceiling: bool,
    /// CPUs of the servers, like 0-3,6.
    #[arg(long, global = true)]
    pub server_cpus: Option<Cpus>,
    /// CPUs of the harness.
    #[arg(long, global = true)]
    pub harness_cpus: Option<Cpus>,
    /// Further arguments of one server, like `weft=--shards 2`.
    #[arg(long, global = true, value_name = "NAME=ARGS", value_parser = parse_args)]
    pub server_args: Vec<(String, String)>,
    /// Servers that sync each message before they acknowledge it (`sync_interval: always`).
    #[arg(long, global = true, value_name = "NAME")]
    pub always: Vec<String>,
    /// Where folders for streams are made, and removed again [default: the system's for
    /// temporary files].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub stores: Option<PathBuf>,
    /// Short for --server-args 'weft=--shards N'.
    #[arg(long, global = true)]
    pub shards: Option<usize>,
}

fn parse_args(text: &str) -> Result<(String, String), String> {
    let (name, args) = text.split_once('=').ok_or("expected <name>=<arguments>")?;
    Ok((name.into(), args.into()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_may_follow_the_workload() {
        let line = "bench-harness fanout --subscribers 4 --server x=@127.0.0.1:1 --size 16,1K";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        assert_eq!(cli.load.size, [16, 1024]);
        assert_eq!(cli.servers.servers.len(), 1);
    }
}
