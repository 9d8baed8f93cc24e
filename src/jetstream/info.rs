//! What the API tells of streams, consumers and accounts, in the reference's order
//! (facts/jetstream-api.md §1–§4, §9; each was compared with nats-server 2.15.1).

use std::collections::BTreeMap;
use std::io::Write;

use serde::{Deserialize, Serialize, Serializer};

use super::config::{ConsumerConfig, External, Moment, StreamConfig, SubjectTransform};
use super::error::ApiError;
use crate::types::{Wall, json};

/// An answer of the API: `body`'s fields behind the type. `kind` is the type's stem: `stream_info`.
pub fn answer(kind: &str, body: &impl Serialize) -> Vec<u8> {
    json::compact(&Envelope { kind: type_of(kind), error: None, body })
}

/// A refusal. `body` holds the fields that stay beside the error; [`Nothing`] for most kinds.
pub fn refusal(kind: &str, error: &ApiError, body: &impl Serialize) -> Vec<u8> {
    json::compact(&Envelope { kind: type_of(kind), error: Some(error), body })
}

/// The refusal in place of an answer that rests on what a failed log lost. `None`: no client waits
/// for `answer` alone.
pub fn unsettled(answer: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "type")]
        kind: Option<String>,
        stream: Option<String>,
    }
    #[derive(Serialize)]
    struct Refused<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
        error: ApiError,
    }
    let Answer { kind, stream } = serde_json::from_slice(answer).ok()?;
    if let Some(kind) = kind.filter(|kind| kind.starts_with(API_TYPES)) {
        let error = ApiError::insufficient_resources();
        return Some(json::compact(&Refused { kind: &kind, error }));
    }
    let error = ApiError::stream_store_failed("the log failed before the message was on disk");
    let mut refusal = Vec::new();
    PubAcks::new(&stream?, None).refuse(&mut refusal, &error);
    Some(refusal)
}

const API_TYPES: &str = "io.nats.jetstream.api.v1.";

fn type_of(kind: &str) -> String {
    format!("{API_TYPES}{kind}_response")
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ApiError>,
    #[serde(flatten)]
    body: &'a T,
}

/// A body without fields.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Nothing {}

/// The body of what is done or not: deletes, step-downs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Success {
    success: bool,
}

impl Success {
    pub const YES: Self = Self { success: true };
}

/// Which part of a list an answer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Page {
    pub total: u64,
    pub offset: u64,
    pub limit: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A time; 0 is Go's zero time.
fn time<S: Serializer>(at: &Wall, to: S) -> Result<S::Ok, S::Error> {
    let moment = if at.0 == 0 { Moment::ZERO } else { Moment::from_wall(*at) };
    moment.serialize(to)
}

/// What a stream holds. Times of 0 are none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    #[serde(serialize_with = "time")]
    pub first_ts: Wall,
    pub last_seq: u64,
    #[serde(serialize_with = "time")]
    pub last_ts: Wall,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_subjects: u64,
    /// Messages by subject, if asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_deleted: u64,
    /// Removed sequences between first and last, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Lost>,
    pub consumer_count: u64,
}

/// Messages that the disk did not give back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Lost {
    pub msgs: Vec<u64>,
    pub bytes: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StreamInfo {
    /// As [`StreamConfig::with_server_metadata`] has it, or as kept, for lists.
    pub config: StreamConfig,
    #[serde(serialize_with = "time")]
    pub created: Wall,
    pub state: StreamState,
    /// Left out of the answers to create and update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Only STREAM.INFO has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<SourceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInfo>,
    /// When this was written.
    #[serde(serialize_with = "time")]
    pub ts: Wall,
}

/// Of a server by itself only the leader is told: its own name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ClusterInfo {
    pub leader: String,
}

/// How far a mirror or a source has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SourceInfo {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    pub lag: u64,
    /// The last sequence drawn; mirrors leave it out.
    #[serde(skip_serializing_if = "is_zero")]
    pub seq: u64,
    /// Nanoseconds since the origin was last heard of; -1: never.
    pub active: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<SubjectTransform>,
}

/// The body of a stream's creation.
#[derive(Clone, Debug, Serialize)]
pub struct StreamCreated {
    #[serde(flatten)]
    pub info: StreamInfo,
    did_create: bool,
}

impl StreamCreated {
    /// The same for a stream that was there already: so does the reference.
    pub fn new(info: StreamInfo) -> Self {
        Self { info, did_create: true }
    }
}

/// The body of STREAM.INFO. The page is that of `state.subjects`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StreamInfoPage {
    #[serde(flatten)]
    pub page: Page,
    /// None beside an error.
    #[serde(flatten)]
    pub info: Option<StreamInfo>,
}

/// A position: of a consumer, and of its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SequenceInfo {
    pub consumer_seq: u64,
    pub stream_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_time")]
    pub last_active: Option<Wall>,
}

