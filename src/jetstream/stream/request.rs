//! What a request for a message asks (facts/jetstream-api.md §2, §8).

use super::access::Wanted;
use crate::jetstream::config::wire::object;
use crate::jetstream::config::{Mode, Moment, parse};
use crate::jetstream::error::ApiError;
use crate::storage::Seq;

object! {
    /// The body of `STREAM.MSG.GET` and of direct gets.
    pub struct MessageGetRequest as "server.JSApiMsgGetRequest" {
        seq: u64 = filled "seq",
        last_by_subj: String = filled "last_by_subj",
        next_by_subj: String = filled "next_by_subj",
        /// Several messages, direct gets only.
        batch: i64 = filled "batch" as "int",
        max_bytes: i64 = filled "max_bytes" as "int",
        start_time: Option<Moment> = filled "start_time",
        /// The last message of each subject these cover, direct gets only.
        multi_last: Vec<String> = filled "multi_last",
        up_to_seq: u64 = filled "up_to_seq",
        up_to_time: Option<Moment> = filled "up_to_time",
        /// The payload alone.
        no_hdr: bool = filled "no_hdr",
    }
}

/// Why a direct get is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    Empty,
    Malformed,
    Bad,
}

impl MessageGetRequest {
    /// What a direct get asks. A subject in the request's own subject is that of the last message.
    pub(super) fn of_direct(subject: Option<&[u8]>, body: &[u8]) -> Result<Self, Refused> {
        let mut request = match body.is_empty() {
            true => Self::default(),
            // Blanks are no JSON text.
            false if body.trim_ascii().is_empty() => return Err(Refused::Malformed),
            false => parse::<Self>(body, Mode::Lenient, "JSApiMsgGetRequest")
                .map_err(|_| Refused::Malformed)?,
        };
        if let Some(subject) = subject {
            if !request.last_by_subj.is_empty() {
                return Err(Refused::Bad);
            }
            request.last_by_subj = String::from_utf8(subject.to_vec()).map_err(|_| Refused::Bad)?;
        }
        let by_many = !request.multi_last.is_empty();
        if request.asks_nothing() && !by_many {
            return Err(Refused::Empty);
        }
        let (by_last, by_next) =
            (!request.last_by_subj.is_empty(), !request.next_by_subj.is_empty());
        let is_bad = match by_many {
            true => by_last || by_next || (request.up_to_seq > 0 && request.up_to_time.is_some()),
            false => request.contradicts() || (request.batch > 0 && by_last),
        };
        if is_bad {
            return Err(Refused::Bad);
        }
        Ok(request)
    }

    /// Which message `STREAM.MSG.GET` asks for.
    pub fn single(self) -> Result<Wanted, ApiError> {
        let is_batch = self.batch > 0 || self.max_bytes > 0;
        if is_batch || self.asks_nothing() || self.contradicts() {
            return Err(ApiError::bad_request());
        }
        Ok(self.wanted())
    }

    pub(super) fn wanted(self) -> Wanted {
        if !self.last_by_subj.is_empty() {
            return Wanted::Last(self.last_by_subj.into_bytes().into());
        }
        let is_filtered = !self.next_by_subj.is_empty();
        let filter = self.next_by_subj.into_bytes().into();
        match self.start_time {
            Some(time) => Wanted::Since(filter, time.wall().0),
            None if is_filtered || self.batch != 0 => Wanted::Next(filter, Seq(self.seq)),
            None => Wanted::Seq(Seq(self.seq)),
        }
    }

    fn asks_nothing(&self) -> bool {
        self.seq == 0
            && self.last_by_subj.is_empty()
            && self.next_by_subj.is_empty()
            && self.start_time.is_none()
    }

    fn contradicts(&self) -> bool {
        let by_last = !self.last_by_subj.is_empty();
        (by_last && (self.seq > 0 || !self.next_by_subj.is_empty() || self.start_time.is_some()))
            || (self.seq > 0 && self.start_time.is_some())
    }
}
