//! Durations, and the words that fields may hold.

use serde::{Serialize, Serializer};

use super::json::{Node, Value};
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

/// A type whose values are words, with the word each has on the wire. The first is the default.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.word())
            }
        }

        impl Wire for $name {
            fn read(&mut self, node: &Node<'_>, _: Mode) -> Result<(), Problem> {
                let word = match &node.value {
                    Value::Text(text) => Self::from_word(text),
                    _ => None,
                };
                *self = word.ok_or_else(|| Self::unknown(node))?;
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

words! {
    /// When a message leaves the stream by itself.
    pub enum Retention {
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
    pub enum Discard {
        #[default]
        Old = "old",
        New = "new",
    }
}

words! {
    pub enum Storage {
        #[default]
        File = "file",
        Memory = "memory",
    }
}

words! {
    pub enum Compression {
        #[default]
        None = "none",
        S2 = "s2",
    }
}

words! {
    /// Whether a publish is answered before it is on disk.
    pub enum PersistMode {
        #[default]
        Default = "default",
        Async = "async",
    }
}

words! {
    /// Where a consumer begins.
    pub enum DeliverPolicy {
        #[default]
        All = "all",
        Last = "last",
        New = "new",
        ByStartSequence = "by_start_sequence",
        ByStartTime = "by_start_time",
        LastPerSubject = "last_per_subject",
    }
}

words! {
    pub enum AckPolicy {
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
    pub enum ReplayPolicy {
        #[default]
        Instant = "instant",
        /// As far apart as they were stored.
        Original = "original",
    }
}

words! {
    /// Which of the clients that pull is served.
    pub enum PriorityPolicy {
        #[default]
        None = "none",
        Overflow = "overflow",
        PinnedClient = "pinned_client",
        Prioritized = "prioritized",
    }
}

/// The reference's words for a value that is none of the words.
trait Unknown {
    fn unknown(node: &Node<'_>) -> Problem;
}

impl<T: Wire> Unknown for T {
    fn unknown(node: &Node<'_>) -> Problem {
        Problem::said(format!("can not unmarshal {}", super::json::quoted(node.raw)))
    }
}
