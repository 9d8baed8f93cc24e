//! One broker as its clients see it: cores of JetStream with their logs, on disks that lose what
//! was not flushed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::jetstream::{
    Gate, GateState, JetStream, PostedQueue, Received, Seed, Site, SubscriptionKey, Target,
};
use crate::storage::{
    Health, Log, LogId, LogSettings, PartLimits, Recovery, Step, SyncMode, load_values,
};
use crate::testing::disk::{FlushFault, Rng, SimDisk};
use crate::testing::log_sim::tell;
use crate::types::pattern::covers;
use crate::types::time::SECOND;
use crate::types::{AccountId, ConnKey, Mono, Now, ShardId, Wall};

/// Bytes that consumers deliver in a turn.
const TURN_BYTES: usize = 64 * 1024;
/// Turns after which a broker at rest is broken.
const TURNS_MAX: usize = 20_000;

/// A message on its way.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub route: Vec<u8>,
    pub subject: Vec<u8>,
    pub reply: Vec<u8>,
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Sent {
    pub fn new(subject: &str, reply: &str, payload: Vec<u8>) -> Self {
        let (subject, reply) = (subject.as_bytes().to_vec(), reply.as_bytes().to_vec());
        Self { route: subject.clone(), subject, reply, headers: Vec::new(), payload }
    }
}

/// Which deliver subjects somebody listens to.
#[derive(Debug, Default)]
pub struct Ears {
    pub open: BTreeSet<Vec<u8>>,
    pub crowded: BTreeSet<Vec<u8>>,
}

#[derive(Debug)]
struct Subscription {
    core: usize,
    key: SubscriptionKey,
    /// Bytes of the pattern before its first wildcard.
    literal: usize,
}

impl Subscription {
    fn takes(&self, route: &[u8]) -> bool {
        let pattern = &self.key.1;
        route.starts_with(&pattern[..self.literal])
            && (self.literal == pattern.len() && route.len() == pattern.len()
                || self.literal < pattern.len() && covers(pattern, route))
    }
}

/// What the cores see of the world.
struct View<'a> {
    subscriptions: &'a [Subscription],
    ears: &'a Ears,
}

impl Gate for View<'_> {
    fn state(&mut self, _: AccountId, route: &[u8]) -> GateState {
        let is_heard = if route.starts_with(b"_INBOX.") {
            true
        } else if route.starts_with(b"$JS.EVENT.") {
            false
        } else {
            self.ears.open.contains(route)
                || self.subscriptions.iter().any(|subscription| subscription.takes(route))
        };
        match is_heard {
            false => GateState::Nobody,
            true if self.ears.crowded.contains(route) => GateState::Crowded,
            true => GateState::Open,
        }
    }
}

/// How a broker ends without being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The process dies; the machine goes on.
    Kill,
    /// What no flush covers is kept, lost or torn.
    PowerCut,
}

pub struct Server {
    cores: Vec<JetStream>,
    /// By log. Log `l` belongs to core `l % cores`.
    disks: Vec<SimDisk>,
    subscriptions: Vec<Subscription>,
    pub ears: Ears,
    ears_moved: bool,
    pub now: Now,
    settings: LogSettings,
    site: Arc<Site>,
    /// What reached clients.
    pub heard: VecDeque<Sent>,
    /// Operations that the disks have finished.
    pub disk_steps: u64,
    posted: PostedQueue,
}

impl Server {
    pub fn new(seed: u64, cores: usize, logs: usize, segment_bytes: u32) -> Self {
        let settings = LogSettings {
            sync: SyncMode::Always,
            segment_bytes_min: segment_bytes,
            segment_bytes_max: segment_bytes * 2,
            batch_bytes_max: 16 * 1024,
            gather_bytes_max: 8 * 1024 * 1024,
            tail_cache_bytes: 8 * 1024,
            read_cache_bytes: 48 * 1024,
            read_page_bytes: 8 * 1024,
            footer_parts: PartLimits { bytes: 8192, batch_bytes: 10 * 1024 },
            compaction_window_bytes: 24 * 1024,
            compaction_read_bytes: 16 * 1024,
            copy_batch_bytes: 8 * 1024,
            spare_slots: 2,
            tidy_interval_ns: 5_000_000,
            sort_delay_ns: 20_000_000,
            swept_at_once: 64,
            hash_seed: seed,
        };
        let mut server = Self {
            cores: Vec::new(),
            disks: (0..logs as u64).map(|log| SimDisk::new(seed ^ log << 40 ^ 0xd15c)).collect(),
            subscriptions: Vec::new(),
            ears: Ears::default(),
            ears_moved: false,
            now: Now { mono: Mono(SECOND), wall: Wall(1_800_000_000 * SECOND) },
            settings,
            site: Arc::new(Site { version: "2.15.1".into(), ..Site::default() }),
            heard: VecDeque::new(),
            disk_steps: 0,
            posted: PostedQueue::default(),
        };
        server.start(cores);
        server
    }

    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    pub fn logs(&self) -> usize {
        self.disks.len()
    }

