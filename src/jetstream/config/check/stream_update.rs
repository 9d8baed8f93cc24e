//! What may change in a stream.

use super::super::consumer::ConsumerConfig;
use super::super::stream::StreamConfig;
use super::super::values::{Discard, Nanos, Retention};
use super::stream::StreamBounds;
use crate::jetstream::error::ApiError;

impl StreamConfig {
    /// Checks and completes a configuration that is to replace `old`. `bounds.find` may know the
    /// old one.
    ///
    /// What is left to the caller, in this order: bytes left of the account and the server,
    /// [`StreamConfig::check_consumers`], other streams' subjects.
    pub fn check_update(mut self, old: &Self, bounds: &StreamBounds<'_>) -> Result<Self, ApiError> {
        self.complete(bounds)?;
        // Again: only an update sees that markers bring TTLs, which counters do not go with.
        self.check_counter()?;
        self.check_changes(old)?;
        self.complete_destination()?;
        if self.sealed {
            self.max_age = Nanos::ZERO;
            self.discard = Discard::New;
            self.deny_delete = true;
            self.deny_purge = true;
            self.allow_rollup_hdrs = false;
        }
        Ok(self)
    }

    fn check_changes(&self, old: &Self) -> Result<(), ApiError> {
        let queue = |config: &Self| config.retention == Retention::WorkQueue;
        let rules = [
            (
                self.storage != old.storage,
                "stream configuration update can not change storage type",
            ),
            (
                queue(self) != queue(old),
                "stream configuration update can not change retention policy to/from workqueue",
            ),
            (
                old.sealed && !self.sealed,
                "stream configuration update can not unseal a sealed stream",
            ),
            (
                old.deny_delete && !self.deny_delete,
                "stream configuration update can not cancel deny message deletes",
            ),
            (
                old.deny_purge && !self.deny_purge,
                "stream configuration update can not cancel deny purge",
            ),
        ];
        refuse_first(&rules)?;
        // A mirror may become a stream of its own.
        if self.mirror.is_some() && self.mirror != old.mirror {
            return Err(ApiError::stream_mirror_not_updatable());
        }
        let rules = [
            (old.allow_msg_ttl && !self.allow_msg_ttl, "message TTL status can not be disabled"),
            (
                old.allow_msg_counter != self.allow_msg_counter,
                "stream configuration update can not change message counter setting",
            ),
            (
                old.allow_msg_schedules && !self.allow_msg_schedules,
                "message schedules can not be disabled",
            ),
            (
                old.persist_mode != self.persist_mode,
                "stream configuration update can not change persist mode",
            ),
        ];
        refuse_first(&rules)
    }

    /// In an update, and only there, republishing without a destination is republishing as `>`.
    /// The reference does not see when that forms a cycle; here it is refused.
    fn complete_destination(&mut self) -> Result<(), ApiError> {
        let Some(rule) = self.republish.as_mut().filter(|rule| rule.destination.is_empty()) else {
            return Ok(());
        };
        rule.destination = ">".into();
        rule.compile().map_err(|error| {
            ApiError::stream_update(format!(
                "stream configuration for republish from '{}' to '>': {error}",
                rule.source
            ))
        })?;
        self.complete_republish(false)
    }

    /// Whether consumers that are there keep within the stream's limits for them.
    pub fn check_consumers<'a>(
        &self,
        consumers: impl Iterator<Item = (&'a str, &'a ConsumerConfig)>,
    ) -> Result<(), ApiError> {
        let limits = &self.consumer_limits;
        let (pending, inactive) = (limits.max_ack_pending, limits.inactive_threshold);
        let violates = |consumer: &ConsumerConfig| {
            (pending > 0 && consumer.max_ack_pending > pending)
                || (inactive.0 > 0 && consumer.inactive_threshold > inactive)
        };
        let names: Vec<&str> =
            consumers.filter(|(_, config)| violates(config)).map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = names.join(", ");
        Err(ApiError::stream_update(format!("change to limits violates consumers: {names}")))
    }
}

fn refuse_first(rules: &[(bool, &'static str)]) -> Result<(), ApiError> {
    match rules.iter().find(|(broken, _)| *broken) {
        Some((_, text)) => Err(ApiError::stream_invalid_config(text)),
        None => Ok(()),
    }
}
