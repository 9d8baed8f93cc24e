//! `/latencyz`: how long things take, per stage; who is slow; what is hot. Ours alone: the
//! reference has no such page.
//!
//! ```text
//!   shards=1       each shard by itself too        curve=1       values along the percentile axis
//!   viewer=NAME    intervals of one's own          reset=1       totals begin anew, for everybody
//!   format=hlog    HdrHistogram's log format       span=interval of the interval, in such a log
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::go_text::timestamp;
use super::{Args, Refusal};
use crate::monitor::facts::ServerFacts;
use crate::monitor::looks::{Span, Spans};
use crate::shard::latency::{Stage, Unit};
use crate::shard::snapshot::{Hot, LatencySnapshot, SlowSnapshot};
use crate::types::limits::{HOT_SHOWN_MAX, SLOW_SHOWN_MAX};
use crate::types::{ShardId, Wall};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LatencyzOptions {
    pub viewer: String,
    pub reset: bool,
    pub format: Format,
    shards: bool,
    curve: bool,
    of_interval: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Json,
    Hlog,
}

impl LatencyzOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        let unknown = |key, known| Refusal::Choice { key, raw: args.text(key).to_owned(), known };
        let format = match args.text("format") {
            "" | "json" => Format::Json,
            "hlog" => Format::Hlog,
            _ => return Err(unknown("format", "json or hlog")),
        };
        let of_interval = match args.text("span") {
            "" | "total" => false,
            "interval" => true,
            _ => return Err(unknown("span", "total or interval")),
        };
        Ok(Self {
            viewer: args.text("viewer").to_owned(),
            reset: args.bool("reset")?,
            format,
            shards: args.bool("shards")?,
            curve: args.bool("curve")?,
            of_interval,
        })
    }
}

impl LatencyzOptions {
    /// For the path that says so.
    pub fn into_hlog(self) -> Self {
        Self { format: Format::Hlog, ..self }
    }
}

#[derive(Serialize, Debug)]
pub struct Latencyz<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    total: SpanRow,
    interval: SpanRow,
    stages: Vec<StageRow>,
    cores: Vec<CoreRow>,
    slow_consumers: Vec<SlowRow>,
    top_subjects: Vec<HotRow>,
    top_publishers: Vec<HotRow>,
}

#[derive(Serialize, Debug)]
struct SpanRow {
    since: String,
    seconds: f64,
}

#[derive(Serialize, Debug)]
struct StageRow {
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    total: Value,
    interval: Value,
}

/// Rates are per second of the interval.
#[derive(Serialize, Debug)]
struct CoreRow {
    shard: u16,
    connections: u64,
    /// The share of the interval, and of all time, in which it did something.
    busy: f64,
    busy_total: f64,
    turns_rate: f64,
    in_msgs_rate: f64,
    in_bytes_rate: f64,
    out_msgs_rate: f64,
    out_bytes_rate: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stages: Vec<StageRow>,
}

#[derive(Serialize, Debug)]
struct SlowRow {
    cid: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    ip: String,
    port: u16,
    shard: u16,
    pending_bytes: u64,
    /// How long its oldest owed bytes have been on their way.
    waiting_ns: u64,
    /// Since when it owes so much that its producers are asked to wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    crowded_since: Option<String>,
    stalls_asked: u64,
    subjects: Vec<String>,
}

#[derive(Serialize, Debug)]
struct HotRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<u64>,
    shard: u16,
    /// Messages per second, estimated, and by how much that may be too many.
    rate: f64,
    rate_error: f64,
}

/// `now` is that of the look.
pub fn latencyz<'a>(
    facts: &'a ServerFacts,
    options: &LatencyzOptions,
    spans: &Spans,
) -> Latencyz<'a> {
    let Spans { total, interval } = spans;
    Latencyz {
        server_id: &facts.server_id,
        server_name: &facts.server_name,
        now: timestamp(total.to),
        total: SpanRow::of(total),
        interval: SpanRow::of(interval),
        stages: stages(options, |stage| (total.merged(stage), interval.merged(stage))),
        cores: cores(options, spans),
        slow_consumers: slow_consumers(&total.shards),
        top_subjects: hottest(&total.shards, |shard| {
            let row = |hot: &Hot<String>| (Some(hot.what.clone()), None, hot.msgs, hot.error);
            shard.hot.subjects.iter().map(row).collect()
        }),
        top_publishers: hottest(&total.shards, |shard| {
            let row =
                |hot: &Hot<crate::types::ClientId>| (None, Some(hot.what.0), hot.msgs, hot.error);
            shard.hot.publishers.iter().map(row).collect()
        }),
    }
}