fn some_time<S: Serializer>(at: &Option<Wall>, to: S) -> Result<S::Ok, S::Error> {
    time(&at.unwrap_or_default(), to)
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ConsumerInfo {
    pub stream_name: String,
    pub name: String,
    #[serde(serialize_with = "time")]
    pub created: Wall,
    /// As [`ConsumerConfig::with_server_metadata`] has it, or as kept, for lists. Only `/jsz` may
    /// leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ConsumerConfig>,
    pub delivered: SequenceInfo,
    pub ack_floor: SequenceInfo,
    pub num_ack_pending: u64,
    pub num_redelivered: u64,
    pub num_waiting: u64,
    pub num_pending: u64,
    #[serde(skip_serializing_if = "is_false")]
    pub push_bound: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub pause_remaining: u64,
    /// When this was written.
    #[serde(serialize_with = "time")]
    pub ts: Wall,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub priority_groups: Vec<PriorityGroupState>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PriorityGroupState {
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pinned_client_id: String,
    /// 0: nobody is pinned. It is told all the same.
    #[serde(serialize_with = "time")]
    pub pinned_ts: Wall,
}

/// The body of CONSUMER.PAUSE.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PauseState {
    pub paused: bool,
    pub pause_until: Moment,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub pause_remaining: u64,
}

/// The body of `$JS.API.INFO`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AccountInfo {
    #[serde(flatten)]
    pub usage: Tier,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub api: ApiStats,
    /// By name (`R1`), for an account whose limits depend on replicas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiers: BTreeMap<String, Tier>,
}

/// What an account uses and may use. Sizes in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tier {
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub streams: u64,
    pub consumers: u64,
    pub limits: AccountLimits,
}

/// Limits of an account; -1 is none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AccountLimits {
    pub max_memory: i64,
    pub max_storage: i64,
    pub max_streams: i64,
    pub max_consumers: i64,
    pub max_ack_pending: i64,
    /// Of one stream. 0 is no limit too.
    pub memory_max_stream_bytes: i64,
    pub storage_max_stream_bytes: i64,
    /// Streams have to set `max_bytes`.
    pub max_bytes_required: bool,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            max_memory: -1,
            max_storage: -1,
            max_streams: -1,
            max_consumers: -1,
            max_ack_pending: -1,
            memory_max_stream_bytes: -1,
            storage_max_stream_bytes: -1,
            max_bytes_required: false,
        }
    }
}

/// Requests to the API since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ApiStats {
    pub level: u32,
    pub total: u64,
    pub errors: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub inflight: u64,
}

/// Writes what a stream answers to publishes. What is the same in all of them is written once.
#[derive(Clone, Debug)]
pub struct PubAcks {
    /// `{"stream":"S"[,"domain":"d"],"seq":`
    begin: Vec<u8>,
    /// `,"stream":"S","seq":0}`: refusals leave the domain out.
    end: Vec<u8>,
}

/// What an acknowledgement tells beside the sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PubAck<'a> {
    pub seq: u64,
    pub duplicate: bool,
    /// A counter's new value.
    pub value: Option<&'a str>,
    /// A batch's id and how many messages it had.
    pub batch: Option<(&'a str, u64)>,
}

impl PubAcks {
    pub fn new(stream: &str, domain: Option<&str>) -> Self {
        let mut begin = b"{\"stream\":".to_vec();
        quote(&mut begin, stream);
        if let Some(domain) = domain {
            begin.extend_from_slice(b",\"domain\":");
            quote(&mut begin, domain);
        }
        begin.extend_from_slice(b",\"seq\":");
        let mut end = b",\"stream\":".to_vec();
        json::append(&mut end, &stream);
        end.extend_from_slice(b",\"seq\":0}");
        Self { begin, end }
    }

    /// Adds an acknowledgement to `out`.
    pub fn write(&self, out: &mut Vec<u8>, ack: &PubAck<'_>) {
        out.extend_from_slice(&self.begin);
        out.extend_from_slice(itoa::Buffer::new().format(ack.seq).as_bytes());
        if ack.duplicate {
            // The one blank in all the JSON of the reference; it is written by hand there.
            out.extend_from_slice(b",\"duplicate\": true");
        }
        if let Some(value) = ack.value {
            out.extend_from_slice(b",\"val\":");
            quote(out, value);
        }
        if let Some((id, count)) = ack.batch {
            out.extend_from_slice(b",\"batch\":");
            quote(out, id);
            write!(out, ",\"count\":{count}").expect(INFALLIBLE);
        }
        out.push(b'}');
    }

    /// Adds a refusal to `out`.
    pub fn refuse(&self, out: &mut Vec<u8>, error: &ApiError) {
        out.extend_from_slice(b"{\"error\":");
        json::append(out, error);
        out.extend_from_slice(&self.end);
    }
}

const INFALLIBLE: &str = "a Vec takes everything";

/// Here, and only here, the reference leaves `<`, `>` and `&` as they are.
fn quote(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect(INFALLIBLE);
}

#[cfg(test)]
mod tests;
