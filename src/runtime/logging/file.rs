//! The log file: rotation at a size limit, removal of old backups.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::Style;
use crate::config::options::LogOptions;
use crate::types::limits::LOG_BACKUPS_MAX;

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    /// The next rotation. After a failed one it moves away by the limit.
    rotate_at_bytes: u64,
    /// `None`: never rotated.
    limit_bytes: Option<u64>,
    /// Files kept, this one included.
    max_files: Option<u32>,
}

impl LogFile {
    /// `None`: no file is configured.
    pub fn open_configured(options: &LogOptions) -> io::Result<Option<Self>> {
        let Some(path) = &options.file else { return Ok(None) };
        let (file, size_bytes) = open(path)?;
        Ok(Some(Self {
            path: path.clone(),
            file,
            size_bytes,
            rotate_at_bytes: options.size_limit_bytes.unwrap_or(u64::MAX),
            limit_bytes: options.size_limit_bytes,
            max_files: options.max_files,
        }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size_bytes) = open(&self.path)?;
        self.rotate_at_bytes = self.limit_bytes.unwrap_or(u64::MAX);
        Ok(())
    }

    /// Writes a line, then rotates if that made the file too large.
    pub fn write(&mut self, line: &str, style: Style) {
        self.append(line);
        if self.size_bytes <= self.rotate_at_bytes {
            return;
        }
        match self.rotate(style) {
            Ok(backup) => {
                let text =
                    format!("Rotated log, backup saved as {:?}", backup.display().to_string());
                self.append(&style.line("INF", &text));
                self.purge(style);
            }
            Err(error) => {
                let step = self.limit_bytes.unwrap_or(u64::MAX);
                self.rotate_at_bytes = self.size_bytes.saturating_add(step);
                let text = format!(
                    "Unable to rotate the log ({error}), will attempt next rotation at size {}",
                    self.rotate_at_bytes
                );
                self.append(&style.line("ERR", &text));
            }
        }
    }

    fn append(&mut self, line: &str) {
        // A full disk loses lines; there is nowhere else to say so.
        if self.file.write_all(line.as_bytes()).is_ok() {
            self.size_bytes = self.size_bytes.saturating_add(line.len() as u64);
        }
    }

    fn rotate(&mut self, style: Style) -> io::Result<PathBuf> {
        const STAMP: &str = "%Y.%m.%d.%H.%M.%S.%f";
        let stamp = if style.has(Style::UTC) {
            chrono::Utc::now().format(STAMP).to_string()
        } else {
            chrono::Local::now().format(STAMP).to_string()
        };
        let mut backup = self.path.clone().into_os_string();
        backup.push(".");
        backup.push(stamp);
        let backup = PathBuf::from(backup);
        fs::rename(&self.path, &backup)?;
        self.reopen()?;
        Ok(backup)
    }

    /// Removes the oldest backups beyond `max_files`. Their names sort by time.
    fn purge(&mut self, style: Style) {
        let Some(max_files) = self.max_files else { return };
        let kept = (max_files as usize).saturating_sub(1);
        let mut backups = self.backups();
        backups.sort_unstable();
        let purged = backups.len().saturating_sub(kept);
        for name in &backups[..purged] {
            let path = self.path.with_file_name(name);
            let line = match fs::remove_file(&path) {
                Ok(()) => style.line("INF", &format!("Purged log file {name:?}")),
                Err(error) => {
                    style.line("ERR", &format!("Unable to purge log file {name:?}: {error}"))
                }
            };
            self.append(&line);
        }
    }

    /// Names of our own making beside the log file: `<file>.` and a time.
    fn backups(&self) -> Vec<String> {
        let Some(own) = self.path.file_name().and_then(|name| name.to_str()) else {
            return Vec::new();
        };
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let is_backup = |name: &String| {
            let stamp = name.strip_prefix(own).and_then(|rest| rest.strip_prefix('.'));
            stamp.is_some_and(|stamp| {
                stamp.len() == "2026.11.22.01.28.44.757543700".len()
                    && stamp.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            })
        };
        names.filter(is_backup).take(LOG_BACKUPS_MAX).collect()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let size_bytes = file.metadata()?.len();
    Ok((file, size_bytes))
}
