//! The loop of one harness thread: wait for events, turn every actor that can do something.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Group;
use crate::client::{Connection, Drained, Poller, Ready, Scratch};
use crate::clock;
use crate::failure::{Context, Failure, Outcome};
use crate::verify::{Faults, Share};

/// While an actor ticks, and while none does.
const TICK: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Running,
    Draining,
    Stopped,
}

/// The coordinator's word to all threads.
#[derive(Default)]
pub struct Control(AtomicU8);

impl Control {
    pub fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Relaxed);
    }

    pub fn phase(&self) -> Phase {
        match self.0.load(Relaxed) {
            0 => Phase::Running,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }
}

pub struct Turn<'a> {
    pub phase: Phase,
    pub now: Instant,
    pub scratch: &'a mut Scratch,
    /// Cleared by the actor where the kernel said that there is no more.
    pub ready: &'a mut Ready,
}

impl Turn<'_> {
    /// Writes as much as the socket takes; the number of bytes. `who` writes, for failures.
    pub fn write(
        &mut self,
        connection: &mut Connection,
        bytes: &[u8],
        who: &'static str,
    ) -> Outcome<usize> {
        let count = connection.write_direct(bytes).context(who)?;
        // A short write means a full buffer: an event follows.
        self.ready.writable = count == Some(bytes.len());
        Ok(count.unwrap_or(0))
    }

    /// What a read came to, for `who` cannot go on without the connection.
    pub fn on_drained(&mut self, drained: io::Result<Drained>, who: &'static str) -> Outcome<()> {
        match drained.context(who)? {
            Drained::NotYet => Ok(()),
            Drained::Empty => {
                self.ready.readable = false;
                Ok(())
            }
            Drained::Closed => {
                Err(Failure::new(format!("the server closed the {who}'s connection")))
            }
        }
    }
}

/// When the actor wants its next turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At once: it stopped only so that others get theirs.
    Again,
    /// With every turn of the thread, and at least each [`TICK`].
    Tick,
    OnEvent,
}

/// What an actor has to say when all is over.
pub struct Account {
    pub group: Option<(Arc<Group>, Share)>,
    pub received: u64,
    pub sum: u64,
    pub faults: Faults,
}

pub trait Actor: Send {
    fn connection(&self) -> &Connection;
    fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome<Next>;
    fn account(&mut self) -> Account;
}

pub struct Slot {
    actor: Box<dyn Actor>,
    ready: Ready,
    next: Next,
    failed: Option<String>,
}

impl Slot {
    pub fn new(actor: Box<dyn Actor>) -> Self {
        Self { actor, ready: Ready::default(), next: Next::Tick, failed: None }
    }
}

pub fn run(mut slots: Vec<Slot>, control: &Control, nap: Duration) -> Vec<Account> {
    let broken = turn_until_stopped(&mut slots, control, nap).err().map(|e| e.to_string());
    slots.iter_mut().map(|slot| closing_account(slot, broken.as_deref())).collect()
}

fn closing_account(slot: &mut Slot, thread_failure: Option<&str>) -> Account {
    let mut account = slot.actor.account();
    if let Some(failure) = slot.failed.as_deref().or(thread_failure) {
        account.faults.errors += 1;
        account.faults.note(|| failure.to_string());
    }
    account
}

fn turn_until_stopped(slots: &mut [Slot], control: &Control, nap: Duration) -> Outcome<()> {
    let mut poller = Poller::new()?;
    for (token, slot) in slots.iter().enumerate() {
        poller.watch(slot.actor.connection(), token)?;
    }
    let mut scratch = Scratch::new();
    loop {
        let phase = control.phase();
        if phase == Phase::Stopped {
            return Ok(());
        }
        wait(&mut poller, slots, nap)?;
        let now = clock::now();
        for slot in slots.iter_mut().filter(|slot| slot.failed.is_none()) {
            if slot.next == Next::OnEvent && !slot.ready.readable && !slot.ready.writable {
                continue;
            }
            let ready = &mut slot.ready;
            let mut turn = Turn { phase, now, scratch: &mut scratch, ready };
            match slot.actor.turn(&mut turn) {
                Ok(next) => slot.next = next,
                Err(failure) => slot.failed = Some(failure.to_string()),
            }
        }
    }
}

fn wait(poller: &mut Poller, slots: &mut [Slot], nap: Duration) -> Outcome<()> {
    let live = || slots.iter().filter(|slot| slot.failed.is_none());
    let timeout = if live().any(|slot| slot.next == Next::Again) {
        Duration::ZERO
    } else if live().any(|slot| slot.next == Next::Tick) {
        TICK
    } else {
        IDLE
    };
    if timeout > Duration::ZERO && nap > Duration::ZERO {
        clock::pause(nap);
    }
    poller.wait(timeout, |token, event| {
        let ready = &mut slots[token].ready;
        ready.readable |= event.readable;
        ready.writable |= event.writable;
    })?;
    Ok(())
}
