//! What feeds a stream: its mirror, its sources.

use std::collections::{HashSet, VecDeque};

use super::super::source::{External, SourceConsumer, StreamSource, SubjectTransform};
use super::super::stream::StreamConfig;
use super::stream::StreamBounds;
use super::{is_name, is_pattern, is_subject};
use crate::jetstream::error::ApiError;
use crate::types::limits::SOURCE_STEPS_MAX;
use crate::types::pattern::{nested, overlap};
use crate::types::transform::TransformError;

/// Answers to requests under this prefix come from this server, not from an external one.
const API_PREFIX: &str = "$JS.API";

pub fn check_mirror(config: &mut StreamConfig, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
    let Some(mirror) = &config.mirror else { return Ok(()) };
    check_alone(config)?;
    check_consumer(mirror, ApiError::mirror_durable_consumer_cfg_invalid)?;
    if !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty() {
        return Err(ApiError::mirror_multiple_filters_not_allowed());
    }
    if config.subject_delete_marker_ttl.0 > 0 {
        let text = "subject delete markers forbidden on mirrors";
        return Err(ApiError::stream_invalid_config(text));
    }
    for (place, rule) in mirror.subject_transforms.iter().enumerate() {
        check_source(rule).map_err(ApiError::mirror_invalid_subject_filter)?;
        rule.compile().map_err(ApiError::mirror_invalid_transform_destination)?;
        let mut others = mirror.subject_transforms.iter().enumerate();
        if others.any(|(other, that)| other != place && meets(rule, that, overlap)) {
            return Err(ApiError::mirror_overlapping_subject_filters());
        }
    }
    check_external(std::slice::from_ref(mirror))?;
    if !is_name(&mirror.name) {
        return Err(ApiError::mirror_invalid_stream_name());
    }
    if let Some(origin) = origin(mirror, bounds) {
        if is_too_small(config, origin) {
            return Err(ApiError::mirror_max_message_size_too_big());
        }
        if config.mirror_direct != origin.allow_direct {
            if bounds.pedantic {
                let text = "origin stream has direct get set, mirror has it disabled";
                return Err(ApiError::pedantic(text));
            }
            config.mirror_direct = origin.allow_direct;
        }
    }
    check_cycle(config, bounds)
}

/// A mirror has nothing of its own.
fn check_alone(config: &StreamConfig) -> Result<(), ApiError> {
    let rules = [
        (config.first_seq > 0, ApiError::mirror_with_first_seq()),
        (!config.subjects.is_empty(), ApiError::mirror_with_subjects()),
        (!config.sources.is_empty(), ApiError::mirror_with_sources()),
        (config.allow_msg_counter, ApiError::mirror_with_counters()),
        (config.allow_atomic, ApiError::mirror_with_atomic_publish()),
        (config.allow_batched, ApiError::mirror_with_batch_publish()),
        (config.allow_msg_schedules, ApiError::mirror_with_msg_schedules()),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

pub fn check_sources(config: &StreamConfig, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
    if config.sources.is_empty() {
        return Ok(());
    }
    if config.allow_msg_schedules {
        return Err(ApiError::source_with_msg_schedules());
    }
    let mut known = HashSet::new();
    let mut consumers = HashSet::new();
    for source in &config.sources {
        if !is_name(&source.name) {
            return Err(ApiError::source_invalid_stream_name());
        }
        check_transforms(source)?;
        check_consumer(source, ApiError::source_durable_consumer_cfg_invalid)?;
        if !known.insert(source.identity()) {
            return Err(ApiError::source_duplicate_detected());
        }
        if let Some(consumer) = &source.consumer
            && !consumers.insert((&source.name, &consumer.name))
        {
            return Err(ApiError::source_durable_consumer_duplicate_detected());
        }
        if origin(source, bounds).is_some_and(|origin| is_too_small(config, origin)) {
            return Err(ApiError::source_max_message_size_too_big());
        }
    }
    check_external(&config.sources)?;
    check_cycle(config, bounds)
}

fn check_transforms(source: &StreamSource) -> Result<(), ApiError> {
    let rules = &source.subject_transforms;
    if !source.filter_subject.is_empty() && !rules.is_empty() {
        return Err(ApiError::source_multiple_filters_not_allowed());
    }
    for rule in rules {
        check_source(rule).map_err(ApiError::source_invalid_subject_filter)?;
        rule.compile().map_err(ApiError::source_invalid_transform_destination)?;
    }
    for (place, rule) in rules.iter().enumerate() {
        if rules[place + 1..].iter().any(|other| meets(rule, other, nested)) {
            return Err(ApiError::source_overlapping_subject_filters());
        }
    }
    Ok(())
}

fn check_source(rule: &SubjectTransform) -> Result<(), String> {
    if rule.source.is_empty() || is_pattern(&rule.source) {
        return Ok(());
    }
    Err(format!("{} {}", TransformError::Subject, rule.source))
}

/// Mirrors and sources are not held to the same: a mirror's patterns may have no subject in
/// common, a source's may, if neither covers the other. No pattern meets no other than none.
type Meet = fn(&[u8], &[u8]) -> bool;

fn meets(one: &SubjectTransform, other: &SubjectTransform, meet: Meet) -> bool {
    let (one, other) = (one.source.as_bytes(), other.source.as_bytes());
    one.is_empty() == other.is_empty() && meet(one, other)
}

/// A durable consumer keeps where it stands and what it wants by itself.
fn check_consumer(source: &StreamSource, error: fn() -> ApiError) -> Result<(), ApiError> {
    let Some(SourceConsumer { name, deliver_subject }) = &source.consumer else { return Ok(()) };
    let elsewhere = source.opt_start_seq > 0
        || source.opt_start_time.is_some()
        || !source.filter_subject.is_empty();
    if elsewhere || !is_name(name) || !is_subject(deliver_subject) {
        return Err(error());
    }
    Ok(())
}

/// All delivery prefixes, then all of the API.
fn check_external(sources: &[StreamSource]) -> Result<(), ApiError> {
    let externals = || sources.iter().filter_map(|source| source.external.as_ref());
    for External { deliver, .. } in externals() {
        if !deliver.is_empty() && !is_subject(deliver) {
            return Err(ApiError::stream_invalid_external_delivery_subj(deliver));
        }
    }
    for External { api, .. } in externals() {
        if !api.is_empty() && !is_subject(api) {
            return Err(ApiError::stream_invalid_config(format!(
                "stream external api prefix {api:?} must be a valid subject without wildcards"
            )));
        }
        if api == API_PREFIX {
            return Err(ApiError::stream_external_api_overlap(api, API_PREFIX));
        }
    }
    Ok(())
}

/// The stream a source names, if it is one of this account.
fn origin<'a>(source: &StreamSource, bounds: &StreamBounds<'a>) -> Option<&'a StreamConfig> {
    (bounds.find)(source.local_name()?)
}

