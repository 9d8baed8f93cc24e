//! One client connection as a decision maker: what it has said, what it owes, when it is late.
//! Knows nothing of other connections, of routing results or of sockets.

pub mod identity;
pub mod inbound;
pub mod keepalive;
pub mod leaning;
pub mod outbound;
pub mod session;
pub mod settings;
pub mod sids;

pub use identity::Profile;
pub use keepalive::Late;
pub use session::{Connection, Gate, Journey, Pauses, Phase, RoomWaiter, StalledProducer};
pub use settings::{Settings, Trace};
