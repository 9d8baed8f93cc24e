//! No server outlives the harness: on Ctrl-C or TERM the one that runs is stopped first.

use std::sync::atomic::{AtomicI32, Ordering::SeqCst};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::failure::Outcome;

/// Rivals take turns, so at most one runs at a time; 0 for none.
static RUNNING: AtomicI32 = AtomicI32::new(0);

pub fn set_running(pid: Option<Pid>) {
    RUNNING.store(pid.map_or(0, Pid::as_raw), SeqCst);
}

/// Before any other thread exists: they inherit the blocked signals (a started server does not).
pub fn install() -> Outcome<()> {
    let mut ending = SigSet::empty();
    ending.add(Signal::SIGINT);
    ending.add(Signal::SIGTERM);
    ending.add(Signal::SIGHUP);
    ending.thread_block()?;
    std::thread::spawn(move || {
        let signal = ending.wait();
        let pid = RUNNING.load(SeqCst);
        if pid != 0 {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        eprintln!("stopped by {signal:?}");
        std::process::exit(130);
    });
    Ok(())
}
