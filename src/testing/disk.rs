//! A disk that does everything a disk may do: finishes operations in any order, forgets what was
//! not flushed, tears blocks into garbage, flips bits, fills up, fails.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::storage::{BLOCK, Buffer, Effect, IoFault, OpId, SlotFile, SlotId};

/// Small, fast, repeatable.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// One time in `n`.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let value = self.draw().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

type Block = Box<[u8]>;

#[derive(Clone, Debug, Default)]
struct File {
    stable: Vec<Block>,
    /// Writes that no flush covers yet, oldest first.
    volatile: BTreeMap<usize, Vec<Block>>,
    name_is_stable: bool,
}

impl File {
    fn read(&self, block: usize) -> &[u8] {
        let newest = self.volatile.get(&block).and_then(|writes| writes.last());
        newest.unwrap_or(&self.stable[block])
    }

    fn write(&mut self, block: usize, bytes: &[u8]) {
        self.volatile.entry(block).or_default().push(bytes.into());
    }

    fn settle(&mut self, block: usize) {
        if let Some(newest) = self.volatile.remove(&block).and_then(|mut writes| writes.pop()) {
            self.stable[block] = newest;
        }
    }

    fn settle_all(&mut self) {
        let blocks: Vec<usize> = self.volatile.keys().copied().collect();
        blocks.into_iter().for_each(|block| self.settle(block));
    }
}

/// What came of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    Written(OpId),
    Synced(OpId),
    Prepared(OpId),
    Read(OpId, Buffer),
    Fault(OpId, IoFault),
}

/// How often a flush fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlushFault {
    Never,
    Once,
    ForEver,
}

#[derive(Clone, Debug)]
pub struct SimDisk {
    rng: Rng,
    files: BTreeMap<SlotId, File>,
    /// Deleted, but the directory may still tell of them after a power cut.
    deleted: BTreeMap<SlotId, File>,
    pending: Vec<Effect>,
    pub capacity: u64,
    pub flush_fault: FlushFault,
    pub flushes: u64,
    pub bytes_written: u64,
}

