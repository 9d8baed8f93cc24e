//! What a user may publish and subscribe to: as configured, and made ready for asking.

use serde::Serialize;

use super::patterns::{self, PatternSet};
use crate::types::time::SECOND;
use crate::types::{Pattern, Subject, pattern};

/// As configured; serializes as the reference shows it to the user.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Permissions {
    pub publish: SubjectRules,
    pub subscribe: SubjectRules,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
}

/// Patterns; those for subscribing may carry a queue: `"subject queue"`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SubjectRules {
    /// `None`: everything. Nothing at all is what [`Responses`] leave of publishing.
    #[serde(skip_serializing_if = "is_empty")]
    pub allow: Option<Vec<String>>,
    /// Wins over `allow`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

fn is_empty(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

/// Messages that may be published to the reply subject of a message that was delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Responses {
    /// For each delivered message; negative: no limit.
    pub max: i64,
    /// Nanoseconds since the delivery; negative: no limit.
    #[serde(rename = "ttl")]
    pub expires_ns: i64,
}

impl Default for Responses {
    fn default() -> Self {
        Self { max: 1, expires_ns: 120 * SECOND as i64 }
    }
}

impl Permissions {
    /// Who may answer only, may publish nothing else unless that is allowed by name.
    pub fn close_publish_for_responses(&mut self) {
        if self.responses.is_some() {
            self.publish.allow.get_or_insert_default();
        }
    }
}

/// Permissions, made ready for asking. Shared by all connections of a user.
#[derive(Debug)]
pub struct Rules {
    pub texts: Permissions,
    publish_allow: Option<PatternSet>,
    publish_deny: PatternSet,
    subscribe_allow: Option<SubscribeSet>,
    subscribe_deny: SubscribeSet,
}

/// Patterns for any queue or none, and patterns for named queues.
#[derive(Debug, Default)]
struct SubscribeSet {
    plain: PatternSet,
    queued: Vec<Queued>,
}

#[derive(Debug)]
struct Queued {
    subject: Box<[u8]>,
    /// May be a pattern.
    queue: Box<[u8]>,
}

impl Rules {
    pub fn new(texts: Permissions) -> Self {
        let set = |list: &[String]| PatternSet::new(list.iter().map(String::as_str));
        let subscribe_allow = texts.subscribe.allow.as_deref().filter(|list| !list.is_empty());
        Self {
            publish_allow: texts.publish.allow.as_deref().map(set),
            publish_deny: set(&texts.publish.deny),
            subscribe_allow: subscribe_allow.map(SubscribeSet::new),
            subscribe_deny: SubscribeSet::new(&texts.subscribe.deny),
            texts,
        }
    }

    /// Every subject may be published to.
    pub fn publishes_anything(&self) -> bool {
        self.publish_allow.is_none() && self.publish_deny.is_empty()
    }

    /// By the lists alone: a response may be allowed all the same.
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        // A subject with an empty token is in no list.
        let fits = |set: &PatternSet| Subject::parse(subject).is_some() && set.fits(subject);
        self.publish_allow.as_ref().is_none_or(fits) && !fits(&self.publish_deny)
    }

    pub fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        if Subject::parse(pattern).is_none() {
            return self.subscribe_allow.is_none();
        }
        let allowed =
            self.subscribe_allow.as_ref().is_none_or(|allow| allow.allows(pattern, queue));
        allowed && !self.subscribe_deny.denies(pattern, queue)
    }

    /// Whether messages of this subscription may have to be held back one by one.
    pub fn must_filter(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let is_wild = Pattern::parse(pattern).is_some_and(|p| p.shape() != pattern::Shape::Literal);
        (is_wild || queue.is_some()) && self.subscribe_deny.overlaps(pattern)
    }

    /// Whether a message must not reach a subscription with this queue.
    pub fn holds_back(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe_deny.denies(subject, queue)
    }
}

impl SubscribeSet {
    fn new(list: &[String]) -> Self {
        let mut plain = Vec::new();
        let mut queued = Vec::new();
        for text in list {
            let mut words = text.split_ascii_whitespace();
            match (words.next(), words.next()) {
                (Some(subject), None) => plain.push(subject),
                (Some(subject), Some(queue)) => queued.push(Queued {
                    subject: subject.as_bytes().into(),
                    queue: queue.as_bytes().into(),
                }),
                (None, _) => {}
            }
        }
        Self { plain: PatternSet::new(plain.into_iter()), queued }
    }

    /// Where queues are named for a subject, only those count for a queue subscription.
    fn allows(&self, asked: &[u8], queue: Option<&[u8]>) -> bool {
        let named = |queue| self.queue_named(queue, |subject| patterns::encloses(subject, asked));
        queue.and_then(named).unwrap_or_else(|| self.plain.covers(asked))
    }

    fn denies(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let named = |queue| self.queue_named(queue, |denied| pattern::covers(denied, subject));
        self.plain.fits(subject) || queue.and_then(named).unwrap_or(false)
    }

    fn overlaps(&self, asked: &[u8]) -> bool {
        self.plain.overlaps(asked)
            || self.queued.iter().any(|entry| patterns::overlap(&entry.subject, asked))
    }

