//! What may change in a consumer.

use super::super::REQUIRED_LEVEL;
use super::super::consumer::ConsumerConfig;
use super::super::values::Action;
use super::consumer::{Checked, ConsumerBounds};
use crate::jetstream::error::ApiError;

impl ConsumerConfig {
    /// What becomes of a configuration that is right by itself.
    pub(super) fn decide(mut self, bounds: &ConsumerBounds<'_>) -> Result<Checked, ApiError> {
        let Some(existing) = bounds.existing else {
            if bounds.action == Action::Update {
                return Err(ApiError::consumer_does_not_exist());
            }
            self.check_work_queue(bounds)?;
            let is_durable = !self.durable_name.is_empty();
            self.limit_idleness(is_durable);
            return Ok(Checked::New(self));
        };
        // Before the idleness is filled in: so in the reference an ephemeral consumer that does
        // not say how long it lives is never the same as the one that is there.
        if bounds.action == Action::Create {
            let same = self.is_as(existing);
            return if same { Ok(Checked::Same) } else { Err(ApiError::consumer_already_exists()) };
        }
        // It stays what it was made as, whatever it is called now: one that was durable may be
        // unused for ever.
        let was_durable =
            !existing.durable_name.is_empty() || existing.inactive_threshold.is_zero();
        self.limit_idleness(was_durable);
        self.check_changes(existing, bounds.is_active)?;
        self.check_work_queue(bounds)?;
        Ok(if self == *existing { Checked::Same } else { Checked::Changed(self) })
    }

    /// Whether the two are the same, whatever level they need.
    fn is_as(&self, other: &Self) -> bool {
        let mut other = other.clone();
        if let Some(level) = self.metadata.get(REQUIRED_LEVEL) {
            other.metadata.insert(REQUIRED_LEVEL.into(), level.clone());
        }
        *self == other
    }

    fn check_changes(&self, old: &Self, is_active: bool) -> Result<(), ApiError> {
        let instant = |config: &Self| config.opt_start_time.map(super::super::Moment::instant);
        let rules = [
            (self.deliver_policy != old.deliver_policy, "deliver policy can not be updated"),
            (self.mem_storage != old.mem_storage, "storage type can not be updated"),
            (self.direct != old.direct, "direct can not be updated"),
            (self.sourcing != old.sourcing, "sourcing can not be updated"),
            (self.opt_start_seq != old.opt_start_seq, "start sequence can not be updated"),
            (instant(self) != instant(old), "start time can not be updated"),
            (self.ack_policy != old.ack_policy, "ack policy can not be updated"),
            (self.replay_policy != old.replay_policy, "replay policy can not be updated"),
            (self.idle_heartbeat != old.idle_heartbeat, "heart beats can not be updated"),
            (self.flow_control != old.flow_control, "flow control can not be updated"),
            (!old.is_push() && self.is_push(), "can not update pull consumer to push based"),
            (old.is_push() && !self.is_push(), "can not update push consumer to pull based"),
        ];
        if let Some((_, text)) = rules.iter().find(|(broken, _)| *broken) {
            return Err(ApiError::consumer_create(text));
        }
        if is_active && self.deliver_subject != old.deliver_subject {
            return Err(ApiError::consumer_name_exist());
        }
        if self.max_waiting != old.max_waiting {
            return Err(ApiError::consumer_create("max waiting can not be updated"));
        }
        Ok(())
    }
}
