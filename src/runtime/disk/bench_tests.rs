//! Figures of the log on a real disk, each beside the bare device in the same run. By hand:
//! `cargo test --release --features testing,log-bench --lib -- --nocapture bench_`, with `WEFT_CRASH_PARENT` naming
//! a directory on the disk in question.

#![expect(clippy::disallowed_methods, reason = "real time, real disk")]

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

use super::*;
use crate::runtime::ring::Ladder;
use crate::storage::{
    Buffer, Event, Health, LogId, LogSettings, Lsn, Message, Recovery, Refusal, Seq, SlotId,
    StreamId, Urgency,
};

const ID: LogId = LogId(3);

pub(super) fn parent() -> PathBuf {
    std::env::var_os("WEFT_CRASH_PARENT").map_or("target".into(), PathBuf::from)
}

pub(super) struct Bench {
    disk: Standalone,
    pub log: Log,
    began: Instant,
    /// Whether turns are measured, which takes time itself.
    watches_turns: bool,
    /// Time in the log between two turns of the disk, nanoseconds each.
    turns: Vec<u64>,
    /// The turn that took most CPU time of this thread, by what was done in it.
    busiest: Phases,
    /// CPU time of this thread when the last turn ended.
    turned: u64,
}

/// CPU microseconds of one turn: what was appended, decided, handed to the disk, told by it.
#[derive(Clone, Copy, Default)]
struct Phases([u64; 4]);

impl Phases {
    fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl std::fmt::Display for Phases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [append, decide, hand_over, tell] = self.0;
        let total = self.total();
        write!(
            f,
            "{total} µs of CPU: appends {append}, log {decide}, effects {hand_over}, completions {tell}"
        )
    }
}

impl Bench {
    pub fn open(path: &Path, settings: LogSettings) -> (Self, crate::storage::Report) {
        let directory = Directory::open(path, false).unwrap();
        let files = directory.files();
        let (log, report) = directory.recover(Recovery::new(ID, settings, files));
        let disk = Standalone::new(directory, Ladder::V6_1).unwrap();
        let mut bench = Self {
            disk,
            log,
            began: Instant::now(),
            watches_turns: true,
            turns: Vec::new(),
            busiest: Phases::default(),
            turned: thread_cpu(),
        };
        while bench.log.health() == Health::Starting {
            bench.turn();
        }
        (bench, report)
    }

    fn now(&self) -> Mono {
        Mono(self.began.elapsed().as_nanos() as u64)
    }

    pub fn turn(&mut self) {
        self.turn_with(Standalone::turn);
    }

    fn turn_with(&mut self, enter: fn(&mut Standalone) -> std::io::Result<()>) {
        let cpu = if self.watches_turns { thread_cpu } else { || 0 };
        let appended = cpu();
        let (now, thinking) = (self.now(), Instant::now());
        self.log.on_turn_end(now);
        self.log.on_tick(now);
        let decided = cpu();
        for effect in self.log.take_effects() {
            self.disk.disk().push(effect);
        }
        let handed_over = cpu();
        let thought = thinking.elapsed();
        enter(&mut self.disk).unwrap();
        let (thinking, landed) = (Instant::now(), cpu());
        while let Some(done) = self.disk.disk().take_done() {
            done.tell(&mut self.log, now);
        }
        while let Some(event) = self.log.take_event() {
            let is_bad = matches!(event, Event::Damaged(_) | Event::Poisoned(_));
            assert!(!is_bad, "on a healthy disk: {event:?}");
        }
        if !self.watches_turns {
            return;
        }
        self.turns.push((thought + thinking.elapsed()).as_nanos() as u64);
        let phases = Phases([
            appended.saturating_sub(self.turned),
            decided - appended,
            handed_over - decided,
            cpu() - landed,
        ]);
        if phases.total() > self.busiest.total() {
            self.busiest = phases;
        }
        self.turned = cpu();
    }

