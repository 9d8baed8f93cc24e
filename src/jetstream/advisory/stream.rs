//! Advisories about streams.

use serde::Serialize;

use super::super::context::Site;
use super::super::outbox::Outbox;
use super::publish;
use crate::types::{AccountId, Wall};

/// Whom an advisory is about.
#[derive(Clone, Copy, Debug)]
pub struct AboutStream<'a> {
    pub account: AccountId,
    pub stream: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamAction {
    Create,
    Modify,
    Delete,
}

/// Why a batch was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchFate {
    Timeout,
    Large,
    Incomplete,
    Unsupported,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamAdvisory<'a> {
    Action(StreamAction),
    BatchAbandoned { batch: &'a str, reason: BatchFate },
}

#[derive(Serialize, Default)]
struct Fields<'a> {
    stream: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<StreamAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<BatchFate>,
}

impl StreamAdvisory<'_> {
    pub fn publish(&self, out: &mut Outbox, site: &Site, now: Wall, about: AboutStream<'_>) {
        let (subject, kind) = match self {
            Self::Action(StreamAction::Create) => ("CREATED", "stream_action"),
            Self::Action(StreamAction::Modify) => ("UPDATED", "stream_action"),
            Self::Action(StreamAction::Delete) => ("DELETED", "stream_action"),
            Self::BatchAbandoned { .. } => ("BATCH_ABANDONED", "stream_batch_abandoned"),
        };
        let base = Fields { stream: about.stream, ..Fields::default() };
        let fields = match *self {
            Self::Action(action) => Fields { action: Some(action), ..base },
            Self::BatchAbandoned { batch, reason } => {
                Fields { batch: Some(batch), reason: Some(reason), ..base }
            }
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.{subject}.{}", about.stream);
        let kind = format!("io.nats.jetstream.advisory.v1.{kind}");
        publish(out, about.account, site, now, &subject, &kind, &fields);
    }
}
