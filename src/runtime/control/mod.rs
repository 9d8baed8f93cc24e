//! The control thread: accepts connections and serves operators, never on a message's path.

pub mod accept;
pub mod ask;
pub mod clerk;
pub mod cores;
pub mod http;
pub mod pages;
pub mod process_facts;
pub mod prover;

pub use clerk::Clerk;
pub use cores::{Cores, Load};
pub use prover::Prover;
