use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use super::*;

#[test]
fn the_pid_file_is_a_bare_number_and_goes_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pid");
    let file = OwnFile::write_pid(&path).expect("writes");
    let content = fs::read_to_string(file.path()).expect("reads");
    assert_eq!(content, std::process::id().to_string());
    file.remove().expect("removes");
    assert!(!path.exists());
    assert!(OwnFile::write_pid(Path::new("/nope/x")).is_err());
}

#[test]
fn a_file_of_another_server_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pid");
    let file = OwnFile::write_pid(&path).expect("writes");
    fs::write(&path, "1").expect("writes");
    file.remove().expect("reads");
    assert!(path.exists());
}

#[test]
fn the_ports_file_lists_what_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = Ports {
        nats: urls("nats", "127.0.0.1:4222".parse().expect("an address")),
        monitoring: urls("http", "[::1]:8222".parse().expect("an address")),
        ..Ports::default()
    };
    let file = OwnFile::write_ports(folder.path(), &ports).expect("writes");
    let name = file.path().file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    assert_eq!(name, format!("{}_{}.ports", executable_name(), std::process::id()));
    assert_eq!(
        fs::read_to_string(file.path()).expect("reads"),
        r#"{"nats":["nats://127.0.0.1:4222"],"monitoring":["http://[::1]:8222"]}"#
    );
}

#[test]
fn an_unspecified_address_is_all_addresses() {
    let urls = urls("nats", "0.0.0.0:4222".parse().expect("an address"));
    assert!(urls.contains(&"nats://127.0.0.1:4222".to_owned()), "{urls:?}");
}

#[test]
fn a_signal_reaches_its_process() {
    let mut child = Command::new("sleep").arg("60").spawn().expect("starts");
    let pid = i32::try_from(child.id()).expect("fits");
    send(Signal::Term, Target::Process(pid)).expect("sends");
    assert_eq!(child.wait().expect("ends").signal(), Some(15));
    let error = send(Signal::Stop, Target::Process(pid)).expect_err("is gone");
    assert_eq!(error, format!("signal \"stop\" {pid}: no such process"));
}

#[test]
fn processes_are_found_by_name() {
    let mut child = Command::new("sleep").arg("60").spawn().expect("starts");
    let pid = i32::try_from(child.id()).expect("fits");
    let found = others_named("sleep");
    child.kill().expect("ends");
    child.wait().expect("ends");
    assert!(found.contains(&pid), "{found:?}");
    assert_eq!(others_named("no such program"), [0_i32; 0]);
}
