//! What the API asks of a consumer, and its end.

use super::super::advisory::{Action, ConsumerAdvisory};
use super::super::config::{ConsumerConfig, DeliverPolicy, Moment};
use super::super::context::Context;
use super::super::error::ApiError;
use super::super::info::{ConsumerInfo, PauseState, PriorityGroupState, SequenceInfo};
use super::settings::{Settings, filter_of};
use super::start::way_of;
use super::state::Pair;
use super::status::Status;
use super::*;

impl Consumer {
    /// The configuration as the API tells it.
    pub fn config(&self) -> ConsumerConfig {
        self.config.config(&self.name)
    }

    pub fn info(&mut self, ctx: &mut Context<'_>, store: &Store) -> ConsumerInfo {
        let now = ctx.now;
        self.lose_displaced(ctx, store);
        self.refresh_backlog(store, ctx.log.as_deref());
        let config = self.config();
        let is_paused = self.is_paused(now);
        let State { delivered, floor, pending, .. } = &self.state;
        let at = Pair { consumer: *delivered, stream: self.state.last_stream_seq() };
        let (_, mut desk, _) = desk(ctx, self.account);
        let (num_waiting, push_bound, priority_groups) = match &self.way {
            Way::Pull(pull) => (pull.waiting(&mut desk) as u64, false, groups_of(pull)),
            Way::Push(push) => {
                let state = desk.gate.state(desk.account, &push.deliver_subject);
                (0, state != super::super::context::GateState::Nobody, Vec::new())
            }
        };
        ConsumerInfo {
            stream_name: self.stream.to_string(),
            name: self.name.to_string(),
            created: self.created,
            config: Some(config),
            delivered: sequence(at, self.last_delivery),
            ack_floor: sequence(*floor, self.last_ack),
            num_ack_pending: pending.len() as u64,
            num_redelivered: pending.redelivered() as u64,
            num_waiting,
            num_pending: self.backlog.count(),
            push_bound,
            paused: is_paused,
            pause_remaining: self.settings.pause_until.0.saturating_sub(now.wall.0),
            ts: now.wall,
            priority_groups,
        }
    }

    /// Takes another configuration, which was checked and completed. Whether it wants other
    /// messages now. A poll has to follow.
    pub fn update(
        &mut self,
        ctx: &mut Context<'_>,
        config: &ConsumerConfig,
        home: &Home<'_>,
    ) -> bool {
        let was_paused_until = self.settings.pause_until;
        self.set_config(config);
        let is_filter_new = !self.filter.patterns().eq(filter_of(config).patterns());
        if is_filter_new {
            self.filter = filter_of(config);
            self.backlog.forget();
            if self.last_only.take().is_some() {
                self.skip_until = self.state.cursor;
            }
        }
        match (&mut self.way, way_of(config, home)) {
            // Pulls go on waiting.
            (Way::Pull(pull), Way::Pull(new)) => pull.reshape(*new),
            (Way::Push(push), Way::Push(new)) => push.reshape(*new),
            (way, new) => *way = new,
        }
        self.hold_until = Mono(0);
        self.active_at = ctx.now.mono;
        if self.settings.pause_until != was_paused_until || self.is_paused(ctx.now) {
            self.tell_pause(ctx);
        }
        is_filter_new
    }

    fn set_config(&mut self, config: &ConsumerConfig) {
        self.config = Kept::of(config, &self.name);
        self.settings = Rc::new(Settings::of(config));
        self.want_whole();
    }

    /// Pauses until a time, or resumes at `None` and times that have passed. After a resume a
    /// poll has to follow.
    pub fn pause(&mut self, ctx: &mut Context<'_>, until: Option<Moment>) -> PauseState {
        let until = until.filter(|until| !until.is_zero());
        let until = until.map(|until| Moment::from_wall(until.wall()));
        let was_paused_until = self.settings.pause_until;
        let mut config = self.config();
        config.pause_until = until;
        if until.is_some() {
            config.note_level();
        }
        self.set_config(&config);
        if self.settings.pause_until != was_paused_until {
            self.tell_pause(ctx);
        }
        PauseState {
            paused: self.is_paused(ctx.now),
            pause_until: until.unwrap_or(Moment::ZERO),
            pause_remaining: self.settings.pause_until.0.saturating_sub(ctx.now.wall.0),
        }
    }

