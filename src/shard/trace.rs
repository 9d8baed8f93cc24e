//! Trace lines: what clients say and are told, in the reference's forms.
//!
//! ```text
//!   <<- [PUB x 5]            said by the client       ->> [MSG x 1 5]          told to it
//!   <<- MSG_PAYLOAD: ["…"]   the payload of that      <-> [DELSUB 1]           ended here
//! ```

use std::fmt::{Display, Formatter, Result, Write};

use tracing::trace;

use crate::connection::Trace;
use crate::protocol::encode::{self, Kind};
use crate::protocol::{Command, Publish, handshake};

const IN: &str = "<<-";
const OUT: &str = "->>";

/// A command of a client.
pub fn command(label: &str, command: &Command<'_>, how: &Trace) {
    match command {
        Command::Connect(json) => {
            trace!("{label} - {IN} [CONNECT {}]", handshake::without_secrets(json));
        }
        Command::Publish(publish) => publish_in(label, publish, how),
        Command::Subscribe { subject, queue, sid } => {
            let words = [queue.unwrap_or_default(), sid];
            trace!("{label} - {IN} [SUB {}{}]", Raw(subject), Words(&words));
        }
        Command::Unsubscribe { sid, max } => {
            let max = max.map(|max| format!(" {max}")).unwrap_or_default();
            trace!("{label} - {IN} [UNSUB {}{max}]", Raw(sid));
        }
        Command::Ping => trace!("{label} - {IN} [PING]"),
        Command::Pong => trace!("{label} - {IN} [PONG]"),
        Command::Ignored | Command::Error => {}
    }
}

fn publish_in(label: &str, publish: &Publish<'_>, how: &Trace) {
    let verb = if publish.is_hpub { "HPUB" } else { "PUB" };
    let words = [publish.reply.unwrap_or_default(), publish.header_len_text, publish.size_text];
    trace!("{label} - {IN} [{verb} {}{}]", Raw(publish.subject), Words(&words));
    payload(label, IN, publish.payload, publish.header_len, how);
}

/// What the server itself publishes; between the two blanks stands no reply.
pub fn system(subject: &[u8], body: &[u8], how: &Trace) {
    if how.system {
        trace!("SYSTEM - {IN} [PUB {}  {}]", Raw(subject), body.len());
        payload("SYSTEM", IN, body, 0, how);
    }
}

/// A message for a client.
pub fn delivery(label: &str, kind: Kind, sid: &[u8], publish: &Publish<'_>, how: &Trace) {
    let mut head = Vec::new();
    encode::build_tail_head(&mut head, kind, publish);
    let stripped = if kind == Kind::Msg { publish.header_len } else { 0 };
    let verb = if kind == Kind::Hmsg { "HMSG" } else { "MSG" };
    let (subject, head) = (Raw(publish.subject), Raw(head.trim_ascii_end()));
    trace!("{label} - {OUT} [{verb} {subject} {}{head}]", Raw(sid));
    payload(label, OUT, &publish.payload[stripped..], publish.header_len - stripped, how);
}

/// A line that is no message. INFO is not shown.
pub fn answer(label: &str, line: &[u8]) {
    let line = line.trim_ascii_end();
    if let Some(text) = line.strip_prefix(b"-ERR '") {
        trace!("{label} - {OUT} [-ERR {}]", Raw(text.strip_suffix(b"'").unwrap_or(text)));
    } else if !line.starts_with(b"INFO") {
        trace!("{label} - {OUT} [{}]", Raw(line.strip_prefix(b"+").unwrap_or(line)));
    }
}

/// A subscription that ended.
pub fn ended(label: &str, sid: &[u8]) {
    trace!("{label} - <-> [DELSUB {}]", Raw(sid));
}

fn payload(label: &str, direction: &str, payload: &[u8], header_len: usize, how: &Trace) {
    // Headers without the empty line that ends them.
    let headers = payload[..header_len].trim_ascii_end();
    let shown = if how.headers_only { headers } else { payload };
    if shown.is_empty() {
        return;
    }
    let max = if how.payload_bytes_max == 0 { usize::MAX } else { how.payload_bytes_max };
    let more = if shown.len() > max { "..." } else { "" };
    let shown = Quoted(&shown[..shown.len().min(max)]);
    trace!("{label} - {direction} MSG_PAYLOAD: [\"{shown}{more}\"]");
}

/// Those words that are there, each after a blank.
struct Words<'a>(&'a [&'a [u8]]);

impl Display for Words<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let mut there = self.0.iter().filter(|word| !word.is_empty());
        there.try_for_each(|word| write!(out, " {}", Raw(word)))
    }
}

/// As it is, but for what would upset a terminal or is no text.
struct Raw<'a>(&'a [u8]);

impl Display for Raw<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write_text(out, self.0, |_| false)
    }
}

/// As within a string literal of the reference's language.
struct Quoted<'a>(&'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write_text(out, self.0, |c| c == '"' || c == '\\')
    }
}

fn write_text(out: &mut Formatter<'_>, bytes: &[u8], is_marked: impl Fn(char) -> bool) -> Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{7}' => out.write_str("\\a")?,
                '\u{8}' => out.write_str("\\b")?,
                '\t' | '\n' | '\r' => write!(out, "{}", c.escape_default())?,
                '\u{b}' => out.write_str("\\v")?,
                '\u{c}' => out.write_str("\\f")?,
                c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c))?,
                c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c))?,
                c if is_marked(c) => write!(out, "\\{c}")?,
                c => out.write_char(c)?,
            }
        }
        chunk.invalid().iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_quoted_as_the_reference_quotes_them() {
        let rows: [(&[u8], &str); 4] = [
            (b"\x00\"\xff", r#"\x00\"\xff"#),
            (b"\t\xc3\xa9'\"\x7f\\\r\xe2\x80", r#"\té'\"\x7f\\\r\xe2\x80"#),
            (b"NATS/1.0\r\n\r\n", r"NATS/1.0\r\n\r\n"),
            (b"\x07\x08\x0b\x0c", r"\a\b\v\f"),
        ];
        for (bytes, expected) in rows {
            assert_eq!(Quoted(bytes).to_string(), expected);
        }
    }

    #[test]
    fn words_are_shown_as_they_came() {
        assert_eq!(Raw("é.\"x\"\u{1b}[".as_bytes()).to_string(), "é.\"x\"\\x1b[");
        assert_eq!(Words(&[b"", b"12", b"17"]).to_string(), " 12 17");
    }
}
