//! Shards, sockets and clients in one thread, on invented time, driven by one seed.
//!
//! A shard runs the broker's own turn. When it has nothing to do it parks as a core does, and
//! then runs only if its socket has something, a peer's `take_wakes` names it, or a deadline is
//! due: a lost wake-up shows as a message that never comes. In the middle of a turn others may
//! act, whole turns of other shards among them ([`World::others_act`]).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::client::{Client, READER};
use super::history::{History, NEVER, Step};
use super::plan::{Plan, Scenario};
use super::random::Random;
use super::socket::{End, Pipe, Sockets, TurnSockets};
use super::trace::Trace;
use crate::mesh::{MeshSettings, Port, mesh};
use crate::shard::effects::Wish;
use crate::shard::moving::carriages;
use crate::shard::placement::Policy;
use crate::shard::snapshot::{Answer, ConnectionQuery, ConnectionState, Query};
use crate::shard::turn::turn;
use crate::shard::{Opened, Shard, ShardSeed};
use crate::types::time::{MILLISECOND, Mono, Now, SECOND, Wall};
use crate::types::{ClientId, CloseReason, ShardId};

/// How deep turns of other shards nest within one.
const DEPTH_MAX: u32 = 3;
/// Rounds in which everything must come to rest.
const ROUNDS_MAX: usize = 20_000;
/// In rest, deadlines further away than this (pings) are not waited for.
const REST_NS: u64 = 200 * MILLISECOND;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sleep {
    Awake,
    /// It said that it is about to sleep, and has not looked again yet.
    Parking,
    Asleep,
}

pub struct Core {
    pub shard: Shard,
    port: Port,
    sockets: Sockets,
    sleep: Sleep,
    wish: Wish,
}

pub struct World {
    pub plan: Plan,
    pub random: Random,
    pub now: Now,
    step: Step,
    /// `None` while its turn runs.
    pub cores: Vec<Option<Core>>,
    /// Wake-ups that were sent, and connections that were accepted, by shard.
    signals: Vec<bool>,
    /// Until when the machine runs something else on a shard's core.
    preempted: Vec<Step>,
    arrivals: Vec<Vec<usize>>,
    pub pipes: Vec<Pipe>,
    pub clients: Vec<Client>,
    pub history: History,
    pub trace: Trace,
    /// The first broken rule.
    pub failure: Option<String>,
    pub turns: u64,
    /// Connections that came to another core.
    pub moved: u64,
    depth: u32,
}

impl World {
    pub fn new(plan: Plan, mut random: Random) -> Self {
        let ports = mesh(plan.shards, MeshSettings { lane_slots: plan.lane_slots });
        let hash = random.next();
        let mut carriages = carriages(plan.shards).into_iter();
        let cores = ports.into_iter().enumerate().map(|(index, port)| {
            let seed = ShardSeed {
                id: ShardId(index as u16),
                shards: plan.shards,
                random: random.next(),
                hash,
                cache_enabled: plan.cache_enabled,
                tuning: plan.tuning,
            };
            let mut shard = Shard::new(&seed, Arc::clone(&plan.settings));
            // Chance moves connections here, not the policy.
            let policy = Policy { is_on: false, interval_ns: MILLISECOND, rate_min: 0 };
            let carriage = carriages.next().expect("one for each core");
            shard.set_carriage(carriage, policy);
            let (sockets, sleep, wish) = (Sockets::default(), Sleep::Awake, Wish::Never);
            Some(Core { shard, port, sockets, sleep, wish })
        });
        let mut world = Self {
            cores: cores.collect(),
            signals: vec![false; plan.shards],
            preempted: vec![0; plan.shards],
            arrivals: vec![Vec::new(); plan.shards],
            plan,
            random,
            now: Now { mono: Mono(SECOND), wall: Wall(SECOND) },
            step: 0,
            pipes: Vec::new(),
            clients: Vec::new(),
            history: History::default(),
            trace: Trace::default(),
            failure: None,
            turns: 0,
            moved: 0,
            depth: 0,
        };
        (0..world.plan.clients).for_each(|_| world.connect());
        if world.plan.scenario == Scenario::LiveReader {
            world.subscribe(READER, ">", None);
        }
        world
    }

    /// The next moment of the history.
    pub fn tick(&mut self) -> Step {
        self.step += 1;
        self.step
    }

