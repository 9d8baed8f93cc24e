//! A NATS server that does the least the workloads need, on one thread: `--server null=null` is
//! the ceiling a harness run is measured against. Told to misbehave (`--server x=null:drop`), it
//! shows what the verifying is worth.

mod broker;
mod fault;
mod jetstream;
mod peer;

pub use fault::Fault;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use clap::Args;

use crate::client::Poller;
use crate::failure::{Context, Outcome};
use broker::Broker;
use peer::Peer;

/// Peers are told apart by tokens from 1 on.
const LISTENER: usize = 0;
/// Longest wait, so that deliveries that were held back get out.
const TURN_MAX: Duration = Duration::from_millis(1);

#[derive(Args, Clone, Debug)]
pub struct Null {
    #[arg(long)]
    pub port: u16,
    /// What it does wrong with every fiftieth message.
    #[arg(long, value_enum, default_value = "none")]
    pub fault: Fault,
}

impl Null {
    /// Until the process is ended.
    pub fn run(&self) -> Outcome<()> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], self.port)));
        serve(&listener.context("listening")?, self.fault, &AtomicBool::new(false))
    }
}

pub fn serve(listener: &TcpListener, fault: Fault, stop: &AtomicBool) -> Outcome<()> {
    listener.set_nonblocking(true)?;
    let mut poller = Poller::new()?;
    poller.watch(listener, LISTENER)?;
    let mut broker = Broker::new(fault);
    let mut ready = Vec::new();
    while !stop.load(Relaxed) {
        ready.clear();
        poller.wait(TURN_MAX, |token, _| ready.push(token))?;
        for &token in &ready {
            if token == LISTENER {
                accept(listener, &poller, &mut broker)?;
            } else {
                broker.on_ready(token - 1);
            }
        }
        broker.end_turn();
    }
    Ok(())
}

fn accept(listener: &TcpListener, poller: &Poller, broker: &mut Broker) -> Outcome<()> {
    while let Ok((socket, _)) = listener.accept() {
        let peer = Peer::new(socket)?;
        poller.watch(peer.socket(), broker.peers.len() + 1)?;
        broker.peers.push(peer);
    }
    Ok(())
}

#[cfg(test)]
pub struct Fake {
    pub address: SocketAddr,
    stop: std::sync::Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[cfg(test)]
impl Fake {
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&listener, fault, &stopped).unwrap());
        Self { address, stop, thread: Some(thread) }
    }
}

#[cfg(test)]
impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(ended.is_none_or(|ended| ended.is_ok()), "the fake server panicked");
    }
}
