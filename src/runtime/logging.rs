//! Log lines exactly as the reference prints them, to stderr or a file that rotates.
//!
//! `[pid] 2026/11/21 22:38:30.212766 [INF] text`, of an event's message and nothing else; with
//! the field `fatal = true` it is `[FTL]`. A level that is off costs the one load that tracing's
//! macros do; a line that is printed takes a lock and a `write`, which shards do rarely.

mod file;

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use crate::config::options::LogOptions;
use file::LogFile;

#[expect(clippy::disallowed_types, reason = "any thread may log, and none does per message")]
type Mutex<T> = std::sync::Mutex<T>;
type MutexGuard<'a, T> = std::sync::MutexGuard<'a, T>;

/// Where lines go, and which. Clones share it.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

struct Shared {
    /// [`Style`] as bits.
    style: AtomicU8,
    /// `None`: stderr.
    file: Mutex<Option<LogFile>>,
}

impl Logger {
    /// Opens the log file, if there is one, and takes all events of the process from now on.
    /// Call it once.
    pub fn install(options: &LogOptions) -> io::Result<Self> {
        let logger = Self::new(options)?;
        let subscriber = tracing_subscriber::registry().with(logger.layer());
        // A second call keeps the first logger, which only tests can come to.
        let _ = tracing::subscriber::set_global_default(subscriber);
        Ok(logger)
    }

    fn new(options: &LogOptions) -> io::Result<Self> {
        let file = LogFile::open_configured(options)?;
        let style = AtomicU8::new(Style::of(options).0);
        Ok(Self(Arc::new(Shared { style, file: Mutex::new(file) })))
    }

    fn layer<S: Subscriber>(&self) -> impl Layer<S> + use<S> {
        LogLayer(self.clone())
    }

    /// Takes over what a reload may change: levels, the form of time, the file. If the file
    /// cannot be opened nothing changes.
    pub fn apply(&self, options: &LogOptions) -> io::Result<()> {
        {
            let mut file = self.file();
            if file.as_ref().map(LogFile::path) != options.file.as_deref() {
                *file = LogFile::open_configured(options)?;
            }
        }
        self.0.style.store(Style::of(options).0, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    /// SIGUSR1: goes on in a new file of the same name, after somebody moved the old one.
    pub fn reopen(&self) {
        let style = self.style();
        let mut file = self.file();
        let line = match file.as_mut().map(LogFile::reopen) {
            Some(Ok(())) => style.line("INF", "File log re-opened"),
            Some(Err(error)) => style.line("ERR", &format!("File log re-open failed: {error}")),
            None => style.line("INF", "File log re-open ignored, not a file logger"),
        };
        write(&mut file, style, &line);
    }

    fn print(&self, tag: &str, text: &str) {
        let style = self.style();
        let line = style.line(tag, text);
        write(&mut self.file(), style, &line);
    }

    fn style(&self) -> Style {
        Style(self.0.style.load(Ordering::Relaxed))
    }

    fn file(&self) -> MutexGuard<'_, Option<LogFile>> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(file: &mut Option<LogFile>, style: Style, line: &str) {
    match file {
        Some(file) => file.write(line, style),
        // A log that cannot be written has nowhere to say so.
        None => drop(io::Write::write_all(&mut io::stderr().lock(), line.as_bytes())),
    }
}

/// What is printed and how the line begins.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Style(u8);

impl Style {
    const DEBUG: u8 = 1;
    const TRACE: u8 = 2;
    const TIME: u8 = 4;
    const UTC: u8 = 8;

    fn of(options: &LogOptions) -> Self {
        let bits = [
            (options.debug, Self::DEBUG),
            (options.trace, Self::TRACE),
            (options.logtime, Self::TIME),
            (options.logtime_utc, Self::UTC),
        ];
        Self(bits.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum())
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Debug and trace are switched one by one: tracing does not bring debug lines. Libraries
    /// get a word only when something is wrong.
    fn wants(self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        let is_ours = metadata.target().split("::").next() == Some("weft");
        match level {
            Level::DEBUG => is_ours && self.has(Self::DEBUG),
            Level::TRACE => is_ours && self.has(Self::TRACE),
            Level::INFO => is_ours,
            _ => true,
        }
    }

    /// A whole line with its line break.
    fn line(self, tag: &str, text: &str) -> String {
        const TIME: &str = "%Y/%m/%d %H:%M:%S%.6f";
        let mut line = format!("[{}] ", std::process::id());
        let time = match (self.has(Self::TIME), self.has(Self::UTC)) {
            (false, _) => None,
            (true, true) => Some(chrono::Utc::now().format(TIME)),
            (true, false) => Some(chrono::Local::now().format(TIME)),
        };
        if let Some(time) = time {
            // Writing to a String does not fail, and the format is a good one.
            let _ = write!(line, "{time} ");
        }
        let _ = writeln!(line, "[{tag}] {text}");
        line
    }
}

struct LogLayer(Logger);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked again by `rebuild_interest_cache`.
        if self.0.style().wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.style().wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let style = self.0.style();
        Some(match (style.has(Style::TRACE), style.has(Style::DEBUG)) {
            (true, _) => LevelFilter::TRACE,
            (false, true) => LevelFilter::DEBUG,
            (false, false) => LevelFilter::INFO,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let tag = match *event.metadata().level() {
            _ if message.fatal => "FTL",
            Level::ERROR => "ERR",
            Level::WARN => "WRN",
            Level::INFO => "INF",
            Level::DEBUG => "DBG",
            Level::TRACE => "TRC",
        };
        self.0.print(tag, &message.text);
    }
}

#[derive(Default)]
struct Message {
    text: String,
    fatal: bool,
}

impl Visit for Message {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "fatal" {
            self.fatal = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.text, "{value:?}");
        }
    }
}
