//! What is delivered next, and to whom.
//!
//! ```text
//! due again? ── yes ─► too often? ─► spent, MAX_DELIVERIES
//!     │ no               │ no
//! room for more out?     ▼
//!     │ yes           fetched ─► somebody to get it? ─► published, counted, tracked
//! next of the stream ───►┘
//! ```

use super::super::advisory::ConsumerAdvisory;
use super::super::config::{AckPolicy, PriorityPolicy};
use super::super::context::{Context, GateState, Site};
use super::super::headers;
use super::super::outbox::Outgoing;
use super::super::store::{Fetch, Scan, Store, Stored};
use super::ack::{AckSubjects, DeliveryNumbers};
use super::priority::Load;
use super::pull::Choice;
use super::start::acks_by_flow;
use super::*;
use crate::types::limits::JETSTREAM_POLL_BYTES;
use crate::types::time::MILLISECOND;

/// Where a poll ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poll {
    /// There is nothing to do, or nobody to do it for.
    Idle,
    /// A read is under way: poll again when one has ended.
    Reading,
    /// Whoever would get something is owed enough: poll again when there is room.
    Crowded,
    /// The budget is used up: poll again next turn.
    Again,
}

/// Delivering in the rhythm in which messages were stored.
#[derive(Debug, Default)]
pub struct Replay {
    /// When the last one delivered was stored, and when it was delivered.
    last: Option<(u64, Mono)>,
}

/// A message picked for delivery.
#[derive(Clone, Copy, Debug)]
struct Pick {
    seq: Seq,
    /// How often it will have been delivered.
    deliveries: u32,
}

enum Next {
    Pick(Pick),
    /// As much as allowed is out.
    Full,
    /// Nothing more is there.
    Dry,
    /// The budget is used up.
    Later,
}

enum Handed {
    Over,
    Nobody,
    Crowded,
    /// Not before.
    Until(Mono),
}

impl Consumer {
    /// Delivers as much as it can. Each message delivered or looked at costs one of the budget.
    pub fn poll(&mut self, ctx: &mut Context<'_>, store: &mut Store, budget: &mut usize) -> Poll {
        if !self.place(store, ctx) {
            return Poll::Reading;
        }
        if !self.keep_up(ctx, store, budget) {
            return Poll::Again;
        }
        if self.is_paused(ctx.now) {
            self.run_dry(ctx);
            return Poll::Idle;
        }
        if !self.is_ready(ctx) || self.hold_until > ctx.now.mono {
            return Poll::Idle;
        }
        let mut tools =
            Tools { subjects: AckSubjects::new(&self.stream, &self.name), headers: Vec::new() };
        let bytes_max = ctx.out.ready_bytes() + JETSTREAM_POLL_BYTES;
        loop {
            if !self.has_taker() {
                return Poll::Idle;
            }
            if *budget == 0 || ctx.out.ready_bytes() >= bytes_max {
                return Poll::Again;
            }
            *budget -= 1;
            let pick = match self.next(ctx, store, budget) {
                Next::Pick(pick) => pick,
                Next::Full => return Poll::Idle,
                Next::Later => return Poll::Again,
                Next::Dry => {
                    self.run_dry(ctx);
                    return Poll::Idle;
                }
            };
            match self.deliver(ctx, store, pick, &mut tools) {
                None => return Poll::Reading,
                Some(Handed::Over) => {}
                Some(Handed::Nobody) => {
                    self.run_dry(ctx);
                    return Poll::Idle;
                }
                Some(Handed::Crowded) => return Poll::Crowded,
                Some(Handed::Until(until)) => {
                    self.hold_until = until;
                    return Poll::Idle;
                }
            }
        }
    }

