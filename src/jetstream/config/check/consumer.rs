//! A consumer that is to be made, or to be changed.

use super::super::consumer::ConsumerConfig;
use super::super::stream::StreamConfig;
use super::super::values::{AckPolicy, Action, DeliverPolicy, Nanos, PriorityPolicy, Retention};
use super::{at_least, has_wildcards, is_metadata_too_long, is_pattern, keep_level};
use crate::config::JetStreamLimits;
use crate::jetstream::config::json::quoted;
use crate::jetstream::error::ApiError;
use crate::types::limits::ASSET_DESCRIPTION_BYTES_MAX;
use crate::types::pattern::{nested, overlap};
use crate::types::time::{MILLISECOND, SECOND, duration};

/// What a consumer's configuration is judged by.
#[derive(Clone, Copy)]
pub struct ConsumerBounds<'a> {
    /// What the server would change is refused.
    pub pedantic: bool,
    pub action: Action,
    pub server: &'a JetStreamLimits,
    /// The account's; -1 is none.
    pub max_ack_pending: i64,
    pub stream: &'a StreamConfig,
    /// The one with the same name.
    pub existing: Option<&'a ConsumerConfig>,
    /// Whether somebody listens where the existing one delivers.
    pub is_active: bool,
    /// The stream's other consumers; direct ones may be among them.
    pub others: &'a [&'a ConsumerConfig],
}

/// What a checked configuration means to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checked {
    /// The caller has still to see that the stream and the account may have one more.
    New(ConsumerConfig),
    /// There is such a consumer, and it stays as it is.
    Same,
    Changed(ConsumerConfig),
}

const ACK_WAIT_NS: i64 = 30 * SECOND as i64;
const MAX_WAITING: i64 = 512;
const MAX_ACK_PENDING: i64 = 1000;
/// Of one that is neither durable nor says.
const INACTIVE_THRESHOLD_NS: i64 = 5 * SECOND as i64;
const PIN_TIMEOUT_NS: i64 = 120 * SECOND as i64;
const HEARTBEAT_NS_MIN: i64 = 100 * MILLISECOND as i64;
/// What the ack policy `flow_control` needs.
const FLOW_CONTROL_HEARTBEAT: Nanos = Nanos(SECOND as i64);
const MAX_EXPIRES_NS_MIN: i64 = MILLISECOND as i64;
const GROUP_NAME_BYTES_MAX: usize = 16;

