//! The bytes cores send each other: frames in a batch.
//!
//! ```text
//!   frame   = length u32 · kind u8 · rest
//!   message = flags u8 · groups u16 · origin shard u16 · origin connection u64 · account u32
//!           · ask u32 · header_len u32 · subject u32 · reply u32 · header_len text u8
//!           · size text u8 · route u32
//!           · groups × (tried u64 · rounds u8 · length u32 · name) · route · subject · tail
//!   nobody  = ask u32 · subject u32 · subject · reply
//!   credit  = bytes u64          stall, release = connection u64
//!   probe   = id u64 · account u32 · route      probed = id u64      meta = bytes
//!   move    = step u8 · from shard u16 · from connection u64 · number u32 · argument u64
//!   bounce  = connection u64 · subject u32 · subject · reply
//!   times   = began u64 · pushed u64, the last frame of each batch
//! ```
//! Lengths first, little endian. Both ends are this process, so a malformed frame is a bug.

use crate::protocol::Publish;
use crate::types::{AccountId, ConnKey, Mono, ShardId};

/// A message with where it came from: what delivery works on, on any core.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub origin: Origin,
    pub account: AccountId,
    /// Whom it goes to, where that is not its subject: what JetStream delivers keeps the subject
    /// it was stored under.
    pub route: Option<&'a [u8]>,
    pub publish: &'a Publish<'a>,
    /// The tail, put together where the publisher did not write it in canonical form.
    pub tail: &'a [u8],
    /// Names a pending question "did anybody get it?" at the origin; 0 where nobody asks.
    pub ask: u32,
}

impl Origin {
    /// JetStream of a core.
    pub fn service(shard: ShardId) -> Self {
        Self { shard, conn: SERVICE, echo: true }
    }
}

impl<'a> Message<'a> {
    /// What its subscribers are looked up by.
    pub fn routed_by(&self) -> &'a [u8] {
        self.route.unwrap_or(self.publish.subject)
    }
}

/// The connection that published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub shard: ShardId,
    pub conn: ConnKey,
    /// Its own messages come back to it.
    pub echo: bool,
}

/// A queue group that the receiving core must serve with one member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupPart<'a> {
    pub name: &'a [u8],
    /// Cores that had no member left, one bit each.
    pub tried: u64,
    /// How often all cores were tried, and then once more because a member was on the move.
    pub rounds: u8,
}

/// A connection on its way from one core to another (`moving`): where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MoveId {
    pub shard: ShardId,
    pub conn: ConnKey,
    /// Tells attempts of one connection apart.
    pub number: u32,
}

/// What cores tell each other of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveStep {
    /// To the new core: a parcel with the connection's subscriptions comes with this.
    Adopt,
    /// To the old core: the new one does not take it.
    Refused,
    /// To the others: what the connection published at its old core ends here.
    Leaving,
    /// To the old core: that was processed.
    Passed,
    /// From the new core to all: the connection is wanted there from now on, under this key.
    Switch(ConnKey),
    /// To the old core: what the sender has for the connection ends here; to the new: it begins.
    Marker,
    /// To the new core: a parcel with all the rest comes with this.
    Final,
    /// To the new core: the connection ended before it was moved.
    Dead,
}

#[derive(Debug)]
pub enum Frame<'a> {
    Message {
        origin: Origin,
        account: AccountId,
        ask: u32,
        route: Option<&'a [u8]>,
        /// Always with its tail.
        publish: Publish<'a>,
        /// Plain subscribers of the receiving core get it too.
        plain: bool,
        /// Counts against the sender's credit.
        charged: bool,
        groups: Groups<'a>,
    },
    /// A part of a message met nobody.
    Nobody {
        ask: u32,
        subject: &'a [u8],
        reply: &'a [u8],
    },
    /// The sender of this frame has consumed so many charged bytes.
    Credit(u64),
    /// Stop reading this connection for a while; or read on.
    Stall(ConnKey),
    Release(ConnKey),
    /// Say [`Frame::Probed`] when whoever gets this route has room again.
    Probe {
        id: u64,
        account: AccountId,
        route: &'a [u8],
    },
    Probed(u64),
    /// JetStream of one core to JetStream of another.
    Meta(&'a [u8]),
    Move(MoveId, MoveStep),
    /// Nobody was there for a request of a connection that has moved.
    Bounce {
        conn: ConnKey,
        subject: &'a [u8],
        reply: &'a [u8],
    },
    /// For histograms ([`times`]).
    Times,
}

