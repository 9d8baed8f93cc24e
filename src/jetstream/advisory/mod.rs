//! What is told of streams and consumers to whoever listens (facts/jetstream-api.md §16).
//!
//! An advisory is a message in the account it is about: an object with a type, an id, a time,
//! what happened, and the server's domain if it has one.
//!
//! | file | knows |
//! |---|---|
//! | `consumer` | what happens to consumers and to their deliveries |
//! | `stream` | what happens to streams |
//! | `calls` | calls of the API, snapshots and restores, with who asked |
//! | `id` | identifiers |

mod calls;
mod consumer;
mod id;
mod stream;

use serde::Serialize;

use super::context::Site;
use super::outbox::{Outbox, Outgoing};
use crate::types::{AccountId, Wall, json, rfc3339};

pub use calls::{API_AUDIT, Transfer, TransferAdvisory, audit, client_info};
pub use consumer::{AboutConsumer, Action, ConsumerAdvisory};
pub use id::{ID_LEN, hash_of, id_of};
pub use stream::{AboutStream, BatchFate, StreamAction, StreamAdvisory};

/// What all advisories have in common.
#[derive(Serialize)]
struct Frame<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    timestamp: String,
    #[serde(flatten)]
    what: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

/// Publishes an advisory. `kind` is the whole type; `what` serialises as an object.
pub fn publish(
    out: &mut Outbox,
    account: AccountId,
    site: &Site,
    now: Wall,
    subject: &str,
    kind: &str,
    what: &impl Serialize,
) {
    let told = text(site, now, subject, kind, what);
    out.publish(account, Outgoing::plain(subject.as_bytes(), &told));
}

/// The body of an advisory.
fn text(site: &Site, now: Wall, subject: &str, kind: &str, what: &impl Serialize) -> Vec<u8> {
    let told = json::compact(what);
    let id = id_of(now, &[site.server_id.as_bytes(), subject.as_bytes(), &told]);
    let id = String::from_utf8_lossy(&id);
    let (timestamp, domain) = (rfc3339(now), site.domain.as_deref());
    json::compact(&Frame { kind, id: &id, timestamp, what, domain })
}
