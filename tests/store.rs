//! JetStream's store directory as an operator meets it: marked, locked, found again, refused.
#![allow(clippy::disallowed_methods, reason = "a test of a running process waits for real time")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

#[allow(dead_code, reason = "shared with other tests, each uses its part")]
#[path = "support/server.rs"]
mod server;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

fn try_start(store: &Path, shards: usize) -> Result<Server, String> {
    let flags = ["-js", "-sd", store.to_str().unwrap()].map(str::to_owned);
    Server::start("", &flags, Some(shards))
}

fn start(store: &Path, shards: usize) -> Server {
    try_start(store, shards).unwrap()
}

fn refusal(store: &Path) -> String {
    let text = try_start(store, 1).err().expect("refused");
    let line = text.lines().find(|line| line.contains("[FTL]")).expect("it says why");
    line.to_owned()
}

fn stop(mut server: Server) {
    server.signal("TERM").unwrap();
    assert!(server.wait_exit(PATIENCE).unwrap().success());
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("target").unwrap()
}

/// A client that knows just enough.
struct Client {
    reader: BufReader<TcpStream>,
    next: u64,
}

impl Client {
    fn connect(server: &Server) -> Self {
        let stream = server::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self { reader: BufReader::new(stream), next: 0 };
        client.send(b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
        client.send(b"SUB in.> 1\r\n");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    fn publish(&mut self, subject: &str, payload: &str) {
        self.next += 1;
        let (reply, len) = (self.next, payload.len());
        self.send(format!("PUB {subject} in.{reply} {len}\r\n{payload}\r\n").as_bytes());
    }

    /// The next message: to which request it answers, and its payload. `None`: the server closed.
    fn receive(&mut self) -> Option<(u64, String)> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => self.send(b"PONG\r\n"),
                ["MSG" | "HMSG", subject, .., len] => {
                    let mut payload = vec![0; len.parse::<usize>().unwrap() + 2];
                    self.reader.read_exact(&mut payload).unwrap();
                    let payload = String::from_utf8(payload).unwrap();
                    let number = subject.strip_prefix("in.").unwrap().parse().unwrap();
                    return Some((number, payload.trim_end().to_owned()));
                }
                _ => {}
            }
        }
    }

    fn request(&mut self, subject: &str, payload: &str) -> String {
        self.publish(subject, payload);
        let (number, answer) = self.receive().expect("an answer");
        assert_eq!(number, self.next);
        answer
    }

    fn create_stream(&mut self) {
        let config = r#"{"name":"S","subjects":["s.*"],"storage":"file","allow_direct":true}"#;
        let answer = self.request("$JS.API.STREAM.CREATE.S", config);
        assert!(answer.contains("\"did_create\":true"), "{answer}");
    }

    fn last_seq(&mut self) -> u64 {
        let answer = self.request("$JS.API.STREAM.INFO.S", "");
        let rest = answer.split_once("\"last_seq\":").expect(&answer).1;
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    }

    fn payload_at(&mut self, seq: u64) -> String {
        let answer = self.request("$JS.API.DIRECT.GET.S", &format!("{{\"seq\":{seq}}}"));
        if answer.contains("NATS/1.0") {
            return answer.rsplit("\r\n").next().unwrap().to_owned();
        }
        answer
    }
}

