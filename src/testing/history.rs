//! What was asked of the broker and what came of it, with the step of each.
//!
//! A command is *sent* when its client writes it, and *certain* when somebody outside could know
//! that the broker has executed it: its answer was read, or something that followed from it.

use std::collections::VecDeque;

/// A moment of the simulation; each event has its own.
pub type Step = u64;
pub const NEVER: Step = Step::MAX;

#[derive(Debug)]
pub struct Sub {
    pub client: usize,
    pub pattern: String,
    pub queue: Option<&'static str>,
    pub sent: Step,
    pub certain: Step,
    pub unsub_sent: Step,
    pub unsub_certain: Step,
    /// From `UNSUB sid max`, as last sent; 0 without.
    pub max: u64,
    /// Deliveries when that `UNSUB` had become certain.
    pub delivered_at_max: Option<u64>,
    /// What was read, in order.
    pub deliveries: Vec<(usize, Step)>,
}

#[derive(Debug)]
pub struct Message {
    pub publisher: usize,
    pub subject: String,
    pub reply: Option<String>,
    /// The publisher is to be told if nobody gets it.
    pub asks: bool,
    /// `None`: PUB. An HPUB's header may be empty.
    pub header: Option<&'static str>,
    pub padding: usize,
    pub sent: Step,
    /// The publisher read an answer to this or a later command.
    pub certain: Step,
    /// Somebody read it.
    pub seen: bool,
    /// How often the publisher was told that nobody is there.
    pub bounces: u32,
}

/// A client's end.
#[derive(Clone, Copy, Debug)]
pub struct Fate {
    /// It left, or broke the protocol on purpose.
    pub quit: Step,
    /// It found itself cut.
    pub cut: Step,
}

#[derive(Debug)]
enum Pending {
    Sub(usize),
    Unsub(usize),
}

/// Per client: what is not certain yet, in the order sent.
#[derive(Debug, Default)]
struct Uncertain {
    subs: VecDeque<(Step, Pending)>,
    messages: VecDeque<(Step, usize)>,
    /// Only an answer tells of these: what was delivered before is read before it.
    maxes: VecDeque<(Step, usize)>,
}

#[derive(Debug, Default)]
pub struct History {
    pub subs: Vec<Sub>,
    pub messages: Vec<Message>,
    pub fates: Vec<Fate>,
    pub echo: Vec<bool>,
    /// Per client: answered commands, when sent and when the answer was read.
    pub answers: Vec<Vec<(Step, Step)>>,
    /// When everything had come to rest.
    pub quiet: Vec<Step>,
    uncertain: Vec<Uncertain>,
}

impl History {
    pub fn open(&mut self) -> usize {
        self.fates.push(Fate { quit: NEVER, cut: NEVER });
        self.echo.push(true);
        self.answers.push(Vec::new());
        self.uncertain.push(Uncertain::default());
        self.fates.len() - 1
    }

    pub fn subscribe(
        &mut self,
        client: usize,
        pattern: String,
        queue: Option<&'static str>,
        at: Step,
    ) -> usize {
        let id = self.subs.len();
        self.subs.push(Sub {
            client,
            pattern,
            queue,
            sent: at,
            certain: NEVER,
            unsub_sent: NEVER,
            unsub_certain: NEVER,
            max: 0,
            delivered_at_max: None,
            deliveries: Vec::new(),
        });
        self.uncertain[client].subs.push_back((at, Pending::Sub(id)));
        id
    }

    pub fn unsubscribe(&mut self, sub: usize, max: u64, at: Step) {
        let client = self.subs[sub].client;
        if max == 0 {
            self.subs[sub].unsub_sent = at;
            self.uncertain[client].subs.push_back((at, Pending::Unsub(sub)));
        } else {
            self.subs[sub].max = max;
            self.uncertain[client].maxes.push_back((at, sub));
        }
    }

    pub fn publish(&mut self, message: Message) -> usize {
        let id = self.messages.len();
        self.uncertain[message.publisher].messages.push_back((message.sent, id));
        self.messages.push(message);
        id
    }

    /// `client` read the answer to what it sent at `sent`.
    pub fn answered(&mut self, client: usize, sent: Step, at: Step) {
        self.answers[client].push((sent, at));
        self.executed(client, sent, at);
        let messages = &mut self.uncertain[client].messages;
        while messages.front().is_some_and(|(when, _)| *when <= sent) {
            let (_, id) = messages.pop_front().expect("looked at");
            self.messages[id].certain = at;
        }
        let maxes = &mut self.uncertain[client].maxes;
        while maxes.front().is_some_and(|(when, _)| *when <= sent) {
            let (_, sub) = maxes.pop_front().expect("looked at");
            self.subs[sub].delivered_at_max = Some(self.subs[sub].deliveries.len() as u64);
        }
    }

    /// Somebody read what shows that `client`'s commands up to `sent` were executed. What it
    /// published may still be on its way to other cores.
    pub fn executed(&mut self, client: usize, sent: Step, at: Step) {
        let subs = &mut self.uncertain[client].subs;
        while subs.front().is_some_and(|(when, _)| *when <= sent) {
            let (_, pending) = subs.pop_front().expect("looked at");
            match pending {
                Pending::Sub(sub) => self.subs[sub].certain = at,
                Pending::Unsub(sub) => self.subs[sub].unsub_certain = at,
            }
        }
    }

    /// Everything has come to rest: what living clients sent was executed, all effects were read.
    pub fn rest(&mut self, at: Step) {
        for client in 0..self.fates.len() {
            if self.lives_at(client, at) {
                self.executed(client, at, at);
            }
        }
        self.quiet.push(at);
    }

    /// The first rest after a step.
    pub fn rest_after(&self, step: Step) -> Step {
        let at = self.quiet.partition_point(|rest| *rest <= step);
        self.quiet.get(at).copied().unwrap_or(NEVER)
    }

    /// The last rest before a step, or the start.
    pub fn rest_before(&self, step: Step) -> Step {
        let at = self.quiet.partition_point(|rest| *rest <= step);
        at.checked_sub(1).map_or(0, |at| self.quiet[at])
    }

    /// Neither left nor was cut before `step`.
    pub fn lives_at(&self, client: usize, step: Step) -> bool {
        self.fates[client].quit > step && self.fates[client].cut > step
    }
}
