//! The permissions of one connection at work: the shared rules, what was decided lately, and the
//! replies it may send.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use ahash::RandomState;

use super::permissions::{Responses, Rules};
use crate::types::limits::{PUBLISH_VERDICTS_KEPT, REPLY_GRANTS_MAX};
use crate::types::time::Mono;

#[derive(Debug)]
pub struct Permit {
    rules: Arc<Rules>,
    /// Whether the lists let it publish a subject. Emptied when full.
    verdicts: HashMap<Box<[u8]>, bool, RandomState>,
    grants: Grants,
    /// One of its subscriptions is wider than what it may get.
    filters: bool,
}

impl Permit {
    pub fn new(rules: Arc<Rules>) -> Self {
        Self { rules, verdicts: HashMap::default(), grants: Grants::default(), filters: false }
    }

    /// Whether a message may be published now; a reply that was granted is used up by it.
    pub fn publish(&mut self, subject: &[u8], now: Mono) -> bool {
        self.is_listed(subject)
            || self.rules.texts.responses.is_some() && self.grants.take(subject, now)
    }

    fn is_listed(&mut self, subject: &[u8]) -> bool {
        if self.rules.publishes_anything() {
            return true;
        }
        if let Some(&verdict) = self.verdicts.get(subject) {
            return verdict;
        }
        let verdict = self.rules.may_publish(subject);
        if self.verdicts.len() >= PUBLISH_VERDICTS_KEPT {
            self.verdicts.clear();
        }
        self.verdicts.insert(subject.into(), verdict);
        verdict
    }

    /// Whether a subscription is allowed. If so, its messages are filtered where they must be.
    pub fn subscribe(&mut self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        let allowed = self.rules.may_subscribe(pattern, queue);
        self.filters |= allowed && self.rules.must_filter(pattern, queue);
        allowed
    }

    /// Whether a message may reach a subscription with this queue.
    pub fn delivers(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        !self.filters || !self.rules.holds_back(subject, queue)
    }

    /// A message with this reply subject was delivered: it may be answered.
    pub fn on_delivered(&mut self, reply: &[u8], now: Mono) {
        if let Some(responses) = self.rules.texts.responses
            && !self.is_listed(reply)
        {
            self.grants.add(reply, &responses, now);
        }
    }
}

/// Replies that may be published, each so often and so long. The oldest give way to new ones.
#[derive(Debug, Default)]
struct Grants {
    by_subject: HashMap<Rc<[u8]>, Grant, RandomState>,
    /// In the order they were given, also those that are used up or given again.
    order: VecDeque<(Rc<[u8]>, u64)>,
    serial: u64,
}

#[derive(Debug)]
struct Grant {
    serial: u64,
    /// `None`: no limit.
    left: Option<u64>,
    expires: Mono,
}

impl Grants {
    fn add(&mut self, reply: &[u8], responses: &Responses, now: Mono) {
        self.forget_old(now);
        self.serial += 1;
        let expires = u64::try_from(responses.expires_ns).map_or(Mono::NEVER, |ns| now.plus(ns));
        let left = u64::try_from(responses.max).ok();
        let reply: Rc<[u8]> = reply.into();
        self.order.push_back((Rc::clone(&reply), self.serial));
        self.by_subject.insert(reply, Grant { serial: self.serial, left, expires });
    }

    fn take(&mut self, subject: &[u8], now: Mono) -> bool {
        let Some(grant) = self.by_subject.get_mut(subject) else { return false };
        let spent = grant.left.is_some_and(|left| left == 0);
        if spent || now > grant.expires {
            self.by_subject.remove(subject);
            return false;
        }
        grant.left = grant.left.map(|left| left - 1);
        if grant.left == Some(0) {
            self.by_subject.remove(subject);
        }
        true
    }

