//! The bodies of requests that are not configurations (facts/jetstream-api.md §2).

use crate::jetstream::config::{Mode, Moment, Wire, object, parse};
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

/// A request's body; an empty one asks for nothing in particular.
pub fn body<T: Wire>(text: &[u8], root: &str) -> Result<T, ApiError> {
    parse(text, Mode::Strict, root)
}
