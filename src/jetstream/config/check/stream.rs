//! A stream that is to be made.

use super::super::source::{RePublish, SubjectTransform};
use super::super::stream::StreamConfig;
use super::super::values::{Discard, Nanos, PersistMode, Retention, Storage};
use super::super::wire::Wire;
use super::{
    at_least, check_replicas, is_metadata_too_long, is_name, is_pattern, keep_level, sources,
};
use crate::config::JetStreamLimits;
use crate::jetstream::error::ApiError;
use crate::jetstream::info::AccountLimits;
use crate::types::limits::{
    ASSET_DESCRIPTION_BYTES_MAX, ASSET_METADATA_BYTES_MAX, ASSET_NAME_BYTES_MAX,
};
use crate::types::pattern::{includes, overlap};
use crate::types::time::{MILLISECOND, SECOND, duration};
use crate::types::transform::{Transform, TransformError};

/// What a stream's configuration is judged by.
#[derive(Clone, Copy)]
pub struct StreamBounds<'a> {
    /// What the server would change is refused.
    pub pedantic: bool,
    pub server: &'a JetStreamLimits,
    pub account: &'a AccountLimits,
    /// The account's streams by name: origins of mirrors and sources.
    pub find: &'a dyn Fn(&str) -> Option<&'a StreamConfig>,
}

/// The reference's shortest age and duplicate window.
const WINDOW_NS_MIN: u64 = 100 * MILLISECOND;
const DUPLICATE_WINDOW_NS: u64 = 120 * SECOND;

fn invalid(text: impl std::fmt::Display) -> ApiError {
    ApiError::stream_invalid_config(text)
}

impl StreamConfig {
    /// Checks and completes a configuration for a new stream. Compare it with one that is there
    /// by `==`: creating the same stream again is no error.
    ///
    /// What is left to the caller: other streams' subjects, and what is left of the account's and
    /// the server's streams and bytes.
    pub fn check_create(mut self, bounds: &StreamBounds<'_>) -> Result<Self, ApiError> {
        if self.name.contains(['/', '\\']) {
            return Err(ApiError::stream_name_contains_path_separators());
        }
        if self.sealed {
            return Err(invalid("stream configuration for create can not be sealed"));
        }
        if self.mirror_direct && self.mirror.is_none() {
            return Err(invalid("stream has no mirror but does have mirror direct"));
        }
        self.complete(bounds)?;
        self.check_filters()?;
        Ok(self)
    }

    /// What is wrong with an update, whether or not there is a stream to update.
    pub fn check_form(mut self, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
        self.complete_form(bounds)
    }

    /// What holds for new streams and changed ones alike.
    pub(super) fn complete(&mut self, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
        self.complete_form(bounds)?;
        if self.num_replicas > 1 {
            return Err(ApiError::stream_replicas_not_supported());
        }
        Ok(())
    }

    fn complete_form(&mut self, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
        let level = self.level();
        keep_level(&mut self.metadata, level);
        self.check_texts()?;
        self.fill_in_limits(bounds.pedantic)?;
        self.check_times(bounds)?;
        if self.deny_purge && self.allow_rollup_hdrs {
            return Err(invalid("roll-ups require the purge permission"));
        }
        self.check_counter()?;
        self.check_discard()?;
        self.complete_markers(bounds.pedantic)?;
        self.complete_schedules(bounds.pedantic)?;
        self.check_persistence()?;
        sources::check_mirror(self, bounds)?;
        sources::check_sources(self, bounds)?;
        self.complete_subjects()?;
        self.check_account(bounds.account)?;
        self.check_transform()?;
        self.complete_republish(bounds.pedantic)?;
        if self.placement.as_ref().is_some_and(|placement| !placement.preferred.is_empty()) {
            return Err(invalid("preferred server not permitted in placement"));
        }
        Ok(())
    }

