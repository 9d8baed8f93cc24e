//! XXH3-64, seeded with the position.
//!
//! Chosen over CRC32C because a log meets stale and torn bytes for years: 64 bits make an
//! accident impossible in practice, it needs no CPU flags to run at memory speed, and the seed
//! makes right bytes at a wrong place as bad as wrong bytes.

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub fn of(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// For single records, which a batch's 64 bits cover as well.
pub fn short_of(bytes: &[u8], seed: u64) -> u32 {
    (xxh3_64_with_seed(bytes, seed) >> 32) as u32
}
