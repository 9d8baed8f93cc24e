//! Every bound of the broker, each with what happens at it. Settings override those named so.

use super::time::{MILLISECOND, SECOND};

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
/// A run of owned outbound bytes; a full one is closed and another begun.
pub const OUTBOUND_RUN_BYTES: usize = 256 * 1024;
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
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            turn_outbound_bytes: TURN_OUTBOUND_BYTES,
            turn_peer_bytes: TURN_PEER_BYTES,
            peer_credit_bytes: PEER_CREDIT_BYTES,
            shared_payload_bytes: SHARED_PAYLOAD_BYTES,
            drain_bytes_min: DRAIN_BYTES_MIN,
        }
    }
}

/// Subjects whose fan-out a shard remembers. A full cache is swept.
pub const ROUTE_CACHE_SUBJECTS: usize = 16 * 1024;

/// A producer is stalled for a slow but draining subscriber at most so long per read.
pub const STALL_NS_MAX: u64 = 10 * MILLISECOND;
/// A subscriber that drained less than this in [`DRAIN_WINDOW_NS`] earns no stall.
pub const DRAIN_BYTES_MIN: u64 = 64 * 1024;
pub const DRAIN_WINDOW_NS: u64 = 250 * MILLISECOND;

/// Receive and outbound buffers kept for reuse by one shard.
pub const POOLED_BUFFERS: usize = 256;
pub const POOLED_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The executor's reactor gets a pass this often; a core sleeps no longer than this.
pub const REACTOR_PASS_NS: u64 = 100 * MILLISECOND;

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

/// Subjects of which a connection with permissions remembers whether it may publish them; then
/// it forgets them all.
pub const PUBLISH_VERDICTS_KEPT: usize = 128;
/// Replies that a connection with `allow_responses` may send; the oldest give way to new ones.
pub const REPLY_GRANTS_MAX: usize = 64 * 1024;
/// Logins that wait for their bcrypt or signature check; more are refused.
pub const LOGIN_PROOFS_MAX: usize = 4096;
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
/// A batch closes at this size; the next one gathers behind it.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Bytes appended but not yet durable. At it publishes are refused until the disk has caught up.
pub const GATHER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records that are made durable together (an atomic batch, a large message). Larger is refused.
pub const ATOMIC_BYTES_MAX: usize = 72 * 1024 * 1024;
/// Durable batches kept in memory for readers at the tail; the oldest is dropped.
pub const TAIL_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// A block of a stream in memory; it is given back as a whole. A larger message gets its own.
pub const MEMORY_BLOCK_BYTES: usize = 128 * 1024;
/// Subjects of which a filter with wildcards remembers its verdict; another takes the place.
pub const FILTER_VERDICTS_KEPT: usize = 512;
/// Read-aheads a stream keeps for its readers; the one that was used least recently goes.
pub const READ_RUNS_KEPT: usize = 4;
/// Times of messages that searches by time remember; the lowest sequence is forgotten.
pub const KNOWN_TIMES_MAX: usize = 512;
/// Deleted sequences that are listed one by one; the rest is only counted.
pub const DELETED_LISTED_MAX: usize = 1024 * 1024;
/// Chunks of a stream's index that lie open; the least recently used is packed.
pub const INDEX_OPEN_CHUNKS: usize = 4;
/// What a compaction holds in memory to sort; a larger segment is sorted piece by piece.
pub const COMPACTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Copies that go into one write, so that publishers wait at most for so much.
pub const COPY_BATCH_BYTES: usize = 256 * 1024;
/// A read-ahead of a sequential reader.
pub const READ_AHEAD_BYTES: u32 = 512 * 1024;
/// Reads under way for one log; more are refused until one is done.
pub const READS_MAX: usize = 1024;
/// Retired files kept for reuse; more are deleted.
pub const SPARE_SLOTS: usize = 2;
/// Progress that nobody waits for is written at the latest after this.
pub const RIDE_ALONG_NS: u64 = 100 * MILLISECOND;
/// An idle log closes its tail with an empty batch after this.
pub const IDLE_CLOSE_NS: u64 = 100 * MILLISECOND;
/// How often the log looks for segments to retire or to empty.
pub const TIDY_INTERVAL_NS: u64 = 20 * MILLISECOND;
/// How often a full disk is asked again.
pub const NO_SPACE_RETRY_NS: u64 = 250 * MILLISECOND;

/// Objects and lists inside each other in a request of the JetStream API; deeper is refused.
pub const JSON_DEPTH_MAX: usize = 64;

/// Slots of pending deliveries that an idle consumer keeps room for; above it gives the memory
/// back.
pub const PENDING_SLOTS_KEPT: usize = 16 * 1024;
/// Deltas of a consumer's state behind the whole; then the whole is written again.
pub const CONSUMER_DELTAS_MAX: u32 = 256;
/// Bytes of deltas that are written at least before the whole is written again.
pub const CONSUMER_DELTA_BYTES_MIN: usize = 4096;
/// Consecutive sequences that one step of a delta tells of; then another step begins.
pub const CONSUMER_RUN_MAX: u64 = 1 << 20;
/// Bytes a push client with flow control may owe an answer for. The window begins at a sixteenth
/// and doubles with each answer.
pub const FLOW_WINDOW_BYTES_MAX: u64 = 32 * 1024 * 1024;
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
