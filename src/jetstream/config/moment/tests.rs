use super::*;

#[test]
fn times_are_written_as_go_writes_them() {
    let rows = [
        ("2026-01-01T00:00:00.5+02:00", "2026-01-01T00:00:00.5+02:00"),
        ("2026-01-01T00:00:00.500Z", "2026-01-01T00:00:00.5Z"),
        ("2026-02-28T0:00:00Z", "2026-02-28T00:00:00Z"),
        ("2026-02-28T00:00:00,5Z", "2026-02-28T00:00:00.5Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("1969-12-31T00:00:00-00:00", "1969-12-31T00:00:00Z"),
        ("2024-02-29T23:59:59-07:30", "2024-02-29T23:59:59-07:30"),
        ("9999-12-31T23:59:59.999999999999Z", "9999-12-31T23:59:59.999999999Z"),
    ];
    for (given, written) in rows {
        assert_eq!(Moment::parse(given).unwrap().text(), written, "{given}");
    }
}

#[test]
fn what_is_no_time_is_refused_as_go_refuses_it() {
    let rows = [
        ("x", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#),
        ("", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
        ("2026", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "-""#),
        ("2026-", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "01""#),
        (
            "2026-2-3T00:00:00Z",
            r#" as "2006-01-02T15:04:05Z07:00": cannot parse "2-3T00:00:00Z" as "01""#,
        ),
        (
            "2026-02-28 00:00:00Z",
            r#" as "2006-01-02T15:04:05Z07:00": cannot parse " 00:00:00Z" as "T""#,
        ),
        ("2026-02-28T00:00:00", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#),
        (
            "2026-02-28T00:00:00.Z",
            r#" as "2006-01-02T15:04:05Z07:00": cannot parse ".Z" as "Z07:00""#,
        ),
        (
            "2026-02-28T00:00:00.5+0200",
            r#" as "2006-01-02T15:04:05Z07:00": cannot parse "+0200" as "Z07:00""#,
        ),
        ("2026-13-01T00:00:00Z", ": month out of range"),
        ("2026-00-01T00:00:00Z", ": month out of range"),
        ("2026-02-30T00:00:00Z", ": day out of range"),
        ("2026-02-00T00:00:00Z", ": day out of range"),
        ("2026-02-28T24:00:00Z", ": hour out of range"),
        ("2026-02-28T00:60:00Z", ": minute out of range"),
        ("2026-02-28T00:00:60Z", ": second out of range"),
        ("2026-02-28T00:00:00+25:00", ": time zone offset hour out of range"),
        ("2026-02-28T00:00:00+02:61", ": time zone offset minute out of range"),
        ("2026-02-28T00:00:00Zx", r#": extra text: "x""#),
    ];
    for (given, what) in rows {
        let error = format!("parsing time {}{what}", quoted(given));
        assert_eq!(Moment::parse(given), Err(error));
    }
}

#[test]
fn moments_on_the_clock() {
    let seen = Moment::parse("2026-11-22T06:12:41.5+02:00").unwrap();
    assert_eq!(seen.wall(), Wall(1_795_320_761_500_000_000));
    assert_eq!(Moment::from_wall(seen.wall()).text(), "2026-11-22T04:12:41.5Z");
    assert_eq!(Moment::parse("1950-01-01T00:00:00Z").unwrap().wall(), Wall(0));
    assert_eq!(Moment::parse("9999-01-01T00:00:00Z").unwrap().wall(), Wall(u64::MAX));
    assert!(Moment::parse("0001-01-01T01:00:00+01:00").unwrap().is_zero());
}

#[test]
fn no_text_is_too_bad() {
    for text in ["\u{e9}\u{e9}", "2026-01-01T00:00:0\u{e9}", "2026-01-01T00:00:00+\u{e9}1:00", "+"]
    {
        assert!(Moment::parse(text).is_err(), "{text}");
    }
}
