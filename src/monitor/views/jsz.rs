//! `/jsz`: JetStream, its account, streams and consumers.
//!
//! The reference lists streams in no order; here they go by name, and so do consumers.

use serde::Serialize;

use super::go_text::timestamp;
use super::jetstream::{Config, Limits, Stats, usage};
use super::{Args, Refusal};
use crate::jetstream::{
    ClusterInfo, ConsumerInfo, Consumers, Figures, FiguresQuery, SourceInfo, StreamConfig,
    StreamFigures, StreamInfo, StreamState,
};
use crate::monitor::facts::{GLOBAL_ACCOUNT, ServerFacts};
use crate::types::Wall;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JszOptions {
    /// Which streams and consumers; `None`: neither.
    streams: Option<Consumers>,
    config: bool,
    leader_only: bool,
    raft: bool,
    /// Whether the account is told.
    with_account: bool,
}

impl JszOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        let accounts = args.bool("accounts")?;
        let streams = args.bool("streams")?;
        let visible = args.bool("consumers")?;
        let direct = args.bool("direct-consumers")?;
        let config = args.bool("config")?;
        let offset = args.int("offset")?;
        args.int("limit")?;
        let leader_only = args.bool("leader-only")?;
        let raft = args.bool("raft")?;
        // Of a server by itself every stream is led here.
        args.bool("stream-leader-only")?;
        let is_named = args.text("acc") == GLOBAL_ACCOUNT;
        let is_wanted = accounts || streams || visible;
        // There is one account, the first of its page.
        let with_account = is_named || (is_wanted && offset < 1);
        let consumers = Consumers { visible, direct: direct && visible, config };
        let streams = (with_account && (streams || visible)).then_some(consumers);
        Ok(Self { streams, config, leader_only, raft, with_account })
    }

    pub fn query(&self) -> FiguresQuery {
        self.streams.map_or(FiguresQuery::Sums, FiguresQuery::Streams)
    }
}

#[derive(Serialize, Debug)]
pub struct Jsz<'a> {
    #[serde(flatten)]
    stats: Stats,
    server_id: &'a str,
    now: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disabled: bool,
    config: Config<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    streams: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    streams_leader: Option<u64>,
    consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumers_leader: Option<u64>,
    messages: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_details: Option<[AccountDetail<'a>; 1]>,
    /// Accounts with JetStream.
    total: u64,
}

#[derive(Serialize, Debug)]
struct AccountDetail<'a> {
    name: &'a str,
    id: &'a str,
    #[serde(flatten)]
    stats: Stats,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stream_detail: Vec<StreamDetail<'a>>,
}

#[derive(Serialize, Debug)]
struct StreamDetail<'a> {
    name: &'a str,
    created: String,
    cluster: ClusterInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a StreamConfig>,
    state: &'a StreamState,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumer_detail: Vec<&'a ConsumerInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    direct_consumer_detail: Vec<&'a ConsumerInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mirror: Option<&'a SourceInfo>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sources: &'a [SourceInfo],
}

/// JetStream is off when there are no facts of it.
pub fn jsz<'a>(
    facts: &'a ServerFacts,
    options: &JszOptions,
    shards: &'a [Figures],
    now: Wall,
) -> Result<Jsz<'a>, Refusal> {
    let Some(jetstream) = &facts.jetstream else { return off(facts, options, now) };
    let sum = usage(shards);
    let details = options.with_account.then(|| AccountDetail {
        name: GLOBAL_ACCOUNT,
        id: GLOBAL_ACCOUNT,
        stats: Stats::of_account(shards),
        stream_detail: streams(facts, options, shards),
    });
    Ok(Jsz {
        stats: Stats::of(shards),
        server_id: &facts.server_id,
        now: timestamp(now),
        disabled: false,
        config: Config::of(jetstream),
        limits: Some(Limits::of(&jetstream.options)),
        streams: sum.streams,
        streams_leader: options.raft.then_some(sum.streams).filter(|&streams| streams > 0),
        consumers: sum.consumers,
        consumers_leader: options.raft.then_some(sum.consumers).filter(|&consumers| consumers > 0),
        messages: sum.messages,
        bytes: sum.memory + sum.file,
        account_details: details.map(|account| [account]),
        total: 1,
    })
}

