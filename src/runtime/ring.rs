//! A core's own io_uring: made with the best features the kernel has, entered once per turn.
//!
//! | kernel | adds | without it |
//! |---|---|---|
//! | 5.10 | the floor | |
//! | 5.13 | multishot poll | a poll is armed again after each event |
//! | 5.19 | cooperative task running, sends that complete | interrupts; short sends are continued |
//! | 6.1 | single issuer, deferred task running | |
//!
//! A setting forces the ladder down, so that the old ways are tested on new kernels.

use std::io;
use std::os::fd::RawFd;

use io_uring::{IoUring, opcode, squeue, types};

/// A rung of the ladder: use nothing newer than this kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ladder {
    V5_10,
    V5_13,
    V5_19,
    V6_1,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    pub multishot_poll: bool,
    pub taskrun_flag: bool,
    /// Send only so many bytes at once, to exercise continued sends; tests of old kernels.
    pub short_sends: bool,
}

pub struct Ring {
    ring: IoUring,
    features: Features,
}

/// `IORING_ENTER_GETEVENTS`: let completions be posted.
const GETEVENTS: u32 = 1;
/// Submissions that fit between two enters; more cause an early enter.
const ENTRIES: u32 = 1024;

impl Ring {
    /// Makes a ring on this thread, which is the only one that may use it.
    pub fn new(ladder: Ladder) -> io::Result<Self> {
        let mut refused = None;
        for rung in [Ladder::V6_1, Ladder::V5_19, Ladder::V5_10] {
            if rung > ladder {
                continue;
            }
            let mut builder = IoUring::builder();
            builder.setup_cqsize(ENTRIES * 4);
            if rung >= Ladder::V5_19 {
                builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
            }
            if rung >= Ladder::V6_1 {
                builder.setup_single_issuer().setup_defer_taskrun();
            }
            match builder.build(ENTRIES) {
                Ok(ring) => return Ok(Self::with(ring, rung, ladder)),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::Unsupported)))
    }

    fn with(ring: IoUring, rung: Ladder, ladder: Ladder) -> Self {
        // 5.13 brought native workers, the nearest thing a ring says about itself.
        let multishot_poll = ladder >= Ladder::V5_13 && ring.params().is_feature_native_workers();
        let features = Features {
            multishot_poll,
            taskrun_flag: rung >= Ladder::V5_19,
            short_sends: ladder < Ladder::V5_19,
        };
        Self { ring, features }
    }

    pub fn features(&self) -> Features {
        self.features
    }

    /// Queues an operation.
    ///
    /// # Safety
    /// Everything the entry points to stays valid and in place until its completion.
    pub unsafe fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: the caller keeps the operation's memory until its completion.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.enter()?;
        }
    }

    /// Hands queued operations to the kernel and lets it post completions, without waiting.
    pub fn enter(&mut self) -> io::Result<()> {
        let (queued, taskrun) = {
            let submission = self.ring.submission();
            (submission.len(), submission.taskrun() || submission.cq_overflow())
        };
        if queued == 0 && !taskrun {
            return Ok(());
        }
        // SAFETY: no argument is passed, and the flags are valid for every ring.
        let result = unsafe {
            self.ring.submitter().enter::<libc::sigset_t>(queued as u32, 0, GETEVENTS, None)
        };
        match result {
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Moves the completions that are there into `into`, as (user data, result, flags).
    pub fn reap(&mut self, into: &mut Vec<(u64, i32, u32)>) {
        into.extend(
            self.ring.completion().map(|entry| (entry.user_data(), entry.result(), entry.flags())),
        );
    }

    /// Hands queued operations to the kernel and sleeps until there is a completion.
    pub fn wait(&mut self) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => Ok(()),
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The completion queue is full, the kernel is short of memory, or a signal came: reap and come
/// back.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::EINTR))
}

/// Whether the completion is one of several of a multishot operation.
pub fn is_more(flags: u32) -> bool {
    io_uring::cqueue::more(flags)
}

/// A poll for input, and for the peer's end.
pub fn poll(fd: RawFd, multishot: bool, user_data: u64) -> squeue::Entry {
    let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
    opcode::PollAdd::new(types::Fd(fd), events).multi(multishot).build().user_data(user_data)
}

pub fn cancel(target: u64, user_data: u64) -> squeue::Entry {
    opcode::AsyncCancel::new(target).build().user_data(user_data)
}

const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;

pub fn send(fd: RawFd, bytes: &[u8], user_data: u64) -> squeue::Entry {
    opcode::Send::new(types::Fd(fd), bytes.as_ptr(), bytes.len() as u32)
        .flags(SEND_FLAGS)
        .build()
        .user_data(user_data)
}

pub fn send_message(fd: RawFd, message: &libc::msghdr, user_data: u64) -> squeue::Entry {
    opcode::SendMsg::new(types::Fd(fd), std::ptr::from_ref(message))
        .flags(SEND_FLAGS as u32)
        .build()
        .user_data(user_data)
}

/// Reads an eventfd into `into`.
pub fn read_counter(fd: RawFd, into: *mut u64, user_data: u64) -> squeue::Entry {
    opcode::Read::new(types::Fd(fd), into.cast(), 8).build().user_data(user_data)
}

/// Completes after `time`; the kernel copies it when it takes the entry.
pub fn timeout(time: &types::Timespec, user_data: u64) -> squeue::Entry {
    opcode::Timeout::new(std::ptr::from_ref(time)).build().user_data(user_data)
}
