//! Every bound of the broker, each with what happens at it. Settings override those named so.

use std::ops::RangeInclusive;

use super::time::{MICROSECOND, MILLISECOND, SECOND};

/// Shards of one server; more are refused at start.
pub const SHARDS_MAX: usize = 64;

/// Input taken from sockets in one turn: the shared receive buffer. The rest waits in the kernel.
pub const TURN_INPUT_BYTES: usize = 256 * 1024;
/// A single read of one connection. The next read waits for its place in the following turn.
pub const READ_BYTES_MAX: usize = 128 * 1024;
/// Outbound bytes a turn may produce before it stops parsing and stashes the rest of the read.
pub const TURN_OUTBOUND_BYTES: usize = 4 * 1024 * 1024;
/// Frames from peers processed before sockets get a look again; the rest waits in the lane.
pub const TURN_PEER_BYTES: usize = 2 * 1024 * 1024;

/// Payloads from this size on are shared between subscribers by reference instead of copied.
pub const SHARED_PAYLOAD_BYTES: usize = 8 * 1024;
/// A run of owned outbound bytes; a full one is closed and another begun. One more small message
/// and its head still fit into a pooled buffer: longer runs cost an allocation each, and a page
/// fault for every 4 KiB.
pub const OUTBOUND_RUN_BYTES: usize = POOLED_BUFFER_BYTES_MAX - SHARED_PAYLOAD_BYTES;
/// Bytes in one send, so that progress of a slow reader is seen.
pub const SEND_BYTES_MAX: usize = 256 * 1024;

/// Batches in a lane from one core to another; a full lane holds the replies behind it.
pub const LANE_SLOTS: usize = 64;
/// Bytes of socket input on the way from one core to another. Without credit only the
/// connections that publish there stop being read.
pub const PEER_CREDIT_BYTES: u64 = 8 * 1024 * 1024;

/// The bounds within a shard that a simulator makes small, so that all of them are met.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    pub turn_outbound_bytes: usize,
    pub turn_peer_bytes: usize,
    pub peer_credit_bytes: u64,
    pub shared_payload_bytes: usize,
    pub drain_bytes_min: u64,
    pub drain_trust_ns: u64,
    pub drain_trust_behind_ns: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            turn_outbound_bytes: TURN_OUTBOUND_BYTES,
            turn_peer_bytes: TURN_PEER_BYTES,
            peer_credit_bytes: PEER_CREDIT_BYTES,
            shared_payload_bytes: SHARED_PAYLOAD_BYTES,
            drain_bytes_min: DRAIN_BYTES_MIN,
            drain_trust_ns: DRAIN_TRUST_NS,
            drain_trust_behind_ns: DRAIN_TRUST_BEHIND_NS,
        }
    }
}