    pub fn append(&mut self, stream: StreamId, subject: &[u8], payload: &[u8]) -> Lsn {
        let seq = self.log.stream(stream).map_or(Seq(0), |index| index.last_seq()).next();
        let message = Message { stream, seq, time: 1, subject, headers: b"", payload, saved: 0 };
        loop {
            let now = self.now();
            match self.log.append(&message, Urgency::Now, now) {
                Ok(lsn) => return lsn,
                Err(Refusal::Behind | Refusal::NoSpace) => self.turn(),
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    fn delete(&mut self, seq: Seq) {
        loop {
            let now = self.now();
            if self.log.delete(StreamId(1), &[seq], false, Urgency::Now, now).is_ok() {
                return;
            }
            self.turn();
        }
    }

    pub fn stop(&mut self) {
        loop {
            let now = self.now();
            let is_done = self.log.stop(now);
            self.disk.drive(&mut self.log, now).unwrap();
            if is_done && self.disk.disk().pending() == 0 {
                return;
            }
        }
    }

    /// Lets compaction catch up.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 40 {
            if quiet > 0 {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            let before = self.log.counters();
            self.turn();
            let pending = self.disk.disk().pending() > 0 || self.log.has_output();
            quiet = if before == self.log.counters() && !pending { quiet + 1 } else { 0 };
        }
    }
}

pub(super) fn percentiles(times: &mut [u64]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)] / 1000;
    format!("p50 {} p99 {} p99.9 {} µs", at(500), at(990), at(999))
}

/// The device alone: flushed writes of `bytes`, one at a time.
fn bare(path: &Path, bytes: usize, seconds: f64) -> String {
    let mut disk = Standalone::new(Directory::open(path, false).unwrap(), Ladder::V6_1).unwrap();
    let (slot, len) = (SlotId(1), 64 * 1024 * 1024);
    let mut header = Buffer::new();
    header.resize(4096, 0);
    let op = OpId(0);
    let header = Rc::new(header);
    let run = |disk: &mut Standalone, effect| {
        disk.disk().push(effect);
        while disk.disk().pending() > 0 {
            disk.turn().unwrap();
            while disk.disk().take_done().is_some() {}
        }
    };
    run(&mut disk, Effect::Prepare { op, slot, len, header, fresh: true, erase: false });
    let mut buffer = Buffer::new();
    buffer.resize(bytes, 7);
    let buffer = Rc::new(buffer);
    let (began, mut times, mut offset) = (Instant::now(), Vec::new(), 0u32);
    while began.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        let bytes = Rc::clone(&buffer);
        run(&mut disk, Effect::Write { op, slot, offset, bytes, flush: true });
        times.push(start.elapsed().as_nanos() as u64);
        offset = (offset + buffer.len() as u32) % len;
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let mb = rate * bytes as f64 / 1e6;
    format!("bare {bytes} B: {rate:.0}/s {mb:.0} MB/s {}", percentiles(&mut times))
}

/// What a number of publishers that wait for their acks come to.
pub(super) struct Loop {
    outstanding: usize,
    len: usize,
    per_second: f64,
    batches_per_second: f64,
    bytes_per_record: u64,
    pub mb_per_second: f64,
    cpu_per_million: f64,
    /// Microseconds.
    pub p50: u64,
    percentiles: String,
}

impl std::fmt::Display for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} B, {} outstanding: {:.0} records/s, {:.0} flushes/s, {} B written per record, {:.0} \
             MB/s, {:.2} CPU seconds per million, {}",
            self.len,
            self.outstanding,
            self.per_second,
            self.batches_per_second,
            self.bytes_per_record,
            self.mb_per_second,
            self.cpu_per_million,
            self.percentiles
        )
    }
}

/// CPU microseconds of this thread.
fn thread_cpu() -> u64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    used.tv_sec() as u64 * 1_000_000 + used.tv_nsec() as u64 / 1000
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// No more, so that a write that has ended is followed by the next: about what a core's turn brings.
const APPENDS_PER_TURN: usize = 256;

