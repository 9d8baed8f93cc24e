//! What a consumer owes its clients, from what they saw and said. It writes its progress down some
//! time later, in order: a crash takes back whatever no confirmed acknowledgement came after.

use std::collections::BTreeMap;

use super::plan::{Acks, ConsumerPlan};
use crate::types::limits::PROGRESS_GATHER_NS;
use crate::types::time::MILLISECOND;

/// How much earlier a restarted consumer may deliver again: progress that is written together is
/// timed by its first step, and turns that a core misses make that wait longer.
const EARLY: u64 = PROGRESS_GATHER_NS + 150 * MILLISECOND;

/// The longest delay that a client asks for.
pub const NAK_MAX: u64 = 900 * MILLISECOND;

/// Whether something happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sure {
    #[default]
    No,
    Yes,
    /// A crash may have taken it back, or not.
    Maybe,
}

/// A message at its consumer.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// By number of the delivery: when the next is due at the earliest, had a crash come.
    dues: BTreeMap<u32, u64>,
    /// The last delivery, and when the next is due.
    pub last: u32,
    pub due: u64,
    /// When it is late.
    pub late: u64,
    /// It is out, and not acknowledged.
    pub out: Sure,
    pub acked: Sure,
    /// Steps of the consumer: the first delivery, the last thing that happened, the ack.
    first_at: u64,
    changed_at: u64,
    /// It cannot be forgotten that this was delivered.
    is_known: bool,
}

/// A pull that waits.
#[derive(Clone, Debug)]
pub struct Pull {
    pub number: u32,
    pub left: i64,
    pub expires: u64,
}

#[derive(Clone, Debug)]
pub struct Consumer {
    pub life: usize,
    pub plan: ConsumerPlan,
    /// Every configuration it ever had.
    pub plans: Vec<ConsumerPlan>,
    pub is_gone: bool,
    /// Messages before it are not delivered.
    pub start: u64,
    pub seen: BTreeMap<u64, Seen>,
    /// The last message delivered for the first time since the start.
    pub cursor: u64,
    /// The last delivery's number.
    pub delivered: u64,
    /// The highest number that was ever given out.
    pub delivered_max: u64,
    /// The number as of the last confirmed step.
    pub delivered_kept: u64,
    /// Things that happened to it.
    pub steps: u64,
    /// What happened up to here is on disk.
    pub kept: u64,
    /// Filters of before: up to this sequence only what they took is owed.
    pub before: Vec<(u64, ConsumerPlan)>,
    pub pulls: Vec<Pull>,
    /// The ack floor a client was told, and which step comes behind it.
    pub floor: u64,
    pub floor_at: u64,
    /// As much as a crash leaves of it.
    pub floor_kept: u64,
    /// After a restart: everything out is due again by then.
    pub all_due: u64,
}

impl Consumer {
    pub fn new(life: usize, plan: ConsumerPlan, start: u64) -> Self {
        Self {
            life,
            plans: vec![plan.clone()],
            plan,
            is_gone: false,
            start,
            seen: BTreeMap::new(),
            cursor: 0,
            delivered: 0,
            delivered_max: 0,
            delivered_kept: 0,
            steps: 1,
            kept: 0,
            before: Vec::new(),
            pulls: Vec::new(),
            floor: 0,
            floor_at: 0,
            floor_kept: 0,
            all_due: 0,
        }
    }

    /// It has to deliver a message of this subject, some time.
    pub fn owes(&self, seq: u64, subject: &str) -> bool {
        seq >= self.start
            && self.plan.takes(subject)
            && self.before.iter().all(|(to, plan)| seq > *to || plan.takes(subject))
    }

    /// Whether interest retention keeps a message for it.
    pub fn wants(&self, seq: u64, subject: &str) -> Sure {
        if seq < self.start || !self.plan.takes(subject) {
            return Sure::No;
        }
        match self.seen.get(&seq).map(|seen| seen.acked) {
            None | Some(Sure::No) => Sure::Yes,
            Some(Sure::Yes) => Sure::No,
            Some(Sure::Maybe) => Sure::Maybe,
        }
    }

    /// Messages that are out for certain.
    pub fn out(&self, is_there: impl Fn(u64) -> bool) -> usize {
        let out = self.seen.iter().filter(|(_, seen)| {
            seen.out == Sure::Yes && seen.acked == Sure::No && !self.is_spent(seen)
        });
        out.filter(|(seq, _)| is_there(**seq)).count()
    }

    /// As many as may be out.
    pub fn out_max(&self) -> usize {
        let mut all = self.seen.values();
        all.by_ref().filter(|seen| seen.out != Sure::No && seen.acked != Sure::Yes).count()
    }

    pub fn may_be_full(&self) -> bool {
        self.plan.max_ack_pending > 0 && self.out_max() >= self.plan.max_ack_pending
    }

    /// It would be delivered no more.
    pub fn is_spent(&self, seen: &Seen) -> bool {
        self.plan.max_deliver > 0 && seen.last >= self.plan.max_deliver
    }

