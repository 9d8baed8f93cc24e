//! The log beside fio: the same device, the same run, in turns, pinned alike (fio inherits the
//! CPUs of this process). By hand: `scripts/check-log.sh fio reads`.

#![expect(clippy::disallowed_methods, reason = "real time, real disk")]

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::bench_tests::{Bench, closed_loop, parent, percentiles};
use crate::storage::{LogSettings, OpId, Seq, StreamId};

const SECONDS: f64 = 3.0;
const ROUNDS: usize = 3;
/// Of a lone writer, whose figures swing with where its file lies on the device.
const PAIRS: usize = 9;

/// What fio says of a run. Latencies in microseconds.
struct Fio {
    per_second: f64,
    mb_per_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
}

impl std::fmt::Display for Fio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, mb_per_second, p50, p99, p999 } = self;
        write!(
            f,
            "{per_second:.0}/s, {mb_per_second:.0} MB/s, p50 {p50:.0} p99 {p99:.0} p99.9 {p999:.0} µs"
        )
    }
}

/// `rw`: fio's word for what is done, `bs` its block size.
fn fio(path: &Path, rw: &str, bs: &str, depth: usize, size: &str) -> Fio {
    let is_write = rw == "write";
    let output = Command::new("fio")
        .args(["--name=fio", "--ioengine=io_uring", "--direct=1", "--overwrite=1"])
        .args(["--time_based", "--output-format=json"])
        .args(["--lat_percentiles=1", "--clat_percentiles=0"])
        .args([format!("--directory={}", path.display()), format!("--rw={rw}")])
        .args([format!("--bs={bs}"), format!("--iodepth={depth}"), format!("--size={size}")])
        .arg(format!("--runtime={SECONDS}"))
        .args(is_write.then_some("--sync=dsync"))
        .output()
        .expect("fio cannot be run: install it (apt-get install -y fio)");
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.find('{').map_or("", |at| &text[at..]);
    let said: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|error| {
        panic!("fio failed ({error}): {}", String::from_utf8_lossy(&output.stderr))
    });
    let side = &said["jobs"][0][if is_write { "write" } else { "read" }];
    let at = |part: &str| side["lat_ns"]["percentile"][part].as_f64().unwrap_or(0.0) / 1000.0;
    Fio {
        per_second: side["iops"].as_f64().unwrap_or(0.0),
        mb_per_second: side["bw_bytes"].as_f64().unwrap_or(0.0) / 1e6,
        p50: at("50.000000"),
        p99: at("99.000000"),
        p999: at("99.900000"),
    }
}

/// Runs `act` in a directory of its own.
fn in_directory<T>(act: impl FnOnce(&Path) -> T) -> T {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    act(directory.path())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[test]
fn bench_fio_append() {
    let (mut extra, mut share, mut large_share) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let small = in_directory(|path| fio(path, "write", "4k", 1, "64m"));
        println!("fio, flushed 4 KiB: {small}");
        let lone = in_directory(|path| closed_loop(path, 1, 128, SECONDS));
        println!("log, {lone}");
        extra.push(lone.p50 as f64 - small.p50);
    }
    for _ in 0..ROUNDS {
        let large = in_directory(|path| fio(path, "write", "64k", 1, "64m"));
        println!("fio, flushed 64 KiB: {large}");
        let mut best = 0.0f64;
        for (outstanding, len) in [(64, 128), (1000, 128), (20_000, 128), (2000, 1024)] {
            let loaded = in_directory(|path| closed_loop(path, outstanding, len, SECONDS));
            println!("log, {loaded}");
            if len == 128 {
                best = best.max(loaded.mb_per_second);
            } else {
                large_share.push(loaded.mb_per_second / large.mb_per_second * 100.0);
            }
        }
        share.push(best / large.mb_per_second * 100.0);
    }
    println!(
        "lone writer's p50 over fio's: {:.0} µs (goal: at most 20); loaded: {:.0} % of fio's rate \
         (goal: at least 90), with 1 KiB records {:.0} %",
        median(extra),
        median(share),
        median(large_share)
    );
}

const MESSAGES: u64 = 3_000_000;

#[test]
fn bench_fio_reads() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    for n in 0..MESSAGES {
        bench.append(StreamId(1), b"bench.subject", &[7; 128]);
        if n % 2000 == 0 {
            bench.turn();
        }
    }
    bench.stop();
    drop(bench);
    in_directory(|beside| {
        for _ in 0..ROUNDS {
            println!("fio, 512 KiB in order: {}", fio(beside, "read", "512k", 1, "512m"));
            let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
            println!("log, in order: {}", replay(&mut bench));
            for depth in [1, 64] {
                let alone = fio(beside, "randread", "4k", depth, "512m");
                println!("fio, 4 KiB anywhere, {depth} under way: {alone}");
                println!("log, a message anywhere, {}", anywhere(&mut bench, depth));
            }
            drop(bench);
        }
    });
}

/// All messages in order, one read of 512 KiB at a time, each message checked.
fn replay(bench: &mut Bench) -> String {
    let (began, mut from, mut bytes, mut count) = (Instant::now(), Seq(1), 0u64, 0u64);
    while let Some(op) = bench.log.read(StreamId(1), from, 1 << 19).unwrap() {
        while !bench.log.has_read(op) {
            bench.turn();
        }
        let run = bench.log.take_read(op).unwrap().unwrap();
        for entry in run.entries() {
            run.message(entry).unwrap();
            count += 1;
            bytes += u64::from(entry.place.len);
            from = entry.seq.next();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    format!(
        "{:.0} messages/s, {:.0} MB/s of records",
        count as f64 / seconds,
        bytes as f64 / seconds / 1e6
    )
}

/// Single messages in no order, `depth` reads at a time, each checked.
fn anywhere(bench: &mut Bench, depth: usize) -> String {
    let mut waiting: Vec<(OpId, Instant)> = Vec::new();
    let (began, mut times, mut draw) = (Instant::now(), Vec::new(), 7u64);
    while began.elapsed().as_secs_f64() < SECONDS {
        while waiting.len() < depth {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seq = Seq(1 + (draw >> 33) % MESSAGES);
            let op = bench.log.read(StreamId(1), seq, 1).unwrap().unwrap();
            waiting.push((op, Instant::now()));
        }
        bench.turn();
        waiting.retain(|(op, asked)| {
            if !bench.log.has_read(*op) {
                return true;
            }
            let run = bench.log.take_read(*op).unwrap().unwrap();
            assert!(run.entries().iter().all(|entry| run.message(entry).is_ok()));
            times.push(asked.elapsed().as_nanos() as u64);
            false
        });
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    format!("{depth} under way: {rate:.0}/s, {}", percentiles(&mut times))
}
