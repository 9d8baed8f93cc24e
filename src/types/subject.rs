//! Subjects that messages are published to (facts/core-protocol.md §6).

/// What a subject's tokens are separated by.
pub const SEPARATOR: u8 = b'.';

/// A subject a message can be routed by: dot-separated tokens, none empty.
///
/// Wildcard tokens are allowed here and routed as literal text, as the reference does for
/// clients that are not pedantic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Subject<'a>(&'a [u8]);

impl<'a> Subject<'a> {
    /// The only way to make a `Subject`. `None`: an empty token, which matches nothing.
    pub fn parse(raw: &'a [u8]) -> Option<Self> {
        let mut last = SEPARATOR;
        for &byte in raw {
            if byte == SEPARATOR && last == SEPARATOR {
                return None;
            }
            last = byte;
        }
        (last != SEPARATOR).then_some(Self(raw))
    }

    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub fn tokens(self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&byte| byte == SEPARATOR)
    }

    /// No token is `*` or `>`: what a pedantic client may publish to.
    pub fn is_literal(self) -> bool {
        !self.tokens().any(|token| token == b"*" || token == b">")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tokens_are_no_subject() {
        for raw in ["", ".", "a.", ".a", "a..b", ".."] {
            assert!(Subject::parse(raw.as_bytes()).is_none(), "{raw:?}");
        }
        for raw in ["a", "a.b", "*", "a.>", "a*.b", "\u{e9}.x"] {
            assert!(Subject::parse(raw.as_bytes()).is_some(), "{raw:?}");
        }
    }

    #[test]
    fn wildcards_are_whole_tokens() {
        assert!(Subject(b"a*.b>").is_literal());
        assert!(!Subject(b"a.*").is_literal());
        assert!(!Subject(b">").is_literal());
    }
}
