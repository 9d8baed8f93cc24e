//! A peer that broke the protocol: its last words, and the reason its connection closes.

use crate::types::CloseReason;

/// Ends the connection. `text` goes out as `-ERR 'text'`; `None` where the reference is silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    pub text: Option<&'static str>,
    pub reason: CloseReason,
}