/// Connections that leave one core at the same time; the next wait for their turn.
pub const DEPARTURES_MAX: usize = 16;
/// Connections that come to one core at the same time; the next are refused, and stay where they are.
pub const ARRIVALS_MAX: usize = 256;
/// A connection that owes more, or has more subscriptions, is not moved.
pub const MOVE_OWED_BYTES_MAX: u64 = 1 << 20;
pub const MOVE_SUBSCRIPTIONS_MAX: usize = 256;
/// Nor one whose send has been with the kernel for longer.
pub const MOVE_FLUSH_NS_MAX: u64 = 10 * MILLISECOND;
/// Connections to be moved that wait until they can be.
pub const MOVES_WANTED_MAX: usize = 16;
/// Connections that a core decides to move in one slice of its time.
pub const MOVES_AT_ONCE: usize = 4;
/// Connections that a core considers for a move at once; others wait until there is room.
pub const NOTED_MAX: usize = 1024;
/// How often a core looks for connections to move. Settings override it.
pub const MOVE_INTERVAL_NS: u64 = 80 * MILLISECOND;
/// A connection with fewer messages a second is not moved. Settings override it.
pub const MOVE_RATE_MIN: u64 = 1000;
/// An idle core watches its ring so long before it sleeps, where that pays. Settings override it.
pub const SPIN_NS: u64 = 50 * MICROSECOND;
/// Where it did not pay, so many pauses are slept through at most before one is watched again.
pub const SPIN_RESTS_MAX: u32 = 255;
/// How long a core tries to sleep at once, or to watch, before it does the other.
pub const SPIN_TRIAL_PHASE_NS: u64 = 10 * MILLISECOND;
/// How long what a trial found holds: at first, and when it is found again and again.
pub const SPIN_CHOICE_NS: RangeInclusive<u64> = 250 * MILLISECOND..=8 * SECOND;
/// Keys that a connection had on other cores; by the oldest it is no longer known.
pub const FORMER_NAMES_MAX: usize = 4;
/// What is sent to a connection's key on the core that it left is sent on for so long.
pub const FORWARD_NS: u64 = 10 * SECOND;
/// Keys of connections that left one core and are still sent on; then no more leave for a while.
pub const FORWARDS_MAX: usize = 4096;
/// A queue message that meets no member on any core tries all once more, if a connection has moved this
/// lately.
pub const SWITCH_NS: u64 = SECOND;
pub const ROUNDS_MAX: u8 = 3;

/// Subjects whose fan-out a shard remembers. A full cache is swept.
pub const ROUTE_CACHE_SUBJECTS: usize = 16 * 1024;

/// A producer is stalled for a slow but draining subscriber at most so long per read.
pub const STALL_NS_MAX: u64 = 10 * MILLISECOND;
/// A subscriber earns stalls by draining so many bytes; then it is trusted for a while, and earns
/// none after it.
pub const DRAIN_BYTES_MIN: u64 = 64 * 1024;
/// How long a subscriber is trusted that drained while it kept up. Short: one that stops fills
/// what it may owe in about this time, and its neighbours wait for the rest of it.
pub const DRAIN_TRUST_NS: u64 = 50 * MILLISECOND;
/// The same for one that drained while it owed more than half of its limit, which only a live
/// reader does: the kernel took what it holds itself long before. Long enough for a reader of
/// 15 MB/s, whose full socket takes a megabyte at a time.
pub const DRAIN_TRUST_BEHIND_NS: u64 = 100 * MILLISECOND;

/// Receive and outbound buffers kept for reuse by one shard.
pub const POOLED_BUFFERS: usize = 256;
pub const POOLED_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The executor's reactor gets a pass this often; a core sleeps no longer than this.
pub const REACTOR_PASS_NS: u64 = 100 * MILLISECOND;

/// What a latency histogram tells apart at best, and at most: shorter and longer times count as
/// these.
pub const LATENCY_NS_MIN: u64 = 128;
pub const LATENCY_NS_MAX: u64 = 1 << 38;
/// The same for sizes, in bytes or messages.
pub const SIZE_MAX: u64 = 1 << 32;

/// Those whose last look at `/latencyz` is remembered; the one that did not look for longest is
/// forgotten.
pub const VIEWERS_MAX: usize = 16;
/// A viewer's name; longer ones are cut.
pub const VIEWER_NAME_BYTES_MAX: usize = 128;
/// Rows of the busiest subjects, and publishers, on a page.
pub const HOT_SHOWN_MAX: usize = 20;
/// Connections of a shard that are named as slow; those that owe most.
pub const SLOW_SHOWN_MAX: usize = 32;
/// A connection that has owed bytes for so long is shown as slow.
pub const SLOW_SHOWN_NS_MIN: u64 = 100 * MILLISECOND;
/// Subjects named with it.
pub const SLOW_SUBJECTS_SHOWN: usize = 4;
/// Subjects, and publishers, of which a shard counts the messages; another takes the place of the
/// one with the fewest.
pub const HOT_COUNTED_MAX: usize = 64;
/// Bytes of such a subject that are remembered.
pub const HOT_SUBJECT_BYTES_MAX: usize = 128;
/// Counts are of the last whole window of this length.
pub const HOT_WINDOW_NS: u64 = 10 * SECOND;
/// Samples a shard takes in a second, about.
pub const HOT_SAMPLES_PER_SECOND: u64 = 2000;
/// The most messages that one sample stands for.
pub const HOT_GAP_MAX: u64 = 64 * 1024;

