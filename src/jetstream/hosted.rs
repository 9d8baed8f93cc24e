//! A stream on the core that owns it, with its consumers and what it subscribes to.

use std::collections::VecDeque;

use super::api::PurgeCall;
use super::config::{Retention, Storage};
use super::consumer::Home;
use super::context::Context;
use super::ground::LogIndex;
use super::info::StreamInfo;
use super::letter::{Letter, Usage};
use super::seats::Seats;
use super::snapshot::Export;
use super::stream::{InfoRequest, Stream, source_patterns};
use super::target::{StreamSlot, SubscriptionChange, Target};
use crate::storage::Log;
use crate::types::{AccountId, Mono};

#[derive(Debug)]
pub struct Hosted {
    pub slot: StreamSlot,
    pub log: LogIndex,
    pub stream: Stream,
    pub seats: Seats,
    /// Bytes of it that the ledger has.
    pub counted: u64,
    /// What waits for a read.
    pub parked: Vec<Letter>,
    /// Purges of many messages under way, which are done one after the other.
    pub purges: VecDeque<PurgeCall>,
    /// Snapshots under way.
    pub exports: Vec<Export>,
    /// When it was read from the disk last; never: it keeps nothing of that.
    pub read_at: Option<Mono>,
    /// Its earliest alarm.
    pub armed: Mono,
    /// On the list of streams with messages that cannot be seen yet.
    pub is_awaiting: bool,
    /// On the list of streams with requests that wait.
    pub is_polled: bool,
    /// On the list of streams with consumers that may have work.
    pub is_ready: bool,
}

impl Hosted {
    pub fn new(slot: StreamSlot, log: LogIndex, stream: Stream) -> Self {
        Self {
            slot,
            log,
            stream,
            seats: Seats::default(),
            counted: 0,
            parked: Vec::new(),
            purges: VecDeque::new(),
            exports: Vec::new(),
            read_at: None,
            armed: Mono::NEVER,
            is_awaiting: false,
            is_polled: false,
            is_ready: false,
        }
    }

    pub fn account(&self) -> AccountId {
        self.stream.account()
    }

    pub fn name(&self) -> &str {
        &self.stream.config().name
    }

    /// What it uses and reserves.
    pub fn usage(&mut self, log: Option<&Log>) -> Usage {
        let bytes = self.stream.store().bytes(log);
        let messages = self.stream.store().messages(log);
        let config = self.stream.config();
        let reserved = config.reserved_bytes();
        let (streams, consumers) = (1, self.seats.visible_len() as u64);
        let sums = Usage { streams, consumers, messages, ..Usage::default() };
        match config.storage {
            Storage::Memory => Usage { memory: bytes, reserved_memory: reserved, ..sums },
            Storage::File => Usage { file: bytes, reserved_file: reserved, ..sums },
        }
    }

    /// As lists tell it, with the configuration as it is kept. `None`: a read is under way, ask
    /// again.
    pub fn listed_info(&mut self, context: &mut Context<'_>) -> Option<StreamInfo> {
        let mut info = self.stream.info(context, &InfoRequest::default())?.info?;
        info.state.consumer_count = self.seats.visible_len() as u64;
        info.config = self.stream.config().clone();
        Some(info)
    }

    /// Tells the stream what its consumers want: interest retention keeps nothing else.
    pub fn tell_filters(&mut self) {
        if self.stream.config().retention == Retention::Interest {
            let filters = self.seats.iter().map(|(_, seat)| seat.consumer.filter().clone());
            let filters = filters.collect();
            self.stream.set_consumer_filters(filters);
        }
    }

    /// Where a consumer of this stream lives; `name` is the stream's.
    pub fn home<'a>(&self, name: &'a str, in_memory: bool) -> Home<'a> {
        let config = self.stream.config();
        Home {
            account: self.account(),
            account_name: "$G",
            stream: name,
            retention: config.retention,
            max_msg_size: u64::try_from(config.max_msg_size).unwrap_or(0),
            is_durable: config.storage == Storage::File && !in_memory,
        }
    }

    /// More than the operator allows is on its way to the disk.
    pub fn is_full(&mut self, context: &Context<'_>) -> bool {
        let options = &context.site.options;
        let log = context.log.as_deref();
        if log.is_some_and(|log| log.pending_bytes() > options.max_buffered_bytes) {
            return true;
        }
        let store = self.stream.store();
        let unseen = store.last_seq(log).0.saturating_sub(store.visible_seq(log).0);
        unseen >= options.max_buffered_messages as u64
    }

    /// What the stream has to hear, besides its own subjects.
    fn services(&self, domain: Option<&str>) -> Vec<(String, Target)> {
        let (name, slot) = (self.name(), self.slot);
        let mut all = vec![
            (format!("$JS.ACK.{name}.>"), Target::Ack(slot)),
            (format!("$JS.FC.{name}.>"), Target::FlowControl(slot)),
        ];
        let config = self.stream.config();
        let feeds = source_patterns(config).into_iter();
        all.extend(feeds.map(|pattern| (pattern, Target::Feed(slot))));
        let is_direct = config.allow_direct;
        let mirrored = config.mirror.as_ref().filter(|_| config.mirror_direct);
        let acks = self.exports.iter().map(Export::ack_pattern);
        all.extend(acks.map(|pattern| (pattern, Target::SnapshotAck(slot))));
        for prefix in api_prefixes(domain) {
            all.push((format!("{prefix}.CONSUMER.MSG.NEXT.{name}.*"), Target::Next(slot)));
            let served = is_direct.then_some(name);
            for name in served.into_iter().chain(mirrored.map(|mirror| mirror.name.as_str())) {
                all.push((format!("{prefix}.DIRECT.GET.{name}"), Target::Direct(slot)));
                all.push((format!("{prefix}.DIRECT.GET.{name}.>"), Target::Direct(slot)));
            }
        }
        all
    }

    /// Every subscription of the stream as it is configured now.
    pub fn subscriptions(&self, domain: Option<&str>) -> Vec<SubscriptionChange> {
        let subjects = self.stream.config().subjects.iter();
        let own = subjects.map(|subject| (subject.clone(), Target::Publish(self.slot)));
        let account = self.account();
        own.chain(self.services(domain))
            .map(|(pattern, target)| SubscriptionChange {
                key: (account, pattern.into_bytes().into(), target),
                wanted: true,
            })
            .collect()
    }
}

/// Under which subjects the API is asked: with a domain also under its name.
pub fn api_prefixes(domain: Option<&str>) -> impl Iterator<Item = String> {
    let own = domain.map(|domain| format!("$JS.{domain}.API"));
    std::iter::once("$JS.API".to_owned()).chain(own)
}
