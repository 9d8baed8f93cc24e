//! Batches in the bytes of a segment that has no footer.

use std::rc::Rc;

use crate::storage::batch::{BATCH_HEADER, BLOCK, BatchError, BatchHeader};
use crate::storage::bytes::Fields;
use crate::storage::footer::{ArchivedPart, subjects_of};
use crate::storage::ids::{Epoch, LogId, Lsn, Place, SegmentNo, Seq, SlotId, StreamId, position};
use crate::storage::record::{Form, Record, peek_len};

/// A record that was found. Messages are known by what the index needs of them.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Message { stream: StreamId, seq: Seq, place: Place, subject: Rc<[u8]>, form: Form },
    Other { lsn: Lsn, place: Place, bytes: Box<[u8]> },
}

/// The messages of one stream in one segment, as a footer has them.
#[derive(Debug)]
pub(super) struct PackedStream {
    pub stream: StreamId,
    pub subjects: Vec<Box<[u8]>>,
    pub entries: Box<[u8]>,
}

/// A batch with a true header.
#[derive(Debug)]
pub(super) struct FoundBatch {
    pub header: BatchHeader,
    pub offset: u32,
    /// All of its records are as written. If not, `items` are those that are.
    pub is_whole: bool,
    pub items: Vec<Item>,
}

