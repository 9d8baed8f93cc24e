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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyState {
    /// The whole value or its end: (version, place). Deltas at or below it do not count.
    pub base: Option<(u64, Place)>,
    pub is_gone: bool,
    pub deltas: BTreeMap<u64, Place>,
    /// Segments that hold a record of this key, alive or dead: while there is another than its
    /// own, the end of a key must be remembered.
    holders: Vec<SegmentNo>,
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
        let state = self.keys.entry(key.into()).or_default();
        if !state.holders.contains(&place.segment) {
            state.holders.push(place.segment);
        }
        if kind == KeyRecord::Delta {
            return state.put_delta(version, place);
        }
        let mut shifts = Vec::new();
        match state.base {
            Some((newer, _)) if newer > version => return shifts,
            Some((_, old)) => shifts.push((old, false)),
            None => {}
        }
        state.base = Some((version, place));
        state.is_gone = kind == KeyRecord::Gone;
        let newer = state.deltas.split_off(&(version + 1));
        shifts.extend(state.deltas.values().map(|&old| (old, false)));
        state.deltas = newer;
        shifts.push((place, true));
        shifts
    }

    /// A segment is no more. Tells which ends of keys need no longer be remembered.
    pub fn on_retired(&mut self, segment: SegmentNo) -> Vec<Shift> {
        let mut shifts = Vec::new();
        self.keys.retain(|_, state| {
            state.holders.retain(|&holder| holder != segment);
            let Some((_, place)) = state.base.filter(|_| state.is_gone) else { return true };
            let is_needed = state.holders.iter().any(|&holder| holder != place.segment)
                || !state.deltas.is_empty();
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
        state.base == Some((version, place)) || state.deltas.get(&version) == Some(&place)
    }

    /// Every place that counts.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.keys.values().flat_map(|state| {
            state.base.map(|(_, place)| place).into_iter().chain(state.deltas.values().copied())
        })
    }
}

impl KeyState {
    pub fn has_value(&self) -> bool {
        !self.deltas.is_empty() || (self.base.is_some() && !self.is_gone)
    }

    /// The value begins with a whole one.
    pub fn has_state(&self) -> bool {
        self.base.is_some() && !self.is_gone
    }

    /// The records that make up the value, in order.
    pub fn value(&self) -> impl Iterator<Item = Place> {
        let base = self.base.filter(|_| !self.is_gone).map(|(_, place)| place);
        base.into_iter().chain(self.deltas.values().copied())
    }

    fn put_delta(&mut self, version: u64, place: Place) -> Vec<Shift> {
        if self.base.is_some_and(|(base, _)| base >= version) {
            return Vec::new();
        }
        let mut shifts = vec![(place, true)];
        if let Some(old) = self.deltas.insert(version, place) {
            shifts.push((old, false));
        }
        shifts
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
