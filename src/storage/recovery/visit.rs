//! One file of the log's directory: its header, its footer, or else all of its batches.

use super::SlotFile;
use super::scan::{Content, Found, Gap, Item, PackedStream, Scanner};
use crate::storage::batch::{BLOCK, BatchHeader, Buffer};
use crate::storage::bytes::Fields;
use crate::storage::fault::IoFault;
use crate::storage::footer::{ArchivedFooter, Trailer, subjects_of};
use crate::storage::ids::{Epoch, LogId, Lsn, Place, SegmentNo, SlotId, StreamId};
use crate::storage::record::peek_len;
use crate::storage::segment::SegmentHeader;

/// Bytes read at once while scanning.
const WINDOW: u32 = 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    Read { offset: u32, len: u32 },
    Done,
}

#[derive(Debug)]
enum Phase {
    Header,
    /// The header cannot be read: the first batch says which segment it is.
    FirstBatch,
    Trailer(SegmentNo),
    Footer(SegmentNo, Trailer),
    /// Without a footer: is there anything in it?
    FirstOf(SegmentNo),
    Scan(Scanner),
    Done(Option<Found>),
}

#[derive(Debug)]
pub(super) struct Visit {
    log: LogId,
    file: SlotFile,
    phase: Phase,
    window: u32,
}

impl Visit {
    pub fn new(log: LogId, file: SlotFile) -> Self {
        let is_usable = file.len >= 2 * BLOCK as u32;
        let phase = if is_usable { Phase::Header } else { Phase::Done(None) };
        Self { log, file, phase, window: WINDOW }
    }

    pub fn slot(&self) -> SlotId {
        self.file.slot
    }

    pub fn next(&mut self) -> Next {
        let block = BLOCK as u32;
        if let Phase::Scan(scanner) = &mut self.phase
            && scanner.is_done()
        {
            let (batches, gaps) =
                (std::mem::take(&mut scanner.batches), std::mem::take(&mut scanner.gaps));
            let segment = scanner.segment();
            self.found(segment, Content::Batches { batches, gaps });
        }
        let (offset, len) = match &self.phase {
            Phase::Header => (0, block),
            Phase::FirstBatch | Phase::FirstOf(_) => (block, block),
            Phase::Trailer(_) => (self.file.len / block * block - block, block),
            Phase::Footer(_, trailer) => match trailer.archive_range(self.file.len) {
                Some(range) => range,
                None => (0, block),
            },
            Phase::Scan(scanner) => {
                let left = (self.file.len - scanner.offset) / block * block;
                (scanner.offset, self.window.max(scanner.wanted).min(left))
            }
            Phase::Done(_) => return Next::Done,
        };
        Next::Read { offset, len }
    }

    pub fn into_found(self) -> Option<Found> {
        match self.phase {
            Phase::Done(found) => found,
            _ => None,
        }
    }

    pub fn on_read(&mut self, result: Result<&[u8], IoFault>) {
        let bytes = result.unwrap_or(&[]);
        match &mut self.phase {
            Phase::Header => self.phase = self.after_header(bytes),
            Phase::FirstBatch => self.phase = self.after_first_batch(bytes),
            Phase::Trailer(segment) => {
                let segment = *segment;
                self.phase = match Trailer::decode(bytes, self.log, segment) {
                    Some(trailer) if trailer.archive_range(self.file.len).is_some() => {
                        Phase::Footer(segment, trailer)
                    }
                    _ => Phase::FirstOf(segment),
                };
            }
            Phase::Footer(segment, trailer) => {
                let segment = *segment;
                let mut aligned = Buffer::new();
                aligned.extend_from_slice(bytes);
                match trailer.footer(&aligned).and_then(content_of) {
                    Some(content) => self.found(segment, content),
                    None => self.phase = self.scan(segment),
                }
            }
            Phase::FirstOf(segment) => {
                let segment = *segment;
                self.phase = self.scan(segment);
                if is_untouched(bytes, self.log, segment) {
                    // If a manifest says there is something in it, this is what has become of it.
                    let (from, to) = (BLOCK as u32, self.file.len);
                    let gaps = vec![Gap { from, to, items: Vec::new(), is_blank: true }];
                    self.found(segment, Content::Batches { batches: Vec::new(), gaps });
                }
            }
            Phase::Scan(_) => self.on_window(result),
            Phase::Done(_) => {}
        }
    }

