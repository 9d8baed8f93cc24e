//! A consumer's state as bytes: the whole of it, and what changed since.
//!
//! ```text
//! whole  format:1 | taken ms | created ns | config len | config JSON | start | skip until
//!        | cursor | delivered | floor consumer | floor stream | slots
//!        | slot: seq distance | consumer seq distance (signed) | deliveries*2 + spent
//!                | due ms after `taken` (signed)
//! delta  format:1 | begun ms | step … | end:0 | cursor
//! step   kind*2 + run? | seq distance (signed) | run - 1 if so | what the kind needs
//! ```
//! Numbers are varints. Steps of consecutive sequences are one run, so a batch that is delivered
//! and acknowledged in order takes a dozen bytes.

use std::mem;

use super::ConsumerSeq;
use super::pending::Held;
use super::state::{Pair, State, Step};
use crate::storage::Seq;
use crate::types::limits::{CONSUMER_DELTA_BYTES_MIN, CONSUMER_DELTAS_MAX, CONSUMER_RUN_MAX};
use crate::types::time::MILLISECOND;
use crate::types::{Mono, Now, Wall};

const FORMAT: u8 = 1;

const END: u8 = 0;
const DELIVER: u8 = 1;
const AGAIN: u8 = 2;
const DONE: u8 = 3;
const DONE_TO: u8 = 4;
const SPEND: u8 = 5;
const POSTPONE: u8 = 6;
const TRIM: u8 = 7;
const LOOK: u8 = 8;

/// Bytes that are no state, or not one this server knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

/// What a durable consumer wants written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Replaces all that was written before.
    Whole(Vec<u8>),
    /// Comes behind it.
    Delta(Vec<u8>),
}

/// Steps of one kind whose sequences follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    kind: u8,
    first: Seq,
    count: u64,
}

impl Run {
    fn takes(&self, kind: u8, seq: Seq) -> bool {
        self.kind == kind
            && self.count < CONSUMER_RUN_MAX
            && self.first.0.checked_add(self.count) == Some(seq.0)
    }
}

/// What changed since the last entry was taken.
///
/// Most consumers of a hundred thousand are idle, so what only a busy one needs is apart.
#[derive(Debug)]
pub struct Journal {
    /// Steps that are not written; stays for the next ones.
    open: Option<Box<Open>>,
    /// The cursor as it was last written.
    cursor: Seq,
    /// Since the whole was written.
    deltas: u32,
    delta_bytes: u32,
    whole_bytes: u32,
    /// More changed than steps can tell.
    is_whole_due: bool,
}

/// The steps since the last entry, as bytes.
#[derive(Debug, Default)]
struct Open {
    steps: Vec<u8>,
    run: Option<Run>,
    /// The last sequence written.
    at: Seq,
    /// When the first of the steps happened.
    begun: Now,
    /// The cursor that the steps lead to.
    looked: Seq,
}

impl Journal {
    /// Nothing was written yet.
    pub fn new() -> Self {
        Self {
            open: None,
            cursor: Seq(0),
            deltas: 0,
            delta_bytes: 0,
            whole_bytes: 0,
            is_whole_due: true,
        }
    }

    /// Everything restored was written: nothing is owed.
    pub fn restored(cursor: Seq, whole_bytes: usize, deltas: &[Vec<u8>]) -> Self {
        Self {
            is_whole_due: false,
            cursor,
            whole_bytes: count(whole_bytes),
            deltas: count(deltas.len()),
            delta_bytes: count(deltas.iter().map(Vec::len).sum()),
            ..Self::new()
        }
    }

    /// The next entry has to be the whole state.
    pub fn want_whole(&mut self) {
        self.is_whole_due = true;
    }

    /// Something is not written yet.
    pub fn is_owed(&self, cursor: Seq) -> bool {
        self.is_whole_due
            || self.cursor != cursor
            || self.open.as_ref().is_some_and(|open| !open.is_empty())
    }

    /// The steps so far lead to this cursor, too.
    pub fn look(&mut self, cursor: Seq, now: Now) {
        if self.open.as_ref().map_or(self.cursor, |open| open.looked) < cursor {
            self.note(Step::Look(cursor), now);
        }
    }

    pub fn note(&mut self, step: Step, now: Now) {
        if self.is_whole_due {
            return;
        }
        let looked = self.cursor;
        self.open
            .get_or_insert_with(|| Box::new(Open { looked, ..Open::default() }))
            .note(step, now);
    }

    /// Bytes of memory beside itself.
    pub fn memory(&self) -> usize {
        self.open.as_ref().map_or(0, |open| size_of::<Open>() + open.steps.capacity())
    }

