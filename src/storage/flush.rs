//! The way to the disk and back: what is written when, and what a completion sets free.

use super::batch::{BLOCK, Buffer};
use super::commit::Flight;
use super::effects::{Effect, Event, OpId};
use super::fault::{IoFault, Operation, Poison, ReadError};
use super::ids::{SlotId, position};
use super::log::{DoneRead, Errand, Health, Log, OpenRead, SyncMode};
use super::mutation::{self, Mutation};
use super::segment::{Readiness, SEGMENT_HEADER, Stage};
use crate::types::Mono;
use crate::types::limits::{IDLE_CLOSE_NS, RIDE_ALONG_NS};

use std::rc::Rc;

impl Log {
    /// The end of a turn: sends off what gathered, if the disk is free.
    pub fn on_turn_end(&mut self, now: Mono) {
        self.pump(now);
    }

    /// Deadlines. See [`Log::wake_at`].
    pub fn on_tick(&mut self, now: Mono) {
        if !self.is_running() {
            return;
        }
        self.retry_full_disk(now);
        if self.tail_is_open && self.is_idle() && now.since(self.idle_since) >= IDLE_CLOSE_NS {
            self.close_tail(now);
        }
        self.tidy(now);
        self.pump(now);
    }

    /// Writes an empty batch that vouches for the last one, so that damage to the last one cannot
    /// be taken for a write that was cut short. On idle and on stop.
    pub fn close_tail(&mut self, now: Mono) {
        let Some(head) = self.head.and_then(|head| self.segments.get(&head)) else { return };
        let (segment, offset) = (head.no, head.end);
        let has_room = head.room() >= BLOCK as u32 && offset > SEGMENT_HEADER;
        if self.is_idle() && self.is_running() && has_room {
            self.commit.begin(segment, offset, now).hurry();
        }
        self.tail_is_open = false;
    }

    /// Nothing gathers, waits or flies.
    fn is_idle(&self) -> bool {
        self.commit.gather.is_none() && self.commit.flight.is_none() && !self.commit.has_queue()
    }

    /// Sends off everything appended without waiting for company. Whether all of it has settled,
    /// or never will.
    pub fn settle(&mut self, now: Mono) -> bool {
        if let Some(gather) = &mut self.commit.gather {
            gather.hurry();
        }
        self.pump(now);
        !self.is_running() || self.settled() == self.appended()
    }

    /// Everything appended is to be flushed, and the head sealed, so that the next start finds
    /// footers only. Call until the answer is true.
    pub fn stop(&mut self, now: Mono) -> bool {
        if !self.is_running() {
            return true;
        }
        self.is_stopping = true;
        self.flush_at = self.flush_at.min(now);
        self.settle(now);
        let is_landed = self.commit.durable() == self.commit.appended();
        if is_landed && let Some(head) = self.head.take() {
            self.tail_is_open = false;
            self.seal(head);
            if let Some(sorted) = self.sorted {
                self.seal(sorted);
            }
        }
        if is_landed {
            self.write_footers();
        }
        let is_writing = self.errands.values().any(|errand| matches!(errand, Errand::Footer(_)));
        is_landed && !is_writing && self.footers_due.is_empty()
    }

    pub(super) fn pump(&mut self, now: Mono) {
        if !self.is_running() {
            return;
        }
        self.prepare_ahead();
        self.sweep();
        self.flush_if_due(now);
        self.read_on(now);
        let is_due = self.commit.gather.as_ref().is_some_and(|g| g.is_due(now, RIDE_ALONG_NS));
        let is_free = self.commit.flight.is_none() && !self.commit.has_queue();
        if is_free && is_due {
            self.close_gather();
        }
        // Where publishers fill the queue faster than the disk empties it, copies have their turn too.
        if (is_free && !is_due) || self.copies_are_due() {
            self.gather_copies(now);
        }
        self.launch(now);
    }

    fn launch(&mut self, now: Mono) {
        let Some((segment, must_flush)) = self.commit.next_write() else { return };
        let Some(segment) = self.segments.get_mut(&segment) else { return };
        if segment.file != Readiness::Ready {
            return;
        }
        if must_flush {
            self.flush(now);
            return;
        }
        if segment.stage == Stage::Unused {
            segment.stage = Stage::Open;
        }
        let slot = segment.slot;
        let flush = self.settings.sync == SyncMode::Always;
        let op = self.op(Errand::Batch);
        let Some(flight) = self.commit.launch(flush, now) else { return };
        if flight.copies.is_empty() {
            self.compaction.count_live_write();
        }
        let (offset, bytes) = (flight.offset, Rc::clone(&flight.bytes));
        self.counters.batches += 1;
        self.counters.batch_bytes += bytes.len() as u64;
        self.tail_is_open = flight.records > 0;
        let (offset, bytes) = self.with_tail_block(slot, offset, bytes);
        self.effects.push(Effect::Write { op, slot, offset, bytes, flush });
    }

    /// As it is, unless a mutation wants the block before written again.
    fn with_tail_block(&self, _: SlotId, offset: u32, bytes: Rc<Buffer>) -> (u32, Rc<Buffer>) {
        if !mutation::is(Mutation::TailBlockRewritten) {
            return (offset, bytes);
        }
        let Some(flight) = &self.commit.flight else { return (offset, bytes) };
        let last = super::ids::Place {
            segment: flight.segment,
            offset: offset - BLOCK as u32,
            len: BLOCK as u32,
        };
        let Some(mut both) = self.tail.block(last) else { return (offset, bytes) };
        both.extend_from_slice(&bytes);
        (last.offset, Rc::new(both))
    }

