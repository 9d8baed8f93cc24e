//! The typed options: plain data with defaults, filled from a parsed file and from flags.
//!
//! Reading refuses what is wrong by itself; [`Options::validate`] what is wrong together, which
//! the reference does at start but not under `-t` (facts: config-and-ops §1, §5).

mod address;
mod authorization;
mod field;
mod jetstream;
mod keys;
mod permissions;
mod validate;
mod weft;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use address::{Listen, Port};
pub use authorization::Authorization;
pub(crate) use jetstream::DUPLICATE_STORE_DIR;
pub use jetstream::{BatchLimits, JetStream, JetStreamLimits, Sync};
pub use weft::{CoreSet, JetStreamIo, Placement, RingFeatures, Spin, WeftOptions};

use super::ConfigError;
use super::file::{self, Surroundings};
use validate::conflict;

/// Everything an operator can set. `Default` is a server without file and flags.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// `-c`: where the rest came from, and what SIGHUP reads again.
    pub config_file: Option<PathBuf>,
    /// `sha256:…` of what the file says; `None` without a file.
    pub config_digest: Option<String>,

    /// `listen`, `host` (`net`), `port`. Default `0.0.0.0:4222`.
    pub listen: Listen,
    /// `host:port` or `host` told to clients in place of our own. See
    /// [`Options::client_advertise_address`].
    pub client_advertise: Option<String>,
    /// Default: the server's id.
    pub server_name: Option<String>,
    /// Lower case, trimmed, each once.
    pub server_tags: Vec<String>,
    pub server_metadata: BTreeMap<String, String>,
    /// `false`: INFO says `headers:false` and HPUB is refused. Set by `no_header_support`.
    pub headers: bool,

    pub limits: Limits,

    /// Default 2 minutes, as for zero.
    pub ping_interval: Duration,
    /// Unanswered pings before a connection is stale. Default 2.
    pub ping_max: u32,
    /// Default 10 seconds.
    pub write_deadline: Duration,
    pub write_timeout: WriteTimeout,
    /// Default 2 minutes, at least 30 seconds.
    pub lame_duck_duration: Duration,
    /// Default 10 seconds, less than the duration.
    pub lame_duck_grace_period: Duration,

    /// A fast producer is never stalled for a slow subscriber; that one misses messages instead.
    pub no_fast_producer_stall: bool,
    /// Fan-out is matched anew for each message.
    pub disable_sublist_cache: bool,
    /// Failed route, gateway and leafnode connects between two log lines: first ones (default
    /// 3600) and repeated ones (default 1). There are none of these connections, so nothing
    /// obeys them yet; they are checked, shown and reloadable.
    pub connect_error_reports: u32,
    pub reconnect_error_reports: u32,
    /// Unknown names are kept. Ask with [`Options::feature`].
    pub feature_flags: BTreeMap<String, bool>,

    /// `authorization`, `no_auth_user`. Default: everybody may connect.
    pub authorization: Authorization,

    pub log: LogOptions,
    /// Default: none.
    pub pid_file: Option<PathBuf>,
    pub ports_file_dir: Option<PathBuf>,

    /// `http`, `http_port` (`monitor_port`). Without a host it listens where clients connect.
    /// Default: no monitoring.
    pub http: Option<Monitor>,
    /// Put before every monitoring path, as written. Default empty.
    pub http_base_path: String,

    /// `None`: JetStream is off, the default.
    pub jetstream: Option<JetStream>,
    /// `store_dir` (`storedir`), here or in the block `jetstream`: streams are kept in `weft`
    /// below it. Default: `nats` in the directory for temporary files.
    pub store_dir: Option<PathBuf>,

    pub weft: WeftOptions,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Clients at a time; 0 lets nobody in. Default 65536.
    pub max_connections: u32,
    /// Bytes of a protocol line. Default 4096.
    pub max_control_line: usize,
    /// Bytes of headers and payload. Default 1 MiB.
    pub max_payload: usize,
    /// Bytes owed to one connection. Default 64 MiB.
    pub max_pending: usize,
    /// Per connection. Default `None`: no limit.
    pub max_subscriptions: Option<usize>,
    /// Tokens of a subscription's subject. Default `None`: no limit.
    pub max_sub_tokens: Option<u8>,
    /// Closed connections kept for `/connz?state=closed`. Default 10000.
    pub max_closed_clients: usize,
}

