//! Parser of what a server sends to a client. It borrows from the bytes it is given and keeps
//! no state: an incomplete operation is offered again with more bytes behind it.

use memchr::{memchr, memchr_iter};

/// A control line longer than this is not NATS (INFO is the longest by far).
const LINE_MAX: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub enum ServerOp<'a> {
    Message(Message<'a>),
    Ping,
    Pong,
    Ok,
    Info(&'a [u8]),
    Error(&'a [u8]),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub subject: &'a [u8],
    pub sid: u64,
    pub reply: Option<&'a [u8]>,
    /// Empty for a `MSG`.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
}

impl Message<'_> {
    pub fn is_no_responders(&self) -> bool {
        self.headers.starts_with(b"NATS/1.0 503")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Op { op: ServerOp<'a>, consumed: usize },
    Incomplete,
}

/// The stream is not what a NATS server sends; the text says what was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl Broken {
    fn at(what: &str, line: &[u8]) -> Self {
        let shown = &line[..line.len().min(80)];
        Self(format!("{what}: {:?}", String::from_utf8_lossy(shown)))
    }
}

/// Hands every whole operation to `each` and gives back how many bytes they were.
pub fn each_op(bytes: &[u8], mut each: impl FnMut(ServerOp<'_>)) -> Result<usize, Broken> {
    let mut used = 0;
    while let Step::Op { op, consumed } = next_op(&bytes[used..])? {
        each(op);
        used += consumed;
    }
    Ok(used)
}

pub fn next_op(bytes: &[u8]) -> Result<Step<'_>, Broken> {
    let Some(end) = memchr(b'\n', bytes) else {
        if bytes.len() > LINE_MAX {
            return Err(Broken::at("endless control line", bytes));
        }
        return Ok(Step::Incomplete);
    };
    let Some(line) = bytes[..end].strip_suffix(b"\r") else {
        return Err(Broken::at("bare line feed", &bytes[..end]));
    };
    let consumed = end + 1;
    let op = match line {
        [b'M', b'S', b'G', b' ', args @ ..] => return message(bytes, consumed, args, false),
        [b'H', b'M', b'S', b'G', b' ', args @ ..] => return message(bytes, consumed, args, true),
        b"PING" => ServerOp::Ping,
        b"PONG" => ServerOp::Pong,
        b"+OK" => ServerOp::Ok,
        _ if line.starts_with(b"INFO ") => ServerOp::Info(&line[5..]),
        _ if line.starts_with(b"-ERR ") => ServerOp::Error(&line[5..]),
        _ => return Err(Broken::at("unknown operation", line)),
    };
    Ok(Step::Op { op, consumed })
}

/// `[H]MSG subject sid [reply] [header_len] total_len`, blanks always single as servers write it.
fn message<'a>(
    bytes: &'a [u8],
    body: usize,
    args: &'a [u8],
    has_headers: bool,
) -> Result<Step<'a>, Broken> {
    let mut fields: [&[u8]; 5] = [b""; 5];
    let mut count = 0;
    let mut start = 0;
    for end in memchr_iter(b' ', args).chain([args.len()]) {
        *fields.get_mut(count).ok_or_else(|| Broken::at("too many fields", args))? =
            &args[start..end];
        count += 1;
        start = end + 1;
    }
    let lengths = 1 + usize::from(has_headers);
    let fixed = 2 + lengths;
    if count != fixed && count != fixed + 1 {
        return Err(Broken::at("field count", args));
    }
    let total = number(fields[count - 1], args)? as usize;
    let header_len = if has_headers { number(fields[count - 2], args)? as usize } else { 0 };
    if header_len > total {
        return Err(Broken::at("header longer than message", args));
    }
    let Some(rest) = bytes.get(body..body + total + 2) else { return Ok(Step::Incomplete) };
    if &rest[total..] != b"\r\n" {
        return Err(Broken::at("message without CRLF at its stated end", args));
    }
    let op = ServerOp::Message(Message {
        subject: fields[0],
        sid: number(fields[1], args)?,
        reply: (count > fixed).then_some(fields[2]),
        headers: &rest[..header_len],
        payload: &rest[header_len..total],
    });
    Ok(Step::Op { op, consumed: body + total + 2 })
}

fn number(field: &[u8], args: &[u8]) -> Result<u64, Broken> {
    if field.is_empty() || field.len() > 18 {
        return Err(Broken::at("number", args));
    }
    field.iter().try_fold(0u64, |sum, &digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + u64::from(digit - b'0')),
        _ => Err(Broken::at("number", args)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"a\":1} \r\nPING\r\nMSG a.b 7 5\r\nhe\r\no\r\n+OK\r\n\
        MSG a 8 _INBOX.x 0\r\n\r\nHMSG a 9 12 14\r\nNATS/1.0\r\n\r\nhi\r\n-ERR 'x y'\r\nPONG\r\n";

    fn parse_all(mut bytes: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        while let Step::Op { op, consumed } = next_op(bytes).unwrap() {
            seen.push(format!("{op:?}"));
            bytes = &bytes[consumed..];
        }
        assert!(bytes.is_empty(), "left over: {bytes:?}");
        seen
    }

    #[test]
    fn every_split_waits_and_never_breaks() {
        let whole = parse_all(STREAM);
        assert_eq!(whole.len(), 8);
        for cut in 0..STREAM.len() {
            let mut bytes = &STREAM[..cut];
            let mut seen = 0;
            while let Step::Op { op, consumed } = next_op(bytes).unwrap() {
                assert_eq!(format!("{op:?}"), whole[seen], "cut at {cut}");
                bytes = &bytes[consumed..];
                seen += 1;
            }
        }
    }

    #[test]
    fn replies_and_headers_are_told_apart() {
        let Ok(Step::Op { op: ServerOp::Message(m), consumed }) =
            next_op(b"HMSG in 1 r 16 18\r\nNATS/1.0 503\r\n\r\nhi\r\nPING\r\n")
        else {
            panic!("not a message")
        };
        assert_eq!((m.sid, m.reply, m.payload), (1, Some(&b"r"[..]), &b"hi"[..]));
        assert!(m.is_no_responders());
        assert_eq!(consumed, 19 + 18 + 2);
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        for bad in [
            &b"MSG a 1 2\r\nabc\r\n"[..],
            b"MSG a 1\r\n",
            b"MSG a 1 r x 2\r\n",
            b"MSG a b 2\r\nab\r\n",
            b"HMSG a 1 9 2\r\nab\r\n",
            b"PANG\r\n",
            b"PING\n",
        ] {
            assert!(next_op(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
