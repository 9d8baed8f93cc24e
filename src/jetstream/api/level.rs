//! The API level a request demands of the server.

use crate::jetstream::config::API_LEVEL;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;

const HEADER: &str = "Nats-Required-Api-Level";

/// Whether the server can serve a request with these headers.
pub fn check_level(block: &[u8]) -> Result<(), ApiError> {
    let Some(value) = headers::get(block, HEADER) else { return Ok(()) };
    let level = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u32>().ok());
    match level {
        Some(level) if level <= API_LEVEL => Ok(()),
        _ => Err(ApiError::required_api_level()),
    }
}
