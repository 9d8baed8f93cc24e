//! What a stream must hold: a plain reimplementation that is told of everything in the order in
//! which the broker met it. A stream lives in one log, so after a crash it is what it was behind
//! one of its changes, and behind every change that somebody was told of.

use std::collections::{BTreeMap, BTreeSet};

use super::consumer::Consumer;
use super::plan::{ConsumerPlan, Keeps, StreamPlan};
use crate::testing::disk::Rng;

/// A publish that was tried.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub life: usize,
    pub subject: String,
    pub headers: Vec<u8>,
    pub payload_len: usize,
    pub msg_id: Option<u32>,
    /// Nanoseconds it lives; 0: the stream's age decides.
    pub ttl: u64,
    pub rollup: Option<Rollup>,
    pub expected: Expected,
    pub answer: Answer,
    /// The change it made, in its stream.
    pub change: usize,
    /// The run of the broker that it was sent to.
    pub run: u32,
    /// When it was stored.
    pub time: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rollup {
    Subject,
    All,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Nothing,
    LastSeq(u64),
    LastOfSubject(u64),
}

/// What a publisher has to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Stored(u64),
    Duplicate(u64),
    Refused,
}

impl Attempt {
    pub fn payload(&self, number: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.payload_len];
        // Half of them can be packed.
        let random = if number.is_multiple_of(2) { bytes.len() / 3 } else { bytes.len() };
        Rng::new(u64::from(number)).fill(&mut bytes[..random]);
        let head = number.to_le_bytes();
        bytes[..4].copy_from_slice(&head);
        bytes
    }

    fn cost(&self) -> u64 {
        let headers = if self.headers.is_empty() { 0 } else { 4 + self.headers.len() as u64 };
        30 + (self.subject.len() + self.payload_len) as u64 + headers
    }
}

/// One thing that changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    Add(u64, u32),
    Remove(u64),
    Last(u64),
    Config(usize),
    Consumer(String, u32),
    NoConsumer(String),
}

/// What of a stream survives, as clients can see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    pub config: usize,
    pub last_seq: u64,
    pub messages: BTreeMap<u64, u32>,
    /// By name: the version.
    pub consumers: BTreeMap<String, u32>,
}

impl Picture {
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Add(seq, number) => {
                self.messages.insert(*seq, *number);
                self.last_seq = self.last_seq.max(*seq);
            }
            Effect::Remove(seq) => drop(self.messages.remove(seq)),
            Effect::Last(seq) => self.last_seq = self.last_seq.max(*seq),
            Effect::Config(version) => self.config = *version,
            Effect::Consumer(name, version) => {
                self.consumers.insert(name.clone(), *version);
            }
            Effect::NoConsumer(name) => drop(self.consumers.remove(name)),
        }
    }
}

/// Whether a message is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum There {
    Yes,
    No,
    /// Nobody can know: what an acknowledgement did before a crash, or a clock.
    Maybe,
}

/// One stream, from its creation to its end; another of its name is another life.
#[derive(Clone, Debug)]
pub struct Life {
    pub name: String,
    /// Every configuration it ever had.
    pub configs: Vec<StreamPlan>,
    pub now: Picture,
    /// Where changes count from, and the changes since.
    pub base: Picture,
    pub changes: Vec<Vec<Effect>>,
    /// So many changes were told of.
    pub told: usize,
    pub is_told: bool,
    /// It was asked to go, and the asker heard that it has.
    pub deleted: Option<bool>,
    pub is_gone: bool,
    /// By id: sequence and time.
    ids: BTreeMap<u32, (u64, u64)>,
    /// Ids of which nobody can say whether they are remembered.
    pub doubtful_ids: BTreeSet<u32>,
    /// Messages that may be gone. One that was removed since stays: a crash may take that back.
    pub doubtful: BTreeSet<u64>,
    /// Messages that limits displaced: readers may still find them until the next rest.
    pub fading: BTreeMap<u64, u32>,
    /// Consumers of it, live ones by name.
    pub consumers: BTreeMap<String, usize>,
    last_time: u64,
}

