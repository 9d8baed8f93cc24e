//! Group commit: what gathers, what waits, what is in flight. One write at a time; while it is
//! under way the next batch gathers. So batches become durable in the order of their numbers,
//! and a batch on disk proves all before it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::batch::{self, BATCH_HEADER, BLOCK, BatchHeader, Buffer};
use super::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, StreamId, position};
use super::record::Record;
use crate::types::Mono;
use crate::types::limits::BATCH_BYTES_MAX;

/// A copy on its way: once durable, the index points to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    pub from: Place,
    pub to: Place,
}

/// A batch that takes no more records, and where it ends in its segment.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub segment: SegmentNo,
    pub end: u32,
    pub lsn: Lsn,
    pub is_empty: bool,
}

/// The batch that records are being added to.
#[derive(Debug)]
pub struct Gather {
    pub segment: SegmentNo,
    pub offset: u32,
    pub lsn: Lsn,
    pub bytes: Buffer,
    records: u32,
    /// The highest sequence of each stream in it: visible once it has landed.
    shown: BTreeMap<StreamId, Seq>,
    copies: BTreeMap<(StreamId, Seq), Copied>,
    /// Somebody waits for it.
    is_urgent: bool,
    began: Mono,
    /// It may be written only when everything before it is durable.
    after_flush: bool,
}

impl Gather {
    /// In a buffer with nothing in it.
    fn new(segment: SegmentNo, offset: u32, lsn: Lsn, began: Mono, mut bytes: Buffer) -> Self {
        bytes.resize(BATCH_HEADER, 0);
        Self {
            segment,
            offset,
            lsn,
            bytes,
            records: 0,
            shown: BTreeMap::new(),
            copies: BTreeMap::new(),
            is_urgent: false,
            began,
            after_flush: false,
        }
    }

    pub fn push(&mut self, record: &Record<'_>) -> Place {
        let offset = self.offset + self.bytes.len() as u32;
        let len = record.encode(&mut self.bytes, position(self.segment, offset));
        self.records += 1;
        Place { segment: self.segment, offset, len }
    }

    pub fn show(&mut self, stream: StreamId, seq: Seq) {
        let shown = self.shown.entry(stream).or_default();
        *shown = (*shown).max(seq);
    }

    pub fn copied(&mut self, stream: StreamId, seq: Seq, copied: Copied) {
        self.copies.insert((stream, seq), copied);
    }

    pub fn wait_for_flush(&mut self) {
        self.after_flush = true;
        self.is_urgent = true;
    }

    pub fn hurry(&mut self) {
        self.is_urgent = true;
    }

    pub fn is_due(&self, now: Mono, ride_along_ns: u64) -> bool {
        self.is_urgent || now.since(self.began) >= ride_along_ns
    }

    pub fn began(&self) -> Mono {
        self.began
    }

    pub fn is_urgent(&self) -> bool {
        self.is_urgent
    }
}

/// A batch under way.
#[derive(Debug)]
pub struct Flight {
    pub lsn: Lsn,
    pub segment: SegmentNo,
    pub offset: u32,
    pub bytes: Rc<Buffer>,
    /// Of these without the padding.
    pub len: usize,
    pub records: u32,
    pub shown: BTreeMap<StreamId, Seq>,
    pub copies: BTreeMap<(StreamId, Seq), Copied>,
    pub is_flushed: bool,
    pub launched: Mono,
}

/// Invariant: `durable <= submitted <= appended`.
#[derive(Debug)]
pub struct Commit {
    log: LogId,
    epoch: Epoch,
    epoch_first: Lsn,
    /// The newest batch that has a record in it.
    appended: Lsn,
    /// Taken by the device, perhaps not yet flushed.
    submitted: Lsn,
    /// On stable storage: safe to acknowledge.
    durable: Lsn,
    pub gather: Option<Gather>,
    queue: VecDeque<Gather>,
    pub flight: Option<Flight>,
    /// Bytes in the queue and in flight.
    waiting_bytes: usize,
    /// What the last batch took in memory: the next one gets as much at once, and does not grow.
    last_len: usize,
    spare: Option<Buffer>,
}

impl Commit {
    /// A log whose last durable batch is `last`.
    pub fn new(log: LogId, epoch: Epoch, last: Lsn) -> Self {
        Self {
            log,
            epoch,
            epoch_first: last.next(),
            appended: last,
            submitted: last,
            durable: last,
            gather: None,
            queue: VecDeque::new(),
            flight: None,
            waiting_bytes: 0,
            last_len: 0,
            spare: None,
        }
    }

    /// This run of the log, and its first batch.
    pub fn epoch(&self) -> (Epoch, Lsn) {
        (self.epoch, self.epoch_first)
    }

    pub fn appended(&self) -> Lsn {
        self.appended
    }

    pub fn submitted(&self) -> Lsn {
        self.submitted
    }

    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Bytes that are appended and have not landed.
    pub fn pending_bytes(&self) -> usize {
        self.waiting_bytes + self.gather.as_ref().map_or(0, |gather| gather.bytes.len())
    }

    /// Begins a batch; it takes the next number.
    pub fn begin(&mut self, segment: SegmentNo, offset: u32, now: Mono) -> &mut Gather {
        debug_assert!(self.gather.is_none());
        self.appended = self.appended.next();
        let bytes = self.buffer();
        self.gather.insert(Gather::new(segment, offset, self.appended, now, bytes))
    }

    /// An empty buffer for a batch like the last one: one that was used before, if it suits.
    fn buffer(&mut self) -> Buffer {
        let wanted = self.last_len.next_multiple_of(BLOCK).clamp(BLOCK, BATCH_BYTES_MAX);
        match self.spare.take() {
            Some(mut spare) if (wanted..=2 * wanted).contains(&spare.capacity()) => {
                spare.clear();
                spare
            }
            _ => Buffer::with_capacity(wanted),
        }
    }

