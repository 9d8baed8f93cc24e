//! Archives of nats-server taken in, and our own taken in again.

use super::*;
use crate::jetstream::config::{Storage, StreamConfig};
use crate::jetstream::context::{Context, Gate, GateState, Site};
use crate::jetstream::error::ApiError;
use crate::jetstream::info::StreamState;
use crate::jetstream::ledger::Ledger;
use crate::jetstream::letter::Request;
use crate::jetstream::outbox::{Outbox, PostedQueue};
use crate::jetstream::store::tests::Bench;
use crate::jetstream::store::{Fetch, NewMessage, Store};
use crate::storage::{Lsn, Seq, StreamId, Urgency};
use crate::types::limits::{RESTORE_IDLE_NS, SNAPSHOT_FLOW_NS};
use crate::types::time::SECOND;
use crate::types::{AccountId, Mono, Now, Wall};

/// 35 of 40 messages on `s.0` to `s.4`, with the consumers `dur` and `push`, as nats-server
/// 2.15.1 made it.
const REFERENCE: &[u8] = include_bytes!("testdata/nats-server-2.15.1.s2");

const STREAM: StreamId = StreamId(5);

struct Listener(GateState);

impl Gate for Listener {
    fn state(&mut self, _: AccountId, _: &[u8]) -> GateState {
        self.0
    }
}

/// What is around a transfer.
struct Desk {
    bench: Option<Bench>,
    out: Outbox,
    gate: Listener,
    site: Site,
    ledger: Ledger,
    now: Now,
    name: &'static str,
    /// As clients tell it.
    first_seq: u64,
}

type Kept = (u64, u64, Vec<u8>, Vec<u8>, Vec<u8>);

impl Desk {
    fn new(storage: Storage) -> Self {
        let now = Now { mono: Mono(SECOND), wall: Wall(1_800_000_000 * SECOND) };
        let bench = (storage == Storage::File).then(Bench::new);
        let mut site = Site::default();
        site.options.max_buffered_bytes = 128 << 20;
        let (out, gate) = (Outbox::default(), Listener(GateState::Open));
        let ledger = Ledger::default();
        Self { bench, out, gate, site, ledger, now, name: "S", first_seq: 3 }
    }