impl Life {
    pub fn new(plan: StreamPlan) -> Self {
        Self {
            name: plan.name.clone(),
            configs: vec![plan],
            now: Picture::default(),
            base: Picture::default(),
            changes: vec![Vec::new()],
            told: 0,
            is_told: false,
            deleted: None,
            is_gone: false,
            ids: BTreeMap::new(),
            doubtful_ids: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            fading: BTreeMap::new(),
            consumers: BTreeMap::new(),
            last_time: 0,
        }
    }

    pub fn plan(&self) -> &StreamPlan {
        &self.configs[self.now.config]
    }

    /// Notes a change. Its number.
    pub fn change(&mut self, effects: Vec<Effect>) -> usize {
        for effect in &effects {
            self.now.apply(effect);
        }
        self.changes.push(effects);
        self.changes.len() - 1
    }

    /// Somebody was told of a change, and so of all before it.
    pub fn tell(&mut self, change: usize) {
        self.told = self.told.max(change);
        self.is_told = true;
    }

    pub fn is_quiet(&self) -> bool {
        self.is_told && self.told + 1 == self.changes.len()
    }

    pub fn find_id(&self, id: u32, now: u64) -> Option<u64> {
        let (seq, time) = self.ids.get(&id)?;
        (time + self.plan().window > now).then_some(*seq)
    }

    pub fn last_of(&self, subject: &str, attempts: &[Attempt]) -> u64 {
        let of = |number: &u32| attempts[*number as usize].subject == subject;
        let mut all = self.now.messages.iter().rev();
        all.find(|(_, number)| of(number)).map_or(0, |(seq, _)| *seq)
    }

    fn of_subject(&self, subject: &str, attempts: &[Attempt]) -> Vec<u64> {
        let of = |number: &u32| attempts[*number as usize].subject == subject;
        self.now.messages.iter().filter(|(_, number)| of(number)).map(|(seq, _)| *seq).collect()
    }

    /// Takes a publish in, as the broker must; `attempts` has it already, with that number.
    pub fn publish(
        &mut self,
        number: u32,
        attempts: &mut [Attempt],
        consumers: &[Consumer],
        now: u64,
    ) {
        let attempt = attempts[number as usize].clone();
        let (answer, time) = self.take(&attempt, number, attempts, consumers, now);
        let stored = &mut attempts[number as usize];
        stored.answer = answer;
        stored.time = time;
        stored.change = match answer {
            Answer::Duplicate(seq) => self.change_to(seq),
            _ => self.changes.len() - 1,
        };
    }

    fn take(
        &mut self,
        attempt: &Attempt,
        number: u32,
        attempts: &[Attempt],
        consumers: &[Consumer],
        now: u64,
    ) -> (Answer, u64) {
        let last = self.now.last_seq;
        let time = self.last_time.max(now);
        let is_expected = match attempt.expected {
            Expected::Nothing => true,
            Expected::LastSeq(seq) => seq == last,
            Expected::LastOfSubject(seq) => seq == self.last_of(&attempt.subject, attempts),
        };
        if !is_expected {
            return (Answer::Refused, time);
        }
        if let Some(seq) = attempt.msg_id.and_then(|id| self.find_id(id, now)) {
            return (Answer::Duplicate(seq), time);
        }
        let seq = last + 1;
        if self.plan().keeps == Keeps::Interest && !self.is_wanted(&attempt.subject, consumers) {
            self.remember(attempt, seq, time);
            self.change(vec![Effect::Last(seq)]);
            return (Answer::Stored(seq), time);
        }
        if self.is_full(attempt, attempts) {
            return (Answer::Refused, time);
        }
        self.remember(attempt, seq, time);
        self.last_time = time;
        let mut effects = vec![Effect::Add(seq, number)];
        let displaced = self.displaced(attempt, attempts);
        for &seq in &displaced {
            self.fading.insert(seq, self.now.messages[&seq]);
        }
        effects.extend(displaced.into_iter().map(Effect::Remove));
        self.change(effects);
        (Answer::Stored(seq), time)
    }

