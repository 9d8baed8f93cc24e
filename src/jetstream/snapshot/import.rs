//! A stream on its way in. Its messages go into the store as they come; nobody sees the stream
//! before all of it is there.
//!
//! Chunks are answered when their bytes have been dealt with, so who sends one at a time, as
//! clients do, is as fast as the disk.

use std::collections::VecDeque;

use serde::Deserialize;

use super::archive::{self, ArchiveError, ArchiveReader, CONSUMERS, Entry, STATE};
use super::block::Record;
use super::consumer::{ConsumerProgress, ConsumerSnapshot};
use super::frame::FrameReader;
use super::tar::{Part, TarReader};
use crate::jetstream::api::RESTORING_KEY;
use crate::jetstream::config::{
    Compression, ConsumerConfig, Mode, Moment, Storage, StreamConfig, parse,
};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::LogIndex;
use crate::jetstream::letter::Request;
use crate::jetstream::outbox::Outgoing;
use crate::jetstream::store::{NewMessage, Store};
use crate::storage::{Health, Lsn, Refusal, Seq, StreamId, Urgency};
use crate::types::limits::{
    RESTORE_CONSUMERS_BYTES_MAX, RESTORE_IDLE_NS, RESTORE_TURN_BYTES, RESTORE_WAITING_BYTES_MAX,
    STORED_HEADER_BYTES_MAX,
};
use crate::types::{AccountId, Mono, Subject, Wall};

/// What of `state.json` counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct ArchivedState {
    first_seq: u64,
    last_seq: u64,
    consumer_count: u64,
}

/// What the archive has to go on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    State,
    /// So many consumers, then the messages.
    Consumers(u64),
    Messages,
    /// There was an end; what follows does not count.
    Nothing,
}

/// Where a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// There is more to do, in the next turn.
    Again,
    /// For the client or for the disk, or until then.
    Waiting(Mono),
    /// All of it is there, and the client said that it was all.
    Complete,
    Failed(ApiError),
    /// The client sends nothing any more, and is told nothing.
    Stalled,
}

/// What became of the entries that were unpacked.
enum Stored {
    All,
    /// The turn is over.
    Some,
    /// The log has no room for now.
    Behind,
    /// They are no entries.
    IsTar,
}

/// What the stream of chunks holds.
#[derive(Debug)]
enum Inside {
    Entries(ArchiveReader),
    Tar(TarReader),
}

impl Default for Inside {
    fn default() -> Self {
        Self::Entries(ArchiveReader::default())
    }
}

impl Inside {
    /// Where more is added.
    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Entries(archive) => {
                archive.make_room();
                &mut archive.bytes
            }
            Self::Tar(tar) => {
                tar.make_room();
                &mut tar.bytes
            }
        }
    }

    fn is_at_end(&self) -> bool {
        match self {
            Self::Entries(archive) => archive.is_at_end(),
            Self::Tar(_) => false,
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Entries(archive) => archive.memory(),
            Self::Tar(tar) => tar.memory(),
        }
    }
}

/// What of a stream's `meta.inf` counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ArchivedStream {
    name: String,
    #[serde(rename = "Created")]
    created: String,
}

/// What of a restore's request counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claim {
    state: Option<ArchivedState>,
}

/// What a complete archive held beside its messages.
#[derive(Debug)]
pub struct Imported {
    pub store: Store,
    /// When the stream was made, if that is told.
    pub created: Option<Wall>,
    pub consumers: Vec<ConsumerSnapshot>,
}

#[derive(Debug)]
pub struct Import {
    pub account: AccountId,
    pub id: StreamId,
    pub log: LogIndex,
    pub config: StreamConfig,
    pub started: Wall,
    /// Where the client sends chunks to.
    pub subject: Box<str>,
    /// Who sends them, as advisories tell it.
    pub client: Vec<u8>,
    /// Bytes that came.
    pub bytes: u64,
    /// Who is told how it ended.
    pub last_reply: Option<Box<[u8]>>,
    store: Store,
    consumers: Vec<ConsumerSnapshot>,
    consumer_bytes: usize,
    expect: Expect,
    state: ArchivedState,
    /// As the client tells it.
    claimed: ArchivedState,
    created: Option<Wall>,
    last: Seq,
    /// With whom to answer.
    chunks: VecDeque<(Box<[u8]>, Vec<u8>)>,
    waiting_bytes: usize,
    /// Of the chunk whose bytes are being dealt with.
    answer_to: Option<Box<[u8]>>,
    frames: FrameReader,
    inside: Inside,
    failed: Option<ApiError>,
    /// Everything has come, and is durable with this batch.
    settled_at: Option<Lsn>,
    active_at: Mono,
}

