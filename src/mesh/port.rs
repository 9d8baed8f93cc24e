//! One shard's side of the mesh.

use super::{
    Bell, Full, MeshSettings,
    doorbell::Doorbells,
    lane::{Incoming, Outgoing, lane},
    sync::{Guard, Guards},
};
use crate::types::{
    ShardId, ShardSet,
    limits::SHARDS_MAX,
    mutation::{self, Mutation},
};

/// One shard's end of every lane from and to the others. `Send`: made by [`mesh`] on the thread
/// that starts the server, then moved to its core.
pub struct Port {
    me: ShardId,
    doorbells: Doorbells,
    /// The own doorbell's word at the last look.
    rings_seen: u64,
    interest_out: Lanes<Outgoing>,
    data_out: Lanes<Outgoing>,
    interest_in: Inbox,
    data_in: Inbox,
    /// Peers that were rung and must not sleep through it.
    wakes_due: ShardSet,
}

/// Lane ends by peer.
struct Lanes<End> {
    me: ShardId,
    /// In the peers' order; there is none to the shard itself.
    ends: Vec<End>,
}

impl<End> Lanes<End> {
    #[inline]
    fn to(&mut self, peer: ShardId) -> &mut End {
        assert_ne!(peer, self.me, "a shard has no lane to itself");
        &mut self.ends[peer.index() - usize::from(peer > self.me)]
    }
}

/// Makes the mesh between `shards` shards: one port for each, in order.
pub fn mesh(shards: usize, settings: MeshSettings) -> Vec<Port> {
    assert!(shards <= SHARDS_MAX, "checked when the settings are read");
    #[cfg(loom)]
    let guards = settings.guards;
    #[cfg(not(loom))]
    let guards = Guards::default();

    let doorbells = Doorbells::new(shards, guards);
    let id = |index: usize| ShardId(index as u16);
    let mut ports: Vec<Port> = (0..shards).map(|me| Port::new(id(me), &doorbells)).collect();
    for from in 0..shards {
        for to in (0..shards).filter(|&to| to != from) {
            let (interest_out, interest_in) = lane(settings.lane_slots, guards);
            let (data_out, data_in) = lane(settings.lane_slots, guards);
            ports[from].interest_out.ends.push(interest_out);
            ports[from].data_out.ends.push(data_out);
            ports[to].interest_in.lanes.push((id(from), interest_in));
            ports[to].data_in.lanes.push((id(from), data_in));
        }
    }
    ports
}

impl Port {
    fn new(me: ShardId, doorbells: &Doorbells) -> Self {
        Self {
            me,
            doorbells: doorbells.clone(),
            rings_seen: 0,
            interest_out: Lanes { me, ends: Vec::new() },
            data_out: Lanes { me, ends: Vec::new() },
            interest_in: Inbox::default(),
            data_in: Inbox::default(),
            wakes_due: ShardSet::default(),
        }
    }

    /// Puts `batch` in the interest lane and rings; on success `batch` is an emptied buffer to
    /// fill next. `Full` leaves it untouched, and the own doorbell rings when there is room.
    ///
    /// Does not wake a sleeping peer, which looks before it routes anyway, unless the lane has
    /// no room for another.
    pub fn push_interest(&mut self, to: ShardId, batch: &mut Vec<u8>) -> Result<(), Full> {
        let lane = self.interest_out.to(to);
        let pushed = lane.push(batch);
        if pushed.is_ok() {
            self.doorbells.ring(to);
        }
        if lane.is_full() {
            self.wakes_due.insert(to);
        }
        pushed
    }

    /// The same for the data lane. The peer is among the next [`Self::take_wakes`] if it sleeps.
    pub fn push_data(&mut self, to: ShardId, batch: &mut Vec<u8>) -> Result<(), Full> {
        let pushed = self.data_out.to(to).push(batch);
        if pushed.is_ok() {
            self.doorbells.ring(to);
        }
        if !mutation::active(Mutation::NoWake) {
            self.wakes_due.insert(to);
        }
        pushed
    }