    /// Takes note of what happened to the stream since. False: the budget is used up.
    fn keep_up(&mut self, ctx: &mut Context<'_>, store: &Store, budget: &mut usize) -> bool {
        let first = store.first_seq(ctx.log.as_deref());
        while let Some(held) = self.state.pending.first()
            && held.seq < first
        {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.lose(ctx.out, ctx.site, ctx.now, held.seq);
        }
        self.lose_displaced(ctx, store);
        if self.state.cursor < first {
            self.state.cursor = first;
            if let Some(last) = &mut self.last_only {
                last.seqs.retain(|&seq| seq >= first);
            }
            self.backlog.forget();
        }
        self.refresh_backlog(store, ctx.log.as_deref());
        true
    }

    /// Learns whether somebody listens, and whether there is any use in looking for messages.
    fn is_ready(&mut self, ctx: &mut Context<'_>) -> bool {
        self.is_heard(ctx.gate, ctx.now.mono);
        self.has_taker()
    }

    fn has_taker(&self) -> bool {
        match &self.way {
            Way::Pull(pull) => !pull.is_empty(),
            Way::Push(push) => {
                push.is_active && !push.flow.as_ref().is_some_and(|flow| flow.is_stalled())
            }
        }
    }

    /// There is nothing to deliver, or nothing for those who ask: pulls that do not wait end.
    fn run_dry(&mut self, ctx: &mut Context<'_>) {
        let (_, mut desk, _) = desk(ctx, self.account);
        if let Way::Pull(pull) = &mut self.way {
            pull.expire(&mut desk, true);
        }
    }

    fn next(&mut self, ctx: &mut Context<'_>, store: &Store, budget: &mut usize) -> Next {
        while let Some(held) = self.state.pending.next_queued() {
            let more = u32::from(mutation::is(Mutation::MaxDeliverOff));
            if held.deliveries < self.settings.max_deliver.saturating_add(more) {
                return Next::Pick(Pick { seq: held.seq, deliveries: held.deliveries + 1 });
            }
            if *budget == 0 {
                return Next::Later;
            }
            *budget -= 1;
            self.spend(ctx.out, ctx.site, ctx.now, held.seq);
        }
        if self.is_full() {
            return Next::Full;
        }
        if let Some(last) = &self.last_only {
            match last.seqs.front() {
                Some(&seq) => return Next::Pick(Pick { seq, deliveries: 1 }),
                None => self.end_last_only(),
            }
        }
        let log = ctx.log.as_deref();
        let from = self.state.cursor;
        let scan = match self.filter.is_all() {
            true => store.next_any(log, from).map_or(Scan::End, Scan::Found),
            false => store.next(log, &mut self.filter, from, budget),
        };
        match scan {
            Scan::Found(seq) => Next::Pick(Pick { seq, deliveries: 1 }),
            Scan::Later(from) => {
                self.state.cursor = from;
                Next::Later
            }
            Scan::End => {
                self.state.cursor = from.max(store.visible_seq(log).next());
                self.backlog.clear();
                self.replay = None;
                Next::Dry
            }
        }
    }

    /// What follows is delivered whether it is the last of its subject or not.
    fn end_last_only(&mut self) {
        if let Some(last) = self.last_only.take() {
            self.state.cursor = self.state.cursor.max(last.until);
        }
    }

    /// A message was delivered as often as allowed.
    pub(super) fn spend(&mut self, out: &mut Outbox, site: &Site, now: Now, seq: Seq) {
        let Some(held) = self.state.pending.get(seq) else { return };
        self.apply(Step::Spend(seq), now);
        self.last_delivery = now.wall;
        let deliveries = u64::from(held.deliveries);
        let told = ConsumerAdvisory::MaxDeliveries { stream_seq: seq.0, deliveries };
        told.publish(out, site, now.wall, self.about());
    }

