//! `permissions { publish, subscribe, allow_responses }` of a user (facts/core-protocol.md §10).

use super::field::{self, Field, error_at};
use crate::config::file::{Data, Value};
use crate::config::{ConfigError, duration};
use crate::security::{Permissions, Responses, SubjectRules};
use crate::types::Pattern;

pub(super) fn read(field: &Field<'_>) -> Result<Permissions, ConfigError> {
    let Data::Map(map) = &field.value.data else {
        return Err(field.error("Expected permissions to be a map/struct"));
    };
    let mut permissions = Permissions::default();
    let mut errors = Vec::new();
    for (written, entry) in map.in_written_order() {
        let value = &entry.value;
        let result = match written.to_ascii_lowercase().as_str() {
            "pub" | "publish" | "import" => {
                read_rules(value, Queues::Refused).map(|rules| permissions.publish = rules)
            }
            "sub" | "subscribe" | "export" => {
                read_rules(value, Queues::Allowed).map(|rules| permissions.subscribe = rules)
            }
            "publish_allow_responses" | "allow_responses" => {
                read_responses(value).map(|responses| permissions.responses = responses)
            }
            _ if entry.is_variable => Ok(()),
            _ => Err(unknown(written, value)),
        };
        errors.extend(result.err());
    }
    ConfigError::all(errors)?;
    permissions.close_publish_for_responses();
    Ok(permissions)
}

fn unknown(written: &str, value: &Value) -> ConfigError {
    error_at(&value.at, format!("Unknown field {written:?} parsing permissions"))
}

/// Whether a subject may be followed by a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    Allowed,
    Refused,
}

/// A subject, a list of them, or `{allow, deny}`.
fn read_rules(value: &Value, queues: Queues) -> Result<SubjectRules, ConfigError> {
    let Data::Map(map) = &value.data else {
        return Ok(SubjectRules { allow: read_subjects(value, queues)?, deny: Vec::new() });
    };
    let mut rules = SubjectRules::default();
    let mut errors = Vec::new();
    for (written, entry) in map.in_written_order() {
        let value = &entry.value;
        let result = match written.to_ascii_lowercase().as_str() {
            "allow" => read_subjects(value, queues).map(|list| rules.allow = list),
            "deny" => {
                read_subjects(value, queues).map(|list| rules.deny = list.unwrap_or_default())
            }
            _ if entry.is_variable => Ok(()),
            _ => Err(error_at(
                &value.at,
                format!(
                    "Unknown field name {written:?} parsing subject permissions, only 'allow' or \
                     'deny' are permitted"
                ),
            )),
        };
        errors.extend(result.err());
    }
    ConfigError::all(errors)?;
    Ok(rules)
}

/// `None` for an empty list: it says nothing.
fn read_subjects(value: &Value, queues: Queues) -> Result<Option<Vec<String>>, ConfigError> {
    let texts = match &value.data {
        Data::Text(text) => vec![text.clone()],
        Data::Array(values) => values
            .iter()
            .map(|value| field::text_of(value).map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| {
                error_at(&value.at, "Subject in permissions array cannot be cast to string")
            })?,
        other => {
            return Err(error_at(
                &value.at,
                format!(
                    "Expected subject permissions to be a subject, or array of subjects, got {}",
                    other.type_name()
                ),
            ));
        }
    };
    for text in &texts {
        check_subject(text, queues).map_err(|text| error_at(&value.at, text))?;
    }
    Ok(Some(texts).filter(|texts| !texts.is_empty()))
}

fn check_subject(text: &str, queues: Queues) -> Result<(), String> {
    let is_pattern = |text: &str| {
        !text.contains([' ', '\t', '\n', '\r', '\u{c}'])
            && Pattern::parse(text.as_bytes()).is_some()
    };
    let bad = |text: &str| Err(format!("subject {text:?} is not a valid subject"));
    if is_pattern(text) {
        return Ok(());
    }
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    match words[..] {
        [subject, queue] if queues == Queues::Allowed => {
            if !is_pattern(subject) {
                bad(subject)
            } else if !is_pattern(queue) {
                Err(format!("queue {queue:?} is not a valid queue"))
            } else {
                Ok(())
            }
        }
        _ => bad(text),
    }
}

/// `true`, or what differs from the defaults. 0 stands for the default, negative for no limit.
fn read_responses(value: &Value) -> Result<Option<Responses>, ConfigError> {
    let map = match &value.data {
        Data::Boolean(on) => return Ok(on.then(Responses::default)),
        Data::Map(map) => map,
        _ => {
            let text = "error parsing response permissions, expected a boolean or a map";
            return Err(error_at(&value.at, text));
        }
    };
    let mut responses = Responses::default();
    for (written, entry) in map.in_written_order() {
        let value = &entry.value;
        match written.to_ascii_lowercase().as_str() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => {
                let field = Field { name: written.to_ascii_lowercase(), value };
                let max = field.integer()?;
                if max != 0 {
                    responses.max = max;
                }
            }
            "expires" | "expiration" | "ttl" => {
                let ns = read_expires(value)?;
                if ns != 0 {
                    responses.expires_ns = ns;
                }
            }
            _ if entry.is_variable => {}
            _ => return Err(unknown(written, value)),
        }
    }
    Ok(Some(responses))
}

fn read_expires(value: &Value) -> Result<i64, ConfigError> {
    let Data::Text(text) = &value.data else {
        return Err(error_at(&value.at, "error parsing expires, not a duration string"));
    };
    let (duration, negative) = duration::parse(text)
        .map_err(|reason| error_at(&value.at, format!("error parsing expires: {reason}")))?;
    let ns = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    Ok(if negative { -ns } else { ns })
}
