//! What consumers write into the log, and messages that are done with.
//!
//! Progress nobody waits for is gathered for [`limits::PROGRESS_GATHER_NS`]; what confirms an
//! acknowledgement is written at once, and the confirmation waits until it is durable.

use super::config::Retention;
use super::consumer::Entry;
use super::context::{Context, Gate};
use super::core::JetStream;
use super::hosted::Hosted;
use super::mutation::{self, Mutation};
use super::outbox::Outgoing;
use super::seats::Seat;
use super::target::StreamSlot;
use crate::storage::{Lsn, Refusal, Seq, StreamId, Urgency};
use crate::types::limits;
use crate::types::{AccountId, Mono, Now};

/// The key of a consumer's state among its stream's keys in the log.
pub fn consumer_key(name: &str) -> Vec<u8> {
    [b"c/", name.as_bytes()].concat()
}

/// The consumer a key is of.
pub fn consumer_of_key(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"c/")?).ok()
}

impl JetStream {
    /// When gathered progress must be written.
    pub(super) fn progress_due(&self) -> Mono {
        if self.unwritten.is_empty() { Mono::NEVER } else { self.progress_at }
    }

    /// A consumer has progress that is not in the log.
    pub(super) fn list_unwritten(&mut self, slot: StreamSlot, seat: u32, now: Now) {
        if self.unwritten.is_empty() {
            self.progress_at = now.mono.plus(limits::PROGRESS_GATHER_NS);
        }
        self.unwritten.push((slot, seat));
    }

    pub(super) fn write_progress(&mut self, now: Now, gate: &mut dyn Gate) {
        let is_due = now.mono >= self.progress_due();
        if self.unwritten.is_empty() || !(is_due || self.is_awaited) {
            return;
        }
        self.is_awaited = false;
        let mut later = Vec::new();
        for (slot, at) in std::mem::take(&mut self.unwritten) {
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            if hosted.stream.owes_removals() {
                later.push((slot, at));
                continue;
            }
            let (account, id) = (hosted.stream.account(), hosted.stream.id());
            let Some(seat) = hosted.seats.get_mut(at) else { continue };
            let wants_now = seat.consumer.wants_journal_now();
            if !is_due && !wants_now {
                later.push((slot, at));
                continue;
            }
            let urgency = if wants_now { Urgency::Now } else { Urgency::RideAlong };
            match write(seat, account, id, urgency, &mut context) {
                Ok(()) => seat.unwritten = false,
                Err(_) => later.push((slot, at)),
            }
        }
        self.unwritten = later;
        self.progress_at = now.mono.plus(limits::PROGRESS_GATHER_NS);
    }

    /// Messages a consumer has done with: they go where no other consumer wants them.
    pub(super) fn release_messages(
        &mut self,
        slot: StreamSlot,
        done_by: u32,
        finished: &[Seq],
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let retention = hosted.stream.config().retention;
        if retention == Retention::Limits {
            return;
        }
        let unwanted: Vec<Seq> = match retention {
            Retention::WorkQueue => finished.to_vec(),
            _ => {
                let wanted = |seq: &Seq| is_wanted(hosted, &mut context, *seq, Some(done_by));
                let mut wanted = wanted;
                finished.iter().copied().filter(|seq| !wanted(seq)).collect()
            }
        };
        if !unwanted.is_empty() {
            hosted.stream.remove_acked(&mut context, &unwanted);
            self.after_change(slot);
        }
    }

    /// A consumer of a stream with interest retention has gone, or wants others now: messages that
    /// only it wanted go too.
    pub(super) fn release_unwanted(&mut self, slot: StreamSlot, now: Now, gate: &mut dyn Gate) {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        if hosted.stream.config().retention != Retention::Interest {
            return;
        }
        let mut unwanted = Vec::new();
        let mut from = Seq(0);
        loop {
            let log = context.log.as_deref();
            // Those on their way to the disk too: nobody looks at them again.
            let Some(seq) = hosted.stream.store().next_appended(log, from) else { break };
            if !is_wanted(hosted, &mut context, seq, None) {
                unwanted.push(seq);
            }
            from = seq.next();
        }
        if !unwanted.is_empty() {
            hosted.stream.remove_acked(&mut context, &unwanted);
            self.after_change(slot);
        }
    }
}

/// Whether any consumer, but for one, still has to see a message through.
fn is_wanted(hosted: &mut Hosted, context: &mut Context<'_>, seq: Seq, but: Option<u32>) -> bool {
    if mutation::is(Mutation::InterestRemovedOnFirstAck) {
        return false;
    }
    let Hosted { stream, seats, .. } = hosted;
    let Some(subject) = stream.store().subject_of(context.log.as_deref(), seq) else {
        return false;
    };
    let others = seats.iter().filter(|(at, _)| Some(*at) != but);
    let mut others = others.map(|(_, seat)| &seat.consumer);
    others.any(|consumer| consumer.wants(seq, subject))
}

/// Writes what a consumer owes the log, and lets its confirmations wait for that batch. Where it owes
/// nothing they confirm what was written before.
fn write(
    seat: &mut Seat,
    account: AccountId,
    stream: StreamId,
    urgency: Urgency,
    context: &mut Context<'_>,
) -> Result<(), Refusal> {
    let Seat { consumer, written: at, .. } = seat;
    if let Some(entry) = consumer.take_journal(context.now)
        && let Some(log) = context.log.as_deref_mut()
    {
        let key = consumer_key(consumer.name());
        let now = context.now.mono;
        let written = match &entry {
            Entry::Whole(state) => log.put_state(stream, &key, state, urgency, now),
            Entry::Delta(delta) => log.put_delta(stream, &key, delta, urgency, now),
        };
        *at = written.inspect_err(|_| consumer.want_whole())?;
    }
    let at = if mutation::is(Mutation::ConfirmedEarly) { Lsn(0) } else { *at };
    consumer.take_confirmations(|reply| {
        context.out.publish_when(account, at, Outgoing::plain(reply, b""));
    });
    Ok(())
}
