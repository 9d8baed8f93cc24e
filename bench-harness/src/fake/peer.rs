//! One connection of the harness' own server.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::TcpStream;

const READ_MAX: usize = 256 * 1024;

pub struct Peer {
    socket: TcpStream,
    pub inbox: Vec<u8>,
    pub out: Vec<u8>,
    pub verbose: bool,
    is_open: bool,
}

impl Peer {
    pub fn new(socket: TcpStream) -> Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        let out =
            b"INFO {\"server_id\":\"null\",\"headers\":true,\"max_payload\":8388608} \r\n".to_vec();
        Ok(Self { socket, inbox: Vec::new(), out, verbose: true, is_open: true })
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// One read into the inbox. True when there may be more.
    pub fn read(&mut self, scratch: &mut Vec<u8>) -> bool {
        scratch.resize(READ_MAX, 0);
        match self.socket.read(scratch) {
            Ok(0) => self.is_open = false,
            Ok(count) => {
                self.inbox.extend_from_slice(&scratch[..count]);
                return count == READ_MAX;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_open = false,
        }
        false
    }

    /// As much as the socket takes.
    pub fn write(&mut self) {
        let mut sent = 0;
        while self.is_open && sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(count) => sent += count,
                Err(error) => {
                    self.is_open = error.kind() == ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        self.out.drain(..sent);
        if !self.is_open {
            self.out.clear();
        }
    }
}
