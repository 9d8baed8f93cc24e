//! One shard for tests that play its clock and its sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::{Opened, Shard, ShardSeed};
use crate::connection::outbound::Run;
use crate::connection::settings::Identity;
use crate::connection::{Connection, Settings};
use crate::protocol::ParserLimits;
use crate::security::access::Key;
use crate::security::{Access, Secret, User};
use crate::types::limits::Tuning;
use crate::types::time::{Mono, Now, SECOND, Wall};
use crate::types::{ClientId, ConnKey, ShardId};

/// One shard, whose clock and sockets the test plays.
pub struct Stage(pub Shard);

pub fn user(name: &str, password: &str) -> User {
    User::new(name, Key::Secret(Secret::new(password)))
}

pub fn access(users: impl IntoIterator<Item = User>) -> Arc<Access> {
    let mut access = Access::new(2 * SECOND, Default::default());
    users.into_iter().for_each(|user| access.add(Arc::new(user)));
    Arc::new(access)
}

pub fn settings(access: Arc<Access>) -> Arc<Settings> {
    Arc::new(Settings {
        parser: ParserLimits { max_control_line: 4096, max_payload: 1 << 20 },
        max_pending: 1 << 20,
        max_subscriptions: 0,
        max_sub_tokens: 0,
        closed_kept: 10,
        ping_interval_ns: 120 * SECOND,
        ping_max: 2,
        write_deadline_ns: 10 * SECOND,
        write_retry: false,
        no_header_support: false,
        no_stall: false,
        trace: None,
        identity: Arc::new(Identity::default()),
        access,
    })
}

impl Stage {
    pub fn new(users: impl IntoIterator<Item = User>) -> Self {
        let tuning = Tuning::default();
        let seed = ShardSeed {
            id: ShardId(0),
            shards: 1,
            random: 1,
            hash: 1,
            cache_enabled: true,
            tuning,
        };
        Self(Shard::new(&seed, settings(access(users))))
    }

    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::clone(&self.0.settings);
        change(&mut settings);
        self.0.set_settings(Arc::new(settings));
    }

    pub fn open(&mut self) -> ConnKey {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let opened = Opened { client: ClientId(5), peer, refused: false };
        let key = self.0.on_opened(opened);
        self.heard(key);
        key
    }

    /// What the client hears after sending this.
    pub fn say(&mut self, key: ConnKey, text: &str) -> String {
        self.0.on_received(key, text.as_bytes());
        self.heard(key)
    }

    pub fn heard(&mut self, key: ConnKey) -> String {
        let mut runs = Vec::new();
        self.0.take_outbound(key, &mut runs);
        let bytes: Vec<u8> = runs.iter().flat_map(Run::bytes).copied().collect();
        self.0.on_sent(key, bytes.len());
        String::from_utf8(bytes).expect("the tests send text")
    }

    pub fn turn_at(&mut self, ns: u64) {
        self.0.begin_turn(Now { mono: Mono(ns), wall: Wall(ns) });
        self.0.run_timers();
        self.0.run_backlog();
    }

    pub fn is_open(&self, key: ConnKey) -> bool {
        self.0.connections.get(key).is_some_and(Connection::is_open)
    }
}
