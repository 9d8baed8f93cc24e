//! Messages without content that tell a client what became of its pull, or that nothing happens:
//! `NATS/1.0 408 Request Timeout` and its like (facts/jetstream-api.md §10).

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use crate::types::AccountId;

use super::super::outbox::{Outbox, Outgoing};
use super::ConsumerSeq;
use crate::storage::Seq;

/// Why a pull ends, or never began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status<'a> {
    BadRequest(&'a str),
    NoMessages,
    RequestTimeout,
    RequestsPending,
    MessageTooLarge,
    BatchCompleted,
    ExceededBatch(i64),
    /// Nanoseconds.
    ExceededExpires(u64),
    ExceededBytes(i64),
    ExceededWaiting,
    PushBased,
    ConsumerDeleted,
    ServerShutdown,
    RequiredApiLevel,
    PinMismatch,
    WrongPin,
}

impl Display for Status<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadRequest(why) => write!(f, "400 Bad Request - {why}"),
            Self::NoMessages => f.write_str("404 No Messages"),
            Self::RequestTimeout => f.write_str("408 Request Timeout"),
            Self::RequestsPending => f.write_str("408 Requests Pending"),
            Self::MessageTooLarge => f.write_str("409 Message Size Exceeds MaxBytes"),
            Self::BatchCompleted => f.write_str("409 Batch Completed"),
            Self::ExceededBatch(most) => write!(f, "409 Exceeded MaxRequestBatch of {most}"),
            Self::ExceededExpires(most) => {
                f.write_str("409 Exceeded MaxRequestExpires of ")?;
                go_duration(f, *most)
            }
            Self::ExceededBytes(most) => write!(f, "409 Exceeded MaxRequestMaxBytes of {most}"),
            Self::ExceededWaiting => f.write_str("409 Exceeded MaxWaiting"),
            Self::PushBased => f.write_str("409 Consumer is push based"),
            Self::ConsumerDeleted => f.write_str("409 Consumer Deleted"),
            Self::ServerShutdown => f.write_str("409 Server Shutdown"),
            Self::RequiredApiLevel => f.write_str("412 Required Api Level"),
            Self::PinMismatch => f.write_str("423 Nats-Pin-Id mismatch"),
            Self::WrongPin => f.write_str("423 Nats-Wrong-Pin-Id"),
        }
    }
}

/// What a pull did not get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unserved {
    pub messages: i64,
    pub bytes: i64,
}

/// A header block without its empty line.
#[derive(Debug, Default)]
struct Block(Vec<u8>);

/// Ends a pull, or refuses it.
pub fn send(out: &mut Outbox, account: AccountId, inbox: &[u8], status: &Status<'_>) {
    send_block(out, account, inbox, Block::status(status));
}

/// Ends a pull and tells what it did not get.
pub fn send_unserved(
    out: &mut Outbox,
    account: AccountId,
    inbox: &[u8],
    status: &Status<'_>,
    left: Unserved,
) {
    let mut block = Block::status(status);
    block.line("Nats-Pending-Messages", left.messages);
    block.line("Nats-Pending-Bytes", left.bytes);
    send_block(out, account, inbox, block);
}

/// Tells that there is nothing to deliver, and what was last.
pub fn send_heartbeat(
    out: &mut Outbox,
    account: AccountId,
    route: &[u8],
    last: (ConsumerSeq, Seq),
    stalled: Option<&[u8]>,
) {
    let mut block = Block::default();
    block.0.extend_from_slice(b"NATS/1.0 100 Idle Heartbeat\r\n");
    block.line("Nats-Last-Consumer", last.0.0);
    block.line("Nats-Last-Stream", last.1.0);
    if let Some(subject) = stalled {
        block.line("Nats-Consumer-Stalled", String::from_utf8_lossy(subject));
    }
    send_block(out, account, route, block);
}

/// Asks a push client to answer once it has processed everything before.
pub fn send_flow_control(out: &mut Outbox, account: AccountId, route: &[u8], reply: &[u8]) {
    let headers = b"NATS/1.0 100 FlowControl Request\r\n\r\n";
    let message = Outgoing { reply, headers, ..Outgoing::plain(route, b"") };
    out.publish(account, message);
}

fn send_block(out: &mut Outbox, account: AccountId, route: &[u8], mut block: Block) {
    block.0.extend_from_slice(b"\r\n");
    out.publish(account, Outgoing { headers: &block.0, ..Outgoing::plain(route, b"") });
}

impl Block {
    fn status(status: &Status<'_>) -> Self {
        let mut block = Self::default();
        let _ = write!(block.0, "NATS/1.0 {status}\r\n");
        block
    }

    fn line(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.0, "{name}: {value}\r\n");
    }
}

