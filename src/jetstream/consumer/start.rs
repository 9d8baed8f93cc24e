//! Where a new consumer begins.

use super::super::config::{AckPolicy, ConsumerConfig, DeliverPolicy, Retention};
use super::super::context::Context;
use super::super::store::{SeekTime, Store};
use super::settings::{Settings, filter_of};
use super::*;
use crate::types::limits::{INACTIVE_JITTER_NS_MAX, INACTIVE_JITTER_NS_MIN, RATE_BURST_BYTES};

impl Consumer {
    /// A consumer of a configuration that was checked and completed. A poll has to follow.
    pub fn new(
        name: &str,
        config: &ConsumerConfig,
        home: &Home<'_>,
        store: &mut Store,
        ctx: &mut Context<'_>,
    ) -> Self {
        let state = State::new(config.ack_policy, Seq(0));
        let mut consumer = Self::of_state(name, config, home, ctx.now, state);
        consumer.created = ctx.now.wall;
        consumer.journal = home.is_durable.then(Journal::new);
        consumer.place(store, ctx);
        consumer
    }

    /// A consumer whose state is known.
    pub(super) fn of_state(
        name: &str,
        config: &ConsumerConfig,
        home: &Home<'_>,
        now: Now,
        state: State,
    ) -> Self {
        let settings = Settings::of(config);
        let way = way_of(config, home);
        let mut chance = now.wall.0;
        for &byte in name.as_bytes() {
            chance = (chance ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut consumer = Self {
            account: home.account,
            name: name.into(),
            stream: home.stream.into(),
            created: now.wall,
            config: Kept::of(config, name),
            replay: settings.replays_in_time.then(Box::default),
            settings: Rc::new(settings),
            filter: filter_of(config),
            start: Seq(0),
            skip_until: Seq(0),
            last_only: None,
            state,
            backlog: Backlog::default(),
            way,
            journal: None,
            confirmations: Vec::new(),
            is_pause_told: false,
            is_giving_up: false,
            is_retaining: home.retention != Retention::Limits,
            finished: Vec::new(),
            last_delivery: Wall(0),
            last_ack: Wall(0),
            hold_until: Mono(0),
            active_at: now.mono,
            jitter: 0,
            chance,
        };
        if consumer.is_pull() {
            let spread = INACTIVE_JITTER_NS_MAX - INACTIVE_JITTER_NS_MIN;
            consumer.jitter = INACTIVE_JITTER_NS_MIN + consumer.random(spread);
        }
        consumer
    }

    /// Finds where to begin, if that is not known yet. False: a read is under way.
    pub(super) fn place(&mut self, store: &mut Store, ctx: &mut Context<'_>) -> bool {
        if self.state.cursor == Seq(0) {
            let Some(cursor) = self.first_cursor(store, ctx) else { return false };
            self.state = State::new(self.settings.ack, cursor);
            self.start = cursor;
            self.backlog.forget();
            self.want_whole();
        }
        if self.last_only.is_none() && self.state.cursor < self.skip_until {
            self.list_last(store, ctx);
        }
        true
    }

    fn first_cursor(&mut self, store: &mut Store, ctx: &mut Context<'_>) -> Option<Seq> {
        let config = self.config();
        let log = ctx.log.as_deref_mut();
        let first = store.first_seq(log.as_deref());
        let cursor = match config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::New => store.last_seq(log.as_deref()).next(),
            DeliverPolicy::ByStartSequence => first.max(Seq(config.opt_start_seq)),
            DeliverPolicy::ByStartTime => {
                let time = config.opt_start_time.map_or(0, |time| time.wall().0);
                match store.seq_at_time(log, time) {
                    SeekTime::Seq(seq) => seq,
                    SeekTime::Wait => return None,
                }
            }
            DeliverPolicy::Last if self.filter.is_all() => store.visible_seq(log.as_deref()),
            DeliverPolicy::Last => {
                let last = store.last_per_subject(log.as_deref(), &self.filter, None);
                last.last().copied().unwrap_or(first)
            }
            DeliverPolicy::LastPerSubject => {
                self.skip_until = store.visible_seq(log.as_deref()).next();
                let last = store.last_per_subject(log.as_deref(), &self.filter, None);
                let cursor = last.first().copied().unwrap_or(self.skip_until);
                self.set_last_only(last);
                cursor
            }
        };
        Some(cursor.max(Seq(1)))
    }

    /// Lists again what was to be delivered before `skip_until`, after a restart.
    fn list_last(&mut self, store: &mut Store, ctx: &mut Context<'_>) {
        let up_to = Some(self.skip_until.previous());
        let mut last = store.last_per_subject(ctx.log.as_deref(), &self.filter, up_to);
        last.retain(|&seq| seq >= self.state.cursor);
        self.set_last_only(last);
        self.backlog.forget();
        if self.last_only.is_none() {
            self.state.cursor = self.skip_until;
        }
    }

    fn set_last_only(&mut self, seqs: Vec<Seq>) {
        let until = self.skip_until;
        self.last_only =
            (!seqs.is_empty()).then(|| Box::new(LastOnly { seqs: seqs.into(), until }));
    }
}

pub(super) fn way_of(config: &ConsumerConfig, home: &Home<'_>) -> Way {
    if config.deliver_subject.is_empty() {
        return Way::Pull(Box::new(Pull::of(config, home.account_name)));
    }
    let burst = if home.max_msg_size > 0 { home.max_msg_size } else { RATE_BURST_BYTES };
    Way::Push(Box::new(Push::of(config, burst)))
}

/// Whether acknowledgements come through flow control only.
pub(super) fn acks_by_flow(ack: AckPolicy) -> bool {
    ack == AckPolicy::FlowControl
}
