//! What JetStream of one core tells JetStream of another. Both are this process.
//!
//! ```text
//!   shard 0 ── Introduce ──▶ the caller's core ── Introduced ──▶ shard 0
//!   shard 0 ── Create, Restore, Update, Delete, Request ──▶ owner of the stream
//!   shard 0 ◀── Created, Refused, Unchanged, Deleted ────── owner
//!   shard 0 ── Gather ──▶ every core ── Gathered ──▶ shard 0
//!   every core ── Used ──▶ all others
//!   owner of a stream ── Nobody ──▶ the requester's core
//! ```

use rkyv::{Archive, Deserialize, Serialize};

use super::outbox::Timed;
use crate::types::{AccountId, Mono, ShardId};

/// An API request as it came.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct Request {
    /// When it came, in nanoseconds of the clock that all cores share.
    pub came_ns: u64,
    pub account: u32,
    pub subject: Vec<u8>,
    pub reply: Vec<u8>,
    pub headers: Vec<u8>,
    pub body: Vec<u8>,
    /// Its answer is told to whoever listens.
    pub is_audited: bool,
    /// Who asked, as advisories tell it; empty where none will.
    pub client: Vec<u8>,
}

impl Request {
    pub fn account(&self) -> AccountId {
        AccountId(self.account)
    }

    /// Its answer is measured from when it came.
    pub fn timed(&self) -> Timed {
        Timed::Call(Mono(self.came_ns))
    }
}

/// A stream as the registry knows it.
#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub struct StreamCard {
    pub account: u32,
    pub name: String,
    /// Its checked configuration, in JSON.
    pub config: Vec<u8>,
    /// Given out once: a name's next stream has a higher one.
    pub incarnation: u64,
}

impl StreamCard {
    pub fn account(&self) -> AccountId {
        AccountId(self.account)
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Archive, Serialize, Deserialize)]
pub enum Letter {
    /// A request of a client of the receiver: it is to come back with what is known of that.
    Introduce {
        conn: u64,
        request: Request,
    },
    Introduced(Request),
    /// A request for a stream of the receiver.
    Request(Request),
    /// Make this stream and answer the request. One that exists just as asked for answers too.
    Create {
        card: StreamCard,
        request: Request,
    },
    /// Make this stream out of a snapshot, and tell the asker where to send it.
    Restore {
        card: StreamCard,
        request: Request,
    },
    Update {
        card: StreamCard,
        request: Request,
    },
    Delete {
        request: Request,
    },
    /// Answer a create or update that was carried out.
    Tell(Request),
    /// The stream that a create was for is there, with this configuration.
    Created(StreamCard),
    /// It is not, and its name is free.
    Refused {
        account: u32,
        name: String,
        incarnation: u64,
    },
    /// An update was refused by the owner: the stream is as it was.
    Unchanged {
        kept: StreamCard,
        /// The configuration that it did not take.
        refused: Vec<u8>,
    },
    /// It is gone for good.
    Deleted {
        account: u32,
        name: String,
        incarnation: u64,
    },
    /// It could not be deleted: the log refused.
    Stays {
        account: u32,
        name: String,
        incarnation: u64,
    },
    /// What a core found in its logs; its first letter.
    Report(Vec<StreamCard>),
    /// Another core has a younger stream of this name: delete yours.
    Supersede(StreamCard),
    /// A request was refused, for the count.
    Failed,
    /// Tell of your streams of an account: their infos, or the sums only.
    Gather {
        id: u32,
        account: u32,
        names: Option<Vec<String>>,
    },
    Gathered {
        id: u32,
        usage: Usage,
        infos: Vec<(String, Vec<u8>)>,
    },
    /// What the streams of a core use now.
    Used(Amounts),
    /// A request of a client of the receiver named a consumer that is not there.
    Nobody {
        conn: u64,
        subject: Vec<u8>,
        reply: Vec<u8>,
    },
}

/// Bytes of messages in memory and in files, by the reference's count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Archive, Serialize, Deserialize)]
pub struct Amounts {
    pub memory: u64,
    pub file: u64,
}

/// What an account uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Archive, Serialize, Deserialize)]
pub struct Usage {
    pub memory: u64,
    pub file: u64,
    pub reserved_memory: u64,
    pub reserved_file: u64,
    pub streams: u64,
    /// Those of mirrors and sources aside.
    pub consumers: u64,
    pub messages: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.file += other.file;
        self.reserved_memory = self.reserved_memory.saturating_add(other.reserved_memory);
        self.reserved_file = self.reserved_file.saturating_add(other.reserved_file);
        self.streams += other.streams;
        self.consumers += other.consumers;
        self.messages += other.messages;
    }
}

impl Letter {
    pub fn encode(&self) -> Vec<u8> {
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(self).expect("plain values");
        bytes.to_vec()
    }

    /// `None`: not a letter, which is a bug of the sender.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        rkyv::from_bytes::<Self, rkyv::rancor::Error>(&aligned).ok()
    }
}

/// A letter on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Posting {
    pub to: ShardId,
    pub letter: Letter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_arrive_as_written() {
        let request = Request {
            came_ns: 0,
            account: 3,
            subject: b"$JS.API.STREAM.INFO.S".to_vec(),
            reply: b"_INBOX.1".to_vec(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
            is_audited: false,
            client: Vec::new(),
        };
        let letter = Letter::Request(request);
        assert_eq!(Letter::decode(&letter.encode()), Some(letter));
        assert_eq!(Letter::decode(b"xx"), None);
    }
}
