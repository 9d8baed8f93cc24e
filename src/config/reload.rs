//! What a reload changes, or why it cannot (facts: config-and-ops §4).
//!
//! Knows which options may change while the server runs and the log lines for it. Whoever obeys
//! an option takes it from the new [`Options`].

#[cfg(test)]
mod tests;

use std::fmt;

use super::options::{JetStream, Options};
use super::{ConfigError, duration};
use crate::security::access::Key;

/// An option with a new value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The key in the config file.
    pub key: &'static str,
    /// The log line.
    pub text: String,
}

/// An option that cannot change. The server goes on with the old options.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The reference's name of the option.
    pub name: &'static str,
    pub old: String,
    pub new: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        write!(f, "config reload not supported for {name}: old={old}, new={new}")
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for ConfigError {
    fn from(refused: Refused) -> Self {
        Self::Conflict { text: refused.to_string() }
    }
}

/// All changes from `old` to `new`; none are made if one is refused. `new` has been validated.
pub fn changes(old: &Options, new: &Options) -> Result<Vec<Change>, Refused> {
    for (name, value) in FIXED {
        let (old, new) = (value(old), value(new));
        if old != new {
            return Err(Refused { name, old, new });
        }
    }
    let nobody = |options: &Options| options.authorization.no_auth_user.clone().unwrap_or_default();
    let (gone, come) = (nobody(old), nobody(new));
    let is_still_user = || new.authorization.users.iter().any(|user| *user.name == *gone);
    if gone != come && (!come.is_empty() || is_still_user()) {
        // It may only vanish together with its user.
        return Err(Refused { name: "NoAuthUser", old: gone, new: come });
    }
    let changed = LIVE.iter().filter(|live| (live.value)(old) != (live.value)(new));
    Ok(changed.map(|live| live.change(new)).collect())
}

type Show = fn(&Options) -> String;

/// An option that may change.
struct Live {
    key: &'static str,
    value: Show,
    line: Line,
}

/// How the log tells of it.
enum Line {
    KeyAndValue,
    Key,
    Other(Show),
}

impl Live {
    const fn new(key: &'static str, value: Show) -> Self {
        Self { key, value, line: Line::KeyAndValue }
    }

    fn change(&self, new: &Options) -> Change {
        let key = self.key;
        let text = match self.line {
            Line::KeyAndValue => format!("Reloaded: {key} = {}", (self.value)(new)),
            Line::Key => format!("Reloaded: {key}"),
            Line::Other(show) => show(new),
        };
        Change { key, text }
    }
}

const FIXED: &[(&str, Show)] = &[
    ("Host", |o| o.listen.host.clone()),
    ("Port", |o| o.listen.port.to_string()),
    ("ServerName", |o| o.server_name.clone().unwrap_or_default()),
    ("NoHeaderSupport", |o| (!o.headers).to_string()),
    ("MaxPending", |o| o.limits.max_pending.to_string()),
    ("MaxSubs", |o| o.limits.max_subscriptions.unwrap_or(0).to_string()),
    ("MaxSubTokens", |o| o.limits.max_sub_tokens.unwrap_or(0).to_string()),
    ("MaxClosedClients", |o| o.limits.max_closed_clients.to_string()),
    ("WriteTimeout", |o| o.write_timeout.to_string()),
    ("LameDuckDuration", |o| duration::format(o.lame_duck_duration)),
    ("LameDuckGracePeriod", |o| duration::format(o.lame_duck_grace_period)),
    ("NoSublistCache", |o| o.disable_sublist_cache.to_string()),
    ("FeatureFlags", |o| {
        let flags = o.feature_flags.iter().map(|(name, on)| format!("{name}:{on}"));
        format!("map[{}]", flags.collect::<Vec<_>>().join(" "))
    }),
    ("LogSizeLimit", |o| o.log.size_limit_bytes.unwrap_or(0).to_string()),
    ("LogMaxFiles", |o| o.log.max_files.unwrap_or(0).to_string()),
    ("HTTPHost", |o| o.http.as_ref().map_or(String::new(), |_| o.http_host().to_owned())),
    ("HTTPPort", |o| o.http.as_ref().map_or("0".to_owned(), |http| http.port.to_string())),
    ("HTTPBasePath", |o| o.http_base_path.clone()),
    ("JetStream", |o| o.jetstream.is_some().to_string()),
    ("StoreDir", |o| path(o.store_dir.as_deref())),
    ("JetStreamMaxMemory", |o| stream_bytes(o, |js| js.max_memory_bytes)),
    ("JetStreamMaxStore", |o| stream_bytes(o, |js| js.max_file_bytes)),
    ("JetStreamDomain", |o| {
        o.jetstream.as_ref().and_then(|js| js.domain.clone()).unwrap_or_default()
    }),
    ("JetStreamOptions", |o| format!("{:?}", o.jetstream)),
    ("weft.cores", |o| o.weft.cores.as_ref().map_or(String::new(), ToString::to_string)),
    ("weft.shards", |o| o.weft.shards.unwrap_or(0).to_string()),
    ("weft.spin", |o| o.weft.spin.to_string()),
    ("weft.placement", |o| o.weft.placement.to_string()),
    ("weft.move_connections", |o| o.weft.move_connections.to_string()),
    ("weft.move_interval", |o| duration::format(o.weft.move_interval)),
    ("weft.move_rate", |o| o.weft.move_rate.to_string()),
    ("weft.ring_features", |o| o.weft.ring_features.to_string()),
    ("weft.read_cache", |o| o.weft.read_cache_bytes.to_string()),
    ("weft.jetstream_io", |o| o.weft.jetstream_io.to_string()),
];