    fn on_window(&mut self, result: Result<&[u8], IoFault>) {
        let Phase::Scan(scanner) = &mut self.phase else { return };
        match result {
            Ok(bytes) => {
                let before = scanner.offset;
                scanner.on_window(bytes);
                let is_stuck = scanner.offset == before && scanner.wanted as usize <= bytes.len();
                if is_stuck {
                    scanner.skip_block();
                }
                self.window = self.window.saturating_mul(2).min(WINDOW);
            }
            // What cannot be read in one piece may be read in part.
            Err(_) if self.window > BLOCK as u32 => self.window = BLOCK as u32,
            Err(_) => scanner.skip_block(),
        }
    }

    fn after_header(&self, bytes: &[u8]) -> Phase {
        match SegmentHeader::decode(bytes) {
            Some(header) if header.log == self.log && header.len == self.file.len => {
                Phase::Trailer(header.segment)
            }
            Some(_) => Phase::Done(None),
            None => Phase::FirstBatch,
        }
    }

    fn after_first_batch(&self, bytes: &[u8]) -> Phase {
        match BatchHeader::claimed_segment(bytes, self.log, BLOCK as u32) {
            Some(segment) => Phase::Trailer(segment),
            None => Phase::Done(None),
        }
    }

    fn scan(&self, segment: SegmentNo) -> Phase {
        Phase::Scan(Scanner::new(self.log, segment, self.file.len / BLOCK as u32 * BLOCK as u32))
    }

    fn found(&mut self, segment: SegmentNo, content: Content) {
        let SlotFile { slot, len } = self.file;
        self.phase = Phase::Done(Some(Found { segment, slot, len, content }));
    }
}

/// Whether nothing was ever written to a segment: its first block is blank, or still begins a
/// batch of the segment that had the file before. A torn or damaged block is neither.
fn is_untouched(first: &[u8], log: LogId, segment: SegmentNo) -> bool {
    let is_blank = first.len() == BLOCK && first.iter().all(|&byte| byte == 0);
    let before = BatchHeader::claimed_segment(first, log, BLOCK as u32);
    is_blank || before.is_some_and(|before| before < segment)
}

fn content_of(footer: &ArchivedFooter) -> Option<Content> {
    let packed = footer.streams.iter().map(|part| PackedStream {
        stream: StreamId(part.stream.to_native()),
        subjects: subjects_of(&part.subjects).into_iter().map(Box::from).collect(),
        entries: part.entries.as_slice().into(),
    });
    let packed = packed.collect();
    let segment = SegmentNo(footer.segment.to_native());
    let mut items = Vec::new();
    let mut others = Fields(&footer.others);
    let mut lsns = Fields(&footer.other_lsns);
    let mut lsn = 0u64;
    while let Some(offset) = others.u32() {
        lsn = lsn.checked_add(lsns.varint()?)?;
        let len = peek_len(others.0).ok()?;
        let bytes = others.bytes(len as usize)?;
        let place = Place { segment, offset, len };
        items.push(Item::Other { lsn: Lsn(lsn), place, bytes: bytes.into() });
    }
    let runs = footer.lsns.iter().map(|run| (Lsn(run.0.to_native()), run.1.to_native()));
    Some(Content::Footer {
        end: footer.end.to_native(),
        epoch: Epoch(footer.epoch.to_native()),
        epoch_first: Lsn(footer.epoch_first.to_native()),
        lsns: runs.collect(),
        is_sorted: footer.is_sorted,
        packed,
        items,
    })
}
