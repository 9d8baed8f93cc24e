//! What the server writes (facts/core-protocol.md §2, §3, §7), appended to a connection's bytes.
//!
//! A message is delivered by two copies: `MSG subject sid`, and the **tail**, which is the same
//! for all its subscribers:
//!
//! ```text
//! MSG greet 7 inbox.1 5\r\nhello\r\n
//!            └────── tail ────────┘
//!            └ tail head ┘└ payload
//! ```
//!
//! The parser finds the tail in what the publisher wrote ([`Publish::tail`]); [`build_tail`] is
//! for publishers that wrote it otherwise. Sizes are echoed as the publisher wrote them.

#[cfg(test)]
mod tests;

use super::{Publish, ServerInfo};

pub const PING: &[u8] = b"PING\r\n";
pub const PONG: &[u8] = b"PONG\r\n";
pub const OK: &[u8] = b"+OK\r\n";

/// How a message is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A payload without headers.
    Msg,
    /// Headers, then a body.
    Hmsg,
}

impl Kind {
    /// How the message goes to subscribers that understand headers.
    #[inline]
    pub fn of(publish: &Publish<'_>) -> Self {
        if publish.header_len > 0 { Self::Hmsg } else { Self::Msg }
    }

    #[inline]
    fn verb(self) -> &'static [u8] {
        match self {
            Self::Msg => b"MSG ",
            Self::Hmsg => b"HMSG ",
        }
    }
}

/// A message for one subscriber. `tail` is a whole tail, or a tail head where the payload is
/// sent by reference.
#[inline]
pub fn msg_with_tail(out: &mut Vec<u8>, kind: Kind, subject: &[u8], sid: &[u8], tail: &[u8]) {
    let verb = kind.verb();
    out.reserve(verb.len() + subject.len() + 1 + sid.len() + tail.len());
    out.extend_from_slice(verb);
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.extend_from_slice(tail);
}

/// The tail for subscribers that understand headers, in canonical form.
pub fn build_tail(out: &mut Vec<u8>, publish: &Publish<'_>) {
    build_tail_head(out, Kind::of(publish), publish);
    out.extend_from_slice(publish.payload);
    out.extend_from_slice(b"\r\n");
}

/// The tail for subscribers that do not: a `MSG` of the body alone.
pub fn build_stripped_tail(out: &mut Vec<u8>, publish: &Publish<'_>) {
    build_tail_head(out, Kind::Msg, publish);
    out.extend_from_slice(&publish.payload[publish.header_len..]);
    out.extend_from_slice(b"\r\n");
}

/// The tail up to the payload: `" [reply ][header_len ]size\r\n"`.
pub fn build_tail_head(out: &mut Vec<u8>, kind: Kind, publish: &Publish<'_>) {
    if let Some(reply) = publish.reply {
        out.push(b' ');
        out.extend_from_slice(reply);
    }
    out.push(b' ');
    match kind {
        Kind::Hmsg => {
            out.extend_from_slice(publish.header_len_text);
            out.push(b' ');
            out.extend_from_slice(publish.size_text);
        }
        Kind::Msg if publish.header_len == 0 => out.extend_from_slice(publish.size_text),
        Kind::Msg => decimal(out, publish.payload.len() - publish.header_len),
    }
    out.extend_from_slice(b"\r\n");
}

/// `INFO {json} `: the reference puts a blank before CR LF.
pub fn info(out: &mut Vec<u8>, info: &ServerInfo<'_>) {
    out.extend_from_slice(b"INFO ");
    serde_json::to_writer(&mut *out, info).expect("a Vec takes all, and the keys are strings");
    out.extend_from_slice(b" \r\n");
}

/// `-ERR 'text'`.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// To a requester whose request to `subject` nobody received; `reply` and `sid` are those of
/// its subscription for the answer.
pub fn no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const STATUS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const END: &[u8] = b"\r\n\r\n";
    let header_len = STATUS.len() + subject.len() + END.len();
    msg_with_tail(out, Kind::Hmsg, reply, sid, b" ");
    decimal(out, header_len);
    out.push(b' ');
    decimal(out, header_len);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(STATUS);
    out.extend_from_slice(subject);
    out.extend_from_slice(END);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, mut number: usize) {
    const DIGITS_MAX: usize = usize::MAX.ilog10() as usize + 1;
    let mut digits = [0; DIGITS_MAX];
    let mut start = DIGITS_MAX;
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
