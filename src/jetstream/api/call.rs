//! API subjects (facts/jetstream-api.md §2): which call, on what.

/// A call of the API, with the names its subject carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call<'a> {
    AccountInfo,
    StreamNames,
    StreamList,
    StreamCreate(&'a str),
    StreamUpdate(&'a str),
    /// Anything else about one stream.
    Stream(StreamCall, &'a str),
    ConsumerCreate {
        stream: &'a str,
        consumer: Option<&'a str>,
        filter: Option<&'a str>,
    },
    ConsumerCreateDurable {
        stream: &'a str,
        consumer: &'a str,
    },
    ConsumerNames(&'a str),
    ConsumerList(&'a str),
    Consumer {
        call: ConsumerCall,
        stream: &'a str,
        consumer: &'a str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamCall {
    Info,
    Delete,
    Purge,
    MessageGet,
    MessageDelete,
    Snapshot,
    Restore,
    LeaderStepDown,
    PeerRemove,
    PeerEvacuate,
    CancelMove,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsumerCall {
    Info,
    Delete,
    Pause,
    Reset,
    Unpin,
    LeaderStepDown,
}

impl<'a> Call<'a> {
    /// `None`: no such call, which the reference leaves unanswered.
    pub fn parse(subject: &'a [u8], domain: Option<&str>) -> Option<Self> {
        let subject = std::str::from_utf8(subject).ok()?;
        let rest = subject.strip_prefix("$JS.")?;
        let rest = rest
            .strip_prefix("API.")
            .or_else(|| rest.strip_prefix(domain?)?.strip_prefix(".API."))?;
        let (group, rest) = match rest.split_once('.') {
            None if rest == "INFO" => return Some(Self::AccountInfo),
            None => return None,
            Some(parts) => parts,
        };
        match group {
            "STREAM" => Self::stream(rest),
            "CONSUMER" => Self::consumer(rest),
            _ => None,
        }
    }

    fn stream(rest: &'a str) -> Option<Self> {
        match rest {
            "NAMES" => return Some(Self::StreamNames),
            "LIST" => return Some(Self::StreamList),
            _ => {}
        }
        let (verb, name) = rest.rsplit_once('.')?;
        let call = match verb {
            "CREATE" => return Some(Self::StreamCreate(name)),
            "UPDATE" => return Some(Self::StreamUpdate(name)),
            "INFO" => StreamCall::Info,
            "DELETE" => StreamCall::Delete,
            "PURGE" => StreamCall::Purge,
            "MSG.GET" => StreamCall::MessageGet,
            "MSG.DELETE" => StreamCall::MessageDelete,
            "SNAPSHOT" => StreamCall::Snapshot,
            "RESTORE" => StreamCall::Restore,
            "LEADER.STEPDOWN" => StreamCall::LeaderStepDown,
            "PEER.REMOVE" => StreamCall::PeerRemove,
            "PEER.EVACUATE" => StreamCall::PeerEvacuate,
            "CANCEL_MOVE" => StreamCall::CancelMove,
            _ => return None,
        };
        Some(Self::Stream(call, name))
    }

    fn consumer(rest: &'a str) -> Option<Self> {
        let (verb, names) = rest.split_once('.')?;
        if verb == "CREATE" {
            let mut parts = names.splitn(3, '.');
            let stream = parts.next()?;
            return Some(Self::ConsumerCreate {
                stream,
                consumer: parts.next(),
                filter: parts.next(),
            });
        }
        let single = || (!names.contains('.')).then_some(names);
        match verb {
            "NAMES" => return single().map(Self::ConsumerNames),
            "LIST" => return single().map(Self::ConsumerList),
            _ => {}
        }
        let (names, call) = match verb {
            "INFO" => (names, Some(ConsumerCall::Info)),
            "DELETE" => (names, Some(ConsumerCall::Delete)),
            "PAUSE" => (names, Some(ConsumerCall::Pause)),
            "RESET" => (names, Some(ConsumerCall::Reset)),
            "UNPIN" => (names, Some(ConsumerCall::Unpin)),
            "LEADER" => (names.strip_prefix("STEPDOWN.")?, Some(ConsumerCall::LeaderStepDown)),
            "DURABLE" => (names.strip_prefix("CREATE.")?, None),
            _ => return None,
        };
        let (stream, consumer) = names.split_once('.')?;
        if consumer.contains('.') {
            return None;
        }
        Some(match call {
            Some(call) => Self::Consumer { call, stream, consumer },
            None => Self::ConsumerCreateDurable { stream, consumer },
        })
    }

    /// Only a cluster can do it.
    pub fn wants_cluster(&self) -> bool {
        use StreamCall::{CancelMove, LeaderStepDown, PeerEvacuate, PeerRemove};
        match self {
            Self::Stream(call, _) => {
                matches!(call, LeaderStepDown | PeerRemove | PeerEvacuate | CancelMove)
            }
            Self::Consumer { call, .. } => *call == ConsumerCall::LeaderStepDown,
            _ => false,
        }
    }

    /// A request with a body is refused.
    pub fn wants_no_body(&self) -> bool {
        match self {
            Self::Stream(call, _) => *call == StreamCall::Delete,
            Self::Consumer { call, .. } => {
                matches!(call, ConsumerCall::Delete | ConsumerCall::Info)
            }
            _ => false,
        }
    }

    /// A request without a body is refused, whether there is such a stream or not.
    pub fn wants_body(&self) -> bool {
        matches!(self, Self::Stream(StreamCall::Snapshot, _))
    }

    /// A request for what is not there is not answered.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Consumer { call: ConsumerCall::Reset, .. })
    }

    /// Who listens to the audit hears of it: with the reference of every call but this.
    pub fn is_audited(&self) -> bool {
        !matches!(self, Self::Consumer { call: ConsumerCall::Reset, .. })
    }

    /// The stream it is about, if it is about one that must exist.
    pub fn of_stream(&self) -> Option<&'a str> {
        match *self {
            Self::AccountInfo | Self::StreamNames | Self::StreamList | Self::StreamCreate(_) => {
                None
            }
            Self::StreamUpdate(name)
            | Self::Stream(_, name)
            | Self::ConsumerNames(name)
            | Self::ConsumerList(name) => Some(name),
            Self::ConsumerCreate { stream, .. }
            | Self::ConsumerCreateDurable { stream, .. }
            | Self::Consumer { stream, .. } => Some(stream),
        }
    }
}

/// What shard 0 subscribes to: every call that does not go to the stream's own core.
/// Calls that nobody knows are taken too, and left unanswered.
pub const API_PATTERNS: [&str; 14] = [
    "*",
    "STREAM.>",
    "CONSUMER.CREATE.>",
    "CONSUMER.DURABLE.>",
    "CONSUMER.NAMES.>",
    "CONSUMER.LIST.>",
    "CONSUMER.INFO.>",
    "CONSUMER.DELETE.>",
    "CONSUMER.PAUSE.>",
    "CONSUMER.RESET.>",
    "CONSUMER.UNPIN.>",
    "CONSUMER.LEADER.>",
    "META.>",
    "ACCOUNT.>",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_name_calls() {
        let rows: [(&str, Option<Call<'_>>); 15] = [
            ("$JS.API.INFO", Some(Call::AccountInfo)),
            ("$JS.hub.API.INFO", Some(Call::AccountInfo)),
            ("$JS.other.API.INFO", None),
            ("$JS.API.STREAM.NAMES", Some(Call::StreamNames)),
            ("$JS.API.STREAM.CREATE.S", Some(Call::StreamCreate("S"))),
            ("$JS.API.STREAM.MSG.GET.S", Some(Call::Stream(StreamCall::MessageGet, "S"))),
            ("$JS.API.STREAM.TEMPLATE.CREATE.S", None),
            ("$JS.API.CONSUMER.LIST.S", Some(Call::ConsumerList("S"))),
            (
                "$JS.API.CONSUMER.CREATE.S",
                Some(Call::ConsumerCreate { stream: "S", consumer: None, filter: None }),
            ),
            (
                "$JS.API.CONSUMER.CREATE.S.c.a.>",
                Some(Call::ConsumerCreate {
                    stream: "S",
                    consumer: Some("c"),
                    filter: Some("a.>"),
                }),
            ),
            (
                "$JS.API.CONSUMER.DURABLE.CREATE.S.c",
                Some(Call::ConsumerCreateDurable { stream: "S", consumer: "c" }),
            ),
            (
                "$JS.API.CONSUMER.INFO.S.c",
                Some(Call::Consumer { call: ConsumerCall::Info, stream: "S", consumer: "c" }),
            ),
            (
                "$JS.API.CONSUMER.LEADER.STEPDOWN.S.c",
                Some(Call::Consumer {
                    call: ConsumerCall::LeaderStepDown,
                    stream: "S",
                    consumer: "c",
                }),
            ),
            ("$JS.API.CONSUMER.INFO.S", None),
            ("$JS.API.BOGUS", None),
        ];
        for (subject, expected) in rows {
            assert_eq!(Call::parse(subject.as_bytes(), Some("hub")), expected, "{subject}");
        }
    }

    #[test]
    fn only_a_reset_is_never_audited() {
        for (subject, is_audited) in [
            ("$JS.API.CONSUMER.PAUSE.S.C", true),
            ("$JS.API.CONSUMER.RESET.S.C", false),
            ("$JS.hub.API.CONSUMER.RESET.S.C", false),
            ("$JS.API.CONSUMER.CREATE.S.C.a.CONSUMER.RESET.b", true),
        ] {
            let call = Call::parse(subject.as_bytes(), Some("hub"));
            assert_eq!(call.map(|call| call.is_audited()), Some(is_audited), "{subject}");
        }
    }
}
