use std::path::Path;

use super::*;
use crate::config::Surroundings;

fn options(text: &str) -> Options {
    let text = format!("listen: 127.0.0.1:14901\nhttp: 127.0.0.1:14902\n{text}");
    let surroundings =
        Surroundings { read: &|_| Ok(text.clone().into_bytes()), variable: &|_| None };
    Options::from_file(Path::new("R.conf"), &surroundings).expect("a good config")
}

/// The lines are those of nats-server 2.15.1.
#[test]
fn a_change_is_logged_as_the_reference_logs_it() {
    for (text, line) in [
        ("debug: true", "Reloaded: debug = true"),
        ("trace: true", "Reloaded: trace = true"),
        ("logtime: false", "Reloaded: logtime = false"),
        ("logtime_utc: true", "Reloaded: logtime_utc = true"),
        ("log_file: '/tmp/l.log'", "Reloaded: log_file = /tmp/l.log"),
        ("max_connections: 5", "Reloaded: max_connections = 5"),
        ("max_control_line: 2kb", "Reloaded: max_control_line = 2048"),
        ("max_payload: 2kb", "Reloaded: max_payload = 2048"),
        ("ping_interval: 5s", "Reloaded: ping_interval = 5s"),
        ("ping_max: 5", "Reloaded: ping_max = 5"),
        ("write_deadline: 3s", "Reloaded: write_deadline = 3s"),
        ("no_fast_producer_stall: true", "Reloaded: fast producers will not be stalled"),
        ("connect_error_reports: 5", "Reloaded: connect_error_reports = 5"),
        ("reconnect_error_reports: 6", "Reloaded: reconnect_error_reports = 6"),
        ("client_advertise: 'a:1'", "Reload: client_advertise = a:1"),
        ("server_tags: [a,b]", "Reloaded: tags"),
        ("server_metadata: {a:b}", "Reloaded: metadata"),
        ("pid_file: '/tmp/p.pid'", "Reloaded: pid_file = /tmp/p.pid"),
        ("ports_file_dir: /tmp", "Reloaded: ports_file_dir = /tmp"),
        ("max_traced_msg_len: 10", "Reloaded: max_traced_msg_len = 10"),
        ("authorization { token: t }", "Reloaded: authorization token"),
        ("authorization { user: a }", "Reloaded: authorization username"),
        ("authorization { password: a }", "Reloaded: authorization password"),
        ("authorization { timeout: 0.5 }", "Reloaded: authorization timeout = 0.5"),
        ("authorization { users: [{user: a}] }", "Reloaded: authorization users"),
        (
            "authorization { users: \
             [{nkey: UCOWDXP7OHKRYF5XVTO7HSS7HKRGO3CCLT2KOETZIGRTTXNHRTXPHIQA}] }",
            "Reloaded: authorization nkey users",
        ),
    ] {
        let changes = changes(&options(""), &options(text)).expect(text);
        let lines: Vec<_> = changes.iter().map(|change| change.text.as_str()).collect();
        assert_eq!(lines, [line]);
    }
    let back = changes(&options("no_fast_producer_stall: true"), &options(""));
    assert_eq!(back.expect("may change")[0].text, "Reloaded: fast producers will be stalled");
}

#[test]
fn any_change_of_a_user_is_one() {
    let users = |user: &str| options(&format!("authorization {{ users: [ {{user: a{user}}} ] }}"));
    for changed in [", password: p", ", permissions: {}", ", clients: MQTT"] {
        assert_eq!(changes(&users(""), &users(changed)).expect("may change").len(), 1, "{changed}");
        assert_eq!(changes(&users(changed), &users(changed)).expect("may change"), []);
    }
}

