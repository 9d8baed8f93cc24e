//! Random publishes, deletes and purges against the obvious way to do it.

use proptest::prelude::*;

use super::{Desk, stored};
use crate::jetstream::stream::{MessageDeleteRequest, PurgeRequest};
use crate::types::time::{MILLISECOND, SECOND};

#[derive(Clone, Debug)]
enum Act {
    Publish {
        subject: u8,
        id: Option<u8>,
        rollup: bool,
        expect: Option<u64>,
    },
    Delete(u64),
    Purge {
        subject: Option<u8>,
        seq: u64,
        keep: u64,
    },
    Pass(u64),
    /// Of streams in files only.
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let publish = (0..4u8, prop::option::of(0..6u8), prop::bool::weighted(0.1), 0..40u64).prop_map(
        |(subject, id, rollup, expect)| Act::Publish {
            subject,
            id,
            rollup,
            expect: (expect < 8).then_some(expect),
        },
    );
    let act = prop_oneof![
        8 => publish,
        1 => (0..40u64).prop_map(Act::Delete),
        1 => (prop::option::of(0..4u8), 0..40u64, 0..3u64)
            .prop_map(|(subject, seq, keep)| Act::Purge { subject, seq, keep }),
        1 => Just(Act::Restart),
        1 => (0..2_000u64).prop_map(|ms| Act::Pass(ms * MILLISECOND)),
    ];
    prop::collection::vec(act, 0..60)
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    msgs: Option<u64>,
    bytes: Option<u64>,
    per_subject: Option<u64>,
    age: bool,
    discard_new: bool,
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        prop::option::of(1..6u64),
        prop::option::of(20..120u64),
        prop::option::of(1..4u64),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(msgs, bytes, per_subject, age, discard_new)| Limits {
            msgs,
            bytes,
            per_subject,
            age,
            discard_new,
        })
}

const AGE: u64 = 3 * SECOND;
const WINDOW: u64 = SECOND;

/// What a message counts for whose subject has three letters and whose payload has one.
fn cost(on_disk: bool, headers: u64) -> u64 {
    match (on_disk, headers) {
        (false, headers) => 16 + 4 + headers,
        (true, 0) => 30 + 4,
        (true, headers) => 30 + 4 + 4 + headers,
    }
}

#[derive(Default)]
struct Model {
    /// Sequence, subject, bytes, time.
    messages: Vec<(u64, u8, u64, u64)>,
    ids: Vec<(u8, u64, u64)>,
    first: u64,
    last: u64,
}

impl Model {
    fn of(&self, subject: u8) -> Vec<u64> {
        let of = self.messages.iter().filter(|message| message.1 == subject);
        of.map(|message| message.0).collect()
    }

    fn bytes(&self) -> u64 {
        self.messages.iter().map(|message| message.2).sum()
    }

    fn remove(&mut self, gone: impl Fn(u64, u8) -> bool) {
        self.messages.retain(|message| !gone(message.0, message.1));
        self.settle();
    }

    fn settle(&mut self) {
        let first = self.messages.first().map_or(self.last + 1, |message| message.0);
        self.first = self.first.max(first);
    }

    /// The answer.
    #[expect(clippy::too_many_arguments, reason = "what a publish says, one by one")]
    fn publish(
        &mut self,
        limits: Limits,
        now: u64,
        subject: u8,
        id: Option<u8>,
        rollup: bool,
        expect: Option<u64>,
        cost: u64,
    ) -> String {
        if expect.is_some_and(|expect| expect != self.of(subject).last().copied().unwrap_or(0)) {
            return "wrong last sequence".into();
        }
        let known = |known: &&(u8, u64, u64)| Some(known.0) == id && known.2 + WINDOW > now;
        if let Some((_, seq, _)) = self.ids.iter().find(known) {
            return format!("\"seq\":{seq},\"duplicate\": true");
        }
        if limits.discard_new {
            let of = self.of(subject);
            let displaced = limits.per_subject.filter(|max| of.len() as u64 >= *max).map(|_| of[0]);
            if displaced.is_none()
                && limits.msgs.is_some_and(|max| self.messages.len() as u64 >= max)
            {
                return "maximum messages exceeded".into();
            }
            let gone: u64 =
                self.messages.iter().filter(|m| Some(m.0) == displaced).map(|m| m.2).sum();
            if limits.bytes.is_some_and(|max| cost > gone && self.bytes() + cost > max) {
                return "maximum bytes exceeded".into();
            }
        }
        self.last += 1;
        let seq = self.last;
        self.messages.push((seq, subject, cost, now));
        self.ids.retain(|known| Some(known.0) != id);
        self.ids.extend(id.map(|id| (id, seq, now)));
        if rollup {
            self.remove(|other, of| of == subject && other < seq);
        }
        if let Some(max) = limits.per_subject {
            while self.of(subject).len() as u64 > max {
                let oldest = self.of(subject)[0];
                self.remove(|other, _| other == oldest);
            }
        }
        if !limits.discard_new {
            while limits.msgs.is_some_and(|max| self.messages.len() as u64 > max)
                || limits.bytes.is_some_and(|max| self.bytes() > max)
            {
                let oldest = self.messages[0].0;
                self.remove(|other, _| other == oldest);
            }
        }
        self.settle();
        stored(seq)
    }
}

