//! Who is looked at, and when: what the logs report, what is due, who has work.

use super::alarm::Sleeper;
use super::consumer::{Poll, Tick};
use super::context::Gate;
use super::core::JetStream;
use super::hosted::Hosted;
use super::seats::Rest;
use super::target::StreamSlot;
use crate::storage::{Event, OpId, Poison};
use crate::types::limits::{self, JETSTREAM_POLL_MESSAGES};
use crate::types::{Mono, Now};

impl JetStream {
    /// Delivers what can be delivered, about `budget` bytes of it, and does what is due.
    pub fn run(&mut self, now: Now, gate: &mut dyn Gate, budget: usize) {
        self.ran_at = now.mono;
        if let Some(values) = self.values.take() {
            self.recover(values, now, gate);
        }
        self.read_log_events();
        self.show_messages(now, gate);
        self.wake_for_the_world();
        self.run_due(now, gate);
        self.poll_streams(now, gate);
        self.run_purges(now, gate);
        self.poll_ready(now, gate, budget);
        self.run_transfers(now, gate);
        self.rest_readers(now);
        self.write_progress(now, gate);
        self.open_own_letters(now, gate);
        self.tell_ledger();
        self.ground.release();
    }

    /// When [`JetStream::run`] must be called at the latest.
    pub fn wake_at(&self) -> Mono {
        if !self.ready.is_empty() || !self.purges.is_empty() {
            return Mono(0);
        }
        let polled = match self.polled.is_empty() {
            true => Mono::NEVER,
            false => self.ran_at.plus(limits::JETSTREAM_POLL_NS),
        };
        let logs = self.ground.logs.iter().map(crate::storage::Log::wake_at);
        let own =
            self.alarms.next().min(self.progress_due()).min(self.transfers_at).min(self.rest_at);
        logs.fold(own.min(polled), Mono::min)
    }

    fn read_log_events(&mut self) {
        for index in 0..self.ground.logs.len() {
            while let Some(event) = self.ground.logs[index].take_event() {
                match event {
                    Event::ReadDone(op) => self.on_read(index, op),
                    Event::Poisoned(poison) => self.on_poisoned(index, &poison),
                    Event::Full => tracing::error!(
                        "JetStream is out of disk space: publishes to files are refused until there is room"
                    ),
                    Event::Room => tracing::info!("JetStream has disk space again"),
                    Event::Damaged(damage) => {
                        tracing::error!("JetStream met damage in its log: {damage:?}");
                    }
                    Event::Durable | Event::Retired(_) => {}
                }
            }
        }
    }

    fn on_poisoned(&mut self, log: usize, poison: &Poison) {
        let id = self.ground.logs[log].id().0;
        tracing::error!(
            "JetStream log {id}: {poison}; it is read-only until a restart, and publishes to its \
             streams are refused"
        );
    }

    /// A read has ended: one store waits for it.
    fn on_read(&mut self, log: usize, op: OpId) {
        for at in 0..self.hosted.len() {
            let Some(hosted) = self.hosted[at].as_deref_mut() else { continue };
            if hosted.log.map(usize::from) != Some(log) {
                continue;
            }
            if !hosted.stream.store().on_read(&mut self.ground.logs[log], op) {
                continue;
            }
            let slot = hosted.slot;
            if hosted.read_at.replace(self.ran_at).is_none() {
                self.readers.push(slot);
                self.rest_at = self.rest_at.min(self.ran_at.plus(limits::READ_RUNS_IDLE_NS));
            }
            hosted.seats.wake(Rest::Reading);
            let parked = std::mem::take(&mut hosted.parked);
            parked.into_iter().for_each(|letter| self.post(self.shard, letter));
            self.poll_again(slot);
            self.list_ready(slot);
            return;
        }
    }

