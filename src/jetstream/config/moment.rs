//! Times as RFC 3339 has them, read and written as Go's `time` does.

use serde::{Serialize, Serializer};

use super::json::{Node, Value, quoted};
use super::wire::{Mode, Problem, Wire};
use crate::types::Wall;

/// A time as a client wrote it, with its offset from UTC, which answers repeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Since 1970 in UTC; the years 0 to 9999.
    seconds: i64,
    nanos: u32,
    offset_minutes: i32,
}

const DAY: i64 = 86_400;
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

impl Moment {
    /// Go's zero time, the start of the year 1.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, offset_minutes: 0 };

    pub fn is_zero(self) -> bool {
        (self.seconds, self.nanos) == (Self::ZERO.seconds, 0)
    }

    /// What two times share that are the same moment: seconds since 1970 and nanoseconds.
    pub fn instant(self) -> (i64, u32) {
        (self.seconds, self.nanos)
    }

    /// Times before 1970 are 1970, times past 2554 are that.
    pub fn wall(self) -> Wall {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        Wall(seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(self.nanos)))
    }

    pub fn from_wall(at: Wall) -> Self {
        let (seconds, nanos) = (at.0 / 1_000_000_000, at.0 % 1_000_000_000);
        Self { seconds: seconds as i64, nanos: nanos as u32, offset_minutes: 0 }
    }

    /// Reads RFC 3339. The error is Go's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text).map_err(|problem| {
            let what = match problem {
                Unread::Element { rest, element } => {
                    format!(
                        " as {}: cannot parse {} as {}",
                        quoted(LAYOUT),
                        quoted(rest),
                        quoted(element)
                    )
                }
                Unread::Range(what) => format!(": {what} out of range"),
                Unread::Extra(rest) => format!(": extra text: {}", quoted(rest)),
            };
            format!("parsing time {}{what}", quoted(text))
        })
    }

    pub fn text(self) -> String {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let (year, month, day) = date(local.div_euclid(DAY));
        let second = local.rem_euclid(DAY);
        let (hour, minute) = (second / 3600, second / 60 % 60);
        let mut text =
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60);
        if self.nanos > 0 {
            text.push_str(format!(".{:09}", self.nanos).trim_end_matches('0'));
        }
        match self.offset_minutes {
            0 => text.push('Z'),
            offset => {
                let sign = if offset < 0 { '-' } else { '+' };
                let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
                text.push_str(&format!("{sign}{hours:02}:{minutes:02}"));
            }
        }
        text
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::ZERO
    }
}

enum Unread<'t> {
    Element { rest: &'t str, element: &'static str },
    Range(&'static str),
    Extra(&'t str),
}

fn read(text: &str) -> Result<Moment, Unread<'_>> {
    let mut rest = text;
    let year = digits(&mut rest, 4, "2006")?;
    mark(&mut rest, "-")?;
    let month = digits(&mut rest, 2, "01")?;
    if !(1..=12).contains(&month) {
        return Err(Unread::Range("month"));
    }
    mark(&mut rest, "-")?;
    let day = digits(&mut rest, 2, "02")?;
    mark(&mut rest, "T")?;
    // Go's parser takes an hour of one digit.
    let lone = rest.as_bytes().get(1) == Some(&b':');
    let hour = digits(&mut rest, if lone { 1 } else { 2 }, "15")?;
    if hour > 23 {
        return Err(Unread::Range("hour"));
    }
    mark(&mut rest, ":")?;
    let minute = digits(&mut rest, 2, "04")?;
    if minute > 59 {
        return Err(Unread::Range("minute"));
    }
    mark(&mut rest, ":")?;
    let second = digits(&mut rest, 2, "05")?;
    if second > 59 {
        return Err(Unread::Range("second"));
    }
    let nanos = fraction(&mut rest);
    let offset_minutes = offset(&mut rest)?;
    if !rest.is_empty() {
        return Err(Unread::Extra(rest));
    }
    if day < 1 || day > days_of_month(year, month) {
        return Err(Unread::Range("day"));
    }
    let local = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    let seconds = local - i64::from(offset_minutes) * 60;
    Ok(Moment { seconds, nanos, offset_minutes })
}

fn digits<'t>(rest: &mut &'t str, count: usize, element: &'static str) -> Result<i64, Unread<'t>> {
    let number = rest.get(..count).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let unread = Unread::Element { rest, element };
    let Some(number) = number.and_then(|text| text.parse().ok()) else { return Err(unread) };
    *rest = &rest[count..];
    Ok(number)
}

fn mark<'t>(rest: &mut &'t str, mark: &'static str) -> Result<(), Unread<'t>> {
    let after = rest.strip_prefix(mark);
    *rest = after.ok_or(Unread::Element { rest, element: mark })?;
    Ok(())
}

/// Nanoseconds of a fraction, if one follows (behind a comma, too, as in Go); digits past the ninth are dropped.
fn fraction(rest: &mut &str) -> u32 {
    let Some(after) = rest.strip_prefix(['.', ',']) else { return 0 };
    let len = after.bytes().take_while(u8::is_ascii_digit).count();
    if len == 0 {
        return 0;
    }
    let nanos = after[..len].bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    *rest = &after[len..];
    nanos
}

fn offset<'t>(rest: &mut &'t str) -> Result<i32, Unread<'t>> {
    if let Some(after) = rest.strip_prefix('Z') {
        *rest = after;
        return Ok(0);
    }
    let number = |from: usize| -> Option<i32> {
        let text = rest.get(from..from + 2)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    let sign = match rest.as_bytes().first() {
        Some(b'+') => Some(1),
        Some(b'-') => Some(-1),
        _ => None,
    };
    let colon = rest.as_bytes().get(3) == Some(&b':');
    match (sign, number(1), number(4)) {
        (Some(sign), Some(hours), Some(minutes)) if colon => {
            if hours > 24 {
                return Err(Unread::Range("time zone offset hour"));
            }
            if minutes > 60 {
                return Err(Unread::Range("time zone offset minute"));
            }
            *rest = &rest[6..];
            Ok(sign * (hours * 60 + minutes))
        }
        _ => Err(Unread::Element { rest, element: "Z07:00" }),
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date. Years begin in March here, so that a leap day ends one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a day since 1970: the inverse of [`days`].
fn date(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text())
    }
}

impl Wire for Moment {
    fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
        match &node.value {
            Value::Null => {}
            Value::Text(text) => *self = Self::parse(text).map_err(Problem::said)?,
            _ => return Err(Problem::mismatch(node, Self::go_type())),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.is_zero()
    }

    fn go_type() -> String {
        "time.Time".into()
    }
}

#[cfg(test)]
mod tests;
