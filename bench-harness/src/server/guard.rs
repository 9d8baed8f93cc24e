//! No server outlives the harness, and what was measured outlives Ctrl-C: the first one asks the
//! run to end and to write down what it has, the second one ends it at once.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::failure::Outcome;

/// Servers that run at a time: rivals take turns, and a restart has one of its own.
const RUNNING_MAX: usize = 4;
/// Their processes; 0 for none.
static RUNNING: [AtomicI32; RUNNING_MAX] = [const { AtomicI32::new(0) }; RUNNING_MAX];
static ASKED: AtomicBool = AtomicBool::new(false);

pub fn add(pid: Pid) {
    replace(0, pid.as_raw());
}

pub fn remove(pid: Pid) {
    replace(pid.as_raw(), 0);
}

fn replace(old: i32, new: i32) {
    let found = RUNNING.iter().find(|slot| slot.compare_exchange(old, new, SeqCst, SeqCst).is_ok());
    assert!(found.is_some(), "a harness runs at most {RUNNING_MAX} servers");
}

/// Somebody wants the run to end.
pub fn is_asked_to_end() -> bool {
    ASKED.load(SeqCst)
}

fn ending() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// In the thread that starts a server, which inherits what is blocked.
pub fn unblock() -> Outcome<()> {
    Ok(ending().thread_unblock()?)
}

/// Before any other thread exists: they inherit the blocked signals.
pub fn install() -> Outcome<()> {
    let ending = ending();
    ending.thread_block()?;
    std::thread::spawn(move || {
        // Waiting for a set of real signals does not fail.
        let _ = ending.wait();
        ASKED.store(true, SeqCst);
        eprintln!("\nending after this run; once more to end now");
        let _ = ending.wait();
        for pid in RUNNING.iter().map(|slot| slot.load(SeqCst)).filter(|pid| *pid != 0) {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        eprintln!("stopped");
        std::process::exit(130);
    });
    Ok(())
}