/// A duration as Go prints it: `1s`, `1m30s`, `1.5ms`, `250µs`, `7ns`.
pub fn go_duration(f: &mut std::fmt::Formatter<'_>, ns: u64) -> std::fmt::Result {
    const SECOND: u64 = 1_000_000_000;
    if ns == 0 {
        return f.write_str("0s");
    }
    let (unit, name) = match ns {
        ..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..SECOND => (1_000_000, "ms"),
        _ => (SECOND, "s"),
    };
    let minutes = ns / (60 * SECOND);
    if minutes >= 60 {
        write!(f, "{}h", minutes / 60)?;
    }
    if minutes > 0 {
        write!(f, "{}m", minutes % 60)?;
    }
    let rest = if unit == SECOND { ns % (60 * SECOND) } else { ns };
    write!(f, "{}", rest / unit)?;
    let fraction = rest % unit;
    if fraction > 0 {
        let width = unit.ilog10() as usize;
        let digits = format!("{fraction:0width$}");
        f.write_char('.')?;
        f.write_str(digits.trim_end_matches('0'))?;
    }
    f.write_str(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct GoDuration(u64);

    impl Display for GoDuration {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            go_duration(f, self.0)
        }
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (ns, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (1_050_000_000, "1.05s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_661_000_000_001, "1h1m1.000000001s"),
        ] {
            assert_eq!(GoDuration(ns).to_string(), text);
        }
    }

    fn one(out: &mut Outbox) -> (String, String) {
        let (_, message) = out.first().unwrap();
        let headers = String::from_utf8_lossy(message.headers).into_owned();
        let reply = String::from_utf8_lossy(message.reply).into_owned();
        assert!(message.payload.is_empty());
        out.pop();
        (headers, reply)
    }

    /// The exact lines 2.15.1 sends (facts §10).
    #[test]
    fn every_status_line() {
        let rows: &[(Status<'_>, &str)] = &[
            (
                Status::BadRequest("heartbeat value too large"),
                "400 Bad Request - heartbeat value too large",
            ),
            (Status::NoMessages, "404 No Messages"),
            (Status::RequestTimeout, "408 Request Timeout"),
            (Status::RequestsPending, "408 Requests Pending"),
            (Status::MessageTooLarge, "409 Message Size Exceeds MaxBytes"),
            (Status::BatchCompleted, "409 Batch Completed"),
            (Status::ExceededBatch(2), "409 Exceeded MaxRequestBatch of 2"),
            (Status::ExceededExpires(1_000_000_000), "409 Exceeded MaxRequestExpires of 1s"),
            (Status::ExceededBytes(100), "409 Exceeded MaxRequestMaxBytes of 100"),
            (Status::ExceededWaiting, "409 Exceeded MaxWaiting"),
            (Status::PushBased, "409 Consumer is push based"),
            (Status::ConsumerDeleted, "409 Consumer Deleted"),
            (Status::ServerShutdown, "409 Server Shutdown"),
            (Status::RequiredApiLevel, "412 Required Api Level"),
            (Status::PinMismatch, "423 Nats-Pin-Id mismatch"),
            (Status::WrongPin, "423 Nats-Wrong-Pin-Id"),
        ];
        let mut out = Outbox::default();
        for (status, line) in rows {
            send(&mut out, AccountId::GLOBAL, b"inbox", status);
            assert_eq!(one(&mut out).0, format!("NATS/1.0 {line}\r\n\r\n"));
            let left = Unserved { messages: -3, bytes: 14 };
            send_unserved(&mut out, AccountId::GLOBAL, b"inbox", status, left);
            let expected = format!(
                "NATS/1.0 {line}\r\nNats-Pending-Messages: -3\r\nNats-Pending-Bytes: 14\r\n\r\n"
            );
            assert_eq!(one(&mut out).0, expected);
        }
    }

    #[test]
    fn heartbeats_and_flow_control() {
        let mut out = Outbox::default();
        let last = (ConsumerSeq(5), Seq(27));
        send_heartbeat(&mut out, AccountId::GLOBAL, b"inbox", last, None);
        let plain =
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 5\r\nNats-Last-Stream: 27\r\n";
        assert_eq!(one(&mut out).0, format!("{plain}\r\n"));
        send_heartbeat(&mut out, AccountId::GLOBAL, b"inbox", last, Some(b"$JS.FC.S.C.abcd"));
        let stalled = format!("{plain}Nats-Consumer-Stalled: $JS.FC.S.C.abcd\r\n\r\n");
        assert_eq!(one(&mut out).0, stalled);
        send_flow_control(&mut out, AccountId::GLOBAL, b"inbox", b"$JS.FC.S.C.abcd");
        let expected = "NATS/1.0 100 FlowControl Request\r\n\r\n".to_string();
        assert_eq!(one(&mut out), (expected, "$JS.FC.S.C.abcd".to_string()));
    }
}