/// Stands for JetStream where a connection is named: no slot is that high.
pub const SERVICE: ConnKey = ConnKey { slot: u32::MAX, generation: 0 };

const MESSAGE: u8 = 1;
const NOBODY: u8 = 2;
const CREDIT: u8 = 3;
const STALL: u8 = 4;
const RELEASE: u8 = 5;
const PROBE: u8 = 6;
const PROBED: u8 = 7;
const META: u8 = 8;
const TIMES: u8 = 9;
const MOVE: u8 = 10;
const BOUNCE: u8 = 11;
pub const TIMES_BYTES: usize = 5 + 8 + 8;

const PLAIN: u8 = 1;
const HPUB: u8 = 2;
const ECHO: u8 = 4;
const CHARGED: u8 = 8;

/// Bytes of a message frame before its groups.
const MESSAGE_HEAD: usize = 5 + 1 + 2 + 2 + 8 + 4 + 4 + 4 + 4 + 4 + 1 + 1 + 4;

/// Appends a message frame and returns its length.
pub fn push_message<'g>(
    out: &mut Vec<u8>,
    message: &Message<'_>,
    plain: bool,
    charged: bool,
    groups: impl Iterator<Item = GroupPart<'g>>,
) -> usize {
    let start = out.len();
    let publish = message.publish;
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    let flags = flag(plain, PLAIN)
        | flag(publish.is_hpub, HPUB)
        | flag(message.origin.echo, ECHO)
        | flag(charged, CHARGED);
    let mut head = [0u8; MESSAGE_HEAD];
    head[4] = MESSAGE;
    head[5] = flags;
    head[8..10].copy_from_slice(&message.origin.shard.0.to_le_bytes());
    head[10..18].copy_from_slice(&message.origin.conn.to_bits().to_le_bytes());
    head[18..22].copy_from_slice(&message.account.0.to_le_bytes());
    head[22..26].copy_from_slice(&message.ask.to_le_bytes());
    head[26..30].copy_from_slice(&(publish.header_len as u32).to_le_bytes());
    head[30..34].copy_from_slice(&(publish.subject.len() as u32).to_le_bytes());
    head[34..38].copy_from_slice(&(publish.reply.map_or(0, <[u8]>::len) as u32).to_le_bytes());
    // As in the tail: an HPUB of no headers is delivered, and crosses, as a plain message.
    let header_text_len = if publish.header_len > 0 { publish.header_len_text.len() } else { 0 };
    head[38] = header_text_len as u8;
    head[39] = publish.size_text.len() as u8;
    let route = message.route.unwrap_or_default();
    head[40..44].copy_from_slice(&(route.len() as u32).to_le_bytes());
    out.reserve(MESSAGE_HEAD + route.len() + publish.subject.len() + message.tail.len());
    out.extend_from_slice(&head);
    let mut count = 0u16;
    for group in groups {
        out.extend_from_slice(&group.tried.to_le_bytes());
        out.push(group.rounds);
        out.extend_from_slice(&(group.name.len() as u32).to_le_bytes());
        out.extend_from_slice(group.name);
        count += 1;
    }
    out.extend_from_slice(route);
    out.extend_from_slice(publish.subject);
    out.extend_from_slice(message.tail);
    out[start + 6..start + 8].copy_from_slice(&count.to_le_bytes());
    close(out, start)
}

