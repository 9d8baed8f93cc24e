//! The only place that knows glommio, io_uring, sockets, files, threads and clocks.
//!
//! ```text
//!   boot      checks, then one glommio executor per core and the control thread
//!   core      a core's loop: turn, reactor pass, park        ring     its own io_uring
//!   sockets   connections as file descriptors and operations  clock    both clocks, once per turn
//!   control   accept, monitoring: the control thread        server    its life: start, signals, stop
//!   checks    is this machine fit, before anything starts   cpus      which cores
//!   devices   the ring's users: sockets and disks           jetstream its start: directory, limits
//!   disk      a log's files, driven by the core's ring
//!   watch     whether an idle core sleeps at once
//!   bundle    `debug-bundle`: all that tells of a server, in one archive
//!   logging   the reference's log lines                     process   pid and ports files, signals
//! ```

pub mod bundle;
pub mod disk;
pub mod logging;
pub mod process;
pub mod server;

mod boot;
mod checks;
mod clock;
mod control;
mod core;
mod cpus;
mod devices;
mod jetstream;
mod ring;
mod sockets;
mod syscalls;
mod watch;
