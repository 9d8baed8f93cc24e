//! On the real disk: a process killed at any moment finds everything it had acknowledged.

#![expect(clippy::disallowed_methods, reason = "real time, real disk")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::runtime::ring::Ladder;
use crate::storage::{
    Health, LogId, LogSettings, Message, Recovery, Refusal, Seq, StreamId, Urgency,
};

const ID: LogId = LogId(3);
const STREAMS: u64 = 8;
const DIRECTORY: &str = "WEFT_CRASH_DIRECTORY";

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes_min: 1 << 20,
        segment_bytes_max: 8 << 20,
        sort_delay_ns: 0,
        ..LogSettings::default()
    }
}

/// The payload says which message it is.
fn payload(stream: StreamId, seq: Seq) -> Vec<u8> {
    let mut out = vec![0; 64 + (seq.0 * 31 + stream.0 * 7) as usize % 200];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = (seq.0.wrapping_mul(0x9e37_79b9) >> (at % 24)) as u8 ^ stream.0 as u8 ^ at as u8;
    }
    out
}

fn start(path: &Path) -> (Standalone, Log, crate::storage::Report) {
    let directory = Directory::open(path, false).unwrap();
    let files = directory.files();
    let (mut log, report) = directory.recover(Recovery::new(ID, settings(), files));
    let mut standalone = Standalone::new(directory, Ladder::V6_1).unwrap();
    while log.health() == Health::Starting {
        standalone.drive(&mut log, Mono(1)).unwrap();
    }
    (standalone, log, report)
}

/// Publishes on all streams until it is killed; tells each acknowledged message on its output.
/// Run by the test below in a process of its own; by itself it has nothing to do.
#[test]
fn child() {
    let Some(path) = std::env::var_os(DIRECTORY) else { return };
    let (mut standalone, mut log, _) = start(&PathBuf::from(path));
    let began = Instant::now();
    let mut waiting = VecDeque::new();
    let mut out = std::io::stderr();
    loop {
        let now = Mono(began.elapsed().as_nanos() as u64);
        for stream in (1..=STREAMS).map(StreamId) {
            let seq = log.stream(stream).map_or(Seq(0), |index| index.last_seq()).next();
            let payload = payload(stream, seq);
            let message = Message {
                stream,
                seq,
                time: 0,
                subject: b"crash.test",
                headers: b"",
                payload: &payload,
                saved: 0,
            };
            match log.append(&message, Urgency::Now, now) {
                Ok(lsn) => waiting.push_back((lsn, stream, seq)),
                Err(Refusal::Behind | Refusal::NoSpace) => {}
                // The disk is gone; nothing more is told.
                Err(Refusal::Poisoned) => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
            // Some deletes, so that segments die and are used again.
            if seq.0.is_multiple_of(2000) && seq.0 > 4000 {
                let _ = log.trim(stream, Seq(seq.0 - 3000), Urgency::Now, now);
            }
        }
        log.on_turn_end(now);
        log.on_tick(now);
        standalone.drive(&mut log, now).unwrap();
        let mut told = Vec::new();
        while waiting.front().is_some_and(|(lsn, ..)| *lsn <= log.settled()) {
            let Some((_, stream, seq)) = waiting.pop_front() else { break };
            told.extend_from_slice(&stream.0.to_le_bytes());
            told.extend_from_slice(&seq.0.to_le_bytes());
        }
        out.write_all(&told).unwrap();
    }
}

/// `WEFT_CRASH_ROUNDS` rounds on the disk of `WEFT_CRASH_PARENT`; the default is a few.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let rounds = std::env::var("WEFT_CRASH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let parent = std::env::var_os("WEFT_CRASH_PARENT").map_or("target".into(), PathBuf::from);
    let directory = tempfile::tempdir_in(parent).unwrap();
    let mut acknowledged = nothing_yet();
    let mut total = 0;
    for round in 0..rounds {
        let child = Child::start(directory.path());
        // The first acks show that it has started.
        std::thread::sleep(Duration::from_millis(30 + 15 + round * 37 % 120));
        total += note(&child.kill(), &mut acknowledged, round);
        verify(directory.path(), &mut acknowledged, round);
    }
    println!("{rounds} rounds, {total} acknowledged messages, all found");
    assert!(total > 0);
}

