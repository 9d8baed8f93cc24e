//! Ways to break JetStream on purpose, so that the simulator can show that it would notice.
//! Without the feature `testing` every question answers no, and costs nothing.

/// One rule broken. Each is caught by `testing::js_sim`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// A publish is answered before its record is on disk.
    AckedEarly,
    /// A create or update of a stream is.
    StreamToldEarly,
    /// A create or update of a consumer is.
    ConsumerToldEarly,
    PurgeToldEarly,
    ConfirmedEarly,
    DedupNotRebuilt,
    FloorPastGap,
    TimerDropped,
    NakDelayIgnored,
    WorkRemovedOnDelivery,
    InterestRemovedOnFirstAck,
    SubjectLimitOff,
    StreamDeleteNotLogged,
    ConsumerDeleteNotLogged,
    MaxDeliverOff,
    MaxAckPendingOff,
    ProgressLostOnStop,
}

#[cfg(feature = "testing")]
mod switch {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Breaks the rule for this thread until it is set again.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    pub fn is(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "testing")]
pub use switch::{is, set};

#[cfg(not(feature = "testing"))]
pub const fn is(_: Mutation) -> bool {
    false
}
