//! `/metrics`: all that `/varz` counts, and the histograms, for Prometheus and whatever else reads
//! the OpenMetrics text format.
//!
//! Labels are bounded: shards, stages, the pages of this port. Nothing is labelled with what
//! clients name: a subject or a connection would make a series each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hdrhistogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit as MetricUnit};

use super::totals;
use crate::jetstream::Figures;
use crate::monitor::facts::{ProcessFacts, ServerFacts};
use crate::monitor::looks::Span;
use crate::shard::latency::{Stage, Unit};
use crate::shard::snapshot::{LatencySnapshot, Totals};

mod jetstream;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a scrape is made of.
#[derive(Debug)]
pub struct Metrics {
    pub facts: Arc<ServerFacts>,
    pub process: ProcessFacts,
    /// Pages asked for so far, by path.
    pub requests: BTreeMap<&'static str, u64>,
    pub totals: Vec<Totals>,
    /// By shard; nothing with JetStream off.
    pub jetstream: Vec<Figures>,
    /// Since the start.
    pub latencies: Span,
}

/// The scrape's text.
pub fn metrics(metrics: Metrics) -> String {
    let mut registry = Registry::with_prefix("weft");
    registry.register_collector(Box::new(metrics));
    let mut page = String::new();
    text::encode(&mut page, &registry).expect("a string takes all");
    page
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.server(&mut page)?;
        self.limits(&mut page)?;
        self.traffic(&mut page)?;
        self.routing(&mut page)?;
        self.shards(&mut page)?;
        self.jetstream(&mut page)?;
        self.stages(&mut page)
    }
}

