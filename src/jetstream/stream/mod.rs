//! A stream: what a publish does, what is kept and for how long, and what can be asked of it.
//!
//! It is sans-I/O: the time, the log and the way out come with a [`Context`]. Whatever tells of
//! what is not on disk yet goes through `Outbox::publish_when`.
//!
//! | file | knows |
//! |---|---|
//! | `intake` | a publish: the checks in order, the append, what follows |
//! | `directives` `ttl` | what headers ask |
//! | `expectations` `dedup` | what a publish expects, what was published before |
//! | `limits` `expiry` | what gives way, and when |
//! | `batch` `fast_batch` | all or nothing; windows of acknowledgements |
//! | `counter` | messages that add up |
//! | `schedule/` | messages that make others |
//! | `sourcing/` | what is drawn from other streams |
//! | `republish` | stored messages published again |
//! | `access` `direct` `request` | messages by request |
//! | `purge` `state` | removing and telling by request |
//! | `settings` | a changed configuration |
//! | `record` `recovery` | what is on disk beside the messages, and what a restart reads |
//! | `waiting` `kept` | publishes that wait for a read |

mod access;
mod batch;
mod counter;
mod dedup;
mod direct;
mod directives;
mod expectations;
mod expiry;
mod fast_batch;
mod intake;
mod kept;
mod limits;
mod purge;
mod record;
mod recovery;
mod republish;
mod request;
mod schedule;
mod settings;
mod sourcing;
mod state;
mod ttl;
mod waiting;

#[cfg(test)]
mod tests;

pub use access::Got;
pub use direct::DirectGet;
pub use intake::Incoming;
pub use purge::{MessageDeleteRequest, Purge, PurgeRequest};
pub use record::StreamRecord;
pub use request::MessageGetRequest;
pub use sourcing::{Feeding, IDENTITY_HEADER, POSITIONS_KEY, patterns as source_patterns};
pub use state::InfoRequest;

use batch::Batches;
use counter::Counters;
use dedup::Dedup;
use direct::WaitingGets;
use expectations::LastMsgId;
use expiry::Expiry;
use fast_batch::FastBatches;
use intake::Rules;
use limits::Removals;
use recovery::Recovery;
use republish::Republish;
use schedule::Schedules;
use sourcing::Sourcing;
use waiting::WaitingPublishes;

use super::advisory::hash_of;
use super::config::{Storage, StreamConfig};
use super::context::Context;
use super::filter::Filter;
use super::info::PubAcks;
use super::store::Store;
use crate::storage::{Lsn, Refusal, Seq, StreamId};
use crate::types::Transform;
use crate::types::limits::STREAM_TICK_MESSAGES;
use crate::types::{AccountId, Mono, Now, Wall, rfc3339};

/// One stream of one account, on the shard that owns it.
#[derive(Debug)]
pub struct Stream {
    account: AccountId,
    account_name: Box<str>,
    id: StreamId,
    created: Wall,
    config: StreamConfig,
    rules: Rules,
    store: Store,
    acks: PubAcks,
    /// Where an answer is written.
    answer: Vec<u8>,
    /// What an answer waits for that tells of the newest change.
    appended: Lsn,
    /// Of the message stored last, in nanoseconds since 1970: times never decrease.
    last_time: u64,
    last_msg_id: LastMsgId,
    dedup: Dedup,
    removals: Removals,
    expiry: Expiry,
    batches: Batches,
    fast: FastBatches,
    counters: Counters,
    schedules: Schedules,
    sourcing: Sourcing,
    recovery: Recovery,
    waiting: WaitingPublishes,
    gets: WaitingGets,
    /// Where headers are written.
    block: Vec<u8>,
    /// What consumers want; asked by interest retention only.
    interest: Vec<Filter>,
    /// What becomes of a subject on the way in.
    transform: Option<Transform>,
    republish: Option<Republish>,
    /// The newest time the stream was told.
    seen: Now,
}

impl Stream {
    /// A new stream; its record is in the log when [`Stream::appended`] is settled.
    pub fn create(
        id: StreamId,
        account: AccountId,
        account_name: &str,
        config: StreamConfig,
        ctx: &mut Context<'_>,
    ) -> Result<Self, Refusal> {
        let record = StreamRecord {
            created: ctx.now.wall,
            account: account_name.into(),
            config,
            drawn: Vec::new(),
        };
        let mut stream = Self::restore(id, account, record, ctx);
        stream.write_record(ctx)?;
        if let Some(before) = stream.config.first_seq.checked_sub(1) {
            let first = Seq(before).next();
            stream.appended = stream.store.trim(ctx.log.as_deref_mut(), first, ctx.now.mono)?;
        }
        Ok(stream)
    }

