//! How long things took on this core, in histograms that only grow.
//!
//! The message path reads no clock for them. A turn has two times, its start and its end; what
//! began at some time is counted in [`Spans`] and recorded at the turn's end, a row of equal
//! messages at once. Who wants the figures of an interval subtracts what was seen before
//! (`monitor/latency`).
//!
//! Memory of one shard: 25.6 KB a stage of times, 26.6 KB a stage of sizes, 390 KB in all, of which
//! only the pages are resident that hold a count.

use hdrhistogram::Histogram;

use crate::connection::outbound::{Source, Stamp};
use crate::jetstream::Released;
use crate::types::limits::{LATENCY_NS_MAX, LATENCY_NS_MIN, SIZE_MAX};
use crate::types::{Mono, Spans};

/// False only in a build that shows what the histograms cost.
const IS_KEPT: bool = !cfg!(feature = "without-histograms");

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    ReceiveToSend,
    ReceiveToSendAcross,
    Hop,
    OutboundWait,
    Turn,
    PublishToAck,
    DeliverToAck,
    ApiCall,
    LogWrite,
    LogFlush,
    LogRead,
    TurnMessages,
    SendBytes,
    HopBytes,
    LogWriteBytes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    Nanoseconds,
    Messages,
    Bytes,
}

impl Stage {
    pub const COUNT: usize = 15;

    pub const ALL: [Self; Self::COUNT] = [
        Self::ReceiveToSend,
        Self::ReceiveToSendAcross,
        Self::Hop,
        Self::OutboundWait,
        Self::Turn,
        Self::PublishToAck,
        Self::DeliverToAck,
        Self::ApiCall,
        Self::LogWrite,
        Self::LogFlush,
        Self::LogRead,
        Self::TurnMessages,
        Self::SendBytes,
        Self::HopBytes,
        Self::LogWriteBytes,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ReceiveToSend => "receive_to_send",
            Self::ReceiveToSendAcross => "receive_to_send_across",
            Self::Hop => "hop",
            Self::OutboundWait => "outbound_wait",
            Self::Turn => "turn",
            Self::PublishToAck => "publish_to_ack",
            Self::DeliverToAck => "deliver_to_ack",
            Self::ApiCall => "api_call",
            Self::LogWrite => "log_write",
            Self::LogFlush => "log_flush",
            Self::LogRead => "log_read",
            Self::TurnMessages => "turn_messages",
            Self::SendBytes => "send_bytes",
            Self::HopBytes => "hop_bytes",
            Self::LogWriteBytes => "log_write_bytes",
        }
    }

    /// One sentence for operators.
    pub fn help(self) -> &'static str {
        match self {
            Self::ReceiveToSend => {
                "From when a message was read until its delivery was handed to the kernel, on one \
                 core; one count per delivery, and all of a send count with its oldest."
            }
            Self::ReceiveToSendAcross => {
                "The same where the subscriber lives on another core than the publisher."
            }
            Self::Hop => {
                "From the turn that wrote a batch for another core to the turn that read it."
            }
            Self::OutboundWait => {
                "From the first send of what a connection was owed until the kernel had taken it."
            }
            Self::Turn => "One round of a core's loop in which something was done.",
            Self::PublishToAck => {
                "From when a publish to a stream was read until its ack was handed to the kernel."
            }
            Self::DeliverToAck => {
                "From when a consumer delivered a message until the client's explicit ack was read."
            }
            Self::ApiCall => {
                "From when a stream's core took a JetStream API call until its answer was handed \
                 to the kernel."
            }
            Self::LogWrite => "A write of the log without a flush.",
            Self::LogFlush => "A write of the log with its flush, or a flush alone.",
            Self::LogRead => "A read of the log.",
            Self::TurnMessages => "Messages published to a core and delivered by it in one turn.",
            Self::SendBytes => "Bytes of one send to a connection.",
            Self::HopBytes => "Bytes of one batch from another core.",
            Self::LogWriteBytes => "Bytes of one write of the log.",
        }
    }

    pub fn unit(self) -> Unit {
        match self {
            Self::TurnMessages => Unit::Messages,
            Self::SendBytes | Self::HopBytes | Self::LogWriteBytes => Unit::Bytes,
            _ => Unit::Nanoseconds,
        }
    }
}

/// An empty histogram for a stage, two significant digits wide.
pub fn histogram(unit: Unit) -> Histogram<u64> {
    let (low, high) = match unit {
        Unit::Nanoseconds => (LATENCY_NS_MIN, LATENCY_NS_MAX),
        Unit::Messages | Unit::Bytes => (1, SIZE_MAX),
    };
    Histogram::new_with_bounds(low, high, 2).expect("bounds that are far apart")
}

/// The histograms of one shard, and what the turn at hand will add to them.
#[derive(Debug)]
pub struct Latencies {
    histograms: Box<[Histogram<u64>]>,
    here: Spans,
    across: Spans,
    publishes: Spans,
    deliveries: Spans,
    calls: Spans,
    /// When the bytes were read that are processed now.
    pub obtained: Mono,
    /// Messages in and out when the turn began.
    messages: u64,
    /// Nanoseconds of all turns in which something was done.
    pub busy_ns: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            histograms: Stage::ALL.iter().map(|stage| histogram(stage.unit())).collect(),
            here: Spans::default(),
            across: Spans::default(),
            publishes: Spans::default(),
            deliveries: Spans::default(),
            calls: Spans::default(),
            obtained: Mono::default(),
            messages: 0,
            busy_ns: 0,
        }
    }
}

