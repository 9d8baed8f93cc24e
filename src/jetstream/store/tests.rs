//! Both kinds of store against a naive model, with the same random operations. The log's files
//! are vectors, and now and then the log is opened anew from them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::storage::{
    Buffer, Effect, Event, LogId, LogSettings, Recovery, SlotFile, SlotId, Step, load_values,
};

const STREAM: StreamId = StreamId(5);
const SUBJECTS: [&str; 7] = ["a", "a.b", "a.c", "b.c", "a.b.c", "b.c.d", "x"];
const FILTERS: [&[&str]; 8] =
    [&[], &["a"], &["a.*"], &["a.>"], &["*.c"], &["a.b", "x"], &["a.*", "b.>"], &["nobody"]];

/// A log whose files are in memory.
#[derive(Debug)]
pub struct Bench {
    pub log: Log,
    settings: LogSettings,
    files: BTreeMap<SlotId, Vec<u8>>,
    wanted: VecDeque<Effect>,
    now: Mono,
}

fn settings() -> LogSettings {
    LogSettings {
        segment_bytes_min: 32 * 1024,
        segment_bytes_max: 64 * 1024,
        tail_cache_bytes: 8 * 1024,
        read_cache_bytes: 40 * 1024,
        read_page_bytes: 8 * 1024,
        tidy_interval_ns: 1000,
        sort_delay_ns: 0,
        swept_at_once: 20,
        ..LogSettings::default()
    }
}

