//! Acknowledgements: the subject a delivery can be answered to, and what the answer says.

use std::io::Write;

use crate::config::duration;
use crate::storage::Seq;
use crate::types::Wall;

use super::super::config::{self, Mode, NakOptions};
use super::ConsumerSeq;

/// What every acknowledgement goes to begins with this.
pub const ACK_PREFIX: &[u8] = b"$JS.ACK.";

/// Tokens behind the prefix in the first form: stream, consumer, five numbers.
const TOKENS: usize = 7;
/// In the second form a domain and an account's hash come first; another token may follow.
const TOKENS_WITH_ACCOUNT: usize = 9;

/// Names of a stream and a consumer have at most 255 bytes, a number has at most 20 digits.
const SUBJECT_BYTES_MAX: usize = ACK_PREFIX.len() + 2 * (255 + 1) + 5 * (20 + 1);

/// Which delivery is acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AckTokens<'a> {
    pub stream: &'a [u8],
    pub consumer: &'a [u8],
    pub deliveries: u64,
    pub stream_seq: Seq,
    pub consumer_seq: ConsumerSeq,
}

impl<'a> AckTokens<'a> {
    /// Reads `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`
    /// and the longer form with a domain and an account's hash before the stream.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let rest = subject.strip_prefix(ACK_PREFIX)?;
        let mut tokens: [&[u8]; TOKENS_WITH_ACCOUNT] = [&[]; TOKENS_WITH_ACCOUNT];
        let mut count = 0;
        for token in rest.split(|&byte| byte == b'.') {
            if let Some(place) = tokens.get_mut(count) {
                *place = token;
            }
            count += 1;
        }
        let own = match count {
            TOKENS => &tokens[..TOKENS],
            TOKENS_WITH_ACCOUNT.. => &tokens[2..],
            _ => return None,
        };
        Some(Self {
            stream: own[0],
            consumer: own[1],
            deliveries: number(own[2])?,
            stream_seq: Seq(number(own[3])?),
            consumer_seq: ConsumerSeq(number(own[4])?),
        })
    }
}

/// What the reply of a delivery tells, read from its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryTokens {
    pub stream_seq: Seq,
    pub consumer_seq: ConsumerSeq,
    /// When the message was stored.
    pub stored: Wall,
    /// Messages left after this one.
    pub pending: u64,
}

impl DeliveryTokens {
    /// `None`: nothing that a consumer sends.
    pub fn parse(reply: &[u8]) -> Option<Self> {
        let mut tokens = reply.strip_prefix(ACK_PREFIX)?.rsplit(|&byte| byte == b'.');
        let mut next = || tokens.next().and_then(number);
        let (pending, stored) = (next()?, Wall(next()?));
        let (consumer_seq, stream_seq) = (ConsumerSeq(next()?), Seq(next()?));
        Some(Self { stream_seq, consumer_seq, stored, pending })
    }
}

/// Decimal digits, at least one; `None` if it is something else or too large.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What an acknowledgement says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckBody<'a> {
    Ack,
    /// Redeliver, after so many nanoseconds.
    Nak {
        delay: u64,
    },
    /// Still at work: the time to acknowledge begins anew.
    Progress,
    /// Never redeliver. The reason may be empty.
    Term {
        reason: &'a [u8],
    },
    /// Acknowledged, and this is a pull whose inbox is the reply.
    Next {
        request: &'a [u8],
    },
    /// Nobody knows what this means.
    Unknown,
}

impl<'a> AckBody<'a> {
    pub fn parse(payload: &'a [u8]) -> Self {
        match payload {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            [b'+', b'N', b'X', b'T', request @ ..] => Self::Next { request },
            [b'-', b'N', b'A', b'K', options @ ..] => Self::Nak { delay: delay(options) },
            [b'+', b'T', b'E', b'R', b'M', reason @ ..] => {
                Self::Term { reason: reason.trim_ascii() }
            }
            _ => Self::Unknown,
        }
    }
}

