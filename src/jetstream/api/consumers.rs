//! The owner's part of the API: consumers.

use serde::Serialize;

use super::call::{Call, ConsumerCall};
use super::requests::{ConsumersRequest, PauseRequest, optional_body, reset_body, unpin_body};
use super::serve::{Served, error_of};
use crate::jetstream::advisory::{Action, ID_LEN, id_of};
use crate::jetstream::config::{
    Checked, ConsumerBounds, ConsumerConfig, ConsumerRequest, ConsumerSubject, Retention,
};
use crate::jetstream::consumer::Consumer;
use crate::jetstream::context::{Gate, GateState};
use crate::jetstream::core::JetStream;
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::Reply;
use crate::jetstream::hosted::Hosted;
use crate::jetstream::info::{ConsumerInfo, Nothing, Page, PauseState, Success, answer};
use crate::jetstream::letter::Request;
use crate::jetstream::mutation::{self, Mutation};
use crate::jetstream::progress::consumer_key;
use crate::jetstream::target::StreamSlot;
use crate::storage::{Lsn, Refusal, Seq};
use crate::types::Now;

const NAMES_PAGE: usize = 1024;
const LIST_PAGE: usize = 256;

#[derive(Serialize)]
struct Names<'a> {
    #[serde(flatten)]
    page: Page,
    consumers: &'a [&'a str],
}

#[derive(Serialize)]
struct List {
    #[serde(flatten)]
    page: Page,
    consumers: Vec<ConsumerInfo>,
}

#[derive(Serialize)]
struct ResetDone {
    #[serde(flatten)]
    info: ConsumerInfo,
    reset_seq: u64,
}

impl JetStream {
    pub(super) fn consumer_names(&mut self, slot: StreamSlot, request: &Request) -> Served {
        let asked: ConsumersRequest = optional_body(&request.body, "JSApiConsumersRequest")?;
        let Some(hosted) = self.hosted[slot.index as usize].as_deref() else { return Ok(None) };
        let names = hosted.seats.visible_names();
        let (page, range) = page_of(&asked, names.len(), NAMES_PAGE);
        let answer = answer("consumer_names", &Names { page, consumers: &names[range] });
        Ok(Some(Reply::now(answer)))
    }

    pub(super) fn consumer_list(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let asked: ConsumersRequest = optional_body(&request.body, "JSApiConsumersRequest")?;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        let names: Vec<String> =
            hosted.seats.visible_names().into_iter().map(str::to_owned).collect();
        let (page, range) = page_of(&asked, names.len(), LIST_PAGE);
        let Hosted { seats, stream, .. } = hosted;
        let infos = names[range].iter().filter_map(|name| {
            let seat = seats.get_mut(seats.find(name)?)?;
            Some(seat.consumer.info(&mut context, stream.store()))
        });
        let consumers = infos.collect();
        Ok(Some(Reply::now(answer("consumer_list", &List { page, consumers }))))
    }