pub fn push_nobody(out: &mut Vec<u8>, ask: u32, subject: &[u8], reply: &[u8]) {
    let start = open(out, NOBODY);
    out.extend_from_slice(&ask.to_le_bytes());
    out.extend_from_slice(&(subject.len() as u32).to_le_bytes());
    out.extend_from_slice(subject);
    out.extend_from_slice(reply);
    close(out, start);
}

pub fn push_credit(out: &mut Vec<u8>, bytes: u64) {
    let start = open(out, CREDIT);
    out.extend_from_slice(&bytes.to_le_bytes());
    close(out, start);
}

pub fn push_stall(out: &mut Vec<u8>, conn: ConnKey) {
    let start = open(out, STALL);
    out.extend_from_slice(&conn.to_bits().to_le_bytes());
    close(out, start);
}

pub fn push_release(out: &mut Vec<u8>, conn: ConnKey) {
    let start = open(out, RELEASE);
    out.extend_from_slice(&conn.to_bits().to_le_bytes());
    close(out, start);
}

pub fn push_probe(out: &mut Vec<u8>, id: u64, account: AccountId, route: &[u8]) {
    let start = open(out, PROBE);
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&account.0.to_le_bytes());
    out.extend_from_slice(route);
    close(out, start);
}

pub fn push_probed(out: &mut Vec<u8>, id: u64) {
    let start = open(out, PROBED);
    out.extend_from_slice(&id.to_le_bytes());
    close(out, start);
}

pub fn push_meta(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = open(out, META);
    out.extend_from_slice(bytes);
    close(out, start);
}

pub fn push_move(out: &mut Vec<u8>, id: MoveId, step: MoveStep) {
    let start = open(out, MOVE);
    let (code, argument) = match step {
        MoveStep::Adopt => (0, 0),
        MoveStep::Refused => (1, 0),
        MoveStep::Leaving => (2, 0),
        MoveStep::Passed => (3, 0),
        MoveStep::Switch(there) => (4, there.to_bits()),
        MoveStep::Marker => (5, 0),
        MoveStep::Final => (6, 0),
        MoveStep::Dead => (7, 0),
    };
    out.push(code);
    out.extend_from_slice(&id.shard.0.to_le_bytes());
    out.extend_from_slice(&id.conn.to_bits().to_le_bytes());
    out.extend_from_slice(&id.number.to_le_bytes());
    out.extend_from_slice(&argument.to_le_bytes());
    close(out, start);
}

pub fn push_bounce(out: &mut Vec<u8>, conn: ConnKey, subject: &[u8], reply: &[u8]) {
    let start = open(out, BOUNCE);
    out.extend_from_slice(&conn.to_bits().to_le_bytes());
    out.extend_from_slice(&(subject.len() as u32).to_le_bytes());
    out.extend_from_slice(subject);
    out.extend_from_slice(reply);
    close(out, start);
}

/// Closes a batch: when the oldest of its messages was read, and when it was put into the lane.
pub fn push_times(out: &mut Vec<u8>, began: Mono, pushed: Mono) {
    let start = open(out, TIMES);
    out.extend_from_slice(&began.0.to_le_bytes());
    out.extend_from_slice(&pushed.0.to_le_bytes());
    close(out, start);
}

/// What [`push_times`] noted last. `None`: the batch was not closed by it.
pub fn times(batch: &[u8]) -> Option<(Mono, Mono)> {
    let frame = &batch[batch.len().checked_sub(TIMES_BYTES)?..];
    let mut reader = Reader(frame);
    let is_times = reader.u32() as usize == TIMES_BYTES && reader.u8() == TIMES;
    is_times.then(|| (Mono(reader.u64()), Mono(reader.u64())))
}

fn open(out: &mut Vec<u8>, kind: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    start
}

fn close(out: &mut [u8], start: usize) -> usize {
    let length = out.len() - start;
    let field = u32::try_from(length).expect("a frame is bounded by max_payload and control line");
    out[start..start + 4].copy_from_slice(&field.to_le_bytes());
    length
}