    pub fn pass(&mut self, ns: u64) {
        self.now.mono.0 += ns;
        self.now.wall.0 += ns;
    }

    /// Recovers the logs and starts so many cores on them.
    fn start(&mut self, cores: usize) {
        let mut seeds: Vec<_> = (0..cores).map(|_| (Vec::new(), Vec::new())).collect();
        for at in 0..self.disks.len() {
            let mut log = recover(at, self.settings, &mut self.disks[at]);
            let now = self.now.mono;
            let disk = &mut self.disks[at];
            let values = load_values(&mut log, |log| -> Result<(), ()> {
                drive(log, disk, now);
                Ok(())
            });
            while log.has_output() && disk.pending() > 0 {
                drive(&mut log, disk, now);
            }
            let (logs, all) = &mut seeds[at % cores];
            logs.push(log);
            all.push(values.unwrap_or_default());
        }
        let site = &self.site;
        let seeds = seeds.into_iter().enumerate().map(|(core, (logs, values))| {
            let seed = Seed { site: Arc::clone(site), shards: cores, logs, values };
            JetStream::new(ShardId(core as u16), seed)
        });
        self.cores = seeds.collect();
        self.subscriptions.clear();
        self.settle();
    }

    /// The broker is gone, and comes back on `cores` cores after `down` nanoseconds.
    pub fn crash(&mut self, end: End, cores: usize, down: u64, rng: &mut Rng) {
        self.heard.clear();
        self.ears = Ears::default();
        self.cores.clear();
        self.disks.iter_mut().for_each(|disk| disk.flush_fault = FlushFault::Never);
        loop {
            for disk in &mut self.disks {
                match end {
                    End::Kill => disk.kill(),
                    End::PowerCut => disk.power_cut(),
                }
            }
            if !rng.one_in(6) {
                break;
            }
            // Again, while what was found is flushed.
            for at in 0..self.disks.len() {
                let disk = &mut self.disks[at];
                let mut log = recover(at, self.settings, disk);
                for _ in 0..rng.below(3) {
                    drive(&mut log, disk, self.now.mono);
                }
            }
        }
        self.now.wall.0 += down;
        self.now.mono = Mono(SECOND + rng.below(SECOND));
        self.start(cores);
    }

    /// An orderly stop: everything is written.
    pub fn stop(&mut self) {
        for core in 0..self.cores.len() {
            let mut view = View { subscriptions: &self.subscriptions, ears: &self.ears };
            self.cores[core].stop(self.now, &mut view);
            self.route(core);
        }
        for _ in 0..TURNS_MAX {
            let now = self.now.mono;
            let mut all = true;
            for core in 0..self.cores.len() {
                self.turn(core);
                for log in self.cores[core].logs() {
                    all &= log.stop(now);
                }
            }
            for disk in 0..self.disks.len() {
                while self.finish_io(disk) {}
            }
            if all {
                return;
            }
            self.pass(1_000_000);
        }
        panic!("the logs are never stopped");
    }

    /// Flushes of a disk fail, until a crash.
    pub fn fail_flushes(&mut self, disk: usize, fault: FlushFault) {
        self.disks[disk].flush_fault = fault;
    }

    /// Somebody listens to a deliver subject, or nobody does any more.
    pub fn listen(&mut self, subject: &[u8], is_heard: bool) {
        match is_heard {
            true => drop(self.ears.open.insert(subject.to_vec())),
            false => drop(self.ears.open.remove(subject)),
        }
        self.ears_moved = true;
    }

    /// Whoever listens there has no room, or has some again.
    pub fn crowd(&mut self, subject: &[u8], is_crowded: bool) {
        match is_crowded {
            true => drop(self.ears.crowded.insert(subject.to_vec())),
            false => drop(self.ears.crowded.remove(subject)),
        }
        self.ears_moved = true;
    }

    /// A client publishes. Whether it met a subscription.
    pub fn send(&mut self, sent: &Sent) -> bool {
        let found = self.subscriptions.iter().filter(|it| it.takes(&sent.route));
        let found: Vec<(usize, Target)> = found.map(|it| (it.core, it.key.2)).collect();
        for &(core, target) in &found {
            let received = Received {
                account: AccountId::GLOBAL,
                origin: (ShardId(core as u16), ConnKey::from_bits(0)),
                subject: &sent.subject,
                route: &sent.route,
                reply: &sent.reply,
                headers: &sent.headers,
                payload: &sent.payload,
            };
            let mut view = View { subscriptions: &self.subscriptions, ears: &self.ears };
            self.cores[core].receive(target, &received, self.now, &mut view);
        }
        self.carry_out();
        !found.is_empty()
    }

