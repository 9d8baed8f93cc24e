//! The config grammar: text in, a [`Map`] of values with positions out.
//!
//! Knows the syntax (facts: config-and-ops §2) and no key of it. The decisions to accept or to
//! refuse, and the texts, are those observed on the reference; `tests.rs` holds the table and
//! lists where this parser is kinder on purpose.

mod cursor;
mod digest;
mod literal;
mod parser;
mod scalar;
mod value;

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

pub use digest::digest;
pub use value::{Data, Entry, Map, Value};

use super::ConfigError;

/// What a configuration may ask of the world around it.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The whole file.
    pub read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// An environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Parses the file at `path` with all that it includes. A file without any key is refused.
pub fn parse(path: &Path, surroundings: &Surroundings<'_>) -> Result<Map, ConfigError> {
    let name = path.display().to_string();
    let mut budget = parser::Budget::new();
    let text = parser::load(path, &name, surroundings, &mut budget)?;
    let map = parser::document(&text, &name, path.parent(), surroundings, &mut budget)?;
    if map.is_empty() {
        return Err(ConfigError::Empty { file: name.into() });
    }
    Ok(map)
}