    /// Streams that nobody reads behind the tail any more forget what was read.
    fn rest_readers(&mut self, now: Now) {
        if now.mono < self.rest_at {
            return;
        }
        let hosted = &mut self.hosted;
        self.readers.retain(|&slot| {
            let place = hosted.get_mut(slot.index as usize).and_then(Option::as_deref_mut);
            let Some(hosted) = place.filter(|hosted| hosted.slot == slot) else { return false };
            let read_at = hosted.read_at.unwrap_or(Mono(0));
            let is_read = now.mono.since(read_at) < limits::READ_RUNS_IDLE_NS;
            if !is_read {
                hosted.read_at = None;
                hosted.stream.store().rest();
            }
            is_read
        });
        let next = now.mono.plus(limits::READ_RUNS_IDLE_NS);
        self.rest_at = if self.readers.is_empty() { Mono::NEVER } else { next };
    }

    /// Messages that can be seen now.
    fn show_messages(&mut self, now: Now, gate: &mut dyn Gate) {
        for index in std::mem::take(&mut self.awaiting) {
            let Some(hosted) = self.hosted[index as usize].as_deref_mut() else { continue };
            let slot = hosted.slot;
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            let log = context.log.as_deref();
            let store = hosted.stream.store();
            let (seen, last) = (store.visible_seq(log), store.last_seq(log));
            hosted.is_awaiting = seen < last;
            hosted.stream.on_visible(&mut context);
            hosted.seats.wake(Rest::Hungry);
            let (is_awaiting, wake_at) = (hosted.is_awaiting, hosted.stream.wake_at());
            self.recount(slot);
            let sleeper = Sleeper { stream: slot, seat: None };
            self.set_stream_alarm(wake_at, sleeper);
            if is_awaiting {
                self.awaiting.push(index);
            }
            self.list_ready(slot);
        }
    }

