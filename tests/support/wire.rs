//! One end of a connection in a transcript: takes bytes only when a step asks for them, so a
//! connection that no step reads from is a client that stopped reading.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::script::{Claim, Pattern, Piece};
use super::server;

/// How long an expected byte may take: well above the slowest timer a transcript waits for.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The reference pings a connection once, about two seconds after CONNECT, to learn its round trip.
/// From this age on a PING that no step asks for is answered and passed over.
const UNASKED_PING_FROM: Duration = Duration::from_millis(1500);
const PING: &[u8] = b"PING\r\n";

pub struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
    opened: Instant,
}

pub enum Fit {
    /// The pattern is the first so many bytes.
    Whole(usize),
    /// All there is fits, and more may follow.
    SoFar,
    No(String),
}

impl Wire {
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = server::connect(address).map_err(|e| format!("connect: {e}"))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        Ok(Self { stream, received: Vec::new(), ended: false, opened: Instant::now() })
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match self.stream.write_all(bytes) {
            // What the server thinks of it is for the steps that follow to say.
            Err(error) if !gone(error.kind()) => Err(format!("send: {error}")),
            _ => Ok(()),
        }
    }

    /// Takes the INFO line and sends CONNECT with these options and the nonce signed.
    pub fn sign(&mut self, seed: &str, options: &str) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.received.contains(&b'\n') && self.fill(deadline) {}
        let end = self.received.iter().position(|&byte| byte == b'\n').ok_or("no INFO line")?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        let info: serde_json::Value =
            line.get(5..).and_then(|json| serde_json::from_slice(json).ok()).ok_or("no INFO")?;
        let nonce = info["nonce"].as_str().ok_or("no nonce in INFO")?;
        let pair = nkeys::KeyPair::from_seed(seed).map_err(|e| e.to_string())?;
        let signature = pair.sign(nonce.as_bytes()).map_err(|e| e.to_string())?;
        let mut connect: serde_json::Value =
            serde_json::from_str(options).map_err(|e| e.to_string())?;
        connect["sig"] = data_encoding::BASE64URL_NOPAD.encode(&signature).into();
        if connect["nkey"].is_null() {
            connect["nkey"] = pair.public_key().into();
        }
        self.send(format!("CONNECT {connect}\r\n").as_bytes())
    }

    pub fn trickle(&mut self, bytes: &[u8]) -> Result<(), String> {
        bytes.chunks(1).try_for_each(|byte| self.send(byte))
    }

    /// Takes bytes that fit the pattern off the front.
    pub fn expect(&mut self, wanted: &Pattern) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match fit(wanted, &self.received) {
                Fit::Whole(length) => {
                    self.received.drain(..length);
                    return Ok(());
                }
                Fit::No(_) if self.passes_ping() => {}
                Fit::No(why) => return Err(self.unlike(wanted, &why)),
                Fit::SoFar if self.ended => {
                    return Err(self.unlike(wanted, "the connection ended"));
                }
                Fit::SoFar if !self.fill(deadline) => {
                    return Err(self.unlike(wanted, "nothing more came"));
                }
                Fit::SoFar => {}
            }
        }
    }

    /// Whether the pattern's bytes are here already; takes them if so.
    pub fn offers(&mut self, wanted: &Pattern) -> Result<bool, String> {
        if matches!(fit(wanted, &self.received), Fit::SoFar) {
            self.stream.set_nonblocking(true).map_err(|e| e.to_string())?;
            self.fill(Instant::now());
            self.stream.set_nonblocking(false).map_err(|e| e.to_string())?;
        }
        match fit(wanted, &self.received) {
            Fit::Whole(length) => {
                self.received.drain(..length);
                Ok(true)
            }
            Fit::SoFar => Ok(false),
            Fit::No(_) if self.passes_ping() => Ok(false),
            Fit::No(why) => Err(self.unlike(wanted, &why)),
        }
    }

    /// Takes the patterns off the front in whatever order they came.
    pub fn expect_unordered(&mut self, wanted: &[&Pattern]) -> Result<(), String> {
        let mut left: Vec<&Pattern> = wanted.to_vec();
        let deadline = Instant::now() + PATIENCE;
        while !left.is_empty() {
            let hit = left.iter().enumerate().find_map(|(at, wanted)| {
                match fit(wanted, &self.received) {
                    Fit::Whole(length) => Some((at, length)),
                    Fit::SoFar | Fit::No(_) => None,
                }
            });
            match hit {
                Some((at, length)) => {
                    left.remove(at);
                    self.received.drain(..length);
                }
                None if self.passes_ping() => {}
                None if self.ended || !self.fill(deadline) => {
                    return Err(self.unlike(left[0], "none of those left fits"));
                }
                None => {}
            }
        }
        Ok(())
    }

    pub fn expect_end(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while self.received.is_empty() && !self.ended && self.fill(deadline) {}
        if !self.received.is_empty() {
            return Err(format!("expected: the end\n     got: {}", shown(&self.received)));
        }
        if self.ended { Ok(()) } else { Err("the connection stays open".into()) }
    }

    pub fn expect_cut(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.ended && self.fill(deadline) {
            self.received.clear();
        }
        if self.ended { Ok(()) } else { Err("the connection stays open".into()) }
    }

    pub fn expect_silence(&mut self, span: Duration) -> Result<(), String> {
        let deadline = Instant::now() + span;
        while self.received.is_empty() && !self.ended && self.fill(deadline) {}
        match (self.received.as_slice(), self.ended) {
            ([], false) => Ok(()),
            ([], true) => Err("expected silence, the connection ended".into()),
            (bytes, _) => Err(format!("expected silence\n     got: {}", shown(bytes))),
        }
    }

    fn passes_ping(&mut self) -> bool {
        let passes = self.opened.elapsed() >= UNASKED_PING_FROM && self.received.starts_with(PING);
        if passes {
            self.received.drain(..PING.len());
            let _ = self.send(b"PONG\r\n");
        }
        passes
    }

    /// Reads once; false when nothing came before the deadline.
    fn fill(&mut self, deadline: Instant) -> bool {
        if self.ended {
            return false;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left)).expect("a positive timeout");
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if gone(error.kind()) => self.ended = true,
            Err(_) => return false,
        }
        true
    }

    fn unlike(&self, wanted: &Pattern, why: &str) -> String {
        let wanted: String = wanted.iter().map(shown_piece).collect();
        format!("{why}\nexpected: {wanted}\n     got: {}", shown(&self.received))
    }
}

