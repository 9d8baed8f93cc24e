//! Streams and consumers come and go: at the start out of the logs, later by request or by time.

use std::collections::BTreeMap;

use super::advisory::{AboutStream, StreamAction, StreamAdvisory};
use super::api::{RESTORING_KEY, error_of};
use super::config::{Storage, StreamConfig};
use super::consumer::{Consumer, Entry};
use super::context::Gate;
use super::core::JetStream;
use super::error::ApiError;
use super::ground::LogIndex;
use super::hosted::Hosted;
use super::letter::{Letter, StreamCard, Usage};
use super::mutation::{self, Mutation};
use super::progress::{consumer_key, consumer_of_key};
use super::stream::{POSITIONS_KEY, Stream, StreamRecord};
use super::target::StreamSlot;
use crate::storage::{KeyValue, Lsn, Refusal, Seq, StreamId, Urgency};
use crate::types::{AccountId, Now, ShardId, json};

/// The key of a stream's record among its keys in the log.
const STREAM_KEY: &[u8] = b"s";

impl JetStream {
    /// Takes in what the logs hold: `values` by log. Damage costs what it touched, and is told.
    pub(super) fn recover(&mut self, values: Vec<Vec<KeyValue>>, now: Now, gate: &mut dyn Gate) {
        for (log, values) in values.into_iter().enumerate() {
            let mut by_stream: BTreeMap<StreamId, Vec<KeyValue>> = BTreeMap::new();
            for value in values {
                by_stream.entry(value.stream).or_default().push(value);
            }
            for (id, values) in by_stream {
                self.recover_stream(log as u16, id, &values, now, gate);
            }
        }
        let cards = self.hosted.iter().flatten().map(|hosted| StreamCard {
            account: hosted.account().0,
            name: hosted.name().to_owned(),
            config: json::compact(hosted.stream.config()),
            incarnation: hosted.stream.id().0,
        });
        let report = Letter::Report(cards.collect());
        self.post(ShardId(0), report);
        self.open_own_letters(now, gate);
    }

