//! JetStream of one core: its streams, and where everything that arrives goes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::advisory::{API_AUDIT, client_info};
use super::alarm::Alarms;
use super::api::front::{Desk, Front};
use super::api::{API_PATTERNS, Call, Purges};
use super::consumer::{AckTokens, Answered};
use super::context::{Context, Gate, GateState, Site};
use super::ground::{Ground, LogIndex};
use super::hosted::{Hosted, api_prefixes};
use super::letter::{Letter, Posting, Request};
use super::outbox::{PostedQueue, Released};
use super::snapshot::Import;
use super::stream::{DirectGet, Feeding, Incoming, Stream};
use super::target::{StreamSlot, SubscriptionChange, Target};
use crate::storage::{KeyValue, Log, StreamId};
use crate::types::{AccountId, ConnKey, Mono, Now, ShardId};

/// What a core's JetStream starts from.
pub struct Seed {
    pub site: Arc<Site>,
    pub shards: usize,
    /// Recovered, in the order of their ids.
    pub logs: Vec<Log>,
    /// What they hold of streams and consumers, by log.
    pub values: Vec<Vec<KeyValue>>,
}

/// A message that met a subscription of JetStream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    pub account: AccountId,
    pub subject: &'a [u8],
    /// What it was sent to: what JetStream delivers keeps the subject it was stored under.
    pub route: &'a [u8],
    /// Empty: none.
    pub reply: &'a [u8],
    /// The whole block, or nothing.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
    /// Who published it, and on which core.
    pub origin: (ShardId, ConnKey),
}

impl Received<'_> {
    pub fn to_request(self, now: Now) -> Request {
        Request {
            came_ns: now.mono.0,
            account: self.account.0,
            subject: self.subject.to_vec(),
            reply: self.reply.to_vec(),
            headers: self.headers.to_vec(),
            body: self.payload.to_vec(),
            is_audited: false,
            client: Vec::new(),
        }
    }
}

/// What follows the stream's name: `$JS.API.DIRECT.GET.<stream>.<subject>`, or with a domain.
fn direct_subject(subject: &[u8]) -> Option<&[u8]> {
    let rest = subject.strip_prefix(b"$JS.API.DIRECT.GET.").or_else(|| {
        let at = memchr::memmem::find(subject, b".DIRECT.GET.")? + b".DIRECT.GET.".len();
        subject.get(at..)
    })?;
    memchr::memchr(b'.', rest).map(|dot| &rest[dot + 1..])
}

/// Whether advisories other than the audit tell who made this call.
fn is_told_with_client(subject: &[u8]) -> bool {
    [&b".STREAM.SNAPSHOT."[..], b".STREAM.RESTORE."]
        .iter()
        .any(|verb| memchr::memmem::find(subject, verb).is_some())
}

/// JetStream of one core.
pub struct JetStream {
    pub(super) shard: ShardId,
    shards: usize,
    pub(super) ground: Ground,
    pub(super) hosted: Vec<Option<Box<Hosted>>>,
    free: Vec<StreamSlot>,
    by_name: BTreeMap<(AccountId, Box<str>), u32>,
    /// What the logs hold, until the first turn takes it in.
    pub(super) values: Option<Vec<Vec<KeyValue>>>,
    /// Shard 0's part of the API.
    pub(super) front: Option<Front>,
    pub(super) alarms: Alarms,
    /// Streams with consumers that may have work.
    pub(super) ready: VecDeque<u32>,
    /// Streams with messages that cannot be seen yet.
    pub(super) awaiting: Vec<u32>,
    /// Streams with requests that wait for a read, or for room.
    pub(super) polled: Vec<u32>,
    /// Streams that keep what was read for readers behind the tail, and when they are looked at.
    pub(super) readers: Vec<StreamSlot>,
    pub(super) rest_at: Mono,
    pub(super) purges: Purges,
    /// Streams with snapshots under way.
    pub(super) exporting: Vec<StreamSlot>,
    /// Restores under way, by number.
    pub(super) imports: BTreeMap<u32, Box<Import>>,
    pub(super) next_import: u32,
    /// When snapshots and restores are looked at again at the latest.
    pub(super) transfers_at: Mono,
    /// Streams of the logs that were being restored when the server ended.
    pub(super) leftovers: Vec<(u16, StreamId)>,
    /// Consumers with progress that is not in the log, and when it has to be.
    pub(super) unwritten: Vec<(StreamSlot, u32)>,
    pub(super) progress_at: Mono,
    /// Somebody waits for progress to be durable.
    pub(super) is_awaited: bool,
    pub(super) interest_moved: bool,
    /// The last turn.
    pub(super) ran_at: Mono,
    pub(super) room_opened: bool,
    pub(super) subscription_changes: Vec<SubscriptionChange>,
    postings: Vec<Posting>,
    /// Letters to this core itself.
    own_letters: VecDeque<Letter>,
}

