//! Query arguments, read as the reference reads them: the first of a name counts, an empty one is
//! none, and a pair that is not well formed is passed over.

use std::fmt;
use std::num::IntErrorKind;

/// The arguments of one request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Args(Vec<(String, String)>);

/// An argument whose text is not of its type. The words are those of Go's `strconv`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadArg {
    key: &'static str,
    raw: String,
    kind: Kind,
    out_of_range: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    Int,
    Uint,
}

impl Args {
    /// `raw` is what follows the `?`.
    pub fn parse(raw: &str) -> Self {
        let well_formed = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(key)?, unescape(value)?))
        };
        Self(raw.split('&').filter(|pair| !pair.contains(';')).filter_map(well_formed).collect())
    }

    /// Arguments that came otherwise.
    pub fn of<const N: usize>(pairs: [(&str, String); N]) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// The text of an argument; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.0.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// False where there is none.
    pub fn bool(&self, key: &'static str) -> Result<bool, BadArg> {
        match self.text(key) {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            raw => Err(BadArg { key, raw: raw.into(), kind: Kind::Bool, out_of_range: false }),
        }
    }

    /// 0 where there is none.
    pub fn int(&self, key: &'static str) -> Result<i64, BadArg> {
        self.number(key, Kind::Int)
    }

    /// 0 where there is none.
    pub fn uint(&self, key: &'static str) -> Result<u64, BadArg> {
        let raw = self.text(key);
        if raw.starts_with('+') {
            return Err(BadArg { key, raw: raw.into(), kind: Kind::Uint, out_of_range: false });
        }
        self.number(key, Kind::Uint)
    }

    fn number<N>(&self, key: &'static str, kind: Kind) -> Result<N, BadArg>
    where
        N: std::str::FromStr<Err = std::num::ParseIntError> + Default,
    {
        let raw = self.text(key);
        if raw.is_empty() {
            return Ok(N::default());
        }
        raw.parse().map_err(|error: std::num::ParseIntError| BadArg {
            key,
            raw: raw.into(),
            kind,
            out_of_range: matches!(
                error.kind(),
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow
            ),
        })
    }
}

/// `+` and `%xx` undone; `None` where an escape is broken. Bytes that are no UTF-8 are replaced.
fn unescape(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

impl fmt::Display for BadArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, parser) = match self.kind {
            Kind::Bool => ("boolean", "ParseBool"),
            Kind::Int => ("int", "Atoi"),
            Kind::Uint => ("uint64", "ParseUint"),
        };
        let why = if self.out_of_range { "value out of range" } else { "invalid syntax" };
        write!(f, "Error decoding {kind} for '{}': strconv.{parser}: parsing ", self.key)?;
        write_quoted(f, &self.raw)?;
        write!(f, ": {why}")
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, raw: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in raw.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control if control.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(control))?,
            letter => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_well_formed_pair_counts() {
        let rows = [
            ("a=1&a=2", "1"),
            ("a=%zz&a=2", "2"),
            ("a=1;b=2&a=3", "3"),
            ("a=x+y%20z%2B", "x y z+"),
            ("a", ""),
            ("b=1", ""),
            ("%61=1", "1"),
            ("a=%4", ""),
        ];
        for (raw, expected) in rows {
            assert_eq!(Args::parse(raw).text("a"), expected, "{raw}");
        }
    }

    #[test]
    fn types_and_their_errors() {
        let rows = [
            ("", Ok(0)),
            ("-1", Ok(-1)),
            ("%2B5", Ok(5)),
            ("x", Err(r#"Error decoding int for 'n': strconv.Atoi: parsing "x": invalid syntax"#)),
            (
                "+5",
                Err(r#"Error decoding int for 'n': strconv.Atoi: parsing " 5": invalid syntax"#),
            ),
            (
                "99999999999999999999",
                Err(
                    r#"Error decoding int for 'n': strconv.Atoi: parsing "99999999999999999999": value out of range"#,
                ),
            ),
            (
                "a%22b%01%c3%a9%0a",
                Err(
                    r#"Error decoding int for 'n': strconv.Atoi: parsing "a\"b\x01é\n": invalid syntax"#,
                ),
            ),
        ];
        for (raw, expected) in rows {
            let got = Args::parse(&format!("n={raw}")).int("n").map_err(|bad| bad.to_string());
            assert_eq!(got, expected.map_err(str::to_owned), "{raw}");
        }
        let bad = Args::parse("n=-1&b=2&c=T");
        assert_eq!(
            bad.uint("n").unwrap_err().to_string(),
            r#"Error decoding uint64 for 'n': strconv.ParseUint: parsing "-1": invalid syntax"#
        );
        assert_eq!(
            bad.bool("b").unwrap_err().to_string(),
            r#"Error decoding boolean for 'b': strconv.ParseBool: parsing "2": invalid syntax"#
        );
        assert_eq!((bad.bool("c"), bad.bool("none")), (Ok(true), Ok(false)));
    }
}
