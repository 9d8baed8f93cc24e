//! One origin, as the stream that draws from it sees it.
//!
//! ```text
//! Resting ──at its time──▶ Asked ──answer──▶ Flowing
//!    ▲                       │ refused, silent   │ gap, silent, not stored
//!    └───────────────────────┴───────────────────┘
//! ```

use std::collections::VecDeque;

use super::ask::{Answer, ApiRequest, Begin, IDENTITY_MISMATCH, Round, Start};
use super::label::{Label, Position};
use crate::jetstream::config::StreamSource;
use crate::jetstream::consumer::{ConsumerSeq, DeliveryTokens};
use crate::jetstream::error::ApiError;
use crate::jetstream::info::SourceInfo;
use crate::jetstream::stream::intake::Incoming;
use crate::jetstream::stream::kept::Kept;
use crate::storage::Seq;
use crate::types::limits::{
    SOURCE_ANSWER_NS_MAX, SOURCE_PAUSE_NS, SOURCE_RETRY_NS_MAX, SOURCE_RETRY_NS_MIN,
    SOURCE_SILENCE_NS_MAX,
};
use crate::types::{Mono, Now, Transform};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It asks at this time.
    Resting(Mono),
    /// It asked, and gives up at this time.
    Asked(Mono),
    /// Messages come; with nothing heard until this time it asks anew.
    Flowing(Mono),
}

/// What a delivery's number says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Next,
    /// It came before.
    Old,
    /// Some are missing before it.
    Gap,
}

/// Deliveries that wait, in order.
#[derive(Debug, Default)]
struct Held {
    queue: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Debug)]
pub struct Feed {
    pub source: StreamSource,
    pub is_mirror: bool,
    pub label: Label,
    rules: Vec<Transform>,
    stage: Stage,
    round: Round,
    /// The consumer stays from one round to the next.
    lasts: bool,
    /// The consumer's number of the next delivery.
    next: ConsumerSeq,
    /// What was taken last; a mirror's is its own last message.
    pub position: Position,
    /// The stream's message that tells the position; 0: none does.
    pub told_by: Seq,
    /// The last delivery that was dealt with: what an answer to flow control tells.
    last: (ConsumerSeq, Seq),
    /// Messages of the origin that are still to come.
    lag: u64,
    heard_at: Option<Mono>,
    error: Option<ApiError>,
    /// Attempts since something came.
    failures: u32,
    held: Held,
    /// Flow control asks to answer here once nothing is held.
    owed: Option<Box<[u8]>>,
}

impl Feed {
    /// It asks at `start_at`, for what comes behind `position`.
    pub fn new(source: StreamSource, is_mirror: bool, position: Position, start_at: Mono) -> Self {
        let rules = source.subject_transforms.iter().filter_map(|rule| rule.compile().ok());
        // An origin elsewhere whose API has no name is never asked.
        let is_nowhere = source.external.as_ref().is_some_and(|external| external.api.is_empty());
        let start_at = if is_nowhere && !is_mirror { Mono::NEVER } else { start_at };
        Self {
            label: Label::of(&source),
            rules: rules.collect(),
            source,
            is_mirror,
            stage: Stage::Resting(start_at),
            round: Round::default(),
            lasts: false,
            next: ConsumerSeq(1),
            position,
            told_by: Seq(0),
            last: (ConsumerSeq(0), Seq(0)),
            lag: 0,
            heard_at: None,
            error: None,
            failures: 0,
            held: Held::default(),
            owed: None,
        }
    }

    /// When [`super::super::Stream::on_tick`] has something to do for it.
    pub fn due_at(&self) -> Mono {
        match self.stage {
            Stage::Resting(at) | Stage::Asked(at) | Stage::Flowing(at) => at,
        }
    }

    pub fn is_resting(&self) -> bool {
        matches!(self.stage, Stage::Resting(_))
    }

    pub fn is_asking(&self) -> bool {
        matches!(self.stage, Stage::Asked(_))
    }

    /// Whether deliveries to this subject are its own.
    pub fn delivers_to(&self, route: &[u8]) -> bool {
        !self.is_resting() && self.round.deliver.as_bytes() == route
    }

    pub fn answers_to(&self, route: &[u8]) -> bool {
        self.is_asking() && self.round.answer.as_bytes() == route
    }

    /// Asks the origin. `stream`: the names of account and sourcing stream. `last`: of a mirror,
    /// its last sequence. The request, and where its answer goes.
    pub fn ask(&mut self, stream: (&str, &str), last: Seq, now: Now) -> (ApiRequest, String) {
        let (name, rules) = self.label.parts();
        let salt = [name, rules].join(" ");
        self.round = Round::new(stream, &self.source, self.is_mirror, now.wall, &salt);
        self.stage = Stage::Asked(now.mono.plus(SOURCE_ANSWER_NS_MAX));
        let start = match self.is_mirror {
            true if last == Seq(0) => Start::Configured,
            true => Start::From(last.next(), ""),
            false => self.position.start(),
        };
        let request = self.round.request(stream, &self.source, self.is_mirror, start);
        (request, self.round.answer.clone())
    }

    /// The origin answered. What begins, or `None`: it asks again later.
    pub fn on_answer(&mut self, answer: Option<Answer>, now: Now) -> Option<Begin> {
        match answer {
            Some(Answer::Begins(begin)) => {
                self.next = ConsumerSeq(begin.consumer_seq).next();
                self.last = (ConsumerSeq(begin.consumer_seq), begin.delivered);
                self.lag = begin.pending;
                self.lasts = begin.lasts;
                self.error = None;
                if !self.is_mirror {
                    self.position.identity = begin.identity.clone();
                }
                self.stage = Stage::Flowing(now.mono);
                self.hear(now);
                Some(begin)
            }
            // Another stream of that name: none of it was drawn.
            Some(Answer::Refused(error)) if error.err_code == IDENTITY_MISMATCH => {
                self.position = Position::default();
                self.rest(now, SOURCE_PAUSE_NS);
                None
            }
            Some(Answer::Refused(error)) => {
                self.error = Some(error);
                self.give_up(now);
                None
            }
            None => {
                self.give_up(now);
                None
            }
        }
    }