    fn remember(&mut self, attempt: &Attempt, seq: u64, time: u64) {
        if let Some(id) = attempt.msg_id {
            self.ids.insert(id, (seq, time));
            self.doubtful_ids.remove(&id);
        }
    }

    fn is_wanted(&self, subject: &str, consumers: &[Consumer]) -> bool {
        let mut own = self.consumers.values().map(|at| &consumers[*at]);
        own.any(|consumer| consumer.plan.takes(subject))
    }

    fn is_full(&self, attempt: &Attempt, attempts: &[Attempt]) -> bool {
        let plan = self.plan();
        if !plan.discards_new {
            return false;
        }
        let held = self.of_subject(&attempt.subject, attempts).len() as u64;
        if plan.per_subject > 0 && held >= plan.per_subject {
            return plan.new_per_subject;
        }
        plan.max_msgs > 0 && self.now.messages.len() as u64 >= plan.max_msgs
    }

    /// What goes when a message comes.
    fn displaced(&self, attempt: &Attempt, attempts: &[Attempt]) -> Vec<u64> {
        let plan = self.plan();
        let own = self.of_subject(&attempt.subject, attempts);
        let mut gone: BTreeSet<u64> = match attempt.rollup {
            Some(Rollup::All) => self.now.messages.keys().copied().collect(),
            Some(Rollup::Subject) => own.iter().copied().collect(),
            None => BTreeSet::new(),
        };
        if attempt.rollup.is_none() && plan.per_subject > 0 {
            let over = (own.len() as u64 + 1).saturating_sub(plan.per_subject) as usize;
            gone.extend(&own[..over]);
        }
        gone.extend(self.over_limits(&gone, Some(attempt), attempts));
        gone.into_iter().collect()
    }

    /// What is above the limits of the whole stream, `gone` aside, `more` counted in.
    fn over_limits(
        &self,
        gone: &BTreeSet<u64>,
        more: Option<&Attempt>,
        attempts: &[Attempt],
    ) -> Vec<u64> {
        let plan = self.plan();
        if plan.discards_new {
            return Vec::new();
        }
        let left = self.now.messages.iter().filter(|(seq, _)| !gone.contains(seq));
        let left: Vec<(u64, u64)> =
            left.map(|(seq, number)| (*seq, attempts[*number as usize].cost())).collect();
        let mut messages = left.len() as u64 + u64::from(more.is_some());
        let mut bytes =
            left.iter().map(|(_, cost)| cost).sum::<u64>() + more.map_or(0, Attempt::cost);
        let mut over = Vec::new();
        for (seq, cost) in left {
            let is_over = plan.max_msgs > 0 && messages > plan.max_msgs
                || plan.max_bytes > 0 && bytes > plan.max_bytes;
            if !is_over {
                break;
            }
            over.push(seq);
            messages -= 1;
            bytes -= cost;
        }
        over
    }

    /// Takes another configuration, with what follows from lower limits.
    pub fn update(&mut self, plan: StreamPlan, attempts: &[Attempt]) -> usize {
        self.configs.push(plan);
        let version = self.configs.len() - 1;
        self.now.config = version;
        let plan = self.plan().clone();
        let mut gone = BTreeSet::new();
        if plan.per_subject > 0 {
            for subject in &plan.subjects {
                let own = self.of_subject(subject, attempts);
                let over = own.len().saturating_sub(plan.per_subject as usize);
                gone.extend(&own[..over]);
            }
        }
        gone.extend(self.over_limits(&gone, None, attempts));
        for &seq in &gone {
            self.fading.insert(seq, self.now.messages[&seq]);
        }
        let mut effects = vec![Effect::Config(version)];
        effects.extend(gone.into_iter().map(Effect::Remove));
        self.change(effects)
    }

