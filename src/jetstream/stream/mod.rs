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
//! | `batch` | all or nothing |
//! | `access` `purge` | reading and removing by request |
//! | `ack` | answers to publishers |
//! | `record` | what of a stream is on disk beside its messages |

mod access;
mod ack;
mod batch;
mod dedup;
mod directives;
mod expectations;
mod intake;
mod limits;
mod purge;
mod record;
mod ttl;

#[cfg(test)]
mod tests;

pub use access::{Got, Wanted};
pub use intake::Incoming;
pub use purge::PurgeRequest;
pub use record::{RecordError, StreamRecord};

use ack::Acks;
use dedup::Dedup;
use expectations::LastMsgId;
use intake::Rules;
use limits::Removals;

use super::config::{Storage, StreamConfig};
use super::context::Context;
use super::filter::Filter;
use super::store::Store;
use crate::storage::{Lsn, Refusal, Seq, StreamId};
use crate::types::{AccountId, Mono, Wall};

/// One stream of one account, on the shard that owns it.
#[derive(Debug)]
pub struct Stream {
    account: AccountId,
    id: StreamId,
    created: Wall,
    config: StreamConfig,
    rules: Rules,
    store: Store,
    acks: Acks,
    /// What an answer waits for that tells of the newest change.
    appended: Lsn,
    /// Of the message stored last, in nanoseconds since 1970: times never decrease.
    last_time: u64,
    last_msg_id: LastMsgId,
    dedup: Dedup,
    removals: Removals,
    /// What consumers want; asked by interest retention only.
    interest: Vec<Filter>,
    republish: Option<()>,
}

impl Stream {
    /// A new stream; its record is in the log when `Stream::appended` is settled.
    pub fn create(
        id: StreamId,
        account: AccountId,
        account_name: &str,
        config: StreamConfig,
        ctx: &mut Context<'_>,
    ) -> Result<Self, Refusal> {
        let record = StreamRecord { created: ctx.now.wall, account: account_name.into(), config };
        let mut stream = Self::restore(id, account, record, ctx);
        stream.write_record(ctx, account_name)?;
        if let Some(before) = stream.config.first_seq.checked_sub(1) {
            let first = Seq(before).next();
            stream.appended = stream.store.trim(ctx.log.as_deref_mut(), first, ctx.now.mono)?;
        }
        Ok(stream)
    }

    /// A stream as its record has it, on the messages the log has of it.
    pub fn restore(
        id: StreamId,
        account: AccountId,
        record: StreamRecord,
        ctx: &mut Context<'_>,
    ) -> Self {
        let StreamRecord { created, config, .. } = record;
        let seed = id.0 ^ created.0;
        let store = match config.storage {
            Storage::File => Store::file(id),
            Storage::Memory => Store::memory_only(seed),
        };
        let mut stream = Self {
            account,
            id,
            created,
            rules: Rules::of(&config),
            store,
            acks: Acks::new(&config.name, ctx.site.domain.as_deref()),
            appended: Lsn(0),
            last_time: 0,
            last_msg_id: LastMsgId::default(),
            dedup: Dedup::new(config.duplicate_window.ns(), seed),
            removals: Removals::default(),
            interest: Vec::new(),
            republish: None,
            config,
        };
        stream.judge_all_subjects();
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
}