    /// What is to be written now. `even_nothing`: somebody waits for all before to be durable.
    pub fn take(
        &mut self,
        now: Now,
        cursor: Seq,
        even_nothing: bool,
        whole: impl FnOnce() -> Vec<u8>,
    ) -> Option<Entry> {
        if !self.is_owed(cursor) && !even_nothing {
            return None;
        }
        let enough = self.whole_bytes.max(CONSUMER_DELTA_BYTES_MIN);
        if self.is_whole_due || self.deltas >= CONSUMER_DELTAS_MAX || self.delta_bytes >= enough {
            let whole = whole();
            *self = Self::restored(cursor, whole.len(), &[]);
            return Some(Entry::Whole(whole));
        }
        let delta = self
            .open
            .as_mut()
            .map_or_else(|| Open::default().take(now, cursor), |open| open.take(now, cursor));
        self.cursor = cursor;
        self.deltas += 1;
        self.delta_bytes = self.delta_bytes.saturating_add(count(delta.len()));
        Some(Entry::Delta(delta))
    }
}

/// Lengths are far below this; more counts as this.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Open {
    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.run.is_none()
    }

    fn note(&mut self, step: Step, now: Now) {
        if self.is_empty() {
            self.begun = now;
            self.at = Seq(0);
        }
        let (kind, seq) = match step {
            Step::Deliver(seq) => (DELIVER, seq),
            Step::Again(seq) => (AGAIN, seq),
            Step::Done(seq) => (DONE, seq),
            Step::Spend(seq) => (SPEND, seq),
            Step::Trim(first) => (TRIM, first),
            Step::Look(next) => (LOOK, next),
            Step::DoneTo(seq, consumer_seq) => {
                self.begin(DONE_TO, seq);
                self.close_run();
                return put(&mut self.steps, consumer_seq.0);
            }
            Step::Postpone(seq, due) => {
                self.begin(POSTPONE, seq);
                self.close_run();
                return put_signed(&mut self.steps, millis_from(self.begun, due));
            }
        };
        match step {
            Step::Deliver(seq) => self.looked = self.looked.max(seq.next()),
            Step::Look(next) | Step::Trim(next) => self.looked = self.looked.max(next),
            _ => {}
        }
        match &mut self.run {
            Some(run) if run.takes(kind, seq) => run.count += 1,
            _ => self.begin(kind, seq),
        }
    }

    fn begin(&mut self, kind: u8, first: Seq) {
        self.close_run();
        self.run = Some(Run { kind, first, count: 1 });
    }

    fn close_run(&mut self) {
        let Some(Run { kind, first, count }) = self.run.take() else { return };
        self.steps.push(kind << 1 | u8::from(count > 1));
        put_signed(&mut self.steps, first.0.wrapping_sub(self.at.0) as i64);
        if count > 1 {
            put(&mut self.steps, count - 1);
        }
        self.at = Seq(first.0 + count - 1);
    }

    /// The steps as a delta that leads to `cursor`; none are left.
    fn take(&mut self, now: Now, cursor: Seq) -> Vec<u8> {
        if self.is_empty() {
            self.begun = now;
        }
        self.close_run();
        let mut delta = Vec::with_capacity(self.steps.len() + 24);
        delta.push(FORMAT);
        put(&mut delta, self.begun.wall.0 / MILLISECOND);
        delta.extend_from_slice(&self.steps);
        delta.push(END);
        put(&mut delta, cursor.0);
        self.steps.clear();
        self.looked = cursor;
        delta
    }
}

/// Milliseconds from the wall time of `from` to `due`, rounded up.
fn millis_from(from: Now, due: Mono) -> i64 {
    let at = from.wall_at(due).0.div_ceil(MILLISECOND) as i64;
    at - (from.wall.0 / MILLISECOND) as i64
}

/// The monotonic time of a wall time in milliseconds.
fn mono_of(now: Now, millis: u64) -> Mono {
    mono_at(now, millis.saturating_mul(MILLISECOND))
}

fn mono_at(now: Now, wall: u64) -> Mono {
    match wall.checked_sub(now.wall.0) {
        Some(later) => now.mono.plus(later),
        None => Mono(now.mono.0.saturating_sub(now.wall.0 - wall)),
    }
}

/// What a whole holds beside the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity<'a> {
    pub created: Wall,
    /// The config as JSON.
    pub config: &'a [u8],
    /// Where it began.
    pub start: Seq,
    /// Messages before this one are delivered only if they are the last of their subjects.
    pub skip_until: Seq,
}

