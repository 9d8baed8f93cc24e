//! The lanes between cores: how one shard's batch of bytes becomes another shard's input.
//!
//! Knows lanes, doorbells and parking, as memory and its orderings only. Must not know what the
//! bytes mean, nor how a thread sleeps or is woken: it says *that* a shard must be woken, the
//! runtime does it. Checked by loom (`loom.rs`); how to run it stands there.
//!
//! ```text
//! shard A: Port                                   shard B: Port
//!   push_interest ──▶ [ ][ ][ ][ ] lane A→B  ──▶  look, pop_interest     (first)
//!   push_data     ──▶ [ ][ ][ ][ ] lane A→B  ──▶  look, pop_data         (then)
//!        └───── bump ───▶ B's doorbell ──────▶    rung
//!   take_wakes    ◀──── B's parked flag ◀────     prepare_park, may_sleep
//! ```
//!
//! One turn of a shard, seen from here (DESIGN §4):
//! 1. after the bytes of the sockets are in: `if rung() { look() }`, then `pop_interest` until
//!    `None`, then `pop_data` until `None` or the budget is spent (the rest keeps its place);
//! 2. work; 3. `push_interest`, then `push_data`; 4. wake whom `take_wakes` names; 5. sends.
//!
//! Batches of one lane arrive in the order in which they were pushed. Whoever sees a data batch
//! sees every interest batch that was pushed before it, on any core: `look` reads the data
//! lanes first.

mod doorbell;
mod lane;
mod port;
mod ring;
mod sync;

#[cfg(test)]
#[cfg(loom)]
mod loom;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;

pub use doorbell::Bell;
pub use port::{Port, mesh};

/// How a mesh is laid out.
#[derive(Clone, Copy, Debug)]
pub struct MeshSettings {
    /// Batches that a lane holds, rounded up to a power of two. A push beyond them is refused.
    pub lane_slots: usize,
    /// The steps of the protocol between cores: all of them, but for the models.
    #[cfg(loom)]
    pub guards: sync::Guards,
}

/// The lane has no room: the batch stays with its owner, whose doorbell rings when there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;