#[test]
fn a_store_is_marked_and_grows_with_the_shards() {
    let directory = directory();
    let server = start(directory.path(), 2);
    let path = directory.path().join("weft");
    let log = server.log();
    assert!(log.contains("Starting JetStream"), "{log}");
    assert!(log.contains(&format!("Store Directory: {path:?}")), "{log}");
    let (ready, took) = (log.find("Server is ready"), log.find("to start JetStream"));
    assert!(took < ready, "{log}");
    let marker = || fs::read_to_string(path.join("weft.json")).unwrap();
    assert_eq!(marker(), r#"{"format":1,"logs":2}"#);
    let measured = || server.log().contains("Disk: a flushed write of 4096 bytes takes");
    let until = Instant::now() + Duration::from_secs(20);
    while !measured() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(measured(), "{}", server.log());
    stop(server);
    stop(start(directory.path(), 4));
    stop(start(directory.path(), 1));
    assert_eq!(marker(), r#"{"format":1,"logs":4}"#);
}

#[test]
fn a_second_server_is_refused() {
    let directory = directory();
    let _first = start(directory.path(), 1);
    let line = refusal(directory.path());
    assert!(line.contains("is in use by another process: stop it"), "{line}");
}

#[test]
fn streams_of_nats_server_are_refused_with_the_way_over() {
    let directory = directory();
    let stream = directory.path().join("jetstream/$G/streams/ORDERS");
    fs::create_dir_all(&stream).unwrap();
    fs::write(stream.join("meta.inf"), "{}").unwrap();
    let line = refusal(directory.path());
    assert!(line.contains("nats stream backup"), "{line}");
    assert!(!directory.path().join("weft").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let line = refusal(&PathBuf::from("/proc/nobody"));
    assert!(line.contains("Can't start JetStream: /proc/nobody/weft"), "{line}");
}

#[test]
fn a_file_is_no_store_directory() {
    let directory = directory();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let line = refusal(&file);
    assert!(line.contains("Can't start JetStream: storage directory is not a directory"), "{line}");
}

/// Publishes until the server is gone. Returns how many messages it acknowledged.
fn publish_until_killed(mut client: Client, mut server: Server, how: &str) -> (u64, Server) {
    const WINDOW: u64 = 500;
    let first = client.next + 1;
    let killer = std::thread::spawn({
        let how = how.to_owned();
        move || {
            std::thread::sleep(Duration::from_millis(300));
            server.signal(&how).unwrap();
            server.wait_exit(PATIENCE).unwrap();
            server
        }
    });
    let mut acked = 0;
    let (mut sent, mut received) = (0, 0);
    loop {
        while sent < received + WINDOW {
            let number = client.next + 1;
            let payload = format!("message {}", number - first + 1);
            let line = format!("PUB s.x in.{number} {}\r\n{payload}\r\n", payload.len());
            if client.reader.get_mut().write_all(line.as_bytes()).is_err() {
                break;
            }
            client.next += 1;
            sent += 1;
        }
        let Some((_, answer)) = client.receive() else { break };
        received += 1;
        if answer.starts_with("{\"stream\":\"S\",") {
            acked += 1;
        }
    }
    (acked, killer.join().unwrap())
}

fn check_after(how: &str, shards: usize, shards_after: usize) {
    let directory = directory();
    let server = start(directory.path(), shards);
    let mut client = Client::connect(&server);
    client.create_stream();
    let (acked, old) = publish_until_killed(client, server, how);
    assert!(acked > 0);
    drop(old);
    let server = start(directory.path(), shards_after);
    if how == "TERM" {
        let log = server.log();
        assert!(!log.contains("[WRN] log "), "{log}");
    }
    let mut client = Client::connect(&server);
    let last = client.last_seq();
    assert!(last >= acked, "{acked} were acknowledged, {last} are there");
    for seq in [1, acked / 2 + 1, acked, last] {
        assert_eq!(client.payload_at(seq), format!("message {seq}"));
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    check_after("KILL", 2, 2);
    check_after("KILL", 1, 3);
}

#[test]
fn a_stop_settles_and_closes_the_logs() {
    check_after("TERM", 1, 1);
    check_after("TERM", 4, 1);
}

/// Streams made and filled in each life are found by every later one, whatever the number of
/// cores, after stops and kills.
#[test]
fn cores_change() {
    let directory = directory();
    let mut filled: Vec<(usize, u64)> = Vec::new();
    for (life, shards) in [1usize, 4, 3, 4].into_iter().enumerate() {
        let mut server = start(directory.path(), shards);
        let mut client = Client::connect(&server);
        for (stream, count) in &mut filled {
            let at = |client: &mut Client, seq: u64| {
                let api = format!("$JS.API.DIRECT.GET.S{stream}");
                let answer = client.request(&api, &format!("{{\"seq\":{seq}}}"));
                answer.rsplit("\r\n").next().unwrap().to_owned()
            };
            for seq in [1, *count / 2, *count] {
                assert_eq!(at(&mut client, seq), format!("message {seq}"), "life {life}");
            }
            *count += 1;
            let answer = client.request(&format!("s{stream}.x"), &format!("message {count}"));
            assert!(answer.contains(&format!("\"seq\":{count}")), "life {life}: {answer}");
        }
        for stream in life * 6..(life + 1) * 6 {
            let config = format!(
                r#"{{"name":"S{stream}","subjects":["s{stream}.*"],"storage":"file","allow_direct":true}}"#
            );
            let answer = client.request(&format!("$JS.API.STREAM.CREATE.S{stream}"), &config);
            assert!(answer.contains("\"did_create\":true"), "{answer}");
            let count = 20 + stream as u64;
            for seq in 1..=count {
                let answer = client.request(&format!("s{stream}.x"), &format!("message {seq}"));
                assert!(answer.contains(&format!("\"seq\":{seq}")), "{answer}");
            }
            filled.push((stream, count));
        }
        if life % 2 == 0 {
            stop(server);
        } else {
            server.signal("KILL").unwrap();
            server.wait_exit(PATIENCE).unwrap();
        }
    }
    let marker = fs::read_to_string(directory.path().join("weft/weft.json")).unwrap();
    assert_eq!(marker, r#"{"format":1,"logs":4}"#);
}

/// Bytes that rot below later batches are reported when the log is opened.
#[test]
fn damage_is_reported_at_the_start() {
    let directory = directory();
    let server = start(directory.path(), 1);
    let mut client = Client::connect(&server);
    client.create_stream();
    for _ in 0..20 {
        client.request("s.x", &"payload ".repeat(100));
    }
    let mut server = server;
    server.signal("KILL").unwrap();
    server.wait_exit(PATIENCE).unwrap();
    let log = directory.path().join("weft/log-0");
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let file = files
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .find(|path| fs::read(path).unwrap().windows(7).any(|bytes| bytes == b"payload"));
    let file = file.expect("the segment with the messages");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(7).position(|bytes| bytes == b"payload").unwrap();
    bytes[at + 3] ^= 1;
    fs::write(&file, bytes).unwrap();
    let server = start(directory.path(), 1);
    let log = server.log();
    assert!(log.contains("records that were acknowledged are lost: segment"), "{log}");
}

/// File systems that fail by themselves, which only root can mount.
#[cfg(feature = "log-faults")]
mod mounted {
    use std::process::Command;

    use super::*;

    struct Mount {
        point: tempfile::TempDir,
        _image: Option<tempfile::TempDir>,
    }

    fn run(program: &str, args: &[&str]) {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
    }

    impl Mount {
        fn tmpfs(size: &str) -> Self {
            let mount = Self { point: directory(), _image: None };
            let size = format!("size={size}");
            run("mount", &["-t", "tmpfs", "-o", &size, "none", mount.path().to_str().unwrap()]);
            mount
        }

        fn ext4(mebibytes: u64) -> Self {
            let (point, images) = (directory(), directory());
            let image = images.path().join("image");
            fs::File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
            let image = image.to_str().unwrap();
            run("mkfs.ext4", &["-q", "-F", image]);
            run("mount", &["-o", "loop", image, point.path().to_str().unwrap()]);
            Self { point, _image: Some(images) }
        }

        fn path(&self) -> &Path {
            self.point.path()
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            // A server that a failed test left behind may still use it.
            let _ = Command::new("umount").arg("-l").arg(self.path()).status();
        }
    }

    /// Publishes until one is refused. Returns how many were acknowledged, and the refusal.
    fn publish_until_refused(client: &mut Client) -> (u64, String) {
        let payload = "x".repeat(100_000);
        for acked in 0.. {
            let answer = client.request("s.x", &payload);
            if answer.contains("\"error\"") {
                return (acked, answer);
            }
        }
        unreachable!("a disk has an end")
    }

    #[test]
    fn a_full_disk_refuses_publishes_until_there_is_room() {
        let mount = Mount::tmpfs("16m");
        let server = start(mount.path(), 1);
        assert!(server.log().contains("is on tmpfs"), "{}", server.log());
        let mut client = Client::connect(&server);
        client.create_stream();
        let (acked, refusal) = publish_until_refused(&mut client);
        assert!(acked > 10 && refusal.contains("insufficient storage"), "{acked}: {refusal}");
        assert_eq!(client.last_seq(), acked);
        let answer = client.request("$JS.API.STREAM.PURGE.S", "");
        assert!(answer.contains("\"success\":true"), "{answer}");
        let deadline = std::time::Instant::now() + PATIENCE;
        while client.request("s.x", "y").contains("\"error\"") {
            assert!(std::time::Instant::now() < deadline, "no room after a purge");
            std::thread::sleep(Duration::from_millis(50));
        }
        stop(server);
        let server = start(mount.path(), 1);
        assert_eq!(Client::connect(&server).last_seq(), acked + 1);
    }

    #[test]
    fn a_disk_that_turns_read_only_refuses_publishes_and_serves_reads() {
        let mount = Mount::ext4(64);
        let server = start(mount.path(), 1);
        let mut client = Client::connect(&server);
        client.create_stream();
        for number in 1..=20 {
            client.request("s.x", &format!("message {number}"));
        }
        run("mount", &["-o", "remount,abort", mount.path().to_str().unwrap()]);
        let (acked, refusal) = publish_until_refused(&mut client);
        assert!(refusal.contains("\"code\":503"), "{refusal}");
        assert_eq!(acked, 0);
        let again = client.request("s.x", "y");
        assert!(again.contains("\"error\""), "read-only until a restart: {again}");
        assert_eq!(client.payload_at(7), "message 7");
        assert!(server.log().contains("read-only until a restart"), "{}", server.log());
        stop(server);
        let line = super::refusal(mount.path());
        assert!(line.contains("Can't start JetStream"), "{line}");
    }
}
