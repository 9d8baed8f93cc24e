use super::*;
use crate::storage::append::Urgency;
use crate::storage::fault::{Operation, Refusal};
use crate::storage::ids::Seq;
use crate::storage::index::Entry;
use crate::storage::reads::Found;
use crate::storage::record::Message;
use crate::storage::segment::Stage;

const STREAM: StreamId = StreamId(1);
const NOW: Mono = Mono(1);

/// A log and what it wants done, which is done by hand.
struct Bench {
    log: Log,
    wanted: VecDeque<Effect>,
    files: BTreeMap<SlotId, Vec<u8>>,
}

impl Bench {
    fn new(sync: SyncMode) -> Self {
        let settings = LogSettings {
            sync,
            segment_bytes_min: 64 * 1024,
            segment_bytes_max: 64 * 1024,
            gather_bytes_max: 256 * 1024,
            ..LogSettings::default()
        };
        Self { log: Log::new(LogId(1), settings), wanted: VecDeque::new(), files: BTreeMap::new() }
    }

    /// With its first segments ready.
    fn ready(sync: SyncMode) -> Self {
        let mut bench = Self::new(sync);
        bench.append(b"first").unwrap();
        bench.run();
        bench
    }

    fn append_to(
        &mut self,
        stream: StreamId,
        payload: &[u8],
        urgency: Urgency,
    ) -> Result<Lsn, Refusal> {
        let seq = self.log.stream(stream).map_or(Seq(0), |index| index.last_seq()).next();
        let (subject, headers) = (&b"s"[..], &b""[..]);
        let message = Message { stream, seq, time: 1, subject, headers, payload, saved: 0 };
        self.log.append(&message, urgency, NOW)
    }

    fn append_with(&mut self, payload: &[u8], urgency: Urgency) -> Result<Lsn, Refusal> {
        self.append_to(STREAM, payload, urgency)
    }

    fn append(&mut self, payload: &[u8]) -> Result<Lsn, Refusal> {
        self.append_with(payload, Urgency::Now)
    }

    fn effects(&mut self) -> &VecDeque<Effect> {
        self.wanted.extend(self.log.take_effects());
        &self.wanted
    }

    fn writes(&mut self) -> usize {
        let is_write = |effect: &&Effect| matches!(effect, Effect::Write { .. });
        self.effects().iter().filter(is_write).count()
    }

    /// Does everything that is wanted, or fails it.
    fn run_with(&mut self, fault: impl Fn(&Effect) -> Option<IoFault>) {
        self.log.on_turn_end(NOW);
        loop {
            self.effects();
            let Some(effect) = self.wanted.pop_front() else { return };
            let failed = fault(&effect);
            self.carry_out(effect, failed);
        }
    }

    fn carry_out(&mut self, effect: Effect, failed: Option<IoFault>) {
        match (effect, failed) {
            (Effect::Write { op, slot, offset, bytes, .. }, None) => {
                let at = offset as usize;
                let file = self.files.get_mut(&slot).unwrap();
                file[at..at + bytes.len()].copy_from_slice(&bytes);
                self.log.on_written(op, NOW);
            }
            (Effect::Sync { op, .. } | Effect::SyncDirectory { op }, None) => {
                self.log.on_synced(op, NOW);
            }
            (Effect::Prepare { op, slot, len, .. }, None) => {
                self.files.entry(slot).or_default().resize(len as usize, 0);
                self.log.on_prepared(op, NOW);
            }
            (Effect::Read { op, slot, offset, len }, None) => {
                assert!(offset.is_multiple_of(4096) && len.is_multiple_of(4096), "direct I/O");
                let at = offset as usize;
                let mut bytes = Buffer::new();
                bytes.extend_from_slice(&self.files[&slot][at..at + len as usize]);
                self.log.on_read(op, bytes, NOW);
            }
            (Effect::Delete { slot }, _) => {
                self.files.remove(&slot);
            }
            (
                Effect::Write { op, .. }
                | Effect::Sync { op, .. }
                | Effect::SyncDirectory { op }
                | Effect::Prepare { op, .. }
                | Effect::Read { op, .. },
                Some(fault),
            ) => self.log.on_fault(op, fault, NOW),
        }
    }

