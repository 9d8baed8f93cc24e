//! A log out of its directory: recovered, flushed, and ready to serve.

use std::path::Path;
use std::{error, fmt, io};

use super::{Directory, Disk, OpenError, Standalone};
use crate::runtime::ring::Ladder;
use crate::storage::{
    Certainty, Damage, Health, KeyValue, Log, LogId, LogSettings, Poison, Recovery, Report,
    load_values,
};
use crate::types::Mono;

/// A log that is ready, and its files.
pub struct Started {
    pub log: Log,
    /// What streams wrote about themselves.
    pub values: Vec<KeyValue>,
    pub directory: Directory,
    pub report: Report,
}

/// Why a log cannot be served. `Display` names the path.
#[derive(Debug)]
pub enum StartError {
    Open(OpenError),
    /// What was recovered could not be flushed: it might be gone at the next start.
    Poisoned(Poison),
    Ring(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Poisoned(Poison { during, fault }) => write!(
                f,
                "the disk failed while the log was opened ({during:?}: {fault:?}): look into the \
                 kernel's messages, and replace it"
            ),
            Self::Ring(error) => write!(f, "io_uring failed: {error}"),
        }
    }
}

impl error::Error for StartError {}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Ring(error)
    }
}

impl Started {
    /// Opens and recovers a log. Blocks: only before the broker serves anyone.
    pub fn open(
        path: &Path,
        id: LogId,
        settings: LogSettings,
        buffered: bool,
        now: impl Fn() -> Mono,
    ) -> Result<Self, StartError> {
        let directory = Directory::open(path, buffered)?;
        let files = directory.files();
        let (mut log, report) = directory.recover(Recovery::new(id, settings, files));
        let mut standalone = Standalone::new(directory, Ladder::V5_10)?;
        while log.health() == Health::Starting {
            standalone.drive(&mut log, now())?;
        }
        let values = load_values(&mut log, |log| standalone.drive(log, now()).map(drop))?;
        while standalone.is_busy() {
            standalone.finish(&mut log, now())?;
        }
        if let Health::Poisoned(poison) = log.health() {
            return Err(StartError::Poisoned(poison));
        }
        let directory = standalone.into_directory();
        Ok(Self { log, values, directory, report })
    }

    /// A disk for the ring of the core that owns the log. `index`: of the log within its core.
    pub fn into_parts(self, index: usize) -> (Log, Vec<KeyValue>, Disk, Report) {
        // Socket operations have one of the two top bits set, and ignored ones are all zero.
        let tag = (index as u64 + 1) << 32;
        (self.log, self.values, Disk::new(self.directory, tag), self.report)
    }

    /// What the operator must know of the log, a line each.
    pub fn complaints(&self) -> Vec<String> {
        let id = self.log.id();
        self.report.damages.iter().map(|damage| describe(id, damage)).collect()
    }
}

fn describe(log: LogId, damage: &Damage) -> String {
    let Damage { certainty, segment, from, to, batches, streams } = damage;
    let what = match certainty {
        Certainty::Lost => "records that were acknowledged are lost",
        Certainty::PossiblyLost => "the end was cut short: nothing acknowledged, or damage",
    };
    let place = match from {
        0 => format!("segment {}", segment.0),
        _ => format!("segment {}, bytes {from} to {to}", segment.0),
    };
    let batches = batches
        .map_or(String::new(), |(first, last)| format!(", batches {} to {}", first.0, last.0));
    let nearby = match streams.as_slice() {
        [] => String::new(),
        streams => {
            let ids: Vec<_> = streams.iter().map(|stream| stream.0.to_string()).collect();
            format!("; streams nearby: {}", ids.join(", "))
        }
    };
    format!("log {}: {what}: {place}{batches}{nearby}", log.0)
}
