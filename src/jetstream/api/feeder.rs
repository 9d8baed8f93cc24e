//! The owner's part of the API: consumers that feed other streams.
//!
//! Of a stream that keeps messages within limits they are hidden and forget: whoever draws asks
//! for another. Where acknowledgements decide what is kept they last, and flow control
//! acknowledges, so that nothing goes before the other stream has stored it. So has it the
//! reference.

use super::serve::Served;
use crate::jetstream::config::{AckPolicy, ConsumerConfig, Nanos, Retention};
use crate::jetstream::context::Gate;
use crate::jetstream::core::JetStream;
use crate::jetstream::error::ApiError;
use crate::jetstream::target::StreamSlot;
use crate::storage::Seq;
use crate::types::Now;

impl JetStream {
    /// Another stream asks for the consumer that is to feed it. `None`: it is made like any other,
    /// of the configuration as it is now.
    pub(super) fn prepare_feeder(
        &mut self,
        slot: StreamSlot,
        name: &str,
        config: &mut ConsumerConfig,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let Some((hosted, _)) = self.at(slot, now, gate) else { return Ok(None) };
        let lasts = hosted.stream.config().retention != Retention::Limits;
        if lasts {
            make_lasting(config, name);
        }
        let before = hosted.seats.find(name).and_then(|at| hosted.seats.get(at));
        let Some(before) = before.map(|seat| seat.consumer.config()) else { return Ok(None) };
        if !before.sourcing {
            return Ok(None);
        }
        if lasts && !before.direct {
            return self.resume_feeder(slot, name, before, config, now, gate);
        }
        self.remove_consumer(slot, name, now, gate)?;
        Ok(None)
    }

    /// One that is there begins again behind what was acknowledged, and delivers elsewhere.
    fn resume_feeder(
        &mut self,
        slot: StreamSlot,
        name: &str,
        before: ConsumerConfig,
        asked: &ConsumerConfig,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Served {
        let config = ConsumerConfig {
            deliver_subject: asked.deliver_subject.clone(),
            filter_subject: asked.filter_subject.clone(),
            filter_subjects: asked.filter_subjects.clone(),
            ..before
        };
        let missing = ApiError::consumer_not_found;
        let (hosted, mut context) = self.at(slot, now, gate).ok_or_else(missing)?;
        let stream = hosted.stream.config().name.clone();
        let home = hosted.home(&stream, config.mem_storage);
        let at = hosted.seats.find(name).ok_or_else(missing)?;
        let seat = hosted.seats.get_mut(at).ok_or_else(missing)?;
        seat.consumer.update(&mut context, &config, &home);
        seat.consumer.reset(Seq(0))?;
        hosted.tell_filters();
        self.after_consumer(slot, at, now, gate);
        self.queue(slot, at);
        self.tell_consumer(slot, name, now, gate)
    }
}

fn make_lasting(config: &mut ConsumerConfig, name: &str) {
    config.durable_name = name.to_owned();
    config.direct = false;
    config.mem_storage = false;
    config.ack_policy = AckPolicy::FlowControl;
    config.ack_wait = Nanos::ZERO;
    config.max_deliver = 0;
    config.inactive_threshold = Nanos::ZERO;
}
