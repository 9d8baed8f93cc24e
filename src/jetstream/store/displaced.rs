//! Messages that gave way to others inside the stream, the newest: consumers that delivered one
//! learn from it that nobody needs to acknowledge that any more. It knows of no consumer, and not
//! whether the log took the removal: who looks asks the store.

use std::collections::VecDeque;

use crate::storage::Seq;
use crate::types::limits::DISPLACED_KEPT;

#[derive(Debug)]
pub struct Displaced {
    newest: VecDeque<Seq>,
    /// Of all there ever were, and one: who has seen nothing yet is behind.
    total: u64,
}

impl Default for Displaced {
    fn default() -> Self {
        Self { newest: VecDeque::new(), total: 1 }
    }
}

impl Displaced {
    pub fn note(&mut self, seqs: impl Iterator<Item = Seq>) {
        for seq in seqs {
            if self.newest.len() == DISPLACED_KEPT {
                self.newest.pop_front();
            }
            self.newest.push_back(seq);
            self.total += 1;
        }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those that came after the first `seen`. `None`: some of them are forgotten.
    pub fn since(&self, seen: u64) -> Option<impl Iterator<Item = Seq>> {
        let count = usize::try_from(self.total.saturating_sub(seen)).ok()?;
        let from = self.newest.len().checked_sub(count)?;
        Some(self.newest.range(from..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_too_far_behind_is_told_so() {
        let mut displaced = Displaced::default();
        let since = |displaced: &Displaced, seen| {
            displaced.since(seen).map(|seqs| seqs.map(|seq| seq.0).collect::<Vec<_>>())
        };
        assert_eq!((since(&displaced, 1), since(&displaced, 0)), (Some(vec![]), None));
        displaced.note([Seq(4), Seq(2)].into_iter());
        assert_eq!((since(&displaced, 2), since(&displaced, 1)), (Some(vec![2]), Some(vec![4, 2])));
        displaced.note((0..DISPLACED_KEPT as u64 - 1).map(Seq));
        assert_eq!(since(&displaced, 1), None);
        assert_eq!(since(&displaced, 2).map(|seqs| seqs.len()), Some(DISPLACED_KEPT));
    }
}
