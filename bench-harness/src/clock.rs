//! The one place of the harness that reads a clock or sleeps. CPU clocks come from the kernel's
//! own accounting, exact to the nanosecond where `/proc/<pid>/stat` counts 10 ms ticks.

use std::time::{Duration, Instant};

use nix::time::ClockId;
use nix::unistd::Pid;

#[expect(clippy::disallowed_methods, reason = "a load generator is a thing of the real world")]
pub fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the coordinator has nothing to do in a window")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// CPU time, user and system, of all threads a process has or had.
pub fn process_cpu(pid: Pid) -> nix::Result<Duration> {
    ClockId::pid_cpu_clock_id(pid)?.now().map(Duration::from)
}

/// CPU time of one thread of *this* process.
pub fn thread_cpu(thread: Pid) -> nix::Result<Duration> {
    // The kernel's encoding of a per-thread scheduler clock: see CPUCLOCK_* in
    // include/linux/posix-timers_types.h. glibc has no call that takes a thread id.
    const PER_THREAD_SCHED: i32 = 0b110;
    ClockId::from_raw((!thread.as_raw() << 3) | PER_THREAD_SCHED).now().map(Duration::from)
}

/// Waits of the calling thread end when they should instead of up to 50 µs later.
pub fn sharpen_timers() -> nix::Result<()> {
    nix::sys::prctl::set_timerslack(1)
}