    fn recover_stream(
        &mut self,
        log: u16,
        id: StreamId,
        values: &[KeyValue],
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let record = values.iter().find(|value| *value.key == *STREAM_KEY);
        if record.is_none() && values.iter().any(|value| *value.key == *RESTORING_KEY) {
            tracing::warn!("JetStream log {log}: a restore was not finished; what it stored goes");
            self.leftovers.push((log, id));
            return;
        }
        let Some(record) = record.map(|value| StreamRecord::decode(&value.state)) else {
            tracing::error!(
                "JetStream log {log}: stream {} has no readable configuration; its messages are kept and not served",
                id.0
            );
            return;
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(
                    "JetStream log {log}: the configuration of stream {} is unreadable ({}); its messages are kept and not served",
                    id.0,
                    error.0
                );
                return;
            }
        };
        let drawn = values.iter().find(|value| *value.key == *POSITIONS_KEY);
        let drawn = drawn.map_or_else(Vec::new, |value| value.state.clone());
        let record = StreamRecord { drawn, ..record };
        let mut context = self.ground.context(Some(log), now, gate);
        let stream = Stream::restore(id, AccountId::GLOBAL, record, &mut context);
        let slot = self.adopt(Some(log), stream);
        for value in values {
            let Some(name) = consumer_of_key(&value.key) else { continue };
            self.recover_consumer(slot, name, value, now, gate);
        }
        self.after_change(slot);
        self.poll_again(slot);
    }

    fn recover_consumer(
        &mut self,
        slot: StreamSlot,
        name: &str,
        value: &KeyValue,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return };
        let stream = hosted.name().to_owned();
        let state = value.state.as_slice();
        if let Some(error) = value.error {
            tracing::error!(
                "JetStream: part of the state of consumer {name} of stream {stream} is lost \
                 ({error:?}): messages may come again"
            );
        }
        let restored =
            Consumer::restore(name, &hosted.home(&stream, false), state, &value.deltas, now);
        let config = hosted.stream.config().clone();
        match restored {
            Ok(consumer) => self.seat(slot, consumer, now, gate),
            Err(_) => tracing::error!(
                "JetStream: the state of consumer {name} of stream {} is unreadable; the consumer \
                 is not served",
                config.name
            ),
        }
    }

    /// Where a new stream is stored: the log with the fewest streams.
    pub(super) fn log_for(&self, config: &StreamConfig) -> LogIndex {
        if config.storage == Storage::Memory {
            return None;
        }
        let load = |log: u16| {
            self.hosted.iter().flatten().filter(|hosted| hosted.log == Some(log)).count()
        };
        (0..self.ground.logs.len() as u16).min_by_key(|log| load(*log))
    }

    /// Deletes a stream with its consumers. Where the answer waits, and for which batch.
    pub(super) fn delete_stream(
        &mut self,
        slot: StreamSlot,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<(LogIndex, Lsn), Refusal> {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            return Err(Refusal::NotFound);
        };
        let id = hosted.stream.id();
        let at = match context.log.as_deref_mut() {
            Some(log) if !mutation::is(Mutation::StreamDeleteNotLogged) => {
                log.drop_stream(id, now.mono)?
            }
            _ => Lsn(0),
        };
        hosted.stream.end_sources(&mut context);
        let seats: Vec<u32> = hosted.seats.iter().map(|(at, _)| at).collect();
        for at in seats {
            if let Some(seat) = hosted.seats.get_mut(at) {
                seat.consumer.on_deleted(&mut context);
            }
        }
        self.end_exports(slot, now, gate);
        self.advise_stream(slot, StreamAction::Delete, now, gate);
        let Some(mut hosted) = self.dismiss(slot) else { return Err(Refusal::NotFound) };
        self.abandon_purges(&mut hosted, now);
        let (account, name) = (hosted.account().0, hosted.name().to_owned());
        let letter = Letter::Deleted { account, name, incarnation: id.0 };
        self.post(ShardId(0), letter);
        Ok((hosted.log, at))
    }

    /// A stream that another core has a younger one of: it was being deleted when the server ended.
    pub(super) fn drop_superseded(&mut self, card: &StreamCard, now: Now, gate: &mut dyn Gate) {
        let found = self.hosted.iter().flatten();
        let found = found.map(|hosted| (hosted.slot, hosted.stream.id()));
        let slot = found.into_iter().find(|(_, id)| id.0 == card.incarnation);
        let Some((slot, _)) = slot else { return };
        tracing::warn!("JetStream: two streams named {}; the older one is deleted", card.name);
        if let Err(refusal) = self.delete_stream(slot, now, gate) {
            tracing::error!("JetStream: the older stream {} stays: {refusal:?}", card.name);
        }
    }

    /// A consumer nobody used for too long.
    pub(super) fn expire_consumer(
        &mut self,
        slot: StreamSlot,
        seat: u32,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return };
        let Some(name) = hosted.seats.get(seat).map(|seat| seat.consumer.name().to_owned()) else {
            return;
        };
        if let Err(error) = self.remove_consumer(slot, &name, now, gate) {
            tracing::warn!(
                "JetStream: consumer {name} has expired and stays: {}",
                error.description
            );
        }
    }

    /// Writes what a consumer owes the log. The batch that must be settled before anyone is told,
    /// which is one of before if it owes nothing.
    pub(super) fn write_consumer(
        &mut self,
        slot: StreamSlot,
        name: &str,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<Lsn, ApiError> {
        let missing = ApiError::consumer_not_found;
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(missing)?;
        let id = hosted.stream.id();
        let seat = hosted.seats.find(name).and_then(|at| hosted.seats.get_mut(at));
        let seat = seat.ok_or_else(missing)?;
        let Some(entry) = seat.consumer.take_journal(now) else { return Ok(seat.written) };
        let Some(log) = context.log.as_deref_mut() else { return Ok(Lsn(0)) };
        let key = consumer_key(name);
        let (Entry::Whole(bytes) | Entry::Delta(bytes)) = &entry;
        let written = match entry {
            Entry::Whole(_) => log.put_state(id, &key, bytes, Urgency::Now, now.mono),
            Entry::Delta(_) => log.put_delta(id, &key, bytes, Urgency::Now, now.mono),
        };
        seat.written = written.inspect_err(|_| seat.consumer.want_whole()).map_err(error_of)?;
        Ok(seat.written)
    }

    pub(super) fn advise_stream(
        &mut self,
        slot: StreamSlot,
        action: StreamAction,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, context)) = self.at(slot, now, gate) else { return };
        let about = AboutStream { account: hosted.account(), stream: hosted.name() };
        StreamAdvisory::Action(action).publish(context.out, context.site, now.wall, about);
    }

    /// The server stops: whoever waits hears of it.
    pub fn stop(&mut self, now: Now, gate: &mut dyn Gate) {
        let slots: Vec<StreamSlot> =
            self.hosted.iter().flatten().map(|hosted| hosted.slot).collect();
        for slot in slots {
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            let seats: Vec<u32> = hosted.seats.iter().map(|(at, _)| at).collect();
            for at in seats {
                if let Some(seat) = hosted.seats.get_mut(at) {
                    seat.consumer.on_shutdown(&mut context);
                }
            }
        }
        if mutation::is(Mutation::ProgressLostOnStop) {
            return self.unwritten.clear();
        }
        // What consumers have not written yet is written now.
        self.progress_at = now.mono;
        self.write_progress(now, gate);
    }

    /// Tells what the streams of an account use here, and the infos of those named.
    pub(super) fn gathered(
        &mut self,
        id: u32,
        account: AccountId,
        names: Option<Vec<String>>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let mut infos = Vec::new();
        for name in names.iter().flatten() {
            let Some(slot) = self.find(account, name) else { continue };
            let Some((hosted, mut context)) = self.at(slot, now, gate) else { continue };
            let Some(info) = hosted.listed_info(&mut context) else {
                // All of it again, when this one can be told.
                let account = account.0;
                return hosted.parked.push(Letter::Gather { id, account, names });
            };
            infos.push((name.clone(), json::compact(&info)));
        }
        let usage = self.usage(account);
        self.post(ShardId(0), Letter::Gathered { id, usage, infos });
    }

    fn usage(&mut self, account: AccountId) -> Usage {
        let mut usage = Usage::default();
        let hosted = self.hosted.iter_mut().flatten();
        for hosted in hosted.filter(|hosted| hosted.account() == account) {
            usage += hosted.usage(self.ground.log(hosted.log));
        }
        usage
    }

    /// Messages were removed by request: every consumer looks whether that concerns it.
    pub(super) fn tell_of_purge(&mut self, slot: StreamSlot, now: Now, gate: &mut dyn Gate) {
        self.tell_of_removal(slot, None, now, gate);
    }

    /// As [`Self::tell_of_purge`], or of a single message.
    pub(super) fn tell_of_removal(
        &mut self,
        slot: StreamSlot,
        deleted: Option<Seq>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let Hosted { stream, seats, .. } = hosted;
        let all: Vec<u32> = seats.iter().map(|(at, _)| at).collect();
        for &at in &all {
            if let Some(seat) = seats.get_mut(at) {
                match deleted {
                    Some(seq) => {
                        seat.consumer.on_message_deleted(&mut context, stream.store(), seq);
                    }
                    None => seat.consumer.on_purge(&mut context, stream.store()),
                }
            }
        }
        self.after_change(slot);
        for at in all {
            self.after_consumer(slot, at, now, gate);
            self.queue(slot, at);
        }
    }
}
