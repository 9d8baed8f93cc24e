//! The only place that knows glommio, io_uring, sockets, files, threads and clocks.
//!
//! ```text
//!   boot      checks, then one glommio executor per core and the control thread
//!   core      a core's loop: turn, reactor pass, park        ring     its own io_uring
//!   sockets   connections as file descriptors and operations  clock    both clocks, once per turn
//!   control   accept, signals, monitoring: the control thread
//! ```

pub mod boot;
pub mod control;

mod clock;
mod core;
mod ring;
mod sockets;
mod syscalls;
