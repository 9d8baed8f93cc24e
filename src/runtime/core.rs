//! One core: a turn after the other while there is work, and sleep without losing a wake-up.
//!
//! A core sleeps in its own ring, where completions, deadlines and an eventfd wake it; that costs
//! a fraction of parking the executor. glommio's reactor gets a pass ten times a second: nothing
//! on the message path lives in it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use glommio::timer::Timer;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, warn};

use super::clock::{self, Clock};
use super::control::{Clerk, Prover};
use super::devices::Devices;
use super::disk::Disk;
use super::ring::{self, Ladder, Ring};
use super::sockets::{IGNORED, Sockets};
use super::syscalls::EventFd;
use super::watch::{Spent, Watch};
use crate::config::Spin;
use crate::connection::Settings;
use crate::mesh::Port;
use crate::shard::effects::Wish;
use crate::shard::services::{SystemAnswer, SystemRequest};
use crate::shard::snapshot::{Answer, Query};
use crate::shard::survey::Survey;
use crate::shard::turn::turn;
use crate::shard::{Opened, Shard};
use crate::types::limits::{CLOSE_LOGS_NS_MAX, REACTOR_PASS_NS};
use crate::types::time::{Mono, Now, SECOND};
use crate::types::{CloseReason, ConnKey};

/// What the control thread can ask of a core.
pub enum Request {
    /// A connection for this core.
    Adopt(OwnedFd, Opened),
    Ask(Query, oneshot::Sender<Answer>),
    /// New settings; `true`: clients are told by INFO.
    Settings(Arc<Settings>, bool),
    /// The answer to a login's proof.
    Proved(ConnKey, bool),
    /// The answer to a request that concerns all cores.
    Answered(Box<(SystemRequest, SystemAnswer)>),
    /// Close so many connections, for this reason.
    Shed(usize, CloseReason),
    /// Answer when the other cores can know what this one listens to.
    Announce(oneshot::Sender<()>),
    /// Read no more; answer when a turn has ended with nothing left to settle.
    Settle(oneshot::Sender<()>),
    /// Close all, send what is owed for a moment, close the logs, and end.
    Stop,
}

/// All that a core is made of, gathered before its thread starts.
pub struct Core {
    pub shard: Shard,
    /// In the order of the shard's logs.
    pub disks: Vec<Disk>,
    pub port: Port,
    pub requests: mpsc::Receiver<Request>,
    /// Where logins are checked.
    pub prover: Prover,
    /// Who answers what concerns all cores.
    pub clerk: Clerk,
    /// By shard: what wakes it. The own one is read here.
    pub wakers: Arc<[EventFd]>,
    /// Connections of this core, as placement counts them.
    pub load: Arc<super::control::Load>,
    pub clock: Clock,
    pub ladder: Ladder,
    /// How long an idle core watches memory before it sleeps.
    pub spin: Spin,
}

/// After a stop, what clients are owed is sent for so long.
const STOP_NS: u64 = SECOND;
/// Long enough to make the executor look at its reactor.
const REACTOR_PASS: Duration = Duration::from_micros(1);

/// Runs a core until it is stopped. To be called in its executor.
pub async fn run(core: Core) {
    let shard = core.shard.id();
    match Driver::new(core) {
        Ok(driver) => driver.run().await,
        Err(fault) => {
            error!(fatal = true, "core {shard} cannot start its io_uring: {fault}");
            std::process::exit(1);
        }
    }
}

struct Driver {
    core: Core,
    devices: Devices,
    /// A timeout is with the kernel that ends a sleep at this time.
    timeout_at: Mono,
    /// Questions under way, and who asked; as many as pages are made at once, or little more.
    surveys: VecDeque<(Survey, oneshot::Sender<Answer>)>,
    /// Waiting until the other cores can know what this one listens to.
    heralds: Vec<oneshot::Sender<()>>,
    /// Waiting for the logs.
    settlers: Vec<oneshot::Sender<()>>,
    /// Since when the core is stopping.
    stopping: Option<Mono>,
}

impl Driver {
    fn new(mut core: Core) -> io::Result<Self> {
        let ring = Ring::new(core.ladder)?;
        let wakers = Arc::clone(&core.wakers);
        let sockets = Sockets::new(ring, Arc::clone(&core.load), wakers, core.shard.id());
        let devices = Devices::new(sockets, std::mem::take(&mut core.disks));
        let timeout_at = Mono(0);
        let (surveys, heralds, settlers) = (VecDeque::new(), Vec::new(), Vec::new());
        Ok(Self { core, devices, timeout_at, surveys, heralds, settlers, stopping: None })
    }

    async fn run(mut self) {
        let mut reactor_at = Mono(0);
        let mut watch = Watch::new(self.core.spin);
        // The end of a turn is the beginning of the next, unless the core sleeps in between. The
        // wall clock is read at each reactor pass, and told from the other in between.
        let mut ended = None;
        loop {
            let now = ended.take().unwrap_or_else(|| self.core.clock.now());
            // The last turn can be long ago.
            self.core.shard.tell_time(now);
            self.take_requests();
            self.survey();
            let Core { shard, port, .. } = &mut self.core;
            self.devices.begin_turn(now.mono);
            let wish = turn(shard, port, &mut self.devices, now);
            self.answer_heralds();
            self.answer_settlers();
            let is_stopped = self.is_stopped(now.mono);
            let wish = wish.min(self.devices.finish_turn(&mut self.core.shard));
            let has_sent = self.core.shard.latencies.is_begun();
            let has_worked = has_sent || self.devices.sockets.was_active();
            if has_worked {
                watch.on_event(now.mono, || self.spent());
            }
            if has_worked || wish == Wish::AtOnce {
                let mono = self.core.clock.mono();
                self.core.shard.end_turn(mono);
                ended = Some(Now { mono, wall: now.wall_at(mono) });
            }
            self.devices.on_handed_over(ended.unwrap_or(now).mono);
            let port = &mut self.core.port;
            for peer in port.take_wakes().iter() {
                self.core.wakers[peer.index()].signal();
            }
            if is_stopped {
                return;
            }
            if now.mono.since(reactor_at) > REACTOR_PASS_NS {
                // The executor's own reactor lives while its only task lets go of it.
                Timer::new(REACTOR_PASS).await;
                reactor_at = now.mono;
                ended = None;
            }
            let due = matches!(wish, Wish::At(at) if at <= now.mono);
            let is_asked = !self.surveys.is_empty();
            if has_worked || is_asked || wish == Wish::AtOnce || due {
                continue;
            }
            if watch.goes_on(now.mono) {
                std::hint::spin_loop();
            } else {
                self.park(wish, now.mono);
                ended = None;
            }
        }
    }

