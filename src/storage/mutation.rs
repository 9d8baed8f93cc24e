//! Ways to break the log on purpose, so that the simulator can show that it would notice.
//! Without the feature `testing` every question answers no, and costs nothing.

/// One rule broken. Each is caught by `testing::log_sim`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    AckBeforeFlush,
    ReadPastDurable,
    /// Only the simulator of the log looks at it.
    #[cfg(feature = "testing")]
    DuplicateAnsweredEarly,
    ServeBeforeFlush,
    NoDirectorySync,
    PositionCheckDropped,
    ChecksumSkipped,
    FlushRetried,
    TailBlockRewritten,
    SegmentRetiredEarly,
    CopyAfterTombstone,
    TrimNotLogged,
    FooterBeforeDurable,
    /// Pages are kept with what is still being written.
    PagePastLanded,
}

#[cfg(feature = "testing")]
mod switch {
    use super::Mutation;
    use std::cell::Cell;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Breaks the rule for logs of this thread until it is set again.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.with(|active| active.set(mutation));
    }

    pub fn is(mutation: Mutation) -> bool {
        ACTIVE.with(|active| active.get() == Some(mutation))
    }
}

#[cfg(feature = "testing")]
pub use switch::{is, set};

#[cfg(not(feature = "testing"))]
pub fn is(_: Mutation) -> bool {
    false
}

pub fn skips_checksum() -> bool {
    is(Mutation::ChecksumSkipped)
}

pub fn skips_position_check() -> bool {
    is(Mutation::PositionCheckDropped)
}