    fn context(&mut self) -> Context<'_> {
        Context {
            now: self.now,
            log: self.bench.as_mut().map(|bench| &mut bench.log),
            out: &mut self.out,
            gate: &mut self.gate,
            site: &self.site,
            ledger: &self.ledger,
        }
    }

    fn settle(&mut self, store: &mut Store) {
        if let Some(bench) = &mut self.bench {
            bench.run(store);
        }
    }

    fn sent(&mut self) -> Vec<(Vec<u8>, String, Vec<u8>)> {
        let (mut all, mut posted) = (Vec::new(), PostedQueue::default());
        self.out.take(&mut posted);
        while let Some(message) = posted.first() {
            let (headers, body) = message.body.split_at(message.header_len);
            let headers = String::from_utf8(headers.to_vec()).unwrap();
            all.push((message.reply.to_vec(), headers, body.to_vec()));
            posted.pop();
        }
        all
    }

    fn import(&mut self, storage: Storage) -> Import {
        let config = StreamConfig { name: self.name.into(), storage, ..StreamConfig::default() };
        let config = StreamConfig { max_msg_size: -1, ..config };
        let subject = "$JS.SNAPSHOT.RESTORE.S.x".into();
        let request = request(&format!(r#"{{"state":{{"first_seq":{}}}}}"#, self.first_seq));
        let context = self.context();
        Import::new(AccountId(0), STREAM, None, config, subject, &request, &context)
    }

    /// Sends pieces and the end, and goes on until it is decided.
    fn take_in(&mut self, storage: Storage, pieces: &[&[u8]]) -> Result<Imported, ApiError> {
        let mut import = self.import(storage);
        for piece in pieces {
            import.on_chunk(b"reply", piece, self.now.mono);
        }
        import.on_chunk(b"end", b"", self.now.mono);
        for _ in 0..1000 {
            match import.step(&mut self.context()) {
                Progress::Again => {}
                Progress::Waiting(_) => self.settle(&mut Store::file(STREAM)),
                Progress::Failed(error) => return Err(error),
                Progress::Complete => return Ok(import.into_parts()),
                Progress::Stalled => panic!("stalled"),
            }
        }
        panic!("no end");
    }

    fn messages(&mut self, store: &mut Store) -> Vec<Kept> {
        self.settle(store);
        let mut all = Vec::new();
        let mut from = Seq(0);
        while let Some(seq) = store.next_any(self.context().log.as_deref(), from) {
            match store.fetch(self.context().log, seq) {
                Fetch::Here(stored) => {
                    let (subject, headers) = (stored.subject.to_vec(), stored.headers.to_vec());
                    all.push((seq.0, stored.time, subject, headers, stored.payload.to_vec()));
                    from = seq.next();
                }
                Fetch::Wait => self.settle(store),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    fn state(&mut self, store: &mut Store) -> StreamState {
        let log = self.bench.as_ref().map(|bench| &bench.log);
        StreamState {
            messages: store.messages(log),
            bytes: store.bytes(log),
            first_seq: store.first_seq(log).0,
            last_seq: store.last_seq(log).0,
            ..StreamState::default()
        }
    }

    fn export(&mut self, store: &mut Store, asked: &str, consumers: &[ConsumerSnapshot]) -> Export {
        let asked = crate::jetstream::config::parse::<ExportRequest>(
            asked.as_bytes(),
            crate::jetstream::config::Mode::Strict,
            "",
        );
        let state = self.state(store);
        let plan = Plan {
            id: [b'x'; 22],
            account: AccountId(0),
            stream: "S",
            asked: &asked.unwrap(),
            state,
            consumers,
            at: Lsn(0),
            request: request(""),
            answer: Vec::new(),
        };
        Export::new(plan, self.now.wall)
    }
}

fn request(body: &str) -> Request {
    Request {
        came_ns: 0,
        account: 0,
        subject: vec![],
        reply: vec![],
        headers: vec![],
        body: body.into(),
        is_audited: false,
        client: vec![],
    }
}

#[test]
fn archives_of_the_reference_are_taken_in_however_they_are_cut() {
    for (storage, cut) in [(Storage::Memory, 1), (Storage::File, 1000), (Storage::File, 4000)] {
        let mut desk = Desk::new(storage);
        let pieces: Vec<&[u8]> = REFERENCE.chunks(cut).collect();
        let Imported { mut store, consumers, .. } = desk.take_in(storage, &pieces).unwrap();
        let messages = desk.messages(&mut store);
        assert_eq!(messages.len(), 35);
        let seqs: Vec<u64> = messages.iter().map(|message| message.0).collect();
        assert_eq!((seqs[0], seqs[3], seqs[4], seqs[34]), (3, 6, 8, 38));
        let (_, time, subject, headers, payload) = &messages[1];
        assert_eq!(*time, 1_795_336_504_899_249_386);
        assert_eq!(subject, b"s.3");
        assert_eq!(headers, b"NATS/1.0\r\nK: 3\r\n\r\n");
        assert!(payload.starts_with(b"payload 3 "));
        // The deleted messages at the end keep their sequences.
        assert_eq!(desk.state(&mut store).last_seq, 40);
        let names: Vec<&str> =
            consumers.iter().map(|consumer| consumer.config.name.as_str()).collect();
        assert_eq!(names, ["dur", "push"]);
        let progress = &consumers[0].progress;
        assert_eq!(progress.delivered, SequencePair { consumer_seq: 11, stream_seq: 13 });
        assert_eq!(progress.ack_floor, SequencePair { consumer_seq: 4, stream_seq: 7 });
        assert_eq!(progress.pending.keys().copied().collect::<Vec<_>>(), [8, 9, 11, 12, 13]);
        assert_eq!(progress.redelivered, [(9, 1)].into());
    }
}

/// The same stream, made by 2.14.6 in the form of before; and one whose front limits removed,
/// with erased, deleted and purged messages.
#[test]
fn archives_of_older_servers_are_taken_in() {
    const OLDER: &[u8] = include_bytes!("testdata/nats-server-2.14.6.s2");
    const LIMITS: &[u8] = include_bytes!("testdata/nats-server-2.14.6-limits.s2");
    for (storage, cut) in [(Storage::Memory, 1), (Storage::File, 700), (Storage::File, 9000)] {
        let mut desk = Desk::new(storage);
        let pieces: Vec<&[u8]> = OLDER.chunks(cut).collect();
        let imported = desk.take_in(storage, &pieces).unwrap();
        let Imported { mut store, consumers, created } = imported;
        assert!(created.is_some_and(|created| created.0 > 1_795_000_000 * SECOND));
        let messages = desk.messages(&mut store);
        let seqs: Vec<u64> = messages.iter().map(|message| message.0).collect();
        assert_eq!((seqs.len(), seqs[0], seqs[3], seqs[4], seqs[34]), (35, 3, 6, 8, 38));
        assert_eq!(messages[1].3, b"NATS/1.0\r\nK: 3\r\n\r\n");
        assert_eq!(desk.state(&mut store).last_seq, 40);
        assert_eq!(consumers.len(), 2);
        assert_eq!((&*consumers[0].config.name, &*consumers[1].config.name), ("dur", "push"));
        let progress = &consumers[0].progress;
        assert_eq!(progress.delivered, SequencePair { consumer_seq: 11, stream_seq: 14 });
        assert_eq!(progress.ack_floor, SequencePair { consumer_seq: 4, stream_seq: 7 });
        assert_eq!(progress.pending.keys().copied().collect::<Vec<_>>(), [8, 9, 11, 12, 13, 14]);
        assert!(progress.pending.values().all(|held| held.timestamp > 1_795_000_000));

        let mut desk = Desk::new(storage);
        (desk.name, desk.first_seq) = ("P", 31);
        let pieces: Vec<&[u8]> = LIMITS.chunks(cut).collect();
        let mut store = desk.take_in(storage, &pieces).unwrap().store;
        let messages = desk.messages(&mut store);
        let seqs: Vec<u64> = messages.iter().map(|message| message.0).collect();
        let expected: Vec<u64> = (31..50).filter(|seq| *seq != 40).collect();
        assert_eq!(seqs, expected);
        let state = desk.state(&mut store);
        assert_eq!((state.first_seq, state.last_seq), (31, 50));
        if storage == Storage::File {
            assert_eq!(state.bytes, 648, "as the reference counts");
        }
    }
}

#[test]
fn damage_in_older_archives_is_seen() {
    const OLDER: &[u8] = include_bytes!("testdata/nats-server-2.14.6.s2");
    let (mut frames, mut plain) = (frame::FrameReader::default(), Vec::new());
    frames.push(OLDER);
    while frames.unpack(&mut plain).unwrap() {}
    for at in (0..plain.len()).step_by(61) {
        let mut bad = plain.clone();
        bad[at] ^= 1;
        let mut archive = frame::IDENTIFIER.to_vec();
        frame::append(&mut archive, &bad);
        let mut desk = Desk::new(Storage::Memory);
        // Not all of it counts; none of it may panic.
        let _ = desk.take_in(Storage::Memory, &[&archive]);
    }
    let mut desk = Desk::new(Storage::Memory);
    desk.name = "T";
    let error = desk.take_in(Storage::Memory, &[OLDER]).unwrap_err();
    assert_eq!(error.description, "restore failed: stream names do not match");
}

#[test]
fn what_goes_out_comes_in_the_same() {
    for storage in [Storage::Memory, Storage::File] {
        let mut desk = Desk::new(storage);
        let Imported { mut store, consumers, .. } = desk.take_in(storage, &[REFERENCE]).unwrap();
        let (before, state) = (desk.messages(&mut store), desk.state(&mut store));
        let asked = r#"{"deliver_subject":"d","chunk_size":1,"window_size":2048}"#;
        let mut export = desk.export(&mut store, asked, &consumers);
        let (mut archive, mut end) = (Vec::new(), String::new());
        let mut is_done = false;
        while !is_done {
            match export.step(&mut desk.context(), &mut store) {
                Step::Done => is_done = true,
                Step::Waiting(_) => desk.settle(&mut store),
                Step::Again | Step::Settled => {}
                Step::Failed(reason) => panic!("{reason}"),
            }
            let sent = desk.sent();
            assert!(sent.len() <= 4, "the window has room for two chunks");
            for (reply, headers, body) in sent {
                archive.extend_from_slice(&body);
                end = headers;
                if !reply.is_empty() {
                    assert_eq!(body.len(), 1024);
                    assert!(export.owns(&reply));
                    export.on_ack();
                }
            }
        }
        assert_eq!(end, "NATS/1.0 204\r\n\r\n");
        let mut other = Desk::new(storage);
        // Bytes behind the end do not count.
        let mut again = other.take_in(storage, &[&archive, b"more"]).unwrap();
        assert_eq!(again.consumers, consumers);
        assert_eq!(other.messages(&mut again.store), before);
        assert_eq!(other.state(&mut again.store), state);
    }
}

#[test]
fn an_archive_that_is_not_whole_is_refused() {
    let texts = [(0, "EOF"), (10, "EOF"), (300, "s2: corrupt input")];
    for (len, text) in texts {
        let mut desk = Desk::new(Storage::Memory);
        let error = desk.take_in(Storage::Memory, &[&REFERENCE[..len]]).unwrap_err();
        assert_eq!(error.description, format!("restore failed: {text}"), "{len}");
    }
    for len in (11..REFERENCE.len()).step_by(97) {
        let mut desk = Desk::new(Storage::Memory);
        assert!(desk.take_in(Storage::Memory, &[&REFERENCE[..len]]).is_err(), "{len}");
    }
}

#[test]
fn whoever_falls_silent_is_given_up() {
    let mut desk = Desk::new(Storage::Memory);
    let mut import = desk.import(Storage::Memory);
    import.on_chunk(b"r", &REFERENCE[..100], desk.now.mono);
    let until = desk.now.mono.plus(RESTORE_IDLE_NS);
    assert_eq!(import.step(&mut desk.context()), Progress::Waiting(until));
    assert_eq!(desk.sent().len(), 1, "the chunk is answered");
    desk.now.mono = until;
    assert_eq!(import.step(&mut desk.context()), Progress::Stalled);

    let mut store = Store::memory_only(1);
    let noise = |at: u64| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8;
    let payload: Vec<u8> = (0..9000).map(noise).collect();
    let message =
        NewMessage { seq: Seq(1), time: 1, subject: b"a", headers: b"", payload: &payload };
    store.append(None, &[message], Urgency::Now, Mono(0)).unwrap();
    let asked = r#"{"deliver_subject":"d","chunk_size":1024,"window_size":1024}"#;
    let mut export = desk.export(&mut store, asked, &[]);
    assert_eq!(export.step(&mut desk.context(), &mut store), Step::Settled);
    let until = desk.now.mono.plus(SNAPSHOT_FLOW_NS);
    assert_eq!(export.step(&mut desk.context(), &mut store), Step::Waiting(until));
    desk.sent();
    desk.now.mono = until;
    let failed = Step::Failed("no flow response".into());
    assert_eq!(export.step(&mut desk.context(), &mut store), failed);
    assert_eq!(desk.sent()[0].1, "NATS/1.0 408 No Flow Response\r\n\r\n");
}

#[test]
fn a_listener_is_waited_for_and_missed() {
    let mut desk = Desk::new(Storage::Memory);
    let mut store = Store::memory_only(1);
    desk.gate = Listener(GateState::Nobody);
    let mut export = desk.export(&mut store, r#"{"deliver_subject":"d"}"#, &[]);
    assert_eq!(export.step(&mut desk.context(), &mut store), Step::Settled);
    let Step::Waiting(until) = export.step(&mut desk.context(), &mut store) else { panic!() };
    assert!(desk.sent().is_empty());
    desk.now.mono = until;
    assert_eq!(export.step(&mut desk.context(), &mut store), Step::Done);

    desk.gate = Listener(GateState::Crowded);
    let mut export = desk.export(&mut store, r#"{"deliver_subject":"d"}"#, &[]);
    desk.sent();
    assert_eq!(export.step(&mut desk.context(), &mut store), Step::Settled);
    assert!(matches!(export.step(&mut desk.context(), &mut store), Step::Waiting(_)));
    desk.gate = Listener(GateState::Nobody);
    let failed = Step::Failed("no interest".into());
    assert_eq!(export.step(&mut desk.context(), &mut store), failed);
    assert_eq!(desk.sent()[0].1, "NATS/1.0 408 No Interest\r\n\r\n");
}