    pub fn fail(&mut self, rule: String) {
        self.failure.get_or_insert(rule);
    }

    /// A client knocks at a random shard.
    fn connect(&mut self) {
        let shard = self.random.below(self.plan.shards);
        let client = self.history.open();
        self.pipes.push(Pipe {
            to_server: Default::default(),
            to_client: Default::default(),
            client_end: End::Open,
            server_closed: false,
        });
        self.clients.push(Client::new(client, shard));
        self.arrivals[shard].push(client);
        self.signals[shard] = true;
        self.trace.note(|| format!("client {client} connects to shard {shard}"));
    }

    /// One random thing happens.
    pub fn step(&mut self) {
        let ns = match self.random.below(50) {
            0 => 50 * self.plan.pace_ns,
            _ => self.random.below(self.plan.pace_ns as usize) as u64,
        };
        self.pass(ns);
        if self.random.below(1000) < self.plan.moving {
            self.move_somebody();
        }
        if self.random.percent(self.plan.eagerness) {
            let living = self.clients.iter().filter(|client| client.is_there()).count();
            if living < self.plan.clients && self.random.percent(10) {
                self.connect();
            } else {
                let client = self.random.below(self.clients.len());
                self.client_acts(client);
            }
        } else {
            let shard = self.random.below(self.cores.len());
            if self.random.percent(20) {
                self.transfer(shard, false);
            } else if self.preempted[shard] <= self.step {
                if self.random.below(1000) < self.plan.preemption {
                    self.preempted[shard] = self.step + self.random.below(100) as Step;
                }
                self.shard_acts(shard);
            }
        }
    }

    /// A connection is to go to another shard.
    fn move_somebody(&mut self) {
        let from = self.random.below(self.cores.len());
        let to = self.random.below(self.cores.len());
        let which = self.random.below(1000);
        if let Some(core) = &mut self.cores[from]
            && to != from
        {
            core.shard.want_move(which, ShardId(to as u16));
            self.signals[from] = true;
        }
    }

    fn pass(&mut self, ns: u64) {
        self.now.mono.0 += ns;
        self.now.wall.0 += ns;
    }

    fn transfer(&mut self, shard: usize, all: bool) -> bool {
        let Some(mut core) = self.cores[shard].take() else { return false };
        let any = core.sockets.transfer(self, all);
        self.cores[shard] = Some(core);
        any
    }

    /// What others do while a shard is in the middle of its turn. `reader` has just been sent
    /// something.
    pub fn others_act(&mut self, reader: Option<usize>) {
        if self.depth >= DEPTH_MAX || !self.random.percent(self.plan.nesting) {
            return;
        }
        self.depth += 1;
        if let Some(client) = reader {
            self.react(client);
        }
        for _ in 0..self.random.between(1, 6) {
            self.step();
        }
        self.depth -= 1;
    }

    /// A client reads what it was just sent, and somebody acts on it at once, on any shard.
    fn react(&mut self, reader: usize) {
        if self.clients[reader].reading {
            self.client_reads(reader, true);
        }
        let other = self.random.below(self.clients.len());
        self.client_acts(other);
        if self.random.percent(70) {
            self.shard_acts(self.clients[other].shard);
        }
    }

    /// A shard runs, parks or sleeps on. Whether it did anything.
    fn shard_acts(&mut self, index: usize) -> bool {
        let Some(core) = &mut self.cores[index] else { return false };
        let due = matches!(core.wish, Wish::At(at) if at <= self.now.mono);
        let called = self.signals[index] || core.sockets.has_work(&self.pipes) || due;
        match core.sleep {
            Sleep::Awake if core.wish == Wish::AtOnce || called => self.run_turn(index),
            Sleep::Awake if self.random.percent(30) => self.run_turn(index),
            Sleep::Awake => {
                core.port.prepare_park();
                core.sleep = Sleep::Parking;
            }
            Sleep::Parking => {
                let sleeps = core.port.may_sleep();
                core.sleep = if sleeps { Sleep::Asleep } else { Sleep::Awake };
            }
            Sleep::Asleep if called => {
                core.port.unpark();
                self.run_turn(index);
            }
            Sleep::Asleep => return false,
        }
        true
    }

