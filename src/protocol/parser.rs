//! Recognises the command at the front of a buffer (facts/core-protocol.md §1, §2, §5).
//!
//! Stateless: a command that is not whole yet is looked at again from its start, and its caller
//! keeps the bytes. Knows bytes and sizes; whether a subject or a JSON text makes sense is for
//! others to say.

#[cfg(test)]
mod tests;

use memchr::memchr;

use super::{Command, Publish, Step, Violation, handshake};

/// What a client may send at most.
#[derive(Clone, Copy, Debug)]
pub struct ParserLimits {
    /// Bytes after the operation's name and one blank, without the line's end. The reference
    /// does not count further blanks before the arguments, nor the text after PING, PONG and
    /// +OK, and thereby holds any amount of them.
    pub max_control_line: usize,
    /// Bytes of a payload, headers included.
    pub max_payload: usize,
}

/// Digits of a size; more are refused, also where they are leading zeros.
const SIZE_DIGITS_MAX: usize = 9;

type Outcome<'b> = Result<Step<'b>, Violation>;

/// The first command in `buf`, which starts where a command starts.
///
/// A violation is told as soon as the bytes show it: a wrong name before its line is whole, a
/// payload that is too large before it arrives.
#[inline]
pub fn next<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(first) = buf.first() else { return INCOMPLETE };
    match first {
        b'P' | b'p' => match buf.get(1) {
            None => INCOMPLETE,
            Some(b'U' | b'u') => publish(buf, limits),
            Some(b'I' | b'i') => bare(buf, b"PING", Command::Ping, limits),
            Some(b'O' | b'o') => bare(buf, b"PONG", Command::Pong, limits),
            Some(_) => Err(Violation::UNKNOWN_OPERATION),
        },
        b'H' | b'h' => publish_with_headers(buf, limits),
        b'S' | b's' => subscribe(buf, limits),
        b'U' | b'u' => unsubscribe(buf, limits),
        b'C' | b'c' => connect(buf, limits),
        b'I' | b'i' => info(buf, limits),
        b'+' => bare(buf, b"+OK", Command::Ignored, limits),
        b'-' => error(buf, limits),
        _ => Err(Violation::UNKNOWN_OPERATION),
    }
}

const INCOMPLETE: Outcome<'static> = Ok(Step::Incomplete { needed: 0 });

/// `PUB subject [reply] size`, then the payload.
#[inline]
fn publish<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"PUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let (subject, reply, size_text) = match words(line.args, is_blank) {
        Some(([subject, size_text, _], 2)) => (subject, None, size_text),
        Some(([subject, reply, size_text], 3)) => (subject, Some(reply), size_text),
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    let size = size(size_text).ok_or(Violation::BAD_ARGUMENTS)?;
    let payload = payload(buf, &line, size, limits)?;
    let Payload::Whole { payload, consumed } = payload else { return payload.incomplete() };
    let words = [Some(subject), reply, Some(size_text)];
    let publish = Publish {
        subject,
        reply,
        header_len: 0,
        size_text,
        header_len_text: b"",
        payload,
        tail: line.is_canonical(words).then(|| &buf[line.start + subject.len()..consumed]),
        is_hpub: false,
    };
    Ok(Step::Command { command: Command::Publish(publish), consumed })
}

/// `HPUB subject [reply] header_len total_len`, then headers and body.
#[inline]
fn publish_with_headers<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"HPUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let (subject, reply, header_len_text, size_text) = match words(line.args, is_blank) {
        Some(([subject, header_len, size, _], 3)) => (subject, None, header_len, size),
        Some(([subject, reply, header_len, size], 4)) => (subject, Some(reply), header_len, size),
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    let header_len = size(header_len_text).ok_or(Violation::BAD_ARGUMENTS)?;
    let size = size(size_text).ok_or(Violation::BAD_ARGUMENTS)?;
    if header_len > size {
        return Err(Violation::BAD_ARGUMENTS);
    }
    let payload = payload(buf, &line, size, limits)?;
    let Payload::Whole { payload, consumed } = payload else { return payload.incomplete() };
    let words = [Some(subject), reply, Some(header_len_text), Some(size_text)];
    // Without headers it is delivered as MSG, which has no header length in it.
    let has_tail = header_len > 0 && line.is_canonical(words);
    let publish = Publish {
        subject,
        reply,
        header_len,
        size_text,
        header_len_text,
        payload,
        tail: has_tail.then(|| &buf[line.start + subject.len()..consumed]),
        is_hpub: true,
    };
    Ok(Step::Command { command: Command::Publish(publish), consumed })
}

/// `SUB subject [queue] sid`.
fn subscribe<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"SUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let command = match words(line.args, is_blank_or_cr) {
        Some(([subject, sid, _], 2)) => Command::Subscribe { subject, queue: None, sid },
        Some(([subject, queue, sid], 3)) => Command::Subscribe { subject, queue: Some(queue), sid },
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    Ok(Step::Command { command, consumed: line.len })
}

/// `UNSUB sid [max]`. A `max` that is no number, or 0, means now.
fn unsubscribe<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"UNSUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let (sid, max) = match words(line.args, is_blank_or_cr) {
        Some(([sid, _], 1)) => (sid, None),
        Some(([sid, max], 2)) => (sid, size(max).filter(|&max| max > 0)),
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    let command = Command::Unsubscribe { sid, max: max.map(|max| max as u64) };
    Ok(Step::Command { command, consumed: line.len })
}

/// `CONNECT {json}`, also without the blank. The JSON is for [`handshake`].
fn connect<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"CONNECT", Blank::Optional, limits)? else { return INCOMPLETE };
    Ok(Step::Command { command: Command::Connect(line.args), consumed: line.len })
}

