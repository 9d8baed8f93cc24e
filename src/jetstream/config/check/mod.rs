//! What a configuration has to obey, what is filled in, and what may change later. The order of
//! the checks is the reference's as far as it can be seen (nats-server 2.15.1 was asked with every
//! pair of broken rules).

mod consumer;
mod consumer_update;
mod request;
mod sources;
mod stream;
mod stream_update;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::REQUIRED_LEVEL;
use crate::jetstream::error::ApiError;
use crate::types::Pattern;
use crate::types::limits::{ASSET_METADATA_BYTES_MAX, REPLICAS_MAX};

pub use consumer::{Checked, ConsumerBounds};
pub use request::ConsumerSubject;
pub use stream::StreamBounds;

/// What a name of a stream or consumer may not contain.
fn is_name(text: &str) -> bool {
    let bad = |c: char| matches!(c, '.' | '*' | '>' | '/' | '\\') || is_blank(c);
    !text.is_empty() && !text.contains(bad)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}')
}

/// A subject, perhaps with wildcards.
fn is_pattern(text: &str) -> bool {
    Pattern::parse(text.as_bytes()).is_some() && !text.contains(is_blank)
}

fn has_wildcards(text: &str) -> bool {
    text.split('.').any(|token| token == "*" || token == ">")
}

/// A subject without wildcards.
fn is_subject(text: &str) -> bool {
    is_pattern(text) && !has_wildcards(text)
}

fn check_replicas(replicas: i64) -> Result<(), ApiError> {
    match replicas {
        ..=-1 => Err(ApiError::replicas_count_cannot_be_negative()),
        replicas if replicas > REPLICAS_MAX => {
            Err(ApiError::stream_invalid_config(format!("maximum replicas is {REPLICAS_MAX}")))
        }
        _ => Ok(()),
    }
}

/// Keeps the required level with what the client says, and drops what answers add.
fn keep_level(metadata: &mut BTreeMap<String, String>, level: u32) {
    metadata.remove("_nats.ver");
    metadata.remove("_nats.level");
    metadata.insert(REQUIRED_LEVEL.into(), level.to_string());
}

fn is_metadata_too_long(metadata: &BTreeMap<String, String>) -> bool {
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    bytes > ASSET_METADATA_BYTES_MAX
}

/// What a number below its least meaning becomes, unless the client insists on its words.
fn at_least(
    value: &mut i64,
    least: i64,
    pedantic: bool,
    complaint: impl FnOnce() -> String,
) -> Result<(), ApiError> {
    if *value < least {
        if pedantic {
            return Err(ApiError::pedantic(complaint()));
        }
        *value = least;
    }
    Ok(())
}