    /// A turn of one core. True: something happened.
    pub fn turn(&mut self, core: usize) -> bool {
        if std::mem::take(&mut self.ears_moved) {
            for core in &mut self.cores {
                core.on_interest();
                core.on_room();
            }
        }
        let mut view = View { subscriptions: &self.subscriptions, ears: &self.ears };
        self.cores[core].run(self.now, &mut view, TURN_BYTES);
        let mut moved = self.carry_out();
        moved |= self.route(core);
        let cores = self.cores.len();
        for (at, log) in self.cores[core].logs().iter_mut().enumerate() {
            log.on_tick(self.now.mono);
            for effect in log.take_effects() {
                self.disks[at * cores + core].push(effect);
                moved = true;
            }
        }
        moved
    }

    /// A disk finishes something. False: it has nothing to do.
    pub fn finish_io(&mut self, disk: usize) -> bool {
        let cores = self.cores.len();
        let Some(outcome) = self.disks[disk].finish_one() else { return false };
        self.disk_steps += 1;
        let log = &mut self.cores[disk % cores].logs()[disk / cores];
        tell(log, outcome, self.now.mono);
        true
    }

    /// Turns until nothing happens, while no time passes.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            let mut moved = false;
            for core in 0..self.cores.len() {
                moved |= self.turn(core);
            }
            for disk in 0..self.disks.len() {
                while self.finish_io(disk) {
                    moved = true;
                }
            }
            quiet = if moved || self.is_due() { 0 } else { quiet + 1 };
            if quiet == 3 {
                return;
            }
        }
        let wakes: Vec<_> = self.cores.iter().map(JetStream::wake_at).collect();
        panic!("the broker never comes to rest: {:?}, {wakes:?}", self.now);
    }

    fn is_due(&self) -> bool {
        self.cores.iter().any(|core| core.wake_at() <= self.now.mono)
    }

    /// Changes of subscriptions, and letters from core to core.
    fn carry_out(&mut self) -> bool {
        let mut moved = false;
        loop {
            let mut is_quiet = true;
            for core in 0..self.cores.len() {
                for change in self.cores[core].take_subscription_changes() {
                    is_quiet = false;
                    self.subscriptions.retain(|it| it.core != core || it.key != change.key);
                    if change.wanted {
                        let key = change.key;
                        let wild = key.1.iter().position(|byte| matches!(byte, b'*' | b'>'));
                        let literal = wild.unwrap_or(key.1.len());
                        self.subscriptions.push(Subscription { core, key, literal });
                    }
                }
                for (to, bytes) in self.cores[core].take_letters() {
                    is_quiet = false;
                    let mut view = View { subscriptions: &self.subscriptions, ears: &self.ears };
                    let from = ShardId(core as u16);
                    self.cores[to.index()].on_letter(from, &bytes, self.now, &mut view);
                }
            }
            if is_quiet {
                return moved;
            }
            moved = true;
        }
    }

    /// What a core published goes to clients.
    fn route(&mut self, core: usize) -> bool {
        let mut moved = false;
        let mut posted = std::mem::take(&mut self.posted);
        while self.cores[core].take_posted(&mut posted) {
            moved = true;
            while let Some(message) = posted.first() {
                if !message.route.starts_with(b"$JS.EVENT.") {
                    let (headers, payload) = message.body.split_at(message.header_len);
                    self.heard.push_back(Sent {
                        route: message.route.to_vec(),
                        subject: message.subject.to_vec(),
                        reply: message.reply.to_vec(),
                        headers: headers.to_vec(),
                        payload: payload.to_vec(),
                    });
                }
                posted.pop();
            }
        }
        self.posted = posted;
        moved
    }
}

fn recover(at: usize, settings: LogSettings, disk: &mut SimDisk) -> Log {
    let mut recovery = Recovery::new(LogId(at as u32), settings, disk.files());
    while let Step::Read { slot, offset, len } = recovery.step() {
        match disk.read(slot, offset, len) {
            Ok(bytes) => recovery.on_read(Ok(&bytes)),
            Err(fault) => recovery.on_read(Err(fault)),
        }
    }
    let (log, report) = recovery.finish();
    let lost = report.damages.iter().find(|it| it.certainty == crate::storage::Certainty::Lost);
    assert!(lost.is_none(), "nothing was damaged, yet {lost:?}");
    log
}

/// Effects to the disk, and one thing done there.
fn drive(log: &mut Log, disk: &mut SimDisk, now: Mono) {
    if log.health() != Health::Starting {
        log.on_tick(now);
    }
    log.take_effects().into_iter().for_each(|effect| disk.push(effect));
    if let Some(outcome) = disk.finish_one() {
        tell(log, outcome, now);
    }
}
