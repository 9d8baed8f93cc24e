//! Clients, log and disk of one seed.

use crate::storage::{
    BLOCK, Entry, Event, Found, Health, Log, LogId, LogSettings, Lsn, Message, Mutation, OpId,
    PartLimits, Recovery, Refusal, Seq, SlotId, Step, StreamId, SyncMode, Urgency, is_mutated,
};
use crate::testing::disk::{FlushFault, Outcome, Rng, SimDisk};
use crate::types::{Mono, Pattern};

use super::flips::{FlipStats, flip_bits};
use super::model::{KeyChange, KeyChangeKind, Model, ModelMessage, ModelStream};

/// What a run consists of.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub steps: u64,
    pub crashes: u64,
    pub sync: SyncMode,
    /// Flushes fail, the disk fills up.
    pub faults: bool,
}

impl Options {
    /// A mix that the seed decides on.
    pub fn of(seed: u64) -> Self {
        let sync = if seed % 5 == 4 { SyncMode::Every(2_000_000) } else { SyncMode::Always };
        Self { steps: 400, crashes: 4, sync, faults: seed.is_multiple_of(3) }
    }
}

/// What a run did, to see that it did something.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    pub acked: u64,
    pub crashes: u64,
    pub retired: u64,
    pub copied_bytes: u64,
    pub read: u64,
    /// Of those, by way of the cache: the pages that were read for them.
    pub pages: u64,
    pub footers: u64,
    pub parts: u64,
    pub spoiled: u64,
    pub poisoned: u64,
    pub full: u64,
}

impl Stats {
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            acked: self.acked + other.acked,
            crashes: self.crashes + other.crashes,
            retired: self.retired + other.retired,
            copied_bytes: self.copied_bytes + other.copied_bytes,
            read: self.read + other.read,
            pages: self.pages + other.pages,
            footers: self.footers + other.footers,
            parts: self.parts + other.parts,
            spoiled: self.spoiled + other.spoiled,
            poisoned: self.poisoned + other.poisoned,
            full: self.full + other.full,
        }
    }
}

pub struct World {
    pub(super) seed: u64,
    id: LogId,
    pub(super) rng: Rng,
    pub(super) disk: SimDisk,
    pub(super) log: Log,
    pub(super) model: Model,
    pub(super) now: Mono,
    pub(super) stats: Stats,
    options: Options,
    settings: LogSettings,
    next_stream: u64,
    next_group: u64,
    reads: Vec<(OpId, StreamId)>,
    /// Reads of pages, and the message each was for.
    pages: Vec<(OpId, StreamId, Seq)>,
    /// Answers to duplicates: the message, and what the answer waits for.
    duplicates: Vec<(StreamId, Seq, Lsn)>,
    /// Blocks of footers as they once were.
    old_blocks: Vec<(SlotId, u32, Vec<u8>)>,
}

const SUBJECTS: [&[u8]; 5] = [b"a", b"a.b", b"orders.eu.1", b"orders.us.22", b"kv.some-longer-key"];

impl World {
    pub fn run(seed: u64, options: Options) -> Stats {
        let mut world = Self::new(seed, LogId(7), options);
        for _ in 0..options.crashes {
            for _ in 0..options.steps {
                world.step();
            }
            world.crash();
        }
        world.stop();
        world.stats
    }

    /// Fills a log, stops it in order or not, and flips `count` bits of its files in turn.
    pub fn flips(seed: u64, count: u64) -> FlipStats {
        let options = Options { steps: 900, crashes: 0, sync: SyncMode::Always, faults: false };
        let mut world = Self::new(seed, LogId(7), options);
        for _ in 0..options.steps {
            world.step();
        }
        world.stop();
        // Live records in the head, too: some are only in an unsealed segment.
        for _ in 0..150 {
            world.step();
        }
        world.settle_down();
        world.now = world.now.plus(300_000_000);
        world.log.on_tick(world.now);
        world.settle_down();
        flip_bits(&world.disk, world.id, world.settings, count, &mut world.rng)
    }

