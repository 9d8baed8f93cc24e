//! Every row of the tables was asked of nats-server 2.15.1, unless it says otherwise.

use proptest::prelude::*;

use super::*;

const LIMITS: ParserLimits = ParserLimits { max_control_line: 4096, max_payload: 1 << 20 };

fn parse(buf: &[u8]) -> Outcome<'_> {
    next(buf, &LIMITS)
}

fn whole(buf: &[u8]) -> Command<'_> {
    match parse(buf) {
        Ok(Step::Command { command, consumed }) if consumed == buf.len() => command,
        other => panic!("{}: {other:?}", buf.escape_ascii()),
    }
}

fn publish(buf: &[u8]) -> Publish<'_> {
    match whole(buf) {
        Command::Publish(publish) => publish,
        other => panic!("{}: {other:?}", buf.escape_ascii()),
    }
}

/// Subject, reply, header length and size as text, payload.
type Published = (&'static str, Option<&'static str>, &'static str, &'static str, &'static str);

#[test]
fn publishes() {
    let rows: &[(&str, Published)] = &[
        ("PUB a 5\r\nhello\r\n", ("a", None, "", "5", "hello")),
        ("PUB a r 5\r\nhello\r\n", ("a", Some("r"), "", "5", "hello")),
        ("pub a 5\r\nhello\r\n", ("a", None, "", "5", "hello")),
        ("PuB\ta\t5\t\r\nhello\r\n", ("a", None, "", "5", "hello")),
        ("PUB   a   r \t 5 \r\nhello\r\n", ("a", Some("r"), "", "5", "hello")),
        ("PUB a 5\nhello\r\n", ("a", None, "", "5", "hello")),
        ("PUB a 0\r\n\r\n", ("a", None, "", "0", "")),
        ("PUB a 00\r\n\r\n", ("a", None, "", "00", "")),
        ("PUB a 000000005\r\nhello\r\n", ("a", None, "", "000000005", "hello")),
        ("PUB a 4\r\n\r\n\r\n\r\n", ("a", None, "", "4", "\r\n\r\n")),
        ("PUB a\r 5\r\nhello\r\n", ("a\r", None, "", "5", "hello")),
        ("PUB a\0\x0b\x0cb 5\r\nhello\r\n", ("a\0\x0b\x0cb", None, "", "5", "hello")),
        ("PUB a..b 5\r\nhello\r\n", ("a..b", None, "", "5", "hello")),
        (
            "HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
            ("a", None, "12", "17", "NATS/1.0\r\n\r\nhello"),
        ),
        (
            "HPUB a r 012 0012\r\nNATS/1.0\r\n\r\n\r\n",
            ("a", Some("r"), "012", "0012", "NATS/1.0\r\n\r\n"),
        ),
        ("hpub\ta  12 \t12 \nNATS/1.0\r\n\r\n\r\n", ("a", None, "12", "12", "NATS/1.0\r\n\r\n")),
        ("hPuB a 0 5\r\nhello\r\n", ("a", None, "0", "5", "hello")),
        ("HPUB a 0 0\r\n\r\n", ("a", None, "0", "0", "")),
        ("HPUB a\r 0 5\r\nhello\r\n", ("a\r", None, "0", "5", "hello")),
    ];
    for &(input, (subject, reply, header_len, size, payload)) in rows {
        let published = publish(input.as_bytes());
        assert_eq!(published.subject, subject.as_bytes(), "{input:?}");
        assert_eq!(published.reply, reply.map(str::as_bytes), "{input:?}");
        assert_eq!(published.header_len_text, header_len.as_bytes(), "{input:?}");
        assert_eq!(published.size_text, size.as_bytes(), "{input:?}");
        assert_eq!(published.payload, payload.as_bytes(), "{input:?}");
        assert_eq!(published.header_len, header_len.parse().unwrap_or(0), "{input:?}");
        assert_eq!(published.is_hpub, !header_len.is_empty(), "{input:?}");
    }
}

#[test]
fn a_tail_is_what_msg_would_say() {
    let rows = [
        ("PUB a 5\r\nhello\r\n", Some(" 5\r\nhello\r\n")),
        ("PUB a r 05\r\nhello\r\n", Some(" r 05\r\nhello\r\n")),
        ("pub\ta r 5\r\nhello\r\n", Some(" r 5\r\nhello\r\n")),
        ("PUB a 0\r\n\r\n", Some(" 0\r\n\r\n")),
        ("HPUB a 5 5\r\nhello\r\n", Some(" 5 5\r\nhello\r\n")),
        ("HPUB a r 2 5\r\nhello\r\n", Some(" r 2 5\r\nhello\r\n")),
        ("HPUB a 0 5\r\nhello\r\n", None),
        ("HPUB a r 00 5\r\nhello\r\n", None),
        ("PUB a 5\nhello\r\n", None),
        ("PUB a 5 \r\nhello\r\n", None),
        ("PUB a\t5\r\nhello\r\n", None),
        ("PUB a  5\r\nhello\r\n", None),
        ("PUB a r\t5\r\nhello\r\n", None),
        ("PUB a r  5\r\nhello\r\n", None),
        ("PUB a r 5\t\nhello\r\n", None),
        ("PUB  a 5\r\nhello\r\n", None),
        ("HPUB a 2  5\r\nhello\r\n", None),
        ("HPUB a 2\t5\r\nhello\r\n", None),
    ];
    for (input, tail) in rows {
        let published = publish(input.as_bytes());
        assert_eq!(published.tail, tail.map(str::as_bytes), "{input:?}");
    }
}

/// Words longer than eight bytes, with low bytes that separate nothing, at each place of the eight.
#[test]
fn words_end_where_they_end() {
    for low in ["\0", "\x0b", "\x1f", "\r", "\x7f", "\u{80}", "!"] {
        for before in 0..18 {
            for after in 0..18 {
                let subject = format!("{}{low}{}", "a".repeat(before), "b".repeat(after));
                let input = format!("PUB {subject} 1\r\nx\r\n");
                assert_eq!(publish(input.as_bytes()).subject, subject.as_bytes(), "{input:?}");
            }
        }
    }
}

fn sub(subject: &'static str, queue: Option<&'static str>, sid: &'static str) -> Command<'static> {
    Command::Subscribe {
        subject: subject.as_bytes(),
        queue: queue.map(str::as_bytes),
        sid: sid.as_bytes(),
    }
}

fn unsub(sid: &'static str, max: Option<u64>) -> Command<'static> {
    Command::Unsubscribe { sid: sid.as_bytes(), max }
}

#[test]
fn other_commands() {
    let rows = [
        ("SUB b 2\r\n", sub("b", None, "2")),
        ("sUb b q abc-Def\n", sub("b", Some("q"), "abc-Def")),
        ("SUB \tb\t q \t2 \r\n", sub("b", Some("q"), "2")),
        ("SUB b..c 2\r\n", sub("b..c", None, "2")),
        ("SUB a 3\r\r\n", sub("a", None, "3")),
        ("UNSUB 1\r\n", unsub("1", None)),
        ("Unsub\t1\t\r\n", unsub("1", None)),
        ("UNSUB 1\r\r\n", unsub("1", None)),
        ("UNSUB  1  5  \r\n", unsub("1", Some(5))),
        ("UNSUB 1 999999999\r\n", unsub("1", Some(999_999_999))),
        ("UNSUB 1 x\r\n", unsub("1", None)),
        ("UNSUB 1 0\r\n", unsub("1", None)),
        ("UNSUB 1 -2\r\n", unsub("1", None)),
        ("UNSUB 1 +2\r\n", unsub("1", None)),
        ("UNSUB 1 0000000002\r\n", unsub("1", None)),
        ("UNSUB 1 4294967298\r\n", unsub("1", None)),
        ("UNSUB 1 99999999999999999999\r\n", unsub("1", None)),
        ("CONNECT {}\r\n", Command::Connect(b"{}")),
        ("CONNECT{}\r\n", Command::Connect(b"{}")),
        ("connect\t {} \n", Command::Connect(b" {} ")),
        ("CONNECT\r\n", Command::Connect(b"")),
        ("CONNECTX\r\n", Command::Connect(b"X")),
        ("PING\r\n", Command::Ping),
        ("pInG\n", Command::Ping),
        ("PING x\r\n", Command::Ping),
        ("PINGPING\r\n", Command::Ping),
        ("PING\r\r\n", Command::Ping),
        ("PONG\r\n", Command::Pong),
        ("PONGzzz\r\n", Command::Pong),
        ("+OK\r\n", Command::Ignored),
        ("+ok\n", Command::Ignored),
        ("+OK junk\r\n", Command::Ignored),
        ("+OKjunk\r\n", Command::Ignored),
        ("INFO {\"a\":1}\r\n", Command::Ignored),
        ("info\t{}\n", Command::Ignored),
        ("INFO{}\r\n", Command::Ignored),
        ("INFO null\r\n", Command::Ignored),
        ("-ERR 'x'\r\n", Command::Error),
        ("-err\tx\n", Command::Error),
        ("-ERR \r\n", Command::Error),
    ];
    for (input, expected) in rows {
        assert_eq!(whole(input.as_bytes()), expected, "{input:?}");
    }
}

fn assert_violates(rows: &[&[u8]], expected: Violation) {
    for input in rows {
        assert_eq!(parse(input), Err(expected), "{}", input.escape_ascii());
    }
}

#[test]
fn wrong_names_are_told_at_once() {
    let rows: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b" \r\n",
        b"\tPING\r\n",
        b" PUB a 5\r\nhello\r\n",
        b"\r",
        b"\0",
        b"X",
        b"PUB\r\n",
        b"PUB\n",
        b"PUBX",
        b"PUBa 5\r\n",
        b"HPUB\r\n",
        b"SUB\r\n",
        b"SUBX",
        b"UNSUB\r\n",
        b"UNSUBX",
        b"P\r\n",
        b"PX",
        b"PI\r\n",
        b"PIN\r\n",
        b"PU\r\n",
        b"PO\r\n",
        b"CONNEC\r\n",
        b"S\r\n",
        b"SU\r\n",
        b"U\r\n",
        b"UNS\r\n",
        b"H\r\n",
        b"HPX",
        b"INF\r\n",
        b"+\r\n",
        b"+X",
        b"+O\r\n",
        b"-\r\n",
        b"-ER\r\n",
        b"-ERR\r\n",
        b"-ERRx\r\n",
        b"MSG a 1 1\r\n",
        b"M",
        b"HMSG a 1 1\r\n",
        b"RS+ a\r\n",
        b"LS+ a\r\n",
        b"RMSG a\r\n",
        b"A+ a\r\n",
        b"A",
        b"R",
        b"L",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    assert_violates(rows, Violation::UNKNOWN_OPERATION);
}

#[test]
fn payloads_that_do_not_end_as_declared_are_no_operation() {
    let rows: &[&[u8]] = &[
        b"PUB a 5\r\nhello\nPING\r\n",
        b"PUB a 5\r\nhello\n",
        b"PUB a 5\r\nhello\rPING\r\n",
        b"PUB a 5\r\nhellohello\r\n",
        b"PUB a 5\r\nhel\r\nPING\r\nPING\r\n",
        b"PUB a 5\r\nhelloX",
        b"HPUB a 0 5\r\nhelloX",
        b"PUB a 0\r\nX",
    ];
    assert_violates(rows, Violation::UNKNOWN_OPERATION);
}

#[test]
fn bad_arguments_end_silently() {
    let rows: &[&[u8]] = &[
        b"PUB \r\n",
        b"PUB a\r\n",
        b"PUB a  \r\n",
        b"PUB a b c 5\r\nhello\r\n",
        b"PUB a x\r\n",
        b"PUB a -1\r\n",
        b"PUB a +1\r\n",
        b"PUB a 5x\r\n",
        b"PUB a 1_0\r\n",
        b"PUB a 0x5\r\n",
        b"PUB a 5\rx\nhello\r\n",
        b"PUB a 5\r\r\nhello\r\n",
        b"PUB a 0000000005\r\nhello\r\n",
        b"PUB a 1000000000\r\n",
        b"PUB a 2147483648\r\n",
        b"PUB a 4294967297\r\n",
        b"PUB a 9223372036854775808\r\n",
        b"PUB a 18446744073709551617\r\n",
        b"PUB a b c 1048577\r\n",
        b"HPUB \r\n",
        b"HPUB a\r\n",
        b"HPUB a 5\r\n",
        b"HPUB a b c 1 2\r\n",
        b"HPUB a x 5\r\n",
        b"HPUB a 5 x\r\n",
        b"HPUB a -1 5\r\n",
        b"HPUB a 5 -1\r\n",
        b"HPUB a 5 4\r\n",
        b"HPUB a 1048578 1048577\r\n",
        b"HPUB a 0000000012 0000000017\r\n",
        b"HPUB a 12 9223372036854775808\r\n",
        b"HPUB a 999999999999999999999 17\r\n",
        b"SUB \r\n",
        b"SUB\t\r\n",
        b"SUB  \r\n",
        b"SUB b\r\n",
        b"SUB b q 2 x\r\n",
        b"SUB a b\rc 3\r\n",
        b"UNSUB \r\n",
        b"UNSUB 1 2 3\r\n",
        b"INFO\r\n",
        b"INFO \r\n",
        b"INFO x\r\n",
        b"INFOx\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b"INFO {} x\r\n",
        b"INFO 1\r\n",
    ];
    assert_violates(rows, Violation::BAD_ARGUMENTS);
}

#[test]
fn large_payloads_are_refused_before_they_arrive() {
    let rows: &[&[u8]] = &[
        b"PUB a 1048577\r\n",
        b"PUB a 1048577\n",
        b"PUB a r 99999999\r\n",
        b"PUB a 999999999\r\n",
        b"HPUB a 12 1048577\r\n",
        b"HPUB a 1048577 1048577\r\n",
    ];
    assert_violates(rows, Violation::PAYLOAD_TOO_LARGE);
    assert_eq!(parse(b"PUB a 1048576\r\n"), Ok(Step::Incomplete { needed: 15 + 1_048_576 + 2 }));
}

/// The reference counts from the first argument to the line's end; see [`ParserLimits`].
#[test]
fn control_lines_have_a_limit() {
    let names = ["PUB ", "HPUB ", "SUB ", "UNSUB ", "CONNECT ", "INFO ", "-ERR "];
    // The reference has no limit here.
    let unlimited = ["PING", "PONG", "+OK", "CONNECT", "INFO"];
    for name in names.into_iter().chain(unlimited) {
        for end in ["\r\n", "\n", "\r", ""] {
            let line = |args: usize| format!("{name}{}{end}", "x".repeat(args));
            let too_long = Err(Violation::CONTROL_LINE_TOO_LONG);
            assert_ne!(parse(line(4096).as_bytes()), too_long, "{name} {end:?}");
            assert_eq!(parse(line(4097).as_bytes()), too_long, "{name} {end:?}");
            assert_eq!(parse(line(9000).as_bytes()), too_long, "{name} {end:?}");
        }
    }
    let subject = "a".repeat(4094);
    assert_eq!(publish(format!("PUB {subject} 1\r\nx\r\n").as_bytes()).payload, b"x");
    let trailing = format!("PUB a 1{}\r\nx\r\n", " ".repeat(4094));
    assert_eq!(parse(trailing.as_bytes()), Err(Violation::CONTROL_LINE_TOO_LONG));
}

/// Each prefix of a command is incomplete, and says what it needs once its line is whole.
#[test]
fn every_cut() {
    let rows: &[&[u8]] = &[
        b"PUB a.b.c 5\r\nhello\r\n",
        b"PUB a reply 0\r\n\r\n",
        b"PUB  a\t4 \nab\r\n\r\n",
        b"PING\r\n",
        b"PONG \r\n",
        b"HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
        b"HPUB a r 12 12\nNATS/1.0\r\n\r\n\r\n",
        b"SUB a.* q 7\r\n",
        b"UNSUB 7 3\n",
        b"CONNECT {\"verbose\":false}\r\n",
        b"INFO {} \r\n",
        b"+OK\r\n",
        b"-ERR 'x'\r\n",
    ];
    for command in rows {
        let line = command.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for cut in 0..command.len() {
            let needed = if cut < line { 0 } else { command.len() };
            let outcome = parse(&command[..cut]);
            assert_eq!(
                outcome,
                Ok(Step::Incomplete { needed }),
                "{}",
                command[..cut].escape_ascii()
            );
        }
        let expected = whole(command);
        let mut more = command.to_vec();
        more.extend_from_slice(b"PUB z 1\r\n\n\r\n");
        let consumed = command.len();
        assert_eq!(parse(&more), Ok(Step::Command { command: expected, consumed }));
    }
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no part of a word", |byte| !b" \t\r\n".contains(byte));
    proptest::collection::vec(byte, 1..40)
}

/// Mostly what the grammar is made of, so that the noise gets past the first byte.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "PUB ",
        "HPUB ",
        "SUB ",
        "UNSUB ",
        "CONNECT ",
        "PING",
        "PONG",
        "INFO ",
        "+OK",
        "-ERR ",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "a",
        "a.b",
        "0",
        "1",
        "2",
        "12",
        "999999999",
        "{}",
        "\0",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(pieces.map(str::as_bytes).to_vec()).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in noise()) {
        if let Ok(Step::Command { consumed, .. }) = parse(&bytes) {
            prop_assert!(consumed > 0 && consumed <= bytes.len());
        }
    }

    /// What a whole buffer says, no prefix contradicts: it is incomplete, or says the same.
    #[test]
    fn prefixes_agree(bytes in noise()) {
        let outcome = parse(&bytes);
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut]) {
                Ok(Step::Incomplete { needed }) => {
                    prop_assert!(needed == 0 || needed > cut);
                    if let Ok(Step::Command { consumed, .. }) = outcome {
                        prop_assert!(cut < consumed && (needed == 0 || needed == consumed));
                    }
                }
                early => prop_assert_eq!(early, outcome),
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        subject in word(),
        reply in proptest::option::of(word()),
        headers in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = if headers.is_some() { b"HPUB ".to_vec() } else { b"PUB ".to_vec() };
        bytes.extend_from_slice(&subject);
        let subject_end = bytes.len();
        if let Some(reply) = &reply {
            bytes.push(b' ');
            bytes.extend_from_slice(reply);
        }
        if let Some(headers) = &headers {
            bytes.extend_from_slice(format!(" {}", headers.len()).as_bytes());
        }
        let header_len = headers.as_ref().map_or(0, Vec::len);
        bytes.extend_from_slice(format!(" {}\r\n", header_len + body.len()).as_bytes());
        bytes.extend_from_slice(headers.as_deref().unwrap_or_default());
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\r\n");

        let published = publish(&bytes);
        prop_assert_eq!(published.subject, subject);
        prop_assert_eq!(published.reply, reply.as_deref());
        prop_assert_eq!(published.header_len, header_len);
        prop_assert_eq!(&published.payload[header_len..], body);
        let has_tail = headers.is_none() || header_len > 0;
        prop_assert_eq!(published.tail, has_tail.then(|| &bytes[subject_end..]));
    }
}
