//! A stream in its core's log. Messages at the tail are in memory; others come with reads of the
//! log. A single message comes with a page of the log, which the log keeps for whoever asks next. A
//! reader who goes on behind a page gets runs of messages, which the stream keeps for those behind.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;

use crate::storage::{
    Entry, Log, Lsn, Message, OpId, Page, ReadError, ReadRun, Refusal, Seq, StreamId, StreamIndex,
    Urgency,
};
use crate::types::limits::{
    KNOWN_TIMES_MAX, READ_AHEAD_BYTES, READ_BYTES_MIN, READ_PAGES_REMEMBERED, READ_RUN_BYTES_KEPT,
    READ_RUNS_KEPT,
};
use crate::types::{Mono, Pattern};

use super::packing::{self, Packed, Packer};
use super::{Displaced, Fetch, Moment, NewMessage, SeekTime, Stored, seek};

/// What a message counts for beside its subject and payload.
const OVERHEAD: u64 = 30;
/// What headers count for beside their bytes.
const HEADERS_OVERHEAD: u64 = 4;

pub fn cost(subject: usize, headers: usize, payload: usize) -> u64 {
    let headers = if headers > 0 { HEADERS_OVERHEAD + headers as u64 } else { 0 };
    OVERHEAD + (subject + payload) as u64 + headers
}

/// The [`cost`] of a stored message.
pub fn cost_of(entry: &Entry) -> u64 {
    let headers = if entry.form.has_headers { HEADERS_OVERHEAD } else { 0 };
    entry.plain_len() + headers - (Message::OVERHEAD as u64 - OVERHEAD)
}

/// The messages of a stream, as if each had been counted by [`cost`].
pub fn bytes_of(index: &StreamIndex) -> u64 {
    let each = Message::OVERHEAD as u64 - OVERHEAD;
    index.bytes() + index.with_headers() * HEADERS_OVERHEAD - index.messages() * each
}

/// A read under way.
#[derive(Clone, Copy, Debug)]
struct Reading {
    op: OpId,
    first: Seq,
    last: Seq,
    bytes_max: u32,
    /// It goes to the log's cache.
    page: Option<Page>,
}

/// What a read has brought.
#[derive(Debug)]
struct Run {
    messages: ReadRun,
    /// Of its messages; later than `last` if there are none.
    first: Seq,
    last: Seq,
    /// What it was allowed to bring: the next one may bring more.
    bytes_max: u32,
    /// What lies behind it was asked for.
    is_followed: bool,
}

impl Run {
    fn new(messages: ReadRun, bytes_max: u32) -> Self {
        let ends = messages.entries().first().zip(messages.entries().last());
        let (first, last) = ends.map_or((Seq(1), Seq(0)), |(first, last)| (first.seq, last.seq));
        Self { messages, first, last, bytes_max, is_followed: false }
    }

    fn covers(&self, seq: Seq) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

#[derive(Debug)]
pub struct FileStore {
    stream: StreamId,
    /// The newest last.
    runs: VecDeque<Run>,
    reading: Vec<Reading>,
    /// Pages that were asked for. The newest last.
    pages: VecDeque<Page>,
    /// First messages of reads that failed; told once.
    broken: Vec<(Seq, ReadError)>,
    /// Times that searches have met. Messages do not change, so they stay true.
    times: BTreeMap<Seq, u64>,
    removal_epoch: u64,
    pub displaced: Box<Displaced>,
    /// Of a stream whose payloads are to be packed.
    packer: Option<Box<Packer>>,
    /// The last payload that was unpacked.
    unpacked: Vec<u8>,
}

impl FileStore {
    pub fn new(stream: StreamId) -> Self {
        Self {
            stream,
            runs: VecDeque::new(),
            reading: Vec::new(),
            pages: VecDeque::new(),
            broken: Vec::new(),
            times: BTreeMap::new(),
            removal_epoch: 0,
            displaced: Box::default(),
            packer: None,
            unpacked: Vec::new(),
        }
    }

    pub fn stream(&self) -> StreamId {
        self.stream
    }

    pub fn removal_epoch(&self) -> u64 {
        self.removal_epoch
    }

    /// Forgets what was read: there is no reader behind the tail. The packer gives its table back.
    pub fn rest(&mut self) {
        self.runs = VecDeque::new();
        self.pages = VecDeque::new();
        self.unpacked = Vec::new();
        if let Some(packer) = &mut self.packer {
            **packer = Packer::default();
        }
    }

    fn run_bytes(&self) -> usize {
        self.runs.iter().map(|run| run.messages.memory()).sum()
    }

