//! A stored message as STREAM.MSG.GET answers it.

use data_encoding::BASE64;
use serde::Serialize;

use super::requests::MessageGetRequest;
use crate::jetstream::error::ApiError;
use crate::jetstream::store::Stored;
use crate::jetstream::stream::Wanted;
use crate::storage::Seq;
use crate::types::{Wall, rfc3339};

#[derive(Serialize)]
pub struct Found {
    pub message: StoredMessage,
}

#[derive(Serialize)]
pub struct StoredMessage {
    subject: String,
    seq: u64,
    /// Base64, as the payload.
    #[serde(skip_serializing_if = "String::is_empty")]
    hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    time: String,
}

impl StoredMessage {
    pub fn of(stored: &Stored<'_>, without_headers: bool) -> Self {
        let headers = if without_headers { &[] } else { stored.headers };
        Self {
            subject: String::from_utf8_lossy(stored.subject).into_owned(),
            seq: stored.seq.0,
            hdrs: BASE64.encode(headers),
            data: BASE64.encode(stored.payload),
            time: rfc3339(Wall(stored.time)),
        }
    }
}

impl MessageGetRequest {
    /// Which message is asked for: one way of asking at a time.
    pub fn wanted(&self) -> Result<Wanted, ApiError> {
        let last = !self.last_by_subj.is_empty();
        let next = !self.next_by_subj.is_empty();
        let is_batch = self.batch > 0 || !self.multi_last.is_empty() || self.max_bytes > 0;
        let time = self.start_time.filter(|time| !time.is_zero());
        if is_batch || last && (next || self.seq > 0) || time.is_some() && (last || self.seq > 0) {
            return Err(ApiError::bad_request());
        }
        let subject: Box<[u8]> = self.next_by_subj.as_bytes().into();
        match (last, time) {
            (true, _) => Ok(Wanted::Last(self.last_by_subj.as_bytes().into())),
            (_, Some(time)) => Ok(Wanted::Since(subject, time.wall().0)),
            _ if next => Ok(Wanted::Next(subject, Seq(self.seq))),
            _ if self.seq > 0 => Ok(Wanted::Seq(Seq(self.seq))),
            _ => Err(ApiError::bad_request()),
        }
    }
}
