//! Texts against what nats-server 2.15.1 said of them in `$JS.API.STREAM.CREATE` and
//! `$JS.API.CONSUMER.CREATE`.

use crate::jetstream::config::{ConsumerRequest, Mode, StreamRequest};

fn stream(text: &str) -> Result<StreamRequest, String> {
    let read = StreamRequest::parse(text.as_bytes(), Mode::Strict);
    read.map_err(|error| {
        assert_eq!((error.code, error.err_code), (400, 10025));
        error.description.strip_prefix("invalid JSON: ").unwrap().to_owned()
    })
}

#[test]
fn syntax_errors_are_worded_as_in_go() {
    let rows = [
        ("{", "unexpected EOF"),
        ("nul", "unexpected EOF"),
        ("-", "unexpected EOF"),
        ("[1", "unexpected EOF"),
        (r#"{"name":"a""#, "unexpected EOF"),
        (r#"{"name":"a","d"#, "unexpected EOF"),
        (r#"{"name":"a","d":"#, "unexpected EOF"),
        (r#"{"name":"a","x":[[["#, "unexpected EOF"),
        (r#"{"name":"a","subjects":["a""#, "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value at offset 1"),
        (
            r#"{"name":"a",}"#,
            "invalid character '}' looking for beginning of object key string at offset 13",
        ),
        (
            "{name:1}",
            "invalid character 'n' looking for beginning of object key string at offset 2",
        ),
        (r#"{"name" "a"}"#, "invalid character '\"' after object key at offset 9"),
        (r#"{"a":1 2}"#, "invalid character '2' after object key:value pair at offset 8"),
        (
            r#"{"name":"a","subjects":["a" 5]}"#,
            "invalid character '5' after array element at offset 29",
        ),
        (
            r#"{"name":"a","subjects":["a",]}"#,
            "invalid character ']' looking for beginning of value at offset 29",
        ),
        (r#"{"name":tru}"#, "invalid character '}' in literal true (expecting 'e') at offset 12"),
        (r#"{"name":01}"#, "invalid character '1' after object key:value pair at offset 10"),
        (r#"{"name":-}"#, "invalid character '}' in numeric literal at offset 10"),
        (r#"{"name":1.}"#, "invalid character '}' in numeric literal at offset 11"),
        ("{\"name\":\"\u{1}\"}", "invalid character '\\x01' in string at offset 10"),
        (r#"{"name":"\q"}"#, r"invalid escape sequence `\q` in string at offset 11"),
        (
            r#"{"name":"a","description":"\u12"}"#,
            r#"invalid escape sequence `\u12"}` in string at offset 33"#,
        ),
        (
            r#"{"name":"a","description":"\u12xx"}"#,
            r"invalid escape sequence `\u12xx` in string at offset 33",
        ),
        (r#"{"name":"a"} x"#, "invalid character 'x' looking for beginning of value at offset 14"),
        (r#"{"name":"a"},"#, "invalid character ',' looking for beginning of value at offset 13"),
        (
            r#"{"name":"a"} {bad"#,
            "invalid character 'b' looking for beginning of object key string at offset 15",
        ),
        (
            r#"{"name":"a", "max_msgs":"x", ]}"#,
            "invalid character ']' looking for beginning of object key string at offset 30",
        ),
    ];
    for (text, error) in rows {
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn wrong_kinds_are_worded_as_in_go() {
    let rows = [
        ("[]", "json: cannot unmarshal array into Go value of type server.StreamConfigRequest"),
        ("5", "json: cannot unmarshal number into Go value of type server.StreamConfigRequest"),
        (
            r#"{"name":"a"} 5"#,
            "json: cannot unmarshal number into Go value of type server.StreamConfigRequest",
        ),
    ];
    for (text, error) in rows {
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
    let rows = [
        (r#"{"name":5}"#, "number", "name of type string"),
        (r#"{"pedantic":5}"#, "number", "pedantic of type bool"),
        (r#"{"max_msgs":"x"}"#, "string", "max_msgs of type int64"),
        (r#"{"max_msgs":true}"#, "bool", "max_msgs of type int64"),
        (r#"{"max_msgs":{}}"#, "object", "max_msgs of type int64"),
        (r#"{"max_msgs":1.5}"#, "number 1.5", "max_msgs of type int64"),
        (r#"{"max_msgs":1e3}"#, "number 1e3", "max_msgs of type int64"),
        (
            r#"{"max_msgs":99999999999999999999}"#,
            "number 99999999999999999999",
            "max_msgs of type int64",
        ),
        (r#"{"max_msg_size":4294967296}"#, "number 4294967296", "max_msg_size of type int32"),
        (r#"{"first_seq":-1}"#, "number -1", "first_seq of type uint64"),
        (r#"{"max_age":"5s"}"#, "string", "max_age of type time.Duration"),
        (r#"{"max_age":1.5}"#, "number 1.5", "max_age of type time.Duration"),
        (r#"{"max_consumers":"x"}"#, "string", "max_consumers of type int"),
        (r#"{"sealed":"x"}"#, "string", "sealed of type bool"),
        (r#"{"subjects":"x"}"#, "string", "subjects of type []string"),
        (r#"{"metadata":[]}"#, "array", "metadata of type map[string]string"),
        (r#"{"metadata":{"a":5}}"#, "number", "metadata.a of type string"),
        (r#"{"mirror":"x"}"#, "string", "mirror of type server.StreamSource"),
        (r#"{"mirror":{"name":5}}"#, "number", "mirror.name of type string"),
        (r#"{"mirror":{"external":5}}"#, "number", "mirror.external of type server.ExternalStream"),
        (
            r#"{"mirror":{"consumer":5}}"#,
            "number",
            "mirror.consumer of type server.StreamConsumerSource",
        ),
        (
            r#"{"mirror":{"subject_transforms":5}}"#,
            "number",
            "mirror.subject_transforms of type []server.SubjectTransformConfig",
        ),
        (r#"{"sources":{}}"#, "object", "sources of type []*server.StreamSource"),
        (r#"{"sources":[{"name":5}]}"#, "number", "sources.0.name of type string"),
        (
            r#"{"sources":[{"opt_start_time":5}]}"#,
            "number",
            "sources.0.opt_start_time of type time.Time",
        ),
        (r#"{"placement":5}"#, "number", "placement of type server.Placement"),
        (r#"{"placement":{"tags":"x"}}"#, "string", "placement.tags of type []string"),
        (r#"{"republish":5}"#, "number", "republish of type server.RePublish"),
        (
            r#"{"subject_transform":5}"#,
            "number",
            "subject_transform of type server.SubjectTransformConfig",
        ),
        (
            r#"{"consumer_limits":{"max_ack_pending":"x"}}"#,
            "string",
            "consumer_limits.max_ack_pending of type int",
        ),
    ];
    for (text, kind, place) in rows {
        let begins = format!("json: cannot unmarshal {kind} into Go struct field");
        let error = format!("{begins} StreamConfigRequest.{place}");
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
    let rows = [
        (r#"{"subjects":[5]}"#, "subjects.0 of type string"),
        (r#"{"sources":[5]}"#, "sources.0 of type server.StreamSource"),
    ];
    for (text, place) in rows {
        let error = format!("json: cannot unmarshal number into StreamConfigRequest.{place}");
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn words_nobody_knows() {
    let rows = [
        (r#"{"storage":"zz"}"#, r#"can not unmarshal "\"zz\"""#),
        (r#"{"storage":"File"}"#, r#"can not unmarshal "\"File\"""#),
        (r#"{"storage":5}"#, r#"can not unmarshal "5""#),
        (r#"{"storage":null}"#, r#"can not unmarshal "null""#),
        (r#"{"storage":["x"]}"#, r#"can not unmarshal "[\"x\"]""#),
        (r#"{"retention":""}"#, r#"can not unmarshal "\"\"""#),
        (r#"{"discard":"old","discard":"x"}"#, r#"can not unmarshal "\"x\"""#),
        (r#"{"persist_mode":"x"}"#, r#"can not unmarshal "\"x\"""#),
        (r#"{"compression":"None"}"#, "unknown compression algorithm"),
        (r#"{"compression":null}"#, "unknown compression algorithm"),
        (r#"{"compression":5}"#, "json: cannot unmarshal number into Go value of type string"),
        (
            r#"{"sources":[{"opt_start_time":"x"}]}"#,
            r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#,
        ),
    ];
    for (text, error) in rows {
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn unknown_fields_count_in_strict_mode() {
    let rows = [
        (r#"{"Bogus":1}"#, r#"json: unknown field "Bogus""#),
        (r#"{"mirror":{"bogus":1}}"#, r#"json: unknown field "bogus""#),
        (r#"{"subject_transform":{"source":"x"}}"#, r#"json: unknown field "source""#),
        (r#"{"bogus":1,"max_msgs":"x"}"#, r#"json: unknown field "bogus""#),
    ];
    for (text, error) in rows {
        assert_eq!(stream(text).unwrap_err(), error, "{text}");
    }
    let lenient = r#"{"bogus":{"x":[1]},"name":"a","mirror":{"bogus":1,"name":"b"}}"#;
    let read = StreamRequest::parse(lenient.as_bytes(), Mode::Lenient).unwrap();
    assert_eq!((read.config.name.as_str(), read.config.mirror.unwrap().name.as_str()), ("a", "b"));
}

#[test]
fn what_is_taken() {
    let rows = [
        (r#"{"NAME":"a"}"#, "a"),
        (r#"{"name":"a"}{}"#, "a"),
        (r#"{"name":"a"}{"name":"b"}"#, "b"),
        (r#"{"name":"a","name":"b"}"#, "b"),
        (r#"{"name":"a","subjects":null,"mirror":null,"max_msgs":null}"#, "a"),
        (r#"{"name":"a","consumer_limits":null,"persist_mode":""}"#, "a"),
        (" {\"name\" :\r\n\t\"a\" } ", "a"),
        (r#"{"name":"\u00e9\ud83d\ude00\ud800\/"}"#, "\u{e9}\u{1f600}\u{fffd}/"),
        ("", ""),
        ("  ", ""),
        ("null", ""),
    ];
    for (text, name) in rows {
        assert_eq!(stream(text).unwrap().config.name, name, "{text}");
    }
    let broken = StreamRequest::parse(b"{\"name\":\"\xff\"}", Mode::Strict).unwrap();
    assert_eq!(broken.config.name, "\u{fffd}");
}

#[test]
fn depth_is_bounded() {
    let text = format!(r#"{{"x":{}"#, "[".repeat(1_000_000));
    assert_eq!(stream(&text).unwrap_err(), "exceeded max depth");
}

#[test]
fn requests_for_consumers() {
    let read = |text: &str| ConsumerRequest::parse(text.as_bytes(), Mode::Strict);
    let rows = [
        (r#"{"action":5}"#, "unknown consumer action: 5"),
        (r#"{"action":"UPDATE"}"#, r#"unknown consumer action: "UPDATE""#),
        (r#"{"config":{"bogus":5}}"#, r#"json: unknown field "bogus""#),
        (r#"{"config":{"deliver_policy":5}}"#, r#"can not unmarshal "5""#),
        (r#"{"config":{"priority_policy":""}}"#, r#"unknown priority policy: """#),
        (
            r#"{"config":{"backoff":["x"]}}"#,
            "json: cannot unmarshal string into CreateConsumerRequest.config.backoff.0 of type \
             time.Duration",
        ),
        (
            r#"{"config":{"backoff":5}}"#,
            "json: cannot unmarshal number into Go struct field \
             CreateConsumerRequest.config.backoff of type []time.Duration",
        ),
        (
            r#"{"config":5}"#,
            "json: cannot unmarshal number into Go struct field CreateConsumerRequest.config of \
             type server.ConsumerConfig",
        ),
        (
            r#"{"config":{"rate_limit_bps":-5}}"#,
            "json: cannot unmarshal number -5 into Go struct field \
             CreateConsumerRequest.config.rate_limit_bps of type uint64",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type server.CreateConsumerRequest"),
    ];
    for (text, error) in rows {
        let error = format!("invalid JSON: {error}");
        assert_eq!(read(text).unwrap_err().description, error, "{text}");
    }
    let taken = read(r#"{"stream_name":"O","config":{"deliver_policy":"undefined"}}"#).unwrap();
    assert_eq!(taken.stream_name, "O");
    assert_eq!(read("").unwrap(), ConsumerRequest::default());
}
