//! Blocks against what nats-server 2.15.1 made of them, except that it names the position of the
//! outermost key where a value has the wrong type.

use std::path::Path;

use super::*;
use crate::config::Surroundings;

fn read(text: &str) -> Result<Options, String> {
    let surroundings =
        Surroundings { read: &|_| Ok(text.as_bytes().to_vec()), variable: &|_| None };
    let options = Options::from_file(Path::new("F"), &surroundings);
    let options = options.map_err(|error| error.to_string())?;
    options.validate().map_err(|error| error.to_string())?;
    Ok(options)
}

fn block(text: &str) -> JetStream {
    let text = format!("jetstream: {text}");
    read(&text).expect(&text).jetstream.expect(&text)
}

#[test]
fn on_and_off() {
    for text in ["true", "enabled", "Enable", "ENABLED", "{}", "{enabled: true}", "{enable: true}"]
    {
        assert_eq!(block(text), JetStream::default(), "{text}");
    }
    for text in ["false", "disabled", "disable", "{enabled: false}", "{max_mem: 1, enable: false}"]
    {
        let text = format!("jetstream: {text}");
        assert_eq!(read(&text).expect(&text).jetstream, None, "{text}");
    }
    assert_eq!(read("port: 4222").unwrap().jetstream, None);
}

#[test]
fn every_key_of_the_block() {
    let options = read(
        "jetstream { store_dir: /data, max_mem: 1GB, max_file: 64M, domain: hub, strict: false
           sync_interval: '5s', max_buffered_msgs: 7, max_buffered_size: '2K'
           request_queue_limit: 9
           limits { max_ack_pending: 500, max_request_batch: 50, default_max_consumers: 7, duplicate_window: '1m'
             batch { max_inflight_per_stream: 5, max_msgs: 7, timeout: 3s } } }",
    )
    .unwrap();
    assert_eq!(options.store_dir, Some("/data".into()));
    let expected = JetStream {
        max_memory_bytes: Some(1 << 30),
        max_file_bytes: Some(64_000_000),
        domain: Some("hub".into()),
        strict: false,
        sync: Sync::Every(Duration::from_secs(5)),
        limits: JetStreamLimits {
            max_ack_pending: Some(500),
            max_request_batch: Some(50),
            default_max_consumers: Some(7),
            duplicate_window: Some(Duration::from_mins(1)),
            batch: BatchLimits {
                max_inflight_per_stream: 5,
                max_messages: 7,
                timeout: Duration::from_secs(3),
            },
        },
        max_buffered_messages: 7,
        max_buffered_bytes: 2048,
        request_queue_max: 9,
    };
    assert_eq!(options.jetstream, Some(expected));
}

#[test]
fn sizes() {
    let rows = [
        ("0", Some(0)),
        ("-1", None),
        ("5", Some(5)),
        ("1kb", Some(1024)),
        ("'10K'", Some(10 << 10)),
        ("'5T'", Some(5 << 40)),
        ("'-5M'", None),
        ("''", None),
    ];
    for (text, bytes) in rows {
        for (key, name) in [("max_mem", "memory"), ("max_file_store", "file")] {
            let js = block(&format!("{{{key}: {text}}}"));
            let found = if name == "memory" { js.max_memory_bytes } else { js.max_file_bytes };
            assert_eq!(found, bytes, "{key} {text}");
        }
    }
}

#[test]
fn when_to_sync() {
    assert_eq!(block("{sync: always}").sync, Sync::Always);
    assert_eq!(block("{sync: '2m'}").sync, Sync::Every(Duration::from_mins(2)));
    assert_eq!(block("{sync: '0s'}").sync, Sync::Always);
    assert_eq!(block("{sync: '-1s'}").sync, Sync::Always);
}

#[test]
fn zero_and_below_are_the_default() {
    for number in ["0", "-1"] {
        let js = block(&format!(
            "{{max_buffered_msgs: {number}, max_buffered_size: {number}
               request_queue_limit: {number}
               limits {{max_ack_pending: {number}, batch {{max_msgs: {number}}}}}}}"
        ));
        assert_eq!(js, JetStream::default(), "{number}");
    }
}

