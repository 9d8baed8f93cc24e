//! For other programs: a line per run as CSV, and every histogram as an `.hlog` that HdrHistogram
//! tools read, tagged by what it is of.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::{Report, Sample};
use crate::failure::{Context, Failure, Outcome};

const HEADINGS: [&str; 22] = [
    "workload",
    "size",
    "server",
    "round",
    "count",
    "seconds",
    "per_second",
    "offered",
    "server_cpu_s_per_million",
    "harness_cpu_s_per_million",
    "busiest_harness_thread",
    "harness_bound",
    "faults",
    "p50_us",
    "p90_us",
    "p99_us",
    "p99_9_us",
    "max_us",
    "rss_bytes",
    "disk_bytes",
    "context_switches",
    "read_write_calls",
];

pub fn csv(report: &Report) -> Outcome<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADINGS).context("CSV")?;
    for (row, server, round, sample) in samples(report) {
        let mut record = vec![row.workload.clone(), row.size.to_string(), server.to_owned()];
        record.push((round + 1).to_string());
        record.extend(fields(sample));
        writer.write_record(record).context("CSV")?;
    }
    writer.into_inner().context("CSV")
}

fn fields(sample: &Sample) -> impl Iterator<Item = String> {
    let some = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
    let latency = |pick: fn(&super::Latency) -> f64| some(sample.latency.as_ref().map(pick));
    let used = |pick: fn(&crate::server::UsageDelta) -> u64| {
        sample.server.as_ref().map_or_else(String::new, |server| pick(server).to_string())
    };
    [
        sample.count.to_string(),
        format!("{:.6}", sample.seconds),
        format!("{:.1}", sample.per_second()),
        some(sample.offered),
        some(sample.cpu_per_million()),
        format!("{:.3}", sample.harness_cpu_per_million()),
        format!("{:.3}", sample.harness.busiest),
        sample.is_harness_bound().to_string(),
        sample.faults.total().to_string(),
        latency(|it| it.p50_us),
        latency(|it| it.p90_us),
        latency(|it| it.p99_us),
        latency(|it| it.p999_us),
        latency(|it| it.max_us),
        used(|it| it.rss_bytes),
        used(|it| it.disk_bytes),
        used(|it| it.context_switches),
        used(|it| it.read_write_calls),
    ]
    .into_iter()
}

/// Values in nanoseconds; the unit of the highest value column is milliseconds.
pub fn hlog(report: &Report) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("bench-harness; values are nanoseconds");
    builder.with_start_time(SystemTime::UNIX_EPOCH).with_max_value_divisor(1e6);
    let mut writer = builder.begin_log_with(&mut bytes, &mut serializer).context("hlog")?;
    let mut start = Duration::ZERO;
    for (row, server, round, sample) in samples(report) {
        let Some(latency) = sample.latency.as_ref().filter(|it| !it.histogram.is_empty()) else {
            continue;
        };
        let name = format!("{}/{}B/{server}/{}", row.workload, row.size, round + 1);
        let name = name.replace([',', ' '], "_");
        let tag = Tag::new(&name).ok_or_else(|| Failure::new(format!("{name:?} is no tag")))?;
        let length = Duration::from_secs_f64(sample.seconds);
        writer.write_histogram(&latency.histogram, start, length, Some(tag)).context("hlog")?;
        start += length;
    }
    Ok(bytes)
}

fn samples(report: &Report) -> impl Iterator<Item = (&super::Row, &str, usize, &Sample)> {
    report.rows.iter().flat_map(|row| {
        row.servers.iter().flat_map(move |server| {
            let all = server.samples.iter().enumerate();
            all.map(move |(round, sample)| (row, server.name.as_str(), round, sample))
        })
    })
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::engine::{HarnessUse, Span};
    use crate::report::{Environment, Latency, Row, ServerRow};
    use crate::verify::Faults;

    fn report() -> Report {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=1000).for_each(|value| histogram.record(value * 1000).unwrap());
        let span = Span { seconds: 2.0, server: None, harness: HarnessUse::default() };
        let mut sample = Sample::of(1000, &span, Faults::default());
        sample.latency = Some(Latency::of(&histogram));
        let row = Row {
            workload: "a, b <c>".into(),
            size: 16,
            scale: None,
            servers: vec![ServerRow::new("x".into(), vec![sample.clone(), sample])],
            ceiling: None,
        };
        Report { environment: Environment::gather(Vec::new()), rows: vec![row] }
    }

    #[test]
    fn a_log_of_histograms_reads_back() {
        let bytes = hlog(&report()).unwrap();
        let entries: Result<Vec<_>, _> = IntervalLogIterator::new(&bytes).collect();
        let entries = entries.unwrap();
        let intervals = entries.iter().filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        });
        let mut seen = 0;
        for interval in intervals {
            let raw =
                data_encoding::BASE64.decode(interval.encoded_histogram().as_bytes()).unwrap();
            let histogram: Histogram<u64> =
                Deserializer::new().deserialize(&mut raw.as_slice()).unwrap();
            assert_eq!(histogram.len(), 1000);
            assert!(interval.tag().unwrap().as_str().starts_with("a__b"));
            seen += 1;
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn every_run_is_a_line() {
        let text = String::from_utf8(csv(&report()).unwrap()).unwrap();
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).unwrap().starts_with("\"a, b <c>\",16,x,1,1000,"));
    }

    #[test]
    fn a_report_kept_as_json_is_drawn_again_and_needs_no_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        report().save(&path).unwrap();
        let page = Report::load(&path).unwrap().draw(&path).unwrap();
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains("<svg") && text.contains("a, b &lt;c&gt;"));
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "").contains("http");
        assert!(!elsewhere, "the page names another");
    }
}
