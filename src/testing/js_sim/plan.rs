//! What a seed decides: the shapes of streams and consumers.

use serde_json::{Value, json};

use crate::testing::disk::Rng;
use crate::types::time::{MILLISECOND, SECOND};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    Limits,
    WorkQueue,
    Interest,
}

/// A stream's configuration. 0: no limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamPlan {
    pub name: String,
    /// Tells this configuration from all others.
    pub mark: u64,
    pub subjects: Vec<String>,
    pub keeps: Keeps,
    pub max_msgs: u64,
    pub max_bytes: u64,
    pub per_subject: u64,
    pub discards_new: bool,
    pub new_per_subject: bool,
    /// Nanoseconds.
    pub max_age: u64,
    pub has_ttl: bool,
    /// Nanoseconds in which ids are remembered.
    pub window: u64,
    /// It does not survive a restart.
    pub in_memory: bool,
}

pub const SUBJECTS: [&str; 4] = ["a", "b", "c.d", "long-token.e"];

impl StreamPlan {
    /// Without limits.
    pub fn plain(name: &str, mark: u64, keeps: Keeps) -> Self {
        Self {
            name: name.into(),
            mark,
            subjects: SUBJECTS.iter().map(|subject| format!("{name}.{subject}")).collect(),
            keeps,
            max_msgs: 0,
            max_bytes: 0,
            per_subject: 0,
            discards_new: false,
            new_per_subject: false,
            max_age: 0,
            has_ttl: false,
            window: 120 * SECOND,
            in_memory: false,
        }
    }

    pub fn new(name: &str, mark: u64, rng: &mut Rng) -> Self {
        let mut plan = Self::plain(name, mark, Keeps::Limits);
        plan.window = [300 * MILLISECOND, 2 * SECOND, 120 * SECOND][rng.below(3) as usize];
        match rng.below(10) {
            0..2 => {}
            2..4 => plan.per_subject = 1 + rng.below(3),
            4 => {
                plan.max_msgs = 5 + rng.below(20);
                plan.per_subject = if rng.one_in(2) { 1 + rng.below(4) } else { 0 };
            }
            5 => match rng.below(3) {
                0 => plan.max_bytes = 16_000 + rng.below(8000),
                _ => {
                    plan.discards_new = true;
                    plan.max_msgs = 5 + rng.below(20);
                    plan.new_per_subject = rng.one_in(2);
                    plan.per_subject = if plan.new_per_subject { 2 + rng.below(4) } else { 0 };
                }
            },
            6 => {
                plan.max_age = [0, 400 * MILLISECOND, 2 * SECOND][rng.below(3) as usize];
                plan.has_ttl = plan.max_age == 0 || rng.one_in(2);
            }
            7 | 8 => plan.keeps = Keeps::WorkQueue,
            _ => plan.keeps = Keeps::Interest,
        }
        if plan.max_age > 0 {
            plan.window = plan.window.min(plan.max_age);
        }
        // Bytes are counted otherwise there.
        plan.in_memory = plan.max_bytes == 0 && Rng::new(rng.draw()).one_in(8);
        plan
    }

    /// Limits higher or lower than before.
    pub fn changed(&self, mark: u64, rng: &mut Rng) -> Self {
        let mut plan = Self { mark, ..self.clone() };
        let mut other = |value: u64, least: u64| match value {
            0 => 0,
            value => (value / 2 + rng.below(value + 1)).max(least),
        };
        plan.max_msgs = other(plan.max_msgs, 3);
        plan.max_bytes = other(plan.max_bytes, 8000);
        plan.per_subject = other(plan.per_subject, 1);
        plan
    }

    /// Time alone takes messages away.
    pub fn ends_by_time(&self) -> bool {
        self.max_age > 0 || self.has_ttl
    }

    pub fn has_room_limits(&self) -> bool {
        self.max_msgs > 0 || self.max_bytes > 0
    }