impl Import {
    pub fn new(
        account: AccountId,
        id: StreamId,
        log: LogIndex,
        config: StreamConfig,
        subject: String,
        request: &Request,
        ctx: &Context<'_>,
    ) -> Self {
        // It was read before, by all the rules.
        let claim: Claim = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut store = match config.storage {
            Storage::File => Store::file(id),
            Storage::Memory => Store::memory_only(id.0 ^ ctx.now.wall.0),
        };
        store.pack(config.compression == Compression::S2);
        Self {
            account,
            id,
            log,
            config,
            started: ctx.now.wall,
            subject: subject.into(),
            client: request.client.clone(),
            bytes: 0,
            last_reply: None,
            store,
            consumers: Vec::new(),
            consumer_bytes: 0,
            expect: Expect::State,
            state: ArchivedState::default(),
            claimed: claim.state.unwrap_or_default(),
            created: None,
            last: Seq(0),
            chunks: VecDeque::new(),
            waiting_bytes: 0,
            answer_to: None,
            frames: FrameReader::default(),
            inside: Inside::default(),
            failed: None,
            settled_at: None,
            active_at: ctx.now.mono,
        }
    }

    /// The client sent bytes; none at all mean that there are no more.
    pub fn on_chunk(&mut self, reply: &[u8], bytes: &[u8], now: Mono) {
        self.active_at = now;
        if self.last_reply.is_some() {
            return;
        }
        if reply.is_empty() {
            let name = &self.config.name;
            let error =
                format!("restore for stream '$G > {name}' requires reply subject for each chunk");
            self.failed.get_or_insert_with(|| ApiError::stream_restore(error));
            return;
        }
        if bytes.is_empty() {
            self.last_reply = Some(reply.into());
            return;
        }
        self.bytes += bytes.len() as u64;
        self.waiting_bytes += bytes.len();
        if self.waiting_bytes > RESTORE_WAITING_BYTES_MAX {
            let error = "too many bytes were sent without waiting for an answer";
            self.failed.get_or_insert_with(|| ApiError::stream_restore(error));
            self.chunks.clear();
            return;
        }
        self.chunks.push_back((reply.into(), bytes.to_vec()));
    }

    /// Goes on: unpacks and stores what has come.
    pub fn step(&mut self, ctx: &mut Context<'_>) -> Progress {
        match self.go_on(ctx) {
            Ok(progress) => progress,
            Err(error) => {
                // The client hears of it with the chunk at hand, or with the end it announced.
                let at_hand = self.answer_to.take();
                self.last_reply = at_hand.or(self.last_reply.take());
                if self.last_reply.is_none() {
                    self.last_reply = self.chunks.pop_front().map(|(reply, _)| reply);
                }
                Progress::Failed(error)
            }
        }
    }

    fn go_on(&mut self, ctx: &mut Context<'_>) -> Result<Progress, ApiError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut budget = RESTORE_TURN_BYTES;
        loop {
            if budget == 0 {
                return Ok(Progress::Again);
            }
            match self.store_entries(ctx, &mut budget)? {
                Stored::All => {}
                Stored::Some | Stored::IsTar => continue,
                Stored::Behind => {
                    self.active_at = ctx.now.mono;
                    return Ok(Progress::Waiting(Mono::NEVER));
                }
            }
            // What comes behind the end is answered and not looked at.
            let is_over = self.expect == Expect::Nothing;
            if !is_over && self.unpack()? {
                // One with nothing in it takes time, too.
                budget = budget.saturating_sub(64);
                continue;
            }
            if let Some(reply) = self.answer_to.take() {
                ctx.out.publish(self.account, Outgoing::plain(&reply, b""));
            }
            if let Some((reply, bytes)) = self.chunks.pop_front() {
                self.waiting_bytes -= bytes.len();
                budget = budget.saturating_sub(bytes.len());
                if !is_over {
                    self.frames.push(&bytes);
                }
                self.answer_to = Some(reply);
                self.active_at = ctx.now.mono;
                continue;
            }
            if self.last_reply.is_some() {
                return self.settle(ctx);
            }
            let until = self.active_at.plus(RESTORE_IDLE_NS);
            let is_stalled = ctx.now.mono >= until;
            return Ok(if is_stalled { Progress::Stalled } else { Progress::Waiting(until) });
        }
    }

