//! Times and durations as Go prints them: clients of the reference parse these texts.

use std::fmt::Write;

use crate::types::time::{MICROSECOND, MILLISECOND, SECOND, duration};
use crate::types::{Wall, rfc3339};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// RFC 3339 in UTC, nanoseconds without trailing zeros: `2026-11-21T22:47:07.8094Z`.
pub fn timestamp(at: Wall) -> String {
    rfc3339(at)
}

/// A round trip: below a millisecond the reference keeps whole microseconds.
pub fn round_trip(ns: u64) -> String {
    duration(if ns < MILLISECOND { ns - ns % MICROSECOND } else { ns })
}

/// How long something lasts, in whole seconds: `7s`, `1m5s`, `3d4h5m6s`, `1y2d0h0m9s`.
pub fn uptime(ns: u64) -> String {
    let seconds = ns / SECOND;
    let mut text = String::new();
    if seconds >= YEAR {
        let _ = write!(text, "{}y", seconds / YEAR);
    }
    if seconds >= DAY {
        let _ = write!(text, "{}d", seconds % YEAR / DAY);
    }
    if seconds >= HOUR {
        let _ = write!(text, "{}h", seconds % DAY / HOUR);
    }
    if seconds >= MINUTE {
        let _ = write!(text, "{}m", seconds % HOUR / MINUTE);
    }
    let _ = write!(text, "{}s", seconds % MINUTE);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let rows = [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_301_227_819_725_408, "2026-11-21T22:47:07.819725408Z"),
            (1_795_301_227_800_000_000, "2026-11-21T22:47:07.8Z"),
            (1_795_301_227_000_000_001, "2026-11-21T22:47:07.000000001Z"),
            (1_709_164_800 * SECOND, "2024-02-29T00:00:00Z"),
            (1_735_689_599 * SECOND, "2024-12-31T23:59:59Z"),
            (4_107_542_400 * SECOND, "2100-03-01T00:00:00Z"),
        ];
        for (ns, expected) in rows {
            assert_eq!(timestamp(Wall(ns)), expected);
        }
    }

    #[test]
    fn round_trips_below_a_millisecond_are_whole_microseconds() {
        let rows = [(0, "0s"), (999, "0s"), (442_999, "442µs"), (1_212_669, "1.212669ms")];
        for (ns, expected) in rows {
            assert_eq!(round_trip(ns), expected);
        }
    }

    #[test]
    fn uptimes() {
        let rows = [
            (999_999_999, "0s"),
            (65 * SECOND, "1m5s"),
            (3600 * SECOND, "1h0m0s"),
            ((3 * DAY + 4 * HOUR + 5 * MINUTE + 6) * SECOND, "3d4h5m6s"),
            ((YEAR + 2 * DAY + 9) * SECOND, "1y2d0h0m9s"),
        ];
        for (ns, expected) in rows {
            assert_eq!(uptime(ns), expected);
        }
    }
}
