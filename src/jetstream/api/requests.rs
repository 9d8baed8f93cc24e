//! The bodies of requests that are not configurations (facts/jetstream-api.md §2).

use crate::jetstream::config::json::Node;
use crate::jetstream::config::wire::Problem;
use crate::jetstream::config::{Mode, Moment, StreamConfig, Wire, object, parse};
use crate::jetstream::error::ApiError;

object! {
    /// STREAM.NAMES, STREAM.LIST, CONSUMER.NAMES, CONSUMER.LIST.
    pub struct ListRequest as "server.JSApiStreamListRequest" {
        offset: i64 = filled "offset" as "int",
        subject: String = filled "subject",
    }
}

object! {
    pub struct PauseRequest as "server.JSApiConsumerPauseRequest" {
        pause_until: Option<Moment> = filled "pause_until",
    }
}

object! {
    pub struct ResetRequest as "server.JSApiConsumerResetRequest" {
        seq: u64 = filled "seq",
    }
}

object! {
    pub struct UnpinRequest as "server.JSApiConsumerUnpinRequest" {
        group: String = always "group",
    }
}

object! {
    pub struct RestoreRequest as "server.JSApiStreamRestoreRequest" {
        config: StreamConfig = always "config",
        /// What the archive tells counts, here and in the reference.
        state: Unread = filled "state",
    }
}

/// A value that is accepted whatever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Unread;

impl Wire for Unread {
    fn read(&mut self, _: &Node<'_>, _: Mode) -> Result<(), Problem> {
        Ok(())
    }

    fn is_empty(&self) -> bool {
        true
    }

    fn go_type() -> String {
        "server.StreamState".into()
    }
}

/// Whether a body asks for nothing: no bytes, or an object without members.
pub fn is_nothing(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let inner = text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    text.is_empty() || inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

/// A request's body; an empty one asks for nothing in particular.
pub fn body<T: Wire>(text: &[u8], root: &str) -> Result<T, ApiError> {
    parse(text, Mode::Strict, root)
}