impl SpanRow {
    fn of(span: &Span) -> Self {
        Self { since: timestamp(span.from), seconds: rounded(span.seconds()) }
    }
}

fn stages(
    options: &LatencyzOptions,
    of: impl Fn(Stage) -> (Histogram<u64>, Histogram<u64>),
) -> Vec<StageRow> {
    let row = |stage: Stage| {
        let (total, interval) = of(stage);
        StageRow {
            name: stage.name(),
            unit: unit_name(stage.unit()),
            help: stage.help(),
            total: figures(&total, options.curve),
            interval: figures(&interval, options.curve),
        }
    };
    Stage::ALL.into_iter().map(row).collect()
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "ns",
        Unit::Messages => "messages",
        Unit::Bytes => "bytes",
    }
}

const PERCENTILES: [(&str, f64); 7] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// Where a curve has its points: evenly on an axis of 1 / (1 - share).
const CURVE: [f64; 19] = [
    0.0, 25.0, 50.0, 62.5, 75.0, 82.5, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95, 99.975,
    99.99, 99.995, 99.999, 100.0,
];

/// Without a value there is only the count, 0.
fn figures(histogram: &Histogram<u64>, with_curve: bool) -> Value {
    let mut figures = Map::new();
    figures.insert("count".into(), histogram.len().into());
    if histogram.is_empty() {
        return figures.into();
    }
    figures.insert("mean".into(), (histogram.mean().round() as u64).into());
    for (name, percentile) in PERCENTILES {
        figures.insert(name.into(), at(histogram, percentile).into());
    }
    figures.insert("max".into(), histogram.max().into());
    if with_curve {
        // Points beyond the last message say nothing.
        let last = 100.0 - 100.0 / histogram.len() as f64;
        let points = CURVE.iter().filter(|&&point| point <= last || point == 100.0);
        figures.insert(
            "curve".into(),
            points.map(|&point| json!([point, at(histogram, point)])).collect(),
        );
    }
    figures.into()
}

fn at(histogram: &Histogram<u64>, percentile: f64) -> u64 {
    histogram.value_at_quantile(percentile / 100.0).min(histogram.max())
}

fn cores(options: &LatencyzOptions, spans: &Spans) -> Vec<CoreRow> {
    let Spans { total, interval } = spans;
    let row = |(all, now): (&LatencySnapshot, &LatencySnapshot)| {
        let rate = |count: u64| rounded(count as f64 / interval.seconds());
        let share = |ns: u64, span: &Span| rounded((ns as f64 / 1e9 / span.seconds()).min(1.0));
        CoreRow {
            shard: all.shard.0,
            connections: all.connections,
            busy: share(now.busy_ns, interval),
            busy_total: share(all.busy_ns, total),
            turns_rate: rate(now.turns),
            in_msgs_rate: rate(now.in_msgs),
            in_bytes_rate: rate(now.in_bytes),
            out_msgs_rate: rate(now.out_msgs),
            out_bytes_rate: rate(now.out_bytes),
            stages: match options.shards {
                true => stages(options, |stage| {
                    let of = |shard: &LatencySnapshot| shard.histograms[stage as usize].clone();
                    (of(all), of(now))
                }),
                false => Vec::new(),
            },
        }
    };
    total.shards.iter().zip(&interval.shards).map(row).collect()
}

/// To a thousandth, as people read it.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn slow_consumers(shards: &[LatencySnapshot]) -> Vec<SlowRow> {
    let mut rows: Vec<SlowRow> = shards
        .iter()
        .flat_map(|shard| shard.slow.iter().map(move |slow| slow_row(shard.shard, slow)))
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.pending_bytes));
    rows.truncate(SLOW_SHOWN_MAX);
    rows
}