    pub(super) fn create_consumer(
        &mut self,
        slot: StreamSlot,
        call: &Call<'_>,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let mode = self.ground.site.mode();
        let mut asked = ConsumerRequest::parse(&request.body, mode)?;
        let (stream, subject) = subject_of(call);
        let name = asked.resolve(stream, subject)?;
        if let Some(name) = name.as_deref().filter(|_| asked.config.direct && asked.config.sourcing)
            && let Some(reply) = self.prepare_feeder(slot, name, &mut asked.config, now, gate)?
        {
            return Ok(Some(reply));
        }
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        let named = name.as_deref().and_then(|name| hosted.seats.find(name));
        let existing = named.and_then(|at| hosted.seats.get(at)).map(|seat| seat.consumer.config());
        let existing = existing.as_ref();
        // Only the consumers of a work queue have to get along: reading all of them takes long.
        let is_queue = hosted.stream.config().retention == Retention::WorkQueue;
        let others = hosted.seats.iter().filter(|(at, _)| is_queue && named != Some(*at));
        let others: Vec<_> = others.map(|(_, seat)| seat.consumer.config()).collect();
        let others: Vec<_> = others.iter().collect();
        let delivers_to = existing.map_or("", |config| config.deliver_subject.as_str());
        let listener = context.gate.state(hosted.account(), delivers_to.as_bytes());
        let stream = hosted.stream.config();
        let bounds = ConsumerBounds {
            pedantic: asked.pedantic,
            action: asked.action,
            server: &context.site.options.limits,
            max_ack_pending: -1,
            stream,
            existing,
            is_active: listener != GateState::Nobody,
            others: &others,
        };
        let config = match asked.config.check(&bounds)? {
            Checked::New(config) => config,
            Checked::Same => {
                if let Some(seat) = named.and_then(|at| hosted.seats.get_mut(at)) {
                    seat.consumer.announce_pause(&mut context);
                }
                return self.tell_consumer(slot, &name.unwrap_or_default(), now, gate);
            }
            Checked::Changed(config) => {
                return self.update_consumer(slot, &name.unwrap_or_default(), &config, now, gate);
            }
        };
        let default = context.site.options.limits.default_max_consumers;
        let most = Some(stream.max_consumers).filter(|&most| most > 0).or(default);
        if let Some(most) = most
            && hosted.seats.visible_len() as i64 >= most
            && !config.direct
        {
            return Err(ApiError::maximum_consumers_limit());
        }
        let name = name.unwrap_or_else(|| new_name(now, hosted.seats.len()));
        let stream = hosted.stream.config().name.clone();
        let home = hosted.home(&stream, config.mem_storage);
        let store = hosted.stream.store();
        let mut consumer = Consumer::new(&name, &config, &home, store, &mut context);
        consumer.announce_pause(&mut context);
        consumer.announce(&mut context, Action::Create);
        self.seat(slot, consumer, now, gate);
        self.tell_consumer(slot, &name, now, gate)
    }

