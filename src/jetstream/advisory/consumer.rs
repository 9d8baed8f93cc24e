//! Advisories and metrics about consumers.

use serde::Serialize;

use super::super::context::Site;
use super::super::outbox::Outbox;
use super::publish;
use crate::types::{AccountId, Wall};

/// Whom an advisory is about.
#[derive(Clone, Copy, Debug)]
pub struct AboutConsumer<'a> {
    pub account: AccountId,
    pub stream: &'a str,
    pub consumer: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Create,
    Delete,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsumerAdvisory<'a> {
    Action(Action),
    /// `until` is RFC 3339.
    Pause {
        paused: bool,
        until: &'a str,
    },
    /// `account` is its name.
    Pinned {
        account: &'a str,
        group: &'a str,
        pinned_id: &'a str,
    },
    /// `reason`: `admin` or `timeout`.
    Unpinned {
        account: &'a str,
        group: &'a str,
        reason: &'a str,
    },
    MaxDeliveries {
        stream_seq: u64,
        deliveries: u64,
    },
    Naked {
        consumer_seq: u64,
        stream_seq: u64,
        deliveries: u64,
    },
    /// An empty reason is not told.
    Terminated {
        consumer_seq: u64,
        stream_seq: u64,
        deliveries: u64,
        reason: &'a str,
    },
    /// A sample of how long an acknowledgement took, in nanoseconds.
    Acked {
        consumer_seq: u64,
        stream_seq: u64,
        ack_time: u64,
        deliveries: u64,
    },
}