/// Requests waiting at a shard from the control thread; more are refused with 503.
pub const CONTROL_REQUESTS_MAX: usize = 1024;

/// Monitoring connections at once; more wait in the listener's backlog.
pub const MONITOR_CONNECTIONS_MAX: usize = 64;
/// A monitoring connection is asked to end after this, so that none is held for ever.
pub const MONITOR_CONNECTION_NS_MAX: u64 = 5 * 60 * SECOND;
/// Request line and headers of a monitoring request; longer ones get 431.
pub const MONITOR_HEADER_BYTES_MAX: usize = 64 * 1024;
/// A monitoring request has to be read in this time, and answered in the same again (else 503).
pub const MONITOR_REQUEST_NS_MAX: u64 = 10 * SECOND;
/// Pages under construction at once; more wait for their turn.
pub const MONITOR_PAGES_MAX: usize = 8;
/// How long a shard may take to answer the control thread; the page is then a 503.
pub const CONTROL_ANSWER_NS_MAX: u64 = 2 * SECOND;
/// The same where it has to make rows, a slice in each turn.
pub const CONTROL_ROWS_NS_MAX: u64 = 8 * SECOND;
/// A slice of such an answer, in things looked at; a row costs four of them. About 0.1 ms.
pub const ANSWER_SLICE_STEPS: usize = 1024;

/// Bytes of one file in a debug bundle, and of the log's end; the rest is left out.
pub const BUNDLE_ITEM_BYTES_MAX: u64 = 64 * 1024 * 1024;
pub const BUNDLE_LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Subjects of which a connection with permissions remembers whether it may publish them; then
/// it forgets them all.
pub const PUBLISH_VERDICTS_KEPT: usize = 128;
/// Replies that a connection with `allow_responses` may send; the oldest give way to new ones.
pub const REPLY_GRANTS_MAX: usize = 64 * 1024;
/// Logins that wait for their bcrypt or signature check; more are refused.
pub const LOGIN_PROOFS_MAX: usize = 4096;
/// Requests to the server (`$SYS.REQ.…`) that wait for the control thread; more are refused.
pub const SYSTEM_REQUESTS_MAX: usize = 256;
/// Logins checked at once, each on a thread of its own beside the cores.
pub const LOGIN_PROVERS: usize = 2;

/// Configuration text of one start or reload: all files and what variables expand to. More is
/// refused, so neither an include loop nor a variable of variables can fill the memory.
pub const CONFIG_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Maps, arrays, includes and variables inside each other; deeper is refused.
pub const CONFIG_DEPTH_MAX: usize = 64;

/// Rotated log files looked at when old ones are removed; more are left alone.
pub const LOG_BACKUPS_MAX: usize = 10_000;