impl Latencies {
    pub fn record(&mut self, stage: Stage, value: u64) {
        self.record_many(stage, value, 1);
    }

    fn record_many(&mut self, stage: Stage, value: u64, count: u64) {
        if !IS_KEPT {
            return;
        }
        self.histograms[stage as usize].saturating_record_n(value, count);
    }

    pub fn of(&self, stage: Stage) -> &Histogram<u64> {
        &self.histograms[stage as usize]
    }

    /// A send of `messages` was handed over whose oldest bytes bear this stamp.
    pub fn on_taken(&mut self, stamp: Stamp, messages: u64, bytes: u64) {
        if !IS_KEPT {
            return;
        }
        match stamp.source {
            Source::Here => self.here.add(stamp.at, messages),
            Source::Peer => self.across.add(stamp.at, messages),
            Source::Server => {}
        }
        self.record(Stage::SendBytes, bytes);
    }

    /// A batch of another core was read.
    pub fn on_hop(&mut self, ns: u64, bytes: u64) {
        self.record(Stage::Hop, ns);
        self.record(Stage::HopBytes, bytes);
    }

    /// What JetStream lets go in this turn, or has heard of.
    pub fn on_released(&mut self, released: &mut Released) {
        if !IS_KEPT {
            return *released = Released::default();
        }
        self.publishes.append(&mut released.publishes);
        self.deliveries.append(&mut released.deliveries);
        self.calls.append(&mut released.calls);
    }

    /// Something was sent in this turn.
    pub fn is_begun(&self) -> bool {
        let spans = [&self.here, &self.across, &self.publishes, &self.deliveries, &self.calls];
        spans.into_iter().any(|spans| !spans.is_empty())
    }

    /// The turn that `began` then has handed its sends to the kernel at `ended`. `messages`: in
    /// and out since the shard's start.
    pub fn end_turn(&mut self, began: Mono, ended: Mono, messages: u64) {
        let ns = ended.since(began);
        self.busy_ns += ns;
        self.record(Stage::Turn, ns);
        self.record(Stage::TurnMessages, messages - self.messages);
        self.messages = messages;
        let rows = [
            (Stage::ReceiveToSend, &mut self.here),
            (Stage::ReceiveToSendAcross, &mut self.across),
            (Stage::PublishToAck, &mut self.publishes),
            (Stage::DeliverToAck, &mut self.deliveries),
            (Stage::ApiCall, &mut self.calls),
        ];
        for (stage, spans) in rows {
            let histogram = &mut self.histograms[stage as usize];
            spans.end(ended).for_each(|(ns, count)| histogram.saturating_record_n(ns, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_where_their_number_says() {
        for (at, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, at, "{}", stage.name());
        }
    }

    #[test]
    fn a_delivery_counts_from_its_read_until_it_was_sent() {
        let mut stage = crate::shard::stage::Stage::new([]);
        let (subscriber, publisher) = (stage.open(), stage.open());
        stage.say(subscriber, "SUB a 1\r\n");
        let mut turn = |at, text: &str, is_sent: bool, ended| {
            stage.turn_at(at);
            stage.0.on_obtain(true);
            stage.say(publisher, text);
            if is_sent {
                stage.heard(subscriber);
            }
            stage.0.end_turn(Mono(ended));
            let seen = stage.0.latencies.of(Stage::ReceiveToSend);
            (seen.len(), seen.max() / 100_000)
        };
        let three = "PUB a 1\r\nx\r\n".repeat(3);
        assert_eq!(turn(1_000_000, &three, true, 1_500_000), (3, 5));
        // The receiver is still busy with an earlier send.
        assert_eq!(turn(2_000_000, "PUB a 1\r\nx\r\n", false, 2_100_000), (3, 5));
        assert_eq!(turn(5_000_000, "PUB a 1\r\nx\r\n", true, 5_100_000), (5, 31));
        // A PONG is no delivery.
        assert_eq!(turn(6_000_000, "PING\r\n", true, 9_000_000), (5, 31));
    }

    #[test]
    fn a_turn_records_what_it_sent_with_its_end() {
        let mut latencies = Latencies::default();
        let stamp = |at, source| Stamp { at: Mono(at), source };
        latencies.on_taken(stamp(1_000, Source::Here), 10, 100);
        latencies.on_taken(stamp(1_000, Source::Here), 20, 100);
        latencies.on_taken(stamp(500, Source::Peer), 1, 100);
        latencies.on_taken(stamp(1_000, Source::Server), 7, 100);
        latencies.end_turn(Mono(1_000), Mono(101_000), 38);
        let here = latencies.of(Stage::ReceiveToSend);
        assert_eq!(here.len(), 30);
        assert!(here.equivalent(here.max(), 100_000));
        assert_eq!(latencies.of(Stage::ReceiveToSendAcross).len(), 1);
        assert_eq!(latencies.of(Stage::SendBytes).len(), 4);
        assert_eq!(latencies.of(Stage::TurnMessages).max(), 38);
        assert_eq!(latencies.busy_ns, 100_000);
        latencies.end_turn(Mono(101_000), Mono(102_000), 38);
        assert_eq!(latencies.of(Stage::ReceiveToSend).len(), 30, "each once");
    }
}