    fn flush_if_due(&mut self, now: Mono) {
        let SyncMode::Every(interval) = self.settings.sync else { return };
        if self.commit.durable() == self.commit.submitted() {
            self.flush_at = Mono::NEVER;
        } else if self.flush_at == Mono::NEVER {
            self.flush_at = now.plus(interval);
        } else if now >= self.flush_at {
            self.flush(now);
        }
    }

    fn flush(&mut self, _now: Mono) {
        if self.flush_under_way {
            return;
        }
        self.flush_under_way = true;
        self.flush_at = Mono::NEVER;
        let op = self.op(Errand::Flush(self.commit.submitted()));
        let slots = std::mem::take(&mut self.unflushed).into_iter().collect();
        self.counters.flushes += 1;
        self.effects.push(Effect::Sync { op, slots });
    }

    /// A [`Effect::Write`] has ended well: all of its bytes.
    pub fn on_written(&mut self, op: OpId, now: Mono) {
        match self.errands.remove(&op) {
            Some(Errand::Batch) if self.is_running() => self.landed(now),
            Some(Errand::Footer(_)) => {
                self.finish_retirements();
                self.write_footers();
            }
            _ => {}
        }
        self.pump(now);
    }

    /// A [`Effect::Sync`] or [`Effect::SyncDirectory`] has ended well.
    pub fn on_synced(&mut self, op: OpId, now: Mono) {
        match self.errands.remove(&op) {
            Some(Errand::Flush(up_to)) => {
                self.flush_under_way = false;
                if self.is_running() {
                    self.commit.flushed(up_to);
                    self.on_durable(now);
                }
            }
            Some(Errand::StartFlush) if self.health == Health::Starting => {
                self.health = Health::Running;
                self.delete_doomed();
                self.write_footers();
            }
            Some(Errand::Name(segment)) => {
                if let Some(segment) = self.segments.get_mut(&segment) {
                    segment.file = Readiness::Ready;
                }
            }
            // A mutation makes a flush stand for a write.
            Some(Errand::Batch) if self.is_running() => self.landed(now),
            _ => {}
        }
        self.pump(now);
    }

    /// A [`Effect::Prepare`] has ended well.
    pub fn on_prepared(&mut self, op: OpId, now: Mono) {
        if let Some(Errand::Prepare(segment)) = self.errands.remove(&op) {
            self.prepared(segment);
        }
        self.pump(now);
    }

    /// A [`Effect::Read`] has ended: `bytes` are the ones asked for.
    pub fn on_read(&mut self, op: OpId, bytes: Buffer, now: Mono) {
        match self.errands.remove(&op) {
            Some(Errand::CompactionRead) => self.on_compaction_read(&bytes, now),
            Some(Errand::Read) => self.read_done(op, Ok(bytes)),
            Some(Errand::Page) => self.page_done(op, bytes),
            _ => {}
        }
        self.finish_retirements();
        self.pump(now);
    }

    fn read_done(&mut self, op: OpId, result: Result<Buffer, ReadError>) {
        let Some(open) = self.reads.remove(&op) else { return };
        let OpenRead { offset, entries, .. } = open;
        self.done_reads.insert(op, DoneRead { entries, offset, result });
        self.events.push_back(Event::ReadDone(op));
    }

    /// A page is kept for all who wait for something in it.
    fn page_done(&mut self, op: OpId, bytes: Buffer) {
        let Some(open) = self.reads.remove(&op) else { return };
        if self.segments.contains_key(&open.segment) {
            self.read_cache.put(open.segment, open.offset, bytes);
        }
        self.events.push_back(Event::ReadDone(op));
    }

    pub(super) fn fail(&mut self, op: OpId, fault: IoFault, now: Mono) {
        let Some(errand) = self.errands.remove(&op) else { return };
        if errand == Errand::Batch && mutation::is(Mutation::FlushRetried) {
            self.retry_flush();
            return;
        }
        let during = match errand {
            Errand::Read | Errand::Page => {
                return self.read_done(op, Err(ReadError::Fault(fault)));
            }
            Errand::CompactionRead => return self.compaction_failed(),
            Errand::Prepare(_) if fault == IoFault::NoSpace => return self.disk_full(now),
            Errand::Prepare(_) => Operation::Prepare,
            Errand::Name(_) => Operation::SyncDirectory,
            Errand::Batch | Errand::Footer(_) => Operation::Write,
            Errand::Flush(_) | Errand::StartFlush => Operation::Flush,
        };
        self.poison(Poison { during, fault });
    }

    /// What must never be done: take a later flush for the one that failed.
    fn retry_flush(&mut self) {
        let op = self.op(Errand::Batch);
        let slots = self.segments.values().map(|segment| segment.slot).collect();
        self.effects.push(Effect::Sync { op, slots });
    }

    fn landed(&mut self, now: Mono) {
        let Some(flight) = self.commit.land() else { return };
        let Flight { segment, offset, bytes, len, shown, copies, is_flushed, launched, .. } =
            flight;
        self.counters.count_write(now.since(launched));
        if let Some(free) = self.tail.push(position(segment, offset), bytes, len) {
            self.commit.reuse(free);
        }
        for (stream, seq) in shown {
            if let Some(index) = self.streams.get_mut(&stream) {
                index.show(seq);
            }
        }
        for ((stream, seq), copied) in copies {
            self.copy_landed(stream, seq, copied);
        }
        self.idle_since = now;
        // Only now: a flush that was asked for while it flew does not cover it.
        if !is_flushed && let Some(segment) = self.segments.get(&segment) {
            self.unflushed.insert(segment.slot);
        }
        if is_flushed {
            self.on_durable(now);
        } else {
            self.events.push_back(Event::Durable);
        }
    }

    fn on_durable(&mut self, now: Mono) {
        self.events.push_back(Event::Durable);
        self.write_footers();
        self.finish_retirements();
        self.tidy(now);
    }
}
