//! What of a stream is in the log beside its messages: the value of the key `s`.
//!
//! ```text
//! version 1 │ created, ns u64 │ length of the account's name u16 │ name │ configuration, JSON
//! ```

use super::Stream;
use crate::jetstream::config::{Mode, Storage, StreamConfig};
use crate::jetstream::context::Context;
use crate::storage::{Refusal, Urgency};
use crate::types::{Wall, json};

/// The key of the record among the stream's keys in the log.
pub const KEY: &[u8] = b"s";
const VERSION: u8 = 1;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamRecord {
    pub created: Wall,
    /// The name of the account.
    pub account: Box<str>,
    pub config: StreamConfig,
    /// Positions of its sources, which the log has under a key of their own; empty: none.
    pub drawn: Vec<u8>,
}

/// These bytes are no record of this version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordError(pub String);

impl StreamRecord {
    pub fn encode(created: Wall, account: &str, config: &StreamConfig) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&created.0.to_le_bytes());
        let len = u16::try_from(account.len()).expect("names of accounts are short");
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(account.as_bytes());
        bytes.extend(json::compact(config));
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let cut = || RecordError("the record is too short".into());
        let (&version, rest) = bytes.split_first().ok_or_else(cut)?;
        if version != VERSION {
            return Err(RecordError(format!("version {version} of the record is unknown")));
        }
        let (created, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let (len, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let len = usize::from(u16::from_le_bytes(*len));
        let (account, config) = rest.split_at_checked(len).ok_or_else(cut)?;
        let account = std::str::from_utf8(account)
            .map_err(|_| RecordError("the account's name is not text".into()))?;
        if config.is_empty() {
            return Err(cut());
        }
        let config = StreamConfig::parse(config, Mode::Lenient)
            .map_err(|error| RecordError(error.description.into()))?;
        Ok(Self {
            created: Wall(u64::from_le_bytes(*created)),
            account: account.into(),
            config,
            drawn: Vec::new(),
        })
    }
}

impl Stream {
    /// Writes the record as it is now; streams in memory have none.
    pub(in crate::jetstream) fn write_record(
        &mut self,
        ctx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        if self.config.storage == Storage::Memory {
            return Ok(());
        }
        let record = StreamRecord::encode(self.created, &self.account_name, &self.config);
        let log = ctx.log.as_deref_mut().ok_or(Refusal::NotFound)?;
        self.appended = log.put_state(self.id, KEY, &record, Urgency::Now, ctx.now.mono)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let config = StreamConfig {
            name: "ORDERS".into(),
            subjects: vec!["o.>".into()],
            ..StreamConfig::default()
        };
        let bytes = StreamRecord::encode(Wall(7), "$G", &config);
        let record =
            StreamRecord { created: Wall(7), account: "$G".into(), config, drawn: Vec::new() };
        assert_eq!(StreamRecord::decode(&bytes), Ok(record));
    }

    #[test]
    fn any_bytes_are_refused_or_read() {
        let bytes = StreamRecord::encode(Wall(7), "$G", &StreamConfig::default());
        for len in 0..bytes.len() {
            assert!(StreamRecord::decode(&bytes[..len]).is_err(), "{len}");
        }
        assert!(StreamRecord::decode(&[2, 0, 0]).is_err());
    }
}
