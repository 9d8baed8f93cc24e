//! Requests that the server itself answers, in any account (facts/core-protocol.md §13). All
//! others below `$SYS.REQ.` are for the system account, which nobody can log into: nobody is there.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::frame::{Message, Origin};
use super::{Shard, trace};
use crate::connection::Profile;
use crate::connection::settings::Identity;
use crate::jetstream::Posted;
use crate::protocol::Publish;
use crate::security::{Permissions, User};
use crate::types::time::Wall;
use crate::types::{AccountId, Subject, json, rfc3339};

const USER_INFO: &[u8] = b"$SYS.REQ.USER.INFO";

/// What a server with JetStream can do, as the reference counts it.
const JETSTREAM_FLAGS: u64 = 7;

/// `server` in every answer of the system.
#[derive(Serialize)]
struct ServerStamp<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    domain: &'a str,
    ver: &'a str,
    feature_flags: FeatureFlags,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: String,
}

#[derive(Serialize)]
struct FeatureFlags {
    js_ack_fc_v2: bool,
    js_api_reply_v2: bool,
    js_raft_delete_range: bool,
    js_snapshot_sources: bool,
}

#[derive(Serialize)]
struct UserInfo<'a> {
    user: &'a str,
    account: &'a str,
    account_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a Permissions>,
}

/// Fields come in this order; `data` is null beside a refusal.
#[derive(Serialize)]
struct SystemReply<'a, T> {
    server: ServerStamp<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Option<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<SystemError<'a>>,
}

#[derive(Serialize)]
struct SystemError<'a> {
    code: u16,
    description: &'a str,
}

/// A request that concerns all cores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemRequest {
    pub question: SystemQuestion,
    /// Only what is of this account is told.
    pub account: AccountId,
    pub reply: Box<[u8]>,
    pub body: Box<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemQuestion {
    /// `$SYS.REQ.SERVER.PING.CONNZ` and `$SYS.REQ.ACCOUNT.PING.CONNZ`
    Connections,
    /// `$SYS.REQ.ACCOUNT.PING.STATZ`
    AccountStats,
}

impl SystemQuestion {
    fn of(subject: &[u8]) -> Option<Self> {
        match subject {
            b"$SYS.REQ.SERVER.PING.CONNZ" | b"$SYS.REQ.ACCOUNT.PING.CONNZ" => {
                Some(Self::Connections)
            }
            b"$SYS.REQ.ACCOUNT.PING.STATZ" => Some(Self::AccountStats),
            _ => None,
        }
    }
}

/// What the control thread found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SystemAnswer {
    /// In JSON.
    Data(Box<[u8]>),
    /// The request is no JSON, or not of this kind.
    Malformed(String),
    Refused(String),
    /// It was for other servers.
    Silence,
}

impl Shard {
    /// Whether the message was a request to the server, and is answered, now or later.
    pub(super) fn serve_system(&mut self, request: &Message<'_>) -> bool {
        if !request.publish.subject.starts_with(b"$SYS.REQ.") {
            return false;
        }
        let question = SystemQuestion::of(request.publish.subject);
        if question.is_none() && request.publish.subject != USER_INFO {
            return false;
        }
        let Some(reply) = request.publish.reply.and_then(Subject::parse) else { return true };
        let Some(question) = question else {
            self.tell_user(request, reply);
            return true;
        };
        self.effects.requests.push(SystemRequest {
            question,
            account: request.account,
            reply: reply.bytes().into(),
            body: request.publish.payload[request.publish.header_len..].into(),
        });
        true
    }

    /// The answer to one of [`super::effects::Effects::requests`].
    pub fn answer_system(&mut self, request: &SystemRequest, answer: &SystemAnswer) {
        let refusal = |code, description| Some(SystemError { code, description });
        let (data, error) = match answer {
            SystemAnswer::Data(json) => match serde_json::from_slice::<&RawValue>(json) {
                Ok(json) => (Some(Some(json)), None),
                Err(_) => return,
            },
            SystemAnswer::Malformed(why) => (None, refusal(400, why.as_str())),
            SystemAnswer::Refused(why) => (Some(None), refusal(500, why.as_str())),
            SystemAnswer::Silence => return,
        };
        let identity = Arc::clone(&self.settings.identity);
        let server = self.server_stamp(&identity);
        let body = json::compact(&SystemReply { server, data, error });
        if let Some(how) = &self.settings.trace {
            trace::system(&request.reply, &body, how);
        }
        self.publish_posted(&Posted {
            account: request.account,
            route: &request.reply,
            subject: &request.reply,
            reply: &[],
            header_len: 0,
            body: &body,
        });
    }

    fn server_stamp<'a>(&mut self, identity: &'a Identity) -> ServerStamp<'a> {
        self.system_seq += 1;
        ServerStamp {
            name: &identity.server_name,
            host: &identity.host,
            id: &identity.server_id,
            domain: &identity.domain,
            ver: &identity.version,
            feature_flags: FeatureFlags {
                js_ack_fc_v2: false,
                js_api_reply_v2: false,
                js_raft_delete_range: true,
                js_snapshot_sources: false,
            },
            jetstream: identity.jetstream,
            flags: if identity.jetstream { JETSTREAM_FLAGS } else { 0 },
            seq: self.system_seq,
            time: rfc3339(Wall(self.now.wall.0)),
        }
    }

    fn tell_user(&mut self, request: &Message<'_>, reply: Subject<'_>) {
        let identity = Arc::clone(&self.settings.identity);
        let server = self.server_stamp(&identity);
        let profile = self.connections.get(request.origin.conn).map(|conn| &*conn.profile);
        let data = UserInfo {
            user: profile.map_or("", Profile::user),
            account: "$G",
            account_name: "$G",
            permissions: profile
                .and_then(|profile| profile.login.as_deref())
                .and_then(User::permissions),
        };
        let reply_body = SystemReply { server, data: Some(Some(data)), error: None };
        let body = serde_json::to_vec(&reply_body).expect("plain values");
        self.publish_for_server(request, reply, &body);
    }

    fn publish_for_server(&mut self, request: &Message<'_>, reply: Subject<'_>, body: &[u8]) {
        if let Some(how) = &self.settings.trace {
            trace::system(reply.bytes(), body, how);
        }
        let size_text = body.len().to_string();
        let publish = Publish {
            subject: reply.bytes(),
            reply: None,
            header_len: 0,
            size_text: size_text.as_bytes(),
            header_len_text: &[],
            payload: body,
            tail: None,
            is_hpub: false,
        };
        let mut tail = Vec::new();
        crate::protocol::encode::build_tail(&mut tail, &publish);
        // The requester pays: without credit for its answers it is not read.
        let origin = Origin { echo: true, ..request.origin };
        let account = request.account;
        let Some(fanout) = self.route(account, reply.bytes()) else { return };
        let (publish, tail) = (&publish, &*tail);
        let mut message = Message { origin, account, route: None, publish, tail, ask: 0 };
        self.fan_out(&mut message, &fanout, None, false);
    }
}
