//! Streams that are to be changed.

use super::*;

fn update(old: &StreamConfig, text: &str) -> Result<StreamConfig, ApiError> {
    let StreamRequest { config, pedantic } = stream(&object(text));
    config.check_update(
        old,
        &StreamBounds {
            pedantic,
            server: &JetStreamLimits::default(),
            account: &AccountLimits::default(),
            find: &|name| (name == old.name).then_some(old),
        },
    )
}

/// What the stream is, what it is asked to be, and the rule this breaks.
#[rustfmt::skip]
const RULES: &[(&str, &str, u16, &str)] = &[
    ("{}", r#"{"max_age":1}"#, 10052, "max age needs to be >= 100ms"),
    ("{}", r#"{"storage":"memory"}"#, 10052, "stream configuration update can not change storage type"),
    ("{}", r#"{"retention":"workqueue"}"#, 10052, "stream configuration update can not change retention policy to/from workqueue"),
    (r#"{"deny_delete":true}"#, r#"{"deny_delete":false}"#, 10052, "stream configuration update can not cancel deny message deletes"),
    (r#"{"deny_purge":true}"#, r#"{"deny_purge":false}"#, 10052, "stream configuration update can not cancel deny purge"),
    ("{}", r#"{"mirror":{"name":"z"}}"#, 10055, "stream mirror configuration can not be updated"),
    (r#"{"allow_msg_ttl":true}"#, r#"{"allow_msg_ttl":false}"#, 10052, "message TTL status can not be disabled"),
    ("{}", r#"{"allow_msg_counter":true}"#, 10052, "stream configuration update can not change message counter setting"),
    (r#"{"allow_msg_schedules":true}"#, r#"{"allow_msg_schedules":false}"#, 10052, "message schedules can not be disabled"),
    ("{}", r#"{"persist_mode":"async"}"#, 10052, "stream configuration update can not change persist mode"),
];

#[test]
fn each_rule_by_itself() {
    for (old, new, err_code, text) in RULES {
        let error = update(&created(old), new).expect_err(new);
        assert_eq!(said(error), (*err_code, (*text).into()), "{old} {new}");
    }
}

#[test]
fn rules_in_order() {
    for (place, (old, new, err_code, text)) in RULES.iter().enumerate() {
        for (other_old, other_new, ..) in &RULES[place + 1..] {
            let (Some(old), Some(both)) = (merge(old, other_old), merge(new, other_new)) else {
                continue;
            };
            // Together they break a rule of new streams.
            let counter = both.contains_key("allow_msg_counter");
            let new_rule = (counter
                && (both.contains_key("mirror") || both.contains_key("retention")))
                || (both.contains_key("persist_mode") && both.contains_key("storage"));
            // A stream with schedules can be purged whatever it says.
            let purge = both.contains_key("deny_purge") && both.contains_key("allow_msg_schedules");
            if new_rule || purge {
                continue;
            }
            let old = create(&old, &[]).unwrap();
            let new = serde_json::to_string(&both).unwrap();
            let error = update(&old, &new).expect_err(&new);
            assert_eq!(said(error), (*err_code, (*text).into()), "{new}");
        }
    }
}

#[test]
fn what_may_change() {
    let rows = [
        ("{}", r#"{"retention":"interest","max_msgs":5,"discard":"new","no_ack":true}"#),
        (r#"{"retention":"interest"}"#, "{}"),
        ("{}", r#"{"compression":"s2","first_seq":9,"allow_direct":true,"mirror_direct":true}"#),
        ("{}", r#"{"allow_msg_ttl":true,"allow_atomic":true,"allow_batched":true}"#),
        (r#"{"allow_atomic":true,"allow_batched":true}"#, "{}"),
        ("{}", r#"{"subjects":["b"],"republish":{"dest":"r.>"},"metadata":{"c":"d"}}"#),
        (r#"{"mirror":{"name":"z"}}"#, r#"{"mirror":{"name":"z"},"description":"d"}"#),
        (r#"{"mirror":{"name":"z"}}"#, r#"{"subjects":["b"]}"#),
        (r#"{"sources":[{"name":"z"}]}"#, r#"{"sources":[{"name":"y"}]}"#),
    ];
    for (old, new) in rows {
        update(&created(old), new).unwrap_or_else(|error| panic!("{old} {new}: {error:?}"));
    }
}

#[test]
fn mirrors_stay_what_they_are_or_become_streams() {
    let mirror = created(r#"{"mirror":{"name":"z"}}"#);
    for new in [
        r#"{"mirror":{"name":"y"}}"#,
        r#"{"mirror":{"name":"z","filter_subject":"x"}}"#,
        r#"{"mirror":{"name":"z","opt_start_seq":5}}"#,
    ] {
        assert_eq!(update(&mirror, new).expect_err(new).err_code, 10055, "{new}");
    }
    assert_eq!(update(&mirror, "{}").unwrap().subjects, ["a"]);
}

#[test]
fn a_sealed_stream_is_closed() {
    let sealed = r#"{"sealed":true,"max_age":1000000000,"allow_rollup_hdrs":true}"#;
    let config = update(&created("{}"), sealed).unwrap();
    assert!(config.sealed && config.deny_delete && config.deny_purge && !config.allow_rollup_hdrs);
    assert_eq!((config.max_age.ns(), config.discard.word()), (0, "new"));
    let schedules = created(r#"{"allow_msg_schedules":true}"#);
    update(&schedules, r#"{"allow_msg_schedules":true,"sealed":true}"#).unwrap();
    let rows = [
        ("{}", "stream configuration update can not unseal a sealed stream"),
        (r#"{"sealed":true}"#, "stream configuration update can not cancel deny message deletes"),
    ];
    for (new, refusal) in rows {
        assert_eq!(update(&config, new).expect_err(new).description, refusal);
    }
    update(&config, r#"{"sealed":true,"deny_delete":true,"deny_purge":true}"#).unwrap();
}

#[test]
fn a_stream_may_not_feed_itself() {
    let error = update(&created("{}"), r#"{"sources":[{"name":"a"}]}"#).unwrap_err();
    assert_eq!(error.description, "detected cycle");
}

#[test]
fn only_an_update_sees_that_markers_bring_ttls() {
    let counter = created(r#"{"allow_msg_counter":true}"#);
    let markers = r#"{"allow_msg_counter":true,"subject_delete_marker_ttl":1000000000}"#;
    let error = update(&counter, markers).unwrap_err();
    assert_eq!(error.description, "counter stream cannot use message TTLs");
}

#[test]
fn an_update_republishes_as_everything() {
    let update = |rule: &str| update(&created("{}"), &format!(r#"{{"republish":{rule}}}"#));
    let error = update(r#"{"src":"b.>","dest":""}"#).unwrap_err();
    assert_eq!(error.description, "stream configuration for republish destination forms a cycle");
    let error = update(r#"{"src":"q","dest":""}"#).unwrap_err();
    let text = "stream configuration for republish from 'q' to '>': invalid subject";
    assert_eq!(said(error), (10069, text.into()));
}

#[test]
fn consumers_hold_limits_down() {
    let stream = created(r#"{"consumer_limits":{"max_ack_pending":5,"inactive_threshold":1000}}"#);
    let config = |text| consumer(&object(text));
    let (fine, many) = (config(r#"{"max_ack_pending":5}"#), config(r#"{"max_ack_pending":6}"#));
    let idle = config(r#"{"inactive_threshold":1001}"#);
    let all = [("f", &fine), ("m", &many), ("i", &idle)];
    let error = stream.check_consumers(all.into_iter()).unwrap_err();
    assert_eq!(said(error), (10069, "change to limits violates consumers: m, i".into()));
    stream.check_consumers([("f", &fine)].into_iter()).unwrap();
}