#[test]
fn the_no_auth_user_goes_only_together_with_its_user() {
    let with = |nobody: &str, user: &str| {
        options(&format!("{nobody}\nauthorization {{ users: [ {{user: {user}}} ] }}"))
    };
    let old = with("no_auth_user: a", "a");
    assert!(changes(&old, &with("", "b")).is_ok());
    let refused = changes(&old, &with("", "a")).expect_err("its user is still there");
    assert_eq!(refused.to_string(), "config reload not supported for NoAuthUser: old=a, new=");
    let refused = changes(&with("", "a"), &old).expect_err("a new one");
    assert_eq!(refused.to_string(), "config reload not supported for NoAuthUser: old=, new=a");
}

#[test]
fn trace_comes_with_its_verbose_forms() {
    for form in ["trace_verbose", "trace_headers"] {
        let changes = changes(&options(""), &options(&format!("{form}: true")));
        let keys: Vec<_> = changes.expect("may change").iter().map(|c| c.key).collect();
        assert_eq!(keys, ["trace", form]);
    }
}

#[test]
fn what_cannot_change_refuses_the_whole_reload() {
    for (text, reason) in [
        ("port: 14999", "Port: old=14901, new=14999"),
        ("host: localhost", "Host: old=127.0.0.1, new=localhost"),
        ("server_name: y", "ServerName: old=, new=y"),
        ("max_pending: 2mb", "MaxPending: old=67108864, new=2097152"),
        ("max_subscriptions: 5", "MaxSubs: old=0, new=5"),
        ("max_sub_tokens: 5", "MaxSubTokens: old=0, new=5"),
        ("max_closed_clients: 5", "MaxClosedClients: old=10000, new=5"),
        ("write_timeout: close", "WriteTimeout: old=, new=close"),
        ("lame_duck_duration: 40s", "LameDuckDuration: old=2m0s, new=40s"),
        ("lame_duck_grace_period: 5s", "LameDuckGracePeriod: old=10s, new=5s"),
        ("disable_sublist_cache: true", "NoSublistCache: old=false, new=true"),
        ("no_header_support: true", "NoHeaderSupport: old=false, new=true"),
        ("feature_flags: {a: true}", "FeatureFlags: old=map[], new=map[a:true]"),
        ("log_size_limit: 5", "LogSizeLimit: old=0, new=5"),
        ("log_max_num: 5", "LogMaxFiles: old=0, new=5"),
        ("http_base_path: /x", "HTTPBasePath: old=, new=/x"),
        ("http: 127.0.0.1:14903", "HTTPPort: old=14902, new=14903"),
        ("http: localhost:14902", "HTTPHost: old=127.0.0.1, new=localhost"),
        ("store_dir: /x", "StoreDir: old=, new=/x"),
        ("jetstream: true", "JetStream: old=false, new=true"),
        ("weft {cores: '0-1'}", "weft.cores: old=, new=0-1"),
        ("weft {shards: 3}\ndebug: true", "weft.shards: old=0, new=3"),
    ] {
        let refused = changes(&options(""), &options(text)).expect_err(text);
        assert_eq!(refused.to_string(), format!("config reload not supported for {reason}"));
    }
}

#[test]
fn what_cannot_change_of_jetstream() {
    for (text, reason) in [
        ("max_mem: 5", "JetStreamMaxMemory: old=-1, new=5"),
        ("max_file: 5", "JetStreamMaxStore: old=-1, new=5"),
        ("domain: a", "JetStreamDomain: old=, new=a"),
        ("strict: false", "JetStreamOptions: old=Some("),
        ("sync: 5s", "JetStreamOptions: old=Some("),
    ] {
        let new = options(&format!("jetstream {{ {text} }}"));
        let refused = changes(&options("jetstream: true"), &new).expect_err(text).to_string();
        let begins = format!("config reload not supported for {reason}");
        assert!(refused.starts_with(&begins), "{refused}");
    }
}

#[test]
fn the_same_options_in_other_words_change_nothing() {
    let other = options("# comment\nPING_MAX = 2\nmax_payload 1MiB;");
    assert_eq!(changes(&options(""), &other), Ok(Vec::new()));
}
