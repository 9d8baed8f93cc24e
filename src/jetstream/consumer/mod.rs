//! A consumer: its place in the stream, who waits, what was delivered and not acknowledged.
//!
//! It does no I/O and reads no clock. The host calls [`Consumer::poll`] after anything that may
//! have given it something to deliver: a pull, a message that became visible, an acknowledgement
//! that says so, a tick, interest or room where it delivers to, a read that ended.
//!
//! | file | knows |
//! |---|---|
//! | `start` | where a new consumer begins |
//! | `deliver` | what is delivered next, and to whom |
//! | `pull` `request` `priority` `pulls` | pulls: what they ask for, how they wait, how they end |
//! | `push` | deliver subject, flow control, rate |
//! | `ack` `settle` | acknowledgements: read, and what they do |
//! | `pending` `backlog` | what is out, what is still to come |
//! | `state` `journal` `durable` | what must not be forgotten, as steps and as bytes |
//! | `portable` | what snapshots carry |
//! | `timers` | what happens when time passes |
//! | `manage` | info, update, pause, reset, the end |
//! | `status` | the status messages, word for word |
//! | `settings` `kept` | the configuration in few bytes |

mod ack;
mod backlog;
mod deliver;
mod durable;
mod journal;
mod kept;
mod manage;
mod pending;
mod portable;
mod priority;
mod pull;
mod pulls;
mod push;
mod request;
mod settings;
mod settle;
mod start;
mod state;
mod status;
mod timers;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::storage::{Log, Seq};
use crate::types::{AccountId, Mono, Now, Wall};

use super::advisory::{AboutConsumer, ConsumerAdvisory};
use super::config::{AckPolicy, Retention};
use super::context::{Context, Site};
use super::filter::Filter;
use super::mutation::{self, Mutation};
use super::outbox::Outbox;
use super::store::Store;
use backlog::{Backlog, LastOnly};
use deliver::Replay;
use journal::Journal;
use kept::Kept;
use pull::{Desk, Pull};
use push::Push;
use settings::Settings;
use state::{State, Step};

pub use ack::{AckTokens, DeliveryTokens};
pub use deliver::Poll;
pub use journal::Entry;
pub use settle::Answered;
pub use timers::Tick;

/// A delivery's number at its consumer, from 1; a message delivered twice has two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct ConsumerSeq(pub u64);

impl ConsumerSeq {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Where a consumer lives.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    pub account: AccountId,
    /// The account's name, which advisories tell.
    pub account_name: &'a str,
    pub stream: &'a str,
    /// What acknowledgements mean for the stream.
    pub retention: Retention,
    /// Bytes of the largest message; 0: the stream sets none.
    pub max_msg_size: u64,
    /// Its state is to survive a restart: not in memory, nor of a stream in memory.
    pub is_durable: bool,
}

/// How messages leave.
#[derive(Debug)]
enum Way {
    Pull(Box<Pull>),
    Push(Box<Push>),
}

#[derive(Debug)]
pub struct Consumer {
    account: AccountId,
    name: Box<str>,
    stream: Rc<str>,
    created: Wall,
    config: Kept,
    settings: Rc<Settings>,
    filter: Filter,
    /// Where it began, once that is known.
    start: Seq,
    /// Messages before this one are delivered only if they are the last of their subjects.
    skip_until: Seq,
    last_only: Option<Box<LastOnly>>,
    state: State,
    backlog: Backlog,
    way: Way,
    replay: Option<Box<Replay>>,
    /// `None`: its state need not survive.
    journal: Option<Journal>,
    /// Double acks whose answers wait for the journal: the length of each reply in two bytes,
    /// then the reply.
    confirmations: Vec<u8>,
    /// It was told that it is paused, so the end of that will be told too.
    is_pause_told: bool,
    /// More is due that was delivered as often as allowed than one tick tells of.
    is_giving_up: bool,
    /// Acknowledgements decide what the stream keeps.
    is_retaining: bool,
    /// Sequences finally acknowledged; the host takes them when `is_retaining`.
    pub finished: Vec<Seq>,
    last_delivery: Wall,
    last_ack: Wall,
    /// Nothing is delivered before: the rate, or the rhythm of a replay.
    hold_until: Mono,
    /// Somebody used it last.
    active_at: Mono,
    /// Nanoseconds it stays longer than its threshold.
    jitter: u64,
    chance: u64,
}

