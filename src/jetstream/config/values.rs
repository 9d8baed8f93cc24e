//! Durations, and the words that fields may hold.

use serde::{Serialize, Serializer};

use super::json::{Node, Value, quoted};
use super::wire::{Mode, Problem, Wire};

/// A duration in nanoseconds as the API has it. It may be negative until it has been checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    pub const ZERO: Self = Self(0);

    /// The duration; a negative one is 0.
    pub fn ns(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Serialize for Nanos {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(self.0)
    }
}

impl Wire for Nanos {
    fn read(&mut self, node: &Node<'_>, mode: Mode) -> Result<(), Problem> {
        self.0.read(node, mode).map_err(|problem| problem.aimed_at("time.Duration"))
    }

    fn is_empty(&self) -> bool {
        self.is_zero()
    }

    fn go_type() -> String {
        "time.Duration".into()
    }
}

/// A type whose values are words, with the word each has on the wire and others that are read as
/// it. `else` is what is said of any other value.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident else $refuse:ident {
            $($(#[$doc:meta])* $variant:ident = $word:literal $(or $other:literal)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl Wire for $name {
            fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
                *self = match &node.value {
                    Value::Text(text) => match text.as_ref() {
                        $($word $(| $other)? => Self::$variant,)*
                        _ => return Err($refuse(node)),
                    },
                    _ => return Err($refuse(node)),
                };
                Ok(())
            }

            fn is_empty(&self) -> bool {
                *self == Self::default()
            }

            fn go_type() -> String {
                concat!("server.", stringify!($name)).into()
            }
        }
    };
}

fn not_a_word(node: &Node<'_>) -> Problem {
    Problem::said(format!("can not unmarshal {}", quoted(node.raw)))
}

fn not_a_compression(node: &Node<'_>) -> Problem {
    match &node.value {
        Value::Text(_) | Value::Null => Problem::said("unknown compression algorithm"),
        other => {
            let kind = other.kind();
            Problem::said(format!("json: cannot unmarshal {kind} into Go value of type string"))
        }
    }
}

fn not_a_priority_policy(node: &Node<'_>) -> Problem {
    Problem::said(format!("unknown priority policy: {}", node.raw))
}

fn not_an_action(node: &Node<'_>) -> Problem {
    Problem::said(format!("unknown consumer action: {}", node.raw))
}

words! {
    /// When a message leaves the stream by itself.
    pub enum Retention else not_a_word {
        #[default]
        Limits = "limits",
        /// When all consumers that wanted it have acknowledged it.
        Interest = "interest",
        /// When one consumer has acknowledged it.
        WorkQueue = "workqueue",
    }
}

words! {
    /// What gives way when a stream is full.
    pub enum Discard else not_a_word {
        #[default]
        Old = "old",
        New = "new",
    }
}

words! {
    pub enum Storage else not_a_word {
        #[default]
        File = "file",
        Memory = "memory",
    }
}

words! {
    pub enum Compression else not_a_compression {
        #[default]
        None = "none",
        S2 = "s2",
    }
}

words! {
    /// Whether a publish is answered before it is on disk.
    pub enum PersistMode else not_a_word {
        #[default]
        Default = "default" or "",
        Async = "async",
    }
}

words! {
    /// Where a consumer begins.
    pub enum DeliverPolicy else not_a_word {
        #[default]
        All = "all" or "undefined",
        Last = "last",
        New = "new",
        ByStartSequence = "by_start_sequence",
        ByStartTime = "by_start_time",
        LastPerSubject = "last_per_subject",
    }
}

words! {
    pub enum AckPolicy else not_a_word {
        #[default]
        None = "none",
        /// An acknowledgement covers all messages before it.
        All = "all",
        Explicit = "explicit",
        /// The flow control replies acknowledge.
        FlowControl = "flow_control",
    }
}

words! {
    pub enum ReplayPolicy else not_a_word {
        #[default]
        Instant = "instant",
        /// As far apart as they were stored.
        Original = "original",
    }
}

words! {
    /// Which of the clients that pull is served.
    pub enum PriorityPolicy else not_a_priority_policy {
        #[default]
        None = "none",
        Overflow = "overflow",
        PinnedClient = "pinned_client",
        Prioritized = "prioritized",
    }
}

words! {
    /// Whether a request may find its consumer there already.
    pub enum Action else not_an_action {
        #[default]
        CreateOrUpdate = "",
        Create = "create",
        Update = "update",
    }
}
