//! All that a core's ring serves: its sockets, and the disks of its logs.
//!
//! Completions reach their owner at the start of a turn, before any byte is processed; what the
//! logs want done is handed over at its end, together with the sends.

use super::disk::{Disk, Measured, MeasuredKind};
use super::sockets::Sockets;
use crate::shard::Shard;
use crate::shard::effects::Wish;
use crate::shard::latency::{Latencies, Stage};
use crate::shard::turn::TurnIo;
use crate::types::Mono;

pub struct Devices {
    pub sockets: Sockets,
    /// In the order of [`Shard::logs`].
    disks: Vec<Disk>,
    now: Mono,
    /// The server stops: sockets are not read any more.
    is_deaf: bool,
}

impl Devices {
    /// `disks`: in the order of [`Shard::logs`], with different tags.
    pub fn new(sockets: Sockets, disks: Vec<Disk>) -> Self {
        Self { sockets, disks, now: Mono(0), is_deaf: false }
    }

    pub fn begin_turn(&mut self, now: Mono) {
        self.now = now;
    }

    /// Sockets are not read from now on; what was read is finished.
    pub fn stop_reading(&mut self) {
        self.is_deaf = true;
    }

    /// Tells the logs what has become of their effects.
    fn tell_logs(&mut self, shard: &mut Shard) {
        let disks = &mut self.disks;
        for (data, result) in self.sockets.others.drain(..) {
            if let Some(disk) = disks.iter_mut().find(|disk| disk.owns(data)) {
                disk.complete(data, result);
            }
        }
        for measured in disks.iter_mut().flat_map(|disk| disk.measured.drain(..)) {
            record(&mut shard.latencies, measured, self.now);
        }
        for (disk, log) in disks.iter_mut().zip(shard.logs()) {
            while let Some(done) = disk.take_done() {
                done.tell(log, self.now);
            }
        }
    }

    /// The end of a turn: everything queued goes to the kernel. Returns when the next turn has
    /// to come for the logs' sake.
    pub fn finish_turn(&mut self, shard: &mut Shard) -> Wish {
        let mut wake_at = Mono::NEVER;
        let mut has_more = false;
        for (disk, log) in self.disks.iter_mut().zip(shard.logs()) {
            log.on_tick(self.now);
            for effect in log.take_effects() {
                disk.push(effect);
            }
            self.sockets.queue_disk(disk);
            wake_at = wake_at.min(log.wake_at());
            has_more |= disk.has_done() || log.has_output();
        }
        self.sockets.enter();
        match wake_at {
            _ if has_more => Wish::AtOnce,
            Mono::NEVER => Wish::Never,
            at => Wish::At(at),
        }
    }

    /// What the turn queued is with the kernel now.
    pub fn on_handed_over(&mut self, now: Mono) {
        self.disks.iter_mut().for_each(|disk| disk.on_handed_over(now));
    }

    /// Whether all that was appended has settled, or never will. Hurries it.
    pub fn settle_logs(&mut self, shard: &mut Shard) -> bool {
        let mut all = true;
        for log in shard.logs() {
            all &= log.settle(self.now);
        }
        all
    }

    /// Closes the logs in an orderly way. Call it turn after turn until the answer is true.
    pub fn close_logs(&mut self, shard: &mut Shard) -> bool {
        let mut all = true;
        for log in shard.logs() {
            all &= log.stop(self.now);
        }
        all
    }
}

fn record(latencies: &mut Latencies, measured: Measured, now: Mono) {
    let (stage, writes) = match measured.kind {
        MeasuredKind::Write => (Stage::LogWrite, true),
        MeasuredKind::Flush => (Stage::LogFlush, measured.bytes > 0),
        MeasuredKind::Read => (Stage::LogRead, false),
    };
    latencies.record(stage, now.since(measured.began));
    if writes {
        latencies.record(Stage::LogWriteBytes, measured.bytes as u64);
    }
}

impl TurnIo for Devices {
    fn obtain(&mut self, shard: &mut Shard, may_read: bool) {
        self.sockets.obtain(shard, may_read && !self.is_deaf);
        self.tell_logs(shard);
    }

    fn hand_over(&mut self, shard: &mut Shard) {
        self.sockets.hand_over(shard);
    }

    fn submit(&mut self, shard: &mut Shard) {
        self.sockets.submit(shard);
    }
}