    /// Delivers a message, if it is there and there is somebody to get it. `None`: it has to be
    /// read first.
    fn deliver(
        &mut self,
        ctx: &mut Context<'_>,
        store: &mut Store,
        pick: Pick,
        tools: &mut Tools,
    ) -> Option<Handed> {
        let now = ctx.now;
        let (log, mut desk, site) = desk(ctx, self.account);
        let stored = match store.fetch(log, pick.seq) {
            Fetch::Here(stored) => stored,
            Fetch::Wait => return None,
            Fetch::Gone => {
                self.pass_over(desk.out, site, now, pick);
                return Some(Handed::Over);
            }
            Fetch::Broken(error) => {
                let seq = pick.seq.0;
                tracing::error!(stream = %self.stream, seq, ?error, "a message cannot be read");
                self.pass_over(desk.out, site, now, pick);
                return Some(Handed::Over);
            }
        };
        let numbers = self.numbers(pick, &stored);
        let message = tools.dress(&stored, &numbers, self.settings.headers_only);
        if let Some(until) = self.holds_back(&message, &stored, now.mono) {
            return Some(Handed::Until(until));
        }
        match self.hand_over(&mut desk, site, message, now) {
            Handed::Over => {}
            other => return Some(other),
        }
        let time = stored.time;
        self.count_delivery(pick, time, now);
        Some(Handed::Over)
    }

    fn numbers(&self, pick: Pick, stored: &Stored<'_>) -> DeliveryNumbers {
        let is_first = u64::from(pick.deliveries == 1);
        DeliveryNumbers {
            deliveries: pick.deliveries,
            stream_seq: pick.seq,
            consumer_seq: self.state.delivered.next(),
            stored: Wall(stored.time),
            pending: self.backlog.count().saturating_sub(is_first),
        }
    }

    /// A message is gone, or unreadable: it counts as done.
    fn pass_over(&mut self, out: &mut Outbox, site: &Site, now: Now, pick: Pick) {
        if pick.deliveries > 1 {
            return self.lose(out, site, now, pick.seq);
        }
        self.state.cursor = self.state.cursor.max(pick.seq.next());
        self.backlog.take();
        self.drop_listed(pick.seq);
    }

    fn drop_listed(&mut self, seq: Seq) {
        if let Some(last) = &mut self.last_only
            && last.seqs.front() == Some(&seq)
        {
            last.seqs.pop_front();
            if last.seqs.is_empty() {
                self.end_last_only();
            }
        }
    }

    /// The rhythm of the stream, or the rate, wants a message later.
    fn holds_back(&self, message: &Dressed<'_>, stored: &Stored<'_>, now: Mono) -> Option<Mono> {
        let mut until = now;
        if let Some((last_stored, delivered)) = self.replay.as_ref().and_then(|own| own.last) {
            let gap = stored.time.saturating_sub(last_stored);
            if gap > MILLISECOND {
                until = until.max(delivered.plus(gap));
            }
        }
        if let Way::Push(push) = &self.way
            && let Some(rate) = &push.rate
        {
            until = until.max(rate.may_send(message.size(), now));
        }
        (until > now).then_some(until)
    }

    /// Publishes a message to whoever is to get it.
    fn hand_over(
        &mut self,
        desk: &mut Desk<'_>,
        site: &Site,
        message: Dressed<'_>,
        now: Now,
    ) -> Handed {
        match &mut self.way {
            Way::Push(_) => self.push_out(desk, &message, now),
            Way::Pull(_) => self.serve(desk, site, message, now),
        }
    }

    fn push_out(&mut self, desk: &mut Desk<'_>, message: &Dressed<'_>, now: Now) -> Handed {
        let Way::Push(push) = &mut self.way else { return Handed::Nobody };
        match desk.gate.state(desk.account, &push.deliver_subject) {
            GateState::Nobody => {
                push.set_active(false, now.mono);
                self.active_at = now.mono;
                return Handed::Nobody;
            }
            GateState::Crowded => return Handed::Crowded,
            GateState::Open => {}
        }
        let size = message.size();
        desk.out.publish(desk.account, message.to(&push.deliver_subject));
        push.saw_traffic(now.mono);
        if let Some(rate) = &mut push.rate {
            rate.sent(size, now.mono);
        }
        let asks = push.flow.as_mut().is_some_and(|flow| flow.sent(size as u64));
        // Where answers acknowledge, one is due before no more may be out.
        let is_asked = push.flow.as_ref().is_some_and(|flow| flow.asked().is_some());
        let is_half_full = acks_by_flow(self.settings.ack)
            && !is_asked
            && self.state.pending.len() >= self.settings.max_ack_pending / 2;
        if asks || is_half_full {
            self.ask_flow(desk, now);
        }
        Handed::Over
    }

