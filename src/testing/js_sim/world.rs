//! Clients, broker and model of one seed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::consumer::{Consumer, NAK_MAX};
use super::model::{Answer, Attempt, Expected, Life, Rollup, There};
use super::plan::{Acks, Keeps};
use super::server::{End, Sent, Server};
use crate::testing::disk::Rng;
use crate::types::time::{MILLISECOND, SECOND};

/// What a run did, to see that it did something.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stats {
    pub published: u64,
    pub duplicates: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub confirmed: u64,
    pub crashes: u64,
    pub stops: u64,
    pub streams: u64,
    pub consumers: u64,
    pub calls: u64,
    pub faults: u64,
    /// Publishes that a log refused because its disk had failed.
    pub turned_away: u64,
}

impl Stats {
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.duplicates += other.duplicates;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.confirmed += other.confirmed;
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.streams += other.streams;
        self.consumers += other.consumers;
        self.calls += other.calls;
        self.faults += other.faults;
        self.turned_away += other.turned_away;
    }
}

/// A call of the API that is not answered yet.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// It makes this change of a life: change 0 is the creation.
    Change {
        life: usize,
        change: usize,
        what: String,
    },
    Delete {
        life: usize,
    },
    /// It changes nothing that survives a restart, and must not be refused.
    Other(&'static str),
    /// A look at a consumer: its floor, and which message it must not pass.
    Look {
        consumer: usize,
        below: u64,
        step: u64,
    },
}

/// A delivery in a client's hands.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    pub reply: String,
    pub stream: String,
    pub consumer: String,
    pub seq: u64,
}

/// A double ack that is not confirmed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirm {
    pub consumer: usize,
    pub seq: u64,
    pub step: u64,
    pub delivered: u64,
}

pub struct World {
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) server: Server,
    pub(super) attempts: Vec<Attempt>,
    pub(super) lives: Vec<Life>,
    pub(super) consumers: Vec<Consumer>,
    /// The life that calls by a name go to.
    pub(super) by_name: BTreeMap<String, usize>,
    pub(super) calls: BTreeMap<u32, Call>,
    pub(super) confirms: BTreeMap<u32, Confirm>,
    /// Publishes that have no answer.
    pub(super) unanswered: BTreeSet<u32>,
    pub(super) hands: Vec<Hand>,
    /// By number: whose.
    pub(super) pulls: BTreeMap<u32, usize>,
    /// What a question of the simulator itself was answered.
    pub(super) told: Vec<Sent>,
    pub(super) next: u32,
    pub(super) run: u32,
    /// A disk fails: what would be stored may be refused.
    pub(super) is_failing: bool,
    /// What happened, if that is wanted.
    trace: Option<Vec<String>>,
    pub stats: Stats,
}

/// Lines of the trace of a failed run.
const TRACE_SHOWN: usize = 4000;

