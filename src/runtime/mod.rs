//! The only place that knows glommio, io_uring, sockets, files, threads and clocks.
//!
//! ```text
//!   boot      checks, then one glommio executor per core and the control thread
//!   core      a core's loop: turn, reactor pass, park        ring     its own io_uring
//!   sockets   connections as file descriptors and operations  clock    both clocks, once per turn
//!   control   accept, signals, monitoring: the control thread
//! ```

pub mod boot;
pub mod control;

mod clock;
mod core;
mod ring;
mod sockets;
mod syscalls;

pub fn try_it(port: u16, shards: usize) {
    use crate::connection::{Settings, settings::Identity};
    use std::sync::Arc;
    let settings = Arc::new(Settings {
        parser: crate::protocol::ParserLimits { max_control_line: 4096, max_payload: 1 << 20 },
        max_pending: 64 << 20,
        max_subscriptions: 0,
        max_sub_tokens: 0,
        closed_kept: 10000,
        ping_interval_ns: 120_000_000_000,
        ping_max: 2,
        write_deadline_ns: 10_000_000_000,
        no_header_support: false,
        no_stall: false,
        trace: false,
        max_traced_msg_len: 0,
        identity: Arc::new(Identity {
            server_id: "N".into(),
            version: "2.15.1".into(),
            host: "127.0.0.1".into(),
            port,
            ..Default::default()
        }),
    });
    let plan = boot::Plan {
        settings,
        cpus: (0..shards).map(|i| Some(i % 2)).collect(),
        ladder: ring::Ladder::V6_1,
        spin_ns: 0,
        cache_enabled: true,
        secret: 42,
        clock: clock::Clock::new(),
    };
    let running = boot::start(&plan).unwrap();
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let l = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let mut a = control::accept::Acceptor::new(running.cores.clone(), 65536);
        loop {
            a.accept(&l).await;
        }
    });
}
