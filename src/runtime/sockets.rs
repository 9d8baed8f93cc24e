//! The sockets of one core as the turn sees them ([`TurnIo`]).
//!
//! Reading: a (multishot) poll per socket says who is readable; `recv` into one receive buffer
//! shared by all, so that an idle connection owns no memory. Sending: one operation per
//! connection and turn. A socket's slot is its connection's slot; it is given back to the shard
//! when no operation refers to it any more.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use tracing::error;

use super::control::Load;
use super::disk::Disk;
use super::ring::{self, Ring};
use super::syscalls::{self, EventFd};
use crate::connection::outbound::Run;
use crate::shard::turn::TurnIo;
use crate::shard::{Opened, Shard, Taken};
use crate::types::limits::{READ_BYTES_MAX, TURN_INPUT_BYTES};
use crate::types::{CloseReason, ConnKey, ShardId};

pub struct Sockets {
    pub ring: Ring,
    slots: Vec<Option<Box<Socket>>>,
    /// Sockets that may have bytes, in the order in which they are read.
    ready: VecDeque<ConnKey>,
    buffer: Box<[u8]>,
    reads: Vec<Read>,
    completions: Vec<(u64, i32, u32)>,
    /// Completions that are not of sockets, for their owner: user data and result.
    pub others: Vec<(u64, i32)>,
    /// Sends that ended while more was waiting.
    again: Vec<ConnKey>,
    runs: Vec<Run>,
    /// Something was done in this turn.
    active: bool,
    load: Arc<Load>,
    /// By shard; the own one is read by the ring, into `wakes`.
    wakers: Arc<[EventFd]>,
    me: ShardId,
    wakes: Box<u64>,
}

struct Socket {
    fd: OwnedFd,
    key: ConnKey,
    /// A poll is with the kernel.
    polled: bool,
    /// In `ready`.
    queued: bool,
    /// Readable, but its connection is paused.
    blocked: bool,
    sending: Option<Sending>,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// When everything owed is sent.
    Flushing,
    /// When the operations are back.
    Now,
    /// Not at all: it goes to another core when the operations are back.
    Parting,
}

/// A send with the kernel. Boxed with its socket: the kernel reads all of it.
struct Sending {
    runs: Vec<Run>,
    /// Bytes of `runs` that are sent.
    sent: usize,
    total: usize,
    iovecs: Vec<libc::iovec>,
    message: libc::msghdr,
}

/// Bytes that were read and wait to be processed.
enum Read {
    Shared(ConnKey, Range<usize>),
    /// Straight into the connection's stash.
    Direct(ConnKey),
}

/// Operations, in the upper bits of the user data; below them the connection.
const KIND_SHIFT: u32 = 62;
const POLL: u64 = 1;
const SEND: u64 = 2;
const WAKE: u64 = 3;
/// Timeouts and cancellations: their completions only end a sleep. Anything else without one of
/// the kinds above goes to [`Sockets::others`].
pub const IGNORED: u64 = 0;
const GENERATION_MASK: u64 = (1 << 30) - 1;

fn user_data(kind: u64, key: ConnKey) -> u64 {
    let generation = u64::from(key.generation) & GENERATION_MASK;
    kind << KIND_SHIFT | generation << 32 | u64::from(key.slot)
}

/// The next read is at least so long, or waits for the next turn.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Runs in one vectored send.
const IOVECS_MAX: usize = 64;
/// With [`ring::Features::short_sends`].
const SHORT_SEND_BYTES: usize = 4099;

impl Sockets {
    pub fn new(ring: Ring, load: Arc<Load>, wakers: Arc<[EventFd]>, me: ShardId) -> Self {
        let mut sockets = Self {
            ring,
            slots: Vec::new(),
            ready: VecDeque::new(),
            buffer: vec![0; TURN_INPUT_BYTES].into_boxed_slice(),
            reads: Vec::new(),
            completions: Vec::new(),
            others: Vec::new(),
            again: Vec::new(),
            runs: Vec::new(),
            active: false,
            load,
            wakers,
            me,
            wakes: Box::default(),
        };
        sockets.listen();
        sockets
    }

    /// Has the ring read the core's eventfd, whose signals end a sleep.
    fn listen(&mut self) {
        let fd = self.wakers[self.me.index()].fd();
        let wakes: *mut u64 = &mut *self.wakes;
        let entry = ring::read_counter(fd, wakes, WAKE << KIND_SHIFT);
        // SAFETY: the box lives as long as the ring, and nobody else looks into it.
        unsafe { self.queue(&entry) };
    }

