//! Objects of the API as types: the order of their fields, what is left out, how they are read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::{self, Node, Value};
use crate::jetstream::error::ApiError;

/// What becomes of a field nobody knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// It is an error.
    Strict,
    Lenient,
}

/// Reads JSON text as the reference does: names match in any case, `null` changes nothing, of a
/// name twice the last counts, nothing at all is an empty object, and of several values each is
/// read on top of the one before. The error is Go's text.
///
/// `root` is the name that Go's text gives the outermost type.
pub fn parse<T: Wire>(text: &[u8], mode: Mode, root: &str) -> Result<T, ApiError> {
    let mut value = T::default();
    parse_with(text, root, |node| value.read(node, mode))?;
    Ok(value)
}

/// [`parse`] for what is no `Wire`.
pub fn parse_with(
    text: &[u8],
    root: &str,
    mut read: impl FnMut(&Node<'_>) -> Result<(), Problem>,
) -> Result<(), ApiError> {
    let strange = std::str::from_utf8(text).err().map(|error| text[error.valid_up_to()]);
    let text = String::from_utf8_lossy(text);
    for node in json::values(&text) {
        // The reader met the replacement of the byte that is no text.
        let told = |said: String| match strange {
            Some(byte) => said.replace("'\u{fffd}'", &format!("'\\x{byte:02x}'")),
            None => said,
        };
        let node = node.map_err(|said| ApiError::invalid_json(told(said)))?;
        read(&node).map_err(|problem| ApiError::invalid_json(problem.text(root)))?;
    }
    Ok(())
}

/// A value with a form in JSON.
pub trait Wire: Default + Serialize {
    /// Replaces what `self` holds by what the text holds.
    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem>;
    /// Whether an object leaves a field with this value out, if it leaves out anything.
    fn is_empty(&self) -> bool;
    /// What Go calls the type in its messages.
    fn go_type() -> String;
}

/// Why text is not the value it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// A text as it stands.
    Said(String),
    /// The wrong kind of value, and where it was met: the innermost name first.
    Mismatch { kind: String, path: Vec<Segment>, aim: String },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    Field(String),
    Place(usize),
}

impl Problem {
    pub fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }

    pub fn mismatch(node: &Node<'_>, aim: String) -> Self {
        Self::Mismatch { kind: node.value.kind().into(), path: Vec::new(), aim }
    }

    /// A number of the wrong kind, or too large.
    fn unfit(node: &Node<'_>, aim: String) -> Self {
        Self::Mismatch { kind: format!("number {}", node.raw), path: Vec::new(), aim }
    }

    /// The same problem, met while reading a value of another name.
    pub fn aimed_at(mut self, go_type: &str) -> Self {
        if let Self::Mismatch { path, aim, .. } = &mut self
            && path.is_empty()
        {
            *aim = go_type.into();
        }
        self
    }

    pub fn within(mut self, segment: Segment) -> Self {
        if let Self::Mismatch { path, .. } = &mut self {
            path.push(segment);
        }
        self
    }

    fn text(self, root: &str) -> String {
        let Self::Mismatch { kind, path, aim } = self else {
            let Self::Said(text) = self else { unreachable!("the other variant") };
            return text;
        };
        let Some(innermost) = path.first() else {
            return format!("json: cannot unmarshal {kind} into Go value of type server.{root}");
        };
        let field = if matches!(innermost, Segment::Field(_)) { "Go struct field " } else { "" };
        let mut place = String::from(root);
        for segment in path.iter().rev() {
            match segment {
                Segment::Field(name) => place = place + "." + name,
                Segment::Place(at) => place = format!("{place}.{at}"),
            }
        }
        format!("json: cannot unmarshal {kind} into {field}{place} of type {aim}")
    }
}

