//! What a turn asks of the runtime: coarse lists, emptied at the turn's end.

use super::moving::Socket;
use super::services::SystemRequest;
use crate::security::Proof;
use crate::types::ConnKey;
use crate::types::time::Mono;

#[derive(Debug, Default)]
pub struct Effects {
    /// Connections with bytes to send, each once.
    pub flush: Vec<ConnKey>,
    /// Connections that may be read again.
    pub resume: Vec<ConnKey>,
    /// Connections to close: what they are owed goes out first, unless `at_once`.
    pub close: Vec<Close>,
    /// Connections that leave for another core: their sockets are taken out of the ring, and handed to
    /// `on_parted` when no operation refers to them, if `may_part` still allows it.
    pub part: Vec<ConnKey>,
    /// Connections that came from another core, with their sockets.
    pub take: Vec<(ConnKey, Socket)>,
    /// Logins to check elsewhere; each is answered by `on_proved`.
    pub proofs: Vec<(ConnKey, Proof)>,
    /// Requests to the server that concern all cores; each is answered by `answer_system`.
    pub requests: Vec<SystemRequest>,
    /// Bytes produced for sockets in this turn, for the budget.
    pub outbound_bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Close {
    pub key: ConnKey,
    /// Without waiting for bytes owed: the peer does not read, or is gone.
    pub at_once: bool,
}

/// When the shard wants to be called though nothing arrived; the sooner, the smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wish {
    /// There is work left over from this turn.
    AtOnce,
    At(Mono),
    Never,
}
