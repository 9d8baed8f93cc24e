//! One message by request (facts/jetstream-api.md §2, §8).

use super::Stream;
use crate::jetstream::context::Context;
use crate::jetstream::filter::Filter;
use crate::jetstream::store::{Fetch, Scan, SeekTime, Stored};
use crate::storage::{ReadError, Seq};
use crate::types::Pattern;
use crate::types::limits::STREAM_TICK_MESSAGES;
use crate::types::pattern::Shape;

/// Which message is wanted. Only visible ones are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    Seq(Seq),
    /// The last one of a subject or pattern.
    Last(Box<[u8]>),
    /// The first one from a sequence on, of a subject or pattern; empty: of any.
    Next(Box<[u8]>, Seq),
    /// The first one at or after a time in nanoseconds since 1970.
    Since(Box<[u8]>, u64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Got<'a> {
    Here(Stored<'a>),
    Missing,
    /// A read is under way, or the budget is used up; ask again with what `wanted` has become.
    Wait,
    Broken(ReadError),
}

impl Stream {
    /// Finds a message. `wanted` moves on while the search does, so that it can be asked again.
    pub fn get<'a>(&'a mut self, ctx: &'a mut Context<'_>, wanted: &mut Wanted) -> Got<'a> {
        let mut budget = STREAM_TICK_MESSAGES;
        let seq = match self.find(ctx, wanted, &mut budget) {
            Scan::Found(seq) => seq,
            Scan::End => return Got::Missing,
            Scan::Later(_) => return Got::Wait,
        };
        match self.store.fetch(ctx.log.as_deref_mut(), seq) {
            Fetch::Here(stored) => Got::Here(stored),
            Fetch::Wait => Got::Wait,
            Fetch::Gone => Got::Missing,
            Fetch::Broken(error) => Got::Broken(error),
        }
    }

    pub(super) fn find(
        &mut self,
        ctx: &mut Context<'_>,
        wanted: &mut Wanted,
        budget: &mut usize,
    ) -> Scan {
        if let Wanted::Since(filter, time) = wanted {
            match self.store.seq_at_time(ctx.log.as_deref_mut(), *time) {
                SeekTime::Seq(seq) => *wanted = Wanted::Next(std::mem::take(filter), seq),
                SeekTime::Wait => return Scan::Later(Seq(0)),
            }
        }
        match wanted {
            Wanted::Seq(seq) => Scan::Found(*seq),
            Wanted::Last(subject) => self.find_last(ctx, subject),
            Wanted::Next(filter, from) => {
                let log = ctx.log.as_deref();
                if filter.is_empty() || &**filter == b">" {
                    return self.store.next_any(log, *from).map_or(Scan::End, Scan::Found);
                }
                let Some(mut filter) = Filter::new(&[&*filter]) else { return Scan::End };
                let scan = self.store.next(log, &mut filter, *from, budget);
                if let Scan::Later(seq) = scan {
                    *from = seq;
                }
                scan
            }
            Wanted::Since(..) => Scan::End,
        }
    }

    pub(super) fn find_last(&mut self, ctx: &mut Context<'_>, subject: &[u8]) -> Scan {
        let Some(pattern) = Pattern::parse(subject) else { return Scan::End };
        let log = ctx.log.as_deref_mut();
        let visible = self.store.visible_seq(log.as_deref());
        if pattern.shape() == Shape::Literal {
            match self.store.last_appended(log, subject) {
                None => return Scan::End,
                Some(last) if last <= visible => return Scan::Found(last),
                // Another one of the subject is on its way to the disk, and displaces this.
                Some(last) => {
                    if let Some(seq) = self.removals.displaced_by(last, visible) {
                        return Scan::Found(seq);
                    }
                }
            }
        }
        let Some(mut filter) = Filter::new(&[subject]) else { return Scan::End };
        let lasts = self.store.last_per_subject(ctx.log.as_deref_mut(), &mut filter, None);
        lasts.last().map_or(Scan::End, |&seq| Scan::Found(seq))
    }
}