impl Metrics {
    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let facts = &self.facts;
        let labels = [
            ("version", facts.weft_version.as_str()),
            ("nats_version", facts.version.as_str()),
            ("server_id", facts.server_id.as_str()),
            ("server_name", facts.server_name.as_str()),
        ];
        page.info("build", "This server", &labels)?;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let since_1970 = "in seconds since 1970";
        page.gauge(
            "start_time",
            &format!("Start of the server, {since_1970}"),
            SECONDS,
            &seconds(facts.start.0),
        )?;
        page.gauge(
            "config_load_time",
            &format!("Last time the settings were read, {since_1970}"),
            SECONDS,
            &seconds(facts.config_load_time.0),
        )?;
        page.counter(
            "process_cpu",
            "Processor time of the process",
            SECONDS,
            &self.process.cpu_seconds,
        )?;
        page.gauge(
            "process_resident_memory",
            "Resident memory of the process",
            BYTES,
            &self.process.mem,
        )?;
        page.gauge("process_cpus", "Processors the process may run on", None, &self.process.cores)?;
        page.gauge("shards", "Cores of the server that carry messages", None, &facts.shards)?;
        let requests = self.requests.iter().map(|(path, count)| (*path, *count));
        page.counters(
            "http_requests",
            "Requests for pages of the monitoring port",
            None,
            "path",
            requests,
        )
    }

    fn limits(&self, page: &mut Page<'_>) -> fmt::Result {
        let facts = &self.facts;
        let seconds = |ns: u64| ns as f64 / 1e9;
        page.gauge("max_connections", "Clients allowed at once", None, &facts.max_connections)?;
        page.gauge(
            "max_subscriptions",
            "Subscriptions of a client allowed, 0 for any number",
            None,
            &facts.max_subscriptions,
        )?;
        page.gauge(
            "max_control_line",
            "Longest line of the protocol",
            BYTES,
            &facts.max_control_line,
        )?;
        page.gauge("max_payload", "Largest message", BYTES, &facts.max_payload)?;
        page.gauge(
            "max_pending",
            "What a client may be owed before it is cut",
            BYTES,
            &facts.max_pending,
        )?;
        page.gauge(
            "ping_interval",
            "Pause between two PING of the server",
            SECONDS,
            &seconds(facts.ping_interval_ns),
        )?;
        page.gauge(
            "write_deadline",
            "Time a client has to take what it is sent",
            SECONDS,
            &seconds(facts.write_deadline_ns),
        )
    }

    fn traffic(&self, page: &mut Page<'_>) -> fmt::Result {
        let all = totals::sum(&self.totals);
        page.gauge("connections", "Clients connected", None, &all.connections)?;
        page.counter(
            "connections_accepted",
            "Clients that ever connected",
            None,
            &all.total_connections,
        )?;
        page.gauge(
            "connections_remembered",
            "Ended connections that are remembered",
            None,
            &all.closed_connections,
        )?;
        page.counter("received_messages", "Messages published by clients", None, &all.in_msgs)?;
        page.counter("received", "Bytes of messages published by clients", BYTES, &all.in_bytes)?;
        page.counter("sent_messages", "Messages delivered to clients", None, &all.out_msgs)?;
        page.counter("sent", "Bytes of messages delivered to clients", BYTES, &all.out_bytes)?;
        page.gauge("pending", "Bytes that clients are owed", BYTES, &all.pending_bytes)?;
        let cut =
            [("pending", all.slow_consumers_pending), ("deadline", all.slow_consumers_deadline)];
        page.counters(
            "slow_consumers",
            "Slow consumers met: owed too much, or took too long to take it",
            None,
            "reason",
            cut,
        )?;
        let slow: usize = self.latencies.shards.iter().map(|shard| shard.slow.len()).sum();
        page.gauge(
            "slow_consumers_now",
            "Clients that are behind, at most 32 of a shard are counted",
            None,
            &slow,
        )?;
        page.counter(
            "stale_connections",
            "Clients that did not answer PING",
            None,
            &all.stale_connections,
        )?;
        page.counter(
            "stalls",
            "Reads delayed for the sake of a slow consumer",
            None,
            &all.stalled_clients,
        )
    }

    fn routing(&self, page: &mut Page<'_>) -> fmt::Result {
        let routing = totals::sum(&self.totals).routing;
        page.gauge(
            "subscriptions",
            "Subscriptions of clients and streams",
            None,
            &routing.subscriptions,
        )?;
        page.counter("subscriptions_inserted", "Subscriptions ever made", None, &routing.inserts)?;
        page.counter("subscriptions_removed", "Subscriptions ended", None, &routing.removes)?;
        page.gauge(
            "route_cache_subjects",
            "Subjects whose subscribers are remembered",
            None,
            &routing.cached,
        )?;
        page.counter(
            "route_matches",
            "Look-ups of a subject's subscribers",
            None,
            &routing.matches,
        )?;
        page.counter(
            "route_cache_hits",
            "Look-ups that the cache answered",
            None,
            &routing.cache_hits,
        )?;
        page.gauge(
            "fanout_max",
            "Subscribers of the subject that has most on one shard",
            None,
            &routing.fanout_max,
        )
    }

    fn shards(&self, page: &mut Page<'_>) -> fmt::Result {
        type Rows<'a> = Vec<(&'a str, u64)>;
        let names: Vec<String> = self.totals.iter().map(|one| one.shard.0.to_string()).collect();
        let of = |pick: fn(&Totals) -> u64| -> Rows<'_> {
            names.iter().zip(&self.totals).map(|(name, one)| (name.as_str(), pick(one))).collect()
        };
        let pick = |of: fn(&LatencySnapshot) -> u64| {
            names
                .iter()
                .zip(&self.latencies.shards)
                .map(move |(name, one)| (name.as_str(), of(one)))
        };
        let busy = pick(|one| one.busy_ns).map(|(name, ns)| (name, ns as f64 / 1e9));
        page.counters("shard_busy", "Time in which a shard did something", SECONDS, "shard", busy)?;
        page.counters(
            "shard_turns",
            "Rounds of a shard's loop",
            None,
            "shard",
            of(|one| one.turns),
        )?;
        page.gauges(
            "shard_connections",
            "Clients of a shard",
            None,
            "shard",
            of(|one| one.connections),
        )?;
        page.gauges(
            "shard_subscriptions",
            "Subscriptions on a shard",
            None,
            "shard",
            of(|one| one.routing.subscriptions),
        )?;
        page.gauges(
            "shard_remote_interest",
            "What other shards want, as a shard knows it",
            None,
            "shard",
            of(|one| one.routing.remote_interest),
        )?;
        page.counters(
            "shard_received_messages",
            "Messages published to a shard",
            None,
            "shard",
            of(|one| one.in_msgs),
        )?;
        page.counters(
            "shard_sent_messages",
            "Messages delivered by a shard",
            None,
            "shard",
            of(|one| one.out_msgs),
        )?;
        page.gauges(
            "shard_pending",
            "Bytes that clients of a shard are owed",
            BYTES,
            "shard",
            of(|one| one.pending_bytes),
        )?;
        page.counters(
            "shard_peer_messages",
            "Messages a shard handed to other shards",
            None,
            "shard",
            of(|one| one.peer_msgs),
        )?;
        page.counters(
            "shard_peer_batches",
            "Batches that carried them",
            None,
            "shard",
            of(|one| one.peer_batches),
        )
    }

    fn stages(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = |unit: Unit| Stage::ALL.into_iter().filter(move |stage| stage.unit() == unit);
        let merged = |stage: Stage| (stage.name(), self.latencies.merged(stage));
        let times = of(Unit::Nanoseconds).map(merged);
        page.histograms(
            "stage_duration",
            "Time a stage of the work took",
            SECONDS,
            1e-9,
            &TIME_BOUNDS,
            times,
        )?;
        let sizes = of(Unit::Bytes).map(merged);
        page.histograms(
            "stage_size",
            "Bytes that a stage of the work took at once",
            BYTES,
            1.0,
            &BYTE_BOUNDS,
            sizes,
        )?;
        let counts = of(Unit::Messages).map(merged);
        page.histograms(
            "stage_messages",
            "Messages that a stage of the work took at once",
            None,
            1.0,
            &COUNT_BOUNDS,
            counts,
        )
    }
}