    /// Queues what a disk has to do.
    pub fn queue_disk(&mut self, disk: &mut Disk) {
        disk.queue(|entry| {
            // SAFETY: a disk keeps in place what its entries point to until it was told of their
            // completion, and forgets it rather than frees it when it is dropped before.
            unsafe { self.queue(entry) };
            true
        });
    }

    /// Hands to the kernel what was queued in this turn.
    pub fn enter(&mut self) {
        if let Err(fault) = self.ring.enter() {
            give_up(&fault);
        }
    }

    /// Sleeps until there is a completion.
    pub fn wait(&mut self) {
        if let Err(fault) = self.ring.wait() {
            give_up(&fault);
        }
    }

    /// Takes an accepted socket and greets its client.
    pub fn open(&mut self, shard: &mut Shard, fd: OwnedFd, opened: Opened) {
        let key = shard.on_opened(opened);
        self.place(key, fd);
    }

    /// Serves a socket from now on.
    fn place(&mut self, key: ConnKey, fd: OwnedFd) {
        let slot = key.slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Box::new(Socket {
            fd,
            key,
            polled: false,
            queued: false,
            blocked: false,
            sending: None,
            closing: Closing::No,
        }));
        self.arm(key);
        self.active = true;
    }

    /// Whether the last turn did anything, or left something to read.
    pub fn was_active(&self) -> bool {
        self.active || !self.ready.is_empty() || !self.reads.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(Option::is_none)
    }

    fn socket(&mut self, key: ConnKey) -> Option<&mut Socket> {
        self.slots.get_mut(key.slot as usize)?.as_deref_mut().filter(|socket| socket.key == key)
    }

    /// Asks the kernel to say when the socket is readable.
    fn arm(&mut self, key: ConnKey) {
        let multishot = self.ring.features().multishot_poll;
        let Some(socket) = self.socket(key) else { return };
        if socket.polled || socket.is_ending() {
            return;
        }
        socket.polled = true;
        let entry = ring::poll(socket.fd.as_raw_fd(), multishot, user_data(POLL, key));
        // SAFETY: a poll refers to no memory.
        unsafe { self.queue(&entry) };
    }

    /// # Safety
    /// As [`Ring::push`].
    unsafe fn queue(&mut self, entry: &io_uring::squeue::Entry) {
        // SAFETY: promised by the caller.
        if let Err(fault) = unsafe { self.ring.push(entry) } {
            give_up(&fault);
        }
    }

    fn on_completion(&mut self, shard: &mut Shard, data: u64, result: i32, flags: u32) {
        match data >> KIND_SHIFT {
            WAKE => return self.listen(),
            0 if data == IGNORED => return,
            0 => return self.others.push((data, result)),
            _ => {}
        }
        let slot = (data & u64::from(u32::MAX)) as usize;
        let Some(socket) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let key = socket.key;
        match data >> KIND_SHIFT {
            POLL => {
                socket.polled = ring::is_more(flags);
                if socket.is_ending() {
                    self.finish(shard, key);
                } else if result >= 0 {
                    self.ready(key);
                } else {
                    self.arm(key);
                }
            }
            _ => self.on_send_done(shard, key, result),
        }
    }

    fn ready(&mut self, key: ConnKey) {
        if let Some(socket) = self.socket(key)
            && !socket.queued
            && !socket.blocked
        {
            socket.queued = true;
            self.ready.push_back(key);
        }
    }

    fn on_send_done(&mut self, shard: &mut Shard, key: ConnKey, result: i32) {
        let Some(socket) = self.socket(key) else { return };
        let Some(mut sending) = socket.sending.take() else { return };
        if result < 0 {
            let retry = matches!(-result, libc::EAGAIN | libc::EINTR);
            if retry && socket.closing != Closing::Now {
                self.send(key, sending);
                return;
            }
            sending.runs.drain(..).for_each(|run| shard.recycle(run));
            if socket.closing == Closing::Now {
                self.finish(shard, key);
            } else {
                if socket.closing == Closing::Parting {
                    socket.closing = Closing::No;
                }
                shard.on_hangup(key, CloseReason::WriteError);
            }
            return;
        }
        let sent = result as usize;
        sending.sent += sent;
        let more = shard.on_sent(key, sent);
        let Some(socket) = self.socket(key) else { return };
        if sending.sent < sending.total && socket.closing != Closing::Now {
            self.send(key, sending);
            return;
        }
        sending.runs.drain(..).for_each(|run| shard.recycle(run));
        match socket.closing {
            Closing::No if more => self.again.push(key),
            Closing::No => {}
            Closing::Flushing => self.again.push(key),
            Closing::Now | Closing::Parting => self.finish(shard, key),
        }
    }

    /// Hands the unsent rest of `sending` to the kernel.
    fn send(&mut self, key: ConnKey, sending: Sending) {
        let short = self.ring.features().short_sends;
        let Some(socket) = self.socket(key) else { return };
        let fd = socket.fd.as_raw_fd();
        let sending = socket.sending.insert(sending);
        let entry = if let [run] = sending.runs.as_slice() {
            let mut rest = &run.bytes()[sending.sent..];
            if short {
                rest = &rest[..rest.len().min(SHORT_SEND_BYTES)];
            }
            ring::send(fd, rest, user_data(SEND, key))
        } else {
            sending.fill_iovecs();
            ring::send_message(fd, &sending.message, user_data(SEND, key))
        };
        // SAFETY: runs, iovecs and header live in the boxed socket, untouched until the
        // completion takes them out; the socket is not dropped before (`finish`).
        unsafe { self.queue(&entry) };
    }

    /// Starts sending what a connection is owed, unless a send is under way.
    fn flush(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.socket(key) else { return };
        if socket.sending.is_some() || socket.is_ending() {
            return;
        }
        let mut runs = std::mem::take(&mut self.runs);
        let taken = shard.take_outbound(key, &mut runs);
        if taken == Taken::Bytes {
            let total = runs.iter().map(|run| run.bytes().len()).sum();
            let mut sending = Sending::new(total);
            std::mem::swap(&mut sending.runs, &mut runs);
            self.send(key, sending);
        } else if taken == Taken::Nothing
            && let Some(socket) = self.socket(key)
            && socket.closing == Closing::Flushing
        {
            self.close_now(shard, key);
        }
        self.runs = runs;
    }

    fn close_now(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.socket(key) else { return };
        if socket.closing == Closing::Now {
            return;
        }
        socket.closing = Closing::Now;
        if socket.sending.is_some() {
            syscalls::shutdown(socket.fd.as_raw_fd());
        }
        self.cancel_poll(key);
        self.finish(shard, key);
    }

    fn cancel_poll(&mut self, key: ConnKey) {
        if self.socket(key).is_some_and(|socket| socket.polled) {
            let entry = ring::cancel(user_data(POLL, key), IGNORED);
            // SAFETY: a cancellation refers to no memory.
            unsafe { self.queue(&entry) };
        }
    }

    /// Takes a socket out of the ring, for another core.
    fn part(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.socket(key).filter(|it| it.closing == Closing::No) else { return };
        socket.closing = Closing::Parting;
        self.cancel_poll(key);
        self.finish(shard, key);
    }

    /// Closes the socket, or hands it over, if no operation refers to it.
    fn finish(&mut self, shard: &mut Shard, key: ConnKey) {
        let Some(socket) = self.socket(key) else { return };
        if socket.polled || socket.sending.is_some() {
            return;
        }
        let is_parting = socket.closing == Closing::Parting;
        if is_parting && !shard.may_part(key) {
            // It ended meanwhile: what closes it comes with the next effects.
            socket.closing = Closing::No;
            return;
        }
        let socket = self.slots[key.slot as usize].take();
        self.load.leave();
        match socket {
            Some(socket) if is_parting => shard.on_parted(key, Box::new(socket.fd)),
            _ => shard.on_closed(key),
        }
    }

    /// Reads one socket. `false`: the shared buffer has no room left.
    fn read(&mut self, shard: &mut Shard, key: ConnKey, used: &mut usize) -> bool {
        let Some(socket) = self.socket(key) else { return true };
        socket.queued = false;
        if socket.is_ending() {
            return true;
        }
        if !shard.wants_read(key) {
            socket.blocked = true;
            return true;
        }
        let fd = socket.fd.as_raw_fd();
        let (asked, result) = if let Some((stash, missing)) = shard.direct_read(key) {
            let result = syscalls::recv_append(fd, stash, missing);
            if matches!(result, Ok(n) if n > 0) {
                self.reads.push(Read::Direct(key));
            }
            (missing, result)
        } else {
            let asked = (self.buffer.len() - *used).min(READ_BYTES_MAX);
            if asked < READ_BYTES_MIN {
                self.ready_front(key);
                return false;
            }
            let result = syscalls::recv(fd, &mut self.buffer[*used..*used + asked]);
            if let Ok(n) = result
                && n > 0
            {
                self.reads.push(Read::Shared(key, *used..*used + n));
                *used += n;
            }
            (asked, result)
        };
        match result {
            Ok(0) => shard.on_hangup(key, CloseReason::ClientClosed),
            Ok(n) if n == asked => self.ready(key),
            // A short read took all there was: the poll tells of more.
            Ok(_) => self.arm(key),
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => self.arm(key),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => self.ready(key),
            Err(_) => shard.on_hangup(key, CloseReason::ReadError),
        }
        true
    }

    fn ready_front(&mut self, key: ConnKey) {
        if let Some(socket) = self.socket(key) {
            socket.queued = true;
            self.ready.push_front(key);
        }
    }
}

