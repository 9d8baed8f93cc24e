//! Who must get what: the rules of DESIGN §4, judged over the whole history of a seed.
//!
//! A message is *settled* when its publisher could know that it was executed and handed over (or
//! everything came to rest). For a plain subscription and a message of a matching subject:
//!
//! - **must**: certain before the message was sent, there until it was settled → delivered.
//! - **never**: sent after the message was settled, or certainly ended before it was sent.
//! - **may**: anything between; at most once (that is seen when it is read).
//!
//! A queue message that is routed again may be late, and come to a member that is younger.
//!
//! A client that left or was cut is owed nothing from then on: what it did not read is lost.

use std::collections::HashMap;

use super::history::{History, Message, NEVER, Step, Sub};

pub fn judge(history: &History) -> Result<(), String> {
    Judge { history, matches: HashMap::new() }.judge()
}

struct Judge<'h> {
    history: &'h History,
    matches: HashMap<(&'h str, &'h str), bool>,
}

/// A message with what the rules ask of it.
struct Case<'h> {
    id: usize,
    message: &'h Message,
    settled: Step,
    rest: Step,
    /// It was certainly executed.
    routed: bool,
}

/// What became of a message at one queue group.
#[derive(Default)]
struct GroupCase {
    deliveries: usize,
    /// Members that were there all the time, and those that were at some time.
    steadfast: Vec<usize>,
    possible: Vec<usize>,
    /// A member that could have got it left or was cut, and the message perhaps with it.
    lossy: bool,
}

impl<'h> Judge<'h> {
    fn judge(mut self) -> Result<(), String> {
        let history = self.history;
        for (id, message) in history.messages.iter().enumerate() {
            let rest = history.rest_after(message.sent);
            let settled = message.certain.min(rest);
            let routed = message.certain != NEVER
                || message.seen
                || message.bounces > 0
                || history.lives_at(message.publisher, rest);
            self.message(&Case { id, message, settled, rest, routed })?;
        }
        for (id, sub) in history.subs.iter().enumerate() {
            ends_with_its_max(id, sub)?;
        }
        Ok(())
    }

    fn message(&mut self, case: &Case<'h>) -> Result<(), String> {
        let history = self.history;
        let mut deliveries = 0;
        let mut lossy = false;
        let mut groups: HashMap<&str, GroupCase> = HashMap::new();
        for (sub_id, sub) in history.subs.iter().enumerate() {
            if !self.is_match(&sub.pattern, &case.message.subject) {
                continue;
            }
            let delivered = sub.deliveries.iter().find(|(id, _)| *id == case.id).map(|it| it.1);
            deliveries += usize::from(delivered.is_some());
            never(case, history, sub_id, sub, delivered.is_some())?;
            let possible = is_possible(case, history, sub);
            let dead = !history.lives_at(sub.client, case.rest);
            lossy |= possible && dead;
            if let Some(queue) = sub.queue {
                let group = groups.entry(queue).or_default();
                group.deliveries += usize::from(delivered.is_some());
                group.lossy |= possible && dead;
                if possible {
                    group.possible.push(sub_id);
                }
                if is_steadfast(case, history, sub) {
                    group.steadfast.push(sub_id);
                }
            } else {
                must(case, history, sub_id, sub, delivered)?;
            }
        }
        for (queue, group) in groups {
            one_member(case, queue, &group)?;
        }
        self.no_responders(case, deliveries, lossy)
    }

    fn is_match(&mut self, pattern: &'h str, subject: &'h str) -> bool {
        *self.matches.entry((pattern, subject)).or_insert_with(|| covers(pattern, subject))
    }

    /// 503: exactly when nobody got it.
    fn no_responders(
        &mut self,
        case: &Case<'h>,
        deliveries: usize,
        lossy: bool,
    ) -> Result<(), String> {
        let (history, message) = (self.history, case.message);
        let broken = |rule: &str| Err(format!("{rule}: {}", case.text()));
        if message.bounces > 1 {
            return broken("one 503 at most");
        }
        if message.bounces > 0 && !message.asks {
            return broken("a 503 only for those who ask");
        }
        if message.bounces > 0 && deliveries > 0 {
            return broken("never a 503 for what was delivered");
        }
        let publisher = message.publisher;
        let hears = self.hears_bounces(case);
        let listening = history.lives_at(publisher, case.rest) && hears;
        if message.asks && listening && deliveries == 0 && message.bounces == 0 && !lossy {
            return broken("a 503 where nobody is there");
        }
        Ok(())
    }

    /// The publisher has a plain subscription for the reply that lasts.
    fn hears_bounces(&mut self, case: &Case<'h>) -> bool {
        let history = self.history;
        let Some(reply) = case.message.reply.as_deref() else { return false };
        history.subs.iter().any(|sub| {
            sub.client == case.message.publisher
                && sub.queue.is_none()
                && sub.sent < case.message.sent
                && sub.unsub_sent > case.rest
                && (sub.max == 0 || (sub.deliveries.len() as u64) < sub.max)
                && self.is_match(&sub.pattern, reply)
        })
    }
}

