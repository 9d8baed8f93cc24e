//! What a stream's limits ask of single messages and subjects: answered without a walk wherever
//! the index can.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::{Scan, Store, file, memory};
use crate::storage::{Log, Seq, SubjectId};

impl Store {
    /// Whether there is such a message, visible or not.
    pub fn holds(&self, log: Option<&Log>, seq: Seq) -> bool {
        self.index(log).is_some_and(|index| index.get(seq).is_some())
    }

    /// The subject of a message, visible or not.
    pub fn subject_of<'a>(&'a self, log: Option<&'a Log>, seq: Seq) -> Option<&'a [u8]> {
        let index = self.index(log)?;
        let entry = index.get(seq)?;
        index.subjects().get(entry.subject).map(|state| &*state.name)
    }

    /// What a message adds to [`Store::bytes`]; 0 if there is none.
    pub fn cost_of(&self, log: Option<&Log>, seq: Seq) -> u64 {
        let Some(index) = self.index(log) else { return 0 };
        let Some(entry) = index.get(seq) else { return 0 };
        match self {
            Self::Memory(_) => memory::cost_of(index, &entry),
            Self::File(_) => file::cost_of(&entry),
        }
    }

    /// Messages of a subject, visible or not.
    pub fn count_of(&self, log: Option<&Log>, subject: &[u8]) -> u64 {
        let state = self.index(log).and_then(|index| {
            let subjects = index.subjects();
            subjects.get(subjects.find(subject)?)
        });
        state.map_or(0, |state| state.count)
    }

    /// The first message of a subject, visible or not.
    pub fn first_of(&mut self, log: Option<&mut Log>, subject: &[u8]) -> Option<Seq> {
        self.subject_state(log, subject).map(|(first, _, _)| first)
    }

    /// The oldest messages of a subject below `below`, at most `max` of them. A walk from its
    /// first one on.
    pub fn oldest_of(&self, log: Option<&Log>, subject: &[u8], max: u64, below: Seq) -> Vec<Seq> {
        let mut seqs = Vec::new();
        let Some(index) = self.index(log) else { return seqs };
        let subjects = index.subjects();
        let Some(id) = subjects.find(subject) else { return seqs };
        let Some(state) = subjects.get(id) else { return seqs };
        let max = max.min(state.count);
        index.walk(state.first, |entry| {
            if seqs.len() as u64 >= max || entry.seq >= below {
                return ControlFlow::Break(());
            }
            if entry.subject == id {
                seqs.push(entry.seq);
            }
            ControlFlow::Continue(())
        });
        seqs
    }

    /// Of each subject with more than `max` messages the oldest, all but `max`. One walk.
    pub fn above_per_subject(&self, log: Option<&Log>, max: u64) -> Vec<Seq> {
        let mut seqs = Vec::new();
        let Some(index) = self.index(log) else { return seqs };
        let mut over: HashMap<SubjectId, u64> = index
            .subjects()
            .iter()
            .filter(|(_, state)| state.count > max)
            .map(|(id, state)| (id, state.count - max))
            .collect();
        if over.is_empty() {
            return seqs;
        }
        index.walk(index.first_seq(), |entry| {
            if let Some(left) = over.get_mut(&entry.subject) {
                seqs.push(entry.seq);
                *left -= 1;
                if *left == 0 {
                    over.remove(&entry.subject);
                }
            }
            if over.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        seqs
    }

    /// The first visible message with headers from `from` on. Each message looked at costs one of
    /// the budget.
    pub fn next_with_headers(&self, log: Option<&Log>, from: Seq, budget: &mut usize) -> Scan {
        let visible = self.visible_seq(log);
        let mut end = Scan::End;
        let Some(index) = self.index(log).filter(|index| index.with_headers() > 0) else {
            return end;
        };
        index.walk(from.max(index.first_seq()), |entry| {
            if entry.seq > visible {
                return ControlFlow::Break(());
            }
            if *budget == 0 {
                end = Scan::Later(entry.seq);
                return ControlFlow::Break(());
            }
            *budget -= 1;
            if entry.form.has_headers {
                end = Scan::Found(entry.seq);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        end
    }
}
