//! The client listener. A connection goes to the core with the fewest, which owns it from then on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::error;

use super::Cores;
use crate::config::options::{Placement, WeftOptions};
use crate::runtime::core::Request;
use crate::shard::Opened;
use crate::types::{ClientId, ShardId};

/// Hands out client ids and enforces `max_connections`.
pub struct Acceptor {
    cores: Cores,
    limits: Arc<AcceptLimits>,
    placement: Placement,
    next_client: u64,
}

/// What a reload may change.
#[derive(Debug)]
pub struct AcceptLimits {
    connections_max: AtomicU32,
}

impl AcceptLimits {
    pub fn set_connections_max(&self, connections: u32) {
        self.connections_max.store(connections, Ordering::Relaxed);
    }
}

/// The reference's first client has this id; the ids before are its internal clients'.
const FIRST_CLIENT: u64 = 5;

impl Acceptor {
    pub fn new(cores: Cores, options: &WeftOptions, connections_max: u32) -> Self {
        let limits = Arc::new(AcceptLimits { connections_max: AtomicU32::new(connections_max) });
        Self { cores, limits, placement: options.placement, next_client: FIRST_CLIENT }
    }

    pub fn limits(&self) -> Arc<AcceptLimits> {
        Arc::clone(&self.limits)
    }

    /// Accepts one connection and places it.
    pub async fn accept(&mut self, listener: &TcpListener) {
        match listener.accept().await {
            Ok((stream, peer)) => self.place(stream, peer).await,
            Err(fault) => {
                error!("Temporary Client Accept Error ({fault}), sleeping 100ms");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Answers are put together per turn already; waiting for more only delays them.
        let _ = stream.set_nodelay(true);
        let Ok(stream) = stream.into_std() else { return };
        let client = ClientId(self.next_client);
        self.next_client += 1;
        let connections_max = self.limits.connections_max.load(Ordering::Relaxed) as usize;
        let refused = self.cores.connections() >= connections_max;
        let shard = match self.placement {
            Placement::Fewest => self.cores.least_loaded(),
            Placement::RoundRobin => {
                let turn = (client.0 - FIRST_CLIENT) % self.cores.count() as u64;
                ShardId(turn as u16)
            }
        };
        self.cores.handles[shard.index()].load.enter();
        let opened = Opened { client, peer, refused };
        self.cores.send(shard, Request::Adopt(OwnedFd::from(stream), opened)).await;
    }
}
