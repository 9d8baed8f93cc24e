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
// Inlined into the one loop that executes commands: a command is used where it is parsed instead
// of being copied through two results (store-forwarding stalls: 8 % of a core that publishes).
#[inline(always)]
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
#[inline(always)]
fn publish<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"PUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let words = Words::<3>::split(line.args, Cr::IsText)?;
    let (subject, reply, size_text) = match *words.found() {
        [subject, size] => (subject, None, size),
        [subject, reply, size] => (subject, Some(reply), size),
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    let size = number(size_text).ok_or(Violation::BAD_ARGUMENTS)?;
    let Some((payload, consumed)) = payload(buf, &line, size, limits)? else {
        return Ok(Step::Incomplete { needed: needed(&line, size) });
    };
    let is_canonical = words.are_canonical && line.ends_in_crlf();
    let publish = Publish {
        subject,
        reply,
        header_len: 0,
        size_text,
        header_len_text: b"",
        payload,
        tail: is_canonical.then(|| &buf[line.start + subject.len()..consumed]),
        is_hpub: false,
    };
    Ok(Step::Command { command: Command::Publish(publish), consumed })
}

/// `HPUB subject [reply] header_len total_len`, then headers and body.
#[inline]
fn publish_with_headers<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"HPUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let words = Words::<4>::split(line.args, Cr::IsText)?;
    let (subject, reply, header_len_text, size_text) = match *words.found() {
        [subject, header_len, size] => (subject, None, header_len, size),
        [subject, reply, header_len, size] => (subject, Some(reply), header_len, size),
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    let header_len = number(header_len_text).ok_or(Violation::BAD_ARGUMENTS)?;
    let size = number(size_text).ok_or(Violation::BAD_ARGUMENTS)?;
    if header_len > size {
        return Err(Violation::BAD_ARGUMENTS);
    }
    let Some((payload, consumed)) = payload(buf, &line, size, limits)? else {
        return Ok(Step::Incomplete { needed: needed(&line, size) });
    };
    // Without headers it is delivered as MSG, which has no header length in it.
    let is_canonical = header_len > 0 && words.are_canonical && line.ends_in_crlf();
    let publish = Publish {
        subject,
        reply,
        header_len,
        size_text,
        header_len_text,
        payload,
        tail: is_canonical.then(|| &buf[line.start + subject.len()..consumed]),
        is_hpub: true,
    };
    Ok(Step::Command { command: Command::Publish(publish), consumed })
}

/// `SUB subject [queue] sid`.
fn subscribe<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"SUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let command = match *Words::<3>::split(line.args, Cr::Separates)?.found() {
        [subject, sid] => Command::Subscribe { subject, queue: None, sid },
        [subject, queue, sid] => Command::Subscribe { subject, queue: Some(queue), sid },
        _ => return Err(Violation::BAD_ARGUMENTS),
    };
    Ok(Step::Command { command, consumed: line.len })
}

/// `UNSUB sid [max]`. A `max` that is no number, or 0, means now.
fn unsubscribe<'b>(buf: &'b [u8], limits: &ParserLimits) -> Outcome<'b> {
    let Some(line) = line(buf, b"UNSUB", Blank::Needed, limits)? else { return INCOMPLETE };
    let (sid, max) = match *Words::<2>::split(line.args, Cr::Separates)?.found() {
        [sid] => (sid, None),
        [sid, max] => (sid, number(max).filter(|&max| max > 0)),
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
    let rest = &buf[start..];
    let rest = &rest[..rest.len().min(limits.max_control_line.saturating_add(2))];
    let end = memchr(b'\n', rest);
    let text = &rest[..end.unwrap_or(rest.len())];
    let args = text.strip_suffix(b"\r").unwrap_or(text);
    if args.len() > limits.max_control_line {
        return Err(Violation::CONTROL_LINE_TOO_LONG);
    }
    Ok(end.map(|end| Line { args, start, len: start + end + 1 }))
}

impl Line<'_> {
    fn ends_in_crlf(&self) -> bool {
        self.len == self.start + self.args.len() + b"\r\n".len()
    }
}

/// The bytes of a command whose payload has `size`.
fn needed(line: &Line<'_>, size: usize) -> usize {
    line.len + size + b"\r\n".len()
}

/// The payload after the line, which CR LF must follow, and the bytes of the whole command.
/// `None`: not whole yet.
#[inline]
fn payload<'b>(
    buf: &'b [u8],
    line: &Line<'_>,
    size: usize,
    limits: &ParserLimits,
) -> Result<Option<(&'b [u8], usize)>, Violation> {
    if size > limits.max_payload {
        return Err(Violation::PAYLOAD_TOO_LARGE);
    }
    let (end, needed) = (line.len + size, needed(line, size));
    match buf.get(end..needed) {
        Some(b"\r\n") => Ok(Some((&buf[line.len..end], needed))),
        Some(_) => Err(Violation::UNKNOWN_OPERATION),
        None if buf.get(end).is_some_and(|&byte| byte != b'\r') => {
            Err(Violation::UNKNOWN_OPERATION)
        }
        None => Ok(None),
    }
}

#[inline]
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// What a CR inside a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cr {
    /// PUB and HPUB.
    IsText,
    /// SUB and UNSUB.
    Separates,
}

/// A line's arguments, taken apart.
struct Words<'b, const N: usize> {
    words: [&'b [u8]; N],
    count: usize,
    /// Single blanks between the words, and nothing around them.
    are_canonical: bool,
}

impl<'b, const N: usize> Words<'b, N> {
    /// More than `N` words are a violation.
    #[inline(always)]
    fn split(mut args: &'b [u8], cr: Cr) -> Result<Self, Violation> {
        let separates = |byte| is_blank(byte) || cr == Cr::Separates && byte == b'\r';
        let mut found = Self { words: [b""; N], count: 0, are_canonical: true };
        while let Some(&first) = args.first() {
            let is_single = first == b' ' && args.get(1).is_some_and(|&byte| !separates(byte));
            found.are_canonical &= if found.count == 0 { !separates(first) } else { is_single };
            let Some(blanks) = args.iter().position(|&byte| !separates(byte)) else { break };
            args = &args[blanks..];
            let end = word_end(args, separates);
            *found.words.get_mut(found.count).ok_or(Violation::BAD_ARGUMENTS)? = &args[..end];
            found.count += 1;
            args = &args[end..];
        }
        Ok(found)
    }

    #[inline(always)]
    fn found(&self) -> &[&'b [u8]] {
        &self.words[..self.count]
    }
}

/// Where the first word of `args` ends. Eight bytes at a time: a PUB with a subject of 16 bytes
/// is parsed in 20 ns, with a call of `memchr2` per word in 24, byte by byte in 28.
#[inline(always)]
fn word_end(args: &[u8], separates: impl Fn(u8) -> bool) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let mut end = 0;
    while let Some(eight) = args.get(end..).and_then(|rest| rest.first_chunk()) {
        let eight = u64::from_le_bytes(*eight);
        // The high bit of each byte up to b' ': right for the first of them.
        let low = eight.wrapping_sub(ONES * 0x21) & !eight & HIGH_BITS;
        if low == 0 {
            end += 8;
            continue;
        }
        end += low.trailing_zeros() as usize / 8;
        if separates(args[end]) {
            return end;
        }
        end += 1;
    }
    args[end..].iter().position(|&byte| separates(byte)).map_or(args.len(), |at| end + at)
}

/// A number of one to nine digits.
#[inline]
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > SIZE_DIGITS_MAX {
        return None;
    }
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + usize::from(digit))
    })
}
