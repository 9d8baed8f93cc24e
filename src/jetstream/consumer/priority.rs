//! Priority groups: which of the pulls of a group are served, and when.
//!
//! - overflow: a pull is served only while enough is pending, or unacknowledged.
//! - pinned client: one client gets everything as long as it keeps asking.
//! - prioritized: pulls with a lower number first.

use super::super::advisory::{AboutConsumer, ConsumerAdvisory, ID_LEN, id_of};
use super::super::config::{ConsumerConfig, PriorityPolicy};
use super::super::context::Site;
use super::super::outbox::Outbox;
use super::pull::Waiting;
use super::request::PullRequest;
use super::status::Status;
use crate::types::{Mono, Wall};

pub type PinId = [u8; ID_LEN];

#[derive(Debug)]
pub struct Priority {
    pub policy: PriorityPolicy,
    pub groups: Box<[Box<str>]>,
    /// The account's name, which advisories tell.
    pub account: Box<str>,
    /// Nanoseconds a pinned client may be silent.
    timeout: u64,
    pub pin: Option<Pin>,
}

/// The client that gets everything.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    pub id: PinId,
    pub since: Wall,
    /// It is unpinned then, unless it asks or is served before.
    pub ends: Mono,
    /// Its place among the groups.
    pub group: usize,
}

/// Whether a pull may be served now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    Yes,
    NotNow,
    /// It is of a client that is pinned no more.
    WrongPin,
}

/// What is left and what is out.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Messages to be delivered for the first time, this one included.
    pub pending: u64,
    pub ack_pending: usize,
}

impl Priority {
    /// `None`: the consumer has no policy.
    pub fn of(config: &ConsumerConfig, account: &str) -> Option<Self> {
        (config.priority_policy != PriorityPolicy::None).then(|| Self {
            policy: config.priority_policy,
            groups: config.priority_groups.iter().map(|group| group.as_str().into()).collect(),
            account: account.into(),
            timeout: config.priority_timeout.ns(),
            pin: None,
        })
    }

    pub fn group(&self, name: &str) -> Option<usize> {
        self.groups.iter().position(|group| **group == *name)
    }

    /// Checks that a pull asks for nothing that only another policy has.
    pub fn check_policy(
        this: Option<&Self>,
        request: &PullRequest<'_>,
    ) -> Result<(), Status<'static>> {
        let policy = this.map_or(PriorityPolicy::None, |priority| priority.policy);
        let asks_overflow = request.min_pending != 0 || request.min_ack_pending != 0;
        if asks_overflow && policy != PriorityPolicy::Overflow {
            return Err(Status::BadRequest("Not a Overflow Priority consumer"));
        }
        if !request.id.is_empty() && policy != PriorityPolicy::PinnedClient {
            return Err(Status::BadRequest("Not a Pinned Client Priority consumer"));
        }
        Ok(())
    }

    /// Checks what a pull says of groups.
    pub fn check(this: Option<&Self>, request: &PullRequest<'_>) -> Result<(), Status<'static>> {
        let Some(priority) = this.filter(|_| !request.is_bare) else { return Ok(()) };
        if request.group.is_empty() {
            return Err(Status::BadRequest("Priority Group missing"));
        }
        if priority.group(&request.group).is_none() {
            return Err(Status::BadRequest("Invalid Priority Group"));
        }
        let pinned = priority.pin.as_ref().map(|pin| &pin.id[..]);
        if !request.id.is_empty() && pinned.is_some_and(|id| id != request.id.as_bytes()) {
            return Err(Status::PinMismatch);
        }
        Ok(())
    }

    pub fn turn(&self, waiting: &Waiting, load: Load) -> Turn {
        match self.policy {
            PriorityPolicy::Overflow => {
                let (pending, out) = (waiting.min_pending, waiting.min_ack_pending);
                let asks_nothing = pending == 0 && out == 0;
                let is_enough = pending > 0 && load.pending >= pending
                    || out > 0 && load.ack_pending as u64 >= out;
                if asks_nothing || is_enough { Turn::Yes } else { Turn::NotNow }
            }
            PriorityPolicy::PinnedClient => match (&self.pin, waiting.pin_id()) {
                (None, b"") => Turn::Yes,
                (Some(pin), id) if id == pin.id => Turn::Yes,
                (Some(_), b"") => Turn::NotNow,
                _ => Turn::WrongPin,
            },
            PriorityPolicy::Prioritized | PriorityPolicy::None => Turn::Yes,
        }
    }

    /// The client of a pull that is about to be served is pinned, if nobody is.
    pub fn pin(&mut self, waiting: &mut Waiting, now: (Mono, Wall), consumer: &[u8]) -> bool {
        if self.policy != PriorityPolicy::PinnedClient || self.pin.is_some() {
            return false;
        }
        let id = id_of(now.1, &[consumer, &waiting.inbox]);
        waiting.pin_id = Some(Box::from(&id[..]));
        let (ends, group) = (now.0.plus(self.timeout), waiting.group);
        self.pin = Some(Pin { id, since: now.1, ends, group });
        true
    }

    /// The pinned client asked, or was served.
    pub fn saw_pinned(&mut self, id: &[u8], now: Mono) {
        let timeout = self.timeout;
        if let Some(pin) = self.pin.as_mut().filter(|pin| pin.id == id) {
            pin.ends = now.plus(timeout);
        }
    }

    pub fn tell_pinned(&self, out: &mut Outbox, site: &Site, now: Wall, about: AboutConsumer<'_>) {
        let Some(pin) = &self.pin else { return };
        let pinned_id = &String::from_utf8_lossy(&pin.id);
        let group = self.groups.get(pin.group).map_or("", |group| group);
        let told = ConsumerAdvisory::Pinned { account: &self.account, group, pinned_id };
        told.publish(out, site, now, about);
    }

    /// Nobody is pinned any more.
    pub fn unpin(
        &mut self,
        out: &mut Outbox,
        site: &Site,
        now: Wall,
        about: AboutConsumer<'_>,
        (group, reason): (usize, &str),
    ) {
        self.pin = None;
        let group = self.groups.get(group).map_or("", |group| group);
        let told = ConsumerAdvisory::Unpinned { account: &self.account, group, reason };
        told.publish(out, site, now, about);
    }
}