impl JetStream {
    pub fn new(shard: ShardId, seed: Seed) -> Self {
        let is_front = shard == ShardId(0);
        let waiting_max = seed.site.options.request_queue_max;
        let mut jetstream = Self {
            shard,
            shards: seed.shards,
            ground: Ground::new(seed.site, seed.logs),
            hosted: Vec::new(),
            free: Vec::new(),
            by_name: BTreeMap::new(),
            values: Some(seed.values),
            front: is_front.then(|| Front::new(seed.shards, waiting_max)),
            alarms: Alarms::default(),
            ready: VecDeque::new(),
            awaiting: Vec::new(),
            polled: Vec::new(),
            readers: Vec::new(),
            rest_at: Mono::NEVER,
            purges: Purges::default(),
            exporting: Vec::new(),
            imports: BTreeMap::new(),
            next_import: 0,
            transfers_at: Mono::NEVER,
            leftovers: Vec::new(),
            unwritten: Vec::new(),
            progress_at: Mono(0),
            is_awaited: false,
            interest_moved: false,
            ran_at: Mono(0),
            room_opened: false,
            subscription_changes: Vec::new(),
            postings: Vec::new(),
            own_letters: VecDeque::new(),
        };
        if is_front {
            jetstream.listen_to_api();
        }
        jetstream
    }

    fn listen_to_api(&mut self) {
        let domain = self.ground.site.domain.clone();
        for prefix in api_prefixes(domain.as_deref()) {
            for pattern in API_PATTERNS {
                let pattern = format!("{prefix}.{pattern}").into_bytes().into();
                let key = (AccountId::GLOBAL, pattern, Target::Api);
                self.subscription_changes.push(SubscriptionChange { key, wanted: true });
            }
        }
    }

    /// For the disk: effects out, completions in.
    pub fn logs(&mut self) -> &mut [Log] {
        &mut self.ground.logs
    }

    /// Purges remove so many messages a turn.
    #[cfg(test)]
    pub fn slice_purges(&mut self, messages: usize) {
        self.purges.slice = messages;
    }

    /// A message met one of our subscriptions.
    pub fn receive(
        &mut self,
        target: Target,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        match target {
            Target::Api => self.on_call(received, now, gate),
            Target::Publish(slot) => self.on_publish(slot, received, now, gate),
            Target::Ack(slot) => self.on_ack(slot, received, now, gate),
            Target::Next(slot) => self.on_next(slot, received, now, gate),
            Target::Direct(slot) => self.on_direct(slot, received, now, gate),
            Target::FlowControl(slot) => self.on_flow_control(slot, received, now, gate),
            Target::SnapshotAck(slot) => self.on_export_ack(slot, received.subject, now, gate),
            Target::Restore(number) => self.on_import_chunk(number, received, now),
            Target::Feed(slot) => self.on_feeding(slot, received, now, gate),
        }
        self.open_own_letters(now, gate);
    }

    /// Advisories about a call tell who made it, which the caller's core knows.
    fn on_call(&mut self, received: &Received<'_>, now: Now, gate: &mut dyn Gate) {
        let mut request = received.to_request(now);
        let is_heard = gate.state(received.account, API_AUDIT) != GateState::Nobody;
        let call = Call::parse(received.subject, self.ground.site.domain.as_deref());
        request.is_audited = is_heard && call.is_none_or(|call| call.is_audited());
        if request.is_audited || is_told_with_client(received.subject) {
            let (shard, conn) = received.origin;
            let conn = conn.to_bits();
            return self.post(shard, Letter::Introduce { conn, request });
        }
        self.on_request(request, now);
    }

