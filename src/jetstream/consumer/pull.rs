//! The pulls that wait at a consumer: in what order they are served, and how they end.
//!
//! ```text
//! admitted ─► waiting ─► served ─┬► back to the end of the queue
//!                │               └► done (409 Batch Completed if bytes were left)
//!                └► 408 expired, 404 nothing (no_wait), 409 too large, 423 wrong pin, or
//!                   silently gone with its requester
//! ```

use std::collections::VecDeque;

use super::super::config::{ConsumerConfig, PriorityPolicy};
use super::super::context::{Gate, GateState};
use super::super::outbox::Outbox;
use super::ConsumerSeq;
use super::priority::{Load, Priority, Turn};
use super::request::PullRequest;
use super::status::{self, Status, Unserved};
use crate::storage::Seq;
use crate::types::limits::SPARE_INBOXES;
use crate::types::{AccountId, Mono};

/// A pull that waits for messages.
#[derive(Debug)]
pub struct Waiting {
    /// Where its messages go.
    pub inbox: Vec<u8>,
    /// Messages it still wants; 0 or less: one, and then it is done.
    pub left: i64,
    /// Bytes it still takes; 0 or less: any.
    pub bytes: i64,
    pub taken: u64,
    /// [`Mono::NEVER`]: it does not.
    expires: Mono,
    no_wait: bool,
    /// Nanoseconds without a message after which it gets a heartbeat; 0: never.
    heartbeat: u64,
    beat_at: Mono,
    pub priority: u8,
    /// The place of its group.
    pub group: usize,
    pub min_pending: u64,
    pub min_ack_pending: u64,
    pub pin_id: Option<Box<[u8]>>,
}

/// What one pull may ask for. 0: anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullLimits {
    pub max_waiting: usize,
    pub max_batch: i64,
    /// Nanoseconds.
    pub max_expires: u64,
    pub max_bytes: i64,
}

#[derive(Debug)]
pub struct Pull {
    queue: VecDeque<Waiting>,
    /// Buffers of inboxes that are done.
    spare: Vec<Vec<u8>>,
    pub limits: PullLimits,
    /// Pulls in the queue that do not wait.
    no_waits: u32,
    /// No pull expires or wants a heartbeat before.
    next_timer: Mono,
    pub priority: Option<Box<Priority>>,
}

/// Who gets a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The pull at this place of the queue.
    Serve(usize),
    Nobody,
    /// There would be one, but whoever asked is owed enough.
    Crowded,
}

/// The outside, as the pulls of one consumer need it.
pub struct Desk<'a> {
    pub now: Mono,
    pub account: AccountId,
    pub out: &'a mut Outbox,
    pub gate: &'a mut dyn Gate,
}

impl Waiting {
    pub fn pin_id(&self) -> &[u8] {
        self.pin_id.as_deref().unwrap_or(b"")
    }

    fn unserved(&self) -> Unserved {
        Unserved { messages: self.left, bytes: self.bytes }
    }

    fn next_timer(&self) -> Mono {
        if self.heartbeat > 0 { self.expires.min(self.beat_at) } else { self.expires }
    }

    /// Nothing is there: a pull that does not wait ends, unless it waits for a first message.
    fn ends_empty_handed(&self) -> bool {
        self.no_wait && (self.taken > 0 || self.expires == Mono::NEVER)
    }
}

impl Pull {
    pub fn of(config: &ConsumerConfig, account: &str) -> Self {
        let max_waiting = usize::try_from(config.max_waiting).unwrap_or(0);
        Self {
            queue: VecDeque::new(),
            spare: Vec::new(),
            no_waits: 0,
            limits: PullLimits {
                max_waiting,
                max_batch: config.max_batch,
                max_expires: config.max_expires.ns(),
                max_bytes: config.max_bytes,
            },
            next_timer: Mono::NEVER,
            priority: Priority::of(config, account).map(Box::new),
        }
    }

