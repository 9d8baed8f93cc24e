//! One core: a turn after the other while there is work, the executor's reactor now and then, and
//! sleep without losing a wake-up (GLOMMIO.md, "The per-core loop").

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use glommio::io::BufferedFile;
use glommio::timer::Timer;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::clock::Clock;
use super::ring::{self, Ladder, Ring};
use super::sockets::{IGNORED, Sockets};
use super::syscalls::EventFd;
use crate::connection::Settings;
use crate::mesh::Port;
use crate::shard::effects::Wish;
use crate::shard::snapshot::{Answer, Query};
use crate::shard::turn::turn;
use crate::shard::{Opened, Shard};
use crate::types::limits::REACTOR_PASS_NS;
use crate::types::time::{Mono, SECOND};

/// What the control thread can ask of a core.
pub enum Request {
    /// A connection for this core.
    Adopt(OwnedFd, Opened),
    Ask(Query, oneshot::Sender<Answer>),
    /// New settings; `true`: clients are told by INFO.
    Settings(Arc<Settings>, bool),
    /// Close so many connections.
    Shed(usize),
    /// Close all, send what is owed for a moment, and end.
    Stop,
}

/// All that a core is made of, gathered before its thread starts.
pub struct Core {
    pub shard: Shard,
    pub port: Port,
    pub requests: mpsc::Receiver<Request>,
    /// By shard: what wakes it. The own one is read here.
    pub wakers: Arc<[EventFd]>,
    /// Connections of this core, as placement counts them.
    pub load: Arc<super::control::Load>,
    pub clock: Clock,
    pub ladder: Ladder,
    /// How long an idle core watches memory before it sleeps.
    pub spin_ns: u64,
}

/// After a stop, what clients are owed is sent for so long.
const STOP_NS: u64 = SECOND;
const TIMER_BUSY: Duration = Duration::from_millis(5);
const TIMER_PARKED: Duration = Duration::from_millis(100);

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
    sockets: Sockets,
    notify: Rc<Notify>,
    /// A timeout is with the kernel that ends a sleep at this time.
    timeout_at: Mono,
    stop_at: Option<Mono>,
}

impl Driver {
    fn new(core: Core) -> io::Result<Self> {
        let mut ring = Ring::new(core.ladder)?;
        let eventfd = &core.wakers[core.shard.id().index()];
        ring.register_eventfd(eventfd.fd())?;
        let notify = Rc::new(Notify::default());
        spawn_listener(eventfd.try_clone()?, Rc::clone(&notify));
        spawn_timer(Rc::clone(&notify));
        let sockets = Sockets::new(ring, Arc::clone(&core.load));
        Ok(Self { core, sockets, notify, timeout_at: Mono(0), stop_at: None })
    }

    async fn run(mut self) {
        let mut reactor_at = Mono(0);
        let mut idle_since = None;
        loop {
            self.take_requests();
            let now = self.core.clock.now();
            let Core { shard, port, .. } = &mut self.core;
            let wish = turn(shard, port, &mut self.sockets, now);
            for peer in port.take_wakes() {
                self.core.wakers[peer.index()].signal();
            }
            if self.is_stopped(now.mono) {
                return;
            }
            let due = matches!(wish, Wish::At(at) if at <= now.mono);
            let busy = self.sockets.was_active() || wish == Wish::AtOnce || due;
            if busy {
                idle_since = None;
            } else if now.mono.since(*idle_since.get_or_insert(now.mono)) >= self.core.spin_ns {
                self.park(wish, now.mono).await;
                idle_since = None;
                reactor_at = self.core.clock.mono();
                continue;
            } else {
                std::hint::spin_loop();
            }
            if now.mono.since(reactor_at) > REACTOR_PASS_NS {
                self.core.wakers[self.core.shard.id().index()].signal();
                self.notify.wait().await;
                reactor_at = now.mono;
            }
        }
    }

