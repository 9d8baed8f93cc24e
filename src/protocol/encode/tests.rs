use super::*;
use crate::protocol::{Command, ParserLimits, Step, parser};

fn publish(bytes: &[u8]) -> Publish<'_> {
    let limits = ParserLimits { max_control_line: 4096, max_payload: 1 << 20 };
    match parser::next(bytes, &limits) {
        Ok(Step::Command { command: Command::Publish(publish), .. }) => publish,
        other => panic!("{other:?}"),
    }
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_delivery_echoes_what_was_published() {
    let rows = [
        ("PUB s 5\r\nhello\r\n", "MSG s 7 5\r\nhello\r\n"),
        ("PUB s r.1 005\r\nhello\r\n", "MSG s 7 r.1 005\r\nhello\r\n"),
        ("PUB s  r\t5 \nhello\r\n", "MSG s 7 r 5\r\nhello\r\n"),
        (
            "HPUB s r 012 17\r\nNATS/1.0\r\n\r\nhello\r\n",
            "HMSG s 7 r 012 17\r\nNATS/1.0\r\n\r\nhello\r\n",
        ),
        ("HPUB s r 0 05\r\nhello\r\n", "MSG s 7 r 05\r\nhello\r\n"),
    ];
    for (input, expected) in rows {
        let publish = publish(input.as_bytes());
        let kind = Kind::of(&publish);
        let tail = written(|out| build_tail(out, &publish));
        if let Some(found) = publish.tail {
            assert_eq!(found, tail.as_bytes(), "{input:?}");
        }
        let msg = written(|out| msg_with_tail(out, kind, b"s", b"7", tail.as_bytes()));
        assert_eq!(msg, expected, "{input:?}");
    }
}

#[test]
fn headers_are_stripped_for_those_who_cannot_read_them() {
    let publish = publish(b"HPUB s r 12 0017\r\nNATS/1.0\r\n\r\nhello\r\n");
    assert_eq!(written(|out| build_stripped_tail(out, &publish)), " r 5\r\nhello\r\n");
}

/// facts/core-protocol.md §7.
#[test]
fn no_responders_in_the_references_bytes() {
    assert_eq!(
        written(|out| no_responders(out, b"in", b"1", b"nobody")),
        "HMSG in 1 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n"
    );
}

#[test]
fn errors_are_quoted() {
    assert_eq!(written(|out| error(out, "Stale Connection")), "-ERR 'Stale Connection'\r\n");
}

/// As captured (facts/core-protocol.md §3).
#[test]
fn info_as_the_reference_writes_it() {
    let server = ServerInfo {
        server_id: "NBPBV",
        server_name: "probe1",
        version: "2.15.1",
        proto: 1,
        git_commit: "b2fd3ef",
        go: "go1.27.2",
        host: "127.0.0.1",
        port: 14322,
        headers: true,
        max_payload: 150_000,
        jetstream: true,
        client_id: 5,
        client_ip: "127.0.0.1",
        api_lvl: 5,
        xkey: "XB5C",
        ..ServerInfo::default()
    };
    let expected = concat!(
        r#"INFO {"server_id":"NBPBV","server_name":"probe1","version":"2.15.1","proto":1,"#,
        r#""git_commit":"b2fd3ef","go":"go1.27.2","host":"127.0.0.1","port":14322,"#,
        r#""headers":true,"max_payload":150000,"jetstream":true,"client_id":5,"#,
        r#""client_ip":"127.0.0.1","api_lvl":5,"xkey":"XB5C"} "#,
        "\r\n"
    );
    assert_eq!(written(|out| info(out, &server)), expected);
}

#[test]
fn decimals() {
    for number in [0, 9, 10, 1_048_576, usize::MAX] {
        assert_eq!(written(|out| decimal(out, number)), number.to_string());
    }
}