    /// Does everything that is wanted but the writes of footers, which it returns.
    fn run_without_footers(&mut self) -> Vec<Effect> {
        let is_footer = |effect: &Effect| match effect {
            Effect::Write { bytes, .. } => !bytes.starts_with(b"WFTB"),
            _ => false,
        };
        let mut held = Vec::new();
        self.log.on_turn_end(NOW);
        loop {
            self.effects();
            match self.wanted.pop_front() {
                None => return held,
                Some(effect) if is_footer(&effect) => held.push(effect),
                Some(effect) => self.carry_out(effect, None),
            }
        }
    }

    fn run(&mut self) {
        self.run_with(|_| None);
    }
}

fn fails_writes(effect: &Effect) -> Option<IoFault> {
    matches!(effect, Effect::Write { .. }).then_some(IoFault::Failed(5))
}

fn fails_prepare(effect: &Effect) -> Option<IoFault> {
    matches!(effect, Effect::Prepare { .. }).then_some(IoFault::NoSpace)
}

#[test]
fn an_empty_log_wants_nothing() {
    let mut bench = Bench::new(SyncMode::Always);
    bench.log.on_turn_end(NOW);
    bench.log.on_tick(Mono(u64::MAX / 2));
    assert!(bench.effects().is_empty());
    assert_eq!(bench.log.disk_bytes(), 0);
}

#[test]
fn acks_only_what_is_durable() {
    let mut bench = Bench::ready(SyncMode::Always);
    let lsn = bench.append(b"x").unwrap();
    bench.log.on_turn_end(NOW);
    assert!(bench.log.settled() < lsn);
    assert_eq!(bench.log.find(STREAM, Seq(2)), Ok(Found::Absent));
    bench.run();
    assert_eq!(bench.log.settled(), lsn);
    assert!(matches!(bench.log.find(STREAM, Seq(2)), Ok(Found::InMemory(_))));
}

#[test]
fn a_lone_writer_does_not_wait_for_company() {
    let mut bench = Bench::ready(SyncMode::Always);
    bench.append(b"x").unwrap();
    bench.log.on_turn_end(NOW);
    assert_eq!(bench.writes(), 1);
}

#[test]
fn what_gathers_during_a_write_shares_the_next() {
    let mut bench = Bench::ready(SyncMode::Always);
    let first = bench.append(b"x").unwrap();
    bench.log.on_turn_end(NOW);
    let rest: Vec<Lsn> = (0..100).map(|_| bench.append(b"y").unwrap()).collect();
    bench.log.on_turn_end(NOW);
    assert_eq!(bench.writes(), 1, "one write is in flight");
    assert!(rest.iter().all(|&lsn| lsn == first.next()));
    bench.run();
    assert_eq!(bench.log.settled(), first.next());
}

#[test]
fn progress_rides_along() {
    let mut bench = Bench::ready(SyncMode::Always);
    let lsn = bench.append_with(b"x", Urgency::RideAlong).unwrap();
    bench.run();
    assert!(bench.log.durable() < lsn);
    let due = bench.log.wake_at();
    assert!(due <= NOW.plus(limits::RIDE_ALONG_NS));
    bench.log.on_tick(due);
    bench.run();
    assert_eq!(bench.log.durable(), lsn);
}

#[test]
fn an_idle_tail_is_closed_once() {
    let mut bench = Bench::ready(SyncMode::Always);
    bench.append(b"x").unwrap();
    bench.run();
    let before = bench.log.durable();
    bench.log.on_tick(NOW.plus(limits::IDLE_CLOSE_NS));
    bench.run();
    assert_eq!(bench.log.durable(), before.next());
    bench.log.on_tick(NOW.plus(limits::IDLE_CLOSE_NS * 3));
    bench.run();
    assert_eq!(bench.log.durable(), before.next());
}