    fn spent(&self) -> Spent {
        Spent { cpu_ns: clock::thread_cpu_ns(), messages: self.core.shard.messages() }
    }

    /// A slice of one answer in each turn. Those who ask take turns too.
    fn survey(&mut self) {
        // Who waits no more needs no answer.
        self.surveys.retain(|(_, reply)| !reply.is_closed());
        let Some((mut survey, reply)) = self.surveys.pop_front() else { return };
        let shard = &mut self.core.shard;
        if shard.survey(&mut survey) {
            let _ = reply.send(shard.conclude(survey));
        } else {
            self.surveys.push_back((survey, reply));
        }
    }

    fn take_requests(&mut self) {
        self.core.prover.take_on(&mut self.core.shard);
        self.core.clerk.take_on(&mut self.core.shard);
        while let Ok(request) = self.core.requests.try_recv() {
            let shard = &mut self.core.shard;
            match request {
                Request::Adopt(fd, opened) => self.devices.sockets.open(shard, fd, opened),
                Request::Ask(query, reply) => {
                    self.surveys.push_back((Survey::new(query), reply));
                }
                Request::Settings(settings, announce) => {
                    shard.set_settings(settings);
                    if announce {
                        shard.announce();
                    }
                }
                Request::Proved(key, holds) => shard.on_proved(key, holds),
                Request::Answered(answered) => shard.answer_system(&answered.0, &answered.1),
                Request::Shed(count, reason) => {
                    shard.shed(count, reason);
                }
                Request::Announce(reply) => self.heralds.push(reply),
                Request::Settle(reply) => {
                    shard.stop_moving();
                    self.devices.stop_reading();
                    self.settlers.push(reply);
                }
                Request::Stop => {
                    shard.stop_moving();
                    shard.stop_jetstream();
                    self.devices.stop_reading();
                    shard.shed(usize::MAX, CloseReason::ServerShutdown);
                    self.stopping = Some(self.core.clock.mono());
                }
            }
        }
    }

    /// Answers those who wait for it, if the turn has left no interest untold.
    fn answer_heralds(&mut self) {
        if self.core.shard.is_announced() {
            for herald in self.heralds.drain(..) {
                // Nobody waits any more: then nobody needs it.
                let _ = herald.send(());
            }
        }
    }

    /// Answers those who wait for the logs, if the turn has left nothing to be done.
    fn answer_settlers(&mut self) {
        let shard = &mut self.core.shard;
        if !self.settlers.is_empty() && self.devices.settle_logs(shard) && !shard.is_behind() {
            for settler in self.settlers.drain(..) {
                // Nobody waits any more: then nobody needs it.
                let _ = settler.send(());
            }
        }
    }

    /// When everything owed to clients is sent the logs are closed; each has its deadline.
    fn is_stopped(&mut self, now: Mono) -> bool {
        let Some(since) = self.stopping else { return false };
        if now < since.plus(STOP_NS) && !self.devices.sockets.is_empty() {
            return false;
        }
        if self.devices.close_logs(&mut self.core.shard) {
            return true;
        }
        let is_late = now >= since.plus(STOP_NS + CLOSE_LOGS_NS_MAX);
        if is_late {
            warn!("core {}: the disk takes too long, a log is not closed", self.core.shard.id());
        }
        is_late
    }

    /// Sleeps until a completion, a peer, the control thread or a deadline.
    fn park(&mut self, wish: Wish, now: Mono) {
        let reactor = now.plus(REACTOR_PASS_NS);
        let until = match wish {
            Wish::At(at) => at.min(reactor),
            _ => reactor,
        };
        if until < self.timeout_at || self.timeout_at <= now {
            self.arm_timeout(until, now);
        }
        // Said first, looked after: whoever leaves something in between sees that we sleep, and
        // signals the eventfd, which completes a read in the ring.
        self.core.port.prepare_park();
        if self.core.port.may_sleep() {
            // The turn's look may have answered a bell that announced a request.
            if self.core.requests.is_empty() {
                self.devices.sockets.wait();
            }
            self.core.port.unpark();
        }
    }

    fn arm_timeout(&mut self, until: Mono, now: Mono) {
        let ns = until.since(now);
        let time = io_uring::types::Timespec::new()
            .sec(ns / SECOND)
            .nsec(u32::try_from(ns % SECOND).expect("below a second"));
        let entry = ring::timeout(&time, IGNORED);
        // SAFETY: the kernel copies `time` when it takes the entry, in the `enter` below.
        let queued = unsafe { self.devices.sockets.ring.push(&entry) };
        if let Err(fault) = queued.and_then(|()| self.devices.sockets.ring.enter()) {
            error!("io_uring timeout failed: {fault}; timers of this core run up to 100 ms late");
        }
        self.timeout_at = until;
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
