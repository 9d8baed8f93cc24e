//! What happens when time passes.

use super::super::advisory::ConsumerAdvisory;
use super::super::config::Moment;
use super::super::context::{Context, Gate, GateState};
use super::start::acks_by_flow;
use super::status;
use super::*;
use crate::types::limits::GIVEN_UP_PER_TICK;

/// Whether a consumer lives on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tick {
    Alive,
    /// Nobody used it for too long: the host deletes it.
    Expired,
}

impl Consumer {
    /// When the next tick is due; [`Mono::NEVER`]: nothing depends on time.
    pub fn wake_at(&self, now: Now) -> Mono {
        if self.is_giving_up {
            return now.mono;
        }
        let mut at = self.state.pending.next_due();
        if self.hold_until > now.mono {
            at = at.min(self.hold_until);
        }
        if self.settings.pause_until > now.wall {
            at = at.min(now.mono.plus(self.settings.pause_until.0 - now.wall.0));
        }
        if self.settings.inactive_threshold > 0 {
            at = at.min(self.expires_at());
        }
        at.min(match &self.way {
            Way::Push(push) => push.beat_at,
            Way::Pull(pull) => {
                let pin = pull.priority.as_ref().and_then(|priority| priority.pin);
                pull.next_timer().min(pin.map_or(Mono::NEVER, |pin| pin.ends))
            }
        })
    }

    fn expires_at(&self) -> Mono {
        self.active_at.plus(self.settings.inactive_threshold).plus(self.jitter)
    }

    /// Time has passed. A poll has to follow.
    pub fn on_tick(&mut self, ctx: &mut Context<'_>) -> Tick {
        self.end_pause(ctx);
        if !mutation::is(Mutation::TimerDropped) {
            self.state.pending.queue_due(ctx.now.mono);
        }
        self.spend_exhausted(ctx);
        if self.is_pull() {
            self.tick_pulls(ctx);
        } else {
            self.beat(ctx);
        }
        if self.is_abandoned(ctx) { Tick::Expired } else { Tick::Alive }
    }

    fn end_pause(&mut self, ctx: &mut Context<'_>) {
        let until = self.settings.pause_until;
        if until != Wall(0) && until <= ctx.now.wall && self.is_pause_told {
            self.is_pause_told = false;
            let until = Moment::from_wall(until).text();
            let told = ConsumerAdvisory::Pause { paused: false, until: &until };
            told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
        }
    }

    /// What is due and was delivered as often as allowed needs no pull to be given up.
    fn spend_exhausted(&mut self, ctx: &mut Context<'_>) {
        self.is_giving_up = false;
        for _ in 0..GIVEN_UP_PER_TICK {
            let Some(held) = self.state.pending.next_queued() else { return };
            let more = u32::from(mutation::is(Mutation::MaxDeliverOff));
            if held.deliveries < self.settings.max_deliver.saturating_add(more) {
                return;
            }
            self.spend(ctx.out, ctx.site, ctx.now, held.seq);
        }
        self.is_giving_up = true;
    }

    fn tick_pulls(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        let last = (self.state.delivered, self.state.last_stream_seq());
        let about =
            AboutConsumer { account: self.account, stream: &self.stream, consumer: &self.name };
        let (_, mut desk, site) = desk(ctx, self.account);
        let Way::Pull(pull) = &mut self.way else { return };
        if let Some(priority) = &mut pull.priority
            && let Some(pin) = priority.pin.filter(|pin| pin.ends <= now.mono)
        {
            priority.unpin(desk.out, site, now.wall, about, (pin.group, "timeout"));
        }
        pull.on_timer(&mut desk, last);
    }

    /// Tells a push client that there is nothing to deliver.
    fn beat(&mut self, ctx: &mut Context<'_>) {
        let now = ctx.now;
        let last = (self.state.delivered, self.state.last_stream_seq());
        let (_, mut desk, _) = desk(ctx, self.account);
        let is_due = matches!(&self.way, Way::Push(push) if push.beat_at <= now.mono);
        if !is_due || !self.is_heard(desk.gate, now.mono) {
            return;
        }
        let Way::Push(push) = &mut self.way else { return };
        push.saw_traffic(now.mono);
        let asked = push.flow.as_ref().and_then(|flow| flow.asked());
        let stalled = asked.map(|id| settle::flow_subject(&self.stream, &self.name, &id));
        let route = &push.deliver_subject;
        status::send_heartbeat(desk.out, desk.account, route, last, stalled.as_deref());
        // Acknowledgements come with answers to flow control only, so they are asked for.
        if acks_by_flow(self.settings.ack) && asked.is_none() && !self.state.pending.is_empty() {
            self.ask_flow(&mut desk, now);
        }
    }

    /// Nobody used it for longer than it stays.
    fn is_abandoned(&mut self, ctx: &mut Context<'_>) -> bool {
        if self.settings.inactive_threshold == 0 || self.expires_at() > ctx.now.mono {
            return false;
        }
        let now = ctx.now.mono;
        let (_, mut desk, _) = desk(ctx, self.account);
        let is_used = match &mut self.way {
            // Who has messages to acknowledge is expected back.
            Way::Pull(pull) => !self.state.pending.is_empty() || pull.waiting(&mut desk) > 0,
            // Who listened until now has all the time to come back.
            Way::Push(push) => {
                let was_heard = push.is_active;
                self.is_heard(desk.gate, now) || was_heard
            }
        };
        if is_used {
            self.active_at = now;
        }
        !is_used
    }

    /// Interest in the deliver subject came or went. A poll has to follow.
    #[cfg(test)]
    pub fn on_interest(&mut self, ctx: &mut Context<'_>) {
        self.is_heard(ctx.gate, ctx.now.mono);
    }

    /// Whether somebody listens to a push consumer. From the moment nobody does it is unused.
    pub(super) fn is_heard(&mut self, gate: &mut dyn Gate, now: Mono) -> bool {
        let Way::Push(push) = &mut self.way else { return false };
        let is_heard = gate.state(self.account, &push.deliver_subject) != GateState::Nobody;
        if push.is_active && !is_heard {
            self.active_at = now;
        }
        push.set_active(is_heard, now);
        is_heard
    }
}
