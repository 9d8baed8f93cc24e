//! Why a configuration is refused, in the words of the reference (facts: config-and-ops §2, §5).

use std::fmt;
use std::sync::Arc;

/// Where a value stands. Printed as the reference does: columns count from 0 in the first line
/// and from 1 in all others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The file as it was named on the command line or in the `include`.
    pub file: Arc<str>,
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Unreadable {
        path: String,
        reason: String,
    },
    /// No key at all.
    Empty {
        file: Arc<str>,
    },
    /// The text ends inside a key.
    Unfinished {
        at: Position,
    },
    /// The grammar is violated.
    Syntax {
        line: u32,
        text: String,
    },
    /// A number or a date that looks right but is none.
    Scalar {
        text: String,
    },
    VariableMissing {
        name: String,
        line: u32,
    },
    VariableInvalid {
        name: String,
        line: u32,
        cause: Box<ConfigError>,
    },
    Include {
        path: String,
        cause: Box<ConfigError>,
    },
    /// A bound of `types/limits.rs`.
    TooMuch {
        at: Position,
        text: &'static str,
    },
    /// A key that does not exist, or a value its key does not take.
    Field {
        at: Position,
        text: String,
    },
    /// Values that are right one by one and wrong together.
    Conflict {
        text: String,
    },
    /// All that is wrong, in the order of the text.
    Several(Vec<ConfigError>),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, reason } => write!(f, "open {path}: {reason}"),
            Self::Empty { file } => write!(f, "{file}: config has no values or is empty"),
            Self::Unfinished { at } => write!(f, "config is invalid ({at})"),
            Self::Syntax { line, text } => write!(f, "Parse error on line {line}: '{text}'"),
            Self::Scalar { text } | Self::Conflict { text } => f.write_str(text),
            Self::VariableMissing { name, line } => {
                write!(f, "variable reference for '{name}' on line {line} can not be found")
            }
            Self::VariableInvalid { name, line, cause } => write!(
                f,
                "variable reference for '{name}' on line {line} could not be parsed: {cause}"
            ),
            Self::Include { path, cause } => {
                write!(f, "error parsing include file '{path}', {cause}")
            }
            Self::TooMuch { at, text } => write!(f, "{at}: {text}"),
            Self::Field { at, text } => write!(f, "{at}: {text}"),
            Self::Several(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "\n" };
                    write!(f, "{separator}{error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    /// Nothing, the error itself, or [`ConfigError::Several`].
    pub(super) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}
