//! What of a consumer's configuration is asked for all the time, in few bytes. The whole of it
//! is kept as JSON.

use super::super::config::{AckPolicy, ConsumerConfig, ReplayPolicy};
use super::super::filter::Filter;
use crate::types::Wall;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    pub ack: AckPolicy,
    pub replays_in_time: bool,
    pub headers_only: bool,
    /// Made by a mirror or a sourcing stream for itself; lists leave it out.
    pub is_direct: bool,
    /// Of 100 acknowledgements so many are told as a metric.
    pub sample_percent: u8,
    /// `u32::MAX`: without end.
    pub max_deliver: u32,
    /// `usize::MAX`: without limit.
    pub max_ack_pending: usize,
    /// Nanoseconds; 0: for ever.
    pub ack_wait: u64,
    /// Nanoseconds after the first, second, … delivery; the last one for all that follow.
    pub backoff: Box<[u64]>,
    /// Nanoseconds; 0: it stays however long nobody uses it.
    pub inactive_threshold: u64,
    /// Nothing is delivered before.
    pub pause_until: Wall,
}

impl Settings {
    pub fn of(config: &ConsumerConfig) -> Self {
        Self {
            ack: config.ack_policy,
            replays_in_time: config.replay_policy == ReplayPolicy::Original,
            headers_only: config.headers_only,
            is_direct: config.direct,
            sample_percent: sample_percent(&config.sample_freq),
            max_deliver: limit(config.max_deliver).unwrap_or(u32::MAX),
            max_ack_pending: limit(config.max_ack_pending).unwrap_or(usize::MAX),
            ack_wait: config.ack_wait.ns(),
            backoff: config.backoff.iter().map(|wait| wait.ns()).collect(),
            inactive_threshold: config.inactive_threshold.ns(),
            pause_until: config.pause_until.map_or(Wall(0), |until| until.wall()),
        }
    }

    /// Bytes.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.backoff.len() * 8
    }

    /// Nanoseconds until a message that was delivered so often is due again.
    pub fn wait(&self, deliveries: u32) -> u64 {
        let step = (deliveries.max(1) - 1) as usize;
        let wait = self.backoff.get(step).or(self.backoff.last()).copied().unwrap_or(self.ack_wait);
        if wait == 0 { u64::MAX } else { wait }
    }
}

/// What the config wants of the stream.
pub fn filter_of(config: &ConsumerConfig) -> Filter {
    let one = std::slice::from_ref(&config.filter_subject);
    let patterns = if config.filter_subject.is_empty() { &config.filter_subjects[..] } else { one };
    // The config's checks refuse what is no pattern.
    Filter::new(patterns).unwrap_or_default()
}

/// `None`: no limit, which is said with 0 or less.
fn limit<T: TryFrom<i64>>(value: i64) -> Option<T> {
    if value > 0 { T::try_from(value).ok() } else { None }
}

fn sample_percent(text: &str) -> u8 {
    let digits = text.strip_suffix('%').unwrap_or(text);
    digits.parse::<u8>().map_or(0, |percent| percent.min(100))
}

#[cfg(test)]
mod tests {
    use super::super::super::config::Nanos;
    use super::*;

    #[test]
    fn backoff_drives_the_waits() {
        let backoff = vec![Nanos(200), Nanos(400)];
        let config = ConsumerConfig { ack_wait: Nanos(200), backoff, ..ConsumerConfig::default() };
        let settings = Settings::of(&config);
        assert_eq!([1, 2, 3, 9].map(|deliveries| settings.wait(deliveries)), [200, 400, 400, 400]);
        let plain = ConsumerConfig { ack_wait: Nanos(30), ..ConsumerConfig::default() };
        assert_eq!(Settings::of(&plain).wait(7), 30);
        assert_eq!(Settings::of(&ConsumerConfig::default()).wait(1), u64::MAX);
    }

    #[test]
    fn samples_are_percents() {
        for (text, percent) in [("", 0), ("100", 100), ("100%", 100), ("7%", 7), ("x", 0)] {
            assert_eq!(sample_percent(text), percent, "{text}");
        }
    }
}
