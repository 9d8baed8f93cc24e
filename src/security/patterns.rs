//! Lists of subject patterns, asked whether one of them fits a subject.
//!
//! What is asked about may itself be a pattern (the subject of a SUB): its wildcards then count
//! as ordinary tokens.

use std::collections::HashSet;

use ahash::RandomState;

use crate::types::pattern::{self, Pattern, Shape};

/// Literals are one look-up; the others are tried one by one.
#[derive(Debug, Default)]
pub struct PatternSet {
    literals: HashSet<Box<[u8]>, RandomState>,
    wild: Vec<Box<[u8]>>,
}

impl PatternSet {
    /// Leaves out what is no pattern; the configuration has refused it already.
    pub fn new<'p>(patterns: impl Iterator<Item = &'p str>) -> Self {
        let mut set = Self::default();
        for text in patterns {
            match Pattern::parse(text.as_bytes()).map(Pattern::shape) {
                None => {}
                Some(Shape::Literal) => _ = set.literals.insert(text.as_bytes().into()),
                Some(_) => set.wild.push(text.as_bytes().into()),
            }
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.wild.is_empty()
    }

    /// Whether one of them fits. `subject` has no empty token.
    pub fn fits(&self, subject: &[u8]) -> bool {
        self.literals.contains(subject)
            || self.wild.iter().any(|pattern| pattern::covers(pattern, subject))
    }

    /// Whether one of them encloses a pattern.
    pub fn covers(&self, asked: &[u8]) -> bool {
        self.literals.contains(asked) || self.wild.iter().any(|pattern| encloses(pattern, asked))
    }

    /// Whether some subject fits both `asked` and one of them.
    pub fn overlaps(&self, asked: &[u8]) -> bool {
        let mut all = self.literals.iter().chain(&self.wild);
        all.any(|pattern| overlap(pattern, asked))
    }
}

/// Whether all that fits `asked` fits `pattern`. Unlike the reference a final `>` needs a `>`:
/// there `nn.*` lets in `nn.>`, and with it `nn.a.b`.
pub fn encloses(pattern: &[u8], asked: &[u8]) -> bool {
    pattern::covers(pattern, asked) && (!is_open(asked) || is_open(pattern))
}

/// Ends in the token `>`.
fn is_open(pattern: &[u8]) -> bool {
    pattern == b">" || pattern.ends_with(b".>")
}

/// Whether some subject fits both patterns.
pub fn overlap(one: &[u8], other: &[u8]) -> bool {
    let mut one = one.split(|&byte| byte == b'.');
    let mut other = other.split(|&byte| byte == b'.');
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(b"*"), Some(_)) | (Some(_), Some(b"*")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(patterns: &[&str]) -> PatternSet {
        PatternSet::new(patterns.iter().copied())
    }

    #[test]
    fn one_fitting_pattern_is_enough() {
        let set = set(&["a", "b.*", "c.>", "d..e"]);
        for subject in ["a", "b.x", "c.x.y", "b.*", "b.>"] {
            assert!(set.fits(subject.as_bytes()), "{subject}");
        }
        for subject in ["b", "b.x.y", "c", "d..e", "x"] {
            assert!(!set.fits(subject.as_bytes()), "{subject}");
        }
        assert!(PatternSet::default().is_empty() && !set.is_empty());
    }

    #[test]
    fn what_is_covered_lies_wholly_inside() {
        let set = set(&["k.a", "nn.*", "o.>", "*.z"]);
        for asked in ["k.a", "nn.a", "nn.*", "o.>", "o.*", "o.*.x", "o.a.>", "*.z"] {
            assert!(set.covers(asked.as_bytes()), "{asked}");
        }
        for asked in ["k.*", "*.a", "nn.*.*", ">", "nn.>", "o", "*.*"] {
            assert!(!set.covers(asked.as_bytes()), "{asked}");
        }
    }

    #[test]
    fn patterns_overlap_if_a_subject_fits_both() {
        let rows = [
            ("s.>", "*.a", true),
            ("s.>", ">", true),
            ("s.>", "s", false),
            ("a.*.c", "a.b.*", true),
            ("a.b", "a.c", false),
            ("a.b", "a.b.>", false),
            ("a.b", "a.b", true),
            ("a", "*", true),
        ];
        for (one, other, expected) in rows {
            assert_eq!(overlap(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(overlap(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }
}