    /// A stream as its record has it, on the messages the log has of it. Until [`Stream::poll`]
    /// has read what it needs, publishes wait.
    pub fn restore(
        id: StreamId,
        account: AccountId,
        record: StreamRecord,
        ctx: &mut Context<'_>,
    ) -> Self {
        let store = match record.config.storage {
            Storage::File => Store::file(id),
            Storage::Memory => Store::memory_only(id.0 ^ record.created.0),
        };
        Self::on_store(id, account, record, store, ctx)
    }

    /// A stream of messages that are there already. As [`Stream::restore`]; its record is not
    /// written.
    pub fn on_store(
        id: StreamId,
        account: AccountId,
        record: StreamRecord,
        store: Store,
        ctx: &mut Context<'_>,
    ) -> Self {
        let StreamRecord { created, config, account: account_name, drawn } = record;
        let seed = id.0 ^ created.0;
        let mut stream = Self {
            account,
            account_name,
            id,
            created,
            rules: Rules::of(&config),
            store,
            acks: PubAcks::new(&config.name, ctx.site.domain.as_deref()),
            answer: Vec::new(),
            appended: Lsn(0),
            last_time: 0,
            last_msg_id: LastMsgId::default(),
            dedup: Dedup::new(config.duplicate_window.ns(), seed),
            removals: Removals::default(),
            expiry: Expiry::default(),
            batches: Batches::new(&ctx.site.options.limits.batch),
            fast: FastBatches::default(),
            counters: Counters::default(),
            schedules: Schedules::default(),
            sourcing: Sourcing::with_positions(&drawn),
            recovery: Recovery::Times,
            waiting: WaitingPublishes::default(),
            gets: WaitingGets::default(),
            block: Vec::new(),
            interest: Vec::new(),
            transform: None,
            republish: None,
            seen: ctx.now,
            config,
        };
        stream.apply_config();
        stream.judge_all_subjects();
        stream.recover(ctx);
        stream
    }

    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    pub fn account(&self) -> AccountId {
        self.account
    }

    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Tells it apart from other streams that had or will have its name.
    pub fn identity(&self) -> String {
        hash_of(&rfc3339(self.created))
    }

    #[cfg(test)]
    pub fn created(&self) -> Wall {
        self.created
    }

    /// The batch that has to be settled before anyone is told of the newest change.
    pub fn appended(&self) -> Lsn {
        self.appended
    }

    /// For consumers, which read the messages themselves.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// What the stream's consumers want: asked by interest retention.
    pub fn set_consumer_filters(&mut self, interest: Vec<Filter>) {
        self.interest = interest;
    }

    /// More may be seen than before: what was kept for readers until then may go.
    pub fn on_visible(&mut self, ctx: &mut Context<'_>) {
        self.make_room(ctx);
    }

    /// Direct gets wait for a read, or for room.
    pub fn has_waiting_gets(&self) -> bool {
        !self.gets.is_empty()
    }

    /// A read of the log has ended, or it is this stream's turn again: goes on with what waited.
    /// True: it waits for reads no more.
    pub fn poll(&mut self, ctx: &mut Context<'_>) -> bool {
        let is_recovered = self.recover(ctx);
        let mut is_fed = true;
        if is_recovered {
            self.retry_publishes(ctx);
            is_fed = self.poll_sources(ctx);
        }
        self.retry_gets(ctx);
        if self.expiry.is_reading() {
            self.expire(ctx);
        }
        if self.schedules.is_reading() {
            self.obey_schedules(ctx);
        }
        is_recovered
            && is_fed
            && self.waiting.is_empty()
            && self.gets.is_empty()
            && !self.expiry.is_reading()
            && !self.schedules.is_reading()
    }

    /// Does what time asks for; at the latest at [`Stream::wake_at`].
    pub fn on_tick(&mut self, ctx: &mut Context<'_>) {
        self.seen = ctx.now;
        self.dedup.expire(ctx.now.wall.0, STREAM_TICK_MESSAGES);
        self.abandon_idle(ctx);
        self.fast.forget_idle(ctx.now.mono);
        self.poll(ctx);
        self.retry_removals(ctx);
        if self.recovery == Recovery::Done {
            self.expire(ctx);
            self.obey_schedules(ctx);
            self.tick_sources(ctx);
        }
    }

    /// When [`Stream::on_tick`] has something to do.
    pub fn wake_at(&self) -> Mono {
        let due = [self.expiry.due_at(), self.dedup.expires_at(), self.schedules.due_at()];
        let due = due.into_iter().flatten().min();
        let due =
            due.map_or(Mono::NEVER, |at| self.seen.mono.plus(at.saturating_sub(self.seen.wall.0)));
        let own = due.min(self.batches.due_at()).min(self.fast.due_at());
        own.min(self.removals.retry_at()).min(self.sources_due_at())
    }

    /// Bytes of memory beside the log's.
    pub fn memory(&self) -> usize {
        self.store.memory()
            + self.dedup.memory()
            + self.expiry.memory()
            + self.waiting.memory()
            + self.batches.memory()
            + self.sourcing.memory()
    }
}
