//! Whether what the subject of a request says and what its body says are the same.

use super::super::consumer::ConsumerRequest;
use super::is_name;
use crate::jetstream::error::ApiError;
use crate::types::limits::ASSET_NAME_BYTES_MAX;

/// What the subject of a consumer's creation names, beside the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsumerSubject<'a> {
    /// `CONSUMER.CREATE.<stream>`
    Nothing,
    /// `CONSUMER.CREATE.<stream>.<name>[.<filter>]`
    Name { name: &'a str, filter: Option<&'a str> },
    /// `CONSUMER.DURABLE.CREATE.<stream>.<name>`
    Durable { name: &'a str },
}

impl ConsumerRequest {
    /// Holds the request against its subject and puts the subject's name into the configuration.
    /// The name of the consumer follows; `None`: the server has to make one.
    pub fn resolve(
        &mut self,
        stream: &str,
        subject: ConsumerSubject<'_>,
    ) -> Result<Option<String>, ApiError> {
        if self.stream_name != stream {
            return Err(ApiError::stream_mismatch());
        }
        let config = &mut self.config;
        match subject {
            ConsumerSubject::Nothing => {
                if !config.durable_name.is_empty() {
                    return Err(ApiError::consumer_ephemeral_with_durable_name());
                }
            }
            ConsumerSubject::Name { name, filter } => {
                check_name(name)?;
                if !config.durable_name.is_empty() && config.durable_name != name {
                    return Err(ApiError::consumer_durable_name_not_match_subject());
                }
                if filter.is_some() && !config.filter_subjects.is_empty() {
                    return Err(ApiError::consumer_multiple_filters_not_allowed());
                }
                if filter.is_some_and(|filter| filter != config.filter_subject) {
                    return Err(ApiError::consumer_create_filter_subject_mismatch());
                }
                config.name = name.into();
            }
            ConsumerSubject::Durable { name } => {
                check_name(name)?;
                if config.durable_name.is_empty() {
                    return Err(ApiError::consumer_durable_name_not_set());
                }
                if config.durable_name != name {
                    return Err(ApiError::consumer_durable_name_not_match_subject());
                }
                config.name = name.into();
            }
        }
        if config.name.is_empty() {
            return Ok(None);
        }
        check_name(&config.name)?;
        Ok(Some(config.name.clone()))
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.contains(['/', '\\']) {
        return Err(ApiError::consumer_name_contains_path_separators());
    }
    if !is_name(name) {
        return Err(ApiError::stream_invalid_config(
            r"consumer name can not contain '.', '*', '>', '\', '/'",
        ));
    }
    if name.len() > ASSET_NAME_BYTES_MAX {
        return Err(ApiError::consumer_name_too_long(ASSET_NAME_BYTES_MAX));
    }
    Ok(())
}