    /// The API level that a server needs for this stream.
    fn level(&self) -> u32 {
        if self.allow_batched {
            return 4;
        }
        let newer = self.allow_msg_counter || self.allow_atomic || self.allow_msg_schedules;
        if newer || self.persist_mode == PersistMode::Async {
            return 2;
        }
        u32::from(self.allow_msg_ttl || self.subject_delete_marker_ttl.0 > 0)
    }

    fn check_texts(&self) -> Result<(), ApiError> {
        if !is_name(&self.name) {
            return Err(invalid(
                r"stream name is required and can not contain '.', '*', '>', '\', '/'",
            ));
        }
        if self.name.len() > ASSET_NAME_BYTES_MAX {
            let most = ASSET_NAME_BYTES_MAX;
            return Err(invalid(format!("stream name is too long, maximum allowed is {most}")));
        }
        if self.description.len() > ASSET_DESCRIPTION_BYTES_MAX {
            let most = ASSET_DESCRIPTION_BYTES_MAX;
            return Err(invalid(format!(
                "stream description is too long, maximum allowed is {most}"
            )));
        }
        if is_metadata_too_long(&self.metadata) {
            let most = ASSET_METADATA_BYTES_MAX;
            return Err(invalid(format!("stream metadata exceeds maximum size of {most} bytes")));
        }
        check_replicas(self.num_replicas)
    }

    fn fill_in_limits(&mut self, pedantic: bool) -> Result<(), ApiError> {
        self.num_replicas = self.num_replicas.max(1);
        self.placement = self.placement.take().filter(|placement| !placement.is_empty());
        let mut max_msg_size = i64::from(self.max_msg_size);
        let limits = [
            ("max_msgs", &mut self.max_msgs),
            ("max_msgs_per_subject", &mut self.max_msgs_per_subject),
            ("max_bytes", &mut self.max_bytes),
            ("max_msg_size", &mut max_msg_size),
            ("max_consumers", &mut self.max_consumers),
        ];
        for (name, limit) in limits {
            if *limit == 0 {
                *limit = -1;
            }
            at_least(limit, -1, pedantic, || format!("{name} must be set to -1"))?;
        }
        self.max_msg_size = i32::try_from(max_msg_size).unwrap_or(-1);
        Ok(())
    }

    fn check_times(&mut self, bounds: &StreamBounds<'_>) -> Result<(), ApiError> {
        let age = self.max_age;
        if age.0 < 0 {
            return Err(invalid("max age can not be negative"));
        }
        if age.0 > 0 && age.ns() < WINDOW_NS_MIN {
            return Err(invalid("max age needs to be >= 100ms"));
        }
        let limit = bounds.server.duplicate_window.map(|window| window.as_nanos() as u64);
        if self.duplicate_window.is_zero() && self.mirror.is_none() && self.sources.is_empty() {
            self.duplicate_window = duplicate_window(age, limit, bounds.pedantic)?;
        }
        let window = self.duplicate_window;
        if age.0 > 0 && window > age {
            return Err(invalid("duplicates window can not be larger then max age"));
        }
        if window.0 < 0 {
            return Err(invalid("duplicates window can not be negative"));
        }
        if window.0 > 0 && window.ns() < WINDOW_NS_MIN {
            return Err(invalid("duplicates window needs to be >= 100ms"));
        }
        if let Some(limit) = limit.filter(|limit| window.ns() > *limit) {
            let limit = duration(limit);
            return Err(invalid(format!(
                "duplicates window can not be larger then server limit of {limit}"
            )));
        }
        Ok(())
    }

    pub(super) fn check_counter(&self) -> Result<(), ApiError> {
        if !self.allow_msg_counter {
            return Ok(());
        }
        if self.discard == Discard::New {
            return Err(invalid("counter stream cannot use discard new"));
        }
        if self.allow_msg_ttl {
            return Err(invalid("counter stream cannot use message TTLs"));
        }
        if self.allow_msg_schedules {
            return Err(invalid("counter stream cannot use message schedules"));
        }
        if self.retention != Retention::Limits {
            return Err(invalid("counter stream can only use limits retention"));
        }
        Ok(())
    }

