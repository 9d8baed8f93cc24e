//! Everything the index knows of one stream.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::storage::ids::{Place, Seq};
use crate::storage::record::Form;
use crate::types::Pattern;

use super::debris::Debris;
use super::entries::Entry;
use super::keys::Keys;
use super::sequences::Sequences;
use super::subjects::{SubjectId, Subjects};

#[derive(Debug)]
pub struct StreamIndex {
    pub keys: Keys,
    sequences: Sequences,
    subjects: Subjects,
    first_seq: Seq,
    last_seq: Seq,
    /// The last message a reader may see.
    visible_seq: Seq,
    /// Bytes of live message records, as if none were packed.
    bytes: u64,
    /// Of the live messages: how many have headers, and the sum of their subjects' lengths.
    with_headers: u64,
    subject_bytes: u64,
    last_time: Option<u64>,
    /// The newest record of the bounds, and the last sequence it tells.
    pub bounds: Option<(Place, Seq)>,
}

impl StreamIndex {
    pub fn new(hash_seed: u64) -> Self {
        Self {
            keys: Keys::default(),
            sequences: Sequences::default(),
            subjects: Subjects::new(hash_seed),
            first_seq: Seq(1),
            last_seq: Seq(0),
            visible_seq: Seq(0),
            bytes: 0,
            with_headers: 0,
            subject_bytes: 0,
            last_time: None,
            bounds: None,
        }
    }

    pub fn first_seq(&self) -> Seq {
        self.first_seq
    }

    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    pub fn visible_seq(&self) -> Seq {
        self.visible_seq
    }

    pub fn messages(&self) -> u64 {
        self.sequences.len()
    }

    /// Bytes of the live messages' records, as if none were packed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Live messages that have headers.
    pub fn with_headers(&self) -> u64 {
        self.with_headers
    }

    /// The sum of the live messages' subjects' lengths.
    pub fn subject_bytes(&self) -> u64 {
        self.subject_bytes
    }

    /// Live messages from `from` on.
    pub fn count_from(&self, from: Seq) -> u64 {
        self.sequences.count_from(from)
    }

    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    pub fn memory(&self) -> usize {
        self.sequences.memory() + self.subjects.memory()
    }

    /// Gives back what only a stream in use needs, if nobody has used it since the last call.
    pub fn cool_down(&mut self) {
        self.sequences.cool_down();
    }

    pub fn get(&self, seq: Seq) -> Option<Entry> {
        self.sequences.get(seq)
    }

    /// As [`Self::get`], cheaper for who asks for many that lie together.
    pub fn get_among(&self, seq: Seq) -> Option<Entry> {
        self.sequences.get_among(seq)
    }

    pub fn next(&self, from: Seq) -> Option<Entry> {
        self.sequences.next(from.max(self.first_seq))
    }

    /// The time of the last message ever, unless it was stored before a restart and nobody has
    /// looked since.
    pub fn last_time(&self) -> Option<u64> {
        self.last_time
    }

    pub fn learn_last_time(&mut self, time: u64) {
        self.last_time = Some(time);
    }

    /// From `from` downwards.
    pub fn walk_back(&self, from: Seq, visit: impl FnMut(Entry) -> ControlFlow<()>) {
        self.sequences.walk_back(from, visit);
    }

    pub fn walk(&self, from: Seq, visit: impl FnMut(Entry) -> ControlFlow<()>) {
        self.sequences.walk(from, visit);
    }

    /// A new message. An empty stream begins with it.
    pub fn append(&mut self, seq: Seq, place: Place, subject: &[u8], form: Form) {
        if self.messages() == 0 {
            self.first_seq = self.first_seq.max(seq);
        }
        self.add(seq, place, subject, form);
    }

    /// A message, new or found at recovery. If its sequence stands there already, this copy of it
    /// counts from now on, and the place of the other is returned.
    pub fn add(&mut self, seq: Seq, place: Place, subject: &[u8], form: Form) -> Option<Place> {
        let entry = Entry { seq, place, subject: SubjectId(0), form };
        self.adopt(entry, subject, &mut None)
    }

