//! The turn (DESIGN §4): one fixed order, because correctness hangs on it.
//!
//! 1. obtain bytes; 2. look at the lanes; 3. process them, let JetStream deliver; 4. fill the lanes;
//!    5. send.
//!
//! An interest change is thus in every peer's memory before any byte that admits it leaves this
//! core, and every core looks before it routes. The sockets are behind [`TurnIo`]: the ring in
//! `runtime/`, invented ones in the simulator.

use super::Shard;
use super::effects::Wish;
use crate::mesh::Port;
use crate::types::Now;
use crate::types::mutation::{self, Mutation};

/// The sockets of one core.
pub trait TurnIo {
    /// Step 1: reports completed sends, hang-ups and new connections to the shard; if `may_read`,
    /// reads sockets that [`Shard::wants_read`], and keeps the bytes until `hand_over`.
    fn obtain(&mut self, shard: &mut Shard, may_read: bool);

    /// Step 3: gives the shard the bytes that were read, connection by connection.
    fn hand_over(&mut self, shard: &mut Shard);

    /// Step 5: carries out [`Shard::effects`].
    fn submit(&mut self, shard: &mut Shard);
}

/// Runs one turn. The caller then wakes the peers that `port.take_wakes()` names.
pub fn turn(shard: &mut Shard, port: &mut Port, io: &mut impl TurnIo, now: Now) -> Wish {
    shard.begin_turn(now);
    // Bytes read earlier may still wait for the lanes; then no more are read.
    let may_read = !shard.is_behind();
    shard.on_obtain(may_read);
    io.obtain(shard, may_read);
    if mutation::active(Mutation::LookAfterProcessing) {
        io.hand_over(shard);
    }
    let current = shard.absorb(port);
    shard.set_behind(!current);
    if current {
        shard.begin_reads();
        shard.run_timers();
        shard.run_backlog();
        io.hand_over(shard);
        shard.run_moves();
    }
    shard.run_jetstream();
    if mutation::active(Mutation::SendBeforePush) {
        io.submit(shard);
    }
    shard.push(port);
    if !shard.is_interest_blocked() || mutation::active(Mutation::SubmitWhileBlocked) {
        io.submit(shard);
    }
    shard.wish()
}
