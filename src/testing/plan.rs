//! What one seed decides before its first step: how large everything is, and what is likely.

use std::sync::Arc;

use super::random::Random;
use crate::connection::Settings;
use crate::connection::settings::Identity;
use crate::protocol::ParserLimits;
use crate::types::limits::{DRAIN_TRUST_BEHIND_NS, DRAIN_TRUST_NS, Tuning};
use crate::types::time::{MICROSECOND, MILLISECOND, SECOND};

/// Which world is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// Everything at once, each seed with other stresses.
    Mixed,
    /// Few clients on few subjects that come, ask and go, while cores are taken away at the worst
    /// moments: what is known where, and when.
    Visibility,
    /// All shards publish to all, through lanes of one slot and with hardly any credit.
    Saturation,
    /// Publishers faster than a subscriber that reads all the time: it is never cut.
    LiveReader,
}

/// What a client does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    Subscribe,
    JoinGroup,
    Unsubscribe,
    UnsubscribeMax,
    Publish,
    Request,
    Ping,
    PauseReading,
    ResumeReading,
    Quit,
    /// Several of these in one write.
    Burst,
}

pub const DEEDS: [Deed; 11] = [
    Deed::Subscribe,
    Deed::JoinGroup,
    Deed::Unsubscribe,
    Deed::UnsubscribeMax,
    Deed::Publish,
    Deed::Request,
    Deed::Ping,
    Deed::PauseReading,
    Deed::ResumeReading,
    Deed::Quit,
    Deed::Burst,
];

#[derive(Debug)]
pub struct Plan {
    pub scenario: Scenario,
    pub shards: usize,
    pub lane_slots: usize,
    pub cache_enabled: bool,
    pub tuning: Tuning,
    pub settings: Arc<Settings>,
    /// Connections at the start, and at any time; new ones replace those that left.
    pub clients: usize,
    /// Runs of steps, each followed by quiet.
    pub epochs: usize,
    pub steps: usize,
    /// Of [`DEEDS`].
    pub weights: [usize; DEEDS.len()],
    /// How often of a thousand turns a core is taken away after it.
    pub preemption: usize,
    /// Percent of the hooks in a turn at which others get to run.
    pub nesting: usize,
    /// Few subjects and no wildcards: often nobody is there, or everybody at once.
    pub narrow: bool,
    /// Time that one step takes at most, but for a rare leap of fifty times that.
    pub pace_ns: u64,
    /// Bytes a client's socket takes before the client reads.
    pub window: usize,
    /// Bytes a client may have unread by the server.
    pub unread_max: usize,
    /// Largest padding of a payload.
    pub padding: usize,
    /// Bytes a client reads at once; 0 = as many as it likes.
    pub read_max: usize,
    /// A limit on what is owed to a client that it may well reach.
    pub may_cut: bool,
    /// In how many of a thousand steps a connection is sent to another shard.
    pub moving: usize,
    /// Percent of steps that take a client's turn instead of a shard's.
    pub eagerness: usize,
}

/// A limit that nobody reaches.
const PLENTY: u64 = 64 << 20;

impl Plan {
    pub fn new(scenario: Scenario, random: &mut Random) -> Self {
        match scenario {
            Scenario::Mixed => Self::mixed(random),
            Scenario::Visibility => Self::visibility(random),
            Scenario::Saturation => Self::saturation(random),
            Scenario::LiveReader => Self::live_reader(random),
        }
    }

