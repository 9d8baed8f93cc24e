//! Bytes received but not yet executed: the rest of a command split over two reads, or of a read
//! that a budget or a missing credit cut short.
//!
//! Commands are parsed where the read put them; only a split one is gathered here.

use crate::types::limits::READ_BYTES_MAX;

#[derive(Debug, Default)]
pub struct Inbound {
    stash: Vec<u8>,
    /// Length of the command at the front of `stash`, where its control line told; else 0.
    needed: usize,
}

/// What is missing from the front command before the parser should look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// So many bytes.
    Bytes(usize),
    /// The rest of its control line.
    Line,
}

impl Inbound {
    pub fn is_empty(&self) -> bool {
        self.stash.is_empty()
    }

    /// Sets bytes aside. `needed` as in [`crate::protocol::Step::Incomplete`].
    pub fn stash(&mut self, bytes: &[u8], needed: usize) {
        if needed > self.stash.len() + bytes.len() {
            self.stash.reserve_exact(needed - self.stash.len());
        }
        self.stash.extend_from_slice(bytes);
        self.needed = needed;
    }

    /// Sets bytes aside behind commands that wait already.
    pub fn append(&mut self, bytes: &[u8]) {
        self.stash.extend_from_slice(bytes);
    }

    /// Puts back what [`Inbound::take`] lent, because its command is not whole yet.
    pub fn restore(&mut self, mut stash: Vec<u8>, needed: usize) {
        stash.reserve_exact(needed.saturating_sub(stash.len()));
        self.stash = stash;
        self.needed = needed;
    }

    pub fn missing(&self) -> Missing {
        match self.needed.checked_sub(self.stash.len()) {
            Some(bytes) if bytes > 0 => Missing::Bytes(bytes),
            _ => Missing::Line,
        }
    }

    /// Appends from the front of `bytes` what the front command still misses; returns how many
    /// bytes were taken.
    pub fn complete_from(&mut self, bytes: &[u8]) -> usize {
        let taken = match self.missing() {
            Missing::Bytes(missing) => missing.min(bytes.len()),
            Missing::Line => memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1),
        };
        self.stash.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Lends the stashed bytes to the parser; what it leaves comes back by [`Inbound::stash`].
    pub fn take(&mut self) -> Vec<u8> {
        self.needed = 0;
        std::mem::take(&mut self.stash)
    }

    /// Bytes the front command still misses, if a read straight into the stash pays: the kernel's
    /// copy is then the only one.
    pub fn direct_read_len(&self) -> Option<usize> {
        match self.missing() {
            Missing::Bytes(missing) if !self.stash.is_empty() && missing >= DIRECT_READ_BYTES => {
                Some(missing.min(READ_BYTES_MAX))
            }
            _ => None,
        }
    }

    /// Gives the stash itself to a reader that appends at most [`Inbound::direct_read_len`] bytes.
    pub fn direct(&mut self) -> &mut Vec<u8> {
        &mut self.stash
    }
}

/// Below this the shared buffer serves better: it takes the following commands in the same read.
const DIRECT_READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_the_split_command_misses() {
        let mut inbound = Inbound::default();
        inbound.stash(b"PUB a", 0);
        assert_eq!(inbound.complete_from(b" 3\r\nabc\r\nPING\r\n"), 4);
        let line = inbound.take();
        inbound.restore(line, 14);
        assert_eq!(inbound.missing(), Missing::Bytes(5));
        assert_eq!(inbound.complete_from(b"abc\r\nPING\r\n"), 5);
        assert_eq!(inbound.take(), b"PUB a 3\r\nabc\r\n");
        assert!(inbound.is_empty());
    }

    #[test]
    fn large_payloads_are_read_in_place() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.direct_read_len(), None);
        inbound.stash(b"PUB a 65536\r\n", 13 + 65536 + 2);
        assert_eq!(inbound.direct_read_len(), Some(65538));
    }
}
