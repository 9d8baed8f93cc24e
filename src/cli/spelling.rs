//! Go's flag syntax, rewritten to one long form for each flag.
//!
//! `-p 1`, `-p=1`, `--p 1`, `--port=1` are all `--port=1`. Flags end at the first word without a
//! dash. Error texts are those of Go's flag package.

use std::ffi::OsString;

/// A command line in the form clap reads.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The program's name and `--long=value` for each flag.
    pub flags: Vec<String>,
    /// The first word that is no flag: `help`, `version`, `disk-check`, `debug-bundle` or a
    /// mistake.
    pub word: Option<String>,
    /// What follows it, as it is.
    pub rest: Vec<String>,
    /// A flag we do not obey yet, as written, unless it switches something off.
    pub refused: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// Without `=value` it is true; never takes the next argument.
    Truth,
}

use Kind::{Number, Text, Truth};

/// Every spelling of every flag, with its long form. The only such list.
const OBEYED: &[(&[&str], Kind)] = &[
    (&["addr", "a", "net"], Text),
    (&["port", "p"], Number),
    (&["server_name", "n", "name"], Text),
    (&["pid", "P"], Text),
    (&["http_port", "m"], Number),
    (&["config", "c"], Text),
    (&["t"], Truth),
    (&["signal", "sl"], Text),
    (&["client_advertise"], Text),
    (&["ports_file_dir"], Text),
    (&["log", "l"], Text),
    (&["logtime", "T"], Truth),
    (&["logtime_utc"], Truth),
    (&["debug", "D"], Truth),
    (&["trace", "V"], Truth),
    (&["DV"], Truth),
    (&["VV"], Truth),
    (&["DVV"], Truth),
    (&["log_size_limit"], Number),
    (&["max_traced_msg_len"], Number),
    (&["user"], Text),
    (&["pass"], Text),
    (&["auth"], Text),
    (&["jetstream", "js"], Truth),
    (&["store_dir", "sd"], Text),
    (&["cores"], Text),
    (&["shards"], Number),
    (&["spin"], Text),
    (&["ring_features"], Text),
    (&["help", "h"], Truth),
    (&["version", "v"], Truth),
];

/// Flags of the reference that are refused by name.
const REFUSED: &[(&[&str], Kind)] = &[
    (&["https_port", "ms"], Number),
    (&["syslog", "s"], Truth),
    (&["remote_syslog", "r"], Text),
    (&["tls"], Truth),
    (&["tlscert"], Text),
    (&["tlskey"], Text),
    (&["tlsverify"], Truth),
    (&["tlscacert"], Text),
    (&["routes"], Text),
    (&["cluster"], Text),
    (&["cluster_name"], Text),
    (&["no_advertise"], Truth),
    (&["cluster_advertise"], Text),
    (&["connect_retries"], Number),
    (&["cluster_listen"], Text),
    (&["profile"], Number),
    (&["help_tls"], Truth),
];

#[cfg(test)]
pub(super) fn long_forms() -> impl Iterator<Item = &'static str> {
    OBEYED.iter().map(|(names, _)| names[0])
}

#[cfg(test)]
pub(super) fn spellings() -> impl Iterator<Item = &'static str> {
    OBEYED.iter().chain(REFUSED).flat_map(|(names, _)| names.iter().copied())
}

/// The error is one line about the first bad flag.
pub(super) fn rewrite(args: impl Iterator<Item = OsString>) -> Result<Line, String> {
    let mut args = args
        .map(|arg| arg.into_string().map_err(|arg| format!("argument {arg:?} is not valid UTF-8")));
    let mut line = Line { flags: vec!["nats-server".to_owned()], ..Line::default() };
    while let Some(arg) = args.next().transpose()? {
        let flag = match split_flag(&arg)? {
            Some(flag) => flag,
            None => {
                let word = if arg == "--" { args.next().transpose()? } else { Some(arg) };
                line.word = word;
                line.rest = args.by_ref().collect::<Result<_, _>>()?;
                break;
            }
        };
        let name = flag.name;
        let known =
            |list: &'static [(&[&str], Kind)]| list.iter().find(|(names, _)| names.contains(&name));
        let obeyed = known(OBEYED);
        let Some((names, kind)) = obeyed.or_else(|| known(REFUSED)) else {
            return Err(format!("flag provided but not defined: -{name}"));
        };
        let value = match (flag.value, kind) {
            (Some(value), _) => value.to_owned(),
            (None, Truth) => "true".to_owned(),
            (None, Text | Number) => {
                let next = args.next().transpose()?;
                next.ok_or_else(|| format!("flag needs an argument: -{name}"))?
            }
        };
        let value = check_value(name, &value, *kind)?;
        if obeyed.is_some() {
            line.flags.push(format!("--{}={value}", names[0]));
        } else if !(*kind == Truth && value == "false") {
            line.refused.get_or_insert_with(|| format!("-{name}"));
        }
    }
    Ok(line)
}

struct Flag<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

/// `None`: the argument is no flag.
fn split_flag(arg: &str) -> Result<Option<Flag<'_>>, String> {
    if arg == "-" || arg == "--" || !arg.starts_with('-') {
        return Ok(None);
    }
    let rest = arg.strip_prefix("--").unwrap_or(&arg[1..]);
    if rest.starts_with(['-', '=']) {
        return Err(format!("bad flag syntax: {arg}"));
    }
    Ok(Some(match rest.split_once('=') {
        Some((name, value)) => Flag { name, value: Some(value) },
        None => Flag { name: rest, value: None },
    }))
}

/// The value in the form clap reads.
fn check_value(name: &str, value: &str, kind: Kind) -> Result<String, String> {
    match kind {
        Text => Ok(value.to_owned()),
        Truth => match value {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok("true".to_owned()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok("false".to_owned()),
            _ => Err(format!("invalid boolean value {value:?} for -{name}: parse error")),
        },
        Number => match parse_number(value) {
            None => Err(format!("invalid value {value:?} for flag -{name}: parse error")),
            Some(number) => match i64::try_from(number) {
                Ok(number) => Ok(number.to_string()),
                Err(_) => {
                    Err(format!("invalid value {value:?} for flag -{name}: value out of range"))
                }
            },
        },
    }
}

/// Decimal, `0x…`, `0o…`, `0b…`, or octal after a zero. `None`: not a number.
fn parse_number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(two) if two.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    // More digits than that are out of any range.
    let number = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(if negative { -number } else { number })
}