    /// A stream may have requests that wait: it is asked each turn until it has none.
    pub(super) fn poll_again(&mut self, slot: StreamSlot) {
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return };
        if !hosted.is_polled {
            hosted.is_polled = true;
            self.polled.push(slot.index);
        }
    }

    fn poll_streams(&mut self, now: Now, gate: &mut dyn Gate) {
        for index in std::mem::take(&mut self.polled) {
            let Some(hosted) = self.hosted[index as usize].as_deref_mut() else { continue };
            hosted.is_polled = false;
            let slot = hosted.slot;
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            if !hosted.stream.poll(&mut context) {
                self.poll_again(slot);
            }
            // What waited may be stored now, and the stream may want other alarms.
            self.after_change(slot);
        }
    }

    fn set_stream_alarm(&mut self, at: Mono, sleeper: Sleeper) {
        if let Some(hosted) = self.hosted[sleeper.stream.index as usize].as_deref_mut() {
            self.alarms.set(at, sleeper, &mut hosted.armed);
        }
    }

    /// Something about a stream has changed: it is looked at when the change can be seen.
    pub(super) fn after_change(&mut self, slot: StreamSlot) {
        self.recount(slot);
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return };
        if !hosted.is_awaiting {
            hosted.is_awaiting = true;
            self.awaiting.push(slot.index);
        }
    }

    /// Those who waited for somebody to deliver to, or for room there.
    fn wake_for_the_world(&mut self) {
        let interest = std::mem::take(&mut self.interest_moved);
        let room = std::mem::take(&mut self.room_opened);
        if !interest && !room {
            return;
        }
        for at in 0..self.hosted.len() {
            let Some(hosted) = self.hosted[at].as_deref_mut() else { continue };
            if interest {
                hosted.seats.wake(Rest::Unheard);
            }
            if room {
                hosted.seats.wake(Rest::Crowded);
            }
            let slot = hosted.slot;
            self.list_ready(slot);
        }
    }

    fn run_due(&mut self, now: Now, gate: &mut dyn Gate) {
        while let Some((at, sleeper)) = self.alarms.pop_due(now.mono) {
            let slot = sleeper.stream;
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            let Some(seat_at) = sleeper.seat else {
                if hosted.armed == at {
                    hosted.armed = Mono::NEVER;
                }
                hosted.stream.on_tick(&mut context);
                self.after_change(slot);
                continue;
            };
            let Some(seat) = hosted.seats.get_mut(seat_at) else { continue };
            if seat.armed == at {
                seat.armed = Mono::NEVER;
            }
            match seat.consumer.on_tick(&mut context) {
                Tick::Expired => self.expire_consumer(slot, seat_at, now, gate),
                Tick::Alive => self.queue(slot, seat_at),
            }
        }
    }

    /// There may be work for a consumer.
    pub(super) fn queue(&mut self, slot: StreamSlot, seat: u32) {
        if let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() {
            hosted.seats.queue(seat);
        }
        self.list_ready(slot);
    }

    fn list_ready(&mut self, slot: StreamSlot) {
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return };
        if hosted.seats.has_ready() && !hosted.is_ready {
            hosted.is_ready = true;
            self.ready.push_back(slot.index);
        }
    }

    /// Lets consumers deliver, in turn, until none has work or the budget is used up.
    fn poll_ready(&mut self, now: Now, gate: &mut dyn Gate, mut budget: usize) {
        let mut rounds = self.ready.len();
        while budget > 0 && rounds > 0 {
            rounds -= 1;
            let Some(index) = self.ready.pop_front() else { return };
            let Some(hosted) = self.hosted[index as usize].as_deref_mut() else { continue };
            hosted.is_ready = false;
            let slot = hosted.slot;
            let mut seats = hosted.seats.ready_len();
            while budget > 0 && seats > 0 {
                seats -= 1;
                let Some((hosted, _)) = self.at(slot, now, gate) else { break };
                let Some(seat) = hosted.seats.pop_ready() else { break };
                self.poll(slot, seat, now, gate, &mut budget);
            }
            self.list_ready(slot);
        }
    }

    fn poll(
        &mut self,
        slot: StreamSlot,
        at: u32,
        now: Now,
        gate: &mut dyn Gate,
        budget: &mut usize,
    ) {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let Hosted { seats, stream, .. } = hosted;
        let Some(seat) = seats.get_mut(at) else { return };
        let before = context.out.ready_bytes();
        let mut messages = JETSTREAM_POLL_MESSAGES;
        let outcome = seat.consumer.poll(&mut context, stream.store(), &mut messages);
        let spent = context.out.ready_bytes().saturating_sub(before);
        *budget = budget.saturating_sub(spent + 1);
        let rest = match outcome {
            Poll::Idle if seat.consumer.is_waiting() => Rest::Hungry,
            Poll::Idle if seat.consumer.deliver_subject().is_some() => Rest::Unheard,
            Poll::Idle | Poll::Again => Rest::Idle,
            Poll::Reading => Rest::Reading,
            Poll::Crowded => Rest::Crowded,
        };
        seats.rest(at, rest);
        if outcome == Poll::Again {
            seats.queue(at);
        }
        self.after_consumer(slot, at, now, gate);
    }

    /// A consumer has done something: its alarm, its progress, and what it has done with.
    pub(super) fn after_consumer(
        &mut self,
        slot: StreamSlot,
        at: u32,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return };
        let Some(seat) = hosted.seats.get_mut(at) else { return };
        let sleeper = Sleeper { stream: slot, seat: Some(at) };
        self.alarms.set(seat.consumer.wake_at(now), sleeper, &mut seat.armed);
        let finished = std::mem::take(&mut seat.consumer.finished);
        let is_awaited = seat.consumer.wants_journal_now();
        self.is_awaited |= is_awaited;
        if (is_awaited || seat.consumer.owes_journal()) && !seat.unwritten {
            seat.unwritten = true;
            self.list_unwritten(slot, at, now);
        }
        if !finished.is_empty() {
            self.release_messages(slot, at, &finished, now, gate);
        }
    }
}
