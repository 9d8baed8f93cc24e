//! One file of the log's directory: its header, its footer as far as it goes, and the batches that
//! the footer does not tell of.

use super::SlotFile;
use super::scan::{Found, FoundBatch, FoundFooter, Gap, Scanner};
use crate::storage::batch::{BLOCK, BatchHeader, Buffer};
use crate::storage::fault::IoFault;
use crate::storage::footer::Trailer;
use crate::storage::ids::{LogId, SegmentNo, SlotId};
use crate::storage::segment::SegmentHeader;

/// Bytes read at once while scanning.
const WINDOW: u32 = 1024 * 1024;
/// Bytes read at once while the parts of a footer are gone through.
const PARTS_WINDOW: u32 = 512 * 1024;
/// Bytes read of a file's end to see whether there is a part at all.
const FIRST_WINDOW: u32 = 16 * 1024;

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
    /// Down the parts of the footer. `wanted`: bytes that the next one takes.
    Parts(SegmentNo, FoundFooter, u32),
    /// Without a footer: is there anything in it?
    FirstOf(SegmentNo),
    Scan(Scanner, FoundFooter),
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
        if matches!(&self.phase, Phase::Scan(scanner, _) if scanner.is_done())
            && let Phase::Scan(mut scanner, footer) =
                std::mem::replace(&mut self.phase, Phase::Done(None))
        {
            let (batches, gaps) =
                (std::mem::take(&mut scanner.batches), std::mem::take(&mut scanner.gaps));
            self.found(scanner.segment(), footer, batches, gaps);
        }
        let (offset, len) = match &self.phase {
            Phase::Header => (0, block),
            Phase::FirstBatch | Phase::FirstOf(_) => (block, block),
            Phase::Parts(_, footer, wanted) => {
                let len = (*wanted).min(footer.top - block);
                (footer.top - len, len)
            }
            Phase::Scan(scanner, _) => {
                (scanner.offset, self.window.max(scanner.wanted).min(scanner.left()))
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
            Phase::Parts(..) => self.on_parts(bytes),
            Phase::FirstOf(segment) => {
                let segment = *segment;
                let footer = FoundFooter::none(self.whole_len());
                if is_untouched(bytes, self.log, segment) {
                    // If a manifest says there is something in it, this is what has become of it.
                    let (from, to) = (BLOCK as u32, self.file.len);
                    let gaps = vec![Gap { from, to, items: Vec::new(), is_blank: true }];
                    self.found(segment, footer, Vec::new(), gaps);
                } else {
                    self.scan(segment, footer);
                }
            }
            Phase::Scan(..) => self.on_window(result),
            Phase::Done(_) => {}
        }
    }

    /// The bytes before `top`, as many as were wanted; none if they cannot be read.
    fn on_parts(&mut self, bytes: &[u8]) {
        let log = self.log;
        let Phase::Parts(segment, footer, wanted) = &mut self.phase else { return };
        let segment = *segment;
        let start = footer.top.saturating_sub(bytes.len() as u32);
        loop {
            let above = &bytes[..(footer.top - start) as usize];
            let is_at_header = footer.top <= BLOCK as u32;
            if above.is_empty() && !bytes.is_empty() && !is_at_header {
                *wanted = PARTS_WINDOW;
                return;
            }
            let Some(trailer) = Trailer::decode(above, log, segment, footer.top) else { break };
            let part_len = trailer.part_len() as u32;
            if part_len as usize > above.len() {
                if part_len > footer.top - BLOCK as u32 {
                    break;
                }
                *wanted = part_len.max(PARTS_WINDOW);
                return;
            }
            let mut aligned = Buffer::new();
            aligned.extend_from_slice(&above[above.len() - part_len as usize..]);
            let is_next = trailer.part(&aligned).is_some_and(|part| footer.add(part, part_len));
            if !is_next || footer.is_complete {
                break;
            }
        }
        let Phase::Parts(segment, footer, _) =
            std::mem::replace(&mut self.phase, Phase::FirstOf(segment))
        else {
            return;
        };
        if footer.is_complete {
            self.found(segment, footer, Vec::new(), Vec::new());
        } else if footer.parts > 0 {
            self.scan(segment, footer);
        }
    }

    fn on_window(&mut self, result: Result<&[u8], IoFault>) {
        let Phase::Scan(scanner, _) = &mut self.phase else { return };
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
                self.parts(header.segment)
            }
            Some(_) => Phase::Done(None),
            None => Phase::FirstBatch,
        }
    }

    fn after_first_batch(&self, bytes: &[u8]) -> Phase {
        match BatchHeader::claimed_segment(bytes, self.log, BLOCK as u32) {
            Some(segment) => self.parts(segment),
            None => Phase::Done(None),
        }
    }

    fn parts(&self, segment: SegmentNo) -> Phase {
        Phase::Parts(segment, FoundFooter::none(self.whole_len()), FIRST_WINDOW)
    }

    /// The file's length in whole blocks.
    fn whole_len(&self) -> u32 {
        self.file.len / BLOCK as u32 * BLOCK as u32
    }

    /// What lies between what the footer tells and the footer itself.
    fn scan(&mut self, segment: SegmentNo, footer: FoundFooter) {
        let scanner = Scanner::new(self.log, segment, footer.to, footer.top);
        self.phase = Phase::Scan(scanner, footer);
    }

    fn found(
        &mut self,
        segment: SegmentNo,
        footer: FoundFooter,
        batches: Vec<FoundBatch>,
        gaps: Vec<Gap>,
    ) {
        let SlotFile { slot, len } = self.file;
        self.phase = Phase::Done(Some(Found { segment, slot, len, footer, batches, gaps }));
    }
}

/// Whether nothing was ever written to a segment: its first block is blank, or still begins a
/// batch of the segment that had the file before. A torn or damaged block is neither.
fn is_untouched(first: &[u8], log: LogId, segment: SegmentNo) -> bool {
    let is_blank = first.len() == BLOCK && first.iter().all(|&byte| byte == 0);
    let before = BatchHeader::claimed_segment(first, log, BLOCK as u32);
    is_blank || before.is_some_and(|before| before < segment)
}