    pub fn new(seed: u64, id: LogId, options: Options) -> Self {
        let settings = LogSettings {
            sync: options.sync,
            segment_bytes_min: 32 * 1024,
            segment_bytes_max: 64 * 1024,
            batch_bytes_max: 16 * 1024,
            gather_bytes_max: 96 * 1024,
            // Without one reads come close to what is being written.
            tail_cache_bytes: if seed.is_multiple_of(2) { 24 * 1024 } else { 0 },
            read_cache_bytes: 48 * 1024,
            read_page_bytes: 8 * 1024,
            compaction_window_bytes: 24 * 1024,
            compaction_read_bytes: 16 * 1024,
            copy_batch_bytes: 8 * 1024,
            spare_slots: 2,
            tidy_interval_ns: 500_000,
            sort_delay_ns: 2_000_000,
            swept_at_once: 8,
            footer_parts: PartLimits { bytes: 8192, batch_bytes: 10 * 1024 },
            hash_seed: seed,
        };
        let mut world = Self {
            seed,
            id,
            rng: Rng::new(seed),
            disk: SimDisk::new(seed ^ 0xd15c),
            log: Log::new(id, settings),
            model: Model::default(),
            now: Mono(1),
            stats: Stats::default(),
            options,
            settings,
            next_stream: 1,
            next_group: 1,
            reads: Vec::new(),
            pages: Vec::new(),
            duplicates: Vec::new(),
            old_blocks: Vec::new(),
        };
        for _ in 0..3 {
            world.add_stream();
        }
        world
    }

    fn add_stream(&mut self) {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        let first_seq = Seq(1);
        self.model.streams.insert(id, ModelStream { first_seq, ..ModelStream::default() });
    }

    pub(super) fn step(&mut self) {
        self.now = self.now.plus(self.rng.below(400_000));
        match self.rng.below(100) {
            0..34 => self.publish(),
            34..37 => self.publish_group(),
            37..38 => self.skip(),
            38..42 => self.publish_duplicate(),
            42..48 => self.delete(),
            48..52 => self.trim(),
            52..53 => self.purge(),
            53..57 => self.change_key(),
            57..58 => self.replace_stream(),
            58..64 => self.read(),
            64..65 => self.now = self.now.plus(300_000_000),
            65..67 => self.trouble(),
            _ => self.finish_io(),
        }
        if !self.rng.one_in(3) {
            self.log.on_turn_end(self.now);
        }
        if self.log.wake_at() <= self.now {
            self.log.on_tick(self.now);
        }
        self.deliver();
    }

    fn trouble(&mut self) {
        if !self.options.faults || !self.rng.one_in(4) {
            return;
        }
        match self.rng.below(8) {
            0 => self.disk.flush_fault = FlushFault::Once,
            1 => self.disk.flush_fault = FlushFault::ForEver,
            2..6 => self.disk.capacity = self.disk.used() + self.rng.below(40_000),
            _ => self.disk.capacity = u64::MAX,
        }
    }

    fn pick_stream(&mut self) -> StreamId {
        let alive: Vec<StreamId> = self
            .model
            .streams
            .iter()
            .filter(|(_, stream)| stream.dropped.is_none())
            .map(|(id, _)| *id)
            .collect();
        alive[self.rng.below(alive.len() as u64) as usize]
    }

    fn make_message(&mut self) -> ModelMessage {
        let len = match self.rng.below(20) {
            0 => self.rng.below(20_000),
            1..4 => self.rng.below(4_000),
            _ => self.rng.below(300),
        };
        let mut payload = vec![0; len as usize];
        self.rng.fill(&mut payload);
        let headers = match self.rng.one_in(4) {
            true => b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n".to_vec(),
            false => Vec::new(),
        };
        let subject = SUBJECTS[self.rng.below(SUBJECTS.len() as u64) as usize].to_vec();
        let lsn = Lsn(0);
        ModelMessage { subject, headers, payload, lsn, is_known: false, removal: None, group: None }
    }

