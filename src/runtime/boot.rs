//! Starting: the cores' threads, the lanes between them, and how they end.

use std::io;
use std::sync::Arc;

use glommio::{LocalExecutorBuilder, Placement};
use tokio::sync::mpsc;

use super::clock::Clock;
use super::control::cores::CoreHandle;
use super::control::{Clerk, Cores, Load, Prover};
use super::core::{self, Core, Request};
use super::disk::Disk;
use super::jetstream;
use super::ring::Ladder;
use super::syscalls::EventFd;
use crate::config::Spin;
use crate::connection::Settings;
use crate::mesh::{MeshSettings, mesh};
use crate::monitor::JetStreamFacts;
use crate::shard::moving::carriages;
use crate::shard::placement::Policy;
use crate::shard::{Shard, ShardSeed};
use crate::types::ShardId;
use crate::types::limits::{CONTROL_REQUESTS_MAX, LANE_SLOTS, Tuning};

/// What the cores are started with.
pub struct Plan {
    pub settings: Arc<Settings>,
    /// Per shard the CPU it is pinned to, if any.
    pub cpus: Vec<Option<usize>>,
    pub ladder: Ladder,
    pub spin: Spin,
    pub cache_enabled: bool,
    pub moving: Policy,
    pub jetstream: Option<Arc<jetstream::Plan>>,
    /// Known to no client: keys the hash tables.
    pub secret: u64,
    pub clock: Clock,
}

/// Running cores.
pub struct Running {
    pub cores: Cores,
    threads: Vec<glommio::ExecutorJoinHandle<()>>,
    /// The store is ours until all cores have ended.
    jetstream: Option<Arc<jetstream::Plan>>,
}

/// glommio's own buffers: only its eventfd reads use them.
const EXECUTOR_IO_MEMORY: usize = 1 << 20;

/// Starts one executor per shard. Returns when all of them serve: their logs are recovered.
pub fn start(plan: &Plan, prover: &Prover, clerk: &Clerk) -> io::Result<Running> {
    let shards = plan.cpus.len();
    let wakers: Arc<[EventFd]> =
        (0..shards).map(|_| EventFd::new()).collect::<io::Result<Vec<_>>>()?.into();
    let mut handles = Vec::new();
    let mut threads = Vec::new();
    let ports = mesh(shards, MeshSettings { lane_slots: LANE_SLOTS });
    let bell = ports.first().expect("at least one shard").bell();
    let (ready, reports) = std::sync::mpsc::channel();
    let ends = ports.into_iter().zip(carriages(shards)).zip(&plan.cpus);
    for (index, ((port, carriage), cpu)) in ends.enumerate() {
        let (requests, inbox) = mpsc::channel(CONTROL_REQUESTS_MAX);
        let load = Arc::new(Load::default());
        handles.push(CoreHandle { requests, load: Arc::clone(&load) });
        let seed = ShardSeed {
            id: ShardId(index as u16),
            shards,
            random: plan.secret.rotate_left(index as u32) ^ 0x9E37_79B9_7F4A_7C15,
            hash: plan.secret,
            cache_enabled: plan.cache_enabled,
            tuning: Tuning::default(),
        };
        let (prover, clerk) = (prover.clone(), clerk.clone());
        let (settings, wakers) = (Arc::clone(&plan.settings), Arc::clone(&wakers));
        let moving = plan.moving;
        let (clock, ladder, spin) = (plan.clock, plan.ladder, plan.spin);
        let (jetstream, ready) = (plan.jetstream.clone(), ready.clone());
        let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
        let thread = LocalExecutorBuilder::new(placement)
            .name(&format!("weft-{index}"))
            .io_memory(EXECUTOR_IO_MEMORY)
            .spawn(move || async move {
                let mut shard = Shard::new(&seed, settings);
                shard.set_carriage(carriage, moving);
                let disks = start_jetstream(jetstream.as_deref(), &mut shard, shards, clock);
                // The one that waits is there until all have told.
                let _ = ready.send(disks.as_ref().map(drop).map_err(Clone::clone));
                let Ok(disks) = disks else { return };
                core::run(Core {
                    shard,
                    disks,
                    port,
                    requests: inbox,
                    prover,
                    clerk,
                    wakers,
                    load,
                    clock,
                    ladder,
                    spin,
                })
                .await;
            })
            .map_err(|fault| io::Error::other(format!("starting core {index}: {fault}")))?;
        threads.push(thread);
    }
    drop(ready);
    for _ in 0..shards {
        let report = reports.recv().map_err(|_| "a core ended before it was ready");
        report.map_err(io::Error::other)?.map_err(io::Error::other)?;
    }
    let cores = Cores { handles: handles.into(), bell, wakers };
    Ok(Running { cores, threads, jetstream: plan.jetstream.clone() })
}

/// Recovers what the shard's logs hold. The error is for people.
fn start_jetstream(
    plan: Option<&jetstream::Plan>,
    shard: &mut Shard,
    shards: usize,
    clock: Clock,
) -> Result<Vec<Disk>, String> {
    let Some(plan) = plan else { return Ok(Vec::new()) };
    let jetstream::Part { disks, seed, .. } = plan.start(shard.id(), shards, clock)?;
    shard.start_jetstream(seed);
    Ok(disks)
}

impl Running {
    /// `None`: JetStream is off.
    pub fn jetstream_facts(&self) -> Option<JetStreamFacts> {
        self.jetstream.as_ref().map(|plan| plan.facts())
    }

    pub fn has_jetstream(&self) -> bool {
        self.jetstream.is_some()
    }

    /// Waits until a client of any core reaches the streams of all, and the API: what they listen to
    /// is in the lanes, which each core empties before it looks at what a client sent.
    pub async fn announced(&self) {
        self.cores.hear_all(Request::Announce).await;
    }

    /// Waits until all cores have ended.
    pub fn join(self) {
        for thread in self.threads {
            // A core that panicked has said so already.
            let _ = thread.join();
        }
    }
}