    fn take_requests(&mut self) {
        while let Ok(request) = self.core.requests.try_recv() {
            let shard = &mut self.core.shard;
            match request {
                Request::Adopt(fd, opened) => self.sockets.open(shard, fd, opened),
                Request::Ask(query, reply) => {
                    // Nobody waits any more: then nobody needs it.
                    let _ = reply.send(shard.answer(&query));
                }
                Request::Settings(settings, announce) => {
                    shard.set_settings(settings);
                    if announce {
                        shard.announce();
                    }
                }
                Request::Shed(count) => {
                    shard.shed(count);
                }
                Request::Stop => {
                    shard.shed(usize::MAX);
                    self.stop_at = Some(self.core.clock.mono().plus(STOP_NS));
                }
            }
        }
    }

    fn is_stopped(&self, now: Mono) -> bool {
        self.stop_at.is_some_and(|at| now >= at || self.sockets.is_empty())
    }

    /// Sleeps until a completion, a peer, the control thread or a deadline.
    async fn park(&mut self, wish: Wish, now: Mono) {
        let until = match (wish, self.stop_at) {
            (Wish::At(at), Some(stop)) => at.min(stop),
            (Wish::At(at), None) | (_, Some(at)) => at,
            (_, None) => Mono::NEVER,
        };
        if until != Mono::NEVER && (until < self.timeout_at || self.timeout_at <= now) {
            self.arm_timeout(until, now);
        }
        // Said first, looked after: whoever leaves something in between sees that we sleep.
        self.sockets.ring.signal(true);
        self.core.port.prepare_park();
        if self.core.port.may_sleep() {
            // The turn's look may have answered a ring that announced a request.
            if !self.sockets.ring.has_work() && self.core.requests.is_empty() {
                self.notify.parked.set(true);
                self.notify.wait().await;
                self.notify.parked.set(false);
            }
            self.core.port.unpark();
        }
        self.sockets.ring.signal(false);
    }

    fn arm_timeout(&mut self, until: Mono, now: Mono) {
        let ns = until.since(now);
        let time = io_uring::types::Timespec::new()
            .sec(ns / SECOND)
            .nsec(u32::try_from(ns % SECOND).expect("below a second"));
        let entry = ring::timeout(&time, IGNORED);
        // SAFETY: the kernel copies `time` when it takes the entry, in the `enter` below.
        let queued = unsafe { self.sockets.ring.push(&entry) };
        if let Err(fault) = queued.and_then(|()| self.sockets.ring.enter()) {
            error!("io_uring timeout failed: {fault}; timers of this core run up to 100 ms late");
        }
        self.timeout_at = until;
    }
}

/// Turns reads of the core's eventfd into wake-ups of its task.
fn spawn_listener(eventfd: OwnedFd, notify: Rc<Notify>) {
    // SAFETY: the descriptor is owned, and given away for good.
    let file = unsafe { BufferedFile::from_raw_fd(eventfd.into_raw_fd()) };
    glommio::spawn_local(async move {
        loop {
            if let Err(fault) = file.read_at(0, 8).await {
                error!(fatal = true, "reading an eventfd failed: {fault}; this core cannot go on");
                std::process::abort();
            }
            notify.set();
        }
    })
    .detach();
}

/// glommio may park an executor that has work to do; a timer bounds that (GLOMMIO.md, "Traps").
fn spawn_timer(notify: Rc<Notify>) {
    glommio::spawn_local(async move {
        loop {
            let parked = notify.parked.get();
            Timer::new(if parked { TIMER_PARKED } else { TIMER_BUSY }).await;
        }
    })
    .detach();
}

/// A flag of this thread that a task can wait for.
#[derive(Default)]
struct Notify {
    flag: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The core's task sleeps, not merely lets the reactor run.
    parked: Cell<bool>,
}

impl Notify {
    fn set(&self) {
        self.flag.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            if self.flag.take() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