    fn introduce(&mut self, conn: ConnKey, mut request: Request, gate: &dyn Gate) {
        if let Some(caller) = gate.caller(conn) {
            request.client = client_info(&caller, &self.ground.site);
        }
        self.post(ShardId(0), Letter::Introduced(request));
    }

    fn on_request(&mut self, request: Request, now: Now) {
        let Some(front) = &mut self.front else { return };
        let mut postings = Vec::new();
        let mut desk = Desk { ground: &mut self.ground, postings: &mut postings, now };
        front.on_request(request, &mut desk);
        self.post_all(postings);
    }

    fn on_publish(
        &mut self,
        slot: StreamSlot,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Received { subject, reply, headers, payload, .. } = *received;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        if hosted.is_full(&context) {
            return hosted.stream.refuse_for_now(&mut context, reply);
        }
        hosted.stream.publish(&mut context, &Incoming { subject, reply, headers, payload });
        let is_waiting = hosted.stream.has_waiting_publishes();
        self.after_change(slot);
        if is_waiting {
            self.poll_again(slot);
        }
    }

    fn on_ack(&mut self, slot: StreamSlot, received: &Received<'_>, now: Now, gate: &mut dyn Gate) {
        let Some(ack) = AckTokens::parse(received.subject) else { return };
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let name = std::str::from_utf8(ack.consumer).ok();
        let (payload, reply) = (received.payload, received.reply);
        let Some(at) = name.and_then(|name| hosted.seats.find(name)) else {
            return self.on_nobody(received);
        };
        let Some(seat) = hosted.seats.get_mut(at) else { return };
        let store = hosted.stream.store();
        let answered = seat.consumer.on_ack(&mut context, store, &ack, payload, reply);
        self.after_consumer(slot, at, now, gate);
        if answered == Answered::Nobody {
            self.on_nobody(received);
        }
        if answered == Answered::Poll {
            self.queue(slot, at);
        }
    }

    fn on_next(
        &mut self,
        slot: StreamSlot,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Received { subject, reply, headers, payload, .. } = *received;
        let name = subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let found = std::str::from_utf8(name).ok().and_then(|name| hosted.seats.find(name));
        let Some(at) = found else { return self.on_nobody(received) };
        let Some(seat) = hosted.seats.get_mut(at) else { return };
        seat.consumer.on_pull(&mut context, hosted.stream.store(), payload, reply, headers);
        self.queue(slot, at);
    }

    /// To the requester it is as if nobody had subscribed; its core knows whether it wants to hear that.
    fn on_nobody(&mut self, received: &Received<'_>) {
        if received.reply.is_empty() {
            return;
        }
        let (shard, conn) = received.origin;
        let (subject, reply) = (received.subject.to_vec(), received.reply.to_vec());
        self.post(shard, Letter::Nobody { conn: conn.to_bits(), subject, reply });
    }

    fn on_direct(
        &mut self,
        slot: StreamSlot,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Received { subject, reply, headers, payload: body, .. } = *received;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let get = DirectGet { subject: direct_subject(subject), reply, headers, body };
        hosted.stream.direct_get(&mut context, &get);
        if hosted.stream.has_waiting_gets() {
            self.poll_again(slot);
        }
    }

    fn on_flow_control(
        &mut self,
        slot: StreamSlot,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let mut tokens = received.subject.split(|byte| *byte == b'.').skip(3);
        let Some(name) = tokens.next().and_then(|name| std::str::from_utf8(name).ok()) else {
            return;
        };
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let Some(at) = hosted.seats.find(name) else { return self.on_nobody(received) };
        let Some(seat) = hosted.seats.get_mut(at) else { return };
        seat.consumer.on_flow_reply(&mut context, received.subject, received.headers);
        self.after_consumer(slot, at, now, gate);
        self.queue(slot, at);
    }