    pub fn memory(&self) -> usize {
        self.run_bytes()
            + self.times.len() * 16
            + self.reading.capacity() * size_of::<Reading>()
            + self.pages.capacity() * size_of::<Page>()
            + self.unpacked.capacity()
    }

    /// Whether payloads that come from now on are packed.
    pub fn pack(&mut self, is_packing: bool) {
        self.packer = is_packing.then(|| self.packer.take().unwrap_or_default());
    }

    pub fn append(
        &mut self,
        log: Option<&mut Log>,
        messages: &[NewMessage<'_>],
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        let stream = self.stream;
        let packed: Vec<Option<Packed>> = match &mut self.packer {
            Some(packer) => messages.iter().map(|message| packer.pack(message.payload)).collect(),
            None => Vec::new(),
        };
        let records = messages.iter().enumerate().map(|(at, message)| {
            let NewMessage { seq, time, subject, headers, payload } = *message;
            let (payload, saved) = match packed.get(at) {
                Some(Some(packed)) => (&packed.bytes[..], packed.saved),
                _ => (payload, 0),
            };
            Message { stream, seq, time, subject, headers, payload, saved }
        });
        log.ok_or(Refusal::NotFound)?.append_each(records, urgency, now)
    }

    pub fn fetch<'a>(&'a mut self, log: Option<&'a mut Log>, seq: Seq) -> Fetch<'a> {
        let Some(log) = log else { return Fetch::Gone };
        let Some((entry, is_in_memory)) = log.locate(self.stream, seq) else { return Fetch::Gone };
        if is_in_memory {
            return told(log.in_memory(&entry), &mut self.unpacked);
        }
        let Some((at, entry)) = self.run_with(seq) else { return self.start(log, &entry) };
        self.read_ahead(log, at, seq);
        told(self.runs.get(at).map(|run| run.messages.message(&entry)), &mut self.unpacked)
    }

    /// The run that brought a live message, and where it was then: its bytes never change.
    fn run_with(&self, seq: Seq) -> Option<(usize, Entry)> {
        let mut runs = self.runs.iter().enumerate().rev().filter(|(_, run)| run.covers(seq));
        runs.find_map(|(at, run)| Some((at, *run.messages.find(seq)?)))
    }

    fn start(&mut self, log: &mut Log, entry: &Entry) -> Fetch<'static> {
        let seq = entry.seq;
        if let Some(at) = self.broken.iter().position(|(broken, _)| *broken == seq) {
            return Fetch::Broken(self.broken.remove(at).1);
        }
        if self.is_reading(seq) {
            return Fetch::Wait;
        }
        match self.bytes_for(log, entry) {
            Some(bytes_max) => self.read(log, seq, bytes_max),
            None => self.read_page(log, entry),
        }
        Fetch::Wait
    }

    /// A page serves all who wait for something in it.
    fn read_page(&mut self, log: &mut Log, entry: &Entry) {
        let Some(page) = log.page_of(entry) else {
            return self.read(log, entry.seq, READ_BYTES_MIN);
        };
        if self.reading.iter().any(|reading| reading.page == Some(page)) {
            return;
        }
        let Ok(op) = log.read_page(page) else { return };
        let (first, last, bytes_max) = (entry.seq, entry.seq, page.len);
        self.reading.push(Reading { op, first, last, bytes_max, page: Some(page) });
        if self.pages.len() >= READ_PAGES_REMEMBERED {
            self.pages.pop_front();
        }
        self.pages.push_back(page);
    }

    fn is_reading(&self, seq: Seq) -> bool {
        self.reading.iter().any(|reading| (reading.first..=reading.last).contains(&seq))
    }

    /// More for a reader who goes on where a read ended. `None`: nobody does.
    fn bytes_for(&self, log: &Log, entry: &Entry) -> Option<u32> {
        let seq = entry.seq;
        let index = log.stream(self.stream)?;
        let before = self.runs.iter().filter(|run| run.first <= run.last && run.last < seq);
        let nearest = before.max_by_key(|run| (run.last, run.bytes_max));
        let is_next = |run: &&Run| index.next(run.last.next()).is_some_and(|next| next.seq == seq);
        nearest.filter(is_next).map(larger).or_else(|| self.behind_a_page(index, entry))
    }

