//! The two clocks. Both are read once per turn, in `runtime/clock`, and passed down.

use std::fmt::Write;

/// Nanoseconds of the monotonic clock since an arbitrary start: deadlines and durations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Mono(pub u64);

impl Mono {
    pub const NEVER: Self = Self(u64::MAX);

    #[must_use]
    pub fn plus(self, ns: u64) -> Self {
        Self(self.0.saturating_add(ns))
    }

    /// Nanoseconds from `earlier` to `self`; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds since 1970 (UTC): timestamps that people and clients see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Wall(pub u64);

/// The moment of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    pub mono: Mono,
    pub wall: Wall,
}

impl Now {
    /// The wall time at which `mono` was, or will be, reached.
    pub fn wall_at(self, mono: Mono) -> Wall {
        if mono >= self.mono {
            Wall(self.wall.0.saturating_add(mono.since(self.mono)))
        } else {
            Wall(self.wall.0.saturating_sub(self.mono.since(mono)))
        }
    }
}

pub const MICROSECOND: u64 = 1_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// `2026-11-22T01:01:33.818989331Z`, with as many fraction digits as needed, as Go prints it.
pub fn rfc3339(at: Wall) -> String {
    let mut text = Vec::with_capacity(RFC3339_BYTES_MAX);
    push_rfc3339(&mut text, at);
    String::from_utf8(text).expect("digits and signs")
}

/// [`rfc3339`] at the end of a text.
pub fn push_rfc3339(text: &mut Vec<u8>, at: Wall) {
    let (days, nanos_of_day) = (at.0 / (86_400 * SECOND), at.0 % (86_400 * SECOND));
    let (year, month, day) = civil_from_days(days);
    let seconds = nanos_of_day / SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut push = |mark: u8, number: u64, digits: u32| {
        text.push(mark);
        let scales = (0..digits).rev().map(|digit| 10u64.pow(digit));
        text.extend(scales.map(|scale| b'0' + (number / scale % 10) as u8));
    };
    push(b'0' + (year / 1000 % 10) as u8, year, 3);
    push(b'-', month, 2);
    push(b'-', day, 2);
    push(b'T', hour, 2);
    push(b':', minute, 2);
    push(b':', second, 2);
    let fraction = nanos_of_day % SECOND;
    if fraction > 0 {
        push(b'.', fraction, 9);
        let kept = text.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1);
        text.truncate(kept);
    }
    text.push(b'Z');
}

const RFC3339_BYTES_MAX: usize = "2026-11-22T01:01:33.818989331Z".len();

/// A Go duration: `0s`, `442µs`, `1.212669ms`, `1.5s`, `1m2s`, `26h0m1s`.
pub fn duration(ns: u64) -> String {
    let mut text = String::new();
    let (unit_ns, digits, unit) = match ns {
        0 => return "0s".into(),
        _ if ns < MICROSECOND => (1, 0, "ns"),
        _ if ns < MILLISECOND => (MICROSECOND, 3, "µs"),
        _ if ns < SECOND => (MILLISECOND, 6, "ms"),
        _ => (SECOND, 9, "s"),
    };
    let mut whole = ns / unit_ns;
    if unit_ns == SECOND {
        if whole >= 3600 {
            let _ = write!(text, "{}h", whole / 3600);
        }
        if whole >= 60 {
            let _ = write!(text, "{}m", whole % 3600 / 60);
        }
        whole %= 60;
    }
    let _ = write!(text, "{whole}");
    push_fraction(&mut text, ns % unit_ns, digits);
    text.push_str(unit);
    text
}

/// `.25` for 250 of 3 digits; nothing for 0.
fn push_fraction(text: &mut String, value: u64, digits: usize) {
    if value > 0 {
        let fraction = format!("{value:0digits$}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
}

/// The proleptic Gregorian date of a day since 1970 (Howard Hinnant's algorithm, for days ≥ 0).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_prints_as_go_does() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400 * SECOND, "2000-02-29T00:00:00Z"),
            (1_795_309_293 * SECOND + 818_989_330, "2026-11-22T01:01:33.81898933Z"),
        ];
        for (ns, text) in rows {
            assert_eq!(rfc3339(Wall(ns)), text);
        }
    }

    #[test]
    fn durations() {
        let rows = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (442_000, "442µs"),
            (1_212_669, "1.212669ms"),
            (150_000_000, "150ms"),
            (1_500_689_394, "1.500689394s"),
            (62 * SECOND, "1m2s"),
            (60 * SECOND, "1m0s"),
            (26 * 3600 * SECOND + SECOND / 2, "26h0m0.5s"),
        ];
        for (ns, expected) in rows {
            assert_eq!(duration(ns), expected);
        }
    }
}
