//! JetStream in a core's turn: what arrives for it, and the routing of what it publishes.

use super::Shard;
use super::frame::{self, Message, Origin, SERVICE};
use super::room::ShardGate;
use crate::connection::outbound::{Source, Stamp};
use crate::jetstream::{Posted, Received, SubscriptionChange, Target};
use crate::protocol::{Publish, encode};
use crate::routing::{NewSubscription, SubKey};
use crate::types::{Pattern, ShardId};

impl Shard {
    /// A message met a subscription of JetStream. Whether it was taken.
    pub(super) fn serve(&mut self, sub: SubKey, message: &Message<'_>) -> bool {
        let Some(target) = Target::from_sid(self.router.subscription(sub).sid()) else {
            return false;
        };
        let publish = message.publish;
        let (headers, payload) = publish.payload.split_at(publish.header_len);
        let received = Received {
            account: message.account,
            subject: publish.subject,
            route: message.routed_by(),
            reply: publish.reply.unwrap_or_default(),
            headers,
            payload,
            origin: (message.origin.shard, message.origin.conn),
        };
        let Some(mut jetstream) = self.jetstream.take() else { return false };
        let now = self.now;
        jetstream.receive(target, &received, now, &mut ShardGate(self));
        self.jetstream = Some(jetstream);
        true
    }

    /// Whether JetStream leaves a request to this subject unanswered, as the reference does: a call
    /// that the API does not know. Of pulls and direct gets the requester hears that nobody is there.
    pub(super) fn is_silent_call(&self, subject: &[u8]) -> bool {
        const HEARD: [&[u8]; 2] = [b"CONSUMER.MSG.NEXT.", b"DIRECT.GET"];
        let call = subject.strip_prefix(b"$JS.API.");
        let is_unheard = |call: &[u8]| !HEARD.iter().any(|verb| call.starts_with(verb));
        self.jetstream.is_some() && call.is_some_and(is_unheard)
    }

    /// JetStream of another core has something to say.
    pub(super) fn on_meta(&mut self, from: ShardId, bytes: &[u8]) {
        let Some(mut jetstream) = self.jetstream.take() else { return };
        let now = self.now;
        jetstream.on_letter(from, bytes, now, &mut ShardGate(self));
        self.jetstream = Some(jetstream);
        self.cut_doomed();
    }

    /// The server stops: those who wait for messages are told, while their connections are open.
    pub fn stop_jetstream(&mut self) {
        let Some(mut jetstream) = self.jetstream.take() else { return };
        let now = self.now;
        jetstream.stop(now, &mut ShardGate(self));
        self.jetstream = Some(jetstream);
        self.route_posted();
    }

    /// Lets JetStream deliver, then routes what it published, until both are done or the turn's
    /// budget is.
    pub fn run_jetstream(&mut self) {
        let Some(mut jetstream) = self.jetstream.take() else { return };
        let now = self.now;
        if std::mem::take(&mut self.interest_moved) {
            jetstream.on_interest();
        }
        if self.room.take_opened() {
            jetstream.on_room();
        }
        self.pool.stamp = Stamp { at: now.mono, source: Source::Server };
        // Who gets it all must not be cut for it.
        let most = self.tuning.turn_outbound_bytes.min(self.settings.max_pending as usize / 4);
        let budget = most.saturating_sub(self.effects.outbound_bytes);
        jetstream.run(now, &mut ShardGate(self), budget);
        for released in jetstream.released() {
            self.latencies.on_released(released);
        }
        self.jetstream = Some(jetstream);
        self.route_posted();
        self.carry_out();
    }

    /// Routes what JetStream published. A message can meet a stream, which publishes its answer:
    /// each is routed in its turn.
    fn route_posted(&mut self) {
        let mut posted = std::mem::take(&mut self.posted);
        while self.jetstream.as_mut().is_some_and(|jetstream| jetstream.take_posted(&mut posted)) {
            while let Some(message) = posted.first() {
                self.publish_posted(&message);
                posted.pop();
            }
            self.carry_out();
        }
        self.posted = posted;
    }

    pub(super) fn publish_posted(&mut self, posted: &Posted<'_>) {
        let Some(fanout) = self.route(posted.account, posted.route) else { return };
        let (mut size, mut header_len) = ([0; DIGITS_MAX], [0; DIGITS_MAX]);
        let has_headers = posted.header_len > 0;
        let publish = Publish {
            subject: posted.subject,
            reply: Some(posted.reply).filter(|reply| !reply.is_empty()),
            header_len: posted.header_len,
            size_text: decimal(posted.body.len(), &mut size),
            header_len_text: match has_headers {
                true => decimal(posted.header_len, &mut header_len),
                false => &[],
            },
            payload: posted.body,
            tail: None,
            is_hpub: has_headers,
        };
        let mut tail = std::mem::take(&mut self.tail);
        tail.clear();
        encode::build_tail(&mut tail, &publish);
        let mut message = Message {
            origin: Origin::service(self.id),
            account: posted.account,
            route: (posted.route != posted.subject).then_some(posted.route),
            publish: &publish,
            tail: &tail,
            ask: 0,
        };
        self.fan_out(&mut message, &fanout, None, false);
        if fanout.reaches_others() {
            self.count_remote(posted, &fanout);
        }
        self.tail = tail;
    }

    /// Subscribes, unsubscribes and tells other cores what JetStream wants.
    fn carry_out(&mut self) {
        let Some(jetstream) = &mut self.jetstream else { return };
        if !jetstream.has_wishes() {
            return;
        }
        let changes = jetstream.take_subscription_changes();
        let letters = jetstream.take_letters();
        for change in changes {
            self.change_subscription(change);
        }
        for (shard, bytes) in letters {
            frame::push_meta(&mut self.peers.of(shard).data, &bytes);
        }
    }

    fn change_subscription(&mut self, change: SubscriptionChange) {
        let SubscriptionChange { key, wanted } = change;
        if !wanted {
            if let Some(sub) = self.service_subs.remove(&key) {
                self.router.unsubscribe(sub);
            }
            return;
        }
        let (account, ref pattern, target) = key;
        let Some(pattern) = Pattern::parse(pattern) else { return };
        let sid = target.to_sid();
        let (queue, owner) = (None, SERVICE.slot);
        let new = NewSubscription { account, pattern, queue, sid: &sid, owner };
        let sub = self.router.subscribe(new);
        self.service_subs.insert(key, sub);
    }
}

const DIGITS_MAX: usize = 20;

/// A number in decimal digits, in the caller's buffer.
fn decimal(mut number: usize, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}
