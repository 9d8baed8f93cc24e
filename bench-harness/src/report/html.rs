//! One page with everything: needs no network and no script, follows the reader's light or dark.

use std::fmt::Write;

use super::bars::{self, Group};
use super::lines::{Across, Plot, short};
use super::{Medians, Report, Row, palette};
use crate::failure::Outcome;

const STYLE: &str = include_str!("page.css");

pub fn page(report: &Report) -> Outcome<String> {
    let mut body = String::new();
    section(&mut body, "Throughput", BARS, &throughput(report)?);
    section(&mut body, "CPU of the server per message", CPU, &cpu(report)?);
    section(&mut body, "Latency", CURVES, &percentiles(report)?);
    section(&mut body, "Latency over time", OVER_TIME, &over_time(report)?);
    section(&mut body, "Scaling", SCALING, &scaling(report)?);
    section(&mut body, "All figures", FIGURES, &table(report));
    section(&mut body, "Where it was measured", "", &environment(report));
    let legend = legend(report);
    let style = STYLE.replace("INK", palette::INK_TEXT).replace("GRID", palette::GRID_TEXT);
    let date = escape(&report.environment.date);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>bench-harness, {date}</title><style>{style}</style></head><body>\
         <header><h1>Servers side by side</h1><p>{date}</p>{legend}</header>\
         <main>{body}</main></body></html>\n"
    ))
}

const BARS: &str = "Messages (deliveries, requests) per second: longer is better. Each workload has \
    a scale of its own; medians of all rounds. A star marks what may be bound by the harness.";
const CPU: &str = "Microseconds of CPU, user and system, per message: shorter is better.";
const CURVES: &str = "Microseconds at each percentile, both axes logarithmic: lower is better. One \
    round, the last.";
const OVER_TIME: &str =
    "The 99th percentile of what was due in each slice of the last round's window.";
const SCALING: &str = "Messages per second.";
const FIGURES: &str = "Medians of all rounds.";

fn section(body: &mut String, title: &str, about: &str, content: &str) {
    if content.is_empty() {
        return;
    }
    // Writing into a String does not fail.
    let _ = write!(body, "<section><h2>{title}</h2><p>{about}</p>{content}</section>");
}

fn legend(report: &Report) -> String {
    let mut names: Vec<&str> = Vec::new();
    for server in report.rows.iter().flat_map(|row| &row.servers) {
        if !names.contains(&server.name.as_str()) {
            names.push(&server.name);
        }
    }
    let items = names.iter().enumerate().map(|(nth, name)| {
        let colour = palette::text_of(palette::of_server(nth));
        format!("<li><i style=\"background:{colour}\"></i>{}</li>", escape(name))
    });
    format!("<ul class=\"legend\">{}</ul>", items.collect::<String>())
}

fn title_of(row: &Row) -> String {
    format!("{}, {} B", row.workload, row.size)
}

fn bars_of(
    report: &Report,
    pick: impl Fn(&Medians) -> Option<f64>,
    number: impl Fn(f64) -> String,
) -> Outcome<String> {
    let rows = report.rows.iter().filter(|row| row.scale.is_none() && !is_open(row));
    let group = |row: &Row| Group {
        name: format!("{}{}", title_of(row), if is_bound(row) { " *" } else { "" }),
        values: row.servers.iter().map(|server| pick(&server.median)).collect(),
    };
    let groups: Vec<Group> = rows.map(group).collect();
    if groups.iter().all(|group| group.values.iter().all(Option::is_none)) {
        return Ok(String::new());
    }
    Ok(format!("<figure class=\"wide\">{}</figure>", bars::draw(&groups, number)?))
}

fn throughput(report: &Report) -> Outcome<String> {
    bars_of(report, |median| Some(median.per_second), |value| format!("{}/s", short(value)))
}

/// CPU seconds per million messages are microseconds per message.
fn cpu(report: &Report) -> Outcome<String> {
    bars_of(report, |median| median.cpu_per_million, |value| format!("{value:.2} µs"))
}

/// The rate was given, so that it says nothing.
fn is_open(row: &Row) -> bool {
    row.servers.iter().flat_map(|server| &server.samples).any(|sample| sample.offered.is_some())
}

fn is_bound(row: &Row) -> bool {
    row.servers.iter().flat_map(|server| &server.samples).any(super::Sample::is_harness_bound)
}

fn percentiles(report: &Report) -> Outcome<String> {
    let mut figures = String::new();
    for row in &report.rows {
        let curves = row.servers.iter().map(|server| {
            let latency = server.samples.last().and_then(|sample| sample.latency.as_ref());
            let points = latency.into_iter().flat_map(|latency| &latency.curve);
            points.map(|&(quantile, micros)| (1.0 / (1.0 - quantile), micros)).collect()
        });
        let plot = Plot {
            across: Across::Percentiles,
            across_name: "percentile",
            up_name: "latency, µs",
            is_log: true,
            curves: curves.collect(),
        };
        figure(&mut figures, &format!("{}{}", title_of(row), rates_of(row)), &plot)?;
    }
    Ok(figures)
}

