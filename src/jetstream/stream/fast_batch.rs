//! Fast ingest: a publisher numbers its messages in the reply subject and is told of a window's
//! worth at once (facts/jetstream-api.md §5).
//!
//! ```text
//! <prefix>.<id>.<window>.<ok|fail>.<place>.<operation>.$FI
//! ```

use std::collections::BTreeMap;

use super::Stream;
use super::direct::is_level_served;
use super::directives::Directives;
use super::expectations::number;
use super::intake::{Incoming, Outcome, Taken};
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::jetstream::outbox::{Outgoing, Timed};
use crate::storage::{Lsn, Seq};
use crate::types::limits::{
    BATCH_ID_BYTES_MAX, FAST_BATCH_IDLE_NS, FAST_BATCHES_OPEN_MAX, FAST_WINDOW_DEFAULT,
    FAST_WINDOW_MAX,
};
use crate::types::{Mono, json};

const MARK: &[u8] = b".$FI";
/// The error of `Nats-Expected-Last-Msg-Id`.
const WRONG_LAST_MSG_ID: u16 = 10070;

/// The open batches of a stream by id.
#[derive(Debug, Default)]
pub(super) struct FastBatches {
    open: BTreeMap<Box<[u8]>, Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    window: u64,
    /// The newest place that was dealt with, and the last one the publisher was told of.
    last: u64,
    told: u64,
    /// The sequence of what was stored last; 0: nothing yet.
    stored: Seq,
    since: Mono,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Start,
    Append,
    /// Stores the message and ends the batch.
    Commit,
    /// Ends the batch; the message is not stored.
    End,
    Ping,
}

/// What a reply subject says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Control<'a> {
    id: &'a [u8],
    window: u64,
    /// The batch goes on behind a gap or a refusal.
    goes_on: bool,
    place: u64,
    operation: Operation,
}

impl<'a> Control<'a> {
    fn parse(reply: &'a [u8]) -> Result<Self, ApiError> {
        let bad = ApiError::batch_publish_invalid_pattern;
        let mut tokens = reply.strip_suffix(MARK).ok_or_else(bad)?.rsplitn(6, |&byte| byte == b'.');
        let mut token = || tokens.next().ok_or_else(bad);
        let (operation, place, gap, window, id) =
            (token()?, token()?, token()?, token()?, token()?);
        let operation = match operation {
            b"0" => Operation::Start,
            b"1" => Operation::Append,
            b"2" => Operation::Commit,
            b"3" => Operation::End,
            b"4" => Operation::Ping,
            _ => return Err(bad()),
        };
        let place = number(place).ok_or_else(bad)?;
        let goes_on = match gap {
            b"ok" => true,
            b"fail" => false,
            _ => return Err(bad()),
        };
        let fits = match operation {
            Operation::Start => place == 1,
            Operation::Append | Operation::End => place > 1,
            Operation::Commit | Operation::Ping => true,
        };
        if !fits {
            return Err(bad());
        }
        if id.len() > BATCH_ID_BYTES_MAX {
            return Err(ApiError::batch_publish_invalid_batch_id());
        }
        let window = number(window).filter(|&window| window > 0).unwrap_or(FAST_WINDOW_DEFAULT);
        Ok(Self { id, window: window.min(FAST_WINDOW_MAX), goes_on, place, operation })
    }
}

impl FastBatches {
    /// When the one that was silent longest is forgotten.
    pub fn due_at(&self) -> Mono {
        let since = self.open.values().map(|open| open.since).min();
        since.map_or(Mono::NEVER, |since| since.plus(FAST_BATCH_IDLE_NS))
    }

    /// Forgets those that were silent for long; their publishers find out with the next message.
    pub fn forget_idle(&mut self, now: Mono) {
        if self.due_at() <= now {
            self.open.retain(|_, open| open.since.plus(FAST_BATCH_IDLE_NS) > now);
        }
    }
}

/// Whether a reply subject is that of a fast batch.
pub(super) fn is_fast(reply: &[u8]) -> bool {
    reply.ends_with(MARK)
}

impl Stream {
    pub(super) fn take_fast(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Incoming<'_>,
        asks: &Directives<'_>,
    ) -> Taken {
        if !self.config.allow_batched {
            return Err(ApiError::batch_publish_disabled());
        }
        let control = Control::parse(message.reply)?;
        if !is_level_served(message.headers) {
            return Err(ApiError::required_api_level());
        }
        match self.fast.open.get(control.id).copied() {
            Some(open) => self.continue_fast(ctx, message, asks, &control, open),
            None => self.begin_fast(ctx, message, asks, &control),
        }
    }

    fn begin_fast(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Incoming<'_>,
        asks: &Directives<'_>,
        control: &Control<'_>,
    ) -> Taken {
        let is_single = control.operation == Operation::Commit && control.place == 1;
        if control.operation != Operation::Start && !is_single {
            return Err(ApiError::batch_publish_unknown_batch_id());
        }
        if self.fast.open.len() >= FAST_BATCHES_OPEN_MAX {
            return Err(ApiError::batch_publish_too_many_inflight());
        }
        let taken = self.take_single(ctx, message, asks);
        let open =
            Open { window: control.window, last: 1, told: 0, stored: Seq(0), since: ctx.now.mono };
        if let Ok(Outcome::Wait) = taken {
            return taken;
        }
        if !is_single {
            self.tell_fast(ctx, message.reply, Lsn(0), &ack(0, open.window));
        }
        self.settle_fast(ctx, message.reply, control, open, &taken)
    }

