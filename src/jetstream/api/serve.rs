//! The owner's part of the API: calls about one stream and its consumers.

use serde::Serialize;

use super::call::{Call, StreamCall};
use super::requests::body;
use super::stored::{Found, StoredMessage};
use crate::jetstream::advisory::StreamAction;
use crate::jetstream::config::{Mode, StreamConfig};
use crate::jetstream::context::Gate;
use crate::jetstream::core::JetStream;
use crate::jetstream::error::ApiError;
use crate::jetstream::info::{ClusterInfo, StreamCreated, Success, answer};
use crate::jetstream::letter::{Letter, Request, StreamCard};
use crate::jetstream::outbox::Outgoing;
use crate::jetstream::stream::{
    Got, InfoRequest, MessageDeleteRequest, MessageGetRequest, PurgeRequest, Stream,
};
use crate::jetstream::target::StreamSlot;
use crate::storage::{Lsn, Refusal, StreamId};
use crate::types::{AccountId, Now, ShardId};

/// An answer, and the batch that must be settled before it goes out.
pub struct Reply {
    pub body: Vec<u8>,
    pub at: Lsn,
}

impl Reply {
    /// Tells nothing that is not on disk yet.
    pub fn now(body: Vec<u8>) -> Self {
        Self { body, at: Lsn(0) }
    }
}

/// `None`: the answer comes later, or there is none.
pub type Served = Result<Option<Reply>, ApiError>;

#[derive(Serialize)]
struct Purged {
    success: bool,
    purged: u64,
}

impl JetStream {
    /// A call about a stream of this core.
    pub fn serve(&mut self, request: &Request, now: Now, gate: &mut dyn Gate) {
        let domain = self.ground.site.domain.clone();
        let Some(call) = Call::parse(&request.subject, domain.as_deref()) else { return };
        let Some(name) = call.of_stream() else { return };
        let found = self.find(request.account(), name);
        let served = match found {
            None => Err(ApiError::stream_not_found()),
            Some(slot) => self.serve_call(slot, &call, request, now, gate),
        };
        match served {
            Ok(None) => {}
            Ok(Some(reply)) => self.reply(found, request, &reply),
            Err(error) => {
                self.post(ShardId(0), Letter::Failed);
                self.reply(found, request, &Reply::now(call.refusal(&error)));
            }
        }
    }

    pub(in crate::jetstream) fn reply(
        &mut self,
        slot: Option<StreamSlot>,
        request: &Request,
        reply: &Reply,
    ) {
        if request.reply.is_empty() {
            return;
        }
        let log = slot.and_then(|slot| self.hosted[slot.index as usize].as_ref()?.log);
        let message = Outgoing::plain(&request.reply, &reply.body);
        let outbox = self.ground.outbox(log);
        outbox.publish_timed(request.account(), reply.at, message, request.timed());
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
            StreamCall::Purge => self.purge(slot, request, now, gate)?,
            StreamCall::MessageGet => return self.message_get(slot, request, now, gate),
            StreamCall::MessageDelete => self.message_delete(slot, request, now, gate)?,
            StreamCall::Snapshot | StreamCall::Restore => {
                return Err(ApiError::stream_general("snapshots are not supported yet"));
            }
            StreamCall::Delete => return Ok(None),
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
        let asked: InfoRequest = body(&request.body, "JSApiStreamInfoRequest")?;
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
        Ok(Some(Reply { body: answer("stream_info", &page), at }))
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
        Ok(Some(Reply::now(answer("stream_msg_get", &Found { message }))))
    }

    fn purge(
        &mut self,
        slot: StreamSlot,
        request: &Request,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Result<Reply, ApiError> {
        let asked: PurgeRequest = body(&request.body, "JSApiStreamPurgeRequest")?;
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            return Err(ApiError::stream_not_found());
        };
        let purged = hosted.stream.purge(&mut context, &asked)?;
        let at = hosted.stream.appended();
        self.tell_of_purge(slot, now, gate);
        Ok(Reply { body: answer("stream_purge", &Purged { success: true, purged }), at })
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
        self.tell_of_purge(slot, now, gate);
        Ok(Reply { body: answer("stream_msg_delete", &Success::YES), at })
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
                self.reply(None, request, &Reply::now(call.refusal(&error)));
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

    /// Answers a create or update with what the stream is now.
    pub fn tell(&mut self, request: &Request, now: Now, gate: &mut dyn Gate) {
        let domain = self.ground.site.domain.clone();
        let Some(call) = Call::parse(&request.subject, domain.as_deref()) else { return };
        let (Call::StreamCreate(name) | Call::StreamUpdate(name)) = call else { return };
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
        let at = hosted.stream.appended();
        let body = match call {
            Call::StreamCreate(_) => answer(call.kind(), &StreamCreated::new(info)),
            _ => answer(call.kind(), &info),
        };
        self.reply(Some(slot), request, &Reply { body, at });
    }

    /// Changes a stream; the registry has checked that it may be.
    pub fn update(&mut self, card: &StreamCard, request: &Request, now: Now, gate: &mut dyn Gate) {
        let Some(slot) = self.find(request.account(), &card.name) else { return };
        let Ok(config) = StreamConfig::parse(&card.config, Mode::Lenient) else { return };
        let domain = self.ground.site.domain.clone();
        let Some((hosted, mut context)) = self.at(slot, now, gate) else { return };
        let before = hosted.subscriptions(domain.as_deref());
        if let Err(refusal) = hosted.stream.update(&mut context, config) {
            let call = Call::StreamUpdate(&card.name);
            let error = error_of(refusal);
            return self.reply(Some(slot), request, &Reply::now(call.refusal(&error)));
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
            return;
        };
        let at = match self.delete_stream(slot, now, gate) {
            Ok(at) => at,
            Err(refusal) => {
                let error = error_of(refusal);
                return self.reply(Some(slot), request, &Reply::now(call.refusal(&error)));
            }
        };
        let body = answer("stream_delete", &Success::YES);
        let message = Outgoing::plain(&request.reply, &body);
        let log = at.0;
        if !request.reply.is_empty() {
            let outbox = self.ground.outbox(log);
            outbox.publish_timed(request.account(), at.1, message, request.timed());
        }
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
