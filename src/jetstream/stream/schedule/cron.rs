//! Times by the fields of a clock and a calendar: second, minute, hour, day of month, month, day
//! of week (facts/jetstream-api.md §7).
//!
//! A field is a list of `*`, `?`, numbers, names and ranges, each with `/step`. If both days are
//! restricted, either will do.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::types::Wall;

/// One bit per value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    bits: u64,
    /// Says nothing: every value, by a star.
    is_star: bool,
}

impl Field {
    fn has(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| value < 64 && self.bits >> value & 1 == 1)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cron {
    second: Field,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

/// Values and names of a field.
struct Range {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const SECONDS: Range = Range { min: 0, max: 59, names: &[] };
const HOURS: Range = Range { min: 0, max: 23, names: &[] };
const DAYS: Range = Range { min: 1, max: 31, names: &[] };
const MONTHS: Range = Range {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Range =
    Range { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// No time within so many years is none at all.
const YEARS_MAX: i16 = 5;

impl Cron {
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [second, minute, hour, day, month, weekday] = fields[..] else { return None };
        Some(Self {
            second: SECONDS.parse(second)?,
            minute: SECONDS.parse(minute)?,
            hour: HOURS.parse(hour)?,
            day: DAYS.parse(day)?,
            month: MONTHS.parse(month)?,
            weekday: WEEKDAYS.parse(weekday)?,
        })
    }

    /// The first time behind `after`. Hours that a change of the clock leaves out have no times,
    /// hours that it repeats have them twice.
    pub fn next(&self, after: Wall, zone: &TimeZone) -> Option<Wall> {
        let seconds = i64::try_from(after.0 / 1_000_000_000).ok()?;
        let mut at = Timestamp::from_second(seconds + 1).ok()?.to_zoned(zone.clone());
        let last_year = at.year() + YEARS_MAX;
        while at.year() <= last_year {
            match self.step(&at) {
                Some(later) => at = later?,
                None => {
                    let seconds = u64::try_from(at.timestamp().as_second()).ok()?;
                    return Some(Wall(seconds.checked_mul(1_000_000_000)?));
                }
            }
        }
        None
    }

    /// Where to look next if this is no time of the schedule. The inner `None`: the calendar ends.
    fn step(&self, at: &Zoned) -> Option<Option<Zoned>> {
        if !self.month.has(at.month()) {
            let next = at.first_of_month().and_then(|first| first.checked_add(1.month()));
            return Some(next.and_then(|next| next.start_of_day()).ok());
        }
        if !self.has_day(at) {
            let next = at.checked_add(1.day());
            return Some(next.and_then(|next| next.start_of_day()).ok());
        }
        let (minute, second) = (i64::from(at.minute()), i64::from(at.second()));
        if !self.hour.has(at.hour()) {
            return Some(later(at, 3600 - minute * 60 - second));
        }
        if !self.minute.has(at.minute()) {
            return Some(later(at, 60 - second));
        }
        if !self.second.has(at.second()) {
            return Some(later(at, 1));
        }
        None
    }

    fn has_day(&self, at: &Zoned) -> bool {
        let by_day = self.day.has(at.day());
        let by_weekday = self.weekday.has(at.weekday().to_sunday_zero_offset());
        match self.day.is_star || self.weekday.is_star {
            true => by_day && by_weekday,
            false => by_day || by_weekday,
        }
    }
}

fn later(at: &Zoned, seconds: i64) -> Option<Zoned> {
    at.checked_add(SignedDuration::from_secs(seconds)).ok()
}

impl Range {
    fn parse(&self, text: &str) -> Option<Field> {
        let mut field = Field { bits: 0, is_star: false };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let one = self.parse_part(part)?;
            field.bits |= one.bits;
            field.is_star |= one.is_star;
        }
        Some(field)
    }

    fn parse_part(&self, part: &str) -> Option<Field> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(number(step)?)),
            None => (part, None),
        };
        let (low, high, is_star) = match span.split_once('-') {
            _ if span == "*" || span == "?" => (self.min, self.max, true),
            Some((low, high)) => (self.value(low)?, self.value(high)?, false),
            None => {
                let low = self.value(span)?;
                // With a step a single number begins a range.
                (low, if step.is_some() { self.max } else { low }, false)
            }
        };
        let step = step.unwrap_or(1);
        if low < self.min || high > self.max || low > high || step == 0 {
            return None;
        }
        let step_by = usize::try_from(step).ok()?;
        let bits = (low..=high).step_by(step_by).fold(0, |bits, value| bits | 1 << value);
        Some(Field { bits, is_star: is_star && step == 1 })
    }