    /// What a purge takes away.
    pub fn purged(
        &self,
        subject: Option<&str>,
        below: u64,
        keep: usize,
        all: &[Attempt],
    ) -> Vec<u64> {
        let takes =
            |number: u32| subject.is_none_or(|subject| all[number as usize].subject == subject);
        let found = self.now.messages.iter().filter(|(_, number)| takes(**number));
        let mut found: Vec<u64> = found.map(|(seq, _)| *seq).filter(|seq| *seq < below).collect();
        found.truncate(found.len().saturating_sub(keep));
        found
    }

    pub fn remove(&mut self, seqs: &[u64]) -> usize {
        self.change(seqs.iter().map(|seq| Effect::Remove(*seq)).collect())
    }

    /// Whether a message of now is there for a reader.
    pub fn there(&self, seq: u64, attempts: &[Attempt], now: u64) -> There {
        let Some(number) = self.now.messages.get(&seq) else { return There::No };
        if self.doubtful.contains(&seq) || self.may_be_too_old(*number, attempts, now) {
            return There::Maybe;
        }
        There::Yes
    }

    /// Whether any message is there for certain or gone for certain.
    pub fn is_certain(&self) -> bool {
        !self.doubtful.iter().any(|seq| self.now.messages.contains_key(seq))
    }

    /// When it must go, if ever.
    pub fn ends_at(&self, number: u32, attempts: &[Attempt]) -> Option<u64> {
        let attempt = &attempts[number as usize];
        let plan = self.plan();
        let age = (plan.max_age > 0).then_some(plan.max_age);
        let ttl = (attempt.ttl > 0).then_some(attempt.ttl);
        let lives = age.into_iter().chain(ttl).min()?;
        Some(attempt.time + lives)
    }

    pub fn may_be_too_old(&self, number: u32, attempts: &[Attempt], now: u64) -> bool {
        self.ends_at(number, attempts).is_some_and(|at| at <= now)
    }

    /// Everything told so far is written: what limits displaced has gone.
    pub fn rest(&mut self) {
        self.fading.clear();
    }

    /// After a crash the stream is as the picture shows.
    pub fn resume(&mut self, picture: Picture, attempts: &[Attempt], now: u64) {
        self.last_time = 0;
        let known: Vec<u32> = self.ids.keys().copied().collect();
        self.ids.clear();
        self.doubtful.clear();
        self.fading.clear();
        for (seq, number) in &picture.messages {
            let attempt = &attempts[*number as usize];
            self.last_time = self.last_time.max(attempt.time);
            if let Some(id) = attempt.msg_id
                && attempt.time + self.plan().window > now
            {
                self.ids.insert(id, (*seq, attempt.time));
            }
        }
        let lost = known.into_iter().filter(|id| !self.ids.contains_key(id));
        self.doubtful_ids.extend(lost);
        self.now = picture.clone();
        self.base = picture;
        self.changes = vec![Vec::new()];
        self.told = 0;
        self.is_told = true;
    }

    /// The change that gave a sequence out, if that was since the start.
    fn change_to(&self, seq: u64) -> usize {
        let gives = |it: &Effect| matches!(it, Effect::Add(at, _) | Effect::Last(at) if *at == seq);
        self.changes.iter().rposition(|effects| effects.iter().any(gives)).unwrap_or(0)
    }

    /// The change that made a consumer what it is, since the start.
    pub fn change_of(&self, name: &str) -> Option<usize> {
        let makes = |it: &Effect| matches!(it, Effect::Consumer(other, _) if other == name);
        self.changes.iter().rposition(|effects| effects.iter().any(makes))
    }

    pub fn plan_of<'a>(&self, consumers: &'a [Consumer], name: &str) -> Option<&'a ConsumerPlan> {
        self.consumers.get(name).map(|at| &consumers[*at].plan)
    }
}
