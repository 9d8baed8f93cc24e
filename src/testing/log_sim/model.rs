//! The oracle: what clients were told, and so what must be true of the log after a crash.

use std::collections::BTreeMap;

use crate::storage::{Lsn, Message, Seq, StreamId};

/// A message that was handed to the log.
#[derive(Clone, Debug)]
pub struct ModelMessage {
    pub subject: Vec<u8>,
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
    /// The batch that its ack waits for.
    pub lsn: Lsn,
    /// Somebody was told, or has read it.
    pub is_known: bool,
    /// The batch that its removal waits for.
    pub removal: Option<Lsn>,
    /// Messages with the same number count together or not at all.
    pub group: Option<u64>,
}

impl ModelMessage {
    /// Every fourth message is one that was packed by whoever appends, as the log is told.
    pub fn saved(&self) -> u32 {
        match self.payload[..] {
            [first, second, ..] if first % 4 == 0 => 1 + u32::from(second),
            _ => 0,
        }
    }

    /// As handed to the log.
    pub fn as_stored(&self, stream: StreamId, seq: Seq, time: u64) -> Message<'_> {
        Message {
            stream,
            seq,
            time,
            subject: &self.subject,
            headers: &self.headers,
            payload: &self.payload,
            saved: self.saved(),
        }
    }
}

/// What happened to a key, in order.
#[derive(Clone, Debug)]
pub struct KeyChange {
    pub lsn: Lsn,
    pub kind: KeyChangeKind,
    pub value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyChangeKind {
    Set,
    Add,
    Drop,
}

#[derive(Clone, Debug, Default)]
pub struct ModelKey {
    /// The value all agreed on, `None` if there is none, and the changes since.
    pub base: Option<Vec<Vec<u8>>>,
    pub changes: Vec<KeyChange>,
}

impl ModelKey {
    /// The values that the key may have, given what was told.
    pub fn allowed(&self, settled: Lsn) -> Vec<Option<Vec<Vec<u8>>>> {
        let mut value = self.base.clone();
        let mut allowed = vec![value.clone()];
        for change in &self.changes {
            match change.kind {
                KeyChangeKind::Set => value = Some(vec![change.value.clone()]),
                KeyChangeKind::Add => value.get_or_insert_default().push(change.value.clone()),
                KeyChangeKind::Drop => value = None,
            }
            if change.lsn <= settled {
                allowed.clear();
            }
            allowed.push(value.clone());
        }
        allowed
    }
}

#[derive(Clone, Debug, Default)]
pub struct ModelStream {
    pub messages: BTreeMap<Seq, ModelMessage>,
    pub keys: BTreeMap<Vec<u8>, ModelKey>,
    pub last_seq: Seq,
    /// First sequences asked for, and what each waits for.
    pub trims: Vec<(Lsn, Seq)>,
    /// Last sequences that were reached without a message, and what each waits for.
    pub skips: Vec<(Lsn, Seq)>,
    /// The last sequence may not be below.
    pub last_seq_min: Seq,
    /// The first sequence that must hold.
    pub first_seq: Seq,
    /// The batch that its end waits for.
    pub dropped: Option<Lsn>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub streams: BTreeMap<StreamId, ModelStream>,
    /// Batches up to here were told of.
    pub settled: Lsn,
}

impl Model {
    /// The log says that this much has settled: clients are told.
    pub fn settle(&mut self, settled: Lsn) {
        self.settled = self.settled.max(settled);
    }

    /// A crash: what rests on batches after `bound` need not be there.
    pub fn crash(&mut self, bound: Lsn, readers_are_owed: bool) {
        self.settled = bound;
        for stream in self.streams.values_mut() {
            for message in stream.messages.values_mut() {
                message.is_known = message.lsn <= bound || message.is_known && readers_are_owed;
            }
            for (lsn, seq) in &stream.trims {
                if *lsn <= bound {
                    stream.first_seq = stream.first_seq.max(*seq);
                }
            }
            for (lsn, seq) in &stream.skips {
                if *lsn <= bound {
                    stream.last_seq_min = stream.last_seq_min.max(*seq);
                }
            }
        }
    }
}