    fn check_discard(&self) -> Result<(), ApiError> {
        if !self.discard_new_per_subject {
            return Ok(());
        }
        if self.discard != Discard::New {
            return Err(invalid("discard new per subject requires discard new policy to be set"));
        }
        if self.max_msgs_per_subject <= 0 {
            return Err(invalid("discard new per subject requires max msgs per subject > 0"));
        }
        Ok(())
    }

    /// Delete markers need TTLs and roll-ups; those need that purging is allowed.
    fn complete_markers(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let ttl = self.subject_delete_marker_ttl;
        if ttl.is_zero() {
            return Ok(());
        }
        if ttl.0 < 0 {
            return Err(invalid("subject delete marker TTL must not be negative"));
        }
        if ttl.ns() < SECOND {
            return Err(invalid("subject delete marker TTL must be at least 1 second"));
        }
        if pedantic && !self.allow_msg_ttl {
            return Err(invalid(
                "subject delete marker cannot be set if message TTLs are disabled",
            ));
        }
        if pedantic && !self.allow_rollup_hdrs {
            return Err(invalid("subject delete marker cannot be set if roll-ups are disabled"));
        }
        self.allow_msg_ttl = true;
        self.allow_rollup_hdrs = true;
        self.deny_purge = false;
        Ok(())
    }

    fn complete_schedules(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if !self.allow_msg_schedules {
            return Ok(());
        }
        if self.discard == Discard::New {
            return Err(invalid("message scheduling cannot use discard new"));
        }
        if pedantic && !self.allow_rollup_hdrs {
            return Err(invalid("message scheduling cannot be set if roll-ups are disabled"));
        }
        self.allow_rollup_hdrs = true;
        self.deny_purge = false;
        Ok(())
    }

    fn check_persistence(&self) -> Result<(), ApiError> {
        if self.persist_mode == PersistMode::Default {
            return Ok(());
        }
        if self.storage != Storage::File {
            return Err(invalid("async persist mode is only supported on file storage"));
        }
        if self.num_replicas > 1 {
            return Err(invalid("async persist mode is not supported on replicated streams"));
        }
        if self.allow_atomic {
            return Err(invalid("async persist mode is not supported with atomic batch publish"));
        }
        Ok(())
    }

    fn complete_subjects(&mut self) -> Result<(), ApiError> {
        if self.subjects.is_empty() && self.mirror.is_none() && self.sources.is_empty() {
            self.subjects.push(self.name.clone());
        }
        for (place, subject) in self.subjects.iter().enumerate() {
            if !is_pattern(subject) {
                return Err(invalid("invalid subject"));
            }
            let mut others = self.subjects[place + 1..].iter();
            if let Some(other) = others.find(|o| overlap(subject.as_bytes(), o.as_bytes())) {
                return Err(invalid(format!("subject {subject:?} overlaps with {other:?}")));
            }
            self.check_reserved(subject)?;
        }
        Ok(())
    }

    /// A stream that answers publishes may not store what servers say to each other: it would
    /// answer the answers.
    fn check_reserved(&self, subject: &str) -> Result<(), ApiError> {
        let touches = |reserved: &str| overlap(subject.as_bytes(), reserved.as_bytes());
        let within = |allowed: &str| includes(allowed.as_bytes(), subject.as_bytes());
        if subject == ">" {
            if !self.no_ack {
                return Err(invalid("capturing all subjects requires no-ack to be true"));
            }
            if self.num_replicas > 1 {
                return Err(invalid("capturing all subjects requires replicas of 1"));
            }
        }
        if self.no_ack {
            return Ok(());
        }
        let api = touches("$JS.>") || touches("$JSC.>") || touches("$NRG.>");
        if api && !within("$JS.EVENT.>") {
            return Err(invalid(
                "subjects that overlap with jetstream api require no-ack to be true",
            ));
        }
        if touches("$SYS.>") && !within("$SYS.ACCOUNT.>") {
            return Err(invalid("subjects that overlap with system api require no-ack to be true"));
        }
        Ok(())
    }

