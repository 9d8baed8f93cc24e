//! A configuration as others may see it: for a bundle that is sent to somebody.

use serde_json::{Map as Object, Value as Json};

use super::file::{Data, Map};

/// The keys whose values are shown. All others are hidden, known or not: what a variable or a key
/// of a later version holds is for its owner to tell.
const SHOWN: &[&str] = &[
    "addr",
    "allow",
    "allow_responses",
    "allowed_connection_types",
    "batch",
    "client_advertise",
    "connect_error_reports",
    "cores",
    "debug",
    "default_max_consumers",
    "deny",
    "disable_sublist_cache",
    "domain",
    "duplicate_window",
    "enabled",
    "host",
    "http",
    "http_base_path",
    "http_port",
    "jetstream",
    "jetstream_io",
    "lame_duck_duration",
    "lame_duck_grace_period",
    "listen",
    "log_file",
    "log_max_num",
    "log_size_limit",
    "logfile",
    "logfile_max_num",
    "logfile_size_limit",
    "logtime",
    "logtime_utc",
    "max",
    "max_ack_pending",
    "max_buffered_msgs",
    "max_buffered_size",
    "max_closed_clients",
    "max_conn",
    "max_connections",
    "max_control_line",
    "max_file",
    "max_file_store",
    "max_inflight_per_stream",
    "max_mem",
    "max_mem_store",
    "max_memory_store",
    "max_msgs",
    "max_payload",
    "max_pending",
    "max_request_batch",
    "max_sub_tokens",
    "max_subs",
    "max_subscription_tokens",
    "max_subscriptions",
    "max_traced_msg_len",
    "monitor_port",
    "move_connections",
    "move_interval",
    "move_rate",
    "net",
    "no_fast_producer_stall",
    "no_header_support",
    "no_sublist_cache",
    "pid_file",
    "pidfile",
    "ping_interval",
    "ping_max",
    "placement",
    "port",
    "ports_file_dir",
    "publish",
    "read_cache",
    "reconnect_error_reports",
    "request_queue_limit",
    "ring_features",
    "server_name",
    "server_tags",
    "shards",
    "spin",
    "store",
    "store_dir",
    "storedir",
    "strict",
    "subscribe",
    "sync",
    "sync_interval",
    "timeout",
    "trace",
    "trace_headers",
    "trace_verbose",
    "write_deadline",
    "write_timeout",
];

/// What stands for a hidden value.
const HIDDEN: &str = "[hidden]";

/// As JSON, without comments, with includes and variables in their places.
pub fn shown(map: &Map) -> Json {
    let entries = map.iter().map(|(key, entry)| {
        let is_shown = SHOWN.contains(&key.to_ascii_lowercase().as_str());
        (key.to_owned(), value(&entry.value.data, is_shown))
    });
    Json::Object(entries.collect::<Object<_, _>>())
}

fn value(data: &Data, is_shown: bool) -> Json {
    match data {
        Data::Map(map) => shown(map),
        Data::Array(values) => {
            values.iter().map(|element| value(&element.data, is_shown)).collect()
        }
        Data::Boolean(truth) => (*truth).into(),
        _ if !is_shown => HIDDEN.into(),
        Data::Text(text) | Data::DateTime(text) => text.as_str().into(),
        Data::Integer(number) => (*number).into(),
        Data::Float(number) => (*number).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Surroundings, file};

    #[test]
    fn no_secret_is_shown_however_it_is_written() {
        let text = r#"
            listen: "127.0.0.1:4222" # token: in-a-comment
            PIN = 424242
            max_payload: 1MB
            authorization {
              token: secret-1
              users: [
                {user: secret-2, PASSWORD: "secret-3", permissions: {publish: ["a.>"]}}
                {nkey: secret-4}
                {user: b, password: $PIN}
              ]
            }
            jetstream { store_dir: "/data", key: "secret-5", ek: 424242 }
            a_later_key: ["secret-6"]
        "#;
        let read = |_: &Path| Ok(text.as_bytes().to_vec());
        let surroundings = Surroundings { read: &read, variable: &|_| None };
        let map = file::parse(Path::new("a.conf"), &surroundings).unwrap();
        let shown = shown(&map).to_string();
        for secret in ["secret", "424242", "comment"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        for told in ["127.0.0.1:4222", "a.>", "/data", "1048576"] {
            assert!(shown.contains(told), "{told} is missing in {shown}");
        }
    }
}
