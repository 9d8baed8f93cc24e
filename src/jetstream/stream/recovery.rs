//! What a restarted stream reads before it takes publishes: ids within the duplicate window, ends
//! of TTLs, positions of sources, rollups, and the id of the last message. A bounded number of
//! messages at a time.

use super::Stream;
use super::directives::Directives;
use super::intake::rollup_of;
use crate::jetstream::context::Context;
use crate::jetstream::mutation::{self, Mutation};
use crate::jetstream::store::{Fetch, Moment, Scan, SeekTime};
use crate::storage::{Health, Log, Seq};
use crate::types::limits::{ROLLUP_LOOK_BACK_NS, STREAM_TICK_MESSAGES};

/// ```text
/// Times ─→ Start ─→ Walk ─→ Last ─→ Done
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recovery {
    /// When the last message was stored.
    Times,
    /// Where the messages begin that matter.
    Start,
    /// Headers from here on.
    Walk(Seq),
    /// The id of the last message.
    Last,
    Done,
}

/// A step's end.
enum Stepped {
    On(Recovery),
    /// A read is under way, or the budget is used up.
    Again(Recovery),
}

impl Stream {
    /// Goes on with what a restart has to read. True: there is nothing left of it.
    pub(super) fn recover(&mut self, ctx: &mut Context<'_>) -> bool {
        let is_starting = |log: &Log| log.health() == Health::Starting;
        if self.recovery != Recovery::Done && ctx.log.as_deref().is_some_and(is_starting) {
            return false;
        }
        loop {
            let stepped = match self.recovery {
                Recovery::Times => self.recover_times(ctx),
                Recovery::Start => self.recover_start(ctx),
                Recovery::Walk(from) => self.recover_headers(ctx, from),
                Recovery::Last => self.recover_last(ctx),
                Recovery::Done => return true,
            };
            match stepped {
                Stepped::On(next) => self.recovery = next,
                Stepped::Again(next) => {
                    self.recovery = next;
                    return false;
                }
            }
        }
    }

    fn recover_times(&mut self, ctx: &mut Context<'_>) -> Stepped {
        match self.store.last_time(ctx.log.as_deref_mut()) {
            Moment::At(time) => {
                self.last_time = time;
                Stepped::On(Recovery::Start)
            }
            Moment::Wait => Stepped::Again(Recovery::Times),
        }
    }

    /// TTLs may be anywhere; ids count within the window only.
    fn recover_start(&mut self, ctx: &mut Context<'_>) -> Stepped {
        if self.config.allow_msg_ttl || self.config.allow_msg_schedules {
            return Stepped::On(Recovery::Walk(Seq(0)));
        }
        let mut since = ctx.now.wall.0.saturating_sub(self.dedup.window_ns());
        if self.config.allow_rollup_hdrs {
            since = since.min(self.last_time.saturating_sub(ROLLUP_LOOK_BACK_NS));
        }
        match self.store.seq_at_time(ctx.log.as_deref_mut(), since) {
            SeekTime::Seq(seq) => {
                let from = self.sourcing.unread_from().map_or(seq, |unread| unread.min(seq));
                Stepped::On(Recovery::Walk(from))
            }
            SeekTime::Wait => Stepped::Again(Recovery::Start),
        }
    }

    fn recover_headers(&mut self, ctx: &mut Context<'_>, from: Seq) -> Stepped {
        let mut budget = STREAM_TICK_MESSAGES;
        let mut from = from;
        loop {
            let log = ctx.log.as_deref();
            let seq = match self.store.next_with_headers(log, from, &mut budget) {
                Scan::Found(seq) => seq,
                Scan::End => return Stepped::On(Recovery::Last),
                Scan::Later(from) => return Stepped::Again(Recovery::Walk(from)),
            };
            match self.store.fetch(ctx.log.as_deref_mut(), seq) {
                Fetch::Here(stored) => {
                    let asks = Directives::read(stored.headers);
                    self.expiry.note(seq, stored.time, &asks);
                    if self.config.allow_msg_schedules {
                        self.schedules.note(stored.subject, seq, stored.time, &asks);
                    }
                    if let Some(line) = asks.stream_source {
                        self.sourcing.note(seq, line);
                    }
                    let is_own = self.config.mirror.is_none() && asks.stream_source.is_none();
                    if (is_own || asks.rollup.is_some())
                        && let Ok(rollup) = rollup_of(&self.config, &asks)
                    {
                        self.removals.roll_up(rollup, stored.subject, seq);
                    }
                    let is_recent =
                        stored.time.saturating_add(self.dedup.window_ns()) > ctx.now.wall.0;
                    let is_known = is_recent && !mutation::is(Mutation::DedupNotRebuilt);
                    if let Some(id) = asks.msg_id.filter(|_| is_known && !self.dedup.is_full()) {
                        self.dedup.insert(id, seq, stored.time);
                    }
                }
                Fetch::Wait => return Stepped::Again(Recovery::Walk(seq)),
                Fetch::Gone | Fetch::Broken(_) => {}
            }
            from = seq.next();
        }
    }

    fn recover_last(&mut self, ctx: &mut Context<'_>) -> Stepped {
        let last = self.store.last_seq(ctx.log.as_deref());
        match self.store.fetch(ctx.log.as_deref_mut(), last) {
            Fetch::Here(stored) => {
                self.last_msg_id.set(Directives::read(stored.headers).msg_id);
            }
            Fetch::Wait => return Stepped::Again(Recovery::Last),
            Fetch::Gone | Fetch::Broken(_) => {}
        }
        self.expiry.look_again();
        self.make_room(ctx);
        self.remove_owed(ctx);
        Stepped::On(Recovery::Done)
    }
}