/// Seconds.
const TIME_BOUNDS: [f64; 23] = [
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2,
    5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const BYTE_BOUNDS: [f64; 9] =
    [64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 16_777_216.0];
const COUNT_BOUNDS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];

static SECONDS_UNIT: MetricUnit = MetricUnit::Seconds;
static BYTES_UNIT: MetricUnit = MetricUnit::Bytes;
const SECONDS: Option<&MetricUnit> = Some(&SECONDS_UNIT);
const BYTES: Option<&MetricUnit> = Some(&BYTES_UNIT);

/// No message is pointed out.
const NO_EXEMPLAR: Option<&Exemplar<[(&str, &str); 0], f64>> = None;

/// Families, one after the other. The encoder adds prefix, unit and `_total`.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&labels)
    }

    fn counter(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&MetricUnit>,
        value: &impl EncodeCounterValue,
    ) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        family.encode_counter(value, NO_EXEMPLAR)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&MetricUnit>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        family.encode_gauge(value)
    }

    fn counters<'r, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&MetricUnit>,
        label: &str,
        rows: impl IntoIterator<Item = (&'r str, V)>,
    ) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (value, count) in rows {
            family.encode_family(&[(label, value)])?.encode_counter(&count, NO_EXEMPLAR)?;
        }
        Ok(())
    }

    fn gauges<'r, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&MetricUnit>,
        label: &str,
        rows: impl IntoIterator<Item = (&'r str, V)>,
    ) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (value, figure) in rows {
            family.encode_family(&[(label, value)])?.encode_gauge(&figure)?;
        }
        Ok(())
    }

    /// `scale` makes of a histogram's unit that of the family.
    fn histograms<'r>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&MetricUnit>,
        scale: f64,
        bounds: &[f64],
        rows: impl Iterator<Item = (&'r str, Histogram<u64>)>,
    ) -> fmt::Result {
        let help = &sentence(help);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        for (stage, histogram) in rows {
            let (sum, buckets) = buckets(&histogram, scale, bounds);
            let labels = [("stage", stage)];
            let mut family = family.encode_family(&labels)?;
            family.encode_histogram::<[(&str, &str); 0]>(sum, histogram.len(), &buckets, None)?;
        }
        Ok(())
    }
}