/// The fields of all kinds, in the one order that suits them all.
#[derive(Serialize, Default)]
struct Fields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    stream: &'a str,
    consumer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action>,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_until: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl ConsumerAdvisory<'_> {
    pub fn publish(&self, out: &mut Outbox, site: &Site, now: Wall, about: AboutConsumer<'_>) {
        let (subject, kind) = self.names();
        let subject = format!("$JS.EVENT.{subject}.{}.{}", about.stream, about.consumer);
        let kind = format!("io.nats.jetstream.{kind}");
        publish(out, about.account, site, now, &subject, &kind, &self.fields(about));
    }

    /// The middle of the subject and the end of the type.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Action(Action::Create) => {
                ("ADVISORY.CONSUMER.CREATED", "advisory.v1.consumer_action")
            }
            Self::Action(Action::Delete) => {
                ("ADVISORY.CONSUMER.DELETED", "advisory.v1.consumer_action")
            }
            Self::Pause { .. } => ("ADVISORY.CONSUMER.PAUSE", "advisory.v1.consumer_pause"),
            Self::Pinned { .. } => {
                ("ADVISORY.CONSUMER.PINNED", "advisory.v1.consumer_group_pinned")
            }
            Self::Unpinned { .. } => {
                ("ADVISORY.CONSUMER.UNPINNED", "advisory.v1.consumer_group_unpinned")
            }
            Self::MaxDeliveries { .. } => {
                ("ADVISORY.CONSUMER.MAX_DELIVERIES", "advisory.v1.max_deliver")
            }
            Self::Naked { .. } => ("ADVISORY.CONSUMER.MSG_NAKED", "advisory.v1.nak"),
            Self::Terminated { .. } => {
                ("ADVISORY.CONSUMER.MSG_TERMINATED", "advisory.v1.terminated")
            }
            Self::Acked { .. } => ("METRIC.CONSUMER.ACK", "metric.v1.consumer_ack"),
        }
    }

    fn fields<'a>(&'a self, about: AboutConsumer<'a>) -> Fields<'a> {
        let base = Fields { stream: about.stream, consumer: about.consumer, ..Fields::default() };
        match *self {
            Self::Action(action) => Fields { action: Some(action), ..base },
            Self::Pause { paused, until } => {
                Fields { paused: Some(paused), pause_until: Some(until), ..base }
            }
            Self::Pinned { account, group, pinned_id } => Fields {
                account: Some(account),
                group: Some(group),
                pinned_id: Some(pinned_id),
                ..base
            },
            Self::Unpinned { account, group, reason } => {
                Fields { account: Some(account), group: Some(group), reason: Some(reason), ..base }
            }
            Self::MaxDeliveries { stream_seq, deliveries } => {
                Fields { stream_seq: Some(stream_seq), deliveries: Some(deliveries), ..base }
            }
            Self::Naked { consumer_seq, stream_seq, deliveries } => Fields {
                consumer_seq: Some(consumer_seq),
                stream_seq: Some(stream_seq),
                deliveries: Some(deliveries),
                ..base
            },
            Self::Terminated { consumer_seq, stream_seq, deliveries, reason } => Fields {
                consumer_seq: Some(consumer_seq),
                stream_seq: Some(stream_seq),
                deliveries: Some(deliveries),
                reason: (!reason.is_empty()).then_some(reason),
                ..base
            },
            Self::Acked { consumer_seq, stream_seq, ack_time, deliveries } => Fields {
                consumer_seq: Some(consumer_seq),
                stream_seq: Some(stream_seq),
                ack_time: Some(ack_time),
                deliveries: Some(deliveries),
                ..base
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: AboutConsumer<'static> =
        AboutConsumer { account: AccountId::GLOBAL, stream: "S", consumer: "C<1>" };

    /// Subjects, types and fields as 2.15.1 sent them (facts/examples/js_advisories.json).
    #[test]
    fn told_in_the_references_words() {
        use ConsumerAdvisory as A;
        let rows: &[(A<'_>, &str, &str, &str)] = &[
            (
                A::Action(Action::Create),
                "ADVISORY.CONSUMER.CREATED",
                "advisory.v1.consumer_action",
                r#""action":"create""#,
            ),
            (
                A::Pause { paused: true, until: "2030-01-01T00:00:00Z" },
                "ADVISORY.CONSUMER.PAUSE",
                "advisory.v1.consumer_pause",
                r#""paused":true,"pause_until":"2030-01-01T00:00:00Z""#,
            ),
            (
                A::MaxDeliveries { stream_seq: 2, deliveries: 1 },
                "ADVISORY.CONSUMER.MAX_DELIVERIES",
                "advisory.v1.max_deliver",
                r#""stream_seq":2,"deliveries":1"#,
            ),
            (
                A::Terminated { consumer_seq: 2, stream_seq: 1, deliveries: 2, reason: "a & b" },
                "ADVISORY.CONSUMER.MSG_TERMINATED",
                "advisory.v1.terminated",
                r#""consumer_seq":2,"stream_seq":1,"deliveries":2,"reason":"a \u0026 b""#,
            ),
            (
                A::Acked { consumer_seq: 1, stream_seq: 1, ack_time: 174_230, deliveries: 1 },
                "METRIC.CONSUMER.ACK",
                "metric.v1.consumer_ack",
                r#""consumer_seq":1,"stream_seq":1,"ack_time":174230,"deliveries":1"#,
            ),
        ];
        for (advisory, subject, kind, fields) in rows {
            let mut out = Outbox::default();
            advisory.publish(&mut out, &Site::default(), Wall(0), ABOUT);
            let (account, message) = out.first().unwrap();
            assert_eq!(account, AccountId::GLOBAL);
            let told = String::from_utf8_lossy(message.subject);
            assert_eq!(told, format!("$JS.EVENT.{subject}.S.C<1>"));
            let text = String::from_utf8_lossy(message.payload);
            let begin = format!(r#"{{"type":"io.nats.jetstream.{kind}","id":""#);
            let end = format!(
                r#"","timestamp":"1970-01-01T00:00:00Z","stream":"S","consumer":"C\u003c1\u003e",{fields}}}"#
            );
            assert!(text.starts_with(&begin) && text.ends_with(&end), "{text}");
            assert_eq!(text.len(), begin.len() + super::super::ID_LEN + end.len());
        }
    }

    #[test]
    fn pins_name_the_account_first_and_the_domain_comes_last() {
        let site = Site { domain: Some("hub".into()), ..Site::default() };
        let mut out = Outbox::default();
        let pinned = ConsumerAdvisory::Pinned { account: "$G", group: "g", pinned_id: "x" };
        pinned.publish(&mut out, &site, Wall(0), ABOUT);
        let text = String::from_utf8_lossy(out.first().unwrap().1.payload).into_owned();
        assert!(text.ends_with(
            r#""account":"$G","stream":"S","consumer":"C\u003c1\u003e","group":"g","pinned_id":"x","domain":"hub"}"#
        ));
    }
}