pub(super) fn closed_loop(path: &Path, outstanding: usize, len: usize, seconds: f64) -> Loop {
    let (mut bench, _) = Bench::open(path, LogSettings::default());
    bench.watches_turns = false;
    let payload = vec![7u8; len];
    // The first segments are small and are made while we write; the figures begin behind them.
    let warm = Instant::now();
    let mut waiting: VecDeque<(Lsn, Instant)> = VecDeque::new();
    let (mut times, mut before, mut began) = (Vec::new(), bench.log.counters(), Instant::now());
    let mut is_warm = false;
    let (mut done, mut cpu_before) = (0u64, 0.0);
    loop {
        if !is_warm && warm.elapsed().as_secs_f64() > 0.5 {
            (is_warm, before, began, done) = (true, bench.log.counters(), Instant::now(), 0);
            times.clear();
            cpu_before = cpu();
        }
        if is_warm && began.elapsed().as_secs_f64() > seconds {
            break;
        }
        let room = outstanding.saturating_sub(waiting.len());
        for _ in 0..room.min(APPENDS_PER_TURN) {
            let lsn = bench.append(StreamId(1), b"bench.subject", &payload);
            waiting.push_back((lsn, Instant::now()));
        }
        // Whoever has more to append does not sleep.
        match waiting.len() < outstanding {
            true => bench.turn_with(Standalone::poll),
            false => bench.turn(),
        }
        while waiting.front().is_some_and(|(lsn, _)| *lsn <= bench.log.settled()) {
            if let Some((_, sent)) = waiting.pop_front() {
                times.push(sent.elapsed().as_nanos() as u64);
                done += 1;
            }
        }
    }
    let (after, elapsed) = (bench.log.counters(), began.elapsed().as_secs_f64());
    let batches = after.batches - before.batches;
    let bytes = after.batch_bytes - before.batch_bytes;
    let cpu_per_million = (cpu() - cpu_before) / done as f64 * 1e6;
    let percentiles = percentiles(&mut times);
    Loop {
        outstanding,
        len,
        per_second: done as f64 / elapsed,
        batches_per_second: batches as f64 / elapsed,
        bytes_per_record: bytes / done.max(1),
        mb_per_second: bytes as f64 / elapsed / 1e6,
        cpu_per_million,
        p50: times[times.len() / 2] / 1000,
        percentiles,
    }
}

#[test]
fn bench_append() {
    for _ in 0..2 {
        for bytes in [4096, 65536] {
            let directory = tempfile::tempdir_in(parent()).unwrap();
            println!("{}", bare(directory.path(), bytes, 2.0));
        }
        for outstanding in [1, 64, 1000, 20_000] {
            let directory = tempfile::tempdir_in(parent()).unwrap();
            println!("{}", closed_loop(directory.path(), outstanding, 128, 2.0));
        }
    }
}

#[test]
fn bench_recovery() {
    let count = std::env::var("WEFT_BENCH_MESSAGES").map_or(10_000_000, |n| n.parse().unwrap());
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let began = Instant::now();
    let payload = [7u8; 128];
    for n in 0..count {
        bench.append(StreamId(1), b"bench.subject", &payload);
        if n % 2000 == 0 {
            bench.turn();
        }
    }
    let memory = bench.log.stream(StreamId(1)).unwrap().memory();
    println!(
        "{count} appended in {:?}, index {:.2} B per message",
        began.elapsed(),
        memory as f64 / f64::from(count)
    );
    drop(bench);
    reopen(directory.path(), &payload);
}

/// After a kill, and after two stops.
fn reopen(path: &Path, payload: &[u8]) {
    for stop in ["killed", "stopped", "stopped"] {
        let (began, cpu_before) = (Instant::now(), cpu());
        let (mut bench, report) = Bench::open(path, LogSettings::default());
        println!(
            "after it was {stop}: open in {:?}, {:.2} CPU seconds, {} of {} segments from footers ({} parts), {} MB read, {} messages, {:?}",
            began.elapsed(),
            cpu() - cpu_before,
            report.footers,
            report.segments,
            report.parts,
            report.bytes_read / 1_000_000,
            bench.log.stream(StreamId(1)).unwrap().messages(),
            report.damages
        );
        bench.append(StreamId(1), b"bench.subject", payload);
        bench.stop();
    }
}

#[test]
fn bench_subjects() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let began = Instant::now();
    for n in 0..1_000_000u32 {
        bench.append(StreamId(1), format!("kv.bucket.key-{n:07}").as_bytes(), &[1; 32]);
        if n % 2000 == 0 {
            bench.turn();
        }
    }
    let memory = bench.log.stream(StreamId(1)).unwrap().memory();
    println!(
        "a million subjects in {:?}: {} B each, index in all",
        began.elapsed(),
        memory / 1_000_000
    );
    let worst = bench.turns.iter().max().copied().unwrap_or(0);
    println!(
        "turns while they were written: {}, at most {} µs",
        percentiles(&mut bench.turns),
        worst / 1000
    );
    println!("the busiest of them: {}", bench.busiest);
    drop(bench);
    reopen(directory.path(), &[1; 32]);
}

