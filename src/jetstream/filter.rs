//! Which subjects a reader wants.

use crate::storage::{StreamIndex, SubjectId};
use crate::types::Pattern;
use crate::types::limits::FILTER_VERDICTS_KEPT;
use crate::types::pattern::{Shape, covers};

/// None, one or many patterns; none means every subject.
///
/// A filter with wildcards remembers its verdicts by subject, for one stream: use it with one
/// store only.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    patterns: Box<[Box<[u8]>]>,
    is_literal: bool,
    /// By subject id modulo the length; empty until the first question.
    verdicts: Vec<Verdict>,
}

/// What a filter said of a subject. Ids are given anew, so the birth tells whose it was.
#[derive(Clone, Copy, Debug, Default)]
struct Verdict {
    id: SubjectId,
    /// 0: no verdict.
    birth: u32,
    matches: bool,
}

impl Filter {
    /// Every subject.
    pub fn all() -> Self {
        Self::default()
    }

    /// What any of the patterns covers; no patterns: every subject. `None`: not a pattern.
    pub fn new<T: AsRef<[u8]>>(patterns: &[T]) -> Option<Self> {
        let mut is_literal = !patterns.is_empty();
        let mut texts = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let pattern = Pattern::parse(pattern.as_ref())?;
            if pattern.bytes() == b">" {
                return Some(Self::all());
            }
            is_literal &= pattern.shape() == Shape::Literal;
            texts.push(pattern.bytes().into());
        }
        Some(Self { patterns: texts.into_boxed_slice(), is_literal, verdicts: Vec::new() })
    }

    pub fn is_all(&self) -> bool {
        self.patterns.is_empty()
    }

    /// All patterns are plain subjects, and there is one.
    pub fn is_literal(&self) -> bool {
        self.is_literal
    }

    pub fn patterns(&self) -> impl Iterator<Item = Pattern<'_>> {
        self.patterns.iter().filter_map(|pattern| Pattern::parse(pattern))
    }

    pub fn matches(&self, subject: &[u8]) -> bool {
        match self.is_literal {
            true => self.patterns.iter().any(|pattern| &**pattern == subject),
            false => self.is_all() || self.patterns.iter().any(|pattern| covers(pattern, subject)),
        }
    }

    /// As [`Self::matches`] for a subject of the stream.
    pub(super) fn wants(&mut self, index: &StreamIndex, id: SubjectId) -> bool {
        if self.is_all() {
            return true;
        }
        let Some(subject) = index.subjects().get(id) else { return false };
        if self.is_literal {
            return self.matches(&subject.name);
        }
        if self.verdicts.is_empty() {
            self.verdicts.resize(FILTER_VERDICTS_KEPT, Verdict::default());
        }
        let at = id.0 as usize % FILTER_VERDICTS_KEPT;
        let known = self.verdicts[at];
        if known.id == id && known.birth == subject.birth {
            return known.matches;
        }
        let matches = self.matches(&subject.name);
        self.verdicts[at] = Verdict { id, birth: subject.birth, matches };
        matches
    }

    /// Bytes of memory beside itself.
    pub fn memory(&self) -> usize {
        let texts: usize = self.patterns.iter().map(|pattern| pattern.len() + 16).sum();
        texts + self.verdicts.capacity() * size_of::<Verdict>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_wants_everything() {
        assert!(Filter::all().matches(b"a.b"));
        assert!(Filter::new::<&[u8]>(&[]).is_some_and(|filter| filter.is_all()));
        assert!(Filter::new(&["a", ">"]).is_some_and(|filter| filter.is_all()));
        assert!(Filter::new(&["a..b"]).is_none());
    }

    #[test]
    fn any_of_the_patterns() {
        let filter = Filter::new(&["a.*", "b.c"]).unwrap();
        let rows = [("a.b", true), ("a.b.c", false), ("b.c", true), ("b.d", false)];
        for (subject, wanted) in rows {
            assert_eq!(filter.matches(subject.as_bytes()), wanted, "{subject}");
        }
    }

    #[test]
    fn a_verdict_dies_with_its_subject() {
        use crate::storage::{Form, Place, SegmentNo, Seq};
        let mut index = StreamIndex::new(0);
        let place = Place { segment: SegmentNo(1), offset: 0, len: 50 };
        let mut filter = Filter::new(&["a.*"]).unwrap();
        index.add(Seq(1), place, b"a.b", Form::default());
        let id = index.get(Seq(1)).unwrap().subject;
        assert!(filter.wants(&index, id));
        index.remove(Seq(1));
        index.add(Seq(2), place, b"b.b", Form::default());
        assert_eq!(index.get(Seq(2)).unwrap().subject, id, "the id is used again");
        assert!(!filter.wants(&index, id));
    }
}
