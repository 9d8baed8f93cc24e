//! Load, latency and comparison runs for weft and its rivals.
//!
//! `client` speaks to servers, `engine` streams messages through them, `workload` says which,
//! `server` starts and measures them, `rival` lets them take turns, `verify` and `payload` know
//! what must arrive, `report` shows it.

mod affinity;
mod cli;
mod client;
mod clock;
mod compare;
mod engine;
mod failure;
mod fake;
mod load;
mod open;
mod openloop;
mod payload;
mod report;
mod rival;
mod scaling;
mod server;
mod verify;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use affinity::Cpus;
use cli::{Cli, Command, Servers};
use failure::{Failure, Outcome};
use report::{Environment, Report, Row};
use rival::Rivals;
use server::Launch;

/// Where `--save` puts a report.
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("{faults} faults: see FAULTS above");
            ExitCode::FAILURE
        }
        Err(failure) => {
            eprintln!("bench-harness: {failure}");
            ExitCode::from(2)
        }
    }
}

/// Gives back how many faults the servers made.
fn run(cli: &Cli) -> Outcome<u64> {
    raise_open_files()?;
    if let Command::NullServer(null) = &cli.command {
        return null.run().map(|()| 0);
    }
    if let Command::Draw { report } = &cli.command {
        let page = Report::load(report)?.draw(report)?;
        println!("drawn as {}", page.display());
        return Ok(0);
    }
    server::guard::install()?;
    let rivals = rivals(&cli.servers)?;
    if let Some(cpus) = &cli.servers.harness_cpus {
        cpus.pin_this_thread()?;
    }
    let versions = rivals.specs.iter().map(|spec| format!("{}: {}", spec.name, spec.version()));
    let environment = Environment::gather(versions.collect());
    println!("{}\n\n{}", environment.summary(), report::heading());
    let mut rows = Vec::new();
    let mut show = |row: Row| {
        rivals.bar.suspend(|| print!("{}", row.table()));
        rows.push(row);
    };
    match &cli.command {
        Command::Compare(compare) => compare.run(&rivals, &cli.load, &mut show)?,
        Command::Openloop(openloop) => openloop.run(&rivals, &cli.load, &mut show)?,
        Command::Scale(scaling) => scaling.run(&rivals, &cli.load, &mut show)?,
        Command::NullServer(_) | Command::Draw { .. } => {}
        Command::Run(workload) => {
            rivals.expect(cli.load.size.len());
            for &size in &cli.load.size {
                let load = cli.load.at_size(size);
                rivals.compete(workload, &load)?.into_iter().for_each(&mut show);
            }
        }
    }
    rivals.bar.finish_and_clear();
    let report = Report { environment, rows };
    if let Some(path) = destination(cli) {
        let page = report.save(&path)?;
        println!(
            "\nwritten to {} and beside it; the page with plots: {}",
            path.display(),
            page.display()
        );
    }
    Ok(report.faults())
}

fn rivals(servers: &Servers) -> Outcome<Rivals> {
    if servers.servers.is_empty() {
        return Err(Failure::new("name at least one server: --server nats=/path/to/nats-server"));
    }
    // Without a set of their own, servers get what the harness was given, not what it chose.
    let cpus = match &servers.server_cpus {
        Some(cpus) => cpus.clone(),
        None => Cpus::allowed()?,
    };
    let mut args = servers.server_args.clone();
    args.extend(servers.shards.map(|shards| ("weft".into(), format!("--shards {shards}"))));
    let usual = if servers.servers.len() > 1 { 3 } else { 1 };
    Ok(Rivals {
        specs: servers.servers.clone(),
        launch: Launch {
            cpus: Some(cpus),
            args,
            always: servers.always.clone(),
            stores: servers.stores.clone(),
        },
        rounds: servers.rounds.unwrap_or(usual),
        ceiling: servers.ceiling,
        bar: rival::bar(),
    })
}

fn destination(cli: &Cli) -> Option<PathBuf> {
    let named = cli.save.as_ref().map(|name| PathBuf::from(RESULTS).join(format!("{name}.json")));
    named.or_else(|| cli.json.clone())
}

/// Servers inherit the limit.
fn raise_open_files() -> Outcome<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