    /// Takes the limits and the policy of another configuration. Who is pinned stays so.
    pub fn reshape(&mut self, new: Self) {
        let pin = self.priority.as_ref().and_then(|priority| priority.pin);
        self.limits = new.limits;
        self.priority = new.priority;
        if let Some(priority) = &mut self.priority
            && priority.policy == PriorityPolicy::PinnedClient
        {
            priority.pin = pin;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of memory beside itself.
    pub fn memory(&self) -> usize {
        let inboxes = self.queue.iter().map(|waiting| waiting.inbox.capacity());
        let spare = self.spare.iter().map(Vec::capacity);
        self.queue.capacity() * size_of::<Waiting>()
            + self.spare.capacity() * size_of::<Vec<u8>>()
            + inboxes.chain(spare).sum::<usize>()
    }

    /// A pull and the consumer's policy.
    pub fn get_mut(&mut self, place: usize) -> Option<(&mut Waiting, Option<&mut Priority>)> {
        Some((self.queue.get_mut(place)?, self.priority.as_deref_mut()))
    }

    /// Checks what a pull asks for, apart from what depends on other pulls.
    pub fn check(&self, request: &PullRequest<'_>) -> Result<(), Status<'static>> {
        let PullLimits { max_batch, max_expires, max_bytes, .. } = self.limits;
        let has_beat = request.idle_heartbeat > 0;
        if has_beat && request.idle_heartbeat.saturating_mul(2) > request.expires {
            return Err(Status::BadRequest("heartbeat value too large"));
        }
        if max_batch > 0 && request.batch > max_batch {
            return Err(Status::ExceededBatch(max_batch));
        }
        if max_expires > 0 && u64::try_from(request.expires).is_ok_and(|ns| ns > max_expires) {
            return Err(Status::ExceededExpires(max_expires));
        }
        if max_bytes > 0 && request.max_bytes > max_bytes {
            return Err(Status::ExceededBytes(max_bytes));
        }
        Priority::check_policy(self.priority.as_deref(), request)?;
        if !(0..=9).contains(&request.priority) {
            return Err(Status::BadRequest("Priority must be between 0 and 9"));
        }
        Priority::check(self.priority.as_deref(), request)
    }

    /// No more pulls can wait, even after those were dropped whose requester is gone.
    pub fn is_full(&mut self, desk: &mut Desk<'_>) -> bool {
        let most = self.limits.max_waiting;
        if most == 0 || self.queue.len() < most {
            return false;
        }
        self.expire(desk, false);
        self.drop_deserted(desk);
        self.queue.len() >= most
    }

    /// Messages the waiting pulls want in all.
    pub fn wanted(&self) -> u64 {
        self.queue.iter().map(|waiting| u64::try_from(waiting.left).unwrap_or(0)).sum()
    }

    /// Pulls whose requester still listens.
    pub fn waiting(&self, desk: &mut Desk<'_>) -> usize {
        let mut listens = |waiting: &&Waiting| desk.gate.state(desk.account, &waiting.inbox);
        self.queue.iter().filter(|waiting| listens(waiting) != GateState::Nobody).count()
    }

    pub fn drop_deserted(&mut self, desk: &mut Desk<'_>) {
        let mut place = 0;
        while let Some(waiting) = self.queue.get(place) {
            match desk.gate.state(desk.account, &waiting.inbox) {
                GateState::Nobody => self.remove(place),
                GateState::Open | GateState::Crowded => place += 1,
            }
        }
    }

    /// A pull that passed the checks waits.
    pub fn admit(&mut self, request: &PullRequest<'_>, inbox: &[u8], now: Mono) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(inbox);
        let expires = match request.expires {
            0 => Mono::NEVER,
            ns => now.plus(u64::try_from(ns).unwrap_or(0)),
        };
        let heartbeat = u64::try_from(request.idle_heartbeat).unwrap_or(0);
        let group = self.priority.as_ref().and_then(|priority| priority.group(&request.group));
        let waiting = Waiting {
            inbox: buffer,
            left: request.batch,
            bytes: request.max_bytes,
            taken: 0,
            expires,
            no_wait: request.no_wait,
            heartbeat,
            beat_at: now.plus(heartbeat),
            priority: request.priority as u8,
            group: group.unwrap_or(0),
            min_pending: u64::try_from(request.min_pending).unwrap_or(0),
            min_ack_pending: u64::try_from(request.min_ack_pending).unwrap_or(0),
            pin_id: (!request.id.is_empty()).then(|| request.id.as_bytes().into()),
        };
        if let Some(priority) = &mut self.priority {
            priority.saw_pinned(waiting.pin_id(), now);
        }
        self.next_timer = self.next_timer.min(waiting.next_timer());
        self.no_waits += u32::from(waiting.no_wait);
        if self.queue.capacity() == 0 {
            // Most consumers have one pull waiting; room for four would be for nothing.
            self.queue.reserve_exact(1);
        }
        self.push(waiting);
    }

    fn is_prioritized(&self) -> bool {
        let policy = self.priority.as_ref().map(|priority| priority.policy);
        policy == Some(PriorityPolicy::Prioritized)
    }

    /// Behind all of the same or a lower number.
    fn push(&mut self, waiting: Waiting) {
        if !self.is_prioritized() {
            return self.queue.push_back(waiting);
        }
        let place = self.queue.partition_point(|other| other.priority <= waiting.priority);
        self.queue.insert(place, waiting);
    }

    /// Who gets the next message, of `size` bytes as the client counts them. Pulls that cannot
    /// get it nor anything else end here.
    pub fn choose(&mut self, desk: &mut Desk<'_>, size: usize, load: Load) -> Choice {
        let mut place = 0;
        let mut is_crowded = false;
        while let Some(waiting) = self.queue.get(place) {
            let turn = self.priority.as_ref().map_or(Turn::Yes, |own| own.turn(waiting, load));
            let ended = if waiting.expires <= desk.now {
                Some(Status::RequestTimeout)
            } else if turn == Turn::WrongPin {
                Some(Status::WrongPin)
            } else if turn == Turn::NotNow {
                place += 1;
                continue;
            } else if waiting.bytes > 0 && size as u64 > waiting.bytes as u64 {
                Some(Status::MessageTooLarge)
            } else {
                match desk.gate.state(desk.account, &waiting.inbox) {
                    GateState::Open => return Choice::Serve(place),
                    GateState::Nobody => None,
                    GateState::Crowded => {
                        is_crowded = true;
                        place += 1;
                        continue;
                    }
                }
            };
            if let Some(status) = ended {
                self.end(desk, place, &status);
            } else {
                self.remove(place);
            }
        }
        if is_crowded { Choice::Crowded } else { Choice::Nobody }
    }

    /// A message of `size` bytes went to a pull.
    pub fn served(&mut self, desk: &mut Desk<'_>, place: usize, size: usize) {
        let Some(waiting) = self.queue.get_mut(place) else { return };
        waiting.left -= 1;
        waiting.taken += 1;
        waiting.beat_at = desk.now.plus(waiting.heartbeat);
        let had_limit = waiting.bytes > 0;
        if had_limit {
            waiting.bytes = waiting.bytes.saturating_sub(size as i64).max(0);
        }
        if let Some(priority) = &mut self.priority {
            priority.saw_pinned(waiting.pin_id.as_deref().unwrap_or(b""), desk.now);
        }
        let is_out_of_bytes = had_limit && waiting.bytes == 0;
        if waiting.left > 0 && !is_out_of_bytes {
            return self.rotate(place);
        }
        if waiting.bytes > 0 {
            self.end(desk, place, &Status::BatchCompleted);
        } else {
            self.remove(place);
        }
    }

    fn rotate(&mut self, place: usize) {
        if self.queue.len() > 1
            && let Some(waiting) = self.queue.remove(place)
        {
            self.push(waiting);
        }
    }

    /// Ends a pull and tells why and what it did not get.
    fn end(&mut self, desk: &mut Desk<'_>, place: usize, status: &Status<'_>) {
        if let Some(waiting) = self.queue.get(place) {
            let left = waiting.unserved();
            status::send_unserved(desk.out, desk.account, &waiting.inbox, status, left);
        }
        self.remove(place);
    }

    fn remove(&mut self, place: usize) {
        let Some(waiting) = self.queue.remove(place) else { return };
        self.no_waits -= u32::from(waiting.no_wait);
        if self.spare.len() < SPARE_INBOXES {
            self.spare.push(waiting.inbox);
        }
        if self.queue.is_empty() {
            self.next_timer = Mono::NEVER;
        }
    }

    /// Ends what has expired. `is_dry`: there is nothing to deliver, so that pulls which do not
    /// wait end too.
    pub fn expire(&mut self, desk: &mut Desk<'_>, is_dry: bool) {
        let is_dry = is_dry && self.no_waits > 0;
        if !is_dry && self.next_timer > desk.now {
            return;
        }
        let mut place = 0;
        while let Some(waiting) = self.queue.get(place) {
            if waiting.expires <= desk.now {
                self.end(desk, place, &Status::RequestTimeout);
            } else if is_dry && waiting.ends_empty_handed() {
                status::send(desk.out, desk.account, &waiting.inbox, &Status::NoMessages);
                self.remove(place);
            } else {
                place += 1;
            }
        }
    }

    pub fn next_timer(&self) -> Mono {
        self.next_timer
    }

    /// Expires pulls and sends heartbeats. `last`: what the heartbeats tell.
    pub fn on_timer(&mut self, desk: &mut Desk<'_>, last: (ConsumerSeq, Seq)) {
        if self.next_timer > desk.now {
            return;
        }
        self.drop_deserted(desk);
        self.expire(desk, true);
        for waiting in &mut self.queue {
            if waiting.heartbeat > 0 && waiting.beat_at <= desk.now {
                status::send_heartbeat(desk.out, desk.account, &waiting.inbox, last, None);
                waiting.beat_at = desk.now.plus(waiting.heartbeat);
            }
        }
        let timers = self.queue.iter().map(Waiting::next_timer);
        self.next_timer = timers.min().unwrap_or(Mono::NEVER);
    }

    /// Ends all pulls. `is_told_rest`: and tells what they did not get.
    pub fn close(&mut self, desk: &mut Desk<'_>, status: &Status<'_>, is_told_rest: bool) {
        while let Some(waiting) = self.queue.front() {
            if is_told_rest {
                self.end(desk, 0, status);
            } else {
                status::send(desk.out, desk.account, &waiting.inbox, status);
                self.remove(0);
            }
        }
    }
}