/// The first frame of `batch` and its length; `None` at the end.
pub fn first(batch: &[u8]) -> Option<(Frame<'_>, usize)> {
    let mut reader = Reader(batch);
    if batch.is_empty() {
        return None;
    }
    let length = reader.u32() as usize;
    let mut reader = Reader(&batch[4..length]);
    let frame = match reader.u8() {
        MESSAGE => message(reader),
        NOBODY => {
            let ask = reader.u32();
            let subject_len = reader.u32() as usize;
            let subject = reader.bytes(subject_len);
            Frame::Nobody { ask, subject, reply: reader.0 }
        }
        CREDIT => Frame::Credit(reader.u64()),
        STALL => Frame::Stall(ConnKey::from_bits(reader.u64())),
        RELEASE => Frame::Release(ConnKey::from_bits(reader.u64())),
        PROBE => {
            let (id, account) = (reader.u64(), AccountId(reader.u32()));
            Frame::Probe { id, account, route: reader.0 }
        }
        PROBED => Frame::Probed(reader.u64()),
        META => Frame::Meta(reader.0),
        TIMES => Frame::Times,
        MOVE => moved(reader),
        BOUNCE => {
            let conn = ConnKey::from_bits(reader.u64());
            let subject_len = reader.u32() as usize;
            let subject = reader.bytes(subject_len);
            Frame::Bounce { conn, subject, reply: reader.0 }
        }
        kind => unreachable!("frame kind {kind}"),
    };
    Some((frame, length))
}

fn moved(mut reader: Reader<'_>) -> Frame<'_> {
    let code = reader.u8();
    let shard = ShardId(reader.u16());
    let id = MoveId { shard, conn: ConnKey::from_bits(reader.u64()), number: reader.u32() };
    let argument = reader.u64();
    let step = match code {
        0 => MoveStep::Adopt,
        1 => MoveStep::Refused,
        2 => MoveStep::Leaving,
        3 => MoveStep::Passed,
        4 => MoveStep::Switch(ConnKey::from_bits(argument)),
        5 => MoveStep::Marker,
        6 => MoveStep::Final,
        7 => MoveStep::Dead,
        code => unreachable!("step {code} of a move"),
    };
    Frame::Move(id, step)
}

fn message(mut reader: Reader<'_>) -> Frame<'_> {
    let flags = reader.u8();
    let group_count = reader.u16();
    let shard = ShardId(reader.u16());
    let conn = ConnKey::from_bits(reader.u64());
    let account = AccountId(reader.u32());
    let ask = reader.u32();
    let header_len = reader.u32() as usize;
    let subject_len = reader.u32() as usize;
    let reply_len = reader.u32() as usize;
    let header_text_len = usize::from(reader.u8());
    let size_text_len = usize::from(reader.u8());
    let route_len = reader.u32() as usize;
    let groups = reader.0;
    for _ in 0..group_count {
        reader.u64();
        reader.u8();
        let len = reader.u32() as usize;
        reader.bytes(len);
    }
    let route = (route_len > 0).then(|| reader.bytes(route_len));
    let subject = reader.bytes(subject_len);
    let tail = reader.0;

    // " [reply ][header_len ]size\r\npayload\r\n"
    let mut line = Reader(&tail[1..]);
    let mut word = |len: usize| {
        let text = line.bytes(len);
        line.bytes(1);
        text
    };
    let reply = (reply_len > 0).then(|| word(reply_len));
    let header_len_text = if header_text_len > 0 { word(header_text_len) } else { &[] };
    let size_text = word(size_text_len);
    let payload = &line.0[1..line.0.len() - 2];

    let publish = Publish {
        subject,
        reply,
        header_len,
        size_text,
        header_len_text,
        payload,
        tail: Some(tail),
        is_hpub: flags & HPUB != 0,
    };
    let origin = Origin { shard, conn, echo: flags & ECHO != 0 };
    Frame::Message {
        origin,
        account,
        ask,
        route,
        publish,
        plain: flags & PLAIN != 0,
        charged: flags & CHARGED != 0,
        groups: Groups { reader: Reader(groups), left: group_count },
    }
}

/// The queue groups of a message frame.
#[derive(Debug)]
pub struct Groups<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Groups<'a> {
    type Item = GroupPart<'a>;

    fn next(&mut self) -> Option<GroupPart<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (tried, rounds) = (self.reader.u64(), self.reader.u8());
        let len = self.reader.u32() as usize;
        Some(GroupPart { name: self.reader.bytes(len), tried, rounds })
    }
}