    /// From the oldest: those that are over, and those that are too many.
    fn forget_old(&mut self, now: Mono) {
        while let Some((subject, serial)) = self.order.front() {
            let current = self.by_subject.get(subject).filter(|grant| grant.serial == *serial);
            let over = current.is_none_or(|grant| now > grant.expires);
            if !over && self.order.len() < REPLY_GRANTS_MAX {
                break;
            }
            if current.is_some() {
                self.by_subject.remove(subject);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::permissions::{Permissions, SubjectRules};
    use super::*;
    use crate::types::time::SECOND;

    fn permit(publish: SubjectRules, responses: Option<Responses>) -> Permit {
        let mut permissions = Permissions { publish, responses, ..Permissions::default() };
        permissions.close_publish_for_responses();
        Permit::new(Arc::new(Rules::new(permissions)))
    }

    fn responder(max: i64, expires_ns: i64) -> Permit {
        permit(SubjectRules::default(), Some(Responses { max, expires_ns }))
    }

    #[test]
    fn a_reply_is_allowed_as_often_as_granted() {
        let mut permit = responder(2, SECOND as i64);
        assert!(!permit.publish(b"r", Mono(0)));
        permit.on_delivered(b"r", Mono(0));
        assert!(permit.publish(b"r", Mono(0)) && permit.publish(b"r", Mono(0)));
        assert!(!permit.publish(b"r", Mono(0)) && !permit.publish(b"q", Mono(0)));
        permit.on_delivered(b"r", Mono(0));
        permit.on_delivered(b"r", Mono(0));
        assert!(permit.publish(b"r", Mono(0)) && permit.publish(b"r", Mono(0)));
        assert!(!permit.publish(b"r", Mono(0)), "each delivery grants anew, and adds nothing up");
    }

    #[test]
    fn a_reply_expires() {
        let mut permit = responder(5, 10);
        permit.on_delivered(b"r", Mono(0));
        assert!(permit.publish(b"r", Mono(10)));
        assert!(!permit.publish(b"r", Mono(11)));
    }

    #[test]
    fn negative_numbers_are_no_limit() {
        let mut permit = responder(-1, -1);
        permit.on_delivered(b"r", Mono(0));
        assert!((0..100).all(|n| permit.publish(b"r", Mono(n * 1000 * SECOND))));
    }

    #[test]
    fn what_is_listed_needs_no_grant() {
        let rules = SubjectRules { allow: Some(vec!["a".into()]), deny: Vec::new() };
        let mut permit = permit(rules, Some(Responses::default()));
        permit.on_delivered(b"a", Mono(0));
        assert!(permit.grants.by_subject.is_empty());
        assert!((0..3).all(|_| permit.publish(b"a", Mono(0))));
    }

    #[test]
    fn grants_are_bounded_and_the_oldest_give_way() {
        let mut permit = responder(-1, -1);
        for n in 0..=REPLY_GRANTS_MAX {
            permit.on_delivered(format!("r.{n}").as_bytes(), Mono(0));
        }
        assert_eq!(permit.grants.by_subject.len(), REPLY_GRANTS_MAX);
        assert_eq!(permit.grants.order.len(), REPLY_GRANTS_MAX);
        assert!(!permit.publish(b"r.0", Mono(0)));
        assert!(permit.publish(b"r.1", Mono(0)));
    }

    #[test]
    fn grants_in_use_leave_nothing_behind() {
        let mut permit = responder(1, SECOND as i64);
        for n in 0..1000 {
            let reply = format!("r.{n}");
            permit.on_delivered(reply.as_bytes(), Mono(n));
            assert!(permit.publish(reply.as_bytes(), Mono(n)));
        }
        assert!(permit.grants.by_subject.is_empty() && permit.grants.order.len() <= 1);
    }

    #[test]
    fn verdicts_are_bounded() {
        let rules = SubjectRules { allow: Some(vec!["a.*".into()]), deny: Vec::new() };
        let mut permit = permit(rules, None);
        for n in 0..1000 {
            assert!(permit.publish(format!("a.{n}").as_bytes(), Mono(0)));
            assert!(!permit.publish(format!("b.{n}").as_bytes(), Mono(0)));
            assert!(permit.verdicts.len() <= PUBLISH_VERDICTS_KEPT);
        }
    }

    #[test]
    fn only_wider_subscriptions_are_filtered() {
        let subscribe = SubjectRules { allow: None, deny: vec!["s.no".into()] };
        let permissions = Permissions { subscribe, ..Permissions::default() };
        let mut permit = Permit::new(Arc::new(Rules::new(permissions)));
        assert!(permit.subscribe(b"s.yes", None) && !permit.subscribe(b"s.no", None));
        assert!(!permit.filters);
        assert!(permit.subscribe(b"s.*", None) && permit.filters);
        assert!(permit.delivers(b"s.yes", None) && !permit.delivers(b"s.no", None));
    }
}
