use std::time::Duration;

use super::*;
use crate::config::{JetStream, Spin};

fn run(args: &[&str]) -> Result<Command, CliError> {
    let read = |path: &Path| match path.to_str() {
        Some("ok.conf") => Ok(b"port: 4222".to_vec()),
        Some("full.conf") => Ok(b"listen: 'h:1', http: 'm:2', debug: on, logtime: no".to_vec()),
        Some("bad.conf") => Ok(b"bogus: 1".to_vec()),
        Some("cross.conf") => Ok(b"max_payload: 65mb".to_vec()),
        Some("store.conf") => Ok(b"jetstream { store_dir: '/x' }".to_vec()),
        Some("p.pid") => Ok(b"4711".to_vec()),
        Some("nl.pid") => Ok(b"4711\n".to_vec()),
        Some("q.pid") => Ok(b"abc".to_vec()),
        _ => Err(io::Error::from_raw_os_error(2)),
    };
    let surroundings = Surroundings { read: &read, variable: &|_| None };
    parse_in(args.iter().map(OsString::from), &surroundings)
}

fn options(args: &[&str]) -> Options {
    match run(args) {
        Ok(Command::Run { options, .. }) => *options,
        other => panic!("{args:?}: {other:?}"),
    }
}

/// The first line of the error.
fn error(args: &[&str]) -> String {
    let text = run(args).expect_err("is wrong").to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn an_empty_line_follows_what_is_wrong_with_keys() {
    let printed = |args: &[&str]| run(args).expect_err("is wrong").printed();
    let text = "nats-server: bad.conf:1:0: unknown field \"bogus\"\n";
    assert_eq!(printed(&["-t", "-c", "bad.conf"]), text);
    assert!(!printed(&["-t", "-c", "none.conf"]).ends_with('\n'));
}

#[test]
fn every_spelling_of_a_flag_is_the_same_flag() {
    for args in [
        &["-p", "4333"][..],
        &["-p=4333"],
        &["--p", "4333"],
        &["--port=4333"],
        &["-port", "4333"],
        &["-p", "0x10ed"],
        &["-p", "1", "-p", "4333"],
    ] {
        assert_eq!(options(args).listen.port, Port::Fixed(4333), "{args:?}");
    }
    assert_eq!(options(&["-p", "-1"]).listen.port, Port::Any);
    assert_eq!(options(&["-p", "0"]).listen.port, Port::Fixed(4222));
    for name in ["-n", "--n", "-name", "--name", "-server_name", "--server_name"] {
        assert_eq!(options(&[name, "x"]).server_name.as_deref(), Some("x"), "{name}");
    }
    for name in ["-a", "--addr", "--net", "-net"] {
        assert_eq!(options(&[name, "::"]).listen.host, "::", "{name}");
    }
}

#[test]
fn log_flags_combine() {
    for (flag, debug, trace, verbose) in [
        ("-D", true, false, false),
        ("-V", false, true, false),
        ("-DV", true, true, false),
        ("-VV", false, true, true),
        ("-DVV", true, true, true),
        ("--debug=true", true, false, false),
        ("--DV=false", false, false, false),
        ("--trace", false, true, false),
    ] {
        let log = options(&[flag]).log;
        assert_eq!((log.debug, log.trace, log.trace_verbose), (debug, trace, verbose), "{flag}");
    }
    let log = options(&["-l", "/l", "--log_size_limit", "5", "--max_traced_msg_len=7"]).log;
    assert_eq!(log.file.as_deref(), Some(Path::new("/l")));
    assert_eq!((log.size_limit_bytes, log.max_traced_bytes), (Some(5), Some(7)));
}

#[test]
fn flags_override_the_file() {
    let file = options(&["-c", "full.conf"]);
    assert_eq!((file.listen.host.as_str(), file.listen.port), ("h", Port::Fixed(1)));
    assert!(file.log.debug && !file.log.logtime && file.config_digest.is_some());

    let both = options(&["-p", "9", "-c", "full.conf", "-D=false", "-T", "-m", "8", "-P", "x"]);
    assert_eq!((both.listen.host.as_str(), both.listen.port), ("h", Port::Fixed(9)));
    assert_eq!(both.http, Some(Monitor { host: Some("m".to_owned()), port: Port::Fixed(8) }));
    assert!(!both.log.debug && both.log.logtime);
    assert_eq!(both.pid_file.as_deref(), Some(Path::new("x")));
}

#[test]
fn cores_have_flags_of_their_own() {
    let weft = options(&["--cores", "0-3", "--shards", "2", "--spin=50us"]).weft;
    assert_eq!(weft.cores.expect("set").cores(), [0, 1, 2, 3]);
    assert_eq!((weft.shards, weft.spin), (Some(2), Spin::For(Duration::from_micros(50))));
    let weft = options(&["--ring_features", "5.10"]).weft;
    assert_eq!(weft.ring_features.to_string(), "5.10");
    let features = "'auto', '5.10', '5.13', '5.19' or '6.1'";
    let refused = format!("nats-server: ring_features must be {features}, got '5.4'");
    assert_eq!(error(&["--ring_features", "5.4"]), refused);
    assert_eq!(error(&["--cores", "x"]), "nats-server: cores must be like '0-3,6', got 'x'");
    assert_eq!(error(&["--shards", "99"]), "nats-server: 99 shards are more than 64");
}

#[test]
fn words_and_flags_print_version_and_help() {
    for args in [
        &["-v"][..],
        &["--version"],
        &["-version"],
        &["version"],
        &["-DV", "version"],
        &["version", "-bogus"],
        &["-v", "extra"],
    ] {
        let output = run(args).expect("prints").output();
        assert_eq!(output.as_deref(), Some("nats-server: v2.15.1"), "{args:?}");
    }
    for args in [&["-h"][..], &["--help"], &["help"], &["-p", "4", "help"]] {
        let output = run(args).expect("prints").output().expect("text");
        assert!(output.contains("-p, --port <port>"), "{output}");
        assert!(output.contains("-D, --debug[=<bool>]"), "{output}");
    }
}

#[test]
fn a_config_is_checked_without_starting() {
    let checked = run(&["-t", "-c", "ok.conf"]).expect("is valid").output();
    let expected = "nats-server: configuration file ok.conf is valid \
         (sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e)";
    assert_eq!(checked.as_deref(), Some(expected));
    assert!(run(&["-t=true", "-c=cross.conf"]).is_ok());
    assert_eq!(
        error(&["-c=cross.conf"]),
        "nats-server: max_payload (68157440) cannot be higher than max_pending (67108864)"
    );
    for (args, expected) in [
        (&["-t"][..], "must specify [-c, --config] option to check configuration file syntax"),
        (&["-t", "-c", "bad.conf"], "bad.conf:1:0: unknown field \"bogus\""),
        (&["-t", "-c", "nope.conf"], "open nope.conf: no such file or directory"),
    ] {
        assert_eq!(error(args), format!("nats-server: {expected}"));
    }
}

#[test]
fn bad_flags_are_told_as_go_tells_them() {
    for (args, expected) in [
        (&["--bogus"][..], "flag provided but not defined: -bogus"),
        (&["-bogus=3"], "flag provided but not defined: -bogus"),
        (&["-p", "abc"], "invalid value \"abc\" for flag -p: parse error"),
        (&["-p="], "invalid value \"\" for flag -p: parse error"),
        (&["-p", "1e3"], "invalid value \"1e3\" for flag -p: parse error"),
        (
            &["-p", "99999999999999999999"],
            "invalid value \"99999999999999999999\" for flag -p: value out of range",
        ),
        (&["-p"], "flag needs an argument: -p"),
        (&["-D=maybe"], "invalid boolean value \"maybe\" for -D: parse error"),
        (&["---p"], "bad flag syntax: ---p"),
        (&["-=3"], "bad flag syntax: -=3"),
        (&["foo", "bar"], "nats-server: unrecognized command: \"foo\""),
        (&["-p", "1", "foo"], "nats-server: unrecognized command: \"foo\""),
        (&["--", "foo"], "nats-server: unrecognized command: \"foo\""),
        (&["disk-check"], "nats-server: disk-check needs one directory"),
        (&["disk-check", "a", "b"], "nats-server: disk-check needs one directory"),
        (&["-"], "nats-server: unrecognized command: \"-\""),
        (&["-p", "70000"], "nats-server: invalid port 70000"),
        (&["-n", "a b"], "nats-server: server name cannot contain spaces"),
    ] {
        assert_eq!(error(args), expected, "{args:?}");
    }
}

#[test]
fn what_we_lack_is_refused_by_name() {
    for flag in ["-tls", "-s", "--tlsverify", "-no_advertise"] {
        let name = flag.trim_start_matches('-');
        let expected = format!("nats-server: flag \"-{name}\" is not supported yet");
        assert_eq!(error(&[flag]), expected);
        options(&[&format!("{flag}=false")]);
    }
    for flag in ["-tlscert", "-routes", "-r"] {
        let name = flag.trim_start_matches('-');
        let expected = format!("nats-server: flag \"-{name}\" is not supported yet");
        assert_eq!(error(&[flag, "x"]), expected);
    }
}

#[test]
fn jetstream_is_switched_on_and_off() {
    for args in [&["-js"][..], &["--jetstream"], &["-js=true"]] {
        assert_eq!(options(args).jetstream, Some(JetStream::default()), "{args:?}");
    }
    for args in [&["-sd", "/x"][..], &["-sd=/x"], &["--store_dir", "/x"], &["--store_dir=/x"]] {
        let options = options(args);
        assert_eq!((options.store_dir, options.jetstream), (Some("/x".into()), None), "{args:?}");
    }
    assert_eq!(options(&["-js=false"]).jetstream, None);
    assert_eq!(
        error(&["-c", "store.conf", "-sd", "/y"]),
        "nats-server: Duplicate 'store_dir' configuration"
    );
    assert_eq!(options(&["-c", "store.conf", "-js=false"]).jetstream, None);
}

#[test]
fn signals_go_to_a_pid_a_pid_file_or_the_only_other_server() {
    for (text, signal, target) in [
        ("ldm=4711", Signal::Ldm, Target::Process(4711)),
        ("stop=p.pid", Signal::Stop, Target::Process(4711)),
        ("reload=nl.pid", Signal::Reload, Target::Process(4711)),
        ("quit", Signal::Quit, Target::OnlyOther),
        ("term=", Signal::Term, Target::OnlyOther),
        ("reopen", Signal::Reopen, Target::OnlyOther),
    ] {
        for flag in ["-sl", "--signal", "-signal"] {
            match run(&[flag, text]) {
                Ok(Command::Signal { signal: got, target: to }) => {
                    assert_eq!((got, to), (signal, target), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    for (text, expected) in [
        ("bogus=1", "unknown signal \"bogus\""),
        ("=5", "unknown signal \"\""),
        ("stop=/nope", "invalid pid: /nope"),
        ("stop=0", "invalid pid: 0"),
        ("stop=-1", "invalid pid: -1"),
        ("reload=q.pid", "invalid pid: abc"),
    ] {
        assert_eq!(error(&["-sl", text]), format!("nats-server: {expected}"));
    }
}

#[test]
fn a_disk_is_checked_where_the_next_word_says() {
    match run(&["disk-check", "data"]) {
        Ok(Command::DiskCheck { directory }) => assert_eq!(directory, Path::new("data")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_takes_flags_on_both_sides_and_no_broken_file_stops_it() {
    for line in [["-m", "8222", "debug-bundle", "o"], ["debug-bundle", "-m", "8222", "o"]] {
        match run(&line) {
            Ok(Command::DebugBundle { options, config, output }) => {
                assert_eq!(output, Path::new("o"));
                assert_eq!(config, "{}\n");
                assert!(options.http.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
    match run(&["debug-bundle", "-c", "no-such.conf", "-m", "8222", "o"]) {
        Ok(Command::DebugBundle { options, config, .. }) => {
            assert!(config.contains("no-such.conf"), "{config}");
            assert!(options.http.is_some());
        }
        other => panic!("{other:?}"),
    }
    for line in [&["debug-bundle"][..], &["debug-bundle", "a", "b"]] {
        assert_eq!(error(line), "nats-server: debug-bundle needs one file to write");
    }
}

#[test]
fn the_table_of_spellings_and_the_flags_agree() {
    let command = command();
    let mut defined: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
    let mut listed: Vec<_> = spelling::long_forms().collect();
    defined.sort_unstable();
    listed.sort_unstable();
    assert_eq!(defined, listed);
    for name in spelling::spellings() {
        assert_eq!(spelling::spellings().filter(|other| *other == name).count(), 1, "{name}");
    }
}

#[test]
fn an_endless_file_is_refused() {
    let args = ["-c", "/dev/zero"].map(OsString::from);
    let error = parse(args.into_iter()).expect_err("is endless").to_string();
    assert_eq!(error, "nats-server: /dev/zero:1:0: config is too large");
}
