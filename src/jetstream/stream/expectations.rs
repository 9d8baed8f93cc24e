//! What a publisher expects of the stream it publishes to. Decided on what is appended, whether it
//! is on disk yet or not (facts/jetstream-api.md §4, §5).

use super::Stream;
use super::batch::Staged;
use super::directives::Directives;
use super::intake::Candidate;
use crate::jetstream::context::Context;
use crate::jetstream::error::ApiError;
use crate::storage::Seq;
use crate::types::Pattern;
use crate::types::pattern::Shape;

/// The id of the message stored last; empty if it had none.
#[derive(Debug, Default)]
pub(super) struct LastMsgId(Vec<u8>);

impl LastMsgId {
    pub fn set(&mut self, id: Option<&[u8]>) {
        self.0.clear();
        self.0.extend_from_slice(id.unwrap_or_default());
    }
}

impl Stream {
    pub(super) fn check_expected_stream(&self, asks: &Directives<'_>) -> Result<(), ApiError> {
        match asks.expected_stream {
            Some(name) if name != self.config.name.as_bytes() => Err(ApiError::stream_not_match()),
            _ => Ok(()),
        }
    }

    /// The last sequence of a subject and of the stream. `staged`: what the batch already has that
    /// the message belongs to.
    pub(super) fn check_expected_sequences(
        &mut self,
        ctx: &mut Context<'_>,
        message: &Candidate<'_>,
        staged: &Staged,
    ) -> Result<(), ApiError> {
        let asks = message.asks;
        match (asks.expected_last_subject_seq, asks.expected_last_subject_seq_subject) {
            (Some(expected), of) => {
                let subject = of.unwrap_or(message.subject);
                self.check_subject_seq(ctx, subject, expected, staged)?;
            }
            (None, Some(_)) => return Err(ApiError::stream_expected_last_seq_per_subject_invalid()),
            (None, None) => {}
        }
        let Some(expected) = asks.expected_last_seq else { return Ok(()) };
        let last = self.store.last_seq(ctx.log.as_deref()).0 + staged.messages();
        if number(expected) != Some(last) {
            return Err(ApiError::stream_wrong_last_sequence(last));
        }
        // Only a batch's first message may tie it to the stream as it is.
        if staged.messages() > 0 {
            return Err(ApiError::stream_wrong_last_sequence_constant());
        }
        Ok(())
    }

    fn check_subject_seq(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &[u8],
        expected: &[u8],
        staged: &Staged,
    ) -> Result<(), ApiError> {
        if staged.has_subject(subject) {
            return Err(ApiError::stream_wrong_last_sequence_constant());
        }
        let last = self.last_of(ctx, subject).0;
        if number(expected) != Some(last) {
            return Err(ApiError::stream_wrong_last_sequence(last));
        }
        Ok(())
    }

    /// The last message of a subject, or of all subjects of a pattern; 0 if there is none.
    fn last_of(&mut self, ctx: &mut Context<'_>, subject: &[u8]) -> Seq {
        let Some(pattern) = Pattern::parse(subject) else { return Seq(0) };
        if pattern.shape() == Shape::Literal {
            let last = self.store.last_appended(ctx.log.as_deref_mut(), subject);
            return last.unwrap_or_default();
        }
        let mut newest = Seq(0);
        self.store.subjects(ctx.log.as_deref_mut(), Some(pattern), |_, _, _, last, _| {
            newest = newest.max(last);
        });
        newest
    }

    pub(super) fn check_expected_last_msg_id(&self, asks: &Directives<'_>) -> Result<(), ApiError> {
        match asks.expected_last_msg_id {
            Some(expected) if expected != self.last_msg_id.0 => {
                let last = String::from_utf8_lossy(&self.last_msg_id.0);
                Err(ApiError::stream_wrong_last_msg_id(last))
            }
            _ => Ok(()),
        }
    }
}

/// Digits only: anything else is a number no sequence has.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