    fn continue_fast(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Incoming<'_>,
        asks: &Directives<'_>,
        control: &Control<'_>,
        mut open: Open,
    ) -> Taken {
        let is_ping = control.operation == Operation::Ping;
        // A ping tells the newest place; everything else is one behind it.
        let place = if is_ping { control.place.saturating_add(1) } else { control.place };
        let expected = open.last + 1;
        let has_gap = if is_ping { place > expected } else { place != expected };
        let ends = has_gap && (!control.goes_on || place < expected);
        let stores = matches!(control.operation, Operation::Append | Operation::Commit) && !ends;
        let taken = match stores {
            true => Some(self.take_single(ctx, message, asks)),
            false => None,
        };
        if let Some(Ok(Outcome::Wait)) = taken {
            return Ok(Outcome::Wait);
        }
        open.since = ctx.now.mono;
        if has_gap {
            let told = format!(r#"{{"type":"gap","last_seq":{expected},"seq":{place}}}"#);
            self.tell_fast(ctx, message.reply, self.appended, &told);
        }
        if ends {
            self.fast.open.remove(control.id);
            return Ok(end(control.id, &open, open.last));
        }
        open.last = place - u64::from(is_ping);
        match (control.operation, taken) {
            (Operation::Ping, _) => {
                self.tell_fast(ctx, message.reply, self.appended, &ack(open.told, open.window));
                self.fast.open.insert(control.id.into(), open);
                Ok(Outcome::Told)
            }
            (Operation::End, _) => {
                self.fast.open.remove(control.id);
                Ok(end(control.id, &open, place - 1))
            }
            (_, Some(taken)) => self.settle_fast(ctx, message.reply, control, open, &taken),
            // A second start is a place that was dealt with: it ended the batch above.
            (_, None) => Ok(Outcome::Told),
        }
    }

    /// A message of the batch was stored or refused.
    fn settle_fast(
        &mut self,
        ctx: &mut Context<'_>,
        reply: &[u8],
        control: &Control<'_>,
        mut open: Open,
        taken: &Taken,
    ) -> Taken {
        let is_commit = control.operation == Operation::Commit;
        match taken {
            Ok(Outcome::Duplicate(_)) => {}
            Ok(outcome) => open.stored = stored_seq(outcome),
            // The message alone is refused, as any publish is, and the batch goes on.
            Err(error) if error.err_code == WRONG_LAST_MSG_ID => {
                match is_commit {
                    true => drop(self.fast.open.remove(control.id)),
                    false => drop(self.fast.open.insert(control.id.into(), open)),
                }
                return Err(error.clone());
            }
            // There is no batch yet that could end.
            Err(error) if control.place == 1 && !control.goes_on => return Err(error.clone()),
            Err(error) => {
                let error = String::from_utf8_lossy(&json::compact(error)).into_owned();
                let place = control.place;
                let told = format!(r#"{{"type":"err","seq":{place},"error":{error}}}"#);
                self.tell_fast(ctx, reply, self.appended, &told);
            }
        }
        let is_refused = taken.is_err();
        if is_commit || (is_refused && !control.goes_on) {
            self.fast.open.remove(control.id);
            return Ok(end(control.id, &open, control.place - u64::from(is_refused)));
        }
        // Whole windows are told of; a refusal was told of already.
        let reached = open.last / open.window * open.window;
        if reached > open.told && !is_refused {
            open.told = reached;
            self.tell_fast(ctx, reply, self.appended, &ack(open.told, open.window));
        }
        self.fast.open.insert(control.id.into(), open);
        Ok(Outcome::Told)
    }

    fn tell_fast(&mut self, ctx: &mut Context<'_>, reply: &[u8], at: Lsn, text: &str) {
        if !self.config.no_ack {
            let at = self.rules.settle(at);
            let message = Outgoing::plain(reply, text.as_bytes());
            ctx.out.publish_timed(self.account, at, message, Timed::Publish(ctx.now.mono));
        }
    }
}

fn ack(place: u64, window: u64) -> String {
    format!(r#"{{"type":"ack","seq":{place},"msgs":{window}}}"#)
}

fn end(id: &[u8], open: &Open, count: u64) -> Outcome {
    Outcome::Batch(open.stored, String::from_utf8_lossy(id).into_owned(), count)
}

fn stored_seq(outcome: &Outcome) -> Seq {
    match outcome {
        Outcome::Stored(seq) | Outcome::Counted(seq, _) | Outcome::Batch(seq, ..) => *seq,
        Outcome::Duplicate(_) | Outcome::Kept | Outcome::Told | Outcome::Wait => Seq(0),
    }
}
