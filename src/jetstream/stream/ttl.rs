//! How long a message lives, as a publisher says it (facts/jetstream-api.md §4, §13).

use crate::config::duration;
use crate::types::time::SECOND;

/// The value of `Nats-TTL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ttl {
    /// Not even `max_age` ends it.
    Never,
    /// Whole seconds, at least one.
    Seconds(u64),
}

/// Neither a duration of at least a second, nor whole seconds, nor `never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTtl;

impl Ttl {
    /// A Go duration, a number of seconds, or `never`. Fractions of a second are cut off.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidTtl> {
        if value.eq_ignore_ascii_case(b"never") {
            return Ok(Self::Never);
        }
        let text = std::str::from_utf8(value).map_err(|_| InvalidTtl)?;
        let seconds = match duration::parse(text) {
            Ok((_, true)) => return Err(InvalidTtl),
            Ok((duration, false)) => duration.as_secs(),
            Err(_) => text.parse::<i64>().ok().and_then(|n| n.try_into().ok()).ok_or(InvalidTtl)?,
        };
        if seconds == 0 { Err(InvalidTtl) } else { Ok(Self::Seconds(seconds)) }
    }

    /// When a message stored at `time` ends, in nanoseconds since 1970; `None` if it never does.
    pub fn deadline(self, time: u64) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::Seconds(seconds) => Some(time.saturating_add(seconds.saturating_mul(SECOND))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let rows = [
            ("1s", Ok(Ttl::Seconds(1))),
            ("1.5s", Ok(Ttl::Seconds(1))),
            ("1m30s", Ok(Ttl::Seconds(90))),
            ("10", Ok(Ttl::Seconds(10))),
            ("9999999999999", Ok(Ttl::Seconds(9_999_999_999_999))),
            ("NEVER", Ok(Ttl::Never)),
            ("500ms", Err(InvalidTtl)),
            ("-1", Err(InvalidTtl)),
            ("-5s", Err(InvalidTtl)),
            ("0", Err(InvalidTtl)),
            ("junk", Err(InvalidTtl)),
            ("5s ", Err(InvalidTtl)),
        ];
        for (text, expected) in rows {
            assert_eq!(Ttl::parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_long_life_does_not_wrap_around() {
        assert_eq!(Ttl::Seconds(u64::MAX).deadline(7), Some(u64::MAX));
    }
}