/// What a cold message takes in memory, by how messages come.
#[test]
fn bench_cold() {
    let random = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    type Shape = (&'static str, u64, fn(u64) -> usize, u64);
    let shapes: [Shape; 6] = [
        ("one stream, one subject, one length", 1, |_| 128, 1),
        ("one stream, one subject, lengths 100 to 163", 1, |n| 100 + (n % 64) as usize, 1),
        ("one stream, 1000 subjects in no order, one length", 1, |_| 128, 1000),
        ("100 streams in turn, one length", 100, |_| 128, 1),
        ("100 streams in turn, lengths 100 to 163", 100, |n| 100 + (n % 64) as usize, 1),
        ("100 streams in turn, lengths, 10 subjects each", 100, |n| 100 + (n % 64) as usize, 10),
    ];
    for (what, streams, len, subjects) in shapes {
        let directory = tempfile::tempdir_in(parent()).unwrap();
        let (mut bench, _) = Bench::open(directory.path(), sorting_at_once());
        let count = 2_000_000u64;
        for n in 0..count {
            let payload = vec![7; len(random(n))];
            let subject = format!("cold.{}", (random(n) >> 6) % subjects);
            bench.append(StreamId(1 + n % streams), subject.as_bytes(), &payload);
            if n % 2000 == 0 {
                bench.turn();
            }
        }
        let memory = |bench: &Bench| {
            let all: usize = bench.log.streams().map(|(_, index)| index.memory()).sum();
            all as f64 / count as f64
        };
        let before = memory(&bench);
        (bench.busiest, bench.turned) = (Phases::default(), thread_cpu());
        bench.settle();
        println!("{what}: {before:.2} B per message, {:.2} once sorted", memory(&bench));
        println!("  the busiest turn while it was sorted: {}", bench.busiest);
    }
}

fn sorting_at_once() -> LogSettings {
    LogSettings { sort_delay_ns: 0, ..LogSettings::default() }
}

fn seconds() -> f64 {
    std::env::var("WEFT_BENCH_SECONDS").map_or(20.0, |n| n.parse().unwrap())
}

/// What a workload wrote and what it leaves on the disk. `record_bytes`: what was asked for.
fn report(mut bench: Bench, what: &str, disk_max: u64, record_bytes: u64) {
    bench.settle();
    let counters = bench.log.counters();
    let (live, disk) = (bench.log.live_bytes(), bench.log.disk_bytes());
    println!(
        "{what}: live {live} B, disk at most {disk_max} B, settled {disk} B; {} B of batches ({} B \
         of them copies) for {record_bytes} B of records: written {:.2} times",
        counters.batch_bytes,
        counters.copied_bytes,
        counters.batch_bytes as f64 / record_bytes as f64,
    );
    assert!(disk <= 2 * live + DISK_BYTES_IDLE, "{what}");
}

/// Disk beyond twice what lives: the head and the segment of copies, three prepared ahead, two
/// spare ones, of the size that the log last grew to.
const DISK_BYTES_IDLE: u64 = 7 * 64 * 1024 * 1024;

/// KV-style: keys are overwritten, the old value is deleted.
#[test]
fn bench_overwrite() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let (mut puts, mut key) = (0u64, 1u64);
    let mut last: Vec<Seq> = vec![Seq(0); 100_000];
    let mut disk_max = 0;
    while bench.began.elapsed().as_secs_f64() < seconds() {
        for _ in 0..500 {
            key =
                key.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (key >> 33) as usize % last.len();
            bench.append(StreamId(1), format!("kv.b.{at}").as_bytes(), &[3; 128]);
            let seq = bench.log.stream(StreamId(1)).unwrap().last_seq();
            let old = std::mem::replace(&mut last[at], seq);
            if old > Seq(0) {
                bench.delete(old);
            }
            puts += 1;
        }
        bench.turn();
        disk_max = disk_max.max(bench.log.disk_bytes());
    }
    println!("{:.0} puts/s", puts as f64 / bench.began.elapsed().as_secs_f64());
    report(bench, "overwriting 100,000 keys", disk_max, puts * RECORD_BYTES);
}

/// A record of these workloads, and the delete that follows it.
const RECORD_BYTES: u64 = 190;

