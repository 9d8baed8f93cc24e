use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::*;
use crate::mesh::{MeshSettings, Port, mesh};
use crate::shard::stage::{access, settings};
use crate::shard::turn::{TurnIo, turn};
use crate::shard::{Opened, ShardSeed};
use crate::types::limits::Tuning;
use crate::types::time::{Now, Wall};
use crate::types::{ClientId, CloseReason};

/// Sockets that take all at once.
#[derive(Default)]
struct Wires {
    open: BTreeMap<ConnKey, Socket>,
    said: Vec<(ConnKey, &'static str)>,
    heard: BTreeMap<ConnKey, String>,
}

impl TurnIo for Wires {
    fn obtain(&mut self, _: &mut Shard, _: bool) {}

    fn hand_over(&mut self, shard: &mut Shard) {
        for (key, text) in std::mem::take(&mut self.said) {
            assert!(shard.wants_read(key), "nothing is read of one that moves");
            shard.on_received(key, text.as_bytes());
        }
    }

    fn submit(&mut self, shard: &mut Shard) {
        for (key, socket) in std::mem::take(&mut shard.effects.take) {
            self.open.insert(key, socket);
        }
        for key in std::mem::take(&mut shard.effects.part) {
            if let Some(socket) = self.open.remove(&key) {
                shard.on_parted(key, socket);
            }
        }
        for close in std::mem::take(&mut shard.effects.close) {
            self.open.remove(&close.key);
            shard.on_closed(close.key);
        }
        for key in std::mem::take(&mut shard.effects.flush) {
            let mut runs = Vec::new();
            if self.open.contains_key(&key) {
                shard.take_outbound(key, &mut runs);
            }
            for run in runs {
                let text = String::from_utf8_lossy(run.bytes()).into_owned();
                shard.on_sent(key, text.len());
                self.heard.entry(key).or_default().push_str(&text);
            }
        }
    }
}

/// Three cores, whose turns the test runs.
struct Trio(Vec<(Shard, Port, Wires)>);

const CONNECT: &str = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";

impl Trio {
    fn new() -> Self {
        Self::with_lanes(4)
    }

    fn with_lanes(lane_slots: usize) -> Self {
        let settings = settings(access([]));
        let ends = mesh(3, MeshSettings { lane_slots }).into_iter().zip(carriages(3));
        let core = |(index, (port, carriage))| {
            let seed = ShardSeed {
                id: ShardId(index),
                shards: 3,
                random: 1,
                hash: 1,
                cache_enabled: true,
                tuning: Tuning::default(),
            };
            let mut shard = Shard::new(&seed, Arc::clone(&settings));
            shard.set_carriage(carriage, Policy::default());
            (shard, port, Wires::default())
        };
        Self((0..).zip(ends).map(core).collect())
    }

    fn open(&mut self, core: usize, said: &'static str) -> ConnKey {
        let (shard, _, wires) = &mut self.0[core];
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let key = shard.on_opened(Opened { client: ClientId(7), peer, refused: false });
        wires.open.insert(key, Box::new(()));
        self.say(core, key, CONNECT);
        self.say(core, key, said);
        key
    }

    fn say(&mut self, core: usize, key: ConnKey, text: &'static str) {
        self.0[core].2.said.push((key, text));
        self.turn(core);
    }

    fn turn(&mut self, core: usize) {
        let (shard, port, wires) = &mut self.0[core];
        turn(shard, port, wires, Now { mono: Mono(1), wall: Wall(1) });
        let _ = port.take_wakes();
    }

    fn rest(&mut self) {
        (0..30).for_each(|at| self.turn(at % 3));
    }

    fn send(&mut self, core: usize, key: ConnKey, to: u16) {
        self.rest();
        self.0[core].0.moves.wanted.push((key, ShardId(to)));
        self.turn(core);
    }

    fn heard(&mut self, core: usize, key: ConnKey) -> String {
        self.rest();
        self.0[core].2.heard.remove(&key).unwrap_or_default()
    }