    fn append(&mut self, stream: StreamId, mut made: Vec<ModelMessage>) {
        let last = self.model.streams[&stream].last_seq;
        let gap = if self.rng.one_in(12) { self.rng.below(600) } else { 0 };
        let messages: Vec<Message<'_>> = made
            .iter()
            .zip(last.0 + 1 + gap..)
            .map(|(message, seq)| message.as_stored(stream, Seq(seq), self.now.0))
            .collect();
        let urgency = if self.rng.one_in(8) { Urgency::RideAlong } else { Urgency::Now };
        let Ok(lsn) = self.log.append_all(&messages, urgency, self.now) else { return };
        let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
        model.last_seq = Seq(last.0 + gap);
        for message in &mut made {
            message.lsn = lsn;
            model.last_seq = model.last_seq.next();
            model.messages.insert(model.last_seq, message.clone());
        }
    }

    fn publish(&mut self) {
        let stream = self.pick_stream();
        let message = self.make_message();
        self.append(stream, vec![message]);
    }

    fn publish_group(&mut self) {
        let stream = self.pick_stream();
        let group = Some(self.next_group);
        self.next_group += 1;
        let len = 2 + self.rng.below(4);
        let made = (0..len).map(|_| ModelMessage { group, ..self.make_message() }).collect();
        self.append(stream, made);
    }

    /// A publisher repeats itself: it may be told of the original once that is settled.
    fn publish_duplicate(&mut self) {
        let stream = self.pick_stream();
        let model = &self.model.streams[&stream];
        let Some((seq, message)) = model.messages.iter().next_back() else { return };
        let (seq, lsn) = (*seq, message.lsn);
        if is_mutated(Mutation::DuplicateAnsweredEarly) {
            let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
            model.messages.get_mut(&seq).expect("it is the last").is_known = true;
        } else {
            self.duplicates.push((stream, seq, lsn));
        }
    }

    fn delete(&mut self) {
        let stream = self.pick_stream();
        let model = &self.model.streams[&stream];
        let all: Vec<Seq> = model.messages.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let len = 1 + self.rng.below(6);
        let seqs: Vec<Seq> =
            (0..len).map(|_| all[self.rng.below(all.len() as u64) as usize]).collect();
        let erase = self.rng.one_in(60);
        let urgency = if seqs.len() % 3 == 2 { Urgency::RideAlong } else { Urgency::Now };
        self.remove(stream, &seqs, |log, now| log.delete(stream, &seqs, erase, urgency, now));
    }

    fn purge(&mut self) {
        let stream = self.pick_stream();
        let Some(index) = self.log.stream(stream) else { return };
        let pattern = Pattern::parse(if self.rng.one_in(2) { b"orders.>" } else { b"*.b" });
        let keep = self.rng.below(4) as usize;
        let below = Seq(self.rng.below(index.last_seq().0 + 2));
        let seqs = index.purge_list(pattern, below, keep);
        self.remove(stream, &seqs, |log, now| {
            log.purge(stream, pattern, below, keep, now).map(|(_, lsn)| lsn)
        });
    }

    fn remove(
        &mut self,
        stream: StreamId,
        seqs: &[Seq],
        act: impl FnOnce(&mut Log, Mono) -> Result<Lsn, Refusal>,
    ) {
        let result = act(&mut self.log, self.now);
        // A refusal may come halfway: then nobody knows.
        let lsn = result.unwrap_or(Lsn(u64::MAX));
        let first = self.log.stream(stream).map(|index| index.first_seq());
        let Some(model) = self.model.streams.get_mut(&stream) else { return };
        for seq in seqs {
            if let Some(message) = model.messages.get_mut(seq) {
                message.removal = Some(message.removal.map_or(lsn, |old| old.min(lsn)));
            }
        }
        if let Some(first) = first {
            model.trims.push((lsn, first));
        }
    }

