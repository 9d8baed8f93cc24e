//! The cores as the control thread sees them: where to send requests, and how loaded they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::ask::{ShardHandle, ShardHandles};
use crate::mesh::Bell;
use crate::runtime::core::Request;
use crate::runtime::syscalls::EventFd;
use crate::types::ShardId;

/// Connections of one core: counted up where they are placed, down where they end.
#[derive(Debug, Default)]
pub struct Load {
    connections: AtomicUsize,
}

impl Load {
    pub fn enter(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub fn leave(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// One core's letter box.
pub struct CoreHandle {
    pub requests: mpsc::Sender<Request>,
    pub load: Arc<Load>,
}

/// All cores of this server.
#[derive(Clone)]
pub struct Cores {
    pub handles: Arc<[CoreHandle]>,
    pub bell: Bell,
    pub wakers: Arc<[EventFd]>,
}

impl Cores {
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    pub fn connections(&self) -> usize {
        self.handles.iter().map(|core| core.load.connections()).sum()
    }

    /// The core with the fewest connections; the lowest of several.
    pub fn least_loaded(&self) -> ShardId {
        let loads = self.handles.iter().map(|core| core.load.connections());
        let least = loads.enumerate().min_by_key(|(_, load)| *load);
        ShardId(least.map_or(0, |(index, _)| index as u16))
    }

    pub fn most_loaded(&self) -> ShardId {
        let loads = self.handles.iter().map(|core| core.load.connections());
        let most = loads.enumerate().max_by_key(|(_, load)| *load);
        ShardId(most.map_or(0, |(index, _)| index as u16))
    }

    /// Waits for room in the core's letter box. `false`: the core has ended.
    pub async fn send(&self, shard: ShardId, request: Request) -> bool {
        if self.handles[shard.index()].requests.send(request).await.is_err() {
            return false;
        }
        self.wake(shard);
        true
    }

    pub async fn send_all(&self, mut request: impl FnMut() -> Request) {
        for index in 0..self.count() {
            self.send(ShardId(index as u16), request()).await;
        }
    }

    /// Sends all cores a request and waits for the answers. One that has ended gives none.
    pub async fn hear_all(&self, request: impl Fn(oneshot::Sender<()>) -> Request) {
        let mut answers = Vec::new();
        let ask = || {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            request(reply)
        };
        self.send_all(ask).await;
        for answer in answers {
            let _ = answer.await;
        }
    }

    /// The way to the cores for the monitoring pages.
    pub fn ask_handles(&self) -> ShardHandles {
        let handle = |index: usize| {
            let (cores, shard) = (self.clone(), ShardId(index as u16));
            let requests = self.handles[index].requests.clone();
            ShardHandle::new(requests, Arc::new(move || cores.wake(shard)))
        };
        ShardHandles::new((0..self.count()).map(handle).collect())
    }

    pub fn wake(&self, shard: ShardId) {
        if self.bell.ring(shard) {
            self.wakers[shard.index()].signal();
        }
    }
}
