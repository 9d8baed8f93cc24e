//! Numbers with units, booleans, dates and escapes: words that are more than text.

use super::Data;
use crate::config::ConfigError;

/// A word without quotes that does not begin with a digit.
pub(super) fn word(raw: String) -> Data {
    match raw.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Data::Boolean(true),
        "false" | "no" | "off" => Data::Boolean(false),
        _ => Data::Text(raw),
    }
}

/// Digits, perhaps with a sign and a unit. `None`: it is text (`10s`, `4222abc`).
pub(super) fn integer(raw: &str) -> Option<Result<Data, ConfigError>> {
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    let unit_at = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, unit) = unsigned.split_at(unit_at);
    if digits.is_empty() {
        return None;
    }
    let factor = unit_factor(unit)?;
    let sign = if raw.starts_with('-') { -1 } else { 1 };
    let number = digits
        .parse::<i128>()
        .ok()
        .and_then(|number| number.checked_mul(factor * sign))
        .and_then(|number| i64::try_from(number).ok());
    Some(number.map(Data::Integer).ok_or_else(|| ConfigError::Scalar {
        text: format!("integer '{raw}' is out of the range"),
    }))
}

/// Powers of 1000 for a bare letter, of 1024 with `b`, `i` or `ib` behind it.
fn unit_factor(unit: &str) -> Option<i128> {
    let unit = unit.to_ascii_lowercase();
    let Some(letter) = unit.chars().next() else { return Some(1) };
    let power = u32::try_from("kmgtpe".find(letter)?).ok()? + 1;
    match &unit[1..] {
        "" => Some(1000_i128.pow(power)),
        "b" | "i" | "ib" => Some(1024_i128.pow(power)),
        _ => None,
    }
}

pub(super) fn float(raw: &str) -> Result<Data, ConfigError> {
    match raw.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Data::Float(number)),
        _ => Err(ConfigError::Scalar { text: format!("float '{raw}' is out of the range") }),
    }
}

/// `raw` has the shape `dddd-dd-ddTdd:dd:ddZ`; here the numbers are judged.
pub(super) fn date_time(raw: &str) -> Result<Data, ConfigError> {
    let field = |at: usize, length: usize| raw[at..at + length].parse::<u32>().unwrap_or(u32::MAX);
    let (year, month, day) = (field(0, 4), field(5, 2), field(8, 2));
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    let in_range =
        (1..=days).contains(&day) && field(11, 2) < 24 && field(14, 2) < 60 && field(17, 2) < 60;
    if !in_range {
        let text = format!("expected Zulu formatted DateTime, but got '{raw}'");
        return Err(ConfigError::Scalar { text });
    }
    Ok(Data::DateTime(raw.to_owned()))
}

/// The text of bcrypt hashes begins like a variable and is none.
pub(super) fn is_bcrypt(word: &str) -> bool {
    ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| word.starts_with(prefix))
}