/// The smallest and the largest segment; in between they grow with the log. A larger record gets
/// a segment of its own size.
pub const SEGMENT_BYTES_MIN: u32 = 1024 * 1024;
pub const SEGMENT_BYTES_MAX: u32 = 256 * 1024 * 1024;
/// A part of a segment's footer takes about so much of the file at most: what one turn archives.
pub const FOOTER_PART_BYTES: u32 = 256 * 1024;
/// A part tells of about so many bytes of batches at most: what is scanned after a kill.
pub const FOOTER_PART_BATCH_BYTES: u32 = 8 * 1024 * 1024;
/// The largest segment that a log with little in it gets because it is written fast.
pub const PACE_SEGMENT_BYTES_MAX: u32 = 32 * 1024 * 1024;
/// A batch closes at this size; the next one gathers behind it.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes appended but not yet durable. At it publishes wait until the disk has caught up.
pub const GATHER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records that are made durable together (an atomic batch, a large message). Larger is refused.
pub const ATOMIC_BYTES_MAX: usize = 72 * 1024 * 1024;
/// Durable batches kept in memory for readers at the tail; the oldest is dropped.
pub const TAIL_CACHE_BYTES: usize = 64 * 1024 * 1024;
/// So many of them at most: those of lone publishers are small, and a place among them is looked for.
pub const TAIL_BATCHES_MAX: usize = 65_536;
/// A block of a stream in memory; it is given back as a whole. A larger message gets its own.
pub const MEMORY_BLOCK_BYTES: usize = 128 * 1024;
/// Subjects of which a filter with wildcards remembers its verdict; another takes the place.
pub const FILTER_VERDICTS_KEPT: usize = 512;
/// What a log keeps of what single reads brought, unless `read_cache` says otherwise, and the pages
/// in which it reads and keeps it. A page that was not used for longest goes first, or nearly.
pub const READ_CACHE_BYTES: usize = 256 * 1024 * 1024;
pub const READ_PAGE_BYTES: u32 = 64 * 1024;
/// Pages that a stream remembers to have asked for, to tell a reader who goes on.
pub const READ_PAGES_REMEMBERED: usize = 8;
/// What a stream keeps of what was read for those behind the tail: reads and bytes of them. The
/// oldest goes.
pub const READ_RUNS_KEPT: usize = 128;
pub const READ_RUN_BYTES_KEPT: usize = 4 * 1024 * 1024;
/// Payloads of a stream with `compression: s2` that are packed, in bytes, and the share (one in so
/// many) of its bytes that each must save.
pub const PACKING_PAYLOAD_MIN: usize = 64;
pub const PACKED_SHARE_MIN: usize = 16;
/// A larger room for an unpacked payload is given back with the next smaller one.
pub const PACKING_BYTES_KEPT: usize = 1024 * 1024;
/// A stream nobody read from the disk for so long gives that memory back.
pub const READ_RUNS_IDLE_NS: u64 = 10 * SECOND;
/// Times of messages that searches by time remember; the lowest sequence is forgotten.
pub const KNOWN_TIMES_MAX: usize = 512;
/// Deleted sequences that are listed one by one; the rest is only counted.
pub const DELETED_LISTED_MAX: usize = 1024 * 1024;
/// A subject's messages whose sequences are known without a search; from more on only the first
/// and the last.
pub const SUBJECT_POSTINGS_MAX: u64 = 128;
/// Chunks of a stream's index that lie open; the least recently used is packed.
pub const INDEX_OPEN_CHUNKS: usize = 2;
/// Streams that are looked at once in a while for chunks that lie open and are not used.
pub const STREAMS_COOLED_AT_ONCE: usize = 16;
/// What a compaction holds in memory to sort; a larger segment is sorted piece by piece.
pub const COMPACTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// What it reads and goes through in one turn.
pub const COMPACTION_READ_BYTES: u32 = 256 * 1024;
/// Copies that go into one write, so that publishers wait at most for so much.
pub const COPY_BATCH_BYTES: usize = 256 * 1024;
/// What one read brings to somebody who asks for a message, and what it grows to, by twice each
/// time, for a reader who goes on where it ended.
pub const READ_BYTES_MIN: u32 = 4 * 1024;
pub const READ_AHEAD_BYTES: u32 = 512 * 1024;
/// Reads under way for one log; more are refused until one is done.
pub const READS_MAX: usize = 1024;
/// Reads under way at once when the values of all keys are loaded at start-up.
pub const VALUE_READS_MAX: usize = 32;
/// Retired files kept for reuse; more are deleted.
pub const SPARE_SLOTS: usize = 2;
/// Progress that nobody waits for is written at the latest after this.
pub const RIDE_ALONG_NS: u64 = 100 * MILLISECOND;
/// An idle log closes its tail with an empty batch after this.
pub const IDLE_CLOSE_NS: u64 = 100 * MILLISECOND;
/// Messages that a purge of more, or the end of their stream, takes out of the log's accounts in
/// one turn; the rest follows in the next ones.
pub const SWEPT_AT_ONCE: u64 = 4096;
/// How often the log looks for segments to retire or to empty.
pub const TIDY_INTERVAL_NS: u64 = 20 * MILLISECOND;
/// How long a full segment that mixes streams is left as it is before it is sorted: what is deleted soon is never
/// copied, and a burst of publishes has the disk and the core to itself.
pub const SORT_DELAY_NS: u64 = 10 * SECOND;
/// How often a full disk is asked again.
pub const NO_SPACE_RETRY_NS: u64 = 250 * MILLISECOND;
/// How long a stopping core waits for its logs to be closed. One that is not is found in full by
/// the next start, which takes longer.
pub const CLOSE_LOGS_NS_MAX: u64 = 10 * SECOND;
/// Servers that may share the directory for temporary files, where nobody named a store.
pub const TEMPORARY_STORES_MAX: u32 = 256;
/// How long a start measures its disk.
pub const DISK_QUALIFY_NS_MAX: u64 = 20 * MILLISECOND;

