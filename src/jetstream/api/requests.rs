//! The bodies of requests that are not configurations (facts/jetstream-api.md §2).

use super::call::{Call, ConsumerCall, StreamCall};
use super::consumers::subject_of;
use crate::jetstream::config::json::Node;
use crate::jetstream::config::wire::Problem;
use crate::jetstream::config::{ConsumerRequest, Mode, Moment, StreamConfig, Wire, object, parse};
use crate::jetstream::error::ApiError;
use crate::jetstream::stream::{
    InfoRequest, MessageDeleteRequest, MessageGetRequest, PurgeRequest,
};

object! {
    /// STREAM.NAMES and STREAM.LIST.
    pub struct StreamsRequest as "server.JSApiStreamListRequest" {
        offset: i64 = filled "offset" as "int",
        subject: String = filled "subject",
    }
}

object! {
    /// CONSUMER.NAMES and CONSUMER.LIST.
    pub struct ConsumersRequest as "server.JSApiConsumersRequest" {
        offset: i64 = filled "offset" as "int",
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

/// A body that must say something.
pub fn body<T: Wire>(text: &[u8], root: &str) -> Result<T, ApiError> {
    if is_nothing(text) {
        return Err(ApiError::bad_request());
    }
    parse(text, Mode::Strict, root)
}

/// A body that may be left out. What is neither an object nor a list is passed over, as the
/// reference does.
pub fn optional_body<T: Wire>(text: &[u8], root: &str) -> Result<T, ApiError> {
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => parse(text, Mode::Strict, root),
        _ => Ok(T::default()),
    }
}

/// A body that the reference reads with another reader: it passes over fields it does not know,
/// and has no offsets.
fn lenient_body<T: Wire>(text: &[u8], root: &str) -> Result<T, ApiError> {
    if text.trim_ascii().is_empty() {
        return Err(ApiError::invalid_json("unexpected end of JSON input"));
    }
    parse(text, Mode::Lenient, root).map_err(|error| {
        let said = error.description.trim_start_matches("invalid JSON: ");
        let said = said.split_once(" at offset ").map_or(said, |(said, _)| said);
        ApiError::invalid_json(said.replace("unexpected EOF", "unexpected end of JSON input"))
    })
}

pub fn unpin_body(text: &[u8]) -> Result<UnpinRequest, ApiError> {
    let asked: UnpinRequest = lenient_body(text, "JSApiConsumerUnpinRequest")?;
    if asked.group.is_empty() {
        return Err(ApiError::invalid_json("consumer group not specified"));
    }
    Ok(asked)
}

pub fn reset_body(text: &[u8]) -> Result<ResetRequest, ApiError> {
    match text.is_empty() {
        true => Ok(ResetRequest::default()),
        false => lenient_body(text, "JSApiConsumerResetRequest"),
    }
}

/// Nothing at all, or an object without members.
pub fn is_nothing(text: &[u8]) -> bool {
    let inside = text.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    text.is_empty() || inside.is_some_and(|inside| inside.trim_ascii().is_empty())
}

impl Call<'_> {
    /// A request whose body must ask for nothing, and does.
    pub fn check_empty(&self, text: &[u8]) -> Result<(), ApiError> {
        match self.wants_no_body() && !is_nothing(text) {
            true => Err(ApiError::not_empty_request()),
            false => Ok(()),
        }
    }

    /// What is wrong with the body of a call, whether or not there is what it is about: the
    /// reference judges it before it looks.
    pub fn check_body(&self, text: &[u8], mode: Mode) -> Result<(), ApiError> {
        match *self {
            Self::Stream(StreamCall::Info, _) => {
                optional_body::<InfoRequest>(text, "JSApiStreamInfoRequest").map(drop)
            }
            Self::Stream(StreamCall::Purge, _) => {
                optional_body::<PurgeRequest>(text, "JSApiStreamPurgeRequest")?.check()
            }
            Self::Stream(StreamCall::MessageGet, _) => {
                body::<MessageGetRequest>(text, "JSApiMsgGetRequest")?.single().map(drop)
            }
            Self::Stream(StreamCall::MessageDelete, _) => {
                body::<MessageDeleteRequest>(text, "JSApiMsgDeleteRequest").map(drop)
            }
            Self::ConsumerNames(_) | Self::ConsumerList(_) => {
                optional_body::<ConsumersRequest>(text, "JSApiConsumersRequest").map(drop)
            }
            Self::ConsumerCreate { .. } | Self::ConsumerCreateDurable { .. } => {
                let (stream, subject) = subject_of(self);
                ConsumerRequest::parse(text, mode)?.resolve(stream, subject).map(drop)
            }
            Self::Consumer { call: ConsumerCall::Pause, .. } => {
                optional_body::<PauseRequest>(text, "JSApiConsumerPauseRequest").map(drop)
            }
            Self::Consumer { call: ConsumerCall::Unpin, .. } => unpin_body(text).map(drop),
            _ => Ok(()),
        }
    }
}
