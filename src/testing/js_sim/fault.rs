//! A disk whose flushes fail: the log there takes nothing more until a restart, and nobody is told
//! that it did.

use super::world::World;
use crate::testing::disk::FlushFault;
use crate::types::time::MILLISECOND;

impl World {
    /// Clients go on for a while on a disk that fails, and then the broker ends.
    pub(super) fn fault(&mut self) {
        self.stats.faults += 1;
        let disk = self.rng.below(self.server.logs() as u64) as usize;
        let fault = if self.rng.one_in(2) { FlushFault::Once } else { FlushFault::ForEver };
        self.note(|| format!("flushes of disk {disk} fail: {fault:?}"));
        self.server.fail_flushes(disk, fault);
        self.is_failing = true;
        for _ in 0..2 + self.rng.below(12) {
            let ns = self.rng.below(30 * MILLISECOND);
            self.pass(ns);
            for _ in 0..1 + self.rng.below(4) {
                self.act_on_faulty();
            }
            self.machine();
        }
        self.is_failing = false;
        self.crash();
    }

    /// What can be refused without the model and the broker parting ways.
    fn act_on_faulty(&mut self) {
        match self.rng.below(20) {
            0..9 => self.publish(),
            9..13 => self.pull(),
            13..19 => self.acknowledge(),
            _ => self.look(),
        }
    }
}