    /// Whether a fitting entry names the queue; `None` if no entry fits.
    fn queue_named(&self, queue: &[u8], fits: impl Fn(&[u8]) -> bool) -> Option<bool> {
        let mut entries = self.queued.iter().filter(|entry| fits(&entry.subject)).peekable();
        entries.peek()?;
        Some(entries.any(|entry| pattern::covers(&entry.queue, queue)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn subscribe(allow: &[&str], deny: &[&str]) -> Rules {
        let allow = Some(list(allow)).filter(|allow| !allow.is_empty());
        let subscribe = SubjectRules { allow, deny: list(deny) };
        Rules::new(Permissions { subscribe, ..Permissions::default() })
    }

    fn publish(allow: Option<&[&str]>, deny: &[&str]) -> Rules {
        let publish = SubjectRules { allow: allow.map(list), deny: list(deny) };
        Rules::new(Permissions { publish, ..Permissions::default() })
    }

    #[track_caller]
    fn check(rules: &Rules, yes: &[(&str, &str)], no: &[(&str, &str)]) {
        for (expected, rows) in [(true, yes), (false, no)] {
            for (subject, queue) in rows {
                let queue = Some(queue.as_bytes()).filter(|queue| !queue.is_empty());
                let found = rules.may_subscribe(subject.as_bytes(), queue);
                assert_eq!(found, expected, "{subject} {queue:?}");
            }
        }
    }

    #[test]
    fn publish_lists_are_a_whitelist_and_exceptions() {
        let rules = publish(Some(&["ok.>", "x"]), &["ok.no", "p.*"]);
        for (subject, expected) in [
            ("ok.a", true),
            ("ok.a.b", true),
            ("x", true),
            ("ok.no", false),
            ("ok", false),
            ("y", false),
            ("ok..a", false),
        ] {
            assert_eq!(rules.may_publish(subject.as_bytes()), expected, "{subject}");
        }
        let rules = publish(None, &["p.*"]);
        for (subject, expected) in
            [("p.a", false), ("p.*", false), ("p.a.b", true), ("q", true), ("p..", true)]
        {
            assert_eq!(rules.may_publish(subject.as_bytes()), expected, "{subject}");
        }
        assert!(!rules.publishes_anything());
        assert!(publish(None, &[]).publishes_anything());
        assert!(!publish(Some(&[]), &[]).may_publish(b"a"));
    }

    #[test]
    fn a_subscription_must_lie_inside_what_is_allowed() {
        let rules = subscribe(&["k.a", "nn.*"], &[]);
        check(
            &rules,
            &[("k.a", ""), ("nn.x", ""), ("nn.*", ""), ("nn.x", "q")],
            &[("k.*", ""), ("*.a", ""), ("nn.*.*", ""), (">", ""), ("nn.>", ""), ("k..a", "")],
        );
    }

    #[test]
    fn a_wider_subscription_than_what_is_denied_is_filtered() {
        let rules = subscribe(&[], &["s.>"]);
        check(
            &rules,
            &[("*.a", ""), (">", ""), ("t", ""), ("s..", "")],
            &[("s.a", ""), ("s.*", ""), ("s.>", "")],
        );
        assert!(rules.must_filter(b"*.a", None) && rules.must_filter(b">", None));
        assert!(!rules.must_filter(b"t.*", None) && !rules.must_filter(b"t", None));
        assert!(rules.holds_back(b"s.a", None) && !rules.holds_back(b"t.a", None));
    }

    #[test]
    fn queues_are_allowed_by_name() {
        let rules = subscribe(&["q qq", "v v1.*", "foo", "foo v1"], &[]);
        check(
            &rules,
            &[("q", "qq"), ("v", "v1.a"), ("v", "v1.*"), ("foo", ""), ("foo", "v1")],
            &[("q", "zz"), ("q", ""), ("v", "v1"), ("v", "v1.a.b"), ("foo", "v2")],
        );
    }

    #[test]
    fn a_denied_queue_is_only_that_queue() {
        let rules = subscribe(&[], &["q qq", "w.x v.>"]);
        check(
            &rules,
            &[("q", ""), ("q", "zz"), ("w.x", "v"), ("w.*", "v.1")],
            &[("q", "qq"), ("w.x", "v.1"), ("w.x", "v.1.2")],
        );
        assert!(rules.must_filter(b"w.*", Some(b"v.1")) && rules.must_filter(b"q", Some(b"zz")));
        assert!(rules.holds_back(b"w.x", Some(b"v.1")) && !rules.holds_back(b"w.x", None));
    }

    #[test]
    fn who_may_only_answer_publishes_nothing_else() {
        let mut permissions =
            Permissions { responses: Some(Responses::default()), ..Permissions::default() };
        permissions.close_publish_for_responses();
        assert_eq!(permissions.publish.allow, Some(Vec::new()));
        permissions.publish.allow = Some(list(&["a"]));
        permissions.close_publish_for_responses();
        assert!(Rules::new(permissions).may_publish(b"a"));
    }

    #[test]
    fn users_see_their_permissions_as_the_reference_shows_them() {
        let permissions = Permissions {
            publish: SubjectRules { allow: Some(Vec::new()), deny: list(&["d"]) },
            subscribe: SubjectRules { allow: Some(list(&["a", "q qq"])), deny: Vec::new() },
            responses: Some(Responses::default()),
        };
        assert_eq!(
            serde_json::to_string(&permissions).unwrap(),
            r#"{"publish":{"deny":["d"]},"subscribe":{"allow":["a","q qq"]},"responses":{"max":1,"ttl":120000000000}}"#
        );
    }
}