const EIO: IoFault = IoFault::Failed(5);

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            files: BTreeMap::new(),
            deleted: BTreeMap::new(),
            pending: Vec::new(),
            capacity: u64::MAX,
            flush_fault: FlushFault::Never,
            flushes: 0,
            bytes_written: 0,
        }
    }

    pub fn push(&mut self, effect: Effect) {
        match effect {
            Effect::Delete { slot } => {
                if let Some(file) = self.files.remove(&slot) {
                    self.deleted.insert(slot, file);
                }
            }
            other => self.pending.push(other),
        }
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of files.
    pub fn used(&self) -> u64 {
        self.files.values().map(|file| (file.stable.len() * BLOCK) as u64).sum()
    }

    pub fn files(&self) -> Vec<SlotFile> {
        let file = |(slot, file): (&SlotId, &File)| SlotFile {
            slot: *slot,
            len: (file.stable.len() * BLOCK) as u32,
        };
        self.files.iter().map(file).collect()
    }

    /// Finishes one operation, whichever.
    pub fn finish_one(&mut self) -> Option<Outcome> {
        if self.pending.is_empty() {
            return None;
        }
        let at = self.rng.below(self.pending.len() as u64) as usize;
        let effect = self.pending.swap_remove(at);
        Some(self.finish(effect))
    }

    pub fn read(&self, slot: SlotId, offset: u32, len: u32) -> Result<Buffer, IoFault> {
        let is_aligned = [offset, len].iter().all(|n| n.is_multiple_of(BLOCK as u32));
        assert!(is_aligned, "direct I/O refuses {len} bytes at {offset}");
        let file = self.files.get(&slot).ok_or(EIO)?;
        let blocks = offset as usize / BLOCK..(offset + len) as usize / BLOCK;
        if blocks.end > file.stable.len() {
            return Err(EIO);
        }
        let mut bytes = Buffer::with_capacity(len as usize);
        blocks.for_each(|block| bytes.extend_from_slice(file.read(block)));
        Ok(bytes)
    }

    /// Flips one bit somewhere, for good.
    pub fn flip(&mut self, slot: SlotId, bit: u64) {
        if let Some(file) = self.files.get_mut(&slot) {
            file.settle_all();
            let byte = (bit / 8) as usize;
            file.stable[byte / BLOCK][byte % BLOCK] ^= 1 << (bit % 8);
        }
    }

    /// Other bytes in one block, for good.
    pub fn spoil(&mut self, slot: SlotId, offset: u32, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(&slot) {
            let number = offset as usize / BLOCK;
            file.settle(number);
            if let Some(block) = file.stable.get_mut(number) {
                block.copy_from_slice(bytes);
            }
        }
    }

    /// The process ends; the machine goes on. What was under way may or may not be done; nothing
    /// that was written is forgotten, and nothing is flushed by it.
    pub fn kill(&mut self) {
        for effect in std::mem::take(&mut self.pending) {
            if self.rng.one_in(2) {
                self.interrupt(&effect, false);
            }
        }
    }

    /// The power goes. What no flush covers is kept, lost or torn, block by block.
    pub fn power_cut(&mut self) {
        for effect in std::mem::take(&mut self.pending) {
            self.interrupt(&effect, true);
        }
        let mut deleted = std::mem::take(&mut self.deleted);
        deleted.retain(|_, file| file.name_is_stable && self.rng.one_in(2));
        self.files.append(&mut deleted);
        let rng = &mut self.rng;
        self.files.retain(|_, file| file.name_is_stable || rng.one_in(2));
        for file in self.files.values_mut() {
            file.name_is_stable = true;
            for (block, mut writes) in std::mem::take(&mut file.volatile) {
                match rng.below(8) {
                    0..3 => {}
                    3 => rng.fill(&mut file.stable[block]),
                    _ => {
                        let which = rng.below(writes.len() as u64) as usize;
                        file.stable[block] = writes.swap_remove(which);
                    }
                }
            }
        }
    }

    fn interrupt(&mut self, effect: &Effect, tear: bool) {
        let (slot, offset, bytes) = match effect {
            Effect::Write { slot, offset, bytes, .. } => (slot, *offset, bytes),
            Effect::Prepare { slot, len, header, fresh, .. } => {
                if *fresh {
                    let part = self.rng.below(u64::from(*len / BLOCK as u32) + 1) as usize;
                    let len = if self.rng.one_in(2) { *len as usize / BLOCK } else { part };
                    self.create(*slot, len);
                }
                (slot, 0, header)
            }
            _ => return,
        };
        let Some(file) = self.files.get_mut(slot) else { return };
        for (at, block) in bytes.chunks(BLOCK).enumerate() {
            let number = offset as usize / BLOCK + at;
            if number >= file.stable.len() {
                return;
            }
            match self.rng.below(if tear { 4 } else { 3 }) {
                0 => {}
                3 => {
                    let mut garbage = vec![0; BLOCK];
                    self.rng.fill(&mut garbage);
                    // Half a block may be new already.
                    let keep = self.rng.below(BLOCK as u64) as usize;
                    garbage[..keep].copy_from_slice(&block[..keep]);
                    file.write(number, &garbage);
                }
                _ => file.write(number, block),
            }
        }
    }

    fn create(&mut self, slot: SlotId, blocks: usize) {
        let blank: Block = vec![0; BLOCK].into();
        // A directory keeps the order of what happens to one name.
        self.deleted.remove(&slot);
        let file = File { stable: vec![blank; blocks], ..File::default() };
        self.files.insert(slot, file);
    }

    fn finish(&mut self, effect: Effect) -> Outcome {
        match effect {
            Effect::Write { op, slot, offset, bytes, flush } => {
                self.finish_write(op, slot, offset, &bytes, flush)
            }
            Effect::Sync { op, slots } => {
                self.flushes += 1;
                if self.flush_fails() {
                    return Outcome::Fault(op, EIO);
                }
                for slot in slots {
                    if let Some(file) = self.files.get_mut(&slot) {
                        file.settle_all();
                    }
                }
                Outcome::Synced(op)
            }
            Effect::Read { op, slot, offset, len } => match self.read(slot, offset, len) {
                Ok(bytes) => Outcome::Read(op, bytes),
                Err(fault) => Outcome::Fault(op, fault),
            },
            Effect::Prepare { op, slot, len, header, fresh, erase } => {
                self.finish_prepare(op, slot, len, &header, fresh, erase)
            }
            Effect::SyncDirectory { op } => {
                self.files.values_mut().for_each(|file| file.name_is_stable = true);
                self.deleted.clear();
                Outcome::Synced(op)
            }
            Effect::Delete { .. } => unreachable!("deletes are not queued"),
        }
    }

    fn finish_write(
        &mut self,
        op: OpId,
        slot: SlotId,
        offset: u32,
        bytes: &Rc<Buffer>,
        flush: bool,
    ) -> Outcome {
        let fails = flush && self.flush_fails();
        let Some(file) = self.files.get_mut(&slot) else { return Outcome::Fault(op, EIO) };
        self.bytes_written += bytes.len() as u64;
        self.flushes += u64::from(flush);
        for (at, block) in bytes.chunks(BLOCK).enumerate() {
            let number = offset as usize / BLOCK + at;
            // A failed flush marks as clean what it has dropped.
            if fails {
                if self.rng.one_in(3) {
                    file.stable[number] = block.into();
                }
                continue;
            }
            file.write(number, block);
            if flush {
                file.settle(number);
            }
        }
        if fails { Outcome::Fault(op, EIO) } else { Outcome::Written(op) }
    }

    fn finish_prepare(
        &mut self,
        op: OpId,
        slot: SlotId,
        len: u32,
        header: &[u8],
        fresh: bool,
        erase: bool,
    ) -> Outcome {
        if fresh {
            if self.used() + u64::from(len) > self.capacity {
                return Outcome::Fault(op, IoFault::NoSpace);
            }
            self.create(slot, len as usize / BLOCK);
        }
        let Some(file) = self.files.get_mut(&slot) else { return Outcome::Fault(op, EIO) };
        if erase {
            let blank: Block = vec![0; BLOCK].into();
            file.stable.iter_mut().for_each(|block| block.clone_from(&blank));
            file.volatile.clear();
        }
        file.write(0, header);
        file.settle(0);
        Outcome::Prepared(op)
    }

    fn flush_fails(&mut self) -> bool {
        match self.flush_fault {
            FlushFault::Never => false,
            FlushFault::Once => {
                self.flush_fault = FlushFault::Never;
                true
            }
            FlushFault::ForEver => true,
        }
    }
}