/// `INFO {json}`: of no use here, but must be an object.
fn info<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"INFO", Blank::Optional, limits)? else { return INCOMPLETE };
    if !handshake::is_object(line.args) {
        return Err(Violation::BAD_ARGUMENTS);
    }
    Ok(Step::Command { command: Command::Ignored, consumed: line.len })
}

/// `-ERR text`.
fn error<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"-ERR", Blank::Needed, limits)? else { return INCOMPLETE };
    Ok(Step::Command { command: Command::Error, consumed: line.len })
}

/// `PING`, `PONG`, `+OK`: whatever else stands in the line, even without a blank, is no matter.
fn bare<'b>(
    buf: &'b [u8],
    name: &'static [u8],
    command: Command<'b>,
    limits: &ParserLimits,
) -> Outcome<'b> {
    let Some(line) = line(buf, name, Blank::Optional, limits)? else { return INCOMPLETE };
    Ok(Step::Command { command, consumed: line.len })
}

/// A whole control line.
struct Line<'b> {
    /// What follows the name and one blank, without CR LF.
    args: &'b [u8],
    /// Where `args` start.
    start: usize,
    /// Including LF.
    len: usize,
}

/// What must follow an operation's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    Needed,
    Optional,
}

/// The control line at the front of `buf`, which begins with `name`. `None`: not whole yet.
#[inline(always)]
fn line<'b>(
    buf: &'b [u8],
    name: &'static [u8],
    blank: Blank,
    limits: &ParserLimits,
) -> Result<Option<Line<'b>>, Violation> {
    let seen = buf.len().min(name.len());
    if !buf[..seen].eq_ignore_ascii_case(&name[..seen]) {
        return Err(Violation::UNKNOWN_OPERATION);
    }
    let start = match buf.get(name.len()) {
        Some(&byte) if is_blank(byte) => name.len() + 1,
        Some(_) if blank == Blank::Needed => return Err(Violation::UNKNOWN_OPERATION),
        Some(_) => name.len(),
        None => return Ok(None),
    };
    // Not further than the longest line reaches, with its CR LF.
    let rest = &buf[start..buf.len().min(start + limits.max_control_line + 2)];
    let end = memchr(b'\n', rest);
    let text = &rest[..end.unwrap_or(rest.len())];
    let args = text.strip_suffix(b"\r").unwrap_or(text);
    if args.len() > limits.max_control_line {
        return Err(Violation::CONTROL_LINE_TOO_LONG);
    }
    Ok(end.map(|end| Line { args, start, len: start + end + 1 }))
}

impl Line<'_> {
    /// Whether the line is `words` and single blanks between them, closed by CR LF.
    #[inline]
    fn is_canonical<const N: usize>(&self, words: [Option<&[u8]>; N]) -> bool {
        let mut end = 0;
        let mut single_blanks = true;
        for word in words.into_iter().flatten() {
            end += word.len();
            single_blanks &= self.args.get(end).is_none_or(|&byte| byte == b' ');
            end += 1;
        }
        // The words are in the line, so it is no shorter than they are, joined.
        single_blanks
            && end == self.args.len() + 1
            && self.start + self.args.len() + b"\r\n".len() == self.len
    }
}

enum Payload<'b> {
    Whole { payload: &'b [u8], consumed: usize },
    Incomplete { needed: usize },
}

impl Payload<'_> {
    #[cold]
    fn incomplete<'b>(self) -> Outcome<'b> {
        match self {
            Self::Incomplete { needed } | Self::Whole { consumed: needed, .. } => {
                Ok(Step::Incomplete { needed })
            }
        }
    }
}

/// The `size` bytes after the line, which CR LF must follow.
#[inline]
fn payload<'b>(
    buf: &'b [u8],
    line: &Line<'_>,
    size: usize,
    limits: &ParserLimits,
) -> Result<Payload<'b>, Violation> {
    if size > limits.max_payload {
        return Err(Violation::PAYLOAD_TOO_LARGE);
    }
    let end = line.len + size;
    let consumed = end + b"\r\n".len();
    match buf.get(end..consumed) {
        Some(b"\r\n") => Ok(Payload::Whole { payload: &buf[line.len..end], consumed }),
        Some(_) => Err(Violation::UNKNOWN_OPERATION),
        None if buf.get(end).is_some_and(|&byte| byte != b'\r') => {
            Err(Violation::UNKNOWN_OPERATION)
        }
        None => Ok(Payload::Incomplete { needed: consumed }),
    }
}

#[inline]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// In SUB and UNSUB a CR inside the line separates too; in PUB it is part of a word.
fn is_blank_or_cr(byte: u8) -> bool {
    is_blank(byte) || byte == b'\r'
}

/// The words of a line and how many they are. `None`: more than fit.
#[inline]
fn words<const N: usize>(
    mut args: &[u8],
    separates: impl Fn(u8) -> bool + Copy,
) -> Option<([&[u8]; N], usize)> {
    let mut words: [&[u8]; N] = [b""; N];
    let mut count = 0;
    loop {
        let start = args.iter().position(|&byte| !separates(byte));
        let Some(start) = start else { return Some((words, count)) };
        args = &args[start..];
        let len = args.iter().position(|&byte| separates(byte)).unwrap_or(args.len());
        *words.get_mut(count)? = &args[..len];
        count += 1;
        args = &args[len..];
    }
}

/// A number of one to nine digits.
#[inline]
fn size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > SIZE_DIGITS_MAX {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + usize::from(digit))
    })
}