    fn value(&self, text: &str) -> Option<u64> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match named {
            Some(at) => Some(self.min + at as u64),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::rfc3339;

    #[test]
    fn what_the_reference_takes() {
        let good = [
            "* * * * * *",
            "*/2 * * * * *",
            "0-59 * * * * *",
            "0,30 * * * * *",
            "? ? ? ? ? ?",
            "* * * * JAN *",
            "* * * * jan-mar *",
            "* * * * * SUN",
            "* * * * * sun-sat",
            "* * * * * 6",
            "*/100 * * * * *",
            "5/15 * * * * *",
            "1-10/3 * * * * *",
            " *  * * * * *",
            "1,2,, * * * * *",
            "*,5 * * * * *",
            "+5 * * * * *",
            "05 * * * * *",
        ];
        for text in good {
            assert!(Cron::parse(text).is_some(), "{text}");
        }
        let bad = [
            "60 * * * * *",
            "* * * * *",
            "* * * * * * *",
            "* * * 0 * *",
            "* * * * 0 *",
            "* * * * 13 *",
            "* * * * january *",
            "* * * * * 7",
            "* * * 32 * *",
            "* * * L * *",
            "* * * * * 1#2",
            "*/0 * * * * *",
            "10-1 * * * * *",
            "* * 24 * * *",
            "TZ=UTC * * * * * *",
            "-1 * * * * *",
            "1-5-7 * * * * *",
            "*/2/3 * * * * *",
        ];
        for text in bad {
            assert!(Cron::parse(text).is_none(), "{text}");
        }
    }

    fn next(text: &str, after: &str, zone: &str) -> String {
        let after: Timestamp = after.parse().unwrap();
        let after = Wall(u64::try_from(after.as_nanosecond()).unwrap());
        let next = Cron::parse(text).unwrap().next(after, &TimeZone::get(zone).unwrap());
        next.map_or("never".into(), rfc3339)
    }

    #[test]
    fn next_times() {
        // 2026-11-22 is a Sunday.
        let rows = [
            ("* * * * * *", "2026-11-22T04:25:53.7Z", "UTC", "2026-11-22T04:25:54Z"),
            ("*/2 * * * * *", "2026-11-22T04:25:54Z", "UTC", "2026-11-22T04:25:56Z"),
            ("0 0 12 * * *", "2026-11-22T12:00:00Z", "UTC", "2026-11-23T12:00:00Z"),
            ("0 0 0 * * *", "2026-11-22T12:00:00Z", "Asia/Tokyo", "2026-11-22T15:00:00Z"),
            ("* * * 22 * MON", "2026-11-22T12:00:00Z", "UTC", "2026-11-22T12:00:01Z"),
            ("0 0 0 22 * MON", "2026-11-22T12:00:00Z", "UTC", "2026-11-23T00:00:00Z"),
            ("0 0 0 */2 * *", "2026-11-22T12:00:00Z", "UTC", "2026-11-23T00:00:00Z"),
            ("0 0 0 29 2 *", "2026-11-22T12:00:00Z", "UTC", "2028-02-29T00:00:00Z"),
            ("0 0 0 30 2 *", "2026-11-22T12:00:00Z", "UTC", "never"),
            ("0 0 0 1 1 *", "2026-12-31T23:59:59Z", "UTC", "2027-01-01T00:00:00Z"),
            // Clocks go from 2:00 to 3:00 on 2027-03-28, and from 3:00 to 2:00 on 2027-10-31.
            ("0 30 2 * * *", "2027-03-27T02:00:00Z", "Europe/Berlin", "2027-03-29T00:30:00Z"),
            ("0 30 2 * * *", "2027-10-30T23:00:00Z", "Europe/Berlin", "2027-10-31T00:30:00Z"),
            ("0 30 2 * * *", "2027-10-31T00:30:00Z", "Europe/Berlin", "2027-10-31T01:30:00Z"),
        ];
        for (text, after, zone, expected) in rows {
            assert_eq!(next(text, after, zone), expected, "{text} after {after} in {zone}");
        }
    }
}