    /// Gives a consumer its seat and queues it.
    pub(in crate::jetstream) fn seat(
        &mut self,
        slot: StreamSlot,
        consumer: Consumer,
        now: Now,
        gate: &mut dyn Gate,
    ) {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return };
        let at = hosted.seats.insert(consumer);
        hosted.tell_filters();
        self.after_consumer(slot, at, now, gate);
        self.queue(slot, at);
    }

    fn update_consumer(
        &mut self,
        slot: StreamSlot,
        name: &str,
        config: &ConsumerConfig,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        let stream = hosted.stream.config().name.clone();
        let home = hosted.home(&stream, config.mem_storage);
        let Some(at) = hosted.seats.find(name) else { return Err(ApiError::consumer_not_found()) };
        let Some(seat) = hosted.seats.get_mut(at) else { return Ok(None) };
        let is_filter_new = seat.consumer.update(&mut context, config, &home);
        hosted.tell_filters();
        self.after_consumer(slot, at, now, gate);
        self.queue(slot, at);
        let told = self.tell_consumer(slot, name, now, gate)?;
        if is_filter_new {
            // Behind the update in the log: no crash takes the update and leaves the removal.
            self.release_unwanted(slot, now, gate);
        }
        Ok(told)
    }

    /// Answers with what a consumer is now, when that is on disk.
    pub(super) fn tell_consumer(
        &mut self,
        slot: StreamSlot,
        name: &str,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let mut at = self.write_consumer(slot, name, now, gate)?;
        if mutation::is(Mutation::ConsumerToldEarly) {
            at = Lsn(0);
        }
        let info = self.info_of(slot, name, now, gate)?;
        Ok(Some(Reply::when(at, answer("consumer_create", &info))))
    }

    fn info_of(
        &mut self,
        slot: StreamSlot,
        name: &str,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<ConsumerInfo, ApiError> {
        let missing = ApiError::consumer_not_found;
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(missing)?;
        let Hosted { seats, stream, .. } = hosted;
        let seat = seats.find(name).and_then(|at| seats.get_mut(at)).ok_or_else(missing)?;
        let mut info = seat.consumer.info(&mut context, stream.store());
        let version = &context.site.version;
        info.config = info.config.map(|config| config.with_server_metadata(version));
        Ok(info)
    }

    pub(super) fn serve_consumer(
        &mut self,
        slot: StreamSlot,
        call: ConsumerCall,
        name: &str,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let Some(hosted) = self.hosted[slot.index as usize].as_deref() else { return Ok(None) };
        let Some(at) = hosted.seats.find(name) else {
            // The reference does not answer this one.
            let is_reset = call == ConsumerCall::Reset;
            if is_reset {
                return Ok(None);
            }
            Call::Consumer { call, stream: "", consumer: name }
                .check_body(&request.body, self.ground.site.mode())?;
            return Err(ApiError::consumer_not_found());
        };
        let reply = match call {
            ConsumerCall::Info => {
                let info = self.info_of(slot, name, now, gate)?;
                Reply::now(answer("consumer_info", &info))
            }
            ConsumerCall::Delete => {
                let at = self.remove_consumer(slot, name, now, gate)?;
                Reply::when(at, answer("consumer_delete", &Success::YES))
            }
            ConsumerCall::Pause => self.pause(slot, at, name, request, now, gate)?,
            ConsumerCall::Reset => {
                let asked = reset_body(&request.body)?;
                let Some((hosted, _)) = self.at(slot, now, gate) else { return Ok(None) };
                let Some(seat) = hosted.seats.get_mut(at) else { return Ok(None) };
                let reset = seat.consumer.reset(Seq(asked.seq))?;
                let at = self.write_consumer(slot, name, now, gate)?;
                self.release_unwanted(slot, now, gate);
                let info = self.info_of(slot, name, now, gate)?;
                let done = ResetDone { info, reset_seq: reset.0 };
                Reply::when(at, answer("consumer_reset", &done))
            }
            ConsumerCall::Unpin => {
                let asked = unpin_body(&request.body)?;
                let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
                let Some(seat) = hosted.seats.get_mut(at) else { return Ok(None) };
                seat.consumer.unpin(&mut context, &asked.group)?;
                Reply::now(answer("consumer_unpin", &Nothing {}))
            }
            ConsumerCall::LeaderStepDown => return Err(ApiError::cluster_required()),
        };
        self.queue(slot, at);
        Ok(Some(reply))
    }

    fn pause(
        &mut self,
        slot: StreamSlot,
        at: u32,
        name: &str,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<Reply, ApiError> {
        let asked: PauseRequest = optional_body(&request.body, "JSApiConsumerPauseRequest")?;
        let missing = ApiError::consumer_not_found;
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(missing)?;
        let seat = hosted.seats.get_mut(at).ok_or_else(missing)?;
        let state: PauseState = seat.consumer.pause(&mut context, asked.pause_until);
        self.after_consumer(slot, at, now, gate);
        let at = self.write_consumer(slot, name, now, gate)?;
        Ok(Reply::when(at, answer("consumer_pause", &state)))
    }

    /// Ends a consumer. The batch that must be settled before anyone is told.
    pub(in crate::jetstream) fn remove_consumer(
        &mut self,
        slot: StreamSlot,
        name: &str,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<Lsn, ApiError> {
        let missing = ApiError::consumer_not_found;
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(missing)?;
        hosted.seats.find(name).ok_or_else(missing)?;
        let id = hosted.stream.id();
        let mut at = Lsn(0);
        if let Some(log) = context.log.as_deref_mut()
            && !mutation::is(Mutation::ConsumerDeleteNotLogged)
        {
            at = match log.drop_key(id, &consumer_key(name), now.mono) {
                // It was never written.
                Err(Refusal::NotFound) => log.appended(),
                dropped => dropped.map_err(error_of)?,
            };
        }
        let mut seat = hosted.seats.remove(name).ok_or_else(missing)?;
        seat.consumer.on_deleted(&mut context);
        hosted.tell_filters();
        self.release_unwanted(slot, now, gate);
        Ok(at)
    }
}

/// What the subject of a request names.
pub(super) fn subject_of<'a>(call: &Call<'a>) -> (&'a str, ConsumerSubject<'a>) {
    match *call {
        Call::ConsumerCreateDurable { stream, consumer: name } => {
            (stream, ConsumerSubject::Durable { name })
        }
        Call::ConsumerCreate { stream, consumer: Some(name), filter } => {
            (stream, ConsumerSubject::Name { name, filter })
        }
        _ => (call.of_stream().unwrap_or_default(), ConsumerSubject::Nothing),
    }
}

/// The name of a consumer that was given none: eight letters and digits, as the reference has it.
fn new_name(now: Now, salt: usize) -> String {
    let id = id_of(now.wall, &[&salt.to_le_bytes()]);
    String::from_utf8_lossy(&id[ID_LEN - 8..]).into_owned()
}

fn page_of(asked: &ConsumersRequest, total: usize, limit: usize) -> (Page, std::ops::Range<usize>) {
    let offset = usize::try_from(asked.offset).unwrap_or(0).min(total);
    let page = Page { total: total as u64, offset: offset as u64, limit: limit as u64 };
    (page, offset..(offset + limit).min(total))
}
