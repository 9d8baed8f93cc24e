//! Direct gets, as the reference answers them.

use super::Desk;
use crate::jetstream::stream::DirectGet;

/// Six messages `g.0 … g.2`, every other with a header.
fn six() -> Desk {
    let mut desk = Desk::new(r#"{"allow_direct":true}"#);
    for n in 0..6 {
        let value = n.to_string();
        let header = [("H", &*value)];
        let headers = if n % 2 == 1 { &header[..] } else { &[] };
        desk.ask(&format!("g.{}", n % 3), headers, &format!("m{n}"));
    }
    desk
}

/// Headers without what is the same in all, and payloads.
fn get(desk: &mut Desk, subject: Option<&str>, headers: &str, body: &str) -> Vec<String> {
    let get = DirectGet {
        subject: subject.map(str::as_bytes),
        reply: b"inbox",
        headers: headers.as_bytes(),
        body: body.as_bytes(),
    };
    desk.with(|stream, ctx| stream.direct_get(ctx, &get));
    desk.settle();
    let time = "Nats-Time-Stamp: 2027-01-15T08:00:00Z\r\n";
    let short = |text: &str| {
        text.replace("NATS/1.0", "")
            .replace(time, "")
            .replace("Nats-Stream: S\r\n", "")
            .replace("Nats-Subject: ", "")
            .replace("Nats-Sequence: ", "")
            .replace("Nats-Num-Pending: ", "p")
            .replace("Nats-Last-Sequence: ", "l")
            .replace("Nats-UpTo-Sequence: ", "u")
            .replace("\r\n", " ")
    };
    let told = std::mem::take(&mut desk.told);
    told.iter()
        .map(|sent| format!("{} {}", short(&sent.headers).trim(), sent.payload).trim().to_owned())
        .collect()
}

#[test]
fn one_message() {
    let empty = "408 Empty Request";
    let bad = "408 Bad Request";
    let missing = "404 Message Not Found";
    let rows: &[(Option<&str>, &str, &str)] = &[
        (Some("g.1"), "", "g.1 5 m4"),
        (Some("g.zz"), "", missing),
        (Some("g.*"), "", "H: 5 g.2 6 m5"),
        (None, "", empty),
        (None, "{}", empty),
        (None, "junk", "408 Malformed Request"),
        (Some("g.1"), r#"{"seq":1}"#, bad),
        (Some("g.1"), r#"{"last_by_subj":"g.1"}"#, bad),
        (Some("g.1"), "junk", "408 Malformed Request"),
        (None, r#"{"seq":2}"#, "H: 1 g.1 2 m1"),
        (None, r#"{"seq":100}"#, missing),
        (None, r#"{"seq":0}"#, empty),
        (None, r#"{"last_by_subj":"g.1"}"#, "g.1 5 m4"),
        (None, r#"{"last_by_subj":"zz"}"#, missing),
        (None, r#"{"next_by_subj":"g.1"}"#, "H: 1 g.1 2 m1"),
        (None, r#"{"next_by_subj":"g.1","seq":3}"#, "g.1 5 m4"),
        (None, r#"{"next_by_subj":"g.1","seq":6}"#, missing),
        (None, r#"{"seq":1,"last_by_subj":"g.1"}"#, bad),
        (None, r#"{"bogus":1,"seq":1}"#, "g.0 1 m0"),
        (None, r#"{"no_hdr":true,"seq":2}"#, "m1"),
        (None, r#"{"batch":3}"#, empty),
        (None, r#"{"batch":0,"seq":1}"#, "g.0 1 m0"),
        (None, r#"{"batch":10,"next_by_subj":"zz"}"#, missing),
        (None, r#"{"batch":2,"seq":7}"#, missing),
        (None, r#"{"batch":2,"last_by_subj":"g.1"}"#, bad),
        (None, r#"{"max_bytes":60,"seq":1}"#, "g.0 1 m0"),
        (None, r#"{"start_time":"2020-01-01T00:00:00Z"}"#, "g.0 1 m0"),
        (None, r#"{"batch":2,"start_time":"2030-01-01T00:00:00Z"}"#, missing),
        (None, r#"{"batch":2,"start_time":"2020-01-01T00:00:00Z","seq":3}"#, bad),
        (None, r#"{"multi_last":["zz"]}"#, "404 No Results"),
        (None, r#"{"multi_last":["g..1"]}"#, "404 No Results"),
        (None, r#"{"multi_last":[]}"#, empty),
        (None, r#"{"multi_last":["g.*"],"up_to_time":"2020-01-01T00:00:00Z"}"#, "404 No Results"),
        (None, r#"{"multi_last":["g.*"],"up_to_seq":3,"up_to_time":"2030-01-01T00:00:00Z"}"#, bad),
        (None, r#"{"multi_last":["g.*"],"last_by_subj":"g.1"}"#, bad),
        (None, r#"{"multi_last":["g.*"],"next_by_subj":"g.1"}"#, bad),
        (None, r#"{"up_to_seq":3}"#, empty),
        (None, r#"{"up_to_seq":3,"seq":1}"#, "g.0 1 m0"),
        (None, r#"{"batch":-1,"seq":1}"#, "204 EOB p6 l0"),
    ];
    let mut desk = six();
    for (subject, body, expected) in rows {
        assert_eq!(get(&mut desk, *subject, "", body), [*expected], "{subject:?} {body}");
    }
}

#[test]
fn many_messages() {
    let all = ["H: 3 g.0 4 p2 l0 m3", "g.1 5 p1 l4 m4", "H: 5 g.2 6 p0 l5 m5", "204 EOB p0 l6 u6"];
    let rows: &[(&str, &[&str])] = &[
        (
            r#"{"batch":3,"seq":1}"#,
            &["g.0 1 p5 l0 m0", "H: 1 g.1 2 p4 l1 m1", "g.2 3 p3 l2 m2", "204 EOB p3 l3"],
        ),
        (
            r#"{"batch":9,"next_by_subj":"g.1","seq":1}"#,
            &["H: 1 g.1 2 p1 l0 m1", "g.1 5 p0 l2 m4", "204 EOB p0 l5"],
        ),
        (r#"{"batch":2,"seq":6}"#, &["H: 5 g.2 6 p0 l0 m5", "204 EOB p0 l6"]),
        (r#"{"batch":4,"max_bytes":1,"seq":1}"#, &["g.0 1 p5 l0 m0", "204 EOB p5 l1"]),
        (r#"{"batch":2,"no_hdr":true,"seq":2}"#, &["m1", "m2", "204 EOB p5 l3"]),
        (
            r#"{"batch":1,"start_time":"2020-01-01T00:00:00Z"}"#,
            &["g.0 1 p5 l0 m0", "204 EOB p5 l1"],
        ),
        (r#"{"multi_last":["g.*"]}"#, &all),
        (r#"{"multi_last":["g.*","g.1"],"no_hdr":true,"seq":3}"#, &all),
        (
            r#"{"multi_last":["g.>"],"batch":2}"#,
            &["H: 3 g.0 4 p2 l0 m3", "g.1 5 p1 l4 m4", "204 EOB p1 l5 u6"],
        ),
        (
            r#"{"multi_last":["g.*"],"up_to_seq":3}"#,
            &["g.0 1 p2 l0 m0", "H: 1 g.1 2 p1 l1 m1", "g.2 3 p0 l2 m2", "204 EOB p0 l3 u3"],
        ),
        (
            r#"{"multi_last":["g.2"],"up_to_seq":100}"#,
            &["H: 5 g.2 6 p0 l0 m5", "204 EOB p0 l6 u100"],
        ),
        (r#"{"multi_last":["g.*"],"up_to_time":"2030-01-01T00:00:00Z"}"#, &all),
    ];
    let mut desk = six();
    for (body, expected) in rows {
        assert_eq!(get(&mut desk, None, "", body), *expected, "{body}");
    }
}

#[test]
fn a_level_that_is_not_served() {
    let mut desk = six();
    for (level, expected) in
        [("5", "g.1 5 m4"), ("6", "412 Required Api Level"), ("x", "412 Required Api Level")]
    {
        let headers = super::block(&[("Nats-Required-Api-Level", level)]);
        assert_eq!(get(&mut desk, Some("g.1"), &headers, ""), [expected]);
    }
}

#[test]
fn too_many_subjects() {
    let mut desk = Desk::new("{}");
    for n in 0..1025 {
        desk.publish(&format!("g.{n}"), "", &[], "");
    }
    let told = get(&mut desk, None, "", r#"{"multi_last":["g.*"],"batch":3}"#);
    assert_eq!(told, ["413 Too Many Results"]);
}

#[test]
fn a_long_get_takes_turns() {
    let mut desk = Desk::new("{}");
    for n in 0..1000 {
        desk.publish(&format!("g.{n}"), "", &[], "");
    }
    let first = get(&mut desk, None, "", r#"{"batch":600,"seq":1}"#).len();
    assert!(first < 600);
    let mut told = first;
    while !desk.with(|stream, ctx| stream.poll(ctx)) {
        desk.settle();
        told += std::mem::take(&mut desk.told).len();
    }
    desk.settle();
    assert_eq!(told + desk.told.len(), 601);
}
