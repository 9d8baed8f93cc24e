//! Where a push consumer sends to, whether somebody is there, and how much may be on the way.

use super::super::advisory::id_of;
use super::super::config::ConsumerConfig;
use crate::types::limits::{FLOW_WINDOW_BYTES_MAX, SOURCE_WINDOW_BYTES_MAX};
use crate::types::time::SECOND;
use crate::types::{Mono, Wall};

/// The window a consumer begins with.
const FLOW_WINDOW_BYTES_FIRST: u64 = FLOW_WINDOW_BYTES_MAX / 16;

/// What answers to flow control go to begins with this.
pub const FLOW_PREFIX: &[u8] = b"$JS.FC.";

const FLOW_ID_LEN: usize = 4;
pub type FlowId = [u8; FLOW_ID_LEN];

#[derive(Debug)]
pub struct Push {
    pub deliver_subject: Box<[u8]>,
    /// Nanoseconds without a message after which one tells so; 0: never.
    heartbeat: u64,
    pub beat_at: Mono,
    /// Somebody listens, as far as is known.
    pub is_active: bool,
    pub flow: Option<Flow>,
    pub rate: Option<Rate>,
}

/// How many bytes may be on the way to a client that says how far it is.
#[derive(Debug)]
pub struct Flow {
    window: u64,
    window_max: u64,
    /// Bytes sent and not yet answered for.
    owed: u64,
    /// What the client was asked to answer to, and the bytes it answers for.
    asked: Option<(FlowId, u64)>,
}

/// A bucket of bytes per time, kept as the time at which it is full again.
#[derive(Debug)]
pub struct Rate {
    /// Bytes in a second.
    bytes: u64,
    /// Nanoseconds of credit a quiet consumer gathers.
    burst_ns: u64,
    paid_until: Mono,
}

impl Push {
    /// `burst`: bytes of the largest message.
    pub fn of(config: &ConsumerConfig, burst: u64) -> Self {
        let window_max =
            if config.direct { SOURCE_WINDOW_BYTES_MAX } else { FLOW_WINDOW_BYTES_MAX };
        Self {
            deliver_subject: config.deliver_subject.as_bytes().into(),
            heartbeat: config.idle_heartbeat.ns(),
            beat_at: Mono::NEVER,
            is_active: false,
            flow: config.flow_control.then(|| Flow::new(window_max)),
            rate: Rate::new(config.rate_limit_bps / 8, burst),
        }
    }

    /// Takes another configuration. To the same subject the flow goes on as it was.
    pub fn reshape(&mut self, new: Self) {
        let old = std::mem::replace(self, new);
        if old.deliver_subject == self.deliver_subject && self.flow.is_some() && old.flow.is_some()
        {
            self.flow = old.flow;
        }
    }

    /// Something was sent: the next heartbeat is a whole period away.
    pub fn saw_traffic(&mut self, now: Mono) {
        self.beat_at = if self.heartbeat > 0 { now.plus(self.heartbeat) } else { Mono::NEVER };
    }

    /// Somebody began to listen, or nobody does any more.
    pub fn set_active(&mut self, is_active: bool, now: Mono) {
        if is_active == self.is_active {
            return;
        }
        self.is_active = is_active;
        match is_active {
            true => self.saw_traffic(now),
            false => self.beat_at = Mono::NEVER,
        }
    }

    pub fn memory(&self) -> usize {
        self.deliver_subject.len()
    }
}

impl Flow {
    fn new(window_max: u64) -> Self {
        Self { window: FLOW_WINDOW_BYTES_FIRST, window_max, owed: 0, asked: None }
    }

    /// Nothing more may be sent until the client answers.
    pub fn is_stalled(&self) -> bool {
        self.owed > self.window
    }

    /// A message was sent. True: the client is to be asked now.
    pub fn sent(&mut self, size: u64) -> bool {
        self.owed += size;
        match &mut self.asked {
            None => self.owed > self.window / 2,
            Some((_, answered)) => {
                // The answer comes after this message too, so it answers for it.
                if self.owed - *answered >= self.window {
                    *answered += size;
                }
                false
            }
        }
    }

    /// The client is asked; it answers to this.
    pub fn ask(&mut self, now: Wall, parts: &[&[u8]]) -> FlowId {
        let id = id_of(now, parts);
        let id = [id[0], id[1], id[2], id[3]];
        self.asked = Some((id, self.owed));
        id
    }

    pub fn asked(&self) -> Option<FlowId> {
        self.asked.map(|(id, _)| id)
    }

    /// The client answered. False: to something it was not asked.
    pub fn answered(&mut self, id: &[u8]) -> bool {
        let Some((_, answered)) = self.asked.filter(|(asked, _)| asked == id) else { return false };
        self.asked = None;
        self.owed -= answered.min(self.owed);
        self.window = (self.window * 2).min(self.window_max);
        true
    }
}

impl Rate {
    /// `None`: no limit.
    fn new(bytes: u64, burst: u64) -> Option<Self> {
        (bytes > 0).then(|| Self { bytes, burst_ns: cost(burst, bytes), paid_until: Mono(0) })
    }

    /// When a message of `size` may be sent; now, or later.
    pub fn may_send(&self, size: usize, now: Mono) -> Mono {
        let base = self.paid_until.max(Mono(now.0.saturating_sub(self.burst_ns)));
        base.plus(cost(size as u64, self.bytes)).max(now)
    }

    pub fn sent(&mut self, size: usize, now: Mono) {
        let base = self.paid_until.max(Mono(now.0.saturating_sub(self.burst_ns)));
        self.paid_until = base.plus(cost(size as u64, self.bytes));
    }
}

fn cost(size: u64, bytes: u64) -> u64 {
    u64::try_from(u128::from(size) * u128::from(SECOND) / u128::from(bytes)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2.15.1 asks after 3, 5, 9, 17 messages of 500 kB and stops one half later.
    #[test]
    fn the_window_doubles_with_each_answer() {
        let mut flow = Flow::new(FLOW_WINDOW_BYTES_MAX);
        let mut asked_after = Vec::new();
        let mut count = 0;
        for message in 1..=100u64 {
            count += 1;
            if flow.sent(500_050) {
                asked_after.push(count);
                count = 0;
                let id = flow.ask(Wall(message), &[]);
                assert!(!flow.answered(b"nope"));
                assert!(flow.answered(&id));
                assert!(!flow.answered(&id));
            }
        }
        assert_eq!(asked_after[..4], [3, 5, 9, 17]);
        assert!(!flow.is_stalled());
    }

    #[test]
    fn a_client_that_does_not_answer_stalls() {
        let mut flow = Flow::new(FLOW_WINDOW_BYTES_MAX);
        let sent = (1..).take_while(|_| {
            if flow.is_stalled() {
                return false;
            }
            if flow.sent(500_050) {
                flow.ask(Wall(1), &[]);
            }
            true
        });
        assert_eq!(sent.count(), 5);
        assert!(flow.asked().is_some());
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_so_much_a_second() {
        let mut rate = Rate::new(1000, 500).unwrap();
        let start = Mono(10 * SECOND);
        assert_eq!(rate.may_send(500, start), start);
        rate.sent(500, start);
        assert_eq!(rate.may_send(100, start), start.plus(SECOND / 10));
        rate.sent(100, start.plus(SECOND / 10));
        assert_eq!(rate.may_send(250, start.plus(SECOND / 10)), start.plus(SECOND * 35 / 100));
        assert!(Rate::new(0, 500).is_none());
    }
}
