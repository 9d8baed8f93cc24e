//! What messages take of the memory and the disk that the operator allows (facts/jetstream-api.md
//! §17). Each core counts its own streams, and hears of the others when that has moved enough.
//!
//! As in the reference, a server that holds more than it may refuses every publish to streams of
//! that kind, and until then none. With several cores it may be late by
//! 1/[`LEDGER_STEPS`] of the limit.

use super::config::Storage;
use super::letter::Amounts;
use crate::config::JetStream as Options;
use crate::types::ShardId;
use crate::types::limits::LEDGER_STEPS;

#[derive(Debug, Default)]
pub struct Ledger {
    own: Amounts,
    told: Amounts,
    /// By shard, as they told; of this one nothing.
    others: Vec<Amounts>,
    /// Their sum.
    elsewhere: Amounts,
}

impl Ledger {
    /// A stream of this core went from so many bytes to so many.
    pub fn count(&mut self, storage: Storage, before: u64, after: u64) {
        let own = match storage {
            Storage::Memory => &mut self.own.memory,
            Storage::File => &mut self.own.file,
        };
        *own = own.saturating_sub(before) + after;
    }

    /// The server holds more than it may.
    pub fn is_exceeded(&self, storage: Storage, options: &Options) -> bool {
        let (most, used) = match storage {
            Storage::Memory => (options.max_memory_bytes, self.own.memory + self.elsewhere.memory),
            Storage::File => (options.max_file_bytes, self.own.file + self.elsewhere.file),
        };
        most.is_some_and(|most| used > most)
    }

    /// What other cores have to hear: nothing while it has moved less than a step.
    pub fn news(&mut self, shards: usize, options: &Options) -> Option<Amounts> {
        if shards < 2 {
            return None;
        }
        let step = |most: Option<u64>| most.unwrap_or(u64::MAX) / LEDGER_STEPS / shards as u64;
        let (own, told) = (self.own, self.told);
        let is_moved = own.memory.abs_diff(told.memory) > step(options.max_memory_bytes)
            || own.file.abs_diff(told.file) > step(options.max_file_bytes);
        if !is_moved {
            return None;
        }
        self.told = own;
        Some(own)
    }

    pub fn on_told(&mut self, from: ShardId, amounts: Amounts) {
        if self.others.len() <= from.index() {
            self.others.resize(from.index() + 1, Amounts::default());
        }
        self.others[from.index()] = amounts;
        self.elsewhere = Amounts {
            memory: self.others.iter().map(|other| other.memory).sum(),
            file: self.others.iter().map(|other| other.file).sum(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            max_memory_bytes: Some(100_000),
            max_file_bytes: Some(200_000),
            ..Options::default()
        }
    }

    /// nats-server 2.15.1 with `max_mem: 100000`: four messages of 30,019 bytes are taken.
    #[test]
    fn more_than_allowed_is_exceeded_and_as_much_is_not() {
        let mut ledger = Ledger::default();
        let rows = [(90_057, false), (100_000, false), (120_076, true), (29, false)];
        let mut before = 0;
        for (bytes, expected) in rows {
            ledger.count(Storage::Memory, before, bytes);
            before = bytes;
            assert_eq!(ledger.is_exceeded(Storage::Memory, &options()), expected, "{bytes}");
            assert!(!ledger.is_exceeded(Storage::File, &options()));
        }
    }

    #[test]
    fn the_cores_are_summed_and_hear_of_what_moved() {
        let mut cores = [Ledger::default(), Ledger::default()];
        for round in 0..3 {
            for at in 0..2 {
                cores[at].count(Storage::File, round * 40_000, (round + 1) * 40_000);
                let news = cores[at].news(2, &options()).unwrap();
                assert_eq!(news, Amounts { memory: 0, file: (round + 1) * 40_000 });
                cores[1 - at].on_told(ShardId(at as u16), news);
            }
            let exceeded = cores.each_ref().map(|core| core.is_exceeded(Storage::File, &options()));
            assert_eq!(exceeded, [round == 2; 2]);
        }
        cores[0].count(Storage::File, 120_000, 119_999);
        assert_eq!(cores[0].news(2, &options()), None);
        assert_eq!(Ledger::default().news(1, &options()), None);
    }
}