    fn on_feeding(
        &mut self,
        slot: StreamSlot,
        received: &Received<'_>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Received { route, subject, reply, headers, payload, .. } = *received;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let message = Incoming { subject, reply, headers, payload };
        hosted.stream.on_feeding(&mut context, &Feeding { route, message });
        self.after_change(slot);
        self.poll_again(slot);
    }

    /// A letter of another core.
    pub fn on_letter(&mut self, from: ShardId, bytes: &[u8], now: Now, gate: &mut dyn Gate) {
        if let Some(letter) = Letter::decode(bytes) {
            self.open(from, letter, now, gate);
        }
        self.open_own_letters(now, gate);
    }

    pub(super) fn open_own_letters(&mut self, now: Now, gate: &mut dyn Gate) {
        while let Some(letter) = self.own_letters.pop_front() {
            self.open(self.shard, letter, now, gate);
        }
    }

    fn open(&mut self, from: ShardId, letter: Letter, now: Now, gate: &mut dyn Gate) {
        match letter {
            Letter::Introduce { conn, request } => {
                self.introduce(ConnKey::from_bits(conn), request, gate);
            }
            Letter::Introduced(request) => self.on_request(request, now),
            Letter::Nobody { conn, subject, reply } => {
                gate.nobody(ConnKey::from_bits(conn), &subject, &reply);
            }
            Letter::Request(request) => self.serve(&request, now, gate),
            Letter::Create { card, request } => self.create(&card, &request, now, gate),
            Letter::Restore { card, request } => self.begin_import(&card, &request, now, gate),
            Letter::Update { card, request } => self.update(&card, &request, now, gate),
            Letter::Delete { request } => self.delete(&request, now, gate),
            Letter::Tell(request) => self.tell(&request, now, gate),
            Letter::Supersede(card) => self.drop_superseded(&card, now, gate),
            Letter::Gather { id, account, names } => {
                self.gathered(id, AccountId(account), names, now, gate);
            }
            Letter::Used(amounts) => self.ground.ledger.on_told(from, amounts),
            other => self.tell_front(from, other, now),
        }
    }

    fn tell_front(&mut self, from: ShardId, letter: Letter, now: Now) {
        let Some(front) = &mut self.front else { return };
        let mut postings = Vec::new();
        let mut desk = Desk { ground: &mut self.ground, postings: &mut postings, now };
        front.on_letter(from, letter, &mut desk);
        self.post_all(postings);
    }

    /// Sends a letter to a core, which may be this one.
    pub(super) fn post(&mut self, to: ShardId, letter: Letter) {
        if to == self.shard {
            self.own_letters.push_back(letter);
        } else {
            self.postings.push(Posting { to, letter });
        }
    }

    fn post_all(&mut self, postings: Vec<Posting>) {
        for Posting { to, letter } in postings {
            self.post(to, letter);
        }
    }

