//! What a pull asks for, as read from its body.
//!
//! Clients send one of a few plain shapes all the time, so those are read in place. Anything else
//! goes to the reader of the API's JSON, which also has the words for what is wrong.

use std::borrow::Cow;

use super::super::config::{self, Mode};
use super::super::error::ApiError;

/// A pull request. Times are in nanoseconds and may be negative, as the client sent them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PullRequest<'a> {
    /// It was no object: it can name no group, and needs none.
    pub is_bare: bool,
    /// Messages wanted; anything below 1 gets one.
    pub batch: i64,
    /// From now; 0: never.
    pub expires: i64,
    /// 0 or less: no limit.
    pub max_bytes: i64,
    pub no_wait: bool,
    pub idle_heartbeat: i64,
    pub group: Cow<'a, str>,
    pub min_pending: i64,
    pub min_ack_pending: i64,
    pub id: Cow<'a, str>,
    pub priority: i64,
}

impl<'a> PullRequest<'a> {
    /// Reads a body: nothing is one message, a number so many, an object says it all, anything
    /// else is one message. The error is Go's text.
    pub fn parse(body: &'a [u8]) -> Result<Self, String> {
        let body = body.trim_ascii_start();
        if body.first() != Some(&b'{') {
            let batch = integer(body.trim_ascii_end()).unwrap_or(1);
            return Ok(Self { is_bare: true, batch, ..Self::default() });
        }
        if let Some(plain) = (Plain { text: body, at: 1 }).request() {
            return Ok(plain);
        }
        let read = config::parse::<config::PullRequest>(body, Mode::Lenient, "");
        read.map(Self::from).map_err(|error| words_of(body, &error))
    }
}

/// What Go says of a whole text that cannot be read: first of one that is no JSON. The API reads
/// from a stream, which has other words for that.
fn words_of(body: &[u8], error: &ApiError) -> String {
    let fault = std::str::from_utf8(body).ok().and_then(config::json_fault);
    let text = &error.description;
    let text = text.strip_prefix("invalid JSON: ").unwrap_or(text);
    fault.unwrap_or_else(|| text.into())
}

impl From<config::PullRequest> for PullRequest<'_> {
    fn from(read: config::PullRequest) -> Self {
        Self {
            is_bare: false,
            batch: read.batch,
            expires: read.expires.0,
            max_bytes: read.max_bytes,
            no_wait: read.no_wait,
            idle_heartbeat: read.idle_heartbeat.0,
            group: Cow::Owned(read.group),
            min_pending: read.min_pending,
            min_ack_pending: read.min_ack_pending,
            id: Cow::Owned(read.id),
            priority: read.priority,
        }
    }
}

fn integer(digits: &[u8]) -> Option<i64> {
    let (sign, digits) = match digits {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, digits),
    };
    let value = i64::try_from(super::ack::number(digits)?).ok()?;
    Some(sign * value)
}

