//! The client listener. A connection goes to the core with the fewest, which owns it from then on.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tracing::error;

use super::Cores;
use crate::runtime::core::Request;
use crate::shard::Opened;
use crate::types::ClientId;

/// Hands out client ids and enforces `max_connections`.
pub struct Acceptor {
    pub cores: Cores,
    pub connections_max: usize,
    next_client: u64,
}

/// The reference's first client has this id; the ids before are its internal clients'.
const FIRST_CLIENT: u64 = 5;

impl Acceptor {
    pub fn new(cores: Cores, connections_max: usize) -> Self {
        Self { cores, connections_max, next_client: FIRST_CLIENT }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.next_client - FIRST_CLIENT
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
        let refused = self.cores.connections() >= self.connections_max;
        let shard = self.cores.least_loaded();
        self.cores.handles[shard.index()].load.enter();
        let opened = Opened { client, peer, refused };
        self.cores.send(shard, Request::Adopt(OwnedFd::from(stream), opened)).await;
    }
}
