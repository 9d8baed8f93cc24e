//! What this shard owes the others and what they have granted it.
//!
//! Per destination: interest and data not yet in the lane, the credit left for socket input, the
//! connections that wait for it, and those whose replies wait for the lane.

use super::frame;
use crate::types::limits::Tuning;
use crate::types::{ConnKey, Mono, ShardId};

#[derive(Debug)]
pub struct Peer {
    /// Charged bytes that may be outstanding ([`Tuning::peer_credit_bytes`], the same on all shards).
    credit_bytes: u64,
    /// Frames that are not in the lane yet.
    pub data: Vec<u8>,
    /// The lane was full: when the oldest message of `data` was read from a socket, and how long
    /// `data` was with its times.
    closed: Option<(Mono, usize)>,
    /// Encoded interest changes that are not in the lane yet.
    pub interest: Vec<u8>,
    /// Connections with messages in `data`.
    pub contributors: Vec<ConnKey>,
    /// Charged bytes sent there and not credited back.
    outstanding: u64,
    /// Connections not read until credit comes back.
    pub waiting: Vec<ConnKey>,
    /// Charged bytes received from there and not credited back.
    consumed: u64,
}

impl Peer {
    pub fn new(credit_bytes: u64) -> Self {
        Self {
            credit_bytes,
            data: Vec::new(),
            closed: None,
            interest: Vec::new(),
            contributors: Vec::new(),
            outstanding: 0,
            waiting: Vec::new(),
            consumed: 0,
        }
    }

    /// Ends `data` with its times. `began`: when the messages of this turn were read.
    pub fn close_batch(&mut self, began: Mono, now: Mono) {
        let (began, closed_len) = self.closed.unwrap_or((began, 0));
        if closed_len == self.data.len() {
            self.data.truncate(closed_len - frame::TIMES_BYTES);
        }
        frame::push_times(&mut self.data, began, now);
        self.closed = Some((began, self.data.len()));
    }

    /// The lane has taken `data`.
    pub fn on_taken(&mut self) {
        self.closed = None;
    }

    /// Counts a charged frame. Whether the publisher must wait now.
    pub fn charge(&mut self, bytes: usize) -> bool {
        self.outstanding += bytes as u64;
        self.is_exhausted()
    }

    #[cfg(feature = "testing")]
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    pub fn is_exhausted(&self) -> bool {
        self.outstanding > self.credit_bytes
    }

    /// Credit came back. Returns the connections that may go on.
    pub fn on_credit(&mut self, bytes: u64) -> Vec<ConnKey> {
        assert!(bytes <= self.outstanding, "credit for {bytes} of {}", self.outstanding);
        self.outstanding -= bytes;
        if self.outstanding > self.credit_bytes / 2 {
            return Vec::new();
        }
        std::mem::take(&mut self.waiting)
    }

    /// A charged frame from there was processed. Credit goes back in steps, not per frame.
    pub fn on_consumed(&mut self, bytes: usize) {
        self.consumed += bytes as u64;
        if self.consumed >= self.credit_bytes / 8 {
            frame::push_credit(&mut self.data, self.consumed);
            self.consumed = 0;
        }
    }
}

/// Questions "did anybody get it?" that other cores may still answer with "nobody here".
///
/// An answer comes only for parts that met nobody, so a question is forgotten when its place is
/// needed again: after [`Asks::PLACES`] younger ones.
#[derive(Debug)]
pub struct Asks {
    ring: Vec<Ask>,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    id: u32,
    conn: ConnKey,
    /// Parts that have not reported; the last report means that nobody got the message.
    parts: u32,
}

impl Default for Asks {
    fn default() -> Self {
        Self { ring: Vec::new(), next: 1 }
    }
}

impl Asks {
    const PLACES: u32 = 1 << 16;