    /// The same for a message that comes next behind those of a page.
    fn behind_a_page(&self, index: &StreamIndex, entry: &Entry) -> Option<u32> {
        if self.pages.is_empty() {
            return None;
        }
        let mut before = None;
        index.walk_back(entry.seq.previous(), |entry| {
            before = Some(entry.place);
            ControlFlow::Break(())
        });
        let ends = |page: &&Page| before.is_some_and(|before| page.covers(before));
        let page = self.pages.iter().rev().find(ends).filter(|page| !page.covers(entry.place));
        page.map(|page| page.len.saturating_mul(2).min(READ_AHEAD_BYTES))
    }

    /// A refusal means that other reads are under way: whoever waits asks again after those.
    fn read(&mut self, log: &mut Log, from: Seq, bytes_max: u32) {
        let Ok(Some(op)) = log.read(self.stream, from, bytes_max) else { return };
        if let Some((first, last)) = log.reading(op) {
            let (first, last) = (first.seq, last.seq);
            self.reading.push(Reading { op, first, last, bytes_max, page: None });
        }
    }

    /// A reader in the second half of a run will want what lies behind it.
    fn read_ahead(&mut self, log: &mut Log, at: usize, seq: Seq) {
        let Some(run) = self.runs.get_mut(at).filter(|run| !run.is_followed) else { return };
        let entries = run.messages.entries();
        // The first message of a read is what somebody asked for, and maybe nothing else.
        let middle = entries.get((entries.len() / 2).max(1));
        if middle.is_none_or(|middle| seq < middle.seq) {
            return;
        }
        run.is_followed = true;
        let bytes_max = larger(run);
        let behind = run.last.next();
        let next = log.stream(self.stream).and_then(|index| index.next(behind));
        let Some(next) = next else { return };
        let is_wanted = log.locate(self.stream, next.seq).is_some_and(|(_, is_here)| !is_here);
        if is_wanted && !self.is_reading(next.seq) && self.run_with(next.seq).is_none() {
            self.read(log, next.seq, bytes_max);
        }
    }

    pub fn on_read(&mut self, log: &mut Log, op: OpId) -> bool {
        let Some(at) = self.reading.iter().position(|reading| reading.op == op) else {
            return false;
        };
        let reading = self.reading.swap_remove(at);
        match log.take_read(op) {
            Some(Ok(messages)) => {
                let bytes_max = reading.bytes_max;
                self.runs.push_back(Run::new(messages, bytes_max));
                while self.runs.len() > READ_RUNS_KEPT
                    || self.runs.len() > 1 && self.run_bytes() > READ_RUN_BYTES_KEPT
                {
                    self.runs.pop_front();
                }
            }
            // What is wrong may be with a neighbour.
            Some(Err(_)) if reading.page.is_some() => self.read(log, reading.first, READ_BYTES_MIN),
            Some(Err(error)) => {
                let seq = reading.first.0;
                tracing::error!(stream = self.stream.0, seq, ?error, "a message cannot be read");
                if self.broken.len() >= READ_RUNS_KEPT {
                    self.broken.remove(0);
                }
                self.broken.push((reading.first, error));
            }
            None => {}
        }
        true
    }

    pub fn first_time(&mut self, log: Option<&mut Log>) -> Moment {
        let index = log.as_deref().and_then(|log| log.stream(self.stream));
        let Some(first) = index.filter(|index| index.messages() > 0).map(StreamIndex::first_seq)
        else {
            return Moment::At(0);
        };
        moment(self.time_of(log, first))
    }

    pub fn last_time(&mut self, mut log: Option<&mut Log>) -> Moment {
        let Some(index) = log.as_deref().and_then(|log| log.stream(self.stream)) else {
            return Moment::At(0);
        };
        if let Some(time) = index.last_time() {
            return Moment::At(time);
        }
        // After a restart: the newest message that is left.
        let mut last = None;
        index.walk_back(index.visible_seq(), |entry| {
            last = Some(entry.seq);
            ControlFlow::Break(())
        });
        let Some(last) = last else { return Moment::At(0) };
        let time = self.time_of(log.as_deref_mut(), last);
        if let Ok(time) = time
            && let Some(index) = log.and_then(|log| log.stream_mut(self.stream))
        {
            index.learn_last_time(time);
        }
        moment(time)
    }

    /// Only what was read is remembered: the next who asks for another tries again.
    fn time_of(&mut self, log: Option<&mut Log>, seq: Seq) -> Result<u64, Unknown> {
        if let Some(time) = self.times.get(&seq) {
            return Ok(*time);
        }
        let time = match self.fetch(log, seq) {
            Fetch::Here(stored) => stored.time,
            Fetch::Wait => return Err(Unknown::Yet),
            Fetch::Gone | Fetch::Broken(_) => return Err(Unknown::Unreadable),
        };
        if self.times.len() >= KNOWN_TIMES_MAX {
            self.times.pop_first();
        }
        self.times.insert(seq, time);
        Ok(time)
    }