/// The delay asked for in nanoseconds, as an object or as Go writes durations; what cannot be read
/// is no delay.
fn delay(options: &[u8]) -> u64 {
    let options = options.trim_ascii();
    if options.is_empty() {
        return 0;
    }
    if options.first() != Some(&b'{') {
        let text = std::str::from_utf8(options).ok();
        return match text.and_then(|text| duration::parse(text).ok()) {
            Some((delay, false)) => u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX),
            _ => 0,
        };
    }
    config::parse::<NakOptions>(options, Mode::Lenient, "").map_or(0, |options| options.delay.ns())
}

/// The reply subjects of one consumer's deliveries, written one after the other into one buffer.
pub struct AckSubjects {
    bytes: [u8; SUBJECT_BYTES_MAX],
    /// What all of them begin with.
    prefix: usize,
}

/// The numbers of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryNumbers {
    pub deliveries: u32,
    pub stream_seq: Seq,
    pub consumer_seq: ConsumerSeq,
    /// When the message was stored.
    pub stored: Wall,
    /// Messages left after this one.
    pub pending: u64,
}

impl AckSubjects {
    pub fn new(stream: &str, consumer: &str) -> Self {
        let mut bytes = [0; SUBJECT_BYTES_MAX];
        let mut rest = &mut bytes[..];
        // Names are at most 255 bytes (config); a longer one would be cut, not overrun.
        for part in [ACK_PREFIX, stream.as_bytes(), b".", consumer.as_bytes(), b"."] {
            let taken = part.len().min(rest.len());
            let written = rest.write(&part[..taken]);
            debug_assert!(written.is_ok_and(|len| len == part.len()), "names of 255 bytes fit");
        }
        let prefix = SUBJECT_BYTES_MAX - rest.len();
        Self { bytes, prefix }
    }

    pub fn write(&mut self, numbers: &DeliveryNumbers) -> &[u8] {
        let mut at = self.prefix;
        let DeliveryNumbers { deliveries, stream_seq, consumer_seq, stored, pending } = *numbers;
        let rest = [stream_seq.0, consumer_seq.0, stored.0, pending];
        at += write_number(&mut self.bytes[at..], u64::from(deliveries));
        for number in rest {
            self.bytes[at] = b'.';
            at += 1;
            at += write_number(&mut self.bytes[at..], number);
        }
        &self.bytes[..at]
    }
}