    fn mixed(random: &mut Random) -> Self {
        let tuning = Tuning {
            turn_outbound_bytes: random.pick(&[60, 400, 4 << 20, 4 << 20]),
            turn_peer_bytes: random.pick(&[1, 200, 2 << 20, 2 << 20]),
            peer_credit_bytes: random.pick(&[100, 1000, 4000, 8 << 20]),
            shared_payload_bytes: random.pick(&[30, 8 << 10]),
            drain_bytes_min: random.pick(&[1, 500, 64 << 10]),
            drain_trust_ns: random.pick(&[MILLISECOND, DRAIN_TRUST_NS]),
            drain_trust_behind_ns: random.pick(&[MILLISECOND, DRAIN_TRUST_BEHIND_NS]),
        };
        let may_cut = random.percent(25);
        let max_pending = if may_cut { random.pick(&[1500, 4000, 16_000]) } else { PLENTY };
        let weight = |random: &mut Random, usual: usize| random.pick(&[0, usual, usual, usual * 4]);
        let mut weights = [12, 12, 8, 4, 20, 12, 12, 0, 4, 3, 16];
        for at in [1, 2, 3, 5, 6, 9] {
            weights[at] = weight(random, weights[at]);
        }
        if may_cut || random.percent(30) {
            weights[7] = 3;
        }
        // Few of these, as they take long: payloads that are read in place.
        let is_large = random.percent(5);
        Self {
            scenario: Scenario::Mixed,
            shards: random.pick(&[1, 2, 2, 3, 3, 3, 4, 4, 5, 8]),
            lane_slots: random.pick(&[1, 1, 1, 2, 4]),
            cache_enabled: random.percent(70),
            tuning,
            // Without stalls a crowded subscriber misses messages, which the oracle would report.
            settings: settings(max_pending, !may_cut && random.percent(30)),
            clients: random.between(2, 10),
            epochs: random.between(1, 3),
            steps: if is_large { 200 } else { random.pick(&[100, 500, 2000]) },
            weights,
            preemption: random.pick(&[0, 0, 10, 100]),
            nesting: random.pick(&[0, 10, 20, 40]),
            narrow: random.percent(40),
            pace_ns: 20 * MICROSECOND,
            window: if is_large { 100_000 } else { random.pick(&[50, 1000, 100_000]) },
            unread_max: random.pick(&[200, 2000]),
            padding: if is_large { 40_000 } else { random.pick(&[0, 20, 100]) },
            read_max: 0,
            may_cut,
            moving: random.pick(&[0, 10, 100, 400]),
            eagerness: random.pick(&[20, 40, 60]),
        }
    }

    fn visibility(random: &mut Random) -> Self {
        let mixed = Self::mixed(random);
        Self {
            scenario: Scenario::Visibility,
            shards: random.between(2, 4),
            lane_slots: random.pick(&[1, 1, 2]),
            settings: settings(PLENTY, true),
            clients: random.between(3, 6),
            epochs: random.between(1, 3),
            steps: 250,
            weights: [
                10,
                random.pick(&[2, 20]),
                20,
                3,
                10,
                random.pick(&[10, 40]),
                10,
                0,
                0,
                1,
                12,
            ],
            preemption: random.pick(&[0, 50, 200, 400]),
            nesting: random.pick(&[10, 40]),
            narrow: true,
            window: 100_000,
            padding: 0,
            may_cut: false,
            ..mixed
        }
    }

    fn saturation(random: &mut Random) -> Self {
        let tuning = Tuning {
            turn_outbound_bytes: random.pick(&[100, 1000]),
            turn_peer_bytes: random.pick(&[1, 100]),
            peer_credit_bytes: random.pick(&[50, 300]),
            ..Tuning::default()
        };
        let shards = random.between(2, 8);
        let mixed = Self::mixed(random);
        Self {
            scenario: Scenario::Saturation,
            shards,
            lane_slots: 1,
            tuning,
            settings: settings(PLENTY, true),
            clients: shards * 2,
            epochs: 1,
            steps: 600,
            weights: [1, 1, 1, 0, 20, 2, 2, 0, 0, 0, 40],
            unread_max: 4000,
            may_cut: false,
            eagerness: 60,
            ..mixed
        }
    }

    fn live_reader(random: &mut Random) -> Self {
        let tuning = Tuning {
            peer_credit_bytes: random.pick(&[500, 2000]),
            drain_bytes_min: 100,
            drain_trust_ns: random.pick(&[2 * MILLISECOND, DRAIN_TRUST_NS]),
            drain_trust_behind_ns: random.pick(&[10 * MILLISECOND, DRAIN_TRUST_BEHIND_NS]),
            ..Tuning::default()
        };
        let mixed = Self::mixed(random);
        Self {
            scenario: Scenario::LiveReader,
            shards: random.between(1, 3),
            tuning,
            settings: settings(24_000, false),
            clients: 3,
            epochs: 1,
            steps: 60_000,
            weights: [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 9],
            pace_ns: 2 * MICROSECOND,
            window: 300,
            unread_max: 600,
            padding: 100,
            read_max: 150,
            may_cut: false,
            moving: random.pick(&[0, 1, 20]),
            eagerness: 50,
            ..mixed
        }
    }
}

fn settings(max_pending: u64, no_stall: bool) -> Arc<Settings> {
    Arc::new(Settings {
        parser: ParserLimits { max_control_line: 4096, max_payload: 1 << 20 },
        max_pending,
        max_subscriptions: 0,
        max_sub_tokens: 0,
        closed_kept: 10_000,
        ping_interval_ns: 120 * SECOND,
        ping_max: 2,
        write_deadline_ns: 10 * SECOND,
        write_retry: false,
        no_header_support: false,
        no_stall,
        trace: None,
        identity: Arc::new(Identity::default()),
        access: Arc::default(),
    })
}
