//! The owner's part of STREAM.SNAPSHOT and STREAM.RESTORE (facts/jetstream-api.md §2): who asked,
//! who is told, and what remains.

use serde::Serialize;

use super::call::{Call, StreamCall};
use super::requests::body;
use super::serve::{Served, error_of};
use crate::jetstream::advisory::{StreamAction, Transfer, TransferAdvisory, id_of};
use crate::jetstream::config::{
    Action, Checked, ConsumerBounds, ConsumerConfig, Mode, StreamConfig,
};
use crate::jetstream::consumer::Consumer;
use crate::jetstream::context::Gate;
use crate::jetstream::core::{JetStream, Received};
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::Reply;
use crate::jetstream::info::{StreamState, answer, refusal};
use crate::jetstream::letter::{Letter, Request, StreamCard};
use crate::jetstream::outbox::Outgoing;
use crate::jetstream::snapshot::{
    ConsumerSnapshot, Export, ExportRequest, Import, Imported, Plan, Progress, Step,
};
use crate::jetstream::stream::{Stream, StreamRecord};
use crate::jetstream::target::{StreamSlot, SubscriptionChange, Target};
use crate::storage::{Refusal, Seq, StreamId, Urgency};
use crate::types::limits::{JETSTREAM_POLL_NS, RESTORES_MAX, SNAPSHOTS_MAX};
use crate::types::{AccountId, Mono, Now, ShardId, Subject, Wall};

/// The key of a stream in the log that is being restored. One that has it and no record is
/// nobody's: the server ended before the restore did.
pub const RESTORING_KEY: &[u8] = b"r";

#[derive(Serialize)]
struct Snapshotted<'a> {
    config: &'a StreamConfig,
    state: &'a StreamState,
}

#[derive(Serialize)]
struct Restoring<'a> {
    deliver_subject: &'a str,
}

/// Beside an error of the end of a restore there is nothing.
#[derive(Serialize)]
struct NotCreated {}

impl JetStream {
    /// A snapshot is asked for. The answer follows when all it tells is on disk.
    pub(super) fn begin_export(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let asked: ExportRequest = body(&request.body, "JSApiStreamSnapshotRequest")?;
        let deliver = Subject::parse(asked.deliver_subject.as_bytes());
        if !deliver.is_some_and(Subject::is_literal) {
            return Err(ApiError::snapshot_deliver_subject_invalid());
        }
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        if hosted.exports.len() >= SNAPSHOTS_MAX {
            return Err(ApiError::stream_snapshot(
                "too many snapshots of the stream are under way",
            ));
        }
        let Some(mut state) = hosted.stream.state(&mut context) else {
            hosted.parked.push(Letter::Request(request.clone()));
            return Ok(None);
        };
        state.consumer_count = hosted.seats.visible_len() as u64;
        let last = Seq(state.last_seq);
        let seats = hosted.seats.iter().filter(|(_, seat)| !seat.consumer.is_direct());
        let seats = seats.filter(|_| !asked.no_consumers);
        let consumers: Vec<_> = seats.map(|(_, seat)| seat.consumer.snapshot(now, last)).collect();
        let config = hosted.stream.config();
        let answer = answer("stream_snapshot", &Snapshotted { config, state: &state });
        let plan = Plan {
            id: id_of(now.wall, &[config.name.as_bytes(), asked.deliver_subject.as_bytes()]),
            account: hosted.account(),
            stream: &config.name,
            asked: &asked,
            state,
            consumers: &consumers,
            at: hosted.stream.appended(),
            request: request.clone(),
            answer,
        };
        tracing::info!("Starting snapshot for stream '$G > {}'", config.name);
        let export = Export::new(plan, now.wall);
        let key = (hosted.account(), export.ack_pattern().into_bytes().into(), acks_of(slot));
        hosted.exports.push(export);
        self.subscription_changes.push(SubscriptionChange { key, wanted: true });
        if !self.exporting.contains(&slot) {
            self.exporting.push(slot);
        }
        self.transfers_at = Mono(0);
        Ok(None)
    }

