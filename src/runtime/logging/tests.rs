use std::fs;
use std::path::Path;

use tracing::{debug, error, info, trace, warn};

use super::*;

fn options(file: &Path) -> LogOptions {
    LogOptions { file: Some(file.to_owned()), ..LogOptions::default() }
}

/// Runs `log` under a logger and returns it for more.
fn logged(options: &LogOptions, log: impl FnOnce(&Logger)) -> Logger {
    let logger = Logger::new(options).expect("the file can be opened");
    let subscriber = tracing_subscriber::registry().with(logger.layer());
    tracing::subscriber::with_default(subscriber, || log(&logger));
    logger
}

fn log_all() {
    error!("e");
    warn!("w");
    info!("i {}", 1);
    debug!("d");
    trace!("t");
    error!(fatal = true, cid = 5, "f");
    info!(target: "hyper::client", "somebody else's");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("is written")
}

fn pid() -> u32 {
    std::process::id()
}

#[test]
fn lines_have_the_reference_s_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("l.log");
    for utc in [false, true] {
        logged(&LogOptions { logtime_utc: utc, ..options(&path) }, |_| info!("Server is ready"));
    }
    let pid = pid();
    let text = read(&path);
    assert_eq!(text.lines().count(), 2);
    for line in text.lines() {
        let rest = line.strip_prefix(&format!("[{pid}] ")).expect("the pid");
        let (time, rest) = rest.split_at("2026/11/21 22:38:30.212766".len());
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000/00/00 00:00:00.000000");
        assert_eq!(rest, " [INF] Server is ready");
    }
}

#[test]
fn each_level_is_switched_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    for (debug, trace, tags) in [
        (false, false, "ERR e, WRN w, INF i 1, FTL f"),
        (true, false, "ERR e, WRN w, INF i 1, DBG d, FTL f"),
        (false, true, "ERR e, WRN w, INF i 1, TRC t, FTL f"),
        (true, true, "ERR e, WRN w, INF i 1, DBG d, TRC t, FTL f"),
    ] {
        let path = folder.path().join(format!("{debug}{trace}"));
        logged(&LogOptions { debug, trace, logtime: false, ..options(&path) }, |_| log_all());
        let expected: String = tags
            .split(", ")
            .map(|line| format!("[{}] [{}] {}\n", pid(), &line[..3], &line[4..]))
            .collect();
        assert_eq!(read(&path), expected);
    }
}

#[test]
fn a_reload_changes_levels_and_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, second) = (folder.path().join("1"), folder.path().join("2"));
    let before = LogOptions { logtime: false, ..options(&first) };
    logged(&before, |logger| {
        debug!("unseen");
        logger.apply(&LogOptions { debug: true, ..before.clone() }).expect("same file");
        debug!("seen");
        let after = LogOptions { file: Some(second.clone()), ..before.clone() };
        logger.apply(&after).expect("other file");
        debug!("unseen");
        info!("other");
        let bad = LogOptions { file: Some("/nope/x".into()), debug: true, ..after };
        assert!(logger.apply(&bad).is_err());
        debug!("unseen");
    });
    assert_eq!(read(&first), format!("[{}] [DBG] seen\n", pid()));
    assert_eq!(read(&second), format!("[{}] [INF] other\n", pid()));
}

#[test]
fn a_moved_file_is_left_at_reopen() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, moved) = (folder.path().join("l"), folder.path().join("m"));
    logged(&LogOptions { logtime: false, ..options(&path) }, |logger| {
        info!("old");
        fs::rename(&path, &moved).expect("moves");
        info!("still old");
        logger.reopen();
        info!("new");
    });
    let pid = pid();
    assert_eq!(read(&moved), format!("[{pid}] [INF] old\n[{pid}] [INF] still old\n"));
    assert_eq!(read(&path), format!("[{pid}] [INF] File log re-opened\n[{pid}] [INF] new\n"));
}

#[test]
fn a_full_file_is_rotated_and_old_ones_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("l.log");
    fs::write(folder.path().join("l.log.mine"), "not a backup").expect("writes");
    let options = LogOptions { size_limit_bytes: Some(1000), max_files: Some(3), ..options(&path) };
    logged(&options, |_| {
        for number in 0..100 {
            info!("line {number} of a hundred");
        }
    });
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("lists")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!((names[0].as_str(), names[3].as_str()), ("l.log", "l.log.mine"));
    let text = read(&path);
    let first = text.lines().next().expect("a line");
    let backup = path.with_file_name(&names[2]);
    assert!(first.ends_with(&format!("[INF] Rotated log, backup saved as {backup:?}")), "{first}");
    assert!(read(&backup).len() > 1000);
    assert!(text.contains("line 99 of a hundred"));
}