    fn check_account(&self, account: &AccountLimits) -> Result<(), ApiError> {
        if account.max_bytes_required && self.max_bytes <= 0 {
            return Err(ApiError::stream_max_bytes_required());
        }
        let most = match self.storage {
            Storage::File => account.storage_max_stream_bytes,
            Storage::Memory => account.memory_max_stream_bytes,
        };
        if most > 0 && self.max_bytes > most {
            return Err(ApiError::stream_max_stream_bytes_exceeded());
        }
        Ok(())
    }

    fn check_transform(&self) -> Result<(), ApiError> {
        let Some(rule) = &self.subject_transform else { return Ok(()) };
        if !rule.source.is_empty() && !is_pattern(&rule.source) {
            let error = format!("invalid subject {}", rule.source);
            return Err(ApiError::stream_transform_invalid_source(error));
        }
        rule.compile().map(drop).map_err(ApiError::stream_transform_invalid_destination)
    }

    pub(super) fn complete_republish(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let Some(rule) = &mut self.republish else { return Ok(()) };
        if rule.source.is_empty() {
            if pedantic {
                return Err(ApiError::pedantic("republish source can not be empty"));
            }
            rule.source = ">".into();
        }
        let cycle = "stream configuration for republish destination forms a cycle";
        let subjects = &self.subjects;
        let meets = |to: &[u8]| subjects.iter().any(|subject| overlap(to, subject.as_bytes()));
        let compiled = rule.compile().map_err(|_| {
            let RePublish { source, destination, .. } = &*rule;
            if meets(destination.as_bytes()) {
                return invalid(cycle);
            }
            invalid(format!(
                "stream configuration for republish with transform from '{source}' to \
                 '{destination}' not valid"
            ))
        })?;
        let Some(compiled) = compiled else { return Ok(()) };
        if meets(&compiled.results()) {
            return Err(invalid(cycle));
        }
        Ok(())
    }

    /// The reference looks at these last, when it sets up what feeds the stream.
    fn check_filters(&self) -> Result<(), ApiError> {
        let bad = |filter: &str| !filter.is_empty() && !is_pattern(filter);
        if let Some(mirror) = self.mirror.as_ref().filter(|mirror| bad(&mirror.filter_subject)) {
            let filter = &mirror.filter_subject;
            return Err(ApiError::stream_create(format!(
                "subject filter '{filter}' for the mirror invalid subject"
            )));
        }
        if let Some(source) = self.sources.iter().find(|source| bad(&source.filter_subject)) {
            let filter = &source.filter_subject;
            return Err(ApiError::stream_create(format!(
                "subject filter '{filter}' for the source: invalid subject"
            )));
        }
        Ok(())
    }
}

/// The window of a stream that does not say: two minutes, unless the age or the server's limit
/// is less.
fn duplicate_window(age: Nanos, limit: Option<u64>, pedantic: bool) -> Result<Nanos, ApiError> {
    let mut window = DUPLICATE_WINDOW_NS;
    if age.0 > 0 && window > age.ns() {
        if pedantic {
            return Err(ApiError::pedantic("duplicate window cannot be bigger than max age"));
        }
        window = age.ns();
    }
    if let Some(limit) = limit.filter(|limit| window > *limit) {
        if pedantic {
            let text = "duplicate window limits are higher than current limits";
            return Err(ApiError::pedantic(text));
        }
        window = limit;
    }
    Ok(Nanos(i64::try_from(window).unwrap_or(i64::MAX)))
}

impl SubjectTransform {
    /// The rule, ready to be applied.
    pub fn compile(&self) -> Result<Transform, TransformError> {
        Transform::parse(&self.source, &self.destination)
    }
}

impl RePublish {
    /// The rule, ready to be applied; `None` without a destination: nothing is published again.
    pub fn compile(&self) -> Result<Option<Transform>, TransformError> {
        if self.destination.is_empty() {
            return Ok(None);
        }
        if !is_pattern(&self.source) {
            return Err(TransformError::Subject);
        }
        Transform::parse(&self.source, &self.destination).map(Some)
    }
}
