//! Invented sockets: what lies between a client and its shard, with all the ways a kernel has to
//! split, delay and refuse.

use std::collections::VecDeque;

use super::world::World;
use crate::connection::outbound::Run;
use crate::shard::turn::TurnIo;
use crate::shard::{Shard, Taken};
use crate::types::{CloseReason, ConnKey};

/// How a client's end of the wire is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Open,
    /// It said all and went: what it wrote is read, then comes the end.
    Finished,
    /// What was under way is lost.
    Reset,
}

/// The wire between a client and its socket.
#[derive(Debug)]
pub struct Pipe {
    pub to_server: VecDeque<u8>,
    pub to_client: VecDeque<u8>,
    pub client_end: End,
    pub server_closed: bool,
}

/// A shard's sockets.
#[derive(Debug, Default)]
pub struct Sockets {
    sockets: Vec<Socket>,
    /// Bytes that were read and wait to be processed; `None`: in the connection's stash.
    reads: Vec<(ConnKey, Option<Vec<u8>>)>,
    /// Sends that ended while more was waiting.
    again: Vec<ConnKey>,
}

#[derive(Debug)]
struct Socket {
    pipe: usize,
    key: ConnKey,
    /// Readable, but its connection is paused: only a resume makes it be read.
    blocked: bool,
    sending: Option<Sending>,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Closing {
    No,
    /// When everything owed is sent.
    Flushing,
    Now,
    /// It goes to another core when no send is under way.
    Parting,
}

/// A send with the kernel.
#[derive(Debug)]
struct Sending {
    runs: Vec<Run>,
    bytes: Vec<u8>,
    /// Taken by the wire.
    taken: usize,
    /// Told to the shard.
    reported: usize,
}

impl Sockets {
    pub fn open(&mut self, key: ConnKey, pipe: usize) {
        let (sending, closing) = (None, Closing::No);
        self.sockets.push(Socket { pipe, key, blocked: false, sending, closing });
    }

    fn find(&mut self, key: ConnKey) -> Option<&mut Socket> {
        self.sockets.iter_mut().find(|socket| socket.key == key)
    }

    /// A parked shard would be woken: bytes of a socket that is waited for, or a finished send.
    pub fn has_work(&self, pipes: &[Pipe]) -> bool {
        self.sockets.iter().any(|socket| {
            let pipe = &pipes[socket.pipe];
            let readable = !pipe.to_server.is_empty() || pipe.client_end != End::Open;
            readable && !socket.blocked || socket.is_done(pipe)
        })
    }

    /// The kernel takes bytes of sends under way, as far as windows are open (`all`: they are
    /// wide open). Whether it did.
    pub fn transfer(&mut self, world: &mut World, all: bool) -> bool {
        let mut any = false;
        for socket in &mut self.sockets {
            if all || world.random.percent(50) {
                any |= socket.transfer(world, all);
            }
        }
        any
    }
}

impl Socket {
    /// A completion waits for the shard.
    fn is_done(&self, pipe: &Pipe) -> bool {
        self.sending.as_ref().is_some_and(|sending| {
            sending.taken > sending.reported
                || pipe.client_end != End::Open
                || self.closing == Closing::Now
        })
    }

    fn transfer(&mut self, world: &mut World, all: bool) -> bool {
        let Some(sending) = &mut self.sending else { return false };
        let pipe = &mut world.pipes[self.pipe];
        let window = if all { usize::MAX } else { world.plan.window };
        let room = window.saturating_sub(pipe.to_client.len());
        let mut len = room.min(sending.bytes.len() - sending.taken);
        if len == 0 || pipe.client_end != End::Open || self.closing == Closing::Now {
            return false;
        }
        if !all {
            len = world.random.portion(len);
        }
        pipe.to_client.extend(&sending.bytes[sending.taken..sending.taken + len]);
        sending.taken += len;
        true
    }
}

/// One shard's sockets during its turn, with the world around them.
pub struct TurnSockets<'w> {
    pub world: &'w mut World,
    pub own: &'w mut Sockets,
}