    /// A chunk arrived where it was sent to.
    pub(in crate::jetstream) fn on_export_ack(
        &mut self,
        slot: StreamSlot,
        subject: &[u8],
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return };
        if let Some(export) = hosted.exports.iter_mut().find(|export| export.owns(subject)) {
            export.on_ack();
            self.transfers_at = Mono(0);
        }
    }

    /// Goes on with snapshots and restores.
    pub(in crate::jetstream) fn run_transfers(&mut self, now: Now, gate: &mut dyn Gate) {
        if self.exporting.is_empty() && self.imports.is_empty() && self.leftovers.is_empty() {
            self.transfers_at = Mono::NEVER;
            return;
        }
        let mut next = Mono::NEVER;
        for slot in std::mem::take(&mut self.exporting) {
            next = next.min(self.run_exports(slot, now, gate));
        }
        let numbers: Vec<u32> = self.imports.keys().copied().collect();
        for number in numbers {
            next = next.min(self.run_import(number, now, gate));
        }
        self.drop_leftovers(now);
        if !self.leftovers.is_empty() {
            next = next.min(now.mono.plus(JETSTREAM_POLL_NS));
        }
        self.transfers_at = next;
    }

    /// When they have to be looked at again.
    fn run_exports(&mut self, slot: StreamSlot, now: Now, gate: &mut dyn Gate) -> Mono {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return Mono::NEVER };
        let mut next = Mono::NEVER;
        let mut exports = std::mem::take(&mut hosted.exports);
        let mut at = 0;
        while at < exports.len() {
            match self.step_export(slot, &mut exports[at], now, gate) {
                Step::Done => {
                    let export = exports.swap_remove(at);
                    self.end_export(slot, &export, None, now, gate);
                    continue;
                }
                Step::Failed(reason) => {
                    let export = exports.swap_remove(at);
                    self.end_export(slot, &export, Some(&reason), now, gate);
                    continue;
                }
                Step::Again | Step::Settled => next = Mono(0),
                Step::Waiting(until) => next = next.min(until),
            }
            at += 1;
        }
        if let Some((hosted, _)) = self.at(slot, now, gate)
            && !exports.is_empty()
        {
            hosted.exports = exports;
            self.exporting.push(slot);
        }
        next
    }

    fn step_export(
        &mut self,
        slot: StreamSlot,
        export: &mut Export,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Step {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Step::Done };
        let step = export.step(&mut context, hosted.stream.store());
        if step == Step::Settled {
            let reply = Reply::now(std::mem::take(&mut export.answer));
            self.reply(Some(slot), &export.request, &reply, now);
            self.advise_export(slot, export, None, now, gate);
        }
        step
    }

    fn end_export(
        &mut self,
        slot: StreamSlot,
        export: &Export,
        error: Option<&str>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return };
        let name = hosted.name();
        match error {
            None => tracing::info!("Completed snapshot of stream '$G > {name}'"),
            Some(error) => tracing::warn!("Snapshot for stream '$G > {name}' failed: {error}"),
        }
        let key = (hosted.account(), export.ack_pattern().into_bytes().into(), acks_of(slot));
        self.subscription_changes.push(SubscriptionChange { key, wanted: false });
        self.advise_export(slot, export, Some(error), now, gate);
    }

    /// `end`: it has ended, with an error or without.
    fn advise_export(
        &mut self,
        slot: StreamSlot,
        export: &Export,
        end: Option<Option<&str>>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, context)) = self.at(slot, now, gate) else { return };
        let (account, stream) = (hosted.account(), hosted.name());
        let about = Transfer { account, stream, client: &export.request.client };
        let told = match end {
            None => TransferAdvisory::SnapshotCreate(&export.state),
            Some(error) => TransferAdvisory::SnapshotComplete { start: export.started, error },
        };
        told.publish(context.out, context.site, now, about);
    }

    /// The stream goes: whoever takes a snapshot of it hears that there will be no more.
    pub(in crate::jetstream) fn end_exports(
        &mut self,
        slot: StreamSlot,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let mut exports = std::mem::take(&mut hosted.exports);
        for export in &mut exports {
            export.abandon(&mut context, "stream deleted");
        }
        for export in exports {
            self.end_export(slot, &export, Some("stream deleted"), now, gate);
        }
    }

    /// A stream is to be made out of what the client will send.
    pub(in crate::jetstream) fn begin_import(
        &mut self,
        card: &StreamCard,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Ok(config) = StreamConfig::parse(&card.config, Mode::Lenient) else { return };
        let account = request.account();
        let id = StreamId(card.incarnation);
        let log = self.log_for(&config);
        if let Err(error) = self.mark_restoring(log, id, now, gate) {
            self.refuse_stream(card);
            self.post(ShardId(0), Letter::Failed);
            let call = Call::Stream(StreamCall::Restore, &card.name);
            return self.reply(None, request, &Reply::now(call.refusal(&error)), now);
        }
        tracing::info!("Starting restore for stream '$G > {}'", card.name);
        let nuid = id_of(now.wall, &[card.name.as_bytes(), &request.reply]);
        let nuid = String::from_utf8_lossy(&nuid);
        let subject = format!("$JS.SNAPSHOT.RESTORE.{}.{nuid}", card.name);
        let number = self.next_import;
        self.next_import = self.next_import.wrapping_add(1);
        let answer = answer("stream_restore", &Restoring { deliver_subject: &subject });
        let key = (account, subject.as_bytes().into(), Target::Restore(number));
        self.subscription_changes.push(SubscriptionChange { key, wanted: true });
        let context = self.ground.context(log, now, gate);
        let import = Import::new(account, id, log, config, subject, request, &context);
        self.imports.insert(number, Box::new(import));
        self.transfers_at = Mono(0);
        self.reply(None, request, &Reply::now(answer), now);
        self.advise_import(number, now);
    }

    fn advise_import(&mut self, number: u32, now: Now) {
        let Some(import) = self.imports.get(&number) else { return };
        let (account, stream) = (import.account, import.config.name.as_str());
        let about = Transfer { account, stream, client: &import.client };
        let site = std::sync::Arc::clone(&self.ground.site);
        let out = self.ground.outbox(import.log);
        TransferAdvisory::RestoreCreate.publish(out, &site, now, about);
    }

    /// What a crash would leave of the restore is known as such by its key.
    fn mark_restoring(
        &mut self,
        log: Option<u16>,
        id: StreamId,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<(), ApiError> {
        if self.imports.len() >= RESTORES_MAX {
            return Err(ApiError::stream_restore("too many restores are under way"));
        }
        let context = self.ground.context(log, now, gate);
        let Some(log) = context.log else { return Ok(()) };
        log.put_state(id, RESTORING_KEY, b"1", Urgency::Now, now.mono).map_err(error_of)?;
        Ok(())
    }

    fn refuse_stream(&mut self, card: &StreamCard) {
        let StreamCard { account, name, incarnation, .. } = card.clone();
        self.post(ShardId(0), Letter::Refused { account, name, incarnation });
    }

    pub(in crate::jetstream) fn on_import_chunk(
        &mut self,
        number: u32,
        received: &Received<'_>,
        now: Now,
    ) {
        let Some(import) = self.imports.get_mut(&number) else { return };
        import.on_chunk(received.reply, received.payload, now.mono);
        self.transfers_at = Mono(0);
    }

    /// When it has to be looked at again.
    fn run_import(&mut self, number: u32, now: Now, gate: &mut dyn Gate) -> Mono {
        let Some(import) = self.imports.get_mut(&number) else { return Mono::NEVER };
        let mut context = self.ground.context(import.log, now, gate);
        let mut is_told = true;
        let outcome = match import.step(&mut context) {
            Progress::Again => return Mono(0),
            Progress::Waiting(until) => return until,
            Progress::Complete => None,
            Progress::Failed(error) => Some(error),
            Progress::Stalled => {
                is_told = false;
                let name = &import.config.name;
                Some(ApiError::stream_restore(format!(
                    "restore for stream '$G > {name}' is stalled"
                )))
            }
        };
        let Some(mut import) = self.imports.remove(&number) else { return Mono::NEVER };
        let key = (import.account, import.subject.as_bytes().into(), Target::Restore(number));
        self.subscription_changes.push(SubscriptionChange { key, wanted: false });
        let last_reply = import.last_reply.take().unwrap_or_default();
        let end = ImportEnd::of(&import, last_reply);
        let error = match outcome {
            None => self.finish_import(*import, &end, now, gate).err(),
            error => {
                self.forget_stored(&end);
                error
            }
        };
        if is_told {
            let about = Transfer { account: end.account, stream: &end.name, client: &end.client };
            let told = TransferAdvisory::RestoreComplete { start: end.started, bytes: end.bytes };
            let site = std::sync::Arc::clone(&self.ground.site);
            told.publish(self.ground.outbox(end.log), &site, now, about);
        }
        self.tell_import(&end, error, now, gate);
        Mono::NEVER
    }

    /// Makes a stream of what has come.
    fn finish_import(
        &mut self,
        import: Import,
        end: &ImportEnd,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<(), ApiError> {
        let config = import.config.clone();
        let Imported { store, created, consumers } = import.into_parts();
        let created = created.unwrap_or(now.wall);
        let record = StreamRecord { created, account: "$G".into(), config, drawn: Vec::new() };
        let mut context = self.ground.context(end.log, now, gate);
        let stream = Stream::on_store(end.id, end.account, record, store, &mut context);
        let slot = self.adopt(end.log, stream);
        let settled = self.settle_import(slot, consumers, now, gate);
        if settled.is_err() {
            self.dismiss(slot);
            self.forget_stored(end);
        }
        settled
    }

    /// Gives the stream its consumers and puts all into the log; the stream's record last.
    fn settle_import(
        &mut self,
        slot: StreamSlot,
        consumers: Vec<ConsumerSnapshot>,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<(), ApiError> {
        for consumer in consumers {
            let name = consumer.config.name.clone();
            self.restore_consumer(slot, consumer, now, gate)?;
            self.write_consumer(slot, &name, now, gate)?;
        }
        let gone = || error_of(Refusal::NotFound);
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(gone)?;
        hosted.stream.write_record(&mut context).map_err(error_of)?;
        let id = hosted.stream.id();
        if let Some(log) = context.log.as_deref_mut()
            && let Err(refusal) = log.drop_key(id, RESTORING_KEY, now.mono)
        {
            // Beside the record it means nothing.
            tracing::debug!("JetStream: the mark of a restore stays: {refusal:?}");
        }
        Ok(())
    }

    fn restore_consumer(
        &mut self,
        slot: StreamSlot,
        snapshot: ConsumerSnapshot,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<(), ApiError> {
        let ConsumerSnapshot { config, progress } = snapshot;
        let name = config.name.clone();
        let failed = |error: ApiError| {
            let error = error.description;
            ApiError::stream_restore(format_args!("failed to add consumer {name:?}: {error}"))
        };
        let gone = || failed(ApiError::stream_not_found());
        let (hosted, context) = self.at(slot, now, gate).ok_or_else(gone)?;
        if hosted.seats.find(&name).is_some() {
            return Err(failed(ApiError::consumer_name_exist()));
        }
        let others: Vec<ConsumerConfig> =
            hosted.seats.iter().map(|(_, seat)| seat.consumer.config()).collect();
        let others: Vec<&ConsumerConfig> = others.iter().collect();
        let bounds = ConsumerBounds {
            pedantic: false,
            action: Action::default(),
            server: &context.site.options.limits,
            max_ack_pending: -1,
            stream: hosted.stream.config(),
            existing: None,
            is_active: false,
            others: &others,
        };
        let config = match config.check(&bounds).map_err(failed)? {
            Checked::New(config) | Checked::Changed(config) => config,
            Checked::Same => return Ok(()),
        };
        let stream = hosted.name().to_owned();
        let home = hosted.home(&stream, config.mem_storage);
        let last = hosted.stream.store().last_seq(context.log.as_deref());
        let consumer = Consumer::from_snapshot(&name, &config, &progress, &home, last, now);
        self.seat(slot, consumer, now, gate);
        Ok(())
    }

    /// What a failed restore stored goes, and its name is free.
    fn forget_stored(&mut self, end: &ImportEnd) {
        if let Some(log) = end.log {
            self.leftovers.push((log, end.id));
            self.transfers_at = Mono(0);
        }
        let (account, name, incarnation) = (end.account.0, end.name.clone(), end.id.0);
        self.post(ShardId(0), Letter::Refused { account, name, incarnation });
    }

    /// Streams in the logs that nobody will ever see. One that the log does not let go for now is
    /// tried again.
    fn drop_leftovers(&mut self, now: Now) {
        let logs = &mut self.ground.logs;
        self.leftovers.retain(|&(log, id)| {
            let Some(log) = logs.get_mut(usize::from(log)) else { return false };
            match log.drop_stream(id, now.mono) {
                Ok(_) | Err(Refusal::NotFound | Refusal::Poisoned) => false,
                Err(_) => true,
            }
        });
    }

    fn tell_import(
        &mut self,
        end: &ImportEnd,
        error: Option<ApiError>,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let name = &end.name;
        let Some(error) = error else {
            tracing::info!("Completed restore of {} bytes for stream '$G > {name}'", end.bytes);
            return self.tell_restored(end, now, gate);
        };
        tracing::warn!("Restore failed for stream '$G > {name}': {}", error.description);
        self.post(ShardId(0), Letter::Failed);
        if !end.last_reply.is_empty() {
            let body = refusal("stream_create", &error, &NotCreated {});
            let message = Outgoing::plain(&end.last_reply, &body);
            self.ground.outbox(None).publish(end.account, message);
        }
    }

    fn tell_restored(&mut self, end: &ImportEnd, now: Now, gate: &mut dyn Gate) {
        let Some(slot) = self.find(end.account, &end.name) else { return };
        let (account, name) = (end.account.0, end.name.clone());
        let card = StreamCard { account, name, config: Vec::new(), incarnation: end.id.0 };
        self.post(ShardId(0), Letter::Created(card));
        self.advise_stream(slot, StreamAction::Create, now, gate);
        self.after_change(slot);
        self.poll_again(slot);
        let request = Request {
            came_ns: now.mono.0,
            account: end.account.0,
            subject: format!("$JS.API.STREAM.RESTORE.{}", end.name).into_bytes(),
            reply: end.last_reply.to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
            is_audited: false,
            client: Vec::new(),
        };
        self.tell(&request, now, gate);
    }
}

/// What is left of a restore when it has ended.
struct ImportEnd {
    account: AccountId,
    id: StreamId,
    log: Option<u16>,
    name: String,
    client: Vec<u8>,
    started: Wall,
    bytes: u64,
    /// Empty: nobody to tell.
    last_reply: Box<[u8]>,
}

impl ImportEnd {
    fn of(import: &Import, last_reply: Box<[u8]>) -> Self {
        Self {
            account: import.account,
            id: import.id,
            log: import.log,
            name: import.config.name.clone(),
            client: import.client.clone(),
            started: import.started,
            bytes: import.bytes,
            last_reply,
        }
    }
}

fn acks_of(slot: StreamSlot) -> Target {
    Target::SnapshotAck(slot)
}
