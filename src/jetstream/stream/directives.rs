//! What a message's headers ask of a stream, found in one pass over the block
//! (facts/jetstream-api.md §4 to §7).

use crate::jetstream::headers;

const PREFIX: &[u8] = b"Nats-";

/// The headers a stream obeys, as they stand in the block. Of a repeated header the first one
/// counts, even if it is empty; an absent and an empty value are the same, but for a batch's commit,
/// a schedule's time zone and a rollup; names match case and all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Directives<'a> {
    pub msg_id: Option<&'a [u8]>,
    pub expected_stream: Option<&'a [u8]>,
    pub expected_last_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq: Option<&'a [u8]>,
    pub expected_last_subject_seq_subject: Option<&'a [u8]>,
    pub expected_last_msg_id: Option<&'a [u8]>,
    pub rollup: Option<&'a [u8]>,
    /// It is there and empty.
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
        let mut has_empty = false;
        for (name, value) in headers::iter(block) {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            if let Some(slot) = directives.slot(name)
                && slot.is_none()
            {
                *slot = Some(value);
                has_empty |= value.is_empty();
            }
        }
        if has_empty {
            directives.drop_empty(block);
        }
        directives
    }

    /// An empty value asks for nothing. Of three the reference asks whether they are there at all.
    fn drop_empty(&mut self, block: &'a [u8]) {
        let (commit, zone) = (self.batch_commit, self.schedule_time_zone);
        self.has_empty_rollup = self.rollup.is_some_and(<[u8]>::is_empty);
        for (name, _) in headers::iter(block).filter(|(_, value)| value.is_empty()) {
            if let Some(slot) = name.strip_prefix(PREFIX).and_then(|name| self.slot(name)) {
                *slot = slot.filter(|value| !value.is_empty());
            }
        }
        (self.batch_commit, self.schedule_time_zone) = (commit, zone);
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
            b"Rollup" => &mut self.rollup,
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
    fn an_empty_value_hides_those_behind_it() {
        let headers = b"NATS/1.0\r\nNats-Msg-Id:\r\nNats-Msg-Id: m1\r\nNats-Rollup: sub\r\n\
            Nats-Rollup:\r\nNats-Batch-Commit:\r\n\r\n";
        let directives = Directives::read(headers);
        assert_eq!(directives.msg_id, None);
        assert_eq!(directives.rollup, Some(&b"sub"[..]));
        assert_eq!(directives.batch_commit, Some(&b""[..]));
    }

    #[test]
    fn takes_any_bytes() {
        for headers in [&b""[..], b"\r", b"NATS/1.0", b"NATS/1.0\r\nNats-TTL", b"\n\r\r\r\n:\r\n"] {
            assert_eq!(Directives::read(headers), Directives::default(), "{headers:?}");
        }
    }
}