fn slow_row(shard: ShardId, slow: &SlowSnapshot) -> SlowRow {
    SlowRow {
        cid: slow.client.0,
        name: slow.name.clone(),
        ip: slow.peer.ip().to_canonical().to_string(),
        port: slow.peer.port(),
        shard: shard.0,
        pending_bytes: slow.pending_bytes,
        waiting_ns: slow.waiting_ns,
        crowded_since: slow.crowded_since.map(timestamp),
        stalls_asked: slow.stalls_asked,
        subjects: slow.subjects.clone(),
    }
}

/// Subject or publisher, messages, and by how many of them the count may be too high.
type Counted = (Option<String>, Option<u64>, u64, u64);

/// The busiest of all shards. A subject that is published on several shards is added up.
fn hottest(
    shards: &[LatencySnapshot],
    of: impl Fn(&LatencySnapshot) -> Vec<Counted>,
) -> Vec<HotRow> {
    let mut rows: Vec<HotRow> = Vec::new();
    for shard in shards {
        let seconds = shard.hot.window_ns.max(1) as f64 / 1e9;
        for (subject, cid, msgs, error) in of(shard) {
            let (rate, rate_error) = (msgs as f64 / seconds, error as f64 / seconds);
            match rows.iter_mut().find(|row| row.subject == subject && row.cid == cid) {
                Some(row) => {
                    row.rate += rate;
                    row.rate_error += rate_error;
                }
                None => rows.push(HotRow { subject, cid, shard: shard.shard.0, rate, rate_error }),
            }
        }
    }
    rows.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    rows.truncate(HOT_SHOWN_MAX);
    for row in &mut rows {
        (row.rate, row.rate_error) = (rounded(row.rate), rounded(row.rate_error));
    }
    rows
}

/// In HdrHistogram's log format, a line for each stage that has a value, tagged with its name. Its
/// maxima are in milliseconds, as is usual there; sizes are divided likewise.
pub fn hlog(facts: &ServerFacts, options: &LatencyzOptions, spans: &Spans) -> String {
    let span = if options.of_interval { &spans.interval } else { &spans.total };
    let mut text = Vec::new();
    let written = write_hlog(&mut text, facts, options, span);
    written.expect("text in memory takes all, and histograms of 64 bits can be encoded");
    String::from_utf8(text).expect("the format is text")
}

fn write_hlog(
    text: &mut Vec<u8>,
    facts: &ServerFacts,
    options: &LatencyzOptions,
    span: &Span,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment(&format!("weft {} {}", facts.weft_version, facts.server_id))
        .with_start_time(instant(span.from))
        .with_base_time(instant(span.from))
        .with_max_value_divisor(1_000_000.0);
    let mut writer = builder.begin_log_with(text, &mut serializer)?;
    let duration = Duration::from_nanos(span.to.0.saturating_sub(span.from.0));
    let mut line =
        |name: &str, histogram: &Histogram<u64>| -> Result<(), Box<dyn std::error::Error>> {
            if !histogram.is_empty() {
                let written =
                    writer.write_histogram(histogram, Duration::ZERO, duration, Tag::new(name));
                written.map_err(|fault| format!("{fault:?}"))?;
            }
            Ok(())
        };
    for stage in Stage::ALL {
        line(stage.name(), &span.merged(stage))?;
    }
    if options.shards {
        for shard in &span.shards {
            for stage in Stage::ALL {
                let name = format!("shard{}.{}", shard.shard.0, stage.name());
                line(&name, &shard.histograms[stage as usize])?;
            }
        }
    }
    Ok(())
}