fn off<'a>(facts: &'a ServerFacts, options: &JszOptions, now: Wall) -> Result<Jsz<'a>, Refusal> {
    if options.leader_only {
        return Err(Refusal::NotLeader);
    }
    Ok(Jsz {
        stats: Stats::default(),
        server_id: &facts.server_id,
        now: timestamp(now),
        disabled: true,
        config: Config::default(),
        limits: None,
        streams: 0,
        streams_leader: None,
        consumers: 0,
        consumers_leader: None,
        messages: 0,
        bytes: 0,
        account_details: None,
        total: 0,
    })
}

fn streams<'a>(
    facts: &ServerFacts,
    options: &JszOptions,
    shards: &'a [Figures],
) -> Vec<StreamDetail<'a>> {
    let mut all: Vec<&StreamFigures> = shards.iter().flat_map(|shard| &shard.streams).collect();
    all.sort_by_key(|stream| &stream.info.config.name);
    let details = all.into_iter().map(|stream| {
        let StreamInfo { config, created, state, mirror, sources, .. } = &stream.info;
        StreamDetail {
            name: &config.name,
            created: timestamp(*created),
            cluster: ClusterInfo { leader: facts.server_name.clone() },
            config: options.config.then_some(config),
            state,
            consumer_detail: consumers(&stream.consumers),
            direct_consumer_detail: consumers(&stream.direct_consumers),
            mirror: mirror.as_ref(),
            sources,
        }
    });
    details.collect()
}

