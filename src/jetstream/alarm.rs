//! When streams and consumers want to be looked at. An alarm is a hint: who is looked at says
//! anew when it wants to be looked at next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::target::StreamSlot;
use crate::types::Mono;

/// Who has an alarm: a stream, or the consumer in one of its seats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sleeper {
    pub stream: StreamSlot,
    pub seat: Option<u32>,
}

#[derive(Debug, Default)]
pub struct Alarms {
    heap: BinaryHeap<Reverse<(Mono, Sleeper)>>,
}

impl Alarms {
    /// Sets an alarm, unless `armed`, the sleeper's earliest one, comes first.
    pub fn set(&mut self, at: Mono, sleeper: Sleeper, armed: &mut Mono) {
        if at < *armed {
            *armed = at;
            self.heap.push(Reverse((at, sleeper)));
        }
    }

    /// The next that is due. The caller takes note that it is no longer armed.
    pub fn pop_due(&mut self, now: Mono) -> Option<(Mono, Sleeper)> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|Reverse(alarm)| alarm)
    }

    pub fn next(&self) -> Mono {
        self.heap.peek().map_or(Mono::NEVER, |Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_alarm_is_set() {
        let mut alarms = Alarms::default();
        let slot = StreamSlot { index: 1, generation: 0 };
        let sleeper = Sleeper { stream: slot, seat: None };
        let mut armed = Mono::NEVER;
        alarms.set(Mono(20), sleeper, &mut armed);
        alarms.set(Mono(30), sleeper, &mut armed);
        alarms.set(Mono(10), sleeper, &mut armed);
        assert_eq!((alarms.next(), armed), (Mono(10), Mono(10)));
        assert_eq!(alarms.pop_due(Mono(9)), None);
        assert_eq!(alarms.pop_due(Mono(20)), Some((Mono(10), sleeper)));
        assert_eq!(alarms.pop_due(Mono(20)), Some((Mono(20), sleeper)));
        assert_eq!(alarms.next(), Mono::NEVER);
    }
}
