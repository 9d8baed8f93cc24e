//! A crash behind every step that the cores and disks take while a stream or a consumer is made,
//! changed or deleted. It is wholly old or wholly new then, and new if somebody was told so.

use super::plan::{Acks, Begins, ConsumerPlan, Keeps, StreamPlan};
use super::server::End;
use super::world::World;
use crate::types::time::SECOND;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    CreateStream,
    UpdateStream,
    DeleteStream,
    /// Deleted, and made again under the same name before that is on disk.
    ReplaceStream,
    CreateConsumer,
    UpdateConsumer,
    DeleteConsumer,
    ReplaceConsumer,
}

pub const CHANGES: [Change; 8] = [
    Change::CreateStream,
    Change::UpdateStream,
    Change::DeleteStream,
    Change::ReplaceStream,
    Change::CreateConsumer,
    Change::UpdateConsumer,
    Change::DeleteConsumer,
    Change::ReplaceConsumer,
];

/// Crashes behind every step of a change in turn. How many steps it has.
pub fn crash_at_every_step(change: Change, keeps: Keeps, seed: u64) -> u64 {
    let mut steps = 0;
    while crash_behind(change, keeps, seed, steps) {
        steps += 1;
    }
    steps
}

/// False: the change was over before the crash.
fn crash_behind(change: Change, keeps: Keeps, seed: u64, steps: u64) -> bool {
    let (mut world, life, consumer) = prepared(seed, keeps);
    for _ in 0..2 {
        let attempt = world.make_attempt(life);
        world.send_attempt(life, attempt);
    }
    begin(&mut world, change, life, consumer);
    let mut left = steps;
    let is_over = !take_steps(&mut world, &mut left);
    let end = if seed.is_multiple_of(4) { End::Kill } else { End::PowerCut };
    world.crash_so(end);
    for _ in 0..5 {
        world.step();
    }
    world.drain();
    world.stop();
    !is_over
}

/// So many steps. False: there were no more.
fn take_steps(world: &mut World, left: &mut u64) -> bool {
    for _ in 0..100 {
        let mut moved = false;
        for core in 0..world.server.cores() {
            if *left == 0 {
                return true;
            }
            *left -= 1;
            moved |= world.server.turn(core);
            world.hear();
        }
        for disk in 0..world.server.logs() {
            loop {
                if *left == 0 {
                    return true;
                }
                if !world.server.finish_io(disk) {
                    break;
                }
                *left -= 1;
                moved = true;
            }
        }
        if !moved {
            return false;
        }
    }
    false
}

fn begin(world: &mut World, change: Change, life: usize, consumer: usize) {
    let stream = world.lives[life].plan().clone();
    let mark = world.number();
    match change {
        Change::CreateStream => {
            let plan = StreamPlan::plain("S1", u64::from(mark), stream.keeps);
            world.create_stream_so(plan);
        }
        Change::UpdateStream => {
            let limit = if stream.keeps == Keeps::Limits { 2 } else { 0 };
            let plan = StreamPlan { mark: u64::from(mark), per_subject: limit, ..stream };
            world.update_stream_so(life, plan);
        }
        Change::DeleteStream => world.delete_stream_so(life),
        Change::ReplaceStream => {
            world.delete_stream_so(life);
            world.create_stream_so(StreamPlan { mark: u64::from(mark), ..stream });
        }
        Change::CreateConsumer => {
            world.create_consumer_so(life, plain("c1", mark, &stream));
        }
        Change::UpdateConsumer => {
            let plan = world.consumers[consumer].plan.clone();
            let plan = ConsumerPlan { mark, max_ack_pending: 7, ack_wait: SECOND, ..plan };
            world.change_consumer_so(consumer, &plan);
        }
        Change::DeleteConsumer => world.delete_consumer_so(consumer),
        Change::ReplaceConsumer => {
            world.delete_consumer_so(consumer);
            world.create_consumer_so(life, plain("c0", mark, &stream));
        }
    }
}

/// A stream with messages, some of them delivered and some acknowledged.
fn prepared(seed: u64, keeps: Keeps) -> (World, usize, usize) {
    let mut world = World::new(seed);
    let mark = world.number();
    let stream = StreamPlan::plain("S0", u64::from(mark), keeps);
    let life = world.create_stream_so(stream.clone());
    let mark = world.number();
    let consumer = world.create_consumer_so(life, plain("c0", mark, &stream));
    for _ in 0..12 {
        let attempt = world.make_attempt(life);
        world.send_attempt(life, attempt);
    }
    world.pull_so(consumer, 6, SECOND, false);
    world.rest();
    for _ in 0..3.min(world.hands.len()) {
        let hand = world.hands.remove(0);
        world.ack(&hand, b"", true);
    }
    world.rest();
    (world, life, consumer)
}

/// A durable pull consumer; the second takes another subject than the first.
fn plain(name: &str, mark: u32, stream: &StreamPlan) -> ConsumerPlan {
    let filters = match (stream.keeps, name) {
        (Keeps::WorkQueue, "c0") => stream.subjects[..2].to_vec(),
        (Keeps::WorkQueue, _) => stream.subjects[2..].to_vec(),
        _ => Vec::new(),
    };
    ConsumerPlan {
        name: name.into(),
        mark,
        deliver_subject: String::new(),
        acks: Acks::Explicit,
        begins: Begins::All,
        ack_wait: SECOND / 2,
        backoff: Vec::new(),
        max_deliver: 0,
        max_ack_pending: 1000,
        filters,
        in_memory: false,
    }
}
