//! The directory of all logs of a server: whose it is, and which logs are in it.
//!
//! ```text
//! <store_dir>/weft/weft.json    {"format":1,"logs":2}
//!                  lock         held by the server that uses it
//!                  log-0/ …     one directory per log
//! ```

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use serde::{Deserialize, Serialize};

use super::directory::lock;
use super::{Access, OpenError};
use crate::storage::LogId;

/// The format of what is in the directory; another one is refused.
const FORMAT: u32 = 1;
/// Our place in a store directory; the reference's is `jetstream`.
const OURS: &str = "weft";
const REFERENCE: &str = "jetstream";
const MARKER: &str = "weft.json";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Marker {
    format: u32,
    /// How many logs there are. Grows with the shards, and never shrinks.
    logs: u32,
}

/// Why a directory is not used. `Display` names the path and the remedy in one line.
#[derive(Debug)]
pub enum StoreError {
    /// nats-server keeps streams here.
    Reference(PathBuf),
    /// Written by another version of weft.
    Format {
        path: PathBuf,
        format: u32,
    },
    /// There are logs and no marker, or it cannot be read.
    NoMarker(PathBuf),
    /// The marker names a log that is not there.
    LogMissing(PathBuf),
    Open(OpenError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(path) => write!(
                f,
                "{} holds streams of nats-server, which are left alone: save them with `nats \
                 stream backup` from nats-server, start with another store_dir, and bring them in \
                 with `nats stream restore`",
                path.display()
            ),
            Self::Format { path, format } => write!(
                f,
                "{} has format {format}, this version reads format {FORMAT}: use the version of \
                 weft that wrote it, or another store_dir",
                path.display()
            ),
            Self::NoMarker(path) => write!(
                f,
                "{} is missing or damaged, but logs lie beside it: restore it from a copy, or \
                 write {{\"format\":{FORMAT},\"logs\":<number of log- directories>}} into it",
                path.display()
            ),
            Self::LogMissing(path) => write!(
                f,
                "{} is gone, and with it the streams it held: bring it back from where it was \
                 moved to or from a copy, or make an empty directory there to go on without them",
                path.display()
            ),
            Self::Open(error) => error.fmt(f),
        }
    }
}

impl error::Error for StoreError {}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// A store directory that is ours as long as this lives.
pub struct Store {
    path: PathBuf,
    access: Access,
    logs: u32,
    _lock: File,
}

impl Store {
    /// Takes a store directory, with a log for each of `shards` and all that were there before.
    /// `buffered`: the operator's choice.
    pub fn open(store_dir: &Path, shards: u32, buffered: bool) -> Result<Self, StoreError> {
        let path = store_dir.join(OURS);
        fs::create_dir_all(&path).map_err(|error| OpenError::of_making(&path, error))?;
        let lock = lock(&path)?;
        let access = Access::of(&path, buffered)?;
        let marker = read_marker(&path)?;
        let logs = marker.as_ref().map_or(0, |marker| marker.logs);
        if let Some(missing) = (0..logs).find(|&log| !log_path(&path, LogId(log)).is_dir()) {
            return Err(StoreError::LogMissing(log_path(&path, LogId(missing))));
        }
        let mut store = Self { path, access, logs, _lock: lock };
        if marker.is_none() || logs < shards {
            store.grow(shards).map_err(|error| io_error(&store.path, error))?;
        }
        Ok(store)
    }

    /// Where a server finds its logs, for the start line.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn access(&self) -> Access {
        self.access
    }

    /// Logs are numbered from 0.
    pub fn logs(&self) -> u32 {
        self.logs
    }

    pub fn log_path(&self, log: LogId) -> PathBuf {
        log_path(&self.path, log)
    }

    /// The directories come first: a marker never names one that is not there.
    fn grow(&mut self, logs: u32) -> io::Result<()> {
        for log in self.logs..logs {
            fs::create_dir_all(self.log_path(LogId(log)))?;
        }
        File::open(&self.path)?.sync_all()?;
        self.logs = self.logs.max(logs);
        self.write_marker()
    }

    fn write_marker(&self) -> io::Result<()> {
        let marker = Marker { format: FORMAT, logs: self.logs };
        let new = self.path.join("weft.json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&marker)?)?;
        file.sync_all()?;
        fs::rename(new, self.path.join(MARKER))?;
        File::open(&self.path)?.sync_all()
    }
}

fn io_error(path: &Path, error: io::Error) -> StoreError {
    StoreError::Open(OpenError::Io { path: path.into(), error })
}