    fn trim(&mut self) {
        let stream = self.pick_stream();
        let Some(index) = self.log.stream(stream) else { return };
        let span = index.last_seq().0 + 2 - index.first_seq().0.min(index.last_seq().0);
        let first = match self.rng.below(4) {
            0 => Seq(index.first_seq().0 + self.rng.below(span)),
            _ => Seq(index.first_seq().0 + self.rng.below(span.min(8))),
        };
        let urgency = if first.0.is_multiple_of(3) { Urgency::RideAlong } else { Urgency::Now };
        let Ok(lsn) = self.log.trim(stream, first, urgency, self.now) else { return };
        let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
        for (_, message) in model.messages.range_mut(..first) {
            message.removal = Some(message.removal.map_or(lsn, |old| old.min(lsn)));
        }
        model.trims.push((lsn, first));
        model.skips.push((lsn, first.previous()));
        model.last_seq = model.last_seq.max(first.previous());
    }

    /// Sequences are left out; told to nobody before it is settled.
    fn skip(&mut self) {
        let stream = self.pick_stream();
        let Some(index) = self.log.stream(stream) else { return };
        let last = Seq(index.last_seq().0 + self.rng.below(20));
        if let Ok(lsn) = self.log.skip(stream, last, self.now) {
            let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
            model.last_seq = model.last_seq.max(last);
            model.skips.push((lsn, last));
        }
    }

    fn change_key(&mut self) {
        let stream = self.pick_stream();
        let key = [b'a' + self.rng.below(4) as u8];
        let mut value = vec![0; self.rng.below(200) as usize];
        self.rng.fill(&mut value);
        let kind = match self.rng.below(6) {
            0..2 => KeyChangeKind::Set,
            2 => KeyChangeKind::Drop,
            _ => KeyChangeKind::Add,
        };
        let urgency = if self.rng.one_in(2) { Urgency::RideAlong } else { Urgency::Now };
        let result = match kind {
            KeyChangeKind::Set => self.log.put_state(stream, &key, &value, urgency, self.now),
            KeyChangeKind::Add => self.log.put_delta(stream, &key, &value, urgency, self.now),
            KeyChangeKind::Drop => self.log.drop_key(stream, &key, self.now),
        };
        let Ok(lsn) = result else { return };
        let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
        let key = model.keys.entry(key.to_vec()).or_default();
        key.changes.push(KeyChange { lsn, kind, value });
    }

    fn replace_stream(&mut self) {
        let stream = self.pick_stream();
        let Ok(lsn) = self.log.drop_stream(stream, self.now) else { return };
        let model = self.model.streams.get_mut(&stream).expect("it was picked from the model");
        model.dropped = Some(lsn);
        self.add_stream();
    }

    /// A reader: whatever it sees must stay.
    fn read(&mut self) {
        let stream = self.pick_stream();
        let last = self.log.visible_seq(stream);
        let seq = match self.rng.one_in(2) {
            true => last,
            false => Seq(self.rng.below(last.0 + 2)),
        };
        match self.log.find(stream, seq) {
            Ok(Found::InMemory(message)) => {
                let message = super::check::owned(&message);
                self.seen(stream, seq, &message);
            }
            Ok(Found::OnDisk(entry)) if self.rng.one_in(2) => self.read_page(stream, &entry),
            Ok(Found::OnDisk(_)) => {
                if let Ok(Some(op)) = self.log.read(stream, seq, 1 << 14) {
                    self.reads.push((op, stream));
                }
            }
            Ok(Found::Absent) => {}
            Err(error) => panic!("seed {}: {stream:?} {seq:?}: {error:?}", self.seed),
        }
    }

    pub(super) fn finish_io(&mut self) {
        let Some(outcome) = self.disk.finish_one() else { return };
        tell(&mut self.log, outcome, self.now);
    }

