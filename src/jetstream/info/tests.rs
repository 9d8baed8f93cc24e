//! Answers against what nats-server 2.15.1 sent for the same.

use super::*;
use crate::jetstream::config::{Mode, parse};
use crate::types::time::SECOND;

/// 2026-11-22T04:12:41Z.
const SEEN: u64 = 1_795_320_761 * SECOND;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn config(name: &str) -> StreamConfig {
    let text = format!(r#"{{"name":"{name}","subjects":["o.>"]}}"#);
    parse(text.as_bytes(), Mode::Strict, "StreamConfig").unwrap()
}

#[test]
fn a_stream_just_made() {
    let info = StreamInfo {
        config: config("O").with_server_metadata("2.15.1"),
        created: Wall(SEEN + 615_027_861),
        ts: Wall(SEEN + 620_790_150),
        ..StreamInfo::default()
    };
    assert_eq!(
        text(answer("stream_create", &StreamCreated::new(info))),
        concat!(
            r#"{"type":"io.nats.jetstream.api.v1.stream_create_response","#,
            r#""config":{"name":"O","subjects":["o.\u003e"],"retention":"limits","#,
            r#""max_consumers":0,"max_msgs":0,"max_bytes":0,"max_age":0,"#,
            r#""max_msgs_per_subject":0,"max_msg_size":0,"discard":"old","storage":"file","#,
            r#""num_replicas":0,"compression":"none","allow_direct":false,"#,
            r#""mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"#,
            r#""allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false,"#,
            r#""metadata":{"_nats.level":"5","_nats.ver":"2.15.1"}},"#,
            r#""created":"2026-11-22T04:12:41.615027861Z","#,
            r#""state":{"messages":0,"bytes":0,"first_seq":0,"first_ts":"0001-01-01T00:00:00Z","#,
            r#""last_seq":0,"last_ts":"0001-01-01T00:00:00Z","consumer_count":0},"#,
            r#""ts":"2026-11-22T04:12:41.62079015Z","did_create":true}"#,
        )
    );
}

#[test]
fn a_stream_with_details() {
    let info = StreamInfo {
        state: StreamState {
            messages: 4,
            bytes: 168,
            first_seq: 1,
            first_ts: Wall(SEEN),
            last_seq: 6,
            last_ts: Wall(SEEN + 1),
            num_subjects: 2,
            subjects: BTreeMap::from([("o.4".into(), 1), ("o.0".into(), 3)]),
            num_deleted: 2,
            deleted: vec![2, 4],
            lost: None,
            consumer_count: 1,
        },
        domain: Some("dd".into()),
        cluster: Some(ClusterInfo { leader: "refd".into() }),
        sources: vec![
            SourceInfo { name: "O".into(), seq: 6, active: 865, ..SourceInfo::default() },
            SourceInfo {
                name: "EX".into(),
                external: Some(External { api: "$JS.d.API".into(), deliver: "dd".into() }),
                active: -1,
                filter_subject: "o.x".into(),
                ..SourceInfo::default()
            },
        ],
        ..StreamInfo::default()
    };
    let page = Page { total: 2, offset: 0, limit: 100_000 };
    let told = text(answer("stream_info", &StreamInfoPage { page, info: Some(info) }));
    let begins = concat!(
        r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","#,
        r#""total":2,"offset":0,"limit":100000,"config":{"#,
    );
    assert!(told.starts_with(begins), "{told}");
    let ends = concat!(
        r#""state":{"messages":4,"bytes":168,"first_seq":1,"first_ts":"2026-11-22T04:12:41Z","#,
        r#""last_seq":6,"last_ts":"2026-11-22T04:12:41.000000001Z","num_subjects":2,"#,
        r#""subjects":{"o.0":3,"o.4":1},"num_deleted":2,"deleted":[2,4],"consumer_count":1},"#,
        r#""domain":"dd","cluster":{"leader":"refd"},"#,
        r#""sources":[{"name":"O","lag":0,"seq":6,"active":865},"#,
        r#"{"name":"EX","external":{"api":"$JS.d.API","deliver":"dd"},"lag":0,"active":-1,"#,
        r#""filter_subject":"o.x"}],"ts":"0001-01-01T00:00:00Z"}"#,
    );
    assert!(told.ends_with(ends), "{told}");
}

#[test]
fn a_consumer() {
    let until = Moment::parse("2030-01-01T00:00:00Z").unwrap();
    let info = ConsumerInfo {
        stream_name: "O".into(),
        name: "c1".into(),
        created: Wall(SEEN),
        config: Some(ConsumerConfig { pause_until: Some(until), ..ConsumerConfig::default() }),
        delivered: SequenceInfo { consumer_seq: 1, stream_seq: 2, last_active: Some(Wall(SEEN)) },
        paused: true,
        pause_remaining: 98,
        push_bound: true,
        priority_groups: vec![PriorityGroupState { group: "g".into(), ..Default::default() }],
        ..ConsumerInfo::default()
    };
    assert_eq!(
        text(answer("consumer_info", &info)),
        concat!(
            r#"{"type":"io.nats.jetstream.api.v1.consumer_info_response","stream_name":"O","#,
            r#""name":"c1","created":"2026-11-22T04:12:41Z","config":{"deliver_policy":"all","#,
            r#""ack_policy":"none","replay_policy":"instant","num_replicas":0,"#,
            r#""pause_until":"2030-01-01T00:00:00Z"},"#,
            r#""delivered":{"consumer_seq":1,"stream_seq":2,"last_active":"2026-11-22T04:12:41Z"},"#,
            r#""ack_floor":{"consumer_seq":0,"stream_seq":0},"num_ack_pending":0,"#,
            r#""num_redelivered":0,"num_waiting":0,"num_pending":0,"push_bound":true,"#,
            r#""paused":true,"pause_remaining":98,"ts":"0001-01-01T00:00:00Z","#,
            r#""priority_groups":[{"group":"g","pinned_ts":"0001-01-01T00:00:00Z"}]}"#,
        )
    );
}

#[test]
fn an_account() {
    let api = ApiStats { level: 5, ..ApiStats::default() };
    let info = AccountInfo { domain: Some("dd".into()), api, ..AccountInfo::default() };
    assert_eq!(
        text(answer("account_info", &info)),
        concat!(
            r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"#,
            r#""reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0,"limits":{"#,
            r#""max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"#,
            r#""max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"#,
            r#""max_bytes_required":false},"domain":"dd","api":{"level":5,"total":0,"errors":0}}"#,
        )
    );
}

#[test]
fn refusals_keep_the_fields_of_their_kind() {
    let missing = ApiError::stream_not_found();
    let error = r#""error":{"code":404,"err_code":10059,"description":"stream not found"}"#;
    assert_eq!(
        text(refusal("stream_delete", &missing, &Nothing {})),
        format!(r#"{{"type":"io.nats.jetstream.api.v1.stream_delete_response",{error}}}"#)
    );
    assert_eq!(
        text(refusal("stream_info", &missing, &StreamInfoPage::default())),
        format!(
            r#"{{"type":"io.nats.jetstream.api.v1.stream_info_response",{error},{}}}"#,
            r#""total":0,"offset":0,"limit":0"#
        )
    );
    assert_eq!(
        text(refusal("consumer_pause", &missing, &PauseState::default())),
        format!(
            r#"{{"type":"io.nats.jetstream.api.v1.consumer_pause_response",{error},{}}}"#,
            r#""paused":false,"pause_until":"0001-01-01T00:00:00Z""#
        )
    );
    assert_eq!(
        text(answer("stream_delete", &Success::YES)),
        r#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true}"#
    );
}

#[test]
fn publishes_are_answered() {
    let acks = PubAcks::new("W<", None);
    let ack = PubAck { seq: 1, ..PubAck::default() };
    let rows = [
        (ack, r#"{"stream":"W<","seq":1}"#),
        (PubAck { duplicate: true, ..ack }, r#"{"stream":"W<","seq":1,"duplicate": true}"#),
        (PubAck { value: Some("-10"), ..ack }, r#"{"stream":"W<","seq":1,"val":"-10"}"#),
        (
            PubAck { batch: Some(("i\"<", 3)), ..ack },
            r#"{"stream":"W<","seq":1,"batch":"i\"<","count":3}"#,
        ),
    ];
    for (ack, expected) in rows {
        let mut out = Vec::new();
        acks.write(&mut out, &ack);
        assert_eq!(text(out), expected);
    }
    let acks = PubAcks::new("O", Some("dd"));
    let mut out = Vec::new();
    acks.write(&mut out, &ack);
    acks.refuse(&mut out, &ApiError::stream_wrong_last_sequence(5));
    assert_eq!(
        text(out),
        concat!(
            r#"{"stream":"O","domain":"dd","seq":1}"#,
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"#,
            r#""stream":"O","seq":0}"#,
        )
    );
}
