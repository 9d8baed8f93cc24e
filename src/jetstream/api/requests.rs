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
    pub struct MessageGetRequest as "server.JSApiMsgGetRequest" {
        seq: u64 = filled "seq",
        last_by_subj: String = filled "last_by_subj",
        next_by_subj: String = filled "next_by_subj",
        batch: i64 = filled "batch" as "int",
        max_bytes: i64 = filled "max_bytes" as "int",
        start_time: Option<Moment> = filled "start_time",
        multi_last: Vec<String> = filled "multi_last",
        up_to_seq: u64 = filled "up_to_seq",
        up_to_time: Option<Moment> = filled "up_to_time",
        no_hdr: bool = filled "no_hdr",
        min_last_seq: u64 = filled "min_last_seq",
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
