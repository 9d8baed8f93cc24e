//! TEMPORARY until config's checks are merged.
use crate::jetstream::config::*;
use crate::jetstream::error::ApiError;

pub fn stream(mut c: StreamConfig, name: &str) -> Result<StreamConfig, ApiError> {
    if c.name != name {
        return Err(ApiError::stream_mismatch());
    }
    if c.subjects.is_empty() && c.mirror.is_none() && c.sources.is_empty() {
        c.subjects = vec![name.to_owned()];
    }
    let one = |n: &mut i64| {
        if *n <= 0 {
            *n = -1
        }
    };
    one(&mut c.max_msgs);
    one(&mut c.max_bytes);
    one(&mut c.max_consumers);
    one(&mut c.max_msgs_per_subject);
    if c.max_msg_size <= 0 {
        c.max_msg_size = -1;
    }
    c.num_replicas = 1;
    if c.duplicate_window.is_zero() {
        c.duplicate_window = Nanos(120_000_000_000);
        if c.max_age.0 > 0 && c.max_age < c.duplicate_window {
            c.duplicate_window = c.max_age;
        }
    }
    c.metadata.insert("_nats.req.level".into(), "0".into());
    Ok(c)
}

pub fn consumer(mut c: ConsumerConfig, _stream: &StreamConfig) -> ConsumerConfig {
    if c.max_deliver == 0 {
        c.max_deliver = -1;
    }
    if c.ack_policy != AckPolicy::None {
        if c.ack_wait.is_zero() {
            c.ack_wait = Nanos(30_000_000_000);
        }
        if c.max_ack_pending == 0 {
            c.max_ack_pending = 1000;
        }
    }
    if c.deliver_subject.is_empty() && c.max_waiting == 0 {
        c.max_waiting = 512;
    }
    if c.durable_name.is_empty() && c.inactive_threshold.is_zero() {
        c.inactive_threshold = Nanos(5_000_000_000);
    }
    c.metadata.insert("_nats.req.level".into(), "0".into());
    c
}
