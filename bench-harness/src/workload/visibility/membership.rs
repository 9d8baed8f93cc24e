//! Queue groups whose members come and go: exactly one member gets each message, whatever the
//! moment. A member that leaves has drained when its PONG comes; at least one has always arrived
//! before another may leave.
//!
//! ```text
//! Out → Joining (SUB, PING) → In → Leaving (UNSUB, PING) → Out
//! ```

use std::time::{Duration, Instant};

use super::super::Bench;
use super::Effort;
use crate::client::{Greeting, Outboxes, Party, ServerOp};
use crate::clock;
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::verify::Faults;

const GROUPS: usize = 8;
const MEMBERS: usize = 6;
/// One publisher and its members, in this order.
const CONNECTIONS: usize = 1 + MEMBERS;
/// Messages under way per group: few, so that membership changes every few messages.
const WINDOW: u64 = 16;
/// What has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Out,
    Joining,
    In,
    Leaving,
}

struct Group {
    members: [Member; MEMBERS],
    published: u64,
    received: u64,
    /// One bit per message.
    seen: Vec<u64>,
}

struct Membership {
    groups: Vec<Group>,
    per_group: u64,
    moved: Instant,
    now: Instant,
    rng: fastrand::Rng,
    changes: u64,
    faults: Faults,
}

pub fn run(messages: u64, bench: &Bench<'_>) -> Outcome<Sample> {
    let mut connections = Vec::new();
    for _ in 0..GROUPS * CONNECTIONS {
        connections.push(bench.connect(Greeting::default())?);
    }
    let mut membership = Membership::new(messages.div_ceil(GROUPS as u64), clock::now());
    let effort = Effort::of(bench, connections, &mut membership)?;
    membership.count_losses();
    let received = membership.groups.iter().map(|group| group.received).sum();
    let changes = Figure::new("joins and leaves", membership.changes as f64, "");
    let name = "queue groups whose members come and go";
    Ok(effort.sample(name, received, membership.faults, changes))
}

impl Membership {
    fn new(per_group: u64, now: Instant) -> Self {
        let group = || Group {
            members: [Member::Out; MEMBERS],
            published: 0,
            received: 0,
            seen: vec![0; (per_group as usize).div_ceil(64)],
        };
        Self {
            groups: (0..GROUPS).map(|_| group()).collect(),
            per_group,
            moved: now,
            now,
            rng: fastrand::Rng::with_seed(7),
            changes: 0,
            faults: Faults::default(),
        }
    }

    fn on_message(&mut self, index: usize, member: usize, payload: &[u8]) {
        self.moved = self.now;
        let group = &mut self.groups[index];
        if group.members[member] == Member::Out {
            self.faults.errors += 1;
            self.faults.note(|| "a message came behind the PONG of the UNSUB".into());
        }
        let seq = payload.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
        if seq >= group.published {
            self.faults.corrupted += 1;
            self.faults.note(|| "a message that was not published".into());
            return;
        }
        group.received += 1;
        let (word, bit) = (&mut group.seen[seq as usize / 64], 1u64 << (seq % 64));
        if *word & bit != 0 {
            self.faults.duplicated += 1;
            self.faults.note(|| format!("group {index}: message {seq} came twice"));
        }
        *word |= bit;
    }

    fn on_pong(&mut self, index: usize, member: usize) {
        let state = &mut self.groups[index].members[member];
        *state = match *state {
            Member::Joining => Member::In,
            Member::Leaving => Member::Out,
            settled => settled,
        };
    }

    /// One random member changes its mind, unless nobody would be left.
    fn change(&mut self, index: usize, out: &mut Outboxes) {
        let member = self.rng.usize(..MEMBERS);
        let group = &mut self.groups[index];
        let arrived = group.members.iter().filter(|&&state| state == Member::In).count();
        let to = index * CONNECTIONS + 1 + member;
        match group.members[member] {
            Member::Out => {
                group.members[member] = Member::Joining;
                let lines = format!("SUB q.{index} workers 1\r\nPING\r\n");
                out.to(to).extend_from_slice(lines.as_bytes());
            }
            Member::In if arrived > 1 => {
                group.members[member] = Member::Leaving;
                out.to(to).extend_from_slice(b"UNSUB 1\r\nPING\r\n");
            }
            Member::In | Member::Joining | Member::Leaving => return,
        }
        self.changes += 1;
    }

    fn publish(&mut self, index: usize, out: &mut Outboxes) {
        let group = &mut self.groups[index];
        if !group.members.contains(&Member::In) {
            return;
        }
        let end = self.per_group.min(group.received + WINDOW);
        let head = format!("PUB q.{index} 8\r\n");
        let to = out.to(index * CONNECTIONS);
        for seq in group.published..end {
            to.extend_from_slice(head.as_bytes());
            to.extend_from_slice(&seq.to_le_bytes());
            to.extend_from_slice(b"\r\n");
        }
        group.published = group.published.max(end);
    }

    fn count_losses(&mut self) {
        for (index, group) in self.groups.iter().enumerate() {
            let seen: u64 = group.seen.iter().map(|word| u64::from(word.count_ones())).sum();
            let lost = self.per_group - seen;
            self.faults.lost += lost;
            if lost > 0 {
                self.faults.note(|| format!("group {index}: {lost} messages went to nobody"));
            }
        }
    }
}

impl Party for Membership {
    fn on_op(&mut self, who: usize, op: ServerOp<'_>, _out: &mut Outboxes) -> Outcome<()> {
        let (index, place) = (who / CONNECTIONS, who % CONNECTIONS);
        match op {
            ServerOp::Message(message) if place > 0 => {
                self.on_message(index, place - 1, message.payload);
            }
            ServerOp::Pong if place > 0 => self.on_pong(index, place - 1),
            ServerOp::Error(text) => {
                self.faults.errors += 1;
                self.faults.note(|| format!("-ERR {}", String::from_utf8_lossy(text)));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_turn(&mut self, now: Instant, out: &mut Outboxes) -> Outcome<()> {
        self.now = now;
        for index in 0..self.groups.len() {
            self.change(index, out);
            self.publish(index, out);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let complete = self.groups.iter().all(|group| group.received >= self.per_group);
        complete || self.now.saturating_duration_since(self.moved) > PATIENCE
    }
}