    /// False: more bytes are needed.
    fn unpack(&mut self) -> Result<bool, ApiError> {
        self.frames.unpack(self.inside.bytes()).map_err(|error| failed(error.text()))
    }

    /// Deals with what is unpacked.
    fn store_entries(
        &mut self,
        ctx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Result<Stored, ApiError> {
        let mut inside = std::mem::take(&mut self.inside);
        let mut result = match &mut inside {
            Inside::Entries(archive) => self.store_entries_of(archive, ctx, budget),
            Inside::Tar(tar) => self.store_parts_of(tar, ctx, budget),
        };
        if let Ok(Stored::IsTar) = result {
            let bytes = std::mem::take(inside.bytes());
            inside = Inside::Tar(TarReader::new(&self.config.name, bytes));
            result = Ok(Stored::Some);
        }
        if self.expect == Expect::Nothing {
            // Whatever comes behind the end does not count.
            inside = Inside::default();
        }
        self.inside = inside;
        result
    }

    fn store_entries_of(
        &mut self,
        archive: &mut ArchiveReader,
        ctx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Result<Stored, ApiError> {
        while self.expect != Expect::Nothing {
            let entry = match archive.entry() {
                Ok(entry) => entry,
                Err(ArchiveError::Tar) => return Ok(Stored::IsTar),
                Err(ArchiveError::Invalid) => return Err(failed(archive::INVALID)),
            };
            let Some((entry, len)) = entry else { break };
            if *budget == 0 {
                return Ok(Stored::Some);
            }
            if is_full(ctx) || !self.take(&entry, ctx)? {
                return Ok(Stored::Behind);
            }
            archive.take(len);
            *budget = budget.saturating_sub(len);
        }
        Ok(Stored::All)
    }

    fn store_parts_of(
        &mut self,
        tar: &mut TarReader,
        ctx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Result<Stored, ApiError> {
        while self.expect != Expect::Nothing {
            let Some((part, len)) = tar.part().map_err(|error| failed(error.0))? else { break };
            if *budget == 0 {
                return Ok(Stored::Some);
            }
            if is_full(ctx) || !self.take_part(&part, ctx)? {
                return Ok(Stored::Behind);
            }
            tar.take(len);
            *budget = budget.saturating_sub(len.max(1));
        }
        Ok(Stored::All)
    }

    /// False: the log has no room for now.
    fn take_part(&mut self, part: &Part<'_>, ctx: &mut Context<'_>) -> Result<bool, ApiError> {
        match *part {
            Part::Stream(text) => self.begin_tar(text, ctx)?,
            Part::Failed(text) => return Err(failed(String::from_utf8_lossy(text))),
            _ if self.expect == Expect::State => return Err(failed("expected meta.inf first")),
            Part::Record(Record::Gone { seq }) => return self.remove(Seq(seq), ctx),
            Part::Record(Record::Message { seq, time, subject: name, headers, payload }) => {
                // A second record of a sequence is one of what was deleted since.
                if Seq(seq) > self.last {
                    let entry = Entry { name, time, seq, headers, payload };
                    return self.store_message(&entry, ctx);
                }
            }
            Part::Consumer { name, config } => {
                self.count_consumer(config.len())?;
                let config = parse::<ConsumerConfig>(config, Mode::Lenient, "FileConsumerInfo");
                let mut config = config.map_err(|error| failed(error.description))?;
                config.name = name.into();
                self.consumers.push(ConsumerSnapshot { config, ..ConsumerSnapshot::default() });
            }
            Part::Progress { name, state } => {
                self.count_consumer(state.len())?;
                let progress = ConsumerProgress::decode(state);
                let consumer = self.consumers.last_mut().filter(|last| last.config.name == name);
                let (Some(consumer), Some(progress)) = (consumer, progress) else {
                    return Err(failed(format_args!("error restoring consumer [{name:?}]")));
                };
                consumer.progress = progress;
            }
            Part::End => self.expect = Expect::Nothing,
        }
        Ok(true)
    }

    /// The blocks do not tell where the stream begins: what limits removed at its front is in
    /// them. The client tells, as it was told with the snapshot.
    fn begin_tar(&mut self, text: &[u8], ctx: &mut Context<'_>) -> Result<(), ApiError> {
        let stream: ArchivedStream = serde_json::from_slice(text).map_err(failed)?;
        if stream.name != self.config.name {
            return Err(failed("stream names do not match"));
        }
        let created = Moment::parse(&stream.created).ok();
        self.created = created.filter(|created| !created.is_zero()).map(Moment::wall);
        let ArchivedState { first_seq, last_seq, .. } = self.claimed;
        self.begin_at(ArchivedState { first_seq, last_seq, consumer_count: 0 }, ctx)
    }

    /// A message was deleted or erased.
    fn remove(&mut self, seq: Seq, ctx: &mut Context<'_>) -> Result<bool, ApiError> {
        if seq.0 >= SEQ_MAX {
            return Err(failed("a message block is damaged"));
        }
        self.state.last_seq = self.state.last_seq.max(seq.0);
        if seq > self.last || seq.0 < self.state.first_seq {
            return Ok(true);
        }
        match self.store.delete(ctx.log.as_deref_mut(), &[seq], false, ctx.now.mono) {
            Ok(_) => Ok(true),
            Err(Refusal::Behind | Refusal::Starting) => Ok(false),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    fn count_consumer(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.consumer_bytes += bytes;
        match self.consumer_bytes > RESTORE_CONSUMERS_BYTES_MAX {
            true => Err(failed("the consumers are too large")),
            false => Ok(()),
        }
    }

    /// False: the log has no room for now.
    fn take(&mut self, entry: &Entry<'_>, ctx: &mut Context<'_>) -> Result<bool, ApiError> {
        match self.expect {
            Expect::State => self.begin(entry, ctx)?,
            Expect::Consumers(left) => {
                let name = entry.name.strip_prefix(CONSUMERS).ok_or_else(|| {
                    let name = String::from_utf8_lossy(entry.name);
                    failed(format_args!("expected consumer, found {name:?}"))
                })?;
                let name = String::from_utf8_lossy(name);
                self.count_consumer(entry.payload.len())?;
                let mut consumer = ConsumerSnapshot::parse(&name, entry.payload).map_err(failed)?;
                // The entry's name counts: ephemeral consumers may have none of their own.
                consumer.config.name = name.into_owned();
                self.consumers.push(consumer);
                self.expect = after_consumers(left - 1);
            }
            Expect::Messages if entry.is_end() => self.expect = Expect::Nothing,
            Expect::Messages => return self.store_message(entry, ctx),
            Expect::Nothing => {}
        }
        Ok(true)
    }

    fn begin(&mut self, entry: &Entry<'_>, ctx: &mut Context<'_>) -> Result<(), ApiError> {
        if entry.name != STATE {
            return Err(failed("expected state.json first"));
        }
        let state = serde_json::from_slice(entry.payload);
        let state = state.map_err(|error| failed(format_args!("error in state.json: {error}")))?;
        self.begin_at(state, ctx)
    }

    fn begin_at(&mut self, state: ArchivedState, ctx: &mut Context<'_>) -> Result<(), ApiError> {
        self.state = state;
        let ArchivedState { first_seq, last_seq, consumer_count } = state;
        if last_seq >= SEQ_MAX || first_seq > SEQ_MAX {
            return Err(failed("error in state.json: sequences are out of range"));
        }
        if first_seq > 1 {
            let trimmed = self.store.trim(ctx.log.as_deref_mut(), Seq(first_seq), ctx.now.mono);
            trimmed.map_err(refused)?;
        }
        self.last = Seq(first_seq.saturating_sub(1));
        self.expect = after_consumers(consumer_count);
        Ok(())
    }

    fn store_message(
        &mut self,
        entry: &Entry<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<bool, ApiError> {
        let seq = entry.seq;
        self.check(entry)?;
        let message = NewMessage {
            seq: Seq(seq),
            time: u64::try_from(entry.time).unwrap_or(0),
            subject: entry.name,
            headers: entry.headers,
            payload: entry.payload,
        };
        let log = ctx.log.as_deref_mut();
        match self.store.append(log, &[message], Urgency::RideAlong, ctx.now.mono) {
            Ok(_) => {}
            Err(Refusal::Behind | Refusal::Starting) => return Ok(false),
            Err(refusal) => return Err(refused(refusal)),
        }
        self.last = Seq(seq);
        let most = ctx.site.options.max_memory_bytes.filter(|_| ctx.log.is_none());
        if most.is_some_and(|most| self.store.bytes(None) > most) {
            return Err(failed(ApiError::memory_resources_exceeded().description));
        }
        Ok(true)
    }

    fn check(&self, entry: &Entry<'_>) -> Result<(), ApiError> {
        let seq = entry.seq;
        if seq == 0 {
            return Err(failed("expected message sequence"));
        }
        if Seq(seq) <= self.last {
            return Err(failed(format_args!("message sequence {seq} out of order")));
        }
        if seq >= SEQ_MAX {
            return Err(failed(format_args!("message sequence {seq} is out of range")));
        }
        let size = entry.headers.len() + entry.payload.len();
        let most = usize::try_from(self.config.max_msg_size).unwrap_or(usize::MAX);
        if size > most {
            let error = format_args!("message sequence {seq} exceeds maximum message size");
            return Err(failed(error));
        }
        if entry.headers.len() > STORED_HEADER_BYTES_MAX {
            let error = ApiError::stream_header_exceeds_maximum().description;
            return Err(failed(format_args!("failed to store message sequence {seq}: {error}")));
        }
        if Subject::parse(entry.name).is_none() {
            return Err(failed(format_args!("message sequence {seq} has an invalid subject")));
        }
        Ok(())
    }

    /// The stream begins its life as after a restart: with everything on disk.
    fn settle(&mut self, ctx: &mut Context<'_>) -> Result<Progress, ApiError> {
        let at = match self.settled_at {
            Some(at) => at,
            None => self.complete(ctx)?,
        };
        self.settled_at = Some(at);
        let is_settled = ctx.log.as_deref().is_none_or(|log| {
            let visible = log.visible_seq(self.id) >= self.store.last_seq(Some(log));
            visible && log.settled() >= at
        });
        if is_settled {
            return Ok(Progress::Complete);
        }
        match ctx.log.as_deref().map(|log| log.health()) {
            Some(Health::Poisoned(_)) => Err(refused(Refusal::Poisoned)),
            _ => Ok(Progress::Waiting(Mono::NEVER)),
        }
    }

    /// The batch that makes all of it durable.
    fn complete(&mut self, ctx: &mut Context<'_>) -> Result<Lsn, ApiError> {
        if self.expect != Expect::Nothing {
            return Err(failed(match (self.frames.is_at_end(), self.inside.is_at_end()) {
                (false, _) => "s2: corrupt input",
                (true, false) => archive::INVALID,
                (true, true) => "EOF",
            }));
        }
        let last = Seq(self.state.last_seq);
        if self.last < last {
            let skipped = self.store.skip(ctx.log.as_deref_mut(), last, ctx.now.mono);
            skipped.map_err(refused)?;
        }
        let Some(log) = ctx.log.as_deref_mut() else { return Ok(Lsn(0)) };
        // Messages ride along; this does not.
        let (mark, now) = (RESTORING_KEY, ctx.now.mono);
        log.put_state(self.id, mark, b"2", Urgency::Now, now).map_err(refused)
    }

    /// What a complete import has brought.
    pub fn into_parts(self) -> Imported {
        let Self { store, created, consumers, .. } = self;
        Imported { store, created, consumers }
    }

    /// Bytes of memory beside the log's.
    pub fn memory(&self) -> usize {
        let packed = self.waiting_bytes + self.frames.memory() + self.inside.memory();
        size_of::<Self>() + packed + self.consumer_bytes + self.store.memory()
    }
}

/// A stream has to have sequences left.
const SEQ_MAX: u64 = 1 << 62;

fn after_consumers(left: u64) -> Expect {
    if left == 0 { Expect::Messages } else { Expect::Consumers(left) }
}

fn failed(error: impl std::fmt::Display) -> ApiError {
    ApiError::stream_restore(error)
}

fn refused(refusal: Refusal) -> ApiError {
    failed(crate::jetstream::api::error_of(refusal).description)
}

/// More is on its way to the disk than the operator allows.
fn is_full(ctx: &Context<'_>) -> bool {
    let most = ctx.site.options.max_buffered_bytes;
    ctx.log.as_deref().is_some_and(|log| log.pending_bytes() > most)
}
