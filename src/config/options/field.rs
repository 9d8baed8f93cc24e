//! Reading one key: its value as the type the option has, or the error text of the reference.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::file::{Data, Map, Value};
use crate::config::{ConfigError, Position, duration};

/// A key with its value, in whatever case it was written.
pub(super) struct Field<'a> {
    /// Lower case.
    pub name: String,
    pub value: &'a Value,
}

/// A key of an options struct: its spellings, and how its value is taken over.
pub(super) struct Key<T> {
    pub names: &'static [&'static str],
    pub read: fn(&mut T, &Field<'_>) -> Result<(), ConfigError>,
}

/// Reads all keys of `map`; collects the errors. `refused` are keys the reference has and we do
/// not obey yet.
pub(super) fn read_all<T>(
    into: &mut T,
    map: &Map,
    keys: &[Key<T>],
    refused: &[&str],
) -> Result<(), ConfigError> {
    let mut errors = Vec::new();
    for (written, entry) in map.in_written_order() {
        let field = Field { name: written.to_ascii_lowercase(), value: &entry.value };
        let key = keys.iter().find(|key| key.names.contains(&field.name.as_str()));
        let result = if let Some(key) = key {
            (key.read)(into, &field)
        } else if refused.contains(&field.name.as_str()) {
            field.refuse_unless_off()
        } else if entry.is_variable {
            Ok(())
        } else {
            Err(field.error(format!("unknown field {written:?}")))
        };
        errors.extend(result.err());
    }
    ConfigError::all(errors)
}

impl<'a> Field<'a> {
    pub fn error(&self, text: impl Into<String>) -> ConfigError {
        error_at(&self.value.at, text)
    }

    pub fn wrong_type(&self, wanted: &str) -> ConfigError {
        wrong_type(self.value, wanted)
    }

    pub fn not_supported(&self) -> ConfigError {
        self.error(format!("{:?} is not supported yet", self.name))
    }

    /// What we lack may be switched off by name: then nothing is ignored.
    fn refuse_unless_off(&self) -> Result<(), ConfigError> {
        match &self.value.data {
            Data::Boolean(false) => Ok(()),
            _ => Err(self.not_supported()),
        }
    }

    /// A block of what we lack may stand there with nothing in it.
    pub fn refuse_unless_empty(&self) -> Result<(), ConfigError> {
        match &self.value.data {
            Data::Map(map) if map.is_empty() => Ok(()),
            _ => self.refuse_unless_off(),
        }
    }

    pub fn text(&self) -> Result<&'a str, ConfigError> {
        text_of(self.value)
    }

    /// `None` for the empty text.
    pub fn optional_text(&self) -> Result<Option<String>, ConfigError> {
        Ok(Some(self.text()?.to_owned()).filter(|text| !text.is_empty()))
    }

    pub fn optional_path(&self) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.optional_text()?.map(PathBuf::from))
    }

    pub fn boolean(&self) -> Result<bool, ConfigError> {
        match self.value.data {
            Data::Boolean(truth) => Ok(truth),
            _ => Err(self.wrong_type("bool")),
        }
    }

    pub fn integer(&self) -> Result<i64, ConfigError> {
        match self.value.data {
            Data::Integer(number) => Ok(number),
            _ => Err(self.wrong_type("int64")),
        }
    }

    /// A count or a size. Where the reference runs with a negative one it does nothing sensible,
    /// so we refuse it.
    pub fn unsigned<N: TryFrom<i64>>(&self) -> Result<N, ConfigError> {
        let number = self.integer()?;
        if number < 0 {
            return Err(self.error(format!("{} value can not be negative", self.name)));
        }
        N::try_from(number).map_err(|_| self.error(format!("{} value is too big", self.name)))
    }

    /// A size that fits 31 bits.
    pub fn size(&self) -> Result<usize, ConfigError> {
        if self.integer()? > i64::from(i32::MAX) {
            return Err(self.error(format!("{} value is too big", self.name)));
        }
        self.unsigned()
    }

    /// `None` for zero and below: no limit.
    pub fn limit<N: TryFrom<i64>>(&self) -> Result<Option<N>, ConfigError> {
        if self.integer()? <= 0 {
            return Ok(None);
        }
        self.unsigned().map(Some)
    }

    /// A duration as text.
    pub fn duration(&self) -> Result<Duration, ConfigError> {
        let (duration, negative) = duration::parse(self.text()?)
            .map_err(|reason| self.error(format!("error parsing {}: {reason}", self.name)))?;
        if negative && !duration.is_zero() {
            return Err(self.error(format!("invalid {}, needs to be positive", self.name)));
        }
        Ok(duration)
    }

    /// A duration that once was a number of seconds, of which the reference warns; its warnings
    /// are fatal.
    pub fn duration_not_seconds(&self) -> Result<Duration, ConfigError> {
        if matches!(self.value.data, Data::Text(_)) {
            return self.duration();
        }
        let name = &self.name;
        let warning = self.error(format!(
            "invalid use of field {name:?}: {name} should be converted to a duration"
        ));
        let mut errors = vec![warning];
        errors.extend(self.integer().err());
        ConfigError::all(errors)?;
        Ok(Duration::ZERO)
    }

    /// The entries of a map; `what` is for the error text.
    pub fn entries(&self, what: &str) -> Result<Vec<(&'a str, &'a Value)>, ConfigError> {
        match &self.value.data {
            Data::Map(map) => {
                let entries = map.in_written_order();
                Ok(entries.into_iter().map(|(key, entry)| (key, &entry.value)).collect())
            }
            other => {
                Err(self
                    .error(format!("error parsing {what}: unsupported type {}", other.type_name())))
            }
        }
    }
}

pub(super) fn error_at(at: &Position, text: impl Into<String>) -> ConfigError {
    ConfigError::Field { at: at.clone(), text: text.into() }
}

pub(super) fn text_of(value: &Value) -> Result<&str, ConfigError> {
    match &value.data {
        Data::Text(text) => Ok(text),
        _ => Err(wrong_type(value, "string")),
    }
}

fn wrong_type(value: &Value, wanted: &str) -> ConfigError {
    let found = value.data.type_name();
    error_at(&value.at, format!("interface conversion: interface {{}} is {found}, not {wanted}"))
}
