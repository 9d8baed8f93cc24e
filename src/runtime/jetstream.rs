//! JetStream's start on this machine: what it may use, whose directory it is, how fast the disk is.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tracing::{info, warn};

use super::clock::Clock;
use super::disk::{
    Access, Disk, DiskCheck, OpenError, Started, Store, StoreError, filesystem_of, refuse_reference,
};
use crate::config::Options;
use crate::config::options::{JetStreamIo, Sync};
use crate::jetstream::{API_LEVEL, Seed, Site};
use crate::monitor::{DiskFacts, DiskSpeed, JetStreamFacts};
use crate::storage::{LogId, LogSettings, Report, SyncMode};
use crate::types::ShardId;
use crate::types::limits::{DISK_QUALIFY_NS_MAX, TEMPORARY_STORES_MAX};

/// What the operator asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// `None`: a directory that a reboot may empty.
    pub store_dir: Option<PathBuf>,
    /// Bytes. `None`: three quarters of the machine's.
    pub max_memory: Option<u64>,
    /// Bytes. `None`: three quarters of what is free below the store directory.
    pub max_storage: Option<u64>,
    pub strict: bool,
    /// Files go through the page cache.
    pub buffered: bool,
    pub log: LogSettings,
}

impl Wanted {
    /// `None`: JetStream is off. `hash_seed`: known to no client.
    pub fn of(options: &Options, hash_seed: u64) -> Option<Self> {
        let jetstream = options.jetstream.as_ref()?;
        let sync = match jetstream.sync {
            Sync::Always => SyncMode::Always,
            Sync::Every(interval) => SyncMode::Every(interval.as_nanos() as u64),
        };
        Some(Self {
            store_dir: options.store_dir.clone(),
            max_memory: jetstream.max_memory_bytes,
            max_storage: jetstream.max_file_bytes,
            strict: jetstream.strict,
            buffered: options.weft.jetstream_io == JetStreamIo::Buffered,
            log: LogSettings {
                sync,
                hash_seed,
                read_cache_bytes: options.weft.read_cache_bytes,
                ..LogSettings::default()
            },
        })
    }
}

impl Wanted {
    fn open_store(&self, shards: u32) -> Result<Store, StoreError> {
        if let Some(store_dir) = &self.store_dir {
            refuse_reference(store_dir)?;
            return Store::open(store_dir, shards, self.buffered);
        }
        warn!("Temporary storage directory used, data could be lost on system reboot");
        let store_dir = std::env::temp_dir().join(STORE_DIR);
        if let Err(refusal) = refuse_reference(&store_dir) {
            // Nobody chose it for them or for us: both can live there.
            warn!("{refusal}");
        }
        // Nobody chose the directory: servers that run at once get one each, the first that is free.
        let mut opened = Store::open(&store_dir, shards, self.buffered);
        for other in 2..=TEMPORARY_STORES_MAX {
            if !matches!(opened, Err(StoreError::Open(OpenError::InUse(_)))) {
                break;
            }
            opened = Store::open(&store_dir.join(other.to_string()), shards, self.buffered);
        }
        opened
    }
}

/// JetStream of all cores: what each starts its part from.
pub struct Plan {
    /// Ours until the server has ended.
    store: Store,
    buffered: bool,
    log: LogSettings,
    site: Arc<Site>,
    disk: DiskFacts,
    /// Measures the disk; waited for before the store is let go.
    measuring: Option<JoinHandle<()>>,
}

/// Below the directory for temporary files, where nobody named a store: the reference's.
const STORE_DIR: &str = "nats";
/// For bytes where the kernel does not tell.
const STORAGE_BYTES: u64 = 1 << 40;

impl Plan {
    /// Takes the store directory and says what was found. The error is one line for people.
    /// What nobody limited is limited in the site's options by what the machine has.
    pub fn new(
        wanted: &Wanted,
        shards: usize,
        mut site: Site,
        clock: Clock,
    ) -> Result<Self, String> {
        let refused = |fault: &dyn std::fmt::Display| format!("Can't start JetStream: {fault}");
        info!("Starting JetStream");
        let shards = u32::try_from(shards).expect("at most SHARDS_MAX");
        let store = wanted.open_store(shards).map_err(|e| refused(&e))?;
        let max_memory = wanted.max_memory.unwrap_or_else(|| three_quarters(memory_bytes()));
        let max_storage = wanted.max_storage.unwrap_or_else(|| three_quarters(free_bytes(&store)));
        site.options.max_memory_bytes = Some(max_memory);
        site.options.max_file_bytes = Some(max_storage);
        say_limits(wanted, &store, max_memory, max_storage);
        warn_of_cache(&store);
        let disk = DiskFacts {
            filesystem: filesystem_of(store.path()),
            is_direct: store.access() == Access::Direct,
            speed: Arc::default(),
        };
        let measuring = Some(measure(&store, wanted.buffered, clock, Arc::clone(&disk.speed)));
        let site = Arc::new(site);
        Ok(Self { store, buffered: wanted.buffered, log: wanted.log, site, disk, measuring })
    }

