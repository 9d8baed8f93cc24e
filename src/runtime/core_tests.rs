//! A core with a log on the real disk, without clients.

use std::path::Path;

use glommio::LocalExecutor;

use super::*;
use crate::config::{Options, Spin};
use crate::connection::settings::Identity;
use crate::jetstream::Site;
use crate::mesh::{MeshSettings, mesh};
use crate::runtime::control::{clerk, prover};
use crate::runtime::jetstream::{Part, Plan, Wanted};
use crate::runtime::server;
use crate::shard::ShardSeed;
use crate::storage::{Message, Seq, StreamId, Urgency};
use crate::types::limits::{LANE_SLOTS, Tuning};
use crate::types::{Now, ShardId};

const STREAM: StreamId = StreamId(7);
const MESSAGES: u64 = 1000;

fn plan(path: &Path, clock: Clock) -> Plan {
    let wanted = Wanted { store_dir: Some(path.into()), ..Wanted::default() };
    Plan::new(&wanted, 1, Site::default(), clock).unwrap()
}

fn append(part: &mut Part, now: Mono) {
    let log = &mut part.seed.logs[0];
    for seq in (1..=MESSAGES).map(Seq) {
        let message = Message {
            stream: STREAM,
            seq,
            time: seq.0,
            subject: b"core.test",
            headers: b"",
            payload: b"payload",
            saved: 0,
        };
        log.append(&message, Urgency::Now, now).unwrap();
    }
}

/// What remains of a core's life after its start; it is the first of its mesh.
fn run_core(part: Part, clock: Clock, inbox: mpsc::Receiver<Request>, port: Port, shards: usize) {
    let seed = ShardSeed {
        id: ShardId(0),
        shards,
        random: 1,
        hash: 1,
        cache_enabled: true,
        tuning: Tuning::default(),
    };
    let settings = server::settings(&Options::default(), &Identity::default(), &Arc::default());
    let mut shard = Shard::new(&seed, Arc::new(settings));
    shard.begin_turn(Now::default());
    shard.start_jetstream(part.seed);
    let core = Core {
        shard,
        disks: part.disks,
        port,
        requests: inbox,
        prover: prover::queue().0,
        clerk: clerk::queue().0,
        wakers: (0..shards).map(|_| EventFd::new().unwrap()).collect(),
        load: Arc::default(),
        clock,
        ladder: Ladder::V6_1,
        spin: Spin::For(Duration::ZERO),
    };
    LocalExecutor::default().run(run(core));
}

fn ports(shards: usize) -> Vec<Port> {
    mesh(shards, MeshSettings { lane_slots: LANE_SLOTS })
}

/// A client that is let in then finds the API, whatever core it comes to.
#[test]
fn who_is_told_of_an_announcement_finds_it_in_the_lanes() {
    let directory = tempfile::tempdir_in("target").unwrap();
    let clock = Clock::new();
    let wanted = Wanted { store_dir: Some(directory.path().into()), ..Wanted::default() };
    let kept = Plan::new(&wanted, 2, Site::default(), clock).unwrap();
    let mut ports = ports(2);
    let (own, mut peer) = (ports.remove(0), ports.remove(0));
    let (sender, inbox) = mpsc::channel(8);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let part = kept.start(ShardId(0), 2, clock).unwrap();
            run_core(part, clock, inbox, own, 2);
        });
        let (reply, answer) = oneshot::channel();
        sender.try_send(Request::Announce(reply)).ok().unwrap();
        answer.blocking_recv().unwrap();
        peer.look();
        let mut batch = Vec::new();
        assert_eq!(peer.pop_interest(&mut batch), Some(ShardId(0)));
        assert!(memchr::memmem::find(&batch, b"$JS.API.").is_some());
        sender.try_send(Request::Stop).ok().unwrap();
    });
}

#[test]
fn what_is_appended_settles_and_a_stopped_log_is_closed() {
    let directory = tempfile::tempdir_in("target").unwrap();
    let clock = Clock::new();
    let kept = plan(directory.path(), clock);
    let mut part = kept.start(ShardId(0), 1, clock).unwrap();
    append(&mut part, clock.mono());
    let (sender, inbox) = mpsc::channel(8);
    let (reply, mut settled) = oneshot::channel();
    sender.try_send(Request::Settle(reply)).ok().unwrap();
    sender.try_send(Request::Stop).ok().unwrap();
    let began = clock.mono();
    run_core(part, clock, inbox, ports(1).remove(0), 1);
    settled.try_recv().unwrap();
    assert!(clock.mono().since(began) < SECOND, "completions wake a sleeping core");

    drop(kept);
    let part = plan(directory.path(), clock).start(ShardId(0), 1, clock).unwrap();
    let log = &part.seed.logs[0];
    assert_eq!(log.stream(STREAM).unwrap().last_seq(), Seq(MESSAGES));
    assert_eq!(part.reports[0].batches_scanned, 0, "its footer says all");
    assert_eq!(part.reports[0].damages, []);
}

#[test]
fn a_log_goes_with_its_shard() {
    let directory = tempfile::tempdir_in("target").unwrap();
    let clock = Clock::new();
    let wanted = Wanted { store_dir: Some(directory.path().into()), ..Wanted::default() };
    let ids = |shards: usize, shard: u16| {
        let plan = Plan::new(&wanted, shards, Site::default(), clock).unwrap();
        let part = plan.start(ShardId(shard), shards, clock).unwrap();
        part.seed.logs.iter().map(|log| log.id().0).collect::<Vec<_>>()
    };
    assert_eq!(ids(3, 0), [0]);
    assert_eq!(ids(1, 0), [0, 1, 2], "logs are found when cores are gone");
    assert_eq!(ids(2, 0), [0, 2]);
    assert_eq!(ids(4, 3), [3], "new cores get new logs");
}
