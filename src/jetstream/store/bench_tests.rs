//! What the stores cost, without a disk:
//! `cargo test --release --no-default-features --features testing,log-bench --lib -- --nocapture
//! --test-threads 1 bench_store`. Results: measured.md.

#![expect(clippy::disallowed_methods, reason = "measures real time")]

use std::time::{Duration, Instant};

use super::tests::Bench;
use super::*;
use crate::storage::LogSettings;

const STREAM: StreamId = StreamId(5);

struct Rig {
    store: Store,
    bench: Option<Bench>,
    now: Mono,
    time: u64,
}

impl Rig {
    fn memory() -> Self {
        Self { store: Store::memory_only(3), bench: None, now: Mono(1), time: 1 }
    }

    fn file() -> Self {
        let settings = LogSettings {
            segment_bytes_min: 64 << 20,
            gather_bytes_max: 256 << 20,
            ..LogSettings::default()
        };
        let bench = Some(Bench::with(settings));
        Self { store: Store::file(STREAM), bench, now: Mono(1), time: 1 }
    }

    fn log(&mut self) -> (&mut Store, Option<&mut Log>) {
        (&mut self.store, self.bench.as_mut().map(|bench| &mut bench.log))
    }

    fn append(&mut self, subject: &[u8], payload: &[u8]) {
        self.time += 1;
        let (time, now) = (self.time, self.now);
        let (store, mut log) = self.log();
        let seq = store.last_seq(log.as_deref()).next();
        let message = NewMessage { seq, time, subject, headers: b"", payload };
        while store.append(log.as_deref_mut(), &[message], Urgency::Now, now).is_err() {
            self.run();
            return self.append(subject, payload);
        }
    }

    fn run(&mut self) {
        if let Some(bench) = &mut self.bench {
            bench.run(&mut self.store);
        }
    }

    fn fill(&mut self, count: u64, subject: impl Fn(u64, &mut Vec<u8>)) {
        let mut name = Vec::new();
        for n in 0..count {
            name.clear();
            subject(n, &mut name);
            self.append(&name, &[7; 128]);
            if n % 1000 == 999 {
                self.run();
            }
        }
        self.run();
    }

    fn index_memory(&mut self) -> usize {
        let (store, log) = self.log();
        store.index(log.as_deref()).unwrap().memory()
    }
}

fn timed<T>(what: &str, times: u64, act: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let before = on_cpu();
    let out = act();
    let took = on_cpu().saturating_sub(before);
    let wall = began.elapsed();
    let each = took.as_nanos() as f64 / times as f64;
    println!("{what:<60} {each:>10.1} ns each, {took:.1?} on the CPU, {wall:.1?} in all");
    out
}

/// What this thread has had of a CPU: others may use it, too.
fn on_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn one(_: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"orders.new");
}

fn key(n: u64, out: &mut Vec<u8>) {
    use std::io::Write;
    // Scattered, as keys are.
    let n = n.wrapping_mul(0x9e37_79b9) % (1 << 20);
    write!(out, "$KV.bucket.user{:03}.{n:07}", n % 1000).unwrap();
}

fn both(what: &str, act: impl Fn(&str, Rig)) {
    act(&format!("memory: {what}"), Rig::memory());
    act(&format!("file: {what}"), Rig::file());
}

#[test]
fn bench_store_sequence() {
    const N: u64 = 2_000_000;
    both("sequence", |kind, mut rig| {
        timed(&format!("{kind}: append 128 B"), N, || rig.fill(N, one));
        println!("{kind}: index {:.2} B per message", rig.index_memory() as f64 / N as f64);
        let last = N;
        timed(&format!("{kind}: fetch at the tail"), 1_000_000, || {
            let (store, mut log) = rig.log();
            for n in 0..1_000_000 {
                let seq = Seq(last - n % 100);
                assert!(matches!(store.fetch(log.as_deref_mut(), seq), Fetch::Here(_)));
            }
        });
        timed(&format!("{kind}: next and fetch from the start"), N, || {
            let mut from = Seq(1);
            loop {
                let (store, mut log) = rig.log();
                let Some(seq) = store.next_any(log.as_deref(), from) else { break };
                match store.fetch(log.as_deref_mut(), seq) {
                    Fetch::Here(_) => from = seq.next(),
                    Fetch::Wait => rig.run(),
                    other => panic!("{other:?}"),
                }
            }
        });
        timed(&format!("{kind}: trim half"), N / 2, || {
            let (store, log) = rig.log();
            store.trim(log, Seq(N / 2), Mono(1)).unwrap();
        });
        rig.run();
        timed(&format!("{kind}: delete every second, one by one"), N / 4, || {
            let mut seq = Seq(N / 2 + 1);
            while seq.0 < N {
                let (store, log) = rig.log();
                if store.delete(log, &[seq], false, Mono(1)).is_err() {
                    rig.run();
                    continue;
                }
                seq = Seq(seq.0 + 2);
            }
        });
        timed(&format!("{kind}: purge the rest"), N / 4, || {
            let (store, log) = rig.log();
            store.purge(log, None, Seq(u64::MAX), 0, Mono(1)).unwrap();
        });
    });
}

