//! When a schedule is due: once, at intervals, or by the calendar (facts/jetstream-api.md §7).

use jiff::tz::TimeZone;

use super::cron::Cron;
use crate::config::duration;
use crate::jetstream::config::Moment;
use crate::jetstream::error::ApiError;
use crate::types::Wall;
use crate::types::time::SECOND;

/// The value of `Nats-Schedule`.
#[derive(Clone, PartialEq, Debug)]
pub enum Pattern {
    At(Wall),
    /// Nanoseconds.
    Every(u64),
    Calendar(Box<Cron>, TimeZone),
}

/// Names for what cron has to spell.
const NAMED: &[(&str, &str)] = &[
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];

impl Pattern {
    /// Only calendars have a time zone.
    pub fn parse(text: &[u8], zone: Option<&[u8]>) -> Result<Self, ApiError> {
        let invalid = ApiError::message_schedules_pattern_invalid;
        let text = std::str::from_utf8(text).map_err(|_| invalid())?;
        if let Some(time) = text.strip_prefix("@at ") {
            let time = Moment::parse(time).map_err(|_| invalid())?;
            return if zone.is_some() { Err(invalid()) } else { Ok(Self::At(time.wall())) };
        }
        if let Some(interval) = text.strip_prefix("@every ") {
            let (interval, is_negative) = duration::parse(interval).map_err(|_| invalid())?;
            let ns = u64::try_from(interval.as_nanos()).map_err(|_| invalid())?;
            let fits = !is_negative && ns >= SECOND && zone.is_none();
            return if fits { Ok(Self::Every(ns)) } else { Err(invalid()) };
        }
        let named = NAMED.iter().find(|(name, _)| *name == text);
        let cron = Cron::parse(named.map_or(text, |(_, cron)| cron)).ok_or_else(invalid)?;
        let zone = zone.map_or(Ok(TimeZone::UTC), time_zone)?;
        Ok(Self::Calendar(Box::new(cron), zone))
    }

    /// The first time, of a schedule that was stored at `stored`; or the one behind it, of one
    /// that was obeyed then. `None`: there is none.
    pub fn next(&self, stored: Wall) -> Option<Wall> {
        match self {
            Self::At(time) => Some(*time),
            Self::Every(ns) => {
                let whole = stored.0.saturating_add(SECOND / 2) / SECOND * SECOND;
                Some(Wall(whole.saturating_add(*ns)))
            }
            Self::Calendar(cron, zone) => cron.next(stored, zone),
        }
    }

    /// Whether it is obeyed once only.
    pub fn is_single(&self) -> bool {
        matches!(self, Self::At(_))
    }
}

/// By its name in the IANA database, letter by letter.
pub fn time_zone(name: &[u8]) -> Result<TimeZone, ApiError> {
    let invalid = ApiError::message_schedules_time_zone_invalid;
    let name = std::str::from_utf8(name).map_err(|_| invalid())?;
    // This server keeps UTC.
    if name == "UTC" || name == "Local" {
        return Ok(TimeZone::UTC);
    }
    let zone = TimeZone::get(name).map_err(|_| invalid())?;
    if zone.iana_name() == Some(name) { Ok(zone) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::rfc3339;

    #[test]
    fn what_the_reference_takes() {
        let good = [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
            "@annually",
            "@every 1s",
            "@every 1.5s",
            "@every 1h30m",
            "@at 2027-01-01T00:00:00Z",
            "@at 2027-01-01T00:00:00.5Z",
            "@at 2020-01-01T00:00:00Z",
            "@at 2027-01-01T00:00:00+02:00",
        ];
        for text in good {
            assert!(Pattern::parse(text.as_bytes(), None).is_ok(), "{text}");
        }
        let bad = [
            "@every 500ms",
            "@every",
            "@every  2s",
            "@every -1s",
            "@every 0",
            "@every 5",
            "@reboot",
            "@at",
            "@at now",
            "@at 2027-01-01",
            "@AT 2027-01-01T00:00:00Z",
            "@Hourly",
            "q",
        ];
        for text in bad {
            let error = Pattern::parse(text.as_bytes(), None).unwrap_err();
            assert_eq!(error.err_code, 10189, "{text}");
        }
    }

    #[test]
    fn zones_are_for_calendars() {
        let rows = [
            ("* * * * * *", "Europe/Berlin", 0),
            ("* * * * * *", "Bogus", 10223),
            ("* * * * * *", "europe/berlin", 10223),
            ("* * * * * *", "UTC", 0),
            ("* * * * * *", "Local", 0),
            ("* * * * * *", "EST5EDT", 0),
            ("@daily", "America/New_York", 0),
            ("@every 1s", "UTC", 10189),
            ("@at 2027-01-01T00:00:00Z", "UTC", 10189),
        ];
        for (text, zone, code) in rows {
            let parsed = Pattern::parse(text.as_bytes(), Some(zone.as_bytes()));
            assert_eq!(parsed.err().map_or(0, |error| error.err_code), code, "{text} {zone}");
        }
    }

    #[test]
    fn intervals_begin_at_whole_seconds() {
        let rows = [("1s", 740, "03Z"), ("1.5s", 750, "03.5Z"), ("2s", 400, "03Z")];
        for (interval, ms, expected) in rows {
            let pattern = Pattern::parse(format!("@every {interval}").as_bytes(), None).unwrap();
            let next = pattern.next(Wall(SECOND + ms * SECOND / 1000)).unwrap();
            assert_eq!(rfc3339(next), format!("1970-01-01T00:00:{expected}"), "{interval}");
        }
    }
}