    /// The only connection of a core.
    fn only(&self, core: usize) -> ConnKey {
        let keys = self.0[core].0.connections.keys();
        assert_eq!(keys.len(), 1);
        keys[0]
    }
}

#[test]
fn a_connection_goes_on_where_it_was_sent() {
    let mut trio = Trio::new();
    let old = trio.open(0, "SUB a 1\r\nSUB q w 2\r\n");
    let publisher = trio.open(2, "PUB a 1\r\nx\r\n");
    assert!(trio.heard(0, old).ends_with("MSG a 1 1\r\nx\r\n"));
    trio.send(0, old, 1);
    trio.say(2, publisher, "PUB a 1\r\ny\r\nPUB q 1\r\nz\r\n");
    trio.rest();
    assert_eq!((trio.0[0].0.open_connections(), trio.0[0].2.open.len()), (0, 0));
    let new = trio.only(1);
    assert_eq!(trio.heard(0, old) + &trio.heard(1, new), "MSG a 1 1\r\ny\r\nMSG q 2 1\r\nz\r\n");
    trio.say(1, new, "PING\r\nPUB a 1\r\nw\r\n");
    assert_eq!(trio.heard(1, new), "PONG\r\nMSG a 1 1\r\nw\r\n");
    let conn = trio.0[1].0.connections.get(new).unwrap();
    assert_eq!((conn.client, conn.counters.out_msgs, conn.counters.in_msgs), (ClientId(7), 4, 1));
    let counted: u64 =
        conn.sids.iter().map(|sub| trio.0[1].0.router.subscription(sub).delivered()).sum();
    assert_eq!(counted, 4);
    let totals = MoveTotals { begun: 1, done: 1, abandoned: 0 };
    assert_eq!(trio.0[0].0.moves.totals, totals);
    assert!(trio.0[1].0.moves.arrivals.is_empty());
}

#[test]
fn who_asks_for_it_under_its_old_key_is_sent_on() {
    let bounced = |mutation| {
        let mut trio = Trio::new();
        let old = trio.open(0, "SUB in.* 1\r\n");
        trio.send(0, old, 1);
        trio.rest();
        let middle = trio.only(1);
        trio.send(1, middle, 2);
        trio.rest();
        let new = trio.only(2);
        mutation::set(mutation);
        trio.0[0].0.bounce(old, b"nobody", b"in.7");
        let heard = trio.heard(2, new);
        mutation::set(None);
        heard
    };
    assert!(bounced(None).contains("HMSG in.7 1 "));
    let lost = bounced(Some(Mutation::NoForward));
    assert_eq!(lost, "");
}

#[test]
fn one_that_ends_on_its_way_leaves_nothing() {
    let mut trio = Trio::new();
    let old = trio.open(0, "SUB a 1\r\n");
    trio.send(0, old, 1);
    trio.turn(1);
    assert_eq!(trio.0[1].0.open_connections(), 1);
    trio.0[0].0.on_hangup(old, CloseReason::ClientClosed);
    trio.rest();
    for (shard, _, wires) in &trio.0 {
        assert_eq!((shard.open_connections(), wires.open.len()), (0, 0));
        assert_eq!(shard.router.totals().remote_interest, 0);
        assert_eq!(shard.router.totals().subscriptions, 0);
        assert!(shard.moves.departures.is_empty() && shard.moves.arrivals.is_empty());
    }
}

#[test]
fn a_core_that_stops_takes_nobody() {
    let mut trio = Trio::new();
    let key = trio.open(0, "SUB a 1\r\n");
    trio.0[1].0.stop_moving();
    trio.send(0, key, 1);
    trio.rest();
    assert_eq!(trio.0[1].0.open_connections(), 0);
    trio.heard(0, key);
    trio.say(0, key, "PUB a 1\r\nx\r\nPING\r\n");
    assert_eq!(trio.heard(0, key), "MSG a 1 1\r\nx\r\nPONG\r\n");
    assert_eq!(trio.0[0].0.moves.totals.abandoned, 1);
}

#[test]
fn what_is_not_plainly_movable_stays() {
    for said in ["SUB a 1\r\nUNSUB 1 5\r\n", "FOO\r\n"] {
        let mut trio = Trio::new();
        let key = trio.open(0, said);
        assert!(!trio.0[0].0.may_leave(key), "{said:?}");
    }
    let mut trio = Trio::new();
    let key = trio.open(0, "SUB a 1\r\nPUB a 5\r\nhal");
    assert!(trio.0[0].0.may_leave(key), "half a command goes with it");
    trio.send(0, key, 2);
    trio.rest();
    let new = trio.only(2);
    trio.say(2, new, "lo\r\n");
    assert!(trio.heard(2, new).ends_with("MSG a 1 5\r\nhallo\r\n"));
}

#[test]
fn what_it_published_at_its_old_core_comes_first() {
    let heard = |mutation| {
        let mut trio = Trio::with_lanes(1);
        let sub = trio.open(2, "SUB x 1\r\n");
        let (one, other) = (trio.open(0, ""), trio.open(0, ""));
        trio.heard(2, sub);
        mutation::set(mutation);
        // Core 2 will look at the lane of core 1 before that of core 0.
        trio.say(0, other, "PUB x 1\r\n0\r\n");
        trio.turn(2);
        // The lane is full: what comes next waits at core 0.
        trio.say(0, other, "PUB x 1\r\n1\r\n");
        trio.say(0, one, "PUB x 1\r\n2\r\n");
        trio.0[0].0.moves.wanted.push((one, ShardId(1)));
        for core in [0, 1, 2, 0, 1, 0, 1] {
            trio.turn(core);
        }
        let new = trio.only(1);
        if !trio.0[1].2.open.contains_key(&new) {
            trio.rest();
        }
        trio.say(1, new, "PUB x 1\r\n3\r\n");
        let heard = trio.heard(2, sub);
        mutation::set(None);
        heard.lines().skip(1).step_by(2).collect::<String>()
    };
    assert_eq!(heard(None), "0123");
    assert_eq!(heard(Some(Mutation::EarlyReading)), "0132");
}