/// By stream: the last sequence that was acknowledged.
pub(super) type Acknowledged = [u64; STREAMS as usize + 1];

pub(super) fn nothing_yet() -> Acknowledged {
    [0; STREAMS as usize + 1]
}

/// Takes down what a child told. Returns how many messages that were.
pub(super) fn note(told: &[u8], acknowledged: &mut Acknowledged, round: u64) -> usize {
    for pair in told.chunks_exact(16) {
        let stream = u64::from_le_bytes(pair[..8].try_into().unwrap());
        let seq = u64::from_le_bytes(pair[8..].try_into().unwrap());
        assert_eq!(acknowledged[stream as usize].max(seq), seq, "round {round}: out of order");
        acknowledged[stream as usize] = seq;
    }
    told.len() / 16
}

/// A process that publishes until it is killed.
pub(super) struct Child {
    process: std::process::Child,
    reader: std::thread::JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Child {
    pub fn start(directory: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runtime::disk::crash_tests::child", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = process.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut told = Vec::new();
            output.read_to_end(&mut told).map(|_| told)
        });
        Self { process, reader }
    }

    /// Everything it told.
    pub fn kill(mut self) -> Vec<u8> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.reader.join().unwrap().unwrap()
    }
}

pub(super) fn verify(directory: &Path, acknowledged: &mut Acknowledged, round: u64) {
    let (mut standalone, mut log, report) = start(directory);
    let lost =
        report.damages.iter().find(|damage| damage.certainty == crate::storage::Certainty::Lost);
    assert!(lost.is_none(), "round {round}: {lost:?}");
    for stream in (1..=STREAMS).map(StreamId) {
        let Some(index) = log.stream(stream) else {
            assert_eq!(acknowledged[stream.0 as usize], 0, "round {round}: {stream:?} is gone");
            continue;
        };
        let (first, last) = (index.first_seq(), index.last_seq());
        let acked = acknowledged[stream.0 as usize];
        assert!(last.0 >= acked, "round {round}: {stream:?} ends at {last:?}, acked {acked}");
        let mut expected = first;
        while let Some(op) = log.read(stream, expected, 1 << 19).unwrap() {
            while !log.has_read(op) {
                standalone.drive(&mut log, Mono(1)).unwrap();
            }
            let run = log.take_read(op).unwrap().unwrap();
            for entry in run.entries() {
                assert_eq!(entry.seq, expected, "round {round}: a hole in {stream:?}");
                let message = run.message(entry).unwrap();
                assert_eq!(message.payload, payload(stream, entry.seq), "round {round}");
                expected = expected.next();
            }
        }
        assert_eq!(expected, last.next(), "round {round}: {stream:?}");
        acknowledged[stream.0 as usize] = last.0;
    }
}

#[test]
fn a_log_has_one_owner() {
    let directory = tempfile::tempdir_in("target").unwrap();
    let first = Directory::open(directory.path(), false).unwrap();
    assert!(matches!(Directory::open(directory.path(), false), Err(OpenError::InUse(_))));
    drop(first);
    assert!(Directory::open(directory.path(), false).is_ok());
}

#[test]
fn memory_is_used_through_the_cache() {
    let Ok(directory) = tempfile::tempdir_in("/dev/shm") else { return };
    assert_eq!(Directory::open(directory.path(), false).unwrap().access(), Access::Buffered);
}

#[test]
fn a_disk_can_be_measured() {
    let directory = tempfile::tempdir_in("target").unwrap();
    let began = Instant::now();
    let checks = DiskCheck::run(directory.path(), false, 20, || began.elapsed()).unwrap();
    assert_eq!(checks.iter().map(DiskCheck::rounds).collect::<Vec<_>>(), [20; 4]);
    assert!(checks.iter().all(|check| check.at(0.5) <= check.at(0.99)));
    // A millisecond passes between any two looks at the clock: what fits does not depend on the disk.
    let looks = Cell::new(0);
    let clock = || Duration::from_millis(looks.replace(looks.get() + 1));
    let budget = Duration::from_millis(20);
    let brief = DiskCheck::brief(directory.path(), false, budget, clock).unwrap();
    assert!((5..20).contains(&brief.rounds()), "{} rounds", brief.rounds());
    assert_eq!(brief.at(1.0), Duration::from_millis(1));
}
