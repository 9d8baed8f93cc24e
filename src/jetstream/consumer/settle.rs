//! What acknowledgements do.

use super::super::advisory::ConsumerAdvisory;
use super::super::config::AckPolicy;
use super::super::context::Context;
use super::super::headers;
use super::super::outbox::Outgoing;
use super::super::store::Store;
use super::ack::{AckBody, AckTokens, number};
use super::push::FLOW_PREFIX;
use super::start::acks_by_flow;
use super::*;

/// What became of an acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// The consumer takes none; who asked for an answer hears that nobody is there.
    Nobody,
    Done,
    /// A poll may deliver something now.
    Poll,
}

impl Consumer {
    /// A client acknowledged a delivery, or said something else of it. An empty `reply`: it wants
    /// no answer.
    pub fn on_ack(
        &mut self,
        ctx: &mut Context<'_>,
        store: &Store,
        tokens: &AckTokens<'_>,
        payload: &[u8],
        reply: &[u8],
    ) -> Answered {
        if self.settings.ack == AckPolicy::None || acks_by_flow(self.settings.ack) {
            return Answered::Nobody;
        }
        self.active_at = ctx.now.mono;
        let was_full = self.is_full();
        // No delivery has such a number: who claims it is not answered.
        let told: &[u8] = if tokens.stream_seq == Seq(0) { b"" } else { reply };
        match AckBody::parse(payload) {
            AckBody::Ack => {
                if self.acknowledge(ctx, tokens, true) {
                    self.confirm(ctx, reply);
                }
            }
            AckBody::Next { request } => {
                self.acknowledge(ctx, tokens, true);
                self.on_pull(ctx, store, request, reply, b"");
                return Answered::Poll;
            }
            AckBody::Nak { delay } => {
                let is_ignored = mutation::is(Mutation::NakDelayIgnored);
                let delay = if is_ignored { 0 } else { delay };
                self.redeliver(ctx, tokens, delay);
                self.answer(ctx, told);
            }
            AckBody::Progress => {
                self.extend(ctx, tokens);
                self.answer(ctx, told);
            }
            AckBody::Term { reason } => {
                if self.acknowledge(ctx, tokens, false) {
                    self.confirm(ctx, reply);
                }
                self.tell_terminated(ctx, tokens, reason);
            }
            AckBody::Unknown => self.answer(ctx, reply),
        }
        let has_more = self.state.pending.queued() > 0 || was_full && !self.is_full();
        if has_more && self.is_waiting() { Answered::Poll } else { Answered::Done }
    }

    /// A delivery is done. False: there was no such delivery. `is_success`: it may be sampled.
    fn acknowledge(
        &mut self,
        ctx: &mut Context<'_>,
        tokens: &AckTokens<'_>,
        is_success: bool,
    ) -> bool {
        let seq = tokens.stream_seq;
        if seq >= self.state.cursor {
            return false;
        }
        self.last_ack = ctx.now.wall;
        if self.settings.ack == AckPolicy::All {
            self.acknowledge_all(ctx, tokens);
            return true;
        }
        let Some(held) = self.state.pending.get(seq) else { return true };
        let wait = self.settings.wait(held.deliveries);
        let since = Mono(held.due.0.saturating_sub(wait));
        if is_success && !held.is_spent {
            ctx.out.on_acknowledged(since);
        }
        if is_success && !held.is_spent && self.is_sampled() {
            let told = ConsumerAdvisory::Acked {
                consumer_seq: tokens.consumer_seq.0,
                stream_seq: seq.0,
                ack_time: ctx.now.mono.since(since),
                deliveries: tokens.deliveries,
            };
            told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
        }
        self.apply(Step::Done(seq), ctx.now);
        if self.is_retaining {
            self.finished.push(seq);
        }
        true
    }

    fn acknowledge_all(&mut self, ctx: &Context<'_>, tokens: &AckTokens<'_>) {
        self.finish_to(tokens.stream_seq, tokens.consumer_seq, ctx.now);
    }

    /// Everything up to a delivery is done.
    fn finish_to(&mut self, seq: Seq, told: ConsumerSeq, now: Now) {
        if seq <= self.state.floor.stream {
            return;
        }
        // A client may claim any number, and the delivery it means may be older than one that
        // moved the floor. The floor neither falls nor rises above what was delivered.
        let consumer_seq = told.min(self.state.delivered).max(self.state.floor.consumer);
        if self.is_retaining {
            let done = self.state.pending.iter().take_while(|held| held.seq <= seq);
            self.finished.extend(done.map(|held| held.seq));
        }
        self.apply(Step::DoneTo(seq, consumer_seq), now);
    }

    fn is_sampled(&mut self) -> bool {
        match self.settings.sample_percent {
            0 => false,
            100.. => true,
            percent => self.random(100) < u64::from(percent),
        }
    }