fn desk(limits: Limits, on_disk: bool) -> Desk {
    let limit = |limit: Option<u64>| limit.map_or(-1, |limit| limit as i64);
    let age = if limits.age { AGE } else { 0 };
    let discard = if limits.discard_new { "new" } else { "old" };
    let make = if on_disk { Desk::on_disk } else { Desk::new };
    make(&format!(
        r#"{{"max_msgs":{},"max_bytes":{},"max_msgs_per_subject":{},"max_age":{age},
            "discard":"{discard}","allow_rollup_hdrs":true,"duplicate_window":{WINDOW}}}"#,
        limit(limits.msgs),
        limit(limits.bytes),
        limit(limits.per_subject),
    ))
}

fn check(limits: Limits, acts: &[Act], on_disk: bool) {
    let mut desk = desk(limits, on_disk);
    let mut model = Model { first: 1, ..Model::default() };
    for act in acts {
        match *act {
            Act::Publish { subject, id, rollup, expect } => {
                let (id_text, expect_text) =
                    (id.map(|id| id.to_string()), expect.map(|seq| seq.to_string()));
                let mut headers = Vec::new();
                headers.extend(id_text.as_deref().map(|id| ("Nats-Msg-Id", id)));
                headers.extend(rollup.then_some(("Nats-Rollup", "sub")));
                headers.extend(
                    expect_text.as_deref().map(|seq| ("Nats-Expected-Last-Subject-Sequence", seq)),
                );
                let cost = cost(on_disk, super::block(&headers).len() as u64);
                let answer = desk.ask(&format!("s.{subject}"), &headers, "x");
                let now = desk.now.wall.0;
                let expected = model.publish(limits, now, subject, id, rollup, expect, cost);
                assert!(answer.contains(&expected), "{act:?}: {answer}, not {expected}");
            }
            Act::Delete(seq) => {
                let request = MessageDeleteRequest { seq, no_erase: false };
                let _ = desk.with(|stream, ctx| stream.delete_message(ctx, &request));
                desk.settle();
                model.remove(|other, _| other == seq);
            }
            Act::Purge { subject, seq, keep } => {
                let seq = if keep > 0 { 0 } else { seq };
                let filter = subject.map_or(String::new(), |subject| format!("s.{subject}"));
                let request = PurgeRequest { seq, keep, filter };
                desk.with(|stream, ctx| stream.purge(ctx, &request)).unwrap();
                desk.settle();
                let covered = |of: u8| subject.is_none_or(|subject| subject == of);
                let all: Vec<u64> =
                    model.messages.iter().filter(|m| covered(m.1)).map(|m| m.0).collect();
                let kept = all[all.len().saturating_sub(keep as usize)..].to_vec();
                model.remove(|other, of| {
                    covered(of) && (seq == 0 || other < seq) && !kept.contains(&other)
                });
                if subject.is_none() && seq > model.first {
                    model.last = model.last.max(seq - 1);
                    model.settle();
                }
            }
            Act::Restart if !on_disk => {}
            Act::Restart => {
                desk.restart();
                // Ids are read from the messages that are left.
                let messages = &model.messages;
                model.ids.retain(|id| messages.iter().any(|message| message.0 == id.1));
            }
            Act::Pass(ns) => {
                desk.pass(ns + 20 * MILLISECOND);
                let now = desk.now.wall.0;
                if limits.age {
                    let old = |time: u64| time + AGE + 20 * MILLISECOND <= now;
                    let aged: Vec<u64> =
                        model.messages.iter().filter(|m| old(m.3)).map(|m| m.0).collect();
                    model.remove(|other, _| aged.contains(&other));
                    // What ended within the pause between two looks may be there or not.
                    let left: Vec<u64> = desk.messages().iter().map(|m| m.0).collect();
                    let may_go: Vec<u64> = model
                        .messages
                        .iter()
                        .filter(|m| m.3 + AGE <= now && !left.contains(&m.0))
                        .map(|m| m.0)
                        .collect();
                    model.remove(|other, _| may_go.contains(&other));
                }
            }
        }
        let left: Vec<u64> = desk.messages().iter().map(|message| message.0).collect();
        let expected: Vec<u64> = model.messages.iter().map(|message| message.0).collect();
        assert_eq!(left, expected, "after {act:?}");
        let (first, last, _, bytes) = desk.state();
        assert_eq!((first, last, bytes), (model.first, model.last, model.bytes()), "{act:?}");
        for subject in 0..4 {
            let name = format!("s.{subject}");
            let state = desk.with(|stream, ctx| {
                stream.store.subject_state(ctx.log.as_deref_mut(), name.as_bytes())
            });
            let of = model.of(subject);
            let expected = of.first().map(|first| (*first, of[of.len() - 1], of.len() as u64));
            assert_eq!(state.map(|(a, b, n)| (a.0, b.0, n)), expected, "{name} after {act:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn in_memory_as_the_obvious_way_has_it(limits in limits(), acts in acts()) {
        check(limits, &acts, false);
    }

    #[test]
    fn on_disk_as_the_obvious_way_has_it(limits in limits(), acts in acts()) {
        check(limits, &acts, true);
    }
}