/// What each server was asked for.
fn rates_of(row: &Row) -> String {
    let rates: Vec<String> = row
        .servers
        .iter()
        .filter_map(|server| {
            let offered = server.samples.last()?.offered?;
            Some(format!("{} {}/s", server.name, short(offered)))
        })
        .collect();
    if rates.is_empty() { String::new() } else { format!(" ({})", rates.join(", ")) }
}

fn over_time(report: &Report) -> Outcome<String> {
    let mut figures = String::new();
    for row in &report.rows {
        let curves = row.servers.iter().map(|server| {
            let latency = server.samples.last().and_then(|sample| sample.latency.as_ref());
            let slices = latency.into_iter().flat_map(|latency| &latency.over_time);
            slices.map(|slice| (slice.at_seconds, slice.p99_us)).collect()
        });
        let plot = Plot {
            across: Across::Time,
            across_name: "seconds",
            up_name: "99th percentile, µs",
            is_log: true,
            curves: curves.collect(),
        };
        figure(&mut figures, &format!("{}{}", title_of(row), rates_of(row)), &plot)?;
    }
    Ok(figures)
}

/// What was run more than once: its title, what it is shown over, and its points.
type Series<'r> = (String, &'r str, Vec<(f64, &'r Row)>);

/// Series that were asked for, and workloads that were run at several sizes.
fn scaling(report: &Report) -> Outcome<String> {
    let mut series: Vec<Series<'_>> = Vec::new();
    for row in &report.rows {
        let (title, over, at) = match &row.scale {
            Some(scale) => (format!("by {}", scale.over), scale.over.as_str(), scale.at),
            None => (format!("{} by size", row.workload), "bytes of payload", row.size as f64),
        };
        match series.iter_mut().find(|(known, _, _)| *known == title) {
            Some((_, _, points)) => points.push((at, row)),
            None => series.push((title, over, vec![(at, row)])),
        }
    }
    let mut figures = String::new();
    for (title, over, points) in series.iter().filter(|(_, _, points)| points.len() > 1) {
        let servers = points[0].1.servers.len();
        let curve = |nth: usize| {
            let point =
                |(at, row): &(f64, &Row)| Some((*at, row.servers.get(nth)?.median.per_second));
            points.iter().filter_map(point).collect()
        };
        let plot = Plot {
            across: Across::Doubling,
            across_name: over,
            up_name: "per second",
            is_log: false,
            curves: (0..servers).map(curve).collect(),
        };
        figure(&mut figures, title, &plot)?;
    }
    Ok(figures)
}

fn figure(figures: &mut String, title: &str, plot: &Plot<'_>) -> Outcome<()> {
    if let Some(svg) = plot.draw()? {
        let title = escape(title);
        let _ = write!(figures, "<figure><figcaption>{title}</figcaption>{svg}</figure>");
    }
    Ok(())
}

fn table(report: &Report) -> String {
    let mut rows = String::new();
    for row in &report.rows {
        for server in &row.servers {
            let median = &server.median;
            let some = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
            };
            let faults: u64 = server.samples.iter().map(|sample| sample.faults.total()).sum();
            let bound = server.samples.iter().any(super::Sample::is_harness_bound);
            let _ = write!(
                rows,
                "<tr><td>{}</td><td>{}</td><td>{:.0}</td><td>{}</td><td>{:.3}</td><td>{:.0} %{}</td>\
                 <td>{}</td><td>{}</td><td>{}</td><td>{faults}</td></tr>",
                escape(&named_with_ceiling(row)),
                escape(&server.name),
                median.per_second,
                some(median.cpu_per_million, 3),
                median.harness_cpu_per_million,
                100.0 * median.busiest,
                if bound { " *" } else { "" },
                some(median.p50_us, 0),
                some(median.p99_us, 0),
                some(median.p999_us, 0),
            );
        }
    }
    let headings = [
        "workload",
        "server",
        "per second",
        "CPU µs",
        "harness µs",
        "busiest thread",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "faults",
    ];
    let headings: String = headings.iter().map(|heading| format!("<th>{heading}</th>")).collect();
    format!("<div class=\"scroll\"><table><tr>{headings}</tr>{rows}</table></div>")
}

fn named_with_ceiling(row: &Row) -> String {
    let ceiling = row.ceiling.map(|it| format!(" (null server: {}/s)", short(it)));
    format!("{}{}", title_of(row), ceiling.unwrap_or_default())
}

fn environment(report: &Report) -> String {
    let it = &report.environment;
    let command = it.command_line.join(" ");
    let servers = it.servers.join("; ");
    let facts = [
        ("Commit", &it.commit),
        ("Kernel", &it.kernel),
        ("CPU", &it.cpu),
        ("CPUs allowed", &it.cpus),
        ("Governor", &it.governor),
        ("Memory", &it.memory),
        ("Servers", &servers),
        ("Command", &command),
    ];
    let line = |(name, value): &(&str, &String)| {
        format!("<tr><th>{name}</th><td>{}</td></tr>", escape(value))
    };
    format!("<table class=\"facts\">{}</table>", facts.iter().map(line).collect::<String>())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
