//! What every operation of JetStream is given: the time, the log, and the world outside.

use super::config::Mode;
use super::ledger::Ledger;
use super::outbox::Outbox;
use crate::config::JetStream as Options;
use crate::storage::Log;
use crate::types::{AccountId, ConnKey, Now, Wall};

/// What is the same for all streams of a server.
#[derive(Clone, Debug, Default)]
pub struct Site {
    pub server_name: String,
    pub server_id: String,
    /// `2.15.1`: what clients gate on.
    pub version: String,
    pub domain: Option<String>,
    pub options: Options,
}

impl Site {
    /// Whether unknown fields in requests are errors.
    pub fn mode(&self) -> Mode {
        if self.options.strict { Mode::Strict } else { Mode::Lenient }
    }
}

/// Whether a message for a subject would find somebody, and room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GateState {
    Nobody,
    Open,
    /// Whoever listens is owed enough for now. The host polls again when there is room.
    Crowded,
}

/// A client that called the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub start: Wall,
    /// Its address without the port.
    pub host: String,
    pub id: u64,
    /// Empty, as the rest, where it gave none.
    pub user: String,
    pub name: String,
    pub lang: String,
    pub version: String,
    pub rtt_ns: u64,
}

/// What the shard knows about whom a delivery would reach, and about who calls.
pub trait Gate {
    fn state(&mut self, account: AccountId, route: &[u8]) -> GateState;

    /// Whether somebody subscribed to this very subject: clients have patterns for all inboxes
    /// they may ever use.
    fn is_named(&mut self, account: AccountId, subject: &[u8]) -> bool {
        self.state(account, subject) != GateState::Nobody
    }

    /// A client of this core. `None`: it is gone, or is none.
    fn caller(&self, _conn: ConnKey) -> Option<Caller> {
        None
    }

    /// Tells a client of this core, if it asked for that, that nobody received its request.
    fn nobody(&mut self, _conn: ConnKey, _subject: &[u8], _reply: &[u8]) {}
}

pub struct Context<'a> {
    pub now: Now,
    /// The log of the stream at hand; `None` for one in memory.
    pub log: Option<&'a mut Log>,
    pub out: &'a mut Outbox,
    pub gate: &'a mut dyn Gate,
    pub site: &'a Site,
    pub ledger: &'a Ledger,
}
