//! The values of all keys, read once at the start: afterwards their owners know them.

use std::collections::{BTreeSet, VecDeque};

use super::effects::OpId;
use super::fault::{ReadError, Refusal};
use super::ids::{Place, StreamId};
use super::log::Log;
use crate::types::limits::READS_MAX;

/// A key of a stream and what makes up its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    pub stream: StreamId,
    pub key: Box<[u8]>,
    /// The last whole value; `None`: it could not be read.
    pub state: Option<Vec<u8>>,
    /// What was added to it since, in order, up to the first that could not be read.
    pub deltas: Vec<Vec<u8>>,
}

/// Where a record's bytes belong.
struct Wanted {
    value: usize,
    is_first: bool,
    place: Place,
    op: OpId,
}

impl Log {
    /// Reads the values of all keys. `drive` carries out the log's effects until something has
    /// happened.
    pub fn load_values<E>(
        &mut self,
        mut drive: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<Vec<KeyValue>, E> {
        let (mut values, mut places) = self.list_values();
        let mut under_way: VecDeque<Wanted> = VecDeque::new();
        let mut broken = BTreeSet::new();
        while !places.is_empty() || !under_way.is_empty() {
            while under_way.len() < READS_MAX / 2
                && let Some((value, is_first, place)) = places.pop_front()
            {
                match self.read_value(place) {
                    Ok(op) => under_way.push_back(Wanted { value, is_first, place, op }),
                    Err(Refusal::Behind) => {
                        places.push_front((value, is_first, place));
                        break;
                    }
                    Err(_) => {}
                }
            }
            // In order, so that deltas follow each other.
            while under_way.front().is_some_and(|wanted| self.has_read(wanted.op)) {
                let Some(Wanted { value, is_first, place, op }) = under_way.pop_front() else {
                    break;
                };
                let read = self.take_read(op).unwrap_or(Err(ReadError::Damaged));
                let bytes = read.and_then(|run| run.value(place).map(<[u8]>::to_vec));
                let (at, value) = (value, &mut values[value]);
                match bytes {
                    Ok(bytes) if is_first => value.state = Some(bytes),
                    Ok(bytes) if !broken.contains(&at) => value.deltas.push(bytes),
                    Ok(_) => {}
                    Err(_) => {
                        broken.insert(at);
                    }
                }
            }
            if !under_way.is_empty() {
                drive(self)?;
            }
        }
        Ok(values)
    }

    #[allow(clippy::type_complexity, reason = "two lists that belong together, used in one place")]
    fn list_values(&self) -> (Vec<KeyValue>, VecDeque<(usize, bool, Place)>) {
        let (mut values, mut places) = (Vec::new(), VecDeque::new());
        for (stream, index) in self.streams() {
            for (key, state) in index.keys.iter() {
                let at = values.len();
                values.push(KeyValue { stream, key: key.into(), state: None, deltas: Vec::new() });
                for (nth, place) in state.value().enumerate() {
                    places.push_back((at, nth == 0 && state.base.is_some(), place));
                }
            }
        }
        (values, places)
    }
}
