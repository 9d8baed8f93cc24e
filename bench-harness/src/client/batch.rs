//! A ring of pre-encoded `PUB`s: encoding costs a message three stores, and sending costs one
//! write for many messages.

use crate::payload::{self, Stamp};

/// Asked for where progress is measured by what the server has taken.
const PING: &[u8] = b"PING\r\n";

pub struct Batch {
    /// All messages of the ring, each `stride` bytes, then one `PING`.
    bytes: Vec<u8>,
    stride: usize,
    payload_at: usize,
    payload_len: usize,
    publisher: u32,
    /// Sequence of the first message of the ring as it is stamped now.
    first_seq: u64,
    /// Messages' bytes written to the socket in this round of the ring.
    written: usize,
    /// Bytes of the `PING` still to be written before anything else.
    ping_left: usize,
}

impl Batch {
    /// One message for each subject in turn, and at least `bytes_min` in all. The subjects, each
    /// with a blank and a reply subject behind it where answers are wanted, must be equally long, so that every message has the same stride.
    pub fn new(publisher: u32, subjects: &[String], size: usize, bytes_min: usize) -> Self {
        let head = |subject: &String| format!("PUB {subject} {size}\r\n");
        let payload_at = head(&subjects[0]).len();
        let stride = payload_at + size + 2;
        let rounds = bytes_min.div_ceil(stride * subjects.len()).max(1);
        let template = payload::template(publisher, size);
        let mut bytes = Vec::with_capacity(rounds * subjects.len() * stride + PING.len());
        for subject in (0..rounds).flat_map(|_| subjects) {
            assert_eq!(subject.len(), subjects[0].len(), "subjects of one batch are equally long");
            bytes.extend_from_slice(head(subject).as_bytes());
            bytes.extend_from_slice(&template);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(PING);
        let mut batch = Self {
            bytes,
            stride,
            payload_at,
            payload_len: size,
            publisher,
            first_seq: 0,
            written: 0,
            ping_left: 0,
        };
        batch.stamp();
        batch
    }

    /// Messages of which at least the first byte is with the kernel.
    pub fn begun(&self) -> u64 {
        self.first_seq + self.written.div_ceil(self.stride) as u64
    }

    pub fn publisher(&self) -> u32 {
        self.publisher
    }

    pub fn stride(&self) -> usize {
        self.stride
    }

    /// No message and no `PING` is half written.
    pub fn is_at_boundary(&self) -> bool {
        self.ping_left == 0 && self.written.is_multiple_of(self.stride)
    }

    /// What to write next, whole messages: as many as `bytes_max` touches and at most
    /// `messages_max` further ones.
    pub fn next_slice(&self, bytes_max: usize, messages_max: u64) -> &[u8] {
        let ring_end = self.bytes.len() - PING.len();
        if self.ping_left > 0 {
            return &self.bytes[self.bytes.len() - self.ping_left..];
        }
        let begun = self.written.next_multiple_of(self.stride);
        let bytes_max = bytes_max.min(ring_end);
        let more = usize::try_from(messages_max).unwrap_or(usize::MAX).saturating_mul(self.stride);
        let want = self.written.saturating_add(bytes_max).next_multiple_of(self.stride);
        let end = want.min(begun.saturating_add(more)).min(ring_end);
        &self.bytes[self.written..end]
    }

    pub fn advance(&mut self, bytes: usize) {
        if self.ping_left > 0 {
            self.ping_left -= bytes;
            return;
        }
        self.written += bytes;
        if self.written == self.bytes.len() - PING.len() {
            self.first_seq += (self.written / self.stride) as u64;
            self.written = 0;
            self.stamp();
        }
    }

    /// Puts a `PING` before the next message. Only at a boundary.
    pub fn ping(&mut self) {
        assert!(self.is_at_boundary(), "a PING inside a message would be its payload");
        self.ping_left = PING.len();
    }

    fn stamp(&mut self) {
        let ring_end = self.bytes.len() - PING.len();
        let messages = self.bytes[..ring_end].chunks_exact_mut(self.stride);
        for (seq, message) in (self.first_seq..).zip(messages) {
            let payload = &mut message[self.payload_at..self.payload_at + self.payload_len];
            payload::write(payload, Stamp { publisher: self.publisher, seq });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_slicing_gives_one_unbroken_stream() {
        let subjects = ["a.1".to_string(), "a.2".to_string()];
        for step in [1, 7, 30, 64, 1000] {
            let mut batch = Batch::new(3, &subjects, 16, 200);
            let mut sent = Vec::new();
            while batch.begun() < 20 || !batch.is_at_boundary() {
                let slice = batch.next_slice(step, u64::MAX);
                let taken = slice.len().min(step);
                sent.extend_from_slice(&slice[..taken]);
                batch.advance(taken);
            }
            for (seq, message) in sent.chunks(batch.stride()).enumerate() {
                let head = format!("PUB a.{} 16\r\n", 1 + seq % 2);
                assert!(message.starts_with(head.as_bytes()), "step {step} message {seq}");
                let stamp = payload::read(&message[head.len()..head.len() + 16], 16);
                assert_eq!(stamp, Some(Stamp { publisher: 3, seq: seq as u64 }));
            }
        }
    }

    #[test]
    fn a_limit_of_messages_holds_at_any_point() {
        let mut batch = Batch::new(0, &["s".to_string()], 16, 500);
        batch.advance(5);
        assert_eq!(batch.next_slice(usize::MAX, 0).len(), batch.stride() - 5);
        batch.advance(batch.stride() - 5);
        assert!(batch.next_slice(usize::MAX, 0).is_empty());
        assert_eq!(batch.next_slice(usize::MAX, 2).len(), 2 * batch.stride());
    }
}