const LIVE: &[Live] = &[
    Live::new("trace", |o| o.log.trace.to_string()),
    Live::new("debug", |o| o.log.debug.to_string()),
    Live::new("trace_verbose", |o| o.log.trace_verbose.to_string()),
    Live::new("trace_headers", |o| o.log.trace_headers.to_string()),
    Live::new("logtime", |o| o.log.logtime.to_string()),
    Live::new("logtime_utc", |o| o.log.logtime_utc.to_string()),
    Live::new("log_file", |o| path(o.log.file.as_deref())),
    Live {
        key: "client_advertise",
        value: advertised,
        line: Line::Other(|o| format!("Reload: client_advertise = {}", advertised(o))),
    },
    Live::new("max_connections", |o| o.limits.max_connections.to_string()),
    Live::new("max_control_line", |o| o.limits.max_control_line.to_string()),
    Live::new("max_payload", |o| o.limits.max_payload.to_string()),
    Live::new("ping_interval", |o| duration::format(o.ping_interval)),
    Live::new("ping_max", |o| o.ping_max.to_string()),
    Live::new("write_deadline", |o| duration::format(o.write_deadline)),
    Live {
        key: "no_fast_producer_stall",
        value: |o| o.no_fast_producer_stall.to_string(),
        line: Line::Other(|o| {
            let not = if o.no_fast_producer_stall { " not" } else { "" };
            format!("Reloaded: fast producers will{not} be stalled")
        }),
    },
    Live::new("connect_error_reports", |o| o.connect_error_reports.to_string()),
    Live::new("reconnect_error_reports", |o| o.reconnect_error_reports.to_string()),
    Live::new("max_traced_msg_len", |o| o.log.max_traced_bytes.unwrap_or(0).to_string()),
    Live { key: "tags", value: |o| format!("{:?}", o.server_tags), line: Line::Key },
    Live { key: "metadata", value: |o| format!("{:?}", o.server_metadata), line: Line::Key },
    Live::new("pid_file", |o| path(o.pid_file.as_deref())),
    Live {
        key: "username",
        value: |o| o.authorization.user.clone(),
        line: Line::Other(|_| "Reloaded: authorization username".to_owned()),
    },
    Live {
        key: "password",
        value: |o| o.authorization.password.clone(),
        line: Line::Other(|_| "Reloaded: authorization password".to_owned()),
    },
    Live {
        key: "token",
        value: |o| o.authorization.token.clone(),
        line: Line::Other(|_| "Reloaded: authorization token".to_owned()),
    },
    Live {
        key: "timeout",
        value: |o| o.authorization.timeout.as_secs_f64().to_string(),
        line: Line::Other(|o| {
            let seconds = o.authorization.timeout.as_secs_f64();
            format!("Reloaded: authorization timeout = {seconds}")
        }),
    },
    Live {
        key: "users",
        value: |o| users(o, false),
        line: Line::Other(|_| "Reloaded: authorization users".to_owned()),
    },
    Live {
        key: "nkeys",
        value: |o| users(o, true),
        line: Line::Other(|_| "Reloaded: authorization nkey users".to_owned()),
    },
    Live::new("ports_file_dir", |o| path(o.ports_file_dir.as_deref())),
];

/// -1: as much as the machine has.
fn stream_bytes(options: &Options, bytes: fn(&JetStream) -> Option<u64>) -> String {
    options.jetstream.as_ref().and_then(bytes).map_or("-1".to_owned(), |bytes| bytes.to_string())
}

/// All that is known of the users of one kind, secrets too: to be compared, never shown.
fn users(options: &Options, with_nkey: bool) -> String {
    let users = options.authorization.users.iter();
    let shown = users.filter(|user| (user.key == Key::Signature) == with_nkey).map(|user| {
        let secret = match &user.key {
            Key::Secret(secret) => secret.expose(),
            Key::Signature => "",
        };
        format!("{:?} {secret:?} {} {:?}", user.name, user.is_standard, user.permissions())
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn advertised(options: &Options) -> String {
    options.client_advertise.clone().unwrap_or_default()
}

fn path(path: Option<&std::path::Path>) -> String {
    path.map_or(String::new(), |path| path.display().to_string())
}