pub(super) const NAMES: [&str; 3] = ["S0", "S1", "S2"];
pub(super) const CONSUMERS: [&str; 3] = ["c0", "c1", "c2"];
const STEPS: u64 = 220;
/// Cores wait no longer for a turn, in nanoseconds.
const TICK: u64 = 20 * MILLISECOND;

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let logs = 1 + rng.below(3) as usize;
        let cores = 1 + rng.below(logs as u64) as usize;
        let segment = [32, 64, 256][rng.below(3) as usize] * 1024;
        Self {
            seed,
            server: Server::new(seed, cores, logs, segment),
            rng,
            attempts: Vec::new(),
            lives: Vec::new(),
            consumers: Vec::new(),
            by_name: BTreeMap::new(),
            calls: BTreeMap::new(),
            confirms: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            hands: Vec::new(),
            pulls: BTreeMap::new(),
            told: Vec::new(),
            next: 1,
            run: 0,
            is_failing: false,
            trace: std::env::var_os("JS_SIM_TRACE").map(|_| Vec::new()),
            stats: Stats::default(),
        }
    }

    /// One seed: it ends well or panics with the seed.
    pub fn run(seed: u64) -> Stats {
        let mut world = Self::new(seed);
        world.create_stream();
        world.create_consumer();
        for _ in 0..STEPS {
            world.step();
            match world.rng.below(70) {
                0 => world.crash(),
                1 if world.rng.one_in(2) => world.stop(),
                2..6 => world.rest(),
                69 if world.rng.one_in(2) => world.fault(),
                _ => {}
            }
        }
        world.drain();
        world.stop();
        world.stats
    }

    pub(super) fn fail(&self, rule: &str) -> ! {
        if let Some(trace) = &self.trace {
            let from = trace.len().saturating_sub(TRACE_SHOWN);
            trace[from..].iter().for_each(|line| eprintln!("{line}"));
        }
        panic!("seed {}: {rule}", self.seed);
    }

    /// Something happened, which a run with `JS_SIM_TRACE` tells of when it fails.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let at = self.wall() % (1000 * SECOND) / 1000;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:>9} µs  {}", what()));
        }
    }

    pub(super) fn wall(&self) -> u64 {
        self.server.now.wall.0
    }

    pub(super) fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn step(&mut self) {
        let ns = match self.rng.below(100) {
            0..60 => self.rng.below(2 * MILLISECOND),
            60..90 => self.rng.below(30 * MILLISECOND),
            90..99 => self.rng.below(300 * MILLISECOND),
            _ => self.rng.below(2 * SECOND),
        };
        self.pass(ns);
        for _ in 0..1 + self.rng.below(4) {
            self.act();
        }
        self.machine();
    }

    /// Time passes, and what is due meanwhile happens about when it is.
    pub(super) fn pass(&mut self, ns: u64) {
        let mut left = ns;
        while left > TICK {
            self.server.pass(TICK);
            left -= TICK;
            for core in 0..self.server.cores() {
                self.server.turn(core);
                self.hear();
            }
        }
        self.server.pass(left);
    }

    /// Cores take turns, disks work, clients hear.
    pub(super) fn machine(&mut self) {
        for core in 0..self.server.cores() {
            if !self.rng.one_in(6) {
                self.server.turn(core);
                self.hear();
            }
        }
        for disk in 0..self.server.logs() {
            for _ in 0..self.rng.below(6) {
                self.server.finish_io(disk);
            }
        }
    }

    fn act(&mut self) {
        match self.rng.below(200) {
            0..76 => self.publish(),
            76..106 => self.pull(),
            106..160 => self.acknowledge(),
            160..166 => self.listen(),
            166..169 => self.crowd(),
            169..175 => self.look(),
            175..184 => self.create_consumer(),
            184..188 => self.change_consumer(),
            188..190 => self.delete_consumer(),
            190..193 => self.create_stream(),
            193..195 => self.update_stream(),
            195..197 => self.purge(),
            197..199 => self.delete_message(),
            _ if self.rng.one_in(3) => self.delete_stream(),
            _ => {}
        }
    }

    pub(super) fn pick_life(&mut self) -> Option<usize> {
        let all: Vec<usize> = self.by_name.values().copied().collect();
        (!all.is_empty()).then(|| all[self.rng.below(all.len() as u64) as usize])
    }

    pub(super) fn pick_consumer(&mut self) -> Option<usize> {
        let life = self.pick_life()?;
        let all: Vec<usize> = self.lives[life].consumers.values().copied().collect();
        (!all.is_empty()).then(|| all[self.rng.below(all.len() as u64) as usize])
    }

    /// Asks the API; the answer is heard some time.
    pub(super) fn call(&mut self, subject: &str, body: &Value, call: Call) {
        let number = self.number();
        self.stats.calls += 1;
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.note(|| format!("call {number} {subject} {body}: {call:?}"));
        self.calls.insert(number, call);
        self.server.send(&Sent::new(
            &format!("$JS.API.{subject}"),
            &format!("_INBOX.a.{number}"),
            payload,
        ));
    }

    pub(super) fn publish(&mut self) {
        let Some(life) = self.pick_life() else { return };
        let attempt = self.make_attempt(life);
        self.send_attempt(life, attempt);
    }

    pub(super) fn send_attempt(&mut self, life: usize, attempt: Attempt) {
        let number = self.attempts.len() as u32;
        let reply = format!("_INBOX.p.{number}");
        let mut sent = Sent::new(&attempt.subject, &reply, attempt.payload(number));
        sent.headers.clone_from(&attempt.headers);
        self.attempts.push(attempt);
        let now = self.wall();
        self.lives[life].publish(number, &mut self.attempts, &self.consumers, now);
        self.unanswered.insert(number);
        self.stats.published += 1;
        let attempt = self.attempts[number as usize].clone();
        self.note(|| format!("publish {number}: {attempt:?}"));
        if !self.server.send(&sent) {
            self.fail("a stream does not listen to its subjects");
        }
    }

    pub(super) fn make_attempt(&mut self, at: usize) -> Attempt {
        let life = &self.lives[at];
        let plan = life.plan().clone();
        let rng = &mut self.rng;
        let subject = plan.subjects[rng.below(plan.subjects.len() as u64) as usize].clone();
        let payload_len = 4 + match rng.below(20) {
            0 => 2000 + rng.below(4000),
            _ => rng.below(200),
        } as usize;
        let mut attempt = Attempt {
            life: at,
            subject,
            headers: Vec::new(),
            payload_len,
            msg_id: None,
            ttl: 0,
            rollup: None,
            expected: Expected::Nothing,
            answer: Answer::Refused,
            change: 0,
            run: self.run,
            time: 0,
        };
        match rng.below(20) {
            0..7 => attempt.msg_id = pick_id(life, &self.attempts, at, rng),
            7 => {
                let wrong = if rng.one_in(3) { rng.below(3) } else { 0 };
                attempt.expected = Expected::LastSeq(life.now.last_seq + wrong);
            }
            8 | 9 if life.fading.is_empty() && life.is_certain() && !plan.ends_by_time() => {
                let wrong = if rng.one_in(3) { 1 } else { 0 };
                let last = life.last_of(&attempt.subject, &self.attempts);
                attempt.expected = Expected::LastOfSubject(last + wrong);
            }
            10 if plan.keeps == Keeps::Limits && !plan.discards_new && !plan.has_room_limits() => {
                let kind = if rng.one_in(5) { Rollup::All } else { Rollup::Subject };
                attempt.rollup = Some(kind);
            }
            _ => {}
        }
        if plan.has_ttl && rng.one_in(3) {
            attempt.ttl = (1 + rng.below(2)) * SECOND;
        }
        attempt.headers = headers_of(&attempt);
        attempt
    }

    pub(super) fn pull(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        if self.consumers[at].plan.is_push() || self.consumers[at].pulls.len() > 4 {
            return;
        }
        let batch = 1 + self.rng.below(10) as i64;
        let expires = [50, 300, 2000][self.rng.below(3) as usize] * MILLISECOND;
        let is_brief = self.rng.one_in(4);
        self.pull_so(at, batch, expires, is_brief);
    }

    pub(super) fn pull_so(&mut self, at: usize, batch: i64, expires: u64, no_wait: bool) {
        let number = self.number();
        let now = self.wall();
        let consumer = &mut self.consumers[at];
        let pull = super::consumer::Pull { number, left: batch, expires: now + expires };
        consumer.pulls.push(pull);
        self.pulls.insert(number, at);
        let name = consumer.plan.name.clone();
        let stream = self.lives[consumer.life].name.clone();
        let mut body = json!({"batch": batch, "expires": expires});
        if no_wait {
            body["no_wait"] = json!(true);
        }
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
        let reply = format!("_INBOX.c.{number}");
        self.note(|| format!("pull {number} {subject} {body}"));
        self.server.send(&Sent::new(&subject, &reply, body.to_string().into_bytes()));
    }

    pub(super) fn acknowledge(&mut self) {
        if self.hands.is_empty() {
            return;
        }
        // The newest most often; sometimes one of long ago.
        let len = self.hands.len() as u64;
        let back = if self.rng.one_in(4) { len } else { len.min(6) };
        let at = (len - 1 - self.rng.below(back)) as usize;
        let hand = match self.rng.one_in(10) {
            true => self.hands[at].clone(),
            false => self.hands.remove(at),
        };
        match self.rng.below(20) {
            0..7 => self.ack(&hand, b"+ACK", false),
            7..12 => self.ack(&hand, b"", true),
            12 => {
                let is_double = self.rng.one_in(2);
                self.ack(&hand, b"+TERM", is_double);
            }
            13 | 14 => self.postpone(hand, Some(0)),
            15 => {
                let delay =
                    [20 * MILLISECOND, 150 * MILLISECOND, NAK_MAX][self.rng.below(3) as usize];
                self.postpone(hand, Some(delay));
            }
            16 => self.postpone(hand, None),
            // Lost on its way.
            _ => {}
        }
    }

    /// The consumer that an acknowledgement reaches today.
    fn reached(&self, hand: &Hand) -> Option<usize> {
        let life = *self.by_name.get(&hand.stream)?;
        self.lives[life].consumers.get(&hand.consumer).copied()
    }

    pub(super) fn ack(&mut self, hand: &Hand, body: &[u8], is_double: bool) {
        let mut reply = String::new();
        let reached = self.reached(hand).filter(|at| self.consumers[*at].plan.acks != Acks::None);
        if let Some(at) = reached {
            let consumer = &mut self.consumers[at];
            let done = consumer.acknowledge(hand.seq);
            let (step, delivered) = (consumer.steps, consumer.delivered);
            self.release(at, done);
            if is_double {
                let number = self.number();
                reply = format!("_INBOX.k.{number}");
                let confirm = Confirm { consumer: at, seq: hand.seq, step, delivered };
                self.confirms.insert(number, confirm);
            }
        }
        self.note(|| format!("ack {} {:?} {reply}", hand.reply, String::from_utf8_lossy(body)));
        self.server.send(&Sent::new(&hand.reply, &reply, body.to_vec()));
    }

    fn postpone(&mut self, hand: Hand, delay: Option<u64>) {
        let now = self.wall();
        let reached = self.reached(&hand).filter(|at| self.consumers[*at].plan.acks != Acks::None);
        if let Some(at) = reached {
            let consumer = &mut self.consumers[at];
            let deliveries = consumer.seen.get(&hand.seq).map_or(1, |seen| seen.last);
            let due = now + delay.unwrap_or(consumer.plan.wait(deliveries));
            consumer.postpone(hand.seq, due, now);
        }
        let body = match delay {
            None => "+WPI".to_owned(),
            Some(0) => "-NAK".to_owned(),
            Some(delay) => format!("-NAK {{\"delay\":{delay}}}"),
        };
        self.note(|| format!("ack {} {body:?}", hand.reply));
        self.server.send(&Sent::new(&hand.reply, "", body.into_bytes()));
        if delay.is_none() {
            self.hands.push(hand);
        }
    }

    /// A consumer has done with messages: retention looks who else wants them.
    pub(super) fn release(&mut self, at: usize, done: Vec<(u64, super::consumer::Sure)>) {
        use super::consumer::Sure;
        let life = self.consumers[at].life;
        let mut gone = Vec::new();
        for (seq, sure) in done {
            let Some(number) = self.lives[life].now.messages.get(&seq).copied() else { continue };
            let wanted = match self.lives[life].plan().keeps {
                Keeps::Limits => continue,
                Keeps::WorkQueue => Sure::No,
                Keeps::Interest => self.wanted(life, seq, number),
            };
            match (sure, wanted) {
                (Sure::Yes, Sure::No) => gone.push(seq),
                (Sure::No, _) | (_, Sure::Yes) => {}
                _ => drop(self.lives[life].doubtful.insert(seq)),
            }
        }
        if !gone.is_empty() {
            self.lives[life].remove(&gone);
        }
    }

    /// Whether any consumer still wants a message of a stream with interest retention.
    pub(super) fn wanted(&self, life: usize, seq: u64, number: u32) -> super::consumer::Sure {
        use super::consumer::Sure;
        let subject = &self.attempts[number as usize].subject;
        let mut result = Sure::No;
        for at in self.lives[life].consumers.values() {
            match self.consumers[*at].wants(seq, subject) {
                Sure::Yes => return Sure::Yes,
                Sure::Maybe => result = Sure::Maybe,
                Sure::No => {}
            }
        }
        result
    }

    fn listen(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        let plan = &self.consumers[at].plan;
        if plan.is_push() {
            let subject = plan.deliver_subject.clone().into_bytes();
            let is_heard = !self.rng.one_in(3);
            self.server.listen(&subject, is_heard);
        }
    }

    fn crowd(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        let plan = &self.consumers[at].plan;
        if plan.is_push() {
            let subject = plan.deliver_subject.clone().into_bytes();
            let is_crowded = self.rng.one_in(2);
            self.server.crowd(&subject, is_crowded);
        }
    }

    /// Looks at a consumer, most of all at its ack floor.
    pub(super) fn look(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        let (below, step) = (self.unacked(at), self.consumers[at].steps);
        let name = self.consumers[at].plan.name.clone();
        let stream = self.lives[self.consumers[at].life].name.clone();
        let call = Call::Look { consumer: at, below, step };
        self.call(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null, call);
    }

    /// The first message that is there, was delivered, and is not acknowledged.
    pub(super) fn unacked(&self, at: usize) -> u64 {
        use super::consumer::Sure;
        let consumer = &self.consumers[at];
        let life = &self.lives[consumer.life];
        let now = self.wall();
        let mut out = consumer.seen.iter().filter(|(seq, seen)| {
            seen.out == Sure::Yes
                && seen.acked == Sure::No
                && !consumer.is_spent(seen)
                && life.there(**seq, &self.attempts, now) == There::Yes
        });
        out.next().map_or(u64::MAX, |(seq, _)| *seq)
    }

    pub(super) fn crash(&mut self) {
        let end = if self.rng.one_in(3) { End::Kill } else { End::PowerCut };
        self.crash_so(end);
    }

    pub(super) fn crash_so(&mut self, end: End) {
        self.stats.crashes += 1;
        let cores = 1 + self.rng.below(self.server.logs() as u64) as usize;
        let down = match self.rng.below(3) {
            0 => self.rng.below(5 * MILLISECOND),
            1 => self.rng.below(500 * MILLISECOND),
            _ => self.rng.below(3 * SECOND),
        };
        self.note(|| format!("crash {end:?}, then {cores} cores"));
        self.server.crash(end, cores, down, &mut self.rng);
        self.survey(false);
    }

    /// An orderly stop, and a start that must find everything.
    pub(super) fn stop(&mut self) {
        self.stats.stops += 1;
        self.note(|| "stop".into());
        for consumer in &mut self.consumers {
            consumer.keep_all();
        }
        self.server.stop();
        self.hear();
        self.check_answers();
        let cores = 1 + self.rng.below(self.server.logs() as u64) as usize;
        self.server.crash(End::PowerCut, cores, MILLISECOND, &mut self.rng);
        self.survey(true);
    }
}

