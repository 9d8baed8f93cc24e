//! Watching memory for a moment before a core sleeps.
//!
//! A thread that sleeps is woken by interrupting a halted CPU, which takes tens of microseconds on a
//! virtual machine, of the waker's time too. Where the next event comes within that time anyway, waiting
//! for it awake is sooner and cheaper; where many come, sleeping gathers them. So a core tries both, and
//! does what costs less CPU a message.

use crate::config::Spin;
use crate::types::limits::{SPIN_CHOICE_NS, SPIN_NS, SPIN_RESTS_MAX, SPIN_TRIAL_PHASE_NS};
use crate::types::time::Mono;

/// What an idle core does until it sleeps. A pause is the time from the last event to the next.
pub struct Watch {
    limit_ns: u64,
    /// `None`: each pause is watched.
    adaptive: Option<Adaptive>,
    /// Since when this pause is watched.
    since: Option<Mono>,
    /// This pause may still be watched.
    is_open: bool,
}

/// What a core's thread has used up, and what it did for that, since it began.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    pub cpu_ns: u64,
    pub messages: u64,
}

impl Watch {
    pub fn new(spin: Spin) -> Self {
        let (limit_ns, adaptive) = match spin {
            Spin::Auto => (SPIN_NS, Some(Adaptive::new())),
            Spin::For(time) => (u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), None),
        };
        Self { limit_ns, adaptive, since: None, is_open: false }
    }

    /// Something happened: the pause, if there was one, is over.
    pub fn on_event(&mut self, now: Mono, spent: impl FnOnce() -> Spent) {
        let was_watched = self.since.take().is_some();
        self.is_open = self.limit_ns > 0;
        if let Some(adaptive) = &mut self.adaptive {
            if was_watched {
                adaptive.rests /= 2;
            }
            if now >= adaptive.until {
                adaptive.next_phase(now, spent());
            }
        }
    }

    /// Nothing to do. Whether to look again rather than sleep.
    pub fn goes_on(&mut self, now: Mono) -> bool {
        if !self.is_open {
            return false;
        }
        self.is_open = match self.since {
            None => self.adaptive.as_mut().is_none_or(Adaptive::watches_next),
            Some(since) => now.since(since) < self.limit_ns,
        };
        if self.is_open {
            self.since.get_or_insert(now);
        } else if let (Some(_), Some(adaptive)) = (self.since.take(), &mut self.adaptive) {
            adaptive.on_vain_watch();
        }
        self.is_open
    }
}

/// Compares sleeping at once with watching first: some phases of each, and then for longer the better.
struct Adaptive {
    /// The end of the phase.
    until: Mono,
    /// When the phase began.
    begun: Spent,
    /// Those of the trial, sleeping and watching in turn, and after them the one of the choice.
    phase: usize,
    /// In the trial: sleeping, watching.
    spent: [Spent; 2],
    watches: bool,
    choice: Choice,
    /// Pauses that are slept through before one is watched again.
    rests_left: u32,
    /// The same, after the next pause that is watched in vain.
    rests: u32,
}

/// What the last trial said, and for how long that holds.
struct Choice {
    watches: bool,
    ns: u64,
}

const TRIAL_PHASES: usize = 4;

impl Adaptive {
    fn new() -> Self {
        Self {
            until: Mono(0),
            begun: Spent::default(),
            phase: TRIAL_PHASES,
            spent: Default::default(),
            watches: false,
            choice: Choice { watches: false, ns: *SPIN_CHOICE_NS.start() },
            rests_left: 0,
            rests: 0,
        }
    }

    fn next_phase(&mut self, now: Mono, spent: Spent) {
        if self.phase == TRIAL_PHASES {
            (self.phase, self.spent) = (0, Default::default());
        } else {
            let sum = &mut self.spent[self.phase % 2];
            sum.cpu_ns += spent.cpu_ns - self.begun.cpu_ns;
            sum.messages += spent.messages - self.begun.messages;
            self.phase += 1;
        }
        let length = if self.phase == TRIAL_PHASES {
            self.choose();
            self.watches = self.choice.watches;
            self.choice.ns
        } else {
            self.watches = self.phase % 2 == 1;
            SPIN_TRIAL_PHASE_NS
        };
        (self.until, self.begun) = (now.plus(length), spent);
    }

    /// A choice that is made again holds for twice as long.
    fn choose(&mut self) {
        let [sleeping, watching] = self.spent;
        // CPU a message, compared without dividing by no messages.
        let asleep = u128::from(sleeping.cpu_ns) * u128::from(watching.messages);
        let awake = u128::from(watching.cpu_ns) * u128::from(sleeping.messages);
        let watches = awake < asleep;
        let is_same = watches == self.choice.watches;
        let ns = if is_same { self.choice.ns * 2 } else { 0 };
        let ns = ns.clamp(*SPIN_CHOICE_NS.start(), *SPIN_CHOICE_NS.end());
        self.choice = Choice { watches, ns };
    }

    fn watches_next(&mut self) -> bool {
        if self.watches && self.rests_left > 0 {
            self.rests_left -= 1;
            return false;
        }
        self.watches
    }

    fn on_vain_watch(&mut self) {
        self.rests = (self.rests * 2 + 1).min(SPIN_RESTS_MAX);
        self.rests_left = self.rests;
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