    /// A stream and what its operations are given.
    pub(super) fn at<'a>(
        &'a mut self,
        slot: StreamSlot,
        now: Now,
        gate: &'a mut dyn Gate,
    ) -> Option<(&'a mut Hosted, Context<'a>)> {
        let hosted = self.hosted.get_mut(slot.index as usize)?.as_deref_mut()?;
        if hosted.slot != slot {
            return None;
        }
        let context = self.ground.context(hosted.log, now, gate);
        Some((hosted, context))
    }

    pub(super) fn find(&self, account: AccountId, name: &str) -> Option<StreamSlot> {
        let at = *self.by_name.get(&(account, name.into()))?;
        Some(self.hosted.get(at as usize)?.as_ref()?.slot)
    }

    /// The slot that the next stream gets.
    pub(super) fn next_slot(&mut self) -> StreamSlot {
        self.free.last().copied().unwrap_or_else(|| {
            let slot = StreamSlot { index: self.hosted.len() as u32, generation: 0 };
            self.hosted.push(None);
            self.free.push(slot);
            slot
        })
    }

    /// Takes a stream in and subscribes to what it needs.
    pub(super) fn adopt(&mut self, log: LogIndex, stream: Stream) -> StreamSlot {
        let slot = self.next_slot();
        self.free.pop();
        let hosted = Box::new(Hosted::new(slot, log, stream));
        let name = (hosted.account(), hosted.name().into());
        self.by_name.insert(name, slot.index);
        let domain = self.ground.site.domain.clone();
        self.subscription_changes.extend(hosted.subscriptions(domain.as_deref()));
        self.hosted[slot.index as usize] = Some(hosted);
        slot
    }

    /// Lets a stream go, with its subscriptions.
    pub(super) fn dismiss(&mut self, slot: StreamSlot) -> Option<Box<Hosted>> {
        let place = self.hosted.get_mut(slot.index as usize)?;
        let hosted = place.take_if(|hosted| hosted.slot == slot)?;
        self.by_name.remove(&(hosted.account(), hosted.name().into()));
        self.ground.ledger.count(hosted.stream.config().storage, hosted.counted, 0);
        let domain = self.ground.site.domain.clone();
        let changes = hosted.subscriptions(domain.as_deref());
        self.subscription_changes.extend(
            changes.into_iter().map(|change| SubscriptionChange { wanted: false, ..change }),
        );
        let generation = slot.generation.wrapping_add(1);
        self.free.push(StreamSlot { generation, ..slot });
        Some(hosted)
    }

    /// Subscribes to what a changed stream needs now, and no longer to what it needed before.
    pub(super) fn resubscribe(&mut self, before: &[SubscriptionChange], slot: StreamSlot) {
        let domain = self.ground.site.domain.clone();
        let Some(hosted) = self.hosted[slot.index as usize].as_ref() else { return };
        let after = hosted.subscriptions(domain.as_deref());
        let gone = before.iter().filter(|change| !after.contains(change));
        let gone = gone.map(|change| SubscriptionChange { wanted: false, ..change.clone() });
        self.subscription_changes.extend(gone);
        let new = after.into_iter().filter(|change| !before.contains(change));
        self.subscription_changes.extend(new);
    }

    /// Counts what a stream holds now.
    pub(super) fn recount(&mut self, slot: StreamSlot) {
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return };
        let log = hosted.log.and_then(|index| self.ground.logs.get(usize::from(index)));
        let bytes = hosted.stream.store().bytes(log);
        let before = std::mem::replace(&mut hosted.counted, bytes);
        self.ground.ledger.count(hosted.stream.config().storage, before, bytes);
    }

    /// Tells the other cores what the streams of this one hold, if that has moved.
    pub(super) fn tell_ledger(&mut self) {
        let options = &self.ground.site.options;
        let Some(amounts) = self.ground.ledger.news(self.shards, options) else { return };
        for shard in (0..self.shards).map(|index| ShardId(index as u16)) {
            if shard != self.shard {
                self.post(shard, Letter::Used(amounts));
            }
        }
    }

    /// Somebody subscribed or left.
    pub fn on_interest(&mut self) {
        self.interest_moved = true;
    }

    /// Somebody who had no room has some.
    pub fn on_room(&mut self) {
        self.room_opened = true;
    }

    /// What has gone out and was timed, for the caller to empty.
    pub fn released(&mut self) -> impl Iterator<Item = &mut Released> {
        self.ground.released()
    }

    /// Swaps what is to be routed for an emptied queue. False: there is nothing.
    pub fn take_posted(&mut self, emptied: &mut PostedQueue) -> bool {
        self.ground.take_posted(emptied)
    }

    /// Consumers of all streams here, hidden ones too.
    #[cfg(test)]
    pub(super) fn consumers_len(&self) -> usize {
        self.hosted.iter().flatten().map(|hosted| hosted.seats.len()).sum()
    }

    /// Whether there are subscriptions to change, or letters to send.
    pub fn has_wishes(&self) -> bool {
        !self.subscription_changes.is_empty() || !self.postings.is_empty()
    }

    pub fn take_subscription_changes(&mut self) -> Vec<SubscriptionChange> {
        std::mem::take(&mut self.subscription_changes)
    }

    pub fn take_letters(&mut self) -> Vec<(ShardId, Vec<u8>)> {
        let postings = std::mem::take(&mut self.postings);
        postings.into_iter().map(|posting| (posting.to, posting.letter.encode())).collect()
    }
}
