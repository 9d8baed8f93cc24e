//! What is left of many messages that were removed at once, until it is swept piece by piece: so
//! that no turn takes long for it.

use super::entries::Entry;
use super::sequences::Sequences;
use super::subjects::Subjects;

#[derive(Debug)]
pub struct Debris {
    sequences: Sequences,
    subjects: Subjects,
}

impl Debris {
    pub fn new(sequences: Sequences, subjects: Subjects) -> Self {
        Self { sequences, subjects }
    }

    /// Sweeps some hundred messages and subjects. False: there was nothing left.
    pub fn sweep(&mut self, mut removed: impl FnMut(Entry)) -> bool {
        let had_messages = self.sequences.remove_first_chunk(&mut removed);
        let had_subjects = self.subjects.drop_piece();
        had_messages || had_subjects
    }

    /// Bytes of memory, roughly.
    pub fn memory(&self) -> usize {
        self.sequences.memory() + self.subjects.memory()
    }
}