/// By name.
fn consumers(list: &[ConsumerInfo]) -> Vec<&ConsumerInfo> {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by_key(|consumer| &consumer.name);
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::{NOW, facts, jetstream_figures, jetstream_on, shape};

    fn shown(facts: &ServerFacts, query: &str) -> String {
        let options = JszOptions::parse(&Args::parse(query)).unwrap();
        let figures = jetstream_figures(&options.query());
        shape(&jsz(facts, &options, &figures, NOW).unwrap())
    }

    /// nats-server 2.15.1, by itself, with two streams; `{details}` and `{leaders}` where options
    /// add to it.
    fn expected(leaders: bool, details: &str) -> String {
        let [streams, consumers] = match leaders {
            true => [" streams_leader:num", " consumers_leader:num"],
            false => ["", ""],
        };
        format!(
            "memory:num storage:num reserved_memory:num reserved_storage:num accounts:num \
             ha_assets:num api:{{level:num total:num errors:num}} server_id:str now:str \
             config:{{max_memory:num max_storage:num store_dir:str sync_interval:num \
             sync_always:bool compress_ok:bool strict:bool}} limits:{{default_max_consumers:num}} \
             streams:num{streams} consumers:num{consumers} messages:num bytes:num{details} \
             total:num"
        )
    }

    fn account(streams: &str) -> String {
        format!(
            " account_details:[{{name:str id:str memory:num storage:num reserved_memory:num \
             reserved_storage:num accounts:num ha_assets:num api:{{level:num total:num \
             errors:num}}{streams}}}]"
        )
    }

    fn stream(config: &str, consumers: &str) -> String {
        format!(
            " stream_detail:[{{name:str created:str cluster:{{leader:str}}{config} \
             state:{{messages:num bytes:num first_seq:num first_ts:str last_seq:num last_ts:str \
             consumer_count:num}}{consumers}}}]"
        )
    }

    fn consumer(config: &str) -> String {
        format!(
            "[{{stream_name:str name:str created:str{config} delivered:{{consumer_seq:num \
             stream_seq:num}} ack_floor:{{consumer_seq:num stream_seq:num}} num_ack_pending:num \
             num_redelivered:num num_waiting:num num_pending:num ts:str}}]"
        )
    }

    #[test]
    fn options_add_what_the_reference_adds() {
        let facts = jetstream_on(facts());
        let plain = expected(false, "");
        let accounts = expected(false, &account(""));
        let streams = expected(false, &account(&stream("", "")));
        let visible = format!(" consumer_detail:{}", consumer(""));
        let both = format!("{visible} direct_consumer_detail:{}", consumer(""));
        let rows = [
            ("", &plain),
            ("acc=NOPE", &plain),
            ("acc=NOPE&streams=1&offset=1", &plain),
            ("accounts=1&offset=1", &plain),
            ("stream-leader-only=1", &plain),
            ("leader-only=1&config=1&direct-consumers=1", &plain),
            ("raft=1", &expected(true, "")),
            ("accounts=1", &accounts),
            ("accounts=1&limit=-1&offset=-1", &accounts),
            ("acc=$G&offset=2", &accounts),
            ("acc=$SYS&accounts=1", &accounts),
            ("accounts=1&config=1&direct-consumers=1", &accounts),
            ("streams=1", &streams),
            ("streams=1&direct-consumers=1", &streams),
            ("consumers=1", &expected(false, &account(&stream("", &visible)))),
            ("acc=$G&consumers=1&offset=7", &expected(false, &account(&stream("", &visible)))),
            (
                "consumers=1&direct-consumers=1&raft=1",
                &expected(true, &account(&stream("", &both))),
            ),
        ];
        for (query, expected) in rows {
            assert_eq!(shown(&facts, query), *expected, "{query}");
        }
        let configured = shown(&facts, "consumers=1&config=1");
        for part in
            ["cluster:{leader:str} config:{name:str", "created:str config:{deliver_policy:str"]
        {
            assert!(configured.contains(part), "{part} in {configured}");
        }
    }

    #[test]
    fn rows_go_by_name_whatever_shard_they_are_on() {
        let facts = jetstream_on(facts());
        let options = JszOptions::parse(&Args::parse("consumers=1")).unwrap();
        let figures = jetstream_figures(&options.query());
        let view = serde_json::to_value(jsz(&facts, &options, &figures, NOW).unwrap()).unwrap();
        let streams = view["account_details"][0]["stream_detail"].as_array().unwrap();
        let names: Vec<_> = streams.iter().map(|stream| stream["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["A", "B"]);
        let consumers = streams[0]["consumer_detail"].as_array().unwrap();
        assert_eq!((&consumers[0]["name"], &consumers[1]["name"]), (&"c1".into(), &"c2".into()));
        assert_eq!((&view["streams"], &view["api"]["total"]), (&2.into(), &8.into()));
        assert_eq!(view["bytes"], 300);
        assert_eq!(view["account_details"][0]["reserved_storage"], u64::MAX);
    }

    #[test]
    fn with_jetstream_off() {
        let facts = facts();
        assert_eq!(
            shown(&facts, "acc=X&streams=1"),
            "memory:num storage:num reserved_memory:num reserved_storage:num accounts:num \
             ha_assets:num api:{level:num total:num errors:num} server_id:str now:str \
             disabled:bool config:{max_memory:num max_storage:num} streams:num consumers:num \
             messages:num bytes:num total:num"
        );
        let options = JszOptions::parse(&Args::parse("leader-only=1")).unwrap();
        let refusal = jsz(&facts, &options, &[], NOW).unwrap_err();
        assert_eq!(refusal.to_string(), "filtered response: not leader");
    }

    #[test]
    fn arguments_are_checked() {
        let refused = |query: String| JszOptions::parse(&Args::parse(&query)).unwrap_err();
        for key in [
            "accounts",
            "streams",
            "consumers",
            "direct-consumers",
            "config",
            "leader-only",
            "stream-leader-only",
            "raft",
        ] {
            let expected = format!(
                "Error decoding boolean for '{key}': strconv.ParseBool: parsing \"x\": invalid syntax"
            );
            assert_eq!(refused(format!("{key}=x")).to_string(), expected);
        }
        for key in ["offset", "limit"] {
            assert!(refused(format!("{key}=x")).to_string().contains("strconv.Atoi"));
        }
    }
}