impl ConsumerConfig {
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// The filters, in whichever field they came.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let one = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        one.into_iter().chain(self.filter_subjects.iter().map(String::as_str))
    }

    /// Checks and completes a configuration. Its name and what the subject said have been looked
    /// at ([`super::ConsumerSubject`]).
    pub fn check(mut self, bounds: &ConsumerBounds<'_>) -> Result<Checked, ApiError> {
        if let Some(existing) = bounds.existing {
            // Only CONSUMER.PAUSE changes it.
            self.pause_until = existing.pause_until;
        }
        self.note_level();
        if self.num_replicas > 1 {
            return Err(ApiError::stream_replicas_not_supported());
        }
        self.complete(bounds)?;
        if self.num_replicas < 0 {
            return Err(ApiError::replicas_count_cannot_be_negative());
        }
        self.check_acks()?;
        if self.description.len() > ASSET_DESCRIPTION_BYTES_MAX {
            return Err(ApiError::consumer_description_too_long(ASSET_DESCRIPTION_BYTES_MAX));
        }
        if self.is_push() {
            self.check_push(bounds.stream)?;
        } else {
            self.check_pull(bounds)?;
        }
        self.check_limits(bounds)?;
        if self.direct && !self.is_push() {
            return Err(ApiError::consumer_direct_requires_push());
        }
        if self.direct && !self.durable_name.is_empty() {
            return Err(ApiError::consumer_direct_requires_ephemeral());
        }
        self.check_filters()?;
        self.check_start()?;
        sample(&self.sample_freq).map_err(ApiError::consumer_invalid_sampling)?;
        if self.flow_control && self.idle_heartbeat.is_zero() {
            return Err(ApiError::consumer_with_flow_control_needs_heartbeats());
        }
        if is_metadata_too_long(&self.metadata) {
            return Err(ApiError::consumer_metadata_length("128KB"));
        }
        self.check_priority()?;
        self.decide(bounds)
    }

    /// One that is not durable does not stay unused for ever.
    pub(super) fn limit_idleness(&mut self, is_durable: bool) {
        if self.inactive_threshold.is_zero() && !is_durable {
            self.inactive_threshold = Nanos(INACTIVE_THRESHOLD_NS);
        }
    }

    /// Notes the level it needs now. One that was paused once keeps that when it goes on.
    pub fn note_level(&mut self) {
        let level = self.level();
        keep_level(&mut self.metadata, level);
    }

    /// The API level that a server needs for this consumer.
    fn level(&self) -> u32 {
        if self.ack_policy == AckPolicy::FlowControl {
            return 4;
        }
        let pauses = self.pause_until.is_some_and(|until| !until.is_zero());
        let priority = self.priority_policy != PriorityPolicy::None
            || !self.priority_timeout.is_zero()
            || !self.priority_groups.is_empty();
        u32::from(pauses || priority)
    }

    fn complete(&mut self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        self.raise_negatives(bounds.pedantic)?;
        let acks = matches!(self.ack_policy, AckPolicy::All | AckPolicy::Explicit);
        if acks && self.ack_wait.is_zero() {
            self.ack_wait = Nanos(ACK_WAIT_NS);
        }
        if let Some(first) = self.backoff.first() {
            if bounds.pedantic && self.ack_wait != *first {
                let text = "first backoff value has to equal batch AckWait";
                return Err(ApiError::pedantic(text));
            }
            self.ack_wait = *first;
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = MAX_WAITING;
        }
        let pinned = self.priority_policy == PriorityPolicy::PinnedClient;
        if pinned && self.priority_timeout.is_zero() {
            self.priority_timeout = Nanos(PIN_TIMEOUT_NS);
        }
        self.take_stream_limits(bounds)?;
        self.take_server_limits(bounds)?;
        if self.ack_policy == AckPolicy::FlowControl && self.is_push() {
            self.complete_flow_control(bounds.pedantic)?;
        }
        Ok(())
    }

    fn raise_negatives(&mut self, pedantic: bool) -> Result<(), ApiError> {
        let to_minus_one = |name: &'static str| move || format!("{name} must be set to -1");
        let to_zero = |name: &'static str| move || format!("{name} must not be negative");
        if self.max_deliver == 0 {
            self.max_deliver = -1;
        }
        at_least(&mut self.max_deliver, -1, pedantic, to_minus_one("max_deliver"))?;
        at_least(&mut self.max_waiting, 0, pedantic, to_zero("max_waiting"))?;
        at_least(&mut self.max_ack_pending, -1, pedantic, to_minus_one("max_ack_pending"))?;
        let rest = [
            ("max_batch", &mut self.max_batch),
            ("max_expires", &mut self.max_expires.0),
            ("max_bytes", &mut self.max_bytes),
            ("idle_heartbeat", &mut self.idle_heartbeat.0),
            ("inactive_threshold", &mut self.inactive_threshold.0),
            ("priority_timeout", &mut self.priority_timeout.0),
        ];
        for (name, value) in rest {
            at_least(value, 0, pedantic, to_zero(name))?;
        }
        Ok(())
    }

    fn take_stream_limits(&mut self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        // The reference holds a mirror's consumer to them too, which then never comes about.
        if self.direct && self.is_push() {
            return Ok(());
        }
        let limits = &bounds.stream.consumer_limits;
        let must_set = |name: &str| {
            ApiError::pedantic(format!("{name} must be set if it's configured in stream limits"))
        };
        if self.max_ack_pending == 0 && limits.max_ack_pending > 0 {
            if bounds.pedantic {
                return Err(must_set("max_ack_pending"));
            }
            self.max_ack_pending = limits.max_ack_pending;
        }
        if self.inactive_threshold.is_zero() && limits.inactive_threshold.0 > 0 {
            if bounds.pedantic {
                return Err(must_set("inactive_threshold"));
            }
            self.inactive_threshold = limits.inactive_threshold;
        }
        Ok(())
    }

    fn take_server_limits(&mut self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        if self.max_ack_pending == 0 && self.ack_policy != AckPolicy::None {
            let limits = [bounds.server.max_ack_pending.unwrap_or(-1), bounds.max_ack_pending];
            let limits = limits.into_iter().filter(|limit| *limit > 0);
            self.max_ack_pending = limits.fold(MAX_ACK_PENDING, i64::min);
        }
        if let Some(most) = bounds.server.max_request_batch.filter(|most| *most > 0)
            && !self.is_push()
            && self.max_batch == 0
        {
            if bounds.pedantic {
                let text = "max_request_batch must be set if it's JetStream limits are set";
                return Err(ApiError::pedantic(text));
            }
            self.max_batch = most;
        }
        Ok(())
    }

    fn complete_flow_control(&mut self, pedantic: bool) -> Result<(), ApiError> {
        if pedantic && !self.flow_control {
            return Err(ApiError::consumer_ack_fc_requires_fc());
        }
        if pedantic && self.idle_heartbeat != FLOW_CONTROL_HEARTBEAT {
            let beat = duration(FLOW_CONTROL_HEARTBEAT.ns());
            return Err(ApiError::stream_invalid_config(format!(
                "flow control ack policy heartbeat needs to be {beat}"
            )));
        }
        self.flow_control = true;
        self.idle_heartbeat = FLOW_CONTROL_HEARTBEAT;
        Ok(())
    }

    fn check_acks(&self) -> Result<(), ApiError> {
        if self.backoff.iter().any(|wait| wait.0 < 0) {
            return Err(ApiError::consumer_back_off_negative());
        }
        if self.ack_wait.0 < 0 {
            return Err(ApiError::consumer_ack_wait_negative());
        }
        if self.ack_policy == AckPolicy::FlowControl {
            self.check_flow_control()?;
        }
        let deliveries = usize::try_from(self.max_deliver).unwrap_or(usize::MAX);
        if self.backoff.len() > deliveries {
            return Err(ApiError::consumer_max_deliver_backoff());
        }
        Ok(())
    }

    fn check_limits(&self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        let limits = [
            bounds.server.max_ack_pending.unwrap_or(-1),
            bounds.max_ack_pending,
            bounds.stream.consumer_limits.max_ack_pending,
        ];
        for limit in limits {
            if limit > 0 && self.max_ack_pending > limit {
                return Err(ApiError::consumer_max_pending_ack_excess(limit));
            }
        }
        let limit = bounds.stream.consumer_limits.inactive_threshold;
        if limit.0 > 0 && !self.direct && self.inactive_threshold > limit {
            return Err(ApiError::consumer_inactive_threshold_excess(duration(limit.ns())));
        }
        Ok(())
    }

    fn check_flow_control(&self) -> Result<(), ApiError> {
        if !self.is_push() {
            return Err(ApiError::consumer_ack_fc_requires_push());
        }
        if self.max_ack_pending <= 0 {
            return Err(ApiError::consumer_ack_fc_requires_max_ack_pending());
        }
        if !self.ack_wait.is_zero() || !self.backoff.is_empty() {
            return Err(ApiError::consumer_ack_fc_requires_no_ack_wait());
        }
        if self.max_deliver != -1 {
            return Err(ApiError::consumer_ack_fc_requires_no_max_deliver());
        }
        Ok(())
    }

    fn check_push(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        let deliver = &self.deliver_subject;
        if has_wildcards(deliver) {
            return Err(ApiError::consumer_deliver_to_wildcards());
        }
        if !is_pattern(deliver) {
            return Err(ApiError::consumer_invalid_deliver_subject());
        }
        if stream.subjects.iter().any(|subject| overlap(subject.as_bytes(), deliver.as_bytes())) {
            return Err(ApiError::consumer_deliver_cycle());
        }
        if self.max_waiting != 0 {
            return Err(ApiError::consumer_push_max_waiting());
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(ApiError::consumer_max_pending_ack_policy_required());
        }
        if self.idle_heartbeat.0 > 0 && self.idle_heartbeat.0 < HEARTBEAT_NS_MIN {
            return Err(ApiError::consumer_small_heartbeat());
        }
        Ok(())
    }

    fn check_pull(&self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        let queue = bounds.stream.retention == Retention::WorkQueue;
        if queue && self.ack_policy == AckPolicy::None {
            return Err(ApiError::consumer_pull_requires_ack());
        }
        if self.rate_limit_bps > 0 {
            return Err(ApiError::consumer_pull_with_rate_limit());
        }
        if self.idle_heartbeat.0 > 0 {
            return Err(ApiError::consumer_hb_requires_push());
        }
        if self.flow_control {
            return Err(ApiError::consumer_fc_requires_push());
        }
        if self.max_expires.0 > 0 && self.max_expires.0 < MAX_EXPIRES_NS_MIN {
            return Err(ApiError::consumer_max_request_expires_too_small());
        }
        if let Some(most) = bounds.server.max_request_batch.filter(|most| *most > 0)
            && self.max_batch > most
        {
            return Err(ApiError::consumer_max_request_batch_exceeded(most));
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        let filters = &self.filter_subjects;
        if !self.filter_subject.is_empty() && !filters.is_empty() {
            return Err(ApiError::consumer_duplicate_filter_subjects());
        }
        if filters.iter().any(String::is_empty) {
            return Err(ApiError::consumer_empty_filter());
        }
        for (place, filter) in filters.iter().enumerate() {
            let mut others = filters[place + 1..].iter();
            let meets = |other: &String| nested(filter.as_bytes(), other.as_bytes());
            if is_pattern(filter) && others.any(meets) {
                return Err(ApiError::consumer_overlapping_subject_filters());
            }
        }
        if !self.filters().all(is_pattern) {
            return Err(ApiError::stream_invalid_config("invalid subject"));
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let (seq, time) = (self.opt_start_seq > 0, self.opt_start_time.is_some());
        let filtered = self.filters().next().is_some();
        let (policy, what) = match self.deliver_policy {
            DeliverPolicy::All if seq => ("all", "start sequence is also set"),
            DeliverPolicy::All if time => ("all", "start time is also set"),
            DeliverPolicy::Last if seq => ("last", "start sequence is also set"),
            DeliverPolicy::Last if time => ("last", "start time is also set"),
            DeliverPolicy::LastPerSubject if seq => {
                ("last per subject", "start sequence is also set")
            }
            DeliverPolicy::LastPerSubject if time => ("last per subject", "start time is also set"),
            DeliverPolicy::LastPerSubject if !filtered => {
                ("last per subject", "filter subject is not set")
            }
            DeliverPolicy::New if seq => ("new", "start sequence is also set"),
            DeliverPolicy::New if time => ("new", "start time is also set"),
            DeliverPolicy::ByStartSequence if !seq => {
                ("by start sequence", "start sequence is not set")
            }
            DeliverPolicy::ByStartSequence if time => {
                ("by start sequence", "start time is also set")
            }
            DeliverPolicy::ByStartTime if !time => ("by start time", "start time is not set"),
            // The reference says "start" twice here.
            DeliverPolicy::ByStartTime if seq => {
                ("by start time", "start start sequence is also set")
            }
            _ => return Ok(()),
        };
        Err(ApiError::consumer_invalid_policy(format!(
            "consumer delivery policy is deliver {policy}, but optional {what}"
        )))
    }

    fn check_priority(&self) -> Result<(), ApiError> {
        if self.priority_policy == PriorityPolicy::None {
            if !self.priority_groups.is_empty() {
                return Err(ApiError::consumer_priority_group_with_policy_none());
            }
            if !self.priority_timeout.is_zero() {
                return Err(ApiError::consumer_pinned_ttl_without_priority_policy_none());
            }
            return Ok(());
        }
        if self.is_push() {
            return Err(ApiError::consumer_push_with_priority_group());
        }
        if self.priority_groups.is_empty() {
            return Err(ApiError::consumer_priority_policy_without_group());
        }
        for group in &self.priority_groups {
            if group.is_empty() {
                return Err(ApiError::consumer_empty_group_name());
            }
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_/=".contains(c);
            if group.len() > GROUP_NAME_BYTES_MAX || !group.chars().all(allowed) {
                return Err(ApiError::consumer_invalid_group_name());
            }
        }
        Ok(())
    }

    /// What a work queue asks of its consumers: each message belongs to one at most.
    pub(super) fn check_work_queue(&self, bounds: &ConsumerBounds<'_>) -> Result<(), ApiError> {
        // What feeds a mirror or a sourcing stream takes nothing away.
        if bounds.stream.retention != Retention::WorkQueue || self.direct || self.sourcing {
            return Ok(());
        }
        if !matches!(self.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
            return Err(ApiError::consumer_wq_requires_explicit_ack());
        }
        if self.deliver_policy != DeliverPolicy::All {
            return Err(ApiError::consumer_wq_consumer_not_deliver_all());
        }
        let mut others = bounds.others.iter().filter(|other| !other.direct && !other.sourcing);
        if self.filters().next().is_none() {
            return match others.next() {
                Some(_) => Err(ApiError::consumer_wq_multiple_unfiltered()),
                None => Ok(()),
            };
        }
        if others.any(|other| self.shares_with(other)) {
            return Err(ApiError::consumer_wq_consumer_not_unique());
        }
        Ok(())
    }

    /// Whether a message could be for both.
    fn shares_with(&self, other: &Self) -> bool {
        let all = other.filters().next().is_none();
        let mut mine = self.filters();
        all || mine.any(|a| other.filters().any(|b| overlap(a.as_bytes(), b.as_bytes())))
    }
}

/// `12` or `12%`; nothing is 0. The error is the reference's, `<nil>` and all.
fn sample(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_suffix('%').unwrap_or(text);
    match digits.parse::<i64>() {
        Ok(percent) if percent < 0 => Err("<nil>".into()),
        Ok(percent) => Ok(percent),
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let range = matches!(error.kind(), PosOverflow | NegOverflow);
            let what = if range { "value out of range" } else { "invalid syntax" };
            Err(format!("strconv.Atoi: parsing {}: {what}", quoted(digits)))
        }
    }
}
