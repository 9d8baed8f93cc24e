//! The few system calls that no crate wraps as needed.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn checked(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Reads what is there, without waiting. 0: the peer has closed its end.
pub fn recv(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `into`.
    checked(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) })
}

/// As [`recv`], behind what `stash` holds; reserves room for `len` bytes.
pub fn recv_append(fd: RawFd, stash: &mut Vec<u8>, len: usize) -> io::Result<usize> {
    stash.reserve_exact(len);
    let spare = &mut stash.spare_capacity_mut()[..len];
    // SAFETY: the pointer and the length are those of `spare`.
    let n = checked(unsafe {
        libc::recv(fd, spare.as_mut_ptr().cast(), spare.len(), libc::MSG_DONTWAIT)
    })?;
    // SAFETY: the kernel has written `n` bytes of the spare capacity.
    unsafe { stash.set_len(stash.len() + n) };
    Ok(n)
}

/// Ends both directions: operations in flight complete.
pub fn shutdown(fd: RawFd) {
    // SAFETY: no memory is involved. A socket that is not connected any more is as good as shut.
    unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
}

pub fn no_message() -> libc::msghdr {
    // SAFETY: all zero is a valid header: no name, no vectors, no control data.
    unsafe { std::mem::zeroed() }
}

/// A counter in the kernel that wakes who reads it. Reads block.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wakes the reader.
    pub fn signal(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the pointer and the length are those of `one`. It fails only when the counter
        // is about to overflow, and then the reader is awake.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