#[test]
fn what_is_refused() {
    let rows = [
        ("foo", "1:0: Expected 'enabled' or 'disabled' for string value, got 'foo'"),
        ("5", "1:0: Expected map, bool or string to define JetStream, got int64"),
        ("[]", "1:0: Expected map, bool or string to define JetStream, got []interface {}"),
        ("{bogus:1}", r#"1:12: unknown field "bogus""#),
        ("{max_memory:1GB}", r#"1:12: unknown field "max_memory""#),
        ("{enabled:5}", "1:12: interface conversion: interface {} is int64, not bool"),
        (
            r#"{max_mem:"1GB"}"#,
            r#"1:12: max_mem_store strconv.ParseInt: parsing "1G": invalid syntax"#,
        ),
        (
            r#"{max_file:"x"}"#,
            r#"1:12: max_file_store strconv.ParseInt: parsing "": invalid syntax"#,
        ),
        (
            r#"{max_mem:"75%"}"#,
            "1:12: max_mem_store sizes defined as strings must end in K, M, G, T",
        ),
        ("{max_mem:true}", "1:12: max_mem_store must be int64 or string"),
        (
            r#"{max_buffered_size:"1MB"}"#,
            r#"1:12: max_buffered_size strconv.ParseInt: parsing "1M": invalid syntax"#,
        ),
        (
            r#"{max_buffered_msgs:"x"}"#,
            r#"1:12: Expected a parseable size for "max_buffered_msgs", got x"#,
        ),
        (r#"{strict:"false"}"#, "1:12: Expected 'true' or 'false' for bool value, got 'false'"),
        (
            "{sync:5}",
            r#"1:12: invalid use of field "sync": sync should be converted to a duration"#,
        ),
        (r#"{sync:"x"}"#, r#"1:12: error parsing sync: time: invalid duration "x""#),
        ("{limits:5}", "1:12: Expected a map to define JetStreamLimits, got int64"),
        ("{limits:{bogus:5}}", r#"1:20: unknown field "bogus""#),
        ("{limits:{batch:5}}", "1:20: Expected a map to define batch limits, got int64"),
        ("{limits:{batch:{bogus:5}}}", r#"1:27: unknown field "bogus""#),
    ];
    for (text, expected) in rows {
        let error = read(&format!("jetstream: {text}")).expect_err(text);
        assert_eq!(error, format!("F:{expected}"), "{text}");
    }
}

#[test]
fn what_we_lack_is_refused_by_name() {
    for key in REFUSED {
        let error = read(&format!("jetstream: {{{key}: x}}")).expect_err(key);
        assert_eq!(error, format!("F:1:12: \"{key}\" is not supported yet"));
    }
    for key in REFUSED_LIMITS {
        let error = read(&format!("jetstream: {{limits: {{{key}: 5}}}}")).expect_err(key);
        assert_eq!(error, format!("F:1:21: \"{key}\" is not supported yet"));
    }
}

#[test]
fn one_place_for_the_store() {
    for text in [
        "store_dir: /a\njetstream: {store_dir: /a}",
        "store_dir: /a\nstoredir: /b",
        "jetstream: {store_dir: /b}\nstore_dir: /a",
    ] {
        let error = read(text).expect_err(text);
        assert!(error.ends_with(": Duplicate 'store_dir' configuration"), "{error}");
    }
    let beside = read("store_dir: /a\njetstream: true").unwrap();
    assert!(beside.warnings().is_empty());
    let temporary = read("jetstream: true").unwrap();
    let warning = "Temporary storage directory used, data could be lost on system reboot";
    assert_eq!(temporary.warnings(), [warning]);
    let off = read("jetstream: {enabled: false, store_dir: /a}").unwrap();
    assert_eq!((off.store_dir, off.jetstream), (Some("/a".into()), None));
}

#[test]
fn domains() {
    let derived = |domain: &str| {
        Some(format!("invalid domain name: derived \"$JS.{domain}.API.>\" is not a valid subject"))
    };
    let tokens = Some("invalid domain name: may not contain ., * or >".to_owned());
    let rows = [
        ("hub", None),
        ("", None),
        ("a b", derived("a b")),
        (">", derived(">")),
        ("a.b", tokens.clone()),
        ("a*", tokens.clone()),
        ("a>", tokens),
    ];
    for (domain, refusal) in rows {
        let error = read(&format!("jetstream: {{domain: {domain:?}}}")).err();
        assert_eq!(error, refusal, "{domain}");
    }
}