    fn tell_pause(&mut self, ctx: &mut Context<'_>) {
        let until = self.settings.pause_until;
        let until = if until == Wall(0) { Moment::ZERO } else { Moment::from_wall(until) };
        let paused = self.is_paused(ctx.now);
        self.is_pause_told = paused;
        let told = ConsumerAdvisory::Pause { paused, until: &until.text() };
        told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
    }

    /// Unpins the client of a group.
    pub fn unpin(&mut self, ctx: &mut Context<'_>, group: &str) -> Result<(), ApiError> {
        let about =
            AboutConsumer { account: self.account, stream: &self.stream, consumer: &self.name };
        let Way::Pull(pull) = &mut self.way else {
            return Err(ApiError::consumer_invalid_priority_group());
        };
        let named = pull.priority.as_mut().and_then(|own| own.group(group).map(|at| (own, at)));
        let Some((priority, group)) = named else {
            return Err(ApiError::consumer_invalid_priority_group());
        };
        priority.unpin(ctx.out, ctx.site, ctx.now.wall, about, (group, "admin"));
        Ok(())
    }

    /// Begins anew: at a sequence, or at 0 behind the ack floor. Returns where. A poll has to
    /// follow.
    pub fn reset(&mut self, seq: Seq) -> Result<Seq, ApiError> {
        let to = if seq == Seq(0) { self.state.floor.stream.next() } else { seq };
        if seq != Seq(0) {
            match self.config().deliver_policy {
                DeliverPolicy::All => {}
                DeliverPolicy::ByStartSequence if seq < Seq(self.config().opt_start_seq) => {
                    return Err(ApiError::consumer_invalid_reset("below start seq"));
                }
                DeliverPolicy::ByStartTime if seq < self.start => {
                    return Err(ApiError::consumer_invalid_reset("below start time"));
                }
                DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => {}
                DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => {
                    return Err(ApiError::consumer_invalid_reset("not allowed"));
                }
            }
        }
        self.state = State::new(self.settings.ack, to);
        self.last_only = None;
        self.backlog.forget();
        (self.last_delivery, self.last_ack) = (Wall(0), Wall(0));
        self.hold_until = Mono(0);
        self.want_whole();
        Ok(to)
    }

    /// It was created or deleted.
    pub fn announce(&self, ctx: &mut Context<'_>, action: Action) {
        let told = ConsumerAdvisory::Action(action);
        told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
    }

    /// It was created, or asked for again, with a pause in its configuration.
    pub fn announce_pause(&mut self, ctx: &mut Context<'_>) {
        if self.is_paused(ctx.now) {
            self.tell_pause(ctx);
        }
    }

    /// It was deleted: that is told, and who waits hears of it.
    pub fn on_deleted(&mut self, ctx: &mut Context<'_>) {
        self.announce(ctx, Action::Delete);
        self.close(ctx, &Status::ConsumerDeleted, false);
    }

    /// The server stops: who waits hears of it.
    pub fn on_shutdown(&mut self, ctx: &mut Context<'_>) {
        self.close(ctx, &Status::ServerShutdown, true);
    }

    fn close(&mut self, ctx: &mut Context<'_>, status: &Status<'_>, is_told_rest: bool) {
        let (_, mut desk, _) = desk(ctx, self.account);
        if let Way::Pull(pull) = &mut self.way {
            pull.close(&mut desk, status, is_told_rest);
        }
    }
}

fn sequence(pair: Pair, last_active: Wall) -> SequenceInfo {
    SequenceInfo {
        consumer_seq: pair.consumer.0,
        stream_seq: pair.stream.0,
        last_active: (last_active != Wall(0)).then_some(last_active),
    }
}

fn groups_of(pull: &Pull) -> Vec<PriorityGroupState> {
    let Some(priority) = &pull.priority else { return Vec::new() };
    let state = |at: usize, group: &str| {
        let pin = priority.pin.filter(|pin| pin.group == at);
        let id = pin.map(|pin| String::from_utf8_lossy(&pin.id).into_owned());
        PriorityGroupState {
            group: group.to_string(),
            pinned_client_id: id.unwrap_or_default(),
            pinned_ts: pin.map_or(Wall(0), |pin| pin.since),
        }
    };
    // The reference tells of the first only.
    priority.groups.iter().take(1).enumerate().map(|(at, group)| state(at, group)).collect()
}
