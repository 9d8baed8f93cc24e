//! A server that is stopped, or killed, with a full stream and started again.

use clap::Args;

use super::stream::{Storage, Stream, require};
use crate::client::Api;
use crate::clock;
use crate::engine::Edge;
use crate::failure::Outcome;
use crate::report::{Figure, Sample};
use crate::verify::Faults;
use crate::workload::Bench;

#[derive(Args, Clone, Debug)]
pub struct Restart {
    /// Messages in the stream.
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// SIGKILL instead of SIGTERM.
    #[arg(long)]
    pub kill: bool,
}

impl Restart {
    pub fn label(&self) -> String {
        let how = if self.kill { "kill" } else { "stop" };
        format!("{how} and start with {} messages", self.messages)
    }

    pub fn run(&self, bench: &Bench<'_>) -> Outcome<Sample> {
        let mut server = bench.server.another()?;
        let stream = Stream { id: 0 };
        let old = Bench { server: &server, load: bench.load };
        stream.create(&old, Storage::File)?;
        require(&stream.fill(&old, self.messages)?)?;
        server.stop(self.kill);
        let stopped = clock::now();
        server.start_again()?;
        Api::open(server.address)?.stream(&stream.name())?;
        let ready = stopped.elapsed();
        // A fresh process: what it has used so far is what the start took.
        let usage = server.usage()?;
        let first = Edge::take(&server)?;
        let new = Bench { server: &server, load: bench.load };
        let mut faults = Faults::default();
        faults.add(&stream.check_count(&new, self.messages)?);
        faults.add(&stream.read_back(&new, self.messages)?.1);
        let mut span = first.until(&Edge::take(&server)?, &server);
        span.seconds = ready.as_secs_f64();
        span.server = Some(usage.since(&Default::default()));
        let mut sample = Sample::of(self.messages, &span, faults);
        sample.figures.push(Figure::new("until it answers", ready.as_secs_f64() * 1e3, "ms"));
        sample.figures.push(Figure::new("RSS then", usage.rss_bytes as f64, "B"));
        Ok(sample)
    }
}
