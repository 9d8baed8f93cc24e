//! What a message's headers ask of a stream, found in one pass over the block
//! (facts/jetstream-api.md §4 to §7).

use crate::jetstream::headers;

const PREFIX: &[u8] = b"Nats-";

/// The headers a stream obeys, as they stand in the block. An absent and an empty value are the
/// same; of a repeated header the first one counts; names match case and all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Directives<'a> {
    pub msg_id: Option<&'a [u8]>,
    pub expected_stream: Option<&'a [u8]>,
    pub expected_last_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq_subject: Option<&'a [u8]>,
    pub expected_last_msg_id: Option<&'a [u8]>,
    pub rollup: Option<&'a [u8]>,
    /// The first of its kind is empty: none is asked for, whatever the next ones say.
    pub has_empty_rollup: bool,
    pub ttl: Option<&'a [u8]>,
    pub increment: Option<&'a [u8]>,
    pub counter_sources: Option<&'a [u8]>,
    pub stream_source: Option<&'a [u8]>,
    pub batch_id: Option<&'a [u8]>,
    pub batch_sequence: Option<&'a [u8]>,
    pub batch_commit: Option<&'a [u8]>,
    pub schedule: Option<&'a [u8]>,
    pub schedule_target: Option<&'a [u8]>,
    pub schedule_source: Option<&'a [u8]>,
    pub schedule_ttl: Option<&'a [u8]>,
    pub schedule_time_zone: Option<&'a [u8]>,
    pub schedule_rollup: Option<&'a [u8]>,
    pub schedule_next: Option<&'a [u8]>,
    pub scheduler: Option<&'a [u8]>,
    pub marker_reason: Option<&'a [u8]>,
    pub required_api_level: Option<&'a [u8]>,
}

impl<'a> Directives<'a> {
    pub fn read(block: &'a [u8]) -> Self {
        let mut directives = Self::default();
        for (name, value) in headers::iter(block) {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() {
                directives.note_empty(name);
            } else if let Some(slot) = directives.slot(name)
                && slot.is_none()
            {
                *slot = Some(value);
            }
        }
        directives
    }

    /// Of two the reference asks whether they are there at all.
    fn note_empty(&mut self, name: &[u8]) {
        match name {
            b"Rollup" => self.has_empty_rollup |= self.rollup.is_none(),
            b"Schedule-Time-Zone" => drop(self.schedule_time_zone.get_or_insert(b"")),
            _ => {}
        }
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        Some(match name {
            b"Msg-Id" => &mut self.msg_id,
            b"Expected-Stream" => &mut self.expected_stream,
            b"Expected-Last-Sequence" => &mut self.expected_last_seq,
            b"Expected-Last-Subject-Sequence" => &mut self.expected_last_subject_seq,
            b"Expected-Last-Subject-Sequence-Subject" => {
                &mut self.expected_last_subject_seq_subject
            }
            b"Expected-Last-Msg-Id" => &mut self.expected_last_msg_id,
            b"Rollup" if !self.has_empty_rollup => &mut self.rollup,
            b"TTL" => &mut self.ttl,
            b"Incr" => &mut self.increment,
            b"Counter-Sources" => &mut self.counter_sources,
            b"Stream-Source" => &mut self.stream_source,
            b"Batch-Id" => &mut self.batch_id,
            b"Batch-Sequence" => &mut self.batch_sequence,
            b"Batch-Commit" => &mut self.batch_commit,
            b"Schedule" => &mut self.schedule,
            b"Schedule-Target" => &mut self.schedule_target,
            b"Schedule-Source" => &mut self.schedule_source,
            b"Schedule-TTL" => &mut self.schedule_ttl,
            b"Schedule-Time-Zone" => &mut self.schedule_time_zone,
            b"Schedule-Rollup" => &mut self.schedule_rollup,
            b"Schedule-Next" => &mut self.schedule_next,
            b"Scheduler" => &mut self.scheduler,
            b"Marker-Reason" => &mut self.marker_reason,
            b"Required-Api-Level" => &mut self.required_api_level,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_case_and_all_and_the_first_of_a_kind() {
        let headers = b"NATS/1.0\r\nnats-msg-id: no\r\nNats-Msg-Id:  a b \r\nNats-Msg-Id: late\r\n\
            X: Nats-TTL: 5\r\nNats-Rollup: \r\nNats-TTL:5s\r\n\r\n";
        let directives = Directives::read(headers);
        assert_eq!(directives.msg_id, Some(&b"a b "[..]));
        assert_eq!(directives.ttl, Some(&b"5s"[..]));
        assert_eq!(directives.rollup, None);
    }

    #[test]
    fn takes_any_bytes() {
        for headers in [&b""[..], b"\r", b"NATS/1.0", b"NATS/1.0\r\nNats-TTL", b"\n\r\r\r\n:\r\n"] {
            assert_eq!(Directives::read(headers), Directives::default(), "{headers:?}");
        }
    }
}
