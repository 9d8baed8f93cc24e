//! The directory of a log: who may use it, which files are in it, how they are opened.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{error, fmt};

use crate::storage::{BLOCK, Buffer, IoFault, Log, Recovery, Report, SlotFile, SlotId, Step};

const EIO: i32 = 5;

/// How files are read and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// O_DIRECT: what is written is at the device.
    Direct,
    /// Through the page cache: on tmpfs, or because the operator chose it by name.
    Buffered,
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// Another process holds the lock.
    InUse(PathBuf),
    /// The file system refuses O_DIRECT, and buffered access was not asked for.
    NoDirectIo {
        path: PathBuf,
        filesystem: String,
    },
    /// Its path, or one above it, names a file.
    NotADirectory(PathBuf),
    Io {
        path: PathBuf,
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(
                    f,
                    "{} is in use by another process: stop it, or start with another store_dir",
                    path.display()
                )
            }
            Self::NoDirectIo { path, filesystem } => write!(
                f,
                "{} is on {filesystem}, which refuses direct I/O: use ext4 or xfs, or choose \
                 buffered I/O with weft {{ jetstream_io: buffered }}",
                path.display()
            ),
            Self::NotADirectory(path) => {
                write!(f, "storage directory is not a directory: {}", path.display())
            }
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl error::Error for OpenError {}

impl OpenError {
    /// Of making a directory.
    pub(super) fn of_making(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                Self::NotADirectory(path.into())
            }
            _ => Self::Io { path: path.into(), error },
        }
    }
}

pub struct Directory {
    path: PathBuf,
    handle: File,
    /// Held as long as the directory is.
    _lock: File,
    access: Access,
    slots: BTreeMap<SlotId, File>,
}

impl Directory {
    /// Opens or makes a log's directory and takes its lock. `buffered`: the operator's choice.
    pub fn open(path: &Path, buffered: bool) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io { path: path.into(), error };
        fs::create_dir_all(path).map_err(|error| OpenError::of_making(path, error))?;
        let lock = lock(path)?;
        let access = Access::of(path, buffered)?;
        let handle = File::open(path).map_err(failed)?;
        let mut directory =
            Self { path: path.into(), handle, _lock: lock, access, slots: BTreeMap::new() };
        directory.open_slots().map_err(failed)?;
        Ok(directory)
    }

    pub fn access(&self) -> Access {
        self.access
    }

    fn open_slots(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let Some(slot) = name.to_str().and_then(slot_of) else { continue };
            let file = self.options().open(self.path.join(&name))?;
            self.slots.insert(slot, file);
        }
        Ok(())
    }

    fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if self.access == Access::Direct {
            options.custom_flags(libc::O_DIRECT);
        }
        options
    }

    /// The files, for recovery. One that is larger than a segment can be is no slot of ours.
    pub fn files(&self) -> Vec<SlotFile> {
        let len =
            |file: &File| file.metadata().ok().and_then(|data| u32::try_from(data.len()).ok());
        self.slots
            .iter()
            .filter_map(|(slot, file)| Some(SlotFile { slot: *slot, len: len(file)? }))
            .collect()
    }

    /// Reads everything recovery asks for. Blocks: only before the broker serves anyone.
    pub fn recover(&self, mut recovery: Recovery) -> (Log, Report) {
        let mut buffer = Buffer::new();
        while let Step::Read { slot, offset, len } = recovery.step() {
            buffer.resize(len as usize, 0);
            let read = self.slots.get(&slot).map(|file| {
                file.read_exact_at(&mut buffer, u64::from(offset))
                    .map_err(|error| IoFault::Failed(error.raw_os_error().unwrap_or(EIO)))
            });
            match read {
                Some(Ok(())) => recovery.on_read(Ok(&buffer)),
                Some(Err(fault)) => recovery.on_read(Err(fault)),
                None => recovery.on_read(Err(IoFault::Failed(EIO))),
            }
        }
        recovery.finish()
    }

    pub(super) fn handle(&self) -> RawFd {
        self.handle.as_raw_fd()
    }

    pub(super) fn slot(&self, slot: SlotId) -> Option<RawFd> {
        self.slots.get(&slot).map(AsRawFd::as_raw_fd)
    }

    /// Makes an empty file. A system call on the core's thread, once per segment.
    pub(super) fn create(&mut self, slot: SlotId) -> io::Result<RawFd> {
        let file = self.options().create(true).truncate(true).open(self.name(slot))?;
        let fd = file.as_raw_fd();
        self.slots.insert(slot, file);
        Ok(fd)
    }

    /// Deletes a file. What cannot be deleted is found again, and ignored, at the next start.
    pub(super) fn delete(&mut self, slot: SlotId) {
        self.slots.remove(&slot);
        if let Err(error) = fs::remove_file(self.name(slot)) {
            let path = self.name(slot);
            tracing::warn!("{}: a retired segment's file stays: {error}", path.display());
        }
    }

    fn name(&self, slot: SlotId) -> PathBuf {
        self.path.join(format!("{:08}.log", slot.0))
    }
}

fn slot_of(name: &str) -> Option<SlotId> {
    let number = name.strip_suffix(".log")?;
    number.parse().ok().map(SlotId)
}

impl Access {
    /// Direct, unless the file system is memory or the operator chose otherwise.
    pub fn of(path: &Path, buffered: bool) -> Result<Self, OpenError> {
        let filesystem = filesystem_of(path);
        if buffered || filesystem == "tmpfs" {
            return Ok(Self::Buffered);
        }
        match probe(path) {
            Ok(()) => Ok(Self::Direct),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Err(OpenError::NoDirectIo { path: path.into(), filesystem })
            }
            Err(error) => Err(OpenError::Io { path: path.into(), error }),
        }
    }
}

/// Takes the lock of a directory, until the file is dropped.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Io { path: path.into(), error };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(path.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.into())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Whether a file here can be written directly.
fn probe(path: &Path) -> io::Result<()> {
    let probe = path.join("probe");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let result = options.open(&probe).and_then(|file| {
        let mut block = Buffer::new();
        block.resize(BLOCK, 0);
        file.write_all_at(&block, 0)
    });
    // It is made anew by the next probe.
    let _ = fs::remove_file(&probe);
    result
}

/// The file system's type, as the kernel's mount table tells it.
pub fn filesystem_of(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.into());
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        path.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    // Of mounts on one point the last counts.
    mounts.max_by_key(|(len, _)| *len).map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}
