//! Streams of messages through a server: publishers and subscribers as actors, a few threads
//! that turn them, and a coordinator that opens and closes the measured window.
//!
//! ```text
//! Running → Draining (publishers stop, the rest arrives) → Stopped
//! ```

mod acked;
mod acks;
mod asks;
mod churner;
mod edge;
mod group;
mod intake;
mod publisher;
mod reader;
mod subscriber;
mod turn;
mod window;

pub use acked::{AckedPublisher, Allowance};
pub use acks::{Ack, Acks};
pub use asks::{Answers, Asks, Exchange, Judged, Until};
pub use churner::Churner;
pub use edge::{Edge, Span};
pub use group::{Delivery, Group};
pub use intake::{Heard, Intake};
pub use publisher::{Flow, Publisher};
pub use reader::{Pulls, Reader, Reading, Taking, place_of};
pub use subscriber::{Subscriber, Subscription};
pub use turn::{Account, Actor, Next, Phase, Turn};
pub use window::{HarnessUse, Window};

use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::unistd::{Pid, gettid};

use crate::clock;
use crate::failure::{Failure, Outcome};
use crate::verify::{self, Faults, Share};
use turn::{Control, Slot};

/// Draining gives up when nothing has arrived for this long.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// After everything has arrived: time for what must not arrive any more.
const LINGER: Duration = Duration::from_millis(30);

/// Actors to be run, each with the number of the thread it belongs to (modulo their count).
#[derive(Default)]
pub struct Plan {
    pub groups: Vec<Arc<Group>>,
    actors: Vec<(usize, Box<dyn Actor>)>,
}

impl Plan {
    pub fn add(&mut self, lane: usize, actor: impl Actor + 'static) {
        self.actors.push((lane, Box::new(actor)));
    }
}

pub struct Engine {
    control: Arc<Control>,
    groups: Vec<Arc<Group>>,
    threads: Vec<JoinHandle<Vec<Account>>>,
    thread_ids: Vec<Pid>,
}

impl Engine {
    /// `nap`: how long a thread with nothing to do lets bytes gather before it looks again.
    pub fn start(plan: Plan, threads: usize, nap: Duration) -> Outcome<Self> {
        let control = Arc::new(Control::default());
        let mut lanes: Vec<Vec<Slot>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
        for (lane, actor) in plan.actors {
            lanes[lane % threads.max(1)].push(Slot::new(actor));
        }
        lanes.retain(|slots| !slots.is_empty());
        let (send_id, ids) = mpsc::channel();
        let mut handles = Vec::new();
        for slots in lanes {
            let (control, send_id) = (Arc::clone(&control), send_id.clone());
            handles.push(std::thread::spawn(move || {
                // The receiver outlives the threads' start.
                let _ = send_id.send(gettid());
                turn::run(slots, &control, nap)
            }));
        }
        drop(send_id);
        let thread_ids = ids.iter().take(handles.len()).collect();
        Ok(Self { control, groups: plan.groups, threads: handles, thread_ids })
    }

    /// True when everything has arrived, false when nothing more does.
    pub fn is_over(&self, progress: &mut Progress) -> Option<bool> {
        if self.groups.iter().all(|group| group.is_complete()) {
            return Some(true);
        }
        progress.is_stuck(self.delivered() + self.published()).then_some(false)
    }

    /// Messages handed to the server (where progress is confirmed: taken by it).
    pub fn published(&self) -> u64 {
        self.groups.iter().map(|group| group.taken()).sum()
    }

    /// Messages that subscribers got, all together.
    pub fn delivered(&self) -> u64 {
        self.groups.iter().map(|group| group.received_sum()).sum()
    }

    pub fn threads_cpu(&self) -> Outcome<Vec<Duration>> {
        self.thread_ids.iter().map(|&id| Ok(clock::thread_cpu(id)?)).collect()
    }

    /// Stops publishing, waits for what is under way, and settles the accounts.
    pub fn finish(self) -> Outcome<Faults> {
        self.control.enter(Phase::Draining);
        self.wait_until_drained();
        clock::pause(LINGER);
        self.control.enter(Phase::Stopped);
        let mut accounts = Vec::new();
        for thread in self.threads {
            accounts.extend(thread.join().map_err(|_| Failure::new("a thread panicked"))?);
        }
        Ok(settle(&accounts))
    }

    fn wait_until_drained(&self) {
        let mut progress = Progress::begin();
        while self.is_over(&mut progress).is_none() {
            clock::pause(Duration::from_millis(2));
        }
    }
}

/// Whether anything still moves.
pub struct Progress {
    arrived: u64,
    since: Instant,
}

impl Progress {
    pub fn begin() -> Self {
        Self { arrived: 0, since: clock::now() }
    }

    /// Nothing has arrived for [`STUCK_AFTER`].
    fn is_stuck(&mut self, arrived: u64) -> bool {
        if arrived != self.arrived {
            *self = Self { arrived, since: clock::now() };
        }
        self.since.elapsed() > STUCK_AFTER
    }
}

fn settle(accounts: &[Account]) -> Faults {
    let mut faults = Faults::default();
    let mut shared: Vec<(&Arc<Group>, u64, u64)> = Vec::new();
    for account in accounts {
        faults.add(&account.faults);
        let Some((group, Share::Some)) = account.group.as_ref() else { continue };
        match shared.iter_mut().find(|(known, _, _)| Arc::ptr_eq(known, group)) {
            Some((_, received, sum)) => {
                *received += account.received;
                *sum = sum.wrapping_add(account.sum);
            }
            None => shared.push((group, account.received, account.sum)),
        }
    }
    for (group, received, sum) in shared {
        faults.add(&verify::check_group(group.total_or_begun(), received, sum));
    }
    faults
}