const DIGIT_PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// Writes decimal digits at the start of `into` and returns how many: at most 20.
pub fn write_number(into: &mut [u8], mut number: u64) -> usize {
    let len = number.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut at = len;
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        into[at..at + 2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        into[..2].copy_from_slice(&DIGIT_PAIRS[pair..pair + 2]);
    } else {
        into[0] = b'0' + number as u8;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_they_are_written() {
        let mut subjects = AckSubjects::new("ORDERS", "worker");
        for (deliveries, seq, consumer_seq, stored, pending) in [
            (1, 1, 1, 1_795_320_719_757_633_657, 2),
            (10, 99, 100, 0, 0),
            (u32::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX),
        ] {
            let numbers = DeliveryNumbers {
                deliveries,
                stream_seq: Seq(seq),
                consumer_seq: ConsumerSeq(consumer_seq),
                stored: Wall(stored),
                pending,
            };
            let subject = subjects.write(&numbers);
            let expected = format!(
                "$JS.ACK.ORDERS.worker.{deliveries}.{seq}.{consumer_seq}.{stored}.{pending}"
            );
            assert_eq!(String::from_utf8_lossy(subject), expected);
            let tokens = AckTokens::parse(subject).unwrap();
            assert_eq!((tokens.stream, tokens.consumer), (&b"ORDERS"[..], &b"worker"[..]));
            assert_eq!(tokens.deliveries, u64::from(deliveries));
            assert_eq!((tokens.stream_seq, tokens.consumer_seq.0), (Seq(seq), consumer_seq));
        }
    }

    #[test]
    fn names_of_full_length_fit() {
        let name = "n".repeat(255);
        let mut subjects = AckSubjects::new(&name, &name);
        let numbers = DeliveryNumbers {
            deliveries: u32::MAX,
            stream_seq: Seq(u64::MAX),
            consumer_seq: ConsumerSeq(u64::MAX),
            stored: Wall(u64::MAX),
            pending: u64::MAX,
        };
        assert!(AckTokens::parse(subjects.write(&numbers)).is_some());
    }

    #[test]
    fn both_forms_of_the_subject() {
        let rows: &[(&str, Option<(u64, u64)>)] = &[
            ("$JS.ACK.S.C.1.2.3.4.5", Some((2, 3))),
            ("$JS.ACK._.12345678.S.C.1.2.3.4.5", Some((2, 3))),
            ("$JS.ACK.hub.12345678.S.C.1.2.3.4.5.x", Some((2, 3))),
            ("$JS.ACK.S.C.1.2.3.4", None),
            ("$JS.ACK.S.C.1.2.3.4.5.6", None),
            ("$JS.ACK.S.C.1.-2.3.4.5", None),
            ("$JS.ACK.S.C.1..3.4.5", None),
            ("$JS.ACK.S.C.1.99999999999999999999.3.4.5", None),
            ("$JS.FC.S.C.1.2.3.4.5", None),
            ("$JS.ACK.", None),
        ];
        for (subject, expected) in rows {
            let tokens = AckTokens::parse(subject.as_bytes());
            let found = tokens.map(|tokens| {
                assert_eq!((tokens.stream, tokens.consumer), (&b"S"[..], &b"C"[..]), "{subject}");
                (tokens.stream_seq.0, tokens.consumer_seq.0)
            });
            assert_eq!(found, *expected, "{subject}");
        }
    }

    #[test]
    fn what_an_acknowledgement_says() {
        let rows: &[(&str, AckBody<'_>)] = &[
            ("", AckBody::Ack),
            ("+ACK", AckBody::Ack),
            ("+OK", AckBody::Ack),
            ("+ACKx", AckBody::Unknown),
            ("-NAK", AckBody::Nak { delay: 0 }),
            ("-NAK 5", AckBody::Nak { delay: 0 }),
            ("-NAK 500", AckBody::Nak { delay: 0 }),
            ("-NAK 500ms", AckBody::Nak { delay: 500_000_000 }),
            ("-NAK\t 1m0.5s ", AckBody::Nak { delay: 60_500_000_000 }),
            ("-NAK -5s", AckBody::Nak { delay: 0 }),
            ("-NAKx", AckBody::Nak { delay: 0 }),
            ("-NAK {\"delay\":200}", AckBody::Nak { delay: 200 }),
            ("-NAK {\"Delay\": 7, \"other\": [1]}", AckBody::Nak { delay: 7 }),
            ("-NAK {\"delay\":\"1s\"}", AckBody::Nak { delay: 0 }),
            ("-NAK {\"delay\":-5}", AckBody::Nak { delay: 0 }),
            ("-NAK {\"delay\":", AckBody::Nak { delay: 0 }),
            ("+WPI", AckBody::Progress),
            ("+WPI ", AckBody::Unknown),
            ("+TERM", AckBody::Term { reason: b"" }),
            ("+TERM  because ", AckBody::Term { reason: b"because" }),
            ("+TERMx", AckBody::Term { reason: b"x" }),
            ("+NXT", AckBody::Next { request: b"" }),
            ("+NXT 2", AckBody::Next { request: b" 2" }),
            ("+nxt", AckBody::Unknown),
        ];
        for (payload, expected) in rows {
            assert_eq!(AckBody::parse(payload.as_bytes()), *expected, "{payload}");
        }
    }

    #[test]
    fn numbers_of_all_lengths() {
        let mut buffer = [0; 20];
        let mut number = 1u64;
        for _ in 0..20 {
            for value in [number - 1, number, number + 1] {
                let len = write_number(&mut buffer, value);
                assert_eq!(buffer[..len], *value.to_string().as_bytes());
            }
            number = number.saturating_mul(10).min(u64::MAX - 1);
        }
    }
}
