//! A stored message as STREAM.MSG.GET answers it.

use data_encoding::BASE64;
use serde::Serialize;

use crate::jetstream::store::Stored;
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