/// A work queue: what is published is soon deleted.
#[test]
fn bench_drain() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let (mut next, mut disk_max) = (Seq(1), 0);
    let mut published = 0;
    while bench.began.elapsed().as_secs_f64() < seconds() {
        for _ in 0..500 {
            bench.append(StreamId(1), b"work.queue", &[5; 128]);
            published += 1;
            if published > 1000 {
                bench.delete(next);
                next = next.next();
            }
        }
        bench.turn();
        disk_max = disk_max.max(bench.log.disk_bytes());
    }
    while next.0 <= published {
        bench.delete(next);
        next = next.next();
    }
    report(bench, "a queue that drains", disk_max, published * RECORD_BYTES);
}

/// A publisher that waits for each ack, with the last ten thousand messages kept.
#[test]
fn bench_lone() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let (mut published, mut disk_max) = (0, 0);
    while bench.began.elapsed().as_secs_f64() < seconds() {
        let lsn = bench.append(StreamId(1), b"lone.publisher", &[5; 128]);
        published += 1;
        while bench.log.settled() < lsn {
            bench.turn();
        }
        if published > 10_000 {
            let now = bench.now();
            let _ = bench.log.trim(StreamId(1), Seq(published - 10_000), Urgency::Now, now);
        }
        disk_max = disk_max.max(bench.log.disk_bytes());
    }
    report(bench, "a lone synchronous publisher", disk_max, published * RECORD_BYTES);
}

/// One record in each MiB is kept for ever, the rest is trimmed.
#[test]
fn bench_eternal() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    let (mut bench, _) = Bench::open(directory.path(), LogSettings::default());
    let (mut published, mut disk_max) = (0u64, 0);
    while bench.began.elapsed().as_secs_f64() < seconds() {
        bench.append(StreamId(2), b"kept.for.ever", &[9; 128]);
        for _ in 0..6000 {
            bench.append(StreamId(1), b"soon.gone", &[5; 128]);
            published += 1;
        }
        bench.turn();
        let now = bench.now();
        let _ =
            bench.log.trim(StreamId(1), Seq(published.saturating_sub(10_000)), Urgency::Now, now);
        disk_max = disk_max.max(bench.log.disk_bytes());
    }
    report(bench, "an eternal record per MiB", disk_max, published * RECORD_BYTES);
}

/// What a server without streams costs.
#[test]
fn bench_empty() {
    let directory = tempfile::tempdir_in(parent()).unwrap();
    for _ in 0..3 {
        let began = Instant::now();
        let (bench, _) = Bench::open(directory.path(), LogSettings::default());
        println!("an empty log opens in {:?}, {} B", began.elapsed(), bench.log.disk_bytes());
        assert!(bench.log.disk_bytes() == 0);
    }
}

/// A hundred streams in turn, and what replaying one of them costs.
#[test]
fn bench_streams() {
    for streams in [1u64, 100] {
        let directory = tempfile::tempdir_in(parent()).unwrap();
        let (mut bench, _) = Bench::open(directory.path(), sorting_at_once());
        let total = 2_000_000u64;
        let began = Instant::now();
        for n in 0..total {
            bench.append(StreamId(1 + n % streams), b"bench.subject", &[7; 128]);
            if n % 1000 == 0 {
                bench.turn();
            }
        }
        bench.stop();
        let counters = bench.log.counters();
        println!("{streams} streams: {:?}, {} batches", began.elapsed(), counters.batches);
        drop(bench);
        let (mut bench, _) = Bench::open(directory.path(), sorting_at_once());
        bench.settle();
        let (began, mut from, mut read, mut reads) = (Instant::now(), Seq(1), 0u64, 0u64);
        while let Some(op) = bench.log.read(StreamId(1), from, 1 << 19).unwrap() {
            while !bench.log.has_read(op) {
                bench.turn();
            }
            let run = bench.log.take_read(op).unwrap().unwrap();
            for entry in run.entries() {
                read += run.message(entry).unwrap().payload.len() as u64 / 128;
                from = entry.seq.next();
            }
            reads += 1;
        }
        let after = bench.log.counters();
        println!(
            "  replay of one: {read} messages, {reads} reads, {:.0} messages/s; copied {} MB of {} MB",
            read as f64 / began.elapsed().as_secs_f64(),
            after.copied_bytes / 1_000_000,
            after.batch_bytes / 1_000_000
        );
    }
}
