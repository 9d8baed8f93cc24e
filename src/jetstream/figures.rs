//! What JetStream of a core tells the monitoring pages: sums, logs, streams and their consumers,
//! found in slices. They are of the moment in which their slice was taken, and may be of messages
//! that are on their way to the disk.

use super::api::Counts;
use super::context::Gate;
use super::core::JetStream;
use super::info::{ConsumerInfo, StreamInfo};
use super::letter::Usage;
use super::snapshot::Export;
use super::target::StreamSlot;
use crate::storage::LogFigures;
use crate::types::{AccountId, Now};

/// What a page needs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum FiguresQuery {
    /// The logs only.
    #[default]
    Logs,
    /// And what the streams use.
    Sums,
    /// And the streams.
    Streams(Consumers),
    /// The logs, and this stream with its consumers.
    Stream(String),
}

/// Which consumers are told with their streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consumers {
    /// Those that clients made.
    pub visible: bool,
    /// Those of mirrors and sources.
    pub direct: bool,
    /// With their configurations.
    pub config: bool,
}

/// JetStream of one core.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub usage: Usage,
    pub memory: Memory,
    /// Of shard 0, which counts them for all.
    pub calls: Counts,
    pub logs: Vec<LogFigures>,
    pub streams: Vec<StreamFigures>,
}

/// Bytes of memory, beside what the logs tell of themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Streams: messages of those in memory, and what all of them remember and have read.
    pub streams: usize,
    /// Where messages in files are. It grows with them.
    pub indexes: usize,
    pub consumers: usize,
    /// On their way out or in.
    pub snapshots: usize,
    /// Answers and messages that wait for the disk, or to be routed.
    pub outboxes: usize,
}

#[derive(Clone, Debug)]
pub struct StreamFigures {
    /// As lists tell it.
    pub info: StreamInfo,
    pub consumers: Vec<ConsumerInfo>,
    pub direct_consumers: Vec<ConsumerInfo>,
}

/// On the way through the streams of a core.
#[derive(Debug, Default)]
pub struct Walk {
    query: FiguresQuery,
    figures: Figures,
    /// The next place for a stream.
    at: usize,
    /// The last stream's consumers that are not told yet: its slot, and the next seat.
    seats: Option<(StreamSlot, u32)>,
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It looked at so many things.
    Looked(usize),
    /// It made a row.
    Row,
    /// Something is being read: again in another turn.
    Later,
    Done,
}

impl Walk {
    pub fn new(query: FiguresQuery) -> Self {
        Self { query, ..Self::default() }
    }

    fn consumers(&self) -> Consumers {
        match self.query {
            FiguresQuery::Streams(consumers) => consumers,
            FiguresQuery::Stream(_) => Consumers { visible: true, direct: true, config: false },
            FiguresQuery::Logs | FiguresQuery::Sums => Consumers::default(),
        }
    }
}

impl JetStream {
    /// Looks at one thing more.
    pub fn look(&mut self, walk: &mut Walk, now: Now, gate: &mut dyn Gate) -> Step {
        if let Some((slot, seat)) = walk.seats {
            return self.look_at_seat(walk, slot, seat, now, gate);
        }
        let at = walk.at;
        walk.at += 1;
        match &walk.query {
            FiguresQuery::Logs => Step::Done,
            FiguresQuery::Stream(_) if at > 0 => Step::Done,
            FiguresQuery::Stream(name) => match self.find(AccountId::GLOBAL, name) {
                Some(slot) => self.tell_stream(walk, slot, now, gate),
                None => Step::Done,
            },
            FiguresQuery::Sums | FiguresQuery::Streams(_) => match self.hosted.get(at) {
                None => Step::Done,
                Some(None) => Step::Looked(1),
                Some(Some(hosted)) => {
                    let slot = hosted.slot;
                    self.look_at_stream(walk, slot, now, gate)
                }
            },
        }
    }

    fn look_at_stream(
        &mut self,
        walk: &mut Walk,
        slot: StreamSlot,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Step {
        let is_told = matches!(walk.query, FiguresQuery::Streams(_));
        let told = if is_told { self.tell_stream(walk, slot, now, gate) } else { Step::Looked(1) };
        if told == Step::Later {
            return told;
        }
        let Some(hosted) = self.hosted[slot.index as usize].as_deref_mut() else { return told };
        let log = self.ground.log(hosted.log);
        walk.figures.usage += hosted.usage(log);
        let memory = &mut walk.figures.memory;
        memory.streams += hosted.stream.memory();
        memory.indexes += log.map_or(0, |log| log.index_bytes(hosted.stream.id()));
        memory.consumers += hosted.seats.memory();
        memory.snapshots += hosted.exports.iter().map(Export::memory).sum::<usize>();
        match told {
            Step::Looked(_) => Step::Looked(1 + hosted.seats.len()),
            told => told,
        }
    }

    fn tell_stream(
        &mut self,
        walk: &mut Walk,
        slot: StreamSlot,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Step {
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            return Step::Looked(1);
        };
        let Some(info) = hosted.listed_info(&mut context) else {
            walk.at -= 1;
            return Step::Later;
        };
        let (consumers, direct_consumers) = (Vec::new(), Vec::new());
        walk.figures.streams.push(StreamFigures { info, consumers, direct_consumers });
        let Consumers { visible, direct, .. } = walk.consumers();
        walk.seats = (visible || direct).then_some((slot, 0));
        Step::Row
    }

    fn look_at_seat(
        &mut self,
        walk: &mut Walk,
        slot: StreamSlot,
        seat: u32,
        now: Now,
        gate: &mut dyn Gate,
    ) -> Step {
        walk.seats = None;
        let wanted = walk.consumers();
        let Some((hosted, mut context)) = self.at(slot, now, gate) else {
            // It ended, and its consumers with it.
            walk.figures.streams.pop();
            return Step::Looked(1);
        };
        if seat >= hosted.seats.places() {
            return Step::Looked(1);
        }
        walk.seats = Some((slot, seat + 1));
        let Some(found) = hosted.seats.get_mut(seat) else { return Step::Looked(1) };
        let is_direct = found.consumer.is_direct();
        let Some(row) = walk.figures.streams.last_mut() else { return Step::Looked(1) };
        let list = match is_direct {
            true if wanted.direct => &mut row.direct_consumers,
            false if wanted.visible => &mut row.consumers,
            _ => return Step::Looked(1),
        };
        let mut info = found.consumer.info(&mut context, hosted.stream.store());
        info.config = info.config.filter(|_| wanted.config);
        list.push(info);
        Step::Row
    }

    /// What a walk to the end has found.
    pub fn conclude(&self, walk: Walk) -> Figures {
        let mut figures = walk.figures;
        figures.logs = self.ground.logs.iter().map(crate::storage::Log::figures).collect();
        let imports = self.imports.values().map(|import| import.memory());
        figures.memory.snapshots += imports.sum::<usize>();
        figures.memory.outboxes = self.ground.outbox_bytes();
        figures.calls = self.front.as_ref().map(|front| front.calls()).unwrap_or_default();
        figures
    }
}