#[test]
fn a_failed_flush_poisons_until_a_restart() {
    let mut bench = Bench::ready(SyncMode::Always);
    let settled = bench.log.settled();
    bench.append(b"x").unwrap();
    bench.run_with(fails_writes);
    let poison = Poison { during: Operation::Write, fault: IoFault::Failed(5) };
    assert_eq!(bench.log.health(), Health::Poisoned(poison));
    bench.run();
    assert_eq!(bench.append(b"y"), Err(Refusal::Poisoned));
    assert_eq!(bench.log.trim(STREAM, Seq(2), Urgency::Now, NOW), Err(Refusal::Poisoned));
    assert_eq!(bench.log.settled(), settled, "never acknowledged");
    assert_eq!(bench.writes(), 0, "never tried again");
    assert!(matches!(bench.log.find(STREAM, Seq(1)), Ok(Found::InMemory(_))), "reads go on");
}

#[test]
fn a_full_disk_refuses_publishes_takes_deletes_and_clears_by_itself() {
    let mut bench = Bench::ready(SyncMode::Always);
    let refusal = loop {
        bench.run_with(fails_prepare);
        if let Err(refusal) = bench.append(&[1; 4000]) {
            break refusal;
        }
    };
    assert_eq!(refusal, Refusal::NoSpace);
    assert_eq!(bench.log.health(), Health::Running);
    let last = bench.log.stream(STREAM).unwrap().last_seq();
    let lsn = bench.log.delete(STREAM, &[last.previous()], false, Urgency::Now, NOW).unwrap();
    bench.run_with(fails_prepare);
    assert!(bench.log.durable() >= lsn);
    bench.log.on_tick(NOW.plus(limits::NO_SPACE_RETRY_NS));
    bench.run();
    assert!(bench.append(&[1; 4000]).is_ok());
}

#[test]
fn a_log_that_cannot_keep_up_pushes_back() {
    let mut bench = Bench::new(SyncMode::Always);
    let refused = (0..1000).find_map(|_| bench.append(&[1; 4000]).err());
    assert_eq!(refused, Some(Refusal::Behind));
    bench.run();
    assert!(bench.append(b"x").is_ok());
}

#[test]
fn with_an_interval_a_flush_comes_later() {
    let mut bench = Bench::ready(SyncMode::Every(1_000_000));
    let lsn = bench.append(b"x").unwrap();
    bench.run();
    assert_eq!(bench.log.settled(), lsn, "written");
    assert!(bench.log.durable() < lsn);
    bench.log.on_tick(NOW.plus(1_000_001));
    bench.run();
    assert_eq!(bench.log.durable(), lsn);
}

#[test]
fn a_large_message_gets_a_segment_of_its_size() {
    let mut bench = Bench::ready(SyncMode::Always);
    let large = vec![5; 300 * 1024];
    let lsn = loop {
        match bench.append(&large) {
            Ok(lsn) => break lsn,
            Err(refusal) => assert_eq!(refusal, Refusal::Behind),
        }
        bench.run();
    };
    bench.run();
    assert!(bench.log.settled() >= lsn);
    let too_large = vec![0; limits::ATOMIC_BYTES_MAX + 1];
    assert_eq!(bench.append(&too_large), Err(Refusal::TooLarge));
}

#[test]
fn a_segment_that_mixes_streams_rests_before_it_is_sorted() {
    let mut bench = Bench::ready(SyncMode::Always);
    for at in 0..120 {
        let stream = StreamId(STREAM.0 + at % 2);
        while bench.append_to(stream, &[1; 3000], Urgency::Now).is_err() {
            bench.run();
        }
        bench.run();
    }
    let mut copied_at = |ns| {
        bench.log.on_tick(NOW.plus(ns));
        bench.run();
        bench.log.counters().copied_bytes
    };
    assert_eq!(copied_at(limits::SORT_DELAY_NS - 1), 0);
    assert!(copied_at(2 * limits::SORT_DELAY_NS) > 0);
}