fn gone(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}

pub fn fit(wanted: &[Piece], bytes: &[u8]) -> Fit {
    let mut at = 0;
    for (index, piece) in wanted.iter().enumerate() {
        let rest = &bytes[at..];
        let here = match piece {
            Piece::Bytes(literal) => fit_bytes(literal, rest),
            Piece::Info(claims) => fit_info(claims, rest),
            Piece::Json(claims) => fit_json(claims, rest),
            Piece::Number => fit_run(rest, index + 1 == wanted.len(), |byte| byte.is_ascii_digit()),
            Piece::Word => {
                fit_run(rest, index + 1 == wanted.len(), |byte| !byte.is_ascii_whitespace())
            }
        };
        match here {
            Fit::Whole(length) => at += length,
            other => return other,
        }
    }
    Fit::Whole(at)
}

fn fit_bytes(literal: &[u8], bytes: &[u8]) -> Fit {
    if bytes.starts_with(literal) {
        Fit::Whole(literal.len())
    } else if literal.starts_with(bytes) {
        Fit::SoFar
    } else {
        Fit::No("other bytes came".into())
    }
}

fn fit_run(bytes: &[u8], last: bool, belongs: impl Fn(u8) -> bool) -> Fit {
    match bytes.iter().position(|&byte| !belongs(byte)) {
        Some(0) => Fit::No("no run of the wanted kind".into()),
        Some(length) => Fit::Whole(length),
        None if last && !bytes.is_empty() => Fit::Whole(bytes.len()),
        None => Fit::SoFar,
    }
}

fn fit_info(claims: &[Claim], bytes: &[u8]) -> Fit {
    let start = fit_bytes(b"INFO ", bytes);
    let Fit::Whole(prefix) = start else { return start };
    let Fit::Whole(object) = fit_json(claims, &bytes[prefix..]) else {
        return fit_json(claims, &bytes[prefix..]);
    };
    match fit_bytes(b" \r\n", &bytes[prefix + object..]) {
        Fit::Whole(end) => Fit::Whole(prefix + object + end),
        other => other,
    }
}

fn fit_json(claims: &[Claim], bytes: &[u8]) -> Fit {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter();
    let value: serde_json::Value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if !error.is_eof() => return Fit::No(format!("not JSON: {error}")),
        Some(Err(_)) | None => return Fit::SoFar,
    };
    match claims.iter().find(|claim| !holds(claim, &value)) {
        Some(claim) => Fit::No(format!("does not hold: {claim:?}")),
        None => Fit::Whole(values.byte_offset()),
    }
}

fn holds(claim: &Claim, value: &serde_json::Value) -> bool {
    match claim {
        Claim::Has(path) => lookup(path, value).is_some(),
        Claim::Lacks(path) => lookup(path, value).is_none(),
        Claim::Is(path, wanted) => lookup(path, value) == Some(wanted),
    }
}

fn lookup<'a>(path: &str, value: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
    path.split('.').try_fold(value, |value, field| value.get(field))
}

fn shown_piece(piece: &Piece) -> String {
    match piece {
        Piece::Bytes(bytes) => shown(bytes),
        other => format!("<{other:?}>"),
    }
}

/// As a transcript would write it, long runs cut.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 600;
    let text = bytes[..bytes.len().min(MOST)].escape_ascii().to_string().replace("\\'", "'");
    let text = text.replace("\\\"", "\"");
    if bytes.len() > MOST { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}
