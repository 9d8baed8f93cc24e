//! The language of a transcript (described in `tests/transcripts.rs`): text → steps.

use std::time::Duration;

/// A whole transcript.
#[derive(Debug, Default)]
pub struct Script {
    pub config: String,
    pub flags: Vec<String>,
    pub steps: Vec<Line>,
}

#[derive(Debug)]
pub struct Line {
    pub number: usize,
    pub step: Step,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Connects and takes the greeting.
    Connect(String),
    /// Connects and leaves the greeting to the steps that follow.
    Dial(String),
    /// Connects, takes the greeting, sends this CONNECT and PING, takes the PONG.
    Join(String, String),
    /// Sends CONNECT with these options, and the signature of the greeting's nonce with this seed.
    Sign(String, String, String),
    /// Replaces the config file and reloads.
    Reload(String),
    Send(String, Vec<u8>),
    /// One byte per write.
    Trickle(String, Vec<u8>),
    Expect(String, Pattern),
    /// Neighbouring `Unordered` steps of one connection may arrive in any order.
    Unordered(String, Pattern),
    /// Exactly one of these connections receives it.
    One(Vec<String>, Pattern),
    /// Together they receive it this many times, and each at least once.
    Split(usize, Vec<String>, Pattern),
    Closed(String),
    /// Whatever still arrives, the connection ends.
    Cut(String),
    Close(String),
    Refused(String),
    Silent(String, Duration),
    Sleep(Duration),
    Signal(String),
    Exit(i32),
    Log(String),
    Mark,
    Elapsed(Duration, Duration),
}

/// Bytes with holes.
pub type Pattern = Vec<Piece>;

#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// `INFO {…} \r\n`, whose fields satisfy these.
    Info(Vec<Claim>),
    /// One JSON object, whose fields satisfy these.
    Json(Vec<Claim>),
    /// Decimal digits.
    Number,
    /// Bytes that are neither blank nor line end.
    Word,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    Has(String),
    Lacks(String),
    Is(String, serde_json::Value),
}

pub fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    for (index, raw) in text.lines().enumerate() {
        let number = index + 1;
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(config) = line.strip_prefix("config ") {
            script.config.push_str(config);
            script.config.push('\n');
        } else if let Some(flags) = line.strip_prefix("flags ") {
            script.flags.extend(flags.split_whitespace().map(str::to_owned));
        } else {
            for step in steps(line).map_err(|why| format!("line {number}: {why}"))? {
                script.steps.push(Line { number, step });
            }
        }
    }
    Ok(script)
}

fn steps(line: &str) -> Result<Vec<Step>, String> {
    let Some(rest) = line.strip_prefix("repeat ") else {
        return Ok(vec![step(line)?]);
    };
    let (count, rest) = rest.split_once(' ').ok_or("repeat N STEP")?;
    let count = number(count)?;
    let once = step(rest)?;
    Ok(match once {
        // One write, so that a thousand operations arrive as they would from a busy client.
        Step::Send(name, bytes) => vec![Step::Send(name, bytes.repeat(count))],
        other => vec![other; count],
    })
}

fn step(line: &str) -> Result<Step, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "sleep" => return Ok(Step::Sleep(duration(rest)?)),
        "signal" => return Ok(Step::Signal(rest.to_owned())),
        "exit" => return Ok(Step::Exit(rest.parse().map_err(|_| "exit CODE")?)),
        "reload" => return Ok(Step::Reload(rest.to_owned())),
        "log" => return Ok(Step::Log(rest.to_owned())),
        "mark" => return Ok(Step::Mark),
        "elapsed" => {
            let (least, most) = rest.split_once("..").ok_or("elapsed A..B")?;
            return Ok(Step::Elapsed(duration(least)?, duration(most)?));
        }
        "one" => {
            let (names, wanted) = names_and_pattern(rest)?;
            return Ok(Step::One(names, wanted));
        }
        "split" => {
            let (count, rest) = rest.split_once(' ').ok_or("split N NAMES< BYTES")?;
            let (names, wanted) = names_and_pattern(rest)?;
            return Ok(Step::Split(number(count)?, names, wanted));
        }
        _ => {}
    }
    if let Some(name) = word.strip_suffix("<*") {
        return Ok(Step::Unordered(name.into(), pattern(rest)?));
    }
    if let Some(name) = word.strip_suffix('<') {
        return Ok(Step::Expect(name.into(), pattern(rest)?));
    }
    if let Some(name) = word.strip_suffix(">>") {
        return Ok(Step::Trickle(name.into(), bytes(rest)?));
    }
    if let Some(name) = word.strip_suffix('>') {
        return Ok(Step::Send(name.into(), bytes(rest)?));
    }
    deed(word.to_owned(), rest)
}