pub fn encode(identity: &Identity<'_>, state: &State, now: Now) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + identity.config.len() + 6 * state.pending.len());
    out.push(FORMAT);
    put(&mut out, now.wall.0 / MILLISECOND);
    put(&mut out, identity.created.0);
    put(&mut out, identity.config.len() as u64);
    out.extend_from_slice(identity.config);
    let Pair { consumer, stream } = state.floor;
    let slots = state.pending.iter().count() as u64;
    let (start, skip_until) = (identity.start.0, identity.skip_until.0);
    let (cursor, delivered) = (state.cursor.0, state.delivered.0);
    for number in [start, skip_until, cursor, delivered, consumer.0, stream.0, slots] {
        put(&mut out, number);
    }
    let (mut seq, mut consumer_seq) = (0, 0);
    for held in state.pending.iter() {
        put(&mut out, held.seq.0 - seq);
        put_signed(&mut out, held.consumer_seq.0.wrapping_sub(consumer_seq) as i64);
        put(&mut out, u64::from(held.deliveries) << 1 | u64::from(held.is_spent));
        put_signed(&mut out, millis_from(now, held.due));
        (seq, consumer_seq) = (held.seq.0, held.consumer_seq.0);
    }
    out
}

/// Reads a whole; the state begins as `begin` makes it for the config.
pub fn decode<'a>(
    whole: &'a [u8],
    now: Now,
    begin: impl FnOnce(&Identity<'a>) -> Option<State>,
) -> Result<State, Unreadable> {
    read_whole(Reader(whole), now, begin).ok_or(Unreadable)
}

fn read_whole<'a>(
    mut from: Reader<'a>,
    now: Now,
    begin: impl FnOnce(&Identity<'a>) -> Option<State>,
) -> Option<State> {
    if from.byte()? != FORMAT {
        return None;
    }
    let taken = from.number()?;
    let created = Wall(from.number()?);
    let config_len = usize::try_from(from.number()?).ok()?;
    let config = from.bytes(config_len)?;
    let mut numbers = [0; 7];
    for number in &mut numbers {
        *number = from.number()?;
    }
    let [start, skip_until, cursor, delivered, floor_consumer, floor_stream, slots] = numbers;
    let (start, skip_until) = (Seq(start), Seq(skip_until));
    let mut state = begin(&Identity { created, config, start, skip_until })?;
    state.cursor = Seq(cursor);
    state.delivered = ConsumerSeq(delivered);
    state.floor = Pair { consumer: ConsumerSeq(floor_consumer), stream: Seq(floor_stream) };
    let (mut seq, mut consumer_seq) = (0u64, 0u64);
    for _ in 0..slots {
        seq = seq.checked_add(from.number()?)?;
        consumer_seq = consumer_seq.wrapping_add(from.signed()? as u64);
        let deliveries = from.number()?;
        let due = mono_of(now, taken.saturating_add_signed(from.signed()?));
        let held = Held {
            seq: Seq(seq),
            consumer_seq: ConsumerSeq(consumer_seq),
            due,
            deliveries: u32::try_from(deliveries >> 1).ok()?,
            is_spent: deliveries & 1 == 1,
            is_queued: false,
        };
        if held.seq >= state.cursor || !state.pending.restore(&held) {
            return None;
        }
    }
    from.0.is_empty().then_some(state)
}

/// Applies a delta. `wait`: nanoseconds until a message delivered so often is due again.
pub fn apply(
    state: &mut State,
    delta: &[u8],
    now: Now,
    wait: impl Fn(u32) -> u64,
) -> Result<(), Unreadable> {
    read_delta(state, Reader(delta), now, wait).ok_or(Unreadable)
}

fn read_delta(
    state: &mut State,
    mut from: Reader<'_>,
    now: Now,
    wait: impl Fn(u32) -> u64,
) -> Option<()> {
    if from.byte()? != FORMAT {
        return None;
    }
    let begun = from.number()?;
    let due = |deliveries| {
        mono_at(now, begun.saturating_mul(MILLISECOND).saturating_add(wait(deliveries)))
    };
    let mut at = 0u64;
    loop {
        let kind = from.byte()?;
        if kind == END {
            break;
        }
        let first = at.wrapping_add(from.signed()? as u64);
        let more = if kind & 1 == 1 { from.number()? } else { 0 };
        at = first.checked_add(more)?;
        if more >= CONSUMER_RUN_MAX {
            return None;
        }
        for seq in (first..=at).map(Seq) {
            let step = match kind >> 1 {
                DELIVER => Step::Deliver(seq),
                AGAIN => Step::Again(seq),
                DONE => Step::Done(seq),
                SPEND => Step::Spend(seq),
                TRIM => Step::Trim(seq),
                LOOK => Step::Look(seq),
                DONE_TO => Step::DoneTo(seq, ConsumerSeq(from.number()?)),
                POSTPONE => {
                    let millis = begun.saturating_add_signed(from.signed()?);
                    Step::Postpone(seq, mono_of(now, millis))
                }
                _ => return None,
            };
            state.apply(step, due);
        }
    }
    state.cursor = state.cursor.max(Seq(from.number()?));
    from.0.is_empty().then_some(())
}

/// Bytes of an entry that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = mem::take(&mut self.0).split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        self.number().map(|raw| (raw >> 1) as i64 ^ -((raw & 1) as i64))
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}
