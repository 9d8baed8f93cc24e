//! The control thread: accepts connections and serves operators, never on a message's path.

pub mod accept;
pub mod cores;

pub use cores::{Cores, Load};
