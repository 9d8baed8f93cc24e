//! How an origin is asked for its messages: through the API, for a consumer that delivers to the
//! sourcing stream; and what the API answers.

use serde::Deserialize;

use super::label::Position;
use crate::jetstream::advisory::id_of;
use crate::jetstream::config::{
    AckPolicy, ConsumerConfig, ConsumerRequest, DeliverPolicy, Nanos, StreamConfig, StreamSource,
};
use crate::jetstream::error::ApiError;
use crate::jetstream::headers;
use crate::storage::Seq;
use crate::types::time::SECOND;
use crate::types::{Wall, json};

/// The header by which an origin is told apart from an earlier stream of its name.
pub const IDENTITY_HEADER: &str = "Nats-Stream-Identity";
/// The error of an origin that is another than the one drawn from so far.
pub const IDENTITY_MISMATCH: u16 = 10225;

const API_PREFIX: &str = "$JS.API";
const DELIVER_PREFIX: &str = "$JS";
const HEARTBEAT_NS: i64 = SECOND as i64;
/// The consumer of a sourcing stream that went without a word.
const UNUSED_NS: i64 = 10 * SECOND as i64;
const ACK_WAIT_NS: i64 = 22 * 3600 * SECOND as i64;
const NAME_LETTERS: usize = 8;

/// One attempt at an origin: where its deliveries go, and the answer to the request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Round {
    /// The consumer's name; empty before the first attempt.
    pub consumer: String,
    pub deliver: String,
    pub answer: String,
}

/// Where an origin is to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start<'a> {
    /// As the source is configured.
    Configured,
    From(Seq, &'a str),
}

/// A request to the API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiRequest {
    pub subject: String,
    pub headers: Vec<u8>,
    pub body: Vec<u8>,
}

/// `S` or `M`, as a token of the subjects that deliveries go to.
fn letter(is_mirror: bool) -> char {
    if is_mirror { 'M' } else { 'S' }
}

/// What a stream has to listen to for its sources.
pub fn patterns(config: &StreamConfig) -> Vec<String> {
    let (letter, name) = (letter(config.mirror.is_some()), &config.name);
    let mut all = Vec::new();
    for source in config.feeds() {
        let own = format!("{DELIVER_PREFIX}.{letter}.{name}.>");
        let external = source.external.as_ref().filter(|external| !external.deliver.is_empty());
        let external = external.map(|external| format!("{}.{letter}.{name}.>", external.deliver));
        let durable = source.consumer.as_ref().map(|consumer| consumer.deliver_subject.clone());
        for pattern in [Some(own), external, durable].into_iter().flatten() {
            if !all.contains(&pattern) {
                all.push(pattern);
            }
        }
    }
    all
}

fn api_of(source: &StreamSource) -> &str {
    let external = source.external.as_ref().map(|external| external.api.as_str());
    external.filter(|api| !api.is_empty()).unwrap_or(API_PREFIX)
}

impl Round {
    /// `salt`: differs between the sources of a stream.
    pub fn new(
        stream: &str,
        source: &StreamSource,
        is_mirror: bool,
        now: Wall,
        salt: &[u8],
    ) -> Self {
        let id = id_of(now, &[stream.as_bytes(), salt]);
        let id = String::from_utf8_lossy(&id).into_owned();
        let letter = letter(is_mirror);
        let answer = format!("{DELIVER_PREFIX}.{letter}.{stream}.{id}.R");
        if let Some(own) = &source.consumer {
            let (consumer, deliver) = (own.name.clone(), own.deliver_subject.clone());
            return Self { consumer, deliver, answer };
        }
        let external = source.external.as_ref().map(|external| external.deliver.as_str());
        let prefix = external.filter(|prefix| !prefix.is_empty()).unwrap_or(DELIVER_PREFIX);
        let kind = if is_mirror { "JS_MIRROR" } else { "JS_SRC" };
        Self {
            consumer: format!("{kind}_{}", &id[id.len() - NAME_LETTERS..]),
            deliver: format!("{prefix}.{letter}.{stream}.{id}"),
            answer,
        }
    }

    /// Asks for the consumer, or for a durable one to begin where it was left.
    pub fn request(
        &self,
        stream: (&str, &str),
        source: &StreamSource,
        is_mirror: bool,
        start: Start<'_>,
    ) -> ApiRequest {
        let (api, origin, name) = (api_of(source), &source.name, &self.consumer);
        let mut headers = Vec::new();
        let identity = match start {
            Start::From(_, identity) if !is_mirror => identity,
            _ => "",
        };
        headers::append(&mut headers, IDENTITY_HEADER, identity.as_bytes());
        if source.consumer.is_some() {
            let subject = format!("{api}.CONSUMER.RESET.{origin}.{name}");
            return ApiRequest { subject, headers, body: Vec::new() };
        }
        let config = self.config(stream, source, is_mirror, start);
        let request =
            ConsumerRequest { stream_name: origin.clone(), config, ..ConsumerRequest::default() };
        let subject = format!("{api}.CONSUMER.CREATE.{origin}.{name}");
        ApiRequest { subject, headers, body: json::compact(&request) }
    }

