//! Is this machine fit? Asked before glommio starts, which would panic where we can explain.

use std::io;

use io_uring::IoUring;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

/// What glommio locks at least, per process (GLOMMIO.md, "Traps").
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// Descriptors that are not connections: rings, eventfds, listeners, log, files.
const OTHER_FILES: u64 = 64;
/// Of one core: its rings and those of its executor, eventfds.
const FILES_PER_CORE: u64 = 8;

/// The first thing that makes starting useless, with its remedy, in one line.
/// What is merely not as it should be goes into `warnings`.
pub fn run(shards: usize, connections_max: u32, warnings: &mut Vec<String>) -> Result<(), String> {
    kernel(&nix::sys::utsname::uname().map_err(|fault| fault.to_string())?)?;
    io_uring(IoUring::new(8).map(drop))?;
    memlock()?;
    open_files(shards, connections_max, warnings)
}

fn kernel(name: &nix::sys::utsname::UtsName) -> Result<(), String> {
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next(), numbers.next());
    if let (Some(Ok(major)), Some(Ok(minor))) = version
        && (major, minor) < (5, 10)
    {
        return Err(format!("Linux {release} is too old: 5.10 or newer is needed for io_uring"));
    }
    Ok(())
}

fn io_uring(probe: io::Result<()>) -> Result<(), String> {
    let Err(fault) = probe else { return Ok(()) };
    Err(match fault.raw_os_error() {
        Some(libc::ENOSYS) => {
            "io_uring is not in this kernel (or hidden by a sandbox): use a kernel with \
             CONFIG_IO_URING"
                .to_owned()
        }
        Some(libc::EPERM) => {
            let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
            match setting.as_deref().map(str::trim) {
                Ok("1" | "2") => "io_uring is switched off: set sysctl kernel.io_uring_disabled=0",
                _ => {
                    "io_uring is not permitted here: allow io_uring_setup, io_uring_enter and \
                     io_uring_register in the container's seccomp profile"
                }
            }
            .to_owned()
        }
        Some(libc::ENOMEM) => {
            "no memory may be locked for io_uring: raise RLIMIT_MEMLOCK (ulimit -l 8192)".to_owned()
        }
        _ => format!("io_uring cannot be set up: {fault}"),
    })
}

/// Raises the soft limit where that is enough, and the hard one if this process may: what root
/// starts has 64 KiB on many systems with a kernel before 5.16.
fn memlock() -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|fault| fault.to_string())?;
    if hard < MEMLOCK_BYTES_MIN
        && setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
    {
        return Ok(());
    }
    if soft < hard {
        // Refused for no good reason: the check below tells.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard);
    }
    if hard < MEMLOCK_BYTES_MIN {
        return Err(format!(
            "only {hard} bytes may be locked, {MEMLOCK_BYTES_MIN} are needed: raise RLIMIT_MEMLOCK \
             (ulimit -l 8192, or LimitMEMLOCK=8M in the systemd unit)"
        ));
    }
    Ok(())
}

fn open_files(
    shards: usize,
    connections_max: u32,
    warnings: &mut Vec<String>,
) -> Result<(), String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|fault| fault.to_string())?;
    if soft < hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let own = OTHER_FILES + FILES_PER_CORE * shards as u64;
    if hard < own {
        return Err(format!(
            "only {hard} files may be open, {own} are needed for {shards} cores: raise \
             RLIMIT_NOFILE (ulimit -n 65536, or LimitNOFILE=65536 in the systemd unit)"
        ));
    }
    if hard < own + u64::from(connections_max) {
        warnings.push(format!(
            "only {hard} files may be open: that is less than max_connections {connections_max} \
             needs; raise RLIMIT_NOFILE or lower max_connections"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_io_uring_names_its_remedy() {
        let text = |code| io_uring(Err(io::Error::from_raw_os_error(code))).unwrap_err();
        assert!(text(libc::ENOSYS).contains("CONFIG_IO_URING"));
        assert!(text(libc::EPERM).contains("io_uring"));
        assert!(text(libc::ENOMEM).contains("RLIMIT_MEMLOCK"));
        assert!(text(libc::EIO).contains("cannot be set up"));
        assert!(io_uring(Ok(())).is_ok());
    }
}