    fn run_turn(&mut self, index: usize) {
        let Some(mut core) = self.cores[index].take() else { return };
        self.trace.note(|| format!("shard {index} turn begins"));
        self.signals[index] = false;
        self.turns += 1;
        core.sleep = Sleep::Awake;
        for client in std::mem::take(&mut self.arrivals[index]) {
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let opened = Opened { client: ClientId(client as u64), peer, refused: false };
            core.sockets.open(core.shard.on_opened(opened), client);
        }
        let now = self.now;
        let mut io = TurnSockets { world: self, own: &mut core.sockets };
        core.wish = turn(&mut core.shard, &mut core.port, &mut io, now);
        for peer in core.port.take_wakes().iter() {
            self.signals[peer.index()] = true;
        }
        self.check_bounds(index, &core);
        self.cores[index] = Some(core);
    }

    /// No core has more under way to another than its credit and one message of each connection
    /// (two: the rest of a split one, and one more). No connection is owed more than its limit.
    fn check_bounds(&mut self, index: usize, core: &Core) {
        let frame = 200 + self.plan.padding as u64;
        let slack = frame * 2 * (core.shard.open_connections() as u64 + 1);
        let bound = self.plan.tuning.peer_credit_bytes + slack;
        let most = core.shard.outstanding_most();
        if most > bound {
            self.fail(format!("credit bounds what is under way: {most} of {bound} bytes"));
        }
        let owed = core.shard.owed_most();
        self.trace.note(|| {
            let wish = core.wish;
            format!("shard {index} turn ends: {owed} owed, {most} under way, wishes {wish:?}")
        });
        if owed > self.plan.settings.max_pending {
            self.fail(format!("what is owed is bounded: {owed} bytes"));
        }
    }

    /// Lets everything drain, running only shards that are awake or woken.
    pub fn rest(&mut self) {
        self.trace.note(|| "all come to rest".to_owned());
        self.depth = DEPTH_MAX;
        for round in 0.. {
            if self.failure.is_some() {
                return;
            }
            if round == ROUNDS_MAX {
                return self.fail("everything comes to rest".to_owned());
            }
            if !self.rest_round() && !self.wait_for_deadline() {
                break;
            }
        }
        self.depth = 0;
        let at = self.tick();
        for client in 0..self.clients.len() {
            self.check_rest(client);
        }
        self.check_reasons();
        self.history.rest(at);
    }

    /// The broker says of each connection that ended why: for what its client did, or because it
    /// owed more than its limit, by one unit at most.
    fn check_reasons(&mut self) {
        let state = ConnectionState::Closed;
        let query = Query::Connections(ConnectionQuery { state, ..Default::default() });
        let max = self.plan.settings.max_pending;
        let unit = 200 + self.plan.padding as u64;
        let mut wrong = None;
        for core in self.cores.iter_mut().flatten() {
            self.moved += core.shard.take_moved();
            let Answer::Connections(rows) = core.shard.answer(&query) else { continue };
            wrong = wrong.or(rows.into_iter().find(|row| {
                let reason = row.closed.map(|(_, reason)| reason);
                let at_will = self.history.fates[row.client.0 as usize].quit != NEVER;
                // One that moves may be owed its limit on both sides.
                let over = (max + 1..=2 * max + unit).contains(&row.pending_bytes);
                match reason {
                    Some(CloseReason::SlowConsumerPendingBytes) => !over,
                    _ => !at_will,
                }
            }));
        }
        if let Some(row) = wrong {
            self.fail(format!("connections end for a reason: {row:?}"));
        }
    }

    fn rest_round(&mut self) -> bool {
        let mut any = false;
        for shard in 0..self.cores.len() {
            any |= self.shard_acts(shard);
            any |= self.transfer(shard, true);
        }
        for client in 0..self.clients.len() {
            any |= self.client_drains(client);
        }
        any
    }

    /// Nothing moves: the next stall must end. Whether there is one.
    fn wait_for_deadline(&mut self) -> bool {
        let deadlines = self.cores.iter().flatten().filter_map(|core| match core.wish {
            Wish::At(at) => Some(at),
            _ => None,
        });
        let Some(next) = deadlines.min() else { return false };
        let ns = next.since(self.now.mono);
        if ns > REST_NS {
            return false;
        }
        self.pass(ns);
        true
    }
}
