//! What a log does when the disk fails, over the real driver. The results of single steps are
//! changed on their way; `mount_tests` has file systems that fail by themselves.

#![expect(clippy::disallowed_methods, reason = "real time, real disk")]

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::work::StepKind;
use super::*;
use crate::runtime::ring::Ladder;
use crate::storage::{
    Event, Found, Health, LogId, LogSettings, Lsn, Message, Operation, Poison, ReadError, Recovery,
    Refusal, Seq, StreamId, SyncMode, Urgency,
};

const STREAM: StreamId = StreamId(1);
const PAYLOAD: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(20);

/// One log on a real directory, and what it told.
pub(super) struct Bench {
    pub disk: Standalone,
    pub log: Log,
    pub events: Vec<Event>,
    pub acked: Seq,
    waiting: VecDeque<(Lsn, Seq)>,
    began: Instant,
}

impl Bench {
    pub fn open(path: &Path, sync: SyncMode) -> Self {
        let directory = Directory::open(path, false).unwrap();
        let settings = LogSettings {
            sync,
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 1 << 20,
            tail_cache_bytes: 256 * 1024,
            ..LogSettings::default()
        };
        let files = directory.files();
        let (log, _) = directory.recover(Recovery::new(LogId(0), settings, files));
        let mut bench = Self {
            disk: Standalone::new(directory, Ladder::V6_1).unwrap(),
            log,
            events: Vec::new(),
            acked: Seq(0),
            waiting: VecDeque::new(),
            began: Instant::now(),
        };
        while bench.log.health() == Health::Starting {
            bench.turn();
        }
        bench
    }

    fn now(&self) -> Mono {
        Mono(self.began.elapsed().as_nanos() as u64 + 1)
    }

    pub fn turn(&mut self) {
        let now = self.now();
        self.log.on_tick(now);
        let events = self.disk.drive(&mut self.log, now).unwrap();
        self.events.extend(events);
        let settled = self.log.settled();
        while let Some((_, seq)) = self.waiting.pop_front_if(|(lsn, _)| *lsn <= settled) {
            self.acked = seq;
        }
    }

    /// Turns until something holds.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.events);
            self.turn();
        }
    }

    pub fn publish(&mut self) -> Result<Seq, Refusal> {
        let seq = self.log.stream(STREAM).map_or(Seq(0), |index| index.last_seq()).next();
        let payload = payload(seq);
        let message = Message {
            stream: STREAM,
            seq,
            time: 0,
            subject: b"fault",
            headers: b"",
            payload: &payload,
            saved: 0,
        };
        let now = self.now();
        let lsn = self.log.append(&message, Urgency::Now, now)?;
        self.waiting.push_back((lsn, seq));
        Ok(seq)
    }

    /// Publishes and waits for the ack of each.
    pub fn publish_acked(&mut self, count: usize) {
        for _ in 0..count {
            let began = Instant::now();
            let seq = loop {
                match self.publish() {
                    Ok(seq) => break seq,
                    Err(Refusal::Behind) if began.elapsed() < PATIENCE => self.turn(),
                    Err(refusal) => panic!("{refusal:?}"),
                }
            };
            self.until("an ack", |bench| bench.acked >= seq);
        }
    }

    /// Publishes until it is refused for this reason.
    pub fn publish_until(&mut self, refusal: Refusal) {
        let began = Instant::now();
        loop {
            match self.publish() {
                Ok(_) | Err(Refusal::Behind) => self.turn(),
                Err(found) if found == refusal => return,
                Err(other) => panic!("{other:?}"),
            }
            assert!(began.elapsed() < PATIENCE, "never refused");
        }
    }

    /// Reads from the disk, or from memory.
    pub fn read(&mut self, seq: Seq) -> Result<(), ReadError> {
        match self.log.find(STREAM, seq)? {
            Found::InMemory(message) => {
                assert_eq!(message.payload, payload(seq));
                return Ok(());
            }
            Found::Absent => panic!("{seq:?} is gone"),
            Found::OnDisk(_) => {}
        }
        let op = self.log.read(STREAM, seq, 1 << 14).unwrap().unwrap();
        self.until("a read", |bench| bench.log.has_read(op));
        let run = self.log.take_read(op).unwrap()?;
        let message = run.message(&run.entries()[0])?;
        assert_eq!((message.seq, message.payload), (seq, &*payload(seq)));
        Ok(())
    }

    /// Removes what is below `first`, and waits until that is settled.
    pub fn trim(&mut self, first: Seq) {
        let now = self.now();
        let lsn = self.log.trim(STREAM, first, Urgency::Now, now).unwrap();
        self.until("the trim", |bench| bench.log.settled() >= lsn);
    }

    pub fn poison(&self) -> Option<Poison> {
        match self.log.health() {
            Health::Poisoned(poison) => Some(poison),
            _ => None,
        }
    }

    pub fn inject(&mut self, inject: impl FnMut(StepKind, i32) -> i32 + 'static) {
        self.disk.inject = Some(Box::new(inject));
    }
}

fn payload(seq: Seq) -> Vec<u8> {
    let mut out = vec![seq.0 as u8; PAYLOAD];
    out[..8].copy_from_slice(&seq.0.to_le_bytes());
    out
}

/// Everything acknowledged is there after a restart, byte for byte.
pub(super) fn verify(path: &Path, first: Seq, acked: Seq) {
    let mut bench = Bench::open(path, SyncMode::Always);
    let index = bench.log.stream(STREAM).unwrap();
    assert!(index.last_seq() >= acked, "{acked:?} was acknowledged");
    for seq in (first.0..=acked.0).map(Seq) {
        bench.read(seq).unwrap();
    }
    bench.publish_acked(1);
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("target").unwrap()
}

