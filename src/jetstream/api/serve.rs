//! The owner's part of the API: calls about one stream and its consumers.

use super::call::{Call, StreamCall};
use super::requests::{body, optional_body};
use super::stored::{Found, StoredMessage};
use crate::jetstream::advisory::StreamAction;
use crate::jetstream::config::{Mode, StreamConfig};
use crate::jetstream::context::Gate;
use crate::jetstream::core::JetStream;
use crate::jetstream::error::ApiError;
use crate::jetstream::ground::Reply;
use crate::jetstream::headers;
use crate::jetstream::info::{ClusterInfo, StreamCreated, Success, answer};
use crate::jetstream::letter::{Letter, Request, StreamCard};
use crate::jetstream::mutation::{self, Mutation};
use crate::jetstream::stream::{
    Got, IDENTITY_HEADER, InfoRequest, MessageDeleteRequest, MessageGetRequest, Stream,
};
use crate::jetstream::target::StreamSlot;
use crate::storage::{Lsn, Refusal, Seq, StreamId};
use crate::types::{AccountId, Now, ShardId, json};

/// `None`: the answer comes later, or there is none.
pub type Served = Result<Option<Reply>, ApiError>;

impl JetStream {
    /// A call about a stream of this core.
    pub fn serve(&mut self, request: &Request, now: Now, gate: &mut dyn Gate) {
        let domain = self.ground.site.domain.clone();
        let Some(call) = Call::parse(&request.subject, domain.as_deref()) else { return };
        let Some(name) = call.of_stream() else { return };
        let found = self.find(request.account(), name);
        let served = match found {
            None => Err(ApiError::stream_not_found()),
            Some(slot) => match self.check_identity(slot, request) {
                Err(error) => Err(error),
                Ok(told) => {
                    let served = self.serve_call(slot, &call, request, now, gate);
                    served.map(|reply| reply.map(|reply| Reply { headers: told, ..reply }))
                }
            },
        };
        match served {
            Ok(None) => {}
            Ok(Some(reply)) => self.reply(found, request, &reply, now),
            Err(error) => {
                self.post(ShardId(0), Letter::Failed);
                self.reply(found, request, &Reply::now(call.refusal(&error)), now);
            }
        }
    }

    /// A stream that draws from this one may name which one it means, of those that had the name.
    /// The headers of the answer: who is asked so says who it is.
    pub(super) fn check_identity(
        &self,
        slot: StreamSlot,
        request: &Request,
    ) -> Result<Vec<u8>, ApiError> {
        let mut told = Vec::new();
        let Some(meant) = headers::get(&request.headers, IDENTITY_HEADER) else { return Ok(told) };
        let Some(hosted) = self.hosted[slot.index as usize].as_deref() else { return Ok(told) };
        let identity = hosted.stream.identity();
        if !meant.is_empty() && meant != identity.as_bytes() {
            return Err(ApiError::consumer_stream_identity_mismatch(identity));
        }
        headers::append(&mut told, IDENTITY_HEADER, identity.as_bytes());
        Ok(told)
    }

    pub(in crate::jetstream) fn reply(
        &mut self,
        slot: Option<StreamSlot>,
        request: &Request,
        reply: &Reply,
        now: Now,
    ) {
        let log = slot.and_then(|slot| self.hosted[slot.index as usize].as_ref()?.log);
        self.ground.answer(log, request, reply, now.wall);
    }