fn instant(at: Wall) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(at.0)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::monitor::looks::Looks;
    use crate::monitor::views::fixtures::{NOW, facts};
    use crate::shard::latency::histogram;
    use crate::shard::snapshot::HotSnapshot;
    use crate::types::ClientId;
    use crate::types::json as text;

    fn shard(id: u16, turns: std::ops::RangeInclusive<u64>) -> LatencySnapshot {
        let mut histograms: Vec<_> =
            Stage::ALL.iter().map(|stage| histogram(stage.unit())).collect();
        turns.for_each(|us| histograms[Stage::Turn as usize].saturating_record(us * 1000));
        let hot = |what: &str, msgs| Hot { what: what.to_owned(), msgs, error: 1 };
        LatencySnapshot {
            shard: ShardId(id),
            histograms,
            busy_ns: 500_000_000,
            out_msgs: 20,
            slow: vec![SlowSnapshot {
                client: ClientId(7),
                name: "sleeper".into(),
                peer: std::net::SocketAddr::from(([127, 0, 0, 1], 9)),
                pending_bytes: 100 + u64::from(id),
                waiting_ns: 5,
                crowded_since: Some(NOW),
                stalls_asked: 3,
                subjects: vec!["a.>".into()],
            }],
            hot: HotSnapshot {
                window_ns: 10_000_000_000,
                subjects: vec![hot("a", 100), hot(&format!("only.{id}"), 50)],
                publishers: vec![Hot { what: ClientId(u64::from(id)), msgs: 10, error: 0 }],
            },
            ..LatencySnapshot::default()
        }
    }

    fn spans(shards: Vec<LatencySnapshot>) -> Spans {
        let start = Wall(NOW.0 - 2_000_000_000);
        Looks::default().look("", false, start, NOW, shards)
    }

    fn options(query: &str) -> LatencyzOptions {
        LatencyzOptions::parse(&Args::parse(query)).unwrap()
    }

    #[test]
    fn shows_percentiles_cores_slow_consumers_and_hot_subjects() {
        let spans = spans(vec![shard(0, 1..=500), shard(1, 501..=1000)]);
        let (facts, options) = (facts(), options("shards=1&curve=1"));
        let page: Value =
            serde_json::from_slice(&text::pretty(&latencyz(&facts, &options, &spans))).unwrap();
        let turn = &page["stages"][Stage::Turn as usize];
        assert_eq!((&turn["name"], &turn["unit"]), (&json!("turn"), &json!("ns")));
        let total = &turn["total"];
        assert_eq!(total["count"], 1000);
        for (key, exact) in [("p50", 500_000), ("p99", 990_000), ("p99.9", 999_000)] {
            let got = total[key].as_f64().unwrap();
            let off = (got - f64::from(exact)).abs() / f64::from(exact);
            assert!(off < 0.01, "{key}: {got} is not {exact}");
        }
        assert_eq!(total["max"], total["curve"].as_array().unwrap().last().unwrap()[1]);
        assert_eq!(page["stages"][0]["total"], json!({ "count": 0 }));
        let core = &page["cores"][1];
        assert_eq!((&core["shard"], &core["busy"]), (&json!(1), &json!(0.25)));
        assert_eq!(core["out_msgs_rate"], 10);
        assert_eq!(core["stages"][Stage::Turn as usize]["total"]["count"], 500);
        let slow = &page["slow_consumers"][0];
        assert_eq!((&slow["shard"], &slow["pending_bytes"]), (&json!(1), &json!(101)));
        let top = &page["top_subjects"][0];
        assert_eq!((&top["subject"], &top["rate"]), (&json!("a"), &json!(20)));
        assert_eq!(page["top_publishers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_reader_of_hdrhistogram_logs_opens_the_export() {
        let spans = spans(vec![shard(0, 1..=500), shard(1, 501..=1000)]);
        let text = hlog(&facts(), &options("format=hlog&shards=1"), &spans);
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            match entry.unwrap() {
                LogEntry::Interval(line) => {
                    assert_eq!(line.duration(), Duration::from_secs(2));
                    let bytes = data_encoding::BASE64.decode(line.encoded_histogram().as_bytes());
                    let read: Histogram<u64> =
                        Deserializer::new().deserialize(&mut &bytes.unwrap()[..]).unwrap();
                    let tag = line.tag().unwrap().as_str();
                    found.push(format!("{tag} {} {}", read.len(), read.max() / 10_000));
                }
                LogEntry::BaseTime(time) | LogEntry::StartTime(time) => {
                    assert_eq!(time.as_secs(), NOW.0 / 1_000_000_000 - 2);
                }
            }
        }
        assert_eq!(found, ["turn 1000 100", "shard0.turn 500 50", "shard1.turn 500 100"]);
    }

    #[test]
    fn arguments_are_checked() {
        for (query, error) in [
            ("format=xml", "format is json or hlog, not \"xml\""),
            ("span=day", "span is total or interval, not \"day\""),
        ] {
            let bad = LatencyzOptions::parse(&Args::parse(query)).unwrap_err();
            assert_eq!(bad.to_string(), error);
        }
        assert!(LatencyzOptions::parse(&Args::parse("reset=maybe")).is_err());
    }
}