/// `NAME VERB …`
fn deed(name: String, rest: &str) -> Result<Step, String> {
    let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Ok(match verb {
        "connect" => Step::Connect(name),
        "dial" => Step::Dial(name),
        "joins" => Step::Join(name, rest.to_owned()),
        "signs" => {
            let (seed, options) = rest.split_once(' ').unwrap_or((rest, "{}"));
            Step::Sign(name, seed.to_owned(), options.to_owned())
        }
        "closed" => Step::Closed(name),
        "cut" => Step::Cut(name),
        "close" => Step::Close(name),
        "refused" => Step::Refused(name),
        "silent" => Step::Silent(name, duration(rest)?),
        _ => return Err(format!("no such step: {name} {verb}")),
    })
}

fn names_and_pattern(text: &str) -> Result<(Vec<String>, Pattern), String> {
    let (names, wanted) = text.split_once("< ").ok_or("NAMES< BYTES")?;
    Ok((names.split_whitespace().map(str::to_owned).collect(), pattern(wanted)?))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    match pattern(text)?.as_slice() {
        [] => Ok(Vec::new()),
        [Piece::Bytes(bytes)] => Ok(bytes.clone()),
        _ => Err("what is sent has no placeholders".into()),
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        match char {
            '\\' => rest = escape(rest, &mut literal)?,
            '<' => {
                let end = rest.find('>').ok_or("`<` without `>`")?;
                if !literal.is_empty() {
                    pieces.push(Piece::Bytes(std::mem::take(&mut literal)));
                }
                pieces.push(placeholder(&rest[..end])?);
                rest = &rest[end + 1..];
            }
            _ => literal.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Bytes(literal));
    }
    Ok(pieces)
}

/// What follows a backslash; returns the text behind it.
fn escape<'a>(text: &'a str, into: &mut Vec<u8>) -> Result<&'a str, String> {
    let kind = text.chars().next().ok_or("a lone backslash")?;
    let rest = &text[kind.len_utf8()..];
    match kind {
        'r' => into.push(b'\r'),
        'n' => into.push(b'\n'),
        't' => into.push(b'\t'),
        '0' => into.push(0),
        's' => into.push(b' '),
        '\\' | '<' => into.push(kind as u8),
        'x' => {
            let digits = rest.get(..2).ok_or("\\xHH")?;
            into.push(u8::from_str_radix(digits, 16).map_err(|_| "\\xHH")?);
            return Ok(&rest[2..]);
        }
        '(' => {
            let end = rest.find(')').ok_or("\\(text*count)")?;
            let (text, count) = rest[..end].rsplit_once('*').ok_or("\\(text*count)")?;
            into.extend(bytes(text)?.repeat(number(count)?));
            return Ok(&rest[end + 1..]);
        }
        _ => return Err(format!("no such escape: \\{kind}")),
    }
    Ok(rest)
}

fn placeholder(text: &str) -> Result<Piece, String> {
    let (kind, claims) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match kind {
        "info" => Piece::Info(self::claims(claims)?),
        "json" => Piece::Json(self::claims(claims)?),
        "number" => Piece::Number,
        "word" => Piece::Word,
        _ => return Err(format!("no such placeholder: <{text}>")),
    })
}

fn claims(text: &str) -> Result<Vec<Claim>, String> {
    text.split_whitespace()
        .map(|word| match (word.strip_prefix('!'), word.split_once('=')) {
            (Some(field), _) => Ok(Claim::Lacks(field.to_owned())),
            (None, None) => Ok(Claim::Has(word.to_owned())),
            (None, Some((field, value))) => serde_json::from_str(value)
                .map(|value| Claim::Is(field.to_owned(), value))
                .map_err(|error| format!("{field}: {error}")),
        })
        .collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').ok_or("a duration ends in ms or s")?, 1000),
    };
    Ok(Duration::from_millis(number(digits)? as u64 * unit))
}
