//! A consumer as snapshots carry it: its configuration, and how far it is.
//!
//! ```json
//! {"config":{…},"state":{"delivered":{"consumer_seq":2,"stream_seq":7},"ack_floor":{…},
//!  "pending":{"7":{"Sequence":2,"Timestamp":1795336504909619601}},"redelivered":{"7":1}}}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::jetstream::config::{ConsumerConfig, Mode, parse};

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