    /// As [`Self::add`]; `known` keeps the subject's id from one call to the next.
    pub fn adopt(
        &mut self,
        entry: Entry,
        subject: &[u8],
        known: &mut Option<SubjectId>,
    ) -> Option<Place> {
        let seq = entry.seq;
        if seq <= self.last_seq
            && let Some(old) = self.sequences.get(seq)
        {
            self.sequences.insert(Entry { place: entry.place, ..old });
            return Some(old.place);
        }
        self.last_seq = self.last_seq.max(seq);
        let id = match *known {
            Some(id) => {
                self.subjects.count_in(id, seq);
                id
            }
            None => self.subjects.add(subject, seq),
        };
        *known = Some(id);
        self.sequences.insert(Entry { subject: id, ..entry });
        self.bytes += entry.plain_len();
        self.with_headers += u64::from(entry.form.has_headers);
        self.subject_bytes += subject.len() as u64;
        None
    }

    /// As [`Self::adopt`], for an entry and `more` that follow it. False: none was taken, because
    /// some may stand there already.
    pub fn adopt_run(
        &mut self,
        entry: Entry,
        more: u32,
        subject: &[u8],
        known: &mut Option<SubjectId>,
    ) -> bool {
        if entry.seq <= self.last_seq {
            return false;
        }
        self.adopt(entry, subject, known);
        let Some(id) = *known else { return false };
        if more > 0 {
            let next = Entry { subject: id, ..entry.after(1) };
            self.subjects.count_in_run(id, next.seq, more);
            self.sequences.extend(next, more);
            self.last_seq = entry.after(more).seq;
            let more = u64::from(more);
            self.bytes += entry.plain_len() * more;
            self.with_headers += u64::from(entry.form.has_headers) * more;
            self.subject_bytes += subject.len() as u64 * more;
        }
        true
    }

    /// A copy has become durable. False: the message has gone meanwhile.
    pub fn relocate(&mut self, seq: Seq, from: Place, to: Place) -> bool {
        match self.sequences.get(seq) {
            Some(entry) if entry.place == from => {
                self.sequences.insert(Entry { place: to, ..entry });
                true
            }
            _ => false,
        }
    }

