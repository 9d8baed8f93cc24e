//! The harness' side of the wire: raw nonblocking sockets under one edge-triggered epoll per
//! thread. No tasks, no channels, no allocation per message.

mod api;
mod batch;
mod connection;
mod poller;
mod protocol;
mod switchboard;

pub use api::Api;
pub use batch::Batch;
pub use connection::{Connection, Drained, Greeting, Scratch};
pub use poller::{Poller, Ready};
pub use protocol::{Broken, Message, ServerOp, Step, each_op, next_op};
pub use switchboard::{Outboxes, Party, Switchboard};