#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.bytes(N).try_into().expect("split at N")
    }

    fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish<'a>(reply: Option<&'a [u8]>, header: &'a [u8], tail: &'a [u8]) -> Publish<'a> {
        Publish {
            subject: b"a.b",
            reply,
            header_len: 4,
            size_text: b"007",
            header_len_text: header,
            payload: b"payload",
            tail: Some(tail),
            is_hpub: !header.is_empty(),
        }
    }

    #[test]
    fn an_hpub_of_no_headers_crosses_as_a_plain_message() {
        let (tail, conn) = (b" 0\r\n\r\n", ConnKey { slot: 0, generation: 0 });
        let publish = Publish {
            subject: b"a",
            reply: None,
            header_len: 0,
            size_text: b"0",
            header_len_text: b"0",
            payload: b"",
            tail: None,
            is_hpub: true,
        };
        let origin = Origin { shard: ShardId(0), conn, echo: true };
        let message =
            Message { origin, account: AccountId(0), route: None, publish: &publish, tail, ask: 0 };
        let mut batch = Vec::new();
        push_message(&mut batch, &message, true, true, std::iter::empty());
        let Some((Frame::Message { publish: got, .. }, _)) = first(&batch) else { panic!() };
        assert_eq!((got.payload, got.size_text), (&b""[..], &b"0"[..]));
    }

    #[test]
    fn a_message_crosses_whole() {
        type Row = (Option<&'static [u8]>, &'static [u8], &'static [u8]);
        let rows: [Row; 3] = [
            (None, b"", b" 007\r\npayload\r\n"),
            (Some(b"in.1"), b"", b" in.1 007\r\npayload\r\n"),
            (Some(b"in.1"), b"4", b" in.1 4 007\r\npayload\r\n"),
        ];
        for (reply, header, tail) in rows {
            let origin =
                Origin { shard: ShardId(3), conn: ConnKey { slot: 9, generation: 2 }, echo: true };
            let publish = publish(reply, header, tail);
            let message = Message {
                origin,
                account: AccountId(7),
                route: Some(b"in.7"),
                publish: &publish,
                tail,
                ask: 5,
            };
            let parts = [
                GroupPart { name: b"g1", tried: 1, rounds: 0 },
                GroupPart { name: b"", tried: 6, rounds: 2 },
            ];
            let mut batch = Vec::new();
            push_credit(&mut batch, 77);
            push_message(&mut batch, &message, true, false, parts.into_iter());
            push_nobody(&mut batch, 8, b"s", b"r");

            let (frame, used) = first(&batch).unwrap();
            assert!(matches!(frame, Frame::Credit(77)));
            let (frame, more) = first(&batch[used..]).unwrap();
            let Frame::Message { publish: got, plain: true, charged: false, groups, .. } = frame
            else {
                panic!("{frame:?}");
            };
            let Frame::Message { origin: from, account, ask, route, .. } =
                first(&batch[used..]).unwrap().0
            else {
                panic!("a message");
            };
            assert_eq!((from, account, ask), (origin, AccountId(7), 5));
            assert_eq!(route, Some(&b"in.7"[..]));
            assert_eq!(got, publish);
            assert_eq!(groups.collect::<Vec<_>>(), parts);
            let (frame, rest) = first(&batch[used + more..]).unwrap();
            assert!(matches!(frame, Frame::Nobody { ask: 8, subject: b"s", reply: b"r" }));
            assert!(first(&batch[used + more + rest..]).is_none());
        }
    }
}
