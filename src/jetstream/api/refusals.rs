//! Refusals: each call has its type, and some keep fields beside the error.

use serde::Serialize;

use super::call::{Call, ConsumerCall, StreamCall};
use crate::jetstream::error::ApiError;
use crate::jetstream::info::{Nothing, Page, refusal};

/// Lists that the reference shows empty beside an error.
#[derive(Serialize)]
struct NoConsumers {
    #[serde(flatten)]
    page: Page,
    consumers: [(); 0],
}

#[derive(Serialize)]
struct NoNames {
    #[serde(flatten)]
    page: Page,
    streams: Option<()>,
}

#[derive(Serialize)]
struct NoStreams {
    #[serde(flatten)]
    page: Page,
    streams: [(); 0],
}

#[derive(Serialize)]
struct NotPurged {
    purged: u64,
}

#[derive(Serialize)]
struct NotRestored {
    deliver_subject: &'static str,
}

#[derive(Serialize)]
struct NotReset {
    reset_seq: u64,
}

#[derive(Serialize)]
struct NotPaused {
    paused: bool,
    pause_until: &'static str,
}

impl Call<'_> {
    /// The stem of the answer's type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AccountInfo => "account_info",
            Self::StreamNames => "stream_names",
            Self::StreamList => "stream_list",
            Self::StreamCreate(_) => "stream_create",
            Self::StreamUpdate(_) => "stream_update",
            Self::Stream(call, _) => match call {
                StreamCall::Info => "stream_info",
                StreamCall::Delete => "stream_delete",
                StreamCall::Purge => "stream_purge",
                StreamCall::MessageGet => "stream_msg_get",
                StreamCall::MessageDelete => "stream_msg_delete",
                StreamCall::Snapshot => "stream_snapshot",
                StreamCall::Restore => "stream_restore",
                StreamCall::LeaderStepDown => "stream_leader_stepdown",
                StreamCall::PeerRemove => "stream_remove_peer",
                StreamCall::PeerEvacuate => "stream_evacuate_peer",
                StreamCall::CancelMove => "stream_cancel_move",
            },
            Self::ConsumerCreate { .. } | Self::ConsumerCreateDurable { .. } => "consumer_create",
            Self::ConsumerNames(_) => "consumer_names",
            Self::ConsumerList(_) => "consumer_list",
            Self::Consumer { call, .. } => match call {
                ConsumerCall::Info => "consumer_info",
                ConsumerCall::Delete => "consumer_delete",
                ConsumerCall::Pause => "consumer_pause",
                ConsumerCall::Reset => "consumer_reset",
                ConsumerCall::Unpin => "consumer_unpin",
                ConsumerCall::LeaderStepDown => "consumer_leader_stepdown",
            },
        }
    }

    /// The answer to a call that is refused.
    pub fn refusal(&self, error: &ApiError) -> Vec<u8> {
        let kind = self.kind();
        match self {
            Self::Stream(StreamCall::Info, _) => refusal(kind, error, &Page::default()),
            Self::StreamNames => {
                refusal(kind, error, &NoNames { page: Page::default(), streams: None })
            }
            Self::StreamList => {
                refusal(kind, error, &NoStreams { page: Page::default(), streams: [] })
            }
            Self::Stream(StreamCall::Purge, _) => refusal(kind, error, &NotPurged { purged: 0 }),
            Self::Stream(StreamCall::Restore, _) => {
                refusal(kind, error, &NotRestored { deliver_subject: "" })
            }
            Self::ConsumerNames(_) | Self::ConsumerList(_) => {
                refusal(kind, error, &NoConsumers { page: Page::default(), consumers: [] })
            }
            Self::Consumer { call: ConsumerCall::Reset, .. } => {
                refusal(kind, error, &NotReset { reset_seq: 0 })
            }
            Self::Consumer { call: ConsumerCall::Pause, .. } => {
                let zero = NotPaused { paused: false, pause_until: "0001-01-01T00:00:00Z" };
                refusal(kind, error, &zero)
            }
            _ => refusal(kind, error, &Nothing {}),
        }
    }
}