    /// Which peers sleep and must be woken now, for pushes and for room made in full lanes since
    /// the last call. Each peer is named to one asker only. One fence for all of them: ask once,
    /// after the pushes of the turn.
    #[must_use = "a parked shard must be woken"]
    pub fn take_wakes(&mut self) -> ShardSet {
        let due = std::mem::take(&mut self.wakes_due);
        let mut asleep = ShardSet::default();
        if !due.is_empty() {
            self.doorbells.fence_rings();
            let parked = due.iter().filter(|&peer| self.doorbells.take_parked(peer));
            parked.for_each(|peer| asleep.insert(peer));
        }
        asleep
    }

    /// Whether anything may have happened since the last look. One load.
    #[inline]
    pub fn rung(&self) -> bool {
        self.doorbells.rings(self.me) != self.rings_seen
    }

    /// Fixes how far the pops go: what is pushed later waits for the next look.
    ///
    /// The data lanes first: a data batch that was seen then has all interest that was pushed
    /// before it, by its own core or by those it heard from, in the interest lanes.
    pub fn look(&mut self) {
        // Before the lanes: a push in between is seen now or rings again.
        self.rings_seen = self.doorbells.rings(self.me);
        if self.doorbells.guards().has(Guard::DataFirst) {
            self.data_in.fix();
            self.interest_in.fix();
        } else {
            self.interest_in.fix();
            self.data_in.fix();
        }
    }

    /// The next interest batch of the last look and where it comes from, in exchange for the
    /// buffer in `into`. All of them go before any data batch.
    pub fn pop_interest(&mut self, into: &mut Vec<u8>) -> Option<ShardId> {
        let (from, producer_waits) = self.interest_in.pop(into)?;
        self.answer_room(from, producer_waits);
        Some(from)
    }

    /// The next data batch of the last look; the sources take turns.
    pub fn pop_data(&mut self, into: &mut Vec<u8>) -> Option<ShardId> {
        let (from, producer_waits) = self.data_in.pop(into)?;
        self.answer_room(from, producer_waits);
        Some(from)
    }

    #[inline]
    fn answer_room(&mut self, producer: ShardId, producer_waits: bool) {
        if producer_waits {
            self.doorbells.ring(producer);
            self.wakes_due.insert(producer);
        }
    }

    /// Everything the last look saw was popped.
    pub fn is_drained(&self) -> bool {
        self.interest_in.waiting == 0 && self.data_in.waiting == 0
    }

    /// Parking, first step: says that this shard is about to sleep.
    pub fn prepare_park(&self) {
        assert!(self.wakes_due.is_empty(), "a peer may sleep for good: ask take_wakes first");
        self.doorbells.park(self.me);
    }

    /// Parking, second step: whether it may. If not, it is no longer said to sleep, and there is
    /// something to look at.
    #[must_use = "sleeping all the same loses a wake-up"]
    pub fn may_sleep(&self) -> bool {
        let rung = self.rung() && self.doorbells.guards().has(Guard::SecondLook);
        let may_sleep = !rung && self.is_drained();
        if !may_sleep {
            self.unpark();
        }
        may_sleep
    }

    /// After sleep: peers need not wake this shard any more.
    pub fn unpark(&self) {
        self.doorbells.unpark(self.me);
    }

    /// A handle for threads that are no shard.
    pub fn bell(&self) -> Bell {
        Bell::new(self.doorbells.clone())
    }
}

/// The incoming lanes of one kind.
#[derive(Default)]
struct Inbox {
    lanes: Vec<(ShardId, Incoming)>,
    /// The lane whose turn it is.
    next: usize,
    /// Batches of the last look not popped yet, in all lanes.
    waiting: usize,
}

impl Inbox {
    fn fix(&mut self) {
        self.waiting += self.lanes.iter_mut().map(|(_, lane)| lane.fix()).sum::<usize>();
    }

    /// The next batch, its source, and whether the source waits for the room it left.
    fn pop(&mut self, into: &mut Vec<u8>) -> Option<(ShardId, bool)> {
        if self.waiting == 0 {
            return None;
        }
        let count = self.lanes.len();
        for turn in 0..count {
            let at = (self.next + turn) % count;
            let (from, lane) = &mut self.lanes[at];
            if let Some(popped) = lane.pop(into) {
                self.next = (at + 1) % count;
                self.waiting -= 1;
                return Some((*from, popped.producer_waits));
            }
        }
        unreachable!("`waiting` counts what the lanes hold")
    }
}
