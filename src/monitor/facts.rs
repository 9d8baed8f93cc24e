//! What the views say of the server and its process, given by whoever started them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::config::JetStream;
use crate::types::Wall;

/// The account of clients that no other account claims.
pub const GLOBAL_ACCOUNT: &str = "$G";

/// The identity and the settings of this server. Replaced as a whole when settings are reloaded.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    pub server_id: String,
    pub server_name: String,
    /// The release of the reference that we stand in for; clients decide on features by it.
    pub version: String,
    pub git_commit: String,
    /// The field of the reference that names its Go release.
    pub go: String,
    /// What clients are told to connect to (`client_advertise`, else the listener).
    pub host: String,
    pub port: u16,
    pub auth_required: bool,
    pub tls_required: bool,
    pub connect_urls: Vec<String>,
    pub max_connections: u64,
    /// 0: no limit, and the field is left out.
    pub max_subscriptions: u64,
    pub ping_interval_ns: u64,
    pub ping_max: u32,
    pub http_host: String,
    pub http_port: u16,
    /// As configured, and normalised: empty, or with one leading slash and none at the end.
    pub http_base_path: String,
    pub https_port: u16,
    pub auth_timeout_seconds: f64,
    pub tls_timeout_seconds: f64,
    pub max_control_line: u64,
    pub max_payload: u64,
    pub max_pending: u64,
    pub write_deadline_ns: u64,
    pub start: Wall,
    pub config_load_time: Wall,
    /// `sha256:…` of the settings file; empty without one.
    pub config_digest: String,
    pub tags: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    pub feature_flags: BTreeMap<String, bool>,
    pub system_account: String,
    pub weft_version: String,
    pub shards: usize,
    /// `None`: off.
    pub jetstream: Option<JetStreamFacts>,
}

/// JetStream of this server.
#[derive(Clone, Debug, Default)]
pub struct JetStreamFacts {
    /// As configured; sizes that nobody set are what the start took from the machine.
    pub options: JetStream,
    /// Where the logs are.
    pub store_dir: String,
    pub disk: DiskFacts,
}

/// What the start found of the disk below the logs.
#[derive(Clone, Debug, Default)]
pub struct DiskFacts {
    pub filesystem: String,
    /// Past the page cache.
    pub is_direct: bool,
    /// There once it is measured, beside the start.
    pub speed: Arc<OnceLock<DiskSpeed>>,
}

/// Flushed writes of so many bytes, and how long half and all of them took at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskSpeed {
    pub write_bytes: usize,
    pub writes: usize,
    pub p50_ns: u64,
    pub max_ns: u64,
}

/// What the kernel says of the process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ProcessFacts {
    /// Bytes resident.
    pub mem: u64,
    /// Percent of one core since the reading before, a second ago or more.
    pub cpu: f64,
    /// Seconds of processor time since the process was started.
    pub cpu_seconds: f64,
    /// Cores this process may run on.
    pub cores: usize,
}

impl ServerFacts {
    /// Accounts of the settings come later: there are the clients' and the system's.
    pub fn accounts(&self) -> [&str; 2] {
        [GLOBAL_ACCOUNT, &self.system_account]
    }

    pub fn has_account(&self, name: &str) -> bool {
        self.accounts().contains(&name)
    }
}
