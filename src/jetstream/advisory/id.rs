//! Identifiers in the form of NUIDs: 22 letters and digits.

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use crate::types::Wall;

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub const ID_LEN: usize = 22;

/// An identifier for what the parts tell at this time. JetStream has no source of chance; the
/// same event told twice within a nanosecond is the same event.
pub fn id_of(now: Wall, parts: &[&[u8]]) -> [u8; ID_LEN] {
    let mut hash = Xxh3::new();
    hash.update(&now.0.to_le_bytes());
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut rest = hash.digest128();
    let mut id = [0; ID_LEN];
    for letter in &mut id {
        *letter = LETTERS[(rest % 62) as usize];
        rest /= 62;
    }
    id
}

/// Eight letters and digits for a text, the same as the reference makes of it.
pub fn hash_of(text: &str) -> String {
    let digest = Sha256::digest(text);
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 62)]);
    digest.iter().take(8).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nats-server 2.15.1 has them: a consumer in a source's header, a stream's identity.
    #[test]
    fn hashes_of_texts() {
        assert_eq!(hash_of("dur"), "lS2bloCe");
        assert_eq!(hash_of("2026-11-22T08:29:01.865193382Z"), "pZyGpk5H");
    }

    #[test]
    fn ids_differ_by_time_and_by_part() {
        let id = id_of(Wall(7), &[b"ab", b"c"]);
        assert!(id.iter().all(u8::is_ascii_alphanumeric));
        assert_eq!(id, id_of(Wall(7), &[b"ab", b"c"]));
        assert_ne!(id, id_of(Wall(8), &[b"ab", b"c"]));
        assert_ne!(id, id_of(Wall(7), &[b"a", b"bc"]));
    }
}
