//! A place in the text that knows its line and column.

use std::sync::Arc;

use crate::config::{ConfigError, Position};

pub(super) struct Cursor<'a> {
    text: &'a str,
    file: Arc<str>,
    offset: usize,
    line: u32,
    /// Offset of the line break before the current line; 0 in the first line, which is why its
    /// columns count from 0 and all others from 1.
    break_offset: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str, file: &str) -> Self {
        Self { text, file: file.into(), offset: 0, line: 1, break_offset: 0 }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    pub fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn starts_with(&self, prefix: &str) -> bool {
        self.rest().starts_with(prefix)
    }

    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The text from an earlier [`Cursor::offset`] to here.
    pub fn since(&self, offset: usize) -> &'a str {
        &self.text[offset..self.offset]
    }

    pub fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        if next == '\n' {
            self.line += 1;
            self.break_offset = self.offset;
        }
        self.offset += next.len_utf8();
        Some(next)
    }

    /// Takes `wanted` if it comes next.
    pub fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    pub fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.peek().is_some_and(&mut wanted) {
            self.bump();
        }
        self.since(start)
    }

    pub fn position(&self) -> Position {
        let column = u32::try_from(self.offset - self.break_offset).unwrap_or(u32::MAX);
        Position { file: Arc::clone(&self.file), line: self.line, column }
    }

    pub fn error(&self, text: impl Into<String>) -> ConfigError {
        ConfigError::Syntax { line: self.line, text: text.into() }
    }

    /// The next character for an error text.
    pub fn seen(&self) -> String {
        self.peek().map_or_else(|| "EOF".to_owned(), String::from)
    }

    /// Blanks within a line.
    pub fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Blanks, line breaks and comments: all that may stand before a key or an array element.
    pub fn skip_to_content(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.skip_comment() {
                return;
            }
        }
    }

    /// A comment up to its line break.
    pub fn skip_comment(&mut self) -> bool {
        let found = self.starts_with("#") || self.starts_with("//");
        if found {
            self.take_while(|c| c != '\n');
        }
        found
    }
}

pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\n'
}