    /// Opens a question about a message that is about to go out.
    pub fn open(&mut self, conn: ConnKey) -> u32 {
        let id = self.next;
        self.next = self.next.checked_add(1).unwrap_or(1);
        let ask = Ask { id, conn, parts: 0 };
        let place = (id % Self::PLACES) as usize;
        if place >= self.ring.len() {
            self.ring.resize(place + 1, Ask { id: 0, conn, parts: 0 });
        }
        self.ring[place] = ask;
        id
    }

    /// One more part of the message went out.
    pub fn add_part(&mut self, id: u32) {
        self.ring[(id % Self::PLACES) as usize].parts += 1;
    }

    /// A part met nobody. The publisher, if that was the last one.
    pub fn on_nobody(&mut self, id: u32) -> Option<ConnKey> {
        let ask = self.ring.get_mut((id % Self::PLACES) as usize).filter(|ask| ask.id == id)?;
        ask.parts = ask.parts.checked_sub(1)?;
        (ask.parts == 0).then_some(ask.conn)
    }
}

/// All peers, by shard. The shard's own place stays empty.
#[derive(Debug)]
pub struct Peers {
    pub me: ShardId,
    pub all: Vec<Peer>,
    pub asks: Asks,
}

impl Peers {
    pub fn new(me: ShardId, shards: usize, tuning: &Tuning) -> Self {
        let all = (0..shards).map(|_| Peer::new(tuning.peer_credit_bytes)).collect();
        Self { me, all, asks: Asks::default() }
    }

    pub fn of(&mut self, shard: ShardId) -> &mut Peer {
        &mut self.all[shard.index()]
    }

    /// The other shards.
    pub fn others(&self) -> impl Iterator<Item = ShardId> + Clone + use<> {
        let me = self.me;
        let count = u16::try_from(self.all.len()).expect("SHARDS_MAX fits");
        (0..count).map(ShardId).filter(move |shard| *shard != me)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDIT: u64 = 1 << 20;

    #[test]
    fn the_last_part_that_met_nobody_answers() {
        let mut asks = Asks::default();
        let conn = ConnKey { slot: 1, generation: 0 };
        let id = asks.open(conn);
        asks.add_part(id);
        asks.add_part(id);
        assert_eq!(asks.on_nobody(id), None);
        assert_eq!(asks.on_nobody(id), Some(conn));
        assert_eq!(asks.on_nobody(id), None);
    }

    #[test]
    fn a_batch_that_waits_keeps_its_first_time_and_does_not_grow() {
        let mut peer = Peer::new(CREDIT);
        frame::push_credit(&mut peer.data, 1);
        peer.close_batch(Mono(1), Mono(2));
        let len = peer.data.len();
        peer.close_batch(Mono(5), Mono(6));
        assert_eq!(peer.data.len(), len);
        assert_eq!(frame::times(&peer.data), Some((Mono(1), Mono(6))));
        frame::push_credit(&mut peer.data, 1);
        peer.close_batch(Mono(8), Mono(9));
        assert_eq!(frame::times(&peer.data), Some((Mono(1), Mono(9))));
        peer.data.clear();
        peer.on_taken();
        frame::push_credit(&mut peer.data, 1);
        peer.close_batch(Mono(10), Mono(11));
        assert_eq!(frame::times(&peer.data), Some((Mono(10), Mono(11))));
    }

    #[test]
    fn credit_returns_in_steps_and_wakes_at_half() {
        let mut peer = Peer::new(CREDIT);
        assert!(!peer.charge(CREDIT as usize));
        assert!(peer.charge(1));
        peer.waiting.push(ConnKey { slot: 0, generation: 0 });
        assert!(peer.on_credit(1).is_empty());
        assert_eq!(peer.on_credit(CREDIT / 2).len(), 1);
        peer.on_consumed(CREDIT as usize / 8 - 1);
        assert!(peer.data.is_empty());
        peer.on_consumed(1);
        assert!(!peer.data.is_empty());
    }
}
