//! The fuzz doors: any bytes in; a broken promise panics. The runner is `tests/fuzz`.
//!
//! Each returns a word that says what kind of input it was, so that the runner can tell a new kind
//! from one it has seen.

use std::hash::{DefaultHasher, Hash, Hasher};

pub use super::js_fuzz::jetstream;
use crate::protocol::{Command, ParserLimits, Step, Violation, parser};

const LIMITS: ParserLimits = ParserLimits { max_control_line: 200, max_payload: 1000 };

/// A client's bytes through the parser, up to the first violation or unfinished command.
///
/// Promises: no panic; a command takes at least one byte and no more than there are; and it is
/// the same command whatever follows it and however its bytes were cut.
pub fn protocol(bytes: &[u8]) -> u64 {
    // The last two outcomes: where a stream ended up and what it came from.
    let mut kinds = [None, None];
    let mut rest = bytes;
    while !rest.is_empty() {
        let whole = parser::next(rest, &LIMITS);
        kinds = [kinds[1], Some(kind(&whole))];
        check_cuts(rest, &whole);
        match whole {
            Ok(Step::Command { command, consumed }) => {
                assert!((1..=rest.len()).contains(&consumed), "{command:?} took {consumed}");
                check_publish(&command, &rest[..consumed]);
                rest = &rest[consumed..];
            }
            Ok(Step::Incomplete { needed }) => {
                assert!(needed == 0 || needed > rest.len(), "all {needed} bytes are there");
                break;
            }
            Err(_) => break,
        }
    }
    let mut word = DefaultHasher::new();
    kinds.hash(&mut word);
    word.finish()
}

/// Any text as a configuration file.
///
/// Promises: no panic; an error has a text.
pub fn config(bytes: &[u8]) -> u64 {
    let mut word = DefaultHasher::new();
    match crate::config::check_bytes(bytes) {
        Ok(_) => 0_u8.hash(&mut word),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            // The words of the message without what it quotes of the input.
            let own = text.split('"').step_by(2).flat_map(|part| part.split(' '));
            own.filter(|word| word.chars().all(|c| c.is_ascii_alphabetic()))
                .for_each(|own| own.hash(&mut word));
        }
    }
    word.finish()
}

type Outcome<'b> = Result<Step<'b>, Violation>;

/// What was settled by fewer bytes is not changed by more.
fn check_cuts(bytes: &[u8], whole: &Outcome<'_>) {
    let settled = match whole {
        Ok(Step::Command { consumed, .. }) => *consumed,
        _ => bytes.len(),
    };
    let near_end = settled.saturating_sub(4)..settled;
    for cut in (0..settled.min(40)).chain(near_end) {
        match parser::next(&bytes[..cut], &LIMITS) {
            Ok(Step::Incomplete { .. }) => {}
            early => assert_eq!(&early, whole, "cut at {cut}"),
        }
    }
    if let Ok(Step::Command { consumed, .. }) = whole {
        assert_eq!(&parser::next(&bytes[..*consumed], &LIMITS), whole, "without what follows");
    }
}

fn check_publish(command: &Command<'_>, bytes: &[u8]) {
    let Command::Publish(publish) = command else { return };
    assert!(publish.header_len <= publish.payload.len());
    assert!(publish.payload.len() <= LIMITS.max_payload);
    assert!(!publish.subject.is_empty());
    if let Some(tail) = publish.tail {
        assert!(bytes.ends_with(tail));
    }
}

/// The outcome's shape without its bytes.
fn kind(outcome: &Outcome<'_>) -> (u8, u8, Option<&'static str>) {
    match outcome {
        Ok(Step::Incomplete { needed }) => (0, u8::from(*needed > 0), None),
        Err(violation) => (1, violation.reason as u8, violation.text),
        Ok(Step::Command { command, .. }) => match command {
            Command::Connect(_) => (2, 0, None),
            Command::Publish(p) => {
                let shape = u8::from(p.reply.is_some())
                    | u8::from(p.is_hpub) << 1
                    | u8::from(p.tail.is_some()) << 2
                    | u8::from(p.header_len > 0) << 3
                    | u8::from(p.payload.is_empty()) << 4;
                (3, shape, None)
            }
            Command::Subscribe { queue, .. } => (4, u8::from(queue.is_some()), None),
            Command::Unsubscribe { max, .. } => (5, u8::from(max.is_some()), None),
            Command::Ping => (6, 0, None),
            Command::Pong => (7, 0, None),
            Command::Ignored => (8, 0, None),
            Command::Error => (9, 0, None),
        },
    }
}
