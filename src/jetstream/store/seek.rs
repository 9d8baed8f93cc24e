//! Search by time: times do not go back from message to message.

use crate::storage::{Seq, StreamIndex};

use super::SeekTime;

/// The first message at or after `time` up to `visible`, or one after that. `time_of` tells a
/// message's time, or `None` if it must be waited for.
pub fn seek(
    index: &StreamIndex,
    visible: Seq,
    time: u64,
    time_of: impl FnMut(Seq) -> Option<u64>,
) -> SeekTime {
    seek_between(index, (index.first_seq(), visible.next()), visible, time, time_of)
}

/// As [`seek`], with the answer known to lie between two sequences, both included.
pub fn seek_between(
    index: &StreamIndex,
    between: (Seq, Seq),
    visible: Seq,
    time: u64,
    mut time_of: impl FnMut(Seq) -> Option<u64>,
) -> SeekTime {
    // Messages below `low` are older than `time`; those from `high` on are not.
    let (mut low, mut high) = between;
    while low < high {
        let middle = Seq(low.0 + (high.0 - low.0) / 2);
        let Some(entry) = index.next(middle).filter(|entry| entry.seq < high) else {
            high = middle;
            continue;
        };
        match time_of(entry.seq) {
            None => return SeekTime::Wait,
            Some(found) if found >= time => high = middle,
            Some(_) => low = entry.seq.next(),
        }
    }
    let found = index.next(low).map(|entry| entry.seq).filter(|&seq| seq <= visible);
    SeekTime::Seq(found.unwrap_or(visible.next()))
}