    /// Something came: the consumer lives.
    pub fn hear(&mut self, now: Now) {
        self.heard_at = Some(now.mono);
        if let Stage::Flowing(until) = &mut self.stage {
            *until = now.mono.plus(SOURCE_SILENCE_NS_MAX);
        }
    }

    pub fn order(&self, tokens: &DeliveryTokens) -> Order {
        match tokens.consumer_seq.cmp(&self.next) {
            std::cmp::Ordering::Less => Order::Old,
            std::cmp::Ordering::Equal => Order::Next,
            std::cmp::Ordering::Greater => Order::Gap,
        }
    }

    /// Deliveries before this one were sent; true: they have not all come.
    pub fn misses(&self, last: ConsumerSeq) -> bool {
        self.held.queue.is_empty() && matches!(self.stage, Stage::Flowing(_)) && last >= self.next
    }

    /// The origin's message `drawn` becomes the stream's `told_by`: known before it is stored,
    /// because what it displaces may have positions written. What was before it.
    pub fn advance(&mut self, drawn: Seq, told_by: Seq) -> (Seq, Seq) {
        let drawn = std::mem::replace(&mut self.position.seq, drawn);
        (drawn, std::mem::replace(&mut self.told_by, told_by))
    }

    /// A delivery was dealt with.
    pub fn took(&mut self, tokens: &DeliveryTokens) {
        self.next = tokens.consumer_seq.next();
        self.last = (tokens.consumer_seq, tokens.stream_seq);
        self.position.seq = self.position.seq.max(tokens.stream_seq);
        self.lag = tokens.pending;
        self.failures = 0;
        self.error = None;
    }

    /// Asks anew soon: deliveries are missing, or the origin is silent.
    pub fn again(&mut self, now: Now) -> Option<ApiRequest> {
        self.rest(now, SOURCE_PAUSE_NS);
        self.end_round()
    }

    /// Asks anew later: the stream did not take a message, or the origin does not answer.
    pub fn give_up(&mut self, now: Now) -> Option<ApiRequest> {
        let pause = SOURCE_RETRY_NS_MIN << self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        self.rest(now, pause.min(SOURCE_RETRY_NS_MAX));
        self.end_round()
    }

    /// A consumer that lasts waits for the next round.
    fn end_round(&self) -> Option<ApiRequest> {
        if self.lasts { None } else { self.round.end(&self.source) }
    }

    fn rest(&mut self, now: Now, pause_ns: u64) {
        self.stage = Stage::Resting(now.mono.plus(pause_ns));
        self.held = Held::default();
        self.owed = None;
    }

    /// Ends for good.
    pub fn end(&self) -> Option<ApiRequest> {
        self.round.end(&self.source)
    }

    /// Keeps a delivery for later.
    pub fn hold(&mut self, message: &Incoming<'_>) {
        let kept = Kept::of(message);
        self.held.bytes += kept.len() + size_of::<Kept>();
        self.held.queue.push_back(kept);
    }

    /// Bytes of deliveries that wait.
    pub fn held_bytes(&self) -> usize {
        self.held.bytes
    }

    pub fn is_holding(&self) -> bool {
        !self.held.queue.is_empty()
    }

    pub fn next_held(&mut self) -> Option<Kept> {
        let kept = self.held.queue.pop_front()?;
        self.held.bytes -= kept.len() + size_of::<Kept>();
        Some(kept)
    }

    pub fn put_back(&mut self, kept: Kept) {
        self.held.bytes += kept.len() + size_of::<Kept>();
        self.held.queue.push_front(kept);
    }

    pub fn owe(&mut self, reply: &[u8]) {
        self.owed = Some(reply.into());
    }

    /// Where flow control wants an answer. `None`: it does not, or not yet.
    pub fn take_owed(&mut self) -> Option<Box<[u8]>> {
        if self.is_holding() { None } else { self.owed.take() }
    }

    /// The last delivery that was dealt with, by both its numbers.
    pub fn last(&self) -> (ConsumerSeq, Seq) {
        self.last
    }

    /// What a subject of the origin becomes here; `None`: it stays.
    pub fn rename(&self, subject: &[u8], chance: Seq, into: &mut Vec<u8>) -> bool {
        let rule = self.rules.iter().find(|rule| rule.covers(subject));
        if let Some(rule) = rule {
            rule.apply(subject, chance.0, into);
        }
        rule.is_some() && !into.is_empty()
    }

    pub fn info(&self, now: Mono) -> SourceInfo {
        let active = self.heard_at.map(|at| i64::try_from(now.since(at)).unwrap_or(i64::MAX));
        SourceInfo {
            name: self.source.name.clone(),
            external: self.source.external.clone(),
            lag: self.lag,
            seq: if self.is_mirror { 0 } else { self.position.seq.0 },
            active: active.unwrap_or(-1),
            error: self.error.clone(),
            // A mirror leaves it out, as the reference does.
            filter_subject: match self.is_mirror {
                true => String::new(),
                false => self.source.filter_subject.clone(),
            },
            subject_transforms: self.source.subject_transforms.clone(),
        }
    }

    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.held.bytes
    }
}