    fn serve_call(
        &mut self,
        slot: StreamSlot,
        call: &Call<'_>,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        match *call {
            Call::Stream(call, _) => self.serve_stream(slot, call, request, now, gate),
            Call::ConsumerCreate { .. } | Call::ConsumerCreateDurable { .. } => {
                self.create_consumer(slot, call, request, now, gate)
            }
            Call::ConsumerNames(_) => self.consumer_names(slot, request),
            Call::ConsumerList(_) => self.consumer_list(slot, request, now, gate),
            Call::Consumer { call, consumer, .. } => {
                self.serve_consumer(slot, call, consumer, request, now, gate)
            }
            _ => Ok(None),
        }
    }

    fn serve_stream(
        &mut self,
        slot: StreamSlot,
        call: StreamCall,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let reply = match call {
            StreamCall::Info => return self.stream_info(slot, request, now, gate),
            StreamCall::Purge => return self.purge(slot, request, now, gate),
            StreamCall::MessageGet => return self.message_get(slot, request, now, gate),
            StreamCall::MessageDelete => self.message_delete(slot, request, now, gate)?,
            StreamCall::Snapshot => return self.begin_export(slot, request, now, gate),
            StreamCall::Delete | StreamCall::Restore => return Ok(None),
            StreamCall::LeaderStepDown
            | StreamCall::PeerRemove
            | StreamCall::PeerEvacuate
            | StreamCall::CancelMove => return Err(ApiError::cluster_required()),
        };
        Ok(Some(reply))
    }

    /// `None`: the request waits for a read.
    fn stream_info(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let asked: InfoRequest = optional_body(&request.body, "JSApiStreamInfoRequest")?;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        let Some(mut page) = hosted.stream.info(&mut context, &asked) else {
            hosted.parked.push(Letter::Request(request.clone()));
            return Ok(None);
        };
        if let Some(info) = &mut page.info {
            info.state.consumer_count = hosted.seats.visible_len() as u64;
            info.cluster = Some(ClusterInfo { leader: context.site.server_name.clone() });
        }
        let at = hosted.stream.appended();
        Ok(Some(Reply::when(at, answer("stream_info", &page))))
    }

    fn message_get(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let asked: MessageGetRequest = body(&request.body, "JSApiMsgGetRequest")?;
        let without_headers = asked.no_hdr;
        let mut wanted = asked.single()?;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return Ok(None) };
        let message = match hosted.stream.get(&mut context, &mut wanted) {
            Got::Here(stored) => StoredMessage::of(&stored, without_headers),
            Got::Missing => return Err(ApiError::no_message_found()),
            Got::Broken(_) => return Err(ApiError::stream_general("message is damaged on disk")),
            Got::Wait => {
                hosted.parked.push(Letter::Request(request.clone()));
                return Ok(None);
            }
        };
        let reply = Reply::now(answer("stream_msg_get", &Found { message }));
        // The reference tells of refusals only: a message is not repeated to whoever listens.
        Ok(Some(Reply { is_audited: false, ..reply }))
    }

    fn message_delete(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<Reply, ApiError> {
        let asked: MessageDeleteRequest = body(&request.body, "JSApiMsgDeleteRequest")?;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            return Err(ApiError::stream_not_found());
        };
        hosted.stream.delete_message(&mut context, &asked)?;
        let at = hosted.stream.appended();
        self.tell_of_removal(slot, Some(Seq(asked.seq)), now, gate);
        Ok(Reply::when(at, answer("stream_msg_delete", &Success::YES)))
    }

    /// Makes a stream. One that is there already answers all the same: the registry saw that it is
    /// what the request asks for.
    pub fn create(&mut self, card: &StreamCard, request: &Request, now: Now, gate: &mut dyn Gate) {
        let account = request.account();
        if self.find(account, &card.name).is_some() {
            return self.tell(request, now, gate);
        }
        let Ok(config) = StreamConfig::parse(&card.config, Mode::Lenient) else { return };
        match self.make(account, config, card.incarnation, now, gate) {
            Ok(slot) => {
                self.post(ShardId(0), Letter::Created(card.clone()));
                self.advise_stream(slot, StreamAction::Create, now, gate);
                self.after_change(slot);
                self.tell(request, now, gate);
            }
            Err(refusal) => {
                let StreamCard { account, name, incarnation, .. } = card.clone();
                self.post(ShardId(0), Letter::Refused { account, name, incarnation });
                let call = Call::StreamCreate(&card.name);
                let error = error_of(refusal);
                self.reply(None, request, &Reply::now(call.refusal(&error)), now);
            }
        }
    }

    fn make(
        &mut self,
        account: AccountId,
        config: StreamConfig,
        incarnation: u64,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<StreamSlot, Refusal> {
        let log = self.log_for(&config);
        let mut context = self.ground.context(log, now, gate);
        let id = StreamId(incarnation);
        let stream = Stream::create(id, account, "$G", config, &mut context)?;
        Ok(self.adopt(log, stream))
    }

    /// Answers a create, an update or the end of a restore with what the stream is now.
    pub fn tell(&mut self, request: &Request, now: Now, gate: &mut dyn Gate) {
        let domain = self.ground.site.domain.clone();
        let Some(call) = Call::parse(&request.subject, domain.as_deref()) else { return };
        let (Call::StreamCreate(name)
        | Call::StreamUpdate(name)
        | Call::Stream(StreamCall::Restore, name)) = call
        else {
            return;
        };
        let Some(slot) = self.find(request.account(), name) else { return };
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let page = hosted.stream.info(&mut context, &InfoRequest::default());
        let Some(mut info) = page.and_then(|page| page.info) else {
            hosted.parked.push(Letter::Tell(request.clone()));
            return;
        };
        info.state.consumer_count = hosted.seats.visible_len() as u64;
        // Neither answer names it.
        info.domain = None;
        let is_early = mutation::is(Mutation::StreamToldEarly);
        let at = if is_early { Lsn(0) } else { hosted.stream.appended() };
        let body = match call {
            Call::StreamCreate(_) => answer(call.kind(), &StreamCreated::new(info)),
            Call::Stream(..) => answer("stream_create", &info),
            _ => answer(call.kind(), &info),
        };
        self.reply(Some(slot), request, &Reply::when(at, body), now);
    }

    /// Changes a stream; the registry has checked that it may be.
    pub fn update(&mut self, card: &StreamCard, request: &Request, now: Now, gate: &mut dyn Gate) {
        let Some(slot) = self.find(request.account(), &card.name) else { return };
        let Ok(config) = StreamConfig::parse(&card.config, Mode::Lenient) else { return };
        let domain = self.ground.site.domain.clone();
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let before = hosted.subscriptions(domain.as_deref());
        let retention = hosted.stream.config().retention;
        let seats = hosted.seats.iter().map(|(_, seat)| &seat.consumer);
        let consumers: Vec<_> = seats
            .filter(|consumer| !consumer.is_direct())
            .map(|consumer| (consumer.name(), consumer.config()))
            .collect();
        let consumers = consumers.iter().map(|(name, config)| (*name, config));
        let fits = config.check_consumers(consumers);
        let updated =
            fits.and_then(|()| hosted.stream.update(&mut context, config).map_err(error_of));
        if let Err(error) = updated {
            let kept = json::compact(hosted.stream.config());
            let kept = StreamCard { config: kept, ..card.clone() };
            self.post(ShardId(0), Letter::Unchanged { kept, refused: card.config.clone() });
            self.post(ShardId(0), Letter::Failed);
            let body = Call::StreamUpdate(&card.name).refusal(&error);
            return self.reply(Some(slot), request, &Reply::now(body), now);
        }
        hosted.tell_filters();
        // With consumers the reference removes nothing now: each message goes when it is acknowledged.
        if hosted.stream.config().retention != retention && hosted.seats.len() == 0 {
            self.release_unwanted(slot, now, gate);
        }
        self.resubscribe(&before, slot);
        self.advise_stream(slot, StreamAction::Modify, now, gate);
        self.after_change(slot);
        self.tell(request, now, gate);
    }

    pub fn delete(&mut self, request: &Request, now: Now, gate: &mut dyn Gate) {
        let domain = self.ground.site.domain.clone();
        let Some(call) = Call::parse(&request.subject, domain.as_deref()) else { return };
        let Some(slot) = call.of_stream().and_then(|name| self.find(request.account(), name))
        else {
            // It could not be made, which the registry will hear.
            self.post(ShardId(0), Letter::Failed);
            let missing = call.refusal(&ApiError::stream_not_found());
            return self.reply(None, request, &Reply::now(missing), now);
        };
        let at = match self.delete_stream(slot, now, gate) {
            Ok(at) => at,
            Err(refusal) => {
                self.stays(slot);
                self.post(ShardId(0), Letter::Failed);
                let error = error_of(refusal);
                return self.reply(Some(slot), request, &Reply::now(call.refusal(&error)), now);
            }
        };
        let body = answer("stream_delete", &Success::YES);
        self.ground.answer(at.0, request, &Reply::when(at.1, body), now.wall);
    }

    /// The registry is told that a stream was not deleted.
    fn stays(&mut self, slot: StreamSlot) {
        let Some(hosted) = self.hosted.get(slot.index as usize).and_then(Option::as_deref) else {
            return;
        };
        let (account, name) = (hosted.account().0, hosted.name().to_owned());
        let incarnation = hosted.stream.id().0;
        self.post(ShardId(0), Letter::Stays { account, name, incarnation });
    }
}

/// What a client is told of a refusal of the log.
pub fn error_of(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::NoSpace => ApiError::storage_resources_exceeded(),
        Refusal::Behind => ApiError::stream_too_many_requests(),
        Refusal::NotFound => ApiError::stream_not_found(),
        Refusal::Starting | Refusal::Poisoned | Refusal::TooLarge => {
            ApiError::insufficient_resources()
        }
    }
}