/// Whether messages of the origin would not fit.
fn is_too_small(config: &StreamConfig, origin: &StreamConfig) -> bool {
    config.max_msg_size > 0 && origin.max_msg_size > config.max_msg_size
}

/// Whether what the stream stores could come back to it, as the reference judges that. It goes from
/// stream to stream, those nearest first, and takes meeting one again that it has gone through for a
/// cycle: so `[a, b]` is one if `b` takes from `a`, and `[b, a]` is none. A source with a filter counts
/// for a stream that it finds on the way if the filter meets the subjects of that stream itself; one
/// with transforms always does.
fn check_cycle(config: &StreamConfig, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
    let cycle = || Err(ApiError::stream_invalid_config("detected cycle"));
    let find = |name: &str| {
        if name == config.name { Some(config) } else { (bounds.find)(name) }
    };
    let mut seen = HashSet::from([config.name.as_str()]);
    let mut open: VecDeque<&str> = config.feeds().filter_map(StreamSource::local_name).collect();
    let mut steps = 0;
    while let Some(name) = open.pop_front() {
        let Some(stream) = find(name) else { continue };
        seen.insert(name);
        for source in stream.feeds() {
            let filter = source.filter_subject.as_bytes();
            let meets = |subject: &String| overlap(subject.as_bytes(), filter);
            let is_mirror = stream.mirror.is_some();
            if !is_mirror && !filter.is_empty() && !stream.subjects.iter().any(meets) {
                continue;
            }
            let Some(name) = source.local_name() else { continue };
            steps += 1;
            if seen.contains(name) || steps > SOURCE_STEPS_MAX {
                return cycle();
            }
            open.push_back(name);
        }
    }
    Ok(())
}

impl StreamConfig {
    /// The mirror, or all sources.
    pub fn feeds(&self) -> impl Iterator<Item = &StreamSource> {
        self.mirror.iter().chain(&self.sources)
    }
}

/// Whom a source asks, by which API and through which consumer, and its rules: what for, and what
/// it becomes.
pub type SourceIdentity<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Vec<(&'a str, &'a str)>);

impl StreamSource {
    /// The name of an origin in the same account.
    fn local_name(&self) -> Option<&str> {
        self.external.is_none().then_some(self.name.as_str())
    }

    /// What tells a source from the others of its stream.
    pub fn identity(&self) -> SourceIdentity<'_> {
        let consumer = self.consumer.as_ref().map(|consumer| consumer.name.as_str());
        let api = self.external.as_ref().map(|external| external.api.as_str());
        let mut rules: Vec<(&str, &str)> = self
            .subject_transforms
            .iter()
            .map(|rule| (or_all(&rule.source), or_all(&rule.destination)))
            .collect();
        if rules.is_empty() {
            rules.push((or_all(&self.filter_subject), ">"));
        }
        (&self.name, api, consumer, rules)
    }
}

fn or_all(pattern: &str) -> &str {
    if pattern.is_empty() { ">" } else { pattern }
}