/// After the fault nothing is acknowledged, what was is still read, and a restart finds it.
fn a_poisoned_log_serves_reads_only(
    sync: SyncMode,
    during: Operation,
    fault: IoFault,
    inject: impl FnMut(StepKind, i32) -> i32 + 'static,
) {
    let directory = directory();
    let mut bench = Bench::open(directory.path(), sync);
    bench.publish_acked(20);
    bench.inject(inject);
    bench.publish_until(Refusal::Poisoned);
    let poison = Poison { during, fault };
    assert_eq!(bench.poison(), Some(poison));
    bench.until("the event", |bench| bench.events.contains(&Event::Poisoned(poison)));
    bench.disk.inject = None;
    let acked = bench.acked;
    assert_eq!(bench.publish(), Err(Refusal::Poisoned), "good news come too late");
    for seq in (1..=acked.0).map(Seq) {
        bench.read(seq).unwrap();
    }
    assert_eq!(bench.acked, acked);
    drop(bench);
    verify(directory.path(), Seq(1), acked);
}

fn failing(step: StepKind, with: i32) -> impl FnMut(StepKind, i32) -> i32 {
    move |kind, result| if kind == step { with } else { result }
}

const EIO: IoFault = IoFault::Failed(libc::EIO);

#[test]
fn a_failed_write_poisons() {
    let inject = failing(StepKind::Write, -libc::EIO);
    a_poisoned_log_serves_reads_only(SyncMode::Always, Operation::Write, EIO, inject);
}

#[test]
fn a_short_write_poisons() {
    let inject = failing(StepKind::Write, 4096);
    a_poisoned_log_serves_reads_only(SyncMode::Always, Operation::Write, EIO, inject);
}

/// Pre-written files cannot run out of room: whatever says so is not to be trusted.
#[test]
fn a_write_without_room_poisons() {
    let inject = failing(StepKind::Write, -libc::ENOSPC);
    let fault = IoFault::NoSpace;
    a_poisoned_log_serves_reads_only(SyncMode::Always, Operation::Write, fault, inject);
}

#[test]
fn a_failed_flush_poisons() {
    let inject = failing(StepKind::Sync, -libc::EIO);
    // It is a batch's flush or that of the next segment, whichever comes first.
    let directory = directory();
    let mut bench = Bench::open(directory.path(), SyncMode::Every(1_000_000));
    bench.publish_acked(3);
    bench.inject(inject);
    bench.publish_until(Refusal::Poisoned);
    assert!(matches!(bench.poison(), Some(Poison { fault: EIO, .. })));
}

#[test]
fn a_directory_that_is_not_flushed_poisons() {
    let inject = failing(StepKind::SyncDirectory, -libc::EIO);
    let during = Operation::SyncDirectory;
    a_poisoned_log_serves_reads_only(SyncMode::Always, during, EIO, inject);
}

#[test]
fn a_segment_that_cannot_be_prepared_poisons() {
    for step in [StepKind::Allocate, StepKind::Overwrite, StepKind::Header] {
        let inject = failing(step, -libc::EROFS);
        let fault = IoFault::Failed(libc::EROFS);
        a_poisoned_log_serves_reads_only(SyncMode::Always, Operation::Prepare, fault, inject);
    }
}

#[test]
fn a_failed_read_is_told_and_nothing_else_fails() {
    let directory = directory();
    let mut bench = Bench::open(directory.path(), SyncMode::Always);
    bench.publish_acked(20);
    bench.inject(failing(StepKind::Read, -libc::EIO));
    assert_eq!(bench.read(Seq(1)), Err(ReadError::Fault(EIO)));
    assert_eq!(bench.log.health(), Health::Running);
    bench.inject(failing(StepKind::Read, 512));
    assert_eq!(bench.read(Seq(1)), Err(ReadError::Fault(EIO)), "a short read is none");
    bench.disk.inject = None;
    bench.read(Seq(1)).unwrap();
    bench.publish_acked(1);
}

/// ENOSPC and a quota: refused while it lasts, deletes go through, and it clears by itself.
#[test]
fn a_full_disk_refuses_publishes_until_there_is_room() {
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        let directory = directory();
        let mut bench = Bench::open(directory.path(), SyncMode::Always);
        bench.publish_acked(4);
        let is_full = Rc::new(Cell::new(true));
        let full = Rc::clone(&is_full);
        bench.inject(move |kind, result| match kind {
            StepKind::Allocate | StepKind::Overwrite if full.get() => -errno,
            _ => result,
        });
        bench.publish_until(Refusal::NoSpace);
        bench.until("the event", |bench| bench.events.contains(&Event::Full));
        bench.trim(Seq(3));
        assert_eq!(bench.log.health(), Health::Running);
        is_full.set(false);
        bench.until("room", |bench| bench.events.contains(&Event::Room));
        bench.publish_acked(40);
        let acked = bench.acked;
        drop(bench);
        verify(directory.path(), Seq(3), acked);
    }
}

#[test]
fn a_vanished_directory_poisons_and_reads_go_on() {
    let directory = directory();
    let path = directory.path().join("log");
    let mut bench = Bench::open(&path, SyncMode::Always);
    bench.publish_acked(20);
    let acked = bench.acked;
    fs::remove_dir_all(&path).unwrap();
    bench.publish_until(Refusal::Poisoned);
    let gone = IoFault::Failed(libc::ENOENT);
    assert_eq!(bench.poison(), Some(Poison { during: Operation::Prepare, fault: gone }));
    for seq in (1..=acked.0).map(Seq) {
        bench.read(seq).unwrap();
    }
}
