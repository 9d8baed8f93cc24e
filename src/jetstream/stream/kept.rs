//! A publish that has to be kept.

use super::intake::Incoming;

/// A publish with its parts one behind the other.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Box<[u8]>,
    subject: usize,
    reply: usize,
    headers: usize,
}

impl Kept {
    pub fn of(message: &Incoming<'_>) -> Self {
        let Incoming { subject, reply, headers, payload } = *message;
        Self {
            bytes: [subject, reply, headers, payload].concat().into(),
            subject: subject.len(),
            reply: reply.len(),
            headers: headers.len(),
        }
    }

    pub fn incoming(&self) -> Incoming<'_> {
        let (subject, rest) = self.bytes.split_at(self.subject);
        let (reply, rest) = rest.split_at(self.reply);
        let (headers, payload) = rest.split_at(self.headers);
        Incoming { subject, reply, headers, payload }
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}
