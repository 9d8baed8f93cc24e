//! Streams that are to be made.

use super::*;
use crate::types::time::SECOND;

#[rustfmt::skip]
const RULES: &[Rule] = &[
    (0, r#"{"sealed":true}"#, 10052, r#"stream configuration for create can not be sealed"#, ""),
    (1, r#"{"mirror_direct":true}"#, 10052, r#"stream has no mirror but does have mirror direct"#, "mirror"),
    (2, r#"{"description":"LONG"}"#, 10052, r#"stream description is too long, maximum allowed is 4096"#, ""),
    (3, r#"{"metadata":{"a":"LONG"}}"#, 10052, r#"stream metadata exceeds maximum size of 131072 bytes"#, ""),
    (4, r#"{"num_replicas":-1}"#, 10133, r#"replicas count cannot be negative"#, ""),
    (4, r#"{"num_replicas":6}"#, 10052, r#"maximum replicas is 5"#, ""),
    (5, r#"{"max_age":-1}"#, 10052, r#"max age can not be negative"#, ""),
    (5, r#"{"max_age":1}"#, 10052, r#"max age needs to be >= 100ms"#, ""),
    (5, r#"{"max_age":1000000000,"duplicate_window":2000000000}"#, 10052, r#"duplicates window can not be larger then max age"#, ""),
    (6, r#"{"duplicate_window":-1}"#, 10052, r#"duplicates window can not be negative"#, ""),
    (6, r#"{"duplicate_window":1}"#, 10052, r#"duplicates window needs to be >= 100ms"#, ""),
    (7, r#"{"deny_purge":true,"allow_rollup_hdrs":true}"#, 10052, r#"roll-ups require the purge permission"#, ""),
    (8, r#"{"allow_msg_counter":true,"discard":"new"}"#, 10052, r#"counter stream cannot use discard new"#, ""),
    (9, r#"{"allow_msg_counter":true,"allow_msg_ttl":true}"#, 10052, r#"counter stream cannot use message TTLs"#, ""),
    (10, r#"{"allow_msg_counter":true,"allow_msg_schedules":true}"#, 10052, r#"counter stream cannot use message schedules"#, ""),
    (11, r#"{"allow_msg_counter":true,"retention":"interest"}"#, 10052, r#"counter stream can only use limits retention"#, ""),
    (12, r#"{"discard_new_per_subject":true}"#, 10052, r#"discard new per subject requires discard new policy to be set"#, "discard"),
    (12, r#"{"discard_new_per_subject":true,"discard":"new"}"#, 10052, r#"discard new per subject requires max msgs per subject > 0"#, ""),
    (13, r#"{"subject_delete_marker_ttl":5}"#, 10052, r#"subject delete marker TTL must be at least 1 second"#, ""),
    (13, r#"{"subject_delete_marker_ttl":-1}"#, 10052, r#"subject delete marker TTL must not be negative"#, ""),
    (14, r#"{"allow_msg_schedules":true,"discard":"new"}"#, 10052, r#"message scheduling cannot use discard new"#, ""),
    (15, r#"{"persist_mode":"async","storage":"memory"}"#, 10052, r#"async persist mode is only supported on file storage"#, ""),
    (16, r#"{"persist_mode":"async","num_replicas":3}"#, 10052, r#"async persist mode is not supported on replicated streams"#, ""),
    (17, r#"{"persist_mode":"async","allow_atomic":true}"#, 10052, r#"async persist mode is not supported with atomic batch publish"#, ""),
    (18, r#"{"first_seq":5,"mirror":{"name":"z"}}"#, 10143, r#"stream mirrors can not have first sequence configured"#, ""),
    (19, r#"{"subjects":["q"],"mirror":{"name":"z"}}"#, 10034, r#"stream mirrors can not contain subjects"#, ""),
    (20, r#"{"sources":[{"name":"y"}],"mirror":{"name":"z"}}"#, 10031, r#"stream mirrors can not also contain other sources"#, ""),
    (21, r#"{"allow_msg_counter":true,"mirror":{"name":"z"}}"#, 10173, r#"stream mirrors can not also calculate counters"#, ""),
    (22, r#"{"allow_atomic":true,"mirror":{"name":"z"}}"#, 10198, r#"stream mirrors can not also use atomic publishing"#, ""),
    (23, r#"{"allow_batched":true,"mirror":{"name":"z"}}"#, 10209, r#"stream mirrors can not also use batch publishing"#, ""),
    (24, r#"{"allow_msg_schedules":true,"mirror":{"name":"z"}}"#, 10186, r#"stream mirrors can not also schedule messages"#, ""),
    (25, r#"{"mirror":{"name":"z","consumer":{"name":"x"}}}"#, 10213, r#"stream mirror consumer config is invalid"#, ""),
    (26, r#"{"mirror":{"name":"z","filter_subject":"q","subject_transforms":[{"src":"a","dest":"b"}]}}"#, 10150, r#"mirror with multiple subject transforms cannot also have a single subject filter"#, ""),
    (27, r#"{"subject_delete_marker_ttl":1000000000,"mirror":{"name":"z"}}"#, 10052, r#"subject delete markers forbidden on mirrors"#, ""),
    (28, r#"{"mirror":{"name":"z","subject_transforms":[{"src":"a..b","dest":"b"}]}}"#, 10151, r#"mirror transform source: invalid subject a..b"#, ""),
    (28, r#"{"mirror":{"name":"z","subject_transforms":[{"src":"a","dest":"b..c"}]}}"#, 10154, r#"mirror transform: invalid mapping destination: invalid transform"#, ""),
    (28, r#"{"mirror":{"name":"z","subject_transforms":[{"src":"a","dest":"b"},{"src":"*","dest":"c"}]}}"#, 10152, r#"mirror subject filters can not overlap"#, ""),
    (29, r#"{"mirror":{"name":"z","external":{"api":"$JS.API","deliver":"d"}}}"#, 10021, r#"stream external api prefix $JS.API must not overlap with $JS.API"#, ""),
    (29, r#"{"mirror":{"name":"z","external":{"api":"q","deliver":"d.*"}}}"#, 10024, r#"stream external delivery prefix d.* must not contain wildcards"#, ""),
    (30, r#"{"mirror":{"name":"z.z"}}"#, 10142, r#"mirrored stream name is invalid"#, ""),
    (31, r#"{"mirror":{"name":"a"}}"#, 10052, r#"detected cycle"#, ""),
    (32, r#"{"allow_msg_schedules":true,"sources":[{"name":"z"}]}"#, 10187, r#"stream source can not also schedule messages"#, ""),
    (33, r#"{"sources":[{"name":"z.z"}]}"#, 10141, r#"sourced stream name is invalid"#, ""),
    (33, r#"{"sources":[{"name":"z","subject_transforms":[{"src":"a..b","dest":"b"}]}]}"#, 10145, r#"source transform source: invalid subject a..b"#, ""),
    (33, r#"{"sources":[{"name":"z","subject_transforms":[{"src":"a","dest":"b..c"}]}]}"#, 10146, r#"source transform: invalid mapping destination: invalid transform"#, ""),
    (33, r#"{"sources":[{"name":"z","subject_transforms":[{"src":"a","dest":"b"},{"src":"*","dest":"c"}]}]}"#, 10147, r#"source filters can not overlap"#, ""),
    (33, r#"{"sources":[{"name":"z","filter_subject":"q","subject_transforms":[{"src":"a","dest":"b"}]}]}"#, 10144, r#"source with multiple subject transforms cannot also have a single subject filter"#, ""),
    (33, r#"{"sources":[{"name":"z","consumer":{"name":"x"}}]}"#, 10215, r#"stream source consumer config is invalid"#, ""),
    (33, r#"{"sources":[{"name":"z"},{"name":"z"}]}"#, 10140, r#"duplicate source configuration detected"#, ""),
    (34, r#"{"sources":[{"name":"z","external":{"api":"$JS.API","deliver":"d"}}]}"#, 10021, r#"stream external api prefix $JS.API must not overlap with $JS.API"#, ""),
    (34, r#"{"sources":[{"name":"z","external":{"api":"q","deliver":"d.*"}}]}"#, 10024, r#"stream external delivery prefix d.* must not contain wildcards"#, ""),
    (35, r#"{"sources":[{"name":"a"}]}"#, 10052, r#"detected cycle"#, ""),
    (36, r#"{"subjects":["a..b"]}"#, 10052, r#"invalid subject"#, ""),
    (36, r#"{"subjects":["a.*","a.b"]}"#, 10052, r#"subject "a.*" overlaps with "a.b""#, ""),
    (36, r#"{"subjects":[">"]}"#, 10052, r#"capturing all subjects requires no-ack to be true"#, ""),
    (36, r#"{"subjects":["$JS.x"]}"#, 10052, r#"subjects that overlap with jetstream api require no-ack to be true"#, ""),
    (36, r#"{"subjects":["$SYS.x"]}"#, 10052, r#"subjects that overlap with system api require no-ack to be true"#, ""),
    (37, r#"{"subject_transform":{"src":"a..b","dest":"b"}}"#, 10155, r#"stream transform source: invalid subject a..b"#, ""),
    (37, r#"{"subject_transform":{"src":"a","dest":"b..c"}}"#, 10156, r#"stream transform: invalid mapping destination: invalid transform"#, ""),
    (38, r#"{"republish":{"src":"a","dest":"b..c"}}"#, 10052, r#"stream configuration for republish with transform from 'a' to 'b..c' not valid"#, ""),
    (38, r#"{"republish":{"src":"a..b","dest":"b"}}"#, 10052, r#"stream configuration for republish with transform from 'a..b' to 'b' not valid"#, ""),
    (38, r#"{"republish":{"src":"a","dest":"a"}}"#, 10052, r#"stream configuration for republish destination forms a cycle"#, ""),
    (39, r#"{"placement":{"preferred":"x"}}"#, 10052, r#"preferred server not permitted in placement"#, ""),
    (40, r#"{"num_replicas":3}"#, 10074, r#"replicas > 1 not supported in non-clustered mode"#, "persist_mode"),
];

/// A stream's mirror or sources, and whether the reference takes that for a cycle: as 2.15.1 answered,
/// where `b`, `c` draw from `a`, `e` from `b`, `f` from `e`, `m` mirrors `a`, `em` mirrors `m`.
const CYCLES: &[(&[&str], bool)] = &[
    (&["b", "c"], false),
    (&["b", "a"], false),
    (&["a", "b"], true),
    (&["m", "a"], false),
    (&["a", "m"], true),
    (&["m", "em"], true),
    (&["em", "m"], false),
    (&["em", "e"], false),
    (&["em", "e", "a"], true),
    (&["c", "e"], true),
    (&["e", "c"], false),
    (&["b", "e"], true),
    (&["f", "b"], true),
    (&["f", "c"], true),
    (&["missing", "a"], false),
    (&["s"], true),
];

#[test]
fn a_cycle_is_what_comes_by_a_stream_again() {
    let named = |name: &str, feeds: String| {
        object(&format!(r#"{{"name":"{name}","storage":"memory","retention":"limits"{feeds}}}"#))
    };
    let sources = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        format!(r#","sources":[{}]"#, names.join(","))
    };
    let mirror = |name: &str| format!(r#","mirror":{{"name":"{name}"}}"#);
    let rows = [
        ("a", String::new()),
        ("b", sources(&["a"])),
        ("c", sources(&["a"])),
        ("e", sources(&["b"])),
        ("f", sources(&["e"])),
        ("m", mirror("a")),
        ("em", mirror("m")),
    ];
    let mut others = Vec::new();
    for (name, feeds) in rows {
        let made = create(&named(name, feeds), &others);
        others.push(made.unwrap_or_else(|error| panic!("{name}: {error:?}")));
    }
    for (names, is_cycle) in CYCLES {
        let made = create(&named("s", sources(names)), &others);
        let refusal = made.err().map(|error| error.description.into_owned());
        assert_eq!(refusal.as_deref(), is_cycle.then_some("detected cycle"), "{names:?}");
    }
}

#[test]
fn each_rule_by_itself() {
    for (_, request, err_code, text, _) in RULES {
        let error = create(&object(request), &[]).expect_err(request);
        assert_eq!(said(error), (*err_code, (*text).into()), "{request}");
    }
}

/// Of two broken rules the reference names one; which one was seen for each of these pairs.
#[test]
fn rules_in_order() {
    let mut pairs = 0;
    for (place, one, ..) in RULES {
        for (_, other, ..) in RULES.iter().filter(|rule| rule.0 > *place) {
            let Some(both) = merge(one, other) else { continue };
            // A mirror with anything of its own breaks a rule that is in neither.
            let own = both.contains_key("subjects") || both.contains_key("sources");
            if both.contains_key("mirror") && own {
                continue;
            }
            pairs += 1;
            let error = create(&both, &[]).expect_err(one);
            assert_eq!(said(error), first_broken(RULES, &both), "{one} {other}");
        }
    }
    assert!(pairs > 1000, "{pairs}");
}

#[test]
fn what_is_filled_in() {
    let config = created(r#"{"max_msgs":-2,"metadata":{"a":"b","_nats.ver":"1","_nats.x":"y"}}"#);
    assert_eq!(config.subjects, ["a"]);
    assert_eq!((config.max_msgs, config.max_bytes, config.max_consumers), (-1, -1, -1));
    assert_eq!((config.max_msgs_per_subject, config.max_msg_size), (-1, -1));
    assert_eq!((config.num_replicas, config.duplicate_window.ns()), (1, 120 * SECOND));
    let metadata: Vec<_> = config.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(metadata, [("_nats.req.level", "0"), ("_nats.x", "y"), ("a", "b")]);
    let shown = config.with_server_metadata("2.15.1").metadata;
    assert_eq!((shown["_nats.ver"].as_str(), shown["_nats.level"].as_str()), ("2.15.1", "5"));
}

#[test]
fn the_duplicate_window_fits() {
    let window = |text: &str| created(text).duplicate_window.ns();
    assert_eq!(window(r#"{"max_age":1000000000}"#), SECOND);
    assert_eq!(window(r#"{"max_age":300000000000}"#), 120 * SECOND);
    assert_eq!(window(r#"{"max_age":300000000000,"duplicate_window":200000000000}"#), 200 * SECOND);
    assert_eq!(window(r#"{"mirror":{"name":"z"}}"#), 0);
    assert_eq!(window(r#"{"subjects":["b"],"sources":[{"name":"z"}]}"#), 0);
    assert_eq!(window(r#"{"sources":[{"name":"z"}],"duplicate_window":1000000000}"#), SECOND);
}

#[test]
fn what_needs_a_higher_level() {
    let rows = [
        (r#"{"allow_msg_ttl":true}"#, "1"),
        (r#"{"subject_delete_marker_ttl":1000000000}"#, "1"),
        (r#"{"allow_msg_counter":true}"#, "2"),
        (r#"{"allow_atomic":true}"#, "2"),
        (r#"{"allow_msg_schedules":true}"#, "2"),
        (r#"{"persist_mode":"async"}"#, "2"),
        (r#"{"allow_batched":true,"allow_atomic":true}"#, "4"),
    ];
    for (text, level) in rows {
        assert_eq!(created(text).metadata["_nats.req.level"], level, "{text}");
    }
}

#[test]
fn what_implies_something_else() {
    let markers = created(r#"{"subject_delete_marker_ttl":1000000000,"deny_purge":true}"#);
    assert!(markers.allow_msg_ttl && markers.allow_rollup_hdrs && !markers.deny_purge);
    let schedules = created(r#"{"allow_msg_schedules":true,"deny_purge":true}"#);
    assert!(schedules.allow_rollup_hdrs && !schedules.deny_purge && !schedules.allow_msg_ttl);
    let counter = created(r#"{"allow_msg_counter":true,"subject_delete_marker_ttl":1000000000}"#);
    assert!(counter.allow_msg_ttl);
    let republish = created(r#"{"republish":{"dest":"r.>"}}"#).republish.unwrap();
    assert_eq!(republish.source, ">");
    assert_eq!(created(r#"{"republish":{}}"#).republish.unwrap().compile(), Ok(None));
    assert_eq!(created(r#"{"placement":{}}"#).placement, None);
}

#[test]
fn subjects_and_what_servers_say_to_each_other() {
    let overlaps = |one, other| Some(format!("subject \"{one}\" overlaps with \"{other}\""));
    let api = Some("subjects that overlap with jetstream api require no-ack to be true".to_owned());
    let system = Some("subjects that overlap with system api require no-ack to be true".to_owned());
    let rows = [
        (r#"["*"]"#, None),
        (r#"["a.*.c","a.b.*"]"#, overlaps("a.*.c", "a.b.*")),
        (r#"["a",">"]"#, overlaps("a", ">")),
        (r#"["a","b","b"]"#, overlaps("b", "b")),
        (r#"["a","a.>"]"#, None),
        (r#"[""]"#, Some("invalid subject".into())),
        (r#"["a b"]"#, Some("invalid subject".into())),
        (r#"["a.>.b"]"#, Some("invalid subject".into())),
        (r#"["$JS.>"]"#, api.clone()),
        (r#"["$JSC.x"]"#, api.clone()),
        (r#"["$NRG.x"]"#, api.clone()),
        (r#"["*.>"]"#, api.clone()),
        (r#"["*.API.x"]"#, api),
        (r#"["$JS.EVENT.>"]"#, None),
        (r#"["$JS.EVENT.ADVISORY.x"]"#, None),
        (r#"["$SYS.>"]"#, system),
        (r#"["$SYS.ACCOUNT.x"]"#, None),
        (r#"["$JS","$SYS","$KV.x.>","_INBOX.>"]"#, None),
    ];
    for (subjects, refusal) in rows {
        let request = object(&format!(r#"{{"subjects":{subjects}}}"#));
        let error = create(&request, &[]).err().map(|error| error.description.into_owned());
        assert_eq!(error, refusal, "{subjects}");
        if refusal.is_none_or(|text| text.contains("no-ack")) {
            let mut request = request;
            request.insert("no_ack".into(), true.into());
            create(&request, &[]).expect(subjects);
        }
    }
    created(r#"{"subjects":[">"],"no_ack":true}"#);
    let three = object(r#"{"subjects":[">"],"no_ack":true,"num_replicas":3}"#);
    let error = create(&three, &[]).unwrap_err();
    assert_eq!(error.description, "capturing all subjects requires replicas of 1");
}

#[test]
fn names() {
    let refused = |name: &str| {
        let request = object(&format!(r#"{{"name":{name:?},"subjects":["s"]}}"#));
        create(&request, &[]).err().map(said)
    };
    let characters = r"stream name is required and can not contain '.', '*', '>', '\', '/'";
    for name in ["", "a*", "a>", "a.b", "a b", "a\tb"] {
        assert_eq!(refused(name), Some((10052, characters.into())), "{name:?}");
    }
    for name in ["a/b", r"a\b"] {
        let text = "Stream name can not contain path separators";
        assert_eq!(refused(name), Some((10128, text.into())), "{name:?}");
    }
    assert_eq!(refused(&"x".repeat(255)), None);
    let long = "stream name is too long, maximum allowed is 255";
    assert_eq!(refused(&"x".repeat(256)), Some((10052, long.into())));
    assert_eq!(refused("\u{e9}"), None);
}

#[test]
fn sizes_of_texts() {
    let description = |len: usize| {
        create(&object(&format!(r#"{{"description":"{}"}}"#, "x".repeat(len))), &[]).is_ok()
    };
    assert!(description(4096) && !description(4097));
    // Our own entry counts: 16 bytes.
    let metadata = |len: usize| {
        create(&object(&format!(r#"{{"metadata":{{"a":"{}"}}}}"#, "x".repeat(len))), &[]).is_ok()
    };
    assert!(metadata(131_055) && !metadata(131_056));
}

#[test]
fn what_a_pedantic_client_hears() {
    let rows = [
        (r#"{"max_msgs":-2}"#, 10157, "pedantic mode: max_msgs must be set to -1"),
        (r#"{"max_msg_size":-2}"#, 10157, "pedantic mode: max_msg_size must be set to -1"),
        (r#"{"max_consumers":-2}"#, 10157, "pedantic mode: max_consumers must be set to -1"),
        (
            r#"{"max_age":1000000000}"#,
            10157,
            "pedantic mode: duplicate window cannot be bigger than max age",
        ),
        (
            r#"{"subject_delete_marker_ttl":1000000000}"#,
            10052,
            "subject delete marker cannot be set if message TTLs are disabled",
        ),
        (
            r#"{"subject_delete_marker_ttl":1000000000,"allow_msg_ttl":true}"#,
            10052,
            "subject delete marker cannot be set if roll-ups are disabled",
        ),
        (
            r#"{"allow_msg_schedules":true}"#,
            10052,
            "message scheduling cannot be set if roll-ups are disabled",
        ),
        (
            r#"{"republish":{"dest":"r.>"}}"#,
            10157,
            "pedantic mode: republish source can not be empty",
        ),
        (
            r#"{"mirror":{"name":"ORIG"}}"#,
            10157,
            "pedantic mode: origin stream has direct get set, mirror has it disabled",
        ),
    ];
    let origin = created(r#"{"name":"ORIG","allow_direct":true}"#);
    for (text, err_code, refusal) in rows {
        let mut request = object(text);
        request.insert("pedantic".into(), true.into());
        let error = create(&request, std::slice::from_ref(&origin)).expect_err(text);
        assert_eq!(said(error), (err_code, refusal.into()), "{text}");
    }
    for text in ["{}", r#"{"max_msgs":0,"num_replicas":0}"#, r#"{"sources":[{"name":"z"}]}"#] {
        let mut request = object(text);
        request.insert("pedantic".into(), true.into());
        create(&request, &[]).expect(text);
    }
}

#[test]
fn mirrors_and_sources_beside_their_origins() {
    let origin = created(r#"{"name":"ORIG","allow_direct":true,"max_msg_size":100}"#);
    let fed = created(r#"{"name":"FED","sources":[{"name":"a"}]}"#);
    let others = [origin, fed];
    let make = |text: &str| create(&object(text), &others);
    assert!(make(r#"{"mirror":{"name":"ORIG"}}"#).unwrap().mirror_direct);
    assert!(!make(r#"{"mirror":{"name":"FED2"}}"#).unwrap().mirror_direct);
    assert!(
        !make(r#"{"mirror":{"name":"ORIG","external":{"api":"x","deliver":""}}}"#)
            .unwrap()
            .mirror_direct
    );
    let rows = [
        (r#"{"mirror":{"name":"ORIG"},"max_msg_size":50}"#, 10030),
        (r#"{"sources":[{"name":"ORIG"}],"max_msg_size":50}"#, 10046),
        (r#"{"sources":[{"name":"FED"}]}"#, 10052),
        (r#"{"mirror":{"name":"FED"}}"#, 10052),
        (r#"{"sources":[{"name":"FED","filter_subject":"zzz"}]}"#, 10052),
    ];
    for (text, err_code) in rows {
        assert_eq!(make(text).expect_err(text).err_code, err_code, "{text}");
    }
    make(r#"{"sources":[{"name":"ORIG"}],"max_msg_size":100}"#).unwrap();
    make(r#"{"sources":[{"name":"ORIG","filter_subject":"zz"}]}"#).unwrap();
}

#[test]
fn sources_that_are_the_same() {
    let rows = [
        (r#"{"name":"z"},{"name":"z","filter_subject":"a"}"#, None),
        (r#"{"name":"z"},{"name":"z","filter_subject":">"}"#, Some(10140)),
        (r#"{"name":"z","filter_subject":"a"},{"name":"z","filter_subject":"*"}"#, None),
        (r#"{"name":"z","opt_start_seq":1},{"name":"z","opt_start_seq":2}"#, Some(10140)),
        (r#"{"name":"z"},{"name":"z","external":{"api":"q","deliver":"r"}}"#, None),
        (
            r#"{"name":"z","subject_transforms":[{"src":"a","dest":""}]},
               {"name":"z","filter_subject":"a"}"#,
            Some(10140),
        ),
        (
            r#"{"name":"z","subject_transforms":[{"src":"a","dest":"b"}]},
               {"name":"z","filter_subject":"a"}"#,
            None,
        ),
        (
            r#"{"name":"z","consumer":{"name":"x","deliver_subject":"y"},
                "subject_transforms":[{"src":"a","dest":"b"}]},
               {"name":"z","consumer":{"name":"x","deliver_subject":"y"},
                "subject_transforms":[{"src":"c","dest":"b"}]}"#,
            Some(10216),
        ),
        (r#"{"name":"z","external":{"api":"$JS.API","deliver":""}},{"name":"z.z"}"#, Some(10141)),
        (r#"{"name":"a"},{"name":"z.z"}"#, Some(10141)),
        (r#"{"name":"z"},{"name":"z","consumer":{"name":"x","deliver_subject":"y"}}"#, None),
        (
            r#"{"name":"z","external":{"api":"$JS.API","deliver":""}},
               {"name":"y","external":{"api":"q","deliver":"d.*"}}"#,
            Some(10024),
        ),
    ];
    for (sources, err_code) in rows {
        let request = object(&format!(r#"{{"sources":[{sources}]}}"#));
        let error = create(&request, &[]).err().map(|error| error.err_code);
        assert_eq!(error, err_code, "{sources}");
    }
}

#[test]
fn transforms_of_mirrors_may_not_cross_those_of_sources_may() {
    let rows = [
        ("*.b", "a.*", Some(10152), None),
        ("a.*.c", "a.b.*", Some(10152), None),
        ("a.*", "a.>", Some(10152), Some(10147)),
        ("a", "a", Some(10152), Some(10147)),
        ("", "a", None, None),
        ("a", "b", None, None),
    ];
    for (one, other, of_mirror, of_source) in rows {
        let rules = format!(r#"[{{"src":"{one}","dest":""}},{{"src":"{other}","dest":""}}]"#);
        let feed = format!(r#"{{"name":"z","subject_transforms":{rules}}}"#);
        for (request, expected) in [
            (format!(r#"{{"mirror":{feed}}}"#), of_mirror),
            (format!(r#"{{"sources":[{feed}]}}"#), of_source),
        ] {
            let error = create(&object(&request), &[]).err().map(|error| error.err_code);
            assert_eq!(error, expected, "{request}");
        }
    }
}

#[test]
fn circles() {
    let itself = |source: &str| {
        let text = format!(r#"{{"subjects":["b"],"sources":[{{"name":"a"{source}}}]}}"#);
        create(&object(&text), &[]).is_err()
    };
    assert!(itself("") && itself(r#","filter_subject":"*""#));
    assert!(itself(r#","subject_transforms":[{"src":"c","dest":"q"}]"#));
    assert!(!itself(r#","filter_subject":"c""#));
    assert!(create(&object(r#"{"mirror":{"name":"a","filter_subject":"c"}}"#), &[]).is_err());
    // Of what is found on the way, the filters are held against where they stand.
    let back = |filter: &str, ours: &str| {
        let one = created(&format!(
            r#"{{"name":"x1","subjects":["x1"],"sources":[{{"name":"a","filter_subject":"{filter}"}}]}}"#
        ));
        let two = created(r#"{"name":"x2","sources":[{"name":"x1"}]}"#);
        let source = format!(r#"{{"sources":[{{"name":"x2","filter_subject":"{ours}"}}]}}"#);
        create(&object(&source), &[one, two]).is_err()
    };
    assert!(back("", "") && back("x1", "") && back("", "zzz") && back("x1", "zzz"));
    assert!(!back("a", "") && !back("zzz", "a"));
}

#[test]
fn consumers_that_feed() {
    let good = r#"{"name":"x","deliver_subject":"y"}"#;
    let rows = [
        (good, "", true),
        (r#"{"name":"x","deliver_subject":"y"}"#, r#","opt_start_seq":4"#, false),
        (good, r#","opt_start_time":"2026-01-01T00:00:00Z""#, false),
        (good, r#","filter_subject":"q""#, false),
        (good, r#","external":{"api":"$JS.q.API","deliver":""}"#, true),
        (r#"{"name":"x.y","deliver_subject":"y"}"#, "", false),
        (r#"{"name":"x","deliver_subject":"y.*"}"#, "", false),
        (r#"{"name":"x","deliver_subject":"y..z"}"#, "", false),
        (r#"{"name":"x"}"#, "", false),
        (r#"{}"#, "", false),
    ];
    for (consumer, more, fine) in rows {
        let source = format!(r#"{{"name":"z","consumer":{consumer}{more}}}"#);
        let mirror = create(&object(&format!(r#"{{"mirror":{source}}}"#)), &[]);
        assert_eq!(mirror.map_err(|e| e.err_code).err(), (!fine).then_some(10213), "{source}");
        let sources = create(&object(&format!(r#"{{"sources":[{source}]}}"#)), &[]);
        assert_eq!(sources.map_err(|e| e.err_code).err(), (!fine).then_some(10215), "{source}");
    }
}

#[test]
fn external_prefixes() {
    let wildcards = |api: &str| {
        format!("stream external api prefix {api:?} must be a valid subject without wildcards")
    };
    let deliver = |prefix: &str| {
        format!("stream external delivery prefix {prefix} must not contain wildcards")
    };
    let rows = [
        ("", "", None),
        ("$JS.API.x", "", None),
        ("$JS.d.API", "a.b", None),
        ("$JS.API.>", "", Some(wildcards("$JS.API.>"))),
        ("q..r", "d", Some(wildcards("q..r"))),
        ("q r", "d", Some(wildcards("q r"))),
        ("q", "a.>", Some(deliver("a.>"))),
        ("q", "d..e", Some(deliver("d..e"))),
    ];
    for (api, prefix, refusal) in rows {
        let external = format!(r#"{{"api":"{api}","deliver":"{prefix}"}}"#);
        for feed in
            [r#""mirror":{"name":"z","external":X}"#, r#""sources":[{"name":"z","external":X}]"#]
        {
            let request = format!("{{{}}}", feed.replace('X', &external));
            let error = create(&object(&request), &[]).err();
            let text = error.map(|error| error.description.into_owned());
            assert_eq!(text, refusal, "{request}");
        }
    }
}

#[test]
fn filters_are_looked_at_last() {
    let rows = [
        (
            r#"{"mirror":{"name":"z","filter_subject":"a..b"}}"#,
            "subject filter 'a..b' for the mirror invalid subject",
        ),
        (
            r#"{"sources":[{"name":"z","filter_subject":"a..b"}]}"#,
            "subject filter 'a..b' for the source: invalid subject",
        ),
    ];
    for (text, refusal) in rows {
        let error = create(&object(text), &[]).expect_err(text);
        assert_eq!(said(error), (10049, refusal.into()));
    }
}

#[test]
fn republishing_in_a_circle() {
    let cycle = "stream configuration for republish destination forms a cycle";
    let rows = [
        ("a.*", "a.{{wildcard(1)}}", true),
        ("a.*", "a.b.{{wildcard(1)}}", false),
        ("a.>", "a.>", true),
        ("a.>", "b.a.>", false),
        ("a.>", ">", true),
        ("a.*", "a.{{split(1,-)}}", true),
        ("a.*", "{{partition(3,1)}}", false),
        ("a", "a", false),
        ("zz", "b", false),
        ("a.*", "", false),
        ("b.*", "a.$2", true),
        ("b.*", "a.>", true),
    ];
    for (source, destination, circle) in rows {
        let rule = format!(r#"{{"src":"{source}","dest":"{destination}"}}"#);
        let request = format!(r#"{{"subjects":["a.*"],"republish":{rule}}}"#);
        let error = create(&object(&request), &[]).err();
        let text = error.map(|error| error.description.into_owned());
        assert_eq!(text, circle.then(|| cycle.to_owned()), "{rule}");
    }
}

#[test]
fn limits_of_server_and_account() {
    let server = JetStreamLimits {
        duplicate_window: Some(std::time::Duration::from_mins(1)),
        ..JetStreamLimits::default()
    };
    let account = AccountLimits {
        max_bytes_required: true,
        memory_max_stream_bytes: 1024,
        storage_max_stream_bytes: 2048,
        ..AccountLimits::default()
    };
    let make = |text: &str, account: &AccountLimits| {
        let StreamRequest { config, pedantic } = stream(&object(text));
        let find = |_: &str| None;
        config.check_create(&StreamBounds { pedantic, server: &server, account, find: &find })
    };
    let none = AccountLimits::default();
    assert_eq!(make("{}", &none).unwrap().duplicate_window.ns(), 60 * SECOND);
    let rows = [
        (
            r#"{"duplicate_window":120000000000}"#,
            "duplicates window can not be larger then server limit of 1m0s",
        ),
        (
            r#"{"pedantic":true}"#,
            "pedantic mode: duplicate window limits are higher than current limits",
        ),
    ];
    for (text, refusal) in rows {
        assert_eq!(make(text, &none).expect_err(text).description, refusal);
    }
    let rows = [
        ("{}", Some(10113)),
        (r#"{"max_bytes":-1}"#, Some(10113)),
        (r#"{"max_bytes":2049}"#, Some(10122)),
        (r#"{"max_bytes":2048}"#, None),
        (r#"{"max_bytes":2048,"storage":"memory"}"#, Some(10122)),
        (r#"{"subjects":["a..b"]}"#, Some(10052)),
        (r#"{"placement":{"preferred":"x"}}"#, Some(10113)),
    ];
    for (text, err_code) in rows {
        assert_eq!(make(text, &account).err().map(|error| error.err_code), err_code, "{text}");
    }
}

#[test]
fn the_same_again_is_the_same() {
    let same = |one: &str, other: &str| created(one) == created(other);
    assert!(same(r#"{"subjects":["a"]}"#, r#"{"max_msgs":-1,"num_replicas":1}"#));
    assert!(same("{}", r#"{"metadata":{"_nats.ver":"x","_nats.req.level":"3"}}"#));
    assert!(!same("{}", r#"{"metadata":{"a":"b"}}"#));
    assert!(!same("{}", r#"{"first_seq":5}"#));
    assert!(!same(r#"{"subjects":["a","b"]}"#, r#"{"subjects":["b","a"]}"#));
    let source = |time| format!(r#"{{"sources":[{{"name":"z","opt_start_time":"{time}"}}]}}"#);
    assert!(same(&source("2026-01-01T00:00:00Z"), &source("2026-01-01T00:00:00.0Z")));
    assert!(!same(&source("2026-01-01T00:00:00Z"), &source("2026-01-01T02:00:00+02:00")));
}
