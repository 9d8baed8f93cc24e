//! Values that hold no other values, at the cursor: strings in their four forms, numbers, dates.

use super::cursor::{Cursor, is_blank};
use super::scalar;
use super::value::Data;
use crate::config::ConfigError;

impl Cursor<'_> {
    /// `( … )` over several lines; the closing one stands alone at the start of its line.
    pub fn block(&mut self) -> Result<Data, ConfigError> {
        self.bump();
        let start = self.offset();
        loop {
            self.take_while(|c| c != '\n');
            if !self.eat('\n') {
                return Err(self.error("Unexpected EOF processing block."));
            }
            let text = self.since(start);
            let closes = self.rest().strip_prefix(')').is_some_and(|rest| {
                matches!(rest.trim_start_matches(is_blank).chars().next(), None | Some('\n'))
            });
            if closes {
                self.bump();
                return Ok(Data::Text(text.to_owned()));
            }
        }
    }

    pub fn raw_text(&mut self) -> Result<Data, ConfigError> {
        self.bump();
        let text = self.take_while(|c| c != '\'').to_owned();
        if !self.eat('\'') {
            return Err(self.error("Unexpected EOF."));
        }
        Ok(Data::Text(text))
    }

    pub fn escaped_text(&mut self) -> Result<Data, ConfigError> {
        self.bump();
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != '"' && c != '\\'));
            match self.bump() {
                Some('"') => return Ok(Data::Text(text)),
                Some(_) => text.push(self.escape()?),
                None => return Err(self.error("Unexpected EOF.")),
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<char, ConfigError> {
        let seen = self.seen();
        match self.bump() {
            Some('t') => Ok('\t'),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('"') => Ok('"'),
            Some('\\') => Ok('\\'),
            Some('x') => {
                let digits: String = self.rest().chars().take(2).collect();
                let is_hex = digits.len() == 2 && digits.chars().all(|c| c.is_ascii_hexdigit());
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| is_hex);
                let Some(byte) = byte else {
                    return Err(self.error(format!(
                        "Expected two hexadecimal digits after '\\x', but got '{digits}'"
                    )));
                };
                self.bump();
                self.bump();
                Ok(char::from(byte))
            }
            _ => Err(self.error(format!(
                "Invalid escape character '{seen}'. Only the following escape characters are \
                 allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\."
            ))),
        }
    }

    /// A word without quotes, which may hold escapes. Empty where a value is missing.
    pub fn bare_word(&mut self) -> Result<String, ConfigError> {
        let mut word = String::new();
        loop {
            word.push_str(self.take_while(|c| !ends_word(c) && c != '\\'));
            if !self.eat('\\') {
                return Ok(word);
            }
            word.push(self.escape()?);
        }
    }

    pub fn negative(&mut self) -> Result<Data, ConfigError> {
        let start = self.offset();
        self.bump();
        if self.take_while(|c| c.is_ascii_digit()).is_empty() {
            let text = format!("Expected a digit but got '{}'.", self.seen());
            return Err(self.error(text));
        }
        if self.peek() == Some('.') {
            self.fraction()?;
            return scalar::float(self.since(start));
        }
        let digits = self.since(start);
        let rest = self.rest();
        let unit = &rest[..rest.find(ends_word).unwrap_or(rest.len())];
        if let Some(number) = scalar::integer(&format!("{digits}{unit}")) {
            self.take_while(|c| !ends_word(c));
            return number;
        }
        scalar::integer(digits).unwrap_or_else(|| Ok(Data::Text(digits.to_owned())))
    }

    /// An integer, a float or a date, or text that merely begins with a digit.
    pub fn number(&mut self) -> Result<Data, ConfigError> {
        let start = self.offset();
        let digits = self.take_while(|c| c.is_ascii_digit());
        match self.peek() {
            Some('-') if digits.len() == 4 => return self.date_time(start),
            Some('-') => {
                return Err(self.error("All ISO8601 dates must be in full Zulu form."));
            }
            Some('.') => {
                self.fraction()?;
                // `127.0.0.1` is text.
                if self.peek() != Some('.') {
                    return scalar::float(self.since(start));
                }
            }
            _ => {}
        }
        let mut word = self.since(start).to_owned();
        word.push_str(&self.bare_word()?);
        scalar::integer(&word).unwrap_or(Ok(Data::Text(word)))
    }

    fn fraction(&mut self) -> Result<(), ConfigError> {
        self.bump();
        if self.take_while(|c| c.is_ascii_digit()).is_empty() {
            let seen = self.seen();
            return Err(self.error(format!(
                "Floats must have a digit after the '.', but got '{seen}' instead."
            )));
        }
        Ok(())
    }

    /// The year has been taken.
    fn date_time(&mut self, start: usize) -> Result<Data, ConfigError> {
        for wanted in "-00-00T00:00:00Z".chars() {
            let seen = self.peek();
            let fits = match wanted {
                '0' => seen.is_some_and(|c| c.is_ascii_digit()),
                _ => seen == Some(wanted),
            };
            if !fits {
                let wanted = match wanted {
                    '0' => "digit".to_owned(),
                    _ => format!("'{wanted}'"),
                };
                let seen = match seen {
                    Some('\n') => "\\n".to_owned(),
                    _ => self.seen(),
                };
                return Err(self.error(format!(
                    "Expected {wanted} in ISO8601 datetime, but found '{seen}' instead."
                )));
            }
            self.bump();
        }
        scalar::date_time(self.since(start))
    }
}

/// Where a word without quotes stops.
fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | ';' | ']' | '}' | '\'')
}