/// What an expired `write_deadline` does to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WriteTimeout {
    /// The choice for the kind of connection; for clients [`WriteTimeout::Close`].
    #[default]
    Default,
    Close,
    /// Keep the connection as long as its client takes something within each deadline.
    Retry,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    pub debug: bool,
    /// Also set by the two below.
    pub trace: bool,
    /// Traces also what the server itself publishes.
    pub trace_verbose: bool,
    /// Traces of payloads only their headers.
    pub trace_headers: bool,
    /// Lines begin with the time. Default true.
    pub logtime: bool,
    pub logtime_utc: bool,
    /// Default: stderr.
    pub file: Option<PathBuf>,
    /// Bytes at which the file is rotated. Default `None`: never.
    pub size_limit_bytes: Option<u64>,
    /// Files kept, the current one included. Default `None`: all.
    pub max_files: Option<u32>,
    /// Bytes of a message shown by traces. Default `None`: all.
    pub max_traced_bytes: Option<usize>,
}

/// Where monitoring listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Monitor {
    /// `None`: the host clients connect to.
    pub host: Option<String>,
    pub port: Port,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config_file: None,
            config_digest: None,
            listen: Listen::default(),
            client_advertise: None,
            server_name: None,
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            headers: true,
            limits: Limits::default(),
            ping_interval: PING_INTERVAL,
            ping_max: PING_MAX,
            write_deadline: WRITE_DEADLINE,
            write_timeout: WriteTimeout::Default,
            lame_duck_duration: Duration::from_mins(2),
            lame_duck_grace_period: Duration::from_secs(10),
            no_fast_producer_stall: false,
            disable_sublist_cache: false,
            connect_error_reports: 3600,
            reconnect_error_reports: 1,
            feature_flags: BTreeMap::new(),
            authorization: Authorization::default(),
            log: LogOptions::default(),
            pid_file: None,
            ports_file_dir: None,
            http: None,
            http_base_path: String::new(),
            jetstream: None,
            store_dir: None,
            weft: WeftOptions::default(),
        }
    }
}

/// The defaults that zero stands for as well.
const PING_INTERVAL: Duration = Duration::from_mins(2);
const PING_MAX: u32 = 2;
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            max_control_line: 4096,
            max_payload: 1024 * 1024,
            max_pending: 64 * 1024 * 1024,
            max_subscriptions: None,
            max_sub_tokens: None,
            max_closed_clients: 10_000,
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            logtime: true,
            logtime_utc: false,
            file: None,
            size_limit_bytes: None,
            max_files: None,
            max_traced_bytes: None,
        }
    }
}

impl fmt::Display for WriteTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "",
            Self::Close => "close",
            Self::Retry => "retry",
        })
    }
}

impl Options {
    /// Defaults overlaid with the file. All errors of the file at once, in the order of its text.
    pub fn from_file(path: &Path, surroundings: &Surroundings<'_>) -> Result<Self, ConfigError> {
        let map = file::parse(path, surroundings)?;
        let mut options = Self {
            config_file: Some(path.to_owned()),
            config_digest: Some(file::digest(&map)),
            ..Self::default()
        };
        field::read_all(&mut options, &map, keys::KEYS, keys::REFUSED)?;
        options.fill_in_zeros();
        Ok(options)
    }

    /// Zero means "the default" where it would mean nothing.
    fn fill_in_zeros(&mut self) {
        let defaults = Self::default();
        let sizes = [
            (&mut self.limits.max_control_line, defaults.limits.max_control_line),
            (&mut self.limits.max_payload, defaults.limits.max_payload),
            (&mut self.limits.max_pending, defaults.limits.max_pending),
            (&mut self.limits.max_closed_clients, defaults.limits.max_closed_clients),
        ];
        for (size, default) in sizes {
            if *size == 0 {
                *size = default;
            }
        }
        if self.ping_interval.is_zero() {
            self.ping_interval = PING_INTERVAL;
        }
        if self.ping_max == 0 {
            self.ping_max = PING_MAX;
        }
        if self.write_deadline.is_zero() {
            self.write_deadline = WRITE_DEADLINE;
        }
        if self.listen.host.is_empty() {
            self.listen.host = defaults.listen.host;
        }
    }

    /// The host monitoring listens on.
    pub fn http_host(&self) -> &str {
        let own = self.http.as_ref().and_then(|http| http.host.as_deref());
        own.unwrap_or(&self.listen.host)
    }
}
