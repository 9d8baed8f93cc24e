//! The small, long-lived state of one stream by key: its config, its consumers' state. Which
//! records of a key still count, and where they lie.

use std::collections::BTreeMap;

use crate::storage::ids::{Place, SegmentNo};

/// What became of a record of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRecord {
    State,
    Delta,
    Gone,
}

/// The records of one key that count, by version.
///
/// Most keys have one record and are many, so what others need is apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyState {
    /// The whole value or its end. Deltas at or below its version do not count.
    base: Base,
    more: Option<Box<More>>,
}

/// The newest record that stands for all before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Base {
    #[default]
    Missing,
    State(Version, Place),
    Gone(Version, Place),
}

type Version = u64;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct More {
    deltas: BTreeMap<Version, Place>,
    /// Segments that hold a record of this key, alive or dead, beside its base's: while there is
    /// one, the end of a key must be remembered.
    holders: Vec<SegmentNo>,
}

impl Base {
    fn record(self) -> Option<(Version, Place)> {
        match self {
            Self::Missing => None,
            Self::State(version, place) | Self::Gone(version, place) => Some((version, place)),
        }
    }
}

#[derive(Default, Debug)]
pub struct Keys {
    keys: BTreeMap<Box<[u8]>, KeyState>,
    version_last: u64,
}

/// A record that stopped or started counting.
pub type Shift = (Place, bool);

impl Keys {
    pub fn get(&self, key: &[u8]) -> Option<&KeyState> {
        self.keys.get(key)
    }

    /// Keys that have a value.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &KeyState)> {
        self.keys.iter().filter(|(_, state)| state.has_value()).map(|(key, state)| (&**key, state))
    }

    pub fn next_version(&mut self) -> u64 {
        self.version_last += 1;
        self.version_last
    }

    /// Takes a record in, in any order. Tells which places changed sides: `(place, counts)`.
    pub fn put(&mut self, key: &[u8], kind: KeyRecord, version: u64, place: Place) -> Vec<Shift> {
        self.version_last = self.version_last.max(version);
        if let Some(state) = self.keys.get_mut(key) {
            return state.put(kind, version, place);
        }
        let mut state = KeyState::default();
        let shifts = state.put(kind, version, place);
        self.keys.insert(key.into(), state);
        shifts
    }

    /// A segment is no more. Tells which ends of keys need no longer be remembered.
    pub fn on_retired(&mut self, segment: SegmentNo) -> Vec<Shift> {
        let mut shifts = Vec::new();
        self.keys.retain(|_, state| {
            if let Some(more) = &mut state.more {
                more.holders.retain(|&holder| holder != segment);
            }
            state.shrink();
            let Base::Gone(_, place) = state.base else { return true };
            let is_needed = state.more.is_some();
            if !is_needed {
                shifts.push((place, false));
            }
            is_needed
        });
        shifts
    }

    /// Whether the record at `place` counts.
    pub fn counts(&self, key: &[u8], version: u64, place: Place) -> bool {
        let Some(state) = self.keys.get(key) else { return false };
        state.base.record() == Some((version, place))
            || state.more.as_ref().is_some_and(|more| more.deltas.get(&version) == Some(&place))
    }

    /// Every place that counts.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.keys.values().flat_map(|state| {
            state.base.record().map(|(_, place)| place).into_iter().chain(state.deltas())
        })
    }
}

impl KeyState {
    pub fn has_value(&self) -> bool {
        self.has_state() || self.deltas().next().is_some()
    }

    /// The value begins with a whole one.
    pub fn has_state(&self) -> bool {
        matches!(self.base, Base::State(..))
    }

    /// What was added to the whole value, in order.
    pub fn deltas(&self) -> impl Iterator<Item = Place> {
        self.more.iter().flat_map(|more| more.deltas.values().copied())
    }

    /// The records that make up the value, in order.
    pub fn value(&self) -> impl Iterator<Item = Place> {
        let state = match self.base {
            Base::State(_, place) => Some(place),
            Base::Missing | Base::Gone(..) => None,
        };
        state.into_iter().chain(self.deltas())
    }

    fn put(&mut self, kind: KeyRecord, version: Version, place: Place) -> Vec<Shift> {
        let shifts = match kind {
            KeyRecord::State => self.put_base(version, place, Base::State(version, place)),
            KeyRecord::Gone => self.put_base(version, place, Base::Gone(version, place)),
            KeyRecord::Delta => self.put_delta(version, place),
        };
        self.shrink();
        shifts
    }

    fn put_base(&mut self, version: Version, place: Place, base: Base) -> Vec<Shift> {
        let mut shifts = Vec::new();
        match self.base.record() {
            Some((newer, _)) if newer > version => {
                self.hold(place.segment);
                return shifts;
            }
            Some((_, old)) => {
                self.base = base;
                self.hold(old.segment);
                shifts.push((old, false));
            }
            None => self.base = base,
        }
        if let Some(more) = &mut self.more {
            more.holders.retain(|&holder| holder != place.segment);
            let newer = more.deltas.split_off(&(version + 1));
            shifts.extend(more.deltas.values().map(|&old| (old, false)));
            more.deltas = newer;
        }
        shifts.push((place, true));
        shifts
    }

    fn put_delta(&mut self, version: Version, place: Place) -> Vec<Shift> {
        self.hold(place.segment);
        if self.base.record().is_some_and(|(base, _)| base >= version) {
            return Vec::new();
        }
        let mut shifts = vec![(place, true)];
        let more = self.more.get_or_insert_default();
        if let Some(old) = more.deltas.insert(version, place) {
            shifts.push((old, false));
        }
        shifts
    }

    /// Remembers a segment that has a record of this key.
    fn hold(&mut self, segment: SegmentNo) {
        if self.base.record().is_some_and(|(_, place)| place.segment == segment) {
            return;
        }
        let holders = &mut self.more.get_or_insert_default().holders;
        if !holders.contains(&segment) {
            holders.push(segment);
        }
    }

    fn shrink(&mut self) {
        if self.more.as_ref().is_some_and(|more| more.deltas.is_empty() && more.holders.is_empty())
        {
            self.more = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32, offset: u32) -> Place {
        Place { segment: SegmentNo(segment), offset, len: 10 }
    }

    #[test]
    fn the_newest_version_wins_in_any_order() {
        let mut keys = Keys::default();
        assert_eq!(keys.put(b"c", KeyRecord::State, 2, place(1, 20)), [(place(1, 20), true)]);
        assert_eq!(keys.put(b"c", KeyRecord::State, 1, place(1, 10)), []);
        assert_eq!(keys.put(b"c", KeyRecord::Delta, 2, place(1, 25)), []);
        assert_eq!(keys.put(b"c", KeyRecord::Delta, 3, place(1, 30)), [(place(1, 30), true)]);
        let shifts = keys.put(b"c", KeyRecord::State, 4, place(2, 10));
        assert_eq!(shifts, [(place(1, 20), false), (place(1, 30), false), (place(2, 10), true)]);
        assert_eq!(keys.next_version(), 5);
    }

    #[test]
    fn an_end_is_remembered_while_an_older_record_exists() {
        let mut keys = Keys::default();
        keys.put(b"c", KeyRecord::State, 1, place(1, 10));
        keys.put(b"c", KeyRecord::Gone, 2, place(2, 10));
        assert_eq!(keys.iter().count(), 0);
        assert_eq!(keys.on_retired(SegmentNo(7)), []);
        assert_eq!(keys.on_retired(SegmentNo(1)), [(place(2, 10), false)]);
        assert!(keys.get(b"c").is_none());
    }
}