/// What JetStream may have on its way to one connection before it waits for room (DESIGN §4).
pub const JETSTREAM_CREDIT_BYTES: u64 = 1 << 20;
/// Objects and lists inside each other in a request of the JetStream API; deeper is refused.
pub const JSON_DEPTH_MAX: usize = 64;

/// Message ids a stream remembers within its duplicate window; at it a publish with an id is
/// refused with 429 until old ones expire. About 40 bytes each.
pub const DEDUP_IDS_MAX: usize = 32 * 1024 * 1024;
/// An expired message id is forgotten at most so much later; it is no duplicate meanwhile.
pub const DEDUP_PAUSE_NS: u64 = 100 * MILLISECOND;
/// Header bytes of a message a stream stores; larger is refused.
pub const STORED_HEADER_BYTES_MAX: usize = 64 * 1024 - 1;
/// Messages one look at a stream's ages, ids or TTLs goes through; the rest waits for the next.
pub const STREAM_TICK_MESSAGES: usize = 1024;
/// Rollups are made up for after a crash that are not older than so much before the last message:
/// what they displace goes when they are on disk, which takes less.
pub const ROLLUP_LOOK_BACK_NS: u64 = 60 * SECOND;
/// Direct gets of a stream that wait for a read; more are answered with 429.
pub const WAITING_GETS_MAX: usize = 1024;
/// Messages of one direct get that go out before others have their turn.
pub const GET_BATCH_MESSAGES: usize = 256;
/// Messages of a purge that go before others have their turn: about 2 ms.
pub const PURGE_SLICE_MESSAGES: usize = 1024;
/// Messages one consumer looks at before another has its turn.
pub const JETSTREAM_POLL_MESSAGES: usize = 256;
/// Bytes one consumer hands out, and a message more, before they are routed: only then is it seen
/// what their receivers are owed.
pub const JETSTREAM_POLL_BYTES: usize = 512 * 1024;
/// A removal that the log refused, because it is behind or its disk is full, is tried again after it.
pub const REMOVAL_RETRY_NS: u64 = 100 * MILLISECOND;
/// Progress of consumers that nobody waits for is gathered for so long before it is written.
pub const PROGRESS_GATHER_NS: u64 = 50 * MILLISECOND;
/// Messages displaced inside a stream that it remembers: consumers further behind look through all
/// they have delivered.
pub const DISPLACED_KEPT: usize = 256;
/// Slots of pending deliveries that an idle consumer keeps room for; above it gives the memory
/// back.
pub const PENDING_SLOTS_KEPT: usize = 16 * 1024;
/// Deltas of a consumer's state behind the whole; then the whole is written again.
pub const CONSUMER_DELTAS_MAX: u32 = 256;
/// Bytes of deltas that are written at least before the whole is written again.
pub const CONSUMER_DELTA_BYTES_MIN: u32 = 4096;
/// Consecutive sequences that one step of a delta tells of; then another step begins.
pub const CONSUMER_RUN_MAX: u64 = 1 << 20;
/// Bytes a push client with flow control may owe an answer for. The window begins at a sixteenth
/// and doubles with each answer.
pub const FLOW_WINDOW_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The same for a stream that draws from another.
pub const SOURCE_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What a log may have on its way to the disk for an origin's messages to be taken: what clients
/// publish waits behind no more than that.
pub const SOURCE_PENDING_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Deliveries of a stream's origins that wait for the log or a read, more than the windows of
/// four; what is beyond is dropped and asked for again later.
pub const SOURCE_HELD_BYTES_MAX: usize = 48 * 1024 * 1024;
/// How long an origin is waited for: to answer, and between two signs of life. Its consumer beats
/// once a second.
pub const SOURCE_ANSWER_NS_MAX: u64 = SECOND;
pub const SOURCE_SILENCE_NS_MAX: u64 = 3 * SECOND;
/// Before an origin is asked, and before it is asked anew: soon, and after failures.
pub const SOURCE_PAUSE_NS: u64 = 10 * MILLISECOND;
pub const SOURCE_RETRY_NS_MIN: u64 = 100 * MILLISECOND;
pub const SOURCE_RETRY_NS_MAX: u64 = 2 * SECOND;
/// Messages behind the last positions of sources in the log, which a restart has to read.
pub const SOURCE_CHECKPOINT_MESSAGES: u64 = 4096;
/// How long it may take until the log knows of an origin's message that left none in the stream.
pub const SOURCE_PASSED_NS: u64 = 10 * MILLISECOND;
/// Origins of a stream whose positions are remembered, those it no longer draws from among them.
pub const SOURCE_POSITIONS_MAX: usize = 4096;
/// Steps from stream to stream in search of a cycle; what takes more is refused as one.
pub const SOURCE_STEPS_MAX: usize = 100_000;
/// The burst of a rate-limited consumer whose stream sets no message size.
pub const RATE_BURST_BYTES: u64 = 1024 * 1024;
/// A pull consumer nobody uses stays this much longer than its threshold, at random in between.
pub const INACTIVE_JITTER_NS_MIN: u64 = 100 * MILLISECOND;
pub const INACTIVE_JITTER_NS_MAX: u64 = SECOND;
/// Inbox buffers a consumer keeps for the next pulls.
pub const SPARE_INBOXES: usize = 4;
/// Messages delivered as often as allowed that a consumer tells of in one tick; the rest comes
/// with the next.
pub const GIVEN_UP_PER_TICK: usize = 1024;
/// Pause between two looks at what has outlived `max_age` or its TTL: it goes at most so much late.
pub const EXPIRY_PAUSE_NS: u64 = 20 * MILLISECOND;
/// Subjects in one page of a stream's details.
pub const SUBJECTS_PAGE: usize = 100_000;
/// Bytes of messages one direct get brings, unless it says less.
pub const GET_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Subjects whose last messages one direct get may ask for; more are refused with 413.
pub const MULTI_GET_SUBJECTS_MAX: usize = 1024;
/// By how many steps of `max_mem` and `max_file` the cores hear of each other what they hold: the
/// limit is met with this precision.
pub const LEDGER_STEPS: u64 = 1024;
/// How often a stream with requests that wait is asked, if nothing else wakes its core.
pub const JETSTREAM_POLL_NS: u64 = MILLISECOND;
/// What the reference allows of streams and consumers: bytes of names, descriptions and metadata
/// (names and values together, ours too), and copies in a cluster. More is refused.
pub const ASSET_NAME_BYTES_MAX: usize = 255;
pub const ASSET_DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
pub const ASSET_METADATA_BYTES_MAX: usize = 128 * 1024;
pub const REPLICAS_MAX: i64 = 5;

