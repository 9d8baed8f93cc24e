//! Every top-level key (facts: config-and-ops §3-§9): obeyed, or refused by name.

use super::address;
use super::authorization;
use super::field::{self, Field, Key, error_at};
use super::jetstream;
use super::weft;
use super::{Monitor, Options, Port, WriteTimeout};
use crate::config::ConfigError;
use crate::config::file::Data;

/// Keys of the reference that are refused unless set to `false`.
pub(super) const REFUSED: &[&str] = &[
    // logging and profiling
    "syslog",
    "remote_syslog",
    "prof_port",
    "prof_block_rate",
    // transport
    "https",
    "https_port",
    "tls",
    "allow_non_tls",
    "ocsp",
    "ocsp_cache",
    "proxy_protocol",
    // authorization and tenancy
    "system_account",
    "system",
    "no_system_account",
    "no_system",
    "no_sys_acc",
    "default_sentinel",
    "trusted",
    "trusted_keys",
    "operator",
    "operators",
    "root",
    "roots",
    "root_operator",
    "root_operators",
    "resolver",
    "account_resolver",
    "accounts_resolver",
    "resolver_tls",
    "resolver_preload",
    "resolver_pinned_accounts",
    "proxies",
    // JetStream
    "default_js_domain",
];

/// Feature flags and what they are unless set.
const FEATURES: &[(&str, bool)] = &[
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

impl Options {
    /// Whether a feature is on: as set in `feature_flags`, else its default, else off.
    pub fn feature(&self, name: &str) -> bool {
        let default = FEATURES.iter().find(|(known, _)| *known == name).map(|(_, on)| *on);
        self.feature_flags.get(name).copied().or(default).unwrap_or(false)
    }
}

pub(super) const KEYS: &[Key<Options>] = &[
    // Listening and identity.
    Key { names: &["listen"], read: read_listen },
    Key { names: &["host", "net"], read: |o, f| set(&mut o.listen.host, f.text()?.to_owned()) },
    Key { names: &["port"], read: |o, f| set(&mut o.listen.port, client_port(f, f.integer()?)?) },
    Key {
        names: &["client_advertise"],
        read: |o, f| set(&mut o.client_advertise, f.optional_text()?),
    },
    Key { names: &["server_name"], read: read_server_name },
    Key { names: &["server_tags"], read: read_tags },
    Key { names: &["server_metadata"], read: read_metadata },
    Key { names: &["no_header_support"], read: |o, f| set(&mut o.headers, !f.boolean()?) },
    // Limits.
    Key {
        names: &["max_connections", "max_conn"],
        read: |o, f| set(&mut o.limits.max_connections, f.limit()?.unwrap_or(0)),
    },
    Key {
        names: &["max_control_line"],
        read: |o, f| set(&mut o.limits.max_control_line, f.size()?),
    },
    Key { names: &["max_payload"], read: |o, f| set(&mut o.limits.max_payload, f.size()?) },
    Key { names: &["max_pending"], read: |o, f| set(&mut o.limits.max_pending, f.unsigned()?) },
    Key {
        names: &["max_subscriptions", "max_subs"],
        read: |o, f| set(&mut o.limits.max_subscriptions, f.limit()?),
    },
    Key { names: &["max_sub_tokens", "max_subscription_tokens"], read: read_max_sub_tokens },
    Key {
        names: &["max_closed_clients"],
        read: |o, f| set(&mut o.limits.max_closed_clients, f.unsigned()?),
    },
    // Time.
    Key {
        names: &["ping_interval"],
        read: |o, f| set(&mut o.ping_interval, f.duration_not_seconds()?),
    },
    Key { names: &["ping_max"], read: |o, f| set(&mut o.ping_max, f.unsigned()?) },
    Key {
        names: &["write_deadline"],
        read: |o, f| set(&mut o.write_deadline, f.duration_not_seconds()?),
    },
    Key { names: &["write_timeout"], read: read_write_timeout },
    Key { names: &["lame_duck_duration"], read: read_lame_duck_duration },
    Key {
        names: &["lame_duck_grace_period"],
        read: |o, f| set(&mut o.lame_duck_grace_period, f.duration()?),
    },
    // Behaviour.
    Key {
        names: &["no_fast_producer_stall"],
        read: |o, f| set(&mut o.no_fast_producer_stall, f.boolean()?),
    },
    Key {
        names: &["disable_sublist_cache", "no_sublist_cache"],
        read: |o, f| set(&mut o.disable_sublist_cache, f.boolean()?),
    },
    Key {
        names: &["connect_error_reports"],
        read: |o, f| set(&mut o.connect_error_reports, f.limit()?.unwrap_or(0)),
    },
    Key {
        names: &["reconnect_error_reports"],
        read: |o, f| set(&mut o.reconnect_error_reports, f.limit()?.unwrap_or(0)),
    },
    Key { names: &["feature_flags"], read: read_feature_flags },
    // JetStream.
    Key { names: &["jetstream"], read: jetstream::read },
    Key {
        names: &["store_dir", "storedir"],
        read: |o, f| jetstream::read_store_dir(&mut o.store_dir, f),
    },
    // Who may connect.
    Key { names: &["authorization"], read: authorization::read },
    Key {
        names: &["no_auth_user"],
        read: |o, f| set(&mut o.authorization.no_auth_user, f.optional_text()?),
    },
    // Logging.
    Key { names: &["debug"], read: |o, f| set(&mut o.log.debug, f.boolean()?) },
    Key { names: &["trace"], read: |o, f| set(&mut o.log.trace, f.boolean()?) },
    Key {
        names: &["trace_verbose"],
        read: |o, f| {
            o.log.trace_verbose = f.boolean()?;
            set(&mut o.log.trace, o.log.trace_verbose)
        },
    },
    Key {
        names: &["trace_headers"],
        read: |o, f| {
            o.log.trace_headers = f.boolean()?;
            set(&mut o.log.trace, o.log.trace_headers)
        },
    },
    Key { names: &["logtime"], read: |o, f| set(&mut o.log.logtime, f.boolean()?) },
    Key { names: &["logtime_utc"], read: |o, f| set(&mut o.log.logtime_utc, f.boolean()?) },
    Key { names: &["log_file", "logfile"], read: |o, f| set(&mut o.log.file, f.optional_path()?) },
    Key {
        names: &["log_size_limit", "logfile_size_limit"],
        read: |o, f| set(&mut o.log.size_limit_bytes, f.limit()?),
    },
    Key {
        names: &["log_max_num", "logfile_max_num"],
        read: |o, f| set(&mut o.log.max_files, f.limit()?),
    },
    Key {
        names: &["max_traced_msg_len"],
        read: |o, f| set(&mut o.log.max_traced_bytes, f.limit()?),
    },
    // Process and monitoring.
    Key { names: &["pid_file", "pidfile"], read: |o, f| set(&mut o.pid_file, f.optional_path()?) },
    Key { names: &["ports_file_dir"], read: |o, f| set(&mut o.ports_file_dir, f.optional_path()?) },
    Key { names: &["http"], read: read_http },
    Key { names: &["http_port", "monitor_port"], read: read_http_port },
    Key {
        names: &["http_base_path"],
        read: |o, f| set(&mut o.http_base_path, f.text()?.to_owned()),
    },
    // Ours.
    Key { names: &["weft"], read: weft::read },
    // What is not there yet. An empty block asks for none of it, as with the reference.
    Key { names: &["accounts"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["mappings", "maps"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["cluster"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["gateway"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["leafnodes", "leaf"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["websocket", "ws"], read: |_, f| f.refuse_unless_empty() },
    Key { names: &["mqtt"], read: |_, f| f.refuse_unless_empty() },
];

fn set<T>(place: &mut T, value: T) -> Result<(), ConfigError> {
    *place = value;
    Ok(())
}

/// 0 is the default port.
fn client_port(field: &Field<'_>, number: i64) -> Result<Port, ConfigError> {
    let number = if number == 0 { super::Listen::PORT.into() } else { number };
    Port::from_number(number).ok_or_else(|| field.error(format!("invalid port {number}")))
}

fn read_listen(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let (host, number) = host_and_port(field)?;
    options.listen.port = client_port(field, number)?;
    if let Some(host) = host {
        options.listen.host = host;
    }
    Ok(())
}

fn host_and_port(field: &Field<'_>) -> Result<(Option<String>, i64), ConfigError> {
    match &field.value.data {
        Data::Integer(number) => Ok((None, *number)),
        Data::Text(text) => {
            let (host, number) = address::parse(text).map_err(|text| field.error(text))?;
            Ok((Some(host), number))
        }
        other => {
            let found = other.type_name();
            Err(field.error(format!("expected port or host:port, got {found}")))
        }
    }
}

fn read_server_name(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let name = field.optional_text()?;
    if name.as_deref().is_some_and(|name| name.contains(' ')) {
        return Err(field.error("server name cannot contain spaces"));
    }
    set(&mut options.server_name, name)
}

fn read_tags(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let values = match &field.value.data {
        Data::Array(values) => values.as_slice(),
        Data::Text(_) => std::slice::from_ref(field.value),
        other => {
            let found = other.type_name();
            return Err(field.error(format!("error parsing tags: unsupported type {found}")));
        }
    };
    let mut tags: Vec<String> = Vec::new();
    for value in values {
        let tag = field::text_of(value).map_err(|_| {
            let found = value.data.type_name();
            field.error(format!(
                "error parsing tags: unsupported type {found} where string is expected"
            ))
        })?;
        let tag = tag.trim().to_lowercase();
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    set(&mut options.server_tags, tags)
}

fn read_metadata(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    options.server_metadata.clear();
    for (key, value) in field.entries("metadata")? {
        options.server_metadata.insert(key.to_owned(), field::text_of(value)?.to_owned());
    }
    Ok(())
}

fn read_max_sub_tokens(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let number = field.integer()?;
    if number <= 0 {
        // The reference's words, also for zero.
        return Err(field.error(format!("{} value can not be negative", field.name)));
    }
    set(&mut options.limits.max_sub_tokens, Some(field.unsigned()?))
}

fn read_write_timeout(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    options.write_timeout = match field.text()? {
        "default" => WriteTimeout::Default,
        "close" => WriteTimeout::Close,
        "retry" => WriteTimeout::Retry,
        _ => {
            let text = format!("{} must be 'default', 'close' or 'retry'", field.name);
            return Err(field.error(text));
        }
    };
    Ok(())
}

fn read_lame_duck_duration(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    const SECONDS_MIN: u64 = 30;
    let text = field.text()?;
    // Negative ones are too short, which is the better text for them.
    let duration = match text.strip_prefix('-') {
        Some(_) => std::time::Duration::ZERO,
        None => field.duration()?,
    };
    if duration.as_secs() < SECONDS_MIN {
        return Err(field
            .error(format!("invalid {} of {text}, minimum is {SECONDS_MIN} seconds", field.name)));
    }
    set(&mut options.lame_duck_duration, duration)
}

fn read_feature_flags(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    options.feature_flags.clear();
    for (name, value) in field.entries("feature flags")? {
        let Data::Boolean(on) = value.data else {
            let found = value.data.type_name();
            return Err(error_at(
                &value.at,
                format!("error parsing feature flag {name:?}: expected bool, got {found}"),
            ));
        };
        options.feature_flags.insert(name.to_owned(), on);
    }
    Ok(())
}

fn read_http(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let (host, number) = host_and_port(field)?;
    set_http(options, field, host, number)
}

fn read_http_port(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let host = options.http.take().and_then(|http| http.host);
    set_http(options, field, host, field.integer()?)
}

/// Port 0 is no monitoring.
fn set_http(
    options: &mut Options,
    field: &Field<'_>,
    host: Option<String>,
    number: i64,
) -> Result<(), ConfigError> {
    let port =
        Port::from_number(number).ok_or_else(|| field.error(format!("invalid port {number}")))?;
    let host = host.filter(|host| !host.is_empty());
    options.http = (number != 0).then_some(Monitor { host, port });
    Ok(())
}
