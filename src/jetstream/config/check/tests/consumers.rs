//! Consumers that are to be made, or to be changed.

use super::*;
use crate::types::time::SECOND;

/// Broken by consumers that are pulled from.
#[rustfmt::skip]
const PULL_RULES: &[Rule] = &[
    (0, r#"{"num_replicas":3}"#, 10074, r#"replicas > 1 not supported in non-clustered mode"#, ""),
    (0, r#"{"num_replicas":-1}"#, 10133, r#"replicas count cannot be negative"#, ""),
    (0, r#"{"num_replicas":6}"#, 10074, r#"replicas > 1 not supported in non-clustered mode"#, ""),
    (1, r#"{"backoff":[-1]}"#, 10184, r#"consumer backoff needs to be positive"#, ""),
    (2, r#"{"ack_wait":-1}"#, 10183, r#"consumer ack wait needs to be positive"#, "backoff"),
    (3, r#"{"ack_policy":"flow_control"}"#, 10218, r#"flow control ack policy requires a push based consumer"#, ""),
    (4, r#"{"backoff":[1000000000,1000000000],"max_deliver":1}"#, 10116, r#"max deliver is required to be > length of backoff values"#, ""),
    (5, r#"{"description":"LONG"}"#, 10107, r#"consumer description is too long, maximum allowed is 4096"#, ""),
    (6, r#"{"rate_limit_bps":5}"#, 10086, r#"consumer in pull mode can not have rate limit set"#, ""),
    (7, r#"{"idle_heartbeat":1000000000}"#, 10088, r#"consumer idle heartbeat requires a push based consumer"#, ""),
    (8, r#"{"flow_control":true}"#, 10089, r#"consumer flow control requires a push based consumer"#, ""),
    (9, r#"{"max_expires":5}"#, 10115, r#"consumer max request expires needs to be >= 1ms"#, ""),
    (10, r#"{"direct":true}"#, 10090, r#"consumer direct requires a push based consumer"#, ""),
    (11, r#"{"filter_subject":"q.a","filter_subjects":["q.b"]}"#, 10136, r#"consumer cannot have both FilterSubject and FilterSubjects specified"#, ""),
    (11, r#"{"filter_subjects":["q.*","q.b"]}"#, 10138, r#"consumer subject filters cannot overlap"#, ""),
    (11, r#"{"filter_subjects":["q.a",""]}"#, 10139, r#"consumer filter in FilterSubjects cannot be empty"#, ""),
    (11, r#"{"filter_subject":"q..a"}"#, 10052, r#"invalid subject"#, ""),
    (11, r#"{"filter_subjects":["q..a"]}"#, 10052, r#"invalid subject"#, ""),
    (11, r#"{"filter_subjects":["q..a","q.b"]}"#, 10052, r#"invalid subject"#, ""),
    (12, r#"{"deliver_policy":"last","opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver last, but optional start sequence is also set"#, ""),
    (12, r#"{"deliver_policy":"new","opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver new, but optional start sequence is also set"#, ""),
    (12, r#"{"deliver_policy":"by_start_sequence","opt_start_seq":5,"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver by start sequence, but optional start time is also set"#, ""),
    (12, r#"{"deliver_policy":"by_start_time","opt_start_seq":5,"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver by start time, but optional start start sequence is also set"#, ""),
    (12, r#"{"deliver_policy":"last_per_subject","opt_start_seq":5,"filter_subject":"q.a"}"#, 10094, r#"consumer delivery policy is deliver last per subject, but optional start sequence is also set"#, ""),
    (12, r#"{"deliver_policy":"by_start_sequence"}"#, 10094, r#"consumer delivery policy is deliver by start sequence, but optional start sequence is not set"#, "opt_start_seq"),
    (12, r#"{"deliver_policy":"by_start_time"}"#, 10094, r#"consumer delivery policy is deliver by start time, but optional start time is not set"#, "opt_start_time"),
    (12, r#"{"deliver_policy":"last","opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver last, but optional start time is also set"#, ""),
    (12, r#"{"deliver_policy":"last_per_subject"}"#, 10094, r#"consumer delivery policy is deliver last per subject, but optional filter subject is not set"#, "filter_subject"),
    (12, r#"{"opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver all, but optional start sequence is also set"#, "deliver_policy"),
    (12, r#"{"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver all, but optional start time is also set"#, "deliver_policy"),
    (13, r#"{"sample_freq":"zz"}"#, 10095, r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "zz": invalid syntax"#, ""),
    (13, r#"{"sample_freq":"-5"}"#, 10095, r#"failed to parse consumer sampling configuration: <nil>"#, ""),
    (14, r#"{"metadata":{"a":"LONG"}}"#, 10135, r#"consumer metadata exceeds maximum size of 128KB"#, ""),
    (15, r#"{"priority_policy":"overflow","priority_groups":[""]}"#, 10161, r#"Group name cannot be an empty string"#, ""),
    (15, r#"{"priority_policy":"overflow","priority_groups":["a b"]}"#, 10162, r#"Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"#, ""),
    (15, r#"{"priority_policy":"overflow","priority_groups":["xxxxxxxxxxxxxxxxx"]}"#, 10162, r#"Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters"#, ""),
    (16, r#"{"priority_policy":"overflow"}"#, 10159, r#"Setting PriorityPolicy requires at least one PriorityGroup to be set"#, "priority_groups"),
    (16, r#"{"priority_groups":["g"]}"#, 10196, r#"consumer can not have priority groups when policy is none"#, "priority_policy"),
    (17, r#"{"priority_timeout":1000000000}"#, 10197, r#"PinnedTTL cannot be set when PriorityPolicy is none"#, "priority_policy"),
];

/// Broken by consumers that deliver. Rules for both kinds are repeated where they are in order.
#[rustfmt::skip]
const PUSH_RULES: &[Rule] = &[
    (0, r#"{"num_replicas":3}"#, 10074, r#"replicas > 1 not supported in non-clustered mode"#, ""),
    (0, r#"{"num_replicas":-1}"#, 10133, r#"replicas count cannot be negative"#, ""),
    (1, r#"{"backoff":[-1]}"#, 10184, r#"consumer backoff needs to be positive"#, ""),
    (1, r#"{"ack_policy":"flow_control","deliver_subject":"d","max_ack_pending":5,"backoff":[1000000000]}"#, 10221, r#"flow control ack policy requires unset ack wait"#, ""),
    (2, r#"{"ack_wait":-1}"#, 10183, r#"consumer ack wait needs to be positive"#, "backoff"),
    (3, r#"{"ack_policy":"flow_control","deliver_subject":"d","max_ack_pending":-1}"#, 10220, r#"flow control ack policy requires max ack pending"#, ""),
    (4, r#"{"ack_policy":"flow_control","deliver_subject":"d","max_ack_pending":5,"ack_wait":1000000000}"#, 10221, r#"flow control ack policy requires unset ack wait"#, ""),
    (5, r#"{"ack_policy":"flow_control","deliver_subject":"d","max_ack_pending":5,"max_deliver":5}"#, 10222, r#"flow control ack policy requires unset max deliver"#, ""),
    (6, r#"{"backoff":[1000000000,1000000000],"max_deliver":1}"#, 10116, r#"max deliver is required to be > length of backoff values"#, ""),
    (7, r#"{"description":"LONG"}"#, 10107, r#"consumer description is too long, maximum allowed is 4096"#, ""),
    (8, r#"{"deliver_subject":"d.*"}"#, 10079, r#"consumer deliver subject has wildcards"#, ""),
    (8, r#"{"deliver_subject":"d..x"}"#, 10112, r#"invalid push consumer deliver subject"#, ""),
    (8, r#"{"deliver_subject":"q.x"}"#, 10081, r#"consumer deliver subject forms a cycle"#, ""),
    (8, r#"{"deliver_subject":"d","max_waiting":5}"#, 10080, r#"consumer in push mode can not set max waiting"#, ""),
    (9, r#"{"deliver_subject":"d","max_ack_pending":5}"#, 10082, r#"consumer requires ack policy for max ack pending"#, "ack_policy"),
    (10, r#"{"deliver_subject":"d","idle_heartbeat":5}"#, 10083, r#"consumer idle heartbeat needs to be >= 100ms"#, "ack_policy"),
    (11, r#"{"direct":true,"durable_name":"c","deliver_subject":"d"}"#, 10091, r#"consumer direct requires an ephemeral consumer"#, ""),
    (12, r#"{"filter_subject":"q.a","filter_subjects":["q.b"]}"#, 10136, r#"consumer cannot have both FilterSubject and FilterSubjects specified"#, ""),
    (12, r#"{"filter_subjects":["q.*","q.b"]}"#, 10138, r#"consumer subject filters cannot overlap"#, ""),
    (12, r#"{"filter_subjects":["q.a",""]}"#, 10139, r#"consumer filter in FilterSubjects cannot be empty"#, ""),
    (12, r#"{"filter_subject":"q..a"}"#, 10052, r#"invalid subject"#, ""),
    (12, r#"{"filter_subjects":["q..a"]}"#, 10052, r#"invalid subject"#, ""),
    (13, r#"{"deliver_policy":"last","opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver last, but optional start sequence is also set"#, ""),
    (13, r#"{"deliver_policy":"new","opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver new, but optional start sequence is also set"#, ""),
    (13, r#"{"deliver_policy":"by_start_sequence","opt_start_seq":5,"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver by start sequence, but optional start time is also set"#, ""),
    (13, r#"{"deliver_policy":"by_start_time","opt_start_seq":5,"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver by start time, but optional start start sequence is also set"#, ""),
    (13, r#"{"deliver_policy":"last_per_subject","opt_start_seq":5,"filter_subject":"q.a"}"#, 10094, r#"consumer delivery policy is deliver last per subject, but optional start sequence is also set"#, ""),
    (13, r#"{"deliver_policy":"by_start_sequence"}"#, 10094, r#"consumer delivery policy is deliver by start sequence, but optional start sequence is not set"#, "opt_start_seq"),
    (13, r#"{"deliver_policy":"by_start_time"}"#, 10094, r#"consumer delivery policy is deliver by start time, but optional start time is not set"#, "opt_start_time"),
    (13, r#"{"deliver_policy":"last","opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver last, but optional start time is also set"#, ""),
    (13, r#"{"deliver_policy":"last_per_subject"}"#, 10094, r#"consumer delivery policy is deliver last per subject, but optional filter subject is not set"#, "filter_subject"),
    (13, r#"{"opt_start_seq":5}"#, 10094, r#"consumer delivery policy is deliver all, but optional start sequence is also set"#, "deliver_policy"),
    (13, r#"{"opt_start_time":"2026-01-01T00:00:00Z"}"#, 10094, r#"consumer delivery policy is deliver all, but optional start time is also set"#, "deliver_policy"),
    (14, r#"{"sample_freq":"zz"}"#, 10095, r#"failed to parse consumer sampling configuration: strconv.Atoi: parsing "zz": invalid syntax"#, ""),
    (15, r#"{"deliver_subject":"d","flow_control":true}"#, 10108, r#"consumer with flow control also needs heartbeats"#, "idle_heartbeat"),
    (16, r#"{"metadata":{"a":"LONG"}}"#, 10135, r#"consumer metadata exceeds maximum size of 128KB"#, ""),
    (17, r#"{"deliver_subject":"d","priority_policy":"overflow","priority_groups":["g"]}"#, 10178, r#"priority groups can not be used with push consumers"#, ""),
];

fn queue() -> StreamConfig {
    created(r#"{"name":"wq","subjects":["wq.>"],"retention":"workqueue"}"#)
}

fn plain() -> StreamConfig {
    created(r#"{"name":"q","subjects":["q.>"]}"#)
}

#[test]
fn each_rule_by_itself() {
    for (_, config, err_code, text, _) in PULL_RULES.iter().chain(PUSH_RULES) {
        let error = check(&plain(), &object(config)).expect_err(config);
        assert_eq!(said(error), (*err_code, (*text).into()), "{config}");
    }
}

/// Of two broken rules the reference names one; which one was seen for each of these pairs.
#[test]
fn rules_in_order() {
    let mut pairs = 0;
    for (rules, push) in [(PULL_RULES, false), (PUSH_RULES, true)] {
        for (place, one, ..) in rules {
            for (_, other, ..) in rules.iter().filter(|rule| rule.0 > *place) {
                let Some(both) = merge(one, other) else { continue };
                let filters = ["filter_subject", "filter_subjects"];
                let breaks_a_third = filters.iter().all(|name| both.contains_key(*name));
                if breaks_a_third || both.contains_key("deliver_subject") != push {
                    continue;
                }
                pairs += 1;
                let error = check(&plain(), &both).expect_err(one);
                assert_eq!(said(error), first_broken(rules, &both), "{one} {other}");
            }
        }
    }
    assert!(pairs > 500, "{pairs}");
}

#[test]
fn what_is_filled_in() {
    let filled = |text: &str| {
        let config = check(&plain(), &object(text)).unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let mut json = serde_json::to_value(config).unwrap();
        let map = json.as_object_mut().unwrap();
        map.remove("metadata");
        for name in object(text).keys() {
            map.remove(name);
        }
        let always = ["deliver_policy", "ack_policy", "replay_policy", "num_replicas"];
        map.retain(|name, _| !always.contains(&name.as_str()));
        json
    };
    let idle = r#""inactive_threshold":5000000000"#;
    let rows = [
        ("{}", format!(r#"{{"max_deliver":-1,"max_waiting":512,{idle}}}"#)),
        (
            r#"{"ack_policy":"explicit"}"#,
            format!(
                r#"{{"ack_wait":30000000000,"max_deliver":-1,"max_waiting":512,"max_ack_pending":1000,{idle}}}"#
            ),
        ),
        (
            r#"{"ack_policy":"all","deliver_subject":"x","max_deliver":3}"#,
            format!(r#"{{"ack_wait":30000000000,"max_ack_pending":1000,{idle}}}"#),
        ),
        (r#"{"durable_name":"c"}"#, r#"{"max_deliver":-1,"max_waiting":512}"#.into()),
        (r#"{"ack_wait":5}"#, format!(r#"{{"max_deliver":-1,"max_waiting":512,{idle}}}"#)),
        (
            r#"{"backoff":[1,2]}"#,
            format!(r#"{{"ack_wait":1,"max_deliver":-1,"max_waiting":512,{idle}}}"#),
        ),
        (
            r#"{"ack_policy":"flow_control","deliver_subject":"x","idle_heartbeat":5}"#,
            format!(r#"{{"max_deliver":-1,"max_ack_pending":1000,"flow_control":true,{idle}}}"#),
        ),
        (
            r#"{"priority_policy":"pinned_client","priority_groups":["g"]}"#,
            format!(
                r#"{{"max_deliver":-1,"max_waiting":512,{idle},"priority_timeout":120000000000}}"#
            ),
        ),
        (
            r#"{"ack_policy":"explicit","backoff":[0],"max_ack_pending":5}"#,
            format!(r#"{{"max_deliver":-1,"max_waiting":512,{idle}}}"#),
        ),
        (
            r#"{"max_batch":-1,"max_expires":-1,"max_bytes":-1,"idle_heartbeat":-1}"#,
            format!(r#"{{"max_deliver":-1,"max_waiting":512,{idle}}}"#),
        ),
    ];
    for (text, expected) in rows {
        let expected: Value = serde_json::from_str(&expected).unwrap();
        assert_eq!(filled(text), expected, "{text}");
    }
    let config = object(r#"{"ack_policy":"explicit","max_ack_pending":-2,"max_waiting":-3}"#);
    let config = check(&plain(), &config).unwrap();
    assert_eq!((config.max_ack_pending, config.max_waiting), (-1, 512));
}

#[test]
fn what_needs_a_higher_level() {
    let rows = [
        ("{}", "0"),
        (r#"{"pause_until":"2020-01-01T00:00:00Z"}"#, "1"),
        (r#"{"pause_until":"0001-01-01T00:00:00Z"}"#, "0"),
        (r#"{"priority_policy":"overflow","priority_groups":["g"]}"#, "1"),
        (r#"{"ack_policy":"flow_control","deliver_subject":"d"}"#, "4"),
        (r#"{"metadata":{"_nats.req.level":"3"}}"#, "0"),
    ];
    for (text, level) in rows {
        let config = check(&plain(), &object(text)).expect(text);
        assert_eq!(config.metadata["_nats.req.level"], level, "{text}");
    }
}

#[test]
fn what_is_taken() {
    for text in [
        r#"{"deliver_subject":"d","idle_heartbeat":-5}"#,
        r#"{"deliver_group":"g"}"#,
        r#"{"deliver_subject":"d","deliver_group":"g x"}"#,
        r#"{"deliver_subject":"$JS.API.x"}"#,
        r#"{"deliver_subject":"d","max_ack_pending":-1}"#,
        r#"{"deliver_subject":"d","max_batch":5,"max_expires":5,"max_bytes":5}"#,
        r#"{"filter_subject":"zz.a"}"#,
        r#"{"filter_subjects":["q.a","q.b"],"deliver_policy":"last_per_subject"}"#,
        r#"{"priority_policy":"overflow","priority_groups":["a/_=-Z9","b"],"priority_timeout":5}"#,
        r#"{"priority_policy":"prioritized","priority_groups":["xxxxxxxxxxxxxxxx"]}"#,
        r#"{"sourcing":true}"#,
        r#"{"direct":true,"deliver_subject":"d","ack_policy":"explicit"}"#,
        r#"{"deliver_policy":"by_start_time","opt_start_time":"0001-01-01T00:00:00Z"}"#,
    ] {
        check(&plain(), &object(text)).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    }
}

#[test]
fn how_often_to_sample() {
    let invalid = |text: &str| Some(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
    let rows = [
        ("", None),
        ("0", None),
        ("+5", None),
        ("100%", None),
        ("500", None),
        ("%", invalid("")),
        ("5%%", invalid("5%")),
        (" 5", invalid(" 5")),
        ("1.5", invalid("1.5")),
        ("-1%", Some("<nil>".into())),
        (
            "99999999999999999999",
            Some("strconv.Atoi: parsing \"99999999999999999999\": value out of range".into()),
        ),
    ];
    for (text, refusal) in rows {
        let config = object(&format!(r#"{{"sample_freq":"{text}"}}"#));
        let checked = check(&plain(), &config);
        let begins = "failed to parse consumer sampling configuration: ";
        let refusal = refusal.map(|text| format!("{begins}{text}"));
        assert_eq!(checked.as_ref().err().map(|e| e.description.clone().into_owned()), refusal);
    }
}

#[test]
fn limits_of_server_account_and_stream() {
    let server = JetStreamLimits {
        max_ack_pending: Some(500),
        max_request_batch: Some(50),
        ..JetStreamLimits::default()
    };
    let limited =
        created(r#"{"consumer_limits":{"max_ack_pending":40,"inactive_threshold":10000000000}}"#);
    let plain = plain();
    let check = |stream: &StreamConfig, account: i64, text: &str| {
        let bounds = ConsumerBounds { max_ack_pending: account, ..bounds(stream, &server) };
        match consumer(&object(text)).check(&bounds) {
            Ok(Checked::New(config)) => Ok(config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(said(error)),
        }
    };
    let explicit = r#"{"ack_policy":"explicit"}"#;
    let filled = check(&plain, -1, explicit).unwrap();
    assert_eq!((filled.max_ack_pending, filled.max_batch), (500, 50));
    assert_eq!(check(&plain, 300, explicit).unwrap().max_ack_pending, 300);
    let filled = check(&limited, -1, "{}").unwrap();
    assert_eq!((filled.max_ack_pending, filled.inactive_threshold.ns()), (40, 10 * SECOND));
    let durable = check(&limited, -1, r#"{"durable_name":"c"}"#).unwrap();
    assert_eq!(durable.inactive_threshold.ns(), 10 * SECOND);
    let pending = |most: i64| format!("consumer max ack pending exceeds system limit of {most}");
    let rows = [
        (&plain, r#"{"ack_policy":"explicit","max_ack_pending":501}"#, 10121, pending(500)),
        (&plain, r#"{"ack_policy":"explicit","max_ack_pending":301}"#, 10121, pending(300)),
        (&limited, r#"{"ack_policy":"explicit","max_ack_pending":41}"#, 10121, pending(40)),
        (
            &plain,
            r#"{"max_batch":51}"#,
            10125,
            "consumer max request batch exceeds server limit of 50".into(),
        ),
        (
            &limited,
            r#"{"inactive_threshold":20000000000}"#,
            10153,
            "consumer inactive threshold exceeds system limit of 10s".into(),
        ),
        (
            &limited,
            r#"{"deliver_subject":"x"}"#,
            10082,
            "consumer requires ack policy for max ack pending".into(),
        ),
    ];
    for (stream, text, err_code, refusal) in rows {
        assert_eq!(check(stream, 300, text), Err((err_code, refusal)), "{text}");
    }
    let push = check(&plain, -1, r#"{"deliver_subject":"x","max_batch":60}"#).unwrap();
    assert_eq!(push.max_batch, 60, "a limit of pulls");
}

#[test]
fn what_a_pedantic_client_hears() {
    let server = JetStreamLimits { max_request_batch: Some(50), ..JetStreamLimits::default() };
    let limited =
        created(r#"{"consumer_limits":{"max_ack_pending":40,"inactive_threshold":10000000000}}"#);
    let plain = plain();
    let rows = [
        (&plain, r#"{"max_deliver":-2}"#, "max_deliver must be set to -1"),
        (&plain, r#"{"max_waiting":-2}"#, "max_waiting must not be negative"),
        (&plain, r#"{"max_ack_pending":-2}"#, "max_ack_pending must be set to -1"),
        (&plain, r#"{"max_batch":-2}"#, "max_batch must not be negative"),
        (&plain, r#"{"max_expires":-2}"#, "max_expires must not be negative"),
        (&plain, r#"{"max_bytes":-2}"#, "max_bytes must not be negative"),
        (&plain, r#"{"idle_heartbeat":-2}"#, "idle_heartbeat must not be negative"),
        (&plain, r#"{"inactive_threshold":-2}"#, "inactive_threshold must not be negative"),
        (&plain, r#"{"priority_timeout":-2}"#, "priority_timeout must not be negative"),
        (&plain, r#"{"backoff":[5]}"#, "first backoff value has to equal batch AckWait"),
        (
            &plain,
            r#"{"ack_wait":-1}"#,
            "max_request_batch must be set if it's JetStream limits are set",
        ),
        (&limited, "{}", "max_ack_pending must be set if it's configured in stream limits"),
        (
            &limited,
            r#"{"max_ack_pending":-1}"#,
            "inactive_threshold must be set if it's configured in stream limits",
        ),
    ];
    let check = |stream: &StreamConfig, text: &str| {
        let bounds = ConsumerBounds { pedantic: true, ..bounds(stream, &server) };
        consumer(&object(text)).check(&bounds).map_err(said)
    };
    for (stream, text, refusal) in rows {
        let refusal = format!("pedantic mode: {refusal}");
        assert_eq!(check(stream, text), Err((10157, refusal)), "{text}");
    }
    let flow = r#"{"ack_policy":"flow_control","deliver_subject":"d","max_batch":5"#;
    let rows = [
        ("", Some((10219, "flow control ack policy requires flow control"))),
        (
            r#","flow_control":true"#,
            Some((10052, "flow control ack policy heartbeat needs to be 1s")),
        ),
        (r#","flow_control":true,"idle_heartbeat":1000000000"#, None),
    ];
    for (more, refusal) in rows {
        let error = check(&plain, &format!("{flow}{more}}}")).err();
        assert_eq!(error, refusal.map(|(code, text)| (code, text.into())), "{more}");
    }
}

#[test]
fn consumers_of_a_work_queue_share_nothing() {
    let queue = queue();
    let server = JetStreamLimits::default();
    let make = |text: &str, others: &[&ConsumerConfig]| {
        let bounds = ConsumerBounds { others, ..bounds(&queue, &server) };
        consumer(&object(text)).check(&bounds).map(drop).map_err(|error| error.err_code)
    };
    let rows = [
        ("{}", Err(10084)),
        (r#"{"ack_policy":"all"}"#, Err(10098)),
        (r#"{"deliver_subject":"d"}"#, Err(10098)),
        (r#"{"ack_policy":"explicit","deliver_policy":"new"}"#, Err(10101)),
        (r#"{"ack_policy":"none","rate_limit_bps":4}"#, Err(10084)),
        (r#"{"ack_policy":"explicit","deliver_policy":"new","priority_groups":["g"]}"#, Err(10196)),
        (r#"{"ack_policy":"none","deliver_subject":"d","flow_control":true}"#, Err(10108)),
        (r#"{"ack_policy":"flow_control","deliver_subject":"d"}"#, Ok(())),
        (r#"{"direct":true,"deliver_subject":"d"}"#, Ok(())),
    ];
    for (text, expected) in rows {
        assert_eq!(make(text, &[]), expected, "{text}");
    }
    let one = |text: &str| consumer(&object(text));
    let (all, x, direct) =
        (one("{}"), one(r#"{"filter_subjects":["wq.x","wq.z"]}"#), one(r#"{"direct":true}"#));
    let explicit = |filter: &str| format!(r#"{{"ack_policy":"explicit"{filter}}}"#);
    let rows: [(&str, &ConsumerConfig, Result<(), u16>); 7] = [
        ("", &all, Err(10099)),
        (r#","filter_subject":"wq.x""#, &all, Err(10100)),
        ("", &x, Err(10099)),
        (r#","filter_subject":"wq.*""#, &x, Err(10100)),
        (r#","filter_subjects":["wq.y","wq.z"]"#, &x, Err(10100)),
        (r#","filter_subject":"wq.y""#, &x, Ok(())),
        ("", &direct, Ok(())),
    ];
    for (filter, other, expected) in rows {
        assert_eq!(make(&explicit(filter), &[other]), expected, "{filter}");
    }
}

/// A consumer with the name `u` that is there, and what is asked of it.
fn change(old: &str, new: &str, action: Action, is_active: bool) -> Result<Checked, (u16, String)> {
    let stream = plain();
    let server = JetStreamLimits::default();
    let existing = check(&stream, &object(old)).unwrap();
    let mut merged = object(old);
    for (name, value) in object(new) {
        if value.is_null() {
            merged.remove(&name)
        } else {
            merged.insert(name, value)
        };
    }
    let bounds =
        ConsumerBounds { action, existing: Some(&existing), is_active, ..bounds(&stream, &server) };
    consumer(&merged).check(&bounds).map_err(said)
}

#[test]
fn what_may_not_change() {
    let push = r#"{"deliver_subject":"d","idle_heartbeat":1000000000,"flow_control":true}"#;
    let seq = r#"{"deliver_policy":"by_start_sequence","opt_start_seq":3}"#;
    let time = r#"{"deliver_policy":"by_start_time","opt_start_time":"2026-01-01T00:00:00Z"}"#;
    // In the order of the checks.
    let rows = [
        (seq, r#"{"deliver_policy":"new","opt_start_seq":null}"#, "deliver policy"),
        (seq, r#"{"mem_storage":true,"opt_start_seq":4}"#, "storage type"),
        (push, r#"{"direct":true,"sourcing":true}"#, "direct"),
        (seq, r#"{"sourcing":true,"opt_start_seq":4}"#, "sourcing"),
        (seq, r#"{"opt_start_seq":4,"ack_policy":"all"}"#, "start sequence"),
        (time, r#"{"opt_start_time":"2026-01-02T00:00:00Z","ack_policy":"all"}"#, "start time"),
        ("{}", r#"{"ack_policy":"explicit","replay_policy":"original"}"#, "ack policy"),
        ("{}", r#"{"replay_policy":"original","max_waiting":5}"#, "replay policy"),
        (push, r#"{"idle_heartbeat":2000000000,"flow_control":null}"#, "heart beats"),
        (push, r#"{"flow_control":null}"#, "flow control"),
        ("{}", r#"{"max_waiting":5}"#, "max waiting"),
    ];
    for (old, new, what) in rows {
        let refusal = Err((10012, format!("{what} can not be updated")));
        assert_eq!(change(old, new, Action::CreateOrUpdate, false), refusal, "{old} {new}");
    }
    let rows = [
        ("{}", r#"{"deliver_subject":"d"}"#, "can not update pull consumer to push based"),
        (
            r#"{"deliver_subject":"d"}"#,
            r#"{"deliver_subject":null}"#,
            "can not update push consumer to pull based",
        ),
    ];
    for (old, new, refusal) in rows {
        let refusal = Err((10012, refusal.into()));
        assert_eq!(change(old, new, Action::Update, true), refusal, "{old} {new}");
    }
    let moved = |is_active| {
        change(
            r#"{"deliver_subject":"d"}"#,
            r#"{"deliver_subject":"e"}"#,
            Action::Update,
            is_active,
        )
    };
    assert_eq!(moved(true), Err((10013, "consumer name already in use".into())));
    assert!(matches!(moved(false), Ok(Checked::Changed(_))));
}

#[test]
fn what_may_change() {
    for new in [
        r#"{"description":"d","ack_wait":5000000000,"max_deliver":5,"sample_freq":"5"}"#,
        r#"{"filter_subjects":["q.a","q.b"],"max_ack_pending":7,"headers_only":true}"#,
        r#"{"max_batch":5,"max_expires":1000000000,"max_bytes":5,"inactive_threshold":1000}"#,
        r#"{"num_replicas":1,"metadata":{"a":"b"},"backoff":[1]}"#,
        r#"{"priority_policy":"overflow","priority_groups":["g"]}"#,
    ] {
        let changed = change("{}", new, Action::Update, false);
        assert!(matches!(changed, Ok(Checked::Changed(_))), "{new}: {changed:?}");
    }
    let moment = r#"{"deliver_policy":"by_start_time","opt_start_time":"2026-01-01T00:00:00Z"}"#;
    let elsewhere = r#"{"opt_start_time":"2026-01-01T02:00:00+02:00"}"#;
    assert!(change(moment, elsewhere, Action::Update, false).is_ok());
}

#[test]
fn only_pausing_changes_a_pause() {
    let paused = r#"{"durable_name":"u","pause_until":"2030-01-01T00:00:00Z"}"#;
    let plain = r#"{"durable_name":"u"}"#;
    for action in [Action::CreateOrUpdate, Action::Create] {
        let forgotten = change(paused, r#"{"pause_until":null}"#, action, false);
        assert_eq!(forgotten, Ok(Checked::Same));
        assert_eq!(change(plain, paused, action, false), Ok(Checked::Same));
    }
    let described = r#"{"pause_until":null,"description":"d"}"#;
    let changed = change(paused, described, Action::Update, false);
    let Ok(Checked::Changed(config)) = changed else { panic!("{changed:?}") };
    assert_eq!(config.pause_until.unwrap().text(), "2030-01-01T00:00:00Z");
    assert_eq!(config.metadata["_nats.req.level"], "1");
}

#[test]
fn actions() {
    let stream = plain();
    let server = JetStreamLimits::default();
    let absent = |text: &str| {
        let bounds = ConsumerBounds { action: Action::Update, ..bounds(&stream, &server) };
        consumer(&object(text)).check(&bounds).map_err(said)
    };
    assert_eq!(absent("{}"), Err((10149, "consumer does not exist".into())));
    assert_eq!(absent(r#"{"ack_wait":-1}"#).unwrap_err().0, 10183);
    let durable = r#"{"durable_name":"u"}"#;
    let described = r#"{"description":"x"}"#;
    assert_eq!(change(durable, "{}", Action::Create, false), Ok(Checked::Same));
    assert_eq!(change(durable, "{}", Action::CreateOrUpdate, false), Ok(Checked::Same));
    let exists = Err((10148, "consumer already exists".into()));
    assert_eq!(change(durable, described, Action::Create, false), exists);
    let level = r#"{"priority_timeout":-1}"#;
    assert_eq!(change(durable, level, Action::Create, false), Ok(Checked::Same));
    assert_eq!(change(durable, r#"{"ack_wait":-1}"#, Action::Create, false).unwrap_err().0, 10183);
    assert!(matches!(change(durable, described, Action::Update, false), Ok(Checked::Changed(_))));
    // One that does not say how long it lives is never the same again.
    assert_eq!(change("{}", "{}", Action::Create, false), exists);
    let says = r#"{"inactive_threshold":1000000000}"#;
    assert_eq!(change(says, "{}", Action::Create, false), Ok(Checked::Same));
}

#[test]
fn a_consumer_stays_durable_or_not() {
    let idle = |old: &str, new: &str| match change(old, new, Action::CreateOrUpdate, false) {
        Ok(Checked::Changed(config)) => config.inactive_threshold.ns() / SECOND,
        other => panic!("{other:?}"),
    };
    assert_eq!(idle("{}", r#"{"durable_name":"u"}"#), 5);
    assert_eq!(idle(r#"{"durable_name":"u"}"#, r#"{"durable_name":null}"#), 0);
    assert_eq!(idle(r#"{"inactive_threshold":20000000000}"#, r#"{"inactive_threshold":0}"#), 5);
}

#[test]
fn limits_are_looked_at_behind_what_pulls_may_not_have() {
    let limited = created(r#"{"consumer_limits":{"max_ack_pending":40}}"#);
    let rows = [
        (r#"{"rate_limit_bps":5}"#, 10086),
        (r#"{"max_expires":5}"#, 10115),
        (r#"{"direct":true}"#, 10121),
        (r#"{"filter_subjects":["a",""]}"#, 10121),
        (r#"{"sample_freq":"zz"}"#, 10121),
        (r#"{"deliver_subject":"d.*"}"#, 10079),
        (r#"{"deliver_subject":"d"}"#, 10082),
        (r#"{"deliver_subject":"d","ack_policy":"explicit"}"#, 10121),
    ];
    for (text, err_code) in rows {
        let mut config = object(text);
        config.insert("max_ack_pending".into(), 100.into());
        assert_eq!(check(&limited, &config).expect_err(text).err_code, err_code, "{text}");
    }
    let direct = object(r#"{"direct":true}"#);
    assert_eq!(check(&limited, &direct).expect_err("no push").err_code, 10090);
}

#[test]
fn filters_may_cross_but_not_nest() {
    let rows = [
        (r#"["*.b","a.*"]"#, None),
        (r#"["a.*.c","a.b.*"]"#, None),
        (r#"["a.*","a.>"]"#, Some(10138)),
        (r#"["q..a","q..a"]"#, Some(10052)),
    ];
    for (filters, err_code) in rows {
        let config = object(&format!(r#"{{"filter_subjects":{filters}}}"#));
        let error = check(&plain(), &config).err().map(|error| error.err_code);
        assert_eq!(error, err_code, "{filters}");
    }
}
