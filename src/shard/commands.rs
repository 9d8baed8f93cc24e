//! What each command of a client does, with the reference's answers (facts/core-protocol.md).

use bytes::Bytes;

use super::delivery::Reached;
use super::frame::{Message, Origin};
use super::receive::Flow;
use super::{Shard, admission, trace};
use crate::protocol::{Publish, Violation, encode};
use crate::routing::{NewSubscription, SubKey};
use crate::types::{CloseReason, ConnKey, Pattern, Subject};

impl Shard {
    pub(super) fn publish(
        &mut self,
        key: ConnKey,
        publish: &Publish<'_>,
        whole: Option<&Bytes>,
    ) -> Flow {
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        if publish.is_hpub && !conn.manners.headers {
            self.close(key, CloseReason::MessageHeaderViolation);
            return Flow::Stop;
        }
        conn.counters.in_msgs += 1;
        conn.counters.in_bytes += publish.payload.len() as u64;
        self.totals.in_msgs += 1;
        self.totals.in_bytes += publish.payload.len() as u64;
        let manners = conn.manners;
        let account = conn.account;
        let now = self.now.mono;
        if self.heat.wants(self.totals.in_msgs) {
            let number = self.totals.in_msgs;
            self.heat.sample(number, publish.subject, conn.client, now, &self.hasher);
        }
        let permitted =
            conn.permit.as_mut().is_none_or(|permit| permit.publish(publish.subject, now));

        if manners.pedantic && !Subject::parse(publish.subject).is_some_and(Subject::is_literal) {
            self.send_error(key, "Invalid Publish Subject");
        }
        if !permitted || admission::is_reserved_subject(publish.subject) {
            self.refuse_publish(key, publish.subject);
            return Flow::Go;
        }
        if let Some(reply) = publish.reply.filter(|reply| admission::is_reserved_reply(reply)) {
            self.refuse_reply(key, reply);
            return Flow::Go;
        }
        if manners.verbose {
            self.send(key, |out| out.extend_from_slice(encode::OK));
        }
        let asking = manners.no_responders && publish.reply.is_some();
        let mut built = std::mem::take(&mut self.tail);
        let tail = publish.tail.unwrap_or_else(|| {
            built.clear();
            encode::build_tail(&mut built, publish);
            &built
        });
        let origin = Origin { shard: self.id, conn: key, echo: manners.echo };
        let mut message = Message { origin, account, route: None, publish, tail, ask: 0 };
        let answered = self.serve_system(&message);
        // Not earlier: each answer above can cut this connection, and with it subscriptions that a
        // fan-out would still name.
        let reached = match self.route(account, publish.subject) {
            Some(fanout) => self.fan_out(&mut message, &fanout, whole, asking),
            None => Reached::Nobody,
        };
        self.tail = built;
        let is_lost = reached == Reached::Nobody && !answered;
        if asking && is_lost && !self.is_silent_call(publish.subject) {
            let reply = publish.reply.unwrap_or_default();
            self.no_responders(key, publish.subject, reply);
            self.cut_doomed();
        }
        self.flow(key)
    }

    /// Whether a connection may go on after a command that could have paused or closed it.
    pub(super) fn flow(&self, key: ConnKey) -> Flow {
        if self.wants_read(key) { Flow::Go } else { Flow::Stop }
    }

