//! Keys, values and refusals against those of nats-server 2.15.1 (`-t`).

use std::path::Path;
use std::time::Duration;

use super::{JetStreamIo, Monitor, Options, Placement, Port, RingFeatures, Spin, WriteTimeout};
use crate::config::{ConfigError, Surroundings};

fn read(text: &str) -> Result<Options, ConfigError> {
    let read = |path: &Path| match path.to_str() {
        Some("F") => Ok(text.as_bytes().to_vec()),
        Some("unk.conf") => Ok(b"\n  nope: 1\n".to_vec()),
        _ => Err(std::io::Error::from_raw_os_error(2)),
    };
    let variable = |name: &str| match name {
        "ESTR" => Some("hello".to_owned()),
        "EQ" => Some("'q r'".to_owned()),
        _ => None,
    };
    Options::from_file(Path::new("F"), &Surroundings { read: &read, variable: &variable })
}

fn options(text: &str) -> Options {
    read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

const ACCEPTED: &[&str] = &[
    "debug: yes",
    "debug: on",
    "debug: TRUE",
    "debug: True",
    "max_payload: 64M",
    "max_payload: 64MB",
    "max_payload: 64mib",
    "listen: 127.0.0.1:4222",
    "listen: 4222",
    "listen: -1",
    "listen: :4222",
    r#"listen: "*:4222""#,
    r#"listen: "[::]:4222""#,
    "listen: 'h:-1'",
    "listen: 0",
    "net: localhost",
    "host: ''",
    "ping_interval: 5s",
    r#"ping_interval: "5s""#,
    "ping_interval: 1h30m",
    "ping_interval: 1µs",
    "ping_interval: +5s",
    "ping_interval: '1.s'",
    "write_deadline: 5s",
    "lame_duck_duration: 30s",
    "ping_max: 0",
    "max_pending: 10gb",
    "max_payload: 0",
    "max_payload: 2147483647",
    "max_control_line: 0",
    "max_connections: -1",
    "max_conn: 5",
    "max_subscriptions: -1",
    "max_subs: 5",
    "max_sub_tokens: 255",
    "max_traced_msg_len: -1",
    "write_timeout: default",
    "write_timeout: close",
    "write_timeout: retry",
    "connect_error_reports: 5",
    "connect_error_reports: -1",
    "reconnect_error_reports: 0",
    "feature_flags: {a: true}",
    "feature_flags: {js_ack_fc_v2: true}",
    "feature_flags: {js_ack_fc_v2: yes}",
    "http: localhost:8222",
    "http: 8222",
    "http_port: 8222",
    "http_base_path: x",
    "http_base_path: /x",
    "pid_file: /tmp/x",
    "ports_file_dir: /nope",
    "log_file: /tmp/x",
    "logfile: /tmp/x",
    "log_size_limit: 5mb",
    "log_size_limit: -1",
    "log_max_num: 5",
    "log_max_num: -1",
    "logtime: no",
    "logtime_utc: yes",
    "trace_verbose: true",
    "trace_headers: true",
    "client_advertise: 'a:1'",
    "client_advertise: ':::'",
    "no_header_support: true",
    "no_fast_producer_stall: true",
    "disable_sublist_cache: true",
    "no_sublist_cache: true",
    "max_payload: 1k,debug:true",
    "max_payload: 1k}",
    "max_traced_msg_len: 3g",
    "syslog: false",
    "jetstream: disabled",
    "jetstream: false",
    "jetstream {enabled: false}",
    "host: 'a b'",
    r#"ping_interval: "1.5h""#,
    r#"ping_interval: "0""#,
    r#"ping_interval: "1us1ns""#,
];

/// Text, and the error nats-server prints.
const REFUSED: &[(&str, &str)] = &[
    ("port:", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("bogus: 1", r#"F:1:0: unknown field "bogus""#),
    ("bogus {a:1}", r#"F:1:0: unknown field "bogus""#),
    (r#"debug: "true""#, "F:1:0: interface conversion: interface {} is string, not bool"),
    ("debug: 1", "F:1:0: interface conversion: interface {} is int64, not bool"),
    (r#"port: "4222""#, "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: '4222'", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: abc", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 4222abc", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 1.5", "F:1:0: interface conversion: interface {} is float64, not int64"),
    ("port: +1", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 0x10", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 1e3", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("max_payload: 1gbx", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("max_payload: 1e", "F:1:0: max_payload value is too big"),
    ("max_payload: 1eb", "F:1:0: max_payload value is too big"),
    (r#"server_name: "a b""#, "F:1:0: server name cannot contain spaces"),
    ("server_metadata{a:b}", r#"F:1:0: unknown field "server_metadata{a""#),
    ("server_metadata {a:1}", "F:1:17: interface conversion: interface {} is int64, not string"),
    (
        "server_metadata {a {}}",
        "F:1:17: interface conversion: interface {} is map[string]interface {}, not string",
    ),
    (r#"server_metadata: "x""#, "F:1:0: error parsing metadata: unsupported type string"),
    ("authorization{user:a}", r#"F:1:0: unknown field "authorization{user""#),
    ("server_metadata {a:1}\n", "F:1:17: interface conversion: interface {} is int64, not string"),
    (
        "server_metadata {a:1, b:2}",
        "F:1:17: interface conversion: interface {} is int64, not string",
    ),
    ("A=1\nserver_metadata {A=x, b=$A}", r#"F:1:0: unknown field "A""#),
    ("A=1\n", r#"F:1:0: unknown field "A""#),
    ("A=1\nB=$A\n", r#"F:2:1: unknown field "B""#),
    (
        "A={x:1}\nserver_metadata: $A",
        "F:1:3: interface conversion: interface {} is int64, not string",
    ),
    ("include: inc.conf", r#"F:1:0: unknown field "include""#),
    ("include unk.conf", r#"unk.conf:2:3: unknown field "nope""#),
    ("includes: 1", r#"F:1:0: unknown field "includes""#),
    ("a/b: 1", r#"F:1:0: unknown field "a/b""#),
    ("  port: 1\n   bogus: 2", r#"F:2:4: unknown field "bogus""#),
    (
        "server_metadata {\n  a: b\n  c: 5\n}",
        "F:3:3: interface conversion: interface {} is int64, not string",
    ),
    ("port: 4222;;debug: true", r#"F:1:11: unknown field ";debug""#),
    ("ñ: 1", r#"F:1:0: unknown field "ñ""#),
    (
        "a: 2006-01-02T15:04:05Z\nport: $a",
        "F:2:1: interface conversion: interface {} is time.Time, not int64",
    ),
    (
        "port: 2006-01-02T15:04:05Z",
        "F:1:0: interface conversion: interface {} is time.Time, not int64",
    ),
    ("a: 1.5\nport: $a", "F:2:1: interface conversion: interface {} is float64, not int64"),
    ("port: -1.5", "F:1:0: interface conversion: interface {} is float64, not int64"),
    ("port: 1.5.5", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 127.0.0.1", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("listen: abc", r#"F:1:0: could not parse address string "abc""#),
    (r#"listen: "::1:4222""#, r#"F:1:0: could not parse address string "::1:4222""#),
    ("listen: localhost:abc", r#"F:1:0: could not parse port "abc""#),
    ("listen: true", "F:1:0: expected port or host:port, got bool"),
    ("listen: 1.5", "F:1:0: expected port or host:port, got float64"),
    ("listen: localhost", r#"F:1:0: could not parse address string "localhost""#),
    ("listen: 'localhost:'", r#"F:1:0: could not parse port """#),
    ("listen: ''", r#"F:1:0: could not parse address string """#),
    ("host: 1", "F:1:0: interface conversion: interface {} is int64, not string"),
    (
        "ping_interval: 5",
        r#"F:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration"#,
    ),
    (
        r#"ping_interval: "5""#,
        r#"F:1:0: error parsing ping_interval: time: missing unit in duration "5""#,
    ),
    ("ping_interval: abc", r#"F:1:0: error parsing ping_interval: time: invalid duration "abc""#),
    (
        "ping_interval: 1.5",
        "F:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\nF:1:0: interface conversion: interface {} is float64, not int64",
    ),
    (
        "ping_interval: true",
        "F:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\nF:1:0: interface conversion: interface {} is bool, not int64",
    ),
    ("ping_interval: ''", r#"F:1:0: error parsing ping_interval: time: invalid duration """#),
    (
        "ping_interval: 0",
        r#"F:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration"#,
    ),
    (
        "ping_interval: 5x",
        r#"F:1:0: error parsing ping_interval: time: unknown unit "x" in duration "5x""#,
    ),
    (
        "ping_interval: 99999999h",
        r#"F:1:0: error parsing ping_interval: time: invalid duration "99999999h""#,
    ),
    ("ping_interval: '.s'", r#"F:1:0: error parsing ping_interval: time: invalid duration ".s""#),
    (
        "write_deadline: 5",
        r#"F:1:0: invalid use of field "write_deadline": write_deadline should be converted to a duration"#,
    ),
    ("write_deadline: abc", r#"F:1:0: error parsing write_deadline: time: invalid duration "abc""#),
    ("lame_duck_duration: 10s", "F:1:0: invalid lame_duck_duration of 10s, minimum is 30 seconds"),
    ("lame_duck_duration: 30", "F:1:0: interface conversion: interface {} is int64, not string"),
    (
        "lame_duck_grace_period: 10",
        "F:1:0: interface conversion: interface {} is int64, not string",
    ),
    (
        "lame_duck_grace_period: 40m",
        "F:1:0: interface conversion: interface {} is int64, not string",
    ),
    ("ping_max: a", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("max_payload: 3g", "F:1:0: max_payload value is too big"),
    ("max_payload: 2147483648", "F:1:0: max_payload value is too big"),
    ("max_control_line: 3g", "F:1:0: max_control_line value is too big"),
    ("max_sub_tokens: 256", "F:1:0: max_sub_tokens value is too big"),
    ("max_sub_tokens: -1", "F:1:0: max_sub_tokens value can not be negative"),
    ("max_subscription_tokens: 0", "F:1:0: max_subscription_tokens value can not be negative"),
    ("write_timeout: foo", "F:1:0: write_timeout must be 'default', 'close' or 'retry'"),
    ("write_timeout: 5", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("write_timeout: true", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("write_timeout: Close", "F:1:0: write_timeout must be 'default', 'close' or 'retry'"),
    ("connect_error_reports: a", "F:1:0: interface conversion: interface {} is string, not int64"),
    (
        "feature_flags: {a: 1}",
        r#"F:1:16: error parsing feature flag "a": expected bool, got int64"#,
    ),
    ("feature_flags: true", "F:1:0: error parsing feature flags: unsupported type bool"),
    ("feature_flags: [a]", "F:1:0: error parsing feature flags: unsupported type []interface {}"),
    ("server_tags: 5", "F:1:0: error parsing tags: unsupported type int64"),
    ("server_tags: {a:b}", "F:1:0: error parsing tags: unsupported type map[string]interface {}"),
    (
        "server_metadata: {a: {b:c}}",
        "F:1:18: interface conversion: interface {} is map[string]interface {}, not string",
    ),
    ("http: '8222'", r#"F:1:0: could not parse address string "8222""#),
    ("http: a:b", r#"F:1:0: could not parse port "b""#),
    ("http_base_path: 5", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("pidfile: 5", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("logfile_size_limit: '5mb'", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("logfile_max_num: a", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("trace: 1", "F:1:0: interface conversion: interface {} is int64, not bool"),
    ("client_advertise: 5", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("server_name: 5", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("name: x", r#"F:1:0: unknown field "name""#),
    ("max_buffered_msgs: 1", r#"F:1:0: unknown field "max_buffered_msgs""#),
    ("{a:1\n\n", r#"F:1:1: unknown field "a""#),
    ("port:=1", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port==1", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: :1", "F:1:0: interface conversion: interface {} is string, not int64"),
    (",port:1", r#"F:1:0: unknown field ",port""#),
    (";port:1", r#"F:1:0: unknown field ";port""#),
    ("port:1\n,debug:true", r#"F:2:1: unknown field ",debug""#),
    ("{,port:1}", r#"F:1:1: unknown field ",port""#),
    (
        "{port:{}}",
        "F:1:1: interface conversion: interface {} is map[string]interface {}, not int64",
    ),
    ("{port:[]}", "F:1:1: interface conversion: interface {} is []interface {}, not int64"),
    ("a: {}", r#"F:1:0: unknown field "a""#),
    ("port: 1#c", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 1//c", "F:1:0: interface conversion: interface {} is string, not int64"),
    (
        "server_name: 2020-01-01T00:00:00Z",
        "F:1:0: interface conversion: interface {} is time.Time, not string",
    ),
    ("server_name: truE", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("server_name: yes", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("server_name: on", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("server_name: off", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("server_name: no", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("server_name: False", "F:1:0: interface conversion: interface {} is bool, not string"),
    ("port: 1b", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 1k2", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("port: 1kk", "F:1:0: interface conversion: interface {} is string, not int64"),
    ("server_name: 1k ", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("server_name: 1k,", "F:1:0: interface conversion: interface {} is int64, not string"),
    ("server_name: \"x\ny\"\nbogus: 1", r#"F:3:1: unknown field "bogus""#),
    ("server_name: 'x\ny'\nbogus: 1", r#"F:3:1: unknown field "bogus""#),
    ("server_name: (\nx\ny\n)\nbogus: 1", r#"F:5:1: unknown field "bogus""#),
    ("# c\n\n  bogus: 1", r#"F:3:3: unknown field "bogus""#),
    ("a: 1; bogus: 2", "F:1:0: unknown field \"a\"\nF:1:6: unknown field \"bogus\""),
    ("{bogus: 1}", r#"F:1:1: unknown field "bogus""#),
    ("{\n  bogus: 1}", r#"F:2:3: unknown field "bogus""#),
    ("{\n\tbogus: 1\n}", r#"F:2:2: unknown field "bogus""#),
    ("port:1\n'bogus': 1", r#"F:2:2: unknown field "bogus""#),
    ("port:1\n \"bogus\": 1", r#"F:2:3: unknown field "bogus""#),
    ("ñ: 1\n", r#"F:1:0: unknown field "ñ""#),
    ("server_name: ñ\n é: 1", r#"F:2:2: unknown field "é""#),
    (
        "debug: 1\ntrace: 1",
        "F:1:0: interface conversion: interface {} is int64, not bool\nF:2:1: interface conversion: interface {} is int64, not bool",
    ),
    (
        "bogus: 1\ndebug: 5",
        "F:1:0: unknown field \"bogus\"\nF:2:1: interface conversion: interface {} is int64, not bool",
    ),
    (
        "OUT=5\nserver_metadata { x: $OUT }",
        "F:2:19: interface conversion: interface {} is int64, not string",
    ),
    ("server_name: $EQ", "F:1:0: server name cannot contain spaces"),
    ("max_sub_tokens: 0", "F:1:0: max_sub_tokens value can not be negative"),
    ("jetstream: foo", "F:1:0: Expected 'enabled' or 'disabled' for string value, got 'foo'"),
    (
        "ping_interval: 2M",
        r#"F:1:0: invalid use of field "ping_interval": ping_interval should be converted to a duration"#,
    ),
    (
        r#"ping_interval: "2 m""#,
        r#"F:1:0: error parsing ping_interval: time: unknown unit " m" in duration "2 m""#,
    ),
    (
        r#"ping_interval: "1h2""#,
        r#"F:1:0: error parsing ping_interval: time: missing unit in duration "1h2""#,
    ),
    (
        r#"ping_interval: "1d""#,
        r#"F:1:0: error parsing ping_interval: time: unknown unit "d" in duration "1d""#,
    ),
    (
        r#"ping_interval: "9223372037s""#,
        r#"F:1:0: error parsing ping_interval: time: invalid duration "9223372037s""#,
    ),
    (r#"ping_interval: "-""#, r#"F:1:0: error parsing ping_interval: time: invalid duration "-""#),
    (r#"ping_interval: "+""#, r#"F:1:0: error parsing ping_interval: time: invalid duration "+""#),
    (
        r#"ping_interval: "1e3s""#,
        r#"F:1:0: error parsing ping_interval: time: unknown unit "e" in duration "1e3s""#,
    ),
    (
        "ping_interval: [1 ]",
        "F:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\nF:1:0: interface conversion: interface {} is []interface {}, not int64",
    ),
    (
        "ping_interval: {a:b}",
        "F:1:0: invalid use of field \"ping_interval\": ping_interval should be converted to a duration\nF:1:0: interface conversion: interface {} is map[string]interface {}, not int64",
    ),
    ("lame_duck_duration: true", "F:1:0: interface conversion: interface {} is bool, not string"),
    (
        "port: {a:b}",
        "F:1:0: interface conversion: interface {} is map[string]interface {}, not int64",
    ),
    ("debug: []", "F:1:0: interface conversion: interface {} is []interface {}, not bool"),
    ("debug: 1.5", "F:1:0: interface conversion: interface {} is float64, not bool"),
    (
        "debug: 2006-01-02T15:04:05Z",
        "F:1:0: interface conversion: interface {} is time.Time, not bool",
    ),
    ("max_payload: true", "F:1:0: interface conversion: interface {} is bool, not int64"),
    ("write_timeout: ''", "F:1:0: write_timeout must be 'default', 'close' or 'retry'"),
];

#[test]
fn what_the_reference_accepts_is_accepted() {
    for text in ACCEPTED {
        options(text);
    }
}

#[test]
fn what_the_reference_refuses_is_refused_in_its_words() {
    for (text, expected) in REFUSED {
        let error = read(text).expect_err(text).to_string();
        assert_eq!(error, *expected, "{text:?}");
    }
}

#[test]
fn no_key_of_the_reference_is_ignored() {
    for key in super::keys::REFUSED {
        for value in ["true", "{a: b}", "[x]", "x", "5s"] {
            let error = read(&format!("\n {key}: {value}")).expect_err(key).to_string();
            assert_eq!(error, format!("F:2:2: \"{key}\" is not supported yet"));
        }
        options(&format!("{key}: false"));
    }
}

#[test]
fn a_block_of_what_is_not_there_yet_may_be_empty() {
    let blocks = ["accounts", "mappings", "maps", "cluster", "gateway", "leafnodes", "leaf"];
    for key in blocks.into_iter().chain(["websocket", "ws", "mqtt"]) {
        for value in ["true", "{a: b}", "{port: 0}", "[x]", "x", "5s"] {
            let error = read(&format!("\n {key}: {value}")).expect_err(key).to_string();
            assert_eq!(error, format!("F:2:2: \"{key}\" is not supported yet"));
        }
        options(&format!("{key}: false"));
        options(&format!("{key} {{}}"));
    }
    assert_eq!(read("\n tls {}").unwrap_err().to_string(), "F:2:2: \"tls\" is not supported yet");
}

#[test]
fn no_spelling_stands_for_two_keys() {
    let spellings =
        || super::keys::KEYS.iter().flat_map(|key| key.names).chain(super::keys::REFUSED);
    for name in spellings() {
        assert_eq!(spellings().filter(|other| *other == name).count(), 1, "{name}");
        assert_eq!(*name, name.to_ascii_lowercase());
    }
}

#[test]
fn every_default_is_the_reference_s() {
    let defaults = options("trace: false");
    assert_eq!(
        defaults,
        Options {
            config_file: defaults.config_file.clone(),
            config_digest: defaults.config_digest.clone(),
            ..Options::default()
        }
    );
    assert_eq!(defaults.listen.host, "0.0.0.0");
    assert_eq!(defaults.listen.port, Port::Fixed(4222));
    assert_eq!(defaults.limits.max_payload, 1_048_576);
    assert_eq!(defaults.limits.max_pending, 67_108_864);
    assert_eq!(defaults.ping_interval, Duration::from_secs(120));
}

#[test]
fn zero_is_the_default_where_it_means_nothing() {
    let zeros = options(
        "max_payload: 0, max_pending: 0, max_control_line: 0, max_closed_clients: 0, port: 0
         ping_max: 0, ping_interval: '0s', write_deadline: '0s', host: ''",
    );
    let defaults = Options::default();
    assert_eq!(zeros.limits, defaults.limits);
    assert_eq!(zeros.listen, defaults.listen);
    assert_eq!((zeros.ping_max, zeros.ping_interval), (2, defaults.ping_interval));
    assert_eq!(zeros.write_deadline, defaults.write_deadline);
}

#[test]
fn zero_or_fewer_connections_let_nobody_in() {
    assert_eq!(options("max_connections: 0").limits.max_connections, 0);
    assert_eq!(options("max_conn: -1").limits.max_connections, 0);
    assert_eq!(options("max_subs: -1").limits.max_subscriptions, None);
}

#[test]
fn values_arrive_as_their_types() {
    let o = options(
        "listen: '*:4333', http: 8222, http_base_path: /x, SERVER_NAME: n
         server_tags: [' A ', b, B, ''], server_metadata {K: v}, feature_flags {x: on}
         max_connections: 1k, max_sub_tokens: 16, ping_interval: '1.5h', write_timeout: retry
         trace_verbose: true, log_file: /l, log_size_limit: 5mb, log_max_num: 3
         no_header_support: true, client_advertise: 'h:1'",
    );
    assert_eq!((o.listen.host.as_str(), o.listen.port), ("0.0.0.0", Port::Fixed(4333)));
    assert_eq!(o.http, Some(Monitor { host: None, port: Port::Fixed(8222) }));
    assert_eq!(o.http_host(), "0.0.0.0");
    assert_eq!(o.server_name.as_deref(), Some("n"));
    assert_eq!(o.server_tags, ["a", "b"]);
    assert_eq!(o.server_metadata["K"], "v");
    assert!(o.feature("x") && o.feature("js_raft_delete_range") && !o.feature("y"));
    assert_eq!((o.limits.max_connections, o.limits.max_sub_tokens), (1000, Some(16)));
    assert_eq!(o.ping_interval, Duration::from_secs(5400));
    assert_eq!(o.write_timeout, WriteTimeout::Retry);
    assert!(o.log.trace && o.log.trace_verbose && !o.log.debug && !o.headers);
    assert_eq!((o.log.size_limit_bytes, o.log.max_files), (Some(5 << 20), Some(3)));
    assert_eq!(o.client_advertise_address(), Ok(Some(("h", Some(1)))));
}

#[test]
fn impossible_numbers_are_refused_before_start() {
    for (text, expected) in [
        ("port: 70000", "F:1:0: invalid port 70000"),
        ("port: -5", "F:1:0: invalid port -5"),
        ("listen: 'h:99999'", "F:1:0: invalid port 99999"),
        ("http: 70000", "F:1:0: invalid port 70000"),
        ("max_payload: -1", "F:1:0: max_payload value can not be negative"),
        ("max_closed_clients: -1", "F:1:0: max_closed_clients value can not be negative"),
        ("ping_max: -1", "F:1:0: ping_max value can not be negative"),
        ("ping_interval: '-5s'", "F:1:0: invalid ping_interval, needs to be positive"),
        ("write_deadline: '-1s'", "F:1:0: invalid write_deadline, needs to be positive"),
        (
            "lame_duck_duration: '-30s'",
            "F:1:0: invalid lame_duck_duration of -30s, minimum is 30 seconds",
        ),
        (
            "lame_duck_grace_period: '-1s'",
            "F:1:0: invalid lame_duck_grace_period, needs to be positive",
        ),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), expected);
    }
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_text() {
    let error = read("bogus: 1\nport: a\ntls {}").expect_err("three errors").to_string();
    assert_eq!(
        error,
        "F:1:0: unknown field \"bogus\"\n\
         F:2:1: interface conversion: interface {} is string, not int64\n\
         F:3:1: \"tls\" is not supported yet"
    );
}

#[test]
fn what_is_wrong_together_is_refused_at_start_and_not_before() {
    for (text, expected) in [
        (
            "max_payload: 65mb",
            "max_payload (68157440) cannot be higher than max_pending (67108864)",
        ),
        (
            "lame_duck_duration: '30s', lame_duck_grace_period: '40s'",
            "lame duck grace period (40s) should be strictly lower than lame duck duration (30s)",
        ),
        (
            "client_advertise: ':::'",
            "Error setting server INFO with ClientAdvertise value of :::, \
             err=address :::: too many colons in address",
        ),
        (
            "client_advertise: 'a:b'",
            "Error setting server INFO with ClientAdvertise value of a:b, \
             err=strconv.Atoi: parsing \"b\": invalid syntax",
        ),
    ] {
        let error = options(text).validate().expect_err(text);
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(Options::default().validate(), Ok(()));
    assert_eq!(options("max_payload: 10mb").warnings().len(), 1);
}

#[test]
fn an_advertised_host_may_come_without_port() {
    for (text, expected) in [
        ("a", ("a", None)),
        ("a:", ("a", None)),
        ("a:-1", ("a", None)),
        ("'[::1]'", ("::1", None)),
        ("'[::1]:5'", ("::1", Some(5))),
    ] {
        let options = options(&format!("client_advertise: {text}"));
        assert_eq!(options.client_advertise_address(), Ok(Some(expected)), "{text}");
    }
}

#[test]
fn the_weft_block_is_read_as_strictly() {
    let weft = options(
        "weft { cores: '0-3,6,2', shards: 4, spin: 80us, placement: round_robin
                ring_features: 5.10, jetstream_io: buffered, read_cache: 32MB
                move_connections: false, move_interval: 10ms, move_rate: 7 }",
    )
    .weft;
    assert_eq!(weft.cores.as_ref().map(ToString::to_string).as_deref(), Some("0-3,6"));
    assert_eq!(weft.cores.expect("set").cores(), [0, 1, 2, 3, 6]);
    assert_eq!((weft.shards, weft.spin), (Some(4), Spin::For(Duration::from_micros(80))));
    assert_eq!(weft.placement, Placement::RoundRobin);
    assert_eq!((weft.move_connections, weft.move_interval), (false, Duration::from_millis(10)));
    assert_eq!(weft.move_rate, 7);
    assert_eq!(weft.ring_features, RingFeatures::Linux5_10);
    assert_eq!((weft.jetstream_io, weft.read_cache_bytes), (JetStreamIo::Buffered, 32 << 20));
    for (text, spin) in [("auto", Spin::Auto), ("0", Spin::For(Duration::ZERO))] {
        assert_eq!(options(&format!("weft {{spin: {text}}}")).weft.spin, spin);
    }
    for (text, expected) in [
        ("weft: 1", "F:1:0: Expected map to define weft, got int64"),
        ("weft {bogus: 1}", "F:1:6: unknown field \"bogus\""),
        ("weft {cores: '3-1'}", "F:1:6: cores must be like '0-3,6', got '3-1'"),
        ("weft {cores: '0-99999999999'}", "F:1:6: cores must be like '0-3,6', got '0-99999999999'"),
        ("weft {shards: 65}", "F:1:6: 65 shards are more than 64"),
        ("weft {shards: -1}", "F:1:6: shards value can not be negative"),
        ("weft {spin: 1s}", "F:1:6: a spin of 1s is more than 10ms"),
        ("weft {read_cache: -1}", "F:1:6: read_cache value can not be negative"),
        ("weft {jetstream_io: x}", "F:1:6: jetstream_io must be 'direct' or 'buffered', got 'x'"),
        ("weft {move_interval: 1h}", "F:1:6: a move_interval of 1h0m0s is not between 1ms and 1m"),
        ("weft {placement: x}", "F:1:6: placement must be 'fewest' or 'round_robin', got 'x'"),
        (
            "weft {ring_features: 5.4}",
            "F:1:6: ring_features must be 'auto', '5.10', '5.13', '5.19' or '6.1', got '5.4'",
        ),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), expected);
    }
}
