//! One client connection. Opened by a blocking handshake, nonblocking from then on.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::protocol::Broken;

/// The most one read takes.
const READ_MAX: usize = 256 * 1024;
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// The buffer all connections of one thread read into.
pub struct Scratch(Vec<u8>);

impl Scratch {
    pub fn new() -> Self {
        Self(vec![0; READ_MAX])
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Greeting {
    pub verbose: bool,
    /// Asks for 503 when nobody listens.
    pub no_responders: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The read filled its buffer: there may be more.
    NotYet,
    /// The kernel had no more; an event follows.
    Empty,
    Closed,
}

pub struct Connection {
    socket: TcpStream,
    /// Bytes owed to the server, in front of them `sent` that are gone.
    outbox: Vec<u8>,
    sent: usize,
    /// The beginning of an operation whose end has not arrived.
    stash: Vec<u8>,
    info: String,
    /// Reads wait, and one that waits in vain is an error.
    blocks: bool,
}

impl Connection {
    /// Returns when the server has answered a first `PING`.
    pub fn open(address: SocketAddr, greeting: Greeting) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(HANDSHAKE_MAX))?;
        let mut lines = BufReader::with_capacity(4096, &socket);
        let info = line(&mut lines)?;
        let hello = format!(
            "CONNECT {{\"verbose\":{},\"pedantic\":false,\"headers\":true,\"no_responders\":{},\
             \"protocol\":1,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"bench-harness\"}}\r\n\
             PING\r\n",
            greeting.verbose, greeting.no_responders
        );
        (&socket).write_all(hello.as_bytes())?;
        loop {
            match line(&mut lines)?.as_str() {
                "PONG" => break,
                text if text.starts_with("-ERR") => return Err(io::Error::other(text)),
                _ => {}
            }
        }
        // Whatever follows the PONG belongs to the stream.
        let stash = lines.buffer().to_vec();
        socket.set_read_timeout(None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, outbox: Vec::new(), sent: 0, stash, info, blocks: false })
    }

    /// The server's first words.
    pub fn info(&self) -> &str {
        &self.info
    }

    pub fn queue(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// True when nothing is owed any more.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.sent < self.outbox.len() {
            match self.write(self.sent..self.outbox.len())? {
                Some(count) => self.sent += count,
                None => return Ok(false),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        Ok(true)
    }

    fn write(&self, range: std::ops::Range<usize>) -> io::Result<Option<usize>> {
        self.write_direct(&self.outbox[range])
    }

    /// Past the outbox, which must be empty. `None`: the kernel takes no more for now.
    pub fn write_direct(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match (&self.socket).write(bytes) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// One read. `on_bytes` sees all that is unprocessed and says how much of it it has used.
    pub fn receive(
        &mut self,
        scratch: &mut Scratch,
        on_bytes: impl FnOnce(&[u8]) -> Result<usize, Broken>,
    ) -> io::Result<Drained> {
        let kept = self.stash.len();
        if scratch.0.len() < kept + READ_MAX {
            scratch.0.resize(kept + READ_MAX, 0);
        }
        let count = match (&self.socket).read(&mut scratch.0[kept..kept + READ_MAX]) {
            Ok(0) => return Ok(Drained::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return self.on_nothing(),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Drained::NotYet),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Drained::Closed),
            Err(error) => return Err(error),
        };
        scratch.0[..kept].copy_from_slice(&self.stash);
        let bytes = &scratch.0[..kept + count];
        let used = on_bytes(bytes).map_err(|broken| io::Error::other(broken.0))?;
        self.stash.clear();
        self.stash.extend_from_slice(&bytes[used..]);
        Ok(if count == READ_MAX { Drained::NotYet } else { Drained::Empty })
    }

    fn on_nothing(&self) -> io::Result<Drained> {
        if self.blocks {
            return Err(io::Error::new(ErrorKind::TimedOut, "the server said nothing"));
        }
        Ok(Drained::Empty)
    }

    /// From now on reads wait, for at most `longest`.
    pub fn block(&mut self, longest: Duration) -> io::Result<()> {
        self.blocks = true;
        self.socket.set_read_timeout(Some(longest))?;
        self.socket.set_nonblocking(false)
    }

    /// Sends and waits for the `PONG`: afterwards the server has processed all of `bytes`. Only
    /// while nothing else is expected on the connection.
    pub fn settle(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.set_nonblocking(false)?;
        self.socket.set_read_timeout(Some(HANDSHAKE_MAX))?;
        (&self.socket).write_all(bytes)?;
        (&self.socket).write_all(b"PING\r\n")?;
        let mut lines = BufReader::with_capacity(4096, &self.socket);
        loop {
            match line(&mut lines)?.as_str() {
                "PONG" => break,
                "PING" => (&self.socket).write_all(b"PONG\r\n")?,
                text if text.starts_with("-ERR") => return Err(io::Error::other(text)),
                _ => {}
            }
        }
        self.stash.extend_from_slice(lines.buffer());
        self.socket.set_nonblocking(true)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn line(lines: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if lines.read_line(&mut text)? == 0 {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed during the handshake"));
    }
    Ok(text.trim_end().to_string())
}
