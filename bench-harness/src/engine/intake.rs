//! Bytes to stamps: what every receiver of measured messages does first. The common message
//! (known subject, sid and size) is recognised by one comparison instead of being parsed.

use crate::client::{Broken, Message, ServerOp, Step, next_op};
use crate::payload::{self, Stamp};
use crate::verify::Faults;

pub struct Intake {
    /// `MSG subject sid size\r\n`; empty where subjects vary.
    header: Vec<u8>,
    size: usize,
}

/// What was heard beside messages.
#[derive(Default)]
pub struct Heard {
    pub pinged: bool,
    errors: Vec<String>,
}

impl Heard {
    pub fn on_error(&mut self, text: &[u8]) {
        self.errors.push(String::from_utf8_lossy(text).into_owned());
    }

    pub fn report_to(self, faults: &mut Faults) {
        for text in self.errors {
            faults.errors += 1;
            faults.note(|| format!("got -ERR {text}"));
        }
    }
}

impl Intake {
    /// `fixed`: the only subject and sid that will be seen, if there is only one.
    pub fn new(fixed: Option<(&str, u64)>, size: usize) -> Self {
        let header = fixed.map(|(subject, sid)| format!("MSG {subject} {sid} {size}\r\n"));
        Self { header: header.unwrap_or_default().into_bytes(), size }
    }

    /// Hands the stamp of each message to `each`: `None` where it did not read back. Gives back
    /// how many bytes were whole operations.
    pub fn take(
        &self,
        bytes: &[u8],
        heard: &mut Heard,
        mut each: impl FnMut(Option<Stamp>),
    ) -> Result<usize, Broken> {
        let mut used = 0;
        loop {
            used += self.take_expected(&bytes[used..], &mut each);
            let Step::Op { op, consumed } = next_op(&bytes[used..])? else { return Ok(used) };
            match op {
                ServerOp::Message(message) => each(self.stamp_of(&message)),
                ServerOp::Ping => heard.pinged = true,
                ServerOp::Error(text) => heard.on_error(text),
                ServerOp::Pong | ServerOp::Ok | ServerOp::Info(_) => {}
            }
            used += consumed;
        }
    }

    /// As many messages in a row as look exactly as expected.
    fn take_expected(&self, bytes: &[u8], each: &mut impl FnMut(Option<Stamp>)) -> usize {
        let (head, frame) = (self.header.len(), self.header.len() + self.size + 2);
        if head == 0 {
            return 0;
        }
        let mut used = 0;
        while let Some(message) = bytes.get(used..used + frame) {
            if !message.starts_with(&self.header) || !message.ends_with(b"\r\n") {
                break;
            }
            each(payload::read(&message[head..head + self.size], self.size));
            used += frame;
        }
        used
    }

    fn stamp_of(&self, message: &Message<'_>) -> Option<Stamp> {
        // With a fixed subject, size and sid, whatever else arrives is not ours.
        payload::read(message.payload, self.size).filter(|_| self.header.is_empty())
    }
}