/// Bytes that a stream's open batches hold; the one that goes beyond is abandoned as too large.
pub const BATCHES_BYTES_MAX: usize = 2 * ATOMIC_BYTES_MAX;
/// Letters of a batch's id.
pub const BATCH_ID_BYTES_MAX: usize = 64;
/// Counters whose value a stream remembers, those on their way to the disk aside; beyond it they
/// are read again.
pub const COUNTERS_KEPT: usize = 4096;
/// Fast batches of a stream that are open; another is refused with 429.
pub const FAST_BATCHES_OPEN_MAX: usize = 1000;
/// Messages between two acknowledgements of a fast batch.
pub const FAST_WINDOW_DEFAULT: u64 = 10;
pub const FAST_WINDOW_MAX: u64 = 500;
/// A fast batch that gets nothing for so long is forgotten.
pub const FAST_BATCH_IDLE_NS: u64 = 10 * SECOND;
/// Schedules that are obeyed in one tick; the rest waits for the next.
pub const SCHEDULES_TICK: usize = 256;
/// A schedule that could not be obeyed is tried again after this.
pub const SCHEDULE_RETRY_NS: u64 = 50 * MILLISECOND;
/// A schedule whose message was refused waits for so long.
pub const SCHEDULE_REFUSED_NS: u64 = SECOND;