    /// Effects to the disk, events to the clients.
    pub(super) fn deliver(&mut self) {
        for effect in self.log.take_effects() {
            self.disk.push(effect);
        }
        while let Some(event) = self.log.take_event() {
            match event {
                Event::ReadDone(op) => self.read_done(op),
                Event::Damaged(damage) => panic!("seed {}: {damage:?}", self.seed),
                Event::Poisoned(_) => self.stats.poisoned += 1,
                Event::Full => self.stats.full += 1,
                Event::Durable | Event::Room | Event::Retired(_) => {}
            }
        }
        let settled = self.log.settled();
        self.model.settle(settled);
        for (stream, seq, lsn) in std::mem::take(&mut self.duplicates) {
            if lsn > settled {
                self.duplicates.push((stream, seq, lsn));
            }
        }
    }

    /// A reader of one message, and whoever asks for its neighbours.
    fn read_page(&mut self, stream: StreamId, entry: &Entry) {
        let Some(page) = self.log.page_of(entry) else { return };
        if let Ok(op) = self.log.read_page(page) {
            self.pages.push((op, stream, entry.seq));
        }
    }

    /// What a page brought, and what of it is still to be seen by now.
    fn page_done(&mut self, stream: StreamId, seq: Seq) {
        self.stats.pages += 1;
        for seq in (seq.0.saturating_sub(3)..seq.0 + 4).map(Seq) {
            match self.log.find(stream, seq) {
                Ok(Found::InMemory(message)) => {
                    let message = super::check::owned(&message);
                    self.seen(stream, seq, &message);
                }
                Ok(Found::OnDisk(_) | Found::Absent) => {}
                Err(error) => panic!("seed {}: {stream:?} {seq:?}: {error:?}", self.seed),
            }
        }
        let (bytes, bytes_max) =
            (self.log.figures().read_cache_bytes, self.settings.read_cache_bytes);
        assert!(bytes <= bytes_max, "seed {}: {bytes} of {bytes_max} cached", self.seed);
    }

    fn read_done(&mut self, op: OpId) {
        if let Some(at) = self.pages.iter().position(|(read, ..)| *read == op) {
            let (_, stream, seq) = self.pages.swap_remove(at);
            if let Some(failed) = self.log.take_read(op) {
                panic!("seed {}: page of {stream:?} {seq:?}: {:?}", self.seed, failed.err());
            }
            return self.page_done(stream, seq);
        }
        let Some(run) = self.log.take_read(op) else { return };
        let Some(at) = self.reads.iter().position(|(read, _)| *read == op) else { return };
        let (_, stream) = self.reads.swap_remove(at);
        let run = match run {
            Ok(run) => run,
            Err(error) => panic!("seed {}: read of {stream:?}: {error:?}", self.seed),
        };
        for entry in run.entries() {
            match run.message(entry) {
                Ok(message) => {
                    let message = super::check::owned(&message);
                    self.seen(stream, entry.seq, &message);
                }
                Err(error) => panic!("seed {}: {stream:?} {entry:?}: {error:?}", self.seed),
            }
        }
    }

    /// The process or the power goes, and comes back; perhaps more than once.
    pub(super) fn crash(&mut self) {
        self.stats.crashes += 1;
        self.count();
        let (settled, durable) = (self.model.settled, self.log.durable());
        let is_synced = self.options.sync == SyncMode::Always;
        let footers = self.log.footers();
        let mut power_went = false;
        loop {
            if self.rng.one_in(3) {
                self.disk.kill();
            } else {
                self.disk.power_cut();
                power_went = true;
            }
            self.disk.flush_fault = FlushFault::Never;
            self.disk.capacity = u64::MAX;
            self.spoil_footers(&footers);
            self.recover();
            if !self.rng.one_in(4) {
                break;
            }
            // Again, before or while what was found is flushed.
            for _ in 0..self.rng.below(3) {
                self.finish_io();
                self.deliver_effects();
            }
        }
        // Acks before the flush survive the process, not the power.
        let bound = if is_synced || !power_went { settled } else { durable };
        self.model.crash(bound, is_synced || !power_went);
        self.check();
    }