    pub fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.sequences.remove(seq)?;
        self.bytes -= entry.plain_len();
        self.with_headers -= u64::from(entry.form.has_headers);
        self.subject_bytes -= self.subjects.name_len(entry.subject);
        self.subjects.remove(entry.subject, seq);
        Some(entry)
    }

    /// Raises the first sequence; what falls below is removed and told.
    pub fn trim(&mut self, first_seq: Seq, mut removed: impl FnMut(Entry)) {
        let Self { sequences, subjects, bytes, with_headers, subject_bytes, .. } = self;
        sequences.trim(first_seq, |entry| {
            *bytes -= entry.plain_len();
            *with_headers -= u64::from(entry.form.has_headers);
            *subject_bytes -= subjects.name_len(entry.subject);
            subjects.remove(entry.subject, entry.seq);
            removed(entry);
        });
        self.first_seq = self.first_seq.max(first_seq);
        self.leave_out(first_seq.previous());
    }

    /// The last sequence is at least this. If all was visible, all stays visible.
    fn leave_out(&mut self, last_seq: Seq) {
        if self.visible_seq == self.last_seq {
            self.visible_seq = self.visible_seq.max(last_seq);
        }
        self.last_seq = self.last_seq.max(last_seq);
    }

    /// The first sequence becomes that of the first live message, or one after the last.
    pub fn settle_first(&mut self) {
        let first = self.next(self.first_seq).map_or(self.last_seq.next(), |entry| entry.seq);
        self.first_seq = self.first_seq.max(first);
    }

    /// The sequences up to `last` are left out.
    pub fn skip(&mut self, last: Seq) {
        if last <= self.last_seq {
            return;
        }
        self.leave_out(last);
        if self.messages() == 0 {
            self.first_seq = self.first_seq.max(last.next());
        }
    }

    /// Removes all messages at once. What is left of them is to be swept.
    pub fn clear(&mut self) -> Debris {
        let subjects = self.subjects.empty();
        let debris = Debris::new(
            std::mem::take(&mut self.sequences),
            std::mem::replace(&mut self.subjects, subjects),
        );
        (self.bytes, self.with_headers, self.subject_bytes) = (0, 0, 0);
        debris
    }

    pub fn raise_last(&mut self, last_seq: Seq) {
        self.last_seq = self.last_seq.max(last_seq);
    }

    pub fn show(&mut self, visible_seq: Seq) {
        self.visible_seq = self.visible_seq.max(visible_seq);
    }

    /// First and last of a subject, exact. A walk where a bound's message was deleted.
    pub fn subject_range(&mut self, id: SubjectId) -> Option<(Seq, Seq, u64)> {
        let state = self.subjects.get(id)?;
        if !state.first_is_stale && !state.last_is_stale {
            return Some((state.first, state.last, state.count));
        }
        let (from, to) = (state.first, state.last);
        type Visit<'v> = &'v mut dyn FnMut(Entry) -> ControlFlow<()>;
        let find = |wanted: bool, walk: &dyn Fn(Visit<'_>)| {
            let mut found = None;
            if wanted {
                walk(&mut |entry| {
                    if entry.subject != id {
                        return ControlFlow::Continue(());
                    }
                    found = Some(entry.seq);
                    ControlFlow::Break(())
                });
            }
            found
        };
        let first = find(state.first_is_stale, &|visit| self.sequences.walk(from, visit));
        let last = find(state.last_is_stale, &|visit| self.sequences.walk_back(to, visit));
        self.subjects.freshen(id, first, last);
        let state = self.subjects.get(id)?;
        Some((state.first, state.last, state.count))
    }

    /// The last message of a subject. A walk only if the one before was deleted.
    pub fn subject_last(&mut self, id: SubjectId) -> Option<Seq> {
        let state = self.subjects.get(id)?;
        match state.last_is_stale {
            true => self.subject_range(id).map(|(_, last, _)| last),
            false => Some(state.last),
        }
    }

    /// Sequences to remove for a purge: those of the pattern below `below`, all but the newest
    /// `keep` of them. Ascending.
    pub fn purge_list(&self, pattern: Option<Pattern<'_>>, below: Seq, keep: usize) -> Vec<Seq> {
        let listed = pattern.and_then(|pattern| self.listed(pattern, below));
        let mut seqs = listed.unwrap_or_else(|| self.walked(pattern, below));
        seqs.truncate(seqs.len().saturating_sub(keep));
        seqs
    }

    /// What a pattern covers, if all of it is known without a walk over the messages.
    fn listed(&self, pattern: Pattern<'_>, below: Seq) -> Option<Vec<Seq>> {
        let mut seqs = Vec::new();
        for (_, state) in self.subjects.matching(pattern) {
            seqs.extend(state.seqs()?.take_while(|&seq| seq < below));
        }
        seqs.sort_unstable();
        Some(seqs)
    }

    fn walked(&self, pattern: Option<Pattern<'_>>, below: Seq) -> Vec<Seq> {
        let ids: Option<BTreeSet<SubjectId>> =
            pattern.map(|pattern| self.subjects.matching(pattern).map(|(id, _)| id).collect());
        let mut seqs = Vec::new();
        self.walk(self.first_seq, |entry| {
            if entry.seq >= below {
                return ControlFlow::Break(());
            }
            if ids.as_ref().is_none_or(|ids| ids.contains(&entry.subject)) {
                seqs.push(entry.seq);
            }
            ControlFlow::Continue(())
        });
        seqs
    }
}
