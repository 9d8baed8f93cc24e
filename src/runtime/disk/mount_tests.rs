//! File systems that fail by themselves, each made for one test. Only root can mount them, so
//! they are compiled by hand: `cargo test --release --features testing,log-faults --lib mount_`.
//!
//! A quota is missing here: kernels without it are common. `fault_tests` has its error number.

#![expect(clippy::disallowed_methods, reason = "real time, real disk")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::crash_tests;
use super::fault_tests::{Bench, verify};
use crate::storage::{Event, Health, IoFault, Poison, ReadError, Refusal, Seq, SyncMode};

const MIB: u64 = 1024 * 1024;

/// A mounted file system, and where its bytes are.
struct Mount {
    point: tempfile::TempDir,
    image: Option<PathBuf>,
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Mount {
    fn tmpfs(bytes: u64) -> Self {
        let mount = Self { point: tempfile::tempdir_in("target").unwrap(), image: None };
        let size = format!("size={bytes}");
        run("mount", &["-t", "tmpfs", "-o", &size, "none", text(mount.path())]);
        mount
    }

    /// On a file of this many bytes in `parent`, which has none of them yet.
    fn ext4(parent: &Path, bytes: u64) -> Self {
        let point = tempfile::tempdir_in("target").unwrap();
        let image = parent.join("image");
        File::create(&image).unwrap().set_len(bytes).unwrap();
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0", text(&image)]);
        let mount = Self { point, image: Some(image) };
        mount.mount();
        mount
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", text(self.image.as_ref().unwrap()), text(self.path())]);
    }

    /// The kernel lets go of a killed process' files a moment after its end.
    fn unmount(&self) {
        for _ in 0..100 {
            if Command::new("umount").arg(self.path()).output().unwrap().status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        run("umount", &[text(self.path())]);
    }

    /// What survives of it when it is mounted again.
    fn mount_again(&self) {
        self.unmount();
        self.mount();
    }

    fn path(&self) -> &Path {
        self.point.path()
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// From one moment on nothing reaches the device, not even the file system's journal.
    fn shut_down(&self) {
        const GOING_DOWN: &str = "import fcntl, os, struct, sys; fcntl.ioctl(\
             os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run("python3", &["-c", GOING_DOWN, text(self.path())]);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A test that failed may still use it.
        let _ = Command::new("umount").args(["-l", text(self.path())]).status();
    }
}

fn parent() -> tempfile::TempDir {
    let parent = std::env::var_os("WEFT_CRASH_PARENT").map_or("target".into(), PathBuf::from);
    tempfile::tempdir_in(parent).unwrap()
}

fn fills_up_and_recovers(mount: &Mount, make_room: impl FnOnce(&mut Bench) -> Seq) {
    let mut bench = Bench::open(&mount.log(), SyncMode::Always);
    bench.publish_until(Refusal::NoSpace);
    bench.until("the event", |bench| bench.events.contains(&Event::Full));
    assert_eq!(bench.log.health(), Health::Running);
    let acked = bench.acked;
    bench.read(acked).unwrap();
    let first = make_room(&mut bench);
    bench.until("room", |bench| bench.events.contains(&Event::Room));
    bench.publish_acked(20);
    let acked = bench.acked;
    drop(bench);
    verify(&mount.log(), first, acked);
}

#[test]
fn mount_a_full_tmpfs_takes_again_what_deletes_make_room_for() {
    let mount = Mount::tmpfs(16 * MIB);
    fills_up_and_recovers(&mount, |bench| {
        let first = bench.acked;
        bench.trim(first);
        first
    });
}

#[test]
fn mount_a_full_ext4_takes_again_what_another_file_made_room_for() {
    let parent = parent();
    let mount = Mount::ext4(parent.path(), 64 * MIB);
    let filler = mount.path().join("filler");
    fs::write(&filler, vec![1; 24 * MIB as usize]).unwrap();
    fills_up_and_recovers(&mount, |_| {
        fs::remove_file(&filler).unwrap();
        Seq(1)
    });
}

/// A device that promised more than it has: ext4 has room, the device below it has not.
#[test]
fn mount_a_thin_device_that_runs_dry_loses_nothing_acknowledged() {
    let below = Mount::tmpfs(24 * MIB);
    let mount = Mount::ext4(below.path(), 256 * MIB);
    let mut bench = Bench::open(&mount.log(), SyncMode::Always);
    let mut refused = None;
    while refused.is_none() {
        match bench.publish() {
            Ok(_) | Err(Refusal::Behind) => bench.turn(),
            Err(refusal) => refused = Some(refusal),
        }
    }
    assert!(matches!(refused, Some(Refusal::NoSpace | Refusal::Poisoned)), "{refused:?}");
    let acked = bench.acked;
    println!("the device ran dry after {} messages: {refused:?}", acked.0);
    drop(bench);
    run("mount", &["-o", "remount,size=300m", text(below.path())]);
    mount.mount_again();
    verify(&mount.log(), Seq(1), acked);
}

#[test]
fn mount_a_file_system_that_turned_read_only_poisons() {
    let parent = parent();
    let mount = Mount::ext4(parent.path(), 64 * MIB);
    let mut bench = Bench::open(&mount.log(), SyncMode::Always);
    bench.publish_acked(20);
    // What ext4 does to itself when it meets an error in its own structures.
    run("mount", &["-o", "remount,abort", text(mount.path())]);
    bench.publish_until(Refusal::Poisoned);
    let poison = bench.poison().unwrap();
    assert_eq!(poison.fault, IoFault::Failed(libc::EROFS), "{poison:?}");
    for seq in (1..=bench.acked.0).map(Seq) {
        bench.read(seq).unwrap();
    }
    let acked = bench.acked;
    drop(bench);
    mount.mount_again();
    verify(&mount.log(), Seq(1), acked);
}

#[test]
fn mount_a_disk_that_is_gone_poisons_and_tells_readers() {
    let parent = parent();
    let mount = Mount::ext4(parent.path(), 64 * MIB);
    let mut bench = Bench::open(&mount.log(), SyncMode::Always);
    bench.publish_acked(20);
    mount.shut_down();
    bench.publish_until(Refusal::Poisoned);
    let fault = IoFault::Failed(libc::EIO);
    assert!(matches!(bench.poison(), Some(Poison { fault: found, .. }) if found == fault));
    assert_eq!(bench.read(Seq(1)), Err(ReadError::Fault(fault)), "it is on the disk only");
    bench.read(bench.acked).unwrap();
    let acked = bench.acked;
    drop(bench);
    mount.mount_again();
    verify(&mount.log(), Seq(1), acked);
}

/// Bytes that the device cannot give back.
#[test]
fn mount_unreadable_bytes_are_told_to_their_reader_only() {
    let parent = parent();
    let mount = Mount::ext4(parent.path(), 64 * MIB);
    let mut bench = Bench::open(&mount.log(), SyncMode::Always);
    bench.publish_acked(40);
    let image = File::options().write(true).open(mount.image.as_ref().unwrap()).unwrap();
    image.set_len(MIB).unwrap();
    let mut errors = 0;
    for seq in (1..=bench.acked.0).map(Seq) {
        match bench.read(seq) {
            Ok(()) => {}
            Err(ReadError::Fault(IoFault::Failed(libc::EIO))) => errors += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(errors > 0);
    assert_eq!(bench.log.health(), Health::Running);
    // Now there are bytes again, and they are not what was written.
    image.set_len(64 * MIB).unwrap();
    assert_eq!(bench.read(Seq(1)), Err(ReadError::Damaged));
}

/// `WEFT_CRASH_ROUNDS` rounds: the file system stops between two writes while eight streams are
/// published to; the process dies, and what the journal and the device hold is mounted again.
#[test]
fn mount_what_was_acknowledged_survives_a_cut() {
    let rounds = std::env::var("WEFT_CRASH_ROUNDS").map_or(5, |rounds| rounds.parse().unwrap());
    let parent = parent();
    let mount = Mount::ext4(parent.path(), 512 * MIB);
    let mut acknowledged = crash_tests::nothing_yet();
    let mut total = 0;
    for round in 0..rounds {
        let life = Duration::from_millis(15 + round * 37 % 120);
        let child = crash_tests::Child::start(&mount.log());
        std::thread::sleep(Duration::from_millis(30) + life);
        mount.shut_down();
        let told = child.kill();
        total += crash_tests::note(&told, &mut acknowledged, round);
        mount.mount_again();
        crash_tests::verify(&mount.log(), &mut acknowledged, round);
    }
    println!("{rounds} cuts, {total} acknowledged messages, all found");
    assert!(total > 0);
}