fn log_path(path: &Path, log: LogId) -> PathBuf {
    path.join(format!("log-{}", log.0))
}

/// `None`: there has been no log yet.
fn read_marker(path: &Path) -> Result<Option<Marker>, StoreError> {
    let file = path.join(MARKER);
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A start may have ended before its marker was written; a log that was ever opened has
            // its lock.
            let has_logs =
                fs::read_dir(log_path(path, LogId(0))).is_ok_and(|mut log| log.next().is_some());
            return if has_logs { Err(StoreError::NoMarker(file)) } else { Ok(None) };
        }
        Err(error) => return Err(io_error(&file, error)),
    };
    match serde_json::from_slice::<Marker>(&bytes) {
        Ok(Marker { format, .. }) if format != FORMAT => {
            Err(StoreError::Format { path: file, format })
        }
        Ok(marker) => Ok(Some(marker)),
        Err(_) => Err(StoreError::NoMarker(file)),
    }
}

/// Refuses a directory below which nats-server keeps streams, be it its store directory or the
/// tree inside: `<account>/streams/<stream>/meta.inf`.
pub fn refuse_reference(store_dir: &Path) -> Result<(), StoreError> {
    let trees = [store_dir.join(REFERENCE), store_dir.into()];
    let found = trees.into_iter().find(|tree| holds_streams(tree));
    found.map_or(Ok(()), |tree| Err(StoreError::Reference(tree)))
}

fn holds_streams(tree: &Path) -> bool {
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    below(tree).any(|account| {
        below(&account.path().join("streams")).any(|stream| stream.path().join("meta.inf").exists())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, shards: u32) -> Result<Store, StoreError> {
        Store::open(path, shards, true)
    }

    fn logs_in(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path.join(OURS)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("log-")).collect();
        names.sort();
        names
    }

    #[test]
    fn logs_grow_with_the_shards_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        for (shards, logs) in [(1, 1), (4, 4), (3, 4), (5, 5)] {
            let store = open(directory.path(), shards).unwrap();
            assert_eq!(store.logs(), logs);
            assert_eq!(logs_in(directory.path()).len(), logs as usize);
        }
        let marker = fs::read_to_string(directory.path().join("weft/weft.json")).unwrap();
        assert_eq!(marker, r#"{"format":1,"logs":5}"#);
    }

    #[test]
    fn a_store_has_one_owner() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 1).unwrap();
        let refusal = open(directory.path(), 1).err().unwrap().to_string();
        assert!(refusal.contains("in use by another process"), "{refusal}");
        drop(store);
        open(directory.path(), 1).unwrap();
    }

    #[test]
    fn streams_of_the_reference_are_refused() {
        for tree in ["jetstream", "."] {
            let directory = tempfile::tempdir().unwrap();
            let stream = directory.path().join(tree).join("$G/streams/S");
            fs::create_dir_all(&stream).unwrap();
            fs::write(stream.join("meta.inf"), "{}").unwrap();
            let refusal = refuse_reference(directory.path()).unwrap_err().to_string();
            assert!(refusal.contains("nats stream backup"), "{refusal}");
        }
        // What nats-server leaves behind when it never stored anything.
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("jetstream")).unwrap();
        refuse_reference(directory.path()).unwrap();
    }

    #[test]
    fn what_is_not_as_it_was_left_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("weft/weft.json");
        drop(open(directory.path(), 2).unwrap());
        let refusal = |text: Option<&str>| {
            match text {
                Some(text) => fs::write(&marker, text).unwrap(),
                None => fs::remove_file(&marker).unwrap(),
            }
            open(directory.path(), 2).err().unwrap()
        };
        assert!(matches!(refusal(Some("{}")), StoreError::NoMarker(_)));
        fs::write(directory.path().join("weft/log-0/1.log"), "").unwrap();
        assert!(matches!(refusal(None), StoreError::NoMarker(_)));
        let other = refusal(Some(r#"{"format":2,"logs":2}"#));
        assert!(matches!(other, StoreError::Format { format: 2, .. }));
        assert!(matches!(refusal(Some(r#"{"format":1,"logs":3}"#)), StoreError::LogMissing(_)));
    }

    #[test]
    fn a_start_that_was_cut_short_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("weft/log-0")).unwrap();
        drop(open(directory.path(), 1).unwrap());
        fs::create_dir(directory.path().join("weft/log-1")).unwrap();
        assert_eq!(open(directory.path(), 2).unwrap().logs(), 2);
    }
}