/// **must** for a plain subscription, and the place of the message before later answers.
fn must(
    case: &Case<'_>,
    history: &History,
    id: usize,
    sub: &Sub,
    delivered: Option<Step>,
) -> Result<(), String> {
    let due = case.routed
        && !is_own(case, history, sub)
        && sub.certain <= case.message.sent
        && sub.unsub_sent > case.settled
        && history.lives_at(sub.client, case.rest);
    if !due {
        return Ok(());
    }
    let Some(read) = delivered else {
        return if is_spent_before(case, history, sub) {
            Ok(())
        } else {
            Err(format!(
                "a certain subscription gets the message: {} at sub {id} {sub:?}",
                case.text()
            ))
        };
    };
    // What the subscriber sends after the publisher had its answer is answered after the message.
    let answers = &history.answers[sub.client];
    let first = answers.partition_point(|(sent, _)| *sent <= case.message.certain);
    match answers.get(first) {
        Some((sent, answered)) if *answered < read => Err(format!(
            "a published and answered message comes before later answers: {} read at {read}, \
             but the answer to {sent} at {answered}",
            case.text()
        )),
        _ => Ok(()),
    }
}

/// **never**, for all subscriptions.
fn never(
    case: &Case<'_>,
    history: &History,
    id: usize,
    sub: &Sub,
    delivered: bool,
) -> Result<(), String> {
    let rule = if is_own(case, history, sub) {
        "no echo where echo is off"
    } else if sub.sent > (if sub.queue.is_some() { case.rest } else { case.settled }) {
        "nothing from before the subscription"
    } else if sub.unsub_certain < case.message.sent {
        "nothing after the subscription's end"
    } else {
        return Ok(());
    };
    if delivered { Err(format!("{rule}: {} at sub {id} {sub:?}", case.text())) } else { Ok(()) }
}

/// At most one member of a group; exactly one where a member was there all the time and no other
/// can have taken the message with it.
fn one_member(case: &Case<'_>, queue: &str, group: &GroupCase) -> Result<(), String> {
    if group.deliveries > 1 {
        return Err(format!("one member of group {queue}: {}", case.text()));
    }
    if case.routed && !group.steadfast.is_empty() && !group.lossy && group.deliveries == 0 {
        let GroupCase { steadfast, possible, .. } = group;
        return Err(format!(
            "a member of group {queue} gets it (there: subs {steadfast:?} of {possible:?}): {}",
            case.text()
        ));
    }
    Ok(())
}

/// It ends with its last delivery.
fn ends_with_its_max(id: usize, sub: &Sub) -> Result<(), String> {
    let count = sub.deliveries.len() as u64;
    match sub.delivered_at_max {
        Some(before) if sub.max != 0 && count > sub.max.max(before) => {
            Err(format!("UNSUB max is exact: {count} deliveries at sub {id} {sub:?}"))
        }
        _ => Ok(()),
    }
}

/// The publisher's own subscription, with echo off.
fn is_own(case: &Case<'_>, history: &History, sub: &Sub) -> bool {
    sub.client == case.message.publisher && !history.echo[sub.client]
}

/// It could have got the message: that its client had left may not have been known yet.
fn is_possible(case: &Case<'_>, history: &History, sub: &Sub) -> bool {
    !is_own(case, history, sub)
        && sub.sent < case.rest
        && sub.unsub_certain > case.message.sent
        && history.lives_at(sub.client, history.rest_before(case.message.sent))
}

/// It was there from before the message was sent until all had come to rest.
fn is_steadfast(case: &Case<'_>, history: &History, sub: &Sub) -> bool {
    !is_own(case, history, sub)
        && sub.certain <= case.message.sent
        && sub.unsub_sent > case.rest
        && sub.max == 0
        && history.lives_at(sub.client, case.rest)
}

/// It had all that its `UNSUB max` allows, and nothing later of the same publisher.
fn is_spent_before(case: &Case<'_>, history: &History, sub: &Sub) -> bool {
    let publisher = case.message.publisher;
    let is_later = |id: usize| id > case.id && history.messages[id].publisher == publisher;
    sub.max != 0
        && sub.deliveries.len() as u64 >= sub.max
        && !sub.deliveries.iter().any(|(id, _)| is_later(*id))
}

impl Case<'_> {
    fn text(&self) -> String {
        let (id, settled, rest) = (self.id, self.settled, self.rest);
        format!("message {id} (settled {settled}, rest {rest}) {:?}", self.message)
    }
}

/// NATS matching, written anew: nothing of the broker is asked what is right.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(token)) if literal == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}