/// A struct whose fields are written in order, `always` or only when `filled`. `as` is what Go
/// calls the type.
macro_rules! object {
    (
        $(#[$meta:meta])*
        pub struct $name:ident as $go:literal {
            $($(#[$doc:meta])* $field:ident : $type:ty = $when:ident $key:literal $(as $aim:literal)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use $crate::jetstream::config::wire::{Wire, object};
                let mut map = to.serialize_map(None)?;
                $(
                    if object!(@$when) || !Wire::is_empty(&self.$field) {
                        map.serialize_entry($key, &self.$field)?;
                    }
                )*
                map.end()
            }
        }

        impl $name {
            /// Reads one field; whether there is such a field.
            pub(super) fn read_member(
                &mut self,
                name: &str,
                node: &$crate::jetstream::config::json::Node<'_>,
                mode: $crate::jetstream::config::wire::Mode,
            ) -> Result<bool, $crate::jetstream::config::wire::Problem> {
                use $crate::jetstream::config::wire::{own_name, read_field};
                const KEYS: &[&str] = &[$($key),*];
                match own_name(KEYS, name) {
                    $(Some($key) => {
                        let aim: Option<&str> = None $(.or(Some($aim)))?;
                        read_field(&mut self.$field, $key, aim, node, mode)?;
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }
        }

        impl $crate::jetstream::config::wire::Wire for $name {
            fn read(
                &mut self,
                node: &$crate::jetstream::config::json::Node<'_>,
                mode: $crate::jetstream::config::wire::Mode,
            ) -> Result<(), $crate::jetstream::config::wire::Problem> {
                use $crate::jetstream::config::wire::{members, unknown};
                for (name, value) in members(node, $go)? {
                    if !self.read_member(name, value, mode)? {
                        unknown(name, mode)?;
                    }
                }
                Ok(())
            }

            fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            fn go_type() -> String {
                $go.into()
            }
        }
    };
    (@always) => { true };
    (@filled) => { false };
}
pub(in crate::jetstream) use object;

/// The members of an object; none if the value is `null`.
pub fn members<'n, 't>(
    node: &'n Node<'t>,
    go_type: &str,
) -> Result<impl Iterator<Item = (&'n str, &'n Node<'t>)>, Problem> {
    let members = match &node.value {
        Value::Null => &[][..],
        Value::Object(members) => members,
        _ => return Err(Problem::mismatch(node, go_type.into())),
    };
    Ok(members.iter().map(|(name, value)| (name.as_ref(), value)))
}

/// The field that a name means: itself, or else the one that differs in case only.
pub fn own_name(keys: &[&'static str], name: &str) -> Option<&'static str> {
    let exact = keys.iter().find(|key| **key == name);
    exact.or_else(|| keys.iter().find(|key| key.eq_ignore_ascii_case(name))).copied()
}

pub fn read_field<T: Wire>(
    field: &mut T,
    key: &str,
    aim: Option<&str>,
    node: &Node<'_>,
    mode: Mode,
) -> Result<(), Problem> {
    field.read(node, mode).map_err(|problem| {
        let problem = match aim {
            Some(aim) => problem.aimed_at(aim),
            None => problem,
        };
        problem.within(Segment::Field(key.into()))
    })
}

pub fn unknown(name: &str, mode: Mode) -> Result<(), Problem> {
    match mode {
        Mode::Lenient => Ok(()),
        Mode::Strict => Err(Problem::said(format!("json: unknown field {}", json::quoted(name)))),
    }
}

impl Wire for String {
    fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
        match &node.value {
            Value::Null => {}
            Value::Text(text) => *self = text.clone().into_owned(),
            _ => return Err(Problem::mismatch(node, Self::go_type())),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        String::is_empty(self)
    }

    fn go_type() -> String {
        "string".into()
    }
}

impl Wire for bool {
    fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
        match &node.value {
            Value::Null => {}
            Value::Bool(value) => *self = *value,
            _ => return Err(Problem::mismatch(node, Self::go_type())),
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        !self
    }

    fn go_type() -> String {
        "bool".into()
    }
}

macro_rules! integer {
    ($type:ty, $go:literal) => {
        impl Wire for $type {
            fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
                match &node.value {
                    Value::Null => {}
                    Value::Number(digits) => {
                        *self =
                            digits.parse().map_err(|_| Problem::unfit(node, Self::go_type()))?;
                    }
                    _ => return Err(Problem::mismatch(node, Self::go_type())),
                }
                Ok(())
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }

            fn go_type() -> String {
                $go.into()
            }
        }
    };
}
integer!(i64, "int64");
integer!(i32, "int32");
integer!(u64, "uint64");

impl<T: Wire> Wire for Vec<T> {
    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem> {
        self.clear();
        let items = match &node.value {
            Value::Null => return Ok(()),
            Value::List(items) => items,
            _ => return Err(Problem::mismatch(node, Self::go_type())),
        };
        for (place, item) in items.iter().enumerate() {
            let mut value = T::default();
            value.read(item, mode).map_err(|problem| problem.within(Segment::Place(place)))?;
            self.push(value);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        Vec::is_empty(self)
    }

    fn go_type() -> String {
        format!("[]{}", T::go_type())
    }
}

impl<T: Wire> Wire for Option<T> {
    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem> {
        if matches!(node.value, Value::Null) {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_default().read(node, mode)
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }

    fn go_type() -> String {
        T::go_type()
    }
}

impl Wire for BTreeMap<String, String> {
    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem> {
        for (name, value) in members(node, &Self::go_type())? {
            let mut text = String::new();
            read_field(&mut text, name, None, value, mode)?;
            self.insert(name.into(), text);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }

    fn go_type() -> String {
        "map[string]string".into()
    }
}
