//! From bytes of a socket to commands, and their dispatch.

use bytes::Bytes;

use super::{Shard, trace};
use crate::connection::Pauses;
use crate::connection::inbound::Missing;
use crate::connection::outbound::{Source, Stamp};
use crate::protocol::{Command, Step, parser};
use crate::types::ConnKey;
use crate::types::mutation::{self, Mutation};

/// Whether to look at the next command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Go,
    /// The connection is closing, or must not be read for a while.
    Stop,
}

impl Shard {
    /// Executes the commands in `bytes`, which follow those received before.
    pub fn on_received(&mut self, key: ConnKey, mut bytes: &[u8]) {
        let now = self.now.mono;
        let Some(conn) = self.connections.get_mut(key) else { return };
        conn.keepalive.on_bytes(now);
        while !bytes.is_empty() {
            let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
                return;
            };
            if conn.pauses.contains(Pauses::BUDGET) {
                conn.inbound.append(bytes);
                return;
            }
            if conn.inbound.is_empty() {
                self.run(key, bytes, None);
                break;
            }
            let taken = conn.inbound.complete_from(bytes);
            bytes = &bytes[taken..];
            self.run_stashed(key);
        }
        self.end_of_read(key);
    }

    /// Bytes were read straight into the stash ([`Shard::direct_read`]).
    pub fn on_received_direct(&mut self, key: ConnKey) {
        let now = self.now.mono;
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        conn.keepalive.on_bytes(now);
        self.run_stashed(key);
        self.end_of_read(key);
    }

    /// Bytes are read now, unless some that were read before still wait for the lanes.
    pub fn on_obtain(&mut self, may_read: bool) {
        if may_read {
            self.latencies.obtained = self.now.mono;
        }
        self.begin_reads();
    }

    /// What follows comes from reads of this core's sockets.
    pub fn begin_reads(&mut self) {
        self.pool.stamp = Stamp { at: self.latencies.obtained, source: Source::Here };
    }

    /// Where the rest of a large payload may be read to, and how many bytes of it are missing.
    pub fn direct_read(&mut self, key: ConnKey) -> Option<(&mut Vec<u8>, usize)> {
        let inbound = &mut self.connections.get_mut(key)?.inbound;
        let len = inbound.direct_read_len()?;
        Some((inbound.direct(), len))
    }

    /// Whether the socket may be read: nothing pauses it and it is not closing.
    pub fn wants_read(&self, key: ConnKey) -> bool {
        self.connections.get(key).is_some_and(|conn| conn.is_open() && !conn.pauses.any())
    }

    /// Goes on with connections whose read was cut short by the turn's budget.
    pub fn run_backlog(&mut self) {
        for key in std::mem::take(&mut self.backlog) {
            let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
                continue;
            };
            if conn.pauses.waits_for_others() {
                continue; // `unpause` lists it again.
            }
            if conn.pauses.remove(Pauses::BUDGET) {
                self.effects.resume.push(key);
            }
            self.pool.stamp = Stamp { at: conn.stashed_at, source: Source::Here };
            self.run_stashed(key);
            self.end_of_read(key);
        }
        self.begin_reads();
    }

    /// Ends one reason not to read a connection.
    pub(super) fn unpause(&mut self, key: ConnKey, pause: Pauses) {
        let Some(conn) = self.connections.get_mut(key) else { return };
        if !conn.pauses.contains(pause) || mutation::active(Mutation::LosePause) {
            return;
        }
        if conn.pauses.remove(pause) {
            self.effects.resume.push(key);
        } else if !conn.pauses.waits_for_others() && !self.backlog.contains(&key) {
            self.backlog.push(key);
        }
    }

    /// Executes the front of the stash, if it is whole.
    fn run_stashed(&mut self, key: ConnKey) {
        let Some(conn) = self.connections.get_mut(key) else { return };
        if let Missing::Bytes(_) = conn.inbound.missing() {
            return;
        }
        let stash = conn.inbound.take();
        if stash.len() < self.tuning.shared_payload_bytes {
            match parser::next(&stash, &self.settings.parser) {
                Ok(Step::Incomplete { needed }) => conn.inbound.restore(stash, needed),
                _ => {
                    self.run(key, &stash, None);
                    self.pool.give(stash);
                }
            }
        } else {
            // The payload is in a buffer of its own: subscribers share it without a copy.
            let whole = Bytes::from(stash);
            self.run(key, &whole, Some(&whole));
        }
    }

    /// Executes commands until the bytes end, a budget is spent, or the connection must wait.
    /// What is left goes to the stash.
    fn run(&mut self, key: ConnKey, bytes: &[u8], whole: Option<&Bytes>) {
        let mut at = 0;
        let mut needed = 0;
        let mut guarded = self.is_guarded(key);
        while at < bytes.len() {
            if guarded && !self.pass_gate(key, bytes[at]) {
                return;
            }
            // Matched by reference: a command that is moved is read back wider than it was written,
            // which stalls.
            match &parser::next(&bytes[at..], &self.settings.parser) {
                Ok(Step::Command { command, consumed }) => {
                    at += consumed;
                    if self.execute(key, command, whole) == Flow::Stop
                        || self.effects.outbound_bytes > self.tuning.turn_outbound_bytes
                    {
                        break;
                    }
                    guarded = guarded && self.is_guarded(key);
                }
                Ok(Step::Incomplete { needed: bytes_needed }) => {
                    needed = *bytes_needed;
                    break;
                }
                Err(violation) => {
                    self.violate(key, *violation);
                    return;
                }
            }
        }
        self.keep_rest(key, &bytes[at..], needed);
    }

    /// Stashes what was not executed, and decides when to go on with it.
    fn keep_rest(&mut self, key: ConnKey, rest: &[u8], needed: usize) {
        let Some(conn) = self.connections.get_mut(key).filter(|conn| conn.is_open()) else {
            return;
        };
        if rest.is_empty() {
            return;
        }
        conn.inbound.stash(rest, needed);
        let cut_short =
            self.effects.outbound_bytes > self.tuning.turn_outbound_bytes || conn.pauses.any();
        if cut_short && needed == 0 && !conn.pauses.contains(Pauses::BUDGET) {
            conn.pauses.add(Pauses::BUDGET);
            conn.stashed_at = self.pool.stamp.at;
            if !conn.pauses.waits_for_others() {
                self.backlog.push(key);
            }
        }
    }

    fn execute(&mut self, key: ConnKey, command: &Command<'_>, whole: Option<&Bytes>) -> Flow {
        if let Some(how) = &self.settings.trace {
            trace::command(&self.label(key), command, how);
        }
        match command {
            Command::Publish(publish) => self.publish(key, publish, whole),
            Command::Subscribe { subject, queue, sid } => {
                self.subscribe_command(key, subject, *queue, sid)
            }
            Command::Unsubscribe { sid, max } => self.unsubscribe_command(key, sid, *max),
            Command::Ping => self.ping(key),
            Command::Pong => self.pong(key),
            Command::Connect(json) => self.connect(key, json),
            Command::Ignored => Flow::Go,
            Command::Error => self.client_error(key),
        }
    }
}
