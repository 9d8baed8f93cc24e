//! Secrets, and what it takes to show that one knows them.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::nkey::{self, Nonce};

/// What a user must know, as the operator wrote it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Plain(Box<str>),
    /// A bcrypt hash of it.
    Hashed(Arc<str>),
}

impl Secret {
    pub fn new(text: &str) -> Self {
        if is_bcrypt(text) { Self::Hashed(text.into()) } else { Self::Plain(text.into()) }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// As the operator wrote it: for comparing two configurations, never for showing.
    pub fn expose(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Hashed(hash) => hash,
        }
    }

    /// Whether this is the secret; `Err` where that takes longer than a turn may.
    pub fn compare(&self, presented: &str) -> Result<bool, Proof> {
        match self {
            Self::Plain(text) => Ok(text.as_bytes().ct_eq(presented.as_bytes()).into()),
            Self::Hashed(hash) => {
                Err(Proof::Password { hash: Arc::clone(hash), presented: presented.into() })
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// A claim whose check takes from fifty microseconds to a quarter of a second: not on a shard.
pub enum Proof {
    Password { hash: Arc<str>, presented: Box<str> },
    Signature { key: Box<str>, nonce: Nonce, signature: Box<str> },
}

impl Proof {
    /// Does the check.
    pub fn holds(&self) -> bool {
        match self {
            // A hash that bcrypt cannot read fits no password.
            Self::Password { hash, presented } => {
                bcrypt::verify(&**presented, hash).unwrap_or(false)
            }
            Self::Signature { key, nonce, signature } => nkey::verify(key, nonce, signature),
        }
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Signature { .. } => "Signature",
        })
    }
}

/// `$2a$11$…`, with a, b, x or y.
fn is_bcrypt(text: &str) -> bool {
    let [b'$', b'2', kind, b'$', tens, ones, b'$', ..] = text.as_bytes() else { return false };
    b"abxy".contains(kind) && tens.is_ascii_digit() && ones.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of "secret" at its lowest cost.
    const HASH: &str = "$2a$04$kYiq29Rt3zD4F8JDJVw3X.Jz8Qn9NMtyDK/t4Oj9wWwJx9Y4QdQfe";

    #[test]
    fn bcrypt_is_told_by_its_prefix() {
        for text in [HASH, "$2y$10$", "$2x$99$anything"] {
            assert!(!Secret::new(text).is_plain(), "{text}");
        }
        for text in ["", "s", "$2a$", "$2c$10$x", "$2a$1$x", "2a$10$x", "$1$10$x"] {
            assert!(Secret::new(text).is_plain(), "{text}");
        }
    }

    #[test]
    fn plain_secrets_are_compared_at_once() {
        let secret = Secret::new("secret");
        for (presented, same) in [("secret", true), ("secreT", false), ("", false), ("se", false)] {
            assert_eq!(secret.compare(presented).unwrap(), same, "{presented}");
        }
    }

    #[test]
    fn hashed_secrets_take_a_proof() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let proof = |presented| Secret::new(&hash).compare(presented).unwrap_err();
        assert!(proof("secret").holds());
        assert!(!proof("Secret").holds());
        assert!(!proof(&hash).holds());
        assert!(!Secret::new("$2a$04$broken").compare("x").unwrap_err().holds());
    }

    #[test]
    fn secrets_are_never_printed() {
        assert_eq!(
            format!("{:?} {:?}", Secret::new("s"), Secret::new(HASH)),
            "[REDACTED] [REDACTED]"
        );
    }
}
