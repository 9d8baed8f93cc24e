//! What JetStream subscribes to, and how a delivery finds its way back.

use crate::types::AccountId;

/// A stream's place on its core, and whose place it is: slots are reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StreamSlot {
    pub index: u32,
    pub generation: u16,
}

/// What a subscription of JetStream is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// `$JS.API.…`: what is not sent to a stream's own core.
    Api,
    /// The stream's own subjects.
    Publish(StreamSlot),
    /// `$JS.ACK.<stream>.>`
    Ack(StreamSlot),
    /// `$JS.API.CONSUMER.MSG.NEXT.<stream>.*`
    Next(StreamSlot),
    /// `$JS.API.DIRECT.GET.<stream>` and below.
    Direct(StreamSlot),
    /// `$JS.FC.<stream>.>`
    FlowControl(StreamSlot),
    /// `$JS.SNAPSHOT.ACK.<stream>.<id>.>`
    SnapshotAck(StreamSlot),
    /// `$JS.SNAPSHOT.RESTORE.<stream>.<id>`: chunks of a restore, by its number.
    Restore(u32),
    /// Where the origins of a mirror or a sourcing stream deliver to.
    Feed(StreamSlot),
}

impl Target {
    /// As the sid of a subscription.
    pub fn to_sid(self) -> [u8; 8] {
        let (kind, slot) = match self {
            Self::Api => (0, None),
            Self::Publish(slot) => (1, Some(slot)),
            Self::Ack(slot) => (2, Some(slot)),
            Self::Next(slot) => (3, Some(slot)),
            Self::Direct(slot) => (4, Some(slot)),
            Self::FlowControl(slot) => (5, Some(slot)),
            Self::SnapshotAck(slot) => (6, Some(slot)),
            Self::Restore(index) => (7, Some(StreamSlot { index, generation: 0 })),
            Self::Feed(slot) => (8, Some(slot)),
        };
        let slot = slot.unwrap_or(StreamSlot { index: 0, generation: 0 });
        let mut sid = [kind, 0, 0, 0, 0, 0, 0, 0];
        sid[2..4].copy_from_slice(&slot.generation.to_le_bytes());
        sid[4..].copy_from_slice(&slot.index.to_le_bytes());
        sid
    }

    /// The inverse of [`Target::to_sid`].
    pub fn from_sid(sid: &[u8]) -> Option<Self> {
        let &[kind, _, g0, g1, i0, i1, i2, i3] = sid else { return None };
        let slot = StreamSlot {
            index: u32::from_le_bytes([i0, i1, i2, i3]),
            generation: u16::from_le_bytes([g0, g1]),
        };
        Some(match kind {
            0 => Self::Api,
            1 => Self::Publish(slot),
            2 => Self::Ack(slot),
            3 => Self::Next(slot),
            4 => Self::Direct(slot),
            5 => Self::FlowControl(slot),
            6 => Self::SnapshotAck(slot),
            7 => Self::Restore(slot.index),
            8 => Self::Feed(slot),
            _ => return None,
        })
    }
}

/// A subscription of JetStream, by what it is.
pub type SubscriptionKey = (AccountId, Box<[u8]>, Target);

/// JetStream wants to subscribe, or no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionChange {
    pub key: SubscriptionKey,
    pub wanted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive_the_way_through_a_sid() {
        let slot = StreamSlot { index: 70_000, generation: 513 };
        let all = [
            Target::Api,
            Target::Publish(slot),
            Target::Ack(slot),
            Target::Next(slot),
            Target::Direct(slot),
            Target::FlowControl(slot),
            Target::SnapshotAck(slot),
            Target::Restore(70_001),
            Target::Feed(slot),
        ];
        for target in all {
            assert_eq!(Target::from_sid(&target.to_sid()), Some(target));
        }
        assert_eq!(Target::from_sid(b"1"), None);
    }
}
