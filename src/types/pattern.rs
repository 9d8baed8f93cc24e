//! Patterns that subscriptions ask for: subjects whose tokens may be wildcards.

use super::subject::SEPARATOR;

/// Dot-separated tokens, none empty; `*` stands for one token, a final `>` for one or more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pattern<'a> {
    raw: &'a [u8],
    shape: Shape,
}

/// How a pattern can be looked up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// No wildcards: one hash look-up.
    Literal,
    /// Literal tokens, then one final `*`: one hash look-up of the prefix. The shape of inboxes.
    PrefixStar,
    /// Anything else: a walk.
    Wild,
}

impl<'a> Pattern<'a> {
    /// The only way to make a `Pattern`. `None` is the reference's `Invalid Subject`.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut wildcards = 0u32;
        let mut tokens = 0u32;
        let mut last_is_star = false;
        let mut closed = false;
        for token in raw.split(|&byte| byte == SEPARATOR) {
            if token.is_empty() || closed {
                return None;
            }
            closed = token == b">";
            last_is_star = token == b"*";
            wildcards += u32::from(closed || last_is_star);
            tokens += 1;
        }
        let shape = match wildcards {
            0 => Shape::Literal,
            1 if last_is_star && tokens > 1 => Shape::PrefixStar,
            _ => Shape::Wild,
        };
        Some(Self { raw, shape })
    }

    pub fn bytes(self) -> &'a [u8] {
        self.raw
    }

    pub fn shape(self) -> Shape {
        self.shape
    }

    pub fn tokens(self) -> impl Iterator<Item = &'a [u8]> {
        self.raw.split(|&byte| byte == SEPARATOR)
    }

    /// What every subject it covers begins with: its tokens before the first wildcard, each with
    /// the separator behind it.
    pub fn prefix(self) -> &'a [u8] {
        let mut len = 0;
        for token in self.tokens() {
            if token == b"*" || token == b">" {
                return &self.raw[..len];
            }
            len += token.len() + 1;
        }
        self.raw
    }

    /// Whether the pattern covers a subject. The slow, obvious definition: routing uses indexes,
    /// and is tested against this.
    pub fn matches(self, subject: &[u8]) -> bool {
        covers(self.raw, subject)
    }
}

/// [`Pattern::matches`] for text that was a pattern when it was looked at.
pub fn covers(pattern: &[u8], subject: &[u8]) -> bool {
    let mut subject_tokens = subject.split(|&byte| byte == SEPARATOR);
    for token in pattern.split(|&byte| byte == SEPARATOR) {
        match (token, subject_tokens.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject_tokens.next().is_none()
}

/// Whether a subject could exist that both cover.
pub fn overlap(one: &[u8], other: &[u8]) -> bool {
    let mut others = other.split(|&byte| byte == SEPARATOR);
    for token in one.split(|&byte| byte == SEPARATOR) {
        match (token, others.next()) {
            (_, None) => return false,
            (b">", Some(_)) | (_, Some(b">")) => return true,
            (b"*", Some(_)) | (_, Some(b"*")) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    others.next().is_none()
}

/// Whether `wide` covers every subject that `narrow` covers.
pub fn includes(wide: &[u8], narrow: &[u8]) -> bool {
    let mut narrows = narrow.split(|&byte| byte == SEPARATOR);
    for token in wide.split(|&byte| byte == SEPARATOR) {
        match (token, narrows.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (_, Some(b">")) => return false,
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    narrows.next().is_none()
}

/// Whether one of the two includes the other.
pub fn nested(one: &[u8], other: &[u8]) -> bool {
    includes(one, other) || includes(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let shape = |raw: &'static str| Pattern::parse(raw.as_bytes()).map(Pattern::shape);
        for raw in ["a", "a.b", "a.b*", "a>"] {
            assert_eq!(shape(raw), Some(Shape::Literal), "{raw}");
        }
        for raw in ["a.*", "_INBOX.x.*"] {
            assert_eq!(shape(raw), Some(Shape::PrefixStar), "{raw}");
        }
        for raw in ["*", ">", "a.>", "*.*", "a.*.b", "*.b"] {
            assert_eq!(shape(raw), Some(Shape::Wild), "{raw}");
        }
        for raw in ["", ".", "a.", ".a", "a..b", "a.>.b", ">.>"] {
            assert_eq!(shape(raw), None, "{raw}");
        }
    }

    #[test]
    fn prefixes() {
        for (raw, prefix) in
            [("a.b", "a.b"), ("a.*", "a."), ("a.b.>", "a.b."), ("*.b", ""), (">", "")]
        {
            let pattern = Pattern::parse(raw.as_bytes()).unwrap();
            assert_eq!(pattern.prefix(), prefix.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn matching() {
        let rows = [
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.*", "a.b", true),
            ("a.b", "a.b", true),
            ("a.b", "a.c", false),
        ];
        for (pattern, subject, expected) in rows {
            let parsed = Pattern::parse(pattern.as_bytes()).unwrap();
            assert_eq!(parsed.matches(subject.as_bytes()), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn overlapping() {
        let rows = [
            ("a", "a", true),
            ("a", "b", false),
            ("a.*", "a.b", true),
            ("a.*.c", "a.b.*", true),
            ("a.*.c", "a.b.d", false),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "*.b", true),
            (">", "x", true),
            ("*", "a.b", false),
            ("*.*", "$JS.>", true),
            ("*", "$JS.>", false),
        ];
        for (one, other, expected) in rows {
            let (a, b) = (one.as_bytes(), other.as_bytes());
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn including() {
        let rows = [
            ("a.*", "a.b", true),
            ("a.b", "a.*", false),
            ("a.>", "a.*.c", true),
            ("a.*", "a.>", false),
            ("a.>", "a.>", true),
            ("a.>", "a", false),
            (">", ">", true),
            ("*.b", "a.*", false),
            ("a.*", "a.b.c", false),
        ];
        for (wide, narrow, expected) in rows {
            let (wide, narrow) = (wide.as_bytes(), narrow.as_bytes());
            assert_eq!(includes(wide, narrow), expected, "{wide:?} {narrow:?}");
            assert!(!expected || nested(narrow, wide));
        }
        assert!(!nested(b"*.b", b"a.*"));
    }
}