fn sentence(help: &str) -> String {
    format!("{help}.")
}

/// The sum of the values, to a percent, and how many are in each bucket, the last without a bound.
fn buckets(histogram: &Histogram<u64>, scale: f64, bounds: &[f64]) -> (f64, Vec<(f64, u64)>) {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    let mut buckets: Vec<(f64, u64)> = bounds.map(|bound| (bound, 0)).collect();
    let mut sum = 0.0;
    for place in histogram.iter_recorded() {
        let count = place.count_at_value();
        let value = histogram.median_equivalent(place.value_iterated_to()) as f64 * scale;
        sum += value * count as f64;
        let at = buckets.partition_point(|(bound, _)| *bound < value);
        buckets[at].1 += count;
    }
    (sum, buckets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::FiguresQuery;
    use crate::monitor::views::fixtures::{NOW, facts, jetstream_figures, totals_of_shard};
    use crate::shard::latency::histogram;
    use crate::types::Wall;

    fn page() -> String {
        let mut histograms: Vec<_> =
            Stage::ALL.iter().map(|stage| histogram(stage.unit())).collect();
        histograms[Stage::Turn as usize].saturating_record_n(10_000, 3);
        histograms[Stage::Turn as usize].saturating_record(u64::MAX);
        let shard = LatencySnapshot { histograms, busy_ns: 1_500_000_000, ..Default::default() };
        metrics(Metrics {
            facts: Arc::new(facts()),
            process: ProcessFacts { mem: 1 << 20, cpu: 1.0, cpu_seconds: 2.5, cores: 2 },
            requests: BTreeMap::from([("/varz", 4)]),
            totals: vec![totals_of_shard(0), totals_of_shard(1)],
            jetstream: jetstream_figures(&FiguresQuery::Sums),
            latencies: Span { from: Wall(0), to: NOW, shards: vec![shard.clone(), shard] },
        })
    }

    #[test]
    fn counts_of_all_shards_and_of_each() {
        let page = page();
        for line in [
            "weft_received_messages_total 20",
            "weft_received_bytes_total 200",
            "weft_slow_consumers_total{reason=\"deadline\"} 4",
            "weft_shard_sent_messages_total{shard=\"1\"} 20",
            "weft_shard_busy_seconds_total{shard=\"0\"} 1.5",
            "weft_process_cpu_seconds_total 2.5",
            "weft_process_resident_memory_bytes 1048576",
            "weft_jetstream_messages 6",
            "weft_jetstream_storage_bytes 228",
            "weft_http_requests_total{path=\"/varz\"} 4",
            "# TYPE weft_stage_duration_seconds histogram",
            "# UNIT weft_stage_duration_seconds seconds",
            "weft_stage_duration_seconds_count{stage=\"turn\"} 8",
            "weft_stage_duration_seconds_bucket{le=\"0.000025\",stage=\"turn\"} 6",
            "weft_stage_duration_seconds_bucket{le=\"30.0\",stage=\"turn\"} 6",
            "weft_stage_duration_seconds_bucket{le=\"+Inf\",stage=\"turn\"} 8",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn every_family_has_a_help_text_and_comes_once() {
        let page = page();
        let families: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let mut names: Vec<_> = families.iter().filter_map(|line| line.split(' ').next()).collect();
        let helped = page.lines().filter(|line| line.starts_with("# HELP ")).count();
        assert_eq!(helped, names.len());
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