    /// A message has arrived. The rule that was broken, if one was.
    pub fn deliver(
        &mut self,
        seq: u64,
        deliveries: u32,
        number: u64,
        now: u64,
    ) -> Result<(), String> {
        if number <= self.delivered_kept || number > self.delivered_max + 1 {
            return Err(format!("delivery {number} comes behind {}", self.delivered_max));
        }
        if self.delivered > 0 && number != self.delivered + 1 {
            return Err(format!("delivery {number} follows {}", self.delivered));
        }
        if self.plan.max_deliver > 0 && deliveries > self.plan.max_deliver {
            return Err(format!("delivered {deliveries} times"));
        }
        self.steps += 1;
        let cursor = self.cursor;
        let seen = self.seen.entry(seq).or_default();
        if seen.acked == Sure::Yes {
            return Err("it was acknowledged".into());
        }
        if deliveries == 1 {
            if seen.is_known || seq <= cursor {
                return Err(format!("a first delivery again, behind {cursor}"));
            }
            self.cursor = seq;
            seen.first_at = self.steps;
        } else {
            Self::check_again(seen, deliveries, now)?;
            if seen.first_at == 0 {
                // The consumer remembers the first one.
                seen.first_at = self.steps;
            }
        }
        self.delivered = number;
        self.delivered_max = self.delivered_max.max(number);
        let is_done = self.plan.acks == Acks::None;
        seen.changed_at = self.steps;
        seen.last = deliveries;
        seen.out = Sure::Yes;
        seen.acked = if is_done { Sure::Yes } else { Sure::No };
        seen.due = now + self.plan.wait(deliveries);
        seen.late = seen.due;
        let due = seen.dues.entry(deliveries).or_insert(seen.due);
        *due = (*due).min(seen.due);
        Ok(())
    }

    fn check_again(seen: &Seen, deliveries: u32, now: u64) -> Result<(), String> {
        let before = deliveries - 1;
        if seen.out == Sure::Yes && seen.last != before {
            return Err(format!("delivery {deliveries} of it follows {}", seen.last));
        }
        let due = match seen.out {
            Sure::Yes => Some(seen.due.saturating_sub(MILLISECOND)),
            _ => seen.dues.get(&before).map(|due| due.saturating_sub(EARLY)),
        };
        let Some(due) = due else {
            return Err(format!("delivery {deliveries} of it, and never {before}"));
        };
        match now < due {
            true => Err(format!("delivered again {} ms early", (due - now) / MILLISECOND)),
            false => Ok(()),
        }
    }

    /// A client acknowledges. Whether that is the end of it for this consumer, by message.
    pub fn acknowledge(&mut self, seq: u64) -> Vec<(u64, Sure)> {
        self.steps += 1;
        let is_sure = match self.seen.get(&seq) {
            Some(seen) => seen.out == Sure::Yes,
            None if self.plan.acks != Acks::All => return Vec::new(),
            // A delivery of an earlier consumer of this name, which the subject of an
            // acknowledgement does not tell: it counts if this one is past that message.
            None => seq < self.cursor,
        };
        let range = if self.plan.acks == Acks::All { 0..=seq } else { seq..=seq };
        let mut done = Vec::new();
        for (seq, seen) in self.seen.range_mut(range) {
            if seen.out == Sure::No || seen.acked == Sure::Yes {
                continue;
            }
            seen.changed_at = self.steps;
            seen.acked = match seen.out {
                Sure::Yes if is_sure => Sure::Yes,
                _ => Sure::Maybe,
            };
            done.push((*seq, seen.acked));
        }
        done
    }

    /// An acknowledgement was confirmed: it and all before cannot be forgotten.
    #[must_use]
    pub fn confirm(&mut self, seq: u64, step: u64, delivered: u64) -> Vec<u64> {
        self.kept = self.kept.max(step);
        self.delivered_kept = self.delivered_kept.max(delivered);
        if self.floor_at <= self.kept {
            self.floor_kept = self.floor_kept.max(self.floor);
        }
        let range = if self.plan.acks == Acks::All { 0..=seq } else { seq..=seq };
        let mut done = Vec::new();
        for (seq, seen) in self.seen.range_mut(range) {
            if seen.acked == Sure::Maybe {
                seen.acked = Sure::Yes;
                done.push(*seq);
            }
        }
        for seen in self.seen.values_mut() {
            seen.is_known |= seen.first_at > 0 && seen.first_at <= self.kept;
        }
        done
    }

    /// A client wants it again after a delay, or more time for it.
    pub fn postpone(&mut self, seq: u64, due: u64, now: u64) {
        self.steps += 1;
        let Some(seen) = self.seen.get_mut(&seq) else { return };
        if seen.acked == Sure::Yes {
            return;
        }
        seen.changed_at = self.steps;
        if seen.out == Sure::Yes {
            // What is due already may be on its way.
            seen.due = if seen.due <= now { seen.due.min(due) } else { due };
        }
        seen.late = due;
        // Whatever the crash leaves of this.
        for early in seen.dues.values_mut() {
            *early = (*early).min(due);
        }
    }

    /// Everything is on disk.
    pub fn keep_all(&mut self) {
        self.kept = self.steps;
        self.delivered_kept = self.delivered_kept.max(self.delivered);
        self.floor_kept = self.floor;
        for seen in self.seen.values_mut() {
            seen.is_known |= seen.last > 0 && seen.out == Sure::Yes;
        }
    }

    /// The broker has restarted: what was not written may be forgotten.
    pub fn restart(&mut self, now: u64) {
        let kept = self.kept;
        // Its progress is timed by the first step of those written together.
        for seen in self.seen.values_mut() {
            seen.due = seen.due.saturating_sub(EARLY);
            if !seen.is_known {
                seen.first_at = 0;
            }
            if seen.changed_at <= kept && seen.out != Sure::Maybe && seen.acked != Sure::Maybe {
                continue;
            }
            if seen.acked == Sure::Yes && seen.changed_at <= kept {
                continue;
            }
            if seen.acked != Sure::No {
                seen.acked = Sure::Maybe;
            }
            seen.out = Sure::Maybe;
        }
        self.pulls.clear();
        self.cursor = 0;
        self.delivered = 0;
        self.kept = self.steps;
        self.floor = self.floor_kept;
        let waits = self.plans.iter().map(ConsumerPlan::wait_max).max();
        self.all_due = now + waits.unwrap_or(0).max(NAK_MAX);
    }
}
