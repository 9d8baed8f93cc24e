//! Who may connect, and what they may then publish and subscribe to (facts/core-protocol.md §4,
//! §10, facts/config-and-ops.md §8).
//!
//! Knows users, their secrets and their permissions, all immutable: a reload makes new ones.
//! Knows nothing of the config grammar, of CONNECT or of sockets.

pub mod access;
pub mod credentials;
pub mod nkey;
pub mod patterns;
pub mod permissions;
pub mod permit;

pub use access::{Access, Presented, Standing, User, Verdict};
pub use credentials::{Proof, Secret};
pub use nkey::{Nonce, NonceKey};
pub use permissions::{Permissions, Responses, SubjectRules};
pub use permit::Permit;
