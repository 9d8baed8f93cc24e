//! Recursive descent over the grammar. Depth and total size are bounded, so any bytes end in a
//! map or in an error.

use std::io;
use std::path::Path;

use super::cursor::{Cursor, is_blank};
use super::value::{Data, Map, Value};
use super::{Surroundings, scalar};
use crate::config::{ConfigError, Position};
use crate::types::limits::{CONFIG_BYTES_MAX, CONFIG_DEPTH_MAX};

/// What is left of the bounds, shared by a file and all that it includes.
pub(super) struct Budget {
    bytes: usize,
    depth: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { bytes: CONFIG_BYTES_MAX, depth: CONFIG_DEPTH_MAX }
    }

    fn charge(&mut self, bytes: usize, at: &Position) -> Result<(), ConfigError> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| ConfigError::TooMuch { at: at.clone(), text: "config is too large" })?;
        Ok(())
    }

    fn enter(&mut self, at: &Position) -> Result<(), ConfigError> {
        self.depth = self.depth.checked_sub(1).ok_or_else(|| ConfigError::TooMuch {
            at: at.clone(),
            text: "config is nested too deeply",
        })?;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth += 1;
    }
}

/// Reads a file, against the budget; `name` is for error texts.
pub(super) fn load(
    path: &Path,
    name: &str,
    surroundings: &Surroundings<'_>,
    budget: &mut Budget,
) -> Result<String, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { path: name.to_owned(), reason };
    let bytes = (surroundings.read)(path).map_err(|error| unreadable(reason(&error)))?;
    let start = Position { file: name.into(), line: 1, column: 0 };
    // A file costs something even when empty, so that including it over and over ends.
    budget.charge(bytes.len() + 64, &start)?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("not valid UTF-8".to_owned()))?;
    if text.contains('\0') {
        return Err(unreadable("contains a NUL byte".to_owned()));
    }
    Ok(text)
}

/// The operating system's words, as the reference prints them.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().collect::<String>() + chars.as_str())
}

/// Parses the text of one file. `folder` is where its includes are looked for.
pub(super) fn document(
    text: &str,
    name: &str,
    folder: Option<&Path>,
    surroundings: &Surroundings<'_>,
    budget: &mut Budget,
) -> Result<Map, ConfigError> {
    let cursor = Cursor::new(text, name);
    let folder = folder.unwrap_or(Path::new(""));
    let mut parser = Parser { cursor, folder, surroundings, budget, scopes: vec![Map::default()] };
    parser.top_level()?;
    Ok(parser.scopes.pop().unwrap_or_default())
}

/// Which rules hold around a pair of key and value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    /// The top level inside the braces that may enclose a whole file.
    Block,
    Map,
}

struct Parser<'a, 'b> {
    cursor: Cursor<'a>,
    folder: &'a Path,
    surroundings: &'a Surroundings<'a>,
    budget: &'b mut Budget,
    /// The maps being filled, outermost first: variables are looked up from the end.
    scopes: Vec<Map>,
}