    /// A client wants a message again, after so many nanoseconds.
    fn redeliver(&mut self, ctx: &mut Context<'_>, tokens: &AckTokens<'_>, delay: u64) {
        let seq = tokens.stream_seq;
        let Some(held) = self.state.pending.get(seq).filter(|held| !held.is_spent) else { return };
        let told = ConsumerAdvisory::Naked {
            consumer_seq: tokens.consumer_seq.0,
            stream_seq: seq.0,
            deliveries: tokens.deliveries,
        };
        told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
        if delay > 0 {
            self.apply(Step::Postpone(seq, ctx.now.mono.plus(delay)), ctx.now);
            self.last_delivery = ctx.now.wall;
        } else if !held.is_queued {
            // Noted as due now, so that a restart does not make it wait.
            self.apply(Step::Postpone(seq, ctx.now.mono), ctx.now);
            self.state.pending.queue(seq);
        }
    }

    /// A client is still at work: its time begins anew.
    fn extend(&mut self, ctx: &Context<'_>, tokens: &AckTokens<'_>) {
        let seq = tokens.stream_seq;
        let Some(held) = self.state.pending.get(seq) else { return };
        if held.is_queued {
            self.last_delivery = ctx.now.wall;
            return;
        }
        let due = ctx.now.mono.plus(self.settings.wait(held.deliveries));
        if !held.is_spent {
            self.apply(Step::Postpone(seq, due), ctx.now);
            self.last_delivery = ctx.now.wall;
        }
    }

    fn tell_terminated(&self, ctx: &mut Context<'_>, tokens: &AckTokens<'_>, reason: &[u8]) {
        let told = ConsumerAdvisory::Terminated {
            consumer_seq: tokens.consumer_seq.0,
            stream_seq: tokens.stream_seq.0,
            deliveries: tokens.deliveries,
            reason: &String::from_utf8_lossy(reason),
        };
        told.publish(ctx.out, ctx.site, ctx.now.wall, self.about());
    }

    /// Answers at once.
    fn answer(&self, ctx: &mut Context<'_>, reply: &[u8]) {
        if !reply.is_empty() {
            ctx.out.publish(self.account, Outgoing::plain(reply, b""));
        }
    }

    /// Answers when what was acknowledged cannot be forgotten any more.
    fn confirm(&mut self, ctx: &mut Context<'_>, reply: &[u8]) {
        match u16::try_from(reply.len()) {
            Ok(len) if self.journal.is_some() && len > 0 => {
                self.confirmations.extend_from_slice(&len.to_le_bytes());
                self.confirmations.extend_from_slice(reply);
            }
            // A control line of the protocol is shorter than a reply that would not fit.
            _ => self.answer(ctx, reply),
        }
    }

    /// Double acks to answer, each with an empty message, once the entry taken before
    /// ([`Consumer::take_journal`]) is durable: `answer` gets the reply subjects.
    pub fn take_confirmations(&mut self, mut answer: impl FnMut(&[u8])) {
        let mut rest = &self.confirmations[..];
        while let [low, high, replies @ ..] = rest {
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            let (reply, others) = replies.split_at(len.min(replies.len()));
            answer(reply);
            rest = others;
        }
        self.confirmations.clear();
    }

    /// A push client answered to flow control, on `$JS.FC.<stream>.<consumer>.<id>`.
    pub fn on_flow_reply(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &[u8],
        block: &[u8],
    ) -> Answered {
        let Way::Push(push) = &mut self.way else { return Answered::Nobody };
        let Some(flow) = &mut push.flow else { return Answered::Nobody };
        let Some(id) = subject.rsplit(|&byte| byte == b'.').next() else { return Answered::Done };
        if !flow.answered(id) {
            return Answered::Done;
        }
        self.active_at = ctx.now.mono;
        if acks_by_flow(self.settings.ack) {
            let told = |name| headers::get(block, name).and_then(number);
            let (consumer, stream) = (told("Nats-Last-Consumer"), told("Nats-Last-Stream"));
            if let (Some(consumer), Some(stream)) = (consumer, stream)
                && Seq(stream) < self.state.cursor
            {
                self.last_ack = ctx.now.wall;
                self.finish_to(Seq(stream), ConsumerSeq(consumer), ctx.now);
            }
        }
        Answered::Poll
    }

    /// Asks the client to say how far it is.
    pub(super) fn ask_flow(&mut self, desk: &mut Desk<'_>, now: Now) {
        let Way::Push(push) = &mut self.way else { return };
        let Some(flow) = &mut push.flow else { return };
        let delivered = self.state.delivered.0.to_le_bytes();
        let parts = [self.stream.as_bytes(), self.name.as_bytes(), &delivered];
        let id = flow.ask(now.wall, &parts);
        let reply = flow_subject(&self.stream, &self.name, &id);
        status::send_flow_control(desk.out, desk.account, &push.deliver_subject, &reply);
    }
}

/// What a client answers to.
pub(super) fn flow_subject(stream: &str, consumer: &str, id: &[u8]) -> Vec<u8> {
    [FLOW_PREFIX, stream.as_bytes(), b".", consumer.as_bytes(), b".", id].concat()
}