    /// Parts of footers are damaged, blank, or as they once were: that costs a scan, nothing else.
    /// `footers`: where they lie.
    fn spoil_footers(&mut self, footers: &[(SlotId, u32, u32)]) {
        if footers.is_empty() || !self.rng.one_in(3) {
            return;
        }
        for _ in 0..1 + self.rng.below(3) {
            let (slot, from, to) = footers[self.rng.below(footers.len() as u64) as usize];
            let block = self.rng.below(u64::from(to - from) / BLOCK as u64) as u32;
            let offset = from + block * BLOCK as u32;
            let Ok(was) = self.disk.read(slot, offset, BLOCK as u32) else { continue };
            let was = was.to_vec();
            let mut bytes = was.clone();
            match self.rng.below(4) {
                0 => bytes[self.rng.below(BLOCK as u64) as usize] ^= 1 << self.rng.below(8),
                1 => bytes.fill(0),
                2 => self.rng.fill(&mut bytes),
                _ => {
                    let known = self.old_blocks.iter().rev();
                    let mut old = known.filter(|(of, at, _)| (*of, *at) == (slot, offset));
                    if let Some((_, _, old)) = old.next() {
                        bytes.clone_from(old);
                    }
                }
            }
            self.stats.spoiled += u64::from(bytes != was);
            self.disk.spoil(slot, offset, &bytes);
            self.old_blocks.push((slot, offset, was));
        }
    }

    fn recover(&mut self) {
        let mut recovery = Recovery::new(self.id, self.settings, self.disk.files());
        while let Step::Read { slot, offset, len } = recovery.step() {
            match self.disk.read(slot, offset, len) {
                Ok(bytes) => recovery.on_read(Ok(&bytes)),
                Err(fault) => recovery.on_read(Err(fault)),
            }
        }
        let (log, report) = recovery.finish();
        self.stats.footers += report.footers as u64;
        self.stats.parts += report.parts as u64;
        let lost = report
            .damages
            .iter()
            .find(|damage| damage.certainty == crate::storage::Certainty::Lost);
        assert!(lost.is_none(), "seed {}: nothing was damaged, yet {lost:?}", self.seed);
        self.log = log;
        self.reads.clear();
        self.pages.clear();
        self.duplicates.clear();
        self.deliver_effects();
    }

    fn deliver_effects(&mut self) {
        for effect in self.log.take_effects() {
            self.disk.push(effect);
        }
    }

    fn count(&mut self) {
        let counters = self.log.counters();
        self.stats.retired += counters.segments_retired;
        self.stats.copied_bytes += counters.copied_bytes;
    }

    /// Runs the disk until nothing is under way.
    pub(super) fn settle_down(&mut self) {
        for _ in 0..100_000 {
            self.deliver();
            if self.disk.pending() == 0 {
                return;
            }
            self.finish_io();
        }
        panic!("seed {}: the log never comes to rest", self.seed);
    }

    /// An orderly stop, and a start that must find everything.
    pub(super) fn stop(&mut self) {
        self.disk.flush_fault = FlushFault::Never;
        self.disk.capacity = u64::MAX;
        for _ in 0..100 {
            self.now = self.now.plus(300_000_000);
            self.log.on_tick(self.now);
            self.settle_down();
            if self.log.stop(self.now) {
                break;
            }
        }
        self.settle_down();
        if self.log.health() == Health::Running {
            assert_eq!(self.log.durable(), self.log.appended(), "seed {}", self.seed);
        }
        self.crash();
    }
}

/// Tells the log what its disk has done.
pub fn tell(log: &mut Log, outcome: Outcome, now: Mono) {
    match outcome {
        Outcome::Written(op) => log.on_written(op, now),
        Outcome::Synced(op) => log.on_synced(op, now),
        Outcome::Prepared(op) => log.on_prepared(op, now),
        Outcome::Read(op, bytes) => log.on_read(op, bytes, now),
        Outcome::Fault(op, fault) => log.on_fault(op, fault, now),
    }
}