    /// For the monitoring pages.
    pub fn facts(&self) -> JetStreamFacts {
        JetStreamFacts {
            options: self.site.options.clone(),
            store_dir: self.store.path().display().to_string(),
            disk: self.disk.clone(),
        }
    }

    /// Opens and recovers the logs of a shard, on its thread. The error is one line for people.
    pub fn start(&self, shard: ShardId, shards: usize, clock: Clock) -> Result<Part, String> {
        let seed =
            Seed { site: Arc::clone(&self.site), shards, logs: Vec::new(), values: Vec::new() };
        let mut part = Part { disks: Vec::new(), seed, reports: Vec::new() };
        for id in (shard.index() as u32..self.store.logs()).step_by(shards).map(LogId) {
            let path = self.store.log_path(id);
            let started = Started::open(&path, id, self.log, self.buffered, || clock.mono())
                .map_err(|fault| format!("Can't start JetStream: {}: {fault}", path.display()))?;
            started.complaints().iter().for_each(|text| warn!("{text}"));
            let (log, values, disk, report) = started.into_parts(part.disks.len());
            part.reports.push(report);
            part.seed.logs.push(log);
            part.seed.values.push(values);
            part.disks.push(disk);
        }
        Ok(part)
    }
}

/// What a core starts with.
pub struct Part {
    /// In the order of the seed's logs.
    pub disks: Vec<Disk>,
    pub seed: Seed,
    /// What recovery found, by log.
    pub reports: Vec<Report>,
}

fn say_limits(wanted: &Wanted, store: &Store, max_memory: u64, max_storage: u64) {
    info!("---------------- JETSTREAM ----------------");
    info!("  Strict:          {}", wanted.strict);
    info!("  Max Memory:      {}", friendly(max_memory));
    info!("  Max Storage:     {}", friendly(max_storage));
    info!("  Store Directory: {:?}", store.path());
    info!("  API Level:       {API_LEVEL}");
    info!("-------------------------------------------");
}

fn warn_of_cache(store: &Store) {
    let (path, filesystem) = (store.path(), filesystem_of(store.path()));
    if filesystem == "tmpfs" {
        warn!(
            "{} is on tmpfs: a reboot empties it, acks do not survive a power cut",
            path.display()
        );
    } else if store.access() == Access::Buffered {
        warn!("{} on {filesystem} is used through the page cache, by choice", path.display());
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        if let Some(measuring) = self.measuring.take() {
            let _ = measuring.join();
        }
    }
}

/// How long a flushed write takes here, in a directory of its own; nobody's start waits for it.
fn measure(
    store: &Store,
    buffered: bool,
    clock: Clock,
    speed: Arc<OnceLock<DiskSpeed>>,
) -> JoinHandle<()> {
    let path = store.path().join("check");
    std::thread::spawn(move || {
        let time = || Duration::from_nanos(clock.mono().0);
        let budget = Duration::from_nanos(DISK_QUALIFY_NS_MAX);
        let check = DiskCheck::brief(&path, buffered, budget, time);
        // Found again, and used again, at the next start.
        let _ = fs::remove_dir_all(&path);
        let check = match check {
            Ok(check) => check,
            Err(fault) => return warn!("{}: the disk is not measured: {fault}", path.display()),
        };
        let (half, all) = (check.at(0.5), check.at(1.0));
        let (bytes, rounds) = (check.bytes, check.rounds());
        info!("Disk: a flushed write of {bytes} bytes takes {half:?}, at most {all:?} of {rounds}");
        let _ = speed.set(DiskSpeed {
            write_bytes: bytes,
            writes: rounds,
            p50_ns: half.as_nanos() as u64,
            max_ns: all.as_nanos() as u64,
        });
    })
}

fn three_quarters(bytes: u64) -> u64 {
    bytes / 4 * 3
}

/// Of the machine.
fn memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn free_bytes(store: &Store) -> u64 {
    statvfs(store.path())
        .map_or(STORAGE_BYTES, |found| found.blocks_available() * found.fragment_size())
}

/// As the reference prints bytes: `17.66 GB` are 1024³ of them.
fn friendly(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let steps = bytes.ilog2() / 10;
    let unit = ["K", "M", "G", "T", "P", "E"][steps as usize - 1];
    format!("{:.2} {unit}B", bytes as f64 / (1u64 << (10 * steps)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_printed_as_the_reference_does() {
        assert_eq!(friendly(512), "512 B");
        assert_eq!(friendly(1024), "1.00 KB");
        assert_eq!(friendly(1_000_000_000), "953.67 MB");
        assert_eq!(friendly(2_000_000_000), "1.86 GB");
        assert_eq!(friendly(u64::MAX), "16.00 EB");
    }

    #[test]
    fn the_machine_tells_its_size() {
        assert!(memory_bytes() > 1 << 20);
    }
}
