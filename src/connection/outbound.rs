//! The bytes a connection owes its client, and the judgement of a slow one.
//!
//! ```text
//!   filling ──full, or a shared payload comes──▶ runs ──take()──▶ in flight (the socket's) ──▶ sent()
//! ```
//! A small message is one copy: from the read buffer into `filling`.
//! Invariant: `owed = filling + runs + in flight`.
//!
//! What is owed when a send begins is a [`Flush`], and has to be sent within the write deadline.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::types::limits::{
    OUTBOUND_RUN_BYTES, POOLED_BUFFER_BYTES_MAX, POOLED_BUFFERS, SEND_BYTES_MAX,
};
use crate::types::time::Mono;

/// A stretch of outbound bytes.
#[derive(Debug)]
pub enum Run {
    /// Messages put together for this connection.
    Owned(Vec<u8>),
    /// A large payload that other connections may be sending too.
    Shared(Bytes),
}

impl Run {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Where outbound bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// A read of a socket of this core.
    #[default]
    Here,
    /// Another core, which read them.
    Peer,
    /// The server's own words: what JetStream publishes.
    Server,
}

/// Since when a run of outbound bytes is on its way through the server: the oldest of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    pub at: Mono,
    pub source: Source,
}

/// Buffers that no connection needs now, so that an idle connection owns none.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: Vec<Vec<u8>>,
    /// What is written now came at this time. A run takes it when it is begun, so that no message
    /// reads a clock.
    pub stamp: Stamp,
}

impl BufferPool {
    pub fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }

    /// A buffer for a run that will be full: it need not grow on the way.
    fn take_large(&mut self) -> Vec<u8> {
        let mut buffer = self.take();
        buffer.reserve_exact(POOLED_BUFFER_BYTES_MAX);
        buffer
    }

    /// Keeps a buffer for reuse; a large one, or one too many, is given back to the allocator.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        let worth = buffer.capacity() > 0 && buffer.capacity() <= POOLED_BUFFER_BYTES_MAX;
        if worth && self.free.len() < POOLED_BUFFERS {
            buffer.clear();
            self.free.push(buffer);
        }
    }
}

/// What was owed at some time, on its way out. None is under way where nothing is left of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flush {
    pub began: Mono,
    pub bytes: u64,
    pub chunks: usize,
    pub left: u64,
}

impl Flush {
    /// It began before `now - deadline`, and is not done.
    pub fn is_overdue(&self, now: Mono, deadline_ns: u64) -> bool {
        self.left > 0 && now.since(self.began) > deadline_ns
    }
}

#[derive(Debug, Default)]
pub struct Outbound {
    filling: Vec<u8>,
    /// Of the run in `filling`, and of a shared payload behind it.
    stamp: Stamp,
    runs: VecDeque<(Run, Stamp)>,
    /// Bytes in `runs`.
    runs_bytes: usize,
    /// Bytes lent to the socket and not yet reported as sent.
    in_flight: usize,
    flush: Flush,
    /// Bytes sent since they last earned trust.
    drained: u64,
    /// Producers may be asked to wait for this reader.
    trusted_until: Mono,
}

impl Outbound {
    /// Where the next message is written. The caller appends whole protocol units only.
    pub fn buffer(&mut self, pool: &mut BufferPool) -> &mut Vec<u8> {
        if self.filling.len() >= OUTBOUND_RUN_BYTES {
            self.close_run();
            self.filling = pool.take_large();
            self.stamp = pool.stamp;
        } else if self.filling.capacity() == 0 {
            self.filling = pool.take();
            self.stamp = pool.stamp;
        }
        &mut self.filling
    }

    /// Queues a large payload behind what is written so far.
    pub fn share(&mut self, payload: Bytes) {
        self.close_run();
        self.runs_bytes += payload.len();
        self.runs.push_back((Run::Shared(payload), self.stamp));
    }

    /// All bytes not yet taken by the kernel.
    pub fn owed(&self) -> u64 {
        (self.filling.len() + self.runs_bytes + self.in_flight) as u64
    }