/// What consumers of one stream have in common.
#[derive(Debug)]
pub struct Common {
    config: Rc<[u8]>,
    settings: Rc<Settings>,
    stream: Rc<str>,
}

impl Default for Common {
    fn default() -> Self {
        Self { config: Rc::from([]), settings: Rc::default(), stream: Rc::from("") }
    }
}

impl Consumer {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Keeps no copy of what the consumer of the same stream that was made before keeps already.
    pub fn share(&mut self, last: &mut Common) {
        self.config.share(&mut last.config);
        share(&mut self.settings, &mut last.settings);
        share(&mut self.stream, &mut last.stream);
    }

    /// A mirror or a sourcing stream made it for itself: it is not listed.
    pub fn is_direct(&self) -> bool {
        self.settings.is_direct
    }

    pub fn is_pull(&self) -> bool {
        matches!(self.way, Way::Pull(_))
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Where a push consumer sends to: the host tells when interest there changes.
    pub fn deliver_subject(&self) -> Option<&[u8]> {
        match &self.way {
            Way::Push(push) => Some(&push.deliver_subject),
            Way::Pull(_) => None,
        }
    }

    /// It could deliver if there were a message: worth a poll when one becomes visible.
    pub fn is_waiting(&self) -> bool {
        match &self.way {
            Way::Pull(pull) => !pull.is_empty(),
            Way::Push(push) => push.is_active,
        }
    }

    /// It still has to deliver this message, or to get it acknowledged (interest retention).
    pub fn wants(&self, seq: Seq, subject: &[u8]) -> bool {
        if !self.filter.matches(subject) || seq <= self.state.floor.stream {
            return false;
        }
        if seq >= self.state.cursor {
            let listed = self.last_only.as_ref().filter(|last| seq < last.until);
            return listed.is_none_or(|last| last.seqs.binary_search(&seq).is_ok());
        }
        match self.settings.ack {
            AckPolicy::None => false,
            AckPolicy::All | AckPolicy::FlowControl => true,
            AckPolicy::Explicit => self.state.pending.get(seq).is_some_and(|held| !held.is_spent),
        }
    }

    /// A message was removed other than by a purge: by a limit, its age, a delete. A host tells
    /// either all of them, right after, or none; untold ones are found out later, at the cost of
    /// counting anew. A poll has to follow.
    #[cfg(test)]
    pub fn on_removed(&mut self, ctx: &mut Context<'_>, store: &Store, seq: Seq, subject: &[u8]) {
        if seq >= self.state.cursor && self.filter.matches(subject) {
            self.backlog.take();
            if let Some(last) = &mut self.last_only {
                last.seqs.retain(|&listed| listed != seq);
            }
        }
        self.backlog.saw_removals(store);
        self.lose(ctx.out, ctx.site, ctx.now, seq);
    }

    /// A purge removed messages: what it delivered of them is done.
    pub fn on_purge(&mut self, ctx: &mut Context<'_>, store: &Store) {
        let log = ctx.log.as_deref();
        let first = store.first_seq(log);
        let is_there = |seq| store.next_any(log, seq) == Some(seq);
        let pending = self.state.pending.iter().map(|held| held.seq);
        let gone: Vec<Seq> = pending.filter(|&seq| seq >= first && !is_there(seq)).collect();
        if self.state.cursor != Seq(0) && self.state.floor.stream < first.previous() {
            self.apply(Step::Trim(first), ctx.now);
        }
        for seq in gone {
            self.apply(Step::Done(seq), ctx.now);
        }
        if let Some(last) = &mut self.last_only {
            last.seqs.retain(|&seq| is_there(seq));
        }
        self.backlog.forget();
    }

    /// Messages that gave way inside the stream are pending no more.
    fn lose_displaced(&mut self, ctx: &mut Context<'_>, store: &Store) {
        let displaced = store.displaced();
        let Some(seen) = self.state.pending.look_at_displaced(displaced.total()) else { return };
        let (log, pending) = (ctx.log.as_deref(), &self.state.pending);
        // The log may have refused the removal.
        let is_gone = |seq: &Seq| store.next_any(log, *seq) != Some(*seq);
        let gone: Vec<Seq> = match displaced.since(seen) {
            Some(seqs) => seqs.filter(|&seq| pending.get(seq).is_some()).filter(is_gone).collect(),
            None => pending.iter().map(|held| held.seq).filter(is_gone).collect(),
        };
        gone.into_iter().for_each(|seq| self.lose(ctx.out, ctx.site, ctx.now, seq));
    }

    /// A message was removed by request, not by a purge.
    pub fn on_message_deleted(&mut self, ctx: &mut Context<'_>, store: &Store, seq: Seq) {
        self.lose(ctx.out, ctx.site, ctx.now, seq);
        self.on_purge(ctx, store);
    }

    /// A pending message is gone from the stream.
    fn lose(&mut self, out: &mut Outbox, site: &Site, now: Now, seq: Seq) {
        let Some(held) = self.state.pending.get(seq) else { return };
        self.apply(Step::Done(seq), now);
        if held.is_spent {
            return;
        }
        self.last_ack = now.wall;
        let told = ConsumerAdvisory::Terminated {
            consumer_seq: held.consumer_seq.0,
            stream_seq: seq.0,
            deliveries: u64::from(held.deliveries),
            reason: "Unacknowledged message was deleted",
        };
        told.publish(out, site, now.wall, self.about());
    }

    /// Changes the state, and notes it if it has to survive.
    fn apply(&mut self, step: Step, now: Now) {
        let Self { state, settings, journal, .. } = self;
        if let Some(journal) = journal {
            // What leaves nothing pending takes the floor to the cursor.
            let is_last = matches!(step, Step::Done(_)) && state.pending.len() <= 1;
            if is_last || matches!(step, Step::Trim(_)) {
                journal.look(state.cursor, now);
            }
            journal.note(step, now);
        }
        state.apply(step, |deliveries| now.mono.plus(settings.wait(deliveries)));
    }

    /// The count of what is still to come, up to date.
    fn refresh_backlog(&mut self, store: &Store, log: Option<&Log>) {
        let Self { backlog, filter, state, last_only, .. } = self;
        backlog.refresh(store, log, filter, state.cursor, last_only.as_deref());
    }

    fn is_paused(&self, now: Now) -> bool {
        self.settings.pause_until > now.wall
    }

    /// No more may be out.
    fn is_full(&self) -> bool {
        let more = usize::from(mutation::is(Mutation::MaxAckPendingOff));
        self.state.pending.len() >= self.settings.max_ack_pending.saturating_add(more)
    }

    fn about(&self) -> AboutConsumer<'_> {
        AboutConsumer { account: self.account, stream: &self.stream, consumer: &self.name }
    }