/// An object of numbers, truths and plain strings without escapes. `None`: it is something else.
struct Plain<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Plain<'a> {
    fn request(mut self) -> Option<PullRequest<'a>> {
        let mut request = PullRequest::default();
        if self.take(b'}') {
            return self.ended().then_some(request);
        }
        loop {
            let key = self.string()?;
            if !self.take(b':') {
                return None;
            }
            match key.as_bytes() {
                b"batch" => request.batch = self.integer()?,
                b"expires" => request.expires = self.integer()?,
                b"max_bytes" => request.max_bytes = self.integer()?,
                b"no_wait" => request.no_wait = self.truth()?,
                b"idle_heartbeat" => request.idle_heartbeat = self.integer()?,
                b"group" => request.group = Cow::Borrowed(self.string()?),
                b"min_pending" => request.min_pending = self.integer()?,
                b"min_ack_pending" => request.min_ack_pending = self.integer()?,
                b"id" => request.id = Cow::Borrowed(self.string()?),
                b"priority" => request.priority = self.integer()?,
                _ => return None,
            }
            if self.take(b'}') {
                return self.ended().then_some(request);
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    fn blanks(&mut self) {
        while self
            .text
            .get(self.at)
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        {
            self.at += 1;
        }
    }

    fn ended(&mut self) -> bool {
        self.blanks();
        self.at == self.text.len()
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn string(&mut self) -> Option<&'a str> {
        if !self.take(b'"') {
            return None;
        }
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        if rest[len] != b'"' {
            return None;
        }
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).ok()
    }

    fn integer(&mut self) -> Option<i64> {
        self.blanks();
        let rest = &self.text[self.at..];
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
        let digits = &rest[..len];
        // JSON has no leading zeros and no plus; what ends the digits is judged by the caller.
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if unsigned.len() > 1 && unsigned[0] == b'0' {
            return None;
        }
        self.at += len;
        integer(digits)
    }

    fn truth(&mut self) -> Option<bool> {
        self.blanks();
        let rest = &self.text[self.at..];
        for (word, value) in [(&b"true"[..], true), (b"false", false)] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(batch: i64) -> PullRequest<'static> {
        PullRequest { is_bare: true, ..self::batch(batch) }
    }

    fn batch(batch: i64) -> PullRequest<'static> {
        PullRequest { batch, ..PullRequest::default() }
    }

    /// Facts §10, and what 2.15.1 delivered for bodies that are no JSON.
    #[test]
    fn bodies_of_all_kinds() {
        let rows: &[(&str, PullRequest<'_>)] = &[
            ("", bare(1)),
            ("5", bare(5)),
            (" 2", bare(2)),
            ("2 ", bare(2)),
            ("-5", bare(-5)),
            ("3x", bare(1)),
            ("7 8", bare(1)),
            ("junk", bare(1)),
            ("99999999999999999999", bare(1)),
            ("{}", batch(0)),
            ("{\"batch\":-3}", batch(-3)),
            ("{\"BATCH\":3}", batch(3)),
            ("{\"batch\":3,\"foo\":{\"a\":[1]}}", batch(3)),
            ("{\"batch\":3,\"batch\":4}", batch(4)),
            (" { \"batch\" : 3 , \"no_wait\" : true } ", PullRequest { no_wait: true, ..batch(3) }),
            ("{\"id\":\"a\\u0062\"}", PullRequest { id: "ab".into(), ..batch(0) }),
            (
                "{\"batch\":100,\"expires\":5000000000,\"max_bytes\":-1,\"idle_heartbeat\":7,\
                 \"group\":\"g\",\"min_pending\":1,\"min_ack_pending\":2,\"id\":\"x\",\
                 \"priority\":3,\"no_wait\":false}",
                PullRequest {
                    is_bare: false,
                    batch: 100,
                    expires: 5_000_000_000,
                    max_bytes: -1,
                    no_wait: false,
                    idle_heartbeat: 7,
                    group: "g".into(),
                    min_pending: 1,
                    min_ack_pending: 2,
                    id: "x".into(),
                    priority: 3,
                },
            ),
        ];
        for (body, expected) in rows {
            assert_eq!(PullRequest::parse(body.as_bytes()).as_ref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn errors_are_gos() {
        let rows = [
            ("{\"batch\":2", "unexpected end of JSON input"),
            ("{\"batch\":2}x", "invalid character 'x' after top-level value"),
            ("{\"batch\":x}", "invalid character 'x' looking for beginning of value"),
            (
                "{\"batch\":\"x\"}",
                "json: cannot unmarshal string into Go struct field .batch of type int",
            ),
            (
                "{\"batch\":1,\"expires\":\"x\"}",
                "json: cannot unmarshal string into Go struct field .expires of type time.Duration",
            ),
        ];
        for (body, expected) in rows {
            assert_eq!(PullRequest::parse(body.as_bytes()), Err(expected.into()), "{body}");
        }
    }

    #[test]
    fn plain_and_whole_reader_agree() {
        for body in [
            "{\"batch\":1,}",
            "{\"batch\":01}",
            "{\"batch\":1.5}",
            "{\"batch\":--1}",
            "{\"batch\":}",
            "{\"no_wait\":truely}",
            "{\"batch\":1}{",
            "{\"batch\":1e3}",
            "{,}",
            "{\"batch\":null}",
        ] {
            let whole = config::parse::<config::PullRequest>(body.as_bytes(), Mode::Lenient, "");
            let whole =
                whole.map(PullRequest::from).map_err(|error| words_of(body.as_bytes(), &error));
            assert_eq!(PullRequest::parse(body.as_bytes()), whole, "{body}");
        }
    }
}
