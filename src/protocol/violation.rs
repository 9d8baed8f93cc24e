//! A peer that broke the protocol: its last words, and the reason its connection closes.

use crate::types::CloseReason;

/// Ends the connection. `text` goes out as `-ERR 'text'`; `None` where the reference is silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Violation {
    pub text: Option<&'static str>,
    pub reason: CloseReason,
}

impl Violation {
    pub const UNAUTHORIZED: Self =
        Self { text: Some("Authorization Violation"), reason: CloseReason::AuthenticationFailure };
    pub const AUTHENTICATION_TIMEOUT: Self =
        Self { text: Some("Authentication Timeout"), reason: CloseReason::AuthenticationTimeout };

    /// A command that is understood, with arguments that are not.
    pub const BAD_ARGUMENTS: Self = Self { text: None, reason: CloseReason::ProtocolViolation };

    pub const UNKNOWN_OPERATION: Self =
        Self { text: Some("Unknown Protocol Operation"), reason: CloseReason::ProtocolViolation };

    pub const CONTROL_LINE_TOO_LONG: Self = Self {
        text: Some("maximum control line exceeded"),
        reason: CloseReason::MaxControlLineExceeded,
    };

    pub const PAYLOAD_TOO_LARGE: Self =
        Self { text: Some("Maximum Payload Violation"), reason: CloseReason::MaxPayloadExceeded };

    pub const BAD_CLIENT_PROTOCOL: Self = Self {
        text: Some("invalid client protocol"),
        reason: CloseReason::BadClientProtocolVersion,
    };

    pub const NO_RESPONDERS_WITHOUT_HEADERS: Self = Self {
        text: Some("no responders requires headers support"),
        reason: CloseReason::NoRespondersRequiresHeaders,
    };
}