/// Blocks between batches, or behind the last one, that are no batch.
#[derive(Debug)]
pub(super) struct Gap {
    pub from: u32,
    pub to: u32,
    /// Records that could be read all the same.
    pub items: Vec<Item>,
    /// Nothing but zeros at its start.
    pub is_blank: bool,
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Found {
    pub segment: SegmentNo,
    pub slot: SlotId,
    pub len: u32,
    pub footer: FoundFooter,
    /// Behind what the footer tells.
    pub batches: Vec<FoundBatch>,
    pub gaps: Vec<Gap>,
}

/// The parts of a footer that could be read, from the first one on.
#[derive(Debug)]
pub(super) struct FoundFooter {
    pub parts: usize,
    /// Batches up to here are told of.
    pub to: u32,
    /// The next part would end here.
    pub top: u32,
    /// The segment takes no batches behind `to`.
    pub is_complete: bool,
    pub is_closed: bool,
    pub is_sorted: bool,
    /// Of the batches that parts tell of, and the first batch of each.
    pub epochs: Vec<(Epoch, Lsn)>,
    pub lsns: Vec<(Lsn, u32)>,
    pub packed: Vec<PackedStream>,
    /// Records that are not messages.
    pub items: Vec<Item>,
}

impl FoundFooter {
    pub fn none(file_len: u32) -> Self {
        Self {
            parts: 0,
            to: BLOCK as u32,
            top: file_len,
            is_complete: false,
            is_closed: false,
            is_sorted: false,
            epochs: Vec::new(),
            lsns: Vec::new(),
            packed: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Takes a part in; it ended at `top`. False: it does not go on where the one before ended.
    pub fn add(&mut self, part: &ArchivedPart, part_len: u32) -> bool {
        let (from, to) = (part.from.to_native(), part.to.to_native());
        let top = self.top.saturating_sub(part_len);
        let is_next = from == self.to && from <= to && to <= top && !self.is_complete;
        if !is_next || !to.is_multiple_of(BLOCK as u32) {
            return false;
        }
        let Some(items) = others_of(part) else { return false };
        self.items.extend(items);
        self.packed.extend(part.streams.iter().map(|part| PackedStream {
            stream: StreamId(part.stream.to_native()),
            subjects: subjects_of(&part.subjects).into_iter().map(Box::from).collect(),
            entries: part.entries.as_slice().into(),
        }));
        self.lsns.extend(part.lsns.iter().map(|run| (Lsn(run.0.to_native()), run.1.to_native())));
        self.epochs.push((Epoch(part.epoch.to_native()), Lsn(part.epoch_first.to_native())));
        self.parts += 1;
        (self.to, self.top) = (to, top);
        self.is_complete = part.is_last;
        self.is_closed = part.is_closed;
        self.is_sorted |= part.is_sorted;
        true
    }

    /// Its last batch; 0 if it has none.
    pub fn last_lsn(&self) -> Lsn {
        self.lsns
            .last()
            .map_or(Lsn(0), |&(first, count)| Lsn((first.0 + u64::from(count)).saturating_sub(1)))
    }
}

/// `None`: they are not what a part holds.
fn others_of(part: &ArchivedPart) -> Option<Vec<Item>> {
    let segment = SegmentNo(part.segment.to_native());
    let (mut others, mut lsns, mut lsn) = (Fields(&part.others), Fields(&part.other_lsns), 0u64);
    let mut items = Vec::new();
    while let Some(offset) = others.u32() {
        lsn = lsn.checked_add(lsns.varint()?)?;
        let len = peek_len(others.0).ok()?;
        let bytes = others.bytes(len as usize)?;
        let place = Place { segment, offset, len };
        items.push(Item::Other { lsn: Lsn(lsn), place, bytes: bytes.into() });
    }
    Some(items)
}

/// Goes through a segment, window by window.
#[derive(Debug)]
pub(super) struct Scanner {
    log: LogId,
    segment: SegmentNo,
    len: u32,
    pub offset: u32,
    /// Bytes that the next window must have.
    pub wanted: u32,
    pub batches: Vec<FoundBatch>,
    pub gaps: Vec<Gap>,
    in_gap: bool,
    last_subject: Rc<[u8]>,
}

impl Scanner {
    /// From `from` to `len`, both whole blocks.
    pub fn new(log: LogId, segment: SegmentNo, from: u32, len: u32) -> Self {
        Self {
            log,
            segment,
            len,
            offset: from,
            wanted: BLOCK as u32,
            batches: Vec::new(),
            gaps: Vec::new(),
            in_gap: false,
            last_subject: Rc::from(&[][..]),
        }
    }

    pub fn segment(&self) -> SegmentNo {
        self.segment
    }

    /// Bytes that were not looked at.
    pub fn left(&self) -> u32 {
        self.len.saturating_sub(self.offset)
    }

    pub fn is_done(&self) -> bool {
        self.offset >= self.len
    }

    /// Takes the bytes at `offset`; moves on behind what it understood.
    pub fn on_window(&mut self, bytes: &[u8]) {
        let mut at = 0usize;
        self.wanted = BLOCK as u32;
        while at + BLOCK <= bytes.len() {
            match BatchHeader::decode(&bytes[at..], self.log, self.segment, self.offset) {
                Err(_) => {
                    self.gap_block(&bytes[at..]);
                    at += BLOCK;
                }
                Ok(header) => {
                    let padded = header.padded_len();
                    if u64::from(self.offset) + u64::from(padded) > u64::from(self.len) {
                        self.gap_block(&bytes[at..]);
                        at += BLOCK;
                    } else if at + padded as usize > bytes.len() {
                        self.wanted = padded;
                        return;
                    } else {
                        self.batch(header, &bytes[at..at + padded as usize]);
                        at += padded as usize;
                    }
                }
            }
        }
    }

    /// The next block cannot be read, or not as far as its batch goes.
    pub fn skip_block(&mut self) {
        self.gap_block(&[]);
        self.wanted = BLOCK as u32;
    }

    fn batch(&mut self, header: BatchHeader, bytes: &[u8]) {
        let offset = self.offset;
        // A header vouches for its own place; see `BatchHeader::decode`.
        let (is_whole, items) = match header.body(bytes) {
            Ok(body) => {
                let (items, end) = self.items(body, &header);
                (end == body.len(), items)
            }
            Err(BatchError::BadBody) => {
                let end = BATCH_HEADER + header.body_len as usize;
                let body = bytes.get(BATCH_HEADER..end).unwrap_or(&[]);
                (false, self.items(body, &header).0)
            }
            Err(_) => (false, Vec::new()),
        };
        self.batches.push(FoundBatch { header, offset, is_whole, items });
        self.offset += header.padded_len();
        self.in_gap = false;
    }

    /// Records of a body that are as written, and where the walk ended. A damaged one is stepped
    /// over: by its length if that leads to a good one, else byte by byte.
    fn items(&mut self, body: &[u8], header: &BatchHeader) -> (Vec<Item>, usize) {
        let mut items = Vec::new();
        let mut at = 0usize;
        let mut damaged = false;
        let place_at =
            |at: usize| position(header.segment, header.offset + (BATCH_HEADER + at) as u32);
        while at < body.len() {
            let Ok((record, len)) = Record::decode(&body[at..], place_at(at)) else {
                damaged = true;
                let behind = peek_len(&body[at..]).map_or(body.len() + 1, |len| at + len as usize);
                let leads_on = behind == body.len()
                    || body
                        .get(behind..)
                        .is_some_and(|b| Record::decode(b, place_at(behind)).is_ok());
                at = if leads_on { behind } else { at + 1 };
                continue;
            };
            let offset = header.offset + (BATCH_HEADER + at) as u32;
            let place = Place { segment: self.segment, offset, len };
            items.push(self.item(&record, place, header.lsn, &body[at..at + len as usize]));
            at += len as usize;
        }
        (items, if damaged { 0 } else { at })
    }

    fn item(&mut self, record: &Record<'_>, place: Place, lsn: Lsn, bytes: &[u8]) -> Item {
        let Record::Message(message) = record else {
            return Item::Other { lsn, place, bytes: bytes.into() };
        };
        if *self.last_subject != *message.subject {
            self.last_subject = Rc::from(message.subject);
        }
        Item::Message {
            stream: message.stream,
            seq: message.seq,
            place,
            subject: Rc::clone(&self.last_subject),
            form: message.form(),
        }
    }

    fn gap_block(&mut self, bytes: &[u8]) {
        if !self.in_gap {
            let blank = bytes.get(..BLOCK).is_some_and(|block| block.iter().all(|&byte| byte == 0));
            let items = self.salvage(bytes);
            let from = self.offset;
            self.gaps.push(Gap { from, to: from, items, is_blank: blank });
            self.in_gap = true;
        }
        self.offset += BLOCK as u32;
        if let Some(gap) = self.gaps.last_mut() {
            gap.to = self.offset;
        }
    }

    /// Records behind a header that cannot be read.
    fn salvage(&mut self, bytes: &[u8]) -> Vec<Item> {
        let mut items = Vec::new();
        let mut at = BATCH_HEADER;
        let lsn = self.batches.last().map_or(Lsn(0), |batch| batch.header.lsn.next());
        while at < bytes.len() {
            let offset = self.offset + at as u32;
            let Ok((record, len)) = Record::decode(&bytes[at..], position(self.segment, offset))
            else {
                break;
            };
            let place = Place { segment: self.segment, offset, len };
            items.push(self.item(&record, place, lsn, &bytes[at..at + len as usize]));
            at += len as usize;
        }
        items
    }
}