#[test]
fn what_is_drained_gives_the_disk_back() {
    let mut bench = Bench::ready(SyncMode::Always);
    let mut now = NOW;
    for _ in 0..600 {
        while bench.append(&[1; 3000]).is_err() {
            bench.run();
        }
        bench.run();
        let last = bench.log.stream(STREAM).unwrap().last_seq();
        bench.log.delete(STREAM, &[last], false, Urgency::Now, now).unwrap();
        bench.run();
        now = now.plus(limits::TIDY_INTERVAL_NS);
        bench.log.on_tick(now);
        bench.run();
    }
    let index = bench.log.stream(STREAM).unwrap();
    assert_eq!((index.messages(), index.last_seq()), (1, Seq(601)));
    let files = bench.log.disk_bytes() / (64 * 1024);
    assert!(files <= 8, "{files} files for next to nothing");
}

/// Or that write would land in what the file holds next.
#[test]
fn a_file_is_not_free_while_a_footer_is_written_there() {
    let mut bench = Bench::ready(SyncMode::Always);
    bench.log.delete(STREAM, &[Seq(1)], false, Urgency::Now, NOW).unwrap();
    let mut now = NOW;
    let mut held = Vec::new();
    let mut of = None;
    for _ in 0..100 {
        while bench.append(&[1; 3000]).is_err() {
            held.append(&mut bench.run_without_footers());
        }
        held.append(&mut bench.run_without_footers());
        if let Some(Effect::Write { slot, .. }) = held.first() {
            let own = bench.log.segments.values().find(|segment| segment.slot == *slot);
            of = of.or(own.map(|segment| segment.no));
        }
        let last = bench.log.stream(STREAM).unwrap().last_seq();
        bench.log.delete(STREAM, &[last], false, Urgency::Now, now).unwrap();
        held.append(&mut bench.run_without_footers());
        now = now.plus(limits::TIDY_INTERVAL_NS);
        bench.log.on_tick(now);
    }
    let of = of.expect("a footer was written");
    assert!(matches!(bench.log.segments[&of].stage, Stage::Retiring(_)), "all of it is dead");
    held.into_iter().for_each(|effect| bench.carry_out(effect, None));
    assert!(!bench.log.segments.contains_key(&of));
}

/// Everything behind the tail, one message a batch.
fn behind_the_tail(messages: u64) -> Bench {
    let mut bench = Bench::new(SyncMode::Always);
    let settings = LogSettings { tail_cache_bytes: 0, ..bench.log.settings };
    bench.log = Log::new(LogId(1), settings);
    for n in 0..messages {
        while bench.append(&[n as u8; 300]).is_err() {
            bench.run();
        }
        bench.run();
    }
    bench
}

impl Bench {
    fn on_disk(&self, seq: u64) -> Entry {
        match self.log.find(STREAM, Seq(seq)) {
            Ok(Found::OnDisk(entry)) => entry,
            other => panic!("{seq}: {other:?}"),
        }
    }

    fn is_here(&self, seq: u64) -> bool {
        let found = self.log.find(STREAM, Seq(seq)).unwrap();
        matches!(found, Found::InMemory(message) if message.payload == [seq as u8 - 1; 300])
    }

    fn read_page(&mut self, seq: u64) {
        let page = self.log.page_of(&self.on_disk(seq)).unwrap();
        self.log.read_page(page).unwrap();
        self.run();
    }
}

#[test]
fn neighbours_come_with_a_page() {
    let mut bench = behind_the_tail(5);
    bench.read_page(3);
    assert!((1..=5).all(|seq| bench.is_here(seq)));
    let figures = bench.log.figures();
    assert!(figures.read_cache_bytes > 0 && figures.reads == 0);
}

#[test]
fn what_is_being_written_is_in_no_page() {
    let mut bench = behind_the_tail(3);
    let entry = bench.on_disk(2);
    bench.append(&[3; 300]).unwrap();
    bench.log.on_turn_end(NOW);
    bench.append(&[4; 300]).unwrap();
    let end = bench.on_disk(3).place.end().next_multiple_of(4096);
    let page = bench.log.page_of(&entry).unwrap();
    assert_eq!(page.offset + page.len, end, "up to what has landed");
    bench.log.read_page(page).unwrap();
    bench.run();
    assert!((1..=3).all(|seq| bench.is_here(seq)));
    // Both have landed behind the page, which is read anew and longer.
    bench.read_page(4);
    assert!((1..=5).all(|seq| bench.is_here(seq)));
}

