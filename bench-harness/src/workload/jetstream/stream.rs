//! Making, filling and reading back the streams that are measured.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::{Api, Batch};
use crate::clock;
use crate::engine::{
    AckedPublisher, Allowance, Delivery, Engine, Group, Plan, Pulls, Reader, Reading, Taking,
    Window,
};
use crate::failure::{Failure, Outcome};
use crate::load::Load;
use crate::verify::Faults;
use crate::workload::Bench;

/// Unanswered messages while a stream is filled for what comes after.
const FILL_WINDOW: u64 = 1000;
const BATCH_BYTES: usize = 128 * 1024;
/// Looks at a consumer whose last acknowledgements are still under way.
const LOOKS: usize = 100;
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

#[derive(Args, Clone, Debug)]
pub struct Keeping {
    #[arg(long, value_enum, default_value = "file")]
    pub storage: Storage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Storage {
    File,
    Memory,
}

impl Storage {
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Memory => "memory",
        }
    }
}

/// One stream with one publisher of its own, `id`.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    pub id: u32,
}

impl Stream {
    pub fn name(self) -> String {
        format!("BENCH_{}", self.id)
    }

    pub fn subject(self) -> String {
        format!("js.{}", self.id)
    }

    pub fn inbox(self) -> String {
        format!("_INBOX.ack.{}", self.id)
    }

    /// The consumer that [`Self::push`] makes.
    pub fn reader_name(self) -> String {
        format!("read{}", self.id)
    }

    pub fn create(self, bench: &Bench<'_>, storage: Storage) -> Outcome<()> {
        self.create_with(
            bench,
            &json!({
                "name": self.name(),
                "subjects": [self.subject()],
                "storage": storage.name(),
                "allow_direct": true,
            }),
        )
    }

    /// As [`Self::create`], where one may be left from a run before.
    pub fn recreate(self, bench: &Bench<'_>, storage: Storage) -> Outcome<()> {
        // Where there is none, there is nothing to delete.
        let _ = Api::open(bench.server.address)?.delete_stream(&self.name());
        self.create(bench, storage)
    }

    pub fn create_with(self, bench: &Bench<'_>, config: &Value) -> Outcome<()> {
        Api::open(bench.server.address)?.create_stream(config)
    }

    pub fn publisher(
        self,
        bench: &Bench<'_>,
        group: &Arc<Group>,
        allowance: Allowance,
    ) -> Outcome<AckedPublisher> {
        let to = [format!("{} {}", self.subject(), self.inbox())];
        self.publisher_to(bench, &to, &self.name(), group, allowance)
    }

    /// `to`: subjects, each with [`Self::inbox`] behind it.
    pub fn publisher_to(
        self,
        bench: &Bench<'_>,
        to: &[String],
        stream: &str,
        group: &Arc<Group>,
        allowance: Allowance,
    ) -> Outcome<AckedPublisher> {
        let batch = Batch::new(self.id, to, bench.load.payload(), BATCH_BYTES);
        let connection = bench.subscribed(&self.inbox())?;
        Ok(AckedPublisher::new(connection, batch, Arc::clone(group), stream, allowance))
    }

    /// Puts `count` messages in and gives back what went wrong.
    pub fn fill(self, bench: &Bench<'_>, count: u64) -> Outcome<Faults> {
        let group = Arc::new(Group::new(Delivery::Nobody, 0));
        let mut plan = Plan::default();
        let allowance = Allowance { window: FILL_WINDOW, limit: count };
        plan.add(0, self.publisher(bench, &group, allowance)?);
        plan.groups.push(Arc::clone(&group));
        let (_, engine) = Window::until_over(bench.server, || bench.engine(plan))?;
        let faults = engine.finish()?;
        if faults.total() == 0 && group.total() != Some(count) {
            return Err(Failure::new(format!("only {:?} of {count} were stored", group.total())));
        }
        Ok(faults)
    }

    /// Hears what a push consumer delivers; the consumer is made by [`Self::push`].
    pub fn push_reader(self, bench: &Bench<'_>, group: &Arc<Group>) -> Outcome<Reader> {
        let connection = bench.subscribed(&format!("read.{}", self.id))?;
        Ok(Reader::new(connection, self.reading(bench, group, Taking::Push, false)))
    }