/// A new id, or one that was used and of which is known whether it is remembered.
fn pick_id(life: &Life, attempts: &[Attempt], at: usize, rng: &mut Rng) -> Option<u32> {
    let number = attempts.len() as u32;
    if rng.one_in(2) {
        return Some(number);
    }
    let recent = &attempts[attempts.len().saturating_sub(40)..];
    let used = recent.iter().filter(|it| it.life == at).filter_map(|it| it.msg_id);
    let used: Vec<u32> = used.filter(|id| !life.doubtful_ids.contains(id)).collect();
    match used.is_empty() {
        true => Some(number),
        false => Some(used[rng.below(used.len() as u64) as usize]),
    }
}

fn headers_of(attempt: &Attempt) -> Vec<u8> {
    let mut lines = String::new();
    let mut line = |name: &str, value: String| lines.push_str(&format!("{name}: {value}\r\n"));
    if let Some(id) = attempt.msg_id {
        line("Nats-Msg-Id", format!("id{id}"));
    }
    match attempt.expected {
        Expected::Nothing => {}
        Expected::LastSeq(seq) => line("Nats-Expected-Last-Sequence", seq.to_string()),
        Expected::LastOfSubject(seq) => {
            line("Nats-Expected-Last-Subject-Sequence", seq.to_string());
        }
    }
    match attempt.rollup {
        None => {}
        Some(Rollup::Subject) => line("Nats-Rollup", "sub".into()),
        Some(Rollup::All) => line("Nats-Rollup", "all".into()),
    }
    if attempt.ttl > 0 {
        line("Nats-TTL", format!("{}s", attempt.ttl / SECOND));
    }
    match lines.is_empty() {
        true => Vec::new(),
        false => format!("NATS/1.0\r\n{lines}\r\n").into_bytes(),
    }
}
