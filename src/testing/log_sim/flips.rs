//! One flipped bit anywhere in the files: recovery and reads notice, and everything else is
//! still there.

use std::collections::BTreeMap;

use crate::storage::{Log, LogId, LogSettings, Recovery, Report, Seq, SlotId, Step, StreamId};
use crate::testing::disk::{Outcome, Rng, SimDisk};
use crate::types::Mono;

use super::check::{Seen, owned};

pub(super) type Content = BTreeMap<(StreamId, Seq), Seen>;

/// What the flips did, to see that they did something.
#[derive(Clone, Copy, Default, Debug)]
pub struct FlipStats {
    pub flips: u64,
    /// Of them, those that cost a message.
    pub lost_messages: u64,
    /// Noticed at recovery.
    pub reported: u64,
    /// Noticed when the message was read.
    pub unreadable: u64,
    /// Most messages lost by one flip.
    pub lost_max: u64,
}

/// Flips `count` bits of the disk, one at a time.
pub(super) fn flip_bits(
    disk: &SimDisk,
    id: LogId,
    settings: LogSettings,
    count: u64,
    rng: &mut Rng,
) -> FlipStats {
    let (whole, clean, unreadable) = content(disk.clone(), id, settings);
    assert!(unreadable == 0 && clean.damages.is_empty(), "{:?}", clean.damages);
    let files = disk.files();
    let mut stats = FlipStats::default();
    for _ in 0..count {
        let file = files[rng.below(files.len() as u64) as usize];
        let bit = rng.below(u64::from(file.len) * 8);
        let mut damaged = disk.clone();
        damaged.flip(file.slot, bit);
        judge(damaged, id, settings, &whole, &mut stats, (file.slot, bit));
    }
    stats
}

fn judge(
    damaged: SimDisk,
    id: LogId,
    settings: LogSettings,
    whole: &Content,
    stats: &mut FlipStats,
    at: (SlotId, u64),
) {
    let (found, report, unreadable) = content(damaged, id, settings);
    stats.flips += 1;
    let is_noticed = !report.damages.is_empty() || unreadable > 0;
    for (key, seen) in &found {
        match whole.get(key) {
            Some(expected) => assert!(expected == seen, "{at:?}: {key:?} has changed"),
            // A damaged delete is reported, and leaves its victim alive.
            None => assert!(is_noticed, "{at:?}: {key:?} came back, unnoticed"),
        }
    }
    let lost = whole.keys().filter(|key| !found.contains_key(key)).count() as u64;
    assert!(lost == 0 || is_noticed, "{at:?}: {lost} messages went unnoticed");
    stats.lost_messages += u64::from(lost > 0);
    stats.reported += u64::from(!report.damages.is_empty());
    stats.unreadable += u64::from(unreadable > 0);
    stats.lost_max = stats.lost_max.max(lost);
}

/// Everything that can be read after a recovery, and how much cannot.
fn content(mut disk: SimDisk, id: LogId, settings: LogSettings) -> (Content, Report, u64) {
    let mut recovery = Recovery::new(id, settings, disk.files());
    while let Step::Read { slot, offset, len } = recovery.step() {
        match disk.read(slot, offset, len) {
            Ok(bytes) => recovery.on_read(Ok(&bytes)),
            Err(fault) => recovery.on_read(Err(fault)),
        }
    }
    let (mut log, report) = recovery.finish();
    run(&mut log, &mut disk);
    let streams: Vec<StreamId> = log.streams().map(|(stream, _)| stream).collect();
    let mut content = Content::new();
    let mut unreadable = 0;
    for stream in streams {
        let mut from = Seq(0);
        while let Ok(Some(op)) = log.read(stream, from, 1 << 19) {
            while !log.has_read(op) {
                run(&mut log, &mut disk);
            }
            let Some(Ok(read)) = log.take_read(op) else { break };
            for entry in read.entries() {
                from = entry.seq.next();
                match read.message(entry) {
                    Ok(message) => {
                        content.insert((stream, entry.seq), owned(&message));
                    }
                    Err(_) => unreadable += 1,
                }
            }
        }
    }
    (content, report, unreadable)
}

fn run(log: &mut Log, disk: &mut SimDisk) {
    loop {
        for effect in log.take_effects() {
            disk.push(effect);
        }
        let Some(outcome) = disk.finish_one() else { return };
        match outcome {
            Outcome::Written(op) => log.on_written(op, Mono(1)),
            Outcome::Synced(op) => log.on_synced(op, Mono(1)),
            Outcome::Prepared(op) => log.on_prepared(op, Mono(1)),
            Outcome::Read(op, bytes) => log.on_read(op, bytes, Mono(1)),
            Outcome::Fault(op, fault) => log.on_fault(op, fault, Mono(1)),
        }
    }
}