#[test]
fn bench_store_keys() {
    const N: u64 = 1 << 20;
    both("keys", |kind, mut rig| {
        timed(&format!("{kind}: append to new keys"), N, || rig.fill(N, key));
        let memory = rig.index_memory();
        println!("{kind}: index {:.1} B per key", memory as f64 / N as f64);
        timed(&format!("{kind}: overwrite, history 1"), N, || {
            let mut name = Vec::new();
            for n in 0..N {
                name.clear();
                key(n * 7, &mut name);
                rig.append(&name, &[7; 128]);
                loop {
                    let (store, mut log) = rig.log();
                    let state = store.subject_state(log.as_deref_mut(), &name).unwrap();
                    if state.2 <= 1 {
                        break;
                    }
                    if store.delete(log, &[state.0], false, Mono(1)).is_err() {
                        rig.run();
                    }
                }
                if n % 1000 == 999 {
                    rig.run();
                }
            }
            rig.run();
        });
        println!("{kind}: index {:.1} B per key", rig.index_memory() as f64 / N as f64);
        let few = 2000;
        timed(&format!("{kind}: next for one key"), few, || {
            let mut name = Vec::new();
            for n in 0..few {
                name.clear();
                key(n * 31, &mut name);
                let mut filter = Filter::new(&[&name]).unwrap();
                let (store, log) = rig.log();
                let found = store.next(log.as_deref(), &mut filter, Seq(1), &mut 100_000_000);
                assert!(matches!(found, Scan::Found(_)));
            }
        });
        for pattern in ["$KV.bucket.>", "$KV.bucket.user007.>", "$KV.bucket.*.0000007"] {
            let parsed = Pattern::parse(pattern.as_bytes()).unwrap();
            let mut count = 0;
            timed(&format!("{kind}: subjects {pattern}"), 1, || {
                let (store, log) = rig.log();
                store.subjects(log, Some(parsed), |_, _, _, _, _| count += 1);
            });
            let mut filter = Filter::new(&[pattern]).unwrap();
            timed(&format!("{kind}: last per subject {pattern}: {count}"), count, || {
                let (store, log) = rig.log();
                let log = log.as_deref();
                assert_eq!(store.last_per_subject(log, &filter, None).len() as u64, count);
            });
            timed(&format!("{kind}: count {pattern}"), 1, || {
                let (store, log) = rig.log();
                assert_eq!(store.count(log.as_deref(), &mut filter, Seq(1)), count);
            });
            timed(&format!("{kind}: next {pattern}"), count, || {
                let (mut from, mut found) = (Seq(1), 0);
                let (store, log) = rig.log();
                let log = log.as_deref();
                while let Scan::Found(seq) = store.next(log, &mut filter, from, &mut 100_000_000) {
                    (from, found) = (seq.next(), found + 1);
                }
                assert_eq!(found, count);
            });
        }
    });
}

#[test]
fn bench_store_history() {
    const KEYS: u64 = 100_000;
    const HISTORY: u64 = 5;
    both("history of 5", |kind, mut rig| {
        timed(&format!("{kind}: fill"), KEYS * HISTORY, || {
            rig.fill(KEYS * HISTORY, |n, out| key(n % KEYS, out));
        });
        println!("{kind}: index {:.1} B per message", {
            rig.index_memory() as f64 / (KEYS * HISTORY) as f64
        });
        let times = 20_000;
        timed(&format!("{kind}: overwrite"), times, || {
            let mut name = Vec::new();
            for n in 0..times {
                name.clear();
                key(n * 3 % KEYS, &mut name);
                rig.append(&name, &[7; 128]);
                loop {
                    let (store, mut log) = rig.log();
                    let state = store.subject_state(log.as_deref_mut(), &name).unwrap();
                    if state.2 <= HISTORY {
                        break;
                    }
                    if store.delete(log, &[state.0], false, Mono(1)).is_err() {
                        rig.run();
                    }
                }
            }
        });
        let few = 1000;
        timed(&format!("{kind}: all values of one key"), few * HISTORY, || {
            let mut name = Vec::new();
            for n in 0..few {
                name.clear();
                key(n * 31, &mut name);
                let mut filter = Filter::new(&[&name]).unwrap();
                let mut from = Seq(1);
                let (store, log) = rig.log();
                let log = log.as_deref();
                while let Scan::Found(seq) = store.next(log, &mut filter, from, &mut 100_000_000) {
                    from = seq.next();
                }
            }
        });
        timed(&format!("{kind}: purge one key"), 100, || {
            let mut name = Vec::new();
            for n in 0..100 {
                name.clear();
                key(n * 31, &mut name);
                let (store, log) = rig.log();
                let pattern = Pattern::parse(&name);
                store.purge(log, pattern, Seq(u64::MAX), 0, Mono(1)).unwrap();
            }
        });
    });
}
