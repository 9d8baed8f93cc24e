//! Who a connection is, and what follows from it: CONNECT, the time it may take, logins that are
//! checked elsewhere, and new users at a reload.
//!
//! ```text
//!   opened ──nobody is guarded against──▶ Gate::Open
//!      └─▶ Gate::Connect ──CONNECT──▶ (Pauses::LOGIN while a proof is checked) ──▶ Gate::Open
//!              └──anything else, or no time left──▶ closed
//! ```

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::{debug, error, info};

use super::Shard;
use super::receive::Flow;
use super::timers::Due;
use crate::connection::{Connection, Gate, Journey, Pauses};
use crate::protocol::{Violation, encode};
use crate::security::{Permit, Proof, Standing, User, Verdict};
use crate::types::{CloseReason, ConnKey};

impl Shard {
    /// A new connection has to introduce itself, where not everybody may come in.
    pub(super) fn guard(&mut self, key: ConnKey) {
        let access = &self.settings.access;
        let Some(conn) = self.connections.get_mut(key) else { return };
        if access.is_guarded() {
            conn.gate = Gate::Connect;
            self.timers.set(self.now.mono.plus(access.timeout_ns), Due::Login(key));
        }
    }

    pub(super) fn is_guarded(&self, key: ConnKey) -> bool {
        self.connections.get(key).is_some_and(|conn| conn.gate != Gate::Open)
    }

    /// Whether a command that begins so may be looked at before CONNECT. The reference judges by
    /// the first byte.
    pub(super) fn pass_gate(&mut self, key: ConnKey, first: u8) -> bool {
        if first.eq_ignore_ascii_case(&b'C') {
            return true;
        }
        let Some(user) = self.settings.access.unintroduced().map(Arc::clone) else {
            self.refuse_login(key);
            return false;
        };
        let Some(conn) = self.connections.get_mut(key) else { return false };
        conn.manners.introduced = true;
        log_in(conn, Some(user));
        true
    }

    pub(super) fn connect(&mut self, key: ConnKey, json: &[u8]) -> Flow {
        let (now, interval) = (self.now.mono, self.settings.ping_interval_ns);
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        if let Err(violation) = conn.profile.options.update(json) {
            self.violate(key, violation);
            return Flow::Stop;
        }
        if conn.manners.introduced {
            // The client begins anew.
            for sub in conn.sids.take() {
                self.router.unsubscribe(sub);
            }
        } else {
            let at = conn.keepalive.on_connect(now, interval);
            self.check_keepalive_at(key, at);
        }
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        match self.settings.access.check(&conn.profile.presented(), conn.client) {
            Verdict::Admitted(user) => self.admit(key, user),
            Verdict::Refused => {
                self.refuse_login(key);
                Flow::Stop
            }
            Verdict::Prove(proof, user) => {
                conn.profile.login = Some(user);
                conn.gate = Gate::Open;
                // With both, what it sends meanwhile is set aside, and executed afterwards.
                conn.pauses.add(Pauses::LOGIN);
                conn.pauses.add(Pauses::BUDGET);
                self.ask_proof(key, proof);
                Flow::Stop
            }
        }
    }

    /// The answer to one of [`super::effects::Effects::proofs`].
    pub fn on_proved(&mut self, key: ConnKey, holds: bool) {
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        conn.proofs = conn.proofs.saturating_sub(1);
        let was_waiting = conn.pauses.contains(Pauses::LOGIN);
        if !holds {
            self.refuse_login(key);
        } else if was_waiting {
            // The users may have changed meanwhile.
            let login = conn.profile.login.take();
            let presented = conn.profile.presented();
            let access = &self.settings.access;
            match access.check_again(&presented, conn.client, login.as_deref()) {
                Standing::Known(Verdict::Admitted(user)) => _ = self.admit(key, user),
                _ => self.refuse_login(key),
            }
            self.unpause(key, Pauses::LOGIN);
        }
    }

    /// The client is who it says it is, or need not be anybody.
    fn admit(&mut self, key: ConnKey, user: Option<Arc<User>>) -> Flow {
        let headers_supported = !self.settings.no_header_support;
        let Some(conn) = self.connections.get_mut(key) else { return Flow::Stop };
        let is_first = !conn.manners.introduced;
        if !conn.profile.options.credentials.account.is_empty() {
            // Accounts are not for clients to choose.
            self.refuse_login(key);
            return Flow::Stop;
        }
        log_in(conn, user);
        if is_first {
            conn.profile.set_label();
        }
        if let Err(violation) = conn.introduce(headers_supported) {
            self.violate(key, violation);
            return Flow::Stop;
        }
        if conn.manners.verbose {
            self.send(key, |out| out.extend_from_slice(encode::OK));
        }
        self.flow(key)
    }

    fn refuse_login(&mut self, key: ConnKey) {
        let Some(conn) = self.connections.get(key).filter(|conn| conn.is_open()) else { return };
        let label = conn.profile.logged_as(conn.client);
        match conn.profile.described() {
            Some(user) => error!("{label} - authentication error - {user}"),
            None => error!("{label} - authentication error"),
        }
        self.violate(key, Violation::UNAUTHORIZED);
    }

    /// The time for CONNECT is over.
    pub(super) fn check_login(&mut self, key: ConnKey) {
        if self.is_guarded(key) {
            debug!("{} - Authentication Timeout", self.label(key));
            self.violate(key, Violation::AUTHENTICATION_TIMEOUT);
        }
    }