    pub(super) fn subscribe_command(
        &mut self,
        key: ConnKey,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> Flow {
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        let (verbose, account) = (conn.manners.verbose, conn.account);
        if !self.permit_subscription(key, subject, queue, sid) {
            return Flow::Go;
        }
        let Some(pattern) = Pattern::parse(subject) else {
            self.send_error(key, "Invalid Subject");
            return self.flow(key);
        };
        let tokens_max = self.settings.max_sub_tokens;
        if tokens_max > 0 && pattern.tokens().count() > tokens_max {
            let subject = String::from_utf8_lossy(subject);
            let text =
                format!("Permissions Violation for Subscription to \"{subject}\", too many tokens");
            self.send_error(key, &text);
            return self.flow(key);
        }
        let conn = self.connections.owner(key.slot);
        if conn.sids.find(sid, &self.hasher, &self.router).is_none() {
            let subscriptions_max = self.settings.max_subscriptions;
            if subscriptions_max > 0 && conn.sids.len() >= subscriptions_max {
                self.send_error(key, "maximum subscriptions exceeded");
                return self.flow(key);
            }
            let owner = key.slot;
            let new = NewSubscription { account, pattern, queue, sid, owner };
            let sub = self.router.subscribe(new);
            self.interest_moved = true;
            let conn = self.connections.owner_mut(key.slot);
            conn.sids.insert(sub, &self.hasher, &self.router);
        }
        if verbose {
            self.send(key, |out| out.extend_from_slice(encode::OK));
        }
        self.flow(key)
    }

    pub(super) fn unsubscribe_command(
        &mut self,
        key: ConnKey,
        sid: &[u8],
        max: Option<u64>,
    ) -> Flow {
        let Some(conn) = self.connections.get(key) else { return Flow::Stop };
        let verbose = conn.manners.verbose;
        if let Some(sub) = conn.sids.find(sid, &self.hasher, &self.router) {
            let subscription = self.router.subscription_mut(sub);
            match max {
                Some(max) if max > subscription.delivered() => subscription.set_max(max),
                _ => self.unsubscribe(sub),
            }
        }
        if verbose {
            self.send(key, |out| out.extend_from_slice(encode::OK));
        }
        self.flow(key)
    }

    /// Ends a subscription; its owner is still there.
    pub(super) fn unsubscribe(&mut self, sub: SubKey) {
        let owner = self.router.subscription(sub).owner();
        let conn = self.connections.owner_mut(owner);
        if self.settings.trace.is_some() {
            trace::ended(&conn.label(), self.router.subscription(sub).sid());
        }
        conn.sids.remove(sub, &self.hasher, &self.router);
        self.router.unsubscribe(sub);
        self.interest_moved = true;
    }

    pub(super) fn ping(&mut self, key: ConnKey) -> Flow {
        self.send(key, |out| out.extend_from_slice(encode::PONG));
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        if !conn.greeted && conn.manners.introduced {
            conn.greeted = true;
            if conn.manners.async_info {
                self.send_info(key, true);
            }
        }
        self.flow(key)
    }

    pub(super) fn pong(&mut self, key: ConnKey) -> Flow {
        let now = self.now.mono;
        if let Some(conn) = self.connections.get_mut(key) {
            conn.keepalive.on_pong(now);
        }
        Flow::Go
    }

    /// `-ERR` from a client: the reference closes without a word.
    pub(super) fn client_error(&mut self, key: ConnKey) -> Flow {
        self.close(key, CloseReason::ParseError);
        Flow::Stop
    }

    /// A broken rule: last words, if the reference has any, and the end.
    pub(super) fn violate(&mut self, key: ConnKey, violation: Violation) {
        if let Some(text) = violation.text {
            self.send_error(key, text);
        }
        self.close(key, violation.reason);
    }

    pub(super) fn send_error(&mut self, key: ConnKey, text: &str) {
        self.send(key, |out| encode::error(out, text));
    }

    /// Lets `write` add to what a connection is owed. One that does not read its answers is cut
    /// for them as for messages. Not while a list of subscribers is walked.
    pub(super) fn send(&mut self, key: ConnKey, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        let out = conn.outbound.buffer(&mut self.pool);
        let before = out.len();
        write(out);
        if self.settings.trace.is_some() {
            trace::answer(&conn.profile.logged_as(conn.client), &out[before..]);
        }
        let owed = conn.outbound.owed();
        self.list_flush(key);
        if owed > self.settings.max_pending {
            self.cut_slow_consumer(key, CloseReason::SlowConsumerPendingBytes);
        }
    }
}