    /// Takes a buffer that nobody reads any more, for the next batch; none that is too large for any.
    pub fn reuse(&mut self, buffer: Buffer) {
        self.spare = Some(buffer).filter(|buffer| buffer.capacity() <= 2 * BATCH_BYTES_MAX);
    }

    /// The gathering batch is complete.
    pub fn close(&mut self) -> Option<Closed> {
        let gather = self.gather.take()?;
        let end = gather.offset + batch::round_up(gather.bytes.len() as u32);
        let Gather { segment, lsn, records, .. } = gather;
        let closed = Closed { segment, end, lsn, is_empty: records == 0 };
        self.waiting_bytes += gather.bytes.len();
        self.queue.push_back(gather);
        Some(closed)
    }

    /// The segment that the next write goes to, and whether a flush must come first.
    pub fn next_write(&self) -> Option<(SegmentNo, bool)> {
        if self.flight.is_some() {
            return None;
        }
        let next = self.queue.front()?;
        Some((next.segment, next.after_flush && self.durable < next.lsn.previous()))
    }

    pub fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends the next batch off.
    pub fn launch(&mut self, is_flushed: bool, now: Mono) -> Option<&Flight> {
        let mut gather = self.queue.pop_front()?;
        let header = BatchHeader {
            log: self.log,
            epoch: self.epoch,
            epoch_first: self.epoch_first,
            segment: gather.segment,
            offset: gather.offset,
            lsn: gather.lsn,
            durable: self.durable,
            body_len: 0,
            records: gather.records,
            body_check: 0,
        };
        let len = gather.bytes.len();
        self.waiting_bytes -= len;
        batch::seal(&mut gather.bytes, header);
        self.last_len = gather.bytes.len();
        self.waiting_bytes += gather.bytes.len();
        Some(self.flight.insert(Flight {
            lsn: gather.lsn,
            segment: gather.segment,
            offset: gather.offset,
            bytes: Rc::new(gather.bytes),
            len,
            records: gather.records,
            shown: gather.shown,
            copies: gather.copies,
            is_flushed,
            launched: now,
        }))
    }

    /// The flight has come down.
    pub fn land(&mut self) -> Option<Flight> {
        let flight = self.flight.take()?;
        self.waiting_bytes -= flight.bytes.len();
        assert!(self.submitted < flight.lsn);
        assert!(flight.lsn <= self.appended);
        self.submitted = flight.lsn;
        if flight.is_flushed {
            assert!(self.durable == flight.lsn.previous());
            self.durable = flight.lsn;
        }
        Some(flight)
    }

    /// A flush that was asked for when `submitted` was `up_to` has ended.
    pub fn flushed(&mut self, up_to: Lsn) {
        self.durable = self.durable.max(up_to);
        assert!(self.durable <= self.submitted);
    }

    /// The place where a message is being copied to, if it is on its way.
    pub fn copy_of(&self, stream: StreamId, seq: Seq) -> Option<Copied> {
        let key = (stream, seq);
        let flight = self.flight.iter().filter_map(|flight| flight.copies.get(&key));
        let queue = self.queue.iter().filter_map(|gather| gather.copies.get(&key));
        flight.chain(queue).next().copied()
    }

    /// Where the first batch of a segment begins that has not landed.
    pub fn unlanded_from(&self, segment: SegmentNo) -> Option<u32> {
        let gathered = self.gather.iter().chain(&self.queue);
        let gathered = gathered.map(|gather| (gather.segment, gather.offset));
        let flying = self.flight.iter().map(|flight| (flight.segment, flight.offset));
        let all = gathered.chain(flying).filter(|&(no, _)| no == segment);
        all.map(|(_, offset)| offset).min()
    }

    /// The bytes of a record that has not landed.
    pub fn bytes_at(&self, place: Place) -> Option<&[u8]> {
        let parts = (self.gather.iter().chain(&self.queue))
            .map(|gather| (gather.segment, gather.offset, &*gather.bytes))
            .chain(
                self.flight.iter().map(|flight| (flight.segment, flight.offset, &**flight.bytes)),
            );
        for (segment, offset, bytes) in parts {
            if segment != place.segment || place.offset < offset {
                continue;
            }
            let at = (place.offset - offset) as usize;
            if let Some(found) = bytes.get(at..at + place.len as usize) {
                return Some(found);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gets_the_room_of_the_last_one() {
        let mut commit = Commit::new(LogId(0), Epoch(1), Lsn(0));
        let mut send = |len: usize, spare: Option<Buffer>| {
            spare.into_iter().for_each(|spare| commit.reuse(spare));
            let gather = commit.begin(SegmentNo(0), 4096, Mono(0));
            let room = gather.bytes.capacity();
            gather.bytes.resize(len, 7);
            commit.close();
            commit.launch(true, Mono(0));
            (room, commit.land().map(|flight| flight.bytes))
        };
        assert_eq!(send(40_000, None).0, BLOCK);
        let (room, bytes) = send(5000, None);
        assert_eq!(room, 40_960);
        // One that is too large is not used, one that suits is, and is empty.
        assert_eq!(send(5000, bytes.and_then(Rc::into_inner)).0, 2 * BLOCK);
        let (room, bytes) = send(100, Some(Buffer::with_capacity(3 * BLOCK)));
        assert_eq!((room, bytes.map(|bytes| bytes.len())), (3 * BLOCK, Some(BLOCK)));
        assert!(send(9 << 20, None).0 <= BATCH_BYTES_MAX);
        assert_eq!(send(100, None).0, BATCH_BYTES_MAX);
    }
}