    fn serve(
        &mut self,
        desk: &mut Desk<'_>,
        site: &Site,
        message: Dressed<'_>,
        now: Now,
    ) -> Handed {
        let Way::Pull(pull) = &mut self.way else { return Handed::Nobody };
        let size = message.size();
        let ack_pending = self.state.pending.len();
        let load = Load { pending: message.pending + 1, ack_pending };
        let place = match pull.choose(desk, size, load) {
            Choice::Serve(place) => place,
            Choice::Nobody => return Handed::Nobody,
            Choice::Crowded => return Handed::Crowded,
        };
        let Some((waiting, priority)) = pull.get_mut(place) else { return Handed::Nobody };
        let mut pinned = Vec::new();
        let mut message = message;
        if let Some(priority) = priority
            && priority.policy == PriorityPolicy::PinnedClient
        {
            let is_new = priority.pin(waiting, (now.mono, now.wall), self.name.as_bytes());
            if is_new {
                let about = AboutConsumer {
                    account: self.account,
                    stream: &self.stream,
                    consumer: &self.name,
                };
                priority.tell_pinned(desk.out, site, now.wall, about);
            }
            pinned.extend_from_slice(message.headers);
            headers::append(&mut pinned, "Nats-Pin-Id", waiting.pin_id());
            message.headers = &pinned;
        }
        desk.out.publish(desk.account, message.to(&waiting.inbox));
        pull.served(desk, place, size);
        Handed::Over
    }

    /// A message left: everything that counts it.
    fn count_delivery(&mut self, pick: Pick, stored: u64, now: Now) {
        if pick.deliveries == 1 {
            self.backlog.take();
            self.apply(Step::Deliver(pick.seq), now);
            self.drop_listed(pick.seq);
        } else {
            self.apply(Step::Again(pick.seq), now);
        }
        // What feeds another stream takes nothing away.
        let is_done =
            self.settings.ack == AckPolicy::None || mutation::is(Mutation::WorkRemovedOnDelivery);
        if is_done && self.is_retaining && !self.is_direct() {
            self.finished.push(pick.seq);
        }
        if let Some(replay) = &mut self.replay {
            replay.last = Some((stored, now.mono));
        }
        self.last_delivery = now.wall;
        self.active_at = now.mono;
    }
}

/// What a poll needs again and again.
struct Tools {
    subjects: AckSubjects,
    /// Of messages whose payload is left out.
    headers: Vec<u8>,
}

/// A message as it is delivered.
#[derive(Clone, Copy)]
struct Dressed<'a> {
    subject: &'a [u8],
    reply: &'a [u8],
    headers: &'a [u8],
    payload: &'a [u8],
    /// Messages left after this one.
    pending: u64,
}

impl Tools {
    fn dress<'a>(
        &'a mut self,
        stored: &Stored<'a>,
        numbers: &DeliveryNumbers,
        headers_only: bool,
    ) -> Dressed<'a> {
        let (mut headers, mut payload) = (stored.headers, stored.payload);
        if headers_only {
            self.headers.clear();
            self.headers.extend_from_slice(headers);
            headers::append_display(&mut self.headers, "Nats-Msg-Size", payload.len());
            (headers, payload) = (&self.headers, &[]);
        }
        let reply = self.subjects.write(numbers);
        Dressed { subject: stored.subject, reply, headers, payload, pending: numbers.pending }
    }
}

impl<'a> Dressed<'a> {
    /// Bytes as a client can count them.
    fn size(&self) -> usize {
        self.subject.len() + self.reply.len() + self.headers.len() + self.payload.len()
    }

    fn to<'b>(&'b self, route: &'b [u8]) -> Outgoing<'b>
    where
        'a: 'b,
    {
        let Self { subject, reply, headers, payload, .. } = *self;
        Outgoing { route, subject, reply, headers, payload }
    }
}
