//! What every stream workload does the same way: opening publishers and subscribers, running a
//! plan, and turning a window into a sample.

use std::sync::Arc;

use crate::client::{Batch, Connection, Greeting};
use crate::engine::{
    Delivery, Engine, Flow, Group, Plan, Publisher, Subscriber, Subscription, Window,
};
use crate::failure::{Context, Outcome};
use crate::load::Load;
use crate::report::Sample;
use crate::server::Server;
use crate::verify::{Faults, Share};

/// One run: this load on that server.
pub struct Bench<'a> {
    pub server: &'a Server,
    pub load: &'a Load,
}

impl Bench<'_> {
    pub fn connect(&self, greeting: Greeting) -> Outcome<Connection> {
        Connection::open(self.server.address, greeting).context("connecting")
    }

    /// A connection that hears `pattern` as sid 1, from this moment on.
    pub fn subscribed(&self, pattern: &str) -> Outcome<Connection> {
        let mut connection = self.connect(Greeting::default())?;
        connection.settle(format!("SUB {pattern} 1\r\n").as_bytes()).context("subscribing")?;
        Ok(connection)
    }

    /// Subjects of publisher `id`, all equally long.
    pub fn subjects(&self, id: u32) -> Vec<String> {
        match self.load.subjects {
            0 | 1 => vec![format!("bench.{id}")],
            count => (0..count).map(|nth| format!("bench.{id}.{nth:07}")).collect(),
        }
    }

    pub fn publisher(&self, id: u32, group: &Arc<Group>) -> Outcome<Publisher> {
        self.publisher_to(id, &self.subjects(id), group, self.flow())
    }

    pub fn flow(&self) -> Flow {
        Flow {
            batch_bytes: self.load.batch as usize,
            window_bytes: self.load.window_bytes(),
            pace: None,
        }
    }

    pub fn publisher_to(
        &self,
        id: u32,
        subjects: &[String],
        group: &Arc<Group>,
        flow: Flow,
    ) -> Outcome<Publisher> {
        let batch = Batch::new(id, subjects, self.load.payload(), flow.batch_bytes);
        Ok(Publisher::new(self.connect(Greeting::default())?, batch, Arc::clone(group), flow))
    }

    /// Subscribed when this returns.
    pub fn subscriber(
        &self,
        publisher: u32,
        group: &Arc<Group>,
        receiver: usize,
    ) -> Outcome<Subscriber> {
        let (share, queue) = match group.delivery() {
            Delivery::One => (Share::Some, "workers "),
            Delivery::Every | Delivery::Nobody => (Share::Every, ""),
        };
        let (pattern, fixed) = match self.subjects(publisher).as_slice() {
            [only] => (only.clone(), Some((only.clone(), 1))),
            _ => (format!("bench.{publisher}.*"), None),
        };
        let mut connection = self.connect(Greeting::default())?;
        let line = format!("SUB {pattern} {queue}1\r\n");
        connection.settle(line.as_bytes()).context("subscribing")?;
        let group = Arc::clone(group);
        let size = self.load.payload();
        let subscription = Subscription { group, receiver, share, publisher, size, fixed };
        Ok(Subscriber::new(connection, subscription))
    }

    /// Publisher `id` and its subscribers, which are opened first.
    pub fn add_flow(
        &self,
        plan: &mut Plan,
        id: u32,
        delivery: Delivery,
        subscribers: usize,
    ) -> Outcome<()> {
        let group = Arc::new(Group::new(delivery, subscribers));
        let lane = id as usize;
        for receiver in 0..subscribers {
            plan.add(lane + 1 + receiver, self.subscriber(id, &group, receiver)?);
        }
        plan.add(lane, self.publisher(id, &group)?);
        plan.groups.push(group);
        Ok(())
    }

    pub fn engine(&self, plan: Plan) -> Outcome<Engine> {
        Engine::start(plan, self.load.threads, self.load.nap())
    }

    /// Runs the plan for the load's window and counts what `counted` picks.
    pub fn measure(&self, plan: Plan, counted: impl Fn(&Window) -> u64) -> Outcome<Sample> {
        let engine = self.engine(plan)?;
        let window = Window::measure(&engine, self.server, self.load.warmup, self.load.seconds)?;
        let faults = engine.finish()?;
        Ok(self.sample(&window, counted(&window), faults))
    }

    pub fn sample(&self, window: &Window, count: u64, faults: Faults) -> Sample {
        Sample {
            count,
            seconds: window.seconds,
            server: self.server.is_measured().then_some(window.server),
            harness: window.harness,
            faults,
            offered: None,
            latency: None,
            figures: Vec::new(),
        }
    }
}