impl Bench {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: LogSettings) -> Self {
        let log = Log::new(LogId(1), settings);
        Self { log, settings, files: BTreeMap::new(), wanted: VecDeque::new(), now: Mono(1) }
    }

    /// Does what is wanted until nothing is; tells the store of its reads.
    pub fn run(&mut self, store: &mut Store) {
        // What rides along is due, too.
        self.now = self.now.plus(crate::types::limits::RIDE_ALONG_NS);
        self.log.on_tick(self.now);
        self.log.on_turn_end(self.now);
        loop {
            self.wanted.extend(self.log.take_effects());
            let Some(effect) = self.wanted.pop_front() else { return };
            self.perform(effect);
            while let Some(event) = self.log.take_event() {
                match event {
                    Event::ReadDone(op) => assert!(store.on_read(&mut self.log, op)),
                    Event::Damaged(damage) => panic!("{damage:?}"),
                    _ => {}
                }
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        perform(&mut self.files, &mut self.log, self.now, effect);
    }

    /// What the log holds under a key, as a start reads it.
    pub fn value(&mut self, stream: StreamId, key: &[u8]) -> Option<Vec<u8>> {
        let Self { log, files, now, .. } = self;
        let values = load_values(log, |log| {
            for effect in log.take_effects() {
                perform(files, log, *now, effect);
            }
            Ok::<(), ()>(())
        });
        let mut values = values.unwrap().into_iter();
        values.find(|value| value.stream == stream && *value.key == *key).map(|value| value.state)
    }

    pub fn reopen(&mut self) {
        let files =
            self.files.iter().map(|(&slot, file)| SlotFile { slot, len: file.len() as u32 });
        let mut recovery = Recovery::new(LogId(1), self.settings, files.collect());
        while let Step::Read { slot, offset, len } = recovery.step() {
            let at = offset as usize;
            recovery.on_read(Ok(&self.files[&slot][at..at + len as usize]));
        }
        self.log = recovery.finish().0;
        self.wanted.clear();
    }
}

fn perform(files: &mut BTreeMap<SlotId, Vec<u8>>, log: &mut Log, now: Mono, effect: Effect) {
    match effect {
        Effect::Write { op, slot, offset, bytes, .. } => {
            let (at, file) = (offset as usize, files.get_mut(&slot).unwrap());
            file[at..at + bytes.len()].copy_from_slice(&bytes);
            log.on_written(op, now);
        }
        Effect::Sync { op, .. } | Effect::SyncDirectory { op } => {
            log.on_synced(op, now);
        }
        Effect::Prepare { op, slot, len, header, .. } => {
            let file = files.entry(slot).or_default();
            file.resize(len as usize, 0);
            file[..header.len()].copy_from_slice(&header);
            log.on_prepared(op, now);
        }
        Effect::Read { op, slot, offset, len } => {
            let at = offset as usize;
            let mut bytes = Buffer::new();
            bytes.extend_from_slice(&files[&slot][at..at + len as usize]);
            log.on_read(op, bytes, now);
        }
        Effect::Delete { slot } => {
            files.remove(&slot);
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Kept {
    time: u64,
    subject: &'static str,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// What is obviously right.
#[derive(Default)]
struct Model {
    messages: BTreeMap<u64, Kept>,
    first: u64,
    last: u64,
    last_time: u64,
    time: u64,
}

impl Model {
    fn settle(&mut self) {
        let live = self.messages.keys().next().copied();
        self.first = self.first.max(live.unwrap_or(self.last + 1));
    }

    fn trim(&mut self, first: u64) {
        self.messages.retain(|&seq, _| seq >= first);
        self.first = self.first.max(first);
        self.last = self.last.max(first.saturating_sub(1));
        self.settle();
    }

    fn wanted(&self, patterns: &[&str]) -> Vec<u64> {
        let wants = |subject: &str| {
            let covers =
                |raw: &&str| Pattern::parse(raw.as_bytes()).unwrap().matches(subject.as_bytes());
            patterns.is_empty() || patterns.iter().any(covers)
        };
        let wanted = self.messages.iter().filter(|(_, kept)| wants(kept.subject));
        wanted.map(|(seq, _)| *seq).collect()
    }
}

#[derive(Clone, Debug)]
enum Act {
    /// Gap before it, messages, large or small.
    Append(u64, Vec<(usize, bool, u16)>),
    /// Positions among the live messages.
    Delete(Vec<u16>),
    /// From the first on.
    Trim(u64),
    Purge(Option<usize>, Option<u64>, usize),
    Skip(u64),
    /// Whether payloads are packed from now on.
    Pack(bool),
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let message = (0..SUBJECTS.len(), any::<bool>(), prop_oneof![8 => 0u16..200, 1 => 0u16..9000]);
    let gap = prop_oneof![9 => Just(0u64), 1 => 0u64..700];
    let act = prop_oneof![
        30 => (gap, proptest::collection::vec(message, 1..4)).prop_map(|(g, m)| Act::Append(g, m)),
        8 => proptest::collection::vec(any::<u16>(), 1..6).prop_map(Act::Delete),
        2 => (0u64..20).prop_map(Act::Trim),
        3 => (
            proptest::option::of(1..FILTERS.len()),
            proptest::option::of(0u64..60),
            prop_oneof![3 => Just(0usize), 1 => 0usize..5],
        )
            .prop_map(|(filter, below, keep)| Act::Purge(filter, below, keep)),
        1 => (0u64..30).prop_map(Act::Skip),
        2 => Just(Act::Reopen),
        1 => any::<bool>().prop_map(Act::Pack),
    ];
    proptest::collection::vec(act, 1..60)
}

/// A store, the log it needs, and the model.
struct Trial {
    store: Store,
    bench: Option<Bench>,
    model: Model,
}

impl Trial {
    fn new(bench: Option<Bench>) -> Self {
        let store = match bench {
            Some(_) => Store::file(STREAM),
            None => Store::memory_only(7),
        };
        Self { store, bench, model: Model { first: 1, ..Model::default() } }
    }

    fn log(&self) -> Option<&Log> {
        self.bench.as_ref().map(|bench| &bench.log)
    }

    fn parts(&mut self) -> (&mut Store, Option<&mut Log>, Mono) {
        let now = self.bench.as_ref().map_or(Mono(1), |bench| bench.now);
        (&mut self.store, self.bench.as_mut().map(|bench| &mut bench.log), now)
    }

    fn run(&mut self) {
        if let Some(bench) = &mut self.bench {
            bench.run(&mut self.store);
        }
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(gap, messages) => self.append(*gap, messages),
            Act::Delete(positions) => self.delete(positions),
            Act::Trim(step) => {
                let first = self.model.first + step;
                self.model.trim(first);
                let (store, log, now) = self.parts();
                if log.is_none() || first > 1 {
                    store.trim(log, Seq(first), now).unwrap();
                }
            }
            Act::Purge(filter, below, keep) => self.purge(*filter, *below, *keep),
            Act::Skip(step) => {
                let last = self.model.last + step;
                self.model.last = last;
                if self.model.messages.is_empty() {
                    self.model.first = last + 1;
                }
                let (store, log, now) = self.parts();
                store.skip(log, Seq(last), now).unwrap();
            }
            Act::Pack(is_packing) => self.store.pack(*is_packing),
            Act::Reopen => {
                self.run();
                if let Some(bench) = &mut self.bench {
                    bench.reopen();
                    self.store = Store::file(STREAM);
                    self.run();
                    self.moment(|store, log| store.last_time(log));
                }
            }
        }
        self.run();
    }

    fn append(&mut self, gap: u64, messages: &[(usize, bool, u16)]) {
        let model = &mut self.model;
        let first = model.last + 1 + gap;
        if model.messages.is_empty() {
            model.first = first;
        }
        let mut made = Vec::new();
        for (seq, &(subject, has_headers, len)) in (first..).zip(messages) {
            model.time += 1 + u64::from(len % 7) / 3;
            let kept = Kept {
                time: model.time,
                subject: SUBJECTS[subject],
                headers: if has_headers { b"NATS/1.0\r\n\r\n".to_vec() } else { Vec::new() },
                payload: vec![seq as u8; usize::from(len)],
            };
            (model.last, model.last_time) = (seq, kept.time);
            model.messages.insert(seq, kept.clone());
            made.push((seq, kept));
        }
        let new: Vec<NewMessage<'_>> = made
            .iter()
            .map(|(seq, kept)| NewMessage {
                seq: Seq(*seq),
                time: kept.time,
                subject: kept.subject.as_bytes(),
                headers: &kept.headers,
                payload: &kept.payload,
            })
            .collect();
        let appended = (0..3).any(|_| {
            let (store, log, now) = self.parts();
            let result = store.append(log, &new, Urgency::Now, now);
            // A large one waits for a segment of its size.
            assert!(matches!(result, Ok(_) | Err(Refusal::Behind)), "{result:?}");
            self.run();
            result.is_ok()
        });
        assert!(appended);
    }

    fn delete(&mut self, positions: &[u16]) {
        let live: Vec<u64> = self.model.messages.keys().copied().collect();
        if live.is_empty() {
            return;
        }
        let mut seqs: Vec<Seq> =
            positions.iter().map(|&at| Seq(live[usize::from(at) % live.len()])).collect();
        seqs.push(Seq(self.model.last + 9));
        let (store, log, now) = self.parts();
        let epoch = store.removal_epoch();
        store.delete(log, &seqs, positions.len() == 1, now).unwrap();
        let changed = store.removal_epoch() != epoch;
        let left = live.iter().find(|&&seq| !seqs.contains(&Seq(seq)));
        if left.is_some_and(|left| live.iter().any(|&s| s > *left && seqs.contains(&Seq(s)))) {
            assert!(changed, "a message that was not the first was removed");
        }
        for seq in seqs {
            self.model.messages.remove(&seq.0);
        }
        self.model.settle();
    }

    fn purge(&mut self, filter: Option<usize>, below: Option<u64>, keep: usize) {
        let is_there = self.bench.as_ref().is_none_or(|bench| bench.log.stream(STREAM).is_some());
        if !is_there {
            return;
        }
        let raw = filter.and_then(|filter| FILTERS[filter].first());
        let pattern = raw.map(|raw| Pattern::parse(raw.as_bytes()).unwrap());
        let below = below.map(|step| self.model.first + step);
        let (store, log, now) = self.parts();
        let asked = Seq(below.unwrap_or(u64::MAX));
        let (count, _) = store.purge(log, pattern, asked, keep, now).unwrap();
        let mut seqs = self.model.wanted(raw.map_or(&[], std::slice::from_ref));
        seqs.retain(|&seq| below.is_none_or(|below| seq < below));
        seqs.truncate(seqs.len().saturating_sub(keep));
        assert_eq!(count, seqs.len() as u64, "purged");
        for seq in &seqs {
            self.model.messages.remove(seq);
        }
        if pattern.is_none() && keep == 0 {
            self.model.trim(below.unwrap_or(self.model.last + 1));
        }
        self.model.settle();
    }

    fn fetch(&mut self, seq: u64) -> Option<Kept> {
        for _ in 0..3 {
            let (store, log, _) = self.parts();
            match store.fetch(log, Seq(seq)) {
                Fetch::Here(stored) => {
                    assert_eq!(stored.seq, Seq(seq));
                    let subject = SUBJECTS.iter().find(|name| name.as_bytes() == stored.subject);
                    let subject = subject.unwrap();
                    let (headers, payload) = (stored.headers.to_vec(), stored.payload.to_vec());
                    return Some(Kept { time: stored.time, subject, headers, payload });
                }
                Fetch::Gone => return None,
                Fetch::Wait => self.run(),
                Fetch::Broken(error) => panic!("{seq}: {error:?}"),
            }
        }
        panic!("{seq} does not come");
    }

    fn moment(&mut self, ask: impl Fn(&mut Store, Option<&mut Log>) -> Moment) -> u64 {
        loop {
            let (store, log, _) = self.parts();
            match ask(store, log) {
                Moment::At(time) => return time,
                Moment::Wait => self.run(),
            }
        }
    }

    fn check(&mut self) {
        self.check_numbers();
        self.check_filters();
        self.check_subjects();
        self.check_times();
        for seq in self.model.first.saturating_sub(2)..self.model.last + 2 {
            assert_eq!(self.fetch(seq).as_ref(), self.model.messages.get(&seq), "{seq}");
        }
        let memory = self.store.memory();
        assert!(memory < 8 << 20, "{memory}");
    }

    fn check_numbers(&self) {
        let (store, log, model) = (&self.store, self.log(), &self.model);
        assert_eq!(store.first_seq(log), Seq(model.first), "first");
        assert_eq!(store.last_seq(log), Seq(model.last), "last");
        assert_eq!(store.visible_seq(log), Seq(model.last), "visible");
        assert_eq!(store.messages(log), model.messages.len() as u64);
        let cost = |kept: &Kept| match (&store, kept.headers.len()) {
            (Store::Memory(_), headers) => 16 + kept.subject.len() + headers + kept.payload.len(),
            (Store::File(_), 0) => 30 + kept.subject.len() + kept.payload.len(),
            (Store::File(_), headers) => {
                22 + kept.subject.len() + kept.payload.len() + 8 + 4 + headers
            }
        };
        let bytes: usize = model.messages.values().map(cost).sum();
        assert_eq!(store.bytes(log), bytes as u64, "bytes");
        let subjects: BTreeSet<_> = model.messages.values().map(|kept| kept.subject).collect();
        assert_eq!(store.subjects_len(log), subjects.len());
        let gone = (model.first..=model.last).filter(|seq| !model.messages.contains_key(seq));
        let gone: Vec<Seq> = gone.map(Seq).collect();
        assert_eq!(store.deleted_len(log), gone.len() as u64);
        assert_eq!(store.deleted(log), gone);
    }

    fn check_filters(&mut self) {
        let last = self.model.last;
        for patterns in FILTERS {
            let wanted = self.model.wanted(patterns);
            let mut filter = Filter::new(patterns).unwrap();
            let mut found = Vec::new();
            let mut from = Seq(0);
            loop {
                let mut budget = 3;
                match self.store.next(self.log(), &mut filter, from, &mut budget) {
                    Scan::Found(seq) => {
                        found.push(seq.0);
                        from = seq.next();
                    }
                    Scan::Later(seq) => {
                        assert!(seq >= from);
                        from = seq;
                    }
                    Scan::End => break,
                }
            }
            assert_eq!(found, wanted, "{patterns:?}");
            for from in [0, self.model.first, (self.model.first + last) / 2, last, last + 1] {
                let expected = wanted.iter().filter(|&&seq| seq >= from).count() as u64;
                let count = self.store.count(self.log(), &mut filter, Seq(from));
                assert_eq!(count, expected, "{patterns:?} from {from}");
                if patterns.is_empty() {
                    let next = self.store.next_any(self.log(), Seq(from));
                    assert_eq!(next, wanted.iter().find(|&&seq| seq >= from).map(|&seq| Seq(seq)));
                }
            }
            for up_to in [None, Some((self.model.first + last) / 2)] {
                let mut lasts: BTreeMap<&str, u64> = BTreeMap::new();
                for seq in wanted.iter().filter(|&&seq| up_to.is_none_or(|up_to| seq <= up_to)) {
                    lasts.insert(self.model.messages[seq].subject, *seq);
                }
                let lasts: BTreeSet<u64> = lasts.into_values().collect();
                let log = self.log();
                let found = self.store.last_per_subject(log, &filter, up_to.map(Seq));
                let lasts: Vec<Seq> = lasts.into_iter().map(Seq).collect();
                assert_eq!(found, lasts, "{patterns:?} up to {up_to:?}");
            }
        }
    }

    fn check_subjects(&mut self) {
        for subject in SUBJECTS {
            let seqs = self.model.wanted(&[subject]);
            let expected = seqs.first().zip(seqs.last());
            let expected =
                expected.map(|(&first, &last)| (Seq(first), Seq(last), seqs.len() as u64));
            let (store, log, _) = self.parts();
            assert_eq!(store.subject_state(log, subject.as_bytes()), expected, "{subject}");
        }
        for raw in [None, Some("a"), Some("a.*"), Some("*.c")] {
            let mut found = Vec::new();
            let (store, log, _) = self.parts();
            let pattern = raw.map(|raw| Pattern::parse(raw.as_bytes()).unwrap());
            store.subjects(log, pattern, |name, _, first, last, count| {
                found.push((name.to_vec(), first.0, last.0, count));
            });
            found.sort();
            let mut expected: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
            for seq in self.model.wanted(raw.as_slice()) {
                let subject = self.model.messages[&seq].subject;
                let entry = expected.entry(subject).or_insert((seq, seq, 0));
                (entry.1, entry.2) = (seq, entry.2 + 1);
            }
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, (first, last, count))| (name.as_bytes().to_vec(), first, last, count))
                .collect();
            assert_eq!(found, expected, "{raw:?}");
        }
    }

    fn check_times(&mut self) {
        let first = self.model.messages.values().next().map_or(0, |kept| kept.time);
        assert_eq!(self.moment(|store, log| store.first_time(log)), first, "first time");
        let last = self.moment(|store, log| store.last_time(log));
        assert_eq!(last, self.model.last_time, "last time");
        let newest = self.model.time;
        for time in [0, first, first + 1, newest / 2, newest, newest + 1] {
            let later = self.model.messages.iter().find(|(_, kept)| kept.time >= time);
            let expected = later.map_or(self.model.last + 1, |(seq, _)| *seq);
            let found = loop {
                let (store, log, _) = self.parts();
                match store.seq_at_time(log, time) {
                    SeekTime::Seq(seq) => break seq,
                    SeekTime::Wait => self.run(),
                }
            };
            assert_eq!(found, Seq(expected), "at {time}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn both_kinds_behave_as_the_model(acts in acts()) {
        for bench in [None, Some(Bench::new())] {
            let mut trial = Trial::new(bench);
            for (at, act) in acts.iter().enumerate() {
                trial.act(act);
                if at % 4 == 3 || at + 1 == acts.len() {
                    trial.check();
                }
            }
        }
    }
}

/// Messages 1 to 400 behind the tail, 100 to a batch or thereabouts.
fn behind_the_tail() -> (Bench, Store) {
    let mut bench = Bench::with(LogSettings { tail_cache_bytes: 0, ..settings() });
    let mut store = Store::file(STREAM);
    for seq in 1..=400 {
        let payload = [seq as u8; 200];
        let message =
            NewMessage { seq: Seq(seq), time: seq, subject: b"a", headers: b"", payload: &payload };
        let append = |bench: &mut Bench, store: &mut Store| {
            store.append(Some(&mut bench.log), &[message], Urgency::Now, bench.now)
        };
        while append(&mut bench, &mut store).is_err() {
            bench.run(&mut store);
        }
    }
    bench.run(&mut store);
    (bench, store)
}

impl Bench {
    /// Whether a message is here, or how many bytes are read for it.
    fn ask(&mut self, store: &mut Store, seq: u64) -> Result<u64, Option<u32>> {
        match store.fetch(Some(&mut self.log), Seq(seq)) {
            Fetch::Here(stored) => {
                assert_eq!(stored.payload, [seq as u8; 200]);
                return Ok(stored.seq.0);
            }
            Fetch::Wait => {}
            Fetch::Gone | Fetch::Broken(_) => panic!("{seq} is there"),
        }
        self.wanted.extend(self.log.take_effects());
        let last = self.wanted.back();
        Err(last.and_then(|effect| match effect {
            Effect::Read { len, .. } => Some(*len),
            _ => None,
        }))
    }
}

#[test]
fn a_page_serves_all_who_ask_for_something_in_it() {
    let (mut bench, mut store) = behind_the_tail();
    let asked = bench.ask(&mut store, 50).unwrap_err().unwrap();
    assert!(asked > 4096, "{asked}");
    for seq in [51, 49, 50] {
        let _ = bench.ask(&mut store, seq).unwrap_err();
    }
    assert_eq!(bench.wanted.len(), 1, "one read for all of them");
    bench.run(&mut store);
    assert!([49, 50, 51].into_iter().all(|seq| bench.ask(&mut store, seq) == Ok(seq)));
    assert_eq!(store.memory() / 1000, 0, "the stream keeps nothing of it");
}

#[test]
fn who_goes_on_behind_a_page_gets_more() {
    let (mut bench, mut store) = behind_the_tail();
    let mut reads = Vec::new();
    for seq in 1..=400 {
        while let Err(read) = bench.ask(&mut store, seq) {
            reads.extend(read);
            bench.run(&mut store);
        }
    }
    assert!(reads.len() < 10, "{reads:?}");
    assert!(reads.iter().max() > reads.first(), "{reads:?}");
}

#[test]
fn a_page_that_cannot_be_read_costs_its_sound_messages_nothing() {
    let (mut bench, mut store) = behind_the_tail();
    let page = bench.ask(&mut store, 50).unwrap_err().unwrap();
    let Some(Effect::Read { op, .. }) = bench.wanted.pop_back() else { panic!("a read") };
    bench.log.on_fault(op, crate::storage::IoFault::Failed(5), bench.now);
    assert_eq!(bench.log.take_event(), Some(Event::ReadDone(op)));
    assert!(store.on_read(&mut bench.log, op));
    let single = bench.ask(&mut store, 50).unwrap_err().unwrap();
    assert!(single < page, "{single} of {page}");
    bench.run(&mut store);
    assert_eq!(bench.ask(&mut store, 50), Ok(50));
}

impl Bench {
    /// All reads that are wanted fail.
    fn fail_reads(&mut self, store: &mut Store) {
        self.wanted.extend(self.log.take_effects());
        while let Some(effect) = self.wanted.pop_front() {
            let Effect::Read { op, .. } = effect else { panic!("{effect:?}") };
            self.log.on_fault(op, crate::storage::IoFault::Failed(5), self.now);
            while let Some(event) = self.log.take_event() {
                if let Event::ReadDone(op) = event {
                    assert!(store.on_read(&mut self.log, op));
                }
            }
        }
    }

    fn seq_at_time(
        &mut self,
        store: &mut Store,
        time: u64,
        go_on: fn(&mut Self, &mut Store),
    ) -> Seq {
        loop {
            match store.seq_at_time(Some(&mut self.log), time) {
                SeekTime::Seq(seq) => return seq,
                SeekTime::Wait => go_on(self, store),
            }
        }
    }

    fn last_time(&mut self, store: &mut Store, go_on: fn(&mut Self, &mut Store)) -> u64 {
        loop {
            match store.last_time(Some(&mut self.log)) {
                Moment::At(time) => return time,
                Moment::Wait => go_on(self, store),
            }
        }
    }
}

#[test]
fn a_time_that_could_not_be_read_is_read_by_the_next_who_asks() {
    let (mut bench, mut store) = behind_the_tail();
    assert_eq!(bench.seq_at_time(&mut store, 401, Bench::fail_reads), Seq(1), "all count as new");
    assert_eq!(bench.seq_at_time(&mut store, 401, Bench::run), Seq(401));
    assert_eq!(bench.seq_at_time(&mut store, 300, Bench::run), Seq(300));

    bench.reopen();
    let mut store = Store::file(STREAM);
    bench.run(&mut store);
    assert_eq!(bench.last_time(&mut store, Bench::fail_reads), 0);
    assert_eq!(bench.last_time(&mut store, Bench::run), 400);
}
