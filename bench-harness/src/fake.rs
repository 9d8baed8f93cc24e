//! A NATS server of the simplest kind for the tests, which can be told to misbehave: what the
//! verifying workloads are worth shows against it. One thread, everything polled.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use memchr::memchr;

use crate::clock;

/// The message that a fault befalls: each of this many.
const EVERY: u64 = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    Drop,
    Duplicate,
    /// A message waits until after its successor.
    Reorder,
    /// One byte of the payload changes.
    Corrupt,
    /// A message arrives a while after the publisher's PONG.
    LateDelivery,
    /// An UNSUB is never heeded.
    DeafToUnsub,
}

pub struct Fake {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut broker = Broker { fault, ..Broker::default() };
            while !stopped.load(Relaxed) {
                if !broker.turn(&listener) {
                    clock::pause(Duration::from_micros(100));
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()), "the fake server panicked");
    }
}

struct Peer {
    socket: TcpStream,
    inbox: Vec<u8>,
    out: Vec<u8>,
    verbose: bool,
    is_open: bool,
}

struct Sub {
    peer: usize,
    pattern: String,
    queue: Option<String>,
    sid: String,
}

struct Broker {
    fault: Fault,
    peers: Vec<Peer>,
    subs: Vec<Sub>,
    delivered: u64,
    /// A delivery that waits for its successor.
    held: Option<(usize, Vec<u8>)>,
    /// Deliveries that wait for some turns.
    late: Vec<(usize, Vec<u8>)>,
    turns: u64,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            fault: Fault::None,
            peers: Vec::new(),
            subs: Vec::new(),
            delivered: 0,
            held: None,
            late: Vec::new(),
            turns: 0,
        }
    }
}

impl Broker {
    /// False when nothing happened.
    fn turn(&mut self, listener: &TcpListener) -> bool {
        self.accept(listener);
        self.turns += 1;
        if self.turns.is_multiple_of(64) {
            for (peer, bytes) in std::mem::take(&mut self.late) {
                self.peers[peer].out.extend_from_slice(&bytes);
            }
        }
        let mut moved = false;
        for peer in 0..self.peers.len() {
            moved |= self.read(peer);
            let inbox = std::mem::take(&mut self.peers[peer].inbox);
            let mut used = 0;
            while let Some(count) = self.op(peer, &inbox[used..]) {
                used += count;
            }
            self.peers[peer].inbox = inbox[used..].to_vec();
        }
        for peer in &mut self.peers {
            moved |= write(peer);
        }
        moved
    }

    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true).unwrap();
            let out = b"INFO {\"server_id\":\"fake\",\"headers\":true} \r\n".to_vec();
            let inbox = Vec::new();
            self.peers.push(Peer { socket, inbox, out, verbose: true, is_open: true });
        }
    }

    fn read(&mut self, peer: usize) -> bool {
        let peer = &mut self.peers[peer];
        let mut bytes = [0; 65_536];
        match peer.socket.read(&mut bytes) {
            Ok(0) => peer.is_open = false,
            Ok(count) => {
                peer.inbox.extend_from_slice(&bytes[..count]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => peer.is_open = false,
        }
        false
    }

    /// Bytes used by one operation, if it is all there.
    fn op(&mut self, from: usize, bytes: &[u8]) -> Option<usize> {
        let end = memchr(b'\n', bytes)?;
        let line = String::from_utf8_lossy(&bytes[..end - 1]).into_owned();
        let words: Vec<&str> = line.split(' ').collect();
        let mut used = end + 1;
        match words.as_slice() {
            ["PUB", subject, middle @ .., size] => {
                let size: usize = size.parse().unwrap();
                let payload = bytes.get(used..used + size)?;
                bytes.get(used + size..used + size + 2)?;
                used += size + 2;
                self.publish(from, subject, middle.first().copied(), payload);
            }
            ["PING"] => self.peers[from].out.extend_from_slice(b"PONG\r\n"),
            ["CONNECT", options] => self.peers[from].verbose = options.contains("verbose\":true"),
            ["SUB", pattern, middle @ .., sid] => self.subs.push(Sub {
                peer: from,
                pattern: (*pattern).into(),
                queue: middle.first().map(|queue| (*queue).into()),
                sid: (*sid).into(),
            }),
            ["UNSUB", sid] if self.fault != Fault::DeafToUnsub => {
                self.subs.retain(|sub| sub.peer != from || sub.sid != *sid);
            }
            _ => {}
        }
        if self.peers[from].verbose && !matches!(words[0], "PING" | "PONG") {
            self.peers[from].out.extend_from_slice(b"+OK\r\n");
        }
        Some(used)
    }

    fn publish(&mut self, from: usize, subject: &str, reply: Option<&str>, payload: &[u8]) {
        let takers = self.takers(subject);
        if takers.is_empty() {
            if let Some(sub) = reply.and_then(|r| self.subs.iter().find(|s| matches(&s.pattern, r)))
            {
                let (inbox, sid) = (reply.unwrap_or_default(), &sub.sid);
                let text = format!("HMSG {inbox} {sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
                self.peers[from].out.extend_from_slice(text.as_bytes());
            }
            return;
        }
        for (peer, sid) in takers {
            let reply = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
            let mut bytes =
                format!("MSG {subject} {sid}{reply} {}\r\n", payload.len()).into_bytes();
            bytes.extend_from_slice(payload);
            bytes.extend_from_slice(b"\r\n");
            self.deliver(peer, bytes);
        }
    }

    /// All plain subscriptions that match, and one of each queue group.
    fn takers(&self, subject: &str) -> Vec<(usize, String)> {
        let matching: Vec<&Sub> =
            self.subs.iter().filter(|sub| matches(&sub.pattern, subject)).collect();
        let members: Vec<&&Sub> = matching.iter().filter(|sub| sub.queue.is_some()).collect();
        let chosen = members.get(self.delivered as usize % members.len().max(1));
        let plain = matching.iter().filter(|sub| sub.queue.is_none());
        plain.chain(chosen.copied()).map(|sub| (sub.peer, sub.sid.clone())).collect()
    }

    fn deliver(&mut self, to: usize, mut bytes: Vec<u8>) {
        self.delivered += 1;
        if self.fault == Fault::LateDelivery {
            self.late.push((to, bytes));
            return;
        }
        let is_due = self.delivered.is_multiple_of(EVERY);
        match self.fault {
            Fault::Drop if is_due => return,
            Fault::Duplicate if is_due => self.peers[to].out.extend_from_slice(&bytes),
            Fault::Corrupt if is_due => {
                let at = bytes.len() - 3;
                bytes[at] ^= 1;
            }
            Fault::Reorder if is_due && self.held.is_none() => {
                self.held = Some((to, bytes));
                return;
            }
            _ => {}
        }
        self.peers[to].out.extend_from_slice(&bytes);
        if let Some((_, held)) = self.held.take_if(|(peer, _)| *peer == to) {
            self.peers[to].out.extend_from_slice(&held);
        }
    }
}

fn write(peer: &mut Peer) -> bool {
    if peer.out.is_empty() || !peer.is_open {
        return false;
    }
    match peer.socket.write(&peer.out) {
        Ok(count) => {
            peer.out.drain(..count);
            true
        }
        Err(error) => {
            peer.is_open = error.kind() == ErrorKind::WouldBlock;
            false
        }
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(want), Some(token)) if want == "*" || want == token => {}
            _ => return false,
        }
    }
}
