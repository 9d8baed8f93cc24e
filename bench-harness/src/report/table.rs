//! The table on standard output: a line per server, the ratios against the first server.

use std::fmt::Write;

use super::{Figure, Row, ServerRow};

/// Columns right of the workload's name.
const HEADINGS: [&str; 9] = [
    "size",
    "server",
    "per second",
    "CPU s/M",
    "× CPU",
    "× rate",
    "harness s/M",
    "busiest",
    "p50/p99/p99.9 µs",
];
const WIDTHS: [usize; 9] = [6, 8, 11, 8, 7, 7, 11, 8, 22];
const NAME_WIDTH: usize = 30;

pub fn heading() -> String {
    let mut line = format!("{:<NAME_WIDTH$}", "workload");
    for (heading, width) in HEADINGS.iter().zip(WIDTHS) {
        // Formatting into a String does not fail.
        let _ = write!(line, " {heading:>width$}");
    }
    line
}

impl Row {
    pub fn table(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text.push_str(&self.line(server));
            text.push('\n');
            for remark in remarks(server) {
                let _ = writeln!(text, "{:NAME_WIDTH$}   {remark}", "");
            }
        }
        if let Some(ceiling) = self.ceiling {
            let _ = writeln!(text, "{:NAME_WIDTH$}   against a null server: {ceiling:.0}/s", "");
        }
        text
    }

    fn line(&self, server: &ServerRow) -> String {
        let (own, first) = (&server.median, &self.servers[0].median);
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
        };
        let is_first = std::ptr::eq(server, &self.servers[0]);
        let ratio = |above: Option<f64>, below: Option<f64>| {
            let ratio = above.zip(below).filter(|_| !is_first).map(|(a, b)| a / b);
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
        };
        let latency = match (own.p50_us, own.p99_us, own.p999_us) {
            (Some(p50), Some(p99), Some(p999)) => format!("{p50:.0}/{p99:.0}/{p999:.0}"),
            _ => String::new(),
        };
        let columns = [
            self.size.to_string(),
            server.name.clone(),
            format!("{:.0}", own.per_second),
            number(own.cpu_per_million, 3),
            ratio(own.cpu_per_million, first.cpu_per_million),
            ratio(Some(first.per_second), Some(own.per_second)),
            format!("{:.3}", own.harness_cpu_per_million),
            format!("{:.0} %", 100.0 * own.busiest),
            latency,
        ];
        let mut line = format!("{:<NAME_WIDTH$}", self.workload);
        for (column, width) in columns.iter().zip(WIDTHS) {
            let _ = write!(line, " {column:>width$}");
        }
        line
    }
}

/// What a reader must know before believing the line.
fn remarks(server: &ServerRow) -> Vec<String> {
    let rounds = server.samples.len();
    let bound = server.samples.iter().filter(|sample| sample.is_harness_bound()).count();
    let mut remarks = Vec::new();
    if bound > 0 {
        remarks.push(format!("harness-bound in {bound} of {rounds} rounds"));
    }
    for (round, sample) in server.samples.iter().enumerate() {
        let faults = &sample.faults;
        if faults.total() > 0 {
            let first = faults.first.as_deref().unwrap_or("no words for it");
            remarks.push(format!(
                "FAULTS in round {}: lost {}, duplicated {}, reordered {}, corrupted {}, cut {}, \
                 errors {}; first: {first}",
                round + 1,
                faults.lost,
                faults.duplicated,
                faults.reordered,
                faults.corrupted,
                faults.cut,
                faults.errors,
            ));
        }
        let figures: Vec<_> = sample.figures.iter().map(figure).collect();
        if !figures.is_empty() {
            remarks.push(figures.join(", "));
        }
    }
    remarks
}

fn figure(figure: &Figure) -> String {
    let Figure { name, value, unit, text } = figure;
    match (value, text) {
        (Some(value), _) if unit == "B" && *value >= 1e6 => {
            format!("{name} {:.1} MB", value / 1e6)
        }
        (Some(value), _) => format!("{name} {value:.1} {unit}").trim_end().to_string(),
        (None, text) => format!("{name}: {}", text.as_deref().unwrap_or_default()),
    }
}
