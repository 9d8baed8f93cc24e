//! Durations as Go writes them: `1h30m`, `1.5s`, `250us`.

use std::time::Duration;

use crate::types::time::{MICROSECOND, MILLISECOND, SECOND};

const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", MICROSECOND),
    ("µs", MICROSECOND),
    ("μs", MICROSECOND),
    ("ms", MILLISECOND),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// A duration and whether it is negative. The error is the text Go's parser gives.
pub fn parse(text: &str) -> Result<(Duration, bool), String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok((Duration::ZERO, false));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let whole = take_digits(&mut rest);
        let fraction = match rest.strip_prefix('.') {
            Some(after) => {
                rest = after;
                take_digits(&mut rest)
            }
            None => "",
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_at = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, after) = rest.split_at(unit_at);
        rest = after;
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let unit_ns = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| u128::from(*ns));
        let Some(unit_ns) = unit_ns else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        // Nanoseconds bound what a fraction can say: 18 of its digits are more than enough.
        let fraction = &fraction[..fraction.len().min(18)];
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let part_ns = parse_digits(whole)
            .and_then(|whole| whole.checked_mul(unit_ns))
            .zip(parse_digits(fraction))
            .map(|(whole_ns, fraction)| whole_ns + fraction * unit_ns / scale);
        total_ns = part_ns.map_or(u128::MAX, |part| total_ns.saturating_add(part));
        // What Go keeps durations in.
        if total_ns > i64::MAX as u128 {
            return Err(invalid());
        }
    }
    let total_ns = u64::try_from(total_ns).map_err(|_| invalid())?;
    Ok((Duration::from_nanos(total_ns), negative))
}

fn take_digits<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits
}

fn parse_digits(digits: &str) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// As Go prints it: `2m0s`, `1.5s`, `250µs`, `0s`.
pub(super) fn format(duration: Duration) -> String {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    match ns {
        0 => "0s".to_owned(),
        1..MICROSECOND => format!("{ns}ns"),
        MICROSECOND..MILLISECOND => decimal(ns, MICROSECOND) + "µs",
        MILLISECOND..SECOND => decimal(ns, MILLISECOND) + "ms",
        _ => {
            let seconds = ns / SECOND;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = decimal(ns % (60 * SECOND), SECOND);
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

/// `ns / unit_ns` without trailing zeros.
fn decimal(ns: u64, unit_ns: u64) -> String {
    let digits = unit_ns.ilog10() as usize;
    let fraction = format!("{:0digits$}", ns % unit_ns);
    let fraction = fraction.trim_end_matches('0');
    let whole = ns / unit_ns;
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_go_does() {
        for (text, ns, printed) in [
            ("0", 0, "0s"),
            ("5s", 5 * SECOND, "5s"),
            ("+5s", 5 * SECOND, "5s"),
            ("2m", 120 * SECOND, "2m0s"),
            ("1h30m", 5400 * SECOND, "1h30m0s"),
            ("1.5h", 5400 * SECOND, "1h30m0s"),
            ("1.s", SECOND, "1s"),
            (".5s", SECOND / 2, "500ms"),
            ("1µs", 1000, "1µs"),
            ("1us1ns", 1001, "1.001µs"),
            ("61.25s", 61_250_000_000, "1m1.25s"),
            ("7ns", 7, "7ns"),
            ("50us", 50_000, "50µs"),
        ] {
            let (duration, negative) = parse(text).expect(text);
            assert_eq!((duration.as_nanos(), negative), (u128::from(ns), false), "{text}");
            assert_eq!(format(duration), printed);
        }
        assert_eq!(parse("-5s"), Ok((Duration::from_secs(5), true)));
    }

    #[test]
    fn bad_durations_are_refused_in_go_s_words() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("abc", "time: invalid duration \"abc\""),
            (".s", "time: invalid duration \".s\""),
            ("-", "time: invalid duration \"-\""),
            ("99999999h", "time: invalid duration \"99999999h\""),
            ("9223372037s", "time: invalid duration \"9223372037s\""),
            ("5", "time: missing unit in duration \"5\""),
            ("1h2", "time: missing unit in duration \"1h2\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("2 m", "time: unknown unit \" m\" in duration \"2 m\""),
            ("1e3s", "time: unknown unit \"e\" in duration \"1e3s\""),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
