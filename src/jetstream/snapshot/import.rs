//! A stream on its way in. Its messages go into the store as they come; nobody sees the stream
//! before all of it is there.
//!
//! Chunks are answered when their bytes have been dealt with, so who sends one at a time, as
//! clients do, is as fast as the disk.

use std::collections::VecDeque;

use serde::Deserialize;

use super::archive::{ArchiveError, ArchiveReader, CONSUMERS, Entry, STATE};
use super::consumer::ConsumerSnapshot;
use super::frame::FrameReader;
use crate::jetstream::api::RESTORING_KEY;
use crate::jetstream::config::{Storage, StreamConfig};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::LogIndex;
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
}

/// What a complete archive held beside its messages.
#[derive(Debug)]
pub struct Imported {
    pub store: Store,
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
    last: Seq,
    /// With whom to answer.
    chunks: VecDeque<(Box<[u8]>, Vec<u8>)>,
    waiting_bytes: usize,
    /// Of the chunk whose bytes are being dealt with.
    answer_to: Option<Box<[u8]>>,
    frames: FrameReader,
    archive: ArchiveReader,
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
        client: Vec<u8>,
        ctx: &Context<'_>,
    ) -> Self {
        let store = match config.storage {
            Storage::File => Store::file(id),
            Storage::Memory => Store::memory_only(id.0 ^ ctx.now.wall.0),
        };
        Self {
            account,
            id,
            log,
            config,
            started: ctx.now.wall,
            subject: subject.into(),
            client,
            bytes: 0,
            last_reply: None,
            store,
            consumers: Vec::new(),
            consumer_bytes: 0,
            expect: Expect::State,
            state: ArchivedState::default(),
            last: Seq(0),
            chunks: VecDeque::new(),
            waiting_bytes: 0,
            answer_to: None,
            frames: FrameReader::default(),
            archive: ArchiveReader::default(),
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
                Stored::Some => continue,
                Stored::Behind => {
                    self.active_at = ctx.now.mono;
                    return Ok(Progress::Waiting(Mono::NEVER));
                }
            }
            self.archive.make_room();
            if self.frames.unpack(&mut self.archive.bytes).map_err(|error| failed(error.text()))? {
                continue;
            }
            if let Some(reply) = self.answer_to.take() {
                ctx.out.publish(self.account, Outgoing::plain(&reply, b""));
            }
            if let Some((reply, bytes)) = self.chunks.pop_front() {
                self.waiting_bytes -= bytes.len();
                budget = budget.saturating_sub(bytes.len());
                self.frames.push(&bytes);
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

    /// Deals with the entries that are unpacked.
    fn store_entries(
        &mut self,
        ctx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Result<Stored, ApiError> {
        let mut archive = std::mem::take(&mut self.archive);
        let result = self.store_entries_of(&mut archive, ctx, budget);
        self.archive = archive;
        result
    }

    fn store_entries_of(
        &mut self,
        archive: &mut ArchiveReader,
        ctx: &mut Context<'_>,
        budget: &mut usize,
    ) -> Result<Stored, ApiError> {
        while self.expect != Expect::Nothing {
            let entry = archive.entry().map_err(|error| failed(error.text()))?;
            let Some((entry, len)) = entry else { return Ok(Stored::All) };
            if *budget == 0 {
                return Ok(Stored::Some);
            }
            if is_full(ctx) || !self.take(&entry, ctx)? {
                return Ok(Stored::Behind);
            }
            archive.take(len);
            *budget = budget.saturating_sub(len);
        }
        // Whatever comes behind the end does not count.
        archive.bytes.clear();
        Ok(Stored::All)
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
                self.consumer_bytes += entry.payload.len();
                if self.consumer_bytes > RESTORE_CONSUMERS_BYTES_MAX {
                    return Err(failed("the consumers are too large"));
                }
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
        self.state = state.map_err(|error| failed(format_args!("error in state.json: {error}")))?;
        let ArchivedState { first_seq, last_seq, consumer_count } = self.state;
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
            return Err(failed(match (self.frames.is_at_end(), self.archive.is_at_end()) {
                (false, _) => "s2: corrupt input",
                (true, false) => ArchiveError::Invalid.text(),
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
        Imported { store: self.store, consumers: self.consumers }
    }

    /// Bytes of memory beside the log's.
    pub fn memory(&self) -> usize {
        let packed = self.waiting_bytes + self.frames.memory() + self.archive.memory();
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
