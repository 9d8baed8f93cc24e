//! Why a page is not shown, in the reference's words.

use std::fmt;

use super::args::BadArg;
use super::connz::Sort;

/// Shown as plain text, with the status of [`Refusal::status`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    Arg(BadArg),
    /// `state=` is no state.
    State(String),
    /// `sort=` is no order.
    Sort(String),
    /// An order that needs an end of the connection, asked of connections that may be open.
    SortOfOpen(Sort),
    /// An argument of a page of ours that is none of those it knows.
    Choice {
        key: &'static str,
        raw: String,
        known: &'static str,
    },
    /// `test=` has an empty token or a wildcard.
    TestSubject(String),
    UnknownAccount(String),
    /// `/jsz?leader-only=1` of a server that leads nothing.
    NotLeader,
    NoRaft,
}

impl Refusal {
    pub fn status(&self) -> u16 {
        match self {
            Self::NoRaft => 404,
            _ => 400,
        }
    }
}

impl From<BadArg> for Refusal {
    fn from(bad: BadArg) -> Self {
        Self::Arg(bad)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arg(bad) => bad.fmt(f),
            Self::State(raw) => write!(f, "Error decoding state for {raw}"),
            Self::Sort(raw) => write!(f, "invalid sorting option: {raw}"),
            Self::SortOfOpen(sort) => {
                write!(f, "sort by {} only valid on closed connections", sort.key())
            }
            Self::Choice { key, raw, known } => write!(f, "{key} is {known}, not {raw:?}"),
            Self::TestSubject(raw) => {
                write!(f, "invalid test subject, must be valid publish subject: {raw}")
            }
            Self::UnknownAccount(name) => write!(f, "Account {name} does not exist"),
            Self::NotLeader => f.write_str("filtered response: not leader"),
            Self::NoRaft => f.write_str("No Raft nodes registered"),
        }
    }
}

impl std::error::Error for Refusal {}