impl<'a> Parser<'a, '_> {
    /// The reference does not count the braces around a whole file, and neither do we.
    fn top_level(&mut self) -> Result<(), ConfigError> {
        let mut level = Level::Top;
        loop {
            self.cursor.skip_to_content();
            match self.cursor.peek() {
                None => return Ok(()),
                Some('{') => level = Level::Block,
                Some('}') => level = Level::Top,
                Some(_) => {
                    self.pair(level)?;
                    continue;
                }
            }
            self.cursor.bump();
        }
    }

    fn pair(&mut self, level: Level) -> Result<(), ConfigError> {
        if let Some(path) = self.include_path(level)? {
            self.include(path)?;
            return self.end_of_pair(level);
        }
        let (key, at) = self.key(level)?;
        self.separator(level)?;
        let data = self.value()?;
        self.end_of_pair(level)?;
        self.scope().insert(key, Value { data, at });
        Ok(())
    }

    fn scope(&mut self) -> &mut Map {
        self.scopes.last_mut().expect("the outermost map is pushed first and popped last")
    }

    fn key(&mut self, level: Level) -> Result<(String, Position), ConfigError> {
        let quote = self.cursor.peek().filter(|&c| c == '\'' || c == '"');
        if let Some(quote) = quote {
            self.cursor.bump();
            let at = self.cursor.position();
            let key = self.cursor.take_while(|c| c != quote).to_owned();
            if !self.cursor.eat(quote) {
                return Err(self.cursor.error(match (level, quote) {
                    (Level::Top | Level::Block, _) => "Unexpected EOF.",
                    (Level::Map, '"') => "Unexpected EOF processing double quoted map key.",
                    (Level::Map, _) => "Unexpected EOF processing quoted map key.",
                }));
            }
            return Ok((key, at));
        }
        let at = self.cursor.position();
        let key = self.cursor.take_while(|c| !c.is_whitespace() && c != ':' && c != '=').to_owned();
        if key.is_empty() {
            let dot = if level == Level::Map { "." } else { "" };
            let text = format!("Unexpected key separator '{}'{dot}", self.cursor.seen());
            return Err(self.cursor.error(text));
        }
        self.expect_more(level)?;
        Ok((key, at))
    }

    /// A key is nothing without what follows.
    fn expect_more(&self, level: Level) -> Result<(), ConfigError> {
        match (self.cursor.peek(), level) {
            (Some(_), _) => Ok(()),
            (None, Level::Map) => Err(self.cursor.error("Unexpected EOF processing map key.")),
            (None, _) => Err(ConfigError::Unfinished { at: self.cursor.position() }),
        }
    }

    /// Between key and value: blanks and at most one `:` or `=`. Line breaks may stand before it
    /// everywhere, behind it only in maps.
    fn separator(&mut self, level: Level) -> Result<(), ConfigError> {
        self.cursor.take_while(char::is_whitespace);
        self.expect_more(level)?;
        if !self.cursor.eat(':') {
            self.cursor.eat('=');
        }
        if level != Level::Map {
            self.cursor.skip_blanks();
            if self.cursor.eat('\n') {
                return Err(self.cursor.error("Expected value but found new line"));
            }
            return Ok(());
        }
        self.cursor.take_while(char::is_whitespace);
        match self.cursor.peek() {
            Some(seen @ ('}' | ',' | ';')) => {
                Err(self.cursor.error(format!("Expected value but found '{seen}'")))
            }
            _ => Ok(()),
        }
    }

    fn end_of_pair(&mut self, level: Level) -> Result<(), ConfigError> {
        self.cursor.skip_blanks();
        let seen = self.cursor.peek();
        match (seen, level) {
            (Some('\n'), _) | (None, Level::Top) => return Ok(()),
            (Some(',' | ';'), _) => {
                self.cursor.bump();
                return Ok(());
            }
            // The caller takes it: it ends the map.
            (Some('}'), _) => return Ok(()),
            _ if self.cursor.skip_comment() => return Ok(()),
            _ => {}
        }
        let seen = self.cursor.seen();
        Err(self.cursor.error(match level {
            Level::Map => format!(
                "Expected a map value terminator \",\" or a map terminator \"}}\", but got \
                 '{seen}' instead."
            ),
            Level::Top | Level::Block => {
                let what = if level == Level::Top { "top" } else { "block" };
                format!(
                    "Expected a {what}-level value to end with a new line, comment or EOF, but \
                     got '{seen}' instead."
                )
            }
        }))
    }

    fn value(&mut self) -> Result<Data, ConfigError> {
        match self.cursor.peek() {
            Some('{') => self.nested(Self::map),
            Some('[') => self.nested(Self::array),
            Some('(') => self.cursor.block(),
            Some('\'') => self.cursor.raw_text(),
            Some('"') => self.cursor.escaped_text(),
            Some('-') => self.cursor.negative(),
            Some('0'..='9') => self.cursor.number(),
            Some('.') => Err(self.cursor.error("Floats must start with a digit")),
            Some('$') => self.variable(),
            _ => self.cursor.bare_word().map(scalar::word),
        }
    }

    fn nested(
        &mut self,
        parse: fn(&mut Self) -> Result<Data, ConfigError>,
    ) -> Result<Data, ConfigError> {
        self.budget.enter(&self.cursor.position())?;
        self.cursor.bump();
        let data = parse(self)?;
        self.budget.leave();
        Ok(data)
    }

    fn map(&mut self) -> Result<Data, ConfigError> {
        self.scopes.push(Map::default());
        loop {
            self.cursor.skip_to_content();
            match self.cursor.peek() {
                None => return Err(self.cursor.error("Unexpected EOF processing map.")),
                Some('}') => break,
                Some(']') => {
                    return Err(self.cursor.error("Unexpected array end ']' processing map."));
                }
                Some(_) => self.pair(Level::Map)?,
            }
        }
        self.cursor.bump();
        Ok(Data::Map(self.scopes.pop().unwrap_or_default()))
    }

    fn array(&mut self) -> Result<Data, ConfigError> {
        let mut values = Vec::new();
        loop {
            self.cursor.skip_to_content();
            match self.cursor.peek() {
                Some(']') => break,
                Some(',') => {
                    return Err(self.cursor.error("Unexpected array value terminator ','."));
                }
                None => return Err(self.array_error()),
                Some(_) => {}
            }
            let at = self.cursor.position();
            values.push(Value { data: self.value()?, at });
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                Some(',') => {
                    self.cursor.bump();
                }
                Some(']' | '\n') => {}
                _ if self.cursor.skip_comment() => {}
                _ => return Err(self.array_error()),
            }
        }
        self.cursor.bump();
        Ok(Data::Array(values))
    }

    fn array_error(&self) -> ConfigError {
        self.cursor.error(format!(
            "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' \
             instead.",
            self.cursor.seen()
        ))
    }

    /// `$NAME`: the nearest enclosing map that has it, then the environment.
    fn variable(&mut self) -> Result<Data, ConfigError> {
        let at = self.cursor.position();
        let word = self.cursor.bare_word()?;
        if scalar::is_bcrypt(&word) {
            return Ok(Data::Text(word));
        }
        let name = word.strip_prefix('$').unwrap_or(&word).to_owned();
        let found = self.scopes.iter_mut().rev().find_map(|map| map.get_mut(&name));
        if let Some(entry) = found {
            entry.is_variable = true;
            self.budget.charge(entry.value.data.weight_bytes(), &at)?;
            return Ok(entry.value.data.clone());
        }
        let line = at.line;
        let Some(text) = (self.surroundings.variable)(&name) else {
            return Err(ConfigError::VariableMissing { name, line });
        };
        self.environment(&text, &at).map_err(|cause| ConfigError::VariableInvalid {
            name,
            line,
            cause: Box::new(cause),
        })
    }

    /// The text of an environment variable is one value, parsed like any other.
    fn environment(&mut self, text: &str, at: &Position) -> Result<Data, ConfigError> {
        self.budget.charge(text.len() + 64, at)?;
        self.budget.enter(at)?;
        let mut inner = Parser {
            cursor: Cursor::new(text, ""),
            folder: self.folder,
            surroundings: self.surroundings,
            budget: self.budget,
            scopes: vec![Map::default()],
        };
        inner.cursor.skip_to_content();
        let data = inner.value()?;
        inner.end_of_pair(Level::Top)?;
        inner.cursor.skip_to_content();
        if inner.cursor.peek().is_some() {
            return Err(ConfigError::Unfinished { at: inner.cursor.position() });
        }
        self.budget.leave();
        Ok(data)
    }

    /// The path, if an `include` directive stands here.
    fn include_path(&mut self, level: Level) -> Result<Option<&'a str>, ConfigError> {
        const WORD: &str = "include";
        let rest = self.cursor.rest();
        let is_directive = rest.get(..WORD.len()).is_some_and(|w| w.eq_ignore_ascii_case(WORD))
            && rest[WORD.len()..].starts_with(is_blank);
        if !is_directive {
            return Ok(None);
        }
        self.cursor.take_while(|c| !c.is_whitespace());
        self.cursor.skip_blanks();
        self.expect_more(level)?;
        let quote = self.cursor.peek().filter(|&c| c == '\'' || c == '"');
        let Some(quote) = quote else {
            let path = self.cursor.take_while(|c| !c.is_whitespace() && !matches!(c, ';' | '}'));
            return Ok(Some(path));
        };
        self.cursor.bump();
        let path = self.cursor.take_while(|c| c != quote);
        if !self.cursor.eat(quote) {
            return Err(self.cursor.error("Unexpected EOF processing include."));
        }
        Ok(Some(path))
    }

    /// The file stands for the pairs in it. It sees none of our variables; we see its own.
    fn include(&mut self, name: &str) -> Result<(), ConfigError> {
        self.budget.enter(&self.cursor.position())?;
        let path = self.folder.join(name);
        let shown = path.display().to_string();
        let map = load(&path, &shown, self.surroundings, self.budget)
            .and_then(|text| document(&text, &shown, path.parent(), self.surroundings, self.budget))
            .map_err(|cause| ConfigError::Include {
                path: name.to_owned(),
                cause: Box::new(cause),
            })?;
        self.budget.leave();
        self.scope().merge(map);
        Ok(())
    }
}