impl TurnSockets<'_> {
    fn on_send_done(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.own.find(key) else { return };
        let Some(mut sending) = socket.sending.take() else { return };
        let fresh = sending.taken - sending.reported;
        let failed = self.world.pipes[socket.pipe].client_end != End::Open && fresh == 0;
        if failed || socket.closing == Closing::Now {
            sending.runs.drain(..).for_each(|run| shard.recycle(run));
            if socket.closing == Closing::Now {
                self.finish(shard, key);
            } else {
                shard.on_hangup(key, CloseReason::WriteError);
            }
            return;
        }
        sending.reported = sending.taken;
        let more = shard.on_sent(key, fresh);
        if sending.taken < sending.bytes.len() {
            socket.sending = Some(sending);
            return;
        }
        sending.runs.drain(..).for_each(|run| shard.recycle(run));
        if socket.closing == Closing::Parting {
            self.part(shard, key);
        } else if more || socket.closing == Closing::Flushing {
            self.own.again.push(key);
        }
    }

    /// Gives the socket to the shard if no send refers to it.
    fn part(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(at) = self.own.sockets.iter().position(|socket| socket.key == key) else { return };
        if self.own.sockets[at].sending.is_some() {
            return;
        }
        if shard.may_part(key) {
            let socket = self.own.sockets.swap_remove(at);
            shard.on_parted(key, Box::new(socket.pipe));
        } else {
            self.own.sockets[at].closing = Closing::No;
        }
    }

    fn read(&mut self, shard: &mut Shard, at: usize) {
        let socket = &mut self.own.sockets[at];
        let pipe = &mut self.world.pipes[socket.pipe];
        let random = &mut self.world.random;
        if socket.closing == Closing::Now || socket.blocked {
            return;
        }
        let readable = !pipe.to_server.is_empty() || pipe.client_end != End::Open;
        if !readable || random.percent(10) {
            return;
        }
        let key = socket.key;
        if !shard.wants_read(key) {
            socket.blocked = true;
            return;
        }
        if pipe.client_end == End::Reset {
            pipe.to_server.clear();
            shard.on_hangup(key, CloseReason::ReadError);
        } else if pipe.to_server.is_empty() {
            shard.on_hangup(key, CloseReason::ClientClosed);
        } else if let Some((stash, missing)) = shard.direct_read(key) {
            let len = random.portion(pipe.to_server.len().min(missing));
            stash.extend(pipe.to_server.drain(..len));
            self.own.reads.push((key, None));
        } else {
            let len = random.portion(pipe.to_server.len());
            self.own.reads.push((key, Some(pipe.to_server.drain(..len).collect())));
        }
    }

    fn flush(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.own.find(key) else { return };
        if socket.sending.is_some() || matches!(socket.closing, Closing::Now | Closing::Parting) {
            return;
        }
        let mut runs = Vec::new();
        let taken = shard.take_outbound(key, &mut runs);
        if taken == Taken::Bytes {
            let bytes = runs.iter().flat_map(|run| run.bytes().iter().copied()).collect();
            socket.sending = Some(Sending { runs, bytes, taken: 0, reported: 0 });
            if self.world.random.percent(70) {
                socket.transfer(self.world, false);
            }
            let client = socket.pipe;
            self.world.others_act(Some(client));
        } else if taken == Taken::Nothing && socket.closing == Closing::Flushing {
            self.close_now(shard, key);
        }
    }

    fn close_now(&mut self, shard: &mut Shard, key: ConnKey) {
        if let Some(socket) = self.own.find(key) {
            socket.closing = Closing::Now;
            self.finish(shard, key);
        }
    }

    /// Closes the socket if no operation refers to it.
    fn finish(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(at) = self.own.sockets.iter().position(|socket| socket.key == key) else { return };
        if self.own.sockets[at].sending.is_some() {
            return;
        }
        let socket = self.own.sockets.swap_remove(at);
        self.world.pipes[socket.pipe].server_closed = true;
        shard.on_closed(key);
    }
}

impl TurnIo for TurnSockets<'_> {
    fn obtain(&mut self, shard: &mut Shard, may_read: bool) {
        let sockets = self.own.sockets.iter();
        let done: Vec<ConnKey> = sockets
            .filter(|socket| socket.is_done(&self.world.pipes[socket.pipe]))
            .map(|socket| socket.key)
            .collect();
        for key in done {
            if !self.world.random.percent(20) {
                self.on_send_done(shard, key);
            }
        }
        if may_read && self.own.reads.is_empty() {
            let first = self.world.random.below(self.own.sockets.len());
            for at in 0..self.own.sockets.len() {
                self.read(shard, (first + at) % self.own.sockets.len());
            }
        }
        // Between the bytes and the look at the lanes.
        self.world.others_act(None);
    }

    fn hand_over(&mut self, shard: &mut Shard) {
        // Between the look and the processing.
        self.world.others_act(None);
        for (key, bytes) in std::mem::take(&mut self.own.reads) {
            match bytes {
                Some(bytes) => shard.on_received(key, &bytes),
                None => shard.on_received_direct(key),
            }
        }
    }

    fn submit(&mut self, shard: &mut Shard) {
        // Between the lanes and the sends.
        self.world.others_act(None);
        for key in std::mem::take(&mut shard.effects.resume) {
            if let Some(socket) = self.own.find(key) {
                socket.blocked = false;
            }
        }
        for (key, socket) in std::mem::take(&mut shard.effects.take) {
            let pipe = *socket.downcast::<usize>().expect("what `part` gave");
            self.own.open(key, pipe);
        }
        for key in std::mem::take(&mut shard.effects.part) {
            if let Some(socket) = self.own.find(key).filter(|it| it.closing == Closing::No) {
                socket.closing = Closing::Parting;
                self.part(shard, key);
            }
        }
        for close in std::mem::take(&mut shard.effects.close) {
            let Some(socket) = self.own.find(close.key) else { continue };
            if close.at_once {
                self.close_now(shard, close.key);
            } else if matches!(socket.closing, Closing::No | Closing::Parting) {
                socket.closing = Closing::Flushing;
                self.own.again.push(close.key);
            }
        }
        for key in std::mem::take(&mut self.own.again) {
            self.flush(shard, key);
        }
        for key in std::mem::take(&mut shard.effects.flush) {
            self.flush(shard, key);
        }
    }
}