    /// The users changed: each connection is judged anew, and its subscriptions too.
    pub(super) fn admit_all_again(&mut self) {
        for key in self.connections.keys() {
            self.admit_again(key);
        }
    }

    pub(super) fn admit_again(&mut self, key: ConnKey) {
        let access = Arc::clone(&self.settings.access);
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        if conn.gate != Gate::Open || conn.pauses.contains(Pauses::LOGIN) {
            return; // CONNECT is judged when it comes, or was just now.
        }
        if conn.journey == Journey::Arriving {
            return; // Its old core judges, and this one when it is here.
        }
        let presented = conn.profile.presented();
        let login = conn.profile.login.as_deref();
        match access.check_again(&presented, conn.client, login) {
            Standing::Gone => self.close(key, CloseReason::ClientClosed),
            Standing::Known(Verdict::Refused) => self.refuse_login(key),
            Standing::Known(Verdict::Admitted(user)) => {
                log_in(conn, user);
                self.drop_forbidden(key);
            }
            Standing::Known(Verdict::Prove(proof, user)) => {
                log_in(conn, Some(user));
                self.ask_proof(key, proof);
                self.drop_forbidden(key);
            }
        }
    }

    fn ask_proof(&mut self, key: ConnKey, proof: Proof) {
        if let Some(conn) = self.connections.get_mut(key) {
            conn.proofs += 1;
            self.effects.proofs.push((key, proof));
        }
    }

    fn drop_forbidden(&mut self, key: ConnKey) {
        let Some(conn) = self.connections.get_mut(key) else { return };
        let Some(permit) = &mut conn.permit else { return };
        let user = conn.profile.described().unwrap_or_else(|| "User \"N/A\"".to_owned());
        let mut forbidden = Vec::new();
        for sub in conn.sids.iter() {
            let (_, pattern) = self.router.pattern_of(sub);
            let queue = self.router.queue_of(sub);
            if !permit.subscribe(pattern, queue) {
                let sid = quoted(self.router.subscription(sub).sid());
                forbidden.push((sub, quoted(pattern), queue.map(quoted), sid));
            }
        }
        for (sub, subject, queue, sid) in forbidden {
            self.unsubscribe(sub);
            let queue = queue.map(|queue| format!(" using queue {queue}")).unwrap_or_default();
            self.send_error(
                key,
                &format!("Permissions Violation for Subscription to {subject}{queue} (sid {sid})"),
            );
            info!("Removed sub {subject}{queue} (sid {sid}) for {user} - not authorized");
        }
    }

    /// A message that this client may not publish, or nobody may.
    pub(super) fn refuse_publish(&mut self, key: ConnKey, subject: &[u8]) {
        let (label, subject) = (self.label(key), quoted(subject));
        self.send_error(key, &format!("Permissions Violation for Publish to {subject}"));
        error!("{label} - Publish Violation - Subject {subject}");
    }

    pub(super) fn refuse_reply(&mut self, key: ConnKey, reply: &[u8]) {
        let (label, reply) = (self.label(key), quoted(reply));
        self.send_error(key, &format!("Permissions Violation for Publish with Reply of {reply}"));
        error!("{label} - Publish Violation - Reply {reply}");
    }

    /// Whether a subscription is allowed; if not, its client is told.
    pub(super) fn permit_subscription(
        &mut self,
        key: ConnKey,
        subject: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> bool {
        let permit = self.connections.get_mut(key).and_then(|conn| conn.permit.as_mut());
        let permitted = permit.is_none_or(|permit| permit.subscribe(subject, queue));
        if permitted && queue != Some(SYSTEM_QUEUE) {
            return true;
        }
        let (subject, sid) = (quoted(subject), String::from_utf8_lossy(sid).into_owned());
        let label = self.label(key);
        let (in_text, in_log) = match queue.map(quoted) {
            Some(queue) => (format!(" using queue {queue}"), format!(", Queue: {queue}")),
            None => (String::new(), String::new()),
        };
        self.send_error(
            key,
            &format!("Permissions Violation for Subscription to {subject}{in_text}"),
        );
        error!("{label} - Subscription Violation - Subject {subject}{in_log}, SID {sid}");
        false
    }
}

/// The server's own queue group.
const SYSTEM_QUEUE: &[u8] = b"_sys_";

/// Subjects and replies that only servers use among themselves.
pub(super) fn is_reserved_subject(subject: &[u8]) -> bool {
    begins(subject, b"_GR_.") || subject.starts_with(b"$NRG.")
}

pub(super) fn is_reserved_reply(reply: &[u8]) -> bool {
    reply.starts_with(b"_R_.") || begins(reply, b"_GR_.") || begins(reply, b"$JS.ACK.")
}

/// Begins so, and goes on.
fn begins(subject: &[u8], prefix: &[u8]) -> bool {
    subject.len() > prefix.len() && subject.starts_with(prefix)
}

/// Lets the connection in as this user, with the permissions it has now.
fn log_in(conn: &mut Connection, user: Option<Arc<User>>) {
    let rules = user.as_ref().and_then(|user| user.rules.clone());
    conn.permit = rules.map(|rules| Box::new(Permit::new(rules)));
    conn.profile.login = user;
    conn.gate = Gate::Open;
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}
