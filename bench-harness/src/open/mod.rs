//! The open loop: every message has a moment at which it is due, fixed before the run by the
//! rate alone, and its latency counts from there. A server that stands still cannot slow the
//! asking down and so hide what everybody else would have waited (coordinated omission).
//!
//! ```text
//!   schedule  when is message n due      lane  its connections, one thread for all
//!   recorder  from due to done           pass  one run at one rate
//!   saturation  the highest rate that is kept up with
//! ```

mod lane;
mod pass;
mod recorder;
mod saturation;
mod schedule;

pub use lane::Shape;
pub use pass::{Pass, Verdict};
pub use saturation::{Saturation, find};
