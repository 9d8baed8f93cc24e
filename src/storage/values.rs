//! At start-up: the values of all keys, read before anyone is served. Afterwards their owners
//! know them.

use std::collections::VecDeque;

use super::batch::{round_down, round_up};
use super::effects::{Effect, Event, OpId};
use super::fault::ReadError;
use super::ids::{Place, SegmentNo, StreamId};
use super::log::{Errand, Health, Log, OpenRead};
use super::reads::{GAP_MAX, ReadRun};
use crate::types::limits::{READ_AHEAD_BYTES, VALUE_READS_MAX};

/// What a stream's log entry holds under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyValue {
    pub stream: StreamId,
    pub key: Box<[u8]>,
    /// The last whole value; empty if there never was one.
    pub state: Vec<u8>,
    /// What was added since, in order.
    pub deltas: Vec<Vec<u8>>,
    /// Some of it could not be read back: what is here is incomplete.
    pub error: Option<ReadError>,
}

/// A record to be read.
#[derive(Clone, Copy)]
struct Wanted {
    place: Place,
    /// Which of the values, and which part of it: 0 the state, then the deltas.
    value: usize,
    part: usize,
}

/// Reads the values of all keys of all streams, ordered by stream and key. `drive` does what the
/// log wants done to files, at least one thing of it; its error ends this.
pub fn load_values<E>(
    log: &mut Log,
    mut drive: impl FnMut(&mut Log) -> Result<(), E>,
) -> Result<Vec<KeyValue>, E> {
    while log.health() == Health::Starting {
        drive(log)?;
    }
    let (mut values, wanted) = list(log);
    let mut rest = &wanted[..];
    let mut under_way: VecDeque<(OpId, &[Wanted])> = VecDeque::new();
    loop {
        while under_way.len() < VALUE_READS_MAX && !rest.is_empty() {
            let (span, behind) = rest.split_at(span_len(rest));
            rest = behind;
            match log.read_span(span) {
                Some(op) => under_way.push_back((op, span)),
                None => fill(&mut values, span, &Err(ReadError::Damaged)),
            }
        }
        let Some(&(op, span)) = under_way.front() else { return Ok(values) };
        let Some(result) = log.take_read(op) else {
            drive(log)?;
            continue;
        };
        under_way.pop_front();
        log.events.retain(|event| *event != Event::ReadDone(op));
        fill(&mut values, span, &result);
    }
}

/// The values without their bytes, and the records that hold these, by place.
fn list(log: &Log) -> (Vec<KeyValue>, Vec<Wanted>) {
    let (mut values, mut wanted) = (Vec::new(), Vec::new());
    for (stream, index) in log.streams() {
        for (key, state) in index.keys.iter() {
            let first = usize::from(!state.has_state());
            let parts = state.value().zip(first..);
            let value = values.len();
            wanted.extend(parts.map(|(place, part)| Wanted { place, value, part }));
            values.push(KeyValue {
                stream,
                key: key.into(),
                state: Vec::new(),
                deltas: vec![Vec::new(); state.deltas().count()],
                error: None,
            });
        }
    }
    wanted.sort_unstable_by_key(|wanted| wanted.place.position());
    (values, wanted)
}

/// How many of the records one read brings.
fn span_len(wanted: &[Wanted]) -> usize {
    let Some(first) = wanted.first().map(|first| first.place) else { return 0 };
    let mut end = first.end();
    let follows = |next: &&Wanted| {
        let place = next.place;
        let is_near = place.segment == first.segment
            && place.offset - end.min(place.offset) <= GAP_MAX
            && place.end() - first.offset <= READ_AHEAD_BYTES;
        end = place.end();
        is_near
    };
    1 + wanted[1..].iter().take_while(follows).count()
}

fn fill(values: &mut [KeyValue], span: &[Wanted], result: &Result<ReadRun, ReadError>) {
    for wanted in span {
        let Some(value) = values.get_mut(wanted.value) else { continue };
        let bytes = result.as_ref().map_err(|error| *error).and_then(|run| run.value(wanted.place));
        match (bytes, wanted.part.checked_sub(1)) {
            (Err(error), _) => value.error = Some(error),
            (Ok(bytes), None) => value.state = bytes.to_vec(),
            (Ok(bytes), Some(delta)) => value.deltas[delta] = bytes.to_vec(),
        }
    }
}

impl Log {
    /// Begins a read of all bytes from the first record to the last.
    fn read_span(&mut self, span: &[Wanted]) -> Option<OpId> {
        let (first, last) = (span.first()?.place, span.last()?.place);
        let segment: SegmentNo = first.segment;
        let slot = self.segments.get(&segment)?.slot;
        let offset = round_down(first.offset);
        let len = round_up(last.end()) - offset;
        let op = self.op(Errand::Read);
        self.reads.insert(op, OpenRead { segment, offset, entries: Vec::new() });
        self.effects.push(Effect::Read { op, slot, offset, len });
        Some(op)
    }
}
