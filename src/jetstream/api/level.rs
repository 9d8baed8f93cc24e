//! The API level a request demands of the server.

use crate::jetstream::config::API_LEVEL;
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;

const HEADER: &str = "Nats-Required-Api-Level";

/// Whether the server can serve a request with these headers.
pub fn check_level(block: &[u8]) -> Result<(), ApiError> {
    let value = headers::get(block, HEADER).unwrap_or_default();
    if value.is_empty() {
        return Ok(());
    }
    let level = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i64>().ok());
    match level {
        Some(level) if level <= i64::from(API_LEVEL) => Ok(()),
        _ => Err(ApiError::required_api_level()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for (level, is_served) in
            [("", true), ("-1", true), ("0", true), ("1", true), ("99", false), ("x", false)]
        {
            let block = format!("NATS/1.0\r\n{HEADER}: {level}\r\n\r\n");
            assert_eq!(check_level(block.as_bytes()).is_ok(), is_served, "{level}");
        }
        assert!(check_level(b"").is_ok());
    }
}