/// Nothing can be sent or received on this core any more.
fn give_up(fault: &io::Error) -> ! {
    error!(fatal = true, "io_uring enter failed: {fault}; this core cannot go on");
    std::process::abort();
}

impl TurnIo for Sockets {
    fn obtain(&mut self, shard: &mut Shard, may_read: bool) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        self.active = !completions.is_empty();
        for (data, result, flags) in completions.drain(..) {
            self.on_completion(shard, data, result, flags);
        }
        self.completions = completions;
        if !may_read || !self.reads.is_empty() {
            return;
        }
        let mut used = 0;
        // Each socket once: one that is still readable goes to the end of the queue.
        for _ in 0..self.ready.len() {
            let Some(key) = self.ready.pop_front() else { break };
            if !self.read(shard, key, &mut used) {
                break;
            }
        }
    }

    fn hand_over(&mut self, shard: &mut Shard) {
        let mut reads = std::mem::take(&mut self.reads);
        self.active |= !reads.is_empty();
        for read in reads.drain(..) {
            match read {
                Read::Shared(key, range) => shard.on_received(key, &self.buffer[range]),
                Read::Direct(key) => shard.on_received_direct(key),
            }
        }
        self.reads = reads;
    }

    fn submit(&mut self, shard: &mut Shard) {
        for key in std::mem::take(&mut shard.effects.resume) {
            if let Some(socket) = self.socket(key)
                && std::mem::take(&mut socket.blocked)
            {
                self.ready(key);
            }
        }
        for (key, socket) in std::mem::take(&mut shard.effects.take) {
            if let Ok(fd) = socket.downcast::<OwnedFd>() {
                self.load.enter();
                self.place(key, *fd);
            }
        }
        for key in std::mem::take(&mut shard.effects.part) {
            self.part(shard, key);
        }
        for close in std::mem::take(&mut shard.effects.close) {
            let Some(socket) = self.socket(close.key) else { continue };
            if close.at_once {
                self.close_now(shard, close.key);
            } else if matches!(socket.closing, Closing::No | Closing::Parting) {
                socket.closing = Closing::Flushing;
                self.again.push(close.key);
            }
        }
        for key in std::mem::take(&mut self.again) {
            self.flush(shard, key);
        }
        let mut listed = std::mem::take(&mut shard.effects.flush);
        for key in listed.drain(..) {
            self.flush(shard, key);
        }
        if shard.effects.flush.is_empty() {
            shard.effects.flush = listed;
        }
    }
}

impl Socket {
    /// Nothing new is begun with it.
    fn is_ending(&self) -> bool {
        matches!(self.closing, Closing::Now | Closing::Parting)
    }
}

impl Sending {
    fn new(total: usize) -> Self {
        Self {
            runs: Vec::new(),
            sent: 0,
            total,
            iovecs: Vec::new(),
            message: syscalls::no_message(),
        }
    }

    /// Points the header at the unsent rest of the runs, at most [`IOVECS_MAX`] of them.
    fn fill_iovecs(&mut self) {
        let mut skip = self.sent;
        self.iovecs.clear();
        for run in &self.runs {
            let bytes = run.bytes();
            if skip >= bytes.len() {
                skip -= bytes.len();
                continue;
            }
            if self.iovecs.len() == IOVECS_MAX {
                break;
            }
            let rest = &bytes[skip..];
            skip = 0;
            let base = rest.as_ptr().cast_mut().cast();
            self.iovecs.push(libc::iovec { iov_base: base, iov_len: rest.len() });
        }
        self.message.msg_iov = self.iovecs.as_mut_ptr();
        self.message.msg_iovlen = self.iovecs.len();
    }
}
