//! Rules against what nats-server 2.15.1 said to the same requests.

mod consumers;
mod requests;
mod streams;
mod updates;

use serde_json::{Map, Value};

use crate::config::JetStreamLimits;
use crate::jetstream::config::check::{ConsumerBounds, StreamBounds};
use crate::jetstream::config::{
    Action, Checked, ConsumerConfig, ConsumerRequest, Mode, StreamConfig, StreamRequest,
};
use crate::jetstream::error::ApiError;
use crate::jetstream::info::AccountLimits;

/// A broken rule: its place in the order of the checks, a request that breaks it and nothing
/// else, what is said, and a field whose presence mends it.
type Rule = (usize, &'static str, u16, &'static str, &'static str);

const LONG: &str = "LONG";

fn object(text: &str) -> Map<String, Value> {
    let text = text.replace(LONG, &"x".repeat(140_000));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Two requests in one; `None` if they differ in a field.
fn merge(one: &str, other: &str) -> Option<Map<String, Value>> {
    let mut both = object(one);
    for (name, value) in object(other) {
        if both.get(&name).is_some_and(|old| *old != value) {
            return None;
        }
        both.insert(name, value);
    }
    Some(both)
}

/// The rule that is seen to be broken by a request.
fn first_broken(rules: &[Rule], request: &Map<String, Value>) -> (u16, String) {
    let broken = rules.iter().find(|(_, fragment, _, _, mended_by)| {
        let fragment = object(fragment);
        fragment.iter().all(|(name, value)| request.get(name) == Some(value))
            && !request.contains_key(*mended_by)
    });
    broken.map(|rule| (rule.2, rule.3.into())).expect("two rules are broken")
}

fn stream(request: &Map<String, Value>) -> StreamRequest {
    let mut request = request.clone();
    request.entry("name").or_insert("a".into());
    let text = serde_json::to_vec(&request).unwrap();
    StreamRequest::parse(&text, Mode::Strict).unwrap()
}

fn consumer(config: &Map<String, Value>) -> ConsumerConfig {
    let text = serde_json::to_string(&config).unwrap();
    let text = format!(r#"{{"config":{text}}}"#);
    ConsumerRequest::parse(text.as_bytes(), Mode::Strict).unwrap().config
}

fn said(error: ApiError) -> (u16, String) {
    (error.err_code, error.description.into_owned())
}

fn create(request: &Map<String, Value>, others: &[StreamConfig]) -> Result<StreamConfig, ApiError> {
    let StreamRequest { config, pedantic } = stream(request);
    config.check_create(&StreamBounds {
        pedantic,
        server: &JetStreamLimits::default(),
        account: &AccountLimits::default(),
        find: &|name| others.iter().find(|other| other.name == name),
    })
}

fn created(text: &str) -> StreamConfig {
    create(&object(text), &[]).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// What a consumer is asked to be, of a stream.
fn check(stream: &StreamConfig, config: &Map<String, Value>) -> Result<ConsumerConfig, ApiError> {
    let server = JetStreamLimits::default();
    let bounds = bounds(stream, &server);
    match consumer(config).check(&bounds)? {
        Checked::New(config) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn bounds<'a>(stream: &'a StreamConfig, server: &'a JetStreamLimits) -> ConsumerBounds<'a> {
    ConsumerBounds {
        pedantic: false,
        action: Action::CreateOrUpdate,
        server,
        max_ack_pending: -1,
        stream,
        existing: None,
        is_active: false,
        others: &[],
    }
}