#[test]
fn a_recycled_file_has_no_old_pages() {
    let mut bench = behind_the_tail(40);
    let first = bench.on_disk(1).place.segment;
    bench.read_page(1);
    let slot = bench.log.segments[&first].slot;
    bench.log.trim(STREAM, Seq(40), Urgency::Now, NOW).unwrap();
    let mut now = NOW;
    while bench.log.segments.contains_key(&first) {
        now = now.plus(limits::TIDY_INTERVAL_NS);
        bench.log.on_tick(now);
        bench.run();
    }
    assert_eq!(bench.log.figures().read_cache_bytes, 0);
    let reused = |bench: &Bench| {
        let entry = bench.log.stream(STREAM)?.get(bench.log.visible_seq(STREAM))?;
        (bench.log.segments[&entry.place.segment].slot == slot).then_some(entry.seq.0)
    };
    let seq = loop {
        let next = bench.log.visible_seq(STREAM).0;
        while bench.append(&[next as u8; 300]).is_err() {
            bench.run();
        }
        bench.run();
        if let Some(seq) = reused(&bench) {
            break seq;
        }
    };
    bench.read_page(seq);
    assert!(bench.is_here(seq));
}

#[test]
fn damage_in_a_page_is_told_and_read_anew() {
    let mut bench = behind_the_tail(4);
    let place = bench.on_disk(2).place;
    let slot = bench.log.segments[&place.segment].slot;
    let at = place.end() as usize - 1;
    bench.files.get_mut(&slot).unwrap()[at] ^= 1;
    bench.read_page(1);
    assert!(bench.is_here(1) && bench.is_here(3));
    assert_eq!(bench.log.find(STREAM, Seq(2)), Err(ReadError::Damaged));
    bench.on_disk(1);
    bench.files.get_mut(&slot).unwrap()[at] ^= 1;
    bench.read_page(2);
    assert!((1..=4).all(|seq| bench.is_here(seq)));
}

#[test]
fn a_page_that_cannot_be_read_is_told() {
    let mut bench = behind_the_tail(2);
    let page = bench.log.page_of(&bench.on_disk(1)).unwrap();
    let op = bench.log.read_page(page).unwrap();
    bench.run_with(|_| Some(IoFault::Failed(5)));
    let failed = bench.log.take_read(op).map(|read| read.err());
    assert_eq!(failed, Some(Some(ReadError::Fault(IoFault::Failed(5)))));
    assert_eq!(bench.log.health(), Health::Running);
}

#[test]
fn what_is_dead_goes_though_publishers_never_pause() {
    // When a write lands, the next has always been waiting.
    publish_without_pause(2, usize::MAX, 10);
    // Full batches have, too, as many as may: 18 segments of them are before each copy, and each end.
    publish_without_pause(12, 1024, 90);
}

fn publish_without_pause(messages: usize, batch_bytes_max: usize, spare_segments: u64) {
    let mut bench = Bench::ready(SyncMode::Always);
    bench.log.settings.batch_bytes_max = batch_bytes_max;
    let mut appended = Seq(1);
    for turn in 1..6000 {
        for _ in 0..messages {
            if bench.append(&[7; 400]).is_ok() {
                appended = appended.next();
                if !appended.0.is_multiple_of(30) {
                    let _ = bench.log.delete(STREAM, &[appended], false, Urgency::Now, NOW);
                }
            }
            bench.log.on_tick(NOW.plus(turn * crate::types::time::SECOND));
        }
        bench.effects();
        if let Some(effect) = bench.wanted.pop_front() {
            bench.carry_out(effect, None);
        }
    }
    let retired = bench.log.counters().segments_retired;
    assert!(retired > 0, "{} segments", bench.log.figures().segments);
    let (live, disk) = (bench.log.live_bytes(), bench.log.disk_bytes());
    assert!(disk < 2 * live + spare_segments * 64 * 1024, "{disk} B for {live} B");
}
