//! Fuzzes the doors of `weft::testing::fuzz` on a stable toolchain.
//!
//! ```text
//! weft-fuzz TARGET SECONDS [SEED]     mutates seeds until the time is up or a promise breaks
//! weft-fuzz TARGET --replay FILE      runs one input, a finding for example
//! weft-fuzz --list
//! ```
//!
//! It has no coverage to steer by. Instead each door returns what kind of input it saw, and an
//! input of a new kind joins the ones that are mutated. Seeds are files of `seeds/TARGET/`, and for
//! `protocol` also what the transcripts send. A finding is written to `artifacts/`.

mod mutate;
mod seeds;

use std::collections::HashSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mutate::Mutator;

struct Target {
    name: &'static str,
    run: fn(&[u8]) -> u64,
    words: &'static [&'static str],
}

const TARGETS: &[Target] = &[
    Target { name: "protocol", run: weft::testing::fuzz::protocol, words: mutate::PROTOCOL_WORDS },
    Target { name: "config", run: weft::testing::fuzz::config, words: mutate::CONFIG_WORDS },
    Target {
        name: "jetstream",
        run: weft::testing::fuzz::jetstream,
        words: mutate::JETSTREAM_WORDS,
    },
];

const CORPUS_MAX: usize = 20_000;
const INPUT_BYTES_MAX: usize = 8 * 1024;
/// One input that takes longer is a finding too.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
/// So is one that takes as much memory, or leaves it behind.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let target = |name: &str| TARGETS.iter().find(|target| target.name == name);
    match args.as_slice() {
        ["--list"] => {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            ExitCode::SUCCESS
        }
        [name, "--replay", file] => match (target(name), fs::read(file)) {
            (Some(target), Ok(input)) => {
                println!("kind {:016x}", (target.run)(&input));
                ExitCode::SUCCESS
            }
            _ => usage(),
        },
        [name, seconds, seed @ ..] => match (target(name), seconds.parse()) {
            (Some(target), Ok(seconds)) => {
                let seed =
                    seed.first().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock_seed);
                fuzz(target, Duration::from_secs(seconds), seed)
            }
            _ => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: weft-fuzz TARGET SECONDS [SEED] | TARGET --replay FILE | --list");
    ExitCode::from(2)
}

fn clock_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64)
}

fn fuzz(target: &Target, time: Duration, seed: u64) -> ExitCode {
    let mut corpus = seeds::load(target.name);
    let seeds = corpus.len();
    let mut mutator = Mutator::new(seed, target.words);
    let mut kinds = HashSet::new();
    let began = Instant::now();
    let mut runs = 0_u64;
    static RUNS: AtomicU64 = AtomicU64::new(0);
    watch(&RUNS);
    for index in 0..seeds {
        match attempt(target, &corpus[index]) {
            Ok(kind) => kinds.insert(kind),
            Err(()) => return finding(target, &corpus[index], seed),
        };
    }
    while began.elapsed() < time {
        for _ in 0..256 {
            let mut input = mutator.mutated(&corpus);
            input.truncate(INPUT_BYTES_MAX);
            match attempt(target, &input) {
                Ok(kind) if kinds.insert(kind) && corpus.len() < CORPUS_MAX => corpus.push(input),
                Ok(_) => {}
                Err(()) => return finding(target, &input, seed),
            }
            runs += 1;
            RUNS.store(runs, Ordering::Relaxed);
        }
        let memory = peak_memory_bytes();
        if memory > MEMORY_BYTES_MAX {
            println!("{}: FINDING with seed {seed}: {memory} bytes of memory", target.name);
            return ExitCode::FAILURE;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{}: {runs} inputs in {seconds:.1}s, {} kinds, {seeds} seeds, seed {seed}: no finding",
        target.name,
        kinds.len()
    );
    ExitCode::SUCCESS
}

/// The most this process ever had; 0 where the kernel does not tell.
fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

fn attempt(target: &Target, input: &[u8]) -> Result<u64, ()> {
    let run = target.run;
    panic::catch_unwind(|| run(input)).map_err(drop)
}

fn finding(target: &Target, input: &[u8], seed: u64) -> ExitCode {
    let directory = root().join("artifacts");
    let path = directory.join(format!("{}-{seed}", target.name));
    let kept = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, input));
    println!("{}: FINDING with seed {seed}: {}", target.name, input.escape_ascii());
    match kept {
        Ok(()) => println!("kept as {}", path.display()),
        Err(error) => println!("not kept: {error}"),
    }
    ExitCode::FAILURE
}

/// Ends the process when one batch of inputs takes as long as no input may.
fn watch(runs: &'static AtomicU64) {
    thread::spawn(move || {
        let mut last = 0;
        loop {
            thread::sleep(INPUT_TIME_MAX);
            let now = runs.load(Ordering::Relaxed);
            if now == last {
                eprintln!("FINDING: an input after run {now} does not end");
                std::process::exit(1);
            }
            last = now;
        }
    });
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
