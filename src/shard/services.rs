//! Requests that the server itself answers, in any account (facts/core-protocol.md §13).

use serde::Serialize;

use super::frame::{Message, Origin};
use super::{Shard, trace};
use crate::connection::Profile;
use crate::protocol::Publish;
use crate::security::{Permissions, User};
use crate::types::time::Wall;
use crate::types::{Subject, rfc3339};

const USER_INFO: &[u8] = b"$SYS.REQ.USER.INFO";

/// `server` in every answer of the system.
#[derive(Serialize)]
struct ServerStamp<'a> {
    name: &'a str,
    host: &'a str,
    id: &'a str,
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

#[derive(Serialize)]
struct UserInfoReply<'a> {
    server: ServerStamp<'a>,
    data: UserInfo<'a>,
}

impl Shard {
    /// Whether the message was a request to the server, and is answered.
    pub(super) fn serve_system(&mut self, request: &Message<'_>) -> bool {
        if request.publish.subject != USER_INFO {
            return false;
        }
        let Some(reply) = request.publish.reply.and_then(Subject::parse) else { return true };
        self.system_seq += 1;
        let info = std::sync::Arc::clone(&self.settings.identity);
        let server = ServerStamp {
            name: &info.server_name,
            host: &info.host,
            id: &info.server_id,
            ver: &info.version,
            feature_flags: FeatureFlags {
                js_ack_fc_v2: false,
                js_api_reply_v2: false,
                js_raft_delete_range: true,
                js_snapshot_sources: false,
            },
            jetstream: info.jetstream,
            flags: 0,
            seq: self.system_seq,
            time: rfc3339(Wall(self.now.wall.0)),
        };
        let profile = self.connections.get(request.origin.conn).map(|conn| &*conn.profile);
        let data = UserInfo {
            user: profile.map_or("", Profile::user),
            account: "$G",
            account_name: "$G",
            permissions: profile
                .and_then(|profile| profile.login.as_deref())
                .and_then(User::permissions),
        };
        let body = serde_json::to_vec(&UserInfoReply { server, data }).expect("plain values");
        self.publish_for_server(request, reply, &body);
        true
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
        self.fan_out(
            Message { origin, account, route: None, publish: &publish, tail: &tail, ask: 0 },
            &fanout,
            None,
            false,
        );
    }
}