    pub fn seq_at_time(&mut self, mut log: Option<&mut Log>, time: u64) -> SeekTime {
        // Messages whose time cannot be read count as new: nothing is left out for them.
        let mut unreadable = Vec::new();
        loop {
            let (found, wanted) = self.seek_known(log.as_deref(), time, &unreadable);
            let (SeekTime::Wait, Some(seq)) = (found, wanted) else { return found };
            match self.time_of(log.as_deref_mut(), seq) {
                Ok(_) => {}
                Err(Unknown::Yet) => return SeekTime::Wait,
                Err(Unknown::Unreadable) => unreadable.push(seq),
            }
        }
    }

    /// As far as times are known: what was found, and the message looked at last.
    fn seek_known(
        &self,
        log: Option<&Log>,
        time: u64,
        unreadable: &[Seq],
    ) -> (SeekTime, Option<Seq>) {
        let nothing = (SeekTime::Seq(Seq(1)), None);
        let Some(log) = log else { return nothing };
        let visible = log.visible_seq(self.stream);
        let Some(index) = log.stream(self.stream) else { return nothing };
        let mut low = index.first_seq().min(visible.next());
        let mut high = visible.next();
        for (&seq, &known) in self.times.range(low..high) {
            match known < time {
                true => low = seq.next(),
                false => high = high.min(seq),
            }
        }
        let mut wanted = None;
        let found = seek::seek_between(index, (low, high), visible, time, |seq| {
            wanted = Some(seq);
            let is_new = unreadable.contains(&seq);
            is_new.then_some(u64::MAX).or_else(|| self.times.get(&seq).copied())
        });
        (found, wanted)
    }

    pub fn delete(
        &mut self,
        log: Option<&mut Log>,
        seqs: &[Seq],
        erase: bool,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        let log = log.ok_or(Refusal::NotFound)?;
        let first = log.stream(self.stream).map(StreamIndex::first_seq);
        if seqs.iter().any(|&seq| Some(seq) != first) {
            self.removal_epoch += 1;
        }
        log.delete(self.stream, seqs, erase, urgency, now)
    }

    pub fn trim(
        &mut self,
        log: Option<&mut Log>,
        first: Seq,
        urgency: Urgency,
        now: Mono,
    ) -> Result<Lsn, Refusal> {
        log.ok_or(Refusal::NotFound)?.trim(self.stream, first, urgency, now)
    }

    pub fn skip(&mut self, log: Option<&mut Log>, last: Seq, now: Mono) -> Result<Lsn, Refusal> {
        log.ok_or(Refusal::NotFound)?.skip(self.stream, last, now)
    }

    pub fn purge(
        &mut self,
        log: Option<&mut Log>,
        pattern: Option<Pattern<'_>>,
        below: Seq,
        keep: usize,
        now: Mono,
    ) -> Result<(u64, Lsn), Refusal> {
        let log = log.ok_or(Refusal::NotFound)?;
        self.removal_epoch += 1;
        let messages = |log: &Log| log.stream(self.stream).map_or(0, StreamIndex::messages);
        let before = messages(log);
        let lsn = match pattern.is_none() && keep == 0 {
            true => log.trim(self.stream, below, Urgency::Now, now)?,
            false => log.purge(self.stream, pattern, below, keep, now)?.1,
        };
        Ok((before - messages(log), lsn))
    }
}

fn larger(run: &Run) -> u32 {
    run.bytes_max.saturating_mul(2).min(READ_AHEAD_BYTES)
}

/// Why a message's time is not told.
#[derive(Clone, Copy)]
enum Unknown {
    /// A read is under way.
    Yet,
    Unreadable,
}

fn moment(time: Result<u64, Unknown>) -> Moment {
    match time {
        Ok(time) => Moment::At(time),
        Err(Unknown::Yet) => Moment::Wait,
        Err(Unknown::Unreadable) => Moment::At(0),
    }
}

fn told<'a>(message: Option<Result<Message<'a>, ReadError>>, room: &'a mut Vec<u8>) -> Fetch<'a> {
    let Some(message) = message else { return Fetch::Gone };
    match message.and_then(|message| Ok((message, packing::payload(&message, room)?))) {
        Ok((Message { seq, time, subject, headers, .. }, payload)) => {
            Fetch::Here(Stored { seq, time, subject, headers, payload })
        }
        Err(error) => Fetch::Broken(error),
    }
}
