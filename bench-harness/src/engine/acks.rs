//! What a stream answers to a publish: the sequence it gave the message, or why it refused.

use serde_json::Value;

pub struct Acks {
    /// `{"stream":"S","seq":`
    prefix: Vec<u8>,
}

/// What an answer said.
#[derive(Debug, PartialEq, Eq)]
pub enum Ack {
    Stored(u64),
    Refused(String),
    /// Not what any server says.
    Garbled,
}

impl Acks {
    pub fn of(stream: &str) -> Self {
        Self { prefix: format!("{{\"stream\":\"{stream}\",\"seq\":").into_bytes() }
    }

    pub fn read(&self, payload: &[u8]) -> Ack {
        match payload.strip_prefix(&self.prefix[..]).and_then(|rest| rest.strip_suffix(b"}")) {
            Some(digits) if is_number(digits) => Ack::Stored(value_of(digits)),
            _ => self.read_slowly(payload),
        }
    }

    /// Answers with further fields, and refusals.
    fn read_slowly(&self, payload: &[u8]) -> Ack {
        let Ok(answer) = serde_json::from_slice::<Value>(payload) else { return Ack::Garbled };
        if let Some(error) = answer.get("error") {
            return Ack::Refused(error["description"].as_str().unwrap_or("unsaid").to_owned());
        }
        match (answer["stream"].as_str(), answer["seq"].as_u64()) {
            (Some(stream), Some(seq)) if self.names(stream) => Ack::Stored(seq),
            _ => Ack::Garbled,
        }
    }

    fn names(&self, stream: &str) -> bool {
        self.prefix == Self::of(stream).prefix
    }
}

fn is_number(digits: &[u8]) -> bool {
    (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

fn value_of(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let acks = Acks::of("S");
        for (said, read) in [
            (r#"{"stream":"S","seq":12}"#, Ack::Stored(12)),
            (r#"{"stream":"S","domain":"d","seq":3}"#, Ack::Stored(3)),
            (r#"{"stream":"T","seq":12}"#, Ack::Garbled),
            (r#"{"stream":"S","seq":12|"#, Ack::Garbled),
            (r#"{"stream":"S","seq":}"#, Ack::Garbled),
            (
                r#"{"error":{"code":503,"description":"no space"},"stream":"S","seq":0}"#,
                Ack::Refused("no space".into()),
            ),
        ] {
            assert_eq!(acks.read(said.as_bytes()), read, "{said}");
        }
    }
}