    pub fn json(&self) -> Value {
        let limit = |value: u64| if value == 0 { -1 } else { value as i64 };
        let retention = match self.keeps {
            Keeps::Limits => "limits",
            Keeps::WorkQueue => "workqueue",
            Keeps::Interest => "interest",
        };
        json!({
            "name": self.name,
            "subjects": self.subjects,
            "retention": retention,
            "storage": if self.in_memory { "memory" } else { "file" },
            "compression": if self.mark.is_multiple_of(3) { "s2" } else { "none" },
            "max_msgs": limit(self.max_msgs),
            "max_bytes": limit(self.max_bytes),
            "max_msgs_per_subject": limit(self.per_subject),
            "discard": if self.discards_new { "new" } else { "old" },
            "discard_new_per_subject": self.new_per_subject,
            "max_age": self.max_age,
            "allow_msg_ttl": self.has_ttl,
            "duplicate_window": self.window,
            "allow_direct": true,
            "allow_rollup_hdrs": true,
            "metadata": {"mark": self.mark.to_string()},
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    None,
    All,
    Explicit,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begins {
    All,
    New,
    At(u64),
}

/// A consumer's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsumerPlan {
    pub name: String,
    pub mark: u32,
    /// Empty: pull.
    pub deliver_subject: String,
    pub acks: Acks,
    pub begins: Begins,
    /// Nanoseconds.
    pub ack_wait: u64,
    pub backoff: Vec<u64>,
    /// 0: without end.
    pub max_deliver: u32,
    pub max_ack_pending: usize,
    /// Subjects; none: all.
    pub filters: Vec<String>,
    /// It does not survive a restart.
    pub in_memory: bool,
}

impl ConsumerPlan {
    pub fn new(name: &str, mark: u32, stream: &StreamPlan, last: u64, rng: &mut Rng) -> Self {
        let wait = |rng: &mut Rng| [80, 200, 500, 1500][rng.below(4) as usize] * MILLISECOND;
        let mut plan = Self {
            name: name.into(),
            mark,
            deliver_subject: String::new(),
            acks: [Acks::Explicit, Acks::Explicit, Acks::Explicit, Acks::All, Acks::None]
                [rng.below(5) as usize],
            begins: match rng.below(4) {
                0 => Begins::New,
                1 => Begins::At(1 + rng.below(last + 2)),
                _ => Begins::All,
            },
            ack_wait: wait(rng),
            backoff: Vec::new(),
            max_deliver: 0,
            max_ack_pending: [2, 5, 20, 1000][rng.below(4) as usize],
            filters: Vec::new(),
            in_memory: rng.one_in(8),
        };
        if rng.one_in(3) {
            let count = 1 + rng.below(2) as usize;
            let first = rng.below(3) as usize;
            plan.filters = stream.subjects[first..first + count].to_vec();
        }
        if rng.one_in(3) {
            plan.deliver_subject = format!("deliver.{}.{mark}", stream.name);
        }
        if rng.one_in(4) && stream.keeps != Keeps::Interest {
            plan.max_deliver = 2 + rng.below(3) as u32;
        }
        if rng.one_in(4) && plan.acks == Acks::Explicit {
            let steps = 1 + rng.below(2);
            plan.backoff = (0..steps).map(|_| wait(rng)).collect();
            plan.ack_wait = plan.backoff[0];
        }
        plan.suit(stream);
        plan
    }

    /// What the kind of stream and of acknowledgements demand.
    fn suit(&mut self, stream: &StreamPlan) {
        if stream.keeps == Keeps::WorkQueue {
            self.acks = Acks::Explicit;
            self.begins = Begins::All;
        }
        if stream.keeps == Keeps::Interest {
            self.in_memory = false;
            if matches!(self.begins, Begins::At(_)) {
                self.begins = Begins::New;
            }
        }
        if self.acks == Acks::None {
            self.max_ack_pending = 0;
            self.max_deliver = 0;
            self.backoff.clear();
        }
    }

    pub fn changed(&self, mark: u32, stream: &StreamPlan, rng: &mut Rng) -> Self {
        let fresh = Self::new(&self.name, mark, stream, 1, rng);
        let mut plan = Self { mark, ..self.clone() };
        if self.acks != Acks::None {
            plan.max_ack_pending = fresh.max_ack_pending.max(2);
            if self.backoff.is_empty() {
                plan.ack_wait = fresh.ack_wait;
            }
        }
        if stream.keeps == Keeps::Limits {
            plan.filters = fresh.filters;
        }
        plan
    }

    pub fn takes(&self, subject: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter == subject)
    }

    /// Whether some message would go to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.filters.is_empty()
            || other.filters.is_empty()
            || self.filters.iter().any(|filter| other.takes(filter))
    }

    /// Nanoseconds until a message is due again that was delivered so often.
    pub fn wait(&self, deliveries: u32) -> u64 {
        let step = (deliveries.max(1) - 1) as usize;
        self.backoff.get(step).or(self.backoff.last()).copied().unwrap_or(self.ack_wait)
    }

    /// The longest of its waits.
    pub fn wait_max(&self) -> u64 {
        self.backoff.iter().copied().max().unwrap_or(self.ack_wait)
    }

    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    pub fn json(&self, stream: &str) -> Value {
        let acks = match self.acks {
            Acks::None => "none",
            Acks::All => "all",
            Acks::Explicit => "explicit",
        };
        let mut config = json!({
            "ack_policy": acks,
            "replay_policy": "instant",
            "mem_storage": self.in_memory,
            "metadata": {"mark": self.mark.to_string()},
        });
        match self.in_memory {
            true => {
                config["name"] = json!(self.name);
                config["inactive_threshold"] = json!(3600 * SECOND);
            }
            false => config["durable_name"] = json!(self.name),
        }
        match self.begins {
            Begins::All => config["deliver_policy"] = json!("all"),
            Begins::New => config["deliver_policy"] = json!("new"),
            Begins::At(seq) => {
                config["deliver_policy"] = json!("by_start_sequence");
                config["opt_start_seq"] = json!(seq);
            }
        }
        if self.acks != Acks::None {
            config["ack_wait"] = json!(self.ack_wait);
            config["max_ack_pending"] = json!(self.max_ack_pending);
        }
        if !self.backoff.is_empty() {
            config["backoff"] = json!(self.backoff);
        }
        if self.max_deliver > 0 {
            config["max_deliver"] = json!(self.max_deliver);
        }
        if self.is_push() {
            config["deliver_subject"] = json!(self.deliver_subject);
        }
        match &self.filters[..] {
            [] => {}
            [one] => config["filter_subject"] = json!(one),
            more => config["filter_subjects"] = json!(more),
        }
        json!({"stream_name": stream, "config": config})
    }
}
