//! One end of a measured window for work that runs in the calling thread.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::HarnessUse;
use crate::clock;
use crate::failure::Outcome;
use crate::server::{Server, Usage, UsageDelta};

/// What was used so far.
pub struct Edge {
    at: Instant,
    server: Usage,
    harness: Duration,
}

/// What was used between two edges.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub seconds: f64,
    /// `None` for a server that was not started here.
    pub server: Option<UsageDelta>,
    pub harness: HarnessUse,
}

impl Edge {
    pub fn take(server: &Server) -> Outcome<Self> {
        let usage = server.usage()?;
        Ok(Self { at: clock::now(), server: usage, harness: clock::process_cpu(Pid::this())? })
    }

    pub fn until(&self, last: &Self, server: &Server) -> Span {
        let seconds = (last.at - self.at).as_secs_f64();
        let cpu_seconds = last.harness.saturating_sub(self.harness).as_secs_f64();
        Span {
            seconds,
            server: server.is_measured().then(|| last.server.since(&self.server)),
            // One thread does it all.
            harness: HarnessUse { cpu_seconds, busiest: cpu_seconds / seconds },
        }
    }
}
