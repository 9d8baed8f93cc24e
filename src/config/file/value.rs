//! Parsed values: plain data, each with the place it was written at.

use std::collections::BTreeMap;

use crate::config::Position;

#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    pub data: Data,
    /// The value itself in an array; its key in a map, as error texts name the key.
    pub at: Position,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Data {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// `2006-01-02T15:04:05Z`, checked; no key takes one.
    DateTime(String),
    Array(Vec<Value>),
    Map(Map),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    pub value: Value,
    /// `$key` stands somewhere: such a key may be one that no option has.
    pub is_variable: bool,
}

/// Keys as written, sorted. Case matters here and not to the options.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Map(BTreeMap<String, Entry>);

impl Map {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last of equal keys counts.
    pub fn insert(&mut self, key: String, value: Value) {
        self.0.insert(key, Entry { value, is_variable: false });
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The entries in the order they were written, for reading them as options.
    pub fn in_written_order(&self) -> Vec<(&str, &Entry)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(_, entry)| (entry.value.at.line, entry.value.at.column));
        entries
    }

    /// Takes over what an included file says.
    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.0.get_mut(key)
    }
}

impl Data {
    /// The type's name in the error texts of the reference.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Integer(_) => "int64",
            Self::Float(_) => "float64",
            Self::Boolean(_) => "bool",
            Self::DateTime(_) => "time.Time",
            Self::Array(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }

    /// Roughly the bytes a copy takes.
    pub(super) fn weight_bytes(&self) -> usize {
        const OWN: usize = size_of::<Value>();
        match self {
            Self::Text(text) | Self::DateTime(text) => OWN + text.len(),
            Self::Integer(_) | Self::Float(_) | Self::Boolean(_) => OWN,
            Self::Array(values) => {
                values.iter().map(|value| value.data.weight_bytes()).sum::<usize>() + OWN
            }
            Self::Map(map) => {
                let entries = map.iter();
                entries.map(|(key, e)| key.len() + e.value.data.weight_bytes()).sum::<usize>() + OWN
            }
        }
    }
}
