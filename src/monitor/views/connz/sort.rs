//! The orders of `/connz?sort=`. Numbers run from the largest down; `cid`, `start`, `uptime` and
//! `reason` run up. Among equals the older connection comes first.

use std::cmp::{Ordering, Reverse};

use crate::monitor::views::Refusal;
use crate::shard::snapshot::ConnectionSnapshot;
use crate::types::Wall;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    #[default]
    Cid,
    Start,
    Subs,
    Pending,
    MsgsTo,
    MsgsFrom,
    BytesTo,
    BytesFrom,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    Rtt,
}

const KEYS: [(&str, Sort); 14] = [
    ("cid", Sort::Cid),
    ("start", Sort::Start),
    ("subs", Sort::Subs),
    ("pending", Sort::Pending),
    ("msgs_to", Sort::MsgsTo),
    ("msgs_from", Sort::MsgsFrom),
    ("bytes_to", Sort::BytesTo),
    ("bytes_from", Sort::BytesFrom),
    ("last", Sort::Last),
    ("idle", Sort::Idle),
    ("uptime", Sort::Uptime),
    ("stop", Sort::Stop),
    ("reason", Sort::Reason),
    ("rtt", Sort::Rtt),
];

impl Sort {
    /// Keys are case-sensitive; no key is `cid`.
    pub fn parse(raw: &str) -> Result<Self, Refusal> {
        if raw.is_empty() {
            return Ok(Self::default());
        }
        let known = KEYS.iter().find(|(key, _)| *key == raw);
        known.map(|&(_, sort)| sort).ok_or_else(|| Refusal::Sort(raw.into()))
    }

    pub fn key(self) -> &'static str {
        KEYS.iter().find(|(_, sort)| *sort == self).map_or("", |(key, _)| key)
    }

    /// Only ended connections have what this sorts by.
    pub fn is_of_closed(self) -> bool {
        matches!(self, Self::Stop | Self::Reason)
    }

    pub fn order(
        self,
        left: &ConnectionSnapshot,
        right: &ConnectionSnapshot,
        now: Wall,
    ) -> Ordering {
        let reason = |row: &ConnectionSnapshot| row.closed.map_or("", |(_, reason)| reason.text());
        let by_key = match self {
            Self::Reason => reason(left).cmp(reason(right)),
            Self::Cid | Self::Start | Self::Idle | Self::Uptime => {
                self.number(left, now).cmp(&self.number(right, now))
            }
            _ => Reverse(self.number(left, now)).cmp(&Reverse(self.number(right, now))),
        };
        by_key.then(left.client.cmp(&right.client))
    }

    fn number(self, row: &ConnectionSnapshot, now: Wall) -> u64 {
        match self {
            Self::Cid | Self::Reason => row.client.0,
            Self::Start => row.start.0,
            Self::Subs => row.subscription_count,
            Self::Pending => row.pending_bytes,
            Self::MsgsTo => row.out_msgs,
            Self::MsgsFrom => row.in_msgs,
            Self::BytesTo => row.out_bytes,
            Self::BytesFrom => row.in_bytes,
            // The longest idle first is the earliest activity first, whether it has ended or not.
            Self::Last | Self::Idle => row.last_activity.0,
            Self::Uptime => row.closed.map_or(now, |(stop, _)| stop).0.saturating_sub(row.start.0),
            Self::Stop => row.closed.map_or(0, |(stop, _)| stop.0),
            Self::Rtt => row.rtt_ns,
        }
    }
}
