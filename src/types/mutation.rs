//! Deliberate mistakes, by which the simulator proves that it would notice real ones.
//!
//! Without feature `testing` every question is the constant `false`.

/// A rule of DESIGN §4 that a mutated broker breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// Sends before the lanes have taken what was published.
    SendBeforePush,
    /// Looks at the lanes after the bytes were processed.
    LookAfterProcessing,
    /// Never tells one of its peers about interest.
    SkipLane,
    /// A queue message that meets no member is dropped.
    DropReroute,
    /// Goes on reading without credit.
    IgnoreCredit,
    /// A stalled or creditless connection is never read again.
    LosePause,
    /// Hands over data before the interest it depends on.
    InterestAfterData,
    /// Sends though a peer's interest lane was full.
    SubmitWhileBlocked,
    /// Answers a publisher before the lanes have taken what it published.
    RepliesNotHeld,
    /// Lets a sleeping peer sleep on the data it was sent.
    NoWake,
    /// Asks a producer on another core to wait only once.
    StallOnce,
    /// Drops the report that a message met nobody.
    NobodyUnheard,
    /// Of a connection that moves: marks the end of what it gets at its old core before the last
    /// message.
    EarlyMarker,
    /// Delivers at the new core what the old one delivers too.
    OpenGates,
    /// Puts what the old core still owed behind what came to the new one.
    OldBehindNew,
    /// Ends the subscriptions at the old core before all others have switched.
    EarlyWithdrawal,
    /// Forgets where a connection went.
    NoForward,
    /// Reads on at the new core before the others have what was published at the old one.
    EarlyReading,
}

#[cfg(feature = "testing")]
mod switch {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    pub fn active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }

    pub fn is_any() -> bool {
        ACTIVE.get().is_some()
    }

    /// Breaks the rule for everything this thread runs, until set to `None`.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }
}

#[cfg(not(feature = "testing"))]
mod switch {
    pub const fn active(_: super::Mutation) -> bool {
        false
    }
}

pub use switch::*;