    /// Bytes to send that are not in flight.
    pub fn waiting_bytes(&self) -> usize {
        self.filling.len() + self.runs_bytes
    }

    /// Of the oldest bytes that are not in flight.
    pub fn oldest(&self) -> Option<Stamp> {
        let front = self.runs.front().map(|(_, stamp)| *stamp);
        front.or((!self.filling.is_empty()).then_some(self.stamp))
    }

    /// There are bytes to send that are not in flight.
    pub fn is_waiting(&self) -> bool {
        !self.filling.is_empty() || !self.runs.is_empty()
    }

    /// Nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.owed() == 0
    }

    pub fn flush(&self) -> &Flush {
        &self.flush
    }

    /// All that is owed now has to be sent anew within the deadline.
    pub fn begin_flush(&mut self, now: Mono) {
        let bytes = self.owed();
        let chunks = self.runs.len()
            + usize::from(!self.filling.is_empty())
            + usize::from(self.in_flight > 0);
        self.flush = Flush { began: now, bytes, chunks, left: bytes };
    }

    /// Lends the oldest bytes, at most [`SEND_BYTES_MAX`] of them (or one run), to the socket.
    /// Until [`Outbound::on_sent`] has reported all of them no more may be taken.
    pub fn take(&mut self, now: Mono, into: &mut Vec<Run>) {
        assert!(self.in_flight == 0, "one send at a time");
        if self.flush.left == 0 {
            self.begin_flush(now);
        }
        if self.runs.is_empty() && !self.filling.is_empty() {
            self.in_flight = self.filling.len();
            into.push(Run::Owned(std::mem::take(&mut self.filling)));
        } else {
            self.close_run();
            while let Some((run, _)) = self.runs.front() {
                let len = run.bytes().len();
                if self.in_flight > 0 && self.in_flight + len > SEND_BYTES_MAX {
                    break;
                }
                self.in_flight += len;
                self.runs_bytes -= len;
                into.extend(self.runs.pop_front().map(|(run, _)| run));
            }
        }
    }

    /// The kernel took `bytes` of what was lent. The flush that this ended.
    pub fn on_sent(&mut self, bytes: usize, now: Mono) -> Option<Flush> {
        assert!(bytes <= self.in_flight, "sent {bytes} of {} lent", self.in_flight);
        self.in_flight -= bytes;
        self.drained += bytes as u64;
        let was_under_way = self.flush.left > 0;
        self.flush.left = self.flush.left.saturating_sub(bytes as u64);
        let ended = (was_under_way && self.flush.left == 0).then_some(self.flush);
        if ended.is_some() && self.in_flight > 0 {
            // The send had begun with more than the flush.
            self.begin_flush(now);
        }
        ended
    }

    /// Trusts a reader that has taken `bytes_min` since the last time to take more until `until`.
    pub fn earn_trust(&mut self, bytes_min: u64, until: Mono) {
        if self.drained >= bytes_min {
            self.drained = 0;
            self.trusted_until = self.trusted_until.max(until);
        }
    }

    /// Whether the reader has lately taken enough to deserve that producers wait for it.
    pub fn is_draining(&self, now: Mono) -> bool {
        now < self.trusted_until
    }

    /// Puts what is owed elsewhere behind what is owed here. None of that is in flight.
    pub fn append(&mut self, mut later: Self) {
        assert!(later.in_flight == 0, "a send is under way elsewhere");
        self.close_run();
        self.runs_bytes += later.runs_bytes;
        self.runs.append(&mut later.runs);
        self.filling = later.filling;
        self.stamp = later.stamp;
    }

    /// Drops what is owed but not in flight.
    pub fn discard(&mut self, pool: &mut BufferPool) {
        pool.give(std::mem::take(&mut self.filling));
        self.runs.clear();
        self.runs_bytes = 0;
        self.flush.left = self.in_flight as u64;
    }

    /// Nothing is with the kernel.
    pub fn is_at_rest(&self) -> bool {
        self.in_flight == 0
    }

    fn close_run(&mut self) {
        if !self.filling.is_empty() {
            self.runs_bytes += self.filling.len();
            let run = Run::Owned(std::mem::take(&mut self.filling));
            self.runs.push_back((run, self.stamp));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(outbound: &mut Outbound) -> Vec<u8> {
        let mut runs = Vec::new();
        outbound.take(Mono(0), &mut runs);
        runs.iter().flat_map(|run| run.bytes().to_vec()).collect()
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let (mut outbound, mut pool) = (Outbound::default(), BufferPool::default());
        outbound.buffer(&mut pool).extend_from_slice(b"one ");
        outbound.share(Bytes::from_static(b"two "));
        outbound.buffer(&mut pool).extend_from_slice(b"three");
        assert_eq!(outbound.owed(), 13);
        assert_eq!(taken(&mut outbound), b"one two three");
        assert_eq!(outbound.owed(), 13);
        outbound.on_sent(13, Mono(1));
        assert!(outbound.is_empty());
    }

    #[test]
    fn a_send_is_bounded_but_takes_at_least_one_run() {
        let (mut outbound, mut pool) = (Outbound::default(), BufferPool::default());
        outbound.share(Bytes::from(vec![1; SEND_BYTES_MAX + 1]));
        outbound.buffer(&mut pool).push(2);
        assert_eq!(taken(&mut outbound).len(), SEND_BYTES_MAX + 1);
        outbound.on_sent(SEND_BYTES_MAX + 1, Mono(1));
        assert_eq!(taken(&mut outbound), [2]);
    }

    #[test]
    fn what_is_owed_elsewhere_goes_behind() {
        let (mut outbound, mut pool) = (Outbound::default(), BufferPool::default());
        outbound.buffer(&mut pool).extend_from_slice(b"one ");
        let mut later = Outbound::default();
        later.share(Bytes::from_static(b"two "));
        later.buffer(&mut pool).extend_from_slice(b"three");
        outbound.append(later);
        assert_eq!(outbound.owed(), 13);
        assert_eq!(taken(&mut outbound), b"one two three");
    }

    #[test]
    fn a_flush_is_what_was_owed_when_it_began() {
        let (mut outbound, mut pool) = (Outbound::default(), BufferPool::default());
        outbound.share(Bytes::from(vec![1; SEND_BYTES_MAX]));
        outbound.share(Bytes::from_static(b"two"));
        taken(&mut outbound);
        outbound.buffer(&mut pool).extend_from_slice(b"later");
        assert!(!outbound.flush().is_overdue(Mono(10), 10));
        assert!(outbound.flush().is_overdue(Mono(11), 10));
        assert!(outbound.on_sent(SEND_BYTES_MAX, Mono(12)).is_none(), "two is left");
        assert!(outbound.flush().is_overdue(Mono(12), 10), "progress gives no new time");

        assert_eq!(taken(&mut outbound), b"twolater");
        let ended = outbound.on_sent(3, Mono(20)).map(|flush| (flush.bytes, flush.chunks));
        assert_eq!(ended, Some((SEND_BYTES_MAX as u64 + 3, 2)));
        assert!(!outbound.flush().is_overdue(Mono(30), 10), "later has its own time");
        assert!(outbound.on_sent(5, Mono(31)).is_some());
        assert!(!outbound.flush().is_overdue(Mono(99), 10), "nothing is owed");
    }

    #[test]
    fn trust_is_earned_by_whole_portions_and_ends() {
        let mut outbound = Outbound::default();
        outbound.share(Bytes::from_static(&[0; 30]));
        taken(&mut outbound);
        let mut send = |bytes, at| {
            outbound.on_sent(bytes, Mono(at));
            outbound.earn_trust(10, Mono(at + 100));
            outbound.is_draining(Mono(at))
        };
        assert!(!send(9, 1));
        assert!(send(1, 2));
        assert!(send(9, 101));
        assert!(!send(0, 102), "what was taken last earned nothing yet");
        assert!(send(11, 103));
    }
}