/// Bytes that one chunk of a snapshot's stream may stand for (the format's own bound), and what
/// it may take with its overhead. More is refused as corrupt.
pub const S2_BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const S2_CHUNK_BYTES_MAX: usize = S2_BLOCK_BYTES_MAX + S2_BLOCK_BYTES_MAX / 8;
/// Bytes that go into one chunk of a snapshot written here.
pub const SNAPSHOT_BLOCK_BYTES: usize = 256 * 1024;
/// An entry of a restored archive: a message, or a consumer with all it has pending.
pub const ARCHIVE_ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;
pub const ARCHIVE_NAME_BYTES_MAX: usize = 64 * 1024 - 1;
/// What a snapshot reads in one turn, and what a restore unpacks in one, before others have theirs.
pub const SNAPSHOT_TURN_BYTES: usize = 512 * 1024;
pub const RESTORE_TURN_BYTES: usize = 1024 * 1024;
/// Sizes of chunks and of the window of a snapshot, as the reference bounds and fills them in.
pub const SNAPSHOT_CHUNK_BYTES: usize = 128 * 1024;
pub const SNAPSHOT_CHUNK_BYTES_MIN: usize = 1024;
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 1024 * 1024;
pub const SNAPSHOT_WINDOW_BYTES: usize = 8 * 1024 * 1024;
pub const SNAPSHOT_WINDOW_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a snapshot waits for somebody to listen, and for acknowledgements.
pub const SNAPSHOT_INTEREST_NS: u64 = 2 * SECOND;
pub const SNAPSHOT_FLOW_NS: u64 = 5 * SECOND;
/// Snapshots of one stream under way; another is refused.
pub const SNAPSHOTS_MAX: usize = 8;
/// Restores under way on one core; another is refused.
pub const RESTORES_MAX: usize = 64;
/// A restore that gets nothing for so long is given up.
pub const RESTORE_IDLE_NS: u64 = 5 * SECOND;
/// Bytes a client may have sent into a restore without an answer; more ends it.
pub const RESTORE_WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What the consumers of a restored stream may take together.
pub const RESTORE_CONSUMERS_BYTES_MAX: usize = 256 * 1024 * 1024;
