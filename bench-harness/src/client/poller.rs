//! Edge-triggered epoll: a socket is watched once, for both directions, and never re-armed.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Events fetched per call; more wait in the kernel.
const EVENTS_MAX: usize = 256;

/// What may be tried on a socket without blocking, as far as is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ready {
    pub readable: bool,
    pub writable: bool,
}

pub struct Poller {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, events: vec![EpollEvent::empty(); EVENTS_MAX] })
    }

    pub fn watch(&self, socket: impl AsFd, token: usize) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        Ok(self.epoll.add(socket, EpollEvent::new(flags, token as u64))?)
    }

    /// Like [`Self::wait`], with a timeout that is exact to the timer's slack (50 µs, or what
    /// `prctl` says) instead of to the millisecond.
    pub fn wait_precisely(
        &mut self,
        timeout: Duration,
        each: impl FnMut(usize, Ready),
    ) -> io::Result<()> {
        if !timeout.is_zero() {
            let mut watched = [PollFd::new(self.epoll.0.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut watched, Some(timeout.into()), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.wait(Duration::ZERO, each)
    }

    /// Waits for at most `timeout` and hands each event to `each`.
    pub fn wait(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(usize, Ready),
    ) -> io::Result<()> {
        let millis = u16::try_from(timeout.as_millis()).unwrap_or(u16::MAX);
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::from(millis)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        for event in &self.events[..count] {
            let flags = event.events();
            let ended = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR | EpollFlags::EPOLLRDHUP;
            let ready = Ready {
                readable: flags.intersects(EpollFlags::EPOLLIN | ended),
                writable: flags.intersects(EpollFlags::EPOLLOUT | ended),
            };
            each(event.data() as usize, ready);
        }
        Ok(())
    }
}
