//! Every workload against a server that is sound, and against one for each way not to be.

use std::thread;

use clap::Parser;

use super::Bench;
use crate::cli::{Cli, Command};
use crate::failure::Outcome;
use crate::fake::{Fake, Fault};
use crate::report::Sample;
use crate::server::{Launch, Server};

const STREAMS: &[&str] = &[
    "pair",
    "fanout --subscribers 3",
    "pairs --pairs 3",
    "queue --members 3",
    "churn",
    "wildcards --subscriptions 200",
    "latency --rate 20000",
    "latency --rate 20000 --shape request --lanes 2",
];

/// Streams: everything that is verified message by message, in order.
const KEPT: &[&str] = &[
    "js-publish --unacked 1",
    "js-publish --unacked 256 --streams 3",
    "js-consume --messages 2000",
    "js-consume --how pull --messages 2000",
    "js-consume --how pull --pull-batch 1 --messages 300",
    "js-consume --how fetch --messages 2000",
    "kv --op watch --keys 100",
    "kv --op update --keys 20",
    "kv --op put --keys 60 --outstanding 4",
    "object --objects 20 --chunks 4",
    "mixed",
    "latency --shape durable --rate 20000",
];

/// Questions that are answered one by one, so that no order is to be broken.
const ASKED: &[&str] = &[
    "js-get --messages 2000",
    "js-get --messages 2000 --outstanding 64",
    "kv --op get --keys 100",
    "consumers --count 300",
];

fn try_run(line: &str, fault: Fault) -> Outcome<Vec<Sample>> {
    let fake = Fake::start(fault);
    let address = fake.address;
    let all = format!(
        "bench-harness {line} --server fake=@{address} --seconds 0.4 --warmup 0.02 --window 64K"
    );
    let cli = Cli::try_parse_from(all.split(' ')).unwrap();
    let Command::Run(workload) = &cli.command else { panic!("{line} is no workload") };
    let spec = &cli.servers.servers[0];
    let server = Server::start(spec, &Launch::default(), workload.wants_streams())?;
    workload.run(&Bench { server: &server, load: &cli.load })
}

fn run(line: &str, fault: Fault) -> Vec<Sample> {
    try_run(line, fault).unwrap_or_else(|failure| panic!("{line}: {failure}"))
}

/// A stream that can't even be prepared is a fault that was seen.
fn faults(line: &str, fault: Fault) -> u64 {
    let Ok(samples) = try_run(line, fault) else { return 1 };
    samples.iter().map(|sample| sample.faults.total()).sum()
}

/// Eight lines at a time: what waits for a lost message waits for seconds, so each may measure longer.
fn beside_each_other<'a>(lines: impl Iterator<Item = &'a &'a str>, check: impl Fn(&str) + Sync) {
    let lines: Vec<_> = lines.collect();
    for some in lines.chunks(8) {
        thread::scope(|scope| {
            for line in some {
                scope.spawn(|| check(line));
            }
        });
    }
}

fn seen_by_all<'a>(lines: impl Iterator<Item = &'a &'a str>, fault: Fault) {
    beside_each_other(lines, |line| assert!(faults(line, fault) > 0, "{line}"));
}

#[test]
fn a_sound_server_is_found_sound() {
    let others = [
        "publish",
        "request --requesters 2 --spacers 1",
        "visibility --tries 300 --lanes 5",
        "visibility --case queue-members --tries 20000",
        "connections --count 20 --idle 0",
        "subscriptions --count 3000",
    ];
    beside_each_other(STREAMS.iter().chain(&others).chain(KEPT).chain(ASKED), |line| {
        for sample in run(line, Fault::None) {
            assert_eq!(sample.faults.total(), 0, "{line}: {:?}", sample.faults);
            assert!(sample.count > 0, "{line}: nothing was measured");
        }
    });
}

#[test]
fn a_dropped_message_is_seen() {
    let others = ["request", "visibility --case sub-ping --tries 60"];
    seen_by_all(STREAMS.iter().chain(KEPT).chain(ASKED).chain(&others), Fault::Drop);
}

#[test]
fn a_message_that_comes_twice_is_seen() {
    let others = ["request", "visibility --case queue-members --tries 500"];
    seen_by_all(STREAMS.iter().chain(KEPT).chain(ASKED).chain(&others), Fault::Duplicate);
}

#[test]
fn a_message_out_of_order_is_seen() {
    seen_by_all(STREAMS.iter().chain(KEPT).chain(&["request"]), Fault::Reorder);
}

#[test]
fn a_changed_message_is_seen() {
    seen_by_all(STREAMS.iter().chain(KEPT).chain(ASKED).chain(&["request"]), Fault::Corrupt);
}

#[test]
fn a_message_behind_the_pong_is_seen() {
    assert!(faults("visibility --case publish-pong --tries 50", Fault::LateDelivery) > 0);
}

#[test]
fn a_listener_that_never_leaves_is_seen() {
    assert!(faults("visibility --case unsub-request --tries 50", Fault::DeafToUnsub) > 0);
}
