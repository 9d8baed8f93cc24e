//! Transcripts: what goes in and what comes out, byte for byte, as recorded from nats-server
//! 2.15.1. Each `tests/transcripts/*.txt` is played against a server process of its own, with 1, 2
//! and 4 shards.
//!
//! ```text
//! cargo test --test transcripts                       all, against weft
//! cargo test --test transcripts -- unsub --verbose    those whose name holds `unsub`
//! WEFT_TEST_SERVER=/path/to/nats-server cargo test --test transcripts
//! WEFT_TEST_SHARDS=2   WEFT_TEST_ARGS="--cores 0"     other shard counts, further flags
//! ```
//!
//! # The language
//! One step a line; `#` begins a comment line. Connections have names (`A`, `Sub2`).
//!
//! | line | meaning |
//! |---|---|
//! | `config TEXT` | a line of the server's config file |
//! | `flags TEXT` | flags of the server |
//! | `A connect` | connects, takes the INFO line |
//! | `A dial` | connects, leaves the INFO line for an `A<` step |
//! | `A joins [{json}]` | connects, takes INFO, sends CONNECT and PING, takes PONG; without options: not verbose, not pedantic, headers, no_responders |
//! | `A signs SEED [{json}]` | takes INFO, sends CONNECT with these options, `nkey`, and `sig`: its nonce signed |
//! | `A> BYTES` | A sends these bytes, in one write |
//! | `A>> BYTES` | A sends them one byte a write |
//! | `A< BYTES` | the next bytes A receives are exactly these |
//! | `A<* BYTES` | neighbouring `A<*` lines may arrive in any order |
//! | `one A B< BYTES` | exactly one of these receives it next |
//! | `split 100 A B< BYTES` | together they receive it 100 times, each at least once |
//! | `A closed` | the server ends A, and no byte comes before that |
//! | `A cut` | the server ends A, whatever comes before that |
//! | `A silent 100ms` | A receives nothing for so long (prefer PING and PONG to show it) |
//! | `A close` | A's side closes |
//! | `A refused` | connecting is refused |
//! | `repeat 10 STEP` | the step ten times (a send: one write of it all) |
//! | `sleep 50ms`, `signal USR2`, `exit 0`, `log TEXT` | waits; signals the server; it exits so; its log holds the text |
//! | `reload TEXT` | the config file becomes this; the server is told and has reloaded |
//! | `mark`, `elapsed 1s..3s` | the time since `mark` is within these |
//!
//! BYTES: text with `\r \n \t \0 \s \xHH \\ \<`, `\(text*100)` for repetition, and in what is
//! expected `<info CLAIMS>` (a whole INFO line), `<json CLAIMS>` (one object), `<number>`,
//! `<word>`. CLAIMS: `field` is there, `!field` is not, `a.b=JSON` has this value (no blanks).
#![allow(clippy::disallowed_methods, reason = "a test of a running process waits for real time")]
#![allow(clippy::disallowed_types, reason = "the workers of a test share one list")]

#[path = "support/script.rs"]
mod script;
#[allow(dead_code, reason = "shared with other tests, each uses its part")]
#[path = "support/server.rs"]
mod server;
#[path = "support/stage.rs"]
mod stage;
#[path = "support/wire.rs"]
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// Most of a transcript's time is a timer running, so more of them at once than there are cores.
const AT_ONCE: usize = 8;

struct Job {
    name: String,
    path: PathBuf,
    shards: Option<usize>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let verbose = words.iter().any(|word| word == "--verbose");
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let jobs: Vec<Job> = all_jobs()
        .into_iter()
        .filter(|job| filters.is_empty() || filters.iter().any(|f| job.name.contains(*f)))
        .collect();
    if words.iter().any(|word| word == "--list") {
        jobs.iter().for_each(|job| println!("{}: test", job.name));
        return ExitCode::SUCCESS;
    }

    let began = Instant::now();
    let total = jobs.len();
    println!("\nrunning {total} transcripts against {}", server::binary().0.display());
    let failures = run(jobs, verbose);
    for (name, why) in &failures {
        println!("---- {name}\n{why}\n");
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; \
         finished in {:.2}s\n",
        total - failures.len(),
        failures.len(),
        began.elapsed().as_secs_f64()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The names and reasons of those that failed.
fn run(jobs: Vec<Job>, verbose: bool) -> Vec<(String, String)> {
    let queue = Mutex::new(jobs.into_iter());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no worker panics with it").next();
                    let Some(job) = next else { break };
                    let began = Instant::now();
                    let outcome = play(&job);
                    if verbose {
                        println!("{:.2}s {}", began.elapsed().as_secs_f64(), job.name);
                    }
                    if let Err(why) = outcome {
                        failures.lock().expect("no worker panics").push((job.name, why));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("the workers have ended");
    failures.sort();
    failures
}

fn play(job: &Job) -> Result<(), String> {
    let text = fs::read_to_string(&job.path).map_err(|error| error.to_string())?;
    stage::play(&script::parse(&text)?, job.shards)
}

fn all_jobs() -> Vec<Job> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = fs::read_dir(directory).expect("the transcripts are part of the repository");
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    let shard_counts = server::shard_counts();
    let mut jobs = Vec::new();
    for path in &paths {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for &shards in &shard_counts {
            let name = match shards {
                Some(shards) => format!("{stem} ({shards} shards)"),
                None => stem.to_string(),
            };
            jobs.push(Job { name, path: path.clone(), shards });
        }
    }
    jobs
}
