//! Advisories about calls of the API, and about snapshots: they tell who called.

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::context::{Caller, Site};
use super::super::info::StreamState;
use super::super::letter::Request;
use super::super::outbox::{Outbox, Outgoing};
use super::{publish, text};
use crate::storage::Lsn;
use crate::types::{AccountId, Now, Wall, json, rfc3339};

/// Where every call that is answered is told of, if somebody listens.
pub const API_AUDIT: &[u8] = b"$JS.EVENT.ADVISORY.API";

const KIND: &str = "io.nats.jetstream.advisory.v1";

#[derive(Serialize)]
struct ClientInfo<'a> {
    start: String,
    host: &'a str,
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    rtt: u64,
    server: &'a str,
    kind: &'a str,
    client_type: &'a str,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Who called, as advisories tell it.
pub fn client_info(caller: &Caller, site: &Site) -> Vec<u8> {
    json::compact(&ClientInfo {
        start: rfc3339(caller.start),
        host: &caller.host,
        id: caller.id,
        acc: "$G",
        user: &caller.user,
        name: &caller.name,
        lang: &caller.lang,
        ver: &caller.version,
        rtt: caller.rtt_ns,
        server: &site.server_name,
        kind: "Client",
        client_type: "nats",
    })
}

/// What [`client_info`] wrote. `None`: nobody asked for it, or the caller was gone already.
fn client(info: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(info).ok()
}

#[derive(Serialize)]
struct ApiAudit<'a> {
    server: &'a str,
    client: &'a RawValue,
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request: &'a str,
    response: &'a str,
}

/// A call was answered: told when the answer goes out.
pub fn audit(
    out: &mut Outbox,
    site: &Site,
    now: Wall,
    request: &Request,
    response: &[u8],
    at: Lsn,
) {
    let Some(client) = client(&request.client).filter(|_| request.is_audited) else { return };
    let text_of = String::from_utf8_lossy;
    let (subject, body) = (text_of(&request.subject), text_of(&request.body));
    let what = ApiAudit {
        server: &site.server_name,
        client,
        subject: &subject,
        request: &body,
        response: &text_of(response),
    };
    let told = text(site, now, &subject, &format!("{KIND}.api_audit"), &what);
    let message = Outgoing::plain(API_AUDIT, &told);
    out.publish_when(request.account(), at, message);
}

/// A snapshot or a restore: whose, and who asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a> {
    pub account: AccountId,
    pub stream: &'a str,
    /// What [`client_info`] wrote.
    pub client: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
pub enum TransferAdvisory<'a> {
    SnapshotCreate(&'a StreamState),
    SnapshotComplete { start: Wall, error: Option<&'a str> },
    RestoreCreate,
    RestoreComplete { start: Wall, bytes: u64 },
}

#[derive(Serialize, Default)]
struct Fields<'a> {
    stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'a StreamState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl TransferAdvisory<'_> {
    pub fn publish(&self, out: &mut Outbox, site: &Site, now: Now, about: Transfer<'_>) {
        let Transfer { account, stream, client: info } = about;
        let base = Fields { stream, client: client(info), ..Fields::default() };
        let end = Some(rfc3339(now.wall));
        let (name, fields) = match *self {
            Self::SnapshotCreate(state) => {
                ("snapshot_create", Fields { state: Some(state), ..base })
            }
            Self::SnapshotComplete { start, error } => {
                let start = Some(rfc3339(start));
                ("snapshot_complete", Fields { start, end, error, ..base })
            }
            Self::RestoreCreate => ("restore_create", base),
            Self::RestoreComplete { start, bytes } => {
                let (start, bytes) = (Some(rfc3339(start)), Some(bytes));
                ("restore_complete", Fields { start, end, bytes, ..base })
            }
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.{}.{stream}", name.to_uppercase());
        publish(out, account, site, now.wall, &subject, &format!("{KIND}.{name}"), &fields);
    }
}
