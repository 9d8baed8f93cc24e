//! JSON text into a tree, with Go's words for what is wrong with it. The tree borrows the text.

use std::borrow::Cow;

use crate::types::limits::JSON_DEPTH_MAX;

/// A value, and its text as it stood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node<'t> {
    pub raw: &'t str,
    pub value: Value<'t>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'t> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Node<'t>>),
    /// In the order they came; a name may come twice.
    Object(Vec<(Cow<'t, str>, Node<'t>)>),
}

impl Value<'_> {
    /// Go's word for the kind of value.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }
}

/// The values of a text, one after the other.
pub struct Values<'t> {
    reader: Reader<'t>,
}

pub fn values(text: &str) -> Values<'_> {
    Values { reader: Reader { text, at: 0, depth: 0 } }
}

/// What keeps a text from being JSON, in the words of Go's `Unmarshal`: those of a stream's reader
/// tell the place as well.
pub fn fault(text: &str) -> Option<String> {
    let end = || "unexpected end of JSON input".to_owned();
    let mut values = values(text);
    let Some(read) = values.next() else { return Some(end()) };
    let fault = match read {
        Err(fault) if fault == "unexpected EOF" => return Some(end()),
        Err(fault) => fault,
        Ok(_) => {
            values.reader.skip_blanks();
            values.reader.peek()?;
            values.reader.unexpected("after top-level value")
        }
    };
    Some(fault.split(" at offset ").next().unwrap_or_default().to_owned())
}

impl<'t> Iterator for Values<'t> {
    type Item = Result<Node<'t>, String>;

    /// After an error there is no more to be had.
    fn next(&mut self) -> Option<Self::Item> {
        self.reader.skip_blanks();
        self.reader.peek()?;
        let value = self.reader.value();
        if value.is_err() {
            self.reader.at = self.reader.text.len();
        }
        Some(value)
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// What Go says of the letter here.
    fn unexpected(&self, doing: &str) -> String {
        match self.text[self.at..].chars().next() {
            None => "unexpected EOF".into(),
            Some(letter) => {
                let letter = match letter {
                    '\'' => "'\\''".into(),
                    '"' => "'\"'".into(),
                    letter => {
                        let quoted = quoted(letter.encode_utf8(&mut [0; 4]));
                        format!("'{}'", &quoted[1..quoted.len() - 1])
                    }
                };
                format!("invalid character {letter} {doing} at offset {}", self.at + 1)
            }
        }
    }

    fn value(&mut self) -> Result<Node<'t>, String> {
        let from = self.at;
        let value = match self.peek() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::list)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.unexpected("looking for beginning of value")),
        };
        Ok(Node { raw: &self.text[from..self.at], value })
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<Value<'t>, String>,
    ) -> Result<Value<'t>, String> {
        if self.depth == JSON_DEPTH_MAX {
            return Err("exceeded max depth".into());
        }
        self.depth += 1;
        self.at += 1;
        self.skip_blanks();
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value<'t>, String> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let name = self.string()?;
            self.skip_blanks();
            if !self.take(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.skip_blanks();
            members.push((name, self.value()?));
            self.skip_blanks();
            if self.take(b'}') {
                return Ok(Value::Object(members));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
            self.skip_blanks();
        }
    }

    fn list(&mut self) -> Result<Value<'t>, String> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_blanks();
            if self.take(b']') {
                return Ok(Value::List(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after array element"));
            }
            self.skip_blanks();
        }
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Result<Value<'t>, String> {
        for letter in word.chars() {
            if !self.take(letter as u8) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{letter}')")));
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<&'t str, String> {
        let from = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(&self.text[from..self.at])
    }

    fn digits(&mut self) -> Result<(), String> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected("in numeric literal"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'t, str>, String> {
        self.at += 1;
        let mut owned: Option<String> = None;
        let mut from = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = &self.text[from..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(rest),
                        Some(text) => Cow::Owned(text + rest),
                    });
                }
                Some(b'\\') => {
                    let owned = owned.get_or_insert_default();
                    owned.push_str(&self.text[from..self.at]);
                    owned.push(self.escape()?);
                    from = self.at;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.unexpected("in string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let from = self.at;
        self.at += 1;
        let letter = match self.peek() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(from),
            None => return Err(self.unexpected("in string")),
            Some(_) => return Err(self.bad_escape(from, 2)),
        };
        self.at += 1;
        Ok(letter)
    }

    /// A `\u` escape; half of a surrogate pair is the replacement character.
    fn unicode(&mut self, from: usize) -> Result<char, String> {
        let high = self.unit(from)?;
        if let Some(letter) = char::from_u32(high) {
            return Ok(letter);
        }
        let after = self.at;
        if high < 0xdc00 && self.text[self.at..].starts_with("\\u") {
            self.at += 1;
            let low = self.unit(after)?;
            if (0xdc00..0xe000).contains(&low) {
                let letter = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(letter).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// The four digits behind the `u` here.
    fn unit(&mut self, from: usize) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = match self.peek() {
                None => return Err("unexpected EOF".into()),
                Some(byte) => char::from(byte).to_digit(16),
            };
            value = value << 4 | digit.ok_or_else(|| self.bad_escape(from, 6))?;
        }
        self.at += 1;
        Ok(value)
    }

    /// The escape that begins at `from` and would be so many bytes.
    fn bad_escape(&self, from: usize, len: usize) -> String {
        let bytes = self.text.as_bytes();
        let escape = String::from_utf8_lossy(&bytes[from..bytes.len().min(from + len)]);
        format!("invalid escape sequence `{escape}` in string at offset {}", from + len)
    }
}

/// Text in quotes as Go's `%q` prints it.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..' ' | '\u{7f}' => out.push_str(&format!("\\x{:02x}", letter as u32)),
            '\u{80}'..'\u{a1}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", letter as u32));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