    pub fn reading(
        self,
        bench: &Bench<'_>,
        group: &Arc<Group>,
        taking: Taking,
        acks: bool,
    ) -> Reading {
        let (group, size) = (Arc::clone(group), bench.load.payload());
        Reading { group, receiver: 0, publisher: self.id, size, taking, acks, pace: 0 }
    }

    /// An ordered consumer, as clients make it: no acknowledgements, flow control, gone with its
    /// subscriber.
    pub fn push(self, bench: &Bench<'_>, stream: &str, more: &Value) -> Outcome<()> {
        let mut config = json!({
            "deliver_subject": format!("read.{}", self.id),
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": true,
            "idle_heartbeat": 5_000_000_000u64,
            "inactive_threshold": 300_000_000_000u64,
            "mem_storage": true,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        Api::open(bench.server.address)?.create_consumer(stream, &self.reader_name(), &config)
    }

    /// A durable consumer that is pulled from.
    pub fn pull(self, bench: &Bench<'_>, batch: u64, overlaps: bool, acks: bool) -> Outcome<Pulls> {
        let config = json!({
            "durable_name": "pull",
            "ack_policy": if acks { "explicit" } else { "none" },
            "max_ack_pending": if acks { json!(20_000) } else { json!(-1) },
        });
        Api::open(bench.server.address)?.create_consumer(&self.name(), "pull", &config)?;
        Ok(Pulls {
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{}.pull", self.name()),
            inbox: format!("read.{}", self.id),
            batch,
            overlaps,
        })
    }

    /// Everything in it, once more, in order: what it kept is what it was given.
    pub fn read_back(self, bench: &Bench<'_>, count: u64) -> Outcome<(Window, Faults)> {
        let group = full_group(count);
        let mut plan = Plan::default();
        plan.add(0, self.push_reader(bench, &group)?);
        plan.groups.push(group);
        let (window, engine) = Window::until_over(bench.server, || {
            let engine = bench.engine(plan)?;
            self.push(bench, &self.name(), &Value::Null)?;
            Ok(engine)
        })?;
        Ok((window, engine.finish()?))
    }

    /// How many messages it says it has.
    pub fn check_count(self, bench: &Bench<'_>, count: u64) -> Outcome<Faults> {
        let state = Api::open(bench.server.address)?.stream(&self.name())?;
        let mut faults = Faults::default();
        if state.messages != count {
            faults.lost = count.saturating_sub(state.messages);
            faults.duplicated = state.messages.saturating_sub(count);
            faults.note(|| format!("the stream says it has {} of {count}", state.messages));
        }
        Ok(faults)
    }

    /// Nothing left to hand out, nothing unacknowledged, nothing handed out twice.
    pub fn check_consumed(self, bench: &Bench<'_>) -> Outcome<Faults> {
        let mut api = Api::open(bench.server.address)?;
        let mut state = api.consumer(&self.name(), "pull")?;
        for _ in 0..LOOKS {
            if state.ack_pending == 0 {
                break;
            }
            clock::pause(LOOK_EVERY);
            state = api.consumer(&self.name(), "pull")?;
        }
        let mut faults = Faults::default();
        if state.pending + state.ack_pending + state.redelivered > 0 {
            faults.lost = state.ack_pending + state.pending;
            faults.duplicated = state.redelivered;
            faults.note(|| format!("acknowledged everything, but the consumer has {state:?}"));
        }
        Ok(faults)
    }
}

/// A group in which everything has been published already.
pub fn full_group(count: u64) -> Arc<Group> {
    let group = Group::new(Delivery::Every, 1);
    group.set_begun(count);
    group.set_total(count);
    Arc::new(group)
}

/// An engine that does not let answers gather, where each is waited for.
pub fn engine_for(bench: &Bench<'_>, plan: Plan, window: u64) -> Outcome<Engine> {
    if window > 1 {
        return bench.engine(plan);
    }
    let load = Load { nap_us: 0, ..bench.load.clone() };
    Bench { server: bench.server, load: &load }.engine(plan)
}

pub fn require(faults: &Faults) -> Outcome<()> {
    match faults.total() {
        0 => Ok(()),
        _ => Err(Failure::new(format!("preparing a stream: {faults:?}"))),
    }
}
