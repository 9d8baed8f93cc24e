//! What the streams of a core stand on: the logs, and the way out.

use std::sync::Arc;

use super::advisory::audit;
use super::context::{Context, Gate, Site};
use super::info::unsettled;
use super::ledger::Ledger;
use super::letter::Request;
use super::outbox::{Outbox, Outgoing, PostedQueue, Released};
use crate::storage::{Health, Log, Lsn};
use crate::types::{Now, Wall};

/// Which log of the core; `None` is memory.
pub type LogIndex = Option<u16>;

/// An answer, and the batch that must be settled before it goes out.
pub struct Reply {
    /// The whole block, or nothing.
    pub headers: Vec<u8>,
    pub body: Vec<u8>,
    pub at: Lsn,
    /// Who listens to the audit hears of it.
    pub is_audited: bool,
}

impl Reply {
    /// Tells nothing that is not on disk yet.
    pub fn now(body: Vec<u8>) -> Self {
        Self::when(Lsn(0), body)
    }

    pub fn when(at: Lsn, body: Vec<u8>) -> Self {
        Self { headers: Vec::new(), body, at, is_audited: true }
    }
}

#[derive(Debug, Default)]
pub struct Ground {
    pub site: Arc<Site>,
    pub logs: Vec<Log>,
    pub ledger: Ledger,
    /// By log, and one more for what rests on none: what waits in one waits for that log only.
    outboxes: Vec<Outbox>,
}

impl Ground {
    pub fn new(site: Arc<Site>, logs: Vec<Log>) -> Self {
        let outboxes = (0..=logs.len()).map(|_| Outbox::default()).collect();
        Self { site, logs, ledger: Ledger::default(), outboxes }
    }

    /// What an operation on a stream of this log is given.
    pub fn context<'a>(
        &'a mut self,
        log: LogIndex,
        now: Now,
        gate: &'a mut dyn Gate,
    ) -> Context<'a> {
        let outbox = log.map_or(self.logs.len(), usize::from);
        Context {
            now,
            log: log.and_then(|index| self.logs.get_mut(usize::from(index))),
            out: &mut self.outboxes[outbox],
            gate,
            site: &self.site,
            ledger: &self.ledger,
        }
    }

    pub fn log(&self, log: LogIndex) -> Option<&Log> {
        self.logs.get(usize::from(log?))
    }

    pub fn outbox(&mut self, log: LogIndex) -> &mut Outbox {
        let index = log.map_or(self.logs.len(), usize::from);
        &mut self.outboxes[index]
    }

    /// Answers a call when `at` is settled, and tells of it if it is audited and somebody listens.
    pub fn answer(&mut self, log: LogIndex, request: &Request, reply: &Reply, now: Wall) {
        let index = log.map_or(self.logs.len(), usize::from);
        let out = &mut self.outboxes[index];
        if !request.reply.is_empty() {
            let plain = Outgoing::plain(&request.reply, &reply.body);
            let message = Outgoing { headers: &reply.headers, ..plain };
            out.publish_timed(request.account(), reply.at, message, request.timed());
        }
        if reply.is_audited {
            audit(out, &self.site, now, request, &reply.body, reply.at);
        }
    }

    /// What waits for a log goes out if the log has settled it. One that failed settles no more: who
    /// waits for an answer is told that.
    pub fn release(&mut self) {
        for (log, outbox) in self.logs.iter().zip(&mut self.outboxes) {
            outbox.release(log.settled());
            if matches!(log.health(), Health::Poisoned(_)) {
                outbox.fail_held(unsettled);
            }
        }
    }

    /// What has gone out of each outbox and was timed.
    pub fn released(&mut self) -> impl Iterator<Item = &mut Released> {
        self.outboxes.iter_mut().map(Outbox::released)
    }

    /// Swaps what is to be routed for an emptied queue. False: there is nothing.
    pub fn take_posted(&mut self, emptied: &mut PostedQueue) -> bool {
        self.outboxes.iter_mut().any(|outbox| !outbox.is_empty() && outbox.take(emptied))
    }

    /// Bytes of what waits in the outboxes.
    pub fn outbox_bytes(&self) -> usize {
        self.outboxes.iter().map(Outbox::memory).sum()
    }
}