    fn config(
        &self,
        (account, stream): (&str, &str),
        source: &StreamSource,
        is_mirror: bool,
        start: Start<'_>,
    ) -> ConsumerConfig {
        let kind = if is_mirror { "mirror" } else { "src" };
        let metadata = [("acc", account), ("stream", stream)];
        let metadata =
            metadata.map(|(key, value)| (format!("_nats.{kind}.{key}"), value.to_owned()));
        let mut config = ConsumerConfig {
            name: self.consumer.clone(),
            ack_policy: AckPolicy::None,
            ack_wait: Nanos(ACK_WAIT_NS),
            max_deliver: 1,
            filter_subject: source.filter_subject.clone(),
            flow_control: true,
            deliver_subject: self.deliver.clone(),
            idle_heartbeat: Nanos(HEARTBEAT_NS),
            inactive_threshold: Nanos(UNUSED_NS),
            // It is asked for anew after a restart.
            mem_storage: true,
            direct: true,
            sourcing: true,
            metadata: metadata.into(),
            ..ConsumerConfig::default()
        };
        let filters: Vec<String> =
            source.subject_transforms.iter().map(|rule| rule.source.clone()).collect();
        match <[String; 1]>::try_from(filters) {
            Ok([filter]) => config.filter_subject = filter,
            Err(filters) => config.filter_subjects = filters,
        }
        // A rule for all subjects asks for all.
        if config.filter_subjects.iter().any(String::is_empty) {
            config.filter_subjects.clear();
        }
        match start {
            Start::From(seq, _) => begin_at(&mut config, seq),
            Start::Configured if source.opt_start_seq > 0 => {
                begin_at(&mut config, Seq(source.opt_start_seq));
            }
            Start::Configured if source.opt_start_time.is_some() => {
                config.deliver_policy = DeliverPolicy::ByStartTime;
                config.opt_start_time = source.opt_start_time;
            }
            Start::Configured => config.deliver_policy = DeliverPolicy::All,
        }
        config
    }

    /// Asks for the end of the consumer; one that was there before stays.
    pub fn end(&self, source: &StreamSource) -> Option<ApiRequest> {
        if self.consumer.is_empty() || source.consumer.is_some() {
            return None;
        }
        let (api, origin, name) = (api_of(source), &source.name, &self.consumer);
        let subject = format!("{api}.CONSUMER.DELETE.{origin}.{name}");
        Some(ApiRequest { subject, headers: Vec::new(), body: Vec::new() })
    }
}

fn begin_at(config: &mut ConsumerConfig, seq: Seq) {
    config.deliver_policy = DeliverPolicy::ByStartSequence;
    config.opt_start_seq = seq.0;
}

/// What the API says of the consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Refused(ApiError),
    Begins(Begin),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begin {
    /// Everything of the origin up to here is done with.
    pub delivered: Seq,
    /// Deliveries are counted on from here.
    pub consumer_seq: u64,
    /// Messages there are for us.
    pub pending: u64,
    pub identity: Box<str>,
}

impl Answer {
    /// `None`: it cannot be read.
    pub fn read(block: &[u8], body: &[u8]) -> Option<Self> {
        let body: Body = serde_json::from_slice(body).ok()?;
        if let Some(told) = body.error {
            let Told { code, err_code, description } = told;
            let description = description.into();
            return Some(Self::Refused(ApiError { code, err_code, description }));
        }
        let identity = headers::get(block, IDENTITY_HEADER).unwrap_or_default();
        Some(Self::Begins(Begin {
            delivered: Seq(body.delivered.stream_seq),
            consumer_seq: body.delivered.consumer_seq,
            pending: body.num_pending,
            identity: String::from_utf8_lossy(identity).into(),
        }))
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<Told>,
    #[serde(default)]
    delivered: Delivered,
    #[serde(default)]
    num_pending: u64,
}

#[derive(Deserialize)]
struct Told {
    code: u16,
    #[serde(default)]
    err_code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Default, Deserialize)]
struct Delivered {
    #[serde(default)]
    consumer_seq: u64,
    #[serde(default)]
    stream_seq: u64,
}

impl Position {
    /// Where to go on.
    pub fn start(&self) -> Start<'_> {
        match self.seq {
            Seq(0) => Start::Configured,
            seq => Start::From(seq.next(), &self.identity),
        }
    }
}