    /// A number without a pattern, from 0 to below `below`.
    fn random(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.chance >> 33) % below.max(1)
    }

    /// Bytes of memory, itself included.
    pub fn memory(&self) -> usize {
        let way = match &self.way {
            Way::Pull(pull) => size_of::<Pull>() + pull.memory(),
            Way::Push(push) => size_of::<Push>() + push.memory(),
        };
        let listed = self.last_only.as_ref().map_or(0, |last| last.seqs.capacity() * 8 + 48);
        let journal = self.journal.as_ref().map_or(0, |journal| journal.memory());
        size_of::<Self>()
            + self.name.len()
            + self.stream.len() / Rc::strong_count(&self.stream)
            + self.config.memory()
            + self.settings.memory() / Rc::strong_count(&self.settings)
            + self.filter.memory()
            + self.state.pending.memory()
            + self.finished.capacity() * size_of::<Seq>()
            + way
            + listed
            + journal
    }
}

/// Takes the other one if it is the same; else the other one becomes this.
fn share<T: PartialEq + ?Sized>(own: &mut Rc<T>, last: &mut Rc<T>) {
    if own == last {
        *own = Rc::clone(last);
    } else {
        *last = Rc::clone(own);
    }
}

/// What the pulls of a consumer see of the outside, and the log apart from it.
fn desk<'c>(
    ctx: &'c mut Context<'_>,
    account: AccountId,
) -> (Option<&'c mut Log>, Desk<'c>, &'c Site) {
    let desk = Desk { now: ctx.now.mono, account, out: ctx.out, gate: ctx.gate };
    (ctx.log.as_deref_mut(), desk, ctx.site)
}
