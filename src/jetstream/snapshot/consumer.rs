//! A consumer as snapshots carry it: its configuration, and how far it is.
//!
//! ```json
//! {"config":{…},"state":{"delivered":{"consumer_seq":2,"stream_seq":7},"ack_floor":{…},
//!  "pending":{"7":{"Sequence":2,"Timestamp":1795336504909619601}},"redelivered":{"7":1}}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::archive::read_number;
use crate::jetstream::config::{ConsumerConfig, Mode, parse};
use crate::types::time::SECOND;

/// Sequences of both kinds that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SequencePair {
    #[serde(default)]
    pub consumer_seq: u64,
    #[serde(default)]
    pub stream_seq: u64,
}

/// A message that was delivered and is not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PendingMessage {
    /// At the consumer, of its first delivery.
    pub sequence: u64,
    /// Of the last delivery, in nanoseconds since 1970: it is due an `ack_wait` later.
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConsumerProgress {
    /// The last message looked at.
    #[serde(default)]
    pub delivered: SequencePair,
    #[serde(default)]
    pub ack_floor: SequencePair,
    /// By stream sequence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<u64, PendingMessage>,
    /// Deliveries beyond the first, by stream sequence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub redelivered: BTreeMap<u64, u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ConsumerSnapshot {
    pub config: ConsumerConfig,
    #[serde(rename = "state")]
    pub progress: ConsumerProgress,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    state: Option<ConsumerProgress>,
}

impl ConsumerSnapshot {
    /// The error is a sentence about the consumer.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, String> {
        let read: Read<'_> = serde_json::from_slice(text)
            .map_err(|error| format!("failed to decode consumer {name:?} state: {error}"))?;
        let config = read.config.ok_or_else(|| format!("consumer {name:?} is missing config"))?;
        let config =
            parse(config.get().as_bytes(), Mode::Lenient, "ConsumerConfig").map_err(|error| {
                format!("failed to decode consumer {name:?}: {}", error.description)
            })?;
        let progress = read.state.ok_or_else(|| format!("consumer {name:?} is missing state"))?;
        Ok(Self { config, progress })
    }
}

/// The marks of a consumer's state in files of nats-server, and the version told apart here.
const MAGIC: u8 = 22;
const VERSION: u8 = 2;

impl ConsumerProgress {
    /// Reads `o.dat` of a snapshot made before 2.15.
    ///
    /// ```text
    /// magic 22 │ version 2 │ ack floor: consumer, stream │ delivered: consumer, stream
    /// │ number pending [│ base time, s │ each: stream and consumer sequence above the floor,
    ///   seconds before the base] │ number redelivered │ each: sequence above the floor, times
    /// ```
    /// Numbers are varints, times signed ones.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = bytes.strip_prefix(&[MAGIC, VERSION])?;
        let from = &mut from;
        let ack_floor = SequencePair { consumer_seq: number(from)?, stream_seq: number(from)? };
        let delivered = SequencePair { consumer_seq: number(from)?, stream_seq: number(from)? };
        let mut progress = Self { delivered, ack_floor, ..Self::default() };
        let count = number(from)?;
        let base = if count > 0 { signed(from)? } else { 0 };
        for _ in 0..count {
            let seq = ack_floor.stream_seq.checked_add(number(from)?)?;
            let sequence = ack_floor.consumer_seq.checked_add(number(from)?)?;
            let seconds = base.checked_sub(signed(from)?)?;
            let timestamp = seconds.saturating_mul(SECOND as i64);
            progress.pending.insert(seq, PendingMessage { sequence, timestamp });
        }
        for _ in 0..number(from)? {
            let seq = ack_floor.stream_seq.checked_add(number(from)?)?;
            progress.redelivered.insert(seq, number(from)?);
        }
        Some(progress)
    }
}

fn number(from: &mut &[u8]) -> Option<u64> {
    read_number(from).ok()?
}

fn signed(from: &mut &[u8]) -> Option<i64> {
    number(from).map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::json;

    #[test]
    fn what_is_written_is_read() {
        let config = ConsumerConfig { name: "c".into(), ..ConsumerConfig::default() };
        let delivered = SequencePair { consumer_seq: 2, stream_seq: 7 };
        let pending = [(7, PendingMessage { sequence: 2, timestamp: 5 })].into();
        let redelivered = [(7, 1)].into();
        let ack_floor = SequencePair::default();
        let progress = ConsumerProgress { delivered, ack_floor, pending, redelivered };
        let snapshot = ConsumerSnapshot { config, progress };
        let text = json::compact(&snapshot);
        assert_eq!(ConsumerSnapshot::parse("c", &text), Ok(snapshot));
        let text = String::from_utf8(text).unwrap();
        let state = r#""state":{"delivered":{"consumer_seq":2,"stream_seq":7},"ack_floor":{"consumer_seq":0,"stream_seq":0},"pending":{"7":{"Sequence":2,"Timestamp":5}},"redelivered":{"7":1}}}"#;
        assert!(text.ends_with(state), "{text}");
    }

    #[test]
    fn halves_are_refused() {
        for text in [r#"{"config":{}}"#, r#"{"state":{}}"#, "{", "[]"] {
            assert!(ConsumerSnapshot::parse("c", text.as_bytes()).is_err(), "{text}");
        }
    }
}
