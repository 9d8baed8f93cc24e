//! nkey users: the server sends a nonce in INFO, the client signs it with its key.

use std::fmt;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::{KeyPair, KeyPairType};
use sha2::{Digest, Sha256};

use crate::types::ClientId;

/// Bytes of a nonce before and after base64.
const NONCE_BYTES: usize = 11;
const NONCE_TEXT: usize = 15;

/// Known to this server process alone: what makes nonces unpredictable.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NonceKey(pub [u8; 32]);

impl fmt::Debug for NonceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// What one connection has to sign. Each connection has its own, which need not be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonce([u8; NONCE_TEXT]);

impl Nonce {
    pub fn new(key: &NonceKey, client: ClientId) -> Self {
        let digest = Sha256::new().chain_update(key.0).chain_update(client.0.to_le_bytes());
        let digest = digest.finalize();
        let mut text = [0; NONCE_TEXT];
        BASE64URL_NOPAD.encode_mut(&digest[..NONCE_BYTES], &mut text);
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("base64 is ASCII")
    }
}

/// A public key of a user: `U…`.
pub fn is_user_key(text: &str) -> bool {
    KeyPair::from_public_key(text).is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User)
}

/// Whether `signature` (base64 for URLs, or the usual one) over the nonce was made with `key`.
pub fn verify(key: &str, nonce: &Nonce, signature: &str) -> bool {
    let signature = signature.as_bytes();
    let decoded = BASE64URL_NOPAD.decode(signature).or_else(|_| BASE64.decode(signature));
    let Ok(signature) = decoded else { return false };
    KeyPair::from_public_key(key).is_ok_and(|pair| pair.verify(&nonce.0, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_of_a_user_is_one() {
        assert!(is_user_key(&KeyPair::new_user().public_key()));
        assert!(!is_user_key(&KeyPair::new_account().public_key()));
        assert!(!is_user_key(&KeyPair::new_user().seed().unwrap()));
        assert!(!is_user_key("U"));
    }

    #[test]
    fn a_signature_holds_for_its_nonce_and_key_in_both_alphabets() {
        let pair = KeyPair::new_user();
        let (key, other) = (pair.public_key(), KeyPair::new_user().public_key());
        let nonce = Nonce::new(&NonceKey([1; 32]), ClientId(7));
        let signature = pair.sign(nonce.as_str().as_bytes()).unwrap();
        let (url, usual) = (BASE64URL_NOPAD.encode(&signature), BASE64.encode(&signature));
        assert!(verify(&key, &nonce, &url) && verify(&key, &nonce, &usual));
        assert!(!verify(&other, &nonce, &url));
        assert!(!verify(&key, &Nonce::new(&NonceKey([1; 32]), ClientId(8)), &url));
        assert!(
            !verify(&key, &nonce, "") && !verify(&key, &nonce, "!") && !verify("U", &nonce, &url)
        );
    }

    #[test]
    fn nonces_differ_by_connection_and_by_server() {
        let nonce = |key, client| Nonce::new(&NonceKey([key; 32]), ClientId(client));
        assert_eq!(nonce(1, 1).as_str().len(), 15);
        assert_ne!(nonce(1, 1), nonce(1, 2));
        assert_ne!(nonce(1, 1), nonce(2, 1));
    }
}
